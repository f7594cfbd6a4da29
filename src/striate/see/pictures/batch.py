"""Items of a data set as they lie there: each with what belongs to it, a label, boxes, a mask or a number."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data import Data
from striate.data.sources import Form
from striate.data.targets import PLACED
from striate.errors import ArgumentError, DataError
from striate.result import text_table
from striate.see import paint
from striate.see.plates import Plate, Plates, Row
from striate.tasks import named
from striate.text import short

SIDE = 160  # pixels of the longer side of a picture
F64 = NDArray[np.float64]
BOX = (214, 96, 20)
# Okabe and Ito 2008; class k has colour k, the first one stays clear.
COLOURS = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
)


@dataclass(frozen=True, eq=False)
class Batch(Plates):
    """Items with their targets.

    Attributes:
        names: of the items.
        targets: in words.
        pixels: of the items with what belongs to them drawn over, uint8 [H, W, 3].
        path: of the data.
        split: which part of it.
        of: how many items that has.
    """

    names: tuple[str, ...]
    targets: tuple[str, ...]
    pixels: tuple[paint.Pixels, ...] = field(repr=False)
    path: str
    split: str
    of: int

    def heading(self) -> str:
        """What is shown."""
        return f"{len(self.names)} of {self.of:,} items of {self.path} ({self.split})"

    def rows(self) -> list[Row]:
        """All in one row that wraps."""
        each = zip(self.pixels, self.targets, self.names, strict=True)
        return [Row([Plate(pixels, short(t, 24), f"{name}: {t}") for pixels, t, name in each])]

    def as_dict(self) -> dict[str, Any]:
        """Names and targets."""
        rows = zip(self.names, self.targets, strict=True)
        return {
            "path": self.path,
            "split": self.split,
            "of": self.of,
            "shown": [{"file": name, "target": target} for name, target in rows],
        }

    def as_text(self) -> str:
        """A row an item."""
        rows = [[n, t] for n, t in zip(self.names, self.targets, strict=True)]
        return f"{self.heading()}\n\n{text_table(['item', 'target'], rows)}"


def batch(data: Data, *, split: str = "train", items: int = 16, seed: int = 0) -> Batch:
    """Items of a data set with what belongs to them, drawn at random: look before you train.

    Args:
        data: opened.
        split: which part of it.
        items: how many.
        seed: of the draw.

    Raises:
        ArgumentError: no such split, or fewer than one item.
        DataError: none of the items can be read as a picture.
    """
    if split not in data.splits:
        raise ArgumentError(f"{data.path} has no split {split!r}, only {', '.join(data.splits)}")
    if items < 1:
        raise ArgumentError(f"items={items}: expected at least 1")
    if not data.pictures:
        raise DataError(f"{data.path} holds {data.noun}; pictures alone are drawn so")
    part = data.splits[split]
    order = np.random.default_rng(seed).permutation(len(part)).tolist()
    found: list[tuple[str, str, paint.Pixels]] = []
    for number in order:
        if len(found) == items:
            break
        try:
            pixels = paint.as_rgb(np.asarray(part.source.decode(number, Form(None, data.color))))
            truth = part.targets.truth(number)
        except DataError:
            continue  # `striate data` names it
        found.append((str(part.names[number]), _words(data, truth), _drawn(data, pixels, truth)))
    if not found:
        raise DataError(f"none of {len(part):,} items of {data.path} ({split}) can be read")
    names, targets, pixels = zip(*found, strict=True)
    return Batch(names, targets, pixels, data.path, split, len(part))


def _words(data: Data, truth: Any) -> str:
    if data.kind == "label":
        return data.classes[int(truth)]
    if data.kind == "labels":
        return ", ".join(data.classes[k] for k in np.flatnonzero(np.asarray(truth))) or "none"
    if data.kind == "values":
        values = np.asarray(truth).ravel().tolist()
        names = data.outputs or [""] * len(values)
        return ", ".join(f"{n} {v:.4g}".strip() for n, v in zip(names, values, strict=True))
    if data.kind in PLACED:
        counts = np.bincount(_boxes(truth)[1], minlength=len(data.classes)).tolist()
        return ", ".join(f"{n} {data.classes[k]}" for k, n in enumerate(counts) if n) or "no box"
    if data.kind == "mask":
        inside = sorted(set(np.unique(np.asarray(truth)).tolist()) & set(range(len(data.classes))))
        return ", ".join(data.classes[int(k)] for k in inside)
    return named(data.task).noun or data.kind


def _boxes(truth: Any) -> tuple[F64, NDArray[np.int64]]:
    """Corners [n, 4] in pixels, and class numbers [n]."""
    return np.asarray(truth.boxes, np.float64).reshape(-1, 4), np.asarray(truth.labels, np.int64)


def _drawn(data: Data, pixels: paint.Pixels, truth: Any) -> paint.Pixels:
    """The picture with its boxes or its mask over it, no larger than a tile needs."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(pixels)
    if data.kind == "mask":
        mask = np.asarray(truth)
        tint = np.array(COLOURS, np.float32)[(mask.astype(np.int64) - 1) % len(COLOURS)]
        known = ((mask > 0) & (mask < len(data.classes)))[..., None]
        mixed = np.where(known, 0.5 * pixels + 0.5 * tint, pixels)
        image = Image.fromarray(mixed.astype(np.uint8))
    scale = min(1.0, SIDE / max(image.size))
    if scale < 1:
        image = image.resize(
            (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        )
    if data.kind in PLACED:
        pen = ImageDraw.Draw(image)
        for x0, y0, x1, y1 in (_boxes(truth)[0] * scale).tolist():
            pen.rectangle([x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)], outline=BOX)
    return np.asarray(image)
