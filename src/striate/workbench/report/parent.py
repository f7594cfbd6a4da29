"""The page above several trainings: what all of them come to, each with its score and a link to its own report.

Folds use it; whatever trains several nets can: it knows members by their names, scores and curves alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np

from striate.metrics import Interval
from striate.metrics.scores import is_share
from striate.svg import SERIES, Line, curves, finite, opened_axis, value_axis
from striate.tasks import Measure, Section
from striate.tasks.section import Column, Fold, Legend, Links, Part, Table, Text
from striate.tasks.section import Figure as Drawing
from striate.text import duration
from striate.workbench.report.outcome import written


@dataclass(frozen=True)
class Member:
    """One of the trainings.

    Attributes:
        name: such as "fold 1".
        link: of its report, relative to the page.
        scores: of its own held-out items.
        items: how many these are.
        curve: the main score of its held-out items by epoch.
        kept: the epoch that was kept.
        seconds: of the training.
    """

    name: str
    link: str
    scores: Mapping[str, Interval]
    items: int
    curve: Sequence[float | None] = ()
    kept: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Members:
    """The trainings of a page.

    Attributes:
        each: in their order.
        score: the one that they are compared by.
        measures: the scores in words.
        together: scores of all items together, where there are any.
        words: what is to be said of the spread between them.
        title: of the section.
    """

    each: Sequence[Member]
    score: str
    measures: Mapping[str, Measure]
    together: Mapping[str, Interval] = field(default_factory=dict[str, Interval])
    words: str = ""
    title: str = "Training by training"

    def section(self) -> Section:
        """The main score of each on one axis, its curve, the other scores, and links."""
        parts: list[Part] = [self._main()]
        if self.words:
            parts.append(Text(self.words, soft=True))
        if figure := self._curves():
            parts.append(figure)
        others = [name for name in self._names() if name != self.score]
        if others:
            parts.append(Fold("Every score of each", [self._all(self._names())]))
        parts.append(Links([(f"Report of {one.name}", one.link) for one in self.each]))
        return Section(self.title, parts=parts)

    def _names(self) -> list[str]:
        found = [name for one in self.each for name in one.scores] + list(self.together)
        return sorted(dict.fromkeys(found), key=lambda name: name != self.score)

    def _title(self, score: str) -> str:
        return self.measures.get(score, Measure(score)).title

    def _main(self) -> Table:
        """A row a training and one of all items together."""
        columns = [Column("training"), Column("items", "number"), Column("kept epoch", "number")]
        columns += [Column("time", "number"), Column(self._title(self.score), "number")]
        drawn = is_share(self.score)
        columns += [Column("95 % interval", "interval" if drawn else "number")]
        rows = [
            [
                one.name,
                one.items,
                one.kept,
                duration(one.seconds),
                *self._value(one.scores, drawn=drawn),
            ]
            for one in self.each
        ]
        whole = self.together.get(self.score)
        if whole is not None:
            items = sum(one.items for one in self.each)
            rows.append(["all items", items, "", "", *self._value(self.together, drawn=drawn)])
        marked = [len(self.each)] if whole is not None else []
        return Table(columns, rows, marked=marked)

    def _value(self, scores: Mapping[str, Interval], *, drawn: bool) -> list[object]:
        found = scores.get(self.score, Interval(math.nan))
        span = f"{written(self.score, found.low)} to {written(self.score, found.high)}"
        return [written(self.score, found.value), found if drawn else span if found.known else None]

    def _all(self, names: Sequence[str]) -> Table:
        """A row a score: mean, deviation, each training, all items together."""
        columns = [Column("score"), Column("mean", "number"), Column("deviation", "number")]
        columns += [Column(one.name, "number") for one in self.each]
        columns += [Column("all items", "number")] if self.together else []
        rows: list[list[str]] = []
        for name in names:
            values = [one.scores.get(name, Interval(math.nan)).value for one in self.each]
            known = finite(values)
            mean = float(np.mean(known)) if known else math.nan
            spread = float(np.std(known, ddof=1)) if len(known) > 1 else math.nan
            row = [self._title(name), *(written(name, v) for v in (mean, spread, *values))]
            whole = self.together.get(name, Interval(math.nan)).value
            rows.append([*row, *([written(name, whole)] if self.together else [])])
        return Table(columns, rows)

    def _curves(self) -> Drawing | None:
        """The main score of each by epoch."""
        shown = [one for one in self.each if finite(one.curve)][: len(SERIES)]
        values = finite([value for one in shown for value in one.curve])
        if not values:
            return None
        longest = max(len(one.curve) for one in shown)
        padded = list(zip(*zip_longest(*(one.curve for one in shown)), strict=True))
        lines = [
            Line(one.name, kind, list(curve))
            for one, kind, curve in zip(shown, SERIES, padded, strict=False)
        ]
        axis = opened_axis(values) if is_share(self.score) else value_axis(values)
        title = self._title(self.score)
        svg = curves(
            list(range(1, longest + 1)),
            lines,
            axis,
            best=None,
            label=f"{title} by epoch, a line each; the values stand in the reports",
            width=480,
            name=title,
        )
        few = f" The first {len(shown)} of {len(self.each)}." if len(shown) < len(self.each) else ""
        legend = Legend([(line.name, line.kind) for line in lines])
        said = f"{title} of the held-out items of each, by epoch.{few}"
        return Drawing(svg, said, "Learning", legend=legend, widths=(0, 640))
