"""How answers stand pictures that are spoilt by noise, blur, weather and coding: nineteen kinds at five strengths."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from striate.auditing.check import (
    Case,
    Check,
    changed,
    enough,
    of_one_size,
    pictures_with_labels,
    seconds_of,
)
from striate.auditing.corruptions import KINDS, STRENGTHS, corrupted
from striate.auditing.finding import Finding, mean_score
from striate.metrics.compare import paired
from striate.metrics.scores import is_share, shown
from striate.text import plain

MOVING = ("elastic_transform", "glass_blur")  # what a mask or a box would have to follow
MOST = 200
HALF = 0.5  # of the accuracy above chance: a kind that takes more at the weakest strength is a weakness
PASSES = len(KINDS) * len(STRENGTHS) + 1


def _lacks(case: Case) -> str:
    if case.has_labels or not case.data.pictures:
        return pictures_with_labels(case)
    return enough(case) or of_one_size(case)


def _find(case: Case) -> Iterator[Finding]:
    index = case.sample(case.affordable(3 * PASSES, 0.25, MOST), "corruptions")
    stored = np.array(case.arrays.inputs[index])
    name, before = case.scored(stored, index)
    kinds = [kind for kind in KINDS if case.has_labels or kind not in MOVING]
    kept = np.zeros((len(kinds), len(STRENGTHS), len(index)))
    for i, kind in enumerate(kinds):
        for j, strength in enumerate(STRENGTHS):
            drawn = case.generator(kind, strength)
            spoil = partial(corrupted, kind=kind, strength=strength, generator=drawn)
            kept[i, j] = case.scored(changed(stored, spoil), index)[1]
    clean, whole = (mean_score(name, each) for each in (before, np.nanmean(kept, axis=(0, 1))))
    means = np.nanmean(kept, axis=2)
    order = np.argsort(means.mean(1), kind="stable").tolist()
    rows = [
        {"kind": kinds[i], name: float(means[i].mean()), "at": means[i].tolist()} for i in order
    ]
    worst = [f"{kinds[i]} {shown(name, abs(float(means[i].mean())))}" for i in order[:3]]
    yield Finding(
        "corruptions",
        plain(
            f"{name} {shown(name, abs(clean.value))}, {shown(name, abs(whole.value))} on average over {len(kinds)} kinds of "
            f"spoilt pictures at {len(STRENGTHS)} strengths ({len(index)} items); worst: {', '.join(worst)}"
        ),
        whole,
        limit=clean.value,
        evidence=rows,
        unit=name,
    )
    if not is_share(name):
        return  # how much of an error is half of what is told nobody can say
    room = (clean.value - _chance(case, index)) * HALF
    brittle = [k for i, k in enumerate(kinds) if _drop(before, kept[i, 0]) > room > 0]
    yield Finding(
        "corruptions",
        f"at the weakest strength more than half of what it tells above chance is lost to: {', '.join(brittle)}"
        if brittle
        else "at the weakest strength no kind takes half of what it tells above chance",
        crossed=bool(brittle),
        evidence=[{"kind": kind} for kind in brittle],
        advice="train with augment= of such changes, such as noise, blur or brightness, or keep such pictures out"
        if brittle
        else "",
    )


def _chance(case: Case, index: NDArray[np.int64]) -> float:
    """What the commonest class scores; nothing of other targets."""
    if not case.has_labels:
        return 0.0
    return float(np.bincount(case.labels()[index]).max() / len(index))


def _drop(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """What is lost for certain: the lower end of the paired difference."""
    found = paired(after, before, score="accuracy")
    return found.low if np.isfinite(found.low) else 0.0


CHECK = Check(
    "corruptions",
    "How do answers stand pictures that are spoilt?",
    _find,
    lacks=_lacks,
    seconds=lambda case: seconds_of(case, 3 * PASSES, 0.25, MOST),
)
