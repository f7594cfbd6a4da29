"""A picture made of a few primitives, written as SVG or painted by Pillow: both from the same list.

Coordinates are pixels from the left and from the top. Colours are names of a palette, of a light and a dark colour each.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import atan2, cos, pi, sin
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from striate import svg
from striate.errors import ArgumentError
from striate.result import html_page
from striate.see.fonts import FAMILY, font, spelled
from striate.text import printable

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

PAGE = (
    "<style>body{max-width:80rem}h1{font-size:1.15rem}.drawn{overflow-x:auto}.drawn>svg{display:block;max-width:none;height:auto}"
    ".drawn table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}"
    ".drawn td,.drawn th{padding:.2em .7em;text-align:left;border-bottom:1px solid light-dark(#dcd8cd,#383a3f)}</style>"
)
Point = tuple[float, float]
Colours = tuple[str, str]
SCALE = 2  # pixels of a painted picture to one of the drawing
ARROW = 6.0  # length of an arrow's head


@dataclass(frozen=True)
class Rect:
    """A rectangle with round corners."""

    x: float
    y: float
    width: float
    height: float
    fill: str = ""
    stroke: str = ""
    radius: float = 0.0


@dataclass(frozen=True)
class Shape:
    """A filled polygon."""

    points: tuple[Point, ...]
    fill: str
    stroke: str = ""


@dataclass(frozen=True)
class Disc:
    """A circle; `tip` is shown when the pointer rests on it."""

    x: float
    y: float
    radius: float
    fill: str
    stroke: str = ""
    tip: str = ""


@dataclass(frozen=True)
class Path:
    """A line through points, with an arrow's head at its end; `marks` are attributes that tell what it joins."""

    points: tuple[Point, ...]
    stroke: str = "soft"
    width: float = 1.2
    arrow: bool = True
    marks: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True)
class Words:
    """A line of text at its base line: `anchor` is start, middle or end."""

    x: float
    y: float
    text: str
    colour: str = "ink"
    size: float = 12.0
    bold: bool = False
    anchor: str = "start"


@dataclass(frozen=True)
class Group:
    """Parts that belong together; `tip` is shown when the pointer rests on them."""

    parts: "tuple[Part, ...]"
    tip: str = ""
    marks: Mapping[str, object] = field(default_factory=dict[str, object])


Plain = Rect | Shape | Disc | Path | Words
Part = Plain | Group


@dataclass(frozen=True)
class Canvas:
    """A picture: its size, its parts, what a reader who cannot see is told, and its own colours besides the kit's."""

    width: float
    height: float
    parts: tuple[Part, ...]
    label: str
    palette: Mapping[str, Colours] = field(default_factory=dict[str, Colours])

    def colour(self, name: str, *, dark: bool = False) -> str:
        """The colour of a name, such as "#fcfbf8"."""
        return (self.palette.get(name) or svg.COLORS[name])[dark]

    def as_svg(self) -> str:
        """One file that needs nothing else, in light and dark."""
        content = "".join(map(_svg, self.parts))
        return svg.drawing(content, self.width, self.height, self.label, self._style())

    def _style(self) -> str:
        light, dark = (
            ";".join(f"--{name}:{pair[i]}" for name, pair in self.palette.items()) for i in (0, 1)
        )
        names = sorted(_colours(self.parts))
        rules = "".join(
            f".drawing .f-{name}{{fill:var(--{name})}}.drawing .s-{name}{{stroke:var(--{name})}}"
            for name in names
        )
        return (
            (f".drawing{{{light}}}@media(prefers-color-scheme:dark){{.drawing{{{dark}}}}}" if light else "")
            + f".drawing text{{font-family:{FAMILY}}}.drawing .none{{fill:none}}"
            + rules
        )  # fmt: skip

    def save(self, path: FilePath, page: str | None = None) -> None:
        """Write an .svg, a .png, or an .html page of its own.

        Args:
            path: whose ending says which.
            page: the markup of the page; the drawing alone if not given.

        Raises:
            ArgumentError: another ending.
        """
        match path.suffix.lower():
            case ".svg":
                path.write_bytes(self.as_svg().encode("utf-8", "backslashreplace"))
            case ".html":
                title = self.label.partition(":")[0]
                heading = f"<h1>{html.escape(printable(title))}</h1>"
                content = html_page(title, f"{PAGE}<main>{heading}{page or self.as_html()}</main>")
                path.write_bytes(content.encode("utf-8", "backslashreplace"))
            case ".png":
                self.as_image().save(path, "PNG", optimize=True)
            case ending:
                raise ArgumentError(
                    f"{path}: cannot write {ending!r}; end it in .svg, .png or .html"
                )

    def as_html(self) -> str:
        """The drawing in a box that scrolls where the page is narrower."""
        return f'<div class="drawn" tabindex="0" role="group" aria-label="drawing">{self.as_svg()}</div>'

    def as_image(self, *, dark: bool = False) -> "Image":
        """Painted with twice as many pixels, RGB, on the paper's colour."""
        from PIL import Image, ImageDraw

        size = round(self.width * SCALE), round(self.height * SCALE)
        made = Image.new("RGB", size, self.colour("paper", dark=dark))
        painter = _Painter(ImageDraw.Draw(made), self, dark)
        for part in flat(self.parts):
            painter.paint(part)
        return made


def flat(parts: Sequence[Part]) -> Iterator[Plain]:
    """All parts, those of groups in their place."""
    for part in parts:
        if isinstance(part, Group):
            yield from flat(part.parts)
        else:
            yield part


def moved(part: Part, dx: float, dy: float) -> Part:
    """The same part at another place."""
    match part:
        case Disc():
            return replace(part, x=part.x + dx, y=part.y + dy)
        case Group():
            return replace(part, parts=tuple(moved(each, dx, dy) for each in part.parts))
        case Path():
            points = tuple((x + dx, y + dy) for x, y in part.points)
            return replace(part, points=points)
        case Shape():
            points = tuple((x + dx, y + dy) for x, y in part.points)
            return replace(part, points=points)
        case Rect() | Words():
            return replace(part, x=part.x + dx, y=part.y + dy)


def _colours(parts: Sequence[Part]) -> set[str]:
    found: set[str] = set()
    for part in flat(parts):
        if isinstance(part, Rect | Shape | Disc):
            found |= {part.fill, part.stroke}
        else:
            found.add(part.stroke if isinstance(part, Path) else part.colour)
    return found - {""}


def head(points: Sequence[Point]) -> tuple[Point, Point, Point]:
    """The three corners of an arrow's head at the end of a line."""
    (x0, y0), (x1, y1) = points[-2:]
    turn = atan2(y1 - y0, x1 - x0)
    sides = [(x1 - ARROW * cos(turn + a), y1 - ARROW * sin(turn + a)) for a in (pi / 8, -pi / 8)]
    return (x1, y1), sides[0], sides[1]


def _svg(part: Part) -> str:
    match part:
        case Group():
            inner = (svg.tip(part.tip) if part.tip else "") + "".join(map(_svg, part.parts))
            return svg.tag("g", inner, part.marks) if inner else ""
        case Words():
            return _words(part)
        case Path():
            return _path(part)
        case Rect():
            box = {"x": part.x, "y": part.y, "width": part.width, "height": part.height}
            round_ = {"rx": part.radius} if part.radius else {}
            return svg.tag("rect", "", box | round_ | {"class": _class(part.fill, part.stroke)})
        case Disc():
            ring = {"cx": part.x, "cy": part.y, "r": part.radius}
            shown = svg.tip(part.tip) if part.tip else ""
            return svg.tag("circle", shown, ring | {"class": _class(part.fill, part.stroke)})
        case Shape():
            form = {"points": _through(part.points), "class": _class(part.fill, part.stroke)}
            return svg.tag("polygon", "", form)


def _words(part: Words) -> str:
    anchor = {"middle": " mid", "end": " end"}.get(part.anchor, "")
    style = f"font-size:{svg.amount(float(part.size))}px" + ";font-weight:600" * part.bold
    place = {"x": part.x, "y": part.y, "class": f"f-{part.colour}{anchor}", "style": style}
    return svg.tag("text", html.escape(printable(part.text)), place)


def _path(part: Path) -> str:
    line = {"points": _through(part.points), "class": f"none s-{part.stroke}"}
    line |= {"stroke-width": part.width} | dict(part.marks)
    made = svg.tag("polyline", "", line)
    if part.arrow:
        made += svg.tag("polygon", "", {"points": _through(head(part.points)), "class": f"f-{part.stroke}"})  # fmt: skip
    return made


def _through(points: Sequence[Point]) -> str:
    return " ".join(f"{svg.amount(float(x))},{svg.amount(float(y))}" for x, y in points)


def _class(fill: str, stroke: str) -> str:
    return (f"f-{fill}" if fill else "none") + (f" s-{stroke}" if stroke else "")


class _Painter:
    """Paints the primitives at twice their size."""

    def __init__(self, on: "ImageDraw", canvas: Canvas, dark: bool) -> None:
        self.on = on
        self._canvas, self._dark = canvas, dark

    def paint(self, part: Plain) -> None:
        """One of them."""
        match part:
            case Rect():
                ends = (part.x, part.y, part.x + part.width, part.y + part.height)
                self.on.rounded_rectangle(
                    [x * SCALE for x in ends],
                    part.radius * SCALE,
                    self._colour(part.fill),
                    self._colour(part.stroke),
                    SCALE,
                )
            case Shape():
                self.on.polygon(
                    _scaled(part.points),
                    self._colour(part.fill),
                    self._colour(part.stroke),
                    SCALE,
                )
            case Disc():
                sides = (part.x - part.radius, part.y - part.radius, part.x + part.radius, part.y + part.radius)  # fmt: skip
                colours = self._colour(part.fill), self._colour(part.stroke)
                self.on.ellipse([x * SCALE for x in sides], *colours, SCALE)
            case Path():
                self._line(part)
            case Words():
                place = (part.x * SCALE, part.y * SCALE)
                anchor = {"middle": "ms", "end": "rs"}.get(part.anchor, "ls")
                letters = font(part.size * SCALE, bold=part.bold)
                self.on.text(
                    place, spelled(printable(part.text)), self._colour(part.colour), letters, anchor
                )

    def _line(self, part: Path) -> None:
        colour = self._colour(part.stroke)
        for a, b in pairwise(_scaled(part.points)):
            self.on.line([a, b], colour, max(1, round(part.width * SCALE)))
        if part.arrow:
            self.on.polygon(_scaled(head(part.points)), colour)

    def _colour(self, name: str) -> str | None:
        return self._canvas.colour(name, dark=self._dark) if name else None


def _scaled(points: Sequence[Point]) -> list[Point]:
    return [(x * SCALE, y * SCALE) for x, y in points]
