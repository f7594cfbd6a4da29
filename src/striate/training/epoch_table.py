"""The lines that a training prints: a row an epoch in columns of a fixed width, with a heading now and then."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from striate.metrics.scores import shown
from striate.text import rough, wide

AGAIN = 25  # rows after which the heading stands once more
DROPPED = ("speed", "train_loss", "left", "val_loss")  # in this order, where there is no room
LEAST = 7  # letters of a column


@dataclass(frozen=True)
class Column:
    """A heading of two lines and the width of the cells below it."""

    key: str
    over: str
    under: str
    width: int

    def pad(self, cell: str) -> str:
        """A cell at the right of the column; the epoch stands at the left."""
        room = " " * max(0, self.width - wide(cell))
        return cell + room if self.key == "epoch" else room + cell


@dataclass
class EpochTable:
    """Rows of results.csv as lines.

    Attributes:
        noun: what the training learns from, plural.
        held_out: the split that is answered after every epoch.
        epochs: of the whole training; 0 where a budget ends it.
        width: the most letters of a line; columns that do not fit are left out, the epoch and the score last.
    """

    noun: str
    held_out: str
    epochs: int = 0
    width: int = 80
    _short: bool = field(default=False, init=False)  # the label of a row is its number alone
    _columns: tuple[Column, ...] = field(default=(), init=False)
    _rows: int = field(default=0, init=False)

    def lines(self, row: Mapping[str, float], left: float) -> list[str]:
        """One row, below the heading where it is the first or the 26th.

        Args:
            row: of results.csv; epoch 0 is a linear probe.
            left: seconds that the training will still take.
        """
        self._columns = self._columns or self._fitting(row)
        head = self._heading() if self._rows % AGAIN == 0 else []
        self._rows += 1
        cells = (column.pad(self._cell(column.key, row, left)) for column in self._columns)
        return [*head, "  ".join(cells).rstrip()]

    def _heading(self) -> list[str]:
        over = "  ".join(column.pad(column.over) for column in self._columns)
        under = "  ".join(column.pad(column.under) for column in self._columns)
        return [over.rstrip(), under.rstrip()]

    def _fitting(self, row: Mapping[str, float]) -> tuple[Column, ...]:
        columns = self._all(row)
        for key in DROPPED:
            if _room(columns) <= self.width:
                break
            columns = [column for column in columns if column.key != key]
        self._short = _room(columns) > self.width
        if self._short:
            columns[0] = replace(columns[0], width=max(5, columns[0].width - len("epoch ")))
        return tuple(columns)

    def _all(self, row: Mapping[str, float]) -> list[Column]:
        score = _score(row)
        named = score.removeprefix("val_").split("_")
        titles = {
            "epoch": ("", "epoch"),
            "train_loss": ("train", "loss"),
            "val_loss": (self.held_out, "loss"),
            score: (" ".join([self.held_out, *named[:-1]]), named[-1]),
            "speed": (self.noun, "a second"),
            "left": ("time", "left"),
        }
        there = {"epoch", "left", *(key for key in row if key in ("train_loss", "val_loss", score))}
        there |= {"speed"} if "items_per_second" in row else set()
        labels = len(f"epoch {self.epochs}/{self.epochs}") if self.epochs else len("epoch 1,000")
        least = {"epoch": labels, "left": LEAST + 1, score: LEAST + 2}
        return [
            Column(key, over, under, max(wide(over), wide(under), least.get(key, LEAST)))
            for key, (over, under) in titles.items()
            if key in there and key
        ]

    def _cell(self, key: str, row: Mapping[str, float], left: float) -> str:
        if key == "epoch":
            return self._label(int(row["epoch"]))
        if key == "left":
            return rough(left) if left >= 1 else "0 s"
        if key == "speed":
            return _whole(row["items_per_second"])
        value = row.get(key, math.nan)
        return loss_words(value) if key.endswith("_loss") else shown(key[len("val_") :], value)

    def _label(self, epoch: int) -> str:
        if epoch == 0:
            return "probe"
        name = "" if self._short else "epoch "
        return f"{name}{epoch}/{self.epochs}" if self.epochs else f"{name}{epoch:,}"


def _room(columns: Sequence[Column]) -> int:
    """Letters of a row."""
    return sum(column.width + 2 for column in columns) - 2


def loss_words(value: float) -> str:
    """A loss in at most eight letters, a dash where it is none.

    >>> loss_words(0.25), loss_words(123456.0)
    ('0.2500', '1.23e+05')
    """
    if math.isnan(value):
        return "-"
    return f"{value:.4f}" if abs(value) < 1000 or math.isinf(value) else f"{value:.3g}"


def _score(row: Mapping[str, float]) -> str:
    """The held-out score that chooses the epoch: the first of the row; "" where nothing but a loss is measured."""
    return next((key for key in row if key.startswith("val_") and key != "val_loss"), "")


def _whole(value: float) -> str:
    if not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
