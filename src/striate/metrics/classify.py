"""Scores of a classification. N items, G units (items, or groups of them that belong together), K classes.

Intervals cover 95 %; benchmarks/coverage.py simulates how often they do. Shares of items: Wilson (1927). Averages over
classes (balanced accuracy, F1), and shares where items come in groups: Wilson's interval for as many items as give the
variance of the delete-one jackknife over items or groups (Korn and Graubard 1998), with Student's t. AUROC of a class:
Newcombe (2006), Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2, method 5,
which keeps a width where no item is misplaced; of the mean over classes: the distances to the ends added up as Zou and
Donner (2008) do, with the correlations of DeLong et al. (1988), of which those without spread have none. Calibration
error: test inversion (`calibration_error`). Loss: jackknife, and not less than rare mistakes may cost (`mean_loss`).

The tests hold the values to scikit-learn's and SciPy's. What they have is not enough here: `binomtest` takes whole counts
and one level where shares of groups have neither, `roc_auc_score` says no item's part in the area, and importing either
costs a second of every command.

A score that no item stands behind is nan, None in rows. With fewer than five units no score has an interval, and no
average over classes has one where a class that occurs is in fewer than five; `Scores.notes` says so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.errors import ShapeError
from striate.metrics.average_precision import average_precision, units_of
from striate.metrics.intervals import (
    FEWEST,
    Z,
    freedom,
    mean_ratio,
    of_variance,
    quantile,
    too_few,
    unit_sums,
    wilson,
)
from striate.metrics.scores import Interval, Scores, number
from striate.text import percent

UNEVEN = 3  # times as many items of one class as of another
CALIBRATION_BINS = 15
DRAWS = 1000  # of calibration errors that an interval is read from
LEAST_FREEDOM = 15.0  # degrees of freedom of a share: its variance follows from its value, so it is known better
LISTED = 5  # classes that a note names
AVERAGES = ("balanced_accuracy", "f1", "auroc", "average_precision")  # of classes

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]
Groups = NDArray[np.integer] | None


def score(
    probs_NK: Floats,
    truth_N: Ints,
    *,
    classes: Sequence[str],
    run: str = "",
    data: str = "",
    split: str = "",
    groups: Groups = None,
    answer_N: Ints | None = None,
) -> Scores:
    """All scores of predicted probabilities against the truth.

    Args:
        probs_NK: one row an item, summing to one.
        truth_N: class numbers 0..K-1.
        classes: K names.
        run: the folder of the run, for the record.
        data: where the items came from, for the record.
        split: which part of the data, for the record.
        groups: a number an item; items of one group (a patient, a film) are no independent observations.
        answer_N: the classes that were answered; the likeliest ones if not given.

    Raises:
        ShapeError: not one group number an item.
    """
    if groups is not None:
        if groups.shape != truth_N.shape:
            raise ShapeError(
                f"groups: got {list(groups.shape)}, expected one group number for each of {len(truth_N)} items"
            )
        groups = np.unique(groups, return_inverse=True)[1]
    probs = probs_NK.astype(np.float64)
    answer = probs.argmax(1) if answer_N is None else answer_N
    confusion = confusion_matrix(truth_N, answer, len(classes))
    right = (answer == truth_N).astype(np.float64)
    scores = {"accuracy": share(right, groups)}
    if len(classes) > 5:
        top = np.argpartition(probs, -5, axis=1)[:, -5:]
        scores["top5"] = share((top == truth_N[:, None]).any(1).astype(np.float64), groups)
    balanced, f1 = class_averages(truth_N, answer, len(classes), groups)
    scores |= {"balanced_accuracy": balanced, "f1": f1}
    if (area := auroc(probs, truth_N, groups)) is not None:
        scores["auroc"] = area
    recall_K = recalls(truth_N, right, len(classes), groups)
    if len(classes) == 2:
        positive = truth_N[:, None] == 1
        scores["average_precision"] = average_precision(probs[:, 1:], positive, groups)
        scores |= {"sensitivity": recall_K[1], "specificity": recall_K[0]}
    sure = probs[np.arange(len(probs)), answer]
    scores["ece"] = calibration_error(sure, right, groups)
    scores["loss"] = mean_loss(probs, truth_N, groups)
    notes = [
        *_without_intervals(scores, truth_N, classes, groups),
        *_constant_answer(truth_N, classes),
    ]
    if len(classes) == 2 and scores["sensitivity"].known:
        notes.append(
            f"average_precision and sensitivity are of {classes[1]}, specificity is the share of {classes[0]} answered so"
        )
    rows = [
        row | _one_against_all(probs[:, k], truth_N == k, answer == k, groups)
        for k, row in enumerate(per_class(confusion, classes, recall_K))
    ]
    return Scores(run, data, split, len(right), scores, rows, confusion, notes=notes)


def uneven(counts: Sequence[int] | Ints) -> bool:
    """Whether classes of so many items are too uneven for accuracy alone: the largest over three times the smallest.

    Classes without items do not count.
    """
    held = [int(count) for count in counts if count]
    return len(held) > 1 and max(held) > UNEVEN * min(held)


def decided(probs_NK: Floats, threshold: float | None = None) -> Ints:
    """The likeliest classes [N]; of two with a threshold the second from that probability on."""
    if threshold is None:
        return probs_NK.argmax(1)
    return (probs_NK[:, 1] >= threshold).astype(np.int64)


def _one_against_all(
    score_N: Floats, positive_N: NDArray[np.bool_], said_N: NDArray[np.bool_], groups: Groups
) -> dict[str, float | None]:
    """Specificity and average precision of a class with their intervals, for its row; None where no item is behind them."""
    named = {
        "specificity": share_of(~positive_N, ~said_N, groups),
        "average_precision": average_precision(score_N[:, None], positive_N[:, None], groups),
    }
    return with_ends(named)


def with_ends(named: Mapping[str, Interval]) -> dict[str, float | None]:
    """Values by name with the ends of their intervals as name_low and name_high, for the row of a class."""
    return {
        key: number(value)
        for name, found in named.items()
        for key, value in (
            (name, found.value),
            (f"{name}_low", found.low),
            (f"{name}_high", found.high),
        )
    }


def _constant_answer(truth_N: Ints, classes: Sequence[str]) -> list[str]:
    """What always answering the commonest class would score, where classes are uneven."""
    counts = np.bincount(truth_N, minlength=len(classes))
    if not uneven(counts):
        return []
    answer, held = classes[int(counts.argmax())], int((counts > 0).sum())
    share = percent(float(counts.max() / counts.sum()))
    said = (
        f"classes are uneven: always answering {answer} would have accuracy {share} and balanced accuracy {percent(1 / held)}; "
        "class_weights=balanced weighs them alike in training"
    )
    return [said]


def confusion_matrix(truth_N: Ints, answer_N: Ints, k: int) -> Ints:
    """[K, K] counts, rows truth, columns answers."""
    return np.bincount(truth_N * k + answer_N, minlength=k * k).reshape(k, k).astype(np.int64)


def share(right_N: Floats, groups: Groups = None) -> Interval:
    """Share of items that are right: Wilson's interval, over groups by their jackknife."""
    if groups is None:
        return wilson(int(right_N.sum()), len(right_N))
    one_class = np.zeros(len(right_N), np.int64)
    return average_of_ratios(Parts(groups, one_class, right_N, np.ones(len(right_N))))


def share_of(which_N: NDArray[np.bool_], right_N: NDArray[np.bool_], groups: Groups) -> Interval:
    """Of some items the share that is right; without interval for fewer than five of them, or of their groups."""
    units = None if groups is None else np.unique(groups[which_N], return_inverse=True)[1]
    found = share(right_N[which_N].astype(np.float64), units)
    return _few(found, units_of(which_N, groups))


class Parts(NamedTuple):
    """What items add to the ratios of classes, a line each; several lines may be of one unit and class.

    Attributes:
        unit: 0..G-1, [P].
        kind: class numbers, [P].
        part: added to the numerator of the class, [P].
        whole: added to its denominator, [P].
    """

    unit: NDArray[np.integer]
    kind: NDArray[np.integer]
    part: Floats
    whole: Floats


def average_of_ratios(parts: Parts) -> Interval:
    """The mean over classes of sum(part) / sum(whole), all from 0 to 1, by the jackknife over units.

    Beside the variance that shows there is that of half a mistake among all items: where few mistakes were made,
    one more or less changes the picture.
    """
    kinds, kind = np.unique(parts.kind, return_inverse=True)
    if not len(kinds):
        return Interval(math.nan)
    pairs, at = np.unique(parts.unit * len(kinds) + kind, return_inverse=True)
    unit, kind = pairs // len(kinds), pairs % len(kinds)
    part, whole = (np.bincount(at, line) for line in (parts.part, parts.whole))
    total, there = np.bincount(kind, whole), np.bincount(kind)
    ratio = np.bincount(kind, part) / total
    rest = np.maximum(total[kind] - whole, 1e-9 * total[kind])
    moves = np.bincount(unit, (part - ratio[kind] * whole) / rest) / len(kinds)
    value, units = float(ratio.mean()), len(moves)
    least = len(kinds) ** 2 / float(
        (1 / there).sum()
    )  # units behind the mean, were the classes alike
    variance = float((moves**2).sum())
    if not variance:
        return replace(wilson(value * least, least), value=value)
    df = min(max(freedom(moves**2), LEAST_FREEDOM), units - 1)
    return of_variance(value, variance + 0.5 / (least * len(parts.unit)), df, least)


def class_averages(
    truth_N: Ints, answer_N: Ints, k: int, groups: Groups = None
) -> tuple[Interval, Interval]:
    """Balanced accuracy and macro F1 over the classes that occur in the truth."""
    unit = np.arange(len(truth_N)) if groups is None else groups
    hit = answer_N == truth_N
    balanced = average_of_ratios(Parts(unit, truth_N, hit.astype(np.float64), np.ones(len(hit))))
    occurs = np.bincount(truth_N, minlength=k) > 0
    extra = ~hit & occurs[answer_N]  # answers that a class got wrongly
    return balanced, average_of_ratios(
        Parts(
            np.concatenate([unit, unit[extra]]),
            np.concatenate([truth_N, answer_N[extra]]),
            np.concatenate([2.0 * hit, np.zeros(int(extra.sum()))]),
            np.concatenate([1.0 + hit, np.ones(int(extra.sum()))]),
        )
    )


def auroc(probs_NK: Floats, truth_N: Ints, groups: Groups = None) -> Interval | None:
    """Area under the ROC curve, one class against the rest, mean over classes; None if undefined.

    Where items come in groups the distances to the ends grow with the deviation (Obuchowski 1997).

    >>> auroc(np.eye(2)[[0, 0, 0, 1, 1, 1]], np.array([0, 0, 0, 1, 1, 1]))
    Interval(value=1.0, low=0.50101..., high=1.0)
    """
    n = len(truth_N)
    columns = range(probs_NK.shape[1]) if probs_NK.shape[1] > 2 else [1]
    areas: list[float] = []
    shared_N2 = np.zeros((n, 2))  # what each item adds to the distances to the two ends
    alone_2 = np.zeros(2)  # squared distances of classes without spread, as without a mistake
    for column in columns:
        positive = truth_N == column
        m = int(positive.sum())
        if not 0 < m < n:
            continue
        area, influence_N = _area(probs_NK[:, column], positive)
        least, most = _least_area(area, m, n - m), 1 - _least_area(1 - area, m, n - m)
        ends_2, spread = np.array([area - least, most - area]), influence_N.std()
        areas.append(area)
        if spread > 0:
            shared_N2 += influence_N[:, None] / spread * ends_2
        else:
            alone_2 += ends_2**2
    if not areas:
        return None
    value = float(np.mean(areas))
    below, above = np.sqrt(
        np.array([_inflated(part, groups) ** 2 for part in shared_N2.T]) * shared_N2.var(0)
        + alone_2
    ).tolist()
    return Interval(
        value, max(0.0, value - below / len(areas)), min(1.0, value + above / len(areas))
    )


def _inflated(values_N: Floats, groups: Groups) -> float:
    """By how much a distance grows, of a mean of items that come in groups; 1 without groups."""
    if groups is None:
        return 1.0
    sums_G = unit_sums(values_N - values_N.mean(), groups)
    units = len(sums_G)
    iid = float(values_N.var()) * len(values_N)
    if units < 2 or iid == 0:
        return 1.0
    clustered = float((sums_G**2).sum()) * units / (units - 1)
    return math.sqrt(max(1.0, clustered / iid)) * quantile(units - 1) / Z


def _least_area(area: float, m: int, n: int) -> float:
    """The smallest true area that m positives and n negatives do not contradict: Newcombe's method 5.

    Wilson's equation with the variance of Hanley and McNeil (1982), both groups taken as half of all items.
    The greatest is its mirror image, one less the smallest for one less the area.
    """
    low, high, others = 0.0, area, (m + n) / 2 - 1
    for _ in range(50):
        middle = (low + high) / 2
        spread = 1 + others * ((1 - middle) / (2 - middle) + middle / (1 + middle))
        variance = middle * (1 - middle) * spread / (m * n)
        if (area - middle) ** 2 > Z * Z * variance:
            low = middle
        else:
            high = middle
    return low


def _area(score_N: Floats, positive_N: NDArray[np.bool_]) -> tuple[float, Floats]:
    beats = _midranks(score_N)
    beats[positive_N] -= _midranks(score_N[positive_N])
    beats[~positive_N] -= _midranks(score_N[~positive_N])
    share = positive_N.mean()
    wins = beats[positive_N] / (~positive_N).sum()
    losses = 1 - beats[~positive_N] / positive_N.sum()
    area = float(wins.mean())
    influence = np.empty(len(score_N))
    influence[positive_N] = (wins - area) / share
    influence[~positive_N] = (losses - area) / (1 - share)
    return area, influence


def _midranks(values: Floats) -> Floats:
    """Ranks from one; equal values share the middle of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


class _Bins(NamedTuple):
    """Items by their confidence: how many, how many right, the sum of confidences; bins with items only."""

    items: Floats
    right: Floats
    confidence: Floats

    def error(self) -> float:
        return float(np.abs(self.right - self.confidence).sum() / self.items.sum())


def calibration_error(confidence_N: Floats, right_N: Floats, groups: Groups = None) -> Interval:
    """Expected calibration error in 15 equal bins (Guo et al. 2017), with an interval for what it is of.

    The error of few items is too large: chance alone sets shares and confidences apart. So the lower end is the
    smallest error of which the answers can be a sample: gaps as found in the bins, all made smaller by one factor,
    down to none, until the error found is at the 97.5 % point of those that chance would bring. The upper end is
    the larger of the error and 1.96 deviations, and of the 97.5 % point of errors drawn from the posterior of the
    bins' shares, which knows that mistakes may have been missed by chance. The value is the plain error.
    """
    n = len(right_N)
    if n == 0:
        return Interval(math.nan)
    bins = np.minimum((confidence_N * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    sums = [np.bincount(bins, weights) for weights in (None, right_N, confidence_N)]
    found = _Bins(*(part[sums[0] > 0].astype(np.float64) for part in sums))
    value = found.error()
    effect = _inflated(right_N - confidence_N, groups) ** 2
    draws = max(round(n / effect), 1)
    if n < FEWEST:
        return Interval(value)
    low = _smallest_scale(found, draws) * value
    signs = np.sign(found.right - found.confidence)
    centre = found.confidence / found.items
    likely = (found.right + centre) / (found.items + 1)
    squares = likely * (1 - likely) + (likely - centre) ** 2
    variance = float((found.items * squares * np.abs(signs)).sum()) / n - value**2
    high = value + Z * math.sqrt(max(variance, 0.0) / draws)
    return Interval(value, low, min(1.0, max(value, high, _posterior_error(found, draws))))


def _smallest_scale(found: _Bins, n: int) -> float:
    """The factor on the gaps between shares and confidences from which on the error found is no surprise."""
    value, centre = found.error(), found.confidence / found.items
    gap = found.right / found.items - centre

    def surprising(scale: float) -> bool:
        rng = np.random.default_rng(0)  # fixed: the same items give the same interval
        counts = rng.multinomial(n, found.items / found.items.sum(), size=DRAWS)
        right = rng.binomial(counts, np.clip(centre + scale * gap, 0, 1))
        return float(np.quantile(np.abs(right - counts * centre).sum(1) / n, 0.975)) < value

    if not surprising(0.0):
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if surprising(middle) else (low, middle)
    return low


def _posterior_error(found: _Bins, n: int) -> float:
    """The 97.5 % point of errors drawn from Beta posteriors of the bins' shares (Jeffreys) and of their sizes."""
    rng = np.random.default_rng(0)
    weight = n / found.items.sum()
    right, wrong = found.right * weight, (found.items - found.right) * weight
    shares = rng.beta(right + 0.5, wrong + 0.5, size=(DRAWS, len(right)))
    sizes = rng.dirichlet(found.items * weight, size=DRAWS)
    errors = (sizes * np.abs(shares - found.confidence / found.items)).sum(1)
    return float(np.quantile(errors, 0.975))


def mean_loss(probs_NK: Floats, truth_N: Ints, groups: Groups = None) -> Interval:
    """Cross-entropy in nats: the jackknife's interval, its upper end not below what mistakes not seen may cost.

    A sure net loses little on most items and much on a few mistakes, which few items may not show at all. So the
    share of mistakes is taken at Wilson's upper end, and their cost from those seen and one more, which costs what the
    net's other probabilities say, most of all those of unsure items. With x half an interval over the value, the ends
    are the value times exp(-x) and, as losses are skewed, times the first three terms of exp(x).
    """
    n = len(truth_N)
    if n == 0:
        return Interval(math.nan)
    losses = -np.log(np.clip(probs_NK[np.arange(n), truth_N], 1e-12, None))
    found = mean_ratio(losses[:, None], np.ones((n, 1)), groups, scale="real")
    value, half = found.value, found.high - found.value
    if n < FEWEST or value <= 0:
        return Interval(value)
    high = value + _missed(losses, probs_NK, truth_N, groups)
    if not found.known:
        return Interval(value, 0.0, high)
    x = half / value
    return Interval(value, value * math.exp(-x), max(high, value * (1 + x + x**2 / 2)))


def _missed(losses_N: Floats, probs_NK: Floats, truth_N: Ints, groups: Groups) -> float:
    """How much more the mean loss may be, were mistakes as frequent as Wilson's upper end."""
    wrong = probs_NK.argmax(1) != truth_N
    seen, usual = losses_N[wrong], losses_N[~wrong]
    unseen = _cost_of_a_mistake(probs_NK)
    most = wilson(
        int(wrong.sum()), len(wrong), Z * _inflated(wrong.astype(np.float64), groups)
    ).high
    cost = (float(seen.sum()) + unseen) / (len(seen) + 1)
    spread = float(seen.std()) if len(seen) > 1 else unseen / 2
    mean = (1 - most) * (float(usual.mean()) if len(usual) else 0.0) + most * cost
    above = max(mean - float(losses_N.mean()), 0.0)
    return math.hypot(above, most * Z * spread / math.sqrt(len(seen) + 1))


def _cost_of_a_mistake(probs_NK: Floats) -> float:
    """The mean loss were another class than the likeliest right, as likely as the net says.

    Items are weighed by the root of the chance that the net itself gives to that: a calibrated net makes its mistakes
    where it is unsure, one that is too sure also elsewhere.
    """
    rest = probs_NK.astype(np.float64)
    rest[np.arange(len(rest)), rest.argmax(1)] = 0
    rest = np.clip(rest, 1e-12, None)
    cost = -(rest * np.log(rest)).sum(1) / rest.sum(1)
    return float(np.average(cost, weights=np.sqrt(rest.sum(1))))


def recalls(truth_N: Ints, right_N: Floats, k: int, groups: Groups = None) -> list[Interval]:
    """Of each class the share of its items that are right; without interval for fewer than five items or groups."""
    order = np.argsort(truth_N, kind="stable")
    ends = np.searchsorted(truth_N[order], np.arange(k + 1))
    found: list[Interval] = []
    for start, end in pairwise(ends.tolist()):
        mine = order[start:end]
        units = None if groups is None else np.unique(groups[mine], return_inverse=True)[1]
        found.append(
            _few(share(right_N[mine], units), len(mine) if units is None else _count(units))
        )
    return found


def per_class(
    confusion_KK: Ints, classes: Sequence[str], recall_K: Sequence[Interval] | None = None
) -> list[dict[str, Any]]:
    """One row a class: support, recall with its interval, precision, F1; None where no items are behind it.

    Args:
        confusion_KK: counts, rows truth, columns answers.
        classes: K names.
        recall_K: as `recalls` has them; Wilson's for items that stand alone if not given.
    """
    hit, support, given = np.diag(confusion_KK), confusion_KK.sum(1), confusion_KK.sum(0)
    if recall_K is None:
        recall_K = [_few(wilson(int(h), int(n)), int(n)) for h, n in zip(hit, support, strict=True)]
    rows: list[dict[str, Any]] = []
    for i, (label, recall) in enumerate(zip(classes, recall_K, strict=True)):
        there = bool(support[i])
        rows.append(
            {
                "label": label,
                "support": int(support[i]),
                "recall": number(recall.value),
                "low": number(recall.low),
                "high": number(recall.high),
                "precision": float(hit[i] / given[i]) if there and given[i] else None,
                "f1": float(2 * hit[i] / (support[i] + given[i])) if there else None,
            }
        )
    return rows


def _few(found: Interval, units: int) -> Interval:
    return found if units >= FEWEST else Interval(found.value)


def _count(groups: NDArray[np.integer]) -> int:
    return len(np.unique(groups))


def _without_intervals(
    scores: dict[str, Interval], truth_N: Ints, classes: Sequence[str], groups: Groups
) -> list[str]:
    units, word = (len(truth_N), "items") if groups is None else (_count(groups), "groups")
    if note := too_few(len(truth_N), groups):
        scores.update({name: Interval(found.value) for name, found in scores.items()})
        return note
    pairs = truth_N if groups is None else np.unique(truth_N * units + groups) // units
    count = np.bincount(pairs, minlength=len(classes))
    rare = [name for name, n in zip(classes, count, strict=True) if 0 < n < FEWEST]
    if not rare:
        return []
    taken = [name for name in AVERAGES if name in scores]
    scores.update({name: Interval(scores[name].value) for name in taken})
    listed = ", ".join(rare[:LISTED]) + (", ..." if len(rare) > LISTED else "")
    note = (
        f"no interval for {', '.join(taken)}: {len(rare)} of {len(classes)} classes have fewer than "
        f"{FEWEST} {word} ({listed})"
    )
    return [note]
