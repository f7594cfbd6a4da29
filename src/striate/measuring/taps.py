"""Which cells along an axis each windowed function reads, from the arguments of its call.

n cells in, m cells out; axes are counted from the first axis of space.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import floor
from typing import cast

from striate.measuring.reads import SAME, Taps
from striate.probe import Call, Value

# Taps of one axis: call, number of the axis among those of space, cells in, cells out.
Tapping = Callable[[Call, int, int, int], Taps]


def setting(given: object, axis: int, default: int = 1) -> int:
    """One number of a setting that is an integer or a sequence with one for all axes or one each."""
    if given is None or given == []:
        return default
    if isinstance(given, int):
        return given
    numbers = cast("Sequence[int]", given)
    return numbers[axis if len(numbers) > 1 else 0]


def kernel_of(call: Call) -> tuple[int, ...]:
    """The sides of the kernel of a convolution."""
    weight = call.arg("weight", 1)
    return weight.shape[2:] if isinstance(weight, Value) else ()


def convolution(call: Call, axis: int, n: int, m: int) -> Taps:
    """Of conv1d, conv2d, conv3d."""
    del n, m
    kernel = kernel_of(call)[axis]
    dilation = setting(call.arg("dilation", 5, 1), axis)
    padding = call.arg("padding", 4, 0)
    if isinstance(padding, str):  # "same" puts the odd cell after
        before = dilation * (kernel - 1) // 2 if padding == "same" else 0
    else:
        before = setting(padding, axis)
    return window(kernel, setting(call.arg("stride", 3, 1), axis), before, dilation)


def window(kernel: int, stride: int, before: int = 0, dilation: int = 1) -> Taps:
    """A window that moves along the axis."""
    return Taps(1, stride, (tuple(k * dilation - before for k in range(kernel)),))


def transposed(call: Call, axis: int, n: int, m: int) -> Taps:
    """Of conv_transpose1d, 2d, 3d: output o reads the inputs i with o = i stride - padding + k dilation."""
    del n, m
    stride = setting(call.arg("stride", 3, 1), axis)
    before = setting(call.arg("padding", 4, 0), axis)
    return spreading(
        kernel_of(call)[axis], stride, before, setting(call.arg("dilation", 7, 1), axis)
    )


def spreading(kernel: int, stride: int, before: int = 0, dilation: int = 1) -> Taps:
    """A window turned round: every input is spread over one."""
    cells = tuple(
        tuple(
            (phase + before - k * dilation) // stride
            for k in reversed(range(kernel))
            if (phase + before - k * dilation) % stride == 0
        )
        for phase in range(stride)
    )
    return Taps(stride, 1, cells)


def pooling(kernel_at: int) -> Tapping:
    """Of max_pool, avg_pool and lp_pool, whose arguments from the kernel on stand at `kernel_at`."""

    def taps(call: Call, axis: int, n: int, m: int) -> Taps:
        del n, m
        kernel = setting(call.arg("kernel_size", kernel_at, 2), axis)
        stride = setting(call.arg("stride", kernel_at + 1), axis, kernel)
        if kernel_at > 1:  # lp_pool is never padded
            return window(kernel, stride)
        before = setting(call.arg("padding", 3, 0), axis, 0)
        dilated = call.op.startswith("max")
        dilation = setting(call.arg("dilation", 4, 1), axis) if dilated else 1
        return window(kernel, stride, before, dilation)

    return taps


def patches(call: Call, kernel_at: int) -> list[list[int]]:
    """Kernel, dilation, padding and stride of `unfold` and `fold`, one number an axis each."""
    names = (("kernel_size", 1), ("dilation", 1), ("padding", 0), ("stride", 1))
    return [
        [setting(call.arg(name, kernel_at + i, default), axis, default) for axis in (0, 1)]
        for i, (name, default) in enumerate(names)
    ]


def places(sides: Sequence[int], call: Call, kernel_at: int) -> list[int]:
    """How many places the window of `unfold` and `fold` has along each axis of the maps."""
    numbers = zip(sides, *patches(call, kernel_at), strict=True)
    return [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in numbers]


def unpooling(call: Call, axis: int, n: int, m: int) -> Taps:
    """Of max_unpool: every input may come to lie anywhere in the window it is the maximum of."""
    del n, m
    kernel = setting(call.arg("kernel_size", 2, 2), axis)
    stride = setting(call.arg("stride", 3), axis, kernel)
    return spreading(kernel, stride, setting(call.arg("padding", 4, 0), axis, 0))


def adaptive(call: Call, axis: int, n: int, m: int) -> Taps:
    """Of adaptive pooling: output o reads from floor(o n / m) to below ceil((o + 1) n / m)."""
    del call, axis
    ratio = Fraction(n, m)
    return by_ratio(ratio, lambda o: range(floor(o * ratio), -floor(-(o + 1) * ratio)))


def by_ratio(ratio: Fraction, cells: Callable[[int], Sequence[int]]) -> Taps:
    """Taps that repeat after the denominator of `ratio` input cells an output."""
    period = ratio.denominator
    return Taps(period, ratio.numerator, tuple(tuple(cells(o)) for o in range(period)))


AROUND = {"linear": 1, "bilinear": 1, "trilinear": 1, "bicubic": 2}


def resizing(call: Call, axis: int, n: int, m: int) -> Taps | None:
    """Of interpolate; None for what reads more than a fixed number of cells around a place."""
    mode = str(call.arg("mode", 3, "nearest"))
    if n == m and mode != "nearest-exact":
        return SAME
    if mode == "area":
        return adaptive(call, axis, n, m)
    if call.arg("antialias", 6, False):
        return None
    aligned = bool(call.arg("align_corners", 4))
    ratio = Fraction(n - 1, max(1, m - 1)) if aligned else _ratio(call, axis, n, m)
    if mode == "nearest":
        return by_ratio(ratio, lambda o: (floor(o * ratio),))
    if mode == "nearest-exact":
        return by_ratio(ratio, lambda o: (floor((o + Fraction(1, 2)) * ratio),))
    return by_ratio(ratio, lambda o: _around(_place(o, ratio, aligned=aligned), AROUND[mode]))


def _ratio(call: Call, axis: int, n: int, m: int) -> Fraction:
    scale = call.arg("scale_factor", 2)
    if scale is None or call.arg("recompute_scale_factor", 5):
        return Fraction(n, m)
    factor = scale if isinstance(scale, int | float) else cast("Sequence[float]", scale)[axis]
    return 1 / Fraction(factor).limit_denominator(1000)


def _place(o: int, ratio: Fraction, *, aligned: bool) -> Fraction:
    half = Fraction(1, 2)
    return o * ratio if aligned else (o + half) * ratio - half


def _around(place: Fraction, reach: int) -> Sequence[int]:
    low = floor(place)
    return (low,) if place == low else range(low - reach + 1, low + reach + 1)


def padding(sides: tuple[int, int], mode: str, n: int) -> Taps:
    """Of `pad` along one axis: zeros read nothing, other fills read cells of the input again."""
    before, after = sides
    shift = (1, 1, ((-before,),))
    if mode == "constant" or before <= 0 >= after:
        return Taps(*shift)
    places = range(-before, n + after)
    return Taps(*shift, table=tuple((FILLS[mode](j, n),) for j in places))


FILLS: dict[str, Callable[[int, int], int]] = {
    "reflect": lambda j, n: -j if j < 0 else min(j, 2 * (n - 1) - j),
    "replicate": lambda j, n: min(max(j, 0), n - 1),
    "circular": lambda j, n: j % n,
}


def cut(index: slice, n: int) -> Taps:
    """Of a slice."""
    start, _, step = index.indices(n)
    return Taps(1, step, ((start,),))


REPEATED = Taps(1, 0, ((0,),))  # one cell, read by all outputs


def placed(places: range, n: int) -> Taps:
    """Cells set down one after the other at `places` among `n`; the others read nothing."""
    step = places.step
    cells = tuple(
        ((phase - places.start) // step,) if (phase - places.start) % step == 0 else ()
        for phase in range(step)
    )
    table = tuple((places.index(o),) if o in places else () for o in range(n))
    return Taps(step, 1, cells, table)
