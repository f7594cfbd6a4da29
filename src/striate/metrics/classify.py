"""Scores of a classification. N items, K classes.

Intervals cover 95 %. Shares of items: Wilson (1927). Averages over classes (balanced accuracy, F1):
percentiles of draws from each class's posterior, a Dirichlet whose prior is one answer in all, half of it
right and half of it wrong, spread evenly over the classes, so that nothing is ever certain. AUROC of a class: Newcombe (2006), Confidence intervals for an effect size measure based on
the Mann-Whitney statistic, part 2, method 5, which keeps a width where no item is misplaced; of the mean over
classes: the distances to the ends added up as Zou and Donner (2008) do, with the correlations of DeLong et al.
(1988), of which those without spread have none. Calibration error: bootstrap. Loss: normal, from the spread over items.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from striate.metrics.scores import Interval, Scores

Z = 1.959964  # the normal quantile that leaves 2.5 % on each side
CALIBRATION_BINS = 15
DRAWN = 20_000_000  # cells of confusion matrices drawn for an interval, at most a thousand of them

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]


def score(
    probs_NK: Floats,
    truth_N: Ints,
    *,
    classes: Sequence[str],
    run: str = "",
    data: str = "",
    split: str = "",
) -> Scores:
    """All scores of predicted probabilities against the truth.

    Args:
        probs_NK: one row an item, summing to one.
        truth_N: class numbers 0..K-1.
        classes: K names.
        run: the folder of the run, for the record.
        data: where the items came from, for the record.
        split: which part of the data, for the record.
    """
    probs = probs_NK.astype(np.float64)
    answer = probs.argmax(1)
    confusion = confusion_matrix(truth_N, answer, len(classes))
    right = (answer == truth_N).astype(np.float64)
    chance = np.clip(probs[np.arange(len(truth_N)), truth_N], 1e-12, None)
    balanced, f1 = class_averages(confusion)
    scores = {"accuracy": wilson(int(right.sum()), len(right))}
    if len(classes) > 5:
        top = np.argpartition(probs, -5, axis=1)[:, -5:]
        scores["top5"] = wilson(int((top == truth_N[:, None]).any(1).sum()), len(right))
    scores |= {"balanced_accuracy": balanced, "f1": f1}
    if (area := auroc(probs, truth_N)) is not None:
        scores["auroc"] = area
    scores |= {"ece": calibration_error(probs.max(1), right), "loss": mean(-np.log(chance))}
    return Scores(run, data, split, len(right), scores, per_class(confusion, classes), confusion)


def confusion_matrix(truth_N: Ints, answer_N: Ints, k: int) -> Ints:
    """[K, K] counts, rows truth, columns answers."""
    return np.bincount(truth_N * k + answer_N, minlength=k * k).reshape(k, k).astype(np.int64)


def wilson(right: int, n: int) -> Interval:
    """Share of `n` items with Wilson's interval.

    >>> wilson(98, 100)
    Interval(value=0.98, low=0.92999..., high=0.99449...)
    """
    if n == 0:
        return Interval(math.nan, 0.0, 1.0)
    p, zz = right / n, Z * Z / n
    middle = (p + zz / 2) / (1 + zz)
    half = Z * math.sqrt(p * (1 - p) / n + zz / (4 * n)) / (1 + zz)
    return Interval(p, max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half)))


def mean(values_N: Floats) -> Interval:
    """Mean of values that are never negative, with its normal interval."""
    value = float(values_N.mean())
    half = Z * float(values_N.std(ddof=1)) / math.sqrt(len(values_N)) if len(values_N) > 1 else 0.0
    return Interval(value, max(0.0, value - half), value + half)


def class_averages(confusion_KK: Ints) -> tuple[Interval, Interval]:
    """Balanced accuracy and macro F1 over the classes that occur."""
    confusion = confusion_KK.astype(np.float64)
    present = confusion.sum(1) > 0
    k = len(confusion)
    prior = np.full((k, k), 0.5 / (k * max(k - 1, 1)))
    np.fill_diagonal(prior, 0.5 / k)
    seen = present | (confusion.sum(0) > 0)
    draws, at_once = (int(np.clip(cells / (k * k), 1, 1000)) for cells in (DRAWN, DRAWN / 10))
    rng = np.random.default_rng(0)  # fixed: the same items give the same interval
    parts: list[tuple[Floats, Floats]] = []
    for start in range(0, draws, at_once):
        shape = (min(at_once, draws - start), k, k)
        rows = rng.standard_gamma(np.broadcast_to(confusion + prior, shape))
        rows *= (confusion.sum(1) / rows.sum(2).clip(1e-12))[:, :, None]
        parts.append(_averages(rows, present, seen))
    recalls, f1s = (np.concatenate(each) for each in zip(*parts, strict=True))
    (recall,), (f1,) = _averages(confusion[None], present, seen)
    return _percentiles(float(recall), recalls), _percentiles(float(f1), f1s)


def _averages(
    confusion_DKK: Floats, present_K: NDArray[np.bool_], seen_K: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Balanced accuracy over the classes present, macro F1 over those present or answered; of D matrices."""
    hit = np.diagonal(confusion_DKK, axis1=1, axis2=2)
    support, given = confusion_DKK.sum(2), confusion_DKK.sum(1)
    recall = hit[:, present_K] / support[:, present_K]
    total = (support + given)[:, seen_K]
    f1 = np.divide(2 * hit[:, seen_K], total, out=np.zeros_like(total), where=total > 0)
    return recall.mean(1), f1.mean(1)


def _percentiles(value: float, draws: Floats) -> Interval:
    low, high = np.percentile(draws, [2.5, 97.5])
    return Interval(value, float(min(low, value)), float(max(high, value)))


def auroc(probs_NK: Floats, truth_N: Ints) -> Interval | None:
    """Area under the ROC curve, one class against the rest, mean over classes; None if undefined.

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
    below, above = np.sqrt(shared_N2.var(0) + alone_2).tolist()
    return Interval(
        value, max(0.0, value - below / len(areas)), min(1.0, value + above / len(areas))
    )


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
    """The area of one class and what each item adds to its error."""
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


def calibration_error(confidence_N: Floats, right_N: Floats, *, draws: int = 200) -> Interval:
    """Expected calibration error in 15 equal bins (Guo et al. 2017), with its bootstrap interval."""
    n = len(right_N)
    bins = np.minimum((confidence_N * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gap_N = right_N - confidence_N

    def error(index: Ints | slice) -> float:
        sums = np.bincount(bins[index], gap_N[index], minlength=CALIBRATION_BINS)
        return float(np.abs(sums).sum() / n)

    rng = np.random.default_rng(0)
    return _percentiles(
        error(slice(None)), np.array([error(rng.integers(n, size=n)) for _ in range(draws)])
    )


def per_class(confusion_KK: Ints, classes: Sequence[str]) -> list[dict[str, float | int | str]]:
    """One row a class: support, recall with Wilson's interval, precision, F1."""
    hit, support, given = np.diag(confusion_KK), confusion_KK.sum(1), confusion_KK.sum(0)
    rows: list[dict[str, float | int | str]] = []
    for i, label in enumerate(classes):
        recall = wilson(int(hit[i]), int(support[i]))
        rows.append(
            {
                "label": label,
                "support": int(support[i]),
                "recall": recall.value if support[i] else 0.0,
                "low": recall.low,
                "high": recall.high,
                "precision": float(hit[i] / given[i]) if given[i] else 0.0,
                "f1": float(2 * hit[i] / max(support[i] + given[i], 1)),
            }
        )
    return rows
