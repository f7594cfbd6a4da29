"""Answers that need no net, for targets that are not one label: masks, boxes, numbers, windows of series.

Each is fitted on what the run was trained on and given in the form of the net's own answers, so that the task scores
both alike. N items, H W positions, K classes, V numbers.

Otsu 1979, A threshold selection method from gray-level histograms (masks); the mean box and the last value need no
source.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from striate.auditing.check import Case
from striate.data import Form, Split
from striate.data.series.windows import Window
from striate.data.targets import IGNORE, Boxes
from striate.text import listed

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Answer = Callable[
    [int, Any], Any
]  # from an item's number in its split, and the net's answer, in whose form it is


@runtime_checkable
class Forecasts(Protocol):
    """Simple forecasts that a task was fitted with, where it keeps some."""

    @property
    def names(self) -> dict[str, str]:
        """What each is called, by its key."""
        ...

    def forecasts(self, windows: Sequence[Window]) -> F64:
        """What they say of windows [n, as many as names, steps, series]."""
        ...


FITTED = 500  # items that a threshold is found on
LEVELS = 256
OFTEN = 0.5  # share of pictures from which a class of boxes is expected in each
ALPHA = 64.0  # ridge of the linear answer, as many as thumbnails have pixels
GREY = Form(None, "grey")


def simple_answers(case: Case, judged: I64) -> Iterator[tuple[str, str, Answer]]:
    """The simple answers that there are for the targets of a case: a name, words, and the answer to an item.

    Args:
        case: with items to train on.
        judged: numbers of the items that will be asked for, among the sound ones.
    """
    kind = case.data.kind
    train = case.data.splits["train"]
    numbers = _some(case)
    if kind == "mask" and case.data.pictures:
        yield from _masks(case, train, numbers)
    elif kind == "boxes":
        yield from _boxes(train, numbers, len(case.data.classes))
    elif kind == "values":
        yield from _values(case, judged)
    elif kind == "labels":
        yield from _several(case, judged)
    elif case.data.modality == "series":
        yield from _windows(case)


def kinds(case: Case) -> bool:
    """Whether there are simple answers for the targets of a case."""
    kind = case.data.kind
    return (
        (kind == "mask" and case.data.pictures)
        or kind in ("boxes", "values", "labels")
        or (case.data.modality == "series" and _known(case) is not None)
    )


def _some(case: Case) -> I64:
    """Numbers of at most `FITTED` items that are trained on."""
    sound = case.stored("train").numbers
    if len(sound) <= FITTED:
        return sound
    return np.sort(case.rng("simple answers").choice(sound, FITTED, replace=False))


# ---------------------------------------------------------------------------------------------- masks


def _masks(case: Case, train: Split, numbers: I64) -> Iterator[tuple[str, str, Answer]]:
    counts = level_counts(train, numbers, len(case.data.classes))
    common = int(counts.sum(0).argmax())
    part = case.part

    def everywhere(i: int, like: Any) -> Any:
        del i
        return np.full_like(like, common)

    yield "constant", f"{case.data.classes[common]} everywhere", everywhere
    if len(case.data.classes) < 2:
        return
    threshold = otsu(counts.sum(1))
    dark, light = sides(counts, threshold)

    def cut(i: int, like: Any) -> Any:
        grey = part.source.decode(i, GREY)[..., 0]
        return np.where(grey > threshold, light, dark).astype(np.asarray(like).dtype)

    yield "threshold", f"a threshold on brightness ({threshold}, Otsu's)", cut


def level_counts(split: Split, numbers: I64, classes: int) -> F64:
    """How many pixels of each grey level belong to each class [256, K]; pixels that count nowhere are left out."""
    found = np.zeros((LEVELS, classes))
    for i in numbers.tolist():
        grey = np.clip(np.rint(split.source.decode(i, GREY)[..., 0]), 0, LEVELS - 1).astype(
            np.int64
        )
        mask = split.targets.truth(i)
        if mask.shape != grey.shape:
            continue
        counted = mask != IGNORE
        codes = grey[counted] * classes + mask[counted]
        found += np.bincount(codes, minlength=LEVELS * classes).reshape(LEVELS, classes)
    return found


def otsu(histogram: F64) -> int:
    """The level up to which values are dark: where the variance between both sides is greatest (Otsu 1979, eq. 18).

    >>> otsu(np.bincount([10] * 5 + [200] * 5, minlength=256).astype(float))
    10
    """
    share = histogram / max(1.0, histogram.sum())
    below, mean = np.cumsum(share), np.cumsum(share * np.arange(len(share)))
    spread = below * (1 - below)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = np.where(spread > 0, (mean[-1] * below - mean) ** 2 / spread, 0.0)
    return int(between.argmax())


def sides(counts: F64, threshold: int) -> tuple[int, int]:
    """The two different classes of the dark and the light side with the greatest mean IoU on what they were counted on."""
    side = np.stack([counts[: threshold + 1].sum(0), counts[threshold + 1 :].sum(0)])  # [2, K]
    of_class = side.sum(0)
    best, found = -1.0, (0, 1)
    for dark in range(side.shape[1]):
        for light in range(side.shape[1]):
            if dark == light:
                continue
            iou = [
                side[k, c] / max(1.0, of_class[c] + side[k].sum() - side[k, c])
                for k, c in ((0, dark), (1, light))
            ]
            if sum(iou) > best:
                best, found = sum(iou), (dark, light)
    return found


# ---------------------------------------------------------------------------------------------- boxes


def _boxes(train: Split, numbers: I64, classes: int) -> Iterator[tuple[str, str, Answer]]:
    if not isinstance(train.targets, Boxes):
        return
    boxes, labels = mean_boxes(
        [train.targets.truth(i) for i in numbers.tolist()], train.natural[numbers], classes
    )

    def mean(i: int, like: Any) -> Any:
        del i
        height, width = like.size
        inside = (boxes * (width, height, width, height)).astype(np.float32)
        sure = np.ones(len(labels), np.float32)
        return like._replace(boxes=inside, labels=labels, scores=sure)

    yield "mean box", "the mean box of each class that is usual", mean


def mean_boxes(objects: Sequence[Any], natural: I64, classes: int) -> tuple[F64, I64]:
    """The mean box of each class that half of the pictures have, else of the most frequent: [m, 4] in shares of a picture, and [m]."""
    sums, seen, pictures = np.zeros((classes, 4)), np.zeros(classes), np.zeros(classes)
    for each, (height, width) in zip(objects, natural.tolist(), strict=True):
        kept = ~each.crowd
        np.add.at(sums, each.labels[kept], each.boxes[kept] / (width, height, width, height))
        np.add.at(seen, each.labels[kept], 1)
        pictures[np.unique(each.labels[kept])] += 1
    usual = np.flatnonzero(pictures >= OFTEN * max(1, len(objects)))
    if not len(usual):
        usual = np.array([int(pictures.argmax())])
    usual = usual[seen[usual] > 0]
    return sums[usual] / seen[usual][:, None], usual.astype(np.int64)


# -------------------------------------------------------------------------------------------- numbers


def _values(case: Case, judged: I64) -> Iterator[tuple[str, str, Answer]]:
    truth = _truths(case)
    mean = truth.mean(0)
    yield "mean", "the mean of what was trained on", lambda _i, like: np.full_like(like, 1.0) * mean
    if not case.data.pictures:
        return
    rows = _linear(case, judged, truth)
    yield (
        "8x8",
        "a linear answer from 8x8 pixels",
        lambda i, like: np.full_like(like, 1.0) * rows[i],
    )


def _truths(case: Case) -> F64:
    """The numbers of all items that are trained on [N, V]."""
    numbers = case.stored("train").numbers.tolist()
    targets = case.data.splits["train"].targets
    return np.stack([targets.truth(i) for i in numbers]).astype(np.float64)


def _linear(case: Case, judged: I64, truth: F64) -> dict[int, F64]:
    """What ridge regression on thumbnails says of the judged items, by their numbers in the split."""
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    from striate.auditing.checks.baselines import MOST, thumbnails

    arrays = case.stored("train")
    index = np.arange(len(arrays))
    if len(index) > MOST:
        index = np.sort(case.rng("simple answers", "linear").choice(index, MOST, replace=False))
    x = thumbnails(np.asarray(arrays.inputs[index]))
    scaler = StandardScaler().fit(x)
    model = Ridge(alpha=ALPHA).fit(scaler.transform(x), truth[index])
    said = np.asarray(
        model.predict(scaler.transform(thumbnails(np.asarray(case.arrays.inputs[judged]))))
    )
    numbers = case.arrays.numbers[judged].tolist()
    return dict(zip(numbers, said.reshape(len(judged), -1), strict=True))


# ------------------------------------------------------------------------------------- several labels


def _several(case: Case, judged: I64) -> Iterator[tuple[str, str, Answer]]:
    truth = _truths(case)
    kinds_, counts = np.unique(truth, axis=0, return_counts=True)
    common = kinds_[counts.argmax()]
    names = listed([case.data.classes[k] for k in np.flatnonzero(common).tolist()]) or "no label"
    yield "constant", f"{names} everywhere", lambda _i, like: common.astype(like.dtype)
    if not case.data.pictures:
        return
    rows = _linear(case, judged, truth)
    yield (
        "8x8",
        "a linear answer from 8x8 pixels",
        lambda i, like: rows[i].clip(0, 1).astype(like.dtype),
    )


# ------------------------------------------------------------------------------------------- forecasts


def _known(case: Case) -> Forecasts | None:
    """What a task that forecasts was fitted on, if it keeps it."""
    found = getattr(case.trained.task, "baselines", None)
    return found if isinstance(found, Forecasts) else None


def _windows(case: Case) -> Iterator[tuple[str, str, Answer]]:
    known, targets = _known(case), case.part.targets
    if known is None:
        return
    for k, (name, words) in enumerate(known.names.items()):

        def said(i: int, like: Any, k: int = k) -> Any:
            window: Window = targets.truth(i)
            return like._replace(values=known.forecasts([window])[0, k])

        yield name, words, said
