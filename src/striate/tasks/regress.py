"""One or several numbers an item. B batch, V numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate import losses
from striate.data import Data
from striate.errors import ShapeError
from striate.metrics import Interval
from striate.metrics.regress import RegressMeter
from striate.svg import Axis, plot
from striate.tasks.explained import Chosen, Wanted, by_number
from striate.tasks.scaled import ScaledTask
from striate.tasks.section import (
    Beside,
    Column,
    Figure,
    Gallery,
    Headline,
    Measure,
    Section,
    Table,
    Tile,
)
from striate.tasks.task import CountedMeter, HeldOut, Settings, Task, answered
from striate.text import number

WORST = 20  # items shown in the report

Numbers = NDArray[np.float64]

Scale = tuple[Sequence[float], Sequence[float]]  # mean and deviation of each number

T = TypeVar("T")


@dataclass(frozen=True)
class Regress(ScaledTask):
    """Regression: the net learns numbers scaled to mean 0 and deviation 1 in training, answers are scaled back.

    Attributes:
        numbers: names of the numbers.
        spelled: the loss as `striate.losses.read` takes it, of scaled numbers.
        mean, std: of each number over the training items, by which it is scaled.
    """

    name: ClassVar[str] = "regress"
    kinds: ClassVar[tuple[str, ...]] = ("values",)
    wanted: ClassVar[str] = "items with numbers"
    loss_names: ClassVar[tuple[str, ...]] = ("l1", "l2", "huber")
    usual_loss: ClassVar[str] = "huber"
    has_mean: ClassVar[bool] = True
    linear: ClassVar[bool] = True
    main: ClassVar[str] = "mae"
    measures: ClassVar[Mapping[str, Measure]] = {
        "mae": Measure("Mean absolute error", "in the unit of the numbers", lower=True),
        "rmse": Measure("Root mean square error", "large errors count more", lower=True),
        "mape": Measure("Mean absolute percentage error", "of the true number", lower=True),
        "r2": Measure("R²", "share of the variance that is explained"),
    }
    numbers: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    spelled: str = "huber"

    @classmethod
    def of(cls, data: Data, recipe: Settings) -> Self:
        """With the loss of the recipe, and mean and deviation of the training items."""
        split = data.splits["train"]
        rows = np.array([split.targets.truth(i) for i in data.readable("train").tolist()])
        std = np.nanstd(rows, axis=0)
        scale = np.where(std > 0, std, 1.0)  # a number that never changes must not be blown up
        mean = np.nanmean(rows, axis=0)
        spelled = recipe.loss or cls.usual_loss
        return cls(data.outputs, tuple(mean.tolist()), tuple(scale.tolist()), spelled)

    @classmethod
    def restored(cls, classes: Sequence[str], config: Mapping[str, Any]) -> Self:
        """To answer with, in the unit of the numbers."""
        del classes
        mean, std = (tuple(float(v) for v in config[key]) for key in ("mean", "std"))
        return cls(tuple(str(name) for name in config["outputs"]), mean, std)

    def config(self) -> dict[str, Any]:
        """Names, and how the numbers were scaled."""
        return {"outputs": list(self.numbers), "mean": list(self.mean), "std": list(self.std)}

    @property
    def answers(self) -> tuple[str, ...]:
        """The names of the numbers."""
        return self.numbers

    def adopt(self, layer: nn.Module, was: Task) -> bool:
        """Scale the outputs of a layer that learned numbers of another mean and deviation."""
        if not isinstance(was, Regress) or (was.mean, was.std) == (self.mean, self.std):
            return False
        order = [was.numbers.index(name) for name in self.numbers]
        mean, std = (tuple(values[i] for i in order) for values in (was.mean, was.std))
        return rescaled(layer, (mean, std), (self.mean, self.std))

    # ---------------------------------------------------------------------------------- a step of it

    @cached_property
    def _composite(self) -> losses.Composite:
        return losses.read(self.spelled)

    def criterion(self, answer: Any, target: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Of scaled numbers; one that an item lacks is taken as answered rightly."""
        mean, std = answer.new_tensor(self.mean).float(), answer.new_tensor(self.std).float()
        exact = answer.float()
        scaled = (target.float() - mean) / std
        return self._composite.measured(exact, torch.where(scaled.isnan(), exact.detach(), scaled))

    def check_answer(self, outputs: Any, x: Tensor) -> None:
        """An output for each number.

        Raises:
            ShapeError: what came and what was expected.
        """
        expected = (len(x), len(self.numbers))
        if not isinstance(outputs, Tensor) or tuple(outputs.shape) != expected:
            raise ShapeError(
                f"the net answers {answered(outputs)} to {expected[0]} items, expected one tensor {expected}: "
                f"an output for each of {', '.join(self.numbers)}"
            )

    # ------------------------------------------------------------------------------------ its answers

    def decode(self, outputs: Tensor, sizes: Sequence[tuple[int, ...]]) -> Numbers:
        """Numbers [B, V] in their own unit."""
        del sizes
        return self.unscaled(outputs)

    def explained(self, outputs: Any, items: int) -> Tensor:
        """The numbers in their own unit, [B, V]."""
        values = super().explained(outputs, items)
        return values * values.new_tensor(self.std) + values.new_tensor(self.mean)

    def chosen(self, values: Tensor, wanted: Sequence[Wanted]) -> Chosen:
        """One of the numbers."""
        return by_number(values, self.numbers, wanted)

    def item_scores(self, answer: Numbers, truth: Numbers) -> dict[str, float]:
        """Errors of one item."""
        found = RegressMeter(self.numbers).item_scores(answer, truth)
        return {key: value for key, value in found.items() if np.isfinite(value)}

    def item_words(self, answer: Numbers, truth: Numbers) -> dict[str, str]:
        """Truth and answer, a column a number."""
        pairs = (("truth", truth), ("answer", answer))
        return {
            f"{word} {name}" if len(self.numbers) > 1 else word: _written(value)
            for word, values in pairs
            for name, value in zip(self.numbers, values.tolist(), strict=True)
        }

    def meter(self, *, whole: bool = False) -> "Errors":
        """A meter of errors."""
        del whole
        return Errors(self.numbers)

    def answer(self, one: Numbers) -> dict[str, Any]:
        """The number, or each by its name."""
        if len(self.numbers) == 1:
            return {"value": float(one[0])}
        return {"values": dict(zip(self.numbers, one.tolist(), strict=True))}

    def table(self, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
        """One row of numbers."""
        return [dict(answer.get("values") or {self.numbers[0]: answer["value"]})]

    def line(self, answer: Mapping[str, Any]) -> str:
        """The numbers with their names."""
        return ", ".join(f"{name} {value:.6g}" for name, value in self.table(answer)[0].items())

    # -------------------------------------------------------------------------------------- the report

    def headline(self, held: HeldOut, of: str) -> Headline:
        """The mean absolute error, and that of answering the mean of the training items every time."""
        if len(self.numbers) > 1:
            count = f"{len(self.numbers)} numbers"
            said = [
                "Answering the mean of the training items every time would score about 0.",
                "Errors of several numbers are means over their units: the table of numbers has those of each.",
            ]
            return Headline("r2", f"R² of {of}, mean over {count}", said, constant=0.0)
        off = np.abs(held.meter.truths - np.array(self.mean))
        constant = float(np.nanmean(off))
        said = f"Answering the mean of the training items every time would be off by {number(constant)}."
        return super().headline(held, of)._replace(meaning=[said], constant=constant)

    def sections(self, held: HeldOut) -> list[Section]:
        """Answers over truths, errors a number, and the items that are furthest off."""
        order = sorted(range(len(held.rows)), key=lambda i: -held.rows[i].get("mae", -1.0))[:WORST]
        tiles = [self._tile(item) for item in held.items(order)]
        return [
            Section(
                "Answers and truths",
                parts=[Beside(self._scatters(held), "grid"), self._table(held)],
            ),
            Section("The furthest off", parts=[Gallery(tiles)], name="Furthest off"),
        ]

    def _scatters(self, held: HeldOut) -> list[Figure]:
        """A point an item for each number; on the line the answer is the truth."""
        figures: list[Figure] = []
        for k, name in enumerate(self.numbers):
            truth, answer = held.meter.truths[:, k], held.meter.answers[:, k]
            there = ~np.isnan(truth)
            points = list(zip(truth[there].tolist(), answer[there].tolist(), strict=True))
            ends = [value for point in points for value in point] or [0.0, 1.0]
            axis = Axis(min(ends), max(ends), "{:g}".format)
            label, ideal = (
                f"{name}: answers over truths",
                [(axis.low, axis.low), (axis.high, axis.high)],
            )
            drawn = plot(ideal, axis, axis, label=label, names=("truth", "answer"), points=points)
            figures.append(
                Figure(drawn, f"{name}: {len(points):,} held-out {held.noun}.", widths=(180, 280))
            )
        return figures

    @staticmethod
    def _table(held: HeldOut) -> Table:
        columns = [Column(""), Column("items", "number"), Column("mean absolute error", "number")]
        columns += [Column(word, "number") for word in ("low", "high", "RMSE", "R²", "bias")]
        keys = ("label", "support", "mae", "low", "high", "rmse", "r2", "bias")
        return Table(columns, [[row[key] for key in keys] for row in held.meter.per_output()])

    def _tile(self, item: Any) -> Tile:
        pairs = zip(self.numbers, item.truth.tolist(), item.answer.tolist(), strict=True)
        lines = [
            f"{name}: truth {_written(truth) or 'not given'}, answered {_written(answer)}"
            for name, truth, answer in pairs
        ]
        return Tile(item.shown, lines[0], lines[1:], code=item.name)


@torch.no_grad()
def rescaled(layer: nn.Module, was: Scale, now: Scale, rows: slice = slice(None)) -> bool:
    """Change a last layer so that numbers it learned in one scale come out in another.

    Args:
        layer: with weights and a bias; others stay.
        was: mean and deviation of each number, by which it was scaled.
        now: those by which it is.
        rows: which of the outputs are the numbers.

    Returns:
        Whether it could be done.
    """
    weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    if not isinstance(weight, Tensor) or not isinstance(bias, Tensor):
        return False
    mean, std = (weight.new_tensor(values) for values in was)
    new_mean, new_std = (weight.new_tensor(values) for values in now)
    weight[rows].mul_((std / new_std).view(-1, *[1] * (weight.ndim - 1)))
    bias[rows] = (bias[rows] * std + mean - new_mean) / new_std
    return True


def _written(value: float) -> str:
    """A number in a cell; empty where an item lacks it."""
    return "" if np.isnan(value) else f"{value:.6g}"


class Errors(CountedMeter[RegressMeter]):
    """Answers and truths of every item."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(RegressMeter(names))

    def add(self, answers: Any, truths: Sequence[Any] | NDArray[Any]) -> None:
        """Count numbers [B, V]."""
        self._counted.add(np.asarray(answers, np.float64), np.asarray(truths, np.float64))

    @property
    def answers(self) -> Numbers:
        """Of all items, [N, V]."""
        return self._counted.state()["answers"]

    @property
    def truths(self) -> Numbers:
        """Of all items, [N, V]."""
        return self._counted.state()["targets"]

    def values(self) -> dict[str, float]:
        """The mean absolute error first; of several numbers R², which has no unit."""
        return self._leading(super().values())

    def _leading(self, scores: Mapping[str, T]) -> dict[str, T]:
        several = len(self._counted.names) > 1
        ordered = sorted(scores.items(), key=lambda item: several and item[0] != "r2")
        return dict(ordered)

    def scores(self, groups: NDArray[np.int64] | None = None) -> dict[str, Interval]:
        """Errors with intervals."""
        return self._leading(super().scores(groups))

    def notes(self, groups: NDArray[np.int64] | None = None) -> list[str]:
        """Whether there are too few items for intervals, and that errors of several numbers mix their units."""
        count = len(self._counted.names)
        mixed = (
            f"mae and rmse are means over {count} numbers in whatever units they are; r2 has none"
        )
        return [*super().notes(groups), *([mixed] if count > 1 else [])]

    @property
    def merit(self) -> float:
        """Minus the mean absolute error, so that the smallest is kept; of several numbers R², lest the largest unit decides."""
        found = self._counted.values()
        return found["r2"] if len(self._counted.names) > 1 else -found["mae"]

    def per_output(self) -> list[dict[str, Any]]:
        """A row a number."""
        return self._counted.per_output()
