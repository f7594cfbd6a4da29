"""Tensors in which all cells along an axis may be alike, and are then stored as one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from striate.probe import Call, Value


@dataclass(frozen=True)
class Thin:
    """A tensor of the shape `shape`, stored with one cell along each axis where all cells are alike."""

    data: Tensor
    shape: tuple[int, ...]

    def whole(self, *dims: int) -> Tensor:
        """The data with some axes at their full length, all if none are named."""
        full = dims or range(len(self.shape))
        sides = [self.shape[d] if d in full else n for d, n in enumerate(self.data.shape)]
        return self.data.expand(sides)

    def alike(self, dim: int) -> bool:
        """Whether one cell stands for all along an axis."""
        return self.data.shape[dim] == 1 < self.shape[dim]


Made = Mapping[int, Thin]
Step = Callable[[Call, Made], Tensor | list[Tensor]]


def first(call: Call, made: Made) -> Thin:
    """The tensor that a function works on."""
    return thin_of(call.inputs[0], made)


def thin_of(value: Value, made: Made) -> Thin:
    """What a value is made of; zeros if it does not depend on the picture."""
    return made.get(value.index) or zeros(value)


def zeros(value: Value) -> Thin:
    """A tensor that reads nothing."""
    return Thin(torch.zeros((1,) * len(value.shape)), value.shape)
