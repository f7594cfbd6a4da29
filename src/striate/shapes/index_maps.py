"""Which input cells each output of an operation reads along one axis, in integers alone.

n cells in, m cells out; k cells of a kernel, s stride, d dilation, b cells of padding before the first.
Output y of a window reads the cells y s - b + k d; of a transposed one those i with i s - b + k d = y.
Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv 1603.07285.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor


@dataclass(frozen=True)
class IndexMap:
    """The input cells that each output reads; the pattern repeats.

    Attributes:
        period: how many outputs until the pattern repeats.
        advance: how many input cells further on it repeats.
        cells: what each of the first `period` outputs reads; may lie outside the input, in padding.
        table: what each output really reads where edges differ from that, as in reflecting padding.
        bounded: whether there is such a thing as an input without end; not for a mean over all there is.
    """

    period: int
    advance: int
    cells: tuple[tuple[int, ...], ...]
    table: tuple[tuple[int, ...], ...] | None = None
    bounded: bool = True

    def at(self, o: int) -> tuple[int, ...]:
        """The cells that output `o` reads on an input without end."""
        turns, phase = divmod(o, self.period)
        return tuple(cell + turns * self.advance for cell in self.cells[phase])

    def real(self, o: int) -> tuple[int, ...]:
        """The cells that output `o` reads on this input; those outside it are padding."""
        return self.at(o) if self.table is None else self.table[o]


SAME = IndexMap(1, 1, ((0,),))
REPEATED = IndexMap(1, 0, ((0,),))  # one cell, read by all outputs


def sliding(kernel: int, stride: int = 1, before: int = 0, dilation: int = 1) -> IndexMap:
    """A window that moves along the axis.

    >>> sliding(3, stride=2, before=1).at(2)
    (3, 4, 5)
    """
    return IndexMap(1, stride, (tuple(k * dilation - before for k in range(kernel)),))


def met(
    y: int, kernel: int, stride: int, before: int = 0, dilation: int = 1
) -> tuple[int | None, ...]:
    """The input cell that each kernel cell of a transposed window meets at output y; None between two inputs.

    >>> met(2, kernel=3, stride=2)
    (1, None, 0)
    """
    found = (divmod(y + before - k * dilation, stride) for k in range(kernel))
    return tuple(None if between else cell for cell, between in found)


def spreading(kernel: int, stride: int, before: int = 0, dilation: int = 1) -> IndexMap:
    """A transposed window: every input is spread over a kernel."""
    cells = tuple(
        tuple(c for c in reversed(met(y, kernel, stride, before, dilation)) if c is not None)
        for y in range(stride)
    )
    return IndexMap(stride, 1, cells)


def adaptive(n: int, m: int) -> IndexMap:
    """Of adaptive pooling: output o reads from floor(o n / m) to below ceil((o + 1) n / m).

    >>> [adaptive(5, 2).at(o) for o in range(2)]
    [(0, 1, 2), (2, 3, 4)]
    """
    if m == 1:
        return IndexMap(1, n, (tuple(range(n)),), bounded=False)
    ratio = Fraction(n, m)
    return by_ratio(ratio, lambda o: range(floor(o * ratio), -floor(-(o + 1) * ratio)))


def by_ratio(ratio: Fraction, cells: Callable[[int], Sequence[int]]) -> IndexMap:
    """Cells that repeat after the denominator of `ratio`, input cells an output."""
    period = ratio.denominator
    return IndexMap(period, ratio.numerator, tuple(tuple(cells(o)) for o in range(period)))


AROUND = {"linear": 1, "bilinear": 1, "trilinear": 1, "bicubic": 2}


def resized(ratio: Fraction, mode: str, *, aligned: bool = False) -> IndexMap:
    """Of interpolation by `ratio` input cells an output; `aligned` keeps the middles of the corners in place."""
    if mode == "nearest":
        return by_ratio(ratio, lambda o: (floor(o * ratio),))
    half = Fraction(1, 2)
    if mode == "nearest-exact":
        return by_ratio(ratio, lambda o: (floor((o + half) * ratio),))
    shift = Fraction(0) if aligned else half * ratio - half
    return by_ratio(ratio, lambda o: _around(o * ratio + shift, AROUND[mode]))


def _around(place: Fraction, cells: int) -> Sequence[int]:
    low = floor(place)
    return (low,) if place == low else range(low - cells + 1, low + cells + 1)


FILLS: dict[str, Callable[[int, int], int]] = {
    "reflect": lambda j, n: -j if j < 0 else min(j, 2 * (n - 1) - j),
    "replicate": lambda j, n: min(max(j, 0), n - 1),
    "circular": lambda j, n: j % n,
}


def padded(before: int, after: int, mode: str, n: int) -> IndexMap:
    """Of padding `n` cells: a constant reads nothing, other fills read cells of the input again."""
    if mode == "constant" or before <= 0 >= after:
        return IndexMap(1, 1, ((-before,),))
    table = tuple((FILLS[mode](j, n),) for j in range(-before, n + after))
    return IndexMap(1, 1, ((-before,),), table)


def cut(index: slice, n: int) -> IndexMap:
    """Of a slice of `n` cells."""
    start, _, step = index.indices(n)
    return IndexMap(1, step, ((start,),))


def placed(places: range, n: int) -> IndexMap:
    """Cells set down one after the other at `places` among `n`; the others read nothing."""
    step = places.step
    cells = tuple(
        ((phase - places.start) // step,) if (phase - places.start) % step == 0 else ()
        for phase in range(step)
    )
    table = tuple((places.index(o),) if o in places else () for o in range(n))
    return IndexMap(step, 1, cells, table)
