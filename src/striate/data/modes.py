"""From every mode of Pillow to plain 8-bit grey or RGB: the one documented conversion.

Alpha, and a colour that a file names as transparent, is composited on white. 16 bits are scaled by
65535 (or by the bits that a TIFF declares), never clipped. Whole numbers of 32 bits and floats carry
no range of their own, so the smallest usual one that holds the picture is taken (1 for floats, 255,
65535); a picture outside all of them is stretched from its least to its greatest value. Colour
profiles are not applied. Where the range is that of a set (`striate.data.levels`) it is given.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

from striate.errors import DataError

U8 = npt.NDArray[np.uint8]

GREY = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
DEEP = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
COLOUR = frozenset({"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"})
BITS_PER_SAMPLE = 258  # a TIFF tag


def plain(im: Image.Image, color: str, levels: tuple[float, float] | None = None) -> Image.Image:
    """A loaded picture as mode L (color "grey") or RGB (color "rgb").

    Args:
        im: the picture.
        color: of the result.
        levels: values of a picture of more than 8 bits that become 0 and 255; None: as its own type and values suggest.

    Raises:
        DataError: with the reason: a mode that is not read, or values that are no numbers.
    """
    if im.mode in DEEP:
        im = _deep(im, levels)
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


def _deep(im: Image.Image, levels: tuple[float, float] | None) -> Image.Image:
    values = np.asarray(im)
    if levels is not None:
        low, high = levels
        if not np.isfinite(values).all():
            raise DataError("holds values that are no finite numbers")
        values = np.clip(values, low, high)
    elif im.mode in ("I", "F"):
        low, high = _range(values)
    else:
        low, high = 0.0, float(2 ** _bits(im) - 1)
    grey = scaled(values, low, high)
    clear = im.info.get("transparency")
    if isinstance(clear, int):
        grey[np.asarray(im) == clear] = 255
    return Image.fromarray(grey)


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


def scaled(values: npt.NDArray[np.generic], low: float, high: float) -> U8:
    """Values from low..high to 0..255, rounded; a picture of one value outside becomes 0."""
    width = high - low or 1.0
    levels = (values.astype(np.float64) - low) * (255.0 / width)
    return np.rint(levels).astype(np.uint8)
