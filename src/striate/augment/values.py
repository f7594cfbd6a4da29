"""Steps that change values, not places. Pictures are float [B, C, H, W] of 0..255; every item draws its own."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from striate.augment.draws import Draws
from striate.augment.policy import Policy

# ITU-R BT.601 luma, as greys are computed elsewhere.
LUMA = (0.299, 0.587, 0.114)
# Principal components of the colours of ImageNet's pictures and the square roots of their variances, 0..255:
# Krizhevsky et al. 2012 section 4.1 gives the method; the numbers are measured on the training items where
# a caller has them, else these.
COMPONENTS = ((0.5675, 0.7192, 0.4009), (0.5808, -0.0045, -0.8140), (0.5836, -0.6948, 0.4203))
SPREADS = (55.46, 4.794, 1.148)
MEASURED = 500  # items from which colours are measured


class Colors(NamedTuple):
    """Principal components of C channels [C, C], a row each, and their standard deviations [C], of 0..255."""

    components: Tensor
    spreads: Tensor


def colors(images: Tensor) -> Colors:
    """The principal components of the pixels of pictures [N, H, W, C] of 0..255, of a few hundred evenly picked."""
    picked = images[:: -(-len(images) // MEASURED)].cpu().flatten(0, 2).double()
    variances, rows = torch.linalg.eigh(picked.T.cov().reshape(images.shape[3], -1))
    return Colors(rows.T.flip(0).float(), variances.flip(0).clamp_min(0).sqrt().float())


def apply(x: Tensor, policy: Policy, draws: Draws, seen: Colors | None = None) -> Tensor:
    """The steps of kind "value", in order; `seen` are the colours of the training items, if measured."""
    for name, strength in policy.of("value"):
        x = _pca(x, draws, strength, seen) if name == "pca" else STEPS[name](x, draws, strength)
    return x


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _brightness(x: Tensor, draws: Draws, strength: float) -> Tensor:
    return (x * _each(draws.uniform(1 - strength, 1 + strength))).clamp_(0, 255)


def _contrast(x: Tensor, draws: Draws, strength: float) -> Tensor:
    mean = _grey(x).mean((2, 3), keepdim=True)
    return torch.lerp(
        mean.expand_as(x), x, _each(draws.uniform(1 - strength, 1 + strength))
    ).clamp_(0, 255)


def _color(x: Tensor, draws: Draws, strength: float) -> Tensor:
    factor = _each(draws.uniform(1 - strength, 1 + strength))
    return torch.lerp(_grey(x).expand_as(x), x, factor).clamp_(0, 255)


def _grey(x: Tensor) -> Tensor:
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True)
    return (x * x.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)


def _pca(x: Tensor, draws: Draws, strength: float, seen: Colors | None) -> Tensor:
    """One colour added to the whole picture: sum of components times N(0, strength) times their spread."""
    amounts = [draws.normal() * strength for _ in range(3)]
    if seen is None and x.shape[1] != 3:
        return (x + _each(amounts[0] * SPREADS[0] * sum(COMPONENTS[0]) / 3)).clamp_(0, 255)
    known = seen or Colors(torch.tensor(COMPONENTS), torch.tensor(SPREADS))
    count = len(known.spreads)
    scaled = torch.stack(amounts[:count], 1) * known.spreads.to(x.device)
    shift = scaled @ known.components.to(x.device)
    return (x + shift[:, :, None, None]).clamp_(0, 255)


def _blur(x: Tensor, draws: Draws, strength: float) -> Tensor:
    """A Gaussian of a width of its own for every item: two passes of a convolution grouped by item."""
    sigma = draws.uniform(0, strength).clamp_min(1e-3)
    radius = max(1, int(3 * strength + 0.5))
    at = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernels = torch.exp(-(at**2) / (2 * sigma[:, None] ** 2))
    kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(x.shape[1], 0)
    b, c, h, w = x.shape
    flat = F.pad(x.reshape(1, b * c, h, w), (radius,) * 4, mode="replicate")
    flat = F.conv2d(flat, kernels[:, None, :, None], groups=b * c)
    return F.conv2d(flat, kernels[:, None, None, :], groups=b * c).view(b, c, h, w)


def _noise(x: Tensor, draws: Draws, strength: float) -> Tensor:
    sigma = draws.uniform(0, strength) * 255
    noise = torch.stack(
        [
            torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(seed))
            for seed in draws.seeds()
        ]
    )
    return (x + noise.to(x.device) * _each(sigma)).clamp_(0, 255)


def _erase(x: Tensor, draws: Draws, strength: float) -> Tensor:
    """A rectangle of 2..33 % of the area, filled with noise."""
    h, w = x.shape[2:]
    hit, area = draws.chance(strength), draws.uniform(0.02, 0.33) * h * w
    ratio = torch.exp(draws.uniform(-1.2, 1.2))
    high = torch.sqrt(area * ratio).clamp_max(h)
    wide = torch.sqrt(area / ratio).clamp_max(w)
    inside = _span(draws.uniform(), high, h)[:, :, None] & _span(draws.uniform(), wide, w)[:, None]
    inside = (inside & hit[:, None, None])[:, None]
    seeds = draws.seeds()
    noise = torch.zeros_like(x)
    for item in hit.nonzero()[:, 0].tolist():
        generator = torch.Generator().manual_seed(seeds[item])
        noise[item] = 255 * torch.rand(x.shape[1:], generator=generator).to(x.device)
    return torch.where(inside, noise, x)


def _span(place: Tensor, length: Tensor, side: int) -> Tensor:
    """Which of `side` pixels lie in a span of a length at a place: bool [B, side]."""
    start = (place * (side - length))[:, None]
    at = torch.arange(side, device=place.device) + 0.5
    return (at >= start) & (at < start + length[:, None])


STEPS = {
    "brightness": _brightness,
    "contrast": _contrast,
    "color": _color,
    "blur": _blur,
    "noise": _noise,
    "erase": _erase,
}
