"""Maximum pooling, with or without places; integers too.

x [N, C, *space], result [N, C, *out]. What is padded is never the maximum.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Int, Num
from torch import Tensor

from striate.errors import out_of_memory
from striate.ops import checks
from striate.ops.padding import padded
from striate.ops.pool.windows import half, known, window_of
from striate.shapes import Ints, Padding, Window

# By the number of axes of the input.
KERNELS: dict[int, Callable[..., Tensor]] = {
    3: torch.max_pool1d,
    4: torch.max_pool2d,
    5: torch.max_pool3d,
}
_WITH_PLACES: dict[int, Callable[..., tuple[Tensor, Tensor]]] = {
    3: F.max_pool1d_with_indices,
    4: F.max_pool2d_with_indices,
    5: F.max_pool3d_with_indices,
}


def max_pool_over(who: str, *ranks: int):  # noqa: ANN201 - the type of `max_pool` below
    """Maximum pooling over one of `ranks` axes; messages about the axes of an input open with `who`."""
    kernels = {rank + 2: KERNELS[rank + 2] for rank in ranks}

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
        try:
            # What PyTorch would compute something else of is left to the checks, like what it does not know.
            if (
                x.shape[1]
                and (x.ndim > 3 or x.dtype.is_floating_point)
                and ceil_mode is False
                and (
                    isinstance(kernel_size, int) or [*map(type, kernel_size)] == checks.INTS[x.ndim]
                )
                and (
                    stride is None
                    or isinstance(stride, int)
                    or [*map(type, stride)] == checks.INTS[x.ndim]
                )
                and (isinstance(dilation, int) or [*map(type, dilation)] == checks.INTS[x.ndim])
                and (padding == 0 or half(padding, kernel_size, x.ndim))
            ):
                return kernels[x.ndim](x, kernel_size, stride, padding, dilation, ceil_mode)
        except checks.FAILURES as error:
            if out_of_memory(error):
                raise
        checks.space(x, who, ranks=ranks, integers=True)
        w = window_of("max_pool", x, kernel_size, stride, padding, dilation, ceil_mode)
        if x.ndim == 3 and not x.is_floating_point():  # which PyTorch takes with places alone
            return _pooled(_WITH_PLACES, x, w, ceil_mode=ceil_mode)[0]
        return _pooled(KERNELS, x, w, ceil_mode=ceil_mode)

    return checks.called(max_pool, who, ranks)


max_pool = max_pool_over("max_pool", 1, 2, 3)
max_pool1d, max_pool2d, max_pool3d = (max_pool_over(f"max_pool{rank}d", rank) for rank in (1, 2, 3))


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
    checks.space(x, "max_pool", integers=True)
    w = window_of("max_pool", x, kernel_size, stride, padding, dilation, ceil_mode)
    values, places = _pooled(_WITH_PLACES, x, w, ceil_mode=ceil_mode)
    return values, places if known(w) else _unpadded(places, w)


def _pooled(
    kernels: dict[int, Callable[..., Any]], x: Tensor, w: Window, *, ceil_mode: bool
) -> Any:
    if known(w):
        sides = [before for before, _ in w.sides]
        return kernels[x.ndim](x, w.kernel, w.stride, sides, w.dilation, ceil_mode)
    lowest = float("-inf") if x.is_floating_point() else torch.iinfo(x.dtype).min
    return kernels[x.ndim](padded(x, w.reach, lowest), w.kernel, w.stride, 0, w.dilation)


def _unpadded(places: Tensor, w: Window) -> Tensor:
    """Flat places of the padded map as flat places of the map itself."""
    flat, step = torch.zeros_like(places), 1
    for n, (before, after) in reversed(list(zip(w.size, w.reach, strict=True))):
        wide = n + before + after
        flat += (places % wide - before).clamp(0, n - 1) * step
        places = places // wide
        step *= n
    return flat
