"""Which reader a path needs: by the end of its name, of a folder by what it holds."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from striate.data import pictures
from striate.data.pillow import without_warnings
from striate.data.volumes import arrays, dicom, nifti, stacks
from striate.data.volumes.volume import Head, Volume, checked
from striate.errors import DataError


class Kind(NamedTuple):
    """A kind of volume: how its header and its voxels are read, and whether only a layout that was asked for takes it."""

    name: str
    head: Callable[[Path], Head]
    read: Callable[[Path], Volume]
    asked: bool = False


ARRAY = Kind("arrays of NumPy", arrays.head, arrays.read)
NIFTI = Kind("NIfTI", nifti.head, nifti.read)
DICOM = Kind("DICOM", dicom.head, dicom.read)
TIFF = Kind("TIFF stacks", stacks.pages_head, stacks.pages, asked=True)
FRAMES = Kind("folders of frames", stacks.frames_head, stacks.frames, asked=True)

SUFFIXES = {
    ".npy": ARRAY,
    ".npz": ARRAY,
    ".nii": NIFTI,
    ".nii.gz": NIFTI,
    **dict.fromkeys(dicom.SUFFIXES, DICOM),
    ".tif": TIFF,
    ".tiff": TIFF,
}


def suffix_of(name: str) -> str:
    """The end of a name by which its kind is known; "" where it is none of `SUFFIXES`."""
    low = name.lower()
    return next((end for end in sorted(SUFFIXES, key=len, reverse=True) if low.endswith(end)), "")


def kind_of(path: Path) -> Kind:
    """The reader of a file or of a folder of slices or frames.

    Raises:
        DataError: it is none that holds a volume; with the reason alone.
    """
    if path.is_dir():
        return DICOM if _slices(path) else FRAMES
    found = SUFFIXES.get(suffix_of(path.name))
    if found is not None:
        return found
    if dicom.is_slice(path):
        return DICOM
    raise DataError(
        "no volume: expected .npy, .npz, .nii, .nii.gz, .tif, or a folder of DICOM slices or of frames"
    )


def _slices(folder: Path) -> bool:
    return any(dicom.is_slice(path) for path in sorted(folder.iterdir())[:8] if path.is_file())


def is_item(folder: Path) -> bool:
    """Whether a folder is one volume: it holds DICOM slices, or pictures and no files that are volumes themselves."""
    names = [path.name for path in folder.iterdir() if path.is_file()]
    kinds = {SUFFIXES[end] for name in names if (end := suffix_of(name))}
    if DICOM in kinds:
        return True
    pictured = any(Path(name).suffix.lower() in pictures.SUFFIXES for name in names)
    return not kinds and (pictured or _slices(folder))


def head(path: Path) -> Head:
    """What is known of a volume before its voxels are read.

    Raises:
        DataError: with the reason alone.
        MissingExtraError: the package that reads it is not installed.
    """
    with without_warnings():
        return kind_of(path).head(path)


def read(path: Path) -> Volume:
    """A volume, with channels and values that are all numbers.

    Raises:
        DataError: with the reason alone.
        MissingExtraError: the package that reads it is not installed.
    """
    with without_warnings():
        return checked(kind_of(path).read(path))
