"""Where everything of a drawn net stands: boxes to scale in rows, what is inside a block on lanes, lines between them.

A chain goes in rows that wrap; an encoder and a decoder as a U, a row for each size of the maps. The sides of boxes are
square roots of what they stand for, so that maps of 7 pixels beside maps of 224 can be seen. Every line that joins two
boxes carries the numbers of what it joins.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import cos, log2, pi, sin, sqrt

from striate.see.architecture import Architecture, Layer, Stage
from striate.see.architecture_lanes import ENTRY, Lanes, lanes
from striate.see.canvas import Canvas, Colours, Group, Part, Path, Point, Rect, Shape, Words
from striate.see.fonts import width
from striate.text import TIMES, compact, times

WIDE = 1200.0  # pixels of the drawing, if it wraps
MARGIN, BETWEEN = 20.0, 30.0  # around everything, between two stages of a row
TALLEST, WIDEST, SLANT = (
    110.0,
    40.0,
    0.3,
)  # of the largest map and of the most channels; depth of a box by its side
SIZE, LINE = 12.0, 15.0  # of letters, and from line to line
CHIP, LANE, COLUMN = (
    34.0,
    10.0,
    26.0,
)  # height of a layer in a block, between lanes, between columns
TRACK, TURN = 17.0, 9.0  # between lines above a row, and between lines in the gap below it
KINDS: dict[str, tuple[str, Colours]] = {
    "input": ("input", ("#e9e7e0", "#34363b")),
    "conv": ("convolution", ("#c8dcf2", "#2c4a6e")),
    "up": ("to larger maps", ("#bfe6d4", "#1d5443")),
    "pool": ("pooling", ("#f8d9bd", "#6e4420")),
    "linear": ("linear", ("#e3d1f0", "#543668")),
    "join": ("join", ("#f2e7b0", "#594c18")),
    "other": ("other", ("#dfdcd5", "#3f4147")),
}


def _blend(colour: str, other: str, share: float) -> str:
    parts = [(int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in parts)


def palette() -> dict[str, Colours]:
    """The colour of each kind, and of the top and the side of its boxes."""
    found: dict[str, Colours] = {"frame": ("#f4f2ec", "#202226")}
    for kind, (_, (light, dark)) in KINDS.items():
        found[kind] = (light, dark)
        found[f"{kind}-top"] = (_blend(light, "#ffffff", 0.45), _blend(dark, "#ffffff", 0.16))
        found[f"{kind}-side"] = (_blend(light, "#000000", 0.16), _blend(dark, "#000000", 0.3))
    return found


@dataclass(frozen=True)
class Scale:
    """Pixels of a side, of channels and of units: the square root of their share of the most."""

    side: int
    channels: int
    units: int

    def of(self, shape: Sequence[int]) -> tuple[float, float, float]:
        """Height, width and depth of a box of this shape."""
        if len(shape) < 2:
            return max(3.0, TALLEST * sqrt(max([1, *shape]) / self.units)), 6.0, 3.0
        height = max(2.0, TALLEST * sqrt(min(1.0, shape[-2] / self.side)))
        if len(shape) == 2:
            height = max(2.0, TALLEST * sqrt(min(1.0, shape[-1] / self.side)))
            return height, self._width(shape[0]), 3.0
        depth = SLANT * TALLEST * sqrt(min(1.0, shape[-1] / self.side))
        return height, self._width(shape[0]), max(1.0, depth)

    def _width(self, channels: int) -> float:
        return max(2.5, WIDEST * sqrt(min(1.0, channels / self.channels)))


def scale(shapes: Sequence[Sequence[int]]) -> Scale:
    """What is as large as a box can be."""
    maps = [shape for shape in shapes if len(shape) > 1]
    side = max((max(shape[1:]) for shape in maps), default=1)
    channels = max((shape[0] for shape in maps), default=1)
    return Scale(side, channels, max((shape[0] for shape in shapes if len(shape) == 1), default=1))


# ------------------------------------------------------------------------------------------- stages


@dataclass
class Item:
    """One stage with its words, drawn from its own left edge around the height of its middle line."""

    width: float
    up: float
    down: float
    ports: tuple[float, float, float]  # where lines come in, go out, and how high its top is
    parts: list[Part] = field(default_factory=list[Part])
    words: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    peaks: dict[int, Point] = field(
        default_factory=dict[int, Point]
    )  # tops of layers with nothing over them, by node
    x: float = 0.0
    y: float = 0.0
    row: int = 0

    @property
    def middle(self) -> float:
        """Of its picture."""
        return self.x + (self.ports[0] + self.ports[1]) / 2


def _signs(words: str) -> str:
    """With multiplication signs between sizes."""
    return re.sub(r"(?<=\d)x(?=\d)|\bx(?=\d+$)", TIMES, words)


def _figures(params: int, macs: int | None) -> list[tuple[str, str]]:
    found = [(f"{compact(params)} param.", "soft")] if params else []
    if macs is None:
        return [*found, ("MACs unknown", "soft")]
    return found + ([(f"{compact(macs)} MACs", "soft")] if macs else [])


def _captions(stage: Stage) -> list[tuple[str, str]]:
    """The lines under a stage."""
    label = _signs(stage.name)
    lines = [(part, "ink") for part in _halves(label)]
    if stage.times > 1 or len(stage.inside) > 1:
        lines += [(stage.path, "soft")] if stage.path else []
    grown = f"{stage.inside[-1].shape[0]} to " if stage.grows and stage.inside else ""
    return [*lines, (grown + _signs(times(stage.shape)), "soft"), *_figures(stage.params, stage.macs)]  # fmt: skip


def _halves(label: str, most: int = 14) -> list[str]:
    """One line, or two of about the same length."""
    if len(label) <= most or " " not in label:
        return [label]
    cuts = [i for i, char in enumerate(label) if char == " "]
    at = min(cuts, key=lambda i: abs(i - len(label) / 2))
    return [label[:at], label[at + 1 :]]


def _tip(stage: Stage) -> str:
    where = f"{stage.path}: " if stage.path else ""
    return f"{where}{stage.name}, {times(stage.shape)}"


def _written(lines: Sequence[tuple[str, str]], middle: float, top: float) -> list[Part]:
    return [
        Words(middle, top + SIZE + i * LINE, text, colour, SIZE, anchor="middle")
        for i, (text, colour) in enumerate(lines)
    ]


def _finished(item: Item, stage: Stage, bottom: float) -> Item:
    """With its words under it and the room that they take."""
    lines = _captions(stage)
    room = max(width(text, SIZE) for text, _ in lines)
    picture = item.ports[1]
    item.width = max(picture, room)
    if shift := (item.width - picture) / 2:
        item.parts = [_moved(part, shift, 0) for part in item.parts]
        item.ports = (item.ports[0] + shift, item.ports[1] + shift, item.ports[2])
        item.peaks = {node: (x + shift, y) for node, (x, y) in item.peaks.items()}
    item.parts += _written(lines, item.width / 2, bottom + 6)
    item.down = bottom + 6 + LINE * len(lines)
    return item


def box(shape: Sequence[int], kind: str, measure: Scale, left: float, middle: float) -> list[Part]:
    """A box to scale: its front, its top and its side."""
    height, wide, deep = measure.of(shape)
    slant = deep * 0.8
    top, bottom = middle - height / 2 + slant / 2, middle + height / 2 + slant / 2
    right = left + wide
    front = ((left, top), (right, top), (right, bottom), (left, bottom))
    above = ((left, top), (left + deep, top - slant), (right + deep, top - slant), (right, top))
    side = ((right, top), (right + deep, top - slant), (right + deep, bottom - slant), (right, bottom))  # fmt: skip
    return [
        Shape(front, kind, "soft"),
        Shape(above, f"{kind}-top", "soft"),
        Shape(side, f"{kind}-side", "soft"),
    ]


def _single(index: int, stage: Stage, measure: Scale) -> Item:
    height, wide, deep = measure.of(stage.shape)
    half = (height + deep * 0.8) / 2
    drawn = Group(tuple(box(stage.shape, stage.kind, measure, 0, 0)), _tip(stage), {"data-stage": index})  # fmt: skip
    item = Item(0, half, half, (0, wide + deep, -half), [drawn])
    return _finished(item, stage, half)


# ------------------------------------------------------------------------------------------- inside a block


def _chip_words(layer: Layer, *, full: bool) -> list[str]:
    label = layer.label.removeprefix("conv ").replace(" pool ", " ")
    if layer.kind == "join":
        return [_signs(label)]
    label = _signs(label).replace("depthwise", "dw")
    if full:
        figures = [text for text, _ in _figures(layer.params, layer.macs)]
        return [_signs(layer.label), _signs(times(layer.shape)), *figures]
    if layer.kind == "linear" and len(layer.shape) > 1:
        return [label, _signs(times(layer.shape))]
    first, last = (shape[0] if shape else 1 for shape in (layer.shape, layer.last_shape))
    return [label, str(first) if first == last else f"{first} to {last}"]


def _block(index: int, stage: Stage, measure: Scale, *, full: bool) -> Item:
    """A frame with the layers of a block on lanes, and the box of what it makes."""
    grid = lanes([layer.inputs for layer in stage.inside])
    words = [_chip_words(layer, full=full) for layer in stage.inside]
    chips = [(max(width(text, SIZE) for text in lines) + 12, 8 + LINE * len(lines)) for lines in words]  # fmt: skip
    columns = _columns(grid, [wide for wide, _ in chips])
    tall = max(chip for _, chip in chips)
    height = grid.lanes * tall + (grid.lanes - 1) * LANE
    map_height, map_width, deep = measure.of(stage.shape)
    map_height += deep * 0.8
    badge = 16.0 if stage.times > 1 else 0.0
    half = max(height, map_height) / 2 + 10 + badge / 2
    middle = badge / 2  # what is inside stands under the badge
    left = columns[-1][1] + 10
    frame = left + map_width + deep + 10
    parts: list[Part] = [Rect(0, -half, frame, 2 * half, "frame", "rule", 8)]
    centres = {
        cell: (
            sum(columns[cell.column]) / 2,
            middle - height / 2 + tall / 2 + cell.lane * (tall + LANE),
        )
        for cell in (*grid.places, *(cell for way in grid.ways.values() for cell in way))
    }
    for (source, target), way in grid.ways.items():
        start = (0.0, 0.0) if source == ENTRY else _beside(centres[grid.places[source]], chips[source][0], 1)  # fmt: skip
        end = _beside(centres[grid.places[target]], chips[target][0], -1)
        through = [(x, centres[cell][1]) for cell in way for x in columns[cell.column]]
        parts.append(Path((start, *through, end), marks={"data-from": _name(stage, source), "data-to": _name(stage, target)}))  # fmt: skip
    for layer, cell, (wide, tall_), lines in zip(
        stage.inside, grid.places, chips, words, strict=True
    ):
        parts.append(_chip(layer, centres[cell], wide, tall_, lines))
    parts += box(stage.shape, stage.kind, measure, left, middle)
    if badge:
        parts.append(
            Words(
                frame - 8,
                -half + 17,
                f"{TIMES}{stage.times}",
                "ink",
                14,
                bold=True,
                anchor="end",
            )
        )
    drawn = Group(tuple(parts), _tip(stage), {"data-stage": index})
    item = Item(0, half, half, (0, frame, -half), [drawn])
    item.peaks = {
        node: (centres[cell][0], centres[cell][1] - tall_ / 2)
        for layer, cell, (_, tall_) in zip(stage.inside, grid.places, chips, strict=True)
        for node in layer.nodes
        if cell.lane == 0
    }
    return _finished(item, stage, half)


def _name(stage: Stage, layer: int) -> str:
    """The number of a layer's node in the graph; of the first repeat."""
    return "in" if layer == ENTRY else str(stage.inside[layer].nodes[0])


def _columns(grid: Lanes, widths: Sequence[float]) -> list[tuple[float, float]]:
    """From where to where each column goes; the first is the entry."""
    found = [(0.0, 0.0)]
    gap = COLUMN + 3 * max(0, grid.lanes - 2)
    for column in range(1, grid.columns + 1):
        wide = max(w for w, cell in zip(widths, grid.places, strict=True) if cell.column == column)
        left = found[-1][1] + gap
        found.append((left, left + wide))
    return found


def _beside(centre: Point, wide: float, side: int) -> Point:
    return centre[0] + side * wide / 2, centre[1]


def _chip(layer: Layer, centre: Point, wide: float, tall: float, lines: Sequence[str]) -> Part:
    x, y = centre
    rect = Rect(x - wide / 2, y - tall / 2, wide, tall, layer.kind, "soft", 4)
    top = y - LINE * len(lines) / 2 - 0.5
    words = _written([(text, "ink") for text in lines], x, top)
    return Group((rect, *words), f"{layer.label}, {times(layer.shape)}", {"data-layer": layer.nodes[0]})  # fmt: skip


# ------------------------------------------------------------------------------------------- a dense block as a fan


FAN = 5  # layers of a dense block that are drawn


def dense(stage: Stage) -> bool:
    """Whether every repeat reads, through channels put together, all repeats before it."""
    *layers, last = stage.inside
    chain = all(layer.inputs == (i - 1,) for i, layer in enumerate(layers))
    return stage.grows and last.label == "cat" and chain and set(last.inputs) == {ENTRY, len(layers) - 1}  # fmt: skip


def _fan(index: int, stage: Stage, measure: Scale) -> Item:
    """The repeats of a dense block in a row, with an arc to each from all before it."""
    *layers, _ = stage.inside
    shown = range(stage.times) if stage.times <= FAN else (0, 1, 2, stage.times - 1)
    lines = [_signs(" ".join(layer.label.removeprefix("conv ") for layer in layers)), f"+{layers[-1].shape[0]}"]  # fmt: skip
    lines = [*(_signs(layer.label.removeprefix("conv ")) for layer in layers), lines[1]]
    wide, tall = max(width(text, SIZE) for text in lines) + 12, 8 + LINE * len(lines)
    step = wide + 20
    places = [step * i + 26 + (24 if i and stage.times > FAN and i == len(shown) - 1 else 0) for i in range(len(shown))]  # fmt: skip
    cat = places[-1] + step
    map_height, map_width, deep = measure.of(stage.shape)
    rise = 15 + 11 * len(shown)
    half = max((tall + rise) / 2, (map_height + deep * 0.8) / 2) + 18
    low = half - 10 - tall / 2  # middle of the layers
    top = low - tall / 2
    left = cat + 46
    frame = left + map_width + deep + 10
    parts: list[Part] = [Rect(0, -half, frame, 2 * half, "frame", "rule", 8)]
    stops = [(-1, 0.0), *((copy, x + wide / 2) for copy, x in zip(shown, places, strict=True)), (stage.times, cat + 18)]  # fmt: skip
    for i, (source, x0) in enumerate(stops):
        for j, (target, x1) in enumerate(stops):
            if j > i:
                parts.append(_arc(stage, (source, target), (x0, x1), (top, j - i)))
    for copy, x in zip(shown, places, strict=True):
        chip = _chip(layers[-1], (x + wide / 2, low), wide, tall, lines)
        parts.append(Group((chip,), marks={"data-copy": copy}))
    if stage.times > FAN:
        parts.append(Words(places[-1] - 17, low + 4, "…", "soft", 14, anchor="middle"))
    join = stage.inside[-1]
    parts.append(_chip(join, (cat + 18, low), 34, 24, ["cat"]))
    parts += box(stage.shape, stage.kind, measure, left, low - 10)
    parts.append(Words(frame - 8, -half + 17, f"{TIMES}{stage.times}", "ink", 14, bold=True, anchor="end"))  # fmt: skip
    drawn = Group(tuple(parts), _tip(stage), {"data-stage": index})
    return _finished(Item(0, half, half, (0, frame, -half), [drawn]), stage, half)


def _arc(stage: Stage, ends: tuple[int, int], at: tuple[float, float], over: tuple[float, int]) -> Path:  # fmt: skip
    """Half an ellipse from a layer over those between to a later one."""
    (source, target), (x0, x1), (top, apart) = ends, at, over
    layers = stage.inside[:-1]
    first = "in" if source < 0 else str(layers[-1].nodes[source])
    last = str(stage.inside[-1].nodes[-1]) if target == stage.times else str(layers[0].nodes[target])  # fmt: skip
    # The join is not as high as the layers are.
    y1 = top + (LINE * len(layers) / 2 if target == stage.times else 0.0)
    y0, x0, x1 = (0.0 if source < 0 else top), x0 + (4 if source >= 0 else 0), x1 - 4
    rise = 8 + 10.0 * apart
    points = tuple(
        (x0 + (x1 - x0) * (1 - cos(t)) / 2, y0 + (y1 - y0) * (1 - cos(t)) / 2 - rise * sin(t))
        for t in (pi * i / 16 for i in range(17))
    )
    return Path(points, "soft", 1.0, marks={"data-from": first, "data-to": last})


# ------------------------------------------------------------------------------------------- rows


def draw(net: Architecture) -> Canvas:
    """The whole picture."""
    stages = net.stages
    shapes = [stage.shape for stage in stages]
    rank = len(shapes[0])
    # Values that were regrouped after the maps, and products of matrices, set no scale.
    flat = [stage.shape for stage in stages if stage.kind != "linear" or len(stage.shape) == 1]
    measure = scale([shape for shape in flat if len(shape) in (1, rank)])
    items = [_item(i, stage, measure, full=net.detail == "layer") for i, stage in enumerate(stages)]
    rows = _u(stages, items) or _wrapped(items)
    return _assembled(net, items, rows, measure)


def _item(index: int, stage: Stage, measure: Scale, *, full: bool) -> Item:
    if len(stage.inside) == 1:
        return _single(index, stage, measure)
    return _fan(index, stage, measure) if dense(stage) else _block(index, stage, measure, full=full)


Rows = list[list[tuple[int, float]]]  # of each row its stages and where they begin


def _wrapped(items: Sequence[Item]) -> Rows:
    rows: Rows = [[]]
    x = MARGIN + 16
    for index, item in enumerate(items):
        if rows[-1] and x + item.width > WIDE - MARGIN - 16:
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


def _u(stages: Sequence[Stage], items: Sequence[Item]) -> Rows | None:
    """A row a size, what goes down at the left and what comes up at the right; None if that is no U, or too wide."""
    level = levels(stages)
    deepest = max(level)
    bottom = len(level) - 1 - level[::-1].index(deepest)
    up = next((i for i in range(bottom, len(level)) if level[i] < deepest), len(level))
    if level[-1] >= deepest or deepest < 1 or level[:up] != sorted(level[:up]) or level[up:] != sorted(level[up:], reverse=True):  # fmt: skip
        return None
    downs = [[i for i in range(up) if level[i] == row] for row in range(min(level), deepest + 1)]
    ups = [[i for i in range(up, len(level)) if level[i] == row] for row in range(min(level), deepest + 1)]  # fmt: skip
    return _u_of(items, downs, ups, 26.0) or _u_of(items, downs, ups, 0.0)


def _u_of(
    items: Sequence[Item], downs: Sequence[list[int]], ups: Sequence[list[int]], indent: float
) -> Rows | None:
    wide = [_wide(items, down) + _wide(items, up_) + 70 + 2 * indent * row for row, (down, up_) in enumerate(zip(downs[:-1], ups[:-1], strict=True))]  # fmt: skip
    if max(wide, default=0) > WIDE + 40:
        return None
    total = max([*wide, 600.0]) + 2 * MARGIN
    rows: Rows = []
    for row, (down, up_) in enumerate(zip(downs, ups, strict=True)):
        left = MARGIN + 16 + indent * row
        if down and not up_ and _wide(items, down) > total - 2 * left:
            rows += _wrapped_from(items, down)
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


def _wrapped_from(items: Sequence[Item], which: Sequence[int]) -> Rows:
    return [[(which[i], x) for i, x in row] for row in _wrapped([items[index] for index in which])]


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


def _assembled(net: Architecture, items: Sequence[Item], rows: Rows, measure: Scale) -> Canvas:
    for number, row in enumerate(rows):
        for index, x in row:
            items[index].x, items[index].row = x, number
    right = max(item.x + item.width for item in items) + 14
    router = Router(items, rows, right, [[] for _ in rows], [0] * len(rows))
    lines = _lines(net, items, router)
    tops, gaps, bottom = _heights(rows, items, router)
    total = max(right + 8 * router.margin + MARGIN, 640.0)
    parts: list[Part] = list(_title(net))
    drawn: list[tuple[Line, tuple[Point, ...]]] = [
        (line, _points(line, router, tops, gaps)) for line in lines
    ]
    parts += [_line(line, points) for line, points in drawn]
    for item in items:
        parts += [_moved(part, item.x, item.y) for part in item.parts]
    parts += [words for line, points in drawn if (words := _over_words(line, points))]
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
    facts = f"{compact(net.params)} parameters, {macs}, input {_signs(times(net.stages[0].shape))}"
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
    bars, height = _bars(measure, y + 20)
    return parts + bars, height


def _bars(measure: Scale, top: float) -> tuple[list[Part], float]:
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
    if sides:
        words = ["Height of a box: square root of the side of its maps, as these bars.",
                 f"Width: square root of the channels, {measure.channels} the widest.", *words]  # fmt: skip
    if measure.units > 1:
        words.append(f"A vector's height: square root of its units, {measure.units} the tallest.")
    start = max(top + tall - LINE * (len(words) - 1), top + SIZE)
    parts += [Words(x, start + i * LINE, line, "soft", SIZE) for i, line in enumerate(words)]
    return parts, max(top + tall, start + LINE * (len(words) - 1)) + MARGIN


def _moved(part: Part, dx: float, dy: float) -> Part:
    match part:
        case Group():
            return Group(tuple(_moved(each, dx, dy) for each in part.parts), part.tip, part.marks)
        case Path():
            points = tuple((x + dx, y + dy) for x, y in part.points)
            return Path(points, part.stroke, part.width, part.arrow, part.marks)
        case Shape():
            points = tuple((x + dx, y + dy) for x, y in part.points)
            return Shape(points, part.fill, part.stroke)
        case Rect():
            return Rect(part.x + dx, part.y + dy, part.width, part.height, part.fill, part.stroke, part.radius)  # fmt: skip
        case Words():
            return Words(part.x + dx, part.y + dy, part.text, part.colour, part.size, part.bold, part.anchor)  # fmt: skip
