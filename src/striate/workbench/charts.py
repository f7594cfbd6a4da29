"""Charts of the report page, as inline SVG.

Every text passes through `printable` and the XML escape here; colours are CSS classes of `page.css`, so
that light, dark and print all fit. Small charts keep a narrow design width and grow with their box.
"""

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.workbench.formats import printable, short

MOST_CELLS = 60  # classes of a confusion matrix that is drawn cell by cell
BLUE, ORANGE = (58, 122, 190), (214, 96, 20)  # as in page.css, for what is painted in pixels


def tag(name: str, content: str = "", attributes: Mapping[str, object] | None = None) -> str:
    """One SVG element; `content` is markup already, attributes are escaped here."""
    given = "".join(
        f' {key}="{html.escape(_number(value))}"' for key, value in (attributes or {}).items()
    )
    return f"<{name}{given}>{content}</{name}>" if content else f"<{name}{given}/>"


def text(words: str, x: float, y: float, kind: str = "") -> str:
    """Words at a place; `kind` is a CSS class such as `end` or `mid`."""
    place = {"x": x, "y": y} | ({"class": kind} if kind else {})
    return tag("text", html.escape(printable(words)), place)


def tip(words: str) -> str:
    """What is shown when the pointer rests on the element around it."""
    return tag("title", html.escape(printable(words)))


def _number(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


# ------------------------------------------------------------------------------------------- curves


@dataclass(frozen=True)
class Line:
    """One curve: its name, its CSS class and one value an epoch."""

    name: str
    kind: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Axis:
    """A range of values and how they are written; `log` spaces them by their ratio."""

    low: float
    high: float
    form: Callable[[float], str]
    log: bool = False

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
    height = 200
    left, right, top, bottom = 44.0, width - 8.0, 12.0, height - 26.0
    first, last = min(epochs), max(epochs)

    def x(epoch: float) -> float:
        return left + (right - left) * ((epoch - first) / (last - first) if last > first else 0.5)

    def y(value: float) -> float:
        return bottom - (bottom - top) * min(1.0, max(0.0, axis.share(value)))

    parts = [_grid(axis, y, left, right)]
    parts += [text(str(e), x(e), height - 10, "mid") for e in _epoch_ticks(epochs, width // 45)]
    if best is not None:
        mark = {"x1": x(best), "x2": x(best), "y1": top, "y2": bottom, "class": "best"}
        parts.append(tag("line", "", mark))
    parts += [_curve(line, epochs, x, y) for line in lines]
    step = (right - left) / max(len(epochs) - 1, 1)
    for i, epoch in enumerate(epochs):
        told = [f"{line.name} {_told(line.values[i], axis)}" for line in lines]
        strip = {
            "x": x(epoch) - step / 2,
            "y": top,
            "width": step,
            "height": bottom - top,
            "class": "hit",
        }
        parts.append(tag("rect", tip(f"epoch {epoch}: {', '.join(told)}"), strip))
    return _svg("".join(parts), width, height, label)


def _told(value: float | None, axis: Axis) -> str:
    return "-" if value is None else axis.form(value)


def _grid(axis: Axis, y: Callable[[float], float], left: float, right: float) -> str:
    marks = [
        tag("line", "", {"x1": left, "x2": right, "y1": y(v), "y2": y(v), "class": "grid"})
        + text(axis.form(v), left - 6, y(v) + 3.5, "end")
        for v in axis.ticks()
    ]
    return "".join(marks)


def _epoch_ticks(epochs: Sequence[int], most: int) -> list[int]:
    step = max(1, round(round_step(max(epochs) - min(epochs), most)))
    return [e for e in epochs if e % step == 0] or [epochs[0]]


def _curve(
    line: Line, epochs: Sequence[int], x: Callable[[float], float], y: Callable[[float], float]
) -> str:
    pieces: list[list[str]] = [[]]
    for epoch, value in zip(epochs, line.values, strict=True):
        if value is None or not math.isfinite(value):
            pieces.append([])
        else:
            pieces[-1].append(f"{x(epoch):.1f},{y(value):.1f}")
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


def _svg(content: str, width: float, height: float, label: str) -> str:
    box = {"viewBox": f"0 0 {_number(float(width))} {_number(float(height))}", "role": "img"}
    return tag("svg", content, box | {"class": "chart", "aria-label": label})


# ------------------------------------------------------------------------- intervals, shares, heat


def whisker(value: float, low: float, high: float, axis: Axis) -> str:
    """A dot on the line of its interval, as wide as its box."""
    a, b, c = (100 * min(1.0, max(0.0, axis.share(v))) for v in (low, value, high))
    parts = [
        tag("line", "", {"x1": "0%", "x2": "100%", "y1": 8, "y2": 8, "class": "grid"}),
        tag(
            "line", "", {"x1": f"{a:.2f}%", "x2": f"{c:.2f}%", "y1": 8, "y2": 8, "class": "whisker"}
        ),
        tag("circle", "", {"cx": f"{b:.2f}%", "cy": 8, "r": 4, "class": "dot held"}),
        tip(f"{axis.form(value)}, 95 % interval {axis.form(low)} to {axis.form(high)}"),
    ]
    return tag("svg", "".join(parts), {"class": "track", "height": 16, "aria-hidden": "true"})


def bar(share: float) -> str:
    """A share 0..1 as a bar, as wide as its box."""
    filled = {"width": f"{100 * min(1.0, max(0.0, share)):.2f}%", "height": 8, "class": "share"}
    paper = {"width": "100%", "height": 8, "class": "paper"}
    parts = tag("rect", "", paper) + tag("rect", "", filled)
    return tag("svg", parts, {"class": "bar", "height": 8, "aria-hidden": "true"})


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> tuple[str, float]:
    """The matrix and its natural width in pixels. Truth down, answers across; colour is the share of the row, right answers blue, mistakes orange.

    Cells without items are not drawn. Meant for at most `MOST_CELLS` classes; `confusion_pixels` has no limit.
    """
    k = len(classes)
    cell = 34.0 if k <= 4 else 30.0 if k <= 12 else 21.0 if k <= 26 else 11.0
    names = [short(name, 14) for name in classes]
    left = top = 28 + 6.4 * max((len(name) for name in names), default=1)
    middle = f"translate(10 {_number(top + k * cell / 2)}) rotate(-90)"
    parts = [
        tag(
            "rect",
            "",
            {"x": left, "y": top, "width": k * cell, "height": k * cell, "class": "paper"},
        ),
        text("answer", left + k * cell / 2, 10, "mid axis"),
        tag("g", text("truth", 0, 0, "mid axis"), {"transform": middle}),
    ]
    for i, name in enumerate(names):
        parts += _names(name, left, top, (i + 0.5) * cell)
    for truth, row in enumerate(counts):
        parts += [
            _cell(n, n / sum(row), (truth, answer), (left, top, cell), classes)
            for answer, n in enumerate(row)
            if n
        ]
    label = f"Confusion matrix of {k} classes, rows truth, columns answers; the table of pairs says it in words"
    width = left + k * cell + 2
    return _svg("".join(parts), width, width, label), width


def confusion_pixels(counts: Sequence[Sequence[int]]) -> NDArray[np.uint8]:
    """The same colours as one RGBA pixel a cell, [K, K, 4], clear where there are no items."""
    share = np.asarray(counts, dtype=np.float64)
    share = share / np.maximum(share.sum(axis=1, keepdims=True), 1)
    wrong = ~np.eye(len(share), dtype=bool)
    strength = np.where(wrong, _strength(share), share) * (share > 0)
    pixels = np.empty((*share.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where(wrong[..., None], ORANGE, BLUE)
    pixels[..., 3] = np.rint(255 * strength)
    return pixels


def _strength(share: Any) -> Any:
    """Of a mistake's colour: one in a row of hundreds must still be seen, so it starts at a quarter."""
    return 0.25 + 0.75 * share**0.5


def _names(name: str, left: float, top: float, at: float) -> list[str]:
    turned = {"transform": f"translate({_number(left + at + 3.5)} {_number(top - 5)}) rotate(-90)"}
    level = len(name) <= 2
    above = text(name, left + at, top - 5, "mid") if level else tag("g", text(name, 0, 0), turned)
    return [text(name, left - 5, top + at + 3.5, "end"), above]


def _cell(
    n: int,
    share: float,
    at: tuple[int, int],
    frame: tuple[float, float, float],
    classes: Sequence[str],
) -> str:
    (truth, answer), (left, top, cell) = at, frame
    right = truth == answer
    strength = share if right else _strength(share)
    kind = ("right" if right else "wrong") + (" strong" if strength > 0.6 else "")
    spot = {"x": left + answer * cell, "y": top + truth * cell, "width": cell, "height": cell}
    said = "right" if right else f"answered {classes[answer]}"
    words = tip(f"truth {classes[truth]}, {said}: {n:,} ({100 * share:.1f} % of the row)")
    drawn = tag("rect", words, spot | {"class": kind, "fill-opacity": f"{strength:.2f}"})
    if cell < 18 or len(str(n)) * 6 > cell:
        return drawn
    middle = (left + (answer + 0.5) * cell, top + (truth + 0.5) * cell + 3.8)
    return drawn + text(str(n), *middle, f"mid count {kind}")
