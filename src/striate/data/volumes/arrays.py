"""Volumes in NumPy's .npy and .npz files: [D, H, W] or [D, H, W, C]. Never unpickled."""

import io
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from striate.data import files
from striate.data.files import shown
from striate.data.volumes.volume import Head, Volume, check_type, shaped
from striate.errors import DataError

_START = 2**16  # bytes that hold any sound header


def head(path: Path) -> Head:
    """Shape and type, from the header alone.

    Raises:
        DataError: no sound file, or no volume in it; with the reason alone.
    """
    try:
        if path.suffix.lower() == ".npy":
            shape, dtype = _header(io.BytesIO(files.read(path, first=_START, most=2**40)))
        else:
            name, shape, dtype = _member(path)
            del name
    except files.UNSOUND as error:
        raise DataError(_unsound(path, error)) from error
    check_type(dtype)
    sides, channels = shaped(shape)
    return Head(sides, channels, dtype)


def read(path: Path) -> Volume:
    """The voxels; a file that is too short for its header is refused.

    Raises:
        DataError: with the reason alone.
    """
    head(path)
    try:
        if path.suffix.lower() == ".npy":
            return Volume(np.load(path, allow_pickle=False))
        with np.load(path, allow_pickle=False) as archive:
            return Volume(archive[_member(path)[0]])
    except files.UNSOUND as error:
        raise DataError(_unsound(path, error)) from error


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    reads = np.lib.format
    read_header = reads.read_array_header_1_0 if version == (1, 0) else reads.read_array_header_2_0
    shape, _, dtype = read_header(file)
    return shape, dtype


def _member(path: Path) -> tuple[str, tuple[int, ...], np.dtype[Any]]:
    """The one array of an .npz file that may be a volume: its name, shape and type."""
    found: list[tuple[str, tuple[int, ...], np.dtype[Any]]] = []
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for name in names:
            with archive.open(name) as file:
                shape, dtype = _header(file)
                if len(shape) in (3, 4):
                    found.append((name.removesuffix(".npy"), shape, dtype))
    if len(found) != 1:
        keys = ", ".join(shown(name.removesuffix(".npy")) for name in names) or "nothing"
        raise DataError(f"holds {keys}: expected one array [D, H, W] or [D, H, W, C]")
    return found[0]


def _unsound(path: Path, error: BaseException) -> str:
    if isinstance(error, DataError):
        return str(error)
    if files.is_pointer(path):
        return files.POINTED
    return (
        f"no sound {path.suffix.lower()} file ({' '.join(str(error).split()) or 'it is cut off'})"
    )
