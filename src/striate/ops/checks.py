"""The checks that operations share, so that mistakes read alike everywhere.

Tensors are [N, C, *space]: N items, C channels, one to three axes of space. Where PyTorch fails by itself on
a wrong argument, a call goes straight to it and is checked after the failure; where PyTorch would compute
something else (integers, a missing axis, a setting that is no integer), the check comes before.
"""

from collections.abc import Iterable, Sequence
from math import isnan
from numbers import Real
from types import FunctionType
from typing import TypeVar

import torch
from torch import Tensor

from striate.errors import ArgumentError, ShapeError, nearest, told
from striate.shapes import (
    LONGEST,
    Ints,
    Padding,
    Window,
    check_truth,
    check_whole,
    is_whole,
    window,
)

Op = TypeVar("Op", bound=FunctionType)

# What PyTorch, or a look at an argument of the wrong kind, raises.
FAILURES = (RuntimeError, TypeError, ValueError, AttributeError, LookupError)
# The kinds of what is in a setting as PyTorch takes it, by the number of axes of the input; (1, True) it takes too.
INTS = {rank + 2: [int] * rank for rank in (1, 2, 3)}


def space(x: Tensor, who: str, *, ranks: Sequence[int] = (1, 2, 3), integers: bool = False) -> int:
    """The number of axes of space of `x`, one of `ranks`.

    Raises:
        ShapeError: another number of axes, or an empty one.
        ArgumentError: integers where only floating numbers are taken.
    """
    tensor(x, who)
    rank = nearest_rank(x, ranks)
    if x.ndim != rank + 2:
        hint = "; add the missing one with x[None]" if x.ndim == rank + 1 else ""
        raise ShapeError(
            f"{who}: got {x.ndim} axes {list(x.shape)}, expected {rank + 2}: "
            f"items, channels and {rank} of space{hint}"
        )
    if 0 in x.shape[1:]:
        raise ShapeError(
            f"{who}: got an input {list(x.shape)}, expected at least one of all but items"
        )
    (numeric if integers else floating)(x, who)
    return rank


def nearest_rank(x: object, ranks: Sequence[int]) -> int:
    """The number of axes of space of maps or of a kernel, or the nearest one that is allowed."""
    return min(ranks[-1], max(ranks[0], getattr(x, "ndim", 4) - 2))


def straight(x: Tensor, weight: Tensor, bias: Tensor | None) -> int:
    """The axes of `x` if PyTorch refuses by itself what does not fit together with it, else 0.

    It computes with integers and with single items too. Of nothing, and of tensors without numbers, it takes
    much that does not fit.
    """
    axes = len(size := x.shape)
    fit = (
        axes == weight.ndim
        and 0 not in size
        and x.dtype.is_floating_point
        and not (x.is_meta or weight.is_meta or (bias is not None and bias.is_meta))
    )
    return axes if fit else 0


def called(function: Op, who: str, ranks: Sequence[int]) -> Op:
    """A function made for one of `ranks` by the name that messages have for it, a {} in it the number of axes."""
    name = who.format(*ranks) if len(ranks) == 1 else who.replace("{}d", "")
    function.__name__ = function.__qualname__ = name
    return function


def floating(x: Tensor, who: str, name: str = "the input", *, sparse: bool = False) -> None:
    """Raise ArgumentError unless `x` is a tensor of floating numbers, a dense one unless it may be `sparse`."""
    tensor(x, who, name, sparse=sparse)
    if not x.is_floating_point():
        raise ArgumentError(
            f"{who}: got {x.dtype}, expected a floating type; convert with .float()"
        )


def numeric(x: Tensor, who: str) -> None:
    """Raise ArgumentError unless `x` holds numbers that have an order: floating ones or integers."""
    tensor(x, who)
    if x.dtype is torch.bool or x.is_complex():
        raise ArgumentError(
            f"{who}: got {x.dtype}, expected floating numbers or integers; convert with .float()"
        )


def tensor(x: object, who: str, name: str = "the input", *, sparse: bool = False) -> None:
    """Raise ArgumentError unless `x` is a tensor, a dense one unless it may be `sparse`."""
    if not isinstance(x, Tensor):
        raise ArgumentError(
            f"{who}: {name} is of type {type(x).__name__}, expected a tensor; convert with torch.as_tensor"
        )
    if not sparse and x.layout is not torch.strided:
        raise ArgumentError(f"{who}: {name} is {x.layout}; convert with .to_dense()")


def weight(
    weight: Tensor, x: Tensor, who: str, name: str = "weight", *, sparse: bool = False
) -> None:
    """Raise ArgumentError unless a weight can be multiplied with `x`: floating, of its type, on its device."""
    floating(weight, who, f"the {name}", sparse=sparse)
    if weight.device == x.device and (weight.dtype is x.dtype or _is_cast(x)):
        return
    raise ArgumentError(
        f"{who}: got an input of {x.dtype} on {x.device} and a {name} of {weight.dtype} on "
        f"{weight.device}; convert one with .to()"
    )


def bias(bias: Tensor | None, size: Sequence[int], x: Tensor, who: str) -> None:
    """Raise ArgumentError unless there is no bias, or one of `size` that can be added to what `x` gives."""
    if bias is None:
        return
    tensor(bias, who, "the bias")
    if bias.shape != tuple(size):
        raise ShapeError(f"{who}: got a bias {list(bias.shape)}, expected {list(size)}")
    weight(bias, x, who, "bias")


def _is_cast(x: Tensor) -> bool:
    return x.device.type != "meta" and torch.is_autocast_enabled(x.device.type)


def numbers(who: str, **values: object) -> None:
    """Raise ArgumentError unless every setting, given by its name, is a number; a truth value is none."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Real) or isnan(value):
            raise ArgumentError(f"{who}: {name}={told(value)} is no number")
        if isinstance(value, int) and abs(value) > 2**53:
            raise ArgumentError(f"{who}: {name}={told(value)} is too large")


def flags(who: str, **values: object) -> None:
    """Raise ArgumentError unless every setting, given by its name, is True or False."""
    with named(who):
        check_truth(**values)


def integers(who: str, **values: int) -> None:
    """Raise ArgumentError unless every setting, given by its name, is an integer of at least 1."""
    with named(who):
        check_whole(**values)


def generator(generator: object, who: str) -> None:
    """Raise ArgumentError unless randomness can come from it, or from PyTorch's own where it is None."""
    if not isinstance(generator, torch.Generator | None):
        raise ArgumentError(
            f"{who}: generator={told(generator)}, expected a torch.Generator or None"
        )


def word(who: str, name: str, value: object, known: Iterable[str]) -> None:
    """Raise ArgumentError unless `value` is one of the words that a setting takes."""
    if not isinstance(value, str) or value not in known:
        raise ArgumentError(f"{who}: unknown {name} {told(value)}; {nearest(str(value), known)}")


def axis(x: Tensor, dim: int, who: str) -> None:
    """Raise ShapeError unless `x` has an axis `dim`, counted from either end."""
    if not is_whole(dim) or not -x.ndim <= dim < x.ndim:
        raise ShapeError(f"{who}: got dim={told(dim)} for {x.ndim} axes {list(x.shape)}")


def geometry(
    who: str,
    size: Sequence[int],
    kernel_size: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints = 1,
) -> Window:
    """`shapes.window`, its errors opened with the name of the operation."""
    with named(who):
        return window(
            size, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation
        )


def settings(
    who: str, rank: int, kernel_size: Ints, stride: Ints, padding: Padding, dilation: Ints = 1
) -> Window:
    """What a layer is told of its window, checked before there is an input: on one as long as can be."""
    return geometry(who, (LONGEST,) * rank, kernel_size, stride, padding, dilation)


class named:  # noqa: N801 - used as `with named(who)`; a class, for generators do not compile to one graph
    """A context in which errors open with the name of the operation."""

    def __init__(self, who: str) -> None:
        self.who = who

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise the same error with the name before its message."""
        if isinstance(error, ArgumentError):
            raise type(error)(f"{self.who}: {error}") from error
