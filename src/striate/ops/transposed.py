"""Transposed convolution: the transpose of the matrix of a convolution, with any cropping.

x [N, C, *space], weight [C, O / groups, *kernel] (that of the convolution it transposes), bias [O].
Padding is what the convolution had, so it is cut off the full result, n -> (n - 1) s + spread cells.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ShapeError, out_of_memory
from striate.ops import checks
from striate.ops.conv import Setting, check_rank
from striate.shapes import Ints, Padding, in_group, per_axis, transposed_window

# By the number of axes of the input.
KERNELS: dict[int, Callable[..., Tensor]] = {
    3: torch.conv_transpose1d,
    4: torch.conv_transpose2d,
    5: torch.conv_transpose3d,
}


def conv_transpose_over(who: str, *ranks: int):  # noqa: ANN201 - the type of `conv_transpose` below
    """The operation over one of `ranks` axes that messages name `who`, a {} in it the number of axes."""
    kernels = {rank + 2: KERNELS[rank + 2] for rank in ranks}

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
        try:
            # What PyTorch would compute something else of is left to the checks, like what it does not know.
            if (
                (axes := checks.straight(x, weight, bias))
                and type(groups) is int
                and (isinstance(stride, int) or [*map(type, stride)] == checks.INTS[axes])
                and (isinstance(padding, int) or [*map(type, padding)] == checks.INTS[axes])
                and (
                    isinstance(output_padding, int)
                    or [*map(type, output_padding)] == checks.INTS[axes]
                )
                and (isinstance(dilation, int) or [*map(type, dilation)] == checks.INTS[axes])
            ):
                y = kernels[axes](
                    x, weight, bias, stride, padding, output_padding, groups, dilation
                )
                if 0 not in y.shape:
                    return y
        except checks.FAILURES as error:
            if out_of_memory(error):
                raise
        setting = Setting(stride, padding, dilation, groups)
        return _transposed(x, weight, bias, setting, (who, ranks), output_padding)

    return checks.called(conv_transpose, who, ranks)


conv_transpose = conv_transpose_over("conv_transpose{}d", 1, 2, 3)
conv_transpose1d, conv_transpose2d, conv_transpose3d = (
    conv_transpose_over("conv_transpose{}d", rank) for rank in (1, 2, 3)
)


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
    with checks.named("conv_transpose_to"):
        per_axis(output_size, None, "output_size")
    setting = Setting(stride, padding, dilation, groups)
    which = ("conv_transpose{}d", (1, 2, 3))
    return _transposed(x, weight, bias, setting, which, output_size=output_size)


def _transposed(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    setting: Setting,
    which: tuple[str, Sequence[int]],
    output_padding: Ints = 0,
    output_size: Ints | None = None,
) -> Tensor:
    """The operation with every argument checked, and cropped as no kernel of PyTorch does."""
    who = which[0].format(checks.nearest_rank(weight, which[1]))
    rank = check_rank(weight, who, which[1])
    checks.space(x, who, ranks=(rank,))
    checks.weight(weight, x, who)
    groups = setting.groups
    checks.integers(who, groups=groups)
    outputs = weight.shape[1] * groups
    if x.shape[1] != weight.shape[0]:
        raise ShapeError(
            f"{who}: got {x.shape[1]} channels, the weight {list(weight.shape)} reads {weight.shape[0]}"
        )
    with checks.named(who):
        in_group(x.shape[1], outputs, groups)
    checks.bias(bias, (outputs,), x, who)
    with checks.named(who):
        t = transposed_window(
            x.shape[2:],
            kernel_size=weight.shape[2:],
            stride=setting.stride,
            padding=setting.padding,
            output_padding=output_padding,
            output_size=output_size,
            dilation=setting.dilation,
        )
    plans = [_plan(*axis) for axis in zip(t.off, t.extra, t.stride, t.dilation, strict=True)]
    crop, extra = [plan[0] for plan in plans], [plan[1] for plan in plans]
    y = KERNELS[x.ndim](x, weight, bias, t.stride, crop, extra, groups, t.dilation)
    for axis, (_, _, first, last) in enumerate(plans, 2):
        if first or last:
            y = y.narrow(axis, first, y.shape[axis] - first - last)
    return y


def _plan(
    off: tuple[int, int], extra: int, stride: int, dilation: int
) -> tuple[int, int, int, int]:
    """Padding and output padding that PyTorch takes, and what is left to cut off at either end."""
    before, after = off[0], off[1] - extra
    if after >= before:
        return before, 0, 0, after - before
    if before - after < max(stride, dilation):
        return before, before - after, 0, 0
    return max(0, after), max(0, -after), before - max(0, after), 0
