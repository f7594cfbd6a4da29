"""What the net adds to answers that need none: the most frequent class, colours, 8x8 pixels, random features.

Of masks, boxes, numbers and series what `auditing.simple_answers` has, by the leading score of items.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from striate.auditing import simple_answers as simple
from striate.auditing.check import Case, Check, classified, enough, of_one_size
from striate.auditing.finding import Finding, mean_score
from striate.metrics.classify import wilson
from striate.metrics.compare import Difference, paired
from striate.metrics.scores import shown
from striate.text import percent

I64 = NDArray[np.int64]
F32 = NDArray[np.float32]
MOST = 2000  # items to learn from
SCORED = 500  # items, where scores are not those of labels
BINS = 4  # of a colour axis
NEIGHBOURS = 5


def _lacks(case: Case) -> str:
    if "train" not in case.data.splits:
        return "there are no training items to make a baseline from: name the data that the run was trained on"
    pixels = case.data.pictures and case.data.kind in ("label", "labels", "values")
    if pixels and (reason := of_one_size(case) or of_one_size(case, "train")):
        return reason
    if not case.has_labels and simple.kinds(case):
        return enough(case)
    if not case.data.pictures:
        return f"the items are {case.data.noun}, not pictures"
    return classified(case)


def _find(case: Case) -> Iterator[Finding]:
    yield from _of_labels(case) if case.has_labels else _of_scores(case)


def _of_scores(case: Case) -> Iterator[Finding]:
    """The leading score of items, of each simple answer and of the net, on the same items."""
    index = case.sample(SCORED, "baselines")
    task, numbers = case.trained.task, case.arrays.numbers[index].tolist()
    answers = _answers(case, index)
    truths = case.truths(index)
    rows = [task.item_scores(a, t) for a, t in zip(answers, truths, strict=True)]
    name = next((key for row in rows for key in row), "")
    sign = -1.0 if task.measure(name).lower else 1.0
    ours = np.array([row.get(name, np.nan) for row in rows])
    words = [task.item_words(a, t).get("block", "") for a, t in zip(answers, truths, strict=True)]
    groups = np.unique(words, return_inverse=True)[1] if all(words) else None
    for key, words_of, answer in simple.simple_answers(case, index):
        said = [answer(i, a) for i, a in zip(numbers, answers, strict=True)]
        theirs = np.array(
            [task.item_scores(a, t).get(name, np.nan) for a, t in zip(said, truths, strict=True)]
        )
        gain = paired(sign * theirs, sign * ours, groups, score=name)
        sure = gain.low > 0
        both = ~(np.isnan(theirs) | np.isnan(ours))
        kept = None if groups is None else groups[both]
        value = mean_score(name, theirs[both], kept, lower=sign < 0)
        means = [shown(name, float(each[both].mean())) for each in (theirs, ours)]
        yield Finding(
            "baselines",
            f"{words_of} has {name} {means[0]}, the net {means[1]} ({_difference(name, gain)})",
            value,
            limit=float(ours[both].mean()),
            crossed=not sure,
            evidence=[{"baseline": key, "gain": gain.value, "low": gain.low, "high": gain.high}],
            advice=_advice(words_of, gain),
            unit=name,
        )


def _answers(case: Case, index: I64) -> list[Any]:
    """The net's decoded answers to items by their place among the sound ones."""
    return [each for part, stored in case.batches(index) for each in case.answers(stored, part)]


def _difference(name: str, gain: Difference) -> str:
    """By how much the net is better or worse than an answer without it; an end below 0 is the other way round."""
    if gain.value == 0 and not gain.low < gain.high:
        return "no difference"
    sign = -1 if gain.value < 0 else 1
    words = f"{'worse' if sign < 0 else 'better'} by {shown(name, abs(gain.value))}"
    low, high = sorted((sign * gain.low, sign * gain.high))
    if np.isnan(low):
        return f"{words}, no interval"
    ends = (f"{'-' if end < 0 else ''}{shown(name, abs(end))}" for end in (low, high))
    return f"{words}, {' to '.join(ends)}"


def _advice(words: str, gain: Difference) -> str:
    """What to do where the net is not better for certain than an answer without it."""
    if gain.low > 0:
        return ""
    if gain.high < 0:
        does = "does better than the net"
    elif gain.value > 0:
        does = "may do as well as the net"
    else:
        does = "does as well as the net"
    return f"{words} {does}: train longer, with another loss, or on more items"


def _of_labels(case: Case) -> Iterator[Finding]:
    train, labels = _training(case)
    index = case.sample(MOST, "baselines")
    judged, truth = np.asarray(case.arrays.inputs[index]), case.labels()[index]
    ours = case.right(judged, truth)
    scored = wilson(int(ours.sum()), len(ours))
    for name, words, answers in BASELINES:
        theirs = answers(train, labels, judged, case) == truth
        gain = paired(theirs.astype(float), ours.astype(float), score="accuracy")
        value = wilson(int(theirs.sum()), len(theirs))
        sure = gain.low > 0
        yield Finding(
            "baselines",
            f"{words} gets {percent(value.value)} right, the net {percent(scored.value)} "
            f"({100 * gain.value:+.1f} points, {100 * gain.low:+.1f} to {100 * gain.high:+.1f})",
            value,
            limit=scored.value,
            crossed=not sure,
            evidence=[{"baseline": name, "gain": gain.value, "low": gain.low, "high": gain.high}],
            advice=""
            if sure
            else f"what {words} knows explains the net's score: see `shortcuts`, train longer, or collect other items",
            unit="accuracy",
        )


def _training(case: Case) -> tuple[NDArray[np.uint8], I64]:
    arrays = case.stored("train")
    index = np.arange(len(arrays))
    if len(index) > MOST:
        index = np.sort(case.rng("baselines", "train").choice(index, MOST, replace=False))
    return np.asarray(arrays.inputs[index]), case.labels("train")[index]


def _majority(train: NDArray[np.uint8], labels: I64, judged: NDArray[np.uint8], case: Case) -> I64:
    del train, case
    return np.full(len(judged), np.bincount(labels).argmax(), np.int64)


def _colours(train: NDArray[np.uint8], labels: I64, judged: NDArray[np.uint8], case: Case) -> I64:
    """The nearest histograms of colours, or of grey levels."""
    from sklearn.neighbors import KNeighborsClassifier

    del case
    model = KNeighborsClassifier(min(NEIGHBOURS, len(train)))
    return np.asarray(model.fit(histograms(train), labels).predict(histograms(judged)), np.int64)


def _linear(train: NDArray[np.uint8], labels: I64, judged: NDArray[np.uint8], case: Case) -> I64:
    return _fitted(thumbnails(train), labels, thumbnails(judged), case)


def _random(train: NDArray[np.uint8], labels: I64, judged: NDArray[np.uint8], case: Case) -> I64:
    """One convolution with random kernels, rectified and averaged over a 4x4 grid."""
    channels = train.shape[-1]
    kernels = torch.randn(64, channels, 5, 5, generator=case.generator("random features"))

    def features(pictures: NDArray[np.uint8]) -> F32:
        parts: list[torch.Tensor] = []
        for at in range(0, len(pictures), 64):
            x = torch.from_numpy(pictures[at : at + 64].astype(np.float32) / 255).permute(
                0, 3, 1, 2
            )
            maps = torch.nn.functional.conv2d(x - x.mean((2, 3), keepdim=True), kernels).relu()
            parts.append(torch.nn.functional.adaptive_avg_pool2d(maps, 4).flatten(1))
        return torch.cat(parts).numpy()

    return _fitted(features(train), labels, features(judged), case)


def _fitted(train: F32, labels: I64, judged: F32, case: Case) -> I64:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.preprocessing import StandardScaler

    del case
    if len(np.unique(labels)) < 2:
        return np.full(len(judged), labels[0])
    scaler = StandardScaler().fit(train)
    model = RidgeClassifier(alpha=float(train.shape[1]))
    model.fit(scaler.transform(train), labels)
    return np.asarray(model.predict(scaler.transform(judged)), np.int64)


def histograms(pictures: NDArray[np.uint8]) -> F32:
    """Shares of colours, 4 steps an axis, or of 16 grey levels: [N, bins]."""
    steps = pictures.astype(np.int64) * BINS // 256
    if pictures.shape[-1] == 1:
        codes, count = pictures[..., 0].astype(np.int64) // 16, 16
    else:
        codes, count = (steps[..., :3] * np.array([BINS**2, BINS, 1])).sum(-1), BINS**3
    flat = codes.reshape(len(pictures), -1)
    counts = np.stack([np.bincount(row, minlength=count) for row in flat])
    return np.asarray(counts / flat.shape[1], np.float32)


def thumbnails(pictures: NDArray[np.uint8], side: int = 8) -> F32:
    """Pictures shrunk to side x side pixels, as vectors [N, side * side * C]."""
    parts: list[torch.Tensor] = []
    for at in range(0, len(pictures), 256):
        x = torch.from_numpy(pictures[at : at + 256].astype(np.float32)).permute(0, 3, 1, 2)
        parts.append(torch.nn.functional.adaptive_avg_pool2d(x, side).flatten(1))
    return torch.cat(parts).numpy()


Answers = Callable[[NDArray[np.uint8], I64, NDArray[np.uint8], Case], I64]
BASELINES: tuple[tuple[str, str, Answers], ...] = (
    ("majority", "the most frequent class", _majority),
    ("colours", "the nearest histogram of colours", _colours),
    ("8x8", "a linear answer from 8x8 pixels", _linear),
    ("random", "a linear answer from random features", _random),
)

CHECK = Check(
    "baselines",
    "What does the net add to answers that need none?",
    _find,
    lacks=_lacks,
    seconds=lambda case: 3.0 + min(len(case.part), MOST) * case.seconds_an_item,
)
