"""The report of a sweep: settings beside each other, the difference from the first, and every training below."""

from pathlib import Path
from typing import TYPE_CHECKING

from striate.metrics import Interval
from striate.runs import Run
from striate.runs.split_answers import Held
from striate.tasks import Headline, Section
from striate.tasks.section import Column, Facts, Table, Text
from striate.workbench.report import outcome
from striate.workbench.report.outcome import written
from striate.workbench.report.page import Page, render_page
from striate.workbench.report.parent import Member, Members

if TYPE_CHECKING:
    from striate.workbench.sweep import Setting, Sweep


def page(path: Path, sweep: "Sweep", held: Held) -> str:
    """The report as one HTML text.

    Args:
        path: of the sweep's folder.
        sweep: what was found.
        held: the answers of the first training, for the task and the data.
    """
    task, best = held.used.task, sweep.best
    title = task.measure(sweep.score).title
    members = Members(
        [_member(path, each, run, sweep.score) for each in sweep.table for run in each.runs],
        sweep.score,
        task.measures,
        title="Training by training",
    )
    headline = Headline(
        sweep.score, f"{title} of {best.name}, the best mean of {len(sweep.table)} settings"
    )
    return render_page(
        Page(
            f"{len(sweep.table)} settings on {Path(held.data.path).name}",
            max(Run(run).config.created for each in sweep.table for run in each.runs),
            outcome.head_of(
                headline, {sweep.score: best.interval(sweep.score).as_dict()}, [sweep.said]
            ),
            [
                Section("Settings", parts=[_table(sweep, title), Text(sweep.note, soft=True)]),
                members.section(),
                Section(
                    "The data",
                    parts=[
                        Facts(
                            {"path": held.data.path, "items": len(held.data), "seeds": sweep.seeds}
                        )
                    ],
                    name="Data",
                ),
            ],
            facts=[("settings", f"{len(sweep.table)}", ""), ("seeds", f"{sweep.seeds}", "")],
            run=str(path),
        )
    )


def _table(sweep: "Sweep", title: str) -> Table:
    columns = [
        Column("setting", "code"),
        Column(title, "number"),
        Column("95 % interval", "number"),
        Column("difference from the first", "number"),
        Column("95 % interval", "number"),
        Column("p", "number"),
    ]
    rows = [_row(sweep, each) for each in sweep.table]
    marked = [i for i, each in enumerate(sweep.table) if each is sweep.best]
    return Table(columns, rows, marked=marked)


def _row(sweep: "Sweep", each: "Setting") -> list[object]:
    score, found, gap = sweep.score, each.interval(sweep.score), each.difference
    return [
        each.name,
        written(score, found.value),
        f"{written(score, found.low)} to {written(score, found.high)}" if found.known else None,
        None if gap.value != gap.value else written(score, gap.value),
        f"{written(score, gap.low)} to {written(score, gap.high)}" if gap.low == gap.low else None,
        None if gap.p != gap.p else f"{gap.p:.2g}",
    ]


def _member(path: Path, each: "Setting", folder: str, score: str) -> Member:
    run = Run(folder)
    scores = {name: Interval.of(kept) for name, kept in run.summary["scores"].items()}
    rows = [row for row in run.history() if row["epoch"] > 0]
    return Member(
        f"{each.name}, {run.path.name.rpartition('-')[2]}",
        str(run.path.relative_to(path) / "report.html"),
        scores,
        run.summary["items"],
        [row.get(f"val_{score}") for row in rows],
        run.summary["kept"],
        run.summary["seconds"],
    )
