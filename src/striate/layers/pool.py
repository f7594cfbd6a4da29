"""Pooling and unpooling as layers; the settings are those of `striate.ops.pool`, `pool_beyond`, `unpool`."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from striate.ops import pool
from striate.ops.checks import check_input, settings
from striate.ops.pool.halving import halving_max, pays
from striate.shapes import Ints, Padding


class _Pool(nn.Module):
    """What all windows share: size, stride, padding, dilation, ceil mode."""

    def __init__(
        self,
        kernel_size: Ints,
        *,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        given = [v for v in (kernel_size, stride, padding, dilation) if isinstance(v, list | tuple)]
        rank: int = getattr(self, "rank", len(given[0]) if given else 1)
        step = kernel_size if stride is None else stride
        settings(type(self).__name__, rank, kernel_size, step, padding, dilation)
        self.kernel_size: Ints = kernel_size
        self.stride: Ints = step
        self.padding: Padding = padding
        self.dilation: Ints = dilation
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        """The window."""
        return f"{self.kernel_size}, stride={self.stride}, padding={self.padding!r}"


class _MaxPool(_Pool):
    """The largest value of every window."""

    rank: ClassVar[int]

    def forward(self, x: Num[Tensor, "n c *space"]) -> Num[Tensor, "n c *out"]:
        """The maxima."""
        check_input(x, self.rank, type(self).__name__, integers=True)
        return pool.max_pool(
            x,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
        )


class MaxPool1d(_MaxPool):
    """Over one axis."""

    rank = 1


class MaxPool2d(_MaxPool):
    """Over two axes."""

    rank = 2


class MaxPool3d(_MaxPool):
    """Over three axes."""

    rank = 3


class HalvingMaxPool2d(nn.MaxPool2d):
    """PyTorch's own over 2x2 cells, by a shorter way where few channels learn on a CPU."""

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C, H / 2, W / 2]."""
        return halving_max(input) if pays(input) else super().forward(input)


class MaxPoolWithIndices(_Pool):
    """The largest values and their places, for `MaxUnpool`."""

    def forward(
        self, x: Num[Tensor, "n c *space"]
    ) -> tuple[Num[Tensor, "n c *out"], Int[Tensor, "n c *out"]]:
        """Maxima and places."""
        return pool.max_pool_with_indices(
            x,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
        )


class _AvgPool(_Pool):
    """The mean of every window; `count_include_pad` divides by padded cells too."""

    rank: ClassVar[int]

    def __init__(
        self,
        kernel_size: Ints,
        *,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(
            kernel_size, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode
        )
        self.count_include_pad = count_include_pad

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *out"]:
        """The means."""
        check_input(x, self.rank, type(self).__name__)
        return pool.avg_pool(
            x,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )


class AvgPool1d(_AvgPool):
    """Over one axis."""

    rank = 1


class AvgPool2d(_AvgPool):
    """Over two axes."""

    rank = 2


class AvgPool3d(_AvgPool):
    """Over three axes."""

    rank = 3


class LpPool(_Pool):
    """The p-norm of every window, p = `norm_type` at least 1."""

    def __init__(
        self,
        kernel_size: Ints,
        *,
        norm_type: float = 2.0,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(
            kernel_size, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode
        )
        self.norm_type = norm_type

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *out"]:
        """The norms."""
        return pool.lp_pool(
            x,
            norm_type=self.norm_type,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
        )


class WeightedAvgPool(_Pool):
    """The mean of every window weighted by a Gaussian of width `sigma` about its centre."""

    def __init__(
        self,
        kernel_size: Ints,
        *,
        sigma: float,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(
            kernel_size, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode
        )
        self.sigma = sigma

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *out"]:
        """The weighted means."""
        return pool.weighted_avg_pool(
            x,
            sigma=self.sigma,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
        )


class StochasticPool(_Pool):
    """One value of every window drawn in training, the expectation in evaluation."""

    def __init__(
        self,
        kernel_size: Ints,
        *,
        stride: Ints | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode)
        self.generator = generator

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *out"]:
        """The drawn values, or the expected ones."""
        return pool.stochastic_pool(
            x,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            training=self.training,
            generator=self.generator,
        )
