"""Cross-validation: the same training once for every part of the data that is held out in turn."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.errors import UsageError
from striate.report import Result, text_table
from striate.training import Progress, Recipe
from striate.workbench.train import train_recipe


@dataclass(frozen=True)
class Folds(Result):
    """Scores of every fold: of each part, by a net that did not see it."""

    runs: tuple[str, ...]
    scores: Mapping[str, tuple[float, ...]]

    def as_dict(self) -> dict[str, Any]:
        """Runs, and for every score the mean, the deviation between folds and the values."""
        return {
            "runs": list(self.runs),
            "scores": {
                name: {
                    "mean": statistics.fmean(values),
                    "std": statistics.stdev(values),
                    "values": list(values),
                }
                for name, values in self.scores.items()
            },
        }

    def as_text(self) -> str:
        """A row a score. The deviation is that between folds, which share most of their training items."""
        rows = [
            [name, f"{score['mean']:.4f}", f"{score['std']:.4f}"]
            + [f"{value:.4f}" for value in score["values"]]
            for name, score in self.as_dict()["scores"].items()
        ]
        numbers = [f"fold {i + 1}" for i in range(len(self.runs))]
        return text_table(["score", "mean", "std", *numbers], rows)


def train_folds(
    data: str | Path,
    recipe: Recipe,
    count: int,
    *,
    out: Path = Path("runs"),
    name: str | None = None,
    progress: Progress,
) -> Folds:
    """Train `count` times, each time with another part held out.

    Raises:
        UsageError: fewer than two parts, or a `val` beside them.
    """
    if count < 2:
        raise UsageError(f"--folds {count}: expected at least 2 parts")
    if recipe.val is not None:
        raise UsageError(f"val={recipe.val}: --folds {count} says what is held out; leave val out")
    runs: list[str] = []
    scores: dict[str, list[float]] = {}
    for number in range(1, count + 1):
        progress.say(f"fold {number} of {count}")
        fitted = train_recipe(
            data,
            recipe.model_copy(update={"val": f"{number}of{count}"}),
            out=out,
            name=f"{name}-{number}of{count}" if name else None,
            progress=progress,
        )
        runs.append(str(fitted.run.path))
        for key, interval in fitted.held.scores.scores.items():
            scores.setdefault(key, []).append(interval.value)
    return Folds(tuple(runs), {key: tuple(values) for key, values in scores.items()})
