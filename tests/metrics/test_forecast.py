"""Scores of forecasts against plain sums, and how often their intervals hold on series whose errors are alike."""

import numpy as np
import pytest

from striate.errors import ShapeError
from striate.metrics.forecast import ForecastMeter, blocks, errors_of, steps_of


def counted(forecasts, truths, methods=("net", "other")):
    meter = ForecastMeter(truths.shape[1], methods)
    meter.add(forecasts, truths, np.arange(len(truths)))
    return meter


def example(n=60, nodes=3, horizon=4):
    rng = np.random.default_rng(0)
    truths = rng.normal(5, 2, (n, horizon, nodes))
    truths[3, 1, 0] = np.nan
    truths[5, 2, 2] = 0
    return rng.normal(5, 2, (n, 2, horizon, nodes)), truths


def test_scores_are_sums_over_what_is_known():
    forecasts, truths = example()
    meter = counted(forecasts, truths)
    error = np.abs(forecasts - truths[:, None])
    for k in (0, 1):
        found = meter.scores(k)
        assert found["mae"].value == pytest.approx(np.nanmean(error[:, k]))
        assert found["rmse"].value == pytest.approx(np.sqrt(np.nanmean(error[:, k] ** 2)))
        share = error[:, k] / np.where(truths == 0, np.nan, np.abs(truths))
        assert found["mape"].value == pytest.approx(np.nanmean(share))
        for step in (1, 2, 4):
            assert found[f"mae@{step}"].value == pytest.approx(np.nanmean(error[:, k, step - 1]))
        assert found["mae"].low < found["mae"].value < found["mae"].high
    gain = meter.difference(1)
    assert gain.value == pytest.approx(np.nanmean(error[:, 1]) - np.nanmean(error[:, 0]))
    assert gain.low < gain.value < gain.high
    assert meter.values()["mae"] == pytest.approx(meter.scores()["mae"].value)


def test_two_meters_count_as_one():
    forecasts, truths = example()
    whole = counted(forecasts, truths)
    first, second = ForecastMeter(4, ("net", "other")), ForecastMeter(4, ("net", "other"))
    first.add(forecasts[:25], truths[:25], np.arange(25))
    second.add(forecasts[25:], truths[25:], np.arange(25, 60))
    first.merge(second.state())
    assert first.scores() == whole.scores()
    assert first.difference(1) == whole.difference(1)


def test_nothing_known_is_unknown_and_not_zero():
    meter = counted(np.ones((30, 2, 2, 1)), np.full((30, 2, 1), np.nan))
    assert np.isnan(meter.scores()["mae"].value)
    assert errors_of(np.ones((2, 1)), np.full((2, 1), np.nan)) == {}
    zeros = counted(np.ones((30, 2, 2, 1)), np.zeros((30, 2, 1)))
    assert np.isnan(zeros.scores()["mape"].value)
    assert zeros.scores()["mae"].value == 1


def test_sizes_that_do_not_belong_together_are_refused():
    with pytest.raises(ShapeError, match=r"expected \[n, 2, 4, nodes\]"):
        counted(np.ones((3, 1, 4, 2)), np.ones((3, 4, 2)))


def test_blocks_are_of_windows_that_follow_each_other():
    assert steps_of(12) == (3, 6, 12)
    assert len(np.unique(blocks(np.arange(1000), 12))) == 28  # of 36 windows
    assert len(np.unique(blocks(np.arange(126), 12))) == 6  # of 24
    assert len(np.unique(blocks(np.arange(70), 12))) == 6  # of 12
    assert blocks(np.empty(0, np.int64), 12).tolist() == []
    few = counted(*example(n=9), methods=("net", "other"))
    assert few.notes() == ["no intervals: 3 blocks of time, fewer than 5"]
    assert not few.scores()["mae"].known


def forecast_errors(rng, n, horizon, memory):
    """Errors of the best forecast of x[t] = memory x[t-1] + noise, in overlapping windows [n, horizon]."""
    noise = rng.normal(size=n + horizon + 200)
    x = np.zeros(len(noise))
    for t in range(1, len(x)):
        x[t] = memory * x[t - 1] + noise[t]
    windows = np.lib.stride_tricks.sliding_window_view(x[200:], horizon + 1)[:n]
    return windows[:, 1:], windows[:, :1] * memory ** np.arange(1, horizon + 1)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "horizon"), [(126, 12), (1000, 12), (60, 3), (400, 3)])
@pytest.mark.parametrize("memory", [0.5, 0.95])
def test_intervals_hold_though_windows_overlap(n, horizon, memory):
    rng = np.random.default_rng(1)
    truth, said = forecast_errors(rng, 100_000, horizon, memory)
    expected, held = np.abs(truth - said).mean(), []
    for _ in range(300):
        truth, said = forecast_errors(rng, n, horizon, memory)
        meter = counted(said[:, None, :, None], truth[..., None], ("net",))
        found = meter.scores()["mae"]
        held.append(found.low <= expected <= found.high)
    assert 0.9 <= np.mean(held) <= 0.995
