"""Convolution in one, two and three dimensions, with any padding: one function, made for each number of axes.

x [N, C, *space], weight [O, C / groups, *kernel], bias [O], result [N, O, *out].
What deep learning calls convolution is cross-correlation; `true_conv` turns the kernel first.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ShapeError, out_of_memory
from striate.ops import checks
from striate.ops.padding import Fill, padded
from striate.shapes import Ints, Padding, Window, in_group

# By the number of axes of the input.
KERNELS: dict[int, Callable[..., Tensor]] = {3: torch.conv1d, 4: torch.conv2d, 5: torch.conv3d}


class Setting(NamedTuple):
    """How the kernel moves, as the caller wrote it."""

    stride: Ints = 1
    padding: Padding = 0
    dilation: Ints = 1
    groups: int = 1


def conv_over(who: str, *ranks: int, turned: bool = False):  # noqa: ANN201 - the type of `conv` below
    """The convolution over one of `ranks` axes that messages name `who`, a {} in it the number of axes."""
    kernels = {rank + 2: KERNELS[rank + 2] for rank in ranks}

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
        """Cross-correlation over as many axes as the kernel has; `true_conv` turns the kernel by 180 degrees.

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
        if turned:
            checks.tensor(weight, who, "the weight")
            weight = weight.flip(tuple(range(2, weight.ndim)))
        try:
            # What PyTorch would compute something else of is left to the checks, like what it does not know.
            if (
                (axes := checks.straight(x, weight, bias))
                and fill == "zeros"
                and type(groups) is int
                and (isinstance(stride, int) or [*map(type, stride)] == checks.INTS[axes])
                and (isinstance(padding, int) or [*map(type, padding)] == checks.INTS[axes])
                and (isinstance(dilation, int) or [*map(type, dilation)] == checks.INTS[axes])
            ):
                return kernels[axes](x, weight, bias, stride, padding, dilation, groups)
        except checks.FAILURES as error:
            if out_of_memory(error):
                raise
        name = who.format(checks.nearest_rank(weight, ranks))
        moves = conv_window(
            x, weight, bias, Setting(stride, padding, dilation, groups), name, ranks
        )
        if isinstance(fill, str) and fill == "zeros" and moves.even_sided:
            sides = [before for before, _ in moves.sides]
        else:
            x, sides = padded(x, moves.sides, fill, name), 0
        return kernels[x.ndim](x, weight, bias, moves.stride, sides, moves.dilation, groups)

    return checks.called(conv, who, ranks)


conv = conv_over("conv{}d", 1, 2, 3)
conv1d, conv2d, conv3d = (conv_over("conv{}d", rank) for rank in (1, 2, 3))
true_conv = conv_over("true_conv", 1, 2, 3, turned=True)


def conv_window(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    setting: Setting,
    who: str,
    ranks: Sequence[int] = (1, 2, 3),
) -> Window:
    """The geometry of a convolution, when tensors and setting fit together.

    Raises:
        ShapeError: sizes that do not fit together.
        ArgumentError: a setting out of range or unknown, or integers in a tensor.
    """
    rank = check_rank(weight, who, ranks)
    checks.space(x, who, ranks=(rank,))
    checks.weight(weight, x, who)
    with checks.named(who):
        read = in_group(x.shape[1], weight.shape[0], setting.groups)
    if weight.shape[1] != read:
        raise ShapeError(
            f"{who}: got {x.shape[1]} channels in {setting.groups} groups, the weight "
            f"{list(weight.shape)} reads {weight.shape[1]} a group; expected {read}"
        )
    checks.bias(bias, weight.shape[:1], x, who)
    stride, padding, dilation, _ = setting
    return checks.geometry(who, x.shape[2:], weight.shape[2:], stride, padding, dilation)


def check_rank(weight: Tensor, who: str, ranks: Sequence[int]) -> int:
    """The number of axes of a kernel, one of `ranks`.

    Raises:
        ShapeError: it has more or fewer.
    """
    checks.tensor(weight, who, "the weight")
    rank = checks.nearest_rank(weight, ranks)
    if weight.ndim != rank + 2:
        raise ShapeError(
            f"{who}: got a weight of {weight.ndim} axes {list(weight.shape)}, expected {rank + 2}: "
            f"outputs, inputs and {rank} of the kernel"
        )
    return rank
