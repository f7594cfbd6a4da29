"""Locally connected layers and tabled connections: who reads whom is not the same everywhere.

N items, C input maps, O output maps, P output places, T kernel cells, K = T C numbers read by one
output value. LeCun et al. 1998, "Gradient-based learning", table I; Taigman et al. 2014, "DeepFace".
"""

from collections.abc import Sequence
from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.errors import ShapeError
from striate.ops import checks
from striate.ops.conv import conv
from striate.ops.gradients import linear
from striate.ops.padding import Fill, padded
from striate.shapes import Ints, Padding, Window, check_table, regions

# Input maps that each of the sixteen maps of LeNet-5's C3 reads in S2: 60 connections of 96.
LENET_TABLE: tuple[tuple[int, ...], ...] = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)),
)


def local_conv(
    x: Float[Tensor, "n c *space"],
    weight: Float[Tensor, "*weights"],
    bias: Float[Tensor, "*biases"] | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    fill: Fill = "zeros",
) -> Float[Tensor, "n o *out"]:
    """A convolution with an own kernel at every output place.

    The result lies in memory with the items next to each other, so that a chain of these layers
    turns its maps round once.

    `weight` is [*out, O, *kernel, C], so that the weights of a place are one matrix [O, K], `bias` is
    [*out, O]; the settings are those of `conv`.

    Raises:
        ShapeError: sizes that do not fit together.
        ArgumentError: a setting out of range or unknown, or integers in a tensor.
    """
    rank = checks.space(x, "local_conv")
    checks.weight(weight, x, "local_conv")
    if weight.ndim != 2 * rank + 2 or weight.shape[-1] != x.shape[1]:
        raise ShapeError(
            f"local_conv: got a weight {list(weight.shape)} for {x.shape[1]} channels and {rank} axes of "
            "space, expected [*out, outputs, *kernel, channels]"
        )
    kernel = weight.shape[rank + 1 : -1]
    w = checks.geometry("local_conv", x.shape[2:], kernel, stride, padding, dilation)
    if weight.shape[:rank] != w.out:
        raise ShapeError(
            f"local_conv: got kernels for {list(weight.shape[:rank])} places, expected {list(w.out)}; "
            "the layer fits one size of input"
        )
    checks.bias(bias, weight.shape[: rank + 1], x, "local_conv")
    x_SCN = padded(x, w.sides, fill, "local_conv").permute(*range(2, rank + 2), 1, 0)
    read_PKN = linear(_patches, _folded, x_SCN.contiguous(), w)
    weight_POK = weight.reshape(*read_PKN.shape[:1], weight.shape[rank], read_PKN.shape[1])
    if bias is None:
        y_PON = torch.bmm(weight_POK, read_PKN)
    else:
        y_PON = torch.baddbmm(bias.reshape(*weight_POK.shape[:2], 1), weight_POK, read_PKN)
    return y_PON.view(*w.out, weight.shape[rank], x.shape[0]).permute(rank + 1, rank, *range(rank))


def _patches(x: Tensor, w: Window) -> Tensor:
    """[*padded, C, N] to [P, K, N]: what every place reads, one slice a tap, next to each other."""
    rank = len(w.size)
    reads = torch.cat([x[tap] for tap in w.taps()], dim=rank)
    return reads.view(prod(w.out), reads.shape[rank], x.shape[-1])


def _folded(reads: Tensor, w: Window) -> Tensor:
    """The adjoint of `_patches`: every read added to the cell that was read, slice by slice in place."""
    channels = reads.shape[1] // prod(w.kernel)
    size = (n + sum(pair) for n, pair in zip(w.size, w.sides, strict=True))
    out = reads.new_zeros(*size, channels, reads.shape[-1])
    taps = reads.reshape(*w.out, prod(w.kernel), *out.shape[-2:]).unbind(len(w.size))
    for tap, read in zip(w.taps(), taps, strict=True):
        out[tap] += read
    return out


def regional_conv(
    x: Float[Tensor, "n c *space"],
    weight: Float[Tensor, "*weights"],
    bias: Float[Tensor, "*biases"] | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    fill: Fill = "zeros",
) -> Float[Tensor, "n o *out"]:
    """A convolution with own kernels in every region of a grid over the output, for aligned pictures.

    `weight` is [*grid, O, C, *kernel], `bias` [*grid, O]; the regions are `shapes.regions` of every axis of
    the output, the settings those of `conv`.

    Raises:
        ShapeError: sizes that do not fit together, or more regions than places.
        ArgumentError: a setting out of range or unknown, or integers in a tensor.
    """
    rank = checks.space(x, "regional_conv")
    checks.weight(weight, x, "regional_conv")
    if weight.ndim != 2 * rank + 2:
        raise ShapeError(
            f"regional_conv: got a weight {list(weight.shape)} for {rank} axes of space, "
            "expected [*grid, outputs, channels, *kernel]"
        )
    checks.bias(bias, weight.shape[: rank + 1], x, "regional_conv")
    kernel = weight.shape[rank + 2 :]
    w = checks.geometry("regional_conv", x.shape[2:], kernel, stride, padding, dilation)
    with checks.named("regional_conv"):
        cuts = [regions(m, g) for m, g in zip(w.out, weight.shape, strict=False)]
    return _region(padded(x, w.sides, fill, "regional_conv"), weight, bias, w, cuts)


def _region(
    x: Tensor, weight: Tensor, bias: Tensor | None, w: Window, cuts: list[list[tuple[int, int]]]
) -> Tensor:
    """The outermost axis cut into its regions, each worked out by itself, and joined again."""
    if not cuts:
        return conv(x, weight, bias, stride=w.stride, dilation=w.dilation)
    axis = len(w.size) - len(cuts)
    step, reach = w.stride[axis], (w.kernel[axis] - 1) * w.dilation[axis] + 1
    parts: list[Tensor] = []
    for i, (start, stop) in enumerate(cuts[0]):
        cells = x.narrow(2 + axis, start * step, (stop - start - 1) * step + reach)
        parts.append(_region(cells, weight[i], None if bias is None else bias[i], w, cuts[1:]))
    return torch.cat(parts, dim=2 + axis)


def tabled_conv(
    x: Float[Tensor, "n c *space"],
    weight: Float[Tensor, " connections *kernel"],
    bias: Float[Tensor, " o"] | None = None,
    *,
    table: Sequence[Sequence[int]],
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    fill: Fill = "zeros",
) -> Float[Tensor, "n o *out"]:
    """A convolution where output map o reads only the input maps `table[o]`.

    Only the kernels of real connections are stored, in the order of the table. They are spread out into one
    dense convolution, which is faster than gathering maps into groups although it multiplies with the zeros
    too. The other settings are those of `conv`.

    Raises:
        ShapeError: sizes that do not fit together.
        ArgumentError: a table with a map that is not there or is named twice, a setting out of range.
    """
    checks.space(x, "tabled_conv")
    checks.weight(weight, x, "tabled_conv")
    places = table_places(table, x.shape[1])
    if weight.ndim != x.ndim - 1 or weight.shape[0] != len(places):
        raise ShapeError(
            f"tabled_conv: got a weight {list(weight.shape)} for a table of {len(places)} connections and "
            f"{x.ndim - 2} axes of space, expected [connections, *kernel]"
        )
    checks.bias(bias, (len(table),), x, "tabled_conv")
    at = torch.tensor(places, dtype=torch.int64, device=weight.device)
    dense = dense_weight(weight, at, (len(table), x.shape[1]))
    return conv(x, dense, bias, stride=stride, padding=padding, dilation=dilation, fill=fill)


def dense_weight(
    weight: Float[Tensor, " connections *kernel"],
    places: Int[Tensor, " connections"],
    size: tuple[int, int],
) -> Float[Tensor, "o c *kernel"]:
    """Kernels of single connections at their `table_places` in a weight [O, C, ...], zeros elsewhere."""
    dense = weight.new_zeros(size[0] * size[1], *weight.shape[1:])
    return dense.index_copy(0, places, weight).view(*size, *weight.shape[1:])


def table_places(table: Sequence[Sequence[int]], channels: int) -> list[int]:
    """Of every connection: its place in the dense weight, outputs by inputs, row by row.

    Raises:
        ArgumentError: a map that is not there or is named twice.
    """
    with checks.named("tabled_conv"):
        check_table(table, channels)
    return [o * channels + i for o, maps in enumerate(table) for i in maps]
