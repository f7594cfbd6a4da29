"""How several runs learned, beside each other; those that differ by the seed alone are one line with its spread."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import yaml

from striate import svg
from striate.errors import ArgumentError, CheckpointError
from striate.metrics.scores import is_share, shown
from striate.result import Result, text_table
from striate.runs import Run
from striate.text import short

WIDTH, HEIGHT, LEFT, TOP = 760, 380, 70, 40  # pixels


@dataclass(frozen=True)
class Learned:
    """Runs of one setting: what tells them from the others, and the score by epoch, a list a run."""

    name: str
    runs: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]

    @property
    def epochs(self) -> int:
        """Epochs that all runs have."""
        return min((len(each) for each in self.values), default=0)

    @property
    def spread(self) -> list[tuple[int, float, float, float]]:
        """Epoch, counted from 0, mean, least and greatest of the runs, of the epochs at which each has a value."""
        found: list[tuple[int, float, float, float]] = []
        for epoch, values in enumerate(zip(*self.values, strict=False)):
            known = [value for value in values if _is_number(value)]
            if known and len(known) == len(values):
                found.append((epoch, float(np.mean(known)), min(known), max(known)))
        return found

    @property
    def pieces(self) -> list[list[tuple[int, float, float, float]]]:
        """The spread in parts without an epoch missing."""
        found: list[list[tuple[int, float, float, float]]] = []
        for each in self.spread:
            if found and found[-1][-1][0] == each[0] - 1:
                found[-1].append(each)
            else:
                found.append([each])
        return found


@dataclass(frozen=True, eq=False)
class Curves(Result):
    """Settings beside each other, by one score."""

    score: str
    settings: tuple[Learned, ...]

    def as_dict(self) -> dict[str, Any]:
        """Every run's values."""
        return {
            "score": self.score,
            "settings": [
                {"name": s.name, "runs": list(s.runs), "values": [list(v) for v in s.values]}
                for s in self.settings
            ],
        }

    def as_text(self) -> str:
        """A row a setting: its last and best mean."""
        name = self.score.removeprefix("val_")
        rows: list[list[object]] = []
        for each in self.settings:
            known = each.spread
            last, low, high = known[-1][1:] if known else (float("nan"),) * 3
            rows.append(
                [
                    each.name,
                    len(each.runs),
                    len(known),
                    *(shown(name, v) for v in (last, low, high)),
                ]
            )
        return text_table(["setting", "runs", "epochs", f"last {name}", "least", "greatest"], rows)

    def as_svg(self) -> str:
        """A line a setting, with a band from the least to the greatest of its runs."""
        values = [v for s in self.settings for each in s.spread for v in each[1:]]
        name = self.score.removeprefix("val_")
        axis = svg.opened_axis(values) if is_share(name) else svg.value_axis(values)
        longest = max(s.epochs for s in self.settings)
        parts = [self._grid(axis, longest)]
        parts += [self._line(i, each, axis, longest) for i, each in enumerate(self.settings)]
        title = svg.text(f"{name} of held-out items by epoch", LEFT, 20, "title")
        height = HEIGHT + 24 + 18 * len(self.settings)
        label = f"{name} by epoch of {len(self.settings)} settings"
        return svg.drawing(title + "".join(parts), WIDTH, height, label, STYLE)

    def _repr_html_(self) -> str:
        return self.as_svg()

    def _place(self, epoch: int, value: float, axis: svg.Axis, longest: int) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - 20) * (epoch / max(1, longest - 1))
        return across, TOP + (HEIGHT - TOP - 40) * (1 - axis.share(value))

    def _grid(self, axis: svg.Axis, longest: int) -> str:
        parts: list[str] = []
        for tick in axis.ticks():
            _, y = self._place(0, tick, axis, longest)
            parts.append(
                svg.tag("path", "", {"d": f"M{LEFT} {y:.1f}H{WIDTH - 20}", "class": "rule"})
            )
            parts.append(svg.text(axis.form(tick), LEFT - 6, y + 4, "end soft"))
        for epoch in sorted({0, longest // 2, longest - 1}):
            x, _ = self._place(epoch, axis.low, axis, longest)
            parts.append(svg.text(str(epoch + 1), x, HEIGHT - 22, "mid soft"))
        parts.append(svg.text("epoch", (LEFT + WIDTH) / 2, HEIGHT - 6, "mid soft"))
        return "".join(parts)

    def _line(self, i: int, each: Learned, axis: svg.Axis, longest: int) -> str:
        kind = svg.SERIES[i % len(svg.SERIES)]
        drawn = "".join(self._piece(each, kind, axis, longest) for each in each.pieces)
        y = HEIGHT + 14 + 18 * i
        key = svg.tag("path", "", {"d": f"M{LEFT} {y - 4}h24", "class": f"line {kind}"})
        words = svg.text(
            f"{short(each.name, 90)} ({len(each.runs)} run{'s' * (len(each.runs) != 1)})",
            LEFT + 32,
            y,
        )
        return svg.tag("g", svg.tip(each.name) + drawn) + key + words

    def _piece(
        self,
        piece: Sequence[tuple[int, float, float, float]],
        kind: str,
        axis: svg.Axis,
        longest: int,
    ) -> str:
        """A line through the means of epochs that follow one another, with its band; a dash of a single one."""
        mean, low, high = (
            [self._place(each[0], each[part], axis, longest) for each in piece]
            for part in (1, 2, 3)
        )
        if len(piece) == 1:
            ((x, y),) = mean
            return svg.tag("path", "", {"d": f"M{x - 3:.1f} {y:.1f}h6", "class": f"line {kind}"})
        line = svg.tag("polyline", "", {"points": _joined(mean), "class": f"line {kind}"})
        if all(each[2] == each[3] for each in piece):
            return line
        edge = _joined([*high, *reversed(low)])
        return svg.tag("polygon", "", {"points": edge, "class": f"band {kind}"}) + line


def _is_number(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


STYLE = (
    ".drawing .rule{stroke:var(--rule)}.drawing .line{fill:none;stroke-width:2}.drawing .band{fill-opacity:.18}"
    + "".join(
        f".drawing .line.{s}{{stroke:var(--{s})}}.drawing .band.{s}{{fill:var(--{s})}}"
        for s in svg.SERIES
    )
)


def curves(runs: Sequence[Run], *, score: str | None = None) -> Curves:
    """A score by epoch of several runs; runs whose recipes differ by the seed alone are one line with its spread.

    Args:
        runs: of one task.
        score: such as accuracy or loss; the first one of the held-out items if not given.

    Raises:
        ArgumentError: no run, or a score that one of them does not have.
        CheckpointError: a run cannot be read.
    """
    if not runs:
        raise ArgumentError("curves: name at least one run")
    histories = [[row for row in run.history() if row.get("epoch", 0) > 0] for run in runs]
    names = [key for key in histories[0][0] if key.startswith("val_")] if histories[0] else []
    wanted = f"val_{score}" if score else next((n for n in names if n != "val_loss"), "val_loss")
    for run, rows in zip(runs, histories, strict=True):
        if not rows or wanted not in {key for row in rows for key in row}:
            known = ", ".join(n.removeprefix("val_") for n in names) or "none"
            raise ArgumentError(
                f"{run.path} has no {wanted.removeprefix('val_')} by epoch; there are: {known}"
            )
    if not any(_is_number(row.get(wanted)) for rows in histories for row in rows):
        raise ArgumentError(f"{wanted.removeprefix('val_')} is known after no epoch of these runs")
    recipes = [_recipe(run) for run in runs]
    differ = [key for key in recipes[0] if len({json.dumps(r.get(key)) for r in recipes}) > 1]
    groups: dict[str, list[int]] = {}
    for i, recipe in enumerate(recipes):
        words = [f"{key}={recipe.get(key)}" for key in differ if key != "seed"]
        groups.setdefault(" ".join(words) or str(recipe.get("net")), []).append(i)
    return Curves(
        wanted,
        tuple(
            Learned(
                name,
                tuple(str(runs[i].path) for i in index),
                tuple(tuple(row.get(wanted) for row in histories[i]) for i in index),
            )
            for name, index in groups.items()
        ),
    )


def _recipe(run: Run) -> dict[str, Any]:
    try:
        found = yaml.safe_load((run.path / "args.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CheckpointError(f"{run.path}/args.yaml cannot be read: {error}") from error
    recipe = dict(found)
    return recipe | dict(recipe.pop("options", None) or {})
