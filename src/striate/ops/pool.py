"""Maximum and average pooling: any window, and the adaptive and global forms.

x [N, C, *space], result [N, C, *out]. Padding is never the maximum; a last window of ceil mode may
reach over the end, and what it reads there is not counted.
"""

from collections.abc import Callable
from math import prod

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Num
from torch import Tensor

from striate.errors import ShapeError
from striate.ops.padding import check_input, check_space, geometry, named, pad
from striate.shapes import Ints, Padding, Window, per_axis, spread

_MAX: tuple[Callable[..., Tensor], ...] = (torch.max_pool1d, torch.max_pool2d, torch.max_pool3d)
_MAX_PLACES: tuple[Callable[..., tuple[Tensor, Tensor]], ...] = (
    F.max_pool1d_with_indices,
    F.max_pool2d_with_indices,
    F.max_pool3d_with_indices,
)
_AVERAGE: tuple[Callable[..., Tensor], ...] = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)

_ADAPTIVE_MAX: tuple[Callable[..., Tensor], ...] = (
    F.adaptive_max_pool1d,
    F.adaptive_max_pool2d,
    F.adaptive_max_pool3d,
)
_ADAPTIVE_AVERAGE: tuple[Callable[..., Tensor], ...] = (
    F.adaptive_avg_pool1d,
    F.adaptive_avg_pool2d,
    F.adaptive_avg_pool3d,
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
    if _known(w):
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
    if _known(w):
        sides = [before for before, _ in w.sides]
        return _MAX_PLACES[rank - 1](x, w.kernel, w.stride, sides, w.dilation, ceil_mode)
    padded = pad(x, w.reach, fill=_lowest(x))
    values, places = _MAX_PLACES[rank - 1](padded, w.kernel, w.stride, 0, w.dilation)
    return values, _unpadded(places, w)


def _known(w: Window) -> bool:
    """Whether PyTorch pools this window itself: as much before as after, at most half a window."""
    return w.even_sided and all(b <= k // 2 for (b, _), k in zip(w.sides, w.kernel, strict=True))


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


def pool_window(
    who: str,
    x: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Padding,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> Window:
    """The window of a pooling, whose stride is its size unless given.

    Raises:
        ShapeError: sizes that do not fit together, or padding as wide as the window.
        ArgumentError: a setting out of range or unknown.
    """
    w = geometry(
        who,
        x.shape[2:],
        kernel_size=kernel_size,
        stride=kernel_size if stride is None else stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
    )
    for pair, k, d in zip(w.sides, w.kernel, w.dilation, strict=True):
        if max(pair) >= spread(k, d):
            raise ShapeError(
                f"{who}: padding of {pair[0]} + {pair[1]} is as wide as the window, which spreads over "
                f"{spread(k, d)}: it would read nothing else; pad less"
            )
    return w


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
    w = pool_window("avg_pool", x, kernel_size, stride, padding, dilation, ceil_mode)
    if _known(w) and set(w.dilation) == {1} and not _lacking(x, w):
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
    padded = pad(x, w.reach)
    if set(w.dilation) != {1}:
        ones = x.new_ones(1, 1, *w.kernel).div_(prod(w.kernel)).expand(x.shape[1], 1, *w.kernel)
        conv = (torch.conv1d, torch.conv2d, torch.conv3d)[rank - 1]
        return conv(padded, ones, None, w.stride, 0, w.dilation, max(1, x.shape[1]))
    if rank == 3 and x.dtype in (torch.float16, torch.bfloat16):
        return F.avg_pool3d(padded.float(), w.kernel, w.stride).to(x.dtype)
    return _AVERAGE[rank - 1](padded, w.kernel, w.stride)


def outer(axes: list[list[int]] | list[list[float]], like: Tensor) -> Tensor:
    """Products of one number an axis, [*out], in the type and on the device of `like`."""
    product = like.new_ones(())
    for numbers in axes:
        product = product.unsqueeze(-1) * like.new_tensor(numbers)
    return product


def adaptive_max_pool(x: Float[Tensor, "n c *space"], *, output_size: Ints) -> Tensor:
    """The maximum over `output_size` windows an axis, whatever the input; also dynamic pooling.

    Window i of m reads the cells from floor(i n / m) to ceil((i + 1) n / m).
    """
    grid = _grid(x, output_size, "adaptive_max_pool")
    return _ADAPTIVE_MAX[len(grid) - 1](x, grid)


def adaptive_avg_pool(x: Float[Tensor, "n c *space"], *, output_size: Ints) -> Tensor:
    """The mean over the windows of `adaptive_max_pool`."""
    grid = _grid(x, output_size, "adaptive_avg_pool")
    return _ADAPTIVE_AVERAGE[len(grid) - 1](x, grid)


def _grid(x: Tensor, output_size: Ints, who: str) -> tuple[int, ...]:
    rank = check_space(x, who)
    with named(who):
        return per_axis(output_size, rank, "output_size")


def global_max_pool(x: Num[Tensor, "n c *space"]) -> Num[Tensor, "n c *ones"]:
    """The maximum of every map, its axes kept with one cell each."""
    rank = check_space(x, "global_max_pool", integers=True)
    return x.amax(tuple(range(2, rank + 2)), keepdim=True)


def global_avg_pool(x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *ones"]:
    """The mean of every map, its axes kept with one cell each."""
    rank = check_space(x, "global_avg_pool")
    return x.mean(tuple(range(2, rank + 2)), keepdim=True)


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
