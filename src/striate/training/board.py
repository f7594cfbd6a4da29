"""TensorBoard, where it is installed."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate import extras


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


def board(path: Path, step: int = 0) -> Board | None:
    """A board for a run folder if TensorBoard is installed."""
    return Board(path, step) if extras.available()["tensorboard"] else None
