"""Maps over items on paper: a sheet of pixels, and a page that fits light and dark."""

import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from striate.see import paint
from striate.see.attribution.panels import Panel
from striate.text import MINUS, printable, short

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    from striate.see.pictures.saliency import Saliency

PAPER, INK, SOFT, RULE, BLUE = (
    (252, 251, 248),
    (28, 28, 26),
    (101, 98, 90),
    (220, 216, 205),
    (31, 98, 174),
)
MARGIN, GAP, LINE, TITLE = 16, 12, 18, 22
BAR, TICKS = 14, 78  # pixels of a scale's width, and of the numbers beside it
NAME = 150  # of the name of a layer beside a cone
HEADS = ("input", "map over it", "map alone")
STEPS = 101  # colours of a scale

Cone = Sequence[tuple[str, int, tuple[int, int] | None]]


def sheet(found: "Saliency") -> "Image":
    """A row an item: itself, its map over it, its map alone, a scale with zero marked; words around them."""
    rows = [(found.caption(i), found.panel(i)) for i in range(len(found.values))]
    title = f"{found.title}; values: {found.unit}"

    def scale(page: "Image", at: tuple[int, int], height: int, i: int) -> None:
        _scale(page, at, height, ends(found, i))

    return sheet_of(title, HEADS, rows, found.remarks(), scale=scale)


def sheet_of(
    title: str,
    heads: Sequence[str],
    rows: Sequence[tuple[str, Panel]],
    remarks: Sequence[str],
    cones: Sequence[Cone] = (),
    *,
    scale: Callable[["Image", tuple[int, int], int, int], None] | None = None,
) -> "Image":
    """Rows of three pictures under a title, with words above each and remarks below; a cone under each where there are some."""
    from PIL import Image, ImageDraw

    side = max(panel.item.shape[1] for _, panel in rows)
    inner = max(3 * side + 2 * GAP + (GAP + BAR + TICKS) * (scale is not None), 480)
    titles = _wrapped(title, _font(15), inner)
    captions = [_wrapped(words, _font(12), inner) for words, _ in rows]
    said = [line for words in remarks for line in _wrapped(words, _font(12), inner)]
    below = [LINE * len(cone) + GAP for cone in cones] or [0] * len(rows)
    heights = [
        panel.item.shape[0] + LINE * (len(words) + 1) + GAP + under
        for (_, panel), words, under in zip(rows, captions, below, strict=True)
    ]
    height = 2 * MARGIN + TITLE * len(titles) + sum(heights) + LINE * len(said)
    page = Image.new("RGB", (inner + 2 * MARGIN, height), PAPER)
    pen = ImageDraw.Draw(page)
    y = _lines(pen, titles, MARGIN, 15, INK)
    for i, (_, panel) in enumerate(rows):
        y = _lines(pen, captions[i], y, 12, INK)
        for k, (head, pixels) in enumerate(zip(heads, panel, strict=True)):
            x = MARGIN + k * (side + GAP)
            pen.text((x, y), head, SOFT, _font(12))
            page.paste(Image.fromarray(pixels), (x, y + LINE))
        if scale is not None:
            x = MARGIN + 3 * (side + GAP)
            pen.text((x, y), "scale", SOFT, _font(12))
            scale(page, (x, y + LINE), panel.item.shape[0], i)
        y += LINE + panel.item.shape[0] + GAP
        if cones:
            _cone(pen, cones[i], y, inner)
            y += below[i]
    _lines(pen, said, y, 12, SOFT)
    return page


def page(found: "Saliency") -> str:
    """The same as markup; pictures carry their own data."""
    rows = [
        (found.caption(i), found.panel(i), _scale_markup(found, i))
        for i in range(len(found.values))
    ]
    unit = (
        f"values: {found.unit}; the colours of an item end at the 99.5th percentile of its values"
    )
    return page_of(found.title, HEADS, rows, [unit, *found.remarks()])


def page_of(
    title: str,
    heads: Sequence[str],
    rows: Sequence[tuple[str, Panel, str]],
    remarks: Sequence[str],
) -> str:
    """Rows of three pictures and further markup under a title, with remarks below."""
    from PIL import Image

    parts: list[str] = []
    for words, panel, markup in rows:
        figures = "".join(
            f"<figure>{paint.html_image(Image.fromarray(pixels), f'{head}: {words}')}<figcaption>{head}</figcaption></figure>"
            for head, pixels in zip(heads, panel, strict=True)
        )
        parts.append(
            f"<p>{_escaped(words)}</p><div class=row>{figures}<div class=beside>{markup}</div></div>"
        )
    said = "".join(f"<li>{_escaped(words)}</li>" for words in remarks)
    return (
        f"<style>{STYLE}</style><div class=saliency><h2>{_escaped(title)}</h2>"
        f"{''.join(parts)}<ul>{said}</ul></div>"
    )


STYLE = (
    ".saliency{color-scheme:light dark}.saliency h2{font-size:1.1rem;margin:0 0 .3rem;overflow-wrap:anywhere}"
    ".saliency p{margin:.4rem 0;overflow-wrap:anywhere}"
    ".saliency .soft,.saliency figcaption{color:light-dark(#65625a,#a5a198);font-size:.8rem}"
    ".saliency .row{display:flex;flex-wrap:wrap;gap:12px;align-items:flex-end;margin-bottom:1rem}"
    ".saliency figure{margin:0;max-width:100%}.saliency img{display:block;max-width:100%;image-rendering:pixelated}"
    ".saliency .scale img{width:240px;height:14px;image-rendering:auto}"
    ".saliency .ticks{display:flex;justify-content:space-between;width:240px}"
    ".saliency .beside{max-width:100%}.saliency .beside svg{max-width:100%;height:auto}"
    ".saliency ul{font-size:.85rem;padding-left:1.2rem;overflow-wrap:anywhere}"
)


def ends(found: "Saliency", i: int) -> tuple[float, float]:
    """Where the colours of an item begin and end: at zero, or as far below it as above where there are values below."""
    top = found.scale(i)
    return (-top if bool((found.values[i] < 0).any()) else 0.0), top


def _escaped(words: str) -> str:
    return html.escape(printable(words, 2000))


def _scale_markup(found: "Saliency", i: int) -> str:
    from PIL import Image

    low, high = ends(found, i)
    bar = Image.fromarray(_colours(low, high)[None].repeat(14, axis=0))
    marks = [_tick(low), *([] if low == 0 else ["0"]), _tick(high)]
    ticks = "".join(f"<span>{mark.replace('-', MINUS)}</span>" for mark in marks)
    return (
        f"<figure class=scale>{paint.html_image(bar, 'scale of colours')}<div class='ticks soft'>{ticks}</div>"
        f"<figcaption>{_escaped(found.unit)}</figcaption></figure>"
    )


def _scale(page: "Image", at: tuple[int, int], height: int, span: tuple[float, float]) -> None:
    """A bar of colours from the top down, its ends and zero written beside it."""
    from PIL import Image, ImageDraw

    low, high = span
    colours = _colours(low, high)[::-1]
    rows = np.linspace(0, len(colours) - 1, height).round().astype(int)
    x, y = at
    page.paste(Image.fromarray(colours[rows][:, None].repeat(BAR, axis=1)), (x, y))
    pen, small = ImageDraw.Draw(page), _font(12)
    zero = y + round((high / (high - low)) * (height - 1))
    marks = {y: _tick(high), zero: "0"} | ({y + height - 1: _tick(low)} if low < 0 else {})
    for row, words in marks.items():
        pen.line((x + BAR, row, x + BAR + 4, row), fill=INK)
        pen.text((x + BAR + 7, min(max(row - 7, y - 2), y + height - 13)), words, INK, small)


def _cone(pen: "ImageDraw", cone: Cone, top: int, inner: int) -> None:
    """A bar a layer, the unit's on top, dark where its cells move the unit."""
    width = inner - NAME - 80
    left = MARGIN + NAME
    for k, (name, cells, moved) in enumerate(reversed(cone)):
        y = top + LINE * k
        words = short(name, 22)
        pen.text((left - 8 - _font(12).getlength(words), y), words, INK, _font(12))
        pen.rectangle((left, y + 2, left + width, y + 13), fill=RULE)
        if moved is None:
            continue
        first, last = (left + width * n / cells for n in (moved[0], moved[1] + 1))
        pen.rectangle((first, y + 2, max(first + 1, last), y + 13), fill=BLUE)
        pen.text((left + width + 8, y), f"{moved[1] - moved[0] + 1} of {cells}", SOFT, _font(12))


def _lines(
    pen: "ImageDraw", lines: Sequence[str], y: int, size: int, ink: tuple[int, int, int]
) -> int:
    """Write lines from a height on; the height below them."""
    for line in lines:
        pen.text((MARGIN, y), line, ink, _font(size))
        y += TITLE if size > 12 else LINE
    return y


def _colours(low: float, high: float) -> paint.Pixels:
    values = np.linspace(low, high, STEPS)
    return paint.diverging(values, high) if low < 0 else paint.sequential(values, high)


def _tick(value: float) -> str:
    return f"{value:.2g}"


def _font(size: int) -> "FreeTypeFont | ImageFont":
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _wrapped(words: str, font: "FreeTypeFont | ImageFont", width: float) -> list[str]:
    """Lines that are no wider than the sheet; a word that is too long is cut into pieces."""
    lines = [""]
    for word in printable(words, 2000).split():
        piece = word
        if font.getlength(f"{lines[-1]} {piece}".strip()) <= width:
            lines[-1] = f"{lines[-1]} {piece}".strip()
            continue
        lines += [""] if lines[-1] else []
        while font.getlength(piece) > width:
            fits = next(
                k for k in range(len(piece), 0, -1) if font.getlength(piece[:k]) <= width or k == 1
            )
            lines[-1], piece = piece[:fits], piece[fits:]
            lines.append("")
        lines[-1] = piece
    return lines
