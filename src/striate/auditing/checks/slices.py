"""Groups of items on which the net does worse than on the rest: by size, light, contrast, and by what its features hold.

Each slice is held against all other items by Fisher's exact test, corrected for the number that was looked at (Holm).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from striate.auditing.check import Case, Check, classified, enough, seconds_of
from striate.auditing.finding import Finding
from striate.auditing.probes import holm
from striate.metrics.classify import wilson
from striate.runs.split_answers import natural_sizes
from striate.see import features
from striate.text import percent, plain

MOST = 5000
CLUSTERS = 10
LEAST = 10  # items of a slice
SURE = 0.05

Slices = dict[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Judged:
    """A slice: its items, the accuracy on them and on the rest, and how often chance alone brings as much."""

    slice: str
    items: int
    accuracy: float
    rest: float
    p: float


def _find(case: Case) -> Iterator[Finding]:
    index = case.sample(case.affordable(1, 0.1, MOST), "slices")
    right = _right(case, index)
    slices = {
        name: inside
        for name, inside in _slices(case, index).items()
        if LEAST <= inside.sum() <= len(index) - LEAST
    }
    if not slices:
        yield Finding.skipped("slices", f"no slice has {LEAST} items")
        return
    rows = judged(right, slices)
    weak = [row for row in rows if row.p <= SURE and row.accuracy < row.rest]
    evidence = [asdict(row) for row in (weak or rows[:20])]
    if not weak:
        said = f"none of {len(rows)} slices is worse than the rest for certain"
        yield Finding("slices", said, evidence=evidence)
        return
    worst, inside = weak[0], slices[weak[0].slice]
    yield Finding(
        "slices",
        plain(
            f"{worst.slice}: {percent(worst.accuracy)} of {worst.items} items right, {percent(worst.rest)} of the rest "
            f"(p {worst.p:.2g} after {len(rows)} slices); {len(weak)} such in all"
        ),
        wilson(int(right[inside].sum()), int(inside.sum())),
        limit=worst.rest,
        crossed=True,
        evidence=[*evidence, *case.files(index[inside & ~right][:10])],
        advice="collect more of these items, or weigh them more; say it where the net is used",
        unit="accuracy",
    )


def judged(right: NDArray[np.bool_], slices: Slices) -> list[Judged]:
    """Every slice beside the other items, those that are worse for certain first, then by accuracy."""
    certain = holm([_p(right, inside) for inside in slices.values()])
    rows = [
        Judged(
            name,
            int(inside.sum()),
            float(right[inside].mean()),
            float(right[~inside].mean()),
            p,
        )
        for (name, inside), p in zip(slices.items(), certain, strict=True)
    ]
    return sorted(rows, key=lambda row: (row.p > SURE, row.accuracy))


def _right(case: Case, index: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which items are answered rightly [n], of several labels an item with every one of them."""
    if case.has_labels:
        return case.right(case.arrays.inputs[index], case.labels()[index])
    task, found = case.trained.task, list[bool]()
    for part, stored in case.batches(index):
        pairs = zip(case.answers(stored, part), case.truths(part), strict=True)
        found += [bool(task.item_scores(a, t)["subset_accuracy"]) for a, t in pairs]
    return np.array(found, np.bool_)


def _classes(case: Case, index: NDArray[np.int64]) -> Slices:
    names = case.data.classes
    if case.has_labels:
        labels = case.labels()[index]
        return {f"class {names[int(k)]}": labels == k for k in np.unique(labels)}
    given = np.array(case.truths(index)) > 0
    return {f"with {name}": given[:, k] for k, name in enumerate(names)}


def _slices(case: Case, index: NDArray[np.int64]) -> Slices:
    """Classes, quarters of plain measures, clusters of features."""
    found = _classes(case, index)
    for name, values in _measures(case, index).items():
        quarters = np.quantile(values, [0.25, 0.5, 0.75])
        if len(np.unique(quarters)) < 3:
            continue
        place = np.searchsorted(quarters, values)
        for k, words in enumerate(("lowest", "second", "third", "highest")):
            found[f"{words} quarter of {name}"] = place == k
    return found | _clusters(case, index)


def _measures(case: Case, index: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    if not case.data.pictures:
        return {}
    looks: list[NDArray[np.float32]] = []
    for _, stored in case.batches(index):
        pixels = stored.astype(np.float32)
        flat = pixels.reshape(len(pixels), -1)
        edges = np.abs(np.diff(pixels, axis=1)).reshape(len(pixels), -1).mean(1)
        looks.append(np.stack([flat.mean(1), flat.std(1), edges]))
    found = dict(zip(("brightness", "contrast", "detail"), np.concatenate(looks, 1), strict=True))
    sizes = natural_sizes(case.part)[case.arrays.numbers[index]].astype(np.float64)
    if len(sizes) and sizes.min() > 0:
        found |= {"height": sizes[:, 0], "width over height": sizes[:, 1] / sizes[:, 0]}
    return {name: np.asarray(values, np.float64) for name, values in found.items()}


def _clusters(case: Case, index: NDArray[np.int64]) -> Slices:
    from sklearn.cluster import KMeans

    run = case.trained
    key = case.data.mark(case.split)
    known = np.asarray(features.features(run, case.arrays, key, index=index), np.float64)
    known = known / np.maximum(np.linalg.norm(known, axis=1, keepdims=True), 1e-9)
    count = min(CLUSTERS, len(index) // (2 * LEAST))
    if count < 2:
        return {}
    place = KMeans(count, n_init="auto", random_state=case.seed).fit_predict(known)
    return {f"cluster {k + 1} of the net's features": place == k for k in range(count)}


def _p(right: NDArray[np.bool_], inside: NDArray[np.bool_]) -> float:
    """How often chance alone makes a slice as bad as this one."""
    from scipy.stats import fisher_exact

    table = [
        [int((right & inside).sum()), int((~right & inside).sum())],
        [int((right & ~inside).sum()), int((~right & ~inside).sum())],
    ]
    return float(np.asarray(fisher_exact(table, alternative="less"))[1])


def _lacks(case: Case) -> str:
    return enough(case) if case.data.kind == "labels" else classified(case)


CHECK = Check(
    "slices",
    "On which groups of items does the net do worse?",
    _find,
    lacks=_lacks,
    seconds=lambda case: 3.0 + seconds_of(case, 2, 0.1, MOST),
)
