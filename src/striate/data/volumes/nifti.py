"""Volumes in NIfTI files, by nibabel: values scaled as the header says, axes turned to lie one way.

NIfTI-1, https://nifti.nimh.nih.gov/nifti-1; its three spatial axes come first, channels or moments after them.
"""

from pathlib import Path
from typing import Any

import numpy as np

from striate.data import files
from striate.data.volumes.volume import Head, Volume, check_type, closest, oriented, shaped, short
from striate.errors import DataError
from striate.extras import need

_DIMENSIONS = (3, 4)
_KNOWN = {"mm": 1.0, "micron": 1e-3, "meter": 1e3, "unknown": 1.0}


def head(path: Path) -> Head:
    """What the header says.

    Raises:
        DataError: no sound NIfTI file, or no volume in it; with the reason alone.
        MissingExtraError: nibabel is not installed.
    """
    image = _opened(path)
    shape, directions = _shape(image), _directions(image)
    probe = np.broadcast_to(np.zeros((), np.uint8), (*shape[:3], 1))
    _, spacing, turned = _turned(probe[:1, :1, :1], directions)
    depth, high, wide = _ours(shape[:3], directions)
    return Head((depth, high, wide), shape[3], _type(image), spacing, turned)


def read(path: Path) -> Volume:
    """The voxels.

    Raises:
        DataError: with the reason alone.
        MissingExtraError: nibabel is not installed.
    """
    image = _opened(path)
    shape, dtype = _shape(image), _type(image)
    try:
        values = np.asanyarray(image.dataobj)
    except (*files.UNSOUND, need("nibabel").filebasedimages.ImageFileError) as error:
        raise DataError(f"is cut off or damaged ({' '.join(str(error).split())[:120]})") from error
    voxels, spacing, turned = _turned(
        values.reshape(shape).astype(dtype, copy=False), _directions(image)
    )
    return Volume(voxels, spacing, turned)


def _opened(path: Path) -> Any:
    nibabel: Any = need("nibabel")
    try:
        image = nibabel.load(path)
    except (*files.UNSOUND, nibabel.filebasedimages.ImageFileError) as error:
        reason = (
            files.POINTED if files.is_pointer(path) else f"no sound NIfTI file ({short(error)})"
        )
        raise DataError(reason) from error
    check_type(np.dtype(image.get_data_dtype()))
    return image


def _shape(image: Any) -> tuple[int, int, int, int]:
    """Sides as stored, and channels."""
    shape = tuple(int(side) for side in image.shape)
    while len(shape) > 4 and shape[3] == 1:  # vectors lie along the fifth axis
        shape = (*shape[:3], *shape[4:])
    if len(shape) not in _DIMENSIONS:
        raise DataError(f"{list(shape)} is no volume, expected three axes, or four with channels")
    sides, channels = shaped(shape)
    return (*sides, channels)


def _type(image: Any) -> np.dtype[Any]:
    """Of the values: floats where the header scales them."""
    dtype = np.dtype(image.get_data_dtype()).newbyteorder("=")
    slope, inter = image.dataobj.slope, image.dataobj.inter
    if (slope, inter) == (1, 0):
        return dtype
    whole = dtype.kind in "ui" and float(slope).is_integer() and float(inter).is_integer()
    return np.dtype(
        np.int16 if whole and dtype.itemsize <= 2 and _fits(dtype, slope, inter) else np.float32
    )


def _fits(dtype: np.dtype[Any], slope: float, inter: float) -> bool:
    """Whether all that a scale makes of a type's values is within 16 bits."""
    info = np.iinfo(dtype)
    ends = [slope * end + inter for end in (info.min, info.max)]
    return min(ends) >= -32768 and max(ends) <= 32767


def _directions(image: Any) -> Any:
    """The step along each stored axis in millimetres, a column each."""
    unit = _KNOWN.get(str(image.header.get_xyzt_units()[0]), 1.0)
    return np.asarray(image.affine, np.float64)[:3, :3] * unit


def _turned(voxels: Any, directions: Any) -> Any:
    return oriented(voxels, directions)


def _ours(sides: tuple[int, ...], directions: Any) -> tuple[int, int, int]:
    """Depth, height and width of stored sides."""
    marked = np.empty((2, 3, 4, 1), np.uint8)  # any three different sides tell where each axis goes
    order = {side: axis for axis, side in enumerate(marked.shape[:3])}
    turned = _turned(marked, directions)[0].shape[:3]
    depth, high, wide = (sides[order[side]] for side in turned)
    return depth, high, wide


def as_stored(numbers: Any, image: Any) -> Any:
    """Values [D, H, W] of a volume with the axes that a file has."""
    order, forward = closest(_directions(image))
    turned = numbers
    for axis, stored in enumerate(order):
        if not forward[stored]:
            turned = np.flip(turned, axis)
    return np.ascontiguousarray(turned.transpose(np.argsort(order)))
