"""What all pooling shares: the window, and products of one number an axis."""

from torch import Tensor

from striate.errors import ShapeError
from striate.ops.checks import geometry
from striate.shapes import Ints, Padding, Window, spread


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


def known(w: Window) -> bool:
    """Whether PyTorch pools this window itself: as much before as after, at most half a window."""
    return w.even_sided and all(b <= k // 2 for (b, _), k in zip(w.sides, w.kernel, strict=True))


def outer(axes: list[list[int]] | list[list[float]], like: Tensor) -> Tensor:
    """Products of one number an axis, [*out], in the type and on the device of `like`."""
    product = like.new_ones(())
    for numbers in axes:
        product = product.unsqueeze(-1) * like.new_tensor(numbers)
    return product
