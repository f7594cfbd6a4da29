"""Random versions of sounds. Waves are float [B, T], spectrograms [B, C, F, T]; every item draws its own."""

import torch
from torch import Tensor

from striate.augment.draws import Draws
from striate.errors import ArgumentError


def shifted(waves: Tensor, draws: Draws, *, most: float = 0.1) -> Tensor:
    """Waves moved in time by up to the share `most`, silence where nothing was."""
    length = waves.shape[1]
    by = (draws.uniform(-most, most) * length).round().long()
    at = torch.arange(length, device=waves.device) - by[:, None]
    inside = (at >= 0) & (at < length)
    return waves.gather(1, at.clamp(0, length - 1)) * inside


def faster(waves: Tensor, draws: Draws, *, most: float = 0.1) -> Tensor:
    """Waves played faster or slower by up to the share `most`: pitch moves too. Linear between samples."""
    length = waves.shape[1]
    speed = torch.exp(draws.uniform(-1, 1) * torch.log1p(torch.tensor(most)))
    at = torch.arange(length, device=waves.device) * speed[:, None]
    low = at.long().clamp_max(length - 1)
    share = (at - low).clamp(0, 1)
    high = (low + 1).clamp_max(length - 1)
    moved = torch.lerp(waves.gather(1, low), waves.gather(1, high), share)
    return moved * (at <= length - 1)


def noisy(waves: Tensor, draws: Draws, *, snr: float = 20.0) -> Tensor:
    """White noise at a signal-to-noise ratio of `snr` decibels or up to 20 more."""
    level = waves.pow(2).mean(1, keepdim=True).sqrt()
    ratio = 10 ** (-draws.uniform(snr, snr + 20) / 20)
    noise = torch.stack(
        [
            torch.randn(waves.shape[1], generator=torch.Generator().manual_seed(seed))
            for seed in draws.seeds()
        ]
    )
    return waves + noise.to(waves.device) * level * ratio[:, None]


def masked(
    spectrograms: Tensor, draws: Draws, *, bands: int = 1, frames: int = 1, most: float = 0.15
) -> Tensor:
    """Bands of frequencies and spans of time set to the item's mean: SpecAugment (Park et al. 2019).

    Args:
        spectrograms: [B, C, F, T].
        draws: of the items.
        bands: how many bands.
        frames: how many spans.
        most: largest share of an axis that one of them covers.

    Raises:
        ArgumentError: a share that is none.
    """
    if not 0 <= most <= 1:
        raise ArgumentError(f"masked: most is a share from 0 to 1, got {most}")
    hidden = torch.zeros_like(spectrograms[:, :1], dtype=torch.bool)
    for axis, count in ((2, bands), (3, frames)):
        side = spectrograms.shape[axis]
        for _ in range(count):
            length = draws.uniform(0, most) * side
            start = draws.uniform() * (side - length)
            at = torch.arange(side, device=start.device)
            span = (at >= start[:, None]) & (at < (start + length)[:, None])
            hidden |= span[:, None, :, None] if axis == 2 else span[:, None, None, :]
    mean = spectrograms.mean((1, 2, 3), keepdim=True)
    return torch.where(hidden, mean, spectrograms)
