"""Where everything of a drawn net stands: its stages in rows, lines between them, a legend with the scale.

A chain goes in rows that wrap; an encoder and a decoder as a U, a row for each size of the maps. Every line that joins
two stages carries the numbers of what it joins.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import log2

from striate.see.architecture import Architecture, Stage
from striate.see.architecture_stages import (
    KINDS,
    LINE,
    SIZE,
    Item,
    Scale,
    drawn,
    palette,
    scale,
    signs,
)
from striate.see.canvas import Canvas, Part, Path, Point, Rect, Words, moved
from striate.see.fonts import width
from striate.text import TIMES, compact, times

WIDE = 1200.0  # pixels of the drawing, if it wraps
LEAST = 800.0  # that its legend takes
NARROW = 342.0  # both of a drawing for a phone, which shows 390 pixels with the margins of a page
MARGIN, BETWEEN = 20.0, 30.0  # around everything, between two stages of a row
TRACK, TURN = 17.0, 9.0  # between lines above a row, and between lines in the gap below it


# ------------------------------------------------------------------------------------------- rows


def draw(net: Architecture, wide: float = WIDE) -> Canvas:
    """The whole picture, in rows of so many pixels; a stage that is wider has a row of its own."""
    stages = net.stages
    shapes = [stage.shape for stage in stages]
    rank = len(shapes[0])
    # Values that were regrouped after the maps, and products of matrices, set no scale.
    flat = [stage.shape for stage in stages if stage.kind != "linear" or len(stage.shape) == 1]
    measure = scale([shape for shape in flat if len(shape) in (1, rank)])
    items = [drawn(i, stage, measure, full=net.detail == "layer") for i, stage in enumerate(stages)]
    rows = _u(stages, items, wide) or _wrapped(items, wide)
    return _assembled(net, items, rows, measure, min(wide, LEAST))


Rows = list[list[tuple[int, float]]]  # of each row its stages and where they begin


def _wrapped(items: Sequence[Item], wide: float) -> Rows:
    rows: Rows = [[]]
    x = MARGIN + 16
    for index, item in enumerate(items):
        if rows[-1] and x + item.width > wide - MARGIN - 16:
            rows.append([])
            x = MARGIN + 16
        rows[-1].append((index, x))
        x += item.width + BETWEEN
    return rows


def levels(stages: Sequence[Stage]) -> list[int]:
    """How often the maps were halved on the way to each stage."""
    found, level, before = [0], 0, stages[0].shape
    for stage in stages[1:]:
        if stage.inputs:
            before = stages[stage.inputs[-1]].shape
            level = found[stage.inputs[-1]]
        if len(stage.shape) == len(before) and len(before) > 1:
            level += round(log2(max(before[1:]) / max(stage.shape[1:])))
        found.append(level)
    return found


def _u(stages: Sequence[Stage], items: Sequence[Item], most: float) -> Rows | None:
    """A row a size, what goes down at the left and what comes up at the right; None if that is no U, or too wide."""
    level = levels(stages)
    deepest = max(level)
    bottom = len(level) - 1 - level[::-1].index(deepest)
    up = next((i for i in range(bottom, len(level)) if level[i] < deepest), len(level))
    if level[-1] >= deepest or deepest < 1 or level[:up] != sorted(level[:up]) or level[up:] != sorted(level[up:], reverse=True):  # fmt: skip
        return None
    downs = [[i for i in range(up) if level[i] == row] for row in range(min(level), deepest + 1)]
    ups = [[i for i in range(up, len(level)) if level[i] == row] for row in range(min(level), deepest + 1)]  # fmt: skip
    return _u_of(items, downs, ups, 26.0, most) or _u_of(items, downs, ups, 0.0, most)


def _u_of(
    items: Sequence[Item],
    downs: Sequence[list[int]],
    ups: Sequence[list[int]],
    indent: float,
    most: float,
) -> Rows | None:
    wide = [_wide(items, down) + _wide(items, up_) + 70 + 2 * indent * row for row, (down, up_) in enumerate(zip(downs[:-1], ups[:-1], strict=True))]  # fmt: skip
    if max(wide, default=0) > most + 40:
        return None
    total = max([*wide, most / 2]) + 2 * MARGIN
    rows: Rows = []
    for row, (down, up_) in enumerate(zip(downs, ups, strict=True)):
        left = MARGIN + 16 + indent * row
        if down and not up_ and _wide(items, down) > total - 2 * left:
            rows += _wrapped_from(items, down, most)
            continue
        found = _in_a_row(items, down, left)
        right = total - MARGIN - 16 - indent * row - _wide(items, up_)
        rows.append(found + _in_a_row(items, up_, right))
    return [row for row in rows if row]


def _wide(items: Sequence[Item], which: Sequence[int]) -> float:
    return sum(items[i].width + BETWEEN for i in which)


def _in_a_row(items: Sequence[Item], which: Sequence[int], left: float) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    for index in which:
        found.append((index, left))
        left += items[index].width + BETWEEN
    return found


def _wrapped_from(items: Sequence[Item], which: Sequence[int], wide: float) -> Rows:
    rows = _wrapped([items[index] for index in which], wide)
    return [[(which[i], x) for i, x in row] for row in rows]


# ------------------------------------------------------------------------------------------- lines between stages


@dataclass
class Router:
    """Lines between stages: straight to the next in a row, round through the gap to another row, over a row else."""

    items: Sequence[Item]
    rows: Rows
    right: float
    above: list[list[tuple[float, float, int]]]  # of each row the tracks over it: from, to, number
    below: list[int]  # lines in the gap under each row
    margin: int = 0

    def track(self, row: int, start: float, end: float) -> int:
        """A height over a row that nothing else takes between two places."""
        low, high = min(start, end) - 6, max(start, end) + 6
        taken = {n for a, b, n in self.above[row] if a < high and low < b}
        number = next(i for i in range(len(taken) + 1) if i not in taken)
        self.above[row].append((low, high, number))
        return number


@dataclass(frozen=True)
class Line:
    """A line to draw: the stages it joins, its way, what is written on it, and its tracks."""

    source: int
    target: int
    form: str  # straight, turn or over
    label: str = ""
    tracks: tuple[int, ...] = ()
    leap: bool = False
    nodes: tuple[int, int] | None = None  # that a leap joins


def _lines(net: Architecture, items: Sequence[Item], router: Router) -> list[Line]:
    found: list[Line] = []
    follows = {(a, b) for row in router.rows for (a, _), (b, _) in pairwise(row)}
    gaps = {(row[-1][0], after[0][0]) for row, after in pairwise(router.rows)}
    for target, stage in enumerate(net.stages):
        for source in stage.inputs:
            leap = source in stage.skips
            label = _carried(net, source, target) if leap else ""
            if (source, target) in follows:
                found.append(Line(source, target, "straight", leap=leap))
            elif not leap and (
                (source, target) in gaps or abs(items[source].row - items[target].row) == 1
            ):
                row = min(items[source].row, items[target].row)
                router.below[row] += 1
                found.append(Line(source, target, "turn", tracks=(router.below[row],)))
            else:
                line = _over(items, router, source, target, label, leap=leap)
                found.append(replace(line, nodes=_leap_nodes(stage, source)))
    return found


def _leap_nodes(stage: Stage, source: int) -> tuple[int, int] | None:
    return next(((each.source, each.target) for each in stage.leaps if each.stage == source), None)


def _over(
    items: Sequence[Item], router: Router, source: int, target: int, label: str, *, leap: bool
) -> Line:
    a, b = items[source], items[target]
    if a.row == b.row:
        return Line(source, target, "over", label, (router.track(a.row, a.middle, b.middle),), leap)
    first = router.track(a.row, a.middle, router.right)
    last = router.track(b.row, b.middle, router.right)
    router.margin += 1
    return Line(source, target, "round", label, (first, last, router.margin), leap)


def _carried(net: Architecture, source: int, target: int) -> str:
    """What a line over smaller maps does, as the papers say it."""
    before, after = net.stages[source], net.stages[target]
    kind = next(each.kind for each in after.leaps if each.stage == source)
    cropped = kind in ("cat", "add") and before.shape[1:] > after.shape[1:]
    word = "copy" if kind == "cat" else kind
    return f"{word} and crop" if cropped and kind == "cat" else f"crop and {word}" if cropped else word  # fmt: skip


def _points(line: Line, router: Router, tops: Sequence[float], gaps: Sequence[float]) -> tuple[Point, ...]:  # fmt: skip
    a, b = router.items[line.source], router.items[line.target]
    out, into = (a.x + a.ports[1], a.y), (b.x + b.ports[0], b.y)
    if line.form == "straight":
        return out, into
    if line.form == "turn":
        y = gaps[min(a.row, b.row)] + TURN * line.tracks[0]
        x0, x1 = a.x + a.width + 8, b.x - 14
        return out, (x0, a.y), (x0, y), (x1, y), (x1, b.y), into
    start, end = _top(a, line.nodes and line.nodes[0], 4), _top(b, line.nodes and line.nodes[1], -4)
    y = tops[a.row] - TRACK * line.tracks[0]
    if line.form == "over":
        return start, (start[0], y), (end[0], y), end
    low = tops[b.row] - TRACK * line.tracks[1]
    x = router.right + 8 * line.tracks[2]
    return start, (start[0], y), (x, y), (x, low), (end[0], low), end


def _top(item: Item, node: int | None, aside: float) -> Point:
    """Where a line from above meets a stage: the layer that it is about, if nothing is over that."""
    if node in item.peaks:
        x, y = item.peaks[node]
        return item.x + x + aside, item.y + y
    return item.middle + aside, item.y + item.ports[2]


# ------------------------------------------------------------------------------------------- the whole


def _assembled(
    net: Architecture, items: Sequence[Item], rows: Rows, measure: Scale, least: float
) -> Canvas:
    for number, row in enumerate(rows):
        for index, x in row:
            items[index].x, items[index].row = x, number
    right = max(item.x + item.width for item in items) + 14
    router = Router(items, rows, right, [[] for _ in rows], [0] * len(rows))
    lines = _lines(net, items, router)
    tops, gaps, bottom = _heights(rows, items, router)
    total = max(right + 8 * router.margin + MARGIN, least)
    parts: list[Part] = list(_title(net))
    routed: list[tuple[Line, tuple[Point, ...]]] = [
        (line, _points(line, router, tops, gaps)) for line in lines
    ]
    parts += [_line(line, points) for line, points in routed]
    for item in items:
        parts += [moved(part, item.x, item.y) for part in item.parts]
    parts += [words for line, points in routed if (words := _over_words(line, points))]
    legend, height = _legend(net, measure, bottom + 16, total)
    return Canvas(total, height, (*parts, *legend), net.told(), palette())


def _heights(rows: Rows, items: Sequence[Item], router: Router) -> tuple[list[float], list[float], float]:  # fmt: skip
    """Of each row the height over which lines pass and of the gap under it; the end of the last."""
    y = 66.0
    tops: list[float] = []
    gaps: list[float] = []
    for number, row in enumerate(rows):
        over = [n for _, _, n in router.above[number]]
        y += TRACK * (max(over) + 1) + 6 if over else 0
        tops.append(y - 8)
        middle = y + max(items[i].up for i, _ in row)
        for i, _ in row:
            items[i].y = middle
        y = middle + max(items[i].down for i, _ in row) + 6
        gaps.append(y)
        y += TURN * router.below[number] + 20
    return tops, gaps, y - 14


def _line(line: Line, points: tuple[Point, ...]) -> Path:
    marks = {"data-from-stage": line.source, "data-to-stage": line.target}
    return Path(points, "wrong" if line.leap else "soft", 1.6 if line.leap else 1.2, marks=marks)


def _over_words(line: Line, points: Sequence[Point]) -> Words | None:
    if not line.label:
        return None
    (x0, y), (x1, _) = points[1:3]
    # Near its start where it leads round to another row.
    x = (x0 + x1) / 2 if line.form == "over" else x0 + 8
    return Words(
        x, y - 4, line.label, "soft", SIZE, anchor="middle" if line.form == "over" else "start"
    )


def _title(net: Architecture) -> Iterator[Part]:
    macs = "unknown MACs" if net.macs is None else f"{compact(net.macs)} MACs"
    yield Words(MARGIN, 28, net.net, "ink", 16, bold=True)
    facts = f"{compact(net.params)} parameters, {macs}, input {signs(times(net.stages[0].shape))}"
    yield Words(MARGIN, 47, facts, "soft", SIZE)


def _legend(net: Architecture, measure: Scale, top: float, wide: float) -> tuple[list[Part], float]:
    """The colours that were used, and the scale with its bars."""
    used = {layer.kind for stage in net.stages for layer in stage.inside}
    x, y = MARGIN, top + 12
    parts: list[Part] = []
    for kind, (name, _) in KINDS.items():
        if kind in used:
            room = width(name, SIZE) + 40
            x, y = (MARGIN, y + 22) if x + room > wide - MARGIN else (x, y)
            parts += [Rect(x, y - 11, 14, 14, kind, "soft", 2), Words(x + 20, y, name, "soft", SIZE)]  # fmt: skip
            x += room
    repeats = any(stage.times > 1 for stage in net.stages)
    bars, height = _bars(measure, y + 20, wide, repeats=repeats)
    return parts + bars, height


def _bars(measure: Scale, top: float, wide: float, *, repeats: bool) -> tuple[list[Part], float]:
    """Heights that stand for sides of maps, and what the other lengths mean."""
    parts: list[Part] = []
    x, tall = MARGIN, 0.0
    sides = list(dict.fromkeys(s for s in (measure.side, measure.side // 4, measure.side // 16, measure.side // 32) if s)) if measure.side > 1 else []  # fmt: skip
    for side in sides:
        height = measure.of((1, side, side))[0]
        tall = max(tall, height)
    for side in sides:
        height = measure.of((1, side, side))[0]
        name = f"{side} px"
        parts.append(Rect(x, top + tall - height, 5, height, "soft"))
        parts.append(Words(x + 10, top + tall, name, "soft", SIZE))
        x += width(name, SIZE) + 28
    words = ["MACs: multiply-adds of one input."]
    if repeats:
        words.append(f"Figures under {TIMES}n are of all n together.")
    if sides:
        words = ["Height of a box: square root of the side of its maps, as these bars.",
                 f"Width: square root of the channels, {measure.channels} the widest.", *words]  # fmt: skip
    if measure.units > 1:
        words.append(f"A vector's height: square root of its units, {measure.units} the tallest.")
    if x + max(width(line, SIZE) for line in words) > wide - MARGIN:  # below the bars then
        words = [part for line in words for part in _broken(line, wide - 2 * MARGIN)]
        x, start = MARGIN, top + tall + LINE + 6
    else:
        start = max(top + tall - LINE * (len(words) - 1), top + SIZE)
    parts += [Words(x, start + i * LINE, line, "soft", SIZE) for i, line in enumerate(words)]
    return parts, max(top + tall, start + LINE * (len(words) - 1)) + MARGIN


def _broken(line: str, room: float) -> list[str]:
    """A sentence in lines of at most so many pixels."""
    found = [""]
    for word in line.split():
        longer = f"{found[-1]} {word}".strip()
        if found[-1] and width(longer, SIZE) > room:
            found.append(word)
        else:
            found[-1] = longer
    return found
