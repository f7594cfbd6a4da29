"""Padding of every kind on every axis, and the checks that all operations share at their door.

Tensors are [N, C, *space]: N items, C channels, one to three axes of space. Sides are pairs
(before, after) an axis.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Num
from torch import Tensor

from striate.errors import ArgumentError, ShapeError, nearest
from striate.shapes import Ints, Padding, Sides, Window, window

Fill: TypeAlias = Literal["zeros", "reflect", "replicate", "circular"] | float
FILLS = ("zeros", "reflect", "replicate", "circular")


def pad(
    x: Num[Tensor, "n c *space"],
    sides: Sequence[tuple[int, int]],
    *,
    fill: Fill = "zeros",
    who: str = "pad",
) -> Num[Tensor, "n c *padded"]:
    """`x` with cells added before and after each axis of space.

    Args:
        x: items, channels and space.
        sides: (before, after), one pair an axis of space.
        fill: "zeros", a number, "reflect" (the edge itself not repeated), "replicate" (the edge
            repeated) or "circular" (the other end).
        who: the operation that messages name.

    Raises:
        ArgumentError: an unknown fill.
        ShapeError: the input is too narrow to reflect or to wrap round.
    """
    flat = [cells for pair in reversed(sides) for cells in pair]
    if isinstance(fill, int | float):
        return F.pad(x, flat, value=fill) if any(flat) else x
    _check_fill(x.shape[2:], sides, fill, who)
    if not any(flat):
        return x
    if fill == "circular" and not (torch.compiler.is_compiling() or x.is_meta):
        y: Tensor = _Circular.apply(x, tuple(sides))
        return y
    return F.pad(x, flat) if fill == "zeros" else F.pad(x, flat, mode=fill)


def _check_fill(size: Sequence[int], sides: Iterable[tuple[int, int]], fill: str, who: str) -> None:
    if fill not in FILLS:
        raise ArgumentError(f"{who}: unknown fill {fill!r}; a number, or {nearest(fill, FILLS)}")
    spare = {"reflect": 1, "circular": 0}.get(fill)
    if spare is None:
        return
    for n, (before, after) in zip(size, sides, strict=True):
        if max(before, after) > n - spare:
            raise ShapeError(
                f"{who}: {fill} padding of {before} + {after} around {n} cells reaches past the "
                f'other end; pad at most {n - spare}, or fill with "replicate"'
            )


class _Circular(torch.autograd.Function):
    """Circular padding that touches every cell once; PyTorch's own slices its way back."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, sides: Sides) -> Tensor:
        """The middle, then the ends of one axis after the other, each out of what stands already."""
        out = x.new_empty(
            *x.shape[:2], *(n + b + a for n, (b, a) in zip(x.shape[2:], sides, strict=True))
        )
        filled = out
        for axis, (n, (before, _)) in enumerate(zip(x.shape[2:], sides, strict=True), 2):
            filled = filled.narrow(axis, before, n)
        filled.copy_(x)
        for axis, (before, after) in enumerate(sides, 2):
            n, filled = x.shape[axis], out
            for later in range(axis + 1, x.ndim):
                filled = filled.narrow(later, sides[later - 2][0], x.shape[later])
            filled.narrow(axis, 0, before).copy_(filled.narrow(axis, n, before))
            filled.narrow(axis, before + n, after).copy_(filled.narrow(axis, before, after))
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the sides alone."""
        del output
        ctx.sides = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """The adjoint."""
        back: Tensor = _Fold.apply(grads[0], ctx.sides)
        return back, None


class _Fold(torch.autograd.Function):
    """The adjoint of `_Circular`: the ends added to the cells that they copied."""

    generate_vmap_rule = True

    @staticmethod
    def forward(grad: Tensor, sides: Sides) -> Tensor:
        """The last axis is folded last, so that every end is folded along the others first."""
        return _folded(grad, sides)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the sides alone."""
        del output
        ctx.sides = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """The adjoint."""
        back: Tensor = _Circular.apply(grads[0], ctx.sides)
        return back, None


def _folded(grad: Tensor, sides: Sides) -> Tensor:
    """The middle of the last side's axis, with its two ends added."""
    if not sides:
        return grad.clone()
    axis = len(sides) + 1
    before, after = sides[-1]
    n = grad.shape[axis] - before - after
    middle = _folded(grad.narrow(axis, before, n), sides[:-1])
    if before:
        middle.narrow(axis, n - before, before).add_(
            _folded(grad.narrow(axis, 0, before), sides[:-1])
        )
    if after:
        middle.narrow(axis, 0, after).add_(
            _folded(grad.narrow(axis, before + n, after), sides[:-1])
        )
    return middle


def check_input(x: Tensor, rank: int, who: str, *, integers: bool = False) -> None:
    """Whether `x` has `rank` axes of space and a type that `who` computes with.

    Raises:
        ShapeError: another number of axes.
        ArgumentError: integers where only floating numbers are taken.
    """
    if x.ndim != rank + 2:
        hint = "; add the missing one with x[None]" if x.ndim == rank + 1 else ""
        raise ShapeError(
            f"{who}: got {x.ndim} axes {list(x.shape)}, expected {rank + 2}: "
            f"items, channels and {rank} of space{hint}"
        )
    if not integers:
        check_floating(x, who)


def check_space(x: Tensor, who: str, *, integers: bool = False) -> int:
    """The number of axes of space of `x`, one to three.

    Raises:
        ShapeError: another number of axes.
        ArgumentError: integers where only floating numbers are taken.
    """
    rank = min(3, max(1, x.ndim - 2))
    check_input(x, rank, who, integers=integers)
    return rank


def check_floating(x: Tensor, who: str) -> None:
    """Whether `x` holds floating numbers.

    Raises:
        ArgumentError: it holds integers.
    """
    if not x.is_floating_point():
        raise ArgumentError(
            f"{who}: got {x.dtype}, expected a floating type; convert with .float()"
        )


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


def crop(
    x: Num[Tensor, "n c h w"], *, top: int, left: int, size: tuple[int, int]
) -> Num[Tensor, "n c a b"]:
    """A window of `size` of every map, from row `top` and column `left` on.

    Padding by a negative width, because the gradient of a slice is laid out with channels outermost whatever the
    layout of the maps.
    """
    right, bottom = x.shape[3] - left - size[1], x.shape[2] - top - size[0]
    return F.pad(x, (-left, -right, -top, -bottom)) if any((top, left, right, bottom)) else x
