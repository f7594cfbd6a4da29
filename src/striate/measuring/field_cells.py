"""Which pixels the cells along one axis of a tensor read.

Two accounts run side by side. `masks` are the cells of the input that each cell of a tensor really
reads, one bit a cell. `spans` are the intervals that it would read on an input without end: padding
counts as cells, so they do not depend on the edges, and repeat: cell i + period reads `advance` cells
further on than cell i. Convolutions have period 1; transposed ones and resizing have more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from math import gcd, lcm
from operator import or_

from striate.shapes.index_maps import SAME, IndexMap

LONGEST = 1024  # periods beyond it are not followed: no field with so many phases says anything

Span = tuple[int, int] | None


@dataclass(frozen=True)
class Spans:
    """First and last input cell read by each cell, both included, on an input without end.

    `cells` holds one period; None stands for a cell that reads nothing.
    """

    period: int
    advance: int
    cells: tuple[Span, ...]

    @property
    def stride(self) -> Fraction:
        """Input cells from one cell to the next, on average over a period."""
        return Fraction(self.advance, self.period)

    @property
    def size(self) -> int:
        """Cells of the largest interval."""
        return max((span[1] - span[0] + 1 for span in self.cells if span), default=0)

    @property
    def start(self) -> int:
        """First input cell that cell 0 reads, or if it reads none, the first that does."""
        return next((span[0] for span in self.cells if span), 0)

    @property
    def centre(self) -> Fraction:
        """Middle of what cell 0 reads, on average over the phases."""
        middles = [
            Fraction(span[0] + span[1], 2) - i * self.stride
            for i, span in enumerate(self.cells)
            if span
        ]
        return sum(middles, Fraction(0)) / max(1, len(middles))

    @property
    def step(self) -> float:
        """The widest distance from one cell to the next."""
        starts = [span[0] for i in range(self.period + 1) if (span := self.at(i))]
        return max((float(b - a) for a, b in pairwise(starts)), default=float(self.stride))

    def at(self, i: int) -> Span:
        """The interval of cell `i`."""
        turns, phase = divmod(i, self.period)
        span, by = self.cells[phase], turns * self.advance
        return span and (span[0] + by, span[1] + by)

    def from_cell(self, first: int) -> "Spans":
        """The same intervals numbered from another cell on."""
        return replace(self, cells=tuple(self.at(first + i) for i in range(self.period)))

    def through(self, index_map: IndexMap) -> "Spans | None":
        """What the outputs of an operation read; None if it has no bound, or a pattern too long to follow."""
        repeats = self.period // gcd(self.period, index_map.advance)
        period = index_map.period * repeats
        if period > LONGEST or not index_map.bounded:
            return None
        advance = repeats * index_map.advance // self.period * self.advance
        cells = tuple(_cover(self.at(j) for j in index_map.at(o)) for o in range(period))
        return Spans(period, advance, cells).shortest()

    def shortest(self) -> "Spans":
        """The same with the shortest period."""
        for period in range(1, self.period):
            if self.period % period or self.advance * period % self.period:
                continue
            short = Spans(period, self.advance * period // self.period, self.cells[:period])
            if all(short.at(i) == span for i, span in enumerate(self.cells)):
                return short
        return self


def _cover(spans: Iterable[Span]) -> Span:
    real = [span for span in spans if span]
    return (min(low for low, _ in real), max(high for _, high in real)) if real else None


def _union_of_spans(parts: Sequence[Spans]) -> Spans | None:
    if len({part.stride for part in parts}) > 1:
        return None
    period = lcm(*(part.period for part in parts))
    if period > LONGEST:
        return None
    cells = tuple(_cover(part.at(i) for part in parts) for i in range(period))
    return Spans(period, int(parts[0].stride * period), cells).shortest()


@dataclass(frozen=True, eq=False)
class Cells:
    """What the cells along one axis of a tensor read; `spans` is None where the field has no bound."""

    masks: tuple[int, ...]
    spans: Spans | None

    @property
    def all(self) -> int:
        """Every input cell that is read anywhere."""
        return reduce(or_, self.masks, 0)

    def through(self, index_map: IndexMap, n: int) -> "Cells":
        """What the `n` outputs of an operation read."""
        if index_map == SAME and n == len(self.masks):
            return self
        masks = self.masks
        read = tuple(
            reduce(or_, (masks[j] for j in index_map.real(o) if 0 <= j < len(masks)), 0)
            for o in range(n)
        )
        return Cells(read, self.spans and self.spans.through(index_map))

    def as_whole(self, n: int = 1) -> "Cells":
        """`n` cells that each read all there is."""
        return Cells((self.all,) * n, None)

    def unbounded(self) -> "Cells":
        """The same without a field."""
        return Cells(self.masks, None)


def input_axis(n: int) -> Cells:
    """The axis of the input itself: every cell reads itself."""
    return Cells(tuple(1 << i for i in range(n)), Spans(1, 1, ((0, 0),)))


def end_to_end(parts: Sequence[Cells]) -> Cells:
    """Tensors joined along the axis; the field stays where they continue each other."""
    spans, at = parts[0].spans, 0
    for part in parts:
        if spans and part.spans != spans.from_cell(at):
            spans = None
        at += len(part.masks)
    return Cells(tuple(m for part in parts for m in part.masks), spans)


def union_of_cells(parts: Sequence[Cells]) -> Cells:
    """What is read by all of several tensors together, cell by cell; single cells are repeated."""
    if all(part is parts[0] for part in parts):
        return parts[0]
    n = max(len(part.masks) for part in parts)
    full = [part.masks if len(part.masks) == n else part.masks * n for part in parts]
    masks = tuple(reduce(or_, cells) for cells in zip(*full, strict=True))
    spans = [part.spans for part in parts]
    return Cells(masks, _union_of_spans([s for s in spans if s]) if all(spans) else None)
