"""What an evaluation says: named scores with intervals, one row a class and a confusion matrix where there are classes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.result import Result, html_table, text_table
from striate.text import percent

RISKY = ("=", "+", "-", "@", "\t", "\r")  # with which a table program would begin a formula
SHARES = frozenset(  # printed as percentages
    [
        "accuracy",
        "top5",
        "balanced_accuracy",
        "f1",
        "auroc",
        "average_precision",
        "sensitivity",
        "specificity",
        "precision",
        "recall",
        "miou",
        "iou",
        "dice",
        "pixel_accuracy",
        "share",
        "boundary_f1",
        "rand",
        "map",
        "map50",
        "ap",
        "ap50",
        "mape",
    ]
)


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval, `low <= value <= high`; what is not known is nan.

    Both ends are nan where no interval can be had: too few items, or none that differ.
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def known(self) -> bool:
        """Whether there is an interval, and one of some width."""
        return self.low < self.high

    def as_dict(self) -> dict[str, float | None]:
        """Plain numbers, as the JSON shapes want them; None where nothing is known."""
        return {
            "value": number(self.value),
            "low": number(self.low),
            "high": number(self.high),
        }

    @classmethod
    def of(cls, kept: Mapping[str, float | None]) -> "Interval":
        """The interval that `as_dict` wrote down."""
        ends = (kept.get(key) for key in ("value", "low", "high"))
        return cls(*(math.nan if end is None else float(end) for end in ends))


@dataclass(frozen=True)
class Scores(Result):
    """Scores of one run on one split of one data set.

    Attributes:
        run: the folder of the run.
        data: where the items came from.
        split: which part of the data.
        items: how many were scored.
        scores: by name.
        per_class: rows with `label` and columns; a column that has nothing behind it is None.
        confusion: [t, a] counts the items of truth t that were answered a; None where the task has no such table.
        columns: what of `per_class` is shown beside the label, with its heading; the classes are sorted by the first.
        notes: what a reader of the scores must know, a line each.
        verdict: what they say in one line, where the task has one to give.
    """

    run: str
    data: str
    split: str
    items: int
    scores: Mapping[str, Interval]
    per_class: Sequence[Mapping[str, Any]] = ()
    confusion: NDArray[np.int64] | None = field(default=None, repr=False)
    columns: Mapping[str, str] = field(
        default_factory=lambda: {"recall": "recall", "precision": "precision", "support": "items"}
    )
    notes: Sequence[str] = ()
    verdict: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape `evaluate`, with the split and, where there are any, the confusion matrix and notes added."""
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
        if self.notes:
            found["notes"] = list(self.notes)
        if self.verdict:
            found["verdict"] = self.verdict
        return found

    def as_text(self) -> str:
        """Scores, the classes that do worst, and the notes."""
        head = f"{self.items:,} items of {self.data} ({self.split}), 95 % intervals"
        rows = [[name, *cells(name, interval)] for name, interval in self.scores.items()]
        parts = [head, text_table(["score", "value", "low", "high"], rows)]
        if self.verdict:
            parts[0] = f"{self.verdict}\n{head}"
        if self.per_class:
            parts.append(self._worst())
        return "\n\n".join([*parts, *(["\n".join(self.notes)] if self.notes else [])])

    def _worst(self) -> str:
        first = next(iter(self.columns))
        worst = sorted(self.per_class, key=lambda row: (row[first] is None, row[first] or 0.0))[:5]
        return text_table(
            ["worst classes", *self.columns.values()],
            [[row["label"], *(_cell(key, row[key]) for key in self.columns)] for row in worst],
        )

    def _repr_html_(self) -> str:
        rows = [[name, *cells(name, interval)] for name, interval in self.scores.items()]
        return html_table([f"{self.items:,} items", "value", "low", "high"], rows)


def cells(name: str, interval: Interval) -> list[str]:
    """Value, low and high as text: shares in per cent, the rest as they are; what is not known is a dash."""
    value = shown(name, interval.value)
    if not interval.known:
        return [value, "-", "-"]
    return [value, shown(name, interval.low), shown(name, interval.high)]


def shown(name: str, value: float) -> str:
    """One score as text, the same everywhere: shares as percentages, others to four digits, a dash where it is not known."""
    if math.isnan(value):
        return "-"
    return percent(value) if is_share(name) else f"{value:.4f}"


def is_share(name: str) -> bool:
    """Whether a score is printed as a percentage; "mape@3" is one of "mape" at step 3."""
    return name.partition("@")[0] in SHARES


def mean_known(values: NDArray[np.floating]) -> float:
    """The mean of the values that are numbers, nan if there are none."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else math.nan


def number(value: float) -> float | None:
    """A number as JSON has it: None for what is not known, and for an infinite one, which JSON cannot say."""
    return float(value) if math.isfinite(value) else None


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else shown(key, value)


def harmless(cell: Any) -> Any:
    """A cell of a table; words that a table program would take for a formula are quoted by an apostrophe."""
    if not isinstance(cell, str) or not cell.startswith(RISKY):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
