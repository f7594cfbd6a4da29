"""What operations take: parameters, connections and multiply-adds, in integers alone.

Sizes are [channels, *space] of one item. Connections are counted as in LeCun et al. 1998.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from striate.errors import ArgumentError, ShapeError, told
from striate.shapes.arguments import (
    Ints,
    Padding,
    check_sizes,
    check_truth,
    check_whole,
    is_list,
    is_whole,
    per_axis,
)
from striate.shapes.windows import pool_window, regions, transposed_window, window


class Cost(NamedTuple):
    """What one application to one item takes; sizes start with the channels.

    `connections` are (inputs read by one output value + 1 for a bias) x output values, as LeCun
    counted them; one multiply-add counts one in `macs`, padding cells included.
    """

    output: tuple[int, ...]
    params: int
    connections: int
    macs: int


def conv_cost(
    size: Sequence[int],
    *,
    out_channels: int,
    kernel_size: Ints,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    bias: bool = True,
) -> Cost:
    """Convolution of [channels, ...] cells; depthwise is `groups` equal to the channels.

    >>> conv_cost((1, 32, 32), out_channels=6, kernel_size=5)
    Cost(output=(6, 28, 28), params=156, connections=122304, macs=117600)
    """
    check_sizes("size", size)
    w = window(size[1:], kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    read = in_group(size[0], out_channels, groups) * prod(w.kernel)
    return _cost((out_channels, *w.out), out_channels, read, bias=bias)


def local_cost(
    size: Sequence[int],
    *,
    out_channels: int,
    kernel_size: Ints,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    grid: Ints | None = None,
    bias: bool = True,
) -> Cost:
    """Locally connected: own kernels at every place, or in every region of a grid.

    >>> local_cost((3, 6, 6), out_channels=4, kernel_size=3).params
    1792
    """
    check_sizes("size", size)
    w = window(size[1:], kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    check_whole(out_channels=out_channels)
    parts = w.out if grid is None else per_axis(grid, len(w.out), "grid")
    for m, g in zip(w.out, parts, strict=True):
        regions(m, g)
    kernels = out_channels * prod(parts)
    return _cost((out_channels, *w.out), kernels, size[0] * prod(w.kernel), bias=bias)


def tabled_cost(
    size: Sequence[int],
    *,
    table: Sequence[Sequence[int]],
    kernel_size: Ints,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    bias: bool = True,
) -> Cost:
    """Convolution where output map o reads only the input maps `table[o]`.

    >>> tabled_cost((2, 3, 3), table=[[0], [0, 1]], kernel_size=3, bias=False).params
    27
    """
    check_sizes("size", size)
    w = window(size[1:], kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    check_table(table, size[0])
    check_truth(bias=bias)
    kernels, maps = sum(map(len, table)), len(table)
    weights, places = kernels * prod(w.kernel), prod(w.out)
    params = weights + maps * bias
    return Cost((maps, *w.out), params, params * places, weights * places)


def check_table(table: Sequence[Sequence[int]], channels: int) -> None:
    """Whether every row of a table of connections names different maps that are there.

    Raises:
        ArgumentError: a row does not, or there is no table.
    """
    if not is_list(table) or not table or not all(is_list(maps) for maps in table):
        raise ArgumentError(
            f"table={told(table)}, expected for every output map a list of the input maps that it reads"
        )
    for o, maps in enumerate(table):
        if not all(is_whole(i) and 0 <= i < channels for i in maps) or len(set(maps)) != len(maps):
            raise ArgumentError(
                f"row {o} of the table is {list(maps)}, expected different maps of 0 to {channels - 1}"
            )


def conv_transpose_cost(  # noqa: PLR0913 - every option of the operation
    size: Sequence[int],
    *,
    out_channels: int,
    kernel_size: Ints,
    stride: Ints = 1,
    padding: Padding = 0,
    output_padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
    bias: bool = True,
) -> Cost:
    """Transposed convolution: every input value is read by every kernel cell of its group.

    >>> conv_transpose_cost((8, 4, 4), out_channels=3, kernel_size=2, stride=2).output
    (3, 8, 8)
    """
    check_sizes("size", size)
    check_truth(bias=bias)
    t = transposed_window(
        size[1:],
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
    )
    read = in_group(size[0], out_channels, groups) * prod(t.kernel)
    macs = prod(size[1:]) * out_channels * read
    return Cost(
        (out_channels, *t.out),
        out_channels * (read + bias),
        macs + bias * out_channels * prod(t.out),
        macs,
    )


def pool_cost(
    size: Sequence[int],
    *,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    trained: bool = False,
) -> Cost:
    """Pooling of any kind; `trained` adds LeNet-5's coefficient and bias a map.

    >>> pool_cost((6, 28, 28), kernel_size=2, trained=True)
    Cost(output=(6, 14, 14), params=12, connections=5880, macs=0)
    """
    check_sizes("size", size)
    check_truth(trained=trained)
    w = pool_window(
        size[1:],
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
    )
    output = (size[0], *w.out)
    return Cost(output, 2 * size[0] * trained, (prod(w.kernel) + trained) * prod(output), 0)


def dense_cost(size: Sequence[int], output: Sequence[int], *, bias: bool = True) -> Cost:
    """A fully connected layer from all cells of `size` to all cells of `output`.

    >>> dense_cost((1, 4, 4), (1, 2, 2), bias=False).params
    64
    """
    check_sizes("size", size)
    check_sizes("output", output)
    return _cost(tuple(output), prod(output), prod(size), bias=bias)


def in_group(channels: int, out_channels: int, groups: int) -> int:
    """Input channels that one output channel reads.

    Raises:
        ArgumentError: `groups` does not divide both numbers of channels.
    """
    check_whole(channels=channels, out_channels=out_channels, groups=groups)
    if channels % groups or out_channels % groups:
        raise ArgumentError(
            f"groups={groups} does not divide {channels} input and {out_channels} output channels; "
            f"their common divisors are {_divisors(channels, out_channels)}"
        )
    return channels // groups


def _divisors(a: int, b: int) -> str:
    return ", ".join(str(g) for g in range(1, max(1, min(a, b)) + 1) if a % g == b % g == 0)


def _cost(output: tuple[int, ...], kernels: int, read: int, *, bias: bool) -> Cost:
    """`kernels` of `read` weights each, every one of the output values the sum of `read` products."""
    check_truth(bias=bias)
    return Cost(output, kernels * (read + bias), prod(output) * (read + bias), prod(output) * read)


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """Inputs read by one output value and outputs that read one input value, of a weight [O, C, ...].

    >>> fans((16, 6, 5, 5))
    (150, 400)
    """
    if not is_list(shape) or len(shape) < 2 or not all(map(is_whole, shape)):
        shown = tuple(shape) if is_list(shape) else shape
        raise ShapeError(f"got a weight of shape {told(shown)}, expected [outputs, inputs, ...]")
    return shape[1] * prod(shape[2:]), shape[0] * prod(shape[2:])
