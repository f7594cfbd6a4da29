"""Average precision of ranked items: the mean, over the items of a class, of the precision down to each. N items, G units.

AP = sum of (R_g - R_(g-1)) P_g over the distinct scores g, without interpolation, as scikit-learn has it; of 101 recalls,
as COCO has it, see `striate.metrics.detect`. The interval is Wilson's for as many items as give the variance of the
delete-one jackknife over items or groups, with half a mistake among all items more: where hardly an item is misplaced,
one more or less changes the picture. benchmarks/coverage.py simulates how often it holds.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.metrics.intervals import FEWEST, Floats, freedom, of_variance, unit_sums
from striate.metrics.scores import Interval

Groups = NDArray[np.integer] | None


class Ranked(NamedTuple):
    """The average precision of a class, and what it loses when an item is left out [N]; nan where it is then undefined."""

    value: float
    moves: Floats


def ranked(score_N: Floats, positive_N: NDArray[np.bool_]) -> Ranked:
    """Average precision of the order of scores, the largest first; items of equal scores count together.

    Args:
        score_N: how sure it is of each item that it is of the class.
        positive_N: which are.

    >>> ranked(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])).value
    0.8333333333333333
    """
    total = int(positive_N.sum())
    if not total:
        return Ranked(math.nan, np.full(len(score_N), math.nan))
    _, place = np.unique(-score_N, return_inverse=True)
    count = np.bincount(place)
    hits = np.bincount(place, positive_N)
    down, right = count.cumsum(), hits.cumsum()
    rest = np.maximum(down - 1, 1)  # one fewer; where that is none, nothing is multiplied by it
    kept = hits * right / down
    before = kept.cumsum() - kept
    without_right, without_wrong = hits * (right - 1) / rest, hits * right / rest
    below = without_right.sum() - without_right.cumsum()
    own = np.maximum(hits - 1, 0) * (right - 1) / rest
    value = float(kept.sum() / total)
    left_out = (before + own + below) / (total - 1 or math.nan)
    upper = without_wrong.sum() - without_wrong.cumsum() + without_wrong
    mistaken = (before + upper) / total
    return Ranked(value, value - np.where(positive_N, left_out[place], mistaken[place]))


def average_precision(
    scores_NK: Floats, positive_NK: NDArray[np.bool_], groups: Groups = None
) -> Interval:
    """The mean over the classes that occur; without interval where one is in, or is not in, fewer than five items or groups.

    Args:
        scores_NK: how sure it is of each item that it is of each class.
        positive_NK: of which classes each is.
        groups: a number an item; items of one group are left out together.
    """
    there = np.flatnonzero(positive_NK.any(0))
    if not len(there):
        return Interval(math.nan)
    each = [ranked(scores_NK[:, k], positive_NK[:, k]) for k in there]
    value = float(np.mean([one.value for one in each]))
    sides = (positive_NK[:, k] == side for k in there for side in (True, False))
    if any(units_of(side, groups) < FEWEST for side in sides):
        return Interval(value)
    squares = unit_sums(np.mean([one.moves for one in each], 0), groups) ** 2
    # Items behind the mean, were the classes alike.
    least = len(there) ** 2 / float((1 / positive_NK[:, there].sum(0)).sum())
    unseen = 0.5 / (least * len(positive_NK))
    return of_variance(value, float(squares.sum()) + unseen, freedom(squares), least)


def units_of(which_N: NDArray[np.bool_], groups: Groups = None) -> int:
    """How many items, or groups of them, are marked."""
    return int(which_N.sum()) if groups is None else len(np.unique(groups[which_N]))
