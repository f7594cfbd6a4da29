"""One volume in memory, and what its header says. D H W voxels, C channels, spacing in millimetres.

Axes that are known lie one way in all volumes: depth from feet to head, height from back to front, width from left to
right of the patient (RAS+ of NIfTI, read from its last axis to its first).
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.errors import DataError

Voxels = npt.NDArray[Any]
Sides = tuple[int, int, int]
Spacing = tuple[float, float, float]

MAX_VOXELS = 2**28  # of one volume with its channels; 1 GiB as float32
MAX_CHANNELS = 16  # more are moments in time, or other things than channels


@dataclass(frozen=True)
class Head:
    """What is known of a volume before its voxels are read.

    Attributes:
        sides: depth, height and width in voxels.
        channels: values of a voxel.
        dtype: of the values, as the file's own scale leaves them.
        spacing: of the voxels along depth, height and width; None where the file does not say it.
        turned: how the stored axes lie, where the file says it, such as "LPS"; "" where it does not.
    """

    sides: Sides
    channels: int
    dtype: np.dtype[Any]
    spacing: Spacing | None = None
    turned: str = ""


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels [D, H, W, C] with the spacing of their centres, None where it is not known."""

    voxels: Voxels
    spacing: Spacing | None = None
    turned: str = ""

    @property
    def head(self) -> Head:
        """The same without the voxels."""
        depth, high, wide, channels = self.voxels.shape
        return Head((depth, high, wide), channels, self.voxels.dtype, self.spacing, self.turned)


def shaped(shape: tuple[int, ...]) -> tuple[Sides, int]:
    """Sides and channels of an array [D, H, W] or [D, H, W, C].

    Raises:
        DataError: another one; with the reason alone.
    """
    if len(shape) not in (3, 4) or 0 in shape:
        what = "one picture or table" if len(shape) == 2 else "no volume"
        raise DataError(f"{list(shape)} is {what}, expected [D, H, W] or [D, H, W, C]")
    channels = shape[3] if len(shape) == 4 else 1
    if channels > MAX_CHANNELS:
        raise DataError(
            f"{list(shape)} has {channels} values a voxel, expected [D, H, W] or [D, H, W, C] with up to {MAX_CHANNELS}"
        )
    if math.prod(shape) > MAX_VOXELS:
        raise DataError(
            f"{list(shape)} states {math.prod(shape):,} voxels; the limit is {MAX_VOXELS:,}"
        )
    return (shape[0], shape[1], shape[2]), channels


def short(error: BaseException) -> str:
    """What a library says of a file it cannot read, on one line of at most 120 characters."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def check_type(dtype: np.dtype[Any]) -> None:
    """Refuse values that are no plain numbers.

    Raises:
        DataError: with the reason alone.
    """
    if dtype.hasobject:
        raise DataError(
            "holds Python objects, which are never unpickled; save it again as plain numbers"
        )
    if dtype.kind not in "buif":
        raise DataError(f"holds values of type {dtype}, expected whole numbers or floats")


def checked(volume: Volume) -> Volume:
    """The same with channels, whose values are all numbers.

    Raises:
        DataError: of another shape or type, or with values that are no numbers; with the reason alone.
    """
    check_type(volume.voxels.dtype)
    sides, channels = shaped(volume.voxels.shape)
    voxels = volume.voxels.reshape(*sides, channels)
    if voxels.dtype.kind == "f":
        strange = voxels.size - int(np.isfinite(voxels).sum())
        if strange:
            raise DataError(
                f"{strange:,} of {voxels.size:,} values are no numbers (NaN or infinite)"
            )
    return replace(volume, voxels=voxels)


def oriented(voxels: Voxels, directions: npt.NDArray[np.float64]) -> tuple[Voxels, Spacing, str]:
    """Voxels [a, b, c, C] turned so that their axes lie as this room has them; no value is computed anew.

    Args:
        voxels: as they are stored.
        directions: a column for each stored axis [3, 3]: the step to the next voxel in millimetres towards the
            right, the front and the head of the patient.

    Returns:
        The voxels, their spacing, and how the stored axes lay: "SPL" are steps to the head, the back and the left.

    Raises:
        DataError: two axes that lie alike; with the reason alone.
    """
    order, forward = closest(directions)
    lengths = np.linalg.norm(directions, axis=0)
    turned = voxels.transpose(*order, 3)
    for axis, stored in enumerate(order):
        if not forward[stored]:
            turned = np.flip(turned, axis)
    depth, high, wide = (float(lengths[stored]) for stored in order)
    return np.ascontiguousarray(turned), (depth, high, wide), _words(order, forward)


def closest(directions: npt.NDArray[np.float64]) -> tuple[list[int], list[bool]]:
    """The stored axis that lies closest to each of ours, and whether each stored axis runs our way."""
    lengths = np.linalg.norm(directions, axis=0)
    if not (np.isfinite(directions).all() and (lengths > 0).all()):
        raise DataError("its header says no direction of an axis")
    cosines = directions / lengths
    left = np.abs(cosines)
    world = [0, 0, 0]
    for _ in range(3):
        row, column = np.unravel_index(int(left.argmax()), (3, 3))
        if left[row, column] <= 0:
            raise DataError("its header says one direction for two axes")
        world[column] = int(row)
        left[row], left[:, column] = -1, -1
    order = [world.index(row) for row in (2, 1, 0)]
    return order, [bool(cosines[world[axis], axis] > 0) for axis in range(3)]


def _words(order: list[int], forward: list[bool]) -> str:
    """Letters for the stored axes: towards right or left, front (anterior) or back, head (superior) or feet."""
    letters = {2: "RL", 1: "AP", 0: "SI"}
    ours = {stored: letters[place] for place, stored in enumerate(order)}
    return "".join(ours[axis][0 if forward[axis] else 1] for axis in range(3))


def spacing_words(spacing: Spacing | None) -> str:
    """Spacing in words.

    >>> spacing_words((2.5, 0.7, 0.7))
    '2.5 x 0.7 x 0.7 mm'
    """
    return (
        "not stated" if spacing is None else " x ".join(f"{step:.4g}" for step in spacing) + " mm"
    )
