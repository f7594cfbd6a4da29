"""Logs of a training beside results.csv: statistics of every layer in health.csv, and TensorBoard where it is installed.

Every so many steps the outputs, weights and gradients of every layer are measured: their size, and which channels are
dead. Measuring changes nothing of what is computed.
"""

import csv
import io
import math
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate import extras
from striate.errors import CheckpointError
from striate.plan import Plan
from striate.probe import Scale, leaves, scales
from striate.runs.folder import read_bytes, write_text
from striate.training.state import State

COLUMNS = ("step", "layer", "output", "dead", "weight", "gradient")


class Board:
    """Numbers over steps in the folder `tensorboard` of a run."""

    def __init__(self, path: Path, step: int) -> None:
        """Begin, or go on after `step` steps: what was written beyond is hidden."""
        extras.need("tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(str(path / "tensorboard"), purge_step=step or None)

    def add(self, name: str, value: float, step: int) -> None:
        """One number."""
        if math.isfinite(value):
            self.writer.add_scalar(name, value, step)

    def epoch(self, row: Mapping[str, float], step: int) -> None:
        """The numbers of an epoch."""
        for name, value in row.items():
            self.add(f"epoch/{name}", value, step)
        self.writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()


def tensorboard(path: Path, step: int = 0) -> Board | None:
    """TensorBoard for a run folder, if it is installed."""
    return Board(path, step) if extras.available()["tensorboard"] else None


@dataclass
class LayerStatistics:
    """Statistics of one step, by layer: root mean squares, and the share of dead channels."""

    step: int
    outputs: Mapping[str, Scale] = field(default_factory=dict[str, Scale])
    sizes: dict[str, tuple[Tensor, Tensor]] = field(
        default_factory=dict[str, tuple[Tensor, Tensor]]
    )

    def gradients(self, net: nn.Module) -> None:
        """Keep the sizes of weights and gradients, after the backward pass."""
        for path in self.outputs:
            weight = getattr(net.get_submodule(path), "weight", None)
            if isinstance(weight, Tensor) and weight.grad is not None:
                self.sizes[path] = (_size(weight.detach()), _size(weight.grad))

    def rows(self) -> list[dict[str, Any]]:
        """A row a layer, in the order in which the layers ran."""
        nothing = torch.full((), torch.nan)
        table = [
            torch.stack(
                [t.float().cpu() for t in (s.size, s.dead, *self.sizes.get(p, (nothing,) * 2))]
            )
            for p, s in self.outputs.items()
        ]
        return (
            [
                {"step": self.step, "layer": path, **dict(zip(COLUMNS[2:], values, strict=True))}
                for path, values in zip(self.outputs, torch.stack(table).tolist(), strict=True)
            ]
            if table
            else []
        )


class _NoStatistics(LayerStatistics):
    """Of a step that is not measured."""

    def gradients(self, net: nn.Module) -> None:
        """Keep nothing: this step is not measured."""


class Health:
    """Measures all layers of a training every so many steps; 0 is never."""

    def __init__(
        self,
        path: Path,
        every: int,
        plan: Plan,
        say: Callable[[str], None],
        board: Board | None = None,
    ) -> None:
        self.path = path / "health.csv"
        self.every, self.plan, self.say, self.board = every, plan, say, board

    @classmethod
    def off(cls) -> "Health":
        """One that never measures."""
        return cls(Path(), 0, Plan(), lambda _line: None)

    @contextmanager
    def measure(self, state: State) -> Generator[LayerStatistics]:
        """Measure the forward and backward pass of the block, if its step is due."""
        if not self.every or state.step % self.every:
            yield _NoStatistics(state.step)
            return
        with ExitStack() as around:
            around.enter_context(
                self.plan.uncompiled()
            )  # hooks inside a compiled net would recompile it
            statistics = LayerStatistics(
                state.step, around.enter_context(scales(state.net, leaves(state.net)))
            )
            yield statistics
        self._write(statistics.rows())

    def forget(self, step: int) -> None:
        """Drop the rows of steps that a resumed training will do again.

        Args:
            step: how many are done.
        """
        if not self.path.exists():
            return
        rows, lost = _whole(self.path)
        try:
            earlier = [row for row in rows if int(row["step"]) < step]
            write_text(self.path, _table(earlier, header=True))
        except CheckpointError as error:
            lost, self.every = f"{error}; the training goes on without it", 0
        if lost:
            self.say(lost)

    def _write(self, rows: list[dict[str, Any]]) -> None:
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                file.write(_table(rows, header=file.tell() == 0))
        except OSError as error:  # a log is no reason to lose a training
            self.every = 0
            self.say(
                f"{self.path} cannot be written ({error.strerror}); the training goes on without"
            )
        if self.board:
            for row in rows:
                for key in COLUMNS[2:]:
                    self.board.add(f"{key}/{row['layer']}", row[key], row["step"])


def _whole(path: Path) -> tuple[list[dict[str, str]], str]:
    """The rows of a health.csv that can be read, and what is to be said of the others."""
    try:
        text = read_bytes(path).decode("utf-8", "replace")
    except CheckpointError as error:
        return [], f"{error}; its rows are lost, the training goes on"
    rows: list[dict[str, str]] = []
    lines = text.splitlines()[1:]
    for line in lines:
        cells = line.split(",")
        if len(cells) == len(COLUMNS) and cells[0].isascii() and cells[0].isdecimal():
            rows.append(dict(zip(COLUMNS, cells, strict=True)))
    lost = len(lines) - len(rows)
    cut = bool(text) and not text.endswith(
        "\n"
    )  # a process or a machine that stopped while it wrote
    if cut and rows and not lost:
        rows, lost = rows[:-1], 1
    if lost or not text.startswith(",".join(COLUMNS)):
        return (
            rows,
            f"{path} was damaged: {max(lost, 1)} of its lines are lost, the training goes on",
        )
    return rows, ""


def _size(tensor: Tensor) -> Tensor:
    wide = torch.promote_types(tensor.dtype, torch.float32)
    return torch.linalg.vector_norm(tensor, dtype=wide) / max(1, tensor.numel()) ** 0.5


def _table(rows: Iterable[Mapping[str, Any]], *, header: bool) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows({key: _cell(row[key]) for key in COLUMNS} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.6g}"  # a layer without weights
