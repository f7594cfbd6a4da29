"""One way from the bytes of a picture to pixels, for training, evaluation, prediction and audit.

H W pixels, C channels. The content decides the format, never the name; only the formats of an
allow-list are tried; a picture is refused by the size its header states before it is decoded, and
decoded fully, so that a truncated one is found. EXIF orientation is applied once, a corrupt EXIF
block ignored. Of an animation or of several pages the first frame is taken. Any size from 1 x 1
up to `max_pixels` is accepted.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from striate.data import color_spaces, files, modes, pillow
from striate.data.modes import F32, F64, U8, Levels
from striate.data.pillow import without_warnings
from striate.errors import ArgumentError, DataError, nearest

# Importing a plugin is what makes Pillow know its format; none but these is ever loaded by us.
_PLUGINS = {
    "JPEG": JpegImagePlugin,
    "PNG": PngImagePlugin,
    "WEBP": WebPImagePlugin,
    "BMP": BmpImagePlugin,
    "TIFF": TiffImagePlugin,
    "PPM": PpmImagePlugin,
    "GIF": GifImagePlugin,
    "AVIF": AvifImagePlugin,
}
FORMATS = tuple(_PLUGINS)  # MPO, several JPEGs in one file, counts as JPEG
# fmt: off
SUFFIXES = frozenset([
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".tif",
    ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".gif", ".avif",
])
# Pictures all the same, so they are named as not readable instead of passed over in silence.
OTHER_SUFFIXES = frozenset([
    ".heic", ".heif", ".jp2", ".j2k", ".jxl", ".ico", ".psd", ".tga", ".dng", ".cr2", ".nef",
    ".eps", ".svg",
])
# fmt: on
MAX_PIXELS = 50_000_000
_PREFIX = 16  # bytes that tell the format
_START = 2**16  # bytes that hold the header of most pictures
# Those that two letters at the start of any text could pass for are left out.
_CERTAIN = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF")
_ORIENTATION = 0x0112
_SAMPLES_PER_PIXEL, _EXTRA_SAMPLES = 277, 338  # tags of a TIFF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What starts a picture of a format that is not read, and where in the file: said by name.
_FOREIGN = (
    ("HEIC", 4, (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1")),
    ("JPEG 2000", 0, (b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51")),
    ("JPEG XL", 0, (b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")),
    ("DICOM", 128, (b"DICM",)),
)
_UNREADABLE = 0  # stands for the orientation of a corrupt EXIF block
SWAPPED = (5, 6, 7, 8)  # orientations that exchange height and width


@dataclass(frozen=True)
class Limits:
    """Which pictures are taken, and how.

    Attributes:
        formats: that are tried.
        max_pixels: the most that a header may state.
        levels: values of pictures of more than 8 bits that become 0 and 255, and then all pictures are float32 of that
            range; None: each becomes 8 bits as it suggests itself.
    """

    formats: tuple[str, ...] = FORMATS
    max_pixels: int = MAX_PIXELS
    levels: Levels | None = None

    def __post_init__(self) -> None:
        for name in self.formats:
            if name not in FORMATS:
                raise ArgumentError(f"formats: no format {name!r}; {nearest(name, FORMATS)}")


@dataclass(frozen=True)
class Head:
    """What the header says: height and width in pixels, upright; whether it is a grey picture.

    bad_exif: it has an EXIF block that cannot be read, so that the picture may lie on its side.
    several: it holds more frames or pages than the first, which alone is read.
    alpha: it is transparent in places, and laid on white.
    more_bands: it has a band beside red, green and blue, which is left out.
    deep: its values have more than 8 bits.
    reduced: likewise, in a form of which 8 bits alone can be read.
    orientation: 1 to 8 as EXIF numbers how the stored pixels are turned; 1 is upright.
    """

    height: int
    width: int
    grey: bool
    bad_exif: bool = False
    several: bool = False
    alpha: bool = False
    more_bands: bool = False
    deep: bool = False
    reduced: bool = False
    orientation: int = 1


def picture(
    source: Path | bytes,
    *,
    size: tuple[int, int] | None = None,
    color: str = "rgb",
    fit: str = "cover",
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = FORMATS,
    levels: Levels | None = None,
) -> U8:
    """Decode one picture.

    Args:
        source: a file, or the bytes of one.
        size: height and width of the result: the shorter side is scaled to fit, antialiased, and
            the middle cut out, upwards as well as downwards. None keeps the picture's own size.
        color: "rgb", "hsv", "ycbcr", "xyz" (C = 3) or "grey" (C = 1).
        fit: "cover" as said of `size`, or "stretch": each side scaled by itself, nothing cut off.
        max_pixels: more than these are refused before decoding.
        formats: the formats that are tried.
        levels: values of a picture of more than 8 bits that become 0 and 255; None: as it suggests itself.

    Returns:
        Pixels 0..255, uint8 [H, W, C], of deeper pictures rounded.

    Raises:
        ArgumentError: size, color or formats is none of those.
        DataError: the picture cannot be read; the message names the file and the reason.
    """
    check_form(size, color)
    limits = Limits(formats, max_pixels, levels)
    try:
        data = source if isinstance(source, bytes) else files.read(source)
        with without_warnings():
            return color_spaces.rounded(
                decode(data, size=size, color=color, limits=limits, fit=fit)
            )
    except DataError as error:
        name = "the picture" if isinstance(source, bytes) else files.shown(source)
        raise DataError(f"{name}: {error}") from error


def picture_and_size(
    source: Path,
    *,
    size: tuple[int, int] | None,
    color: str,
    fit: str = "cover",
    max_pixels: int = MAX_PIXELS,
    levels: Levels | None = None,
) -> tuple[U8 | F32, tuple[int, int], bool]:
    """A picture as a net reads it, the height and width that it has itself, upright, and whether it has more than 8 bits.

    The arguments are those of `picture`; levels: those of the data that the net was trained on. Where they are given
    the pixels are float32, with all the depth that the file has.

    Raises:
        DataError: the picture cannot be read; the message names the file and the reason.
    """
    limits = Limits(max_pixels=max_pixels, levels=levels)
    try:
        data = files.read(source)
        with without_warnings():
            found = head(data, limits)
            pixels = decode(data, size=size, color=color, limits=limits, fit=fit)
    except DataError as error:
        raise DataError(f"{files.shown(source)}: {error}") from error
    return pixels, (found.height, found.width), found.deep


def check_form(size: tuple[int, int] | None, color: str) -> None:
    """Refuse a size or a colour that no picture can have.

    Raises:
        ArgumentError: naming the argument, what came and what is expected.
    """
    if color not in color_spaces.COLORS:
        raise ArgumentError(f"color: got {color!r}; {nearest(str(color), color_spaces.COLORS)}")
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ArgumentError(f"size: got {size}, expected (height, width) of at least 1 pixel each")


def decode(
    data: bytes, *, size: tuple[int, int] | None, color: str, limits: Limits, fit: str = "cover"
) -> U8 | F32:
    """The pixels of encoded bytes, as `picture` describes, float32 where the limits have levels.

    Call it inside `without_warnings`.

    Raises:
        DataError: with the reason alone.
    """
    bands = None if limits.levels is None else wide(data, limits)
    if bands is not None and limits.levels is not None:
        return formed_values(modes.scaled_colour(bands, limits.levels), size, color, fit)
    im = (
        pillow.small_jpeg(data)
        if "JPEG" in limits.formats and data[:3] == b"\xff\xd8\xff"
        else None
    )
    if im is None or im.width * im.height > limits.max_pixels:
        im = _load(data, size, limits)
    return formed(im, size, color, fit, limits.levels)


def formed(
    im: Image.Image,
    size: tuple[int, int] | None,
    color: str,
    fit: str = "cover",
    levels: Levels | None = None,
) -> U8 | F32:
    """A loaded picture at a size and in a colour space, [H, W, C]; float32 where levels are given."""
    if levels is not None and im.mode in modes.DEEP:
        return formed_values(modes.scaled(im, levels), size, color, fit)
    plain = modes.plain(im, color_spaces.base(color))
    pixels = color_spaces.converted(fitted(plain, size, fit), color)
    return pixels if levels is None else pixels.astype(np.float32)


def formed_values(
    values: F64,
    size: tuple[int, int] | None,
    color: str,
    fit: str = "cover",
) -> F32:
    """Values 0 to 255 of a deep picture, [H, W, 1 or 3], at a size and in a colour space, not rounded."""
    planes = modes.in_channels(values, color_spaces.base(color))
    if size is not None and size != planes.shape[:2]:
        each = (Image.fromarray(plane.astype(np.float32)) for plane in np.moveaxis(planes, -1, 0))
        planes = np.stack([np.asarray(_resized(im, size, fit)) for im in each], -1)
    return color_spaces.converted_values(planes, color).astype(np.float32)


def fitted(
    im: Image.Image,
    size: tuple[int, int] | None,
    fit: str = "cover",
    resampling: Image.Resampling = Image.Resampling.BILINEAR,
) -> U8:
    """A picture of mode L or RGB at a size, [H, W, C].

    Args:
        im: the picture.
        size: height and width; None keeps its own.
        fit: "cover": scaled so that it covers the size, its middle cut out. "stretch": each side scaled by itself.
        resampling: bilinear, or nearest for class numbers.
    """
    if size is not None and size != (im.height, im.width):
        im = _resized(im, size, fit, resampling)
    channels = 1 if im.mode == "L" else 3
    return np.frombuffer(im.tobytes(), np.uint8).reshape(im.height, im.width, channels)


def _resized(
    im: Image.Image,
    size: tuple[int, int],
    fit: str,
    resampling: Image.Resampling = Image.Resampling.BILINEAR,
) -> Image.Image:
    height, width = size
    box = _covering(im, size) if fit == "cover" else (0.0, 0.0, im.width, im.height)
    return im.resize((width, height), resampling, box=box)


def _covering(im: Image.Image, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The middle of a picture that has the shape of a size: left, top, right, bottom."""
    height, width = size
    scale = max(height / im.height, width / im.width)
    dx = (im.width - width / scale) / 2
    dy = (im.height - height / scale) / 2
    return max(dx, 0.0), max(dy, 0.0), min(im.width - dx, im.width), min(im.height - dy, im.height)


def head(data: bytes, limits: Limits) -> Head:
    """What the header of encoded bytes says, without decoding; call it inside `without_warnings`.

    Raises:
        DataError: with the reason alone.
    """
    found = (
        pillow.jpeg_frame(data)
        if data[:3] == b"\xff\xd8\xff" and "JPEG" in limits.formats
        else None
    )
    if found is not None and found[0] * found[1] <= limits.max_pixels:
        return Head(found[0], found[1], grey=found[2] == "L")
    im = _open(data, limits)
    # A PNG reads all of itself to find its EXIF, so only a block before the pixels counts here.
    known = im.format != "PNG" or "exif" in im.info
    orientation = _orientation(im) if known else 1
    sides = (im.width, im.height) if orientation in SWAPPED else (im.height, im.width)
    return Head(
        *sides,
        grey=im.mode in modes.GREY,
        bad_exif=orientation == _UNREADABLE,
        several=_several(im),
        orientation=orientation or 1,
        alpha=im.has_transparency_data and not _unnamed_band(im),
        deep=im.mode in modes.DEEP or _low_bytes(im) is not None or _grey_alpha(im),
        reduced=_reduced(im) or (im.format == "AVIF" and _deep_avif(data)),
        more_bands=_unnamed_band(im) or _bands(im) > len(im.getbands()),
    )


def _bands(im: Image.Image) -> int:
    """Bands that a TIFF states; 0 of other formats."""
    found = getattr(im, "tag_v2", {}).get(_SAMPLES_PER_PIXEL, 0)
    return found if isinstance(found, int) else 0


def _unnamed_band(im: Image.Image) -> bool:
    """Whether the fourth band of a TIFF is called transparency by Pillow, and by nothing in the file."""
    return (
        im.mode == "RGBA"
        and im.format == "TIFF"
        and _EXTRA_SAMPLES not in getattr(im, "tag_v2", {})
    )


def head_of(path: Path, limits: Limits) -> Head:
    """What the header of a picture file says; of most files only the start is read. Call it inside `without_warnings`.

    Raises:
        DataError: with the reason alone.
    """
    try:
        return head(files.read(path, first=_START), limits)
    except DataError:
        return head(files.read(path), limits)


def upright(im: Image.Image, orientation: int) -> Image.Image:
    """A picture as EXIF's orientation, 1 to 8, says that it is to be seen."""
    turn = _TURNS.get(orientation)
    return im if turn is None else im.transpose(turn)


def _several(im: Image.Image) -> bool:
    """Whether frames or pages follow the first; their headers may be broken, which is no harm to that one."""
    try:
        return bool(getattr(im, "is_animated", False))
    except Exception:  # noqa: BLE001 - as below
        return True


def holds_picture(path: Path) -> bool:
    """Whether a file without a picture's extension holds a picture all the same."""
    try:
        with path.open("rb") as file:
            prefix = file.read(_PREFIX)
    except OSError:
        return False
    return format_of(prefix, _CERTAIN) is not None


def format_of(prefix: bytes, formats: tuple[str, ...]) -> str | None:
    """The format that the first bytes of a picture promise, if it is one of these."""
    for name in formats:
        if name in Image.OPEN:
            accept = Image.OPEN[name][1]
            if accept is not None and accept(prefix) is True:
                return name
    return None


def _open(data: bytes, limits: Limits) -> ImageFile.ImageFile:
    """Read the header alone, in the one format that the first bytes promise."""
    name = format_of(data[:_PREFIX], limits.formats)
    if name is None:
        raise DataError("an empty file" if not data else _unknown(data, limits))
    try:
        im = Image.OPEN[name][0](BytesIO(data), "")
    except Image.DecompressionBombError as error:
        raise DataError(f"states more pixels than the limit of {limits.max_pixels:,}") from error
    except MemoryError:  # of this machine, not of the file
        raise
    except Exception as error:  # a decoder meets arbitrary bytes and may raise anything
        if "unknown pixel mode" in str(error):
            raise DataError(
                f"a {name} with bands that are not read ({_line(error)}): save 1, 3 or 4 bands of 8 bits, or 1 of 16"
            ) from error
        raise DataError(f"a broken {name} header ({_line(error)})") from error
    if im.width * im.height > limits.max_pixels:
        raise DataError(
            f"{im.width} x {im.height} = {im.width * im.height:,} pixels; the limit is {limits.max_pixels:,}: raise it with "
            "max_pixels="
        )
    return im


def _unknown(data: bytes, limits: Limits) -> str:
    """Why bytes are no picture that is read, and what helps."""
    if data.startswith(files.POINTER):
        return files.POINTED
    for name, at, starts in _FOREIGN:
        if data[at:].startswith(starts):
            return f"a picture of the format {name}, which is not read: convert it to PNG or JPEG"
    return f"no picture of the formats that are read ({', '.join(limits.formats)})"


def loaded(data: bytes, limits: Limits) -> Image.Image:
    """A picture in whatever mode its file has, decoded fully and upright.

    Raises:
        DataError: with the reason alone.
    """
    with without_warnings():
        return _load(data, None, limits)


def deep_values(data: bytes, limits: Limits) -> npt.NDArray[Any] | None:
    """The values of a picture of more than 8 bits as its file has them, [H, W] or [H, W, C]; None of others.

    Raises:
        DataError: with the reason alone.
    """
    with without_warnings():
        bands = wide(data, limits)
        if bands is not None:
            return bands[..., :3]
        im = _load(data, None, limits)
    return np.asarray(im) if im.mode in modes.DEEP else None


def wide(data: bytes, limits: Limits) -> npt.NDArray[np.uint16] | None:
    """A picture of 16 bits in three channels, with alpha or not, or grey with alpha, of which Pillow alone gives 8.

    Returns:
        [H, W, 3 or 4]; None of others.

    Raises:
        DataError: with the reason alone.
    """
    low = _open(data, limits)
    if _grey_alpha(low):  # its four bytes a pixel, as they lie there
        low.tile = [tile._replace(args="RGBA") for tile in low.tile]  # pyright: ignore[reportAttributeAccessIssue]
        each = np.asarray(_decoded(low, None)).astype(np.uint16)
        grey, alpha = (each[..., i] * 256 + each[..., i + 1] for i in (0, 2))
        return np.stack([grey, grey, grey, alpha], axis=-1)
    swapped = _low_bytes(low)
    if swapped is None:
        return None
    low.tile = swapped
    high_bytes = np.asarray(_decoded(_open(data, limits), None)).astype(np.uint16)
    return high_bytes * 256 + np.asarray(_decoded(low, None))


def _low_bytes(im: Image.Image) -> list[Any] | None:
    """What makes Pillow read the low bytes of a colour picture of 16 bits that was just opened; None of others."""
    tiles: list[Any] = []
    for tile in getattr(im, "tile", ()):
        given = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        other = modes.low_bytes(given[0]) if given and isinstance(given[0], str) else None
        if other is None:
            return None
        args = (other, *given[1:]) if isinstance(tile.args, tuple) else other
        tiles.append(tile._replace(args=args))
    return tiles or None


def _reduced(im: Image.Image) -> bool:
    """Whether a picture that was just opened has more than 8 bits that cannot be read: a colour PPM."""
    args = [tile.args for tile in getattr(im, "tile", ())]
    wide_ppm = im.format == "PPM" and im.mode == "RGB"
    return wide_ppm and any(isinstance(a, tuple) and a[-1] > 255 for a in args)


def _grey_alpha(im: Image.Image) -> bool:
    """Whether a picture that was just opened is grey with alpha, 16 bits each, big-endian as PNG has them."""
    tiles = getattr(im, "tile", ())
    return bool(tiles) and all(tile.args == "LA;16B" for tile in tiles)


def _deep_avif(data: bytes) -> bool:
    """Whether an AVIF has 10 or 12 bits, of which Pillow gives 8: `high_bitdepth` of its av1C box (AV1-ISOBMFF 2.3.3)."""
    at = data.find(b"av1C", 0, _START)
    return at >= 0 and len(data) > at + 6 and bool(data[at + 6] & 0x40)


def _load(data: bytes, size: tuple[int, int] | None, limits: Limits) -> Image.Image:
    """Decode fully and turn upright."""
    return _decoded(_open(data, limits), size)


def _decoded(im: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    try:
        if size is not None:
            _draft(im, size)
        im.load()
    except MemoryError:
        raise
    except Exception as error:  # as above
        raise DataError(_line(error)) from error
    if _unnamed_band(im):
        im = Image.merge("RGB", im.split()[:3])
    return upright(im, _orientation(im))


def _draft(im: Image.Image, size: tuple[int, int]) -> None:
    """Let a JPEG decode at 1/2, 1/4 or 1/8 where twice the wanted size remains, either way up."""
    scale = 2 * max(size) / min(im.size)
    if scale < 1:
        im.draft(im.mode, (int(im.width * scale) + 1, int(im.height * scale) + 1))


def _orientation(im: Image.Image) -> int:
    """1 to 8 as EXIF has them, or `_UNREADABLE`."""
    if im.format == "TIFF":  # Pillow turns these itself
        return 1
    try:
        found = int(im.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - a corrupt EXIF block may raise anything
        return _UNREADABLE
    return found if found == 1 or found in _TURNS else _UNREADABLE


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return files.shown(text) if text else type(error).__name__
