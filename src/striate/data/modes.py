"""From every mode of Pillow to plain grey or RGB: the one documented conversion.

Alpha, and a colour that a file names as transparent, is composited on white. Colour profiles are not applied.

A picture of more than 8 bits is a deep one. Where the range of its set is known (`striate.data.levels`), it becomes
float32 of 0 to 255 by that range, with all its depth. Where it is not, it becomes 8 bits: 16 bits are scaled by 65535
(or by the bits that a TIFF declares), never clipped; whole numbers of 32 bits and floats carry no range of their own,
so the smallest usual one that holds the picture is taken (1 for floats, 255, 65535), and a picture outside all of them
is stretched from its least to its greatest value.
"""

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from striate.errors import DataError

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Levels = tuple[float, float]

GREY = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
DEEP = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
COLOUR = frozenset({"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"})
BITS_PER_SAMPLE = 258  # a TIFF tag
_OTHER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}  # order of two bytes
LUMA = np.array([0.299, 0.587, 0.114])  # shares of red, green and blue in grey (ITU-R BT.601)


def plain(im: Image.Image, color: str) -> Image.Image:
    """A loaded picture as mode L (color "grey") or RGB (color "rgb"), a deep one by its own type and values.

    Raises:
        DataError: with the reason: a mode that is not read, or values that are no numbers.
    """
    if im.mode in DEEP:
        im = Image.fromarray(np.rint(scaled(im, None)[..., 0]).astype(np.uint8))
    elif im.mode not in GREY | COLOUR:
        raise DataError(f"pixels of mode {im.mode} are not read")
    elif im.has_transparency_data:
        im = _on_white(im)
    elif im.mode not in ("L", "RGB"):
        im = im.convert("L" if im.mode == "1" else "RGB")
    mode = "L" if color == "grey" else "RGB"
    return im if im.mode == mode else im.convert(mode)


def _on_white(im: Image.Image) -> Image.Image:
    straight = im.convert("LA") if im.mode == "La" else im
    rgba = straight.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", im.size, "white"), rgba).convert("RGB")


def scaled(im: Image.Image, levels: Levels | None) -> F64:
    """A deep picture as values 0 to 255, [H, W, 1], not rounded.

    Args:
        im: a picture of one of the `DEEP` modes.
        levels: values that become 0 and 255, what lies outside is clipped; None: as its own type and values suggest.

    Raises:
        DataError: values that are no finite numbers.
    """
    values = np.asarray(im)
    if levels is None or _other_kind(values, levels):
        levels = _range(values) if im.mode in ("I", "F") else (0.0, float(2 ** _bits(im) - 1))
    grey = to_0_255(values, levels)
    clear = im.info.get("transparency")
    if isinstance(clear, int):
        grey[values == clear] = 255
    return grey[..., None]


def scaled_colour(bands: npt.NDArray[np.uint16], levels: Levels) -> F64:
    """A picture of 16 bits a channel [H, W, 3 or 4] as values 0 to 255, [H, W, 3]; alpha is laid on white."""
    rgb = to_0_255(bands[..., :3], (0.0, 65535.0) if _other_kind(bands, levels) else levels)
    if bands.shape[-1] == 3:
        return rgb
    share = bands[..., 3:] / 65535
    return rgb * share + 255 * (1 - share)


def _other_kind(values: npt.NDArray[Any], levels: Levels) -> bool:
    """Whether these are whole numbers, and the levels those of a set of shares, which say nothing of them."""
    return levels[1] <= 1 and values.dtype.kind != "f" and bool((values > 1).any())


def to_0_255(values: npt.NDArray[Any], levels: Levels) -> F64:
    """Values from the first of the levels to the second as 0 to 255, clipped, not rounded.

    Raises:
        DataError: values that are no finite numbers.
    """
    low, high = levels
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError("holds values that are no finite numbers")
    width = high - low or 1.0
    return np.clip((values.astype(np.float64) - low) * (255.0 / width), 0, 255)


def in_channels(values: F64, color: str) -> F64:
    """Values [H, W, 1 or 3] as grey [H, W, 1] or in three channels [H, W, 3]."""
    if color == "grey":
        return values if values.shape[-1] == 1 else (values @ LUMA)[..., None]
    return values if values.shape[-1] == 3 else np.repeat(values, 3, axis=-1)


def low_bytes(rawmode: str) -> str | None:
    """The raw mode by which Pillow reads the low byte of each sample of a colour picture of 16 bits.

    Pillow keeps 8 bits of such a picture: those of the byte that is the high one in the order its raw mode names.
    Read once in each of the two orders, it gives both bytes. None where the picture is none of these.
    """
    base, _, order = rawmode.partition(";16")
    if base not in ("RGB", "RGBA", "RGBX") or order not in _OTHER:
        return None
    return f"{base};16{_OTHER[order]}"


def _bits(im: Image.Image) -> int:
    """Bits of a sample: 16, or fewer where a TIFF says so."""
    tags = getattr(im, "tag_v2", None)
    declared = tags.get(BITS_PER_SAMPLE) if tags is not None else None
    bits = declared[0] if isinstance(declared, tuple) and declared else 16
    return bits if isinstance(bits, int) and 8 <= bits <= 16 else 16


def _range(values: npt.NDArray[np.generic]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError("holds values that are no finite numbers")
    usual = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
    top = next((top for top in usual if high <= top), None) if low >= 0 else None
    return (low, high) if top is None else (0.0, top)
