"""Maximum pooling, with or without places; integers too.

x [N, C, *space], result [N, C, *out]. What is padded is never the maximum.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Int, Num
from torch import Tensor

from striate.ops.checks import check_input, check_space
from striate.ops.padding import pad
from striate.ops.pool.windows import known, pool_window
from striate.shapes import Ints, Padding, Window

_MAX: tuple[Callable[..., Tensor], ...] = (torch.max_pool1d, torch.max_pool2d, torch.max_pool3d)
_MAX_PLACES: tuple[Callable[..., tuple[Tensor, Tensor]], ...] = (
    F.max_pool1d_with_indices,
    F.max_pool2d_with_indices,
    F.max_pool3d_with_indices,
)


def max_pool(
    x: Num[Tensor, "n c *space"],
    *,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> Num[Tensor, "n c *out"]:
    """The largest value of every window; integers too.

    Args:
        x: items, channels and space.
        kernel_size: cells of the window, for all axes or each.
        stride: cells from one window to the next; as many as the window has if not given.
        padding: as in `conv`; what is padded is never the maximum.
        dilation: cells from one cell of the window to the next.
        ceil_mode: also a last window that is not full, if it does not start in the end padding.

    Raises:
        ShapeError: sizes that do not fit together, or padding as wide as the window.
        ArgumentError: a setting out of range or unknown.
    """
    rank = check_space(x, "max_pool", integers=True)
    w = pool_window("max_pool", x, kernel_size, stride, padding, dilation, ceil_mode)
    if rank == 1 and not x.is_floating_point():
        return max_pool_with_indices(
            x,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            ceil_mode=ceil_mode,
        )[0]
    if known(w):
        sides = [before for before, _ in w.sides]
        return _MAX[rank - 1](x, w.kernel, w.stride, sides, w.dilation, ceil_mode)
    padded = pad(x, w.reach, fill=_lowest(x))
    return _MAX[rank - 1](padded, w.kernel, w.stride, 0, w.dilation)


def max_pool_with_indices(
    x: Num[Tensor, "n c *space"],
    *,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> tuple[Num[Tensor, "n c *out"], Int[Tensor, "n c *out"]]:
    """`max_pool` with the place of every maximum, counted row by row in the map it came from."""
    rank = check_space(x, "max_pool", integers=True)
    w = pool_window("max_pool", x, kernel_size, stride, padding, dilation, ceil_mode)
    if known(w):
        sides = [before for before, _ in w.sides]
        return _MAX_PLACES[rank - 1](x, w.kernel, w.stride, sides, w.dilation, ceil_mode)
    padded = pad(x, w.reach, fill=_lowest(x))
    values, places = _MAX_PLACES[rank - 1](padded, w.kernel, w.stride, 0, w.dilation)
    return values, _unpadded(places, w)


def _lowest(x: Tensor) -> float:
    return float("-inf") if x.is_floating_point() else torch.iinfo(x.dtype).min


def _unpadded(places: Tensor, w: Window) -> Tensor:
    """Flat places of the padded map as flat places of the map itself."""
    flat, step = torch.zeros_like(places), 1
    for n, (before, after) in reversed(list(zip(w.size, w.reach, strict=True))):
        padded = n + before + after
        flat += (places % padded - before).clamp(0, n - 1) * step
        places = places // padded
        step *= n
    return flat


def max_pool1d(
    x: Num[Tensor, "n c w"],
    *,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> Num[Tensor, "n c v"]:
    """`max_pool` over one axis; same arguments, same errors."""
    check_input(x, 1, "max_pool1d", integers=True)
    return max_pool(
        x,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
    )


def max_pool2d(
    x: Num[Tensor, "n c h w"],
    *,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> Num[Tensor, "n c p q"]:
    """`max_pool` over two axes; same arguments, same errors."""
    check_input(x, 2, "max_pool2d", integers=True)
    return max_pool(
        x,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
    )


def max_pool3d(
    x: Num[Tensor, "n c d h w"],
    *,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> Num[Tensor, "n c p q r"]:
    """`max_pool` over three axes; same arguments, same errors."""
    check_input(x, 3, "max_pool3d", integers=True)
    return max_pool(
        x,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
    )
