"""Pictures with boxes over them, for the galleries of a report made smaller before anything is drawn. H W pixels."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

LIMIT = 360  # pixels of the longer side
LEGIBLE = (
    240  # pixels of the shorter side, from which on words over a picture leave something to see
)
LONGEST = 4_000  # pixels that the longer side is enlarged to: a line of 20,000 would take gigabytes

U8 = NDArray[np.uint8]


def shrunk(picture: U8, limit: int = LIMIT) -> U8:
    """A picture [H, W, C] with at most `limit` pixels at its longer side."""
    size = _size(picture, limit)
    if size is None:
        return picture
    flat = picture[..., 0] if picture.shape[2] == 1 else picture
    smaller = np.asarray(Image.fromarray(np.ascontiguousarray(flat)).resize(size))
    return smaller.reshape(*smaller.shape[:2], -1)


def shrunk_mask(mask: U8) -> U8:
    """Class numbers [H, W] in that size, each the one of the nearest pixel."""
    size = _size(mask, LIMIT)
    if size is None:
        return mask
    return np.asarray(
        Image.fromarray(np.ascontiguousarray(mask)).resize(size, Image.Resampling.NEAREST)
    )


def scale(picture: U8, limit: int = LIMIT) -> float:
    """By what a picture [H, W, C] is multiplied to get there."""
    return min(1.0, limit / max(picture.shape[:2]))


def outlined(
    picture: U8,
    boxes: Sequence[NDArray[np.floating]] | NDArray[np.floating],
    names: Sequence[str],
    colors: Sequence[tuple[int, int, int]],
) -> U8:
    """Boxes over a picture [H, W, C], each with its name in its colour.

    Args:
        picture: grey or rgb.
        boxes: x0, y0, x1, y1 of each in its pixels.
        names: of each; "" for none.
        colors: of each.
    """
    base = Image.fromarray(np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3))))
    pen = ImageDraw.Draw(base)
    thick = max(1, round(min(picture.shape[:2]) / 200))
    font = ImageFont.load_default(max(10, min(picture.shape[:2]) / 40))  # read at any size
    for box, name, color in zip(boxes, names, colors, strict=True):
        x0, y0, x1, y1 = box.tolist()
        corners = (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1))
        pen.rectangle(corners, outline=color, width=thick)
        if name:
            pen.text((x0 + thick + 1, y0 + thick), name, fill=color, font=font)
    return np.asarray(base)


def enlarged(name: str, picture: U8, folder: Path, draw: Callable[[U8, int], U8]) -> dict[str, str]:
    """Write what is drawn over a picture, of a small one enlarged, else words would hide it; the name as `overlay`.

    Args:
        name: of the file.
        picture: in its own size.
        folder: where it is written.
        draw: over the larger picture, which is so many times as large.
    """
    sides = picture.shape[:2]
    by = max(1, min(-(-LEGIBLE // min(LEGIBLE, *sides)), LONGEST // max(sides)))
    Image.fromarray(draw(picture.repeat(by, 0).repeat(by, 1), by)).save(folder / name)
    return {"overlay": name}


def _size(picture: U8, limit: int) -> tuple[int, int] | None:
    """Width and height; None where the picture is small enough."""
    height, width = picture.shape[:2]
    by = scale(picture, limit)
    return (max(1, round(width * by)), max(1, round(height * by))) if by < 1 else None
