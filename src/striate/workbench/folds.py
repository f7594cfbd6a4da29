"""Cross-validation: the same training once for every part of the data that is held out in turn.

OUT/folds/NAME/
  folds.json       data, recipe and number of parts: what a second call goes on with
  <task>/1ofK ...  the run of each part
  items.csv        a row an item, answered by the net that did not see it; of classes the probability of each
  answers.npz      the same as arrays, as the task counts them
  summary.json     scores of all items together with intervals, and those of each part
  report.html
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data import Data
from striate.errors import DataError, UsageError
from striate.metrics import Interval, Scores
from striate.metrics.scores import cells, number, shown
from striate.result import Result, text_table
from striate.runs import folder
from striate.runs.split_answers import Held, write_table
from striate.tasks import Meter
from striate.training import Progress, Recipe
from striate.workbench import series
from striate.workbench.report.folds import page as folds_page
from striate.workbench.train import open_data

KIND = "folds"


@dataclass(frozen=True)
class Folds(Result):
    """Scores of every fold, of each part by a net that did not see it, and of all items together.

    Attributes:
        runs: a folder a fold.
        scores: of each fold, by name; those that its items do not give are left out.
        path: of the folder that holds all.
        items: that were answered, each once.
        pooled: scores of all of them together.
        notes: what a reader of the scores must know.
    """

    runs: tuple[str, ...]
    scores: Mapping[str, tuple[float, ...]]
    path: str = ""
    items: int = 0
    pooled: Mapping[str, Interval] | None = None
    notes: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape `folds`: beside it the mean of every score, its deviation between folds and the values.

        All folds have one setting, so the table has one row, of the scores of all items together.
        """
        pooled = {name: interval.as_dict() for name, interval in (self.pooled or {}).items()}
        settings = {"folds": str(len(self.runs))}
        return {
            "folder": self.path,
            "runs": list(self.runs),
            "scores": {
                name: {
                    "mean": number(_mean(values)),
                    "std": number(_deviation(values)),
                    "values": [number(value) for value in values],
                }
                for name, values in self.scores.items()
            },
            "items": self.items,
            "pooled": pooled,
            "table": [{"settings": settings, "scores": pooled}],
            "best": settings,
            **({"notes": list(self.notes)} if self.notes else {}),
        }

    def as_text(self) -> str:
        """A row a score. The deviation is that between folds, which share most of their training items."""
        pooled, by_fold = self._tables()
        head = f"{self.items:,} items, each answered by the net that did not see it, 95 % intervals: {self.path}"
        return "\n\n".join([head, text_table(*pooled), text_table(*by_fold), *self.notes])

    def _tables(
        self,
    ) -> tuple[tuple[list[str], list[list[str]]], tuple[list[str], list[list[str]]]]:
        pooled = [[name, *cells(name, interval)] for name, interval in (self.pooled or {}).items()]
        rows: list[list[str]] = []
        for name, values in self.scores.items():
            deviation = shown(name, _deviation(values))
            rows.append(
                [name, shown(name, _mean(values)), deviation]
                + [shown(name, value) for value in values]
            )
        most = max((len(values) for values in self.scores.values()), default=0)
        numbers = [f"fold {i + 1}" for i in range(most)]
        padded = [row + ["-"] * (len(numbers) + 3 - len(row)) for row in rows]
        return (
            (["score of all items", "value", "low", "high"], pooled),
            (["score", "mean", "std", *numbers], padded),
        )


def _mean(values: Sequence[float]) -> float:
    with np.errstate(invalid="ignore"):  # infinite ones of both signs have none
        return float(np.mean(values))


def _deviation(values: Sequence[float]) -> float:
    """Of the scores of folds, from their mean; nan of one alone, or where one is no finite number."""
    known = len(values) > 1 and np.isfinite(values).all()
    return float(np.std(values, ddof=1)) if known else math.nan


def train_folds(
    data: str | Path,
    recipe: Recipe,
    count: int,
    *,
    out: Path = Path("runs"),
    name: str | None = None,
    progress: Progress,
) -> Folds:
    """Train `count` times, each time with another part held out; called again it goes on where it ended.

    Args:
        data: what is opened for each fold.
        recipe: of all trainings.
        count: of the parts.
        out: below which the folder `folds/NAME` is made.
        name: of that folder; found if not given.
        progress: who is told.

    Raises:
        UsageError: fewer than two parts, a `val` beside them, or a name that other folds have.
        DataError: a fold that cannot be made; nothing is trained.
    """
    if count < 2:
        raise UsageError(f"--folds {count}: expected at least 2 parts")
    if recipe.val is not None:
        raise UsageError(f"val={recipe.val}: --folds {count} says what is held out; leave val out")
    folder.check_name(name)
    folder.check_parent(out)
    _check_each(data, recipe, count, progress)
    asked = {**series.asked(data, recipe), "folds": count}
    default = f"{series.short_name(data)}-{count}"
    path = series.begun(out, KIND, name, default, asked, progress)
    return _trained(path, data, recipe, count, progress)


def is_folds(path: Path) -> bool:
    """Whether a folder holds the folds of a training, rather than one run."""
    return (path / f"{KIND}.json").exists()


def resume_folds(path: Path, *, progress: Progress) -> Folds:
    """Go on with the folds of a folder.

    Args:
        path: of the folder.
        progress: who is told.

    Raises:
        CheckpointError: folds.json is damaged.
    """
    asked = series.read(path, KIND)
    recipe = Recipe.model_validate(asked["recipe"])
    if (path / "summary.json").exists():
        progress.say(f"{path} is finished, there is nothing to do")
    return _trained(path, asked["data"], recipe, int(asked["folds"]), progress)


def _fold(recipe: Recipe, i: int, count: int) -> Recipe:
    return recipe.model_copy(update={"val": f"{i}of{count}"})


def _check_each(data: str | Path, recipe: Recipe, count: int, progress: Progress) -> None:
    """Refuse a fold that cannot be trained or scored, before the first one is.

    Raises:
        DataError: naming it.
    """
    for i in range(1, count + 1):
        progress.bar("looking at the folds", i, count)
        split = open_data(data, _fold(recipe, i, count))
        reason = _impossible(split)
        if reason:
            raise DataError(
                f"{split.path}: fold {i} of {count} {reason}; use fewer folds, or add what is missing"
            )


def _impossible(split: Data) -> str | None:
    """Why a fold cannot be trained or scored."""
    for name, what in (("val", "holds nothing out"), ("train", "has nothing to learn from")):
        if name not in split.splits or not len(split.splits[name]):
            return f"{what} (fewer groups or different items than folds)"
    trained = split.counts("train") or []
    held = split.counts("val") or [0] * len(trained)
    for label, many, few in zip(split.classes, trained, held, strict=False):
        if few and not many:
            return f"has no training item of the class {label}: all {few} are held out together"
    return None


def _trained(path: Path, data: str | Path, recipe: Recipe, count: int, progress: Progress) -> Folds:
    """Train the folds that are not trained yet, and put all of them together."""
    with folder.lock(path):
        held: list[Held] = []
        for i in range(1, count + 1):
            progress.say(f"fold {i} of {count}")
            held.append(series.one(path, data, _fold(recipe, i, count), f"{i}of{count}", progress))
        return _together(path, held, recipe)


def _together(path: Path, held: Sequence[Held], recipe: Recipe) -> Folds:
    """Scores, answers and report of all folds."""
    whole = held[0].used.task.meter(whole=True)
    for each in held:
        whole.merge(each.meter.state())
    groups = _groups(held)
    task, data = held[0].used.task, held[0].data
    pooled = Scores(
        str(path),
        data.path,
        data.held_out,
        sum(each.scores.items for each in held),
        whole.scores(groups),
        whole.per_class(groups),
        whole.confusion(),
        task.columns,
        whole.notes(groups),
    )
    scores: dict[str, list[float]] = {}
    for each in held:
        for key, interval in each.scores.scores.items():
            if not np.isnan(interval.value):
                scores.setdefault(key, []).append(interval.value)
    found = Folds(
        tuple(each.scores.run for each in held),
        {key: tuple(values) for key, values in scores.items()},
        str(path),
        pooled.items,
        pooled.scores,
        tuple(pooled.notes),
    )
    _write(path, held, whole)
    folder.write_text(path / "report.html", folds_page(path, held, whole, pooled, recipe))
    _finish(path, found)
    return found


def _groups(held: Sequence[Held]) -> NDArray[np.int64] | None:
    """Which of all items belong together, where the split has groups."""
    parts = [
        None if each.split.part.groups is None else each.split.part.groups[each.arrays.numbers]
        for each in held
    ]
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def _write(path: Path, held: Sequence[Held], whole: Meter) -> None:
    """items.csv and answers.npz."""
    state = whole.state()
    names = [name for each in held for name in each.names]
    folds = [i + 1 for i, each in enumerate(held) for _ in each.names]
    rows = [row for each in held for row in each.rows]
    classes = held[0].data.classes
    header = list(dict.fromkeys(key for row in rows for key in row))
    shares = [
        array
        for array in state.values()
        if array.dtype.kind == "f" and array.shape == (len(names), len(classes)) and classes
    ]
    labels = [f"p {label}" for label in classes] if shares else []
    write_table(
        path / "items.csv",
        ["file", "fold", *header, *labels],
        (
            [name, fold, *(_cell(row.get(key, "")) for key in header)]
            + [f"{p:.6g}" for array in shares[:1] for p in array[i]]
            for i, (name, fold, row) in enumerate(zip(names, folds, rows, strict=True))
        ),
    )
    answers = BytesIO()
    arrays: dict[str, Any] = {"files": np.array(names), "folds": np.array(folds), **state}
    np.savez(answers, **arrays)
    folder.write_bytes(path / "answers.npz", answers.getvalue())


def _finish(path: Path, found: Folds) -> None:
    """Write the summary, which comes last: with it the folds are done."""
    here = {"folder": ".", "runs": [str(Path(run).relative_to(path)) for run in found.runs]}
    folder.write_sealed(path / "summary.json", {"format": series.FORMAT, **found.as_dict(), **here})


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
