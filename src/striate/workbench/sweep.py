"""`striate train DATA --sweep key=a,b --seeds 5`: one training a setting and seed, and what the settings differ by.

OUT/sweep/NAME/
  sweep.json       data, recipe, settings and seeds: what a second call goes on with
  <task>/...       a run a setting and seed
  summary.json     a row a setting: mean scores with intervals, and the paired difference from the first setting
  report.html
"""

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import UsageError
from striate.metrics import Interval
from striate.metrics.compare import Difference, paired
from striate.metrics.intervals import FEWEST, bounded
from striate.metrics.scores import is_share, number, shown
from striate.result import Result, text_table
from striate.runs import folder
from striate.runs.split_answers import Held
from striate.text import plain
from striate.training import Progress, Recipe
from striate.workbench import series

KIND = "sweep"
MOST = 200  # trainings
NAME = 90  # characters of a folder's name, before its seed

Settings = dict[str, str]


@dataclass(frozen=True, eq=False)
class Setting:
    """One setting over all seeds.

    Attributes:
        settings: its values by key.
        runs: a folder a seed.
        scores: of each seed, by name.
        items: the leading score of every held-out item, seed after seed.
        difference: of the leading score from the first setting, paired.
    """

    settings: Settings
    runs: tuple[str, ...]
    scores: Mapping[str, tuple[float, ...]]
    items: NDArray[np.float64] = field(repr=False)
    difference: Difference = Difference(math.nan, math.nan, math.nan, math.nan)  # noqa: RUF009

    @property
    def name(self) -> str:
        """Its values in words."""
        return " ".join(f"{key}={value}" for key, value in self.settings.items())

    def interval(self, score: str) -> Interval:
        """The mean over seeds, with Student's interval of their spread, of a share within 0 to 1; none of fewer than three."""
        values = np.array(self.scores.get(score, ()), np.float64)
        if len(values) < 3 or not np.isfinite(values).all():
            return Interval(float(values.mean()) if len(values) else math.nan)
        deviation = float(values.std(ddof=1)) / math.sqrt(len(values))
        within = is_share(score) and values.max() <= 1  # a percentage error may be more
        return bounded(
            float(values.mean()), deviation, len(values) - 1, "share" if within else "real"
        )


@dataclass(frozen=True, eq=False)
class Sweep(Result):
    """Settings beside each other.

    Attributes:
        path: of the folder that holds all.
        score: by which they are compared: the leading one of the task.
        table: a row a setting, in the order asked for.
        lower: whether less of the score is better.
        seeds: of each setting.
    """

    path: str
    score: str
    table: tuple[Setting, ...]
    lower: bool
    seeds: int

    @property
    def best(self) -> Setting:
        """The one with the best mean."""
        sign = -1 if self.lower else 1
        return max(
            self.table,
            key=lambda each: (
                sign * np.nan_to_num(each.interval(self.score).value, nan=-np.inf * sign)
            ),
        )

    @property
    def said(self) -> str:
        """What can be said for certain."""
        first, *others = self.table
        sign = -1 if self.lower else 1
        sure = [each for each in others if each.difference.low > 0 or each.difference.high < 0]
        if not others:
            return f"one setting: {first.name}"
        if not sure:
            return f"no setting differs from {first.name} for certain"
        words = [
            f"{each.name} is {'better' if sign * each.difference.value > 0 else 'worse'}"
            for each in sure
        ]
        whose = "" if self.seeds >= FEWEST else ", of these nets"
        return f"compared with {first.name}, for certain{whose}: {', '.join(words)}"

    @property
    def note(self) -> str:
        """What the intervals of differences are of."""
        if self.seeds >= FEWEST:
            return f"Differences are paired over {self.seeds} seeds: of the setting, whatever the seed."
        return (
            f"Differences are paired over items of {self.seeds} seed{'s' * (self.seeds != 1)}: of these nets, not of the setting; "
            f"--seeds {FEWEST} or more would tell."
        )

    def as_dict(self, within: Path | None = None) -> dict[str, Any]:
        """The JSON shape `sweep`.

        Args:
            within: the folder that all paths are then relative to, so that it may be moved with the file.
        """

        def named(folder: str) -> str:
            return folder if within is None else Path(folder).relative_to(within).as_posix()

        return {
            "folder": named(self.path),
            "runs": [named(run) for each in self.table for run in each.runs],
            "table": [
                {
                    "settings": each.settings,
                    "runs": [named(run) for run in each.runs],
                    "scores": {name: each.interval(name).as_dict() for name in each.scores},
                    "values": {
                        name: [number(v) for v in values] for name, values in each.scores.items()
                    },
                    "difference": {
                        key: number(getattr(each.difference, key))
                        for key in ("value", "low", "high", "p")
                    },
                }
                for each in self.table
            ],
            "score": self.score,
            "seeds": self.seeds,
            "best": self.best.settings,
            "said": self.said,
        }

    def as_text(self) -> str:
        """A row a setting."""
        rows = [self._row(each) for each in self.table]
        head = ["setting", self.score, "low", "high", "difference", "low", "high", "p"]
        return plain("\n".join([self.said, f"{self.note} {self.path}", "", text_table(head, rows)]))

    def _row(self, each: Setting) -> list[str]:
        found = each.interval(self.score)
        ends = [shown(self.score, v) if found.known else "-" for v in (found.low, found.high)]
        gap = each.difference
        moved = [_signed(self.score, v) for v in (gap.value, gap.low, gap.high)]
        return [
            each.name,
            shown(self.score, found.value),
            *ends,
            *moved,
            "-" if math.isnan(gap.p) else f"{gap.p:.2g}",
        ]


def _signed(score: str, value: float) -> str:
    """A difference with its sign; shares in points."""
    if math.isnan(value):
        return "-"
    text = shown(score, abs(value))
    return f"{'-' if value < 0 else '+'}{text}"


def read_axes(words: Sequence[str]) -> dict[str, list[str]]:
    """What `--sweep key=a,b` asks for.

    Raises:
        UsageError: a word without a key or without two values, or a key twice.
    """
    axes: dict[str, list[str]] = {}
    for word in words:
        key, equals, values = word.partition("=")
        found = [value.strip() for value in values.split(",") if value.strip()]
        if not equals or not key or not found:
            raise UsageError(f"--sweep {word}: expected key=value,value such as lrn=true,false")
        if key in axes or len(set(found)) != len(found):
            raise UsageError(f"--sweep {word}: {key if key in axes else 'a value'} is there twice")
        if key == "seed":
            raise UsageError("--sweep seed: seeds are counted by --seeds")
        axes[key] = found
    return axes


def train_sweep(
    data: str | Path,
    recipes: Mapping[str, Recipe],
    axes: Mapping[str, Sequence[str]],
    seeds: int,
    *,
    out: Path = Path("runs"),
    name: str | None = None,
    progress: Progress,
) -> Sweep:
    """Train every setting with every seed; called again it goes on where it ended.

    Args:
        data: what is opened for each training.
        recipes: of every setting, by the words that name it.
        axes: the keys that differ, with their values.
        seeds: of each setting, counted up from the recipe's; seed k holds out the same items in all settings.
        out: below which the folder `sweep/NAME` is made.
        name: of that folder; found if not given.
        progress: who is told.

    Raises:
        UsageError: too many trainings, or a name that another sweep has.
    """
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: expected at least 1")
    if len(recipes) * seeds > MOST:
        raise UsageError(
            f"{len(recipes)} settings with {seeds} seeds are {len(recipes) * seeds} trainings, more than {MOST}"
        )
    folder.check_name(name)
    folder.check_parent(out)
    first = next(iter(recipes.values()))
    asked = {
        **series.asked(data, first),
        "axes": {key: list(v) for key, v in axes.items()},
        "seeds": seeds,
    }
    path = series.begun(
        out, KIND, name, f"{series.short_name(data)}-{'-'.join(axes)}", asked, progress
    )
    with folder.lock(path):
        rows = [
            _setting(path, data, words, recipe, seeds, progress)
            for words, recipe in recipes.items()
        ]
        return _written(path, rows, seeds)


def _setting(
    path: Path, data: str | Path, words: str, recipe: Recipe, seeds: int, progress: Progress
) -> tuple[Setting, Held]:
    settings = dict(word.split("=", 1) for word in words.split("\n"))
    held: list[Held] = []
    for k in range(seeds):
        seeded = recipe.model_copy(update={"seed": recipe.seed + k})
        label = f"{_safe(settings)}-s{seeded.seed}"
        progress.say(f"{' '.join(f'{a}={b}' for a, b in settings.items())}, seed {seeded.seed}")
        held.append(series.one(path, data, seeded, label, progress))
    score = _leading(held[0])
    names = list(dict.fromkeys(n for each in held for n in each.scores.scores))
    items = np.array([row.get(score, math.nan) for each in held for row in each.rows], np.float64)
    return (
        Setting(
            settings,
            tuple(each.scores.run for each in held),
            {
                n: tuple(each.scores.scores.get(n, Interval(math.nan)).value for each in held)
                for n in names
            },
            items,
        ),
        held[0],
    )


def _leading(held: Held) -> str:
    """The score of items by which settings are compared."""
    keys = [key for row in held.rows for key, value in row.items() if isinstance(value, float)]
    main = held.used.task.main
    return main if main in keys else next(iter(keys), "")


def _safe(settings: Settings) -> str:
    """A name that a folder can have, another one for each setting: a hash tells those apart that had to be changed."""
    whole = "-".join(f"{key}-{value}" for key, value in settings.items())
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in whole)[:NAME]
    if name == whole:
        return whole
    mark = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:8]
    return f"{name[: NAME - len(mark) - 1]}-{mark}"


def _written(path: Path, rows: Sequence[tuple[Setting, Held]], seeds: int) -> Sweep:
    """Differences from the first setting, the summary and the page."""
    from dataclasses import replace

    first, held = rows[0]
    score = _leading(held)
    table = [first]
    for each, _ in rows[1:]:
        table.append(replace(each, difference=_difference(first, each, seeds, score)))
    found = Sweep(str(path), score, tuple(table), held.used.task.measure(score).lower, seeds)
    from striate.workbench.report.sweep import page

    folder.write_text(path / "report.html", page(path, found, held))
    folder.write_sealed(path / "summary.json", {"format": series.FORMAT, **found.as_dict(path)})
    return found


def _difference(first: Setting, other: Setting, seeds: int, score: str) -> Difference:
    """Paired over seeds where there are five or more, else over the items of all seeds."""
    if first.items.shape != other.items.shape or not len(first.items):
        return Difference(math.nan, math.nan, math.nan, math.nan)
    per = len(first.items) // seeds
    groups = np.arange(len(first.items)) // max(1, per) if seeds >= FEWEST else None
    return paired(first.items, other.items, groups, score=score)


def settings_of(axes: Mapping[str, Sequence[str]]) -> list[Settings]:
    """Every combination of values, the first one first.

    >>> settings_of({"lrn": ["true", "false"], "width": ["1"]})
    [{'lrn': 'true', 'width': '1'}, {'lrn': 'false', 'width': '1'}]
    """
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def is_sweep(path: Path) -> bool:
    """Whether a folder holds a sweep, rather than one run."""
    return (path / f"{KIND}.json").exists()
