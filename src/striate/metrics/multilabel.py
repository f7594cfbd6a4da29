"""Scores of any number of labels an item. N items, G units (items, or groups of them), K classes.

Each class is told from all others. Averages are over the classes that are there: average precision, F1 and sensitivity over
those with an item, specificity over those that an item lacks. Intervals cover 95 % as in `striate.metrics.classify`, whose
means of ratios these are; average precision as in `striate.metrics.average_precision`. With fewer than five units no score
has an interval, and no average over classes has one where a class is in, or is lacking in, fewer than five.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.metrics.average_precision import average_precision, ranked, units_of
from striate.metrics.classify import Parts, average_of_ratios, share, share_of, with_ends
from striate.metrics.intervals import FEWEST, Floats, mean, too_few
from striate.metrics.scores import Interval, number

LISTED = 5  # classes that a note names
AVERAGES = ("average_precision", "f1", "sensitivity", "specificity")

Bools = NDArray[np.bool_]
Groups = NDArray[np.integer] | None


class Answers(NamedTuple):
    """What is known of items: probabilities [N, K], the labels that they have [N, K], and those that were said [N, K]."""

    probs: Floats
    truth: Bools
    said: Bools

    @property
    def losses(self) -> Floats:
        """Binary cross-entropy of each item in nats, the mean over its classes [N]."""
        chance = np.where(self.truth, self.probs, 1.0 - self.probs).astype(np.float64)
        return -np.log(chance.clip(1e-12)).mean(1)

    @property
    def right(self) -> Floats:
        """1 for an item of which every label is right [N]."""
        return (self.truth == self.said).all(1).astype(np.float64)


def values(found: Answers) -> dict[str, float]:
    """What is watched epoch by epoch, without intervals: loss, mean average precision, share of items with all labels right."""
    there = np.flatnonzero(found.truth.any(0))
    each = [ranked(found.probs[:, k], found.truth[:, k]).value for k in there]
    return {
        "loss": float(found.losses.mean()),
        "average_precision": float(np.mean(each)) if each else float("nan"),
        "subset_accuracy": float(found.right.mean()),
    }


def scores(
    found: Answers, classes: Sequence[str], groups: Groups = None
) -> tuple[dict[str, Interval], list[str]]:
    """All scores with intervals, and notes on those without.

    Args:
        found: the answers.
        classes: K names.
        groups: a number an item; items of one group are no independent observations.
    """
    probs, truth, said = found
    unit = np.arange(len(truth)) if groups is None else np.unique(groups, return_inverse=True)[1]
    each = {
        "average_precision": average_precision(probs, truth, groups),
        "f1": _mean_f1(truth, said, unit),
        "sensitivity": _mean_share(truth, said, unit),
        "specificity": _mean_share(~truth, ~said, unit),
        "subset_accuracy": share(found.right, None if groups is None else unit),
        "loss": mean(found.losses, groups, scale="positive"),
    }
    if notes := too_few(len(truth), groups):
        return {name: Interval(one.value) for name, one in each.items()}, notes
    rare = [
        name
        for k, name in enumerate(classes)
        if truth[:, k].any()
        and min(units_of(truth[:, k] == side, groups) for side in (True, False)) < FEWEST
    ]
    if not rare:
        return each, []
    each |= {name: Interval(each[name].value) for name in AVERAGES}
    listed = ", ".join(rare[:LISTED]) + (", ..." if len(rare) > LISTED else "")
    word = "items" if groups is None else "groups"
    note = (
        f"no interval for {', '.join(AVERAGES)}: {len(rare)} of {len(classes)} labels are in, or lacking in, fewer than "
        f"{FEWEST} {word} ({listed})"
    )
    return each, [note]


def _mean_share(truth: Bools, said: Bools, unit: NDArray[np.integer]) -> Interval:
    """The mean over classes of the share of their items that were said to be of them."""
    item, kind = np.nonzero(truth)
    hit = said[item, kind].astype(np.float64)
    return average_of_ratios(Parts(unit[item], kind, hit, np.ones(len(hit))))


def _mean_f1(truth: Bools, said: Bools, unit: NDArray[np.integer]) -> Interval:
    """The mean over the classes that occur of 2 TP / (2 TP + FP + FN)."""
    item, kind = np.nonzero((truth | said) & truth.any(0))
    both = truth[item, kind] & said[item, kind]
    return average_of_ratios(Parts(unit[item], kind, 2.0 * both, 1.0 + both))


def per_class(
    found: Answers, classes: Sequence[str], groups: Groups = None
) -> list[dict[str, Any]]:
    """A row a class: support, average precision with `low` and `high`, F1, precision, sensitivity, specificity.

    The last two have intervals of their own, such as sensitivity_low. None where no item is behind a number.
    """
    return [
        {"label": label, **_row(found.probs[:, k], found.truth[:, k], found.said[:, k], groups)}
        for k, label in enumerate(classes)
    ]


def _row(score_N: Floats, truth_N: Bools, said_N: Bools, groups: Groups) -> dict[str, Any]:
    hit, support, given = (int(each.sum()) for each in (truth_N & said_N, truth_N, said_N))
    area = average_precision(score_N[:, None], truth_N[:, None], groups)
    named = {
        "sensitivity": share_of(truth_N, said_N, groups),
        "specificity": share_of(~truth_N, ~said_N, groups),
    }
    return {
        "support": support,
        "average_precision": number(area.value),
        "low": number(area.low),
        "high": number(area.high),
        "f1": 2 * hit / (support + given) if support else None,
        "precision": hit / given if support and given else None,
        **with_ends(named),
    }
