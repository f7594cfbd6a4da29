"""Average pooling, plain and weighted by distance from the centre of the window.

x [N, C, *space], result [N, C, *out]. What a last window of ceil mode reads over the end is not counted.
"""

from collections.abc import Callable
from math import prod

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.ops.checks import check_flags, check_input, check_space
from striate.ops.padding import pad
from striate.ops.pool.windows import known, outer, pool_window
from striate.shapes import Ints, Padding, Window

_AVERAGE: tuple[Callable[..., Tensor], ...] = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)


def avg_pool(
    x: Float[Tensor, "n c *space"],
    *,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Float[Tensor, "n c *out"]:
    """The mean of every window.

    Args:
        x: items, channels and space.
        kernel_size: cells of the window, for all axes or each.
        stride: cells from one window to the next; as many as the window has if not given.
        padding: as in `conv`, filled with zeros.
        dilation: cells from one cell of the window to the next.
        ceil_mode: also a last window that is not full, if it does not start in the end padding.
        count_include_pad: divide by the padded cells too; never by what ceil mode reads past them.

    Raises:
        ShapeError: sizes that do not fit together, or padding as wide as the window.
        ArgumentError: a setting out of range or unknown, or integers in the tensor.
    """
    rank = check_space(x, "avg_pool")
    check_flags("avg_pool", count_include_pad=count_include_pad)
    w = pool_window("avg_pool", x, kernel_size, stride, padding, dilation, ceil_mode)
    if known(w) and set(w.dilation) == {1} and not _lacking(x, w):
        sides = [before for before, _ in w.sides]
        return _AVERAGE[rank - 1](x, w.kernel, w.stride, sides, ceil_mode, count_include_pad)
    y = mean_pool(x, w)
    real = [w.counts(axis, padded=count_include_pad) for axis in range(rank)]
    if all(count == k for counts, k in zip(real, w.kernel, strict=True) for count in counts):
        return y
    return y * (prod(w.kernel) / outer([[max(1, c) for c in counts] for counts in real], y))


def _lacking(x: Tensor, w: Window) -> bool:
    """Whether PyTorch refuses this average over three axes.

    It takes neither half precision nor a window larger than the input without its padding.
    """
    narrow = x.dtype in (torch.float16, torch.bfloat16)
    wide = any(k > n for k, n in zip(w.kernel, w.size, strict=True))
    return len(w.size) == 3 and (narrow or wide)


def mean_pool(x: Tensor, w: Window) -> Tensor:
    """Sum of every window over all its cells, padded and overhanging ones counted as zeros."""
    rank = len(w.size)
    if set(w.dilation) != {1}:
        return depthwise(x, w, x.new_ones(w.kernel).div_(prod(w.kernel)))
    padded = pad(x, w.reach)
    if rank == 3 and x.dtype in (torch.float16, torch.bfloat16):
        return F.avg_pool3d(padded.float(), w.kernel, w.stride).to(x.dtype)
    return _AVERAGE[rank - 1](padded, w.kernel, w.stride)


def depthwise(x: Tensor, w: Window, kernel: Tensor) -> Tensor:
    """The same kernel over every channel."""
    conv = (torch.conv1d, torch.conv2d, torch.conv3d)[len(w.size) - 1]
    if all(before == after for before, after in w.reach):
        sides = [before for before, _ in w.reach]
    else:
        x, sides = pad(x, w.reach), 0
    kernels = kernel.expand(x.shape[1], 1, *w.kernel)
    return conv(x, kernels, None, w.stride, sides, w.dilation, max(1, x.shape[1]))


def avg_pool1d(
    x: Float[Tensor, "n c w"],
    *,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Float[Tensor, "n c v"]:
    """`avg_pool` over one axis; same arguments, same errors."""
    check_input(x, 1, "avg_pool1d")
    return avg_pool(
        x,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
    )


def avg_pool2d(
    x: Float[Tensor, "n c h w"],
    *,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Float[Tensor, "n c p q"]:
    """`avg_pool` over two axes; same arguments, same errors."""
    check_input(x, 2, "avg_pool2d")
    return avg_pool(
        x,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
    )


def avg_pool3d(
    x: Float[Tensor, "n c d h w"],
    *,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Float[Tensor, "n c p q r"]:
    """`avg_pool` over three axes; same arguments, same errors."""
    check_input(x, 3, "avg_pool3d")
    return avg_pool(
        x,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
    )
