"""What all pooling shares: the window, and products of one number an axis."""

from collections.abc import Sequence

from torch import Tensor

from striate.ops import checks
from striate.shapes import Ints, Padding, Window, pool_window


def window_of(
    who: str,
    x: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Padding,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> Window:
    """`shapes.pool_window` over the space of `x`, its errors opened with `who`."""
    with checks.named(who):
        return pool_window(
            x.shape[2:],
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            ceil_mode=ceil_mode,
        )


def known(w: Window) -> bool:
    """Whether PyTorch pools this window itself: as much before as after, at most half a window."""
    return w.even_sided and all(b <= k // 2 for (b, _), k in zip(w.sides, w.kernel, strict=True))


def half(padding: Padding, kernel_size: Ints, axes: int) -> bool:
    """`known` of settings as they are written: integers that PyTorch takes for an input of so many axes."""
    if isinstance(padding, int) and isinstance(kernel_size, int):
        return 2 * padding <= kernel_size
    pads = [padding] * (axes - 2) if isinstance(padding, int) else padding
    kernel = [kernel_size] * (axes - 2) if isinstance(kernel_size, int) else kernel_size
    return [*map(type, pads)] == checks.INTS[axes] and all(
        isinstance(p, int) and 2 * p <= k for p, k in zip(pads, kernel, strict=True)
    )


def outer(axes: Sequence[Sequence[float]], like: Tensor) -> Tensor:
    """Products of one number an axis, [*out], in the type and on the device of `like`."""
    result = like.new_ones(())
    for numbers in axes:
        result = result.unsqueeze(-1) * like.new_tensor(numbers)
    return result
