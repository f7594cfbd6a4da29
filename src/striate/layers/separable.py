"""Separable convolutions as layers: depth after depth, or one axis after the other. Letters as in `ops.separable`."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.layers.conv import Conv2d, Conv3d, begin
from striate.ops.checks import check_input, check_integers, named, settings
from striate.ops.separable import depthwise_separable_conv
from striate.shapes import Ints, Padding, per_axis


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
        check_input(x, self.rank, type(self).__name__)
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
