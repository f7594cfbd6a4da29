"""Pooling layers, their windows checked when a layer is made; the settings are those of `striate.ops.pool`."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal, cast

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from striate.ops import checks, pool
from striate.ops.pool.adaptive import check_grid, check_pyramid
from striate.ops.pool.average import avg_pool_over
from striate.ops.pool.halving import halving_max, pays
from striate.ops.pool.lp import check_norm
from striate.ops.pool.maximum import max_pool_over
from striate.shapes import LONGEST, Ints, Padding, pool_window


@dataclass(eq=False, repr=False)
class _Pool(nn.Module):
    """What all windows share: size, stride (the size if not given), padding, dilation, ceil mode."""

    kernel_size: Ints
    _: KW_ONLY
    stride: Ints | None = None
    padding: Padding = 0
    dilation: Ints = 1
    ceil_mode: bool = False

    rank: ClassVar[int] = 0  # as many axes as the settings say, or any

    def __post_init__(self) -> None:
        super().__init__()
        given = [v for v in self._window().values() if isinstance(v, list | tuple)]
        rank = self.rank or (len(cast("tuple[object]", given[0])) if given else 1)
        with checks.named(type(self).__name__):
            pool_window((LONGEST,) * rank, **self._window())
        if self.stride is None:
            self.stride = self.kernel_size

    def _window(self) -> dict[str, Any]:
        return {
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "ceil_mode": self.ceil_mode,
        }

    def extra_repr(self) -> str:
        """The window."""
        return f"{self.kernel_size}, stride={self.stride}, padding={self.padding!r}"


class _MaxPool(_Pool):
    operation: ClassVar[Callable[..., Tensor]]

    def forward(self, x: Num[Tensor, "n c *space"]) -> Num[Tensor, "n c *out"]:
        return type(self).operation(
            x,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
        )


class MaxPool1d(_MaxPool):
    """Over one axis."""

    rank, operation = 1, max_pool_over("MaxPool1d", 1)


class MaxPool2d(_MaxPool):
    """Over two axes."""

    rank, operation = 2, max_pool_over("MaxPool2d", 2)


class MaxPool3d(_MaxPool):
    """Over three axes."""

    rank, operation = 3, max_pool_over("MaxPool3d", 3)


class HalvingMaxPool2d(nn.MaxPool2d):
    """PyTorch's own over 2x2 cells, by a shorter way where few channels learn on a CPU."""

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, input: Tensor) -> Tensor:
        return halving_max(input) if pays(input) else cast("Tensor", super().forward(input))


class MaxPoolWithIndices(_Pool):
    """The largest values and their places, for `MaxUnpool`."""

    def forward(
        self, x: Num[Tensor, "n c *space"]
    ) -> tuple[Num[Tensor, "n c *out"], Int[Tensor, "n c *out"]]:
        return pool.max_pool_with_indices(x, **self._window())


@dataclass(eq=False, repr=False, kw_only=True)
class _AvgPool(_Pool):
    """The mean of every window; `count_include_pad` divides by padded cells too."""

    count_include_pad: bool = True

    operation: ClassVar[Callable[..., Tensor]]

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.flags(type(self).__name__, count_include_pad=self.count_include_pad)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *out"]:
        return type(self).operation(
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

    rank, operation = 1, avg_pool_over("AvgPool1d", 1)


class AvgPool2d(_AvgPool):
    """Over two axes."""

    rank, operation = 2, avg_pool_over("AvgPool2d", 2)


class AvgPool3d(_AvgPool):
    """Over three axes."""

    rank, operation = 3, avg_pool_over("AvgPool3d", 3)


@dataclass(eq=False, repr=False, kw_only=True)
class LpPool(_Pool):
    """The p-norm of every window, p = `norm_type` at least 1."""

    norm_type: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_norm(self.norm_type, type(self).__name__)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *out"]:
        return pool.lp_pool(x, norm_type=self.norm_type, **self._window())


@dataclass(eq=False, repr=False, kw_only=True)
class WeightedAvgPool(_Pool):
    """The mean of every window weighted by a Gaussian of width `sigma` about its centre."""

    sigma: float

    def __post_init__(self) -> None:
        super().__post_init__()
        with checks.named(type(self).__name__):
            pool.gaussian_weights(1, self.sigma)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *out"]:
        return pool.weighted_avg_pool(x, sigma=self.sigma, **self._window())


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
        checks.generator(generator, type(self).__name__)
        self.generator = generator

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *out"]:
        return pool.stochastic_pool(
            x,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            training=self.training,
            generator=self.generator,
        )


class KMaxPool(nn.Module):
    """The k largest values along an axis, in their original order."""

    def __init__(self, k: int, *, dim: int = -1) -> None:
        super().__init__()
        checks.integers("KMaxPool", k=k)
        self.k, self.dim = k, dim

    def forward(self, x: Num[Tensor, "*axes"]) -> Num[Tensor, "*out"]:
        return pool.kmax_pool(x, k=self.k, dim=self.dim)


class PyramidPool(nn.Module):
    """Every map pooled to fixed grids, whatever its size, in one row an item."""

    def __init__(
        self, levels: tuple[Ints, ...] = (4, 2, 1), *, kind: Literal["max", "average"] = "max"
    ) -> None:
        super().__init__()
        check_pyramid("PyramidPool", levels, kind)
        self.levels = levels
        self.kind: Literal["max", "average"] = kind

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n bins"]:
        return pool.pyramid_pool(x, levels=self.levels, kind=self.kind)


class _Adaptive(nn.Module):
    """To a fixed grid of `output_size` windows, whatever the input; an axis with None stays as it is."""

    def __init__(self, output_size: Ints | Sequence[int | None]) -> None:
        super().__init__()
        with checks.named(type(self).__name__):
            check_grid(output_size)
        self.output_size = output_size


class AdaptiveMaxPool(_Adaptive):
    """The maximum over a fixed grid of windows, whatever the input; an axis with None stays as it is."""

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *grid"]:
        return pool.adaptive_max_pool(x, output_size=self.output_size)


class AdaptiveAvgPool(_Adaptive):
    """The mean over a fixed grid of windows, whatever the input; an axis with None stays as it is."""

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *grid"]:
        return pool.adaptive_avg_pool(x, output_size=self.output_size)


class GlobalMaxPool(nn.Module):
    """The maximum of every map."""

    def forward(self, x: Num[Tensor, "n c *space"]) -> Num[Tensor, "n c *ones"]:
        return pool.global_max_pool(x)


class GlobalAvgPool(nn.Module):
    """The mean of every map."""

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *ones"]:
        return pool.global_avg_pool(x)


class GlobalLpPool(nn.Module):
    """The p-norm of every map."""

    def __init__(self, norm_type: float = 2.0) -> None:
        super().__init__()
        check_norm(norm_type, "GlobalLpPool")
        self.norm_type = norm_type

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *ones"]:
        return pool.global_lp_pool(x, norm_type=self.norm_type)
