"""How a window slides: sizes, padding and taps, in integers alone.

n cells of input, m cells of output, k kernel, s stride, d dilation, b and a padding before and after;
a kernel spreads over (k - 1) d + 1 cells, and m = floor((n + b + a - spread) / s) + 1.
Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv 1603.07285.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple, TypeAlias

from striate.errors import ArgumentError, ShapeError, nearest, told
from striate.shapes.arguments import (
    WORDS,
    Ints,
    Padding,
    check_truth,
    check_whole,
    is_list,
    is_whole,
    per_axis,
)

Sides: TypeAlias = tuple[tuple[int, int], ...]


class Window(NamedTuple):
    """A window that slides over `size` cells: every field has one entry an axis.

    `overhang` is what a last window of ceil mode reads beyond the padding; it is never counted.
    """

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    sides: Sides
    out: tuple[int, ...]
    overhang: tuple[int, ...]

    @property
    def even_sided(self) -> bool:
        """Whether as much is padded before as after, on every axis."""
        return all(before == after for before, after in self.sides)

    @property
    def reach(self) -> Sides:
        """Padding with the overhang added to its end: what has to be there to be read."""
        return tuple((b, a + o) for (b, a), o in zip(self.sides, self.overhang, strict=True))

    def counts(self, axis: int, *, padded: bool = False) -> list[int]:
        """How many real cells every place along an axis reads; `padded` ones too, if asked."""
        n, k, s, d = self.size[axis], self.kernel[axis], self.stride[axis], self.dilation[axis]
        before, after = self.sides[axis]
        first, stop = (0, n + before + after) if padded else (before, before + n)
        return [sum(first <= p * s + t * d < stop for t in range(k)) for p in range(self.out[axis])]

    def taps(self) -> Iterator[tuple[slice, ...]]:
        """For every cell of the kernel, last axis fastest: where it reads in the padded input."""
        for tap in product(*map(range, self.kernel)):
            yield tuple(
                slice(t * d, t * d + (m - 1) * s + 1, s)
                for t, d, m, s in zip(tap, self.dilation, self.out, self.stride, strict=True)
            )


def spread(kernel: int, dilation: int = 1) -> int:
    """Cells from the first to the last one that a dilated kernel reads, both included.

    >>> spread(3, 2)
    5
    """
    check_whole(kernel=kernel, dilation=dilation)
    return _spread(kernel, dilation)


def _spread(kernel: int, dilation: int) -> int:
    return (kernel - 1) * dilation + 1


def padding_needed(
    size: int, out: int, *, kernel: int, stride: int = 1, dilation: int = 1, lower: bool = False
) -> tuple[int, int]:
    """Least padding (before, after) that gives `out` cells; the odd cell after, or before if `lower`.

    Raises:
        ShapeError: even without padding there are more.

    >>> padding_needed(5, 3, kernel=3, stride=2)
    (1, 1)
    """
    check_whole(size=size, out=out, kernel=kernel, stride=stride, dilation=dilation)
    check_truth(lower=lower)
    total = max(0, (out - 1) * stride + _spread(kernel, dilation) - size)
    if (size + total - _spread(kernel, dilation)) // stride + 1 != out:
        raise ShapeError(
            f"{size} cells give more than {out} even without padding; take a larger stride or kernel"
        )
    less, more = total // 2, total - total // 2
    return (more, less) if lower else (less, more)


def sides(
    padding: Padding,
    size: Sequence[int],
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Sides:
    """Padding as (before, after) an axis, from a word, one integer, or one entry or pair an axis.

    "same" and "same_upper" give ceil(n / s) cells with the odd one after, "same_lower" before.

    Raises:
        ArgumentError: an unknown word, a negative entry, or not as many entries as axes.
    """
    if isinstance(padding, str):
        return _sides_of_word(padding, size, kernel, stride, dilation)
    return spelled_sides(padding, size)


def spelled_sides(padding: int | Sequence[int | Sequence[int]], size: Sequence[int]) -> Sides:
    """`sides` of a padding that is no word.

    Raises:
        ArgumentError: a negative entry, or not as many entries as axes.
    """
    if not isinstance(padding, Sequence):
        (cells,) = per_axis(padding, 1, "padding", least=0)
        return ((cells, cells),) * len(size)
    if len(padding) != len(size):
        raise ArgumentError(
            f"padding={told(padding)} has {len(padding)} entries, expected {len(size)}: "
            "one integer or one pair (before, after) an axis"
        )
    pairs = [tuple(p) if isinstance(p, Sequence) else (p, p) for p in padding]
    if any(len(pair) != 2 or not all(is_whole(p) and p >= 0 for p in pair) for pair in pairs):
        raise ArgumentError(f"padding={told(padding)} must hold integers or pairs of at least 0")
    return tuple((pair[0], pair[1]) for pair in pairs)


def _sides_of_word(
    word: str,
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Sides:
    if word not in WORDS:
        raise ArgumentError(f"unknown padding {told(word)}; {nearest(word, WORDS)}")
    if word == "valid":
        return ((0, 0),) * len(size)
    return tuple(
        padding_needed(n, -(-n // s), kernel=k, stride=s, dilation=d, lower=word == "same_lower")
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True)
    )


def out_size(
    size: int,
    *,
    kernel: int,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Cells that come out of one axis; with `ceil_mode` no window starts in the end padding.

    Raises:
        ShapeError: the kernel spreads over more than the padded input.

    >>> out_size(32, kernel=3, stride=2, padding=1)
    16
    """
    check_whole(size=size, kernel=kernel, stride=stride, dilation=dilation)
    check_truth(ceil_mode=ceil_mode)
    return _cells_out(size, kernel, stride, _pair(padding), dilation, ceil_mode=ceil_mode)


def _pair(padding: int | tuple[int, int]) -> tuple[int, int]:
    one = is_whole(padding)
    before, after = per_axis((padding, padding) if one else padding, 2, "padding", least=0)
    return before, after


def _cells_out(
    size: int,
    kernel: int,
    stride: int,
    padding: tuple[int, int],
    dilation: int,
    *,
    ceil_mode: bool,
) -> int:
    before, after = padding
    room = size + before + after - _spread(kernel, dilation)
    if room < 0:
        raise ShapeError(
            f"a kernel that spreads over {_spread(kernel, dilation)} cells does not fit in {size} "
            f"padded by {before} + {after}; pad more or take a smaller kernel or dilation"
        )
    if not ceil_mode:
        return room // stride + 1
    return min(-(-room // stride) + 1, -(-(size + before) // stride))


def in_size(
    out: int,
    *,
    kernel: int,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
) -> int:
    """Least input that gives `out` cells; 1 where even that gives more, for it is padded so wide.

    >>> in_size(16, kernel=3, stride=2, padding=1)
    31
    """
    check_whole(out=out, kernel=kernel, stride=stride, dilation=dilation)
    return max(1, _cells_in(out, kernel, stride, _pair(padding), dilation))


def _cells_in(out: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int) -> int:
    return (out - 1) * stride + _spread(kernel, dilation) - sum(padding)


def window(
    size: Sequence[int],
    *,
    kernel_size: Ints,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> Window:
    """The geometry of one operation, every argument checked and spelled out an axis at a time.

    Raises:
        ArgumentError: an argument of the wrong length or range, or an unknown padding word.
        ShapeError: the window does not fit.
    """
    rank = _rank(size)
    check_truth(ceil_mode=ceil_mode)
    kernel = per_axis(kernel_size, rank, "kernel_size")
    step = per_axis(stride, rank, "stride")
    dilate = per_axis(dilation, rank, "dilation")
    pads = sides(padding, size, kernel=kernel, stride=step, dilation=dilate)
    axes = tuple(zip(size, kernel, step, pads, dilate, strict=True))
    out = tuple(_cells_out(n, k, s, p, d, ceil_mode=ceil_mode) for n, k, s, p, d in axes)
    overhang = tuple(
        max(0, _cells_in(m, k, s, p, d) - n) for (n, k, s, p, d), m in zip(axes, out, strict=True)
    )
    return Window(tuple(size), kernel, step, dilate, pads, out, overhang)


def _rank(size: Sequence[int]) -> int:
    """How many axes of space there are, one to three, each of at least one cell."""
    if not is_list(size) or not all(map(is_whole, size)):
        raise ArgumentError(f"size={told(size)}, expected the cells of every axis")
    if not 1 <= len(size) <= 3:
        raise ShapeError(f"size={told(size)} has {len(size)} axes of space, expected 1 to 3")
    if any(n < 1 for n in size):
        raise ShapeError(f"got an input of {tuple(size)} cells, expected at least one an axis")
    return len(size)


def pool_window(
    size: Sequence[int],
    *,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> Window:
    """`window` of a pooling: its stride is its size unless given, its padding narrower than a window.

    Raises:
        ArgumentError: an argument of the wrong length or range, or an unknown padding word.
        ShapeError: the window does not fit, or would read nothing but padding.
    """
    w = window(
        size,
        kernel_size=kernel_size,
        stride=kernel_size if stride is None else stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
    )
    for pair, k, d in zip(w.sides, w.kernel, w.dilation, strict=True):
        if max(pair) >= _spread(k, d):
            raise ShapeError(
                f"padding of {pair[0]} + {pair[1]} is as wide as the window, which spreads over "
                f"{_spread(k, d)}: it would read nothing else; pad less"
            )
    return w


class Transposed(NamedTuple):
    """How a transposed convolution moves: every field has one entry an axis.

    `off` is what is cut off the full result (before, after), `extra` what is added to its end.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    off: Sides
    extra: tuple[int, ...]
    out: tuple[int, ...]


def transposed_window(
    size: Sequence[int],
    *,
    kernel_size: Ints,
    stride: Ints = 1,
    padding: Padding = 0,
    output_padding: Ints = 0,
    output_size: Ints | None = None,
    dilation: Ints = 1,
) -> Transposed:
    """The geometry of a transposed convolution, every argument checked and spelled out an axis at a time.

    `output_size` takes the place of `output_padding` if it is given: what has to be added follows from it.

    Raises:
        ArgumentError: an argument of the wrong length or range, or an unknown padding word.
        ShapeError: nothing is left, more is added than a convolution leaves open, or no convolution takes
            the size that is asked for to this one.
    """
    rank = _rank(size)
    kernel = per_axis(kernel_size, rank, "kernel_size")
    step, dilate = per_axis(stride, rank, "stride"), per_axis(dilation, rank, "dilation")
    extra = per_axis(output_padding, rank, "output_padding", least=0)
    off = crops(padding, kernel=kernel, stride=step, dilation=dilate)
    axes = tuple(zip(size, kernel, step, off, dilate, strict=True))
    if output_size is not None:
        target = per_axis(output_size, rank, "output_size")
        extra = tuple(m - _cells_in(*axis) for m, axis in zip(target, axes, strict=True))
        for m, e, s in zip(target, extra, step, strict=True):
            if not 0 <= e < s:
                raise ShapeError(
                    f"output_size={told(output_size)}: {m} cells cannot come out, "
                    f"expected {max(1, m - e)} to {m - e + s - 1}"
                )
    which = f"padding={told(padding)}"
    out = tuple(_cells_transposed(*axis, e, which) for axis, e in zip(axes, extra, strict=True))
    return Transposed(kernel, step, dilate, off, extra, out)


def transposed_size(
    size: int,
    *,
    kernel: int,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    output_padding: int = 0,
) -> int:
    """Cells that come out of one axis of a transposed convolution.

    Raises:
        ShapeError: nothing is left, or more is added than a convolution leaves open.

    >>> transposed_size(3, kernel=3, stride=2, padding=1, output_padding=1)
    6
    """
    check_whole(least=0, output_padding=output_padding)
    check_whole(size=size, kernel=kernel, stride=stride, dilation=dilation)
    return _cells_transposed(
        size, kernel, stride, _pair(padding), dilation, output_padding, f"padding={told(padding)}"
    )


def _cells_transposed(
    size: int,
    kernel: int,
    stride: int,
    off: tuple[int, int],
    dilation: int,
    extra: int,
    which: str,
) -> int:
    out = _cells_in(size, kernel, stride, off, dilation) + extra
    if out < 1:
        raise ShapeError(f"{which} leaves {out} of {size} cells; pad less")
    if extra >= max(stride, dilation):
        raise ShapeError(
            f"output_padding={extra} must be less than {max(stride, dilation)}, the larger of stride "
            f"{stride} and dilation {dilation}"
        )
    return out


def crops(
    padding: Padding, *, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Sides:
    """What `padding` takes off (before, after) the full result of a transposed convolution.

    "same" gives n s cells, so it may add to the end (a negative entry) when the stride is wider
    than the kernel.
    """
    if not isinstance(padding, str) or padding not in WORDS[1:]:
        return sides(padding, kernel, kernel=kernel, stride=stride, dilation=dilation)
    off = [_spread(k, d) - s for k, d, s in zip(kernel, dilation, stride, strict=True)]
    halves = [(max(0, cells // 2), cells - max(0, cells // 2)) for cells in off]
    lower = padding == "same_lower"
    return tuple((a, b) if lower and a >= 0 else (b, a) for b, a in halves)


def regions(size: int, grid: int) -> list[tuple[int, int]]:
    """Start and stop of `grid` neighbouring regions of `size` cells, as even as can be.

    Raises:
        ShapeError: there are fewer cells than regions.
        ArgumentError: one is no integer of at least 1.

    >>> regions(7, 3)
    [(0, 2), (2, 4), (4, 7)]
    """
    check_whole(size=size, grid=grid)
    if grid > size:
        raise ShapeError(f"{size} cells cannot be cut into {grid} regions; take 1 to {size}")
    return [(i * size // grid, (i + 1) * size // grid) for i in range(grid)]
