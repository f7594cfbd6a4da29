"""Where a run is wrong: the most confident errors, the pairs that are taken for one another, the worst items of other tasks."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from striate.data import Data
from striate.errors import ArgumentError
from striate.result import text_table
from striate.runs import Run
from striate.runs.split_answers import Held
from striate.see import paint
from striate.see.plates import Plate, Plates, Row
from striate.text import counted, percent, plain

PAIRS, EACH = 4, 8  # pairs of classes that have a row, and items in it


@dataclass(frozen=True)
class Mistake:
    """An item: its name, what it is, what was answered, how sure; of other tasks its leading score."""

    name: str
    words: str
    score: float
    pixels: paint.Pixels = field(repr=False)


@dataclass(frozen=True, eq=False)
class Mistakes(Plates):
    """The worst items of a split.

    Attributes:
        worst: the surest errors, or the items with the worst score.
        pairs: of classes that were confused most: "truth as answer, 3 of 40", with items.
        score: by which they are worst.
        wrong: how many were answered wrongly; None of tasks without right and wrong.
        of: how many items there were.
        data: where they are from.
    """

    worst: tuple[Mistake, ...]
    pairs: tuple[tuple[str, tuple[Mistake, ...]], ...]
    score: str
    wrong: int | None
    of: int
    data: str

    def heading(self) -> str:
        """What is shown."""
        if self.wrong is None:
            return f"the {len(self.worst)} items of {self.of:,} with the worst {self.score}, {self.data}"
        return f"{counted(self.wrong, 'mistake')} among {self.of:,} items of {self.data}, the surest first"

    def rows(self) -> list[Row]:
        """The worst items, then a row a confused pair."""
        rows = [Row(_plates(self.worst), "")] if self.worst else []
        return [*rows, *(Row(_plates(items), words) for words, items in self.pairs)]

    def as_dict(self) -> dict[str, Any]:
        """Names and words."""
        return {
            "data": self.data,
            "of": self.of,
            "wrong": self.wrong,
            "score": self.score,
            "worst": [{"file": m.name, "words": m.words, self.score: m.score} for m in self.worst],
            "pairs": [
                {"words": words, "files": [m.name for m in items]} for words, items in self.pairs
            ],
        }

    def as_text(self) -> str:
        """A row an item, then the pairs."""
        rows = [[m.name, m.words, f"{m.score:.4g}"] for m in self.worst]
        table = text_table(["item", "answer", self.score], rows) if rows else "none"
        return "\n\n".join([self.heading(), table, *(words for words, _ in self.pairs)])


def _plates(items: Sequence[Mistake]) -> list[Plate]:
    return [Plate(m.pixels, m.words, f"{m.name}: {m.words}") for m in items]


def mistakes(
    run: Run, data: Data | None = None, *, split: str | None = None, limit: int = 16
) -> Mistakes:
    """The items on which a run does worst.

    Args:
        run: a trained run.
        data: whose items are answered; those of the run if not given.
        split: which of them; if not given test, else val, else the first there is, which the run may have learned from.
        limit: items that are shown.

    Raises:
        ArgumentError: fewer than one item asked for, or no score an item.
    """
    if limit < 1:
        raise ArgumentError(f"limit={limit}: expected at least 1")
    opened = run.opened() if data is None else data
    name = split or opened.judged
    held = run.held(opened, name)
    of, where = len(held.rows), f"{opened.path} ({name})"
    if held.rows and "confidence" in held.rows[0]:
        wrong = [i for i, row in enumerate(held.rows) if not row["accuracy"]]
        wrong.sort(key=lambda i: -float(held.rows[i]["confidence"]))
        worst = _shown(held, wrong[:limit], "confidence")
        return Mistakes(worst, _pairs(held, wrong), "confidence", len(wrong), of, where)
    score = next((k for row in held.rows for k, v in row.items() if isinstance(v, float)), "")
    if not score:
        raise ArgumentError(f"{run.path}: {run.task.name} has no score an item")
    sign = -1 if run.task.measure(score).lower else 1
    known = [i for i, row in enumerate(held.rows) if score in row]
    known.sort(key=lambda i: sign * float(held.rows[i][score]))
    return Mistakes(_shown(held, known[:limit], score), (), score, None, of, where)


def _pairs(held: Held, wrong: Sequence[int]) -> tuple[tuple[str, tuple[Mistake, ...]], ...]:
    """The pairs of classes with most errors, each with its surest items."""
    found: dict[tuple[str, str], list[int]] = {}
    for i in wrong:
        row = held.rows[i]
        found.setdefault((str(row["truth"]), str(row["answer"])), []).append(i)
    often = sorted(found.items(), key=lambda each: -len(each[1]))[:PAIRS]
    counts = Counter(str(row["truth"]) for row in held.rows)
    return tuple(
        (
            f"{truth} taken for {answer}: {len(index)} of {counts[truth]}",
            _shown(held, index[:EACH], "confidence"),
        )
        for (truth, answer), index in often
        if len(index) > 1
    )


def _shown(held: Held, index: Sequence[int], score: str) -> tuple[Mistake, ...]:
    made: list[Mistake] = []
    for i, item in zip(index, held.items(index), strict=True):
        row = held.rows[i]
        words = f"{row[score]:.3g}" if "truth" not in row else ""
        if "truth" in row:
            sure = f" {plain(percent(float(row['confidence'])))}" if "confidence" in row else ""
            words = f"{row['truth']} as {row.get('answer', '')}{sure}"
        picture = item.input if item.drawn is None else item.drawn.picture
        seen = paint.as_rgb(np.asarray(picture))
        drawn = held.used.task.draw(seen, item.answer) if item.drawn is None else None
        made.append(
            Mistake(item.name, words, float(row[score]), _small(seen if drawn is None else drawn))
        )
    return tuple(made)


def _small(pixels: paint.Pixels) -> paint.Pixels:
    from PIL import Image

    if max(pixels.shape[:2]) <= 160:
        return pixels
    image = Image.fromarray(pixels)
    image.thumbnail((160, 160))
    return np.asarray(image)
