"""Convolution layers: `striate.ops.conv` and its kin with their weights. Letters as there.

Weights begin by He's rule and biases at zero; `reset(generator)` begins again.
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.ops.checks import check_input, named, settings
from striate.ops.conv import conv, true_conv
from striate.ops.init import he_
from striate.ops.padding import Fill, check_fill
from striate.ops.transposed import conv_transpose, conv_transpose_to
from striate.shapes import Ints, Padding, in_group, per_axis


class _Conv(nn.Module):
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
    turned: ClassVar[bool] = False

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
        self.padding: Padding = padding
        self.groups = groups
        self.fill: Fill = fill
        self.weight = nn.Parameter(torch.empty(out_channels, inside, *w.kernel))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset()

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Weights by He's rule, the bias at zero."""
        begin(self.weight, self.bias, generator)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n o *out"]:
        """The convolution."""
        check_input(x, self.rank, type(self).__name__)
        return (true_conv if self.turned else conv)(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            fill=self.fill,
        )

    def extra_repr(self) -> str:
        """Sizes, and what is not as usual."""
        return f"{tuple(self.weight.shape)}, stride={self.stride}, padding={self.padding!r}"


def begin(weight: Tensor, bias: Tensor | None, generator: torch.Generator | None = None) -> None:
    """Weights by He's rule, the bias at zero."""
    he_(weight, generator=generator)
    if bias is not None:
        nn.init.zeros_(bias)


class Conv1d(_Conv):
    """Cross-correlation over one axis."""

    rank = 1


class Conv2d(_Conv):
    """Cross-correlation over two axes."""

    rank = 2


class Conv3d(_Conv):
    """Cross-correlation over three axes."""

    rank = 3


class TrueConv1d(_Conv):
    """Convolution, the kernel turned, over one axis."""

    rank, turned = 1, True


class TrueConv2d(_Conv):
    """Convolution, the kernel turned, over two axes."""

    rank, turned = 2, True


class TrueConv3d(_Conv):
    """Convolution, the kernel turned, over three axes."""

    rank, turned = 3, True


class _ConvTranspose(nn.Module):
    """A transposed convolution over `rank` axes; see `striate.ops.transposed.conv_transpose`.

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
        w = settings(who, self.rank, kernel_size, stride, padding, dilation)
        with named(who):
            self.output_padding = per_axis(output_padding, self.rank, "output_padding", least=0)
            inside = in_group(out_channels, in_channels, groups)
        self.stride, self.dilation = w.stride, w.dilation
        self.padding: Padding = padding
        self.groups = groups
        self.weight = nn.Parameter(torch.empty(in_channels, inside, *w.kernel))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset()

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Weights by He's rule for what the transpose reads, the bias at zero."""
        begin(self.weight.transpose(0, 1), self.bias, generator)

    def forward(
        self, x: Float[Tensor, "n c *space"], output_size: Ints | None = None
    ) -> Float[Tensor, "n o *out"]:
        """The transposed convolution, to a stated size if one is given."""
        check_input(x, self.rank, type(self).__name__)
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
        return conv_transpose(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
            dilation=self.dilation,
        )

    def extra_repr(self) -> str:
        """Sizes, and what is not as usual."""
        return f"{tuple(self.weight.shape)}, stride={self.stride}, padding={self.padding!r}"


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution over one axis."""

    rank = 1


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution over two axes."""

    rank = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution over three axes."""

    rank = 3
