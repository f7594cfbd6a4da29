"""An item and its map as pixels, whatever the item is. C channels, H W pixels, T steps, D slices.

A picture is shown as it is, a series or a wave as lines over time, a volume as the three slices through the largest
value of the map.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.see import paint

SMALL, LARGE = 240, 480  # pixels of the longer side, between which a panel is brought
WIDE, TRACK = 480, 60  # pixels of lines over time, and of each of them upwards
TRACKS = 6  # channels that are drawn
APART = 4  # pixels between slices
LINE = 40  # grey of a line
INK = 0.75  # of the strongest colour over the picture


class Panel(NamedTuple):
    """One item: itself, its map over it, and the map alone, uint8 [H, W, 3] of one size."""

    item: paint.Pixels
    over: paint.Pixels
    alone: paint.Pixels


def panel(
    item: NDArray[np.float32], values: NDArray[np.float32], scale: float, *, upright: bool = True
) -> Panel:
    """Draw one item [C, *space] and its map [*space].

    Args:
        item: as the net takes it.
        values: of the map.
        scale: the magnitude at which colours end.
        upright: whether the first row is the top; of a spectrum it is the bottom.
    """
    signed = bool((values < 0).any())
    if item.ndim == 2:
        return _lines(item, values, scale, signed=signed)
    if item.ndim == 4:
        item, values, gap = _slices(item, values)
    else:
        gap = np.zeros(values.shape, dtype=bool)
    if not upright:
        item, values, gap = item[:, ::-1], values[::-1], gap[::-1]
    shown = item if len(item) == 3 else item[:1]
    base = paint.stretch(np.ascontiguousarray(shown.transpose(1, 2, 0)))
    base, colours = base.copy(), _colours(values, scale, signed=signed).copy()
    over = _blended(base, colours, values, scale)
    for pixels in (base, colours, over):
        pixels[gap] = 255
    return Panel(*(_sized(pixels) for pixels in (base, over, colours)))


def drawn_of(shape: tuple[int, ...]) -> str:
    """What of items [N, C, *space] a panel leaves out, in words; "" where it shows all."""
    channels, axes = shape[1], len(shape) - 2
    shown = min(TRACKS, channels) if axes == 1 else 3 if channels == 3 else 1
    said = f"of {channels} channels the first {shown} {'is' if shown == 1 else 'are'} drawn"
    cut = "of a volume the three slices through the largest value of its map are drawn"
    return "; ".join([cut] * (axes == 3) + [said] * (shown < channels))


def strongest(values: NDArray[np.float32]) -> float:
    """Where a scale ends: the 99.5th percentile of magnitudes, so that single places do not take all the colour."""
    top = float(np.quantile(np.abs(values), 0.995)) if values.size else 0.0
    return top if top > 0 else paint.reach(values)


def _colours(values: NDArray[np.float32], scale: float, *, signed: bool) -> paint.Pixels:
    return paint.diverging(values, scale) if signed else paint.sequential(values, scale)


def _blended(
    base: paint.Pixels, colours: paint.Pixels, values: NDArray[np.float32], scale: float
) -> paint.Pixels:
    """The map over a grey picture, the stronger the more of it."""
    grey = base.astype(np.float32).mean(-1, keepdims=True)
    share = INK * np.clip(np.abs(np.nan_to_num(values)) / scale, 0, 1)[..., None]
    return np.rint(grey * (1 - share) + colours * share).astype(np.uint8)


def _sized(pixels: paint.Pixels) -> paint.Pixels:
    """Enlarged as squares where it is small, made smaller where it is large."""
    from PIL import Image

    side = max(pixels.shape[:2])
    if side <= LARGE:
        by = max(1, round(SMALL / side))
        return pixels.repeat(by, axis=0).repeat(by, axis=1)
    width, height = (max(1, round(n * LARGE / side)) for n in (pixels.shape[1], pixels.shape[0]))
    return np.asarray(Image.fromarray(pixels).resize((width, height)))


def _slices(
    item: NDArray[np.float32], values: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """A volume and its map as their slices through the largest value, side by side; where nothing is between them."""
    z, y, x = np.unravel_index(int(np.abs(values).argmax()), values.shape)
    cuts = [(slice(None), z), (slice(None), slice(None), y), (slice(None),) * 3 + (x,)]
    both = np.concatenate([item, values[None]])
    planes = [both[cut][:, ::-1] for cut in cuts]  # as `striate.inputs.volumes` turns them
    rows = max(plane.shape[1] for plane in planes)
    width = sum(plane.shape[2] for plane in planes) + APART * 2
    sheet = np.zeros((len(both), rows, width), np.float32)
    gap = np.ones((rows, width), dtype=bool)
    left = 0
    for plane in planes:
        top = (rows - plane.shape[1]) // 2
        place = (slice(top, top + plane.shape[1]), slice(left, left + plane.shape[2]))
        sheet[:, *place], gap[place] = plane, False
        left += plane.shape[2] + APART
    # What lies between the slices must not stretch the range of the picture.
    sheet[:-1, gap] = float(item.min())
    return sheet[:-1], sheet[-1], gap


def _lines(
    item: NDArray[np.float32], values: NDArray[np.float32], scale: float, *, signed: bool
) -> Panel:
    """Channels over time as lines, a track each; the map is the colour behind them."""
    shown = item[:TRACKS]
    steps = item.shape[1]
    width = min(WIDE, steps) if steps >= WIDE else steps * max(1, WIDE // steps)
    at = np.arange(width) * steps // width
    height = max(2 * TRACK, TRACK * len(shown))
    each = height // len(shown)
    ink = np.zeros((height, width), dtype=bool)
    for k, line in enumerate(shown):
        _draw(ink[k * each : (k + 1) * each], line, width)
    colours = np.repeat(_colours(values[at], scale, signed=signed)[None], height, axis=0)
    plain = np.full((height, width, 3), 255, np.uint8)
    share = INK * np.clip(np.abs(values[at]) / scale, 0, 1)[None, :, None]
    over = np.rint(plain * (1 - share) + colours * share).astype(np.uint8)
    for pixels in (plain, over):
        pixels[ink] = LINE
    return Panel(plain, over, colours)


def _draw(ink: NDArray[np.bool_], line: NDArray[np.float32], width: int) -> None:
    """One line over the whole height: in each column from its smallest to its largest value, joined to the next."""
    height, steps = len(ink), len(line)
    low, high = float(line.min()), float(line.max())
    level = (high - line) / (high - low if high > low else 1.0) * (height - 5) + 2
    rows = np.rint(level).astype(int)
    for column in range(width):
        first = column * steps // width
        last = max(first + 1, (column + 1) * steps // width)
        part = rows[first : min(steps, last + 1)]
        ink[part.min() : part.max() + 1, column] = True
