"""The drawing kit: SVG elements, axes, curves, intervals, and one palette for light and dark.

Every text passes through `printable` and the XML escape here. Colours are CSS classes of `STYLE` and variables of
`COLORS`, so that light, dark and print all fit. Small charts keep a narrow design width and grow with their box.
"""

import html
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from striate.text import SPACE, compact, percent, printable

# name -> colours on light and on dark paper; s1, s2, ... tell the lines of one chart apart
COLORS = {
    "paper": ("#fcfbf8", "#17181b"),
    "panel": ("#f4f2ec", "#202226"),
    "ink": ("#1c1c1a", "#e9e6df"),
    "soft": ("#65625a", "#a5a198"),
    "rule": ("#dcd8cd", "#383a3f"),
    "held": ("#1f62ae", "#7fb5f2"),
    "train": ("#8b8678", "#8f8b82"),
    "rate": ("#6b6961", "#a5a198"),
    "right": ("#3a7abe", "#4f8fd6"),
    "wrong": ("#d66014", "#e8782c"),
    "strong": ("#ffffff", "#ffffff"),
    "s1": ("#1f62ae", "#7fb5f2"),
    "s2": ("#b8500c", "#f0975a"),
    "s3": ("#117a5b", "#5fc9a4"),
    "s4": ("#8a3f97", "#cf94dc"),
    "s5": ("#7d6200", "#d6b94a"),
    "s6": ("#b0305c", "#f088aa"),
}
SERIES = ("s1", "s2", "s3", "s4", "s5", "s6")
LEVELS = 10  # colours of the cells of a matrix, of right answers and of wrong ones
STYLE = """svg.chart { display: block; width: 100%; height: auto; overflow: visible; }
svg.track { display: block; width: 100%; overflow: visible; }
svg.bar { display: block; width: 100%; }
svg text { font-family: var(--sans, sans-serif); font-size: 10.5px; fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .end { text-anchor: end; } svg .mid { text-anchor: middle; } svg .axis { font-style: italic; }
.grid { stroke: var(--rule); stroke-width: 1; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.line.train { stroke-dasharray: 5 4; } .line.rate { stroke-width: 1.5; }
.best { stroke: var(--ink); stroke-dasharray: 1.5 3; }
.even { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 3 3; fill: none; }
.hit { fill: transparent; } .hit:hover { fill: var(--soft); fill-opacity: 0.12; }
.dot { fill: var(--ink); }
.whisker { stroke: var(--held); stroke-width: 2.5; stroke-opacity: 0.55; stroke-linecap: round; }
svg .paper { fill: var(--panel); } .share { fill: var(--held); fill-opacity: 0.75; }
rect.right { fill: var(--right); } rect.wrong { fill: var(--wrong); }
svg text.count { fill: var(--ink); } svg text.sum { fill: var(--ink); } svg text.small { font-size: 9px; }
""" + "".join(
    [
        f".line.{name} {{ stroke: var(--{name}); }} .dot.{name} {{ fill: var(--{name}); }}\n"
        for name in ("held", "train", "rate", *SERIES)
    ]
    + [
        f"rect.{name} {{ fill: var(--{name}); }} svg text.{name} {{ fill: var(--{name}-ink); }}\n"
        for name in (f"{kind}-{n}" for kind in ("right", "wrong") for n in range(1, LEVELS + 1))
    ]
)


def variables(*, dark: bool = False) -> str:
    """The palette as CSS variables."""
    return " ".join(f"--{name}: {pair[dark]};" for name, pair in COLORS.items())


RGB = tuple[float, float, float]


def rgb(color: str) -> RGB:
    """The channels of #rrggbb, 0..255."""
    return (int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16))


def luminance(color: RGB) -> float:
    """Relative luminance, 0..1 (WCAG 2.2)."""
    parts = [c / 255 for c in color]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: RGB, other: RGB) -> float:
    """The contrast ratio of two colours, 1..21 (WCAG 2.2); small text needs 4.5."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def level(share: float) -> int:
    """Which of the `LEVELS` colours a cell with this share of its row has; 0 for none.

    Strength grows with the root of the share, for right and wrong answers alike, so that one of a hundred is seen.

    >>> level(0.0), level(0.01), level(0.25), level(1.0)
    (0, 1, 5, 10)
    """
    return min(LEVELS, math.ceil(LEVELS * math.sqrt(max(share, 0.0)) - 1e-9))


def cells(*, dark: bool = False) -> dict[str, tuple[RGB, RGB]]:
    """The colours of cells by name, such as right-3: the cell's own, and that of black and white which is read better on it."""
    paper = rgb(COLORS["panel"][dark])
    found: dict[str, tuple[RGB, RGB]] = {}
    for kind in ("right", "wrong"):
        full = rgb(COLORS[kind][dark])
        for n in range(1, LEVELS + 1):
            red, green, blue = (
                float(round(a + (b - a) * n / LEVELS)) for a, b in zip(paper, full, strict=True)
            )
            inks: tuple[RGB, RGB] = ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
            color = (red, green, blue)
            found[f"{kind}-{n}"] = (color, max(inks, key=lambda ink: contrast(ink, color)))
    return found


def cell_variables(*, dark: bool = False) -> str:
    """`cells` as CSS variables; a page that holds a matrix needs them beside `variables`."""
    return " ".join(
        f"--{name}: {_hex(color)}; --{name}-ink: {_hex(ink)};"
        for name, (color, ink) in cells(dark=dark).items()
    )


def _hex(color: RGB) -> str:
    return "#" + "".join(f"{round(c):02x}" for c in color)


def tag(name: str, content: str = "", attributes: Mapping[str, object] | None = None) -> str:
    """One SVG element; `content` is markup already, attributes are escaped here."""
    given = "".join(
        f' {key}="{html.escape(amount(value))}"' for key, value in (attributes or {}).items()
    )
    return f"<{name}{given}>{content}</{name}>" if content else f"<{name}{given}/>"


def text(words: str, x: float, y: float, kind: str = "") -> str:
    """Words at a place; `kind` is a CSS class such as `end` or `mid`."""
    place = {"x": x, "y": y} | ({"class": kind} if kind else {})
    return tag("text", html.escape(printable(words)), place)


def tip(words: str) -> str:
    """What is shown when the pointer rests on the element around it."""
    return tag("title", html.escape(printable(words)))


def amount(value: object) -> str:
    """A coordinate: two digits are enough."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def drawing(content: str, width: float, height: float, label: str, style: str = "") -> str:
    """A drawing that stands by itself, in a file or a notebook: the palette is in it.

    Args:
        content: elements; words have the classes `title`, `soft`, `mid` and `end`.
        width: of the drawing, in pixels.
        height: likewise.
        label: what a reader who cannot see is told.
        style: further rules; its elements are inside of `.drawing`, for which stands a name that no other drawing of
            the page has, nor the page itself.
    """
    name = f"drawing-{zlib.crc32(style.encode()):08x}"
    rules = (
        f".drawing{{{variables()}}}@media(prefers-color-scheme:dark){{.drawing{{{variables(dark=True)}}}}}"
        ".drawing text{font:12px system-ui,sans-serif;fill:var(--ink)}.drawing .title{font-weight:600;font-size:14px}"
        ".drawing .page{fill:var(--paper)}.drawing .soft{fill:var(--soft)}.drawing .mid{text-anchor:middle}.drawing .end{text-anchor:end}"
    )
    box = {
        "xmlns": "http://www.w3.org/2000/svg",
        "class": name,
        "viewBox": f"0 0 {amount(width)} {amount(height)}",
        "width": width,
        "role": "img",
        "aria-label": label,
    }
    own = (rules + style).replace(".drawing", f".{name}")
    paper = tag("rect", "", {"class": "page", "width": "100%", "height": "100%"})
    return tag("svg", tag("style", own) + paper + content, box)


# ------------------------------------------------------------------------------------------- curves


@dataclass(frozen=True)
class Line:
    """One curve: its name, its CSS class and one value an epoch; `points`, where it is known between them too."""

    name: str
    kind: str
    values: Sequence[float | None]
    points: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Axis:
    """A range of values: `form` writes those beside ticks, `exact` any other; `log` spaces them by their ratio.

    With `finest` over 0 what is missing to 1 is spaced by its ratio, down to about that much: 99 % and 99.9 % are apart.
    """

    low: float
    high: float
    form: Callable[[float], str]
    log: bool = False
    exact: Callable[[float], str] = "{:.4f}".format
    finest: float = 0.0

    def share(self, value: float) -> float:
        """Where a value lies between low (0) and high (1)."""
        low, high, at = (self._spaced(x) for x in (self.low, self.high, value))
        return (at - low) / (high - low) if high > low else 0.5

    def _spaced(self, value: float) -> float:
        if self.finest:
            return -math.log(max(1 - value, 0.0) + self.finest)
        return math.log(value) if self.log else value

    def ticks(self) -> list[float]:
        """Round values within the range."""
        if self.finest:
            return self._near_one()
        if self.log:
            return _decades(self.low, self.high)
        step = round_step(self.high - self.low)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def _near_one(self) -> list[float]:
        """1, and of 50 %, 80 %, 90 %, 95 %, ... those that have room below it."""
        missing = [0.0, *sorted(m * 10.0**p for p in range(-6, 0) for m in (1, 2, 5)), 1.0]
        found: list[float] = []
        for value in (round(1 - part, 9) for part in missing):
            room = not found or self.share(found[-1]) - self.share(value) >= 0.11
            if self.low - 1e-9 <= value <= self.high and room:
                found.append(value)
        return found[::-1]


def opened_axis(values: Sequence[float]) -> Axis:
    """For shares whose end is what matters: where they reach 90 % the axis opens towards 100 %, else `share_axis`."""
    high = max(values)
    if not 0.9 <= high <= 1.0:
        return share_axis(values)
    missing = [1 - v for v in values if 1 - v > 1e-9]
    finest = max(1e-5, min(0.02, min(missing, default=0.01) / 2))
    low = max(0.0, math.floor(20 * min(*values, 0.9) + 1e-9) / 20)
    return Axis(low, 1.0, _percents, exact=percent, finest=finest)


def share_axis(values: Sequence[float]) -> Axis:
    """From a round value below all shares to 100 %, or to a round value above all where none comes near."""
    low, high = max(0.0, min(values)), min(1.0, max(values))
    step = round_step((1.0 if high > 0.8 else high + 0.01) - low, 4)
    end = 1.0 if high > 0.8 else min(1.0, math.ceil(high / step - 1e-9) * step)
    return Axis(max(0.0, math.floor(low / step + 1e-9) * step), end, _percents, exact=percent)


def _percents(share: float) -> str:
    """A round share beside a tick."""
    return f"{round(100 * share, 6):g}{SPACE}%"


def value_axis(values: Sequence[float], *, ratios: bool = True) -> Axis:
    """From zero to above all, or by ratios where they differ much and that is wanted."""
    low, high = min(values), max(values)
    if ratios and low > 0 and high / low > 20:
        return Axis(low / 1.15, high * 1.15, "{:g}".format, log=True)
    return Axis(min(0.0, low), high * 1.05 if high > 0 else 1.0, "{:g}".format)


@dataclass(frozen=True)
class Frame:
    """The room of a chart between its axes."""

    across: Axis
    up: Axis
    width: float
    height: float = 200
    left: float = 44.0
    top: float = 12.0
    margin: float = 8.0
    below: float = 26.0

    @property
    def right(self) -> float:
        """Where the horizontal axis ends."""
        return self.width - self.margin

    @property
    def bottom(self) -> float:
        """Where the vertical axis begins."""
        return self.height - self.below

    def x(self, value: float) -> float:
        """The place of a value on the horizontal axis."""
        return self.left + (self.right - self.left) * self.across.share(value)

    def y(self, value: float) -> float:
        """The place of a value on the vertical axis; what lies outside is drawn at its end."""
        within = min(1.0, max(0.0, self.up.share(value)))
        return self.bottom - (self.bottom - self.top) * within

    def levels(self) -> str:
        """A line and its value at each tick of the vertical axis."""
        marks = [
            tag("line", "", {"x1": self.left, "x2": self.right, "y1": y, "y2": y, "class": "grid"})
            + text(self.up.form(v), self.left - 6, y + 3.5, "end")
            for v in self.up.ticks()
            for y in (self.y(v),)
        ]
        return "".join(marks)

    def named(self, across: str, up: str) -> list[str]:
        """The names of both axes: below the one, above the other."""
        below = text(across, (self.left + self.right) / 2, self.height - 4, "mid axis")
        return [below, *([text(up, 2, self.top - 10, "axis")] if up else [])]


def round_step(span: float, parts: int = 4) -> float:
    """The smallest of 1, 2, 5 x 10^k that cuts a span into at most about `parts` steps.

    >>> round_step(0.9), round_step(7)
    (0.5, 2.0)
    """
    raw = max(span, 1e-12) / parts
    unit = 10 ** math.floor(math.log10(raw))
    return next(unit * k for k in (1.0, 2.0, 5.0, 10.0) if unit * k >= raw * (1 - 1e-9))


def _decades(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in ((1, 2, 5), (1,)):
        marks = [m * 10.0**p for p in powers for m in mantissas if low <= m * 10.0**p <= high]
        if len(marks) <= 6:
            break
    return marks


def finite(values: Sequence[float | None]) -> list[float]:
    """Those that are numbers."""
    return [v for v in values if v is not None and math.isfinite(v)]


def curves(
    epochs: Sequence[int],
    lines: Sequence[Line],
    axis: Axis,
    *,
    best: int | None,
    label: str,
    width: int = 360,
    name: str = "",
    marks: Sequence[tuple[float, float, str]] = (),
) -> str:
    """Curves over epochs, the best epoch marked, with a tip an epoch.

    Args:
        epochs: numbers along the bottom.
        lines: the curves.
        axis: the vertical axis.
        best: the epoch that is marked, or None.
        label: what a reader who cannot see is told.
        width: of the drawing, whose height is about 200.
        name: of the vertical axis; the horizontal one is that of epochs.
        marks: points with a word each: epoch, value, word.
    """
    first = min([float(min(epochs)), *(x for line in lines for x, _ in line.points)])
    frame = Frame(Axis(first, max(epochs), str), axis, width, 228, 50.0, top=24.0, below=40.0)
    top, bottom = frame.top, frame.bottom
    parts = [frame.levels(), *frame.named("epoch", name)]
    parts += [
        text(str(e), frame.x(e), frame.bottom + 15, "mid")
        for e in _epoch_ticks(epochs, width // 45)
    ]
    if best is not None:
        mark = {"x1": frame.x(best), "x2": frame.x(best), "y1": top, "y2": bottom, "class": "best"}
        parts.append(tag("line", "", mark))
    parts += [_curve(line, epochs, frame) for line in lines]
    parts += [_mark(at, frame) for at in marks]
    step = (frame.right - frame.left) / max(len(epochs) - 1, 1)
    for i, epoch in enumerate(epochs):
        told = [f"{line.name} {_told(line.values[i], axis)}" for line in lines]
        strip = {
            "x": frame.x(epoch) - step / 2,
            "y": top,
            "width": step,
            "height": bottom - top,
            "class": "hit",
        }
        parts.append(tag("rect", tip(f"epoch {epoch}: {', '.join(told)}"), strip))
    return chart("".join(parts), width, frame.height, label)


def plot(
    line: Sequence[tuple[float, float]],
    across: Axis,
    up: Axis,
    *,
    label: str,
    names: tuple[str, str],
    points: Sequence[tuple[float, float]] = (),
) -> str:
    """One line through points of two axes, and points that it does not go through.

    Args:
        line: the points, in order.
        across: the horizontal axis.
        up: the vertical axis.
        label: what a reader who cannot see is told.
        names: of both axes.
        points: drawn as dots.
    """
    frame = Frame(across, up, 220, 170, margin=18.0)
    parts = [frame.levels()]
    parts += [text(across.form(v), frame.x(v), frame.bottom + 13, "mid") for v in across.ticks()]
    parts.append(text(names[0], (frame.left + frame.right) / 2, frame.height - 1, "mid axis"))
    parts.append(text(names[1], frame.left, frame.top - 5, "axis"))
    through = " ".join(f"{frame.x(a):.1f},{frame.y(b):.1f}" for a, b in line)
    if line:
        parts.append(tag("polyline", "", {"points": through, "class": "line held"}))
    for a, b in points:
        dot = {"cx": frame.x(a), "cy": frame.y(b), "r": 1.6, "class": "dot"}
        parts.append(tag("circle", "", dot))
    return chart("".join(parts), frame.width, frame.height, label)


@dataclass(frozen=True)
class Curve:
    """One line through points of two axes: its name, its CSS class, its points in order."""

    name: str
    kind: str
    points: Sequence[tuple[float, float]]


class Point(NamedTuple):
    """A dot with the ends of its interval, and what is shown when the pointer rests on it."""

    across: float
    up: float
    low: float
    high: float
    words: str


def paths(
    lines: Sequence[Curve],
    across: Axis,
    up: Axis,
    *,
    label: str,
    names: tuple[str, str],
    even: Sequence[tuple[float, float]] = (),
    points: Sequence[Point] = (),
) -> str:
    """Several lines through points of two axes, and dots with intervals.

    Args:
        lines: each with a tip that names it.
        across: the horizontal axis.
        up: the vertical axis.
        label: what a reader who cannot see is told.
        names: of both axes.
        even: a broken line beside them, such as what chance would give.
        points: dots, each with its interval.
    """
    frame = Frame(across, up, 300, 250, top=24.0, margin=22.0, below=40.0)
    parts = [frame.levels(), *frame.named(*names), *_across(frame)]
    if even:
        parts.append(tag("polyline", "", {"points": _through(even, frame), "class": "even"}))
    for line in lines:
        given = {"points": _through(line.points, frame), "class": f"line {line.kind}"}
        parts.append(tag("polyline", tip(line.name), given))
    parts += [_dot(point, frame) for point in points]
    return chart("".join(parts), frame.width, frame.height, label)


def _dot(point: Point, frame: Frame) -> str:
    x = frame.x(point.across)
    ends = {"x1": x, "x2": x, "y1": frame.y(point.low), "y2": frame.y(point.high)}
    dot = {"cx": x, "cy": frame.y(point.up), "r": 3.5, "class": "dot held"}
    drawn = tag("line", "", {**ends, "class": "whisker"}) + tag("circle", "", dot)
    return tag("g", tip(point.words) + drawn)


def _across(frame: Frame) -> list[str]:
    """The ticks of the horizontal axis."""
    return [
        text(frame.across.form(v), frame.x(v), frame.bottom + 14, "mid")
        for v in frame.across.ticks()
    ]


def _through(points: Sequence[tuple[float, float]], frame: Frame) -> str:
    return " ".join(f"{frame.x(a):.1f},{frame.y(b):.1f}" for a, b in points)


def bars(
    heaps: Sequence[Sequence[float]],
    kinds: Sequence[str],
    across: Axis,
    *,
    label: str,
    names: tuple[str, str],
    tips: Sequence[str] = (),
) -> str:
    """Bars beside each other, each of parts that stand on one another.

    Args:
        heaps: the parts of each bar; the bars divide the horizontal axis evenly.
        kinds: the CSS class of each part.
        across: the horizontal axis.
        label: what a reader who cannot see is told.
        names: of both axes.
        tips: what is shown when the pointer rests on a bar.
    """
    most = max((sum(heap) for heap in heaps), default=0.0)
    frame = Frame(
        across,
        Axis(0, 1.08 * most or 1.0, "{:,.6g}".format),
        300,
        250,
        top=24.0,
        margin=22.0,
        below=40.0,
    )
    step = (frame.right - frame.left) / max(len(heaps), 1)
    parts = [frame.levels(), *frame.named(*names), *_across(frame)]
    for i, heap in enumerate(heaps):
        floor, rects = 0.0, ""
        for part, kind in zip(heap, kinds, strict=True):
            top, bottom = frame.y(floor + part), frame.y(floor)
            spot = {
                "x": frame.left + i * step + 0.5,
                "y": top,
                "width": step - 1,
                "height": bottom - top,
            }
            rects += tag("rect", "", {**spot, "class": kind}) if part else ""
            floor += part
        above = text(compact(floor), frame.left + (i + 0.5) * step, frame.y(floor) - 3, "mid small")
        parts.append(tag("g", (tip(tips[i]) if tips else "") + rects + above) if rects else "")
    return chart("".join(parts), frame.width, frame.height, label)


def timeline(
    stamps: Sequence[str], lines: Sequence[Line], *, label: str, mark: int | None = None
) -> str:
    """Lines over steps of time; gaps where a value is None.

    Args:
        stamps: the time of each step, of which the first, a middle and the last are written.
        lines: a value a step each.
        label: what a reader who cannot see is told.
        mark: a step at which a line stands, such as where a forecast begins.
    """
    known = [v for line in lines for v in finite(line.values)] or [0.0]
    low, high = min(known), max(known)
    room = 0.05 * (high - low) or 1.0
    steps = list(range(len(stamps)))
    frame = Frame(
        Axis(0, max(1, len(stamps) - 1), str),
        Axis(low - room, high + room, "{:g}".format),
        640,
        170,
    )
    parts = [frame.levels()]
    if mark is not None:
        at = {"x1": frame.x(mark), "x2": frame.x(mark), "y1": frame.top, "y2": frame.bottom}
        parts.append(tag("line", "", {**at, "class": "best"}))
    places = {0: "", len(stamps) // 2: "mid", len(stamps) - 1: "end"}
    parts += [
        text(stamps[i], frame.x(i), frame.height - 8, kind)
        for i, kind in places.items()
        if stamps[i]
    ]
    parts += [_curve(line, steps, frame) for line in lines]
    return chart("".join(parts), frame.width, frame.height, label)


def _mark(mark: tuple[float, float, str], frame: Frame) -> str:
    """A point and its word, to its right or to its left where there is no room."""
    x, y = frame.x(mark[0]), frame.y(mark[1])
    right = x + 6.5 * len(mark[2]) < frame.right
    words = text(mark[2], x + 6 if right else x - 6, y - 4, "" if right else "end")
    return tag("circle", "", {"cx": x, "cy": y, "r": 3, "class": "dot rate"}) + words


def _told(value: float | None, axis: Axis) -> str:
    return "-" if value is None else axis.exact(value)


def _epoch_ticks(epochs: Sequence[int], most: int) -> list[int]:
    step = max(1, round(round_step(max(epochs) - min(epochs), most)))
    return [e for e in epochs if e % step == 0] or [epochs[0]]


def _curve(line: Line, epochs: Sequence[int], frame: Frame) -> str:
    if line.points:
        through = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in line.points)
        return tag("polyline", "", {"points": through, "class": f"line {line.kind}"})
    pieces: list[list[str]] = [[]]
    for epoch, value in zip(epochs, line.values, strict=True):
        if value is None or not math.isfinite(value):
            pieces.append([])
        else:
            pieces[-1].append(f"{frame.x(epoch):.1f},{frame.y(value):.1f}")
    drawn = [
        tag("polyline", "", {"points": " ".join(piece), "class": f"line {line.kind}"})
        for piece in pieces
        if len(piece) > 1
    ]
    points = [point.split(",") for piece in pieces for point in piece]
    if len(epochs) <= 30:
        drawn += [
            tag("circle", "", {"cx": a, "cy": b, "r": 2.2, "class": f"dot {line.kind}"})
            for a, b in points
        ]
    return "".join(drawn)


def chart(content: str, width: float, height: float, label: str) -> str:
    """The drawing of these elements; `label` is what a reader who cannot see is told."""
    box = {"viewBox": f"0 0 {amount(float(width))} {amount(float(height))}", "role": "img"}
    return tag("svg", content, box | {"class": "chart", "aria-label": label})


# --------------------------------------------------------------------------- intervals and shares


def whisker(value: float, low: float, high: float, axis: Axis) -> str:
    """A dot on the line of its interval, as wide as its box."""
    a, b, c = (100 * min(1.0, max(0.0, axis.share(v))) for v in (low, value, high))
    parts = [
        tag("line", "", {"x1": "0%", "x2": "100%", "y1": 8, "y2": 8, "class": "grid"}),
        tag(
            "line", "", {"x1": f"{a:.2f}%", "x2": f"{c:.2f}%", "y1": 8, "y2": 8, "class": "whisker"}
        ),
        tag("circle", "", {"cx": f"{b:.2f}%", "cy": 8, "r": 4, "class": "dot held"}),
        tip(f"{_told(value, axis)}, 95 % interval {_told(low, axis)} to {_told(high, axis)}"),
    ]
    return tag("svg", "".join(parts), {"class": "track", "height": 16, "aria-hidden": "true"})


def bar(share: float) -> str:
    """A share 0..1 as a bar, as wide as its box."""
    filled = {"width": f"{100 * min(1.0, max(0.0, share)):.2f}%", "height": 8, "class": "share"}
    paper = {"width": "100%", "height": 8, "class": "paper"}
    parts = tag("rect", "", paper) + tag("rect", "", filled)
    return tag("svg", parts, {"class": "bar", "height": 8, "aria-hidden": "true"})
