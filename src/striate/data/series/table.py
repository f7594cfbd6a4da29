"""Series of one data set: all of them in one table, in single precision. T steps, N nodes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from striate.data.index import Fault
from striate.data.series.clock import Clock, Period, channels

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Series:
    """Values over time on the nodes of a graph.

    Attributes:
        values: [T, N], nan where one is missing.
        nodes: their names.
        clock: when the steps are.
        adjacency: symmetric weights of at least 0, [N, N], or None where no graph is given.
        periods: that are told to a net, such as "day" or "168", as `Clock.period` reads them.
        name: of the file, for messages.
        faults: what was wrong with rows.
        notes: how the file was understood.
        warnings: what may spoil a training.
        missing: the number that was taken for a missing value though nobody said so; None where none was.
    """

    values: F32 = field(repr=False)
    nodes: tuple[str, ...]
    clock: Clock = field(default_factory=Clock)
    adjacency: F32 | None = field(default=None, repr=False)
    periods: tuple[str, ...] = ()
    name: str = "series"
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    missing: float | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def cycles(self) -> list[Period]:
        """The periods in steps."""
        return [self.clock.period(word) for word in self.periods]

    def noted(self, *notes: str, warnings: Sequence[str] = ()) -> "Series":
        """With more to be said of it."""
        return replace(self, notes=(*self.notes, *notes), warnings=(*self.warnings, *warnings))

    def table(self) -> F32:
        """Values, then sine and cosine of each period, [T, N + 2 P]."""
        waves = channels(self.cycles, np.arange(len(self)))
        return (
            np.ascontiguousarray(np.concatenate([self.values, waves], 1))
            if waves.size
            else self.values
        )
