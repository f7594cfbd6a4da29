"""The drawing kit: SVG elements, axes, curves, intervals, and one palette for light and dark.

Every text passes through `printable` and the XML escape here. Colours are CSS classes of `STYLE` and variables of
`COLORS`, so that light, dark and print all fit. Small charts keep a narrow design width and grow with their box.
"""

import html
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from striate.text import SPACE, percent, printable

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
STYLE = """svg.chart { display: block; width: 100%; height: auto; overflow: visible; }
svg.track { display: block; width: 100%; overflow: visible; }
svg.bar { display: block; width: 100%; }
svg text { font-family: var(--sans, sans-serif); font-size: 10.5px; fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .end { text-anchor: end; } svg .mid { text-anchor: middle; } svg .axis { font-style: italic; }
.grid { stroke: var(--rule); stroke-width: 1; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.line.train { stroke-dasharray: 5 4; } .line.rate { stroke-width: 1.5; }
.best { stroke: var(--ink); stroke-dasharray: 1.5 3; }
.hit { fill: transparent; } .hit:hover { fill: var(--soft); fill-opacity: 0.12; }
.whisker { stroke: var(--held); stroke-width: 2.5; stroke-opacity: 0.55; stroke-linecap: round; }
svg .paper { fill: var(--panel); } .share { fill: var(--held); fill-opacity: 0.75; }
rect.right { fill: var(--right); } rect.wrong { fill: var(--wrong); }
svg text.count { fill: var(--ink); } svg text.count.strong { fill: var(--strong); font-weight: 600; }
""" + "".join(
    f".line.{name} {{ stroke: var(--{name}); }} .dot.{name} {{ fill: var(--{name}); }}\n"
    for name in ("held", "train", "rate", *SERIES)
)


def variables(*, dark: bool = False) -> str:
    """The palette as CSS variables."""
    return " ".join(f"--{name}: {pair[dark]};" for name, pair in COLORS.items())


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
    """A range of values: `form` writes those beside ticks, `exact` any other; `log` spaces them by their ratio."""

    low: float
    high: float
    form: Callable[[float], str]
    log: bool = False
    exact: Callable[[float], str] = "{:.4f}".format

    def share(self, value: float) -> float:
        """Where a value lies between low (0) and high (1)."""
        low, high, at = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return (at - low) / (high - low) if high > low else 0.5

    def ticks(self) -> list[float]:
        """Round values within the range."""
        if self.log:
            return _decades(self.low, self.high)
        step = round_step(self.high - self.low)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def share_axis(values: Sequence[float]) -> Axis:
    """From a round value below all shares to 100 %, or to a round value above all where none comes near."""
    low, high = max(0.0, min(values)), min(1.0, max(values))
    step = round_step((1.0 if high > 0.8 else high + 0.01) - low, 4)
    end = 1.0 if high > 0.8 else min(1.0, math.ceil(high / step - 1e-9) * step)
    return Axis(max(0.0, math.floor(low / step + 1e-9) * step), end, _percents, exact=percent)


def _percents(share: float) -> str:
    """A round share beside a tick."""
    return f"{round(100 * share, 6):g}{SPACE}%"


def value_axis(values: Sequence[float]) -> Axis:
    """From zero to above all, or by ratios where they differ much."""
    low, high = min(values), max(values)
    if low > 0 and high / low > 20:
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

    @property
    def right(self) -> float:
        """Where the horizontal axis ends."""
        return self.width - self.margin

    @property
    def bottom(self) -> float:
        """Where the vertical axis begins."""
        return self.height - 26.0

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
) -> str:
    """Curves over epochs, the best epoch marked, with a tip an epoch.

    Args:
        epochs: numbers along the bottom.
        lines: the curves.
        axis: the vertical axis.
        best: the epoch that is marked, or None.
        label: what a reader who cannot see is told.
        width: of the drawing, whose height is 200.
    """
    first = min([float(min(epochs)), *(x for line in lines for x, _ in line.points)])
    frame = Frame(Axis(first, max(epochs), str), axis, width)
    top, bottom = frame.top, frame.bottom
    parts = [frame.levels()]
    parts += [
        text(str(e), frame.x(e), frame.height - 10, "mid")
        for e in _epoch_ticks(epochs, width // 45)
    ]
    if best is not None:
        mark = {"x1": frame.x(best), "x2": frame.x(best), "y1": top, "y2": bottom, "class": "best"}
        parts.append(tag("line", "", mark))
    parts += [_curve(line, epochs, frame) for line in lines]
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
