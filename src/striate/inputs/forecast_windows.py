"""Windows of series as forecasters read them. B batch, T steps of history, N nodes, P periods, C channels.

Stored are values of N nodes, missing ones nan, with sine and cosine of P periods in 2 P further columns, [T, N + 2 P]. A net
reads [C, T, N]: the values, scaled; where any of the training are missing, whether each is known; then the waves of the
periods, the same for every node. A missing value is the last known one of its window, else the mean.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data import AnyForm, Data, Form, Images, Split
from striate.data.files import shown
from striate.data.layouts.series import read_settings
from striate.data.series import Clock, Series, Windows
from striate.data.series.clock import channels
from striate.data.series.reading import read_series
from striate.data.series.windows import Cut, moments, of_series
from striate.errors import DataError, RecipeError, ShapeError
from striate.inputs.default_net import learning_seconds, time_for
from striate.inputs.fields import counts, numbers, word
from striate.inputs.preprocessing import Drawn, Preprocessing, Read, Settings, Shape
from striate.models import catalog
from striate.svg import Line, timeline

NET = "stgcn"
WIDTHS = (1.0, 0.5, 0.25)  # of it
SPEED = 0.4  # of its learning against that of nets for pictures of as many multiply-adds
BATCH = 32  # windows a step
STEPS = 800  # of a training, in 10 to 100 epochs
RATE = 2e-3
KNOWN = 1  # says in the place of a size that a step number is given


@dataclass(frozen=True)
class SeriesWindows(Preprocessing):
    """Windows of series.

    Attributes:
        history, horizon: steps that are read, and that are forecast.
        nodes: names of the series, in the order of the net.
        periods: that are told to the net, as `Clock.period` reads them.
        clock: of the training, as plain values.
        mean, std: of all values of the training, or of each node.
        gaps: whether a channel says which values are known.
        layout: how files are understood, as `layout=` says it; "" if that was not said.
    """

    modality: ClassVar[str] = "window"
    settings: ClassVar[tuple[str, ...]] = ("history", "horizon", "period")
    history: int
    horizon: int
    nodes: tuple[str, ...] = field(repr=False)
    periods: tuple[str, ...]
    clock: Mapping[str, Any]
    mean: tuple[float, ...] = field(repr=False)
    std: tuple[float, ...] = field(repr=False)
    gaps: bool = False
    layout: str = ""

    @classmethod
    def defaults(cls, data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any]:
        """STGCN on windows as the data were opened.

        Raises:
            RecipeError: the recipe asks for other windows.
        """
        cut = cut_of(data)
        for key, opened in (("history", cut.history), ("horizon", cut.horizon)):
            asked = getattr(recipe, key)
            if asked not in (None, opened):
                raise RecipeError(
                    f"{key}={asked}: these data are opened with {opened} already: say it to striate.open"
                )
        chosen: dict[str, Any] = {}
        if not (recipe.net or own_net or recipe.weights):
            width = _width(cut, recipe)
            chosen = {"width": width, "why": partial(_why, width)}
        return {
            "net": recipe.net or (None if own_net else NET),
            **chosen,
            "augment": "none",
            "batch": BATCH,
            "optimizer": "adamw",
            "lr": RATE,
            "epochs": max(10, min(100, round(STEPS * BATCH / cut.count))),
            "history": cut.history,
            "horizon": cut.horizon,
            "period": cut.series.periods or ("none",),
        }

    @classmethod
    def planned_shape(cls, data: Data, recipe: Settings) -> Shape:
        """(C, T, N)."""
        del recipe
        cut = cut_of(data)
        waves = 2 * len(cut.series.periods)
        return (1 + has_gaps(data) + waves, cut.history, len(cut.series.nodes))

    @classmethod
    def of(cls, inputs: Images, data: Data, recipe: Settings, form: AnyForm) -> Self:
        """Scaled by what is trained on: by all values of nodes on a given graph, else each node by its own."""
        del inputs, recipe, form
        cut = cut_of(data)
        mean, std = scaling(cut)
        return cls(
            cut.history,
            cut.horizon,
            cut.series.nodes,
            cut.series.periods,
            asdict(cut.series.clock),
            tuple(mean.tolist()),
            tuple(std.tolist()),
            has_gaps(data),
            data.origin.get("layout") or "",
        )

    @classmethod
    def _from_dict(cls, content: Mapping[str, Any]) -> Self:
        history, horizon = counts([content["history"], content["horizon"]], "history, horizon")
        nodes = tuple(word(name, "nodes") for name in content["nodes"])
        periods = tuple(word(name, "periods") for name in content["periods"])
        clock = Clock.from_dict(content["clock"])
        for name in periods:
            clock.period(name)
        mean, std = (numbers(content[key], key) for key in ("mean", "std"))
        if len(mean) != len(std) or len(mean) not in (1, len(nodes)) or min(std) <= 0:
            raise ValueError(f"{len(mean)} means of {len(nodes)} nodes")
        gaps, layout = content["gaps"] is True, word(content["layout"], "layout")
        return cls(history, horizon, nodes, periods, asdict(clock), mean, std, gaps, layout)

    @property
    def form(self) -> AnyForm:
        """As they are."""
        return Form(None, "")

    @property
    def shape(self) -> Shape:
        """(C, T, N)."""
        return (1 + self.gaps + 2 * len(self.periods), self.history, len(self.nodes))

    @property
    def opening(self) -> dict[str, Any]:
        """The same steps and periods."""
        periods = self.periods or ("none",)
        return {"history": self.history, "horizon": self.horizon, "period": periods}

    def matched(self, data: Data) -> Data:
        """The same with its nodes in the order of the training's.

        Raises:
            DataError: other nodes, or other steps of time.
        """
        series = cut_of(data).series
        order = self._order(series)
        if order is None:
            return data
        ours = _with_nodes(series, order)
        table = ours.table()
        splits: dict[str, Split] = {}
        for name, split in data.splits.items():
            source = split.source
            if isinstance(source, Windows):
                part = of_series(replace(source.cut, series=ours, table=table))
                splits[name] = replace(split, part=part)
        return replace(data, splits=splits)

    def _order(self, series: Series) -> list[int] | None:
        """The columns in the order of the training; None where they are in it.

        Raises:
            DataError: other nodes, or other steps of time.
        """
        trained = Clock.from_dict(self.clock)
        if (series.clock.unit, series.clock.step) != (trained.unit, trained.step):
            raise DataError(
                f"its steps are {series.clock.words()}, those of the training {trained.words()}"
            )
        if series.nodes == self.nodes:
            return None
        place = {name: i for i, name in enumerate(series.nodes)}
        lost = [name for name in self.nodes if name not in place]
        if lost:
            raise DataError(
                f"it has no series {lost[0]!r}: expected the {len(self.nodes):,} of the training, it has {len(series.nodes):,}"
            )
        return [place[name] for name in self.nodes]

    @cached_property
    def _scale(self) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.mean), torch.tensor(self.std)

    def normalise(self, stored: Tensor) -> Tensor:
        """[B, T, N + 2 P] to [B, C, T, N]."""
        nodes = len(self.nodes)
        if stored.shape[-1] != nodes + 2 * len(self.periods):
            raise ShapeError(
                f"windows have {stored.shape[-1]} columns, expected {nodes} nodes and {2 * len(self.periods)} waves"
            )
        mean, std = (each.to(stored.device) for each in self._scale)
        values = (stored[..., :nodes] - mean) / std
        known = ~values.isnan()
        every = [known_before(values, known), *([known.float()] if self.gaps else [])]
        waves = stored[..., nodes:].movedim(-1, 1)[..., None].expand(-1, -1, -1, nodes)
        return torch.cat([torch.stack(every, 1), waves], 1)

    def read(self, file: Path, *, max_pixels: int) -> Read:
        """The last window of a file of series; the size says which step comes after it.

        Raises:
            DataError: it holds no such series, or fewer steps; with the reason alone.
        """
        del max_pixels
        try:
            series = read_series(file, read_settings(self.layout, skip=False))
        except DataError as error:
            raise DataError(_reason(error, file)) from error
        order = self._order(series)
        series = series if order is None else _with_nodes(series, order)
        if len(series) < self.history:
            raise DataError(
                f"{len(series):,} steps, the net reads the last {self.history}: give it more of the past"
            )
        clock = Clock.from_dict(self.clock)
        apart = series.clock.first - clock.first
        if apart % clock.step:
            raise DataError(
                f"its steps do not fall on those of the training: {series.clock.stamp(0)}, there {clock.stamp(0)}"
            )
        step = apart // clock.step + len(series)
        cycles = [clock.period(name) for name in self.periods]
        waves = channels(cycles, np.arange(step - self.history, step))
        stored = np.concatenate([series.values[-self.history :], waves], 1)
        return Read(np.ascontiguousarray(stored), (step, KNOWN))

    def drawn(self, stored: NDArray[Any]) -> Drawn | None:
        """The mean of its nodes."""
        values = stored[:, : len(self.nodes)]
        known = ~np.isnan(values)
        count = np.maximum(known.sum(1), 1)
        mean = np.where(known, values, 0.0).sum(1) / count
        svg = timeline(
            [""] * len(mean), [Line("mean", "held", mean.tolist())], label="mean of all series"
        )
        return Drawn(np.zeros((1, 1, 1), np.uint8), svg)


def _width(cut: Cut, recipe: Settings) -> float:
    """The widest of `WIDTHS` whose usual steps there is time for, else the narrowest."""
    entry = catalog.entry(NET)
    nodes = len(cut.series.nodes) / entry.input[-1]
    work = STEPS * BATCH * entry.macs / SPEED * nodes * cut.history / entry.input[-2]
    return next(
        (w for w in WIDTHS if learning_seconds(work * w**2, recipe) <= time_for(recipe)), WIDTHS[-1]
    )


def _why(width: float, settled: Settings) -> str:
    """What was chosen, once the recipe is settled."""
    timed = f", width {width:g}, as wide as there is time for" if settled.width == width < 1 else ""
    return f"chosen: {settled.net}{timed}; --net and width= change it"


def _reason(error: DataError, file: Path) -> str:
    """What is wrong with a file, without its name, which the answer has already."""
    return str(error).removeprefix(shown(file)).lstrip(": ")


def known_before(values_BTN: Tensor, known_BTN: Tensor) -> Tensor:
    """Values with what is missing taken from the last known step of the window, else 0, the mean."""
    if bool(known_BTN.all()):
        return values_BTN
    steps = torch.arange(values_BTN.shape[1], device=values_BTN.device)[:, None]
    last = torch.where(known_BTN, steps, -1).cummax(1).values
    taken = values_BTN.nan_to_num(0.0).gather(1, last.clamp(min=0))
    return torch.where(last >= 0, taken, 0.0)


def cut_of(data: Data) -> Cut:
    """The windows of what is trained on, or of all there is.

    Raises:
        DataError: the data are no windows of series.
    """
    split = data.splits.get("train") or next(iter(data.splits.values()))
    if not isinstance(split.source, Windows):
        raise DataError(f"{data.path} holds {data.noun}, expected windows of series")
    return split.source.cut


def has_gaps(data: Data) -> bool:
    """Whether values are missing in what is trained on."""
    return bool(np.isnan(cut_of(data).trained).any())


def scaling(cut: Cut) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation of what is trained on: one of all, [1], where a graph is given, else of each node [N].

    Nodes on one graph measure the same; series without one may have units of their own.
    """
    values = cut.trained
    return moments(values.reshape(-1, 1) if cut.series.adjacency is not None else values)


def _with_nodes(series: Series, order: list[int]) -> Series:
    """Series of these nodes alone, in this order."""
    graph = series.adjacency
    return replace(
        series,
        values=np.ascontiguousarray(series.values[:, order]),
        nodes=tuple(series.nodes[i] for i in order),
        adjacency=None if graph is None else graph[np.ix_(order, order)],
    )
