"""Series of several files, a split each, on one clock. T steps, N nodes."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np

from striate.data.index import Fault
from striate.data.series.clock import Clock
from striate.data.series.table import F32, Series
from striate.errors import DataError

Spans = dict[str, tuple[int, int]]

_MOST = 10  # times as many steps as the files have, which their times may cover


def in_one(each: Mapping[str, Series], name: str) -> tuple[Series, Spans]:
    """All in one table, missing values where no file has a step, and the first step and the one after the last of each split.

    Files without time stamps are taken to follow each other in the order in which they are given.

    Args:
        each: of the splits, "train" among them, in the order of time if nothing says it.
        name: of the folder, for messages.

    Raises:
        DataError: other nodes, other steps of time, times that two files share, or that lie too far apart.
    """
    first = each["train"]
    same = {split: _in_order(series, first) for split, series in each.items()}
    starts, clock, note = _starts(same)
    spans = {split: (at, at + len(same[split])) for split, at in starts.items()}
    _check_apart(spans, same, clock)
    values = _values(spans, same, name)
    made = replace(first, values=values, clock=clock, name=name, notes=(), warnings=(), faults=())
    notes = dict.fromkeys(line for series in same.values() for line in series.notes)
    warnings = dict.fromkeys(line for series in same.values() for line in series.warnings)
    faults = tuple(_placed(fault, one.name) for one in same.values() for fault in one.faults)
    return replace(made, faults=faults).noted(*notes, *note, warnings=tuple(warnings)), spans


def _placed(fault: Fault, file: str) -> Fault:
    """With the file of its places."""
    return replace(fault, places=tuple(f"{file}: {place}" for place in fault.places))


def _in_order(series: Series, first: Series) -> Series:
    """With its columns in the order of those of the training."""
    if series.nodes == first.nodes:
        return series
    place = {node: i for i, node in enumerate(series.nodes)}
    lost = [node for node in first.nodes if node not in place]
    more = [node for node in series.nodes if node not in set(first.nodes)]
    if lost or more:
        what = f"no series {lost[0]!r}" if lost else f"a series {more[0]!r}"
        has = "has" if lost else "has not"
        raise DataError(f"{series.name} has {what}, which {first.name} {has}: expected the same")
    order = [place[node] for node in first.nodes]
    return replace(series, values=series.values[:, order], nodes=first.nodes)


def _starts(each: Mapping[str, Series]) -> tuple[dict[str, int], Clock, tuple[str, ...]]:
    """The step that each begins with, the clock of all, and what is said of it."""
    first = each["train"]
    clocks = {split: series.clock for split, series in each.items()}
    if not any(clock.unit for clock in clocks.values()) and len(set(clocks.values())) == 1:
        lengths = [len(series) for series in each.values()]
        begins = np.cumsum([0, *lengths[:-1]]).tolist()
        said = f"without time stamps the files are taken to follow each other: {', '.join(each)}"
        return dict(zip(each, begins, strict=True)), first.clock, (said,)
    for split, clock in clocks.items():
        if (clock.unit, clock.step) != (first.clock.unit, first.clock.step):
            raise DataError(
                f"{each[split].name} has steps {clock.words()}, {first.name} {first.clock.words()}: expected the same"
            )
    earliest = min(clock.first for clock in clocks.values())
    step = first.clock.step
    for split, clock in clocks.items():
        if (clock.first - first.clock.first) % step:
            raise DataError(
                f"the steps of {each[split].name} do not fall on those of {first.name}: {clock.stamp(0)}, there "
                f"{first.clock.stamp(0)}"
            )
    starts = {split: (clock.first - earliest) // step for split, clock in clocks.items()}
    return starts, replace(first.clock, first=earliest), ()


def _check_apart(spans: Spans, each: Mapping[str, Series], clock: Clock) -> None:
    """Refuse files that share times: what is held out would be trained on."""
    order = sorted(spans, key=lambda split: spans[split])
    for before, after in pairwise(order):
        if spans[after][0] < spans[before][1]:
            begin, end = clock.stamp(spans[after][0]), clock.stamp(spans[before][1] - 1)
            raise DataError(
                f"{each[after].name} begins at {begin}, and {each[before].name} ends at {end}: leave out of one what is in both, "
                "so that nothing that is held out is trained on"
            )


def _values(spans: Spans, each: Mapping[str, Series], name: str) -> F32:
    """One table [T, N]."""
    whole, held = max(last for _, last in spans.values()), sum(map(len, each.values()))
    if whole > _MOST * held:
        raise DataError(
            f"{name}: its files have {held:,} steps of the {whole:,} that their times cover: expected files closer in time"
        )
    values = np.full((whole, len(each["train"].nodes)), np.nan, np.float32)
    for split, (first, last) in spans.items():
        values[first:last] = each[split].values
    return values
