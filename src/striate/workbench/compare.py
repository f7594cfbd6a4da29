"""Which of several runs is better on the same items: paired differences with intervals."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate import data as data_room
from striate.data import Data
from striate.errors import ArgumentError, CheckpointError, DataError
from striate.metrics.compare import Difference, paired
from striate.metrics.intervals import FEWEST
from striate.metrics.scores import number, shown
from striate.result import Result, text_table
from striate.runs import Run
from striate.runs.folder import read_json
from striate.runs.split_answers import read_rows

Columns = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Compared:
    """One score of two runs: their means over the items that have it in both, and the difference b - a."""

    score: str
    a: str
    b: str
    mean_a: float
    mean_b: float
    difference: Difference


@dataclass(frozen=True)
class Comparison(Result):
    """Every run, or setting of several, beside the first, score by score of single items.

    Attributes:
        runs: their folders; of pooled ones the names of the settings.
        split: that was scored.
        items: how many; of pooled ones those of all seeds together.
        differences: of each from the first.
        note: how items were scored, where that has to be said.
        pooled: the runs of each setting.
    """

    runs: tuple[str, ...]
    split: str
    items: int
    differences: tuple[Compared, ...]
    note: str = ""
    pooled: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape `compare`."""
        return {
            "runs": list(self.runs),
            "split": self.split,
            "items": self.items,
            "note": self.note,
            "pooled": {name: list(runs) for name, runs in self.pooled.items()},
            "differences": [
                {
                    "score": each.score,
                    "a": each.a,
                    "b": each.b,
                    "mean_a": number(each.mean_a),
                    "mean_b": number(each.mean_b),
                    **{
                        key: number(getattr(each.difference, key))
                        for key in ("value", "low", "high", "p")
                    },
                }
                for each in self.differences
            ],
        }

    def as_text(self) -> str:
        """A table for each run beside the first."""
        head = (
            f"{self.items:,} items of {self.split}, scored one by one; b - a with its 95 % interval"
        )
        parts = [f"{head}\n{self.note}" if self.note else head]
        for b in self.runs[1:]:
            rows = [_row(each) for each in self.differences if each.b == b]
            title = f"a {self.runs[0]}\nb {b}"
            parts.append(
                f"{title}\n{text_table(['score', 'a', 'b', 'b - a', 'low', 'high', 'p'], rows)}"
            )
        return "\n\n".join(parts)


def _row(each: Compared) -> list[str]:
    found = each.difference
    cells = [shown(each.score, value) for value in (each.mean_a, each.mean_b, *found[:3])]
    return [each.score, *cells, "-" if np.isnan(found.p) else f"{found.p:.4f}"]


def compare(runs: Sequence[str | Path | Run], *, split: str | None = None) -> Comparison:
    """Compare runs that were trained and held out on the same data.

    The scores are those of single items, as items.csv has them; p is that of random signs, see
    `striate.metrics.compare.paired`; items of one block, such as windows that overlap, change together. With several comparisons at once p is not corrected for their number.

    Where a run was trained with `fixes=`, every run is scored by the labels that these corrections give the items that it
    held out, and on none that they drop: runs that did not have them are answered anew on the corrected items.

    Args:
        runs: two or more; each is compared with the first.
        split: of the data; what the training held out if not given. Another is evaluated if it was not yet.

    Raises:
        ArgumentError: fewer than two runs.
        DataError: they were trained on other data, for another task, or their items differ.
    """
    opened = [each if isinstance(each, Run) else Run(each) for each in runs]
    if len(opened) < 2:
        raise ArgumentError(f"compare takes two runs or more, got {len(opened)}")
    split = split or str(opened[0].summary["split"])
    found = _aligned(opened, split)
    paths = tuple(str(run.path) for run in opened)
    differences: list[Compared] = []
    for path, columns in zip(paths[1:], found.columns[1:], strict=True):
        differences += _differences((paths[0], path), found.columns[0], columns, found.groups)
    return Comparison(paths, split, len(found.names), tuple(differences), found.note)


def compare_pooled(runs: Sequence[str | Path | Run], *, split: str | None = None) -> Comparison:
    """Compare settings, each trained with several seeds; runs whose recipes differ by the seed alone are one setting.

    Seed k of a setting is paired with seed k of the first, whose held-out items it shares. With five seeds or more a
    unit is a seed, so that differences are of the setting whatever the seed; with fewer it is an item, and they are of
    these nets.

    Args:
        runs: of two settings or more, the first one's are what the others are compared with.
        split: as of `compare`.

    Raises:
        ArgumentError: of one setting only.
        DataError: the settings have other seeds, or as `compare`.
    """
    from striate.see.pictures.curves import curves

    opened = [each if isinstance(each, Run) else Run(each) for each in runs]
    settings = curves(opened).settings if opened else ()
    if len(settings) < 2:
        raise ArgumentError(
            f"--pool compares settings: these {len(opened)} runs differ by their seed alone; leave --pool out"
        )
    by_path = {str(run.path): run for run in opened}
    members = {s.name: sorted((by_path[p] for p in s.runs), key=_seed) for s in settings}
    first, *others = members
    seeds = [_seed(run) for run in members[first]]
    for name in others:
        if (found := [_seed(run) for run in members[name]]) != seeds:
            raise DataError(
                f"--pool pairs seed with seed: {first} has {_listed(seeds)}, {name} has {_listed(found)}"
            )
    split = split or str(members[first][0].summary["split"])
    each = [_aligned([members[name][k] for name in members], split) for k in range(len(seeds))]
    columns, groups = _stacked(each)
    differences: list[Compared] = []
    for name, theirs in zip(others, columns[1:], strict=True):
        differences += _differences((first, name), columns[0], theirs, groups)
    unit = (
        f"differences are paired over {len(seeds)} seeds: of the setting, whatever the seed"
        if len(seeds) >= FEWEST
        else f"differences are paired over items of {len(seeds)} seeds: of these nets, not of the setting; {FEWEST} seeds "
        "or more would tell"
    )
    note = "\n".join(filter(None, [unit, each[0].note]))
    pooled = {name: tuple(str(run.path) for run in found) for name, found in members.items()}
    items = sum(len(one.names) for one in each)
    return Comparison(tuple(members), split, items, tuple(differences), note, pooled)


def _seed(run: Run) -> int:
    return int(run.config.settings.get("seed", 0))


def _listed(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) != 1)} {', '.join(map(str, seeds))}"


def _stacked(each: Sequence["_Aligned"]) -> tuple[list[Columns], NDArray[np.int64] | None]:
    """The scores of all seeds one after the other, of each setting, and the unit that an item belongs to."""
    columns: list[Columns] = []
    for k in range(len(each[0].columns)):
        names = [name for name in each[0].columns[k] if all(name in e.columns[k] for e in each)]
        columns.append({n: np.concatenate([e.columns[k][n] for e in each]) for n in names})
    if len(each) >= FEWEST:
        return columns, np.repeat(np.arange(len(each)), [len(e.names) for e in each])
    if any(e.groups is None for e in each):
        return columns, None
    blocks, start = list[NDArray[np.int64]](), 0
    for e in each:
        found = np.unique(e.groups, return_inverse=True)[1] + start  # pyright: ignore[reportArgumentType, reportCallIssue]
        start = int(found.max()) + 1
        blocks.append(found)
    return columns, np.concatenate(blocks)


@dataclass(frozen=True)
class _Aligned:
    """The scores of runs on the same items, in one order.

    Attributes:
        names: of the items in the first run.
        columns: of each run.
        groups: a number an item that items which overlap share; None where none do.
        note: how items are scored, where that has to be said.
    """

    names: list[str]
    columns: list[Columns]
    groups: NDArray[np.int64] | None
    note: str


def _aligned(opened: Sequence[Run], split: str) -> _Aligned:
    """The scores of runs, checked to be on the same items.

    Raises:
        DataError: they are not.
    """
    first = opened[0]
    fixed = _corrected(opened, split)
    for other in opened[1:]:
        _check(first, other, fixed)
    tables = [_scores(run, split, fixed) for run in opened]
    names, base, groups = tables[0]
    columns = [base]
    for run, (others, found, _) in zip(opened[1:], tables[1:], strict=True):
        same = others == names and (fixed is not None or _same_data(first, run))
        columns.append(found if same else _by_content((first, names), (run, others), split, found))
    return _Aligned(names, columns, groups, fixed.words if fixed else "")


@dataclass(frozen=True)
class _Fixed:
    """The items that all runs are scored on, as a table of corrections leaves them.

    Attributes:
        run: that was trained with the corrections.
        data: its data.
        original: the fingerprint of the same without the corrections.
        words: how items are scored.
    """

    run: Run
    data: Data
    original: str
    words: str

    @property
    def sha256(self) -> str:
        """Of the corrections."""
        return _fixes_of(self.run)


def _fixes_of(run: Run) -> str:
    """The SHA-256 of the corrections that a run was trained with; "" of none."""
    return str((run.config.data["origin"].get("fixes") or {}).get("sha256", ""))


def _uncorrected(run: Run) -> Data:
    """The data of a run without its corrections."""
    origin = {k: v for k, v in run.config.data["origin"].items() if k != "fixes"}
    return data_room.again(origin)


def _corrected(runs: Sequence[Run], split: str) -> _Fixed | None:
    """By whose corrections all are scored: those of the last run that has some; None where none or all have the same."""
    kept = [_fixes_of(run) for run in runs]
    if len(set(kept)) == 1:
        return None
    run = next(run for run in reversed(runs) if _fixes_of(run))
    data = run.open_data()
    applied = data.fixed
    if applied is None or split not in data.splits:
        raise ArgumentError(f"split={split}: {data.path} has {', '.join(data.splits)}")
    here = [
        sum(row["split"] == split for row in rows) for rows in (applied.relabelled, applied.dropped)
    ]
    words = (
        f"scored by {applied.fixes.name} of {run.path} in all runs: {here[0]} of these items have a corrected label, "
        f"{here[1]} are dropped"
    )
    if applied.regrouped and data.drawn:
        words += "; it regroups, so the split may differ"
    return _Fixed(run, data, _uncorrected(run).fingerprint, words)


def _check(first: Run, other: Run, fixed: _Fixed | None = None) -> None:
    if other.config.task != first.config.task:
        raise DataError(
            f"{other.path} was trained to {other.config.task}, {first.path} to {first.config.task}: "
            "compare runs of one task"
        )
    if fixed is not None:
        for run in (first, other):
            _check_original(run, fixed)
        return
    learned = (run.config.data.get("trained") for run in (first, other))
    if not _same_data(first, other) and len({*learned, None}) != 2:  # by content, wherever it lay
        raise DataError(
            f"{other.path} and {first.path} were trained on different data, or split otherwise"
        )


def _check_original(run: Run, fixed: _Fixed) -> None:
    """Refuse a run that was not trained on the same data before their corrections.

    Raises:
        DataError: saying so.
    """
    own = _uncorrected(run) if _fixes_of(run) else run.open_data()
    if own.fingerprint != fixed.original:
        raise DataError(
            f"{run.path} and {fixed.run.path} were trained on different data, also before their corrections"
        )


def _same_data(first: Run, other: Run) -> bool:
    return bool(other.config.data["fingerprint"] == first.config.data["fingerprint"])


def _by_content(
    first: tuple[Run, list[str]], other: tuple[Run, list[str]], split: str, columns: Columns
) -> Columns:
    """The columns of another run in the order of the first one's items, which have other names there, as in shards.

    Raises:
        DataError: they are other items, or have other targets.
    """
    wanted, have = (_contents(run, split, names) for run, names in (first, other))
    place = {key: i for i, key in enumerate(have)}
    if sorted(wanted) != sorted(have):
        raise DataError(
            f"{other[0].path} and {first[0].path} held out other items of {split}: train both with one seed and split"
        )
    order = [place[key] for key in wanted]
    return {name: values[order] for name, values in columns.items()}


def _contents(run: Run, split: str, names: list[str]) -> list[tuple[str, str, int]]:
    """What stands for items by their content: its SHA-256, the target, and which of equal ones."""
    data = run.open_data()
    held = data.splits[split]
    known = {
        name: (digest.hex(), held.targets.content(i, data.classes))
        for i, (name, digest) in enumerate(zip(held.names, held.looks.digests, strict=True))
    }
    seen: Counter[tuple[str, str]] = Counter()
    found: list[tuple[str, str, int]] = []
    for name in names:
        key = known.get(name, (name, ""))
        found.append((*key, seen[key]))
        seen[key] += 1
    return found


def _differences(
    who: tuple[str, str], base: Columns, columns: Columns, groups: NDArray[np.int64] | None
) -> list[Compared]:
    found: list[Compared] = []
    for score in base:
        if score not in columns:
            continue
        a, b = base[score], columns[score]
        both = ~(np.isnan(a) | np.isnan(b))
        mean_a, mean_b = (float(x[both].mean()) if both.any() else math.nan for x in (a, b))
        found.append(Compared(score, *who, mean_a, mean_b, paired(a, b, groups, score=score)))
    return found


def _scores(
    run: Run, split: str, fixed: _Fixed | None = None
) -> tuple[list[str], Columns, NDArray[np.int64] | None]:
    """Names of the items, each of their scores, and the block of each where items overlap.

    Of another split than the training's it is evaluated first; so it is on corrected items that it was not trained with.
    """
    if fixed is not None and _fixes_of(run) != fixed.sha256:
        return _answered(run, split, fixed)
    path, digest = run.path / "items.csv", run.summary.get("items_sha256")
    if split != run.summary["split"]:
        stem = f"{Path(run.config.data['origin']['path']).name}-{split}.csv"
        path = run.path / "evaluations" / stem
        said = path.with_suffix(".json")
        if not path.exists() or not said.exists():
            run.evaluate(split=split)
        digest = read_json(said).get("items_sha256")
    return _columns(read_rows(path, digest), path, run.task.item_facts)


def _answered(
    run: Run, split: str, fixed: _Fixed
) -> tuple[list[str], Columns, NDArray[np.int64] | None]:
    """`_scores` on corrected items.

    Raises:
        DataError: the run was trained on one of them.
    """
    held = run.held(fixed.data, split)
    own = run.open_data()
    learned = set(own.splits["train"].names if "train" in own.splits else ())
    if split != "train" and (both := [name for name in held.names if name in learned]):
        raise DataError(
            f"{run.path} was trained on {both[0]}, which {fixed.run.path} held out: the corrections regroup items, "
            "and the split follows: train both with the regroup rows"
        )
    rows = [
        {"file": name, **{key: str(value) for key, value in row.items()}}
        for name, row in zip(held.names, held.rows, strict=True)
    ]
    return _columns(rows, run.path, run.task.item_facts)


def _columns(
    rows: Sequence[Mapping[str, str]], path: Path, facts: Sequence[str]
) -> tuple[list[str], Columns, NDArray[np.int64] | None]:
    """Rows of items.csv as columns, without those that are no scores.

    Raises:
        CheckpointError: they name no files.
    """
    if any("file" not in row for row in rows[:1]):
        raise CheckpointError(f"{path} is damaged: it has no column file")
    words = ("file", "truth", "answer", "confidence", "block", *facts)
    keys = [key for key in (rows[0] if rows else {}) if key not in words]
    columns = {key: np.array([_value(row.get(key, "")) for row in rows]) for key in keys}
    blocks = [row["block"] for row in rows if row.get("block", "").isdecimal()]
    groups = np.array(blocks, np.int64) if blocks and len(blocks) == len(rows) else None
    return [row["file"] for row in rows], columns, groups


def _value(cell: str) -> float:
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        return math.nan
