"""What a check of an audit answers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from striate.metrics import Interval
from striate.metrics.intervals import mean, wilson
from striate.metrics.scores import is_share, number

Severity = Literal["pass", "note", "fail", "skipped"]


def mean_score(
    name: str,
    values: NDArray[np.float64],
    groups: NDArray[np.int64] | None = None,
    *,
    lower: bool = False,
) -> Interval:
    """The mean of a score of items; its interval stays within what the score can be.

    Args:
        name: of the score: those that are shares are 0 to 1.
        values: of the items [N].
        groups: a number an item [N]; items of one group are left out together.
        lower: whether it is an error, which is 0 or more.
    """
    if groups is None and is_share(name) and not lower and np.isin(values, (0, 1)).all():
        return wilson(float(values.sum()), len(values))  # also where all are right, or none
    scale = "positive" if lower else "share" if is_share(name) else "real"
    return mean(values, groups, scale=scale)


@dataclass(frozen=True)
class Finding:
    """One question of an audit with its answer.

    Attributes:
        check: the check that asks it, by its name in `striate audit --only`.
        text: the answer in one sentence.
        value: what was measured, with its 95 % interval; nan where there is nothing to measure or no interval.
        limit: what the value is held against; None where it is held against nothing.
        crossed: whether the value lies beyond the limit for certain, interval and chance considered.
        evidence: a row an item, or a row a part of the measurement, the worst first; items have `file` and `split`.
        advice: what to do about it; "" where nothing is wrong.
        unit: of the value, such as "accuracy" or "items".
        severity: set by the audit, from `crossed` and whether the check is a gate.
        seconds: that the check took.
    """

    check: str
    text: str
    value: Interval = Interval(math.nan)  # noqa: RUF009 - frozen
    limit: float | None = None
    crossed: bool = False
    evidence: Sequence[Mapping[str, Any]] = ()
    advice: str = ""
    unit: str = ""
    severity: Severity = "pass"
    seconds: float = 0.0

    @classmethod
    def skipped(cls, check: str, why: str) -> Self:
        """A check that could not be made."""
        return cls(check, why, severity="skipped")

    def judged(self, *, gate: bool) -> Self:
        """With its severity: what is beyond its limit fails a gate, and is a note elsewhere."""
        if self.severity == "skipped":
            return self
        severity: Severity = ("fail" if gate else "note") if self.crossed else "pass"
        return replace(self, severity=severity)

    def as_dict(self) -> dict[str, Any]:
        """A row of the JSON shape `audit`."""
        return {
            "check": self.check,
            "severity": self.severity,
            "text": self.text,
            **self.value.as_dict(),
            "limit": None if self.limit is None else number(self.limit),
            "unit": self.unit,
            "evidence": [dict(row) for row in self.evidence],
            "advice": self.advice,
            "seconds": round(self.seconds, 3),
        }

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """The finding that `as_dict` wrote down."""
        kept = {key: row[key] for key in ("check", "text", "limit", "evidence", "advice", "unit")}
        return cls(
            **kept,
            value=Interval.of(row),
            crossed=row["severity"] in ("note", "fail"),
            severity=row["severity"],
            seconds=row["seconds"],
        )
