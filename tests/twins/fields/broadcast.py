"""Tensors in which all cells along an axis may be alike, and are then stored as one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from striate.probe import Call, Value


@dataclass(frozen=True)
class Broadcast:
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


Made = Mapping[int, Broadcast]
Step = Callable[[Call, Made], Tensor | list[Tensor]]


def first(call: Call, made: Made) -> Broadcast:
    """The tensor that a function works on."""
    return of_value(call.inputs[0], made)


def of_value(value: Value, made: Made) -> Broadcast:
    """What a value is made of; zeros if it does not depend on the picture."""
    return made.get(value.index) or zeros(value)


def zeros(value: Value) -> Broadcast:
    """A tensor that reads nothing."""
    return Broadcast(torch.zeros((1,) * len(value.shape)), value.shape)
