"""Locally connected layers, tabled connections and graph convolution, with their weights."""

from collections.abc import Sequence
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.ops.checks import check_integers, check_tensor, named
from striate.ops.conv import conv
from striate.ops.graph import chebyshev_conv, spectral_conv
from striate.ops.init import gaussian_
from striate.ops.local import dense_weight, local_conv, regional_conv, table_places
from striate.ops.padding import Fill
from striate.shapes import Ints, Padding, check_sizes, per_axis, regions, window


class LocalConv(nn.Module):
    """A convolution with own kernels at every place, or in every region of a grid.

    Args:
        in_channels: channels that come in.
        out_channels: channels that go out.
        kernel_size: cells of the kernel, for all axes or each.
        size: cells of the input an axis of space; the layer fits this size alone.
        grid: regions an axis that share their kernels; every place its own if not given.
        stride: as in `conv`.
        padding: as in `conv`.
        bias: whether every output value has a number added, its own a place or a region.

    Raises:
        ShapeError: the kernel does not fit.
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
        check_integers("LocalConv", in_channels=in_channels, out_channels=out_channels)
        with named("LocalConv"):
            check_sizes("size", size)
            w = window(size, kernel_size=kernel_size, stride=stride, padding=padding)
            places = w.out if grid is None else per_axis(grid, len(size), "grid")
            for cells, parts in zip(w.out, places, strict=True):
                regions(cells, parts)
        self.stride, self.padding = w.stride, w.sides
        self.shared = grid is not None
        own = (*w.kernel, in_channels) if grid is None else (in_channels, *w.kernel)
        self.weight = nn.Parameter(torch.empty(*places, out_channels, *own))
        self.bias = nn.Parameter(torch.empty(*places, out_channels)) if bias else None
        self._read = self.weight.numel() // max(1, out_channels * torch.Size(places).numel())
        self.reset()

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Variance 2 / (numbers read by one output value), the bias at zero."""
        gaussian_(
            self.weight, self.bias, std=sqrt(2 / self._read), constant=0.0, generator=generator
        )

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n o *out"]:
        """The convolution."""
        operation = regional_conv if self.shared else local_conv
        return operation(x, self.weight, self.bias, stride=self.stride, padding=self.padding)


class TabledConv(nn.Module):
    """A convolution where output map o reads only the input maps `table[o]`, as LeNet-5's C3.

    `striate.ops.local.tabled_conv` with the table worked out once.

    Args:
        in_channels: maps that come in.
        table: the input maps of every output map.
        kernel_size: cells of the kernel, one number an axis of space.
        stride: as in `conv`.
        padding: as in `conv`.
        fill: as in `conv`.
        bias: whether every output map has a number added.

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
        check_integers("TabledConv", in_channels=in_channels)
        with named("TabledConv"):
            check_sizes("kernel_size", kernel_size)
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
        kernels = self.weight.split([len(maps) for maps in self.table])
        for own in kernels:
            if own.numel():
                gaussian_(own, std=sqrt(2 / own.numel()), generator=generator)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n o *out"]:
        """The convolution."""
        return conv(
            x,
            dense_weight(self.weight, self.places, (len(self.table), self.in_channels)),
            self.bias,
            stride=self.stride,
            padding=self.padding,
            fill=self.fill,
        )


class SpectralConv(nn.Module):
    """U diag(theta) U^T x on one graph, theta learned.

    Args:
        in_channels: channels that come in.
        out_channels: channels that go out.
        vectors: U [V, V], from `striate.ops.graph.spectrum`; kept as a buffer.
        bias: whether every output channel has a number added.
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
        super().__init__()
        check_integers("SpectralConv", in_channels=in_channels, out_channels=out_channels)
        check_tensor(vectors, "SpectralConv", "vectors")
        if vectors.ndim != 2:
            raise ShapeError(
                f"SpectralConv: got vectors {list(vectors.shape)}, expected [nodes, nodes]"
            )
        self.register_buffer("vectors", vectors)
        self.theta = nn.Parameter(torch.empty(out_channels, in_channels, vectors.shape[0]))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset()

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Variance 2 / channels, the bias at zero."""
        std = sqrt(2 / self.theta.shape[1])
        gaussian_(self.theta, self.bias, std=std, constant=0.0, generator=generator)

    def forward(self, x: Float[Tensor, "n c v"]) -> Float[Tensor, "n o v"]:
        """The convolution."""
        return spectral_conv(x, self.theta, self.vectors, self.bias)


class ChebyshevConv(nn.Module):
    """A polynomial of a graph's Laplacian, its coefficients learned.

    Args:
        in_channels: channels that come in.
        out_channels: channels that go out.
        terms: coefficients; a node hears of those up to terms - 1 edges away.
        matrix: the Laplacian [V, V], dense or sparse; kept as a buffer.
        largest: its largest eigenvalue, or a bound.
        bias: whether every output channel has a number added.
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
        super().__init__()
        check_integers(
            "ChebyshevConv", in_channels=in_channels, out_channels=out_channels, terms=terms
        )
        check_tensor(matrix, "ChebyshevConv", "matrix", sparse=True)
        self.register_buffer("matrix", matrix)
        self.largest = largest
        self.theta = nn.Parameter(torch.empty(out_channels, in_channels, terms))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset()

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Variance 2 / (channels times terms), the bias at zero."""
        std = sqrt(2 / (self.theta.shape[1] * self.theta.shape[2]))
        gaussian_(self.theta, self.bias, std=std, constant=0.0, generator=generator)

    def forward(self, x: Float[Tensor, "n c v"]) -> Float[Tensor, "n o v"]:
        """The convolution."""
        return chebyshev_conv(x, self.theta, self.matrix, self.bias, largest=self.largest)
