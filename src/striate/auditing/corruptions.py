"""Nineteen ways in which pictures are spoilt, at five strengths. N pictures, C channels, H W pixels, values 0 to 255.

The kinds are those of Hendrycks and Dietterich 2019, arXiv 1903.12261; strengths are theirs, with lengths as shares of the
picture's shorter side, of which theirs had 224 pixels. Frost, snow and spatter are made of noise here, theirs of
photographs: figures of those are not to be compared with published ones.
"""

import io
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SIDE = 224  # pixels that the lengths of the paper are of
STRENGTHS = (1, 2, 3, 4, 5)

Noise = torch.Generator
Kind = Callable[[Tensor, int, Noise], Tensor]  # of pictures 0 to 1 and a strength 0 to 4


def corrupted(x: Tensor, kind: str, strength: int, generator: Noise) -> Tensor:
    """Spoilt pictures [N, C, H, W] of 0 to 255, float32.

    Args:
        x: pictures of 0 to 255.
        kind: one of `KINDS`.
        strength: 1 to 5.
        generator: of what is drawn.
    """
    return (KINDS[kind](x.float() / 255, strength - 1, generator)).clamp(0, 1) * 255


def _pixels(x: Tensor, of_224: float) -> float:
    return of_224 * min(x.shape[2:]) / SIDE


def _normal(x: Tensor, generator: Noise) -> Tensor:
    return torch.randn(x.shape, generator=generator)


def _gaussian_noise(x: Tensor, s: int, g: Noise) -> Tensor:
    return x + _normal(x, g) * (0.08, 0.12, 0.18, 0.26, 0.38)[s]


def _shot_noise(x: Tensor, s: int, g: Noise) -> Tensor:
    count = (60.0, 25.0, 12.0, 5.0, 3.0)[s]
    return torch.poisson(x.clamp(0, 1) * count, generator=g) / count


def _impulse_noise(x: Tensor, s: int, g: Noise) -> Tensor:
    share = (0.03, 0.06, 0.09, 0.17, 0.27)[s]
    draw = torch.rand(x.shape, generator=g)
    return torch.where(draw < share / 2, 0.0, torch.where(draw < share, 1.0, x))


def _speckle_noise(x: Tensor, s: int, g: Noise) -> Tensor:
    return x + x * _normal(x, g) * (0.15, 0.2, 0.35, 0.45, 0.6)[s]


def _filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """Each channel under a kernel [h, w] of sum one, the border reflected."""
    top, left = kernel.shape[0] // 2, kernel.shape[1] // 2
    mode = "reflect" if top < x.shape[2] and left < x.shape[3] else "replicate"
    padded = F.pad(x, (left, left, top, top), mode=mode)
    flat = padded.reshape(
        1, -1, *padded.shape[2:]
    )  # depthwise: several times as fast as maps of one channel
    count = flat.shape[1]
    weight = (kernel / kernel.sum()).expand(count, 1, *kernel.shape)
    return F.conv2d(flat, weight, groups=count).reshape(x.shape)


def _gaussian(sigma: float, x: Tensor) -> Tensor:
    """Blur by two passes of one axis."""
    reach = min(max(1, math.ceil(3 * sigma)), *(side - 1 for side in x.shape[2:]))
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / max(sigma, 1e-3)) ** 2)
    return _filtered(_filtered(x, line[:, None]), line[None])


def _gaussian_blur(x: Tensor, s: int, _g: Noise) -> Tensor:
    return _gaussian(_pixels(x, (1, 2, 3, 4, 6)[s]), x)


def _defocus_blur(x: Tensor, s: int, _g: Noise) -> Tensor:
    radius = max(0.6, _pixels(x, (3, 4, 6, 8, 10)[s]))
    reach = min(math.ceil(radius), *(side - 1 for side in x.shape[2:]))
    at = torch.arange(-reach, reach + 1).float()
    disk = ((at[:, None] ** 2 + at[None] ** 2).sqrt() - radius).neg().add(0.5).clamp(0, 1)
    return _filtered(x, disk)


def _motion_blur(x: Tensor, s: int, g: Noise) -> Tensor:
    length = max(1.0, _pixels(x, (10, 15, 15, 15, 20)[s]))
    reach = min(math.ceil(length), *(side - 1 for side in x.shape[2:]))
    angle = math.radians(float(torch.rand((), generator=g)) * 90 - 45)
    at = torch.arange(-reach, reach + 1).float()
    ys, xs = torch.meshgrid(at, at, indexing="ij")
    along, across = (
        xs * math.cos(angle) + ys * math.sin(angle),
        -xs * math.sin(angle) + ys * math.cos(angle),
    )
    line = ((along.abs() <= length / 2) * (1 - across.abs()).clamp(0, 1)).float()
    line[reach, reach] = 1.0
    return _filtered(x, line)


def _zoom_blur(x: Tensor, s: int, _g: Noise) -> Tensor:
    most, step = (0.11, 0.16, 0.21, 0.26, 0.33)[s], (0.01, 0.01, 0.02, 0.02, 0.03)[s]
    total, count = x.clone(), 1
    for factor in np.arange(1 + step, 1 + most, step).tolist():
        total += _sampled(x, *_grid(x, 1 / factor))
        count += 1
    return total / count


def _grid(x: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Coordinates -1 to 1 of every pixel [H, W], times a scale."""
    height, width = x.shape[2:]
    ys = ((torch.arange(height) * 2 + 1) / height - 1) * scale
    xs = ((torch.arange(width) * 2 + 1) / width - 1) * scale
    rows, columns = torch.meshgrid(ys, xs, indexing="ij")
    return rows, columns


def _sampled(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    grid = torch.stack([columns, rows], -1)
    grid = grid if grid.ndim == 4 else grid[None].expand(len(x), -1, -1, -1)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def _glass_blur(x: Tensor, s: int, g: Noise) -> Tensor:
    sigma, reach = (0.7, 0.9, 1.0, 1.1, 1.5)[s], max(0.5, _pixels(x, (1, 2, 2, 3, 4)[s]))
    soft = _gaussian(_pixels(x, sigma), x)
    rows, columns = _grid(x)
    height, width = x.shape[2:]
    moves = (torch.rand(2, len(x), height, width, generator=g) * 2 - 1) * reach * 2
    moved = _sampled(soft, rows + moves[0] / height, columns + moves[1] / width)
    return _gaussian(_pixels(x, sigma), moved)


def _elastic_transform(x: Tensor, s: int, g: Noise) -> Tensor:
    size, smooth = ((0.0125, 0.02), (0.02, 0.02), (0.03, 0.025), (0.04, 0.03), (0.05, 0.03))[s]
    height, width = x.shape[2:]
    moves = torch.rand(len(x), 2, height, width, generator=g) * 2 - 1
    field = _gaussian(max(1.0, smooth * min(height, width)), moves)
    field = field / field.abs().amax((2, 3), keepdim=True).clamp_min(1e-6) * size * 2
    rows, columns = _grid(x)
    return _sampled(x, rows + field[:, 0], columns + field[:, 1])


def _clouds(x: Tensor, g: Noise, roughness: float) -> Tensor:
    """Noise of many sizes [N, 1, H, W], 0 to 1: octaves whose strength falls by a factor each."""
    total = torch.zeros(len(x), 1, *x.shape[2:])
    cells, strength = 2, 1.0
    while cells <= max(x.shape[2:]):
        coarse = torch.rand(len(x), 1, cells, cells, generator=g)
        total += strength * F.interpolate(coarse, x.shape[2:], mode="bicubic", align_corners=False)
        cells, strength = cells * 2, strength / roughness
    low, high = total.amin((2, 3), keepdim=True), total.amax((2, 3), keepdim=True)
    return (total - low) / (high - low).clamp_min(1e-6)


def _fog(x: Tensor, s: int, g: Noise) -> Tensor:
    size, rough = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))[s]
    top = x.amax((1, 2, 3), keepdim=True)
    return (x + size * _clouds(x, g, rough)) * top / (top + size).clamp_min(1e-6)


def _frost(x: Tensor, s: int, g: Noise) -> Tensor:
    keep, ice = ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))[s]
    ridges = 1 - (2 * _clouds(x, g, 1.3) - 1).abs()
    return keep * x + ice * ridges**3


def _snow(x: Tensor, s: int, g: Noise) -> Tensor:
    share, length, mix = (
        (0.02, 10, 0.8),
        (0.04, 12, 0.7),
        (0.06, 12, 0.7),
        (0.08, 14, 0.65),
        (0.11, 14, 0.55),
    )[s]
    flakes = (torch.rand(len(x), 1, *x.shape[2:], generator=g) < share).float()
    reach = min(max(1, round(_pixels(x, length) / 2)), *(side - 1 for side in x.shape[2:]))
    streak = torch.eye(2 * reach + 1)
    fallen = (_filtered(flakes, streak) * (2 * reach + 1)).clamp(0, 1)
    grey = x.mean(1, keepdim=True)
    pale = mix * x + (1 - mix) * torch.maximum(x, grey * 1.5 + 0.5)
    return pale + fallen


def _spatter(x: Tensor, s: int, g: Noise) -> Tensor:
    share, strength = ((0.05, 0.4), (0.08, 0.5), (0.12, 0.6), (0.16, 0.7), (0.22, 0.8))[s]
    drops = _gaussian(max(0.7, _pixels(x, 4)), torch.randn(len(x), 1, *x.shape[2:], generator=g))
    least = torch.quantile(drops.flatten(1), 1 - share, dim=1).view(-1, 1, 1, 1)
    wet = (drops > least).float()
    colour = (
        torch.full((1, x.shape[1], 1, 1), 0.25)
        if s >= 3
        else torch.full((1, x.shape[1], 1, 1), 0.75)
    )
    return x * (1 - strength * wet) + colour * strength * wet


def _brightness(x: Tensor, s: int, _g: Noise) -> Tensor:
    return x + (0.1, 0.2, 0.3, 0.4, 0.5)[s]


def _contrast(x: Tensor, s: int, _g: Noise) -> Tensor:
    middle = x.mean((2, 3), keepdim=True)
    return (x - middle) * (0.4, 0.3, 0.2, 0.1, 0.05)[s] + middle


def _saturate(x: Tensor, s: int, _g: Noise) -> Tensor:
    """Distances from grey; of pictures of one channel the same of values from the middle."""
    factor, more = ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2))[s]
    grey = x.mean(1, keepdim=True) if x.shape[1] > 1 else x.mean((2, 3), keepdim=True)
    return grey + (x - grey) * factor + more


def _pixelate(x: Tensor, s: int, _g: Noise) -> Tensor:
    share = (0.6, 0.5, 0.4, 0.3, 0.25)[s]
    height, width = (max(1, round(side * share)) for side in x.shape[2:])
    return F.interpolate(F.adaptive_avg_pool2d(x, (height, width)), x.shape[2:], mode="nearest")


def _jpeg_compression(x: Tensor, s: int, _g: Noise) -> Tensor:
    from PIL import Image

    found = torch.empty_like(x)
    pixels = (x.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    for i, each in enumerate(pixels):
        held = io.BytesIO()
        image = Image.fromarray(each if each.shape[2] == 3 else each[..., 0])
        image.save(held, "JPEG", quality=(25, 18, 15, 10, 7)[s])
        with Image.open(held) as again:
            values = np.array(again, np.float32) / 255
        found[i] = torch.from_numpy(values).reshape(*each.shape[:2], -1).permute(2, 0, 1)
    return found


KINDS: dict[str, Kind] = {
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "impulse_noise": _impulse_noise,
    "speckle_noise": _speckle_noise,
    "gaussian_blur": _gaussian_blur,
    "defocus_blur": _defocus_blur,
    "glass_blur": _glass_blur,
    "motion_blur": _motion_blur,
    "zoom_blur": _zoom_blur,
    "snow": _snow,
    "frost": _frost,
    "fog": _fog,
    "spatter": _spatter,
    "brightness": _brightness,
    "contrast": _contrast,
    "saturate": _saturate,
    "elastic_transform": _elastic_transform,
    "pixelate": _pixelate,
    "jpeg_compression": _jpeg_compression,
}
