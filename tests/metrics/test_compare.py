"""Paired differences: p against exact tests, intervals against simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from striate.errors import ShapeError
from striate.metrics.compare import paired
from striate.metrics.gain import gains


def test_no_difference_is_certain():
    scores = np.random.default_rng(0).random(30)
    assert paired(scores, scores) == (0, 0, 0, 1)


def test_a_constant_difference_has_no_width_and_a_small_p():
    scores = np.random.default_rng(0).integers(5, size=30) / 4
    found = paired(scores, scores + 0.25)
    assert found[:3] == (0.25, 0.25, 0.25)
    assert found.p < 0.001


@pytest.mark.parametrize("seed", range(6))
def test_p_of_right_and_wrong_answers_is_that_of_mcnemar(seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.random(60) < share for share in (0.9, 0.85))
    found = paired(a.astype(float), b.astype(float))
    better, worse = int((b & ~a).sum()), int((a & ~b).sum())
    exact = stats.binomtest(better, better + worse).pvalue
    assert found.p == pytest.approx(exact, abs=0.01 if better + worse > 14 else 1e-9)
    assert found.value == pytest.approx((better - worse) / 60)


@pytest.mark.parametrize("count", [12, 200, 3000])
def test_p_of_normal_differences_is_nearly_that_of_students_test(count):
    rng = np.random.default_rng(count)
    a = rng.normal(size=count)
    b = a + rng.normal(0.05, 1, count)
    assert paired(a, b).p == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.02)
    assert paired(b, a).p == paired(a, b).p


def test_items_without_a_score_do_not_count():
    a, b = np.arange(10.0), np.arange(10.0) ** 2
    gaps_a, gaps_b = np.append(a, [math.nan, 1]), np.append(b, [1, math.nan])
    assert paired(gaps_a, gaps_b) == paired(a, b)
    nothing = paired(np.full(9, math.nan), np.zeros(9))
    assert all(math.isnan(number) for number in nothing)


def test_few_items_or_groups_have_a_difference_alone():
    a, b = np.zeros(4), np.array([1.0, 2, 3, 6])
    few = paired(a, b)
    assert few.value == 3
    assert math.isnan(few.low)
    assert math.isnan(few.p)
    assert math.isnan(paired(np.zeros(40), np.arange(40.0), np.arange(40) // 10).p)


def test_groups_move_together():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 25))
    alone = paired(a, b)
    together = paired(np.repeat(a, 4), np.repeat(b, 4), np.repeat(np.arange(25), 4))
    assert together == pytest.approx(alone)
    with pytest.raises(ShapeError, match=r"^paired: got \[3\] and \[4\], expected"):
        paired(np.zeros(3), np.zeros(4))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_difference_of_shares_has_no_end_beyond_a_hundred_points(sign):
    a, b = np.zeros(6), np.array([1.0, 1, 1, 1, 0, 1])
    loose, kept = (paired(sign * a, sign * b, score=score) for score in ("mae", "accuracy"))
    assert max(abs(loose.low), abs(loose.high)) > 1
    assert -1 <= kept.low <= kept.value <= kept.high <= 1
    assert 1 in (abs(kept.low), abs(kept.high))
    assert (kept.value, kept.p) == (loose.value, loose.p)
    assert paired(a, 3 * b, score="mape").high > 3  # a percentage error may be more
    single, averaged = ([{"accuracy": v} for v in values.tolist()] for values in (a, b))
    assert gains("alone", single, averaged)[0].difference.high == 1


CASES = {
    "normal": lambda rng, n: rng.normal(0.2, 1, n),
    "skew": lambda rng, n: rng.exponential(size=n) - 0.8,
    "right or wrong": lambda rng, n: rng.choice([1.0, 0, -1], n, p=[0.1, 0.85, 0.05]),
    "no difference": lambda rng, n: rng.choice([1.0, 0, -1], n, p=[0.1, 0.8, 0.1]),
}
MEANS = {"normal": 0.2, "skew": 0.2, "right or wrong": 0.05, "no difference": 0}


@pytest.mark.parametrize("count", [20, 100])
@pytest.mark.parametrize("case", CASES)
def test_intervals_cover_and_p_rejects_no_more_than_it_says(case, count):
    rng = np.random.default_rng(0)
    found = [paired(np.zeros(count), CASES[case](rng, count)) for _ in range(120)]
    assert sum(each.low <= MEANS[case] <= each.high for each in found) >= 108
    if case == "no difference":
        assert sum(each.p < 0.05 for each in found) <= 10
