"""Whether the net tells a class in several ways: groups of items that are answered alike for other places.

Spectral relevance analysis (Lapuschkin et al. 2019, Nature Communications 10, 1096): the saliency maps of the items that
are answered as one class are made small and joined to those that are like them, and a gap after the smallest eigenvalues
of the graph's Laplacian says how many groups there are. Whether a gap is more than chance is judged against maps of one
cloud: normal ones of the same mean and covariance (Liu et al. 2008, JASA 103, 1281). Objects that stand anywhere in
their pictures spread their maps too, but without a gap as deep as `DEEP`. Of several labels an item each has maps of its
own, of the items that it is said of. n items of a class, c cells of a map.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from striate.auditing.check import Case, Check, pictures_with_labels, seconds_of
from striate.auditing.finding import Finding
from striate.auditing.probes import holm
from striate.auditing.rests import PASSES, saliency_maps
from striate.text import percent, plain

MOST = 600  # items whose maps are made
LEAST, ENOUGH = 20, 150  # items of a class: fewer are not looked at, more are not needed
GRID = 8  # cells a side
GROUPS = 4  # that are looked for
NEIGHBOUR = 7  # whose distance sets the scale about an item (Zelnik-Manor and Perona 2004)
DRAWS = 99  # clouds, of many classes more
SURE = 0.05
DEEP = 1 / 3  # of the next eigenvalue, up to which the last of the groups' must lie
FEW = 5  # items of a group

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Split:
    """The groups of a class: how deep the gap is, how often chance brings as deep a one, and the group of each item [n]."""

    ratio: float
    p: float
    groups: I64


def _find(case: Case) -> Iterator[Finding]:
    passes = case.affordable(PASSES, 0.1, MOST)
    index = case.sample(passes, "strategies")
    batches = [case.said(case.outputs(stored)) for _, stored in case.batches(index)]
    said = np.concatenate(batches)
    inside = _inside(said, passes, case.rng("strategies"))
    maps = {k: _maps(case, index[places], k) for k, places in inside.items()}
    there = {k: each.sum(1) > 0 for k, each in maps.items()}
    looked = [k for k in maps if there[k].sum() >= LEAST]
    left = int(said.any(0).sum()) - len(looked)
    if not looked:
        yield Finding.skipped(
            "strategies", f"no class is answered for {LEAST} of the {len(index)} items that are looked at"
        )  # fmt: skip
        return
    inside = {k: inside[k][there[k]] for k in looked}
    maps = {k: maps[k][there[k]] for k in looked}
    draws = max(DRAWS, 20 * len(looked))
    found = [split(maps[k], case.rng("strategies", k), draws) for k in looked]
    certain = holm([each.p for each in found])
    several = [
        (k, each, p)
        for k, each, p in zip(looked, found, certain, strict=True)
        if p <= SURE and each.ratio <= DEEP
    ]
    missing = f"; {_classes(left)} with fewer than {LEAST} such items not looked at" if left else ""  # fmt: skip
    if not several:
        deepest = min(each.ratio for each in found)
        yield Finding(
            "strategies",
            f"none of {_classes(len(looked))} is answered for several places{missing}",
            limit=DEEP,
            evidence=[{"deepest": deepest}],
        )
    given = case.given()[index]
    for k, each, p in several:
        places = inside[k]
        yield _several(case, k, each, p, index[places], given[places, k], maps[k])


def _inside(said: Bools, passes: int, rng: np.random.Generator) -> dict[int, I64]:
    """For each class that is said of enough items the places of those whose maps are made: together as many as there are passes.

    Of one class an item these are all there are, up to enough of each; of several labels each has an equal part.
    """
    counts = said.sum(0)
    looked = np.flatnonzero(counts >= LEAST).tolist()
    most = ENOUGH if int(counts[looked].sum()) <= passes else passes // max(1, len(looked))
    found = {k: np.flatnonzero(said[:, k]) for k in looked}
    return {
        k: np.sort(rng.permutation(each)[: max(LEAST, min(ENOUGH, most))])
        for k, each in found.items()
    }


def _maps(case: Case, index: I64, k: int) -> F64:
    """The small maps of items for one class [n, c]."""
    parts = [small(saliency_maps(case, stored, k)) for _, stored in case.batches(index)]
    return np.concatenate(parts)


def _classes(count: int) -> str:
    return f"{count} class{'es' * (count != 1)}"


def _several(
    case: Case, k: int, each: Split, p: float, index: I64, right: NDArray[np.bool_], maps: F64
) -> Finding:
    """What is to be said of a class whose items fall into groups."""
    rows: list[dict[str, Any]] = []
    for group in np.unique(each.groups).tolist():
        here = each.groups == group
        mean = maps[here].mean(0)
        share = {"mass there": float(mean.max()), "right": float(right[here].mean())}
        rows.append({"group": group + 1, "items": int(here.sum()), "most at": cell(int(mean.argmax())), **share})  # fmt: skip
    rows.sort(key=lambda row: row["items"])
    rarest = index[each.groups == rows[0]["group"] - 1]
    said = " and ".join(f"{row['items']} most at {row['most at']}" for row in rows)
    name = case.data.classes[k]
    return Finding(
        "strategies",
        plain(
            f"{name} is answered for {len(rows)} places: of {len(index)} items {said} "
            f"(p {p:.2g}; gradient times input)"
        ),
        limit=DEEP,
        crossed=True,
        evidence=[{"class": name, "gap": each.ratio, "p": p}, *rows, *case.files(rarest[:10])],
        advice="look at the items of each group: a mark in a corner or a border that one group shares is a shortcut",
    )


def small(maps: F64) -> F64:
    """Maps [N, H, W] of magnitudes as shares of their sum in an 8x8 grid [N, 64]; zeros where there is nothing."""
    x = torch.from_numpy(maps)[:, None]
    cells = torch.nn.functional.adaptive_avg_pool2d(x, GRID)[:, 0].flatten(1).numpy()
    whole = cells.sum(1, keepdims=True)
    return np.divide(cells, whole, out=np.zeros_like(cells), where=whole > 0)


def cell(number: int) -> str:
    """Where a cell of the grid lies, in words."""
    row, column = divmod(number, GRID)
    ends = [percent(at / GRID) for at in (row, row + 1, column, column + 1)]
    return f"rows {ends[0]} to {ends[1]}, columns {ends[2]} to {ends[3]}"


def split(maps: F64, rng: np.random.Generator, draws: int = DRAWS) -> Split:
    """The groups of maps [n, c] that are shares of one: by the deepest gap, against that of clouds of one group."""
    from sklearn.cluster import SpectralClustering

    x = np.sqrt(maps)  # so that distances are Hellinger's
    ratio, count = gap(affinity(x))
    middle = x.mean(0)
    _, spread, axes = np.linalg.svd(x - middle, full_matrices=False)
    axes = axes * (spread / np.sqrt(len(x) - 1))[:, None]
    chance = [gap(affinity(rng.normal(size=(len(x), len(axes))) @ axes))[0] for _ in range(draws)]
    p = (1 + sum(each <= ratio for each in chance)) / (1 + draws)
    if p > SURE or ratio > DEEP:
        return Split(ratio, p, np.zeros(len(x), np.int64))
    model = SpectralClustering(count, affinity="precomputed", random_state=0)
    groups = np.asarray(model.fit_predict(affinity(x)), np.int64)
    alone = np.bincount(groups, minlength=count).min() < FEW
    return Split(1.0 if alone else ratio, p, groups)


def affinity(x: F64) -> F64:
    """How alike items [n, c] are [n, n], 1 where they are the same; about each by the distance of its seventh neighbour."""
    from scipy.spatial.distance import cdist

    apart = cdist(x, x, "sqeuclidean")
    place = min(NEIGHBOUR, len(x) - 1)
    scale = np.sqrt(np.partition(apart, place, axis=1)[:, place]).clip(1e-9)
    # Not zero, so that the graph hangs together.
    return np.exp(-apart / (scale[:, None] * scale[None])).clip(1e-9)


def gap(alike: F64) -> tuple[float, int]:
    """The deepest ratio of an eigenvalue of the normalised Laplacian to the next one, and how many groups lie before it."""
    from scipy.linalg import eigh
    from scipy.sparse.csgraph import laplacian

    joined = alike - np.diag(np.diag(alike))
    found = eigh(laplacian(joined, normed=True), subset_by_index=[1, GROUPS], eigvals_only=True)
    ratios = np.maximum(found[:-1], 1e-12) / np.maximum(found[1:], 1e-12)
    return float(ratios.min()), int(ratios.argmin()) + 2


CHECK = Check(
    "strategies",
    "Does the net tell a class in several ways?",
    _find,
    lacks=pictures_with_labels,
    seconds=lambda case: 3.0 + seconds_of(case, PASSES, 0.1, MOST),
)
