"""Random views of volumes, a whole batch at a time. B batch, C channels, D H W voxels; every item draws its own.

Flips and whole-voxel moves copy voxels; turning and scaling are one resampling. Masks of the items follow.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from striate.augment.draws import Draws
from striate.augment.policy import Policy

_WINDOWS = 0x57494E444F57  # tells the draws of windows from those of views
SHIFT = 1 / 28  # a shift moves a batch by up to this share of each side, as that of pictures
# Words of a policy that volumes have, beside `shift` and `mixup`.
WORDS = ("flip", "flip_vertical", "flip_depth", "translate", "scale", "rotate", "noise")
_AXES = {"flip": 3, "flip_vertical": 2, "flip_depth": 1}  # of [B, D, H, W, C]
_SPACE = (-4, -3, -2)  # of [..., D, H, W, C]


def view(
    volumes: Tensor,
    masks: Tensor | None,
    items: Tensor,
    policy: Policy,
    *,
    seed: int,
    outside: int = 255,
) -> tuple[Tensor, Tensor | None]:
    """Random views, a function of (seed, item) alone.

    Args:
        volumes: stored [B, D, H, W, C].
        masks: class numbers of their voxels [B, D, H, W, 1] that follow them.
        items: their numbers in the data [B].
        policy: what happens to them, of `WORDS`.
        seed: of training and epoch.
        outside: the class number of voxels from beyond the edge.

    Returns:
        Views of the same size, of the stored type where no voxel was computed anew, else float32; and the masks.
    """
    draws = Draws(seed, items)
    steps = dict(policy.steps)
    for name, axis in _AXES.items():
        if name in steps:
            which = draws.chance(steps[name])
            volumes = _flipped(volumes, axis, which)
            masks = masks if masks is None else _flipped(masks, axis, which)
    if steps.keys() & {"scale", "rotate"}:
        where = _places(draws, steps, volumes)
        volumes = _resampled(volumes, where)
        masks = masks if masks is None else _resampled_masks(masks, where, outside)
    elif "translate" in steps:
        by = _steps(draws, steps["translate"], volumes)
        volumes = _moved(volumes, by)
        masks = masks if masks is None else _moved(masks, by, outside)
    if "noise" in steps:
        volumes = _noisy(volumes, draws, steps["noise"])
    return volumes, masks


def windows(
    volumes: Tensor, masks: Tensor | None, items: Tensor, size: tuple[int, int, int], *, seed: int
) -> tuple[Tensor, Tensor | None]:
    """A window of this size anywhere in each volume, at whole voxels; a function of (seed, item) alone."""
    draws = Draws(seed ^ _WINDOWS, items)
    places = [
        draws.whole(side - k + 1).tolist() for side, k in zip(volumes.shape[1:4], size, strict=True)
    ]

    def cut(x: Tensor) -> Tensor:
        depth, high, wide = size
        return torch.stack(
            [
                one[a : a + depth, b : b + high, c : c + wide]
                for one, a, b, c in zip(x, *places, strict=True)
            ]
        )

    return cut(volumes), masks if masks is None else cut(masks)


def shifted(
    volumes: Tensor, masks: Tensor | None, generator: torch.Generator, *, outside: int = 255
) -> tuple[Tensor, Tensor | None]:
    """A batch moved as one by a few whole voxels along each axis, its edges repeated."""
    by: list[int] = []
    for side in volumes.shape[1:4]:
        most = max(1, round(SHIFT * side))
        by.append(int(torch.randint(2 * most + 1, (), generator=generator)) - most)
    moved = _written(torch.empty_like(volumes), volumes, by)
    return moved, masks if masks is None else _written(torch.empty_like(masks), masks, by, outside)


def _flipped(x: Tensor, axis: int, which: Tensor) -> Tensor:
    if not which.any():
        return x
    x = x.clone()
    x[which] = x[which].flip(axis)
    return x


def _steps(draws: Draws, strength: float, volumes: Tensor) -> list[list[int]]:
    """Whole voxels along each axis, for each item."""
    return [
        (draws.uniform(-strength, strength) * side).round().long().tolist()
        for side in volumes.shape[1:4]
    ]


def _moved(x: Tensor, by: list[list[int]], outside: int | None = None) -> Tensor:
    """Volumes moved by whole voxels, each by its own, their edges repeated, or `outside` beyond them."""
    out = torch.empty_like(x)
    for place, item, *steps in zip(out, x, *by, strict=True):
        _written(place, item, steps, outside)
    return out


def _written(out: Tensor, x: Tensor, by: list[int], outside: int | None = None) -> Tensor:
    """Volumes [..., D, H, W, C] moved by whole voxels along each axis, written into `out`: copies of blocks, no index a voxel."""
    rest = 1 if outside is None else 0  # of an axis: an edge must be left to be repeated
    by = [max(rest - n, min(n - rest, k)) for k, n in zip(by, x.shape[-4:-1], strict=True)]
    to, source = out, x
    for axis, k in zip(_SPACE, by, strict=True):
        length = x.shape[axis] - abs(k)
        to, source = to.narrow(axis, max(k, 0), length), source.narrow(axis, max(-k, 0), length)
    if outside is not None:
        out.fill_(outside)
    to.copy_(source)
    if outside is None:
        for axis, k in zip(_SPACE, by, strict=True):
            _repeat_edge(out, axis, k)
    return out


def _repeat_edge(x: Tensor, axis: int, by: int) -> None:
    """Fill what a move along an axis left free with the nearest slice."""
    side = x.shape[axis]
    if by > 0:
        x.narrow(axis, 0, by).copy_(x.narrow(axis, by, 1))
    elif by < 0:
        x.narrow(axis, side + by, -by).copy_(x.narrow(axis, side + by - 1, 1))


def _places(draws: Draws, steps: dict[str, float], volumes: Tensor) -> Tensor:
    """For every voxel of the views the place in the volume [B, D, H, W, 3], -1..1 from edge to edge, x first."""
    sides = volumes.new_tensor(volumes.shape[3:0:-1], dtype=torch.float32)
    matrix = torch.eye(3, device=volumes.device).expand(len(volumes), 3, 3)
    offset = torch.zeros(len(volumes), 3, device=volumes.device)
    if "translate" in steps:
        draw = [draws.uniform(-steps["translate"], steps["translate"]) for _ in range(3)]
        offset = 2 * torch.stack(draw, 1).to(volumes.device)
    if "scale" in steps:
        most = math.log1p(steps["scale"])
        matrix = matrix * torch.exp(draws.uniform(-most, most)).to(volumes.device)[:, None, None]
    if "rotate" in steps:
        turn = _turns(draws, steps["rotate"]).to(volumes.device)
        # In voxels, so that sides of different length do not slant.
        matrix = matrix @ (turn * sides[None, None] / sides[None, :, None])
    theta = torch.cat([matrix, offset[:, :, None]], 2)
    return F.affine_grid(theta, [len(volumes), 1, *volumes.shape[1:4]], align_corners=False)


def _turns(draws: Draws, strength: float) -> Tensor:
    """Turns about the axis of depth by up to so many degrees [B, 3, 3]."""
    angle = draws.uniform(-math.radians(strength), math.radians(strength))
    sine, cosine = torch.sin(angle), torch.cos(angle)
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = [cosine, -sine, zero, sine, cosine, zero, zero, zero, one]
    return torch.stack(rows, 1).unflatten(1, (3, 3))


def _resampled(volumes: Tensor, where: Tensor) -> Tensor:
    x = volumes.permute(0, 4, 1, 2, 3).float()
    x = F.grid_sample(x, where, mode="bilinear", padding_mode="border", align_corners=False)
    return x.permute(0, 2, 3, 4, 1)


def _resampled_masks(masks: Tensor, where: Tensor, outside: int) -> Tensor:
    x = masks.permute(0, 4, 1, 2, 3).float() - outside
    x = F.grid_sample(x, where, mode="nearest", padding_mode="zeros", align_corners=False)
    return (x + outside).round().permute(0, 2, 3, 4, 1).to(masks.dtype)


def _noisy(volumes: Tensor, draws: Draws, strength: float) -> Tensor:
    """Gaussian noise of up to this share of the deviation of each volume."""
    x = volumes.float()
    sigma = draws.uniform(0, strength).to(x.device) * x.flatten(1).std(1)
    noise = torch.stack(
        [
            torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(seed))
            for seed in draws.seeds()
        ]
    )
    return x + noise.to(x.device) * sigma[:, None, None, None, None]
