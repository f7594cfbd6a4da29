"""One stage of a drawn net: a box to scale, or a block with its layers on lanes, with its words under it.

The sides of boxes are square roots of what they stand for, so that maps of 7 pixels beside maps of 224 can be seen.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import cos, pi, sin, sqrt

from striate.see.architecture import Layer, Stage
from striate.see.architecture_lanes import ENTRY, Lanes, lanes
from striate.see.canvas import Colours, Group, Part, Path, Point, Rect, Shape, Words, moved
from striate.see.fonts import width
from striate.text import TIMES, compact, times

# Of the largest map and of the most channels; depth of a box by its side.
TALLEST, WIDEST, SLANT = 110.0, 40.0, 0.3
SIZE, LINE = 12.0, 15.0  # of letters, and from line to line
LANE, COLUMN = 10.0, 26.0  # between lanes, between columns
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


def signs(words: str) -> str:
    """With multiplication signs between sizes."""
    return re.sub(r"(?<=\d)x(?=\d)|\bx(?=\d+$)", TIMES, words)


def _figures(params: int, macs: int | None) -> list[tuple[str, str]]:
    found = [(f"{compact(params)} param.", "soft")] if params else []
    if macs is None:
        return [*found, ("MACs unknown", "soft")]
    return found + ([(f"{compact(macs)} MACs", "soft")] if macs else [])


def _captions(stage: Stage) -> list[tuple[str, str]]:
    """The lines under a stage."""
    label = signs(stage.name)
    lines = [(part, "ink") for part in _halves(label)]
    if stage.times > 1 or len(stage.inside) > 1:
        lines += [(_where(stage), "soft")] if stage.path else []
    grown = f"{stage.inside[-1].shape[0]} to " if stage.grows and stage.inside else ""
    return [*lines, (grown + signs(times(stage.shape)), "soft"), *_figures(stage.params, stage.macs)]  # fmt: skip


def _where(stage: Stage) -> str:
    """The module, or the first and the last of several."""
    if stage.last_path == stage.path:
        return stage.path
    *above, own = stage.last_path.split(".")
    return f"{stage.path} to {own if above == stage.path.split('.')[:-1] else stage.last_path}"


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
        item.parts = [moved(part, shift, 0) for part in item.parts]
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
    picture = Group(tuple(box(stage.shape, stage.kind, measure, 0, 0)), _tip(stage), {"data-stage": index})  # fmt: skip
    item = Item(0, half, half, (0, wide + deep, -half), [picture])
    return _finished(item, stage, half)


# ------------------------------------------------------------------------------------------- inside a block


def _chip_words(layer: Layer, *, full: bool) -> list[str]:
    label = layer.label.removeprefix("conv ").replace(" pool ", " ")
    if layer.kind == "join":
        return [signs(label)]
    label = signs(label).replace("depthwise", "dw")
    if full:
        figures = [text for text, _ in _figures(layer.params, layer.macs)]
        return [signs(layer.label), signs(times(layer.shape)), *figures]
    if layer.kind == "linear" and len(layer.shape) > 1:
        return [label, signs(times(layer.shape))]
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
    picture = Group(tuple(parts), _tip(stage), {"data-stage": index})
    item = Item(0, half, half, (0, frame, -half), [picture])
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
    lines = [signs(" ".join(layer.label.removeprefix("conv ") for layer in layers)), f"+{layers[-1].shape[0]}"]  # fmt: skip
    lines = [*(signs(layer.label.removeprefix("conv ")) for layer in layers), lines[1]]
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
    picture = Group(tuple(parts), _tip(stage), {"data-stage": index})
    return _finished(Item(0, half, half, (0, frame, -half), [picture]), stage, half)


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


def drawn(index: int, stage: Stage, measure: Scale, *, full: bool) -> Item:
    """A stage: one layer as a box, a dense block as a fan, any other block with its layers; `full` writes all figures."""
    if len(stage.inside) == 1:
        return _single(index, stage, measure)
    return _fan(index, stage, measure) if dense(stage) else _block(index, stage, measure, full=full)
