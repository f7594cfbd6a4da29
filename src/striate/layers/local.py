"""Locally connected layers, tabled connections and graph convolution, with their weights."""

from collections.abc import Sequence
from math import prod, sqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.ops import checks
from striate.ops.conv import conv
from striate.ops.graph import chebyshev_conv, spectral_conv
from striate.ops.init import gaussian_
from striate.ops.local import dense_weight, local_conv, regional_conv, table_places
from striate.ops.padding import Fill, check_fill
from striate.shapes import Ints, Padding, check_sizes, per_axis, regions, window


class LocalConv(nn.Module):
    """A convolution with own kernels at every place, or in every region of a `grid` over the output.

    It fits inputs of `size` cells an axis of space alone. Kernel, stride and padding are as in `conv`; every
    output value of a place or region has a number of its own added where there is a `bias`.

    Raises:
        ShapeError: the kernel does not fit, or there are more regions than places.
        ArgumentError: a setting out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        *,
        size: Sequence[int],
        grid: Ints | None = None,
        stride: Ints = 1,
        padding: Padding = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        checks.integers("LocalConv", in_channels=in_channels, out_channels=out_channels)
        with checks.named("LocalConv"):
            check_sizes("size", size)
            w = window(size, kernel_size=kernel_size, stride=stride, padding=padding)
            places = w.out if grid is None else per_axis(grid, len(size), "grid")
            for cells, parts in zip(w.out, places, strict=True):
                regions(cells, parts)
        self.stride, self.padding, self.shared = w.stride, w.sides, grid is not None
        own = (in_channels, *w.kernel) if self.shared else (*w.kernel, in_channels)
        self.weight = nn.Parameter(torch.empty(*places, out_channels, *own))
        self.bias = nn.Parameter(torch.empty(*places, out_channels)) if bias else None
        self._read = prod(own)
        self.reset()

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Variance 2 / (numbers read by one output value), the bias at zero."""
        std = sqrt(2 / self._read)
        gaussian_(self.weight, self.bias, std=std, constant=0.0, generator=generator)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n o *out"]:
        operation = regional_conv if self.shared else local_conv
        return operation(x, self.weight, self.bias, stride=self.stride, padding=self.padding)


class TabledConv(nn.Module):
    """A convolution where output map o reads only the input maps `table[o]`, as LeNet-5's C3.

    `striate.ops.local.tabled_conv` with the table worked out once; `kernel_size` has one number an axis of space.

    Raises:
        ArgumentError: a table with a map that is not there or is named twice.
    """

    places: Tensor

    def __init__(
        self,
        in_channels: int,
        table: Sequence[Sequence[int]],
        kernel_size: Sequence[int],
        *,
        stride: Ints = 1,
        padding: Padding = 0,
        fill: Fill = "zeros",
        bias: bool = True,
    ) -> None:
        super().__init__()
        checks.integers("TabledConv", in_channels=in_channels)
        with checks.named("TabledConv"):
            check_sizes("kernel_size", kernel_size)
        checks.settings("TabledConv", len(kernel_size), kernel_size, stride, padding)
        check_fill(fill, "TabledConv")
        places = table_places(table, in_channels)
        self.register_buffer("places", torch.tensor(places, dtype=torch.int64), persistent=False)
        self.in_channels = in_channels
        self.table = tuple(tuple(maps) for maps in table)
        self.stride: Ints = stride
        self.padding: Padding = padding
        self.fill: Fill = fill
        self.weight = nn.Parameter(torch.empty(len(places), *kernel_size))
        self.bias = nn.Parameter(torch.empty(len(table))) if bias else None
        self.reset()

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Variance 2 / (numbers read by one output value), a row of the table at a time; bias at zero."""
        for own in self.weight.split([len(maps) for maps in self.table]):
            if own.numel():
                gaussian_(own, std=sqrt(2 / own.numel()), generator=generator)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n o *out"]:
        dense = dense_weight(self.weight, self.places, (len(self.table), self.in_channels))
        return conv(x, dense, self.bias, stride=self.stride, padding=self.padding, fill=self.fill)


class _GraphConv(nn.Module):
    """On one graph: `theta` [out, in, numbers] is learned and begins with variance 2 / (numbers of a row)."""

    def __init__(
        self, in_channels: int, out_channels: int, numbers: int, read: int, *, bias: bool
    ) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.empty(out_channels, in_channels, numbers))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self._read = read
        self.reset()

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Variance 2 / (numbers read by one output value), the bias at zero."""
        std = sqrt(2 / self._read)
        gaussian_(self.theta, self.bias, std=std, constant=0.0, generator=generator)


class SpectralConv(_GraphConv):
    """U diag(theta) U^T x on one graph, theta learned; U [V, V], from `striate.ops.graph.spectrum`, is a buffer.

    Raises:
        ShapeError: `vectors` have not two axes.
        ArgumentError: channels out of range.
    """

    vectors: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        vectors: Float[Tensor, "v v"],
        *,
        bias: bool = True,
    ) -> None:
        checks.integers("SpectralConv", in_channels=in_channels, out_channels=out_channels)
        checks.tensor(vectors, "SpectralConv", "vectors")
        if vectors.ndim != 2:
            raise ShapeError(
                f"SpectralConv: got vectors {list(vectors.shape)}, expected [nodes, nodes]"
            )
        super().__init__(in_channels, out_channels, len(vectors), in_channels, bias=bias)
        self.register_buffer("vectors", vectors)

    def forward(self, x: Float[Tensor, "n c v"]) -> Float[Tensor, "n o v"]:
        return spectral_conv(x, self.theta, self.vectors, self.bias)


class ChebyshevConv(_GraphConv):
    """A polynomial of a graph's Laplacian [V, V], dense or sparse, its coefficients learned.

    A node hears of those up to `terms` - 1 edges away; `largest` is the largest eigenvalue, or a bound. The
    `matrix` is a buffer.

    Raises:
        ArgumentError: channels or terms out of range, or no tensor.
    """

    matrix: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        terms: int,
        *,
        matrix: Float[Tensor, "v v"],
        largest: float = 2.0,
        bias: bool = True,
    ) -> None:
        who = "ChebyshevConv"
        checks.integers(who, in_channels=in_channels, out_channels=out_channels, terms=terms)
        checks.tensor(matrix, who, "matrix", sparse=True)
        super().__init__(in_channels, out_channels, terms, in_channels * terms, bias=bias)
        self.register_buffer("matrix", matrix)
        self.largest = largest

    def forward(self, x: Float[Tensor, "n c v"]) -> Float[Tensor, "n o v"]:
        return chebyshev_conv(x, self.theta, self.matrix, self.bias, largest=self.largest)
