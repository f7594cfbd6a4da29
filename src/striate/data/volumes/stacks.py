"""Volumes in pictures: all pages of a TIFF file, or the numbered pictures of a folder, one slice or frame each."""

import itertools
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from striate.data import color_spaces, files, pictures
from striate.data.pictures import Limits
from striate.data.volumes.volume import Head, Volume, Voxels, shaped, short
from striate.errors import DataError

_MODES = {"1": np.bool_, "L": np.uint8, "P": np.uint8, "RGB": np.uint8, "RGBA": np.uint8}
_DEEP = {"I;16": np.uint16, "I;16B": np.uint16, "I;16L": np.uint16, "I": np.int32, "F": np.float32}
_NUMBER = re.compile(r"(\d+)(?!.*\d)")
LEAST = 2  # pages or frames of a volume


def pages_head(path: Path) -> Head:
    """Shape and type of a TIFF with several pages, which must be alike.

    Raises:
        DataError: one page alone, pages of several sizes, or no sound file; with the reason alone.
    """
    with _pages(path) as im:
        return _of_pages(im)


def pages(path: Path) -> Volume:
    """Its voxels.

    Raises:
        DataError: with the reason alone.
    """
    with _pages(path) as im:
        wanted = _of_pages(im)
        planes: list[Voxels] = []
        try:
            for page in range(wanted.sides[0]):
                im.seek(page)
                planes.append(_plane(im, wanted))
        except (*files.UNSOUND, Image.DecompressionBombError) as error:
            raise DataError(f"page {len(planes) + 1} cannot be read ({short(error)})") from error
    return Volume(np.stack(planes))


def _pages(path: Path) -> TiffImagePlugin.TiffImageFile:
    try:
        return TiffImagePlugin.TiffImageFile(BytesIO(files.read(path)))
    except (*files.UNSOUND, Image.DecompressionBombError) as error:
        raise DataError(f"no sound TIFF file ({short(error)})") from error


def _of_pages(im: Any) -> Head:
    try:
        count = int(im.n_frames)
    except files.UNSOUND as error:
        raise DataError(f"its pages cannot be counted ({short(error)})") from error
    if count < LEAST:
        raise DataError(f"one page of {im.width} x {im.height}, expected a stack of them")
    dtype = {**_MODES, **_DEEP}.get(im.mode)
    if dtype is None:
        raise DataError(f"pages of mode {im.mode}, expected grey or RGB values")
    channels = 3 if im.mode in ("RGB", "RGBA", "P") else 1
    sides, channels = shaped((count, im.height, im.width, channels))
    return Head(sides, channels, np.dtype(dtype))


def _plane(im: Any, wanted: Head) -> Voxels:
    if (im.height, im.width) != wanted.sides[1:]:
        raise DataError(
            f"its size is {im.height} x {im.width}, that of the first {wanted.sides[1]} x {wanted.sides[2]}"
        )
    values = np.asarray(im if im.mode in ("1", "L") or im.mode in _DEEP else im.convert("RGB"))
    plane = values if values.ndim == 3 else values[..., None]
    if plane.shape[2] != wanted.channels:
        raise DataError(f"its mode is {im.mode}, another than that of the first")
    return plane.astype(wanted.dtype, copy=False)


def frames_of(folder: Path) -> list[Path]:
    """The numbered pictures of a folder in the order of their numbers.

    Raises:
        DataError: fewer than two, one without a number, or two with one number; with the reason alone.
    """
    names = [e.name for e in files.entries(folder) if e.kind == "file" and _named(e.name)]
    if len(names) < LEAST:
        raise DataError(f"holds {len(names)} pictures, expected the frames or slices of one item")
    numbers = {name: _NUMBER.search(Path(name).stem) for name in names}
    if unnumbered := [name for name, found in numbers.items() if found is None]:
        raise DataError(f"{files.shown(unnumbered[0])} has no number that says where it belongs")
    order = sorted(names, key=lambda name: (int(numbers[name][1]), name))  # pyright: ignore[reportOptionalSubscript]
    for one, other in itertools.pairwise(order):
        if int(numbers[one][1]) == int(numbers[other][1]):  # pyright: ignore[reportOptionalSubscript]
            raise DataError(f"{files.shown(one)} and {files.shown(other)} have one number")
    return [folder / name for name in order]


def _named(name: str) -> bool:
    return Path(name).suffix.lower() in pictures.SUFFIXES


def frames_head(folder: Path, limits: Limits = Limits()) -> Head:  # noqa: B008 - frozen
    """Shape of the frames of a folder, from the header of the first.

    Raises:
        DataError: with the reason alone.
    """
    paths = frames_of(folder)
    first = _header(paths[0], limits)
    sides, channels = shaped((len(paths), first.height, first.width, 1 if first.grey else 3))
    return Head(sides, channels, np.dtype(np.uint8))


def _header(path: Path, limits: Limits) -> pictures.Head:
    try:
        return pictures.head_of(path, limits)
    except DataError as error:
        raise DataError(f"{files.shown(path.name)}: {error}") from error


def frames(folder: Path, limits: Limits = Limits()) -> Volume:  # noqa: B008 - frozen
    """The frames of a folder, one after the other along the depth; of 8 bits.

    Raises:
        DataError: one that cannot be read, or of another size than the first; with the reason alone.
    """
    wanted = frames_head(folder, limits)
    color = "grey" if wanted.channels == 1 else "rgb"
    planes: list[Voxels] = []
    for path in frames_of(folder):
        try:
            plane = pictures.decode(files.read(path), size=None, color=color, limits=limits)
        except DataError as error:
            raise DataError(f"{files.shown(path.name)}: {error}") from error
        if plane.shape[:2] != wanted.sides[1:]:
            high, wide = plane.shape[:2]
            raise DataError(
                f"{files.shown(path.name)} is {high} x {wide}, the first {wanted.sides[1]} x {wanted.sides[2]}"
            )
        planes.append(color_spaces.rounded(plane))
    return Volume(np.stack(planes))
