"""Answers to items: of a split with its scores, of a single file; and the tables they are written to."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data import Arrays
from striate.metrics import Scores
from striate.report import Result
from striate.runs.folder import write_text


@dataclass(frozen=True)
class Prediction(Result):
    """The answer to one file, or why there is none."""

    file: str
    answer: Mapping[str, Any] | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape `predict`."""
        return {"file": self.file, **(self.answer if self.answer else {"error": self.error})}

    def as_text(self) -> str:
        """One line."""
        if self.answer is None:
            return f"{self.file}: {self.error}"
        others = ", ".join(f"{label} {p:.1%}" for label, p in self.answer["top"][1:])
        return f"{self.file}: {self.answer['label']} {self.answer['confidence']:.1%}" + (
            f" ({others})" if others else ""
        )


@dataclass(frozen=True)
class Held:
    """Answers to one split: probabilities [N, K], truth [N], the items and their scores."""

    probs: NDArray[np.float32]
    arrays: Arrays
    scores: Scores

    def rows(self, classes: Sequence[str]) -> Iterator[list[Any]]:
        """A row an item: file, truth, answer, confidence."""
        answer = self.probs.argmax(1)
        for i, name in enumerate(self.arrays.names):
            confidence = f"{self.probs[i, answer[i]]:.6f}"
            yield [name, classes[self.arrays.labels[i]], classes[answer[i]], confidence]


def read_table(path: Path) -> list[dict[str, float]]:
    """Rows of a CSV file of numbers; empty cells are left out."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {key: float(value) for key, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file whole."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_items(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write items.csv: one row an item."""
    write_table(path, ["file", "truth", "answer", "confidence"], rows)
