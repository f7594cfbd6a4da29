"""The report of a cross-validation: all items, each answered by the net that did not see it, and every fold beside it."""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from striate.data import Data
from striate.metrics import Interval, Scores
from striate.runs import Run
from striate.runs.split_answers import Held
from striate.tasks import Headline, Item, Meter, Section, Task
from striate.tasks.section import Facts, Text
from striate.training import Recipe
from striate.workbench.report import outcome
from striate.workbench.report.collect import command
from striate.workbench.report.page import Page, render_page
from striate.workbench.report.parent import Member, Members
from striate.workbench.report.verdict import Evidence, judged


@dataclass(frozen=True, eq=False)
class Pooled:
    """The answers of all folds as if they were of one split, as the sections of a task read them."""

    held: Sequence[Held]
    meter: Meter
    scores: Scores
    rows: Sequence[Mapping[str, Any]]
    names: Sequence[str]

    @classmethod
    def of(cls, held: Sequence[Held], meter: Meter, scores: Scores) -> "Pooled":
        """With the rows and names of all items, fold after fold."""
        rows = [row for each in held for row in each.rows]
        return cls(held, meter, scores, rows, [name for each in held for name in each.names])

    @property
    def noun(self) -> str:
        """What the items are called, plural."""
        return self.held[0].noun

    @property
    def trained(self) -> Mapping[str, int]:
        """Not the same for all items, so not given."""
        return {}

    def items(self, numbers: Sequence[int]) -> list[Item]:
        """These items, each answered again by the net of its fold."""
        ends = list(accumulate(len(each.names) for each in self.held))
        found: dict[int, Item] = {}
        for k, each in enumerate(self.held):
            mine = [i for i in numbers if bisect_right(ends, i) == k]
            begin = ends[k] - len(each.names)
            found |= dict(zip(mine, each.items([i - begin for i in mine]), strict=True))
        return [found[i] for i in numbers]


def page(path: Path, held: Sequence[Held], meter: Meter, scores: Scores, recipe: Recipe) -> str:
    """The report of folds as one HTML text.

    Args:
        path: of their folder.
        held: the answers of each.
        meter: of all answers together.
        scores: likewise.
        recipe: that all have in common.
    """
    task, data, pooled = held[0].used.task, held[0].data, Pooled.of(held, meter, scores)
    of = f"all {scores.items:,} {pooled.noun}"
    headline = task.headline(pooled, of)
    spread = "The nets share most of their training items, so that their scores are no independent draws."
    members = Members(
        [_member(path, k, each, headline.score) for k, each in enumerate(held, 1)],
        headline.score,
        task.measures,
        scores.scores,
        spread,
        "Fold by fold",
    )
    caution = [
        "Each was answered by the net that did not see it.",
        "The epoch of each fold was chosen by the items that it held out, which flatters the figure a little.",
    ]
    listed = [Text(note) for note in scores.notes]
    first = members.section()
    sections = [
        Section(first.title, parts=[*first.parts, *listed]),
        *task.sections(pooled),
        _data(path, data, len(held)),
    ]
    return render_page(
        Page(
            f"{len(held)} folds of {Path(data.path).name}",
            max(_run(each).config.created for each in held),
            outcome.head_of(headline, scores.as_dict()["scores"], caution),
            sections,
            judged(_evidence(task, headline, pooled, recipe)),
            _facts(held),
            run=str(path),
        )
    )


def _run(held: Held) -> Run:
    return Run(held.scores.run)


def _member(path: Path, number: int, held: Held, score: str) -> Member:
    run = _run(held)
    rows = [row for row in run.history() if row["epoch"] > 0]
    return Member(
        f"fold {number}",
        str(run.path.relative_to(path) / "report.html"),
        held.scores.scores,
        held.scores.items,
        [row.get(f"val_{score}") for row in rows],
        run.summary["kept"],
        run.summary["seconds"],
    )


def _evidence(task: Task, headline: Headline, pooled: Pooled, recipe: Recipe) -> Evidence:
    """What the verdict is made from, means over folds; the way on is one training without folds."""
    measure, data = task.measure(headline.score), pooled.held[0].data
    said = recipe.model_dump(mode="json", exclude_unset=True)
    onward = command(data.path, said.pop("net", None), said)
    title = measure.title
    histories = [[row for row in _run(each).history() if row["epoch"] > 0] for each in pooled.held]
    counted = headline.score in task.counted
    return Evidence(
        score=headline.score,
        title=title[:1].lower() + title[1:] if title[1:2].islower() else title,
        value=pooled.scores.scores.get(headline.score, Interval(math.nan)),
        lower=measure.lower,
        items=pooled.scores.items,
        noun=pooled.noun,
        constant=headline.constant,
        trained=_mean(histories, f"train_{headline.score}")[-1] if counted else None,
        losses=_mean(histories, "train_loss"),
        held_losses=_mean(histories, "val_loss"),
        budget=recipe.budget,
        command=f"{onward} --folds {len(pooled.held)}",
        pictures=data.pictures,
        augment=recipe.augment,
        onward=onward,
    )


def _mean(histories: Sequence[Sequence[Mapping[str, float]]], key: str) -> list[float | None]:
    """The mean over folds, epoch by epoch, as long as all have one."""
    found: list[float | None] = []
    for rows in zip(*histories, strict=False):
        values = [row[key] for row in rows if key in row]
        found.append(float(np.mean(values)) if len(values) == len(rows) else None)
    return found or [None]


def _facts(held: Sequence[Held]) -> list[tuple[str, str, str]]:
    """Below the headline."""
    classes = held[0].data.classes
    found = [("folds", f"{len(held)}", ""), ("network", _run(held[0]).config.net.name, "")]
    called = held[0].used.task.classes_of
    return [*found, *([(called, f"{len(classes):,}", "")] if classes else [])]


def _data(path: Path, data: Data, count: int) -> Section:
    facts = {
        "path": data.path,
        "items": len(data),
        "folds": count,
        "answers": str(path / "items.csv"),
    }
    return Section("The data", parts=[Facts(facts)], name="Data")
