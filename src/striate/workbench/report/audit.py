"""The report of an audit: a section a check, what failed first, with the measurement and the items behind it."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from striate.auditing import CHECKS, Audit, Finding
from striate.auditing.run_checks import ORDER
from striate.data.fixes import BETWEEN
from striate.metrics.scores import shown
from striate.tasks import Section
from striate.tasks.section import Column, Fold, Part, Table, Text, Wrong
from striate.text import DASH, counted, duration, number
from striate.workbench.report.page import Page, render_page

SHOWN = 12  # rows of evidence before the others are folded
MOST = 500  # rows of evidence on the page
WORDS = {"fail": "failed", "note": "note", "pass": "passed", "skipped": "skipped"}


def page(audit: Audit) -> str:
    """The report as one HTML text."""
    by_check = sorted(audit.findings, key=lambda each: each.check)
    groups = {name: list(found) for name, found in groupby(by_check, lambda each: each.check)}
    order = sorted(
        groups,
        key=lambda name: (min(ORDER[f.severity] for f in groups[name]), list(CHECKS).index(name)),
    )
    failed = len(audit.failed)
    head = {
        "value": counted(failed, "failure") if failed else "passed",
        "words": f"{counted(len(audit.findings), 'finding')} on {audit.items:,} items of {audit.split}",
        "interval": "",
        "meaning": [audit.verdict],
    }
    return render_page(
        Page(
            f"Audit of {audit.run or audit.data}",
            datetime.now(UTC).isoformat(timespec="seconds"),
            head,
            [_overview(order, groups), *(_section(name, groups[name]) for name in order)],
            facts=[("checks", f"{len(groups)}", ""), ("time", duration(audit.seconds), "")],
            run=audit.run,
        )
    )


def _overview(order: Sequence[str], groups: Mapping[str, Sequence[Finding]]) -> Section:
    columns = [Column("check"), Column("outcome"), Column("question")]
    rows: list[list[Any]] = []
    for name in order:
        worst = min(groups[name], key=lambda each: ORDER[each.severity]).severity
        word = WORDS[worst]
        rows.append([name, Wrong(word) if worst == "fail" else word, CHECKS[name].asks])
    return Section("Checks", parts=[Table(columns, rows)])


def _section(name: str, findings: Sequence[Finding]) -> Section:
    parts: list[Part] = []
    for each in sorted(findings, key=lambda one: ORDER[one.severity]):
        parts += _finding(each)
    return Section(name.replace("_", " ").capitalize(), CHECKS[name].asks, parts)


def _finding(each: Finding) -> list[Part]:
    parts: list[Part] = [Text(f"{WORDS[each.severity].capitalize()}: {each.text}.")]
    if not math.isnan(each.value.value):
        low, high = (shown(each.unit, end) for end in (each.value.low, each.value.high))
        spread = "no interval" if math.isnan(each.value.low) else f"95 % interval {low} to {high}"
        limit = "" if each.limit is None else f", held against {shown(each.unit, each.limit)}"
        parts.append(Text(f"{shown(each.unit, each.value.value)}, {spread}{limit}.", soft=True))
    if each.advice and each.severity in ("fail", "note"):
        parts.append(Text(f"What to do: {each.advice}."))
    tables = _tables(each.evidence)
    if tables:
        parts.append(Fold("The measurement", tables, open=each.severity == "fail"))
    return parts


def _tables(evidence: Sequence[Mapping[str, Any]]) -> list[Part]:
    """A table for each kind of row, of those that have the same keys."""
    found: list[Part] = []
    kinds: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in evidence:
        kinds.setdefault(tuple(row), []).append(row)
    for every, rows in kinds.items():
        keys = [key for key in every if any(row[key] != "" for row in rows)]
        columns = [Column(key, _kind(rows[0][key])) for key in keys]
        cells = [[_cell(row[key]) for key in keys] for row in rows[:MOST]]
        found.append(Table(columns, cells, first=SHOWN if len(cells) > SHOWN + 2 else 0))
        if len(rows) > MOST:
            left = (
                f"{len(rows) - MOST:,} more rows are left out here; striate audit --json has them."
            )
            found.append(Text(left, soft=True))
    return found


def _kind(value: Any) -> Any:
    if isinstance(value, bool | str):
        return "name"
    return "number" if isinstance(value, int | float) else "words"


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return DASH if math.isnan(value) else f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return number(value)
    if isinstance(value, list | tuple):
        return ", ".join(str(_cell(each)) for each in value)
    if value == BETWEEN:
        return "no label"
    return value
