"""The jackknife beneath the intervals: against leaving items out one by one, and against Student's interval."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from striate.metrics.intervals import Interval, bounded, freedom, mean, mean_ratio, ratios


def counts(items=15, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    wholes = rng.integers(0, 50, (items, classes))
    return rng.binomial(wholes, rng.uniform(0.3, 0.9, (items, 1))), wholes


def spread(parts, wholes):
    """Of a mean of ratios, by leaving every item out in turn."""
    value = (parts.sum(0) / wholes.sum(0)).mean()
    kept = ~np.eye(len(parts), dtype=bool)
    moves = [value - (parts[k].sum(0) / wholes[k].sum(0)).mean() for k in kept]
    n = len(parts)
    return value, math.sqrt((n - 1) / n * float(np.square(moves).sum())), np.square(moves)


@pytest.mark.parametrize("classes", [1, 4])
def test_the_interval_is_that_of_leaving_items_out(classes):
    parts, wholes = counts(classes=classes)
    value, deviation, squares = spread(parts, wholes)
    found = mean_ratio(parts, wholes, scale="real")
    half = stats.t.ppf(0.975, freedom(squares)) * deviation
    assert (found.value, found.low, found.high) == pytest.approx(
        (value, value - half, value + half)
    )
    logit = mean_ratio(parts, wholes)
    middle, reach = math.log(value / (1 - value)), half / value / (1 - value)
    ends = [1 / (1 + math.exp(-middle - side * reach)) for side in (-1, 1)]
    assert (logit.low, logit.high) == pytest.approx(ends)


def test_the_interval_of_a_mean_of_normal_numbers_is_nearly_students():
    values = np.random.default_rng(1).normal(size=60)
    low, high = stats.t.interval(0.95, 59, values.mean(), stats.sem(values))
    found = mean(values)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)


def test_degrees_of_freedom_fall_where_few_items_carry_a_score():
    assert freedom(np.ones(30)) == 29
    assert freedom(np.eye(30)[0]) == pytest.approx(2, abs=0.1)
    few = freedom(np.r_[np.ones(4), np.full(96, 1e-6)])
    assert 6 < few < 10
    carried, even = np.r_[np.ones(3), np.zeros(97)], np.tile([0.03, 0.0], 50) + 0.015
    narrow, wide = mean(even), mean(carried)
    assert (wide.high - wide.low) / carried.std() > 1.15 * (narrow.high - narrow.low) / even.std()


def test_a_class_in_one_item_takes_the_variance_of_the_others():
    parts, wholes = counts(classes=3)
    wholes[1:, 2] = parts[1:, 2] = 0
    wholes[0, 2], parts[0, 2] = 40, 20
    known, whole = (
        mean_ratio(parts[:, :2], wholes[:, :2], scale="real"),
        mean_ratio(parts, wholes, scale="real"),
    )
    assert whole.high - whole.low > known.high - known.low
    assert not mean_ratio(parts[:, 2:], wholes[:, 2:]).known
    assert [found.known for found in ratios(parts, wholes)] == [True, True, False]


@pytest.mark.parametrize("scale", ["share", "positive", "real"])
def test_items_that_do_not_differ_have_no_interval(scale):
    same = mean(np.full(20, 0.5), scale=scale)
    assert same.value == 0.5
    assert not same.known
    assert not bounded(0.0, 0.0, 5, scale).known


def test_ends_stay_in_the_range_of_the_score():
    high = np.r_[np.full(19, 0.99), 0.2]
    share, positive = mean(high, scale="share"), mean(50 * high, scale="positive")
    assert 0 < share.low < share.high < 1
    assert positive.low > 0
    assert mean(high).high > 1


def test_what_is_not_known_is_none_in_json_and_comes_back():
    found = Interval(0.5)
    assert found.as_dict() == {"value": 0.5, "low": None, "high": None}
    back = Interval.of(found.as_dict())
    assert (back.value, math.isnan(back.low), math.isnan(back.high)) == (0.5, True, True)
    assert Interval(math.nan).as_dict()["value"] is None
    assert Interval.of({"value": 0.5, "low": 0.4, "high": 0.6}) == Interval(0.5, 0.4, 0.6)


def test_importing_the_scores_takes_no_statistics_along():
    code = "import sys, striate.metrics; print(*(name for name in sys.modules if name.startswith(('scipy', 'torch', 'sklearn'))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
