"""The page of `striate compare`: how the runs learned, beside each other, and what they differ by on the same items."""

from datetime import UTC, datetime

from striate.errors import StriateError
from striate.metrics.scores import shown
from striate.runs import Run
from striate.see.pictures.curves import curves
from striate.tasks import Section
from striate.tasks.section import Column, Figure, Part, Table, Text
from striate.text import counted
from striate.workbench.compare import Compared, Comparison
from striate.workbench.report.page import Page, render_page

COLUMNS = (
    Column("score", "code"),
    Column("first", "number"),
    Column("this", "number"),
    Column("difference", "number"),
    Column("95 % interval", "number"),
    Column("p", "number"),
)


def page(found: Comparison) -> str:
    """The page as one HTML text."""
    first, *others = found.runs
    noun = "setting" if found.pooled else "run"
    leading = [next(d for d in found.differences if d.b == b) for b in others]
    sure = [d for d in leading if d.difference.low > 0 or d.difference.high < 0]
    meaning = [f"{d.b}: {d.score} {_signed(d)} for certain" for d in sure]
    return render_page(
        Page(
            f"{counted(len(found.runs), noun)} compared",
            datetime.now(UTC).isoformat(timespec="seconds"),
            {
                "value": f"{len(sure)} of {len(others)}",
                "words": f"differ for certain from {first}, on {found.items:,} items of {found.split}",
                "interval": "",
                "meaning": meaning or [f"no {noun} differs from the first for certain"],
            },
            [
                Section("Differences", parts=_tables(found)),
                Section("How they learned", parts=_curves(found)),
            ],
            notes=[found.note] if found.note else [],
        )
    )


def _tables(found: Comparison) -> list[Part]:
    parts: list[Part] = [Text(f"The first is {found.runs[0]}.")]
    for b in found.runs[1:]:
        rows = [_row(each) for each in found.differences if each.b == b]
        parts.append(Table(COLUMNS, rows, title=b))
    return parts


def _row(each: Compared) -> list[object]:
    gap = each.difference
    known = gap.low == gap.low
    return [
        each.score,
        shown(each.score, each.mean_a),
        shown(each.score, each.mean_b),
        _signed(each),
        f"{shown(each.score, gap.low)} to {shown(each.score, gap.high)}" if known else None,
        f"{gap.p:.2g}" if gap.p == gap.p else None,
    ]


def _signed(each: Compared) -> str:
    value = each.difference.value
    return f"{'+' if value > 0 else ''}{shown(each.score, value)}"


def _curves(found: Comparison) -> list[Part]:
    """The leading score by epoch; said where a run has none."""
    paths = [path for runs in found.pooled.values() for path in runs] or list(found.runs)
    try:
        drawn = curves([Run(path) for path in paths])
    except StriateError as error:
        return [Text(f"No curves: {error}.")]
    caption = "Runs that differ by the seed alone are one line: the mean of them, and a band from the least to the greatest."
    return [Figure(drawn.as_svg(), caption)]
