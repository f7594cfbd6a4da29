"""From which probability on an item is said to be of a class, chosen on items whose truth is known. N items.

Youden 1950, Index for rating diagnostic tests, for the balanced accuracy; Lipton et al. 2014, arXiv 1402.1892, for F1.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from striate.metrics.intervals import FEWEST, Floats

EDGE = 1e-6  # how near to 0 or 1 a threshold is taken to be at most, where the score of that probability is wanted
USUAL = 0.5  # where nothing can be chosen

By = Literal["balanced_accuracy", "f1"]


def enough(positive_N: NDArray[np.bool_], *, least: int = FEWEST, alone: bool = False) -> bool:
    """Whether items can choose a threshold: so many of the class, and unless those do alone, so many that are not of it."""
    found = int(positive_N.sum())
    return found >= least and (alone or len(positive_N) - found >= least)


def best(
    score_N: Floats,
    positive_N: NDArray[np.bool_],
    by: By,
    *,
    least: int = FEWEST,
    total: int | None = None,
    usual: float = USUAL,
) -> float:
    """The threshold with the largest score; of several equally good ones the nearest to the usual one.

    It lies in the middle between two probabilities that occur, or half of the smallest. The usual one where hardly an item
    is of the class, or hardly one is not: a few items choose nothing but themselves.

    Args:
        score_N: probabilities of the class; an item of at least the threshold is said to be of it.
        positive_N: which are.
        by: what is made as large as possible.
        least: items that must be of the class, and so many that must not.
        total: how many there are of the class, where some have no probability, such as objects that no box meets; then
            none needs not to be of it. With F1 alone.
        usual: what is given where nothing can be chosen.

    >>> best(np.array([0.1, 0.2, 0.3, 0.9]), np.array([False, False, True, True]), "f1", least=1)
    0.25
    """
    found = int(positive_N.sum())
    others = len(positive_N) - found
    if not enough(positive_N, least=least, alone=total is not None):
        return usual
    total = found if total is None else total
    values, place = np.unique(score_N.astype(np.float64), return_inverse=True)
    hits = np.bincount(place, positive_N)[::-1].cumsum()[::-1]
    said = np.bincount(place)[::-1].cumsum()[::-1]
    cuts = (values + np.concatenate([[0.0], values[:-1]])) / 2
    merit = 2 * hits / (said + total) if by == "f1" else hits / total - (said - hits) / others
    good = cuts[merit >= merit.max() - 1e-12]
    return float(good[np.abs(good - usual).argmin()])
