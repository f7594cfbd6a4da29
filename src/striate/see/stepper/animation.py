"""Steps as an animated GIF, drawn with Pillow from the same layout as the SVG."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from striate.see import fonts
from striate.see.stepper import drawing
from striate.see.stepper.layout import Box, Drawable, Part

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

EACH, LAST = 700, 2500  # milliseconds that a step and the last one stay
ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


def frames(layout: Drawable) -> "list[Image]":
    """One picture a step, light, in the letters of the page."""
    from PIL import Image, ImageDraw

    size = round(layout.width), round(layout.height)
    still = Image.new("RGB", size, drawing.LIGHT["paper"])
    _draw(ImageDraw.Draw(still), layout.still())
    made: list[Image.Image] = []
    for i in range(layout.count):
        frame = still.copy()
        _draw(ImageDraw.Draw(frame), layout.moving(i))
        made.append(frame)
    return made


def write(layout: Drawable, path: Path) -> None:
    """All frames as one GIF that starts again."""
    first, *others = frames(layout)
    times = [EACH] * len(others) + [LAST]
    first.save(
        path, "GIF", save_all=True, append_images=others, duration=times, loop=0, optimize=True
    )


def _draw(on: "ImageDraw", parts: Iterable[Part]) -> None:
    for part in parts:
        if isinstance(part, Box):
            fill, edge, width = drawing.BOXES[part.kind]
            ends = (part.x, part.y, part.x + part.width, part.y + part.height)
            colour = None if fill == "none" else drawing.LIGHT[fill]
            on.rounded_rectangle(ends, 3, colour, drawing.LIGHT[edge], round(width))
        else:
            colour, size, bold = drawing.WORDS[part.kind]
            letters = fonts.font(size, bold=bold)
            place = (part.x, part.y)
            on.text(
                place,
                fonts.spelled(part.text),
                drawing.LIGHT[colour],
                letters,
                ANCHORS[part.anchor],
            )
