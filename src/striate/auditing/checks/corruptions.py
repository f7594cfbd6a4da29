"""How answers stand pictures that are spoilt by noise, blur, weather and coding: nineteen kinds at five strengths."""

from collections.abc import Iterator

import numpy as np
import torch

from striate.auditing.check import Case, Check, classified, seconds_of
from striate.auditing.corruptions import KINDS, STRENGTHS, corrupted
from striate.auditing.finding import Finding
from striate.metrics.classify import share, wilson
from striate.text import percent, plain

MOST = 200
HALF = 0.5  # of the accuracy above chance: a kind that takes more at the weakest strength is a weakness
PASSES = len(KINDS) * len(STRENGTHS) + 1


def _lacks(case: Case) -> str:
    return classified(case) or (
        "" if case.data.pictures else f"the items are {case.data.noun}, not pictures"
    )


def _find(case: Case) -> Iterator[Finding]:
    index = case.sample(case.affordable(3 * PASSES, 0.25, MOST), "corruptions")
    stored = np.array(case.arrays.inputs[index])
    labels = case.labels()[index]
    right = case.right(stored, labels)
    clean = wilson(int(right.sum()), len(right))
    chance = float(np.bincount(labels).max() / len(labels))
    x = torch.from_numpy(np.asarray(stored, np.float32)).permute(0, 3, 1, 2)
    kept = np.zeros((len(KINDS), len(STRENGTHS), len(index)))
    for i, kind in enumerate(KINDS):
        for j, strength in enumerate(STRENGTHS):
            spoilt = corrupted(x, kind, strength, case.generator(kind, strength))
            pixels = spoilt.permute(0, 2, 3, 1).numpy()
            if stored.dtype == np.uint8:
                pixels = np.rint(pixels).astype(np.uint8)
            kept[i, j] = case.right(np.ascontiguousarray(pixels), labels)
    means = kept.mean(2)
    names, order = list(KINDS), np.argsort(means.mean(1), kind="stable").tolist()
    rows = [
        {"kind": names[i], "accuracy": float(means[i].mean()), "at": means[i].tolist()}
        for i in order
    ]
    worst = [f"{names[i]} {percent(float(means[i].mean()))}" for i in order[:3]]
    whole = share(kept.mean((0, 1)), None)
    yield Finding(
        "corruptions",
        plain(
            f"accuracy {percent(clean.value)}, {percent(float(kept.mean()))} on average over {len(KINDS)} kinds of spoilt pictures "
            f"at {len(STRENGTHS)} strengths ({len(index)} items); worst: " + ", ".join(worst)
        ),
        whole,
        limit=clean.value,
        evidence=rows,
        unit="accuracy",
    )
    room = (clean.value - chance) * HALF
    brittle = [k for i, k in enumerate(KINDS) if _drop(right, kept[i, 0]) > room > 0]
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


def _drop(before: np.ndarray, after: np.ndarray) -> float:
    """The accuracy that is lost for certain: the lower end of the paired difference."""
    from striate.metrics.compare import paired

    found = paired(after.astype(np.float64), before.astype(np.float64))
    return found.low if np.isfinite(found.low) else 0.0


CHECK = Check(
    "corruptions",
    "How do answers stand pictures that are spoilt?",
    _find,
    lacks=_lacks,
    seconds=lambda case: seconds_of(case, 3 * PASSES, 0.25, MOST),
)
