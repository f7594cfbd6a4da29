"""Convolution layers: `striate.ops.conv` and its kin with their weights, checked when a layer is made.

Weights begin by He's rule and biases at zero; `reset(generator)` begins again. Letters as in `ops.conv`.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.ops import checks
from striate.ops.conv import conv_over
from striate.ops.init import he_
from striate.ops.padding import Fill, check_fill
from striate.ops.separable import depthwise_separable_conv
from striate.ops.transposed import conv_transpose_over, conv_transpose_to
from striate.shapes import LONGEST, Ints, Padding, in_group, per_axis, transposed_window


class _Layer(nn.Module):
    """Over `rank` axes; `operation` is the function that its messages name as the class."""

    rank: ClassVar[int]
    operation: ClassVar[Callable[..., Tensor]]
    weight: nn.Parameter
    bias: nn.Parameter | None
    stride: tuple[int, ...]
    padding: Padding

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Weights by He's rule, the bias at zero."""
        _begin(self.weight, self.bias, generator)

    def extra_repr(self) -> str:
        """Sizes, and what is not as usual."""
        return f"{tuple(self.weight.shape)}, stride={self.stride}, padding={self.padding!r}"


def _begin(weight: Tensor, bias: Tensor | None, generator: torch.Generator | None) -> None:
    he_(weight, generator=generator)
    if bias is not None:
        nn.init.zeros_(bias)


class _Conv(_Layer):
    """A convolution over `rank` axes; the settings are those of `striate.ops.conv.conv`.

    `in_channels` come in and `out_channels` go out, each with a number added where there is a `bias`.

    Raises:
        ArgumentError: a setting out of range.
    """

    turned: ClassVar[bool] = False

    def __init_subclass__(cls, *, rank: int | None = None) -> None:
        if rank:
            cls.rank, cls.operation = rank, conv_over(cls.__name__, rank, turned=cls.turned)

    def __init__(  # noqa: PLR0913 - every option of the operation
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        *,
        stride: Ints = 1,
        padding: Padding = 0,
        dilation: Ints = 1,
        groups: int = 1,
        fill: Fill = "zeros",
        bias: bool = True,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        w = checks.settings(who, self.rank, kernel_size, stride, padding, dilation)
        check_fill(fill, who)
        with checks.named(who):
            inside = in_group(in_channels, out_channels, groups)
        self.stride, self.dilation, self.groups = w.stride, w.dilation, groups
        self.padding, self.fill = padding, fill
        # In cells, where it does not depend on the size of the input: one number an axis if it can be.
        fixed = not isinstance(padding, str) or padding == "valid" or set(w.stride) == {1}
        even = tuple(before for before, _ in w.sides) if w.even_sided else w.sides
        self.cells: Padding = even if fixed else padding
        self.weight = nn.Parameter(torch.empty(out_channels, inside, *w.kernel))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset()

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n o *out"]:
        return type(self).operation(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.cells,
            dilation=self.dilation,
            groups=self.groups,
            fill=self.fill,
        )


class Conv1d(_Conv, rank=1):
    """Cross-correlation over one axis."""


class Conv2d(_Conv, rank=2):
    """Cross-correlation over two axes."""


class Conv3d(_Conv, rank=3):
    """Cross-correlation over three axes."""


class _TrueConv(_Conv):
    turned = True


class TrueConv1d(_TrueConv, rank=1):
    """Convolution, the kernel turned, over one axis."""


class TrueConv2d(_TrueConv, rank=2):
    """Convolution, the kernel turned, over two axes."""


class TrueConv3d(_TrueConv, rank=3):
    """Convolution, the kernel turned, over three axes."""


class _ConvTranspose(_Layer):
    """A transposed convolution over `rank` axes; the settings are those of `striate.ops.transposed.conv_transpose`.

    `in_channels` come in and `out_channels` go out, each with a number added where there is a `bias`.

    Raises:
        ArgumentError: a setting out of range.
    """

    def __init_subclass__(cls, *, rank: int | None = None) -> None:
        if rank:
            cls.rank, cls.operation = rank, conv_transpose_over(cls.__name__, rank)

    def __init__(  # noqa: PLR0913 - every option of the operation
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        *,
        stride: Ints = 1,
        padding: Padding = 0,
        output_padding: Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        with checks.named(type(self).__name__):
            t = transposed_window(
                (LONGEST,) * self.rank,
                kernel_size=kernel_size,
                stride=stride,
                padding=padding,
                output_padding=output_padding,
                dilation=dilation,
            )
            inside = in_group(out_channels, in_channels, groups)
        self.stride, self.dilation, self.output_padding = t.stride, t.dilation, t.extra
        self.padding, self.groups = padding, groups
        even = all(before == after for before, after in t.off)
        self.cells: Padding = tuple(before for before, _ in t.off) if even else padding
        self.weight = nn.Parameter(torch.empty(in_channels, inside, *t.kernel))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset()

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Weights by He's rule for what the transpose reads, the bias at zero."""
        _begin(self.weight.transpose(0, 1), self.bias, generator)

    def forward(
        self, x: Float[Tensor, "n c *space"], output_size: Ints | None = None
    ) -> Float[Tensor, "n o *out"]:
        """The transposed convolution, to a stated size if one is given."""
        if output_size is not None:
            return conv_transpose_to(
                x,
                self.weight,
                self.bias,
                output_size=output_size,
                stride=self.stride,
                padding=self.padding,
                groups=self.groups,
                dilation=self.dilation,
            )
        return type(self).operation(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.cells,
            output_padding=self.output_padding,
            groups=self.groups,
            dilation=self.dilation,
        )


class ConvTranspose1d(_ConvTranspose, rank=1):
    """Transposed convolution over one axis."""


class ConvTranspose2d(_ConvTranspose, rank=2):
    """Transposed convolution over two axes."""


class ConvTranspose3d(_ConvTranspose, rank=3):
    """Transposed convolution over three axes."""


class _DepthwiseSeparableConv(nn.Module):
    """A depthwise convolution over `rank` axes, then one of kernel 1 over all channels (arXiv 1704.04861).

    Every channel has `multiplier` kernels of its own; the other settings are those of `Conv2d`.

    Raises:
        ArgumentError: a setting out of range.
    """

    rank: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        *,
        multiplier: int = 1,
        stride: Ints = 1,
        padding: Padding = "same",
        dilation: Ints = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        w = checks.settings(who, self.rank, kernel_size, stride, padding, dilation)
        checks.integers(
            who, in_channels=in_channels, out_channels=out_channels, multiplier=multiplier
        )
        self.stride, self.dilation = w.stride, w.dilation
        self.padding: Padding = padding
        middle = in_channels * multiplier
        self.depthwise = nn.Parameter(torch.empty(middle, 1, *w.kernel))
        self.pointwise = nn.Parameter(torch.empty(out_channels, middle, *(1,) * self.rank))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset()

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Weights by He's rule, the bias at zero."""
        _begin(self.depthwise, None, generator)
        _begin(self.pointwise, self.bias, generator)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n o *out"]:
        checks.space(x, type(self).__name__, ranks=(self.rank,))
        return depthwise_separable_conv(
            x,
            self.depthwise,
            self.pointwise,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
        )


class DepthwiseSeparableConv1d(_DepthwiseSeparableConv):
    """Over one axis."""

    rank = 1


class DepthwiseSeparableConv2d(_DepthwiseSeparableConv):
    """Over two axes."""

    rank = 2


class DepthwiseSeparableConv3d(_DepthwiseSeparableConv):
    """Over three axes."""

    rank = 3


class _SpatiallySeparableConv(nn.Sequential):
    """Convolutions along one axis after the other, the first from all channels, a bias in the last."""

    layer: ClassVar[type[Conv2d] | type[Conv3d]]

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Ints, *, bias: bool = True
    ) -> None:
        rank = self.layer.rank
        with checks.named(type(self).__name__):
            kernel = per_axis(kernel_size, rank, "kernel_size")
        super().__init__()
        for axis, cells in enumerate(kernel):
            along = [cells if i == axis else 1 for i in range(rank)]
            last = axis == rank - 1
            self.append(
                self.layer(
                    out_channels if axis else in_channels,
                    out_channels,
                    along,
                    padding="same",
                    bias=bias and last,
                )
            )


class SpatiallySeparableConv2d(_SpatiallySeparableConv):
    """A convolution of k x 1, then one of 1 x k, between them as many channels as go out."""

    layer = Conv2d


class SpatiallySeparableConv3d(_SpatiallySeparableConv):
    """Convolutions along depth, height and width, one after the other, as many channels out of each."""

    layer = Conv3d
