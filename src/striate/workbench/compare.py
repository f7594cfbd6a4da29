"""Which of several runs is better on the same items: paired differences with intervals."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import ArgumentError, CheckpointError, DataError
from striate.metrics.compare import Difference, paired
from striate.metrics.scores import number, shown
from striate.result import Result, text_table
from striate.runs import Run
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
    """Every run beside the first, score by score of single items."""

    runs: tuple[str, ...]
    split: str
    items: int
    differences: tuple[Compared, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape `compare`."""
        return {
            "runs": list(self.runs),
            "split": self.split,
            "items": self.items,
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
        parts = [head]
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
    first = opened[0]
    split = split or str(first.summary["split"])
    for other in opened[1:]:
        _check(first, other)
    tables = [_scores(run, split) for run in opened]
    names, base, groups = tables[0]
    differences: list[Compared] = []
    for run, (others, columns, _) in zip(opened[1:], tables[1:], strict=True):
        if others != names or not _same_data(first, run):
            matched = _by_content((first, names), (run, others), split, columns)
        else:
            matched = columns
        differences += _differences(first, run, base, matched, groups)
    paths = tuple(str(run.path) for run in opened)
    return Comparison(paths, split, len(names), tuple(differences))


def _check(first: Run, other: Run) -> None:
    if other.config.task != first.config.task:
        raise DataError(
            f"{other.path} was trained to {other.config.task}, {first.path} to {first.config.task}: "
            "compare runs of one task"
        )
    learned = (run.config.data.get("trained") for run in (first, other))
    if not _same_data(first, other) and len({*learned, None}) != 2:  # by content, wherever it lay
        raise DataError(
            f"{other.path} and {first.path} were trained on different data, or split otherwise"
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
    first: Run, run: Run, base: Columns, columns: Columns, groups: NDArray[np.int64] | None
) -> list[Compared]:
    found: list[Compared] = []
    for score in base:
        if score not in columns:
            continue
        a, b = base[score], columns[score]
        both = ~(np.isnan(a) | np.isnan(b))
        mean_a, mean_b = (float(x[both].mean()) if both.any() else math.nan for x in (a, b))
        paths = (str(first.path), str(run.path))
        found.append(Compared(score, *paths, mean_a, mean_b, paired(a, b, groups)))
    return found


def _scores(run: Run, split: str) -> tuple[list[str], Columns, NDArray[np.int64] | None]:
    """Names of the items, each of their scores, and the block of each where items overlap.

    Of another split than the training's it is evaluated first.
    """
    path = run.path / "items.csv"
    if split != run.summary["split"]:
        stem = f"{Path(run.config.data['origin']['path']).name}-{split}.csv"
        path = run.path / "evaluations" / stem
        if not path.exists():
            run.evaluate(split=split)
    rows = read_rows(path)
    if any("file" not in row for row in rows[:1]):
        raise CheckpointError(f"{path} is damaged: it has no column file")
    words = ("file", "truth", "answer", "confidence", "block")
    keys = [key for key in (rows[0] if rows else {}) if key not in words]
    columns = {key: np.array([_value(row[key]) for row in rows]) for key in keys}
    blocks = [row["block"] for row in rows if row.get("block", "").isdecimal()]
    groups = np.array(blocks, np.int64) if blocks and len(blocks) == len(rows) else None
    return [row["file"] for row in rows], columns, groups


def _value(cell: str) -> float:
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        return math.nan
