"""Where the boxes of a map stand: a row for each step of the longest path from the input, rows in columns that fill the width.

A line between neighbouring rows is straight; a longer one goes in a track to the right of its column, and from column to
column over the top. All in pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from striate.studio.graph import LISTED, NetGraph
from striate.studio.wire import MapBox, MapLayout, MapLine

WIDE, HIGH = 216.0, 92.0  # of a box: its name, what it does, and eight maps side by side
BESIDE, BELOW = 20.0, 26.0  # between boxes of a row, between rows
TRACK, MARGIN = 8.0, 16.0  # between lines side by side, around everything

Pairs = Mapping[tuple[int, int], int]


@dataclass(frozen=True)
class _Column:
    """Rows below each other, the places that boxes take in them, and the lines that pass at its right side."""

    rows: list[list[int]]
    left: float
    wide: float
    tracks: int


def layout(graph: NetGraph, opened: frozenset[str], width: float) -> MapLayout:
    """The drawing of a map while some groups are open.

    Args:
        graph: of a net.
        opened: ids of groups; those that are not seen are left out.
        width: pixels that it may take; more where a row needs them.
    """
    boxes = graph.shown(opened)
    seen = sorted(each for each in opened if each in graph.groups)
    if len(boxes) > LISTED:
        rows = [MapBox(box, 0, 0, 0, 0) for box in boxes]
        lines = [MapLine(a, b, n, []) for (a, b), n in graph.lines(boxes).items()]
        return MapLayout(0, 0, seen, rows, lines, listed=True)
    pairs = graph.lines(boxes)
    rows_of = _rows(len(boxes), pairs)
    columns = _columns(rows_of, pairs, width)
    return _drawn(boxes, seen, pairs, columns)


def _rows(count: int, pairs: Pairs) -> list[list[int]]:
    """Boxes by the longest path to them; in a row each stands where what it reads stands."""
    rank = [0] * count
    for source, target in sorted(pairs, key=lambda pair: pair[1]):
        rank[target] = max(rank[target], rank[source] + 1)
    rows: list[list[int]] = [[] for _ in range(max(rank, default=0) + 1)]
    for box, row in enumerate(rank):
        rows[row].append(box)
    place: dict[int, float] = {}
    for row in rows:
        wish = {b: _mean([place[s] for s, t in pairs if t == b and s in place]) for b in row}
        row.sort(key=lambda b: (wish[b], b))
        place |= {b: i - (len(row) - 1) / 2 for i, b in enumerate(row)}
    return rows


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _columns(rows: Sequence[list[int]], pairs: Pairs, width: float) -> list[_Column]:
    """As many columns of about equal height as the width holds."""
    best = _cut(rows, pairs, 1)
    for count in range(2, len(rows) + 1):
        tried = _cut(rows, pairs, count)
        if tried[-1].left + tried[-1].wide + TRACK * tried[-1].tracks + MARGIN > width:
            break
        best = tried
    return best


def _cut(rows: Sequence[list[int]], pairs: Pairs, count: int) -> list[_Column]:
    size = -(-len(rows) // count)
    found: list[_Column] = []
    left = MARGIN
    for start in range(0, len(rows), size):
        part = list(rows[start : start + size])
        most = max(len(row) for row in part)
        wide = most * WIDE + (most - 1) * BESIDE
        tracks = len(_long(part, pairs)) + 1
        tracks = min(tracks, 12)
        found.append(_Column(part, left, wide, tracks))
        left += wide + TRACK * tracks + 2 * BESIDE
    return found


def _long(rows: Sequence[Sequence[int]], pairs: Pairs) -> list[tuple[int, int]]:
    """Lines that begin in these rows and do not end in the next."""
    where = {box: at for at, row in enumerate(rows) for box in row}
    return [p for p in pairs if p[0] in where and where.get(p[1], -1) != where[p[0]] + 1]


def _drawn(
    boxes: Sequence[str], seen: list[str], pairs: Pairs, columns: Sequence[_Column]
) -> MapLayout:
    across = [p for column in columns for p in _long(column.rows, pairs)]
    home = {b: at for at, column in enumerate(columns) for row in column.rows for b in row}
    top = MARGIN + TRACK * min(12, sum(home[a] != home[b] for a, b in across) + 1)
    places = _places(columns, top)
    router = _Router(columns, places, home, top)
    lines = [MapLine(a, b, n, router.points(a, b)) for (a, b), n in sorted(pairs.items())]
    w = max(column.left + column.wide + TRACK * column.tracks for column in columns) + MARGIN
    h = max(y for _, y in places.values()) + HIGH + BELOW + MARGIN
    drawn = [MapBox(box, *places[i], WIDE, HIGH) for i, box in enumerate(boxes)]
    return MapLayout(w, h, seen, drawn, lines, listed=False)


def _places(columns: Sequence[_Column], top: float) -> dict[int, tuple[float, float]]:
    found: dict[int, tuple[float, float]] = {}
    for column in columns:
        for number, row in enumerate(column.rows):
            taken = len(row) * WIDE + (len(row) - 1) * BESIDE
            x = column.left + (column.wide - taken) / 2
            for box in row:
                found[box] = (x, top + number * (HIGH + BELOW))
                x += WIDE + BESIDE
    return found


class _Router:
    """Gives each long line a track of its own beside its column, as far as there are any, and one over the top."""

    def __init__(
        self,
        columns: Sequence[_Column],
        places: Mapping[int, tuple[float, float]],
        home: Mapping[int, int],
        top: float,
    ) -> None:
        self._columns, self._places, self._home, self._top = columns, places, home, top
        self._beside: list[list[tuple[float, float, int]]] = [[] for _ in columns]
        self._over = 0

    def points(self, source: int, target: int) -> list[list[float]]:
        """The corners of the line from the lower side of one box to the upper side of another."""
        (sx, sy), (tx, ty) = self._places[source], self._places[target]
        start, end = [sx + WIDE / 2, sy + HIGH], [tx + WIDE / 2, ty]
        a, b = self._home[source], self._home[target]
        if a == b and ty - sy < 1.5 * (HIGH + BELOW):
            return [start, end]
        out, into = start[1] + BELOW / 2, end[1] - BELOW / 2
        if b in (a, a + 1):
            x = self._track(a, min(out, into), max(out, into))
            return [start, [start[0], out], [x, out], [x, into], [end[0], into], end]
        x0, y, x1 = self._track(a, 0, out), self._line_over(), self._track(b - 1, 0, into)
        return [
            start, [start[0], out], [x0, out], [x0, y], [x1, y], [x1, into], [end[0], into], end,
        ]  # fmt: skip

    def _track(self, column: int, low: float, high: float) -> float:
        """Pixels across of a track that nothing else takes between two heights; the outermost is shared at last."""
        taken = {n for a, b, n in self._beside[column] if a < high and low < b}
        here = self._columns[column]
        number = next((i for i in range(here.tracks) if i not in taken), here.tracks - 1)
        self._beside[column].append((low, high, number))
        return here.left + here.wide + BESIDE / 2 + TRACK * number

    def _line_over(self) -> float:
        self._over += 1
        return max(4.0, self._top - BELOW / 2 - TRACK * min(11, self._over))
