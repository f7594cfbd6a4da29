"""The next steps of series on the nodes of a graph. B batch, H steps ahead, N nodes, S scored steps.

A net reads [B, C, T, N] and answers [B, H, N] in scaled values. Every evaluation holds it against forecasts that need no
net, on the same windows: see `striate.tasks.forecast_baselines`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate import inputs, losses
from striate.data import Data
from striate.data.series import Clock
from striate.data.series.windows import Cut
from striate.errors import ShapeError
from striate.inputs.forecast_windows import cut_of, scaling
from striate.metrics import Interval
from striate.metrics.forecast import NARROW, ForecastMeter, errors_of
from striate.models import catalog
from striate.ops.graph_from_series import similarity_graph
from striate.svg import Line, timeline
from striate.tasks.against import LOSES, cells, verdict
from striate.tasks.explained import Chosen, Wanted, by_number
from striate.tasks.forecast_baselines import Baselines, fitted
from striate.tasks.scaled import ScaledTask
from striate.tasks.section import Column, Figure, Headline, Legend, Measure, Section, Table, Text
from striate.tasks.task import HeldOut, Meter, Settings, Task, answered
from striate.text import number

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

WORST = 6  # series shown in the report
SPAN = 12  # windows, one after the other, that each is shown in
NET = "net"
FROM_LAST = "from_last"  # the option of a net whose answers are added to the last value
LOOKED_AT = 200  # windows from which it is told whether that suits
POINTS = 168  # of the series that a graph of similar ones is made from

# Fitted baselines and graphs, as long as the windows they are of.
_FITTED: WeakKeyDictionary[Cut, Baselines] = WeakKeyDictionary()
_GRAPHS: WeakKeyDictionary[Cut, Tensor] = WeakKeyDictionary()


class Steps(NamedTuple):
    """The answer to one window: values [H, N], and the number of the first step, -1 where it is not known."""

    values: F64
    first: int = -1


@dataclass(frozen=True)
class Forecast(ScaledTask):
    """Forecasting: the net learns scaled values, its answers are scaled back; what is unknown counts nowhere.

    Attributes:
        nodes: names of the series.
        horizon: steps ahead.
        clock: when steps are, for time stamps.
        mean, std: by which values are scaled, [1] of all nodes or [N].
        baselines: that a net is held against.
        graph: weights between nodes [N, N], in training.
        spelled: the loss as `striate.losses.read` takes it, of scaled values.
    """

    name: ClassVar[str] = "forecast"
    kinds: ClassVar[tuple[str, ...]] = ("ahead",)
    wanted: ClassVar[str] = "values to come"
    noun: ClassVar[str] = "windows"
    loss_names: ClassVar[tuple[str, ...]] = ("l1", "l2", "huber")
    usual_loss: ClassVar[str] = "l1"
    has_mean: ClassVar[bool] = True
    main: ClassVar[str] = "mae"
    nodes: tuple[str, ...]
    horizon: int
    clock: Clock
    mean: tuple[float, ...]
    std: tuple[float, ...]
    baselines: Baselines = field(compare=False, repr=False)
    graph: Tensor | None = field(default=None, compare=False, repr=False)
    spelled: str = "l1"

    @classmethod
    def of(cls, data: Data, recipe: Settings) -> Self:
        """With the scale, the baselines and the graph of what is trained on."""
        cut = cut_of(data)
        mean, std = scaling(cut)
        return cls(
            cut.series.nodes,
            cut.horizon,
            cut.series.clock,
            tuple(mean.tolist()),
            tuple(std.tolist()),
            _baselines(cut),
            graph_of(cut, _baselines(cut)),
            recipe.loss or cls.usual_loss,
        )

    @classmethod
    def restored(cls, classes: Sequence[str], config: Mapping[str, Any]) -> Self:
        """To answer with."""
        del classes
        mean, std = (tuple(float(v) for v in config[key]) for key in ("mean", "std"))
        return cls(
            tuple(str(name) for name in config["nodes"]),
            int(config["horizon"]),
            Clock.from_dict(config["clock"]),
            mean,
            std,
            Baselines.from_dict(config["baselines"]),
        )

    def config(self) -> dict[str, Any]:
        """Names, times, scale, and the baselines as they were fitted."""
        return {
            "nodes": list(self.nodes),
            "horizon": self.horizon,
            "clock": vars(self.clock),
            "mean": list(self.mean),
            "std": list(self.std),
            "baselines": self.baselines.as_dict(),
        }

    @classmethod
    def defaults(cls, data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any]:
        """Those of windows; a net that can starts from the last value, where that is nearer than the seasonal mean."""
        found = inputs.of(data.modality).defaults(data, recipe, own_net=own_net)
        net = found["net"]
        if net is None or recipe.weights or FROM_LAST in recipe.options:
            return found
        if FROM_LAST not in catalog.entry(net).options:
            return found
        cut = cut_of(data)
        base = _baselines(cut)
        last, season = _nearer(cut, base)
        if not last < season:
            return found
        why = (
            f"{net} starts from the last value: a step ahead it is off by {number(last)} on what is trained on, {base.season} "
            f"by {number(season)}; {FROM_LAST}=false changes it"
        )
        chosen = found.get("why")

        def reason(settled: Settings) -> str:
            return "; ".join([chosen(settled), why] if chosen else [why])

        return {**found, "options": {FROM_LAST: True}, "why": reason}

    def head(self) -> dict[str, Any]:
        """An output a step."""
        return {"num_classes": self.horizon}

    def set_up(self, net: nn.Module) -> None:
        """Put the graph under a net that takes one, by its method `set_graph`."""
        put = getattr(net, "set_graph", None)
        if callable(put) and self.graph is not None:
            put(self.graph)

    # ---------------------------------------------------------------------------------- a step of it

    @cached_property
    def _composite(self) -> losses.Composite:
        return losses.read(self.spelled)

    @cached_property
    def _scale(self) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.mean), torch.tensor(self.std)

    def criterion(self, answer: Any, target: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Of scaled values, the mean over those that are known."""
        exact = answer.float()
        mean, std = (each.to(exact.device) for each in self._scale)
        scaled = (target.float() - mean) / std
        known = ~scaled.isnan()
        # What is unknown is taken as answered rightly; the mean over all is then too small by the share of it.
        share = known.numel() / known.sum().clamp(min=1)
        value, parts = self._composite.measured(exact, torch.where(known, scaled, exact.detach()))
        return value * share, {name: part * share for name, part in parts.items()}

    def check_answer(self, outputs: Any, x: Tensor) -> None:
        """[B, H, N].

        Raises:
            ShapeError: what came and what was expected.
        """
        expected = (len(x), self.horizon, len(self.nodes))
        if not isinstance(outputs, Tensor) or tuple(outputs.shape) != expected:
            raise ShapeError(
                f"the net answers {answered(outputs)} to windows {tuple(x.shape)}, expected one tensor {expected}: every step "
                "ahead of every series"
            )

    # ------------------------------------------------------------------------------------ its answers

    def decode(self, outputs: Tensor, sizes: Sequence[tuple[int, ...]]) -> list[Steps]:
        """Values in the unit of the series; a size (step, 1) says which step is the first."""
        values = self.unscaled(outputs)
        return [
            Steps(each, size[0] if size[1] else -1)
            for each, size in zip(values, sizes, strict=True)
        ]

    def like(self, other: Task) -> bool:
        """Of the same series, as far ahead, of the same steps of time."""
        if not (isinstance(other, Forecast) and super().like(other)):
            return False
        return self.nodes == other.nodes and vars(self.clock) == vars(other.clock)

    def explained(self, outputs: Any, items: int) -> Tensor:
        """The mean over the steps of each series, in its own unit, [B, N]."""
        values = super().explained(outputs, items).mean(1)
        return values * values.new_tensor(self.std) + values.new_tensor(self.mean)

    def chosen(self, values: Tensor, wanted: Sequence[Wanted]) -> Chosen:
        """One of the series."""
        return by_number(values, self.nodes, wanted)

    def item_scores(self, answer: Steps, truth: Any) -> dict[str, float]:
        """Errors of one window."""
        return errors_of(answer.values, truth.ahead)

    def item_words(self, answer: Steps, truth: Any) -> dict[str, str]:
        """The block of time that a window belongs to, since neighbours share most of their values."""
        del answer
        return {"block": str(truth.step // (NARROW * self.horizon))}

    def meter(self, *, whole: bool = False) -> "Errors":
        """A meter of errors; of a `whole` evaluation the baselines are scored too."""
        return Errors(self, self.baselines if whole else None)

    def answer(self, one: Steps) -> dict[str, Any]:
        """A row a step, a number a series; the time of each step."""
        found: dict[str, Any] = {"forecast": one.values.tolist(), "nodes": list(self.nodes)}
        if one.first >= 0:
            found["times"] = [self.clock.stamp(one.first + k) for k in range(self.horizon)]
            if not self.clock.unit:
                found["note"] = "steps are counted from the first row of the file, as in training"
        return found

    def line(self, answer: Mapping[str, Any]) -> str:
        """The mean of all series at the first and last step."""
        rows, times = (
            np.array(answer["forecast"]),
            answer.get("times", [1, len(answer["forecast"])]),
        )
        what = f"{answer['nodes'][0]} " if rows.shape[1] == 1 else "mean of all series "
        first, last = rows.mean(1)[[0, -1]]
        return f"{what}{first:.6g} at {times[0]} to {last:.6g} at {times[-1]}"

    def table(self, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A row a step: its time, and a column a series."""
        times = answer.get("times", range(1, len(answer["forecast"]) + 1))
        return [
            {"time": str(time), **dict(zip(answer["nodes"], row, strict=True))}
            for time, row in zip(times, answer["forecast"], strict=True)
        ]

    # -------------------------------------------------------------------------------------- the report

    @classmethod
    def measure(cls, score: str) -> Measure:
        """A score in words."""
        word, _, step = score.partition("@")
        if word in MEASURES:
            found = MEASURES[word]
            return found._replace(title=f"{found.title}, step {step}", says="") if step else found
        kind, _, method = score.partition("_")
        called = SHORT.get(method, method)
        if kind == "gain":
            return Measure(
                f"Gain over {called}",
                "its mean absolute error less that of the net, on the same windows",
            )
        return Measure(f"Mean absolute error of {called}", lower=True) if called else Measure(score)

    def verdict(self, scores: Mapping[str, Interval]) -> str:
        """Whether the net is better than each baseline, in one line; "" where they were not scored."""
        gains = {
            name: scores[f"gain_{key}"]
            for key, name in self.baselines.names.items()
            if f"gain_{key}" in scores
        }
        return verdict(gains, "a forecast")

    def headline(self, held: HeldOut, of: str) -> Headline:
        """The mean absolute error, and whether a forecast without a net does better."""
        said = self.verdict(held.scores.scores)
        words = f"Mean absolute error of {of}"
        if said.startswith(LOSES):
            return Headline("mae", f"{words}: this net {said}", constant=self._plain(held.meter))
        meaning = [f"The net is {said}."] if said else []
        return Headline("mae", words, meaning, self._plain(held.meter))

    def _plain(self, meter: "Errors") -> float | None:
        """The least mean absolute error of the forecasts without a net."""
        if not meter.whole:
            return None
        others = range(1, 1 + len(self.baselines.names))
        return min((meter.counted.scores(k)["mae"].value for k in others), default=None)

    def sections(self, held: HeldOut) -> list[Section]:
        """Against the baselines, step by step, and the series that are furthest off."""
        return [self._against(held.meter), self._worst(held)]

    def _against(self, meter: "Errors") -> Section:
        columns = [Column("forecast"), Column("mean absolute error", "number")]
        columns += [
            Column(word, "number")
            for word in ("low", "high", "RMSE", "gain of the net", "low", "high")
        ]
        columns += [
            Column(f"error at step {step}", "number", minor=True) for step in meter.counted.steps
        ]
        rows: list[list[Any]] = []
        names = ["the net", *(self.baselines.names.values() if meter.whole else ())]
        for k, name in enumerate(names):
            found, gain = meter.counted.scores(k), meter.counted.difference(k)
            row: list[Any] = [name, *cells(found["mae"]), number(found["rmse"].value)]
            row += cells(gain) if k else [None, None, None]
            rows.append(
                [*row, *(number(found[f"mae@{step}"].value) for step in meter.counted.steps)]
            )
        said = (
            "All on the same windows. A gain above 0 is in favour of the net; where its interval holds 0, chance alone may "
            "have made it. The baselines know the same history and the same periods."
        )
        notes = " ".join(f"{line[0].upper()}{line[1:]}." for line in meter.notes())
        return Section(
            "Against forecasts without a net",
            said,
            [Table(columns, rows), Text(notes, soft=True)],
            "Baselines",
        )

    def _worst(self, held: HeldOut) -> Section:
        """Truth and forecast of the series with the largest mean absolute error."""
        errors = held.meter.by_node()
        order = np.argsort(-np.nan_to_num(errors, nan=-1.0), kind="stable")[:WORST].tolist()
        count = len(held.rows)
        items = held.items(range(0, count, self.horizon)[:SPAN])
        legend = Legend([("truth", "held"), ("forecast", "s2")])
        figures = [self._figure(items, node, float(errors[node])) for node in order]
        said = f"Forecasts of {self.horizon} steps that begin one after the other; each knows what came before it."
        return Section("The series that are furthest off", said, [legend, *figures], "Furthest off")

    def _figure(self, items: Sequence[Any], node: int, error: float) -> Figure:
        first = items[0].truth
        before = first.history[:, node].tolist()
        truth = [*before, *(v for item in items for v in item.truth.ahead[:, node].tolist())]
        said: list[float | None] = [None] * len(before)
        said += [v for item in items for v in item.answer.values[:, node].tolist()]
        start = first.step - len(before)
        stamps = [first.clock.label(start + k) for k in range(len(truth))]
        known = [None if np.isnan(v) else v for v in truth]
        lines = [Line("truth", "held", known), Line("forecast", "s2", said)]
        name = self.nodes[node]
        drawn = timeline(stamps, lines, label=f"{name}: truth and forecast", mark=len(before))
        return Figure(drawn, f"{name}: mean absolute error {number(error)} over all windows.")


MEASURES = {
    "mae": Measure("Mean absolute error", "in the unit of the series", lower=True),
    "rmse": Measure("Root mean square error", "large errors count more", lower=True),
    "mape": Measure("Mean absolute percentage error", "of true values that are not 0", lower=True),
}
SHORT = {"last_value": "the last value", "season": "the seasonal mean", "linear": "a linear model"}


def _baselines(cut: Cut) -> Baselines:
    """Fitted once for the same windows."""
    if cut not in _FITTED:
        _FITTED[cut] = fitted(cut)
    return _FITTED[cut]


def _nearer(cut: Cut, base: Baselines) -> tuple[float, float]:
    """Mean absolute errors a step ahead of the last value and of the seasonal mean, over some of the windows that are trained on.

    A net that starts from the last value has then only to learn how it changes: on a week of roads it was below every
    baseline after 60 steps, while one that said the values themselves was still above the last value.
    """
    windows = [cut.window(i) for i in range(0, cut.count, -(-cut.count // LOOKED_AT))]
    ahead = np.stack([each.ahead[0] for each in windows]).astype(np.float64)
    errors = np.abs(base.forecasts(windows)[:, :2, 0] - ahead[:, None])
    known = ~np.isnan(errors)
    found = np.where(known, errors, 0.0).sum((0, 2)) / np.maximum(known.sum((0, 2)), 1)
    return float(found[0]), float(found[1])


def graph_of(cut: Cut, base: Baselines) -> Tensor:
    """The graph that was given, else the one of series that are alike in what is trained on (Yu et al. 2019)."""
    if cut.series.adjacency is not None:
        return torch.from_numpy(cut.series.adjacency)
    if cut not in _GRAPHS:
        _GRAPHS[cut] = similarity_graph(torch.from_numpy(_course(cut, base)))
    return _GRAPHS[cut]


def _course(cut: Cut, base: Baselines) -> F32:
    """The course of each series [N, points]: its mean period, else its values one after the other in few points."""
    if len(base.seasons) > 1:
        return np.ascontiguousarray(base.seasons.T)
    values = np.where(np.isnan(cut.trained), base.mean, cut.trained)
    points = np.array_split(values, min(POINTS, len(values)))
    return np.ascontiguousarray(np.stack([each.mean(0) for each in points]).T)


class Errors(Meter):
    """Errors of a net, and of the baselines where it has them; those of every series are added up for the worst of them."""

    def __init__(self, task: Forecast, baselines: Baselines | None) -> None:
        self.baselines = baselines
        methods = [NET, *(baselines.names if baselines else ())]
        self.counted = ForecastMeter(task.horizon, methods)
        self._nodes = np.zeros((2, len(task.nodes)))  # sums of errors, and how many

    @property
    def whole(self) -> bool:
        """Whether the baselines are scored too."""
        return self.baselines is not None

    def add(self, answers: Any, truths: Sequence[Any] | NDArray[Any]) -> None:
        """Count answers to windows."""
        ahead = np.stack([each.ahead for each in truths]).astype(np.float64)
        said = np.stack([each.values for each in answers])
        known = ~np.isnan(ahead)
        self._nodes[0] += np.where(known, np.abs(said - ahead), 0.0).sum((0, 1))
        self._nodes[1] += known.sum((0, 1))
        every = said[:, None]
        if self.baselines:
            every = np.concatenate([every, self.baselines.forecasts(list(truths))], 1)
        self.counted.add(every, ahead, np.array([each.step for each in truths]))

    def by_node(self) -> F64:
        """Mean absolute error of every series [N], nan where nothing is known."""
        return self._nodes[0] / np.where(self._nodes[1] > 0, self._nodes[1], np.nan)

    def state(self) -> dict[str, NDArray[Any]]:
        """Sums of every window and series."""
        return {**self.counted.state(), "nodes": self._nodes}

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take in those of another."""
        self._nodes += state["nodes"]
        self.counted.merge({key: value for key, value in state.items() if key != "nodes"})

    def values(self) -> dict[str, float]:
        """The mean absolute error first."""
        return {key: value for key, value in self.counted.values().items() if np.isfinite(value)}

    def scores(self, groups: NDArray[np.int64] | None = None) -> dict[str, Interval]:
        """Errors of the net, then the baselines' and the gain over each."""
        del groups  # of windows blocks of time belong together
        found = self.counted.scores()
        for k, key in enumerate(self.counted.methods[1:], 1):
            found[f"mae_{key}"] = self.counted.scores(k)["mae"]
            found[f"gain_{key}"] = self.counted.difference(k)
        return found

    def notes(self, groups: NDArray[np.int64] | None = None) -> list[str]:
        """How intervals came about."""
        del groups
        return self.counted.notes()

    @property
    def merit(self) -> float:
        """Minus the mean absolute error: the smallest is kept."""
        return -self.counted.values()["mae"]
