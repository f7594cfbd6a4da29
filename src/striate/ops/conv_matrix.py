"""A convolution as a matrix: y = C x with x and y read off row by row, and its transpose C^T.

C has a row for every output value and a column for every input value, each row one shifted copy of
the kernel; a 3 x 3 kernel on 4 x 4 cells is 4 x 16. Transposed convolution is C^T, and so is the
gradient of a convolution by its input. arXiv 1603.07285, chapter 4.
"""

from collections.abc import Sequence
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ArgumentError
from striate.ops import checks
from striate.ops.conv import Setting, check_rank, conv_window
from striate.ops.padding import Fill, check_fill, padded
from striate.shapes import Ints, Padding, Window, per_axis


def conv_matrix(
    weight: Float[Tensor, "o i *kernel"],
    size: Sequence[int],
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    fill: Fill = "zeros",
) -> Float[Tensor, "rows columns"]:
    """The sparse matrix C [O prod(out), C prod(size)] of a convolution; `C.t()` is its transpose.

    `size` is that of the input, the cells of every axis of space; the rest is as in `conv`, but for a `fill`
    by a number other than 0, which is no linear map. The entries are differentiable by the weight.

    Raises:
        ShapeError: sizes that do not fit together.
        ArgumentError: a setting out of range or unknown.
    """
    check_fill(fill, "conv_matrix")
    if isinstance(fill, int | float) and fill != 0:
        raise ArgumentError(
            f"conv_matrix: fill={fill} adds a constant, which no matrix does; take fill=0"
        )
    rank = check_rank(weight, "conv_matrix", (1, 2, 3))
    checks.integers("conv_matrix", groups=groups)
    with checks.named("conv_matrix"):
        cells = per_axis(size, rank, "size")
    channels = weight.shape[1] * groups
    empty = weight.new_empty(0, channels, *cells)
    setting = Setting(stride, padding, dilation, groups)
    window = conv_window(empty, weight, None, setting, "conv_matrix")
    read_TP = _reads(window, fill, weight.device)
    outputs, inside = weight.shape[0], weight.shape[1]
    o = torch.arange(outputs, device=weight.device).view(-1, 1, 1, 1)
    i = torch.arange(inside, device=weight.device).view(1, -1, 1, 1)
    p = torch.arange(read_TP.shape[1], device=weight.device)
    first = o // max(1, outputs // groups) * inside
    row, column, value, read = torch.broadcast_tensors(
        o * read_TP.shape[1] + p,
        (first + i) * prod(window.size) + read_TP,
        weight.flatten(2).unsqueeze(3),
        read_TP,
    )
    real = read >= 0
    shape = (outputs * prod(window.out), channels * prod(window.size))
    places = torch.stack([row[real], column[real]])
    # Said aloud, for torch 2.11 warns of a choice that nobody made.
    with torch.sparse.check_sparse_tensor_invariants():
        return torch.sparse_coo_tensor(places, value[real], shape).coalesce()


def _reads(window: Window, fill: Fill, device: torch.device) -> Tensor:
    """[T, P]: the input cell that tap t of output place p reads, -1 for a padded zero."""
    cells = torch.arange(prod(window.size), dtype=torch.float64, device=device)
    source = cells.view(1, 1, *window.size)
    zeros = fill == 0 if isinstance(fill, int | float) else fill == "zeros"
    wide = padded(source, window.sides, -1.0 if zeros else fill)
    reads = [wide[(..., *tap)].flatten() for tap in window.taps()]
    return torch.stack(reads).long()
