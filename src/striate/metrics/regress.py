"""Scores of numbers. N items, K outputs.

Where a target is nan, an item has no such value and the output does not count. Intervals come from items, or groups of
them, left out; errors are positive, so their intervals are taken on logarithms.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import ArgumentError, ShapeError
from striate.metrics.intervals import Floats, mean_of_classes, mean_ratio, too_few, unit_sums
from striate.metrics.meter_rows import Rows
from striate.metrics.scores import Interval, mean_known, number

Groups = NDArray[np.integer] | None


class RegressMeter:
    """Adds answers up to errors of each output; keeps answers and targets, a row an item.

    Args:
        names: of the K outputs.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._rows = Rows({name: ((len(names),), np.float64) for name in ("answers", "targets")})

    def __len__(self) -> int:
        return len(self._rows["answers"])

    def add(self, answers: Floats, targets: Floats) -> None:
        """Add items: answers and targets [n, K], targets nan where there is none.

        Raises:
            ShapeError: other sizes.
            ArgumentError: an answer that is no number, or an infinite target.
        """
        if answers.shape != targets.shape or answers.shape[1:] != (len(self.names),):
            raise ShapeError(
                f"got answers {list(answers.shape)} and targets {list(targets.shape)}; expected "
                f"[items, {len(self.names)}] for {', '.join(self.names)}"
            )
        if not np.isfinite(answers).all() or np.isinf(targets).any():
            raise ArgumentError("got nan or infinity among the answers, or an infinite target")
        self._rows.add({"answers": answers, "targets": targets})

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Add the items that the `state` of another meter of the same outputs has behind one's own."""
        self._rows.add(state)

    def state(self) -> dict[str, NDArray[Any]]:
        """Plain arrays for other processes, and for a scatter: `answers` and `targets`, [N, K] each."""
        return self._rows.state()

    def values(self) -> dict[str, float]:
        """The scores without intervals, means over the outputs; nan where nothing can be scored."""
        return {name: score.value for name, score in self.scores().items()}

    def scores(self, groups: Groups = None) -> dict[str, Interval]:
        """Mean absolute error, root mean square error, mean absolute percentage error (a share) and R squared.

        Of several outputs the means, in whatever units they are. A percentage has only items whose target is not 0.

        Args:
            groups: a number an item; items of one group are left out together.
        """
        return scores(self._rows["answers"], self._rows["targets"], groups)

    def notes(self, groups: Groups = None) -> list[str]:
        """What a reader of the scores must know: that there are too few items for intervals."""
        return too_few(len(self), groups)

    def per_output(self) -> list[dict[str, Any]]:
        """A row an output: items with a target (support), the scores, and the mean of answer - target (bias).

        `low` and `high` are those of the mean absolute error. What is not known is None.
        """
        answers, targets = self._rows["answers"], self._rows["targets"]
        rows: list[dict[str, Any]] = []
        for k, label in enumerate(self.names):
            found = scores(answers[:, [k]], targets[:, [k]])
            there = ~np.isnan(targets[:, k])
            bias = (answers - targets)[there, k]
            rows.append(
                {
                    "label": label,
                    "support": int(there.sum()),
                    "mae": number(found["mae"].value),
                    "low": number(found["mae"].low),
                    "high": number(found["mae"].high),
                    **{name: number(found[name].value) for name in ("rmse", "mape", "r2")},
                    "bias": float(bias.mean()) if len(bias) else None,
                }
            )
        return rows

    def item_scores(self, answer_K: Floats, target_K: Floats) -> dict[str, float]:
        """Of one item, over its outputs: mean absolute, mean squared and mean absolute percentage error.

        nan where there is no target.
        """
        error = np.abs(answer_K - target_K)
        share = error / np.where(target_K == 0, np.nan, np.abs(target_K))
        named = {"mae": error, "mse": error**2, "mape": share}
        return {name: mean_known(values) for name, values in named.items()}


def scores(answers_NK: Floats, targets_NK: Floats, groups: Groups = None) -> dict[str, Interval]:
    """The scores of `RegressMeter.scores` from answers and targets."""
    there = ~np.isnan(targets_NK)
    targets = np.where(there, targets_NK, 0.0)
    errors = np.where(there, answers_NK - targets, 0.0)
    count = there.sum(0)
    from_mean = np.where(there, targets - targets.sum(0) / np.maximum(count, 1), 0.0)
    scaled = there & (targets != 0)
    shares = np.abs(errors) / np.where(scaled, np.abs(targets), 1.0) * scaled
    return {
        "mae": mean_ratio(np.abs(errors), there, groups, scale="positive"),
        "rmse": _root(errors**2, there, groups),
        "mape": mean_ratio(shares, scaled, groups, scale="positive"),
        "r2": _complement(mean_ratio(errors**2, from_mean**2, groups, scale="positive")),
    }


def _root(squares_NK: Floats, there_NK: NDArray[np.bool_], groups: Groups) -> Interval:
    squares, counts = (unit_sums(each, groups) for each in (squares_NK, there_NK))
    some = counts.sum(0) > 0
    squares, counts = squares[:, some], counts[:, some]
    means = squares.sum(0) / counts.sum(0)
    roots = np.sqrt(means)
    pulls = (squares - means * counts) / counts.sum(0) / np.where(roots > 0, 2 * roots, 1.0)
    return mean_of_classes(roots, pulls, counts, scale="positive")


def _complement(rest: Interval) -> Interval:
    return Interval(1 - rest.value, 1 - rest.high, 1 - rest.low)
