"""Errors of numbers: values against scikit-learn, intervals against simulation."""

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from striate.errors import ArgumentError, ShapeError
from striate.metrics.regress import RegressMeter


def metered(count=40, k=2, seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    targets = rng.normal(3, 1, (count, k)) * 10.0 ** np.arange(k)
    meter = RegressMeter([f"output {i}" for i in range(k)])
    meter.add(targets + noise * rng.normal(size=(count, k)) * 10.0 ** np.arange(k), targets)
    return meter


@pytest.mark.parametrize("k", [1, 3])
def test_values_are_those_of_scikit_learn(k):
    meter = metered(k=k)
    answers, targets = meter.state()["answers"], meter.state()["targets"]
    assert meter.values() == pytest.approx(
        {
            "mae": reference.mean_absolute_error(targets, answers),
            "rmse": reference.root_mean_squared_error(targets, answers),
            "mape": reference.mean_absolute_percentage_error(targets, answers),
            "r2": reference.r2_score(targets, answers),
        }
    )
    rows = meter.per_output()
    assert [row["bias"] for row in rows] == pytest.approx((answers - targets).mean(0).tolist())
    assert rows[-1]["low"] < rows[-1]["mae"] < rows[-1]["high"]


def test_every_interval_holds_its_value_and_its_range():
    for score in metered().scores().values():
        assert score.low < score.value < score.high
    scores = metered(noise=0.01).scores()
    assert scores["mae"].low > 0
    assert scores["r2"].high < 1


def test_what_has_no_target_does_not_count():
    part = RegressMeter(["output 0", "output 1"])
    rows = metered(k=2).state()
    rows["targets"][5:, 1] = math.nan
    rows["targets"][7] = math.nan
    part.merge(rows)
    first, second = part.per_output()
    assert (first["support"], second["support"]) == (39, 5)
    kept = np.delete(np.arange(40), 7)
    assert first["mae"] == pytest.approx(
        np.abs((rows["answers"] - rows["targets"])[kept, 0]).mean()
    )
    assert math.isnan(part.item_scores(np.ones(2), np.full(2, math.nan))["mae"])
    none = RegressMeter(["x"])
    assert all(math.isnan(value) for value in none.values().values())
    none.add(np.array([[1.0]]), np.array([[0.0]]))
    assert math.isnan(none.values()["mape"])  # a share of nothing
    assert none.values()["mae"] == 1
    assert none.per_output()[0]["r2"] is None


def test_item_scores_are_errors_over_its_outputs():
    found = RegressMeter("ab").item_scores(np.array([3.0, 1.0]), np.array([2.0, 4.0]))
    assert found == pytest.approx({"mae": 2, "mse": 5, "mape": (1 / 2 + 3 / 4) / 2})


def test_meters_add_up_and_travel_as_arrays():
    whole = metered()
    parts = whole.state()
    meter = RegressMeter(whole.names)
    meter.add(parts["answers"][:9], parts["targets"][:9])
    other = RegressMeter(whole.names)
    other.add(parts["answers"][9:], parts["targets"][9:])
    meter.merge(other.state())
    assert len(meter) == 40
    assert meter.scores() == whole.scores()
    with pytest.raises(ShapeError, match=r"^answers: got .*, expected \[rows, 1\]"):
        RegressMeter(["x"]).merge(whole.state())


def test_few_items_or_groups_have_no_interval():
    assert not any(score.known for score in metered(count=4).scores().values())
    assert not any(score.known for score in metered().scores(np.arange(40) // 10).values())
    meter = metered()
    rows = {name: np.repeat(each, 5, 0) for name, each in meter.state().items()}
    more = RegressMeter(meter.names)
    more.merge(rows)
    again = more.scores(np.repeat(np.arange(40), 5))
    for name, score in meter.scores().items():
        assert (again[name].low, again[name].high) == pytest.approx((score.low, score.high))


@pytest.mark.parametrize(
    ("answers", "targets", "error", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 3)), ShapeError, r"got answers \[2, 3\] and targets \[2, 3\]; expected \[items, 2\]"),
        (np.zeros((3, 2)), np.zeros((2, 2)), ShapeError, r"got answers \[3, 2\] and targets \[2, 2\]"),
        (np.full((1, 2), math.nan), np.zeros((1, 2)), ArgumentError, "got nan or infinity among the answers"),
        (np.zeros((1, 2)), np.full((1, 2), math.inf), ArgumentError, "or an infinite target"),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_scored_are_refused(answers, targets, error, message):
    meter = RegressMeter("ab")
    with pytest.raises(error, match=message):
        meter.add(answers, targets)
    assert len(meter) == 0
