"""Numbers to colours, and colours to a sheet of pictures. N pictures, H W pixels.

The diverging map follows "RdBu" turned round (blue below zero, orange-red above) and the sequential one
"viridis" (Smith and van der Walt 2015), both safe for colour-blind readers; anchors are joined by straight
lines in sRGB. Zero is always the middle of the diverging map.
"""

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

Floats = NDArray[np.floating]
Pixels = NDArray[np.uint8]

DIVERGING = ((5, 48, 97), (67, 147, 195), (247, 247, 247), (230, 122, 74), (127, 32, 11))
SEQUENTIAL = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))


def reach(values: Floats) -> float:
    """The largest magnitude, the end of a scale around zero; 1 if all values are zero or there are none."""
    top = float(np.abs(values).max(initial=0.0))
    return top if top > 0 and np.isfinite(top) else 1.0


def diverging(values: Floats, scale: float) -> Pixels:
    """Colours [..., 3] of values in -scale..scale around zero; what lies outside takes the end colour."""
    return _interpolate((np.nan_to_num(values) / scale + 1) / 2, DIVERGING)


def sequential(values: Floats, scale: float) -> Pixels:
    """Colours [..., 3] of values in 0..scale."""
    return _interpolate(np.nan_to_num(values) / scale, SEQUENTIAL)


def colour(values: Floats, scale: float) -> Pixels:
    """RGB [..., 3] of three channels in -scale..scale: mid grey is zero, white is +scale everywhere."""
    share = np.clip(np.nan_to_num(values) / scale, -1, 1)
    return np.rint((share + 1) / 2 * 255).astype(np.uint8)


def stretch(values_HWC: Floats) -> Pixels:
    """A picture [H, W, 3] of one or three channels: its smallest value black, its largest white."""
    low, high = float(values_HWC.min()), float(values_HWC.max())
    share = (values_HWC - low) / (high - low if high > low else 1.0)
    grey = np.rint(np.nan_to_num(share) * 255).astype(np.uint8)
    return grey if grey.shape[-1] == 3 else np.repeat(grey[..., :1], 3, axis=-1)


def as_rgb(stored: NDArray[Any]) -> Pixels:
    """A stored input [H, W, C] as a picture [H, W, 3]: bytes as they are; other values, and what is no picture, stretched."""
    if stored.dtype == np.uint8 and stored.ndim == 3 and stored.shape[-1] in (1, 3):
        return stored if stored.shape[-1] == 3 else stored.repeat(3, axis=-1)
    plane = stored if stored.ndim == 3 else stored.reshape(1, -1)[:, :512, None]
    kept = plane if plane.shape[-1] == 3 else plane[..., :1]
    return stretch(kept.astype(np.float32))


def sheet(rows: Sequence[Sequence[Pixels]], *, cell: int = 56, gap: int = 4) -> "Image":
    """Rows of pictures [H, W, 3] as one RGBA picture, each enlarged without smoothing; gaps are clear.

    Args:
        rows: the pictures; rows may differ in length.
        cell: the longer side that a picture gets, in pixels; a larger picture keeps its size.
        gap: pixels between two pictures.
    """
    from PIL import Image

    tiles = [[Image.fromarray(_enlarge(tile, cell)) for tile in row] for row in rows]
    widths = [sum(tile.width + gap for tile in row) for row in tiles]
    heights = [max((tile.height for tile in row), default=0) + gap for row in tiles]
    paper = Image.new("RGBA", (max(widths, default=0) + gap, sum(heights) + gap), (0, 0, 0, 0))
    y = gap
    for row, height in zip(tiles, heights, strict=True):
        x = gap
        for tile in row:
            paper.paste(tile, (x, y))
            x += tile.width + gap
        y += height
    return paper


def rows_of(tiles: Sequence[Pixels], columns: int) -> list[Sequence[Pixels]]:
    """Cut a list of pictures into rows."""
    return [tiles[i : i + columns] for i in range(0, len(tiles), columns)]


def html_image(picture: "Image", alt: str) -> str:
    """A picture as an HTML tag that carries its own data, for notebooks."""
    return f'<img src="{data_uri(picture)}" alt="{html.escape(alt)}">'


def data_uri(picture: "Image", kind: str = "PNG") -> str:
    """A picture as text: `data:image/png;base64,...`; `kind` is PNG or JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _enlarge(tile_HWC: Pixels, cell: int) -> Pixels:
    times = max(1, cell // max(tile_HWC.shape[:2]))
    return tile_HWC.repeat(times, axis=0).repeat(times, axis=1)


def _interpolate(share: Floats, anchors: Sequence[tuple[int, int, int]]) -> Pixels:
    stops = np.linspace(0, 1, len(anchors))
    table = np.asarray(anchors, dtype=np.float64)
    channels = [np.interp(share, stops, table[:, i]) for i in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
