"""Scores of single objects that are told apart. N items, n and m objects of an answer and of the truth, H W pixels.

Average precision as of detections, with the IoU of the objects' pixels in place of that of boxes, and no limit on how
many objects a picture has. Rand is the foreground-restricted Rand score of Arganda-Carreras et al. (2015), Crowdsourcing
the creation of image segmentation algorithms for connectomics, equations 3 to 5; its neighbour, the adapted Rand error,
is 1 less that score. The count error is how many objects more or fewer a picture is said to have, the mean over pictures.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import ShapeError
from striate.metrics.detect import DetectMeter, Matched
from striate.metrics.intervals import Floats, mean, too_few
from striate.metrics.meter_rows import Rows
from striate.metrics.scores import Interval, mean_known

Ids = NDArray[np.integer]
Groups = NDArray[np.integer] | None

CLASSES = ("object",)
KINDS: dict[str, tuple[tuple[int, ...], type]] = {
    "pairs": ((3,), np.float64),  # of `rand_sums`
    "counts": ((2,), np.int64),  # objects of the answer, and of the truth
}
NAMES = {"map": "ap", "map50": "ap50"}


class InstanceMeter:
    """Adds objects up to average precision, Rand and the count error.

    Args:
        confidence: from which on an object counts for Rand and the count error; average precision reads all.
    """

    def __init__(self, confidence: float = 0.0) -> None:
        self._found = DetectMeter(CLASSES, confidence=confidence)
        self._rows = Rows(KINDS)

    def __len__(self) -> int:
        return len(self._rows["counts"])

    def add(self, answer: Ids, confidences: Floats, truth: Ids) -> None:
        """Add one picture.

        Args:
            answer: ids [H, W], 0 for none, 1 to n for the objects.
            confidences: of the objects, [n].
            truth: ids [H, W], 0 for none, below 0 for pixels that count nowhere.

        Raises:
            ShapeError: two sizes, or not a confidence an object.
        """
        ours, true = _counted(answer, truth)
        if len(confidences) < int(answer.max(initial=0)):
            raise ShapeError(
                f"got {len(confidences)} confidences for {int(answer.max())} objects, expected one each"
            )
        iou, there = overlaps(ours, true)
        self._found.add_matched(Matched.by_overlaps(iou, confidences[there - 1]))
        sure = np.concatenate([[False], confidences >= self._found.confidence])
        pairs = rand_sums(np.where(sure[ours], ours, 0), true)
        counts = (sure[there].sum(), iou.shape[1])
        self._rows.add({"pairs": pairs[None], "counts": np.array([counts])})

    def state(self) -> dict[str, NDArray[Any]]:
        """Plain arrays for other processes."""
        return {**self._found.state(), **self._rows.state()}

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Add the items that another meter's `state` has behind one's own."""
        self._found.merge(state)
        self._rows.add(state)

    def values(self) -> dict[str, float]:
        """The scores without intervals; nan where nothing can be scored."""
        found = {NAMES[name]: value for name, value in self._found.values().items()}
        rand = mean_known(rand_scores(self._rows["pairs"]))
        return {**found, "rand": rand, "count_mae": mean_known(self._off())}

    def scores(self, groups: Groups = None) -> dict[str, Interval]:
        """The scores with 95 % intervals, from pictures left out, or from groups (a number a picture) left out."""
        found = {NAMES[name]: value for name, value in self._found.scores(groups).items()}
        rand = mean(rand_scores(self._rows["pairs"]), groups, scale="share")
        return {**found, "rand": rand, "count_mae": mean(self._off(), groups, scale="positive")}

    def notes(self, groups: Groups = None) -> list[str]:
        """What a reader of the scores must know: that there are too few items for intervals, and which objects count."""
        said = [self._found.confidence_words("objects")] if self._found.confidence else []
        return [*too_few(len(self), groups), *said]

    def best_confidence(self, usual: float) -> float:
        """The confidence from which on objects have the largest F1 at IoU 0.5; the usual one where too few are found."""
        return self._found.best_confidence(usual)

    def _off(self) -> Floats:
        ours, true = self._rows["counts"].T
        return np.abs(ours - true).astype(np.float64)


def item_scores(answer: Ids, truth: Ids) -> dict[str, float]:
    """Of one picture: F1 at IoU 0.5, Rand, how many objects too many (below 0: too few), and how many there are.

    nan where nothing can be scored.
    """
    ours, true = _counted(answer, truth)
    iou, _ = overlaps(ours, true)
    n, m = iou.shape
    # Only at an IoU of exactly a half can one object have two partners: each counts once.
    hits = min(int((iou >= 0.5).any(axis).sum()) for axis in (0, 1)) if n and m else 0
    rand = float(rand_scores(rand_sums(ours, true)[None])[0])
    share = 2 * hits / (n + m) if n + m else float("nan")
    return {"f1": share, "rand": rand, "count_error": float(n - m), "objects": float(m)}


def rand_sums(answer_ids: Ids, truth_ids: Ids) -> Floats:
    """The three sums of squares of the Rand score [3]: of both, of the answer's objects, of the true ones, in shares.

    Of two pixels of true objects drawn at random, the score weighs how often being in one object in the answer and in the
    truth agree: with p_ij the share of pixels in object i of the answer and j of the truth, s_i and t_j its sums,
    sum p_ij^2 / (sum s_i^2 / 2 + sum t_j^2 / 2). A pixel that the answer gives to no object is an object of its own.

    Args:
        answer_ids: [H, W], 0 for none.
        truth_ids: likewise.
    """
    inside = truth_ids > 0
    pixels = int(np.count_nonzero(inside))
    if not pixels:
        return np.zeros(3)
    ours, true = (ids[inside].astype(np.int64) for ids in (answer_ids, truth_ids))
    single = ours == 0
    ours[single] = int(ours.max()) + 1 + np.arange(int(single.sum()))
    both = np.unique(true * (int(ours.max()) + 1) + ours, return_counts=True)[1]
    sizes = (both, np.bincount(ours), np.bincount(true))
    return np.array([float((n.astype(np.float64) ** 2).sum()) for n in sizes]) / pixels**2


def rand_scores(sums_N3: Floats) -> Floats:
    """Rand score of every picture [N]; nan where the truth has no foreground."""
    both, half = sums_N3[:, 0], sums_N3[:, 1:].sum(1) / 2
    return np.where(half > 0, both / np.where(half > 0, half, 1), np.nan)


def overlaps(answer: Ids, truth: Ids) -> tuple[Floats, NDArray[np.int64]]:
    """IoU of every object with every true one [n, m], and the ids of the n that have a pixel left."""
    ours, true = (np.unique(ids[ids > 0]) for ids in (answer, truth))
    if not len(ours) or not len(true):
        return np.zeros((len(ours), len(true))), ours.astype(np.int64)
    a = np.searchsorted(ours, answer) + 1
    t = np.searchsorted(true, truth) + 1
    a, t = np.where(answer > 0, a, 0), np.where(truth > 0, t, 0)
    wide = len(true) + 1
    joint = np.bincount((a * wide + t).ravel(), minlength=(len(ours) + 1) * wide)
    joint = joint.reshape(-1, wide).astype(np.float64)
    both = joint[1:, 1:]
    union = joint[1:].sum(1)[:, None] + joint[:, 1:].sum(0) - both
    return both / union, ours.astype(np.int64)


def _counted(answer: Ids, truth: Ids) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if answer.shape != truth.shape:
        raise ShapeError(f"the answer is {list(answer.shape)}, the truth {list(truth.shape)}")
    counts = truth >= 0
    ours, true = (np.where(counts, ids, 0).astype(np.int64) for ids in (answer, truth))
    return ours, true
