"""How the volumes of a set come to one grid. D H W voxels, C channels, spacing in millimetres.

Volumes of one size and one spacing stay as they are. Where all say their spacing and it differs, they are resampled to
the median one, so that a voxel is as large in all of them, then padded or cut about their middle to one size. Where
spacing is not stated and sizes differ, each side is stretched to the median one. Of very large grids every side is made
smaller by one factor. What is done is said.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from striate.data.volumes.volume import Head, Sides, Spacing, Volume, Voxels, spacing_words
from striate.errors import DataError

OURS = "SAR"  # how axes lie where nothing is turned
LIKE = 0.01  # share by which spacing may differ and count as the same
REACH = 1.5  # times the median side, to which volumes are padded at most; what is beyond is cut off
MOST = 64**3  # voxels of the grid that a set gets where none was asked for


class Grid(NamedTuple):
    """How volumes are stored.

    Attributes:
        size: depth, height and width in voxels; None: each in its own.
        spacing: of the voxels; None where sides are stretched whatever they measure.
        levels: values beyond these are set to the nearer one; None leaves all.
    """

    size: Sides | None
    spacing: Spacing | None = None
    levels: tuple[float, float] | None = None

    @property
    def words(self) -> str:
        """All that decides what becomes of a volume."""
        return f"{self.size} {self.spacing} {self.levels}"


@dataclass(frozen=True)
class Plan:
    """What the volumes of a set have in common.

    Attributes:
        grid: to which they are brought where nothing else is asked for.
        channels: of each.
        dtype: in which they are stored.
        notes: lines about what becomes of them.
        broken: numbers of those that do not belong to the others, and why.
        whole: the size of the grid before it is made smaller for being very large.
    """

    grid: Grid
    channels: int
    dtype: np.dtype[Any]
    notes: tuple[str, ...] = ()
    broken: dict[int, str] = field(default_factory=dict[int, str])
    whole: Sides = (1, 1, 1)


def planned(
    heads: Sequence[Head | None],
    *,
    size: Sides | None = None,
    levels: tuple[float, float] | None = None,
    stretch: bool = False,
) -> Plan:
    """The grid of a set.

    Args:
        heads: of its volumes; None of those that cannot be read.
        size: depth, height and width that somebody asked for.
        levels: as in `Grid`.
        stretch: each side of each volume by itself, so that answers go back to every voxel of it, whatever they measure.

    Raises:
        DataError: some volumes say their spacing, others do not, and their sizes differ.
    """
    known = [(i, head) for i, head in enumerate(heads) if head is not None]
    if not known:
        return Plan(Grid(size or (1, 1, 1), None, levels), 1, np.dtype(np.float32))
    channels = Counter(head.channels for _, head in known).most_common(1)[0][0]
    broken = {
        i: f"{head.channels} values a voxel, the others have {channels}"
        for i, head in known
        if head.channels != channels
    }
    own = [head for i, head in known if i not in broken]
    native = own[0].sides if len({head.sides for head in own}) == 1 else None
    spacing = None if stretch or size else _spacing(own, native)
    grid = _sized(own, native, spacing, size)._replace(levels=levels)
    asis = native == grid.size and (grid.spacing is None or _one_spacing(own))
    dtype = _type([head.dtype for head in own], resampled=not asis)
    notes = _notes(own, grid, native, asis=asis)
    whole = (
        grid.size if spacing is not None else native or _whole(np.median([h.sides for h in own], 0))
    )
    return Plan(grid, channels, dtype, notes, broken, whole or (1, 1, 1))


def _spacing(heads: Sequence[Head], native: Sides | None) -> Spacing | None:
    """The median spacing; None where no volume says one, or not all do and they are of one size.

    Raises:
        DataError: not all say one, and sizes differ.
    """
    said = [head.spacing for head in heads if head.spacing is not None]
    if len(said) == len(heads):
        depth, high, wide = (float(f"{np.median(axis):.4g}") for axis in zip(*said, strict=True))
        return depth, high, wide
    if said and native is None:
        raise DataError(
            f"{len(said):,} of {len(heads):,} volumes say how far apart their voxels are, the others do not, and their "
            "sizes differ: they cannot be brought to one grid; save all in one form, or set the size of all with "
            "layout=volume_folders:grid=DxHxW"
        )
    return None


def _one_spacing(heads: Sequence[Head]) -> bool:
    return alike([head.spacing for head in heads if head.spacing is not None])


def alike(spacings: Sequence[Spacing]) -> bool:
    """Whether all are the same but for rounding."""
    if not spacings:
        return True
    low, high = np.min(spacings, 0), np.max(spacings, 0)
    return bool((high - low <= LIKE * high).all())


def _sized(
    heads: Sequence[Head], native: Sides | None, spacing: Spacing | None, size: Sides | None
) -> Grid:
    """The grid that was asked for, or that of the volumes, made smaller where it is very large."""
    if size is not None:
        return Grid(size)
    if native is not None and (spacing is None or _one_spacing(heads)):
        sides = native
    elif spacing is None:
        sides = _whole(np.median([head.sides for head in heads], 0))
    else:
        own = [np.multiply(head.sides, head.spacing or spacing) / spacing for head in heads]
        sides = _whole(np.minimum(np.max(own, 0), REACH * np.median(own, 0)))
        if math.prod(sides) <= MOST:
            return Grid(sides, spacing)
    factor = (math.prod(sides) / MOST) ** (1 / 3)
    if factor <= 1:
        return Grid(sides, None)
    smaller = _whole(np.array(sides) / factor)
    if spacing is None or native is not None:
        return Grid(smaller, None)
    depth, high, wide = (s * n / k for s, n, k in zip(spacing, sides, smaller, strict=True))
    return Grid(smaller, (depth, high, wide))


def _whole(sides: npt.NDArray[Any]) -> Sides:
    depth, high, wide = (max(1, round(float(side))) for side in sides)
    return depth, high, wide


def _type(dtypes: Sequence[np.dtype[Any]], *, resampled: bool) -> np.dtype[Any]:
    """The smallest of uint8, int16 and float32 that holds the values of all."""
    if resampled:
        return np.dtype(np.float32)
    for kind, held in ((np.uint8, "?B"), (np.int16, "?Bbh")):
        if all(dtype.char in held for dtype in dtypes):
            return np.dtype(kind)
    return np.dtype(np.float32)


def _notes(
    heads: Sequence[Head], grid: Grid, native: Sides | None, *, asis: bool
) -> tuple[str, ...]:
    """What becomes of the volumes, and how their axes lie."""
    size = words(grid.size)
    if asis:
        notes = (
            [] if heads[0].spacing is None else [f"voxels are {spacing_words(heads[0].spacing)}"]
        )
    elif grid.spacing is not None:
        own = [head.spacing for head in heads if head.spacing is not None]
        low, high = (
            spacing_words(_of(np.array(edge))) for edge in (np.min(own, 0), np.max(own, 0))
        )
        notes = [
            f"voxels measure {low} to {high}: all volumes are resampled to {spacing_words(grid.spacing)}, and padded or "
            f"cut about their middle to {size} voxels"
            if low != high
            else f"sizes differ: all volumes are padded or cut about their middle to {size} voxels of "
            f"{spacing_words(grid.spacing)}"
        ]
    else:
        was = words(native) if native else "different sizes"
        said = [head.spacing for head in heads if head.spacing is not None]
        if not alike(said):
            low, high = (
                spacing_words(_of(np.array(edge))) for edge in (np.min(said, 0), np.max(said, 0))
            )
            was += f", whose voxels measure {low} to {high},"
        notes = [
            f"volumes of {was} are resampled to {size} voxels; a training takes another size with grid=DxHxW"
        ]
    turned = Counter(head.turned for head in heads if head.turned)
    if turned:
        lay = ", ".join(f"{axes} in {count:,}" for axes, count in turned.most_common(4))
        ways = "depth runs to the head, height to the front, width to the right"
        notes.append(
            f"{ways} as stored"
            if set(turned) == {OURS}
            else f"axes lie {lay}; all are turned so that {ways}"
        )
    return tuple(notes)


def _of(values: npt.NDArray[Any]) -> Spacing:
    depth, high, wide = (float(value) for value in values)
    return depth, high, wide


def words(size: Sides | None) -> str:
    """A size in words: "32 x 48 x 48"."""
    return " x ".join(map(str, size)) if size else "sizes of their own"


def fitted(volume: Volume, grid: Grid, dtype: np.dtype[Any], *, nearest: bool = False) -> Voxels:
    """The voxels [D, H, W, C] of a volume on a grid.

    Args:
        volume: checked.
        grid: wanted.
        dtype: of the result; floats are rounded to whole numbers where it is of those.
        nearest: for class numbers: the nearest voxel, nothing in between.

    Raises:
        DataError: the grid has a spacing and the volume says none.
    """
    voxels = volume.voxels
    if grid.size is not None and grid.spacing is not None:
        if volume.spacing is None:
            raise DataError(
                f"does not say how far apart its voxels are, those of the others are {spacing_words(grid.spacing)}"
            )
        if not alike([volume.spacing, grid.spacing]):
            sides = _whole(np.multiply(voxels.shape[:3], volume.spacing) / grid.spacing)
            voxels = resampled(voxels, sides, nearest=nearest)
        voxels = _about_middle(voxels, grid.size)
    elif grid.size is not None and voxels.shape[:3] != grid.size:
        voxels = resampled(voxels, grid.size, nearest=nearest)
    if grid.levels is not None and not nearest:
        voxels = voxels.clip(*grid.levels)
    if dtype.kind in "ui" and voxels.dtype.kind == "f":
        info = np.iinfo(dtype)
        voxels = np.rint(voxels).clip(info.min, info.max)
    return np.ascontiguousarray(voxels.astype(dtype, copy=False))


def resampled(voxels: Voxels, sides: Sides, *, nearest: bool = False) -> Voxels:
    """Voxels [D, H, W, C] at another number of them along each side, linear between centres, smoothed before they shrink."""
    from scipy import ndimage

    zoom = [new / old for new, old in zip(sides, voxels.shape[:3], strict=True)]
    if nearest:
        return np.asarray(ndimage.zoom(voxels, [*zoom, 1], order=0, mode="nearest", grid_mode=True))
    values = voxels.astype(np.float32)
    sigma = [
        max(0.0, (1 / factor - 1) / 2) for factor in zoom
    ]  # as much as the new voxel is larger
    if any(sigma):
        values = ndimage.gaussian_filter(values, [*sigma, 0], mode="nearest")
    return np.asarray(ndimage.zoom(values, [*zoom, 1], order=1, mode="nearest", grid_mode=True))


def _about_middle(voxels: Voxels, size: Sides) -> Voxels:
    """The middle of a volume cut out, and its least value around it where it is smaller."""
    for axis, side in enumerate(size):
        have = voxels.shape[axis]
        if have > side:
            start = (have - side) // 2
            voxels = voxels[(slice(None),) * axis + (slice(start, start + side),)]
    room = [
        ((n - k) // 2, n - k - (n - k) // 2) for n, k in zip(size, voxels.shape[:3], strict=True)
    ]
    if not any(map(any, room)):
        return voxels
    return np.pad(voxels, [*room, (0, 0)], constant_values=voxels.min())


def read_size(text: str) -> Sides:
    """A size as people write it.

    >>> read_size("32x48x48"), read_size("32")
    ((32, 48, 48), (32, 32, 32))

    Raises:
        ValueError: it is none.
    """
    sides = [int(side) for side in text.lower().split("x")]
    sides = sides * 3 if len(sides) == 1 else sides
    if len(sides) != 3 or min(sides) < 1:
        raise ValueError(f"got {text!r}, expected depth, height and width such as 32x48x48")
    return sides[0], sides[1], sides[2]
