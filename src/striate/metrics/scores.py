"""What an evaluation says: named scores with intervals, one row a class, the confusion matrix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.report import Result, html_table, text_table

SHARES = ("accuracy", "top5", "balanced_accuracy", "f1", "auroc")  # printed as percentages


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval; `low <= value <= high`, all three equal where none can be had."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Plain numbers, as the JSON shapes want them."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Scores(Result):
    """Scores of one run on one split of one data set.

    `confusion[t, a]` counts the items of truth `t` that were answered `a`.
    """

    run: str
    data: str
    split: str
    items: int
    scores: Mapping[str, Interval]
    per_class: Sequence[Mapping[str, Any]] = ()
    confusion: NDArray[np.int64] | None = field(default=None, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape `evaluate`, with the split and the confusion matrix added."""
        found: dict[str, Any] = {
            "run": self.run,
            "data": self.data,
            "split": self.split,
            "items": self.items,
            "scores": {name: interval.as_dict() for name, interval in self.scores.items()},
        }
        if self.per_class:
            found["per_class"] = [dict(row) for row in self.per_class]
        if self.confusion is not None:
            found["confusion"] = self.confusion.tolist()
        return found

    def as_text(self) -> str:
        """Scores and the classes that do worst."""
        head = f"{self.items:,} items of {self.data} ({self.split}), 95 % intervals"
        rows = [[name, *cells(name, interval)] for name, interval in self.scores.items()]
        tables = [text_table(["score", "value", "low", "high"], rows)]
        if self.per_class:
            tables.append(worst_classes(self.per_class))
        return "\n\n".join([head, *tables])

    def _repr_html_(self) -> str:
        rows = [[name, *cells(name, interval)] for name, interval in self.scores.items()]
        return html_table([f"{self.items:,} items", "value", "low", "high"], rows)


def worst_classes(rows: Sequence[Mapping[str, Any]]) -> str:
    """The five classes that do worst by their first score, the one after the support."""
    first, *others = [
        key for key in rows[0] if key not in ("label", "support", "low", "high", "f1")
    ]
    worst = sorted(rows, key=lambda row: row[first] if row[first] is not None else 2.0)[:5]
    cells = [
        [row["label"], *(_share(row[key]) for key in (first, *others)), f"{row['support']:,}"]
        for row in worst
    ]
    return text_table(["worst classes", first, *others, "items"], cells)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def cells(name: str, interval: Interval) -> list[str]:
    """Value, low and high as text: shares in per cent, the rest as they are; no interval is a dash."""
    form = "{:.2%}" if name in SHARES else "{:.4f}"
    ends = [form.format(end) for end in (interval.low, interval.high)]
    return [form.format(interval.value), *(ends if interval.low < interval.high else "--")]
