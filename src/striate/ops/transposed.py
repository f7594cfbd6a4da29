"""Transposed convolution: the transpose of the matrix of a convolution, with any cropping.

x [N, C, *space], weight [C, O / groups, *kernel] (that of the convolution it transposes), bias [O].
Padding is what the convolution had, so it is cut off the full result, n -> (n - 1) s + spread cells.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ShapeError, told
from striate.ops.checks import check_input, check_integers, check_tensor, check_weight, named
from striate.ops.conv import check_bias, check_groups, check_rank
from striate.shapes import Ints, Padding, Sides, crops, in_size, per_axis, transposed_size

_TORCH: tuple[Callable[..., Tensor], ...] = (
    torch.conv_transpose1d,
    torch.conv_transpose2d,
    torch.conv_transpose3d,
)


def conv_transpose(
    x: Float[Tensor, "n c *space"],
    weight: Float[Tensor, "c o *kernel"],
    bias: Float[Tensor, " outs"] | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Float[Tensor, "n outs *out"]:
    """Transposed convolution over as many axes as the kernel has.

    It transposes a convolution padded with zeros, where padding only cuts off: nothing is filled, so
    there is no `fill`. The transpose of one padded otherwise is `conv_matrix(..., fill=...).t()`.

    Args:
        x: items, channels and space.
        weight: its outputs are those of one group.
        bias: one number an output channel.
        stride: cells of output from one cell of input to the next.
        padding: cells cut off the full result: an integer, one integer or pair (before, after) an
            axis, "valid" (none) or "same", "same_upper", "same_lower" (n s cells come out).
        output_padding: cells added at the end, less than the stride or the dilation.
        groups: as in the convolution that is transposed.
        dilation: as in the convolution that is transposed.

    Raises:
        ShapeError: sizes that do not fit together.
        ArgumentError: a setting out of range or unknown, or integers in a tensor.
    """
    who = _check(x, weight, bias, groups)
    rank = weight.ndim - 2
    with named(who):
        step, dilate = per_axis(stride, rank, "stride"), per_axis(dilation, rank, "dilation")
        extra = per_axis(output_padding, rank, "output_padding", least=0)
        off = crops(padding, kernel=weight.shape[2:], stride=step, dilation=dilate)
    _check_rest(x, weight, Moves(step, dilate, off, extra), f"{who}: padding={told(padding)}")
    plans = [_plan(*axis, who) for axis in zip(off, extra, step, dilate, strict=True)]
    y = _TORCH[rank - 1](
        x, weight, bias, step, [p[0] for p in plans], [p[1] for p in plans], groups, dilate
    )
    for axis, (_, _, first, last) in enumerate(plans, 2):
        if first or last:
            y = y.narrow(axis, first, y.shape[axis] - first - last)
    return y


class Moves(NamedTuple):
    """Stride, dilation, cropping and output padding, an entry an axis."""

    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    off: Sides
    extra: tuple[int, ...]


def _check_rest(x: Tensor, weight: Tensor, moves: Moves, which: str) -> None:
    for n, k, s, d, p, e in zip(x.shape[2:], weight.shape[2:], *moves, strict=True):
        size = transposed_size(n, kernel=k, stride=s, padding=p, dilation=d, output_padding=e)
        if size < 1:
            raise ShapeError(f"{which} leaves {size} of {n} cells; pad less")


def _plan(
    off: tuple[int, int], extra: int, stride: int, dilation: int, who: str
) -> tuple[int, int, int, int]:
    """Padding and output padding that PyTorch takes, and what is left to cut off at either end."""
    most = max(stride, dilation)
    if extra >= most:
        raise ShapeError(
            f"{who}: output_padding={extra} must be less than {most}, the larger of stride {stride} "
            f"and dilation {dilation}"
        )
    before, after = off[0], off[1] - extra
    if after >= before:
        return before, 0, 0, after - before
    if before - after < most:
        return before, before - after, 0, 0
    return max(0, after), max(0, -after), before - max(0, after), 0


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> str:
    """Whether the tensors fit together; the name of the operation."""
    check_tensor(weight, "conv_transpose", "the weight")
    rank = min(3, max(1, weight.ndim - 2))
    who = f"conv_transpose{rank}d"
    check_rank(weight, rank, who)
    check_input(x, rank, who)
    check_weight(weight, x, who)
    check_integers(who, groups=groups)
    outputs = weight.shape[1] * groups
    if x.shape[1] != weight.shape[0]:
        raise ShapeError(
            f"{who}: got {x.shape[1]} channels, the weight {list(weight.shape)} reads {weight.shape[0]}"
        )
    check_groups(x.shape[1], outputs, groups, who)
    check_bias(bias, outputs, who)
    return who


def conv_transpose_to(
    x: Float[Tensor, "n c *space"],
    weight: Float[Tensor, "c o *kernel"],
    bias: Float[Tensor, " outs"] | None = None,
    *,
    output_size: Ints,
    stride: Ints = 1,
    padding: Padding = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Float[Tensor, "n outs *out"]:
    """Transposed convolution to a stated size: a strided convolution has several inputs to go back to.

    Raises:
        ShapeError: the size is none of those that the convolution takes to that of `x`.
        ArgumentError: as `conv_transpose`.
    """
    who = _check(x, weight, bias, groups)
    rank = weight.ndim - 2
    with named(who):
        step, dilate = per_axis(stride, rank, "stride"), per_axis(dilation, rank, "dilation")
        target = per_axis(output_size, rank, "output_size")
        off = crops(padding, kernel=weight.shape[2:], stride=step, dilation=dilate)
    axes = zip(x.shape[2:], weight.shape[2:], step, off, dilate, strict=True)
    least = [in_size(n, kernel=k, stride=s, padding=p, dilation=d) for n, k, s, p, d in axes]
    for size, low, s in zip(target, least, step, strict=True):
        if not low <= size < low + s:
            raise ShapeError(
                f"{who}: output_size={told(output_size)}: {size} cells cannot come out, "
                f"expected {low} to {low + s - 1}"
            )
    extra = [size - low for size, low in zip(target, least, strict=True)]
    return conv_transpose(
        x,
        weight,
        bias,
        stride=step,
        padding=padding,
        output_padding=extra,
        groups=groups,
        dilation=dilate,
    )


def conv_transpose1d(
    x: Float[Tensor, "n c w"],
    weight: Float[Tensor, "c o k"],
    bias: Float[Tensor, " outs"] | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Float[Tensor, "n outs v"]:
    """`conv_transpose` over one axis; same arguments, same errors."""
    check_rank(weight, 1, "conv_transpose1d")
    return conv_transpose(
        x,
        weight,
        bias,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        groups=groups,
        dilation=dilation,
    )


def conv_transpose2d(
    x: Float[Tensor, "n c h w"],
    weight: Float[Tensor, "c o kh kw"],
    bias: Float[Tensor, " outs"] | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Float[Tensor, "n outs p q"]:
    """`conv_transpose` over two axes; same arguments, same errors."""
    check_rank(weight, 2, "conv_transpose2d")
    return conv_transpose(
        x,
        weight,
        bias,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        groups=groups,
        dilation=dilation,
    )


def conv_transpose3d(
    x: Float[Tensor, "n c d h w"],
    weight: Float[Tensor, "c o kd kh kw"],
    bias: Float[Tensor, " outs"] | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Float[Tensor, "n outs p q r"]:
    """`conv_transpose` over three axes; same arguments, same errors."""
    check_rank(weight, 3, "conv_transpose3d")
    return conv_transpose(
        x,
        weight,
        bias,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        groups=groups,
        dilation=dilation,
    )
