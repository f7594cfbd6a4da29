"""Saliency maps on paper: a sheet of pixels, and a page that fits light and dark."""

import html
from typing import TYPE_CHECKING

import numpy as np

from striate.see import paint
from striate.text import MINUS, printable

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

    from striate.see.pictures.saliency import Saliency

PAPER, INK, SOFT = (252, 251, 248), (28, 28, 26), (101, 98, 90)
MARGIN, GAP, LINE = 16, 12, 18
BAR, TICKS = 14, 78  # pixels of a scale's width, and of the numbers beside it
HEADS = ("input", "map over it", "map alone")
STEPS = 101  # colours of a scale


def sheet(found: "Saliency") -> "Image":
    """A row an item: itself, its map over it, its map alone, a scale with zero marked; words around them."""
    from PIL import Image, ImageDraw

    panels = [found.panel(i) for i in range(len(found.values))]
    side = max(each.item.shape[1] for each in panels)
    width = 2 * MARGIN + 3 * side + 3 * GAP + BAR + TICKS
    big, small = _font(15), _font(12)
    titles = _wrapped(f"{found.title}; values: {found.unit}", big, width - 2 * MARGIN)
    captions = [_wrapped(found.caption(i), small, width - 2 * MARGIN) for i in range(len(panels))]
    said = [
        line for words in found.remarks() for line in _wrapped(words, small, width - 2 * MARGIN)
    ]
    heights = [
        each.item.shape[0] + LINE * (len(c) + 1) + GAP
        for each, c in zip(panels, captions, strict=True)
    ]
    height = 2 * MARGIN + 22 * len(titles) + sum(heights) + LINE * len(said) + GAP
    page = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(page)
    y = MARGIN
    for line in titles:
        pen.text((MARGIN, y), line, INK, big)
        y += 22
    for i, (each, words) in enumerate(zip(panels, captions, strict=True)):
        for line in words:
            pen.text((MARGIN, y), line, INK, small)
            y += LINE
        for k, (head, pixels) in enumerate(zip(HEADS, each, strict=True)):
            x = MARGIN + k * (side + GAP)
            pen.text((x, y), head, SOFT, small)
            page.paste(Image.fromarray(pixels), (x, y + LINE))
        _scale(page, (MARGIN + 3 * (side + GAP), y + LINE), each.item.shape[0], found, i)
        pen.text((MARGIN + 3 * (side + GAP), y), "scale", SOFT, small)
        y += LINE + each.item.shape[0] + GAP
    for line in said:
        pen.text((MARGIN, y), line, SOFT, small)
        y += LINE
    return page


def page(found: "Saliency") -> str:
    """The same as markup; pictures carry their own data."""
    items = "".join(_item(found, i) for i in range(len(found.values)))
    said = "".join(f"<li>{html.escape(printable(words, 2000))}</li>" for words in found.remarks())
    title = html.escape(printable(found.title))
    unit = html.escape(found.unit)
    return (
        f"<style>{STYLE}</style><div class=saliency><h2>{title}</h2>"
        f"<p class=soft>Values: {unit}. The colours of an item end at the 99.5th percentile of its values.</p>"
        f"{items}<ul>{said}</ul></div>"
    )


STYLE = (
    ".saliency{color-scheme:light dark}.saliency h2{font-size:1.1rem;margin:0 0 .3rem}.saliency p{margin:.4rem 0}"
    ".saliency .soft,.saliency figcaption{color:light-dark(#65625a,#a5a198);font-size:.8rem}"
    ".saliency .row{display:flex;flex-wrap:wrap;gap:12px;align-items:flex-end;margin-bottom:1rem}"
    ".saliency figure{margin:0;max-width:100%}.saliency img{display:block;max-width:100%;image-rendering:pixelated}"
    ".saliency .scale img{width:240px;height:14px;image-rendering:auto}"
    ".saliency .ticks{display:flex;justify-content:space-between;width:240px}"
    ".saliency ul{font-size:.85rem;padding-left:1.2rem;overflow-wrap:anywhere}"
)


def _item(found: "Saliency", i: int) -> str:
    from PIL import Image

    drawn = found.panel(i)
    caption = html.escape(printable(found.caption(i)))
    figures = "".join(
        f"<figure>{paint.html_image(Image.fromarray(pixels), f'{head} of item {i}')}<figcaption>{head}</figcaption></figure>"
        for head, pixels in zip(HEADS, drawn, strict=True)
    )
    low, high = _ends(found, i)
    colours = _colours(low, high)
    bar = paint.html_image(Image.fromarray(colours[None].repeat(14, axis=0)), "scale of colours")
    marks = [_tick(low), *([] if low == 0 else ["0"]), _tick(high)]
    ticks = "".join(f"<span>{mark.replace('-', MINUS)}</span>" for mark in marks)
    scale = (
        f"<figure class=scale>{bar}<div class='ticks soft'>{ticks}</div>"
        f"<figcaption>{html.escape(found.unit)}</figcaption></figure>"
    )
    return f"<p>{caption}</p><div class=row>{figures}{scale}</div>"


def _scale(sheet_: "Image", at: tuple[int, int], height: int, found: "Saliency", i: int) -> None:
    """A bar of colours from the top down, its ends and zero written beside it."""
    from PIL import Image, ImageDraw

    low, high = _ends(found, i)
    colours = _colours(low, high)[::-1]
    rows = np.linspace(0, len(colours) - 1, height).round().astype(int)
    x, y = at
    sheet_.paste(Image.fromarray(colours[rows][:, None].repeat(BAR, axis=1)), (x, y))
    pen, small = ImageDraw.Draw(sheet_), _font(12)
    zero = y + round((high / (high - low)) * (height - 1))
    marks = {y: _tick(high), zero: "0"} | ({y + height - 1: _tick(low)} if low < 0 else {})
    for row, words in marks.items():
        pen.line((x + BAR, row, x + BAR + 4, row), fill=INK)
        pen.text((x + BAR + 7, min(max(row - 7, y - 2), y + height - 13)), words, INK, small)


def _ends(found: "Saliency", i: int) -> tuple[float, float]:
    top = found.scale(i)
    return (-top if bool((found.values[i] < 0).any()) else 0.0), top


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
        longer = f"{lines[-1]} {piece}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
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
