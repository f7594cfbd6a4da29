"""Whether items that are judged were learned from: the same ones, nearly the same, or others of one group or film.

Kapoor and Narayanan (2023) found leaks of these kinds in 294 papers of 17 fields.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from striate.auditing.check import Case, Check
from striate.auditing.finding import Finding
from striate.data.duplicates import Pair, copies_by_name
from striate.metrics import Interval
from striate.metrics.classify import wilson
from striate.runs.training_items import other_split, seen
from striate.text import counted, percent

SHOWN = 20  # pairs that are listed
FRAME = re.compile(r"^(.*?)(\d{2,})(\D*)$")
NEAR = 2  # frames apart from which two are taken for neighbours


@dataclass(frozen=True)
class _Way:
    """One way in which items are on both sides, with the pairs (judged, learned from) that it found."""

    name: str
    words: str
    pairs: Callable[[Case], Sequence[tuple[str, str]]]
    certain: bool = True  # else a person has to look
    lacks: Callable[[Case], str] = lambda _case: ""  # why it cannot be looked at


def _lacks(case: Case) -> str:
    unlooked = _unlooked(case)
    if len(unlooked) < len(WAYS):
        return ""
    return f"nothing can be looked at: {_list(unlooked)}"


def _unlooked(case: Case) -> dict[str, str]:
    """The names of the ways that cannot be looked at, each with its reason."""
    return {way.name: reason for way in WAYS if (reason := way.lacks(case))}


def _list(unlooked: Mapping[str, str]) -> str:
    return "; ".join(f"{name} ({reason})" for name, reason in unlooked.items())


def _find(case: Case) -> Iterator[Finding]:
    leaked: set[str] = set()
    count = len(case.part)
    unlooked = _unlooked(case)
    for way in WAYS:
        pairs = () if way.name in unlooked else way.pairs(case)
        if not pairs:
            continue
        judged = {name for name, _ in pairs}
        leaked |= judged if way.certain else set()
        yield Finding(
            "leaks",
            f"{counted(len(judged), 'item')} of {count:,} in {case.split}: {way.words}",
            wilson(len(judged), count),
            limit=0.0,
            crossed=way.certain,
            evidence=[
                {"file": a, "split": case.split, "other": b, "way": way.name}
                for a, b in pairs[:SHOWN]
            ],
            advice=_advice(way, case),
            unit="share",
        )
    if leaked and case.run is not None and case.has_labels:
        yield _without(case, leaked)
    missing = f"not looked at: {_list(unlooked)}" if unlooked else ""
    if not leaked:
        looked = ", ".join(way.name for way in WAYS if way.certain and way.name not in unlooked)
        yield Finding(
            "leaks",
            f"no item of {case.split} was learned from, by what was looked at: {looked}"
            + (f"; {missing}" if missing else ""),
            wilson(0, count),
            limit=0.0,
            unit="share",
        )
    elif missing:
        yield Finding.skipped("leaks", missing)


def _without(case: Case, leaked: set[str]) -> Finding:
    """The score of all items beside that of those that are on one side only."""
    right = case.right(case.arrays.inputs, case.labels())
    clean = np.array([name not in leaked for name in case.arrays.names])
    whole = wilson(int(right.sum()), len(right))
    rest = wilson(int(right[clean].sum()), int(clean.sum())) if clean.any() else Interval(math.nan)
    return Finding(
        "leaks",
        f"accuracy {percent(whole.value)} on all items of {case.split}, {percent(rest.value)} without the "
        f"{counted(int((~clean).sum()), 'item')} that were learned from",
        rest,
        limit=whole.value,
        crossed=False,
        unit="share",
    )


def _same(case: Case) -> list[tuple[str, str]]:
    return _across(case, case.data.exact_pairs)


def _similar(case: Case) -> list[tuple[str, str]]:
    return _across(case, case.data.near_pairs or ())


def _across(case: Case, pairs: Iterable[Pair]) -> list[tuple[str, str]]:
    """Pairs with one side in the judged split, that side first."""
    found: list[tuple[str, str]] = []
    for a, b in pairs:
        if (a[0] == case.split) != (b[0] == case.split):
            found.append((a[1], b[1]) if a[0] == case.split else (b[1], a[1]))
    return found


def _learned(case: Case) -> list[tuple[str, str]]:
    """Items whose content the run wrote down as learned from, whatever data they came from."""
    run, names = case.trained, case.part.names
    trained = str(run.config.data["trained"])
    return [(names[i], "the training of the run") for i in seen(run.path, trained, case.part)]


def _copies(case: Case) -> list[tuple[str, str]]:
    """Names that exports and file managers give to copies of one picture."""
    names = [(split.name, name) for split in case.data.splits.values() for name in split.names]
    found = copies_by_name([name for _, name in names])
    return [] if found is None else _of_groups(case, names, found.groups.tolist())


def _groups(case: Case) -> list[tuple[str, str]]:
    """Items of one group, where the data name groups: patients, places, speakers."""
    names: list[tuple[str, str]] = []
    groups: list[int] = []
    for split in case.data.splits.values():
        if split.part.groups is None:
            continue
        names += [(split.name, name) for name in split.names]
        groups += split.part.groups.tolist()
    return _of_groups(case, names, groups)


def _of_groups(
    case: Case, names: Sequence[tuple[str, str]], groups: Sequence[int]
) -> list[tuple[str, str]]:
    """Each judged item with the first of its group in another split."""
    elsewhere: dict[int, str] = {}
    for (split, name), group in zip(names, groups, strict=True):
        if split != case.split:
            elsewhere.setdefault(group, name)
    return [
        (name, elsewhere[group])
        for (split, name), group in zip(names, groups, strict=True)
        if split == case.split and group in elsewhere
    ]


def _frames(case: Case) -> list[tuple[str, str]]:
    """Neighbouring frames of one film: names that differ in a counter by one or two, most of a film on both sides."""
    films: dict[tuple[str, str], dict[int, tuple[str, str]]] = defaultdict(dict)
    for split in case.data.splits.values():
        for name in split.names:
            base = name.rpartition("/")[2]
            if match := FRAME.match(base):
                films[match[1], match[3]][int(match[2])] = (split.name, name)
    found: list[tuple[str, str]] = []
    # One film is no proof: pictures are counted too. Several named films that lie on both sides are.
    several = sum(len(film) > NEAR for film in films.values()) > 1
    for film in films.values() if several else ():
        for at, (split, name) in film.items():
            beside = (film.get(at + step) for step in (-1, 1, -NEAR, NEAR))
            other = next((one for one in beside if one and one[0] != case.split), None)
            if split == case.split and other:
                found.append((name, other[1]))
    return found


def _advice(way: _Way, case: Case) -> str:
    if way.name == "similar":
        return "look at the pairs; train anew with split=similar, which keeps them on one side"
    if way.name in ("groups", "frames", "copies"):
        return "train anew with split=FILE.csv:COLUMN, split=folder or split=name:PATTERN, which keep a group on one side"
    if case.run is not None and (mend := other_split(case.run.config.data, case.data)):
        return mend
    return f"take them out of {case.split} and evaluate again, or train anew on data that `striate data` calls free of leaks"


def _alone(case: Case) -> str:
    return "there is one split only" if len(case.data.splits) < 2 else ""


def _unwritten(case: Case) -> str:
    if case.run is None:
        return "there is no run"
    known = isinstance(case.run.config.data.get("trained"), str)
    return "" if known else "the run did not write down what it learned from"


def _ungrouped(case: Case) -> str:
    unnamed = any(split.part.groups is None for split in case.data.splits.values())
    return _alone(case) or ("the data name none" if unnamed else "")


WAYS = (
    _Way("same", "the same content as one in another split", _same, lacks=_alone),
    _Way("learned", "content that this run learned from", _learned, lacks=_unwritten),
    _Way(
        "similar",
        "nearly the same as one in another split",
        _similar,
        lacks=lambda case: _alone(case) or case.data.near_unlooked,
    ),
    _Way("groups", "of a group that is in another split too", _groups, lacks=_ungrouped),
    _Way("copies", "named as a copy of one in another split", _copies, lacks=_alone),
    _Way(
        "frames",
        "numbered as a neighbour of one in another split, as frames of a film are",
        _frames,
        certain=False,
        lacks=_alone,
    ),
)

CHECK = Check(
    "leaks",
    "Were items that are judged learned from?",
    _find,
    gate=True,
    lacks=_lacks,
    seconds=lambda case: 0.002 * len(case.data),
    needs_run=False,
)
