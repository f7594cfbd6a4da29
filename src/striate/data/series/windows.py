"""Windows of series: what a net reads and what it is to forecast, as views of the one table. n windows.

A window of `history` steps is followed by `horizon` steps. The inputs are [n, history, N + 2 P]: the values of N nodes
as they are, missing ones nan, then sine and cosine of P periods. The targets are [n, horizon, N]. Both are views of
memory that all windows share, so that no window is ever copied but those of a batch.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from striate.data.index import Part
from striate.data.series.clock import Clock
from striate.data.series.table import Series
from striate.data.sources import I64, Form, Look, Source
from striate.data.targets import Targets
from striate.errors import ArgumentError, DataError

F32 = NDArray[np.float32]

HISTORY, HORIZON = 12, 12  # steps, where nobody asked for others
ROOM, MOST = (
    1.5,
    0.3,
)  # windows that a part of short series is to be long, within this share of them
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
VAL, TEST = 0.1, 0.2  # shares of the steps, as usual for traffic (Li et al. 2018, arXiv 1707.01926)


class Window(NamedTuple):
    """The target of one window, with what a simple forecast is made from.

    Attributes:
        ahead: values to forecast [horizon, N], nan where unknown.
        history: values before [history, N].
        step: number of the first step to forecast.
        clock: when the steps are.
    """

    ahead: F32
    history: F32
    step: int
    clock: Clock


@dataclass(frozen=True, eq=False)
class Cut:
    """Where windows lie in series: they begin at `first` and the steps after it.

    Attributes:
        series: all of them.
        table: `Series.table`.
        first: the step that the first window begins with.
        count: how many windows there are.
        history, horizon: steps of a window.
    """

    series: Series
    table: F32 = field(repr=False)
    first: int
    count: int
    history: int
    horizon: int

    def view(self, offset: int, steps: int, columns: int) -> F32:
        """[n, steps, columns] from `offset` steps after the beginning of each window; it shares the table's memory."""
        row, column = self.table.strides
        start = self.table[self.first + offset :, :columns]
        return np.lib.stride_tricks.as_strided(
            start, (self.count, steps, columns), (row, row, column)
        )

    @cached_property
    def inputs(self) -> F32:
        """[n, history, N + 2 P]."""
        return self.view(0, self.history, self.table.shape[1])

    @cached_property
    def targets(self) -> F32:
        """[n, horizon, N]."""
        return self.view(self.history, self.horizon, len(self.series.nodes))

    def window(self, i: int) -> Window:
        """The target of window i."""
        step = self.first + i + self.history
        nodes = len(self.series.nodes)
        return Window(self.targets[i], self.inputs[i, :, :nodes], step, self.series.clock)

    def part(self, index: I64) -> "Cut":
        """The windows of these numbers, which follow each other.

        Raises:
            ArgumentError: they do not.
        """
        if len(index) and (np.diff(index) != 1).any():
            raise ArgumentError("windows of series are taken in the order of time, without gaps")
        first = self.first + (int(index[0]) if len(index) else 0)
        return replace(self, first=first, count=len(index))

    @property
    def trained(self) -> F32:
        """The values of all its steps, [T, N]."""
        return self.series.values[
            self.first : self.first + self.count + self.history + self.horizon - 1
        ]

    @cached_property
    def digests(self) -> list[bytes]:
        """SHA-256 of each window with its time, from those of its steps."""
        last = self.first + self.count + self.history + self.horizon
        each = [
            hashlib.sha256(
                self.series.clock.stamp(t).encode() + self.series.values[t].tobytes()
            ).digest()
            for t in range(self.first, min(last, len(self.series)))
        ]
        return [
            hashlib.sha256(b"".join(each[i : i + self.history])).digest() for i in range(self.count)
        ]

    def content(self, i: int) -> str:
        """A word that differs where the target of window i does."""
        return hashlib.sha256(np.ascontiguousarray(self.targets[i]).tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class Windows(Source):
    """What a net reads of each window."""

    in_memory: ClassVar[bool] = True
    modality = "window"
    cut: Cut

    def __len__(self) -> int:
        return self.cut.count

    def take(self, index: I64) -> "Windows":
        """The same, with only these numbers, which follow each other."""
        return Windows(self.cut.part(index))

    def shape(self, form: Form) -> tuple[int, ...]:
        """Of one of them: (history, N + 2 P)."""
        del form
        return self.cut.inputs.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Single precision."""
        return self.cut.table.dtype

    def ready(self, form: Form) -> F32:
        """All of them, as a view."""
        del form
        return self.cut.inputs

    def digest(self, i: int) -> bytes:
        """SHA-256 of its time and values."""
        return self.cut.digests[i]

    def look(self, i: int) -> Look:
        """Hash, and the share of values that are missing."""
        missing = np.isnan(self.cut.inputs[i]).mean()
        return Look(self.digest(i), facts={"missing share": float(missing)})

    def decode(self, i: int, form: Form) -> F32:
        """[history, N + 2 P]."""
        del form
        return self.cut.inputs[i]

    def weights(self) -> I64:
        """Its number: no two windows are the same, since each has a time of its own."""
        return np.arange(self.cut.first, self.cut.first + self.cut.count)


@dataclass(frozen=True, eq=False)
class Ahead(Targets):
    """The steps that follow each window."""

    kind: ClassVar[str] = "ahead"
    cut: Cut

    def __len__(self) -> int:
        return self.cut.count

    def take(self, index: I64) -> "Ahead":
        """The same, with only these numbers, which follow each other."""
        return Ahead(self.cut.part(index))

    def truth(self, i: int) -> Window:
        """Its steps, and those before."""
        return self.cut.window(i)

    def content(self, i: int, classes: Sequence[str]) -> str:
        """The hash of its values."""
        del classes
        return self.cut.content(i)

    def array(self, natural: NDArray[np.int64], form: Form) -> F32:
        """All of them [n, horizon, N], as a view."""
        del natural, form
        return self.cut.targets


@dataclass(frozen=True, eq=False)
class Times(Sequence[str]):
    """Names of windows: the time of the first step that each forecasts, made when asked for."""

    clock: Clock
    steps: range

    def __len__(self) -> int:
        return len(self.steps)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Times": ...
    def __getitem__(self, index: int | slice) -> "str | Times":
        if isinstance(index, slice):
            return Times(self.clock, self.steps[index])
        step = self.steps[index]
        return self.clock.label(step) if self.clock.unit else f"step {self.clock.stamp(step)}"

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))


def windows(series: Series, history: int, horizon: int) -> Part:
    """All windows of series as one part.

    Raises:
        DataError: not one fits.
    """
    count = len(series) - history - horizon + 1
    if count < 1:
        raise DataError(
            f"{series.name} has {len(series):,} steps, and one window takes {history + horizon:,} (history={history} + "
            f"horizon={horizon}): ask for fewer"
        )
    return of_series(Cut(series, series.table(), 0, count, history, horizon))


def of_series(cut: Cut) -> Part:
    """Windows as the items of a split."""
    first = cut.first + cut.history
    names = Times(cut.series.clock, range(first, first + cut.count))
    return Part(names, Ahead(cut), Windows(cut))


def within(whole: Part, name: str, first: int, last: int) -> Part:
    """The windows that lie between two steps, as the split of a name.

    Raises:
        ArgumentError: the part has no windows of series.
        DataError: not one fits.
    """
    return of_series(_within(_cut_of(whole), name, first, last))


def by_time(whole: Part, val: float | str | None, *, tested: bool = False) -> dict[str, Part]:
    """Windows in the order of time: train, val, test; none reaches over a border between them.

    Args:
        whole: from `windows`.
        val: share of the steps before the test that is held out; 0.1 of all steps where None. The test has 0.2 of all
            steps. Of short series both have more, so that windows fit.
            "2of5" cuts the time into six blocks, trains on the first two and holds out the third (rolling origin).
        tested: the data have a test of their own, so that none is taken from these windows.

    Raises:
        ArgumentError: the part has no windows of series.
        DataError: a part is shorter than a window.
    """
    cut = _cut_of(whole)
    borders = _borders(len(cut.trained), val, cut.history + cut.horizon, tested=tested)
    return {
        name: within(whole, name, cut.first + first, cut.first + last)
        for name, (first, last) in borders.items()
    }


def unseen_days(parts: Mapping[str, Part]) -> str:
    """What is to be said where held-out windows lie on days of the week that no step of the training does; "" where none do."""
    cuts = {
        name: part.source.cut for name, part in parts.items() if isinstance(part.source, Windows)
    }
    if "train" not in cuts:
        return ""

    def days(cut: Cut) -> set[int]:
        return cut.series.clock.days(cut.first, cut.first + len(cut.trained))

    seen = days(cuts["train"])
    strange = {name: days(cut) - seen for name, cut in cuts.items() if days(cut) - seen}
    if not strange:
        return ""
    named = ", ".join(_DAYS[day] for day in sorted(set().union(*strange.values())))
    return (
        f"nothing of {named} is trained on, and {' and '.join(strange)} {'lie' if len(strange) > 1 else 'lies'} there: scores say "
        "how well days of another kind are forecast; two weeks or more hold every day on both sides"
    )


def _cut_of(whole: Part) -> Cut:
    if not isinstance(whole.source, Windows):
        raise ArgumentError("only windows of series are split by time")
    return whole.source.cut


def _borders(
    steps: int, val: float | str | None, window: int, *, tested: bool
) -> dict[str, tuple[int, int]]:
    """First step and the one after the last of each part."""
    if isinstance(val, str):
        number, count = (int(word) for word in val.split("of"))
        edges = [round(steps * k / (count + 1)) for k in range(count + 2)]
        return {"train": (0, edges[number]), "val": (edges[number], edges[number + 1])}
    test = steps if tested else round(steps * (1 - _share(TEST, steps, window)))
    usual = VAL / (1 - TEST) if tested else VAL
    held = round(steps * _share(usual, steps, window)) if val is None else round(test * val)
    found = {"train": (0, test - held), "val": (test - held, test)}
    return found if tested else {**found, "test": (test, steps)}


def _share(usual: float, steps: int, window: int) -> float:
    """A share of short series that still has some windows, if it can be had."""
    return min(max(usual, ROOM * window / steps), MOST)


def _within(cut: Cut, name: str, first: int, last: int) -> Cut:
    count = last - first - cut.history - cut.horizon + 1
    if count < 1:
        raise DataError(
            f"{cut.series.name}: {name} has {last - first:,} of {len(cut.trained):,} steps, and one window takes "
            f"{cut.history + cut.horizon:,} (history={cut.history} + horizon={cut.horizon}): ask for fewer, or give longer series"
        )
    return replace(cut, first=first, count=count)


def moments(values_TN: F32) -> tuple[F32, F32]:
    """Mean and deviation of every column over its known values, 0 and 1 where there is none; a constant one has deviation 1."""
    known = ~np.isnan(values_TN)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, values_TN, 0.0).sum(0, dtype=np.float64) / count
    square = np.where(known, (values_TN - mean) ** 2, 0.0).sum(0, dtype=np.float64) / count
    std = np.sqrt(square)
    tiny = std <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
    return mean.astype(np.float32), np.where(tiny, 1.0, std).astype(np.float32)
