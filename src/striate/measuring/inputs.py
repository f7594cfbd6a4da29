"""What a net is fed with while it is measured: shapes without a batch axis, such as 3x224x224."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError, ShapeError

Shape = Sequence[int] | Tensor


def read_shape(text: str) -> tuple[int, ...]:
    """A shape as the command line takes it.

    >>> read_shape("3x224x224")
    (3, 224, 224)

    Raises:
        ShapeError: anything but whole numbers from 1 up with x between them.
    """
    parts = text.strip().lower().split("x")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ShapeError(
            f"an input is written like 3x224x224 (channels, height, width); got {text!r}"
        )
    return tuple(int(part) for part in parts)


def templates(net: nn.Module, shape: Shape | Sequence[Shape] | str | None) -> list[Tensor]:
    """One meta tensor an input, batch of 1 added; numbers of the type of the net's first weight.

    Raises:
        ArgumentError: no shape was given and the net does not know its own.
        ShapeError: a shape with a side below 1.
    """
    given = getattr(net, "input_shape", None) if shape is None else shape
    if given is None:
        raise ArgumentError(
            "the net does not say what it reads; give the shape of one input without its batch axis, "
            "such as measure(net, (3, 224, 224))"
        )
    floating = (p.dtype for p in net.parameters() if p.is_floating_point())
    dtype = next(floating, torch.float32)
    return [_template(one, dtype) for one in _each(given)]


def _each(given: object) -> list[Shape]:
    if isinstance(given, str):
        return [read_shape(given)]
    if isinstance(given, Tensor):
        return [given]
    items = list(cast("Sequence[object]", given))
    if all(isinstance(item, int) for item in items):
        return [cast("list[int]", items)]
    return [shape for item in items for shape in _each(item)]


def _template(shape: Shape, dtype: torch.dtype) -> Tensor:
    if isinstance(shape, Tensor):
        return torch.empty((1, *shape.shape[1:]), dtype=shape.dtype, device="meta")
    if any(side < 1 for side in shape):
        raise ShapeError(f"every side of an input is at least 1; got {times(shape)}")
    return torch.empty((1, *shape), dtype=dtype, device="meta")


def times(shape: Sequence[int]) -> str:
    """A shape as it is written: 3x224x224, and 1 for none."""
    return "x".join(map(str, shape)) or "1"


def counted(n: int, word: str) -> str:
    """A number with its word: 1 channel, 2 channels."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"
