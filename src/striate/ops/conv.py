"""Convolution in one, two and three dimensions, with any padding; thin 1d, 2d, 3d over one of n.

x [N, C, *space], weight [O, C / groups, *kernel], bias [O], result [N, O, *out].
What deep learning calls convolution is cross-correlation; `true_conv` turns the kernel first.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ShapeError
from striate.ops.checks import check_input, check_tensor, check_weight, geometry, named
from striate.ops.padding import Fill, pad
from striate.shapes import Ints, Padding, Window, in_group

_TORCH: tuple[Callable[..., Tensor], ...] = (torch.conv1d, torch.conv2d, torch.conv3d)


def conv(
    x: Float[Tensor, "n c *space"],
    weight: Float[Tensor, "o i *kernel"],
    bias: Float[Tensor, " o"] | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    fill: Fill = "zeros",
) -> Float[Tensor, "n o *out"]:
    """Cross-correlation over as many axes as the kernel has.

    Args:
        x: items, channels and space.
        weight: its inputs are those of one group.
        bias: one number an output channel.
        stride: cells from one window to the next, for all axes or each.
        padding: an integer, one integer or pair (before, after) an axis, "valid", "same" (ceil(n / s)
            cells come out, the odd cell of padding after; also "same_upper") or "same_lower".
        dilation: cells from one kernel cell to the next.
        groups: 1 reads all channels; as many as channels is depthwise.
        fill: what the padding holds: "zeros", a number, "reflect", "replicate", "circular".

    Raises:
        ShapeError: sizes that do not fit together.
        ArgumentError: a setting out of range or unknown, or integers in a tensor.
    """
    moves = conv_window(x, weight, bias, Setting(stride, padding, dilation, groups))
    if isinstance(fill, str) and fill == "zeros" and moves.even_sided:
        sides = [before for before, _ in moves.sides]
    else:
        x, sides = pad(x, moves.sides, fill=fill, who=f"conv{weight.ndim - 2}d"), 0
    return _TORCH[weight.ndim - 3](x, weight, bias, moves.stride, sides, moves.dilation, groups)


class Setting(NamedTuple):
    """How the kernel moves, as the caller wrote it."""

    stride: Ints = 1
    padding: Padding = 0
    dilation: Ints = 1
    groups: int = 1


def conv_window(x: Tensor, weight: Tensor, bias: Tensor | None, setting: Setting) -> Window:
    """The geometry of a convolution, when tensors and setting fit together.

    Raises:
        ShapeError: sizes that do not fit together.
        ArgumentError: a setting out of range or unknown, or integers in a tensor.
    """
    check_tensor(weight, "conv", "the weight")
    rank = min(3, max(1, weight.ndim - 2))
    who = f"conv{rank}d"
    check_rank(weight, rank, who)
    check_input(x, rank, who)
    check_weight(weight, x, who)
    read = check_groups(x.shape[1], weight.shape[0], setting.groups, who)
    if weight.shape[1] != read:
        raise ShapeError(
            f"{who}: got {x.shape[1]} channels in {setting.groups} groups, the weight "
            f"{list(weight.shape)} reads {weight.shape[1]} a group; expected {read}"
        )
    check_bias(bias, weight.shape[0], who)
    return geometry(
        who,
        x.shape[2:],
        kernel_size=weight.shape[2:],
        stride=setting.stride,
        padding=setting.padding,
        dilation=setting.dilation,
    )


def check_groups(channels: int, outputs: int, groups: int, who: str) -> int:
    """Input channels that one output channel reads.

    Raises:
        ArgumentError: `groups` does not divide both numbers of channels.
    """
    with named(who):
        return in_group(channels, outputs, groups)


def check_rank(weight: Tensor, rank: int, who: str) -> None:
    """Whether the kernel has `rank` axes.

    Raises:
        ShapeError: it has more or fewer.
    """
    check_tensor(weight, who, "the weight")
    if weight.ndim != rank + 2:
        raise ShapeError(
            f"{who}: got a weight of {weight.ndim} axes {list(weight.shape)}, expected {rank + 2}: "
            f"outputs, inputs and {rank} of the kernel"
        )


def check_bias(bias: Tensor | None, outputs: int, who: str) -> None:
    """Whether a bias has one number an output channel.

    Raises:
        ShapeError: it has not.
    """
    if bias is None:
        return
    check_tensor(bias, who, "the bias")
    if bias.shape != (outputs,):
        raise ShapeError(f"{who}: got a bias {list(bias.shape)}, expected [{outputs}]")


def true_conv(
    x: Float[Tensor, "n c *space"],
    weight: Float[Tensor, "o i *kernel"],
    bias: Float[Tensor, " o"] | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    fill: Fill = "zeros",
) -> Float[Tensor, "n o *out"]:
    """Convolution as mathematics has it: the kernel turned by 180 degrees, then as `conv`."""
    check_tensor(weight, "true_conv", "the weight")
    turned = weight.flip(tuple(range(2, weight.ndim)))
    return conv(
        x,
        turned,
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        fill=fill,
    )


def conv1d(
    x: Float[Tensor, "n c w"],
    weight: Float[Tensor, "o i k"],
    bias: Float[Tensor, " o"] | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    fill: Fill = "zeros",
) -> Float[Tensor, "n o v"]:
    """`conv` over one axis; same arguments, same errors."""
    check_rank(weight, 1, "conv1d")
    return conv(
        x,
        weight,
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        fill=fill,
    )


def conv2d(
    x: Float[Tensor, "n c h w"],
    weight: Float[Tensor, "o i kh kw"],
    bias: Float[Tensor, " o"] | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    fill: Fill = "zeros",
) -> Float[Tensor, "n o p q"]:
    """`conv` over two axes; same arguments, same errors."""
    check_rank(weight, 2, "conv2d")
    return conv(
        x,
        weight,
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        fill=fill,
    )


def conv3d(
    x: Float[Tensor, "n c d h w"],
    weight: Float[Tensor, "o i kd kh kw"],
    bias: Float[Tensor, " o"] | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    fill: Fill = "zeros",
) -> Float[Tensor, "n o p q r"]:
    """`conv` over three axes; same arguments, same errors."""
    check_rank(weight, 3, "conv3d")
    return conv(
        x,
        weight,
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        fill=fill,
    )
