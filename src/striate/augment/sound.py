"""Random versions of sounds. Waves are float [B, T], spectrograms [B, C, F, T]; every item draws its own."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from striate.augment.draws import Draws
from striate.errors import ArgumentError


def shifted(waves: Tensor, draws: Draws, *, most: float = 0.1) -> Tensor:
    """Waves moved in time by up to the share `most`, silence where nothing was."""
    length = waves.shape[1]
    by = (draws.uniform(-most, most) * length).round().long().to(waves.device)
    room = math.ceil(most * length)
    windows = F.pad(waves, (room, room)).unfold(1, length, 1)  # a view [B, 2 room + 1, T]
    return windows[torch.arange(len(waves), device=waves.device), room - by]


def faster(waves: Tensor, draws: Draws, *, most: float = 0.1) -> Tensor:
    """Waves played faster or slower by up to the share `most`: pitch moves too. Linear between samples."""
    last = waves.shape[1] - 1
    speed = torch.exp(draws.uniform(-1, 1) * torch.log1p(torch.tensor(most))).to(waves.device)
    at = torch.arange(last + 1, dtype=torch.float32, device=waves.device) * speed[:, None]
    beyond = at > last
    low = at.clamp_(max=last).long()
    before, after = waves.gather(1, low), F.pad(waves, (0, 1)).gather(1, low.add_(1))
    return before.lerp_(after, at.frac_()).masked_fill_(beyond, 0.0)


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


def masked(spectrograms: Tensor, draws: Draws, *, most: float = 0.15) -> Tensor:
    """A band of frequencies and a span of time set to the item's mean: SpecAugment (Park et al. 2019).

    Args:
        spectrograms: [B, C, F, T].
        draws: of the items.
        most: largest share of an axis that one of them covers.

    Raises:
        ArgumentError: a share that is none.
    """
    if not 0 <= most <= 1:
        raise ArgumentError(f"masked: most is a share from 0 to 1, got {most}")
    hidden = torch.zeros_like(spectrograms[:, :1], dtype=torch.bool)
    for axis in (2, 3):
        side = spectrograms.shape[axis]
        length = draws.uniform(0, most) * side
        start = draws.uniform() * (side - length)
        at = torch.arange(side, device=start.device)
        span = (at >= start[:, None]) & (at < (start + length)[:, None])
        hidden |= span[:, None, :, None] if axis == 2 else span[:, None, None, :]
    mean = spectrograms.mean((1, 2, 3), keepdim=True)
    return torch.where(hidden, mean, spectrograms)
