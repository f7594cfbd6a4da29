"""The answers to a split with their scores, and the tables they are written to."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data import Arrays, Data, Split
from striate.errors import CheckpointError
from striate.metrics import Scores
from striate.metrics.scores import harmless
from striate.runs.answering import Answered, Net
from striate.runs.folder import read_bytes, write_text
from striate.tasks import Item, Meter

TOGETHER, SMALL = (
    16,
    2**20,
)  # items that are answered in one batch, and the bytes of the largest of them
LARGEST_TABLE = 2**33  # bytes of a CSV file with a row an item


@dataclass(frozen=True, eq=False)
class Held:
    """The answers to one split: their scores, a row an item, and the items themselves when asked for."""

    used: Net
    data: Data
    split: Split
    arrays: Arrays
    answered: Answered
    scores: Scores

    @property
    def meter(self) -> Meter:
        """What the scores are made from."""
        return self.answered.meter

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]:
        """Words and scores of every item."""
        return self.answered.rows

    @property
    def names(self) -> Sequence[str]:
        """Of the items."""
        return self.arrays.names

    @property
    def noun(self) -> str:
        """What the items are called, plural."""
        return self.used.task.noun or self.used.preprocessing.noun()

    @property
    def trained(self) -> Mapping[str, int]:
        """How often each class occurs in what was trained on; nothing where that is not known."""
        counts = self.data.counts("train") if "train" in self.data.splits else None
        return dict(zip(self.data.classes, counts, strict=True)) if counts else {}

    def items(self, numbers: Sequence[int]) -> list[Item]:
        """These items with their inputs, truths and answers; the net answers them again, small ones of a size together."""
        found: list[Item] = []
        for i in range(0, len(numbers), TOGETHER):
            found += self._together(numbers[i : i + TOGETHER])
        return found

    def _together(self, numbers: Sequence[int]) -> list[Item]:
        """Answered in one batch where a class, or some, is all that is said of small inputs of one size."""
        stored = [np.asarray(self.arrays.inputs[i : i + 1]) for i in numbers]
        task, sizes = self.used.task, natural_sizes(self.split)
        alike = len({one.shape for one in stored}) == 1 and stored[0].nbytes <= SMALL
        if not alike or len(stored) < 2 or not task.linear:
            return [self._item(i) for i in numbers]
        at = [int(self.arrays.numbers[i]) for i in numbers]
        answers = self.used.answers(np.concatenate(stored), [tuple(sizes[n].tolist()) for n in at])
        pre, source, truth = self.used.preprocessing, self.split.source, self.split.targets.truth
        return [
            Item(
                self.arrays.names[i],
                pre.item(one[0], source, n),
                truth(n),
                answer,
                self.rows[i],
                pre.drawn(one[0]),
            )
            for i, n, one, answer in zip(numbers, at, stored, answers, strict=True)
        ]

    def _item(self, i: int) -> Item:
        number = int(self.arrays.numbers[i])
        stored = np.asarray(self.arrays.inputs[i : i + 1])
        pre = self.used.preprocessing
        if self.split.targets.itself:
            seen = self.used.viewed(stored)
            (answer,) = self.used.answers(stored, [seen.shape[1:-1]])
            shown = pre.item(seen[0], self.split.source, number)
            truth = self.used.task.truth(seen[0])
            return Item(self.arrays.names[i], shown, truth, answer, self.rows[i])
        size = natural_sizes(self.split)[number].tolist()
        (answer,) = self.used.answers(stored, [tuple(size)])
        shown = pre.item(stored[0], self.split.source, number)
        truth = self.split.targets.truth(number)
        drawn = pre.drawn(stored[0])
        return Item(self.arrays.names[i], shown, truth, answer, self.rows[i], drawn)


def natural_sizes(split: Split) -> NDArray[np.int64]:
    """The size of every item of a split itself, height and width [N, 2] of pictures; 0 where it has none."""
    own = split.source.sides()
    if own is not None:
        return own
    return split.natural if split.source.pictures else np.zeros((len(split), 2), np.int64)


def read_table(path: Path) -> list[dict[str, float]]:
    """Rows of a CSV file of numbers; empty cells are left out.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    try:
        return [
            {key: float(value) for key, value in row.items() if value} for row in read_rows(path)
        ]
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def read_rows(path: Path, digest: str | None = None) -> list[dict[str, str]]:
    """Rows of a CSV file with a header, by the names there.

    Args:
        path: of the file.
        digest: the SHA-256 that it had when it was written; None of a version that did not note it.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    content = read_bytes(path, most=LARGEST_TABLE)
    if digest is not None and sha256(content).hexdigest() != digest:
        raise CheckpointError(
            f"{path} is damaged: its SHA-256 is not the one that was noted when it was written; "
            "put the file back as it was"
        )
    try:
        text = content.decode("utf-8")
        if "\0" in text:
            raise ValueError("it holds zero bytes")  # noqa: TRY301
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        return [dict(zip(header, row, strict=True)) for row in rows]
    except (csv.Error, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write a CSV file whole; words that a table program would take for a formula are quoted by an apostrophe.

    Returns:
        Its SHA-256.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([harmless(cell) for cell in header])
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    content = text.getvalue()
    write_text(path, content)
    return sha256(content.encode("utf-8", "backslashreplace")).hexdigest()


def write_items(path: Path, held: Held) -> str:
    """Write items.csv: a row an item, its file first, then words and scores.

    Returns:
        Its SHA-256.
    """
    header = list(dict.fromkeys(key for row in held.rows for key in row))
    return write_table(
        path,
        ["file", *header],
        (
            [name, *(_cell(row.get(key, "")) for key in header)]
            for name, row in zip(held.names, held.rows, strict=True)
        ),
    )


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
