"""Volumes in DICOM: a folder with the slices of one series, or one file with all frames, by pydicom.

Slices are ordered by their places, not by their names (DICOM PS3.3 C.7.6.2); a place that is missing is refused. Values
are those after rescaling (C.11.1), of CT Hounsfield units.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striate.data import files
from striate.data.volumes.volume import Head, Volume, Voxels, oriented, shaped, short
from striate.errors import DataError
from striate.extras import need

F64 = npt.NDArray[np.float64]

SUFFIXES = (".dcm", ".dicom", ".ima")
_PREAMBLE = 128  # bytes before "DICM"
_TOLERANCE = 0.02  # of the distance of two slices, that others may differ from it
_LPS = np.array(
    [-1.0, -1.0, 1.0]
)  # to the left and the back in DICOM, to the right and the front here


def is_slice(path: Path) -> bool:
    """Whether a file is DICOM, by its content."""
    try:
        return files.read(path, first=_PREAMBLE + 4, most=2**40)[_PREAMBLE:] == b"DICM"
    except DataError:
        return False


class Slices(NamedTuple):
    """The slices of a series in the order of their places."""

    headers: list[Any]
    directions: (
        F64 | None
    )  # of slices, rows and columns: a column each, in millimetres to the right, front and head


def head(path: Path) -> Head:
    """What the headers of all slices say.

    Raises:
        DataError: no series, two of them, or one with a gap; with the reason alone.
        MissingExtraError: pydicom is not installed.
    """
    slices = _slices(path)
    first = slices.headers[0]
    count = (
        len(slices.headers) if len(slices.headers) > 1 else int(first.get("NumberOfFrames", 1) or 1)
    )
    sides = (count, int(first.Rows), int(first.Columns))
    channels = int(first.get("SamplesPerPixel", 1) or 1)
    shaped((*sides, channels))
    dtype = _type(slices.headers)
    if slices.directions is None:
        return Head(sides, channels, dtype)
    marks = np.empty((2, 3, 4, 1), np.uint8)
    turned, spacing, words = oriented(marks, slices.directions)
    depth, high, wide = (sides[marks.shape.index(side)] for side in turned.shape[:3])
    return Head((depth, high, wide), channels, dtype, spacing, words)


def read(path: Path) -> Volume:
    """The voxels.

    Raises:
        DataError: with the reason alone.
        MissingExtraError: pydicom is not installed.
    """
    head(path)
    slices = _slices(path, pixels=True)
    dtype = _type(slices.headers)
    planes = [_values(header, dtype) for header in slices.headers]
    voxels = planes[0] if len(planes) == 1 else np.concatenate(planes)
    if slices.directions is None:
        return Volume(voxels)
    return Volume(*oriented(voxels, slices.directions))


def _slices(path: Path, *, pixels: bool = False) -> Slices:
    names = (
        [path]
        if path.is_file()
        else [path / e.name for e in files.entries(path) if e.kind == "file"]
    )
    found = [(header, name) for name in names if (header := _read(name, pixels=pixels)) is not None]
    if not found:
        raise DataError("holds no DICOM slices")
    _check_alike([header for header, _ in found])
    if len(found) == 1:
        return Slices([found[0][0]], _of_one(found[0][0]))
    missing = [name.name for header, name in found if _place(header) is None]
    if missing:
        raise DataError(
            f"{files.shown(missing[0])} does not say where it lies (ImagePositionPatient)"
        )
    return _ordered(found)


def _read(path: Path, *, pixels: bool) -> Any:
    """A header; None of a file that is no slice."""
    if not is_slice(path):
        return None
    pydicom: Any = need("pydicom")
    try:
        header = pydicom.dcmread(path, stop_before_pixels=not pixels)
    except Exception as error:
        raise DataError(
            f"{files.shown(path.name)} is no sound DICOM file ({short(error)})"
        ) from error
    return header if "Rows" in header and "Columns" in header else None


def _check_alike(headers: list[Any]) -> None:
    """Refuse a folder with slices of several series, or of several sizes."""
    series = {str(header.get("SeriesInstanceUID", "")) for header in headers}
    if len(series) > 1:
        raise DataError(f"holds slices of {len(series)} series: put each into a folder of its own")
    for what in (
        ("Rows", "Columns"),
        ("ImageOrientationPatient",),
        ("PixelSpacing",),
        ("PhotometricInterpretation",),
    ):
        seen = {tuple(str(header.get(key)) for key in what) for header in headers}
        if len(seen) > 1:
            one, other = sorted(seen)[:2]
            raise DataError(
                f"its slices differ in {' and '.join(what)}: {', '.join(one)} and {', '.join(other)}"
            )


def _place(header: Any) -> F64 | None:
    try:
        place = np.array([float(value) for value in header.ImagePositionPatient], np.float64)
        turned = np.array([float(value) for value in header.ImageOrientationPatient], np.float64)
    except (AttributeError, TypeError, ValueError):
        return None
    return place if place.shape == (3,) and turned.shape == (6,) else None


def _axes(header: Any) -> tuple[F64, F64, F64]:
    """Directions of slices, rows and columns, of length one."""
    turned = np.array([float(value) for value in header.ImageOrientationPatient], np.float64)
    along, down = turned[:3], turned[3:]
    return np.cross(along, down), down, along


def _ordered(found: list[tuple[Any, Path]]) -> Slices:
    """By their places along the direction in which they are stacked.

    Raises:
        DataError: two in one place, or a place without one.
    """
    across = _axes(found[0][0])[0]
    places = np.array([float(np.dot(across, _place(header))) for header, _ in found])  # pyright: ignore[reportArgumentType,reportCallIssue] - all have one
    order = np.argsort(places, kind="stable")
    steps = np.diff(places[order])
    step = float(np.median(steps))
    names = [files.shown(found[i][1].name) for i in order.tolist()]
    for k, gap in enumerate(steps.tolist()):
        between = f"{names[k]} and {names[k + 1]}"
        if gap <= _TOLERANCE * max(step, 1e-6):
            raise DataError(f"{between} lie in one place")
        if abs(gap - step) > _TOLERANCE * step:
            lost = round(gap / step) - 1
            what = f"{lost} missing" if lost > 0 else "not evenly spaced"
            raise DataError(
                f"slices lie {step:g} mm apart, but {between} {gap:g} mm: {what}; fetch the whole series"
            )
    headers = [found[i][0] for i in order.tolist()]
    return Slices(headers, _directions(headers[0], step))


def _directions(header: Any, step: float) -> F64 | None:
    """Steps along slices, rows and columns, a column each."""
    spacing = header.get("PixelSpacing")
    if spacing is None:
        return None
    across, down, along = _axes(header)
    row, column = (float(value) for value in spacing)
    return np.stack([across * step, down * row, along * column], 1) * _LPS[:, None]


def _of_one(header: Any) -> F64 | None:
    """Of a file with all frames, or of a single slice, where it says them."""
    if _place(header) is None or header.get("PixelSpacing") is None:
        return None
    step = header.get("SpacingBetweenSlices") or header.get("SliceThickness")
    return _directions(header, float(step)) if step else None


def _scale(header: Any) -> tuple[float, float]:
    return float(header.get("RescaleSlope", 1) or 1), float(header.get("RescaleIntercept", 0) or 0)


def _type(headers: list[Any]) -> np.dtype[Any]:
    """16 bits where all values after rescaling fit, else float32."""
    for header in headers:
        slope, intercept = _scale(header)
        bits, signed = int(header.get("BitsStored", 16)), bool(header.get("PixelRepresentation", 0))
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        ends = [slope * end + intercept for end in (low, high)]
        whole = slope.is_integer() and intercept.is_integer()
        if not whole or min(ends) < -32768 or max(ends) > 32767:
            return np.dtype(np.float32)
    return np.dtype(np.int16)


def _values(header: Any, dtype: np.dtype[Any]) -> Voxels:
    """The values of a slice [1, H, W, C], or of all frames of a file."""
    try:
        stored = np.asarray(header.pixel_array)
    except Exception as error:
        raise DataError(f"a slice cannot be decoded ({short(error)})") from error
    slope, intercept = _scale(header)
    frames = int(header.get("NumberOfFrames", 1) or 1)
    channels = int(header.get("SamplesPerPixel", 1) or 1)
    shape = (frames, int(header.Rows), int(header.Columns), channels)
    return (stored.reshape(shape).astype(np.float64) * slope + intercept).astype(dtype)
