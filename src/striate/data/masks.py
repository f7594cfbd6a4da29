"""Masks: pictures whose values are the classes of pixels, as numbers or as colours. H W pixels."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image

from striate.data import pictures
from striate.data.modes import U8
from striate.data.sources import I64, Files, Form
from striate.data.targets import IGNORE
from striate.errors import DataError

MOST = 254  # classes that one byte a pixel can tell apart, beside those that count nowhere
_SHOWN = 5  # unknown values that a message lists


@dataclass(frozen=True)
class Coding:
    """What the values of masks stand for.

    Attributes:
        colors: whether a value is a colour (red * 65536 + green * 256 + blue), else the number in the file, which of
            a palette picture is its index.
        table: pairs of a value and the number of its class, `IGNORE` for pixels that count nowhere.
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
            listed = ", ".join(
                f"{shown_value(int(strange[k]), colors=self.colors)} ({counts[k]:,} pixels)"
                for k in most
            )
            more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
            raise DataError(f"values that stand for no class: {listed}{more}")
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


__all__ = ["IGNORE", "MOST", "Coding", "MaskFiles", "read_values", "shown_value"]
