"""Whether one net scores better than another on the same items. N items, G units (items or groups of them)."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.errors import ShapeError
from striate.metrics.intervals import FEWEST, Floats, mean, unit_sums
from striate.metrics.scores import is_share

WHOLE = 14  # units up to which all signs are tried
MANY = 1000  # units from which the sum of random signs is taken as normal
DRAWS = 10_000


class Difference(NamedTuple):
    """A mean difference with its 95 % interval, and how often chance alone brings one as large."""

    value: float
    low: float
    high: float
    p: float


def paired(
    a_N: Floats,
    b_N: Floats,
    groups: NDArray[np.integer] | None = None,
    *,
    score: str = "",
) -> Difference:
    """The mean of b - a over the items that have both scores.

    The interval comes from items, or groups of them, left out, with Satterthwaite's degrees of freedom: scores that
    differ on few items have a wide one. p is that of random signs (Fisher 1935, section 21): if neither net is
    better, the difference of a unit might as well have the other sign. All signs of up to 14 units are tried, else
    10,000 drawn ones (so p is at least 0.0001); from 1,000 units on their sum is normal. Of right and wrong
    answers this is McNemar's exact test. No interval and no p with fewer than five units; nan is what is not known.

    Args:
        a_N: the first net's score of each item, nan where it has none.
        b_N: the second net's.
        groups: a number an item; items of one group are left out, and change their sign, together.
        score: whose values they are, or their negatives; the ends of an interval of a share are -1 to 1.

    Raises:
        ShapeError: not the same items.
    """
    if a_N.shape != b_N.shape or a_N.ndim != 1:
        raise ShapeError(
            f"paired: got {list(a_N.shape)} and {list(b_N.shape)}, expected a score of each of the same items"
        )
    both = ~(np.isnan(a_N) | np.isnan(b_N))
    differences = b_N[both].astype(np.float64) - a_N[both]
    groups = None if groups is None else groups[both]
    sums_G = unit_sums(differences, groups)
    if len(sums_G) < FEWEST:
        value = float(differences.mean()) if len(differences) else math.nan
        return Difference(value, math.nan, math.nan, math.nan)
    found = mean(differences, groups)
    low, high = (found.low, found.high) if found.known else (found.value, found.value)
    if is_share(score) and max(np.abs(a_N[both]).max(), np.abs(b_N[both]).max()) <= 1:
        low, high = max(low, -1.0), min(high, 1.0)  # a percentage error may be more
    return Difference(found.value, low, high, sign_p(sums_G))


def sign_p(sums_G: Floats) -> float:
    """How often sums with random signs are as far from zero as theirs, both sides together."""
    moving = sums_G[sums_G != 0]
    total = abs(float(moving.sum()))
    if not len(moving):
        return 1.0
    if len(moving) >= MANY:
        return math.erfc(total / math.sqrt(2 * float((moving**2).sum())))
    least = total - 1e-9 * float(np.abs(moving).sum())  # sums that are equal but for rounding
    if len(moving) <= WHOLE:
        bits = np.arange(2 ** len(moving))[:, None] >> np.arange(len(moving)) & 1
        return float((np.abs((2 * bits - 1) @ moving) >= least).mean())
    rng = np.random.default_rng(0)  # fixed: the same scores give the same p
    signs = rng.integers(0, 2, (DRAWS, len(moving)), np.int8) * 2.0 - 1
    return float(1 + (np.abs(signs @ moving) >= least).sum()) / (1 + DRAWS)
