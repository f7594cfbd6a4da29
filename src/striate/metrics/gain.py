"""What averaging over several nets or views gains on the same items, beside the scores of the mean itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.metrics.compare import Difference, paired
from striate.metrics.scores import Scores, number, shown
from striate.result import text_table

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Gain:
    """One score of single items: its mean of one net and one view, that of the averaged answers, their difference.

    Attributes:
        over: the run whose single view is the first of the two.
        score: its name.
        single: the mean over the items that have it in both.
        averaged: likewise.
        difference: averaged - single, with its 95 % interval and p; see `striate.metrics.compare.paired`.
    """

    over: str
    score: str
    single: float
    averaged: float
    difference: Difference

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, None for what is not known."""
        named = {"single": self.single, "averaged": self.averaged, **self.difference._asdict()}
        return {"over": self.over, "score": self.score} | {k: number(v) for k, v in named.items()}

    def cells(self) -> list[str]:
        """A row of a table, without `over`."""
        values = (self.single, self.averaged, *self.difference[:3])
        p = self.difference.p
        return [
            self.score,
            *(shown(self.score, value) for value in values),
            "-" if np.isnan(p) else f"{p:.4f}",
        ]


def gains(
    over: str, single: Rows, averaged: Rows, groups: NDArray[np.integer] | None = None
) -> list[Gain]:
    """The gain in every score of single items.

    Args:
        over: what the first is called.
        single: a row an item; words in it are left aside.
        averaged: rows of the same items.
        groups: a number an item; items of one group are left out together.
    """
    found: list[Gain] = []
    names = dict.fromkeys(k for row in averaged for k, v in row.items() if isinstance(v, float))
    for score in names:
        a, b = (_column(rows, score) for rows in (single, averaged))
        both = ~(np.isnan(a) | np.isnan(b))
        if both.any():
            means = float(a[both].mean()), float(b[both].mean())
            found.append(Gain(over, score, *means, paired(a, b, groups, score=score)))
    return found


def _column(rows: Rows, score: str) -> NDArray[np.float64]:
    return np.array([row.get(score, np.nan) for row in rows], np.float64)


@dataclass(frozen=True)
class AveragedScores(Scores):
    """Scores of answers that are means over nets or views.

    Attributes:
        runs: folders of all runs that answered, the first of which is `run`.
        views: which views of each item were answered; "" for one.
        gains: over one view of each run.
    """

    runs: Sequence[str] = ()
    views: str = ""
    gains: Sequence[Gain] = ()

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape `evaluate`, with the runs, the views and the gains added."""
        added = {"runs": list(self.runs), "views": self.views or None}
        return super().as_dict() | added | {"gains": [gain.as_dict() for gain in self.gains]}

    def as_text(self) -> str:
        """The scores, then what is gained over each run alone."""
        views = {"": "one view", "flips": "2 views"}.get(self.views, f"{self.views} views")
        runs = f"{len(self.runs)} run{'s' * (len(self.runs) != 1)}"
        parts = [f"answers averaged over {runs}, {views} of each item", super().as_text()]
        header = ["score", "alone", "averaged", "gain", "low", "high", "p"]
        for run in self.runs:
            rows = [gain.cells() for gain in self.gains if gain.over == run]
            title = (
                f"against one view by {run} alone, the mean over items and its paired 95 % interval"
            )
            parts.append(f"{title}\n{text_table(header, rows)}")
        return "\n\n".join(parts)
