"""Labelled pictures in rows, as one PNG or as markup: what most pictures of the inside of a net are made of."""

import html
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from striate import svg
from striate.result import Result, contained
from striate.see import fonts, paint
from striate.text import number, short

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

CELL = 72  # pixels that the longer side of a small picture gets
WIDE = 1180  # of a row before it wraps
LETTERS = 12
LINE = 16
GAP = 8
RAMP = 160  # pixels of a colour scale


@dataclass(frozen=True, eq=False)
class Plate:
    """One picture: pixels uint8 [H, W, 3], a short title below it, and what is told of it on hover and to screen readers."""

    pixels: paint.Pixels = field(repr=False)
    title: str = ""
    tip: str = ""


@dataclass(frozen=True, eq=False)
class Row:
    """Pictures that belong together, below a heading."""

    plates: Sequence[Plate]
    heading: str = ""


@dataclass(frozen=True)
class Ramp:
    """What colours mean: the kind of scale, its ends, the unit; on a diverging one zero is in the middle."""

    kind: str  # diverging, sequential or grey
    low: float
    high: float
    unit: str = ""

    @property
    def words(self) -> tuple[str, str, str]:
        """What stands at the low end, in the middle and at the high end."""
        middle = "0" if self.kind == "diverging" or (self.kind == "grey" and self.low < 0) else ""
        return number(self.low), middle, number(self.high)

    def pixels(self, width: int = RAMP, height: int = 10) -> paint.Pixels:
        """The scale itself [height, width, 3]."""
        share = np.linspace(0, 1, width, dtype=np.float64)[None].repeat(height, 0)
        if self.kind == "diverging":
            return paint.diverging(share * 2 - 1, 1.0)
        if self.kind == "sequential":
            return paint.sequential(share, 1.0)
        return np.rint(share[..., None].repeat(3, 2) * 255).astype(np.uint8)


class Plates(Result):
    """A result that is shown as rows of labelled pictures."""

    @abstractmethod
    def heading(self) -> str:
        """What is shown, in one sentence, with units."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """The pictures."""

    def ramps(self) -> list[Ramp]:
        """What their colours mean."""
        return []

    def remarks(self) -> list[str]:
        """What a reader must know to read them rightly."""
        return []

    def picture(self) -> "Image":
        """All of it on one sheet, on white."""
        return _Sheet(self).image()

    def as_html(self) -> str:
        """Headings and pictures that wrap, in the colours of the page."""
        parts = [f"<h2>{html.escape(self.heading())}</h2>"]
        parts += [_ramp_markup(ramp) for ramp in self.ramps()]
        parts += [_row_markup(row) for row in self.rows()]
        parts += [f"<p>{html.escape(words)}</p>" for words in self.remarks()]
        return f'<div class="plates"><style>{STYLE}</style>{"".join(parts)}</div>'

    def _repr_html_(self) -> str:
        return contained(self.as_html())


STYLE = (
    ".plates{overflow-wrap:anywhere}.plates h2{font-size:1.05rem;margin:.25rem 0 .5rem}"
    ".plates .row{display:flex;flex-wrap:wrap;gap:8px;margin:.25rem 0 1rem}"
    ".plates figure{margin:0;max-width:100%}"
    ".plates img{image-rendering:pixelated;display:block;max-width:100%;height:auto}"
    ".plates figcaption{font-size:12px;max-width:11rem}"
    ".plates h3{font-size:1rem;margin:.75rem 0 .25rem}"
)


def shown(pixels: paint.Pixels, cell: int = CELL) -> paint.Pixels:
    """Pixels enlarged as squares to a side of about `cell`."""
    factor = max(1, cell // max(pixels.shape[:2]))
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def _row_markup(row: Row) -> str:
    from PIL import Image

    def figure(plate: Plate) -> str:
        seen = shown(plate.pixels)
        source = paint.data_uri(Image.fromarray(plate.pixels))
        told = html.escape(plate.tip or plate.title or row.heading)
        size = f'width="{seen.shape[1]}" height="{seen.shape[0]}"'
        below = f"<figcaption>{html.escape(plate.title)}</figcaption>" if plate.title else ""
        return f'<figure><img src="{source}" alt="{told}" title="{told}" {size}>{below}</figure>'

    head = f"<h3>{html.escape(row.heading)}</h3>" if row.heading else ""
    return f'{head}<div class="row">{"".join(map(figure, row.plates))}</div>'


def _ramp_markup(ramp: Ramp) -> str:
    from PIL import Image

    low, middle, high = ramp.words
    bar = paint.data_uri(Image.fromarray(ramp.pixels()))
    unit = f" {html.escape(ramp.unit)}" if ramp.unit else ""
    zero = f", {middle} in the middle" if middle else ""
    image = f'<img src="{bar}" alt="" width="{RAMP}" height="10" style="display:inline-block">'
    return f"<p>{low} {image} {high}{unit}{zero}</p>"


class _Sheet:
    """Where everything of a result stands on one sheet, and the painting of it."""

    def __init__(self, result: Plates) -> None:
        self.result = result
        self.paper = _light("paper")
        self.ink, self.soft = _light("ink"), _light("soft")

    def image(self) -> "Image":
        """The sheet; it is laid out twice, first to know its size."""
        from PIL import Image, ImageDraw

        blank = ImageDraw.Draw(Image.new("RGB", (1, 1)))
        width, height = self._lay(blank, None)
        image = Image.new("RGB", (width, height), self.paper)
        self._lay(ImageDraw.Draw(image), image)
        return image

    def _lay(self, draw: "ImageDraw", image: "Image | None") -> tuple[int, int]:
        room = WIDE - 2 * GAP
        at, right = GAP, GAP
        for line in _wrapped(self.result.heading(), room, 14):
            right = max(right, self._write(draw, GAP, at, line, self.ink, 14))
            at += 20
        for ramp in self.result.ramps():
            right = max(right, self._scale(draw, image, ramp, at))
            at += 22
        for row in self.result.rows():
            wide, at = self._row(draw, image, row, at)
            right = max(right, wide)
        for words in self.result.remarks():
            for line in _wrapped(words, room, LETTERS):
                right = max(right, self._write(draw, GAP, at, line, self.soft))
                at += LINE
        return round(right) + GAP, at + GAP

    def _row(
        self, draw: "ImageDraw", image: "Image | None", row: Row, at: int
    ) -> tuple[float, int]:
        """The plates of a row, wrapped; gives how far right they reach, and where the next row begins."""
        from PIL import Image

        right: float = GAP
        if row.heading:
            right = self._write(draw, GAP, at + 4, row.heading, self.ink)
            at += LINE + 6
        x, tallest = GAP, 0
        for plate in row.plates:
            pixels = shown(plate.pixels)
            title = fonts.fitted(plate.title, LETTERS, max(pixels.shape[1], CELL))
            wide = round(max(pixels.shape[1], fonts.width(title, LETTERS)))
            if x > GAP and x + wide > WIDE - GAP:
                at, x, tallest = at + tallest + GAP, GAP, 0
            if image is not None:
                image.paste(Image.fromarray(pixels), (x, at))
            if title:
                self._write(draw, x, at + pixels.shape[0] + 2, title, self.soft)
            tallest = max(tallest, pixels.shape[0] + (LINE + 2 if title else 0))
            x += wide + GAP
            right = max(right, x - GAP)
        return right, at + tallest + GAP

    def _scale(self, draw: "ImageDraw", image: "Image | None", ramp: Ramp, at: int) -> float:
        from PIL import Image

        low, middle, high = ramp.words
        x = self._write(draw, GAP, at, low, self.soft) + 6
        if image is not None:
            image.paste(Image.fromarray(ramp.pixels()), (round(x), at + 3))
        if middle:
            draw.line([(x + RAMP / 2, at + 1), (x + RAMP / 2, at + 15)], fill=self.ink)
        words = f"{high} {ramp.unit}".rstrip() + (f", {middle} at the mark" if middle else "")
        return self._write(draw, x + RAMP + 6, at, words, self.soft)

    def _write(
        self, draw: "ImageDraw", x: float, y: float, words: str, colour: str, size: float = LETTERS
    ) -> float:
        """Write a line, and give where it ends."""
        letters = fonts.font(size)
        draw.text((x, y), words, fill=colour, font=letters)
        return x + letters.getlength(words)


def _light(name: str) -> str:
    return svg.COLORS[name][0]


def _wrapped(words: str, room: float, size: float) -> list[str]:
    """Words in lines that fit."""
    lines = [""]
    for word in words.split():
        word = short(word, 80)  # noqa: PLW2901
        longer = f"{lines[-1]} {word}".strip()
        if fonts.width(longer, size) > room and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
