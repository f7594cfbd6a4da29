"""Scores of segmentations. N items, K classes, H W pixels.

Counts of all pixels of a set make the scores: an IoU, a Dice of each class, their means over the classes that are
in truth or answers, and the share of pixels that are right. Only counts an item are kept, so that the interval can
come from items or groups left out, never from pixels, which are no independent observations.

Outlines: boundary F1 of Csurka et al. (2013), What is a good evaluation measure for semantic segmentation?, BMVC,
section 3: within a picture, over its classes; then the mean over pictures.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import ArgumentError, ShapeError
from striate.metrics.intervals import Floats, mean, mean_ratio, ratios, too_few
from striate.metrics.meter_rows import Rows
from striate.metrics.scores import Interval, mean_known, number

Ids = NDArray[np.integer] | NDArray[np.bool_]
Ints = NDArray[np.int64]
Groups = NDArray[np.integer] | None

TOLERANCE = 0.0075  # of the picture's diagonal, as in section 4 of Csurka et al.
LISTED = 5  # unknown ids that a message names


class SegmentMeter:
    """Adds answers up to scores: true and false positives and negatives of each class, a row an item.

    Args:
        classes: K names.
        ignore: the id of pixels in the truth that count nowhere.
        boundary: score outlines too; far slower than the rest (`boundary_counts`).
    """

    def __init__(
        self,
        classes: Sequence[str],
        ignore: int | None = None,
        *,
        boundary: bool = False,
    ) -> None:
        self.classes = tuple(classes)
        self.ignore = ignore
        self.boundary = boundary
        kinds: dict[str, tuple[tuple[int, ...], type]] = {"counts": ((len(classes), 3), np.int64)}
        if boundary:
            kinds["outlines"] = ((len(classes), 4), np.int64)
        self._rows = Rows(kinds)

    def __len__(self) -> int:
        return len(self._rows["counts"])

    def add(self, answer: Ids, target: Ids) -> None:
        """Add one item: class numbers [H, W] (or any other shape, the same for both).

        Raises:
            ShapeError: another size than the truth's.
            ArgumentError: a class number that does not exist.
        """
        k, ignore = len(self.classes), self.ignore
        rows: dict[str, NDArray[Any]] = {"counts": pixel_counts(answer, target, k, ignore=ignore)}
        if self.boundary:
            rows["outlines"] = boundary_counts(answer, target, k, ignore=ignore)
        self._rows.add({name: row[None] for name, row in rows.items()})

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Add the items that another meter's `state` has behind one's own.

        Raises:
            ShapeError: of a meter with other classes or boundary.
        """
        self._rows.add(state)

    def state(self) -> dict[str, NDArray[Any]]:
        """Plain arrays for other processes, a row an item.

        `counts` [N, K, 3] true positives, false positives, false negatives; with `boundary` also `outlines`
        [N, K, 4], as `boundary_counts` has them.
        """
        return self._rows.state()

    def values(self) -> dict[str, float]:
        """The scores without intervals; nan where nothing can be scored."""
        found = pixel_scores(self._rows["counts"].sum(0))
        if self.boundary:
            found["boundary_f1"] = mean_known(outline_scores(self._rows["outlines"])[0])
        return found

    def scores(self, groups: Groups = None) -> dict[str, Interval]:
        """The scores with 95 % intervals, from items left out, or from groups (a number an item) left out."""
        true, union, either, truth = _parts(self._rows["counts"])
        found = {
            "miou": mean_ratio(true, union, groups),
            "dice": mean_ratio(2 * true, either, groups),
            "pixel_accuracy": mean_ratio(true.sum(1)[:, None], truth.sum(1)[:, None], groups),
        }
        if self.boundary:
            items, _ = outline_scores(self._rows["outlines"])
            found["boundary_f1"] = mean(items, groups, scale="share")
        return found

    def notes(self, groups: Groups = None) -> list[str]:
        """What a reader of the scores must know: that there are too few items for intervals."""
        return too_few(len(self), groups)

    def per_class(self, groups: Groups = None) -> list[dict[str, Any]]:
        """A row a class: items that have it (support), its pixels, IoU with its interval, Dice, precision, recall.

        What has no pixels behind it is None.
        """
        counts = self._rows["counts"]
        true, union, _, truth = _parts(counts)
        outlines = outline_scores(self._rows["outlines"])[1] if self.boundary else None
        rows: list[dict[str, Any]] = []
        for k, iou in enumerate(ratios(true, union, groups)):
            tp, fp, fn = (int(n) for n in counts[:, k].sum(0))
            row = {
                "label": self.classes[k],
                "support": int((truth[:, k] > 0).sum()),
                "pixels": tp + fn,
                "iou": number(iou.value),
                "low": number(iou.low),
                "high": number(iou.high),
                "dice": _share(2 * tp, 2 * tp + fp + fn),
                "precision": _share(tp, tp + fp),
                "recall": _share(tp, tp + fn),
            }
            if outlines is not None:
                row["boundary_f1"] = number(mean_known(outlines[:, k]))
            rows.append(row)
        return rows


def pixel_counts(answer: Ids, target: Ids, classes: int, *, ignore: int | None = None) -> Ints:
    """True positives, false positives and false negatives of each class, [K, 3].

    Raises:
        ShapeError: another size than the truth's.
        ArgumentError: a class number that does not exist.
    """
    _check(answer, target, classes)
    joint = target.astype(np.intp).ravel()
    ignored = 0
    if ignore is not None:
        out = joint == ignore
        ignored = int(np.count_nonzero(out))
        joint[out] = classes
    if joint.size and (joint.min() < 0 or joint.max() > classes):
        raise _unknown("target", target, classes, ignore)
    joint *= classes
    joint += answer.ravel()
    table = np.bincount(joint, minlength=(classes + 1) * classes).reshape(classes + 1, classes)
    if table[classes].sum() != ignored:
        raise _unknown("target", target, classes, ignore)
    table = table[:classes]
    true = np.diagonal(table)
    counts = np.stack([true, table.sum(0) - true, table.sum(1) - true], 1).astype(np.int64)
    if ignore is not None and 0 <= ignore < classes:
        counts[ignore] = 0  # no truth can have this class, so it has no score of its own
    return counts


def pixel_scores(counts_K3: Ints) -> dict[str, float]:
    """Mean IoU and mean Dice over the classes in truth or answer, and the share of pixels that are right.

    >>> pixel_scores(np.array([[3, 1, 0], [0, 0, 1], [0, 0, 0]]))
    {'miou': 0.375, 'dice': 0.428..., 'pixel_accuracy': 0.75}
    """
    true, union, either, truth = (part[0] for part in _parts(counts_K3[None]))
    there = union > 0
    pixels = int(truth.sum())
    return {
        "miou": mean_known(true[there] / union[there]),
        "dice": mean_known(2 * true[there] / either[there]),
        "pixel_accuracy": float(true.sum() / pixels) if pixels else math.nan,
    }


def boundary_counts(
    answer: Ids,
    target: Ids,
    classes: int,
    *,
    tolerance: float | None = None,
    ignore: int | None = None,
) -> Ints:
    """Pixels on the outlines of each class, of volumes voxels on its surface: [K, 4] answered ones near a true one, answered, true near answered, true.

    An outline is the pixels of a class that touch another class above, below, left or right; the picture's rim has
    none. Near is nearer than the tolerance, which is 0.75 % of the diagonal if not given. Ignored pixels count as the
    class next to them as far as the tolerance reaches, since many sets ignore a seam along every outline; further
    inside of ignored areas there are no outlines.

    Raises:
        ShapeError: no [H, W] or [D, H, W], or another size than the truth's.
        ArgumentError: a class number that does not exist, or a tolerance below 0.
    """
    _check(answer, target, classes)
    if answer.ndim not in (2, 3):
        raise ShapeError(
            f"boundary F1: got {list(answer.shape)}, expected [height, width], or [depth, height, width]"
        )
    if tolerance is None:
        tolerance = TOLERANCE * math.hypot(*answer.shape)
    if not tolerance >= 0:
        raise ArgumentError(f"tolerance={tolerance}: expected pixels, 0 or more")
    target, known = _filled(target, ignore, tolerance)
    counts = np.zeros((classes, 4), np.int64)
    edges = [_changes(ids, known) for ids in (answer, target)]
    for k in np.union1d(answer[edges[0]], target[edges[1]]).astype(int):
        ours, true = (edge & (ids == k) for edge, ids in zip(edges, (answer, target), strict=True))
        counts[k] = [*_near(ours, true, tolerance), *_near(true, ours, tolerance)]
    return counts


def _filled(target: Ids, ignore: int | None, tolerance: float) -> tuple[Ids, NDArray[np.bool_]]:
    """Class numbers with ignored pixels as the known one nearest to them, and where these are within the tolerance."""
    known = np.ones(target.shape, np.bool_) if ignore is None else target != ignore
    if known.all() or not known.any():
        return target, known
    from scipy import ndimage

    found: Any = ndimage.distance_transform_edt(~known, return_indices=True)
    far, place = found
    return target[tuple(place)], far <= max(tolerance, 1.0)


def outline_scores(counts_NK4: Ints) -> tuple[Floats, Floats]:
    """Boundary F1 of every picture [N], and of every class in it [N, K]; nan where there is no outline.

    2 P R / (P + R) of the shares P of answered and R of true outline pixels that are near the other outline.
    """
    near, given, met, true = np.moveaxis(counts_NK4.astype(np.float64), -1, 0)
    precision, recall = near / given.clip(1), met / true.clip(1)
    f1 = 2 * precision * recall / np.where(precision + recall > 0, precision + recall, 1)
    there = given + true > 0
    classwise = np.where(there, f1, np.nan)
    count = there.sum(1)
    return np.where(count > 0, np.where(there, f1, 0).sum(1) / count.clip(1), np.nan), classwise


def _parts(counts_NK3: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    true, extra, missed = np.moveaxis(counts_NK3, -1, 0)
    return true, true + extra + missed, 2 * true + extra + missed, true + missed


def _check(answer: Ids, target: Ids, classes: int) -> None:
    if answer.shape != target.shape:
        raise ShapeError(
            f"the answer is {list(answer.shape)}, the truth {list(target.shape)}; bring the answer back to the "
            "truth's own size first"
        )
    for name, ids in (("answer", answer), ("target", target)):
        if ids.dtype.kind not in "iub":
            raise ArgumentError(f"{name}: got {ids.dtype}, expected whole class numbers")
    if answer.size and not (int(answer.min()) >= 0 and int(answer.max()) < classes):
        raise _unknown("answer", answer, classes, None)


def _unknown(name: str, ids: Ids, classes: int, ignore: int | None) -> ArgumentError:
    found = [int(i) for i in np.unique(ids) if not 0 <= i < classes and i != ignore]
    listed = ", ".join(map(str, found[:LISTED])) + (", ..." if len(found) > LISTED else "")
    ignored = "" if ignore is None else f" and {ignore} for ignored pixels"
    return ArgumentError(f"{name}: got class {listed}; expected 0 to {classes - 1}{ignored}")


def _changes(ids: Ids, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    found = np.zeros(ids.shape, np.bool_)
    for axis in range(ids.ndim):
        every = (slice(None),) * axis
        before, after = (*every, slice(None, -1)), (*every, slice(1, None))
        change = (ids[before] != ids[after]) & known[before] & known[after]
        found[before] |= change
        found[after] |= change
    return found


def _near(these: NDArray[np.bool_], others: NDArray[np.bool_], tolerance: float) -> tuple[int, int]:
    """How many of these pixels are nearer than the tolerance to one of the others, of how many."""
    from scipy import ndimage

    count = int(np.count_nonzero(these))
    if not count or not others.any():
        return 0, count
    (part,) = ndimage.find_objects((these | others).astype(np.int8))  # distances need no more
    distance: Floats = np.asarray(ndimage.distance_transform_edt(~others[part]))
    return int(np.count_nonzero(distance[these[part]] < max(tolerance, 1e-9))), count


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
