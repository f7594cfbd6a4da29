"""The scores of a training: the one that leads the report, and the section of all of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from striate.metrics import Interval
from striate.metrics.scores import is_share, shown
from striate.tasks import Headline, Section
from striate.tasks.section import Beside, Column, Table, Text
from striate.text import DASH, SPACE
from striate.workbench.report.content import Content, Score


def written(score: str, value: float | None) -> str:
    """A score as it is shown everywhere; a dash for what is not known."""
    return DASH if value is None or math.isnan(value) else shown(score, value)


def head(content: Content) -> dict[str, Any]:
    """The one result of a run, and what it means; see `head_of`."""
    scores = content.test or content.scores
    known = Interval.of(scores.get(content.headline.score, {})).known
    return head_of(content.headline, scores, _caution(content, known=known))


def head_of(led: Headline, scores: Mapping[str, Score], caution: Sequence[str]) -> dict[str, Any]:
    """The one result: `value`, `words`, `interval`, and `meaning`, which are the sentences of caution and of the task."""
    score = scores.get(led.score)
    if score is None:
        return {"value": DASH, "words": led.words, "interval": "", "meaning": []}
    found = Interval.of(score)
    low, high = (written(led.score, end) for end in (found.low, found.high))
    return {
        "value": written(led.score, found.value),
        "words": led.words,
        "interval": f"95{SPACE}% interval {low} to {high}"
        if found.known
        else "No interval can be had: too few items, or none that differ.",
        "meaning": [*caution, *led.meaning],
    }


def counted(items: int, noun: str, *, test: bool) -> str:
    """How the items of the headline are called and counted."""
    split = "test" if test else "held-out"
    return f"{items:,} {split} {noun}" if items else f"the {split} {noun}"


def _caution(content: Content, *, known: bool) -> list[str]:
    items = content.noun
    luck = f"The interval covers the chance of which {items} fell into this set; " if known else ""
    worse = f"{items} from another source may fare worse."
    said = [f"{luck}{worse}" if known else f"{worse[:1].upper()}{worse[1:]}"]
    if content.test:
        said.append("None of them had a say in the training or in the choice of the epoch.")
    elif content.chosen:
        said.append(
            "The kept epoch was chosen by these same items, which flatters the figure a little."
        )
    return said


def section(content: Content) -> Section | None:
    """The scores of each split."""
    title = "Validation" if content.held_out == "val" else "Test"
    groups = [(title, content.items, content.scores)]
    if content.test:
        groups.insert(0, ("Separate test", content.test_items or 0, content.test))
    tables = [_table(content, *group) for group in groups if group[2]]
    if not tables:
        return None
    says = [
        (content.measure(key).title, content.measure(key).says)
        for key in _ordered(content, groups[0][2])
    ]
    glossary = " ".join(f"{title}: {words}." for title, words in says if words)
    beside = [Beside(tables)] if len(tables) > 1 else tables
    return Section("Scores", parts=[*beside, *([Text(glossary, soft=True)] if glossary else [])])


def _ordered(content: Content, scores: Mapping[str, Score]) -> list[str]:
    """The one of the headline first, then shares."""
    return sorted(
        scores, key=lambda key: (key != content.headline.score, not _is_part(content, key))
    )


def _all(content: Content) -> list[tuple[str, Score]]:
    """The scores of every split."""
    return [*content.scores.items(), *(content.test or {}).items()]


def _is_part(content: Content, score: str) -> bool:
    """Whether a score is a share of something, at most 1; a percentage of error may be any."""
    return is_share(score) and not content.measure(score).lower


def _table(content: Content, title: str, items: int, scores: Mapping[str, Score]) -> Table:
    rows: list[list[Any]] = []
    for key in _ordered(content, scores):
        found, measure = Interval.of(scores[key]), content.measure(key)
        low, high = (written(key, end) for end in (found.low, found.high))
        drawn = found if _is_part(content, key) else "lower is better" if measure.lower else ""
        span = f"{low.removesuffix(f'{SPACE}%')} {DASH} {high}" if found.known else DASH
        rows.append([measure.title, written(key, found.value), drawn, span])
    columns = [
        Column("score"),
        Column("value", "number"),
        Column("", "interval") if any(isinstance(row[2], Interval) for row in rows) else Column(""),
        Column("95 % interval", "number"),
    ]
    drawn = [Interval.of(score) for key, score in _all(content) if _is_part(content, key)]
    within = [end for found in drawn if found.known for end in (found.low, found.high)]
    return Table(
        columns, rows, title=title, within=within, note=f"{items:,} items" if items else ""
    )
