"""The checks that operations share at their door, so that mistakes read alike everywhere.

Tensors are [N, C, *space]: N items, C channels, one to three axes of space.
"""

from collections.abc import Iterable, Sequence
from math import isnan
from numbers import Real

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


def check_input(x: Tensor, rank: int, who: str, *, integers: bool = False) -> None:
    """Whether `x` has `rank` axes of space and a type that `who` computes with.

    Raises:
        ShapeError: another number of axes.
        ArgumentError: integers where only floating numbers are taken.
    """
    check_tensor(x, who)
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
    if integers:
        check_numeric(x, who)
    else:
        check_floating(x, who)


def check_space(x: Tensor, who: str, *, integers: bool = False) -> int:
    """The number of axes of space of `x`, one to three.

    Raises:
        ShapeError: another number of axes.
        ArgumentError: integers where only floating numbers are taken.
    """
    check_tensor(x, who)
    rank = min(3, max(1, x.ndim - 2))
    check_input(x, rank, who, integers=integers)
    return rank


def check_floating(x: Tensor, who: str, *, sparse: bool = False) -> None:
    """Whether `x` holds floating numbers.

    Raises:
        ArgumentError: it holds integers, or is no tensor, or a sparse one that may be none.
    """
    check_tensor(x, who, sparse=sparse)
    if not x.is_floating_point():
        raise ArgumentError(
            f"{who}: got {x.dtype}, expected a floating type; convert with .float()"
        )


def check_numeric(x: Tensor, who: str) -> None:
    """Whether `x` holds numbers that have an order: floating ones or integers.

    Raises:
        ArgumentError: it holds truth values or complex numbers, or is no tensor.
    """
    check_tensor(x, who)
    if x.dtype is torch.bool or x.is_complex():
        raise ArgumentError(
            f"{who}: got {x.dtype}, expected floating numbers or integers; convert with .float()"
        )


def check_tensor(x: object, who: str, name: str = "the input", *, sparse: bool = False) -> None:
    """Whether `x` is a tensor, and a dense one unless it may be `sparse`.

    Raises:
        ArgumentError: it is something else.
    """
    if not isinstance(x, Tensor):
        raise ArgumentError(
            f"{who}: {name} is of type {type(x).__name__}, expected a tensor; convert with torch.as_tensor"
        )
    if not sparse and x.layout is not torch.strided:
        raise ArgumentError(f"{who}: {name} is {x.layout}; convert with .to_dense()")


def check_weight(weight: Tensor, x: Tensor, who: str, *, sparse: bool = False) -> None:
    """Whether a weight can be multiplied with `x`: floating, of its type and on its device.

    Raises:
        ArgumentError: it can not.
    """
    check_tensor(weight, who, "the weight", sparse=sparse)
    check_floating(weight, who, sparse=sparse)
    if weight.dtype is x.dtype and weight.device == x.device:
        return
    if weight.device != x.device or not _is_cast(x):
        raise ArgumentError(
            f"{who}: got an input of {x.dtype} on {x.device} and a weight of {weight.dtype} on "
            f"{weight.device}; convert one with .to()"
        )


def _is_cast(x: Tensor) -> bool:
    """Whether PyTorch brings tensors to one type by itself."""
    return x.device.type != "meta" and torch.is_autocast_enabled(x.device.type)


def check_numbers(who: str, **values: object) -> None:
    """Whether every setting, given by its name, is a number; a truth value is none.

    Raises:
        ArgumentError: one is not.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Real) or isnan(value):
            raise ArgumentError(f"{who}: {name}={told(value)} is no number")
        if isinstance(value, int) and abs(value) > 2**53:
            raise ArgumentError(f"{who}: {name}={told(value)} is too large")


def check_flags(who: str, **values: object) -> None:
    """Whether every setting, given by its name, is True or False.

    Raises:
        ArgumentError: one is not.
    """
    with named(who):
        check_truth(**values)


def check_generator(generator: object, who: str) -> None:
    """Whether randomness can come from it, or from PyTorch's own where it is None.

    Raises:
        ArgumentError: it is something else.
    """
    if not isinstance(generator, torch.Generator | None):
        raise ArgumentError(
            f"{who}: generator={told(generator)}, expected a torch.Generator or None"
        )


def settings(
    who: str, rank: int, kernel_size: Ints, stride: Ints, padding: Padding, dilation: Ints = 1
) -> Window:
    """What a layer is told of its window, checked before there is an input: on one as long as can be."""
    return geometry(
        who,
        (LONGEST,) * rank,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )


def check_integers(who: str, **values: int) -> None:
    """Whether every setting, given by its name, is an integer of at least 1.

    Raises:
        ArgumentError: one is not.
    """
    with named(who):
        check_whole(**values)


def check_word(who: str, name: str, value: object, known: Iterable[str]) -> None:
    """Whether `value` is one of the words that a setting takes.

    Raises:
        ArgumentError: it is not.
    """
    if not isinstance(value, str) or value not in known:
        raise ArgumentError(f"{who}: unknown {name} {told(value)}; {nearest(str(value), known)}")


def check_axis(x: Tensor, dim: int, who: str) -> None:
    """Whether `x` has an axis `dim`, counted from either end.

    Raises:
        ShapeError: it has not.
    """
    if not is_whole(dim) or not -x.ndim <= dim < x.ndim:
        raise ShapeError(f"{who}: got dim={told(dim)} for {x.ndim} axes {list(x.shape)}")


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


def geometry(
    who: str,
    size: Sequence[int],
    *,
    kernel_size: Ints,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> Window:
    """`shapes.window`, its errors opened with the name of the operation."""
    with named(who):
        return window(
            size,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            ceil_mode=ceil_mode,
        )
