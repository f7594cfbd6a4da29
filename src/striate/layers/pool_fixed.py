"""Pooling to a fixed size, and unpooling, as layers; the settings are those of `striate.ops`."""

from typing import Literal

from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from striate.ops import pool, unpool
from striate.shapes import Ints, Padding


class KMaxPool(nn.Module):
    """The k largest values along an axis, in their original order."""

    def __init__(self, k: int, *, dim: int = -1) -> None:
        super().__init__()
        self.k, self.dim = k, dim

    def forward(self, x: Num[Tensor, "*axes"]) -> Num[Tensor, "*out"]:
        """The k largest."""
        return pool.kmax_pool(x, k=self.k, dim=self.dim)


class PyramidPool(nn.Module):
    """Every map pooled to fixed grids, whatever its size, in one row an item."""

    def __init__(
        self, levels: tuple[Ints, ...] = (4, 2, 1), *, kind: Literal["max", "average"] = "max"
    ) -> None:
        super().__init__()
        self.levels = levels
        self.kind: Literal["max", "average"] = kind

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n bins"]:
        """The row."""
        return pool.pyramid_pool(x, levels=self.levels, kind=self.kind)


class AdaptiveMaxPool(nn.Module):
    """The maximum over a fixed grid of windows, whatever the input."""

    def __init__(self, output_size: Ints) -> None:
        super().__init__()
        self.output_size: Ints = output_size

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *grid"]:
        """The maxima."""
        return pool.adaptive_max_pool(x, output_size=self.output_size)


class AdaptiveAvgPool(nn.Module):
    """The mean over a fixed grid of windows, whatever the input."""

    def __init__(self, output_size: Ints) -> None:
        super().__init__()
        self.output_size: Ints = output_size

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *grid"]:
        """The means."""
        return pool.adaptive_avg_pool(x, output_size=self.output_size)


class GlobalMaxPool(nn.Module):
    """The maximum of every map."""

    def forward(self, x: Num[Tensor, "n c *space"]) -> Num[Tensor, "n c *ones"]:
        """The maxima."""
        return pool.global_max_pool(x)


class GlobalAvgPool(nn.Module):
    """The mean of every map."""

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *ones"]:
        """The means."""
        return pool.global_avg_pool(x)


class GlobalLpPool(nn.Module):
    """The p-norm of every map."""

    def __init__(self, norm_type: float = 2.0) -> None:
        super().__init__()
        self.norm_type = norm_type

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *ones"]:
        """The norms."""
        return pool.global_lp_pool(x, norm_type=self.norm_type)


class NearestUnpool(nn.Module):
    """Every value repeated over a block."""

    def __init__(self, scale: Ints) -> None:
        super().__init__()
        self.scale: Ints = scale

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *out"]:
        """The blocks."""
        return unpool.nearest_unpool(x, scale=self.scale)


class NailsUnpool(nn.Module):
    """Every value in the first cell of a block of zeros."""

    def __init__(self, scale: Ints) -> None:
        super().__init__()
        self.scale: Ints = scale

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *out"]:
        """The bed of nails."""
        return unpool.nails_unpool(x, scale=self.scale)


class MaxUnpool(nn.Module):
    """Every value back to the place it was the maximum of."""

    def __init__(
        self, kernel_size: Ints, *, stride: Ints | None = None, padding: Padding = 0
    ) -> None:
        super().__init__()
        self.kernel_size: Ints = kernel_size
        self.stride: Ints | None = stride
        self.padding: Padding = padding

    def forward(
        self,
        x: Float[Tensor, "n c *space"],
        indices: Int[Tensor, "n c *space"],
        output_size: Ints | None = None,
    ) -> Float[Tensor, "n c *out"]:
        """The maps."""
        return unpool.max_unpool(
            x,
            indices,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            output_size=output_size,
        )
