"""Steps as an animated GIF, drawn with Pillow from the same layout as the SVG."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.see.stepper import drawing
from striate.see.stepper.layout import INFINITY, MINUS, Box, Layout, Part
from striate.see.stepper.steps import TIMES, Steps

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

EACH, LAST = 700, 2500  # milliseconds that a step and the last one stay
SPELLED = str.maketrans({MINUS: "-", INFINITY: "inf", TIMES: "x"})  # not in Pillow's own font
ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


def frames(steps: Steps) -> "list[Image]":
    """One picture a step, light."""
    from PIL import Image, ImageDraw

    layout = Layout(steps)
    size = round(layout.width), round(layout.height)
    still = Image.new("RGB", size, drawing.LIGHT["paper"])
    _draw(ImageDraw.Draw(still), layout.still())
    made: list[Image.Image] = []
    for i in range(len(steps.steps)):
        frame = still.copy()
        _draw(ImageDraw.Draw(frame), layout.moving(i))
        made.append(frame)
    return made


def write(steps: Steps, path: Path) -> None:
    """All frames as one GIF that starts again."""
    first, *others = frames(steps)
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
            place = (part.x, part.y)
            # Pillow's own letters have one weight; a thin outline stands for bold.
            on.text(
                place,
                part.text.translate(SPELLED),
                drawing.LIGHT[colour],
                _font(size),
                ANCHORS[part.anchor],
                stroke_width=0.35 if bold else 0,
            )


@cache
def _font(size: float) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
