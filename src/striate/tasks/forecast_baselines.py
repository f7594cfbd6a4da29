"""Forecasts that a net is to be held against. n windows, H steps ahead, h steps of history, N nodes, P periods.

They are made from what is trained on alone, with the same history and the same periods as the net's:
the last value that is known; the mean of the hour of the week, or of whatever period is known; and a linear model of
each node by itself, from its history and sine and cosine of the periods, fitted by squares with a ridge
(Hoerl and Kennard 1970).
"""

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.series import Clock, Window
from striate.data.series.clock import Period, channels
from striate.data.series.windows import Cut, moments

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

LAST, SEASON, LINEAR = "last_value", "season", "linear"
SLOTS = 168  # parts of a period that have a mean of their own at most: the hours of a week,
OF_A_DAY = 288  # and every five minutes of a day
RIDGE = 1.0  # as scikit-learn's, of features with deviation 1
CHUNK = 2**21  # numbers of features at once


@dataclass(frozen=True, eq=False)
class Baselines:
    """Fitted on what is trained on.

    Attributes:
        mean, std: of each node [N], for the linear model.
        periods: the words of the periods, shortest first.
        seasons: mean of each part of the longest period [S, N]; [1, N] where no period is known.
        weights: of the linear model [N, h + 2 P + 1, H], of scaled values.
    """

    mean: F32 = field(repr=False)
    std: F32 = field(repr=False)
    periods: tuple[str, ...]
    seasons: F32 = field(repr=False)
    weights: F32 = field(repr=False)

    @property
    def names(self) -> dict[str, str]:
        """The methods by their keys, as people call them."""
        return {LAST: "the last value", SEASON: self.season, LINEAR: "a linear model"}

    @property
    def season(self) -> str:
        """What the mean is of."""
        if not self.periods:
            return "the mean of the series"
        word, slots = self.periods[-1], len(self.seasons)
        known = {
            ("week", 168): "the mean of the hour of the week",
            ("day", 24): "the mean of the hour of the day",
        }
        if (word, slots) in known:
            return known[word, slots]
        if word == "day" and OF_A_DAY % slots == 0:
            return "the mean of the time of day"
        if word.isdecimal():
            return f"the mean of the place in {word} steps"
        return f"the mean of each of {slots} parts of the {word}"

    def forecasts(self, windows: Sequence[Window]) -> F64:
        """What the three say of windows: [n, 3, H, N]."""
        history = filled(np.stack([each.history for each in windows]).astype(np.float64), self.mean)
        horizon = windows[0].ahead.shape[0]
        last = np.repeat(history[:, -1:], horizon, 1)
        season = np.stack([self._season(each, horizon) for each in windows])
        return np.stack([last, season, self._linear(history, windows)], 1)

    def _season(self, window: Window, horizon: int) -> F64:
        cycles = _cycles(window.clock, self.periods)
        slots = _slots(cycles, np.arange(window.step, window.step + horizon), len(self.seasons))
        return self.seasons[slots].astype(np.float64)

    def _linear(self, history: F64, windows: Sequence[Window]) -> F64:
        cycles = _cycles(windows[0].clock, self.periods)
        waves = channels(cycles, np.array([each.step for each in windows]))
        x = _features((history - self.mean) / self.std, waves)
        scaled = np.einsum("bnf,nfh->bhn", x, self.weights.astype(np.float64))
        return scaled * self.std + self.mean

    def as_dict(self) -> dict[str, Any]:
        """Plain values for config.json."""
        arrays = {
            name: _packed(getattr(self, name)) for name in ("mean", "std", "seasons", "weights")
        }
        return {"periods": list(self.periods), **arrays}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Baselines":
        """What `as_dict` gave.

        Raises:
            KeyError: something is missing.
            ValueError: arrays of other sizes.
        """
        mean, std, seasons, weights = (
            _unpacked(content[name]) for name in ("mean", "std", "seasons", "weights")
        )
        periods = tuple(str(word) for word in content["periods"])
        if (
            not (mean.shape == std.shape == seasons.shape[1:] == weights.shape[:1])
            or weights.ndim != 3
        ):
            raise ValueError("baselines of other sizes")
        return cls(mean, std, periods, seasons, weights)


def fitted(cut: Cut) -> Baselines:
    """Baselines from the windows that are trained on."""
    nodes = len(cut.series.nodes)
    values = cut.trained
    steps = np.arange(cut.first, cut.first + len(values))
    mean, std = moments(values)
    words = sorted(cut.series.periods, key=lambda word: cut.series.clock.period(word).steps)
    # A period that is not seen twice has no mean of its parts.
    words = [w for w in words if 2 * cut.series.clock.period(w).steps <= len(steps)]
    seasons = _seasons(values, steps, _cycles(cut.series.clock, words), mean)
    made = Baselines(
        mean, std, tuple(words), seasons, np.empty((nodes, 0, cut.horizon), np.float32)
    )
    return Baselines(mean, std, tuple(words), seasons, _weights(cut, made))


def filled(history_nhN: F64, mean_N: F32) -> F64:
    """Histories with what is missing taken from the last known step before, else the mean of the node."""
    missing = np.isnan(history_nhN)
    if not missing.any():
        return history_nhN
    steps = np.arange(history_nhN.shape[1])[None, :, None]
    last = np.maximum.accumulate(np.where(missing, -1, steps), axis=1)
    taken = np.take_along_axis(history_nhN, np.maximum(last, 0), 1)
    return np.where(last < 0, mean_N.astype(np.float64), taken).astype(np.float64)


def _cycles(clock: Clock, words: Sequence[str]) -> list[Period]:
    return [clock.period(word) for word in words]


def _slots(cycles: Sequence[Period], steps: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Which part of the longest period steps are in."""
    if not cycles:
        return np.zeros(len(steps), np.int64)
    place = cycles[-1].place(steps) * count
    return np.minimum((place + 1e-6).astype(np.int64), count - 1)


def _parts(period: Period) -> int:
    """Parts of a period that have a mean of their own: its steps, or so few that each is as long as the others."""
    steps = max(1, round(period.steps))
    if period.name != "day":
        return min(SLOTS, steps)
    return max(k for k in range(1, min(OF_A_DAY, steps) + 1) if steps % k == 0)


def _seasons(values: F32, steps: NDArray[Any], cycles: Sequence[Period], mean: F32) -> F32:
    """Mean of every part of the longest period [S, N]; a part that is never known has that of the shorter ones."""
    found = np.broadcast_to(mean, (1, len(mean))).astype(np.float64)
    for k, period in enumerate(cycles):
        count = _parts(period)
        slots = _slots([period], steps, count)
        known = ~np.isnan(values)
        sums, counts = np.zeros((2, count, len(mean)))
        np.add.at(sums, slots, np.where(known, values, 0.0))
        np.add.at(counts, slots, known)
        # The middle of each part, in steps of this period, says which part of the shorter one it is.
        middle = (np.arange(count) + 0.5) / count * period.steps - period.phase
        shorter = (
            found[_slots(cycles[k - 1 : k], middle, len(found))]
            if k
            else np.repeat(found, count, 0)
        )
        found = np.where(counts > 0, sums / np.maximum(counts, 1), shorter)
    return found.astype(np.float32)


def _features(history_nhN: F64, waves_nP: F32) -> F64:
    """Features of every node [n, N, h + 2 P + 1]: its history, the waves, 1."""
    n, _, nodes = history_nhN.shape
    rest = np.concatenate([waves_nP, np.ones((n, 1))], 1)
    every = np.broadcast_to(rest[:, None], (n, nodes, rest.shape[1]))
    return np.concatenate([history_nhN.swapaxes(1, 2), every], 2, dtype=np.float64)


def _weights(cut: Cut, base: Baselines) -> F32:
    """The linear model of every node [N, F, H]; windows whose target is not all known count nothing for their node."""
    cycles = _cycles(cut.series.clock, base.periods)
    nodes, width = len(cut.series.nodes), cut.history + 2 * len(cycles) + 1
    inner, outer = np.zeros((nodes, width, width)), np.zeros((nodes, width, cut.horizon))
    size = max(1, CHUNK // (nodes * width))
    for start in range(0, cut.count, size):
        rows = slice(start, min(start + size, cut.count))
        raw = filled(cut.inputs[rows, :, :nodes].astype(np.float64), base.mean)
        steps = np.arange(rows.start, rows.stop) + cut.first + cut.history
        x = _features((raw - base.mean) / base.std, channels(cycles, steps))
        y = (cut.targets[rows] - base.mean) / base.std
        known = np.asarray(np.isfinite(y).all(axis=1, keepdims=True))
        x = x * known.swapaxes(1, 2)
        y = np.where(known, y, 0.0)
        inner += np.einsum("bnf,bng->nfg", x, x, optimize=True)
        outer += np.einsum("bnf,bhn->nfh", x, y, optimize=True)
    ridge = RIDGE * np.eye(width)
    ridge[-1, -1] = 1e-6  # the constant is free
    return np.linalg.solve(inner + ridge, outer).astype(np.float32)


def _packed(array: F32) -> dict[str, Any]:
    """An array as plain values: its sizes, and its bytes in single precision, compressed, in base 64."""
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(array, "<f4").tobytes())).decode()
    return {"shape": list(array.shape), "float32": data}


def _unpacked(content: Mapping[str, Any]) -> F32:
    shape = tuple(int(side) for side in content["shape"])
    size = 4 * int(np.prod(shape, dtype=object))
    inflate = zlib.decompressobj()
    try:
        data = inflate.decompress(base64.b64decode(content["float32"], validate=True), max(size, 1))
    except zlib.error as error:
        raise ValueError(f"an array {list(shape)} that is damaged ({error})") from error
    if len(data) != size or inflate.unconsumed_tail:
        raise ValueError(f"an array {list(shape)} with {len(data):,} bytes")
    return np.frombuffer(data, "<f4").reshape(shape).astype(np.float32)
