"""Padding of every kind on every axis, and cropping.

Tensors are [N, C, *space]: N items, C channels, one to three axes of space. Sides are pairs
(before, after) an axis.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Num
from torch import Tensor

from striate.errors import ArgumentError, ShapeError, nearest, told
from striate.ops import checks
from striate.ops.gradients import linear
from striate.shapes import Sides, check_whole, per_axis, spelled_sides

Fill: TypeAlias = Literal["zeros", "reflect", "replicate", "circular"] | int | float
FILLS = ("zeros", "reflect", "replicate", "circular")


def pad(
    x: Num[Tensor, "n c *space"],
    sides: Sequence[tuple[int, int]],
    *,
    fill: Fill = "zeros",
) -> Num[Tensor, "n c *padded"]:
    """`x` with cells added before and after each axis of space.

    Args:
        x: items, channels and space.
        sides: (before, after), one pair an axis of space.
        fill: "zeros", a number, "reflect" (the edge itself not repeated), "replicate" (the edge
            repeated) or "circular" (the other end).

    Raises:
        ArgumentError: an unknown fill.
        ShapeError: the input is too narrow to reflect or to wrap round.
    """
    checks.space(x, "pad", integers=True)
    with checks.named("pad"):
        pairs = spelled_sides(sides, x.shape[2:])
    return padded(x, pairs, fill, "pad")


def padded(x: Tensor, sides: Sides, fill: Fill = "zeros", who: str = "pad") -> Tensor:
    """`pad` of maps and by sides that are checked already; messages open with `who`."""
    check_fill(fill, who)
    flat = [cells for pair in reversed(sides) for cells in pair]
    if isinstance(fill, int | float):
        return F.pad(x, flat, value=fill) if any(flat) else x
    _check_reach(x.shape[2:], sides, fill, who)
    if not any(flat):
        return x
    if fill == "circular" and not (torch.compiler.is_compiling() or x.is_meta):
        # Touches every cell once, there and back; PyTorch's own slices its way back.
        return linear(_wrapped, _folded, x, sides)
    return F.pad(x, flat) if fill == "zeros" else F.pad(x, flat, mode=fill)


def check_fill(fill: object, who: str) -> None:
    """Raise ArgumentError unless `fill` is a number or one of the words."""
    number = isinstance(fill, int | float) and not isinstance(fill, bool)
    if not number and not (isinstance(fill, str) and fill in FILLS):
        raise ArgumentError(
            f"{who}: unknown fill {told(fill)}; a number, or {nearest(str(fill), FILLS)}"
        )


def _check_reach(size: Sequence[int], sides: Sides, fill: str, who: str) -> None:
    spare = {"reflect": 1, "circular": 0}.get(fill)
    if spare is None:
        return
    for n, (before, after) in zip(size, sides, strict=True):
        if max(before, after) > n - spare:
            raise ShapeError(
                f"{who}: {fill} padding of {before} + {after} around {n} cells reaches past the "
                f'other end; pad at most {n - spare}, or fill with "replicate"'
            )


def _wrapped(x: Tensor, sides: Sides) -> Tensor:
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


def _folded(grad: Tensor, sides: Sides) -> Tensor:
    """The adjoint of `_wrapped`: the middle, with the ends added to the cells that they copied.

    The last axis is folded last, so that every end is folded along the others first.
    """
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


def crop(
    x: Num[Tensor, "n c h w"], *, top: int, left: int, size: tuple[int, int]
) -> Num[Tensor, "n c a b"]:
    """A window of `size` of every map, from row `top` and column `left` on.

    Padding by a negative width, because the gradient of a slice is laid out with channels outermost whatever the
    layout of the maps.

    Raises:
        ShapeError: not four axes, or a window that reaches past the maps.
        ArgumentError: a place or size that is no integer in range, or truth values in the tensor.
    """
    checks.space(x, "crop", ranks=(2,), integers=True)
    with checks.named("crop"):
        check_whole(least=0, top=top, left=left)
        rows, columns = per_axis(size, 2, "size")
    if top + rows > x.shape[2] or left + columns > x.shape[3]:
        raise ShapeError(
            f"crop: {rows}x{columns} cells from row {top} and column {left} on reach past maps of "
            f"{x.shape[2]}x{x.shape[3]}; take less of them or begin earlier"
        )
    right, bottom = x.shape[3] - left - columns, x.shape[2] - top - rows
    return F.pad(x, (-left, -right, -top, -bottom)) if any((top, left, right, bottom)) else x
