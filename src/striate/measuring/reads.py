"""What the cells of one axis read, followed from layer to layer: the arithmetic of receptive fields.

Two accounts run side by side. `masks` are the cells of the input that each cell of a tensor really
reads, one bit a cell. `spans` are the intervals that it would read on an input without end: padding
counts as cells, so they do not depend on the edges, and repeat: cell i + period reads `advance` cells
further on than cell i. Convolutions have period 1; transposed ones and resizing have more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import gcd, lcm
from operator import or_

LONGEST = 1024  # periods beyond it are not followed: no field with so many phases says anything

Span = tuple[int, int] | None


@dataclass(frozen=True)
class Taps:
    """Which cells of an axis an operation reads.

    Attributes:
        period: how many outputs until the pattern repeats.
        advance: how many input cells further on it repeats.
        cells: what each of the first `period` outputs reads; may lie outside the input, in padding.
        table: what each output really reads where edges differ from that, as in reflecting padding.
    """

    period: int
    advance: int
    cells: tuple[tuple[int, ...], ...]
    table: tuple[tuple[int, ...], ...] | None = None

    def at(self, o: int) -> tuple[int, ...]:
        """The cells that output `o` reads on an input without end."""
        turns, phase = divmod(o, self.period)
        return tuple(cell + turns * self.advance for cell in self.cells[phase])

    def real(self, o: int) -> tuple[int, ...]:
        """The cells that output `o` reads on this input; those outside it are padding."""
        return self.at(o) if self.table is None else self.table[o]


SAME = Taps(1, 1, ((0,),))


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

    def at(self, i: int) -> Span:
        """The interval of cell `i`."""
        turns, phase = divmod(i, self.period)
        return shifted(self.cells[phase], turns * self.advance)


@dataclass(frozen=True, eq=False)
class Reads:
    """Both accounts of one axis of one tensor; `spans` is None where the field has no bound."""

    masks: tuple[int, ...]
    spans: Spans | None

    @property
    def all(self) -> int:
        """Every input cell that is read anywhere."""
        return reduce(or_, self.masks, 0)


def own(n: int) -> Reads:
    """The axis of the input itself: every cell reads itself."""
    return Reads(tuple(1 << i for i in range(n)), Spans(1, 1, ((0, 0),)))


def through(reads: Reads, taps: Taps, n: int) -> Reads:
    """What the `n` outputs of an operation with these taps read of the input."""
    if taps == SAME and n == len(reads.masks):
        return reads
    masks = reads.masks
    seen = tuple(
        reduce(or_, (masks[j] for j in taps.real(o) if 0 <= j < len(masks)), 0) for o in range(n)
    )
    return Reads(seen, reads.spans and _composed(reads.spans, taps))


def whole(reads: Reads, n: int = 1) -> Reads:
    """`n` cells that each read all there is."""
    return Reads((reads.all,) * n, None)


def chained(parts: Sequence[Reads]) -> Reads:
    """Tensors laid end to end along the axis; the field stays where they continue each other."""
    spans, at = parts[0].spans, 0
    for part in parts:
        if spans and part.spans != _later(spans, at):
            spans = None
        at += len(part.masks)
    return Reads(tuple(m for part in parts for m in part.masks), spans)


def union(parts: Sequence[Reads]) -> Reads:
    """What is read by all of several tensors together, cell by cell; single cells are repeated."""
    if all(part is parts[0] for part in parts):
        return parts[0]
    n = max(len(part.masks) for part in parts)
    padded = [part.masks if len(part.masks) == n else part.masks * n for part in parts]
    masks = tuple(reduce(or_, cells) for cells in zip(*padded, strict=True))
    spans = [part.spans for part in parts]
    return Reads(masks, _joined([s for s in spans if s]) if all(spans) else None)


def shifted(span: Span, by: int) -> Span:
    """The interval `by` cells further on."""
    return span and (span[0] + by, span[1] + by)


def cover(spans: Iterable[Span]) -> Span:
    """The smallest interval that holds all."""
    real = [span for span in spans if span]
    return (min(low for low, _ in real), max(high for _, high in real)) if real else None


def _composed(spans: Spans, taps: Taps) -> Spans | None:
    repeats = spans.period // gcd(spans.period, taps.advance)
    period = taps.period * repeats
    if period > LONGEST:
        return None
    advance = repeats * taps.advance // spans.period * spans.advance
    cells = tuple(cover(spans.at(j) for j in taps.at(o)) for o in range(period))
    return _shortest(Spans(period, advance, cells))


def _joined(parts: Sequence[Spans]) -> Spans | None:
    """The union of intervals cell by cell; None if they drift apart."""
    if len({part.stride for part in parts}) > 1:
        return None
    period = lcm(*(part.period for part in parts))
    if period > LONGEST:
        return None
    cells = tuple(cover(part.at(i) for part in parts) for i in range(period))
    return _shortest(Spans(period, int(parts[0].stride * period), cells))


def _later(spans: Spans, by: int) -> Spans:
    """The same intervals numbered from cell `by` on."""
    cells = tuple(spans.at(by + i) for i in range(spans.period))
    return Spans(spans.period, spans.advance, cells)


def _shortest(spans: Spans) -> Spans:
    """The same with the shortest period."""
    for period in range(1, spans.period):
        if spans.period % period or spans.advance * period % spans.period:
            continue
        short = Spans(period, spans.advance * period // spans.period, spans.cells[:period])
        if all(short.at(i) == span for i, span in enumerate(spans.cells)):
            return short
    return spans
