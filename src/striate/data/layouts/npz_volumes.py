"""Volumes in NumPy's .npz files: x [N, D, H, W], [N, D, H, W, C] or [N, C, D, H, W], and y.

y is a label an item [N], which may have names in `classes`, a number or several of type float, [N] or [N, V], or the
class of every voxel [N, D, H, W].
Values are taken as they are, in all splits alike: uint8, int16, and everything else as float32.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.data.index import Listing, Part, coded, numbered
from striate.data.masks import MOST
from striate.data.modes import Levels
from striate.data.targets import IGNORE, Labels, Masks, Targets, Values
from striate.data.volumes.grid import words
from striate.data.volumes.masks import GridMasks
from striate.data.volumes.sources import Grids
from striate.data.volumes.volume import MAX_CHANNELS, check_type
from striate.errors import DataError

Array = npt.NDArray[Any]

_PICTURE = (1, 3, 4)  # channels of pictures: an axis of such a side makes four axes one of pictures
_FEW = 4  # channels of a volume that come first or last where there are five axes
_STEP = 2**24  # values that are looked at together


def are_volumes(shape: tuple[int, ...]) -> bool:
    """Whether arrays of a shape [N, ...] can be no pictures and are volumes.

    >>> are_volumes((9, 32, 32, 32)), are_volumes((9, 32, 32, 3)), are_volumes((9, 3, 32, 32)), are_volumes((9, 8, 8, 8, 2))
    (True, False, False, True)
    """
    if len(shape) == 5:
        return True
    return len(shape) == 4 and shape[-1] not in _PICTURE and shape[1] not in _PICTURE


def tasks(x: tuple[int, ...], y: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[str, ...]:
    """What volumes of such a shape with such targets are good for."""
    if _are_masks(x, y):
        return ("segment",)
    return ("regress",) if dtype.kind == "f" else ("classify",)


def listing(
    held: Mapping[str, tuple[Array, ...]],
    names: Mapping[str, str],
    classes: Sequence[str] | None,
    levels: Levels | None,
) -> Listing:
    """The volumes of each split.

    Args:
        held: x and y of each split.
        names: what each x is called in a message.
        classes: names of the classes, where there are some.
        levels: values beyond which are set to the nearer of them, where somebody said so.

    Raises:
        DataError: arrays of another shape or type than expected, or splits that differ.
    """
    first = next(iter(held))
    voxels = {split: _voxels(x, names[split]) for split, (x, _) in held.items()}
    for split, values in voxels.items():
        _check_alike(names[split], values, names[first], voxels[first])
    labels = {split: y for split, (_, y) in held.items()}
    (task,) = tasks(held[first][0].shape, labels[first].shape, labels[first].dtype)
    known, targets_of = _targets(task, labels, voxels, names, classes)
    parts: dict[str, Part] = {}
    for split, values in voxels.items():
        targets = targets_of[split]
        if len(targets) != len(values):
            raise DataError(f"{split} has {len(values)} volumes but {len(targets)} targets")
        strange = _no_numbers(values)
        stored = _stored(values, levels)
        parts[split] = Part(numbered(split, len(values)), targets, Grids(stored), strange)
    outputs = tuple(_outputs(parts[first].targets)) if task == "regress" else ()
    return Listing(
        "npz arrays",
        known,
        parts,
        note=_note(voxels[first], levels),
        task=task,
        outputs=outputs,
        levels=levels,
    )


def _are_masks(x: tuple[int, ...], y: tuple[int, ...]) -> bool:
    """Whether targets have a number for each voxel: axes of x, but for those of its channels."""
    return len(y) >= 4 and len(y) in (len(x), len(x) - 1)


def _targets(
    task: str,
    labels: Mapping[str, Array],
    voxels: Mapping[str, Array],
    names: Mapping[str, str],
    classes: Sequence[str] | None,
) -> tuple[tuple[str, ...], Mapping[str, Targets]]:
    """Names of the classes, and what belongs to the volumes of each split."""
    if task == "regress":
        return (), {split: _numbers(y, names[split]) for split, y in labels.items()}
    if task == "classify":
        known, codes = coded(labels, classes)
        return known, {split: Labels(numbers) for split, numbers in codes.items()}
    present = sorted({int(v) for y in labels.values() for v in np.unique(y)} - {IGNORE})
    if present[0] < 0 or len(present) > MOST:
        raise DataError(
            f"masks have values from {present[0]} to {present[-1]}, expected numbers of classes from 0"
        )
    numbers = list(range(len(classes))) if classes else present
    if unknown := sorted(set(present) - set(numbers)):
        raise DataError(
            f"masks have the value {unknown[0]}, expected 0 to {len(numbers) - 1} for {len(numbers)} classes"
        )
    table = np.full(max(256, numbers[-1] + 1), IGNORE, np.uint8)
    table[numbers] = np.arange(len(numbers))
    found: dict[str, Targets] = {}
    for split, y in labels.items():
        shape = voxels[split].shape
        if y.dtype.kind not in "buif" or y.size != len(y) * int(np.prod(shape[1:4])):
            raise DataError(
                f"the masks of {names[split]} are {y.dtype} {list(y.shape)}, expected {list(shape[:4])}"
            )
        found[split] = Masks(GridMasks(table[y.astype(np.int64)].reshape(len(y), *shape[1:4], 1)))
    return tuple(classes or map(str, present)), found


def _voxels(array: Array, name: str) -> Array:
    """An array as [N, D, H, W, C], no value changed.

    Raises:
        DataError: another shape or type.
    """
    try:
        check_type(array.dtype)
    except DataError as error:
        raise DataError(f"{name} {error}") from error
    shape = array.shape
    if not are_volumes(shape) or 0 in shape:
        raise DataError(
            f"{name} is {list(shape)}, expected volumes [N, D, H, W] or [N, D, H, W, C]"
        )
    if len(shape) == 4:
        return array[..., None]
    if shape[-1] <= _FEW or (shape[1] > _FEW and shape[-1] <= MAX_CHANNELS):
        return array
    if shape[1] <= _FEW:
        return np.moveaxis(array, 1, -1)
    raise DataError(
        f"{name} is {list(shape)}, expected [N, D, H, W, C] with up to {MAX_CHANNELS} channels, or [N, C, D, H, W]"
    )


def _check_alike(name: str, values: Array, first: str, known: Array) -> None:
    """Refuse a split of another size or type than what is trained on."""
    if values.shape[1:] != known.shape[1:]:
        raise DataError(
            f"{name} has volumes {list(values.shape[1:])}, {first} {list(known.shape[1:])}: bring them to one grid"
        )
    if values.dtype != known.dtype:
        raise DataError(f"{name} is {values.dtype}, {first} {known.dtype}: save both alike")


def _no_numbers(values: Array) -> dict[int, str]:
    """The items with values that are no numbers."""
    if values.dtype.kind != "f":
        return {}
    found: dict[int, str] = {}
    each = values[0].size
    step = max(1, _STEP // max(1, each))
    for at in range(0, len(values), step):
        strange = each - np.isfinite(values[at : at + step]).reshape(-1, each).sum(1)
        for k in np.flatnonzero(strange).tolist():
            found[at + k] = (
                f"{int(strange[k]):,} of {each:,} values are no numbers (NaN or infinite)"
            )
    return found


def _stored(values: Array, levels: Levels | None) -> Array:
    """As uint8, int16 or float32."""
    kind = (
        np.uint8
        if values.dtype.char in "?B"
        else np.int16
        if values.dtype.char in "bh"
        else np.float32
    )
    limited = values if levels is None else values.clip(*levels)
    return np.ascontiguousarray(limited, kind)


def _numbers(y: Array, name: str) -> Targets:
    if y.ndim not in (1, 2) or not np.isfinite(y).all():
        raise DataError(
            f"the targets of {name} are {y.dtype} {list(y.shape)}, expected finite numbers [N] or [N, V]"
        )
    return Values(y.reshape(len(y), -1).astype(np.float64))


def _outputs(targets: Targets) -> list[str]:
    count = targets.columns()["numbers"].shape[1]
    return ["y"] if count == 1 else [f"y{k}" for k in range(count)]


def _note(values: Array, levels: Levels | None) -> str:
    """What the values are, and what became of them."""
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low, high = (float(known.min()), float(known.max())) if known.size else (np.nan, np.nan)
    size = words(values.shape[1:4])
    said = f"volumes of {size} voxels, {values.dtype} from {low:g} to {high:g}, taken as they are in all alike"
    return (
        said
        if levels is None
        else f"{said} but for those beyond {levels[0]:g} to {levels[1]:g}, which are set to these"
    )
