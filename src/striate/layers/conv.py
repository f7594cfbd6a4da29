"""Convolution layers: `striate.ops.conv` and its kin with their weights, checked when a layer is made.

Weights begin by He's rule and biases at zero; `reset(generator)` begins again. Letters as in `ops.conv`.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.ops.checks import check_integers, check_space, named, settings
from striate.ops.conv import conv_over
from striate.ops.init import he_
from striate.ops.padding import Fill, check_fill
from striate.ops.separable import depthwise_separable_conv
from striate.ops.transposed import conv_transpose_over, conv_transpose_to
from striate.shapes import LONGEST, Ints, Padding, Window, in_group, per_axis, transposed_window


class _Weighted(nn.Module):
    weight: nn.Parameter
    bias: nn.Parameter | None
    stride: tuple[int, ...]
    padding: Padding

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Weights by He's rule, the bias at zero."""
        begin(self.weight, self.bias, generator)

    def extra_repr(self) -> str:
        """Sizes, and what is not as usual."""
        return f"{tuple(self.weight.shape)}, stride={self.stride}, padding={self.padding!r}"


def begin(weight: Tensor, bias: Tensor | None, generator: torch.Generator | None = None) -> None:
    """Weights by He's rule, the bias at zero."""
    he_(weight, generator=generator)
    if bias is not None:
        nn.init.zeros_(bias)


class _Conv(_Weighted):
    """A convolution over `rank` axes; see `striate.ops.conv.conv` for the settings.

    Args:
        in_channels: channels that come in.
        out_channels: channels that go out.
        kernel_size: cells of the kernel, for all axes or each.
        stride: as in `conv`.
        padding: as in `conv`.
        dilation: as in `conv`.
        groups: as in `conv`.
        fill: as in `conv`.
        bias: whether every output channel has a number added.

    Raises:
        ArgumentError: a setting out of range.
    """

    rank: ClassVar[int]
    operation: ClassVar[Callable[..., Tensor]]

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
        w = settings(who, self.rank, kernel_size, stride, padding, dilation)
        check_fill(fill, who)
        with named(who):
            inside = in_group(in_channels, out_channels, groups)
        self.stride, self.dilation = w.stride, w.dilation
        self.padding = padding
        self.cells = _cells(padding, w)
        self.groups = groups
        self.fill: Fill = fill
        self.weight = nn.Parameter(torch.empty(out_channels, inside, *w.kernel))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset()

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n o *out"]:
        """The convolution."""
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


def _cells(padding: Padding, w: Window) -> Padding:
    """The padding in cells, where it does not depend on the size of the input; one number an axis if it can be."""
    if isinstance(padding, str) and padding != "valid" and set(w.stride) != {1}:
        return padding
    return tuple(before for before, _ in w.sides) if w.even_sided else w.sides


class Conv1d(_Conv):
    """Cross-correlation over one axis."""

    rank, operation = 1, conv_over("Conv1d", 1)


class Conv2d(_Conv):
    """Cross-correlation over two axes."""

    rank, operation = 2, conv_over("Conv2d", 2)


class Conv3d(_Conv):
    """Cross-correlation over three axes."""

    rank, operation = 3, conv_over("Conv3d", 3)


class TrueConv1d(_Conv):
    """Convolution, the kernel turned, over one axis."""

    rank, operation = 1, conv_over("TrueConv1d", 1, turned=True)


class TrueConv2d(_Conv):
    """Convolution, the kernel turned, over two axes."""

    rank, operation = 2, conv_over("TrueConv2d", 2, turned=True)


class TrueConv3d(_Conv):
    """Convolution, the kernel turned, over three axes."""

    rank, operation = 3, conv_over("TrueConv3d", 3, turned=True)


class _ConvTranspose(_Weighted):
    """A transposed convolution over `rank` axes; see `striate.ops.transposed.conv_transpose` for the settings.

    Args:
        in_channels: channels that come in.
        out_channels: channels that go out.
        kernel_size: cells of the kernel, for all axes or each.
        stride: as in `conv_transpose`.
        padding: as in `conv_transpose`.
        output_padding: as in `conv_transpose`.
        dilation: as in `conv_transpose`.
        groups: as in `conv_transpose`.
        bias: whether every output channel has a number added.

    Raises:
        ArgumentError: a setting out of range.
    """

    rank: ClassVar[int]
    operation: ClassVar[Callable[..., Tensor]]

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
        who = type(self).__name__
        with named(who):
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
        self.padding = padding
        even = all(before == after for before, after in t.off)
        self.cells: Padding = tuple(before for before, _ in t.off) if even else padding
        self.groups = groups
        self.weight = nn.Parameter(torch.empty(in_channels, inside, *t.kernel))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset()

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Weights by He's rule for what the transpose reads, the bias at zero."""
        begin(self.weight.transpose(0, 1), self.bias, generator)

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


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution over one axis."""

    rank, operation = 1, conv_transpose_over("ConvTranspose1d", 1)


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution over two axes."""

    rank, operation = 2, conv_transpose_over("ConvTranspose2d", 2)


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution over three axes."""

    rank, operation = 3, conv_transpose_over("ConvTranspose3d", 3)


class _DepthwiseSeparableConv(nn.Module):
    """A depthwise convolution over `rank` axes, then one of kernel 1 over all channels (arXiv 1704.04861).

    Args:
        in_channels: channels that come in.
        out_channels: channels that go out.
        kernel_size: cells of the depthwise kernel.
        multiplier: depthwise kernels a channel.
        stride: as in `conv`.
        padding: as in `conv`.
        dilation: as in `conv`.
        bias: whether every output channel has a number added.

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
        w = settings(who, self.rank, kernel_size, stride, padding, dilation)
        check_integers(
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
        begin(self.depthwise, None, generator)
        begin(self.pointwise, self.bias, generator)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n o *out"]:
        """Both convolutions."""
        check_space(x, type(self).__name__, ranks=(self.rank,))
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


class SpatiallySeparableConv2d(nn.Sequential):
    """A convolution of k x 1, then one of 1 x k, between them as many channels as go out."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Ints, *, bias: bool = True
    ) -> None:
        with named(type(self).__name__):
            high, wide = per_axis(kernel_size, 2, "kernel_size")
        super().__init__(
            Conv2d(in_channels, out_channels, (high, 1), padding="same", bias=False),
            Conv2d(out_channels, out_channels, (1, wide), padding="same", bias=bias),
        )


class SpatiallySeparableConv3d(nn.Sequential):
    """Convolutions along depth, height and width, one after the other, as many channels out of each."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Ints, *, bias: bool = True
    ) -> None:
        with named(type(self).__name__):
            deep, high, wide = per_axis(kernel_size, 3, "kernel_size")
        super().__init__(
            Conv3d(in_channels, out_channels, (deep, 1, 1), padding="same", bias=False),
            Conv3d(out_channels, out_channels, (1, high, 1), padding="same", bias=False),
            Conv3d(out_channels, out_channels, (1, 1, wide), padding="same", bias=bias),
        )
