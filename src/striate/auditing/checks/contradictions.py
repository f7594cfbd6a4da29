"""Whether items that are the same, or nearly, have different labels: no net can be right about both."""

import math
from collections.abc import Iterator

from striate.auditing.check import Case, Check
from striate.auditing.finding import Finding
from striate.data.targets import in_words
from striate.metrics import Interval
from striate.metrics.classify import wilson
from striate.text import counted

SHOWN = 20


def _find(case: Case) -> Iterator[Finding]:
    pairs = case.data.contradictions
    names = {name for pair in pairs for name in pair}
    share = wilson(len(names), len(case.data)) if len(case.data) else Interval(math.nan)
    unlooked = case.data.near_unlooked
    same = "the same" if unlooked else "the same, or nearly,"
    said = (
        f"{counted(len(pairs), 'pair')} of items that are {same} with different labels"
        if pairs
        else f"no two items that are {same} have different labels"
    )
    yield Finding(
        "contradictions",
        f"{said}; items that are nearly the same were not looked for: {unlooked}"
        if unlooked
        else said,
        share,
        limit=0.0,
        crossed=bool(pairs),
        evidence=[{"file": a, "other": b} for a, b in pairs[:SHOWN]],
        advice="look at the pairs and give each the right label, or take both out" if pairs else "",
        unit="share",
    )


CHECK = Check(
    "contradictions",
    "Are the labels of equal items equal?",
    _find,
    gate=True,
    lacks=lambda case: "" if case.has_labels else f"the items have {in_words(case.data.kind)}",
    seconds=lambda case: 0.002 * len(case.data),
    needs_run=False,
)
