"""Scores of forecasts. n windows, M methods, H steps ahead, N nodes.

Windows that begin a step apart share most of their values, and errors of neighbouring hours are alike. Intervals
therefore leave out blocks of time, of two or three times as many windows as steps are forecast, one after the other
(the delete-block jackknife of Künsch 1989, with the house's degrees of freedom, see `striate.metrics.intervals`).
tests/metrics/test_forecast.py simulates how often they hold on autocorrelated series: in 93 to 98 of 100, where
percentiles of a block bootstrap with the same blocks held in 77 to 94.

Where a value is not known, it counts nowhere; a percentage has only values that are not 0.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import ShapeError
from striate.metrics.intervals import FEWEST, mean_ratio
from striate.metrics.meter_rows import Rows
from striate.metrics.scores import Interval

Floats = NDArray[np.floating]
F64 = NDArray[np.float64]

WIDE, NARROW = 3, 2  # times the horizon that a block has, where there are enough of them:
ENOUGH = 20
SUMS = ("absolute", "square", "share")  # of errors, what is added up of each method
KINDS = {"mae": "absolute", "rmse": "square", "mape": "share"}


def steps_of(horizon: int) -> tuple[int, ...]:
    """The steps that are scored by themselves: a quarter, half and all of the way.

    >>> steps_of(12), steps_of(3), steps_of(1)
    ((3, 6, 12), (1, 2, 3), ())
    """
    if horizon < 2:
        return ()
    return tuple(sorted({math.ceil(horizon / 4), math.ceil(horizon / 2), horizon}))


def blocks(origins: NDArray[np.integer], horizon: int) -> NDArray[np.int64]:
    """The block of time that each window belongs to, [n], by the step it begins to forecast at."""
    if not len(origins):
        return np.empty(0, np.int64)
    since = origins - origins.min()
    span = int(since.max()) + 1
    for times in (WIDE, NARROW, 1):
        if span / (times * horizon) >= (ENOUGH if times == WIDE else FEWEST):
            return since // (times * horizon)
    return since // max(1, horizon)


class ForecastMeter:
    """Adds forecasts of several methods up to errors, a few sums a window.

    Args:
        horizon: H.
        methods: names of the M methods; the first is the one that is scored, the others it is held against.
    """

    def __init__(self, horizon: int, methods: Sequence[str] = ("",)) -> None:
        self.horizon, self.methods = horizon, tuple(methods)
        self.steps = steps_of(horizon)
        of_method = ((len(self.methods), 1 + len(self.steps)), np.float64)
        counts = ((1 + len(self.steps),), np.float64)
        kinds = dict.fromkeys(SUMS, of_method) | {"known": counts, "scaled": counts}
        self._rows = Rows({**kinds, "origin": ((), np.int64)})

    def __len__(self) -> int:
        return len(self._rows["origin"])

    def add(self, forecasts: Floats, truths: Floats, origins: NDArray[np.integer]) -> None:
        """Add windows.

        Args:
            forecasts: [n, M, H, N].
            truths: [n, H, N], nan where unknown.
            origins: number of the first step that each forecasts [n].

        Raises:
            ShapeError: sizes that do not belong together.
        """
        n, steps, nodes = truths.shape
        if forecasts.shape != (n, len(self.methods), self.horizon, nodes) or steps != self.horizon:
            raise ShapeError(
                f"got forecasts {list(forecasts.shape)} and truths {list(truths.shape)}; expected "
                f"[n, {len(self.methods)}, {self.horizon}, nodes] and [n, {self.horizon}, nodes]"
            )
        known = ~np.isnan(truths)
        truth = np.where(known, truths, 0.0)
        scaled = known & (truth != 0)
        errors = np.abs(forecasts - truth[:, None]) * known[:, None]
        shares = errors / np.where(scaled, np.abs(truth), 1.0)[:, None] * scaled[:, None]
        rows = {"absolute": errors, "square": errors**2, "share": shares}
        sums = {key: self._summed(value.sum(-1)) for key, value in rows.items()}
        counts = {"known": self._summed(known.sum(-1)), "scaled": self._summed(scaled.sum(-1))}
        self._rows.add({**sums, **counts, "origin": np.asarray(origins, np.int64)})

    def _summed(self, by_step: NDArray[Any]) -> F64:
        """[..., H] as the sum over all steps and that of each scored one [..., 1 + S]."""
        chosen = [step - 1 for step in self.steps]
        return np.concatenate(
            [by_step.sum(-1, keepdims=True), by_step[..., chosen]], -1, dtype=np.float64
        )

    def state(self) -> dict[str, NDArray[Any]]:
        """Plain arrays, which `merge` takes."""
        return self._rows.state()

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Add what another meter counted."""
        self._rows.add(state)

    def values(self) -> dict[str, float]:
        """Mean absolute, root mean square and mean absolute percentage error, without intervals."""
        return {
            kind: _rooted(
                kind, _share(self._rows[key][:, 0, 0].sum(), self._whole(key)[:, 0].sum())
            )
            for kind, key in KINDS.items()
        }

    def _whole(self, key: str) -> F64:
        """How many values each sum is over, [n, 1 + S]."""
        return self._rows["scaled" if key == "share" else "known"]

    @property
    def blocks(self) -> NDArray[np.int64]:
        """The block of time of each window [n]."""
        return blocks(self._rows["origin"], self.horizon)

    def scores(self, method: int = 0) -> dict[str, Interval]:
        """Scores of a method: "mae", "rmse" and "mape" over all steps, and "mae@3" of the third step alone."""
        groups = self.blocks
        found: dict[str, Interval] = {}
        for k, at in enumerate(["", *(f"@{step}" for step in self.steps)]):
            for kind, key in KINDS.items():
                parts, wholes = self._rows[key][:, method, k], self._whole(key)[:, k]
                found[kind + at] = _interval(kind, parts, wholes, groups)
        return found

    def difference(self, method: int, kind: str = "mae") -> Interval:
        """How much smaller the error of the first method is than that of another on the same windows, below 0 where it is larger.

        Of "rmse" the difference is that of the mean squares, so that it can be taken block by block.
        """
        key = KINDS[kind]
        parts = self._rows[key][:, method, 0] - self._rows[key][:, 0, 0]
        return mean_ratio(parts[:, None], self._whole(key)[:, :1], self.blocks, scale="real")

    def notes(self) -> list[str]:
        """How intervals came about, or why there are none."""
        count = len(np.unique(self.blocks))
        if count < FEWEST:
            return [f"no intervals: {count} blocks of time, fewer than {FEWEST}"]
        span = int(np.ptp(self._rows["origin"])) + 1
        return [
            f"windows overlap, so intervals leave out blocks of time: {count} of about {round(span / count)} windows each"
        ]


def errors_of(forecast_HN: Floats, truth_HN: Floats) -> dict[str, float]:
    """Errors of one window over all its steps and nodes; what is unknown is left out."""
    known = ~np.isnan(truth_HN)
    if not known.any():
        return {}
    error = np.abs(forecast_HN - truth_HN)[known]
    truth = np.abs(truth_HN[known])
    found = {"mae": float(error.mean()), "rmse": float(np.sqrt((error**2).mean()))}
    if truth.any():
        found["mape"] = float((error[truth > 0] / truth[truth > 0]).mean())
    return found


def _interval(kind: str, parts: F64, wholes: F64, groups: NDArray[np.int64]) -> Interval:
    found = mean_ratio(parts[:, None], wholes[:, None], groups, scale="positive")
    return Interval(*(_rooted(kind, end) for end in (found.value, found.low, found.high)))


def _rooted(kind: str, value: float) -> float:
    return math.sqrt(value) if kind == "rmse" else float(value)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan
