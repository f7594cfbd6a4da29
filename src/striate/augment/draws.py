"""Random numbers that are a function of their place: no state, the same on every device. B batch.

A counter-based generator: SplitMix64's finaliser (Steele, Lea and Flood 2014, doi 10.1145/2660193.2660195)
over seed, item and column.
"""

import math

import torch
from torch import Tensor

GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed number, and the two multipliers
FIRST, SECOND = -4658895280553007687, -7723592293110705685


class Draws:
    """Columns of numbers for the items of a batch; each call takes the next column."""

    def __init__(self, seed: int, items: Tensor) -> None:
        """Begin.

        Args:
            seed: of this training and epoch, 63 bits.
            items: numbers of the items [B], int64.
        """
        self._base = _mixed(_mixed(items + 1) + seed)
        self._column = 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """One number an item in [low, high): float32 [B]."""
        self._column += 1
        bits = _mixed(self._base + _signed(self._column * GOLDEN))
        # 24 bits fill the mantissa of float32, so every device gives the same number.
        share = ((bits >> 40) & 0xFFFFFF).to(torch.float32) * 2.0**-24
        return low + share * (high - low)

    def chance(self, share: float) -> Tensor:
        """Which items it happens to: bool [B]."""
        return self.uniform() < share

    def normal(self) -> Tensor:
        """One number an item, standard normal [B]: Box and Muller 1958."""
        radius = torch.sqrt(-2 * torch.log1p(-self.uniform()))
        return radius * torch.cos(2 * math.pi * self.uniform())

    def whole(self, count: int) -> Tensor:
        """One number an item in 0..count-1: int64 [B]."""
        return (self.uniform() * count).long().clamp_max(count - 1)

    def seeds(self) -> list[int]:
        """A seed an item, for what needs many numbers."""
        self._column += 1
        return (_mixed(self._base + _signed(self._column * GOLDEN)) & (2**63 - 1)).tolist()


def _signed(number: int) -> int:
    """A whole number wrapped to 64 bits, as tensors hold it."""
    return (number + 2**63) % 2**64 - 2**63


def _mixed(bits: Tensor) -> Tensor:
    """Every bit of the result depends on every bit given; arithmetic wraps at 64 bits."""
    bits = (bits ^ _right(bits, 30)) * FIRST
    bits = (bits ^ _right(bits, 27)) * SECOND
    return bits ^ _right(bits, 31)


def _right(bits: Tensor, by: int) -> Tensor:
    return (bits >> by) & ((1 << (64 - by)) - 1)
