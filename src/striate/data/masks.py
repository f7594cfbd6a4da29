"""Masks: the class of every pixel, in files of numbers or colours, or drawn from polygons and run lengths. H W pixels.

A pixel belongs to a polygon if its centre does, by the even-odd rule; coordinates are edges: 0 is the left edge of the
first pixel, W the right edge of the last. (Pillow's own polygons hold every pixel that their border touches, up to one
pixel too many on each side.) Run lengths are those of COCO: column by column, background first.
"""

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from striate.data import pictures
from striate.data.modes import U8
from striate.data.pictures import Head
from striate.data.sources import I64, Files, Form, Look, Source
from striate.errors import DataError
from striate.text import some

F64 = npt.NDArray[np.float64]
Bits = npt.NDArray[np.bool_]
Whole = npt.NDArray[np.uint8] | npt.NDArray[np.int32]

MOST = 254  # classes that one byte a pixel can tell apart, beside those that count nowhere
VERSION = 1  # of the rules that draw; a change makes cached masks anew
_SHOWN = 5  # unknown values that a message lists


@dataclass(frozen=True)
class Coding:
    """What the values of masks stand for.

    Attributes:
        colors: whether a value is a colour (red * 65536 + green * 256 + blue), else the number in the file, which of
            a palette picture is its index.
        table: pairs of a value and the number of its class, `targets.IGNORE` for pixels that count nowhere.
    """

    colors: bool
    table: tuple[tuple[int, int], ...]

    @cached_property
    def _sorted(self) -> tuple[I64, U8]:
        pairs = sorted(self.table)
        values = np.array([value for value, _ in pairs], np.int64)
        return values, np.array([number for _, number in pairs], np.uint8)

    def classes_of(self, values: npt.NDArray[np.int32]) -> U8:
        """Class numbers of values [H, W].

        Raises:
            DataError: a value that stands for nothing; with the values and how many pixels have them.
        """
        known, numbers = self._sorted
        place = np.minimum(np.searchsorted(known, values), len(known) - 1)
        unknown = known[place] != values
        if unknown.any():
            strange, counts = np.unique(values[unknown], return_counts=True)
            most = np.argsort(-counts)[:_SHOWN]
            first = [
                f"{shown_value(int(strange[k]), colors=self.colors)} ({counts[k]:,} pixels)"
                for k in most
            ]
            raise DataError(
                f"values that stand for no class: {some(first, _SHOWN, of=len(strange))}"
            )
        return numbers[place]


def shown_value(value: int, *, colors: bool) -> str:
    """A value of a mask as a message shows it.

    >>> shown_value(0x800000, colors=True), shown_value(3, colors=False)
    ('#800000', '3')
    """
    return f"#{value:06x}" if colors else str(value)


def read_values(data: bytes, limits: pictures.Limits, *, colors: bool) -> npt.NDArray[np.int32]:
    """The values of an encoded mask [H, W]: palette indices and grey levels as they are, or colours as one number.

    Raises:
        DataError: with the reason alone.
    """
    im = pictures.loaded(data, limits)
    if colors:
        rgb = np.asarray(im.convert("RGB"), np.int32)
        return rgb[..., 0] * 65536 + rgb[..., 1] * 256 + rgb[..., 2]
    if im.mode in ("RGB", "RGBA"):
        bands = np.asarray(im)[..., :3]
        if (bands != bands[..., :1]).any():
            raise DataError("a mask in colours, where numbers of classes are expected")
        return bands[..., 0].astype(np.int32)
    if im.mode in ("LA", "La"):
        return np.asarray(im)[..., 0].astype(np.int32)
    if im.mode not in ("1", "L", "P", "I", "I;16", "I;16L", "I;16B", "I;16N"):
        raise DataError(f"a mask of mode {im.mode}, where numbers of classes are expected")
    return np.asarray(im).astype(np.int32)


@dataclass(frozen=True)
class MaskFiles(Files):
    """Mask files below one folder, by their names relative to it."""

    coding: Coding = Coding(colors=False, table=())

    @property
    def decoder(self) -> str:
        """What the cache tells entries apart by, beside the content of the files."""
        return f"mask {self.coding} {self.limits}"

    def take(self, index: I64) -> "MaskFiles":
        """The same, with only these numbers."""
        return replace(self, names=tuple(self.names[i] for i in index.tolist()))

    def decode(self, i: int, form: Form) -> U8:
        """Its class numbers [H, W, 1]; where they are resized the nearest pixel is taken."""
        numbers = self.coding.classes_of(
            read_values(self.data(i), self.limits, colors=self.coding.colors)
        )
        return pictures.fitted(
            Image.fromarray(numbers), form.size, form.fit, Image.Resampling.NEAREST
        )


class Polygons(NamedTuple):
    """The area of one object: rings of corners [k, 2] as x, y. Each is filled by itself."""

    rings: tuple[F64, ...]

    def box(self) -> tuple[float, float, float, float]:
        """Its extent as x0, y0, x1, y1."""
        corners = np.concatenate(self.rings)
        low, high = corners.min(0), corners.max(0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def content(self) -> bytes:
        """What tells it apart from another one."""
        return b"".join(ring.tobytes() + b"|" for ring in self.rings)

    def paint(self, mask: Whole, number: int) -> None:
        """Give its pixels in a mask [H, W] a number."""
        for ring in self.rings:
            rows, columns, area = _filled(ring, *mask.shape)
            mask[rows, columns][area] = number


class Runs(NamedTuple):
    """The area of one object as run lengths over a picture of height and width `size`."""

    lengths: I64
    size: tuple[int, int]

    def box(self) -> tuple[float, float, float, float]:
        """Its extent as x0, y0, x1, y1; all 0 where no pixel is in it."""
        area = self.area()
        rows, columns = np.flatnonzero(area.any(1)), np.flatnonzero(area.any(0))
        if not len(rows):
            return 0.0, 0.0, 0.0, 0.0
        return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)

    def content(self) -> bytes:
        """What tells it apart from another one."""
        return f"{self.size}".encode() + self.lengths.tobytes()

    def area(self) -> Bits:
        """Its pixels, [H, W]."""
        height, width = self.size
        values = np.arange(len(self.lengths)) % 2 == 1
        return np.repeat(values, self.lengths).reshape(width, height).T

    def paint(self, mask: Whole, number: int) -> None:
        """Give its pixels in a mask [H, W] of its size a number."""
        mask[self.area()] = number


Outline = Polygons | Runs


def _filled(ring: F64, height: int, width: int) -> tuple[slice, slice, Bits]:
    """The rows and columns of a mask that a ring of corners [k, 2] may touch, and which pixels there lie within it."""
    x0, y0 = ring.T
    x1, y1 = np.roll(ring, -1, axis=0).T
    top, bottom = np.clip([_centre(y0.min()), _centre(y0.max())], 0, height).astype(np.int64)
    left, right = np.clip([_centre(x0.min()), _centre(x0.max())], 0, width).astype(np.int64)
    # An edge crosses the rows whose centres lie between its ends; the upper end counts, the lower one does not.
    first = np.clip(_centre(np.minimum(y0, y1)), top, bottom).astype(np.int64)
    counts = np.clip(_centre(np.maximum(y0, y1)), top, bottom).astype(np.int64) - first
    edge = np.repeat(np.arange(len(ring)), counts)
    rows = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    share = (rows + 0.5 - y0[edge]) / (y1 - y0)[edge]
    crossed = _centre(x0[edge] + share * (x1 - x0)[edge])
    columns = np.clip(crossed, left, right).astype(np.int64)
    turns = np.zeros((bottom - top, right - left + 1), np.uint8)
    np.add.at(turns, (rows - top, columns - left), 1)
    area = np.cumsum(turns[:, :-1], axis=1, dtype=np.uint8) % 2 == 1
    return slice(top, bottom), slice(left, right), area


def _centre(edge: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The first pixel whose centre does not lie before an edge."""
    return np.ceil(edge - 0.5)


def runs(counts: object, size: tuple[int, int]) -> Runs:
    """Run lengths of COCO: a list of numbers, or the compressed string.

    Args:
        counts: as the file has them.
        size: height and width.

    Raises:
        DataError: they are no run lengths, or do not fill the picture; with the reason alone.
    """
    lengths = _unpacked(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list) or not all(
        isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in lengths
    ):
        raise DataError("run lengths that are no list of whole numbers from 0")
    if sum(lengths) != size[0] * size[1]:
        raise DataError(
            f"run lengths of {sum(lengths):,} pixels together, for {size[1]} x {size[0]}"
        )
    return Runs(np.array(lengths, np.int64), size)


def _unpacked(text: str) -> list[int]:
    """The numbers of COCO's compressed string: 5 bits a character, from the third on differences to the last but one."""
    numbers: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 40:
            raise DataError("run lengths that are no compressed string of COCO")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise DataError("run lengths that break off")
    return numbers


class Drawing(NamedTuple):
    """The mask of one picture.

    Attributes:
        size: height and width of the picture that its outlines are of.
        orientation: how that picture is turned to be seen upright, 1 to 8 as EXIF numbers it.
        layers: classes and outlines; later ones lie over earlier ones.
    """

    size: tuple[int, int]
    orientation: int
    layers: Sequence[tuple[int, Outline]]

    def drawn(self) -> U8:
        """Its class numbers [H, W], upright.

        Raises:
            DataError: its picture cannot be read, so that its size is not known.
        """
        if not all(self.size):
            raise DataError("the size of its picture is not known")
        mask = np.zeros(self.size, np.uint8)
        for number, outline in self.layers:
            outline.paint(mask, number)
        return np.asarray(pictures.upright(Image.fromarray(mask), self.orientation))

    def ids(self) -> npt.NDArray[np.int32]:
        """Its numbers as ids [H, W], upright; `drawn` has 255 at most.

        Raises:
            DataError: as of `drawn`.
        """
        if not all(self.size):
            raise DataError("the size of its picture is not known")
        mask = np.zeros(self.size, np.int32)
        for number, outline in self.layers:
            outline.paint(mask, number)
        return np.asarray(pictures.upright(Image.fromarray(mask), self.orientation), np.int32)

    def content(self) -> bytes:
        """What tells it apart from another one."""
        head = f"{self.size} {self.orientation} "
        each = (f"{number} ".encode() + outline.content() for number, outline in self.layers)
        return head.encode() + b"\n".join(each)


@dataclass(frozen=True, eq=False)
class OutlineMasks(Source):
    """Masks that are drawn when they are asked for."""

    drawings: Sequence[Drawing]

    def __len__(self) -> int:
        return len(self.drawings)

    @property
    def decoder(self) -> str:
        """What the cache tells entries apart by, beside the content."""
        return f"outlines {VERSION}"

    def take(self, index: I64) -> "OutlineMasks":
        """The same, with only these numbers."""
        return OutlineMasks([self.drawings[i] for i in index.tolist()])

    def digest(self, i: int) -> bytes:
        """SHA-256 of what it is drawn from."""
        return hashlib.sha256(self.drawings[i].content()).digest()

    def look(self, i: int) -> Look:
        """The same, and its size."""
        height, width = self.drawings[i].size
        if self.drawings[i].orientation in pictures.SWAPPED:
            height, width = width, height
        return Look(self.digest(i), Head(height, width, grey=True))

    def decode(self, i: int, form: Form) -> U8:
        """Its class numbers [H, W, 1]; where they are resized the nearest pixel is taken."""
        return pictures.fitted(
            Image.fromarray(self.drawings[i].drawn()),
            form.size,
            form.fit,
            Image.Resampling.NEAREST,
        )

    def weights(self) -> I64:
        """Checksums of what they are drawn from."""
        each = (zlib.crc32(drawing.content()) for drawing in self.drawings)
        return np.fromiter(each, np.int64, len(self))
