"""The page of one number's arithmetic: the picture with what the number reads, its map with its place, then the terms."""

import html
from collections.abc import Sequence

from torch import Tensor, nn

from striate import svg
from striate.measuring import Field, measure
from striate.measuring.explain import Explanation, Walk
from striate.result import html_page
from striate.see import paint
from striate.text import times

SIDE = 320.0  # pixels of the longer side of a picture on the page
Marked = tuple[float, float, float, float]  # left, top, width and height in cells
STYLE = (
    "<style>.places{display:flex;flex-wrap:wrap;gap:1.5rem}figure{margin:.5rem 0}"
    "figure svg{display:block;max-width:100%;height:auto}figcaption{max-width:20rem;font-size:.87rem;margin-top:.4rem}"
    ".sa{overflow-x:auto}img,image{image-rendering:pixelated}</style>"
)
RULES = (
    ".drawing .under{fill:none;stroke:var(--paper);stroke-width:5}"
    ".drawing .mark{fill:none;stroke:var(--wrong);stroke-width:2.5}"
    ".drawing image{image-rendering:pixelated}"
)


def page(title: str, net: nn.Module, x: Tensor, told: Explanation | Walk) -> str:
    """The whole page.

    Args:
        title: what it is called.
        net: the net whose number it is.
        x: the picture [1, C, H, W] that the net read.
        told: the number, or the way from it to a pixel.
    """
    first = told.steps[0] if isinstance(told, Walk) else told
    pixel = told.pixel if isinstance(told, Walk) else None
    figures = [_input(net, x, first, pixel), _map(first)]
    head = f'<h1>{html.escape(title)}</h1><div class="places">{"".join(figures)}</div>'
    return html_page(title, f"{STYLE}<main>{head}{told.as_html()}</main>")


def field_of(net: nn.Module, x: Tensor, told: Explanation) -> Field | None:
    """The receptive field of the layer that a number comes from; None if it is unbounded or unknown."""
    rows = [
        row
        for row in measure(net, tuple(x.shape[1:])).layers
        if (row.path, row.op, row.output) == (told.path, told.op, told.shape)
    ]
    return rows[-1].field if rows else None


def region(field: Field, at: Sequence[int], sides: Sequence[int]) -> Marked | None:
    """What a number at (C, Y, X) reads of a picture (H, W), in its cells; None if that lies beside the picture."""
    ends = [
        (max(0.0, start + float(step) * i), min(float(side), start + float(step) * i + size))
        for start, step, size, i, side in zip(
            field.start, field.stride, field.size, at[-2:], sides, strict=True
        )
    ]
    (top, bottom), (left, right) = ends
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def _input(net: nn.Module, x: Tensor, told: Explanation, pixel: tuple[int, ...] | None) -> str:
    sides = tuple(x.shape[-2:])
    field = field_of(net, x, told)
    marks: list[Marked] = []
    if field is None or len(told.shape) < 3:
        marks, words = (
            [(0.0, 0.0, float(sides[1]), float(sides[0]))],
            "It may read the whole picture.",
        )
    elif (marked := region(field, told.at, sides)) is None:
        words = "What it reads lies beside the picture, in the padding."
    else:
        marks = [marked]
        left, top, wide, high = (round(each) for each in marked)
        words = (
            f"It reads rows {top} to {top + high - 1}, columns {left} to {left + wide - 1} "
            f"of this picture of {times(sides)}."
        )
    if pixel is not None:
        marks.append((float(pixel[-1]), float(pixel[-2]), 1.0, 1.0))
        words += f" The way ends at {','.join(map(str, pixel))}."
    tile = paint.stretch(x[0].permute(1, 2, 0).double().numpy())
    return _figure(tile, marks, words)


def _map(told: Explanation) -> str:
    plane = told.plane
    if plane is None:
        return ""
    numbers = plane.detach().double().numpy()
    top = paint.reach(numbers)
    *_, y, x = told.at
    place = ",".join(map(str, told.at))
    words = (
        f"Map {told.at[0]} of {told.path or 'the net'} ({told.op}), blue below zero, red above, to {top:.3g}; "
        f"the number stands at {place}."
    )
    return _figure(paint.diverging(numbers, top), [(float(x), float(y), 1.0, 1.0)], words)


def _figure(tile: paint.Pixels, marks: Sequence[Marked], words: str) -> str:
    """A picture with places marked and what it shows in words."""
    from PIL import Image

    high, wide = tile.shape[:2]
    unit = SIDE / max(high, wide)
    uri = paint.data_uri(Image.fromarray(tile))
    size = {"width": unit * wide, "height": unit * high}
    parts = [svg.tag("image", "", {"href": uri, "preserveAspectRatio": "none", **size})]
    for left, top, width, height in marks:
        # A single cell of a large picture would not be seen: its mark is larger than it is.
        room = max(0.0, 9 - unit * min(width, height)) / 2
        place = {
            "x": unit * left - room,
            "y": unit * top - room,
            "width": unit * width + 2 * room,
            "height": unit * height + 2 * room,
        }
        parts += [svg.tag("rect", "", place | {"class": kind}) for kind in ("under", "mark")]
    drawn = svg.drawing("".join(parts), unit * wide, unit * high, words, RULES)
    return f"<figure>{drawn}<figcaption>{html.escape(words)}</figcaption></figure>"
