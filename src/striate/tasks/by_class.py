"""Parts of reports on tasks with classes: what is taken for what, and a table of the classes. K classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.errors import ShapeError
from striate.metrics import Interval
from striate.svg import LEVELS, amount, chart, level, tag, text, tip
from striate.tasks.section import Column, Figure, Kind, Table
from striate.tasks.task import HeldOut, answered
from striate.text import SPACE, compact, percent, short

SUMMED = 26  # classes up to which a matrix has numbers and sums
MOST_CELLS = 60  # classes of a confusion matrix that is drawn cell by cell
BLUE, ORANGE = (58, 122, 190), (214, 96, 20)  # right and wrong, for what is painted in pixels
PAIRS = 12  # confused pairs that are listed
SHOWN = 12  # classes of a table that are not folded
ROWS = 150  # classes of a table at most, folded ones too


def check_scores(outputs: Any, items: int, classes: int, *, what: str) -> None:
    """A score [B, K] for each class of each item; `what` is the word for classes.

    Raises:
        ShapeError: what came and what was expected.
    """
    expected = (items, classes)
    if not isinstance(outputs, Tensor) or tuple(outputs.shape) != expected:
        raise ShapeError(
            f"the net answers {answered(outputs)} to {items} items, expected one tensor {expected}: "
            f"a score for each of the {classes} {what}"
        )


TRAINED: dict[str, tuple[str, Kind]] = {
    "trained": ("trained on", "number"),
    "weight": ("weight in the loss", "number"),
}


def with_training(held: HeldOut, weights: Sequence[float] | None) -> list[dict[str, Any]]:
    """The rows of the classes with what was `trained` on and the `weight` in the loss, where these are known."""
    rows = held.scores.per_class
    factors = [f"{weight:.3g}" for weight in weights or ()]
    return [
        {**row}
        | ({"trained": held.trained.get(row["label"])} if held.trained else {})
        | ({"weight": factors[k]} if factors else {})
        for k, row in enumerate(rows)
    ]


def class_table(
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, tuple[str, Kind]],
    *,
    by: str,
    title: str,
    empty: str,
) -> Table:
    """A row a class, the worst first, those with nothing behind them last.

    Args:
        rows: of `Meter.per_class`, with `label`, `support` and the ends `low` and `high` of an interval.
        columns: what is shown beside the label and what it was trained on: the key of a row, its heading and its
            kind; an interval is that of its key.
        by: the key by which the classes are sorted.
        title: above the table.
        empty: what is said in place of the interval of a class without support.
    """
    there = {
        key: head
        for key, head in (TRAINED | dict(columns)).items()
        if any(key in row for row in rows)
    }
    order = sorted(rows, key=lambda row: (not row["support"], row[by] or 0.0, -row["support"]))
    kept = (
        f"The worst {ROWS} of {len(order):,} classes; summary.json has all."
        if len(order) > ROWS
        else ""
    )
    heads = [Column("class", "name")]
    for title_, kind in there.values():
        heads.append(Column(title_, kind))
        if kind == "interval":
            heads[-1:] = [Column(title_, "share"), Column("95 % interval", "interval", minor=True)]
    return Table(
        heads,
        [[row["label"], *_class_cells(row, there, empty)] for row in order[:ROWS]],
        title=title,
        note=kept,
        first=SHOWN,
        rest="classes",
    )


def _class_cells(
    row: Mapping[str, Any], columns: Mapping[str, tuple[str, Kind]], empty: str
) -> list[Any]:
    cells: list[Any] = []
    for key, (_, kind) in columns.items():
        value = row.get(key) if row["support"] or kind == "number" else None
        if kind == "interval" and value is not None:
            cells.append(percent(value))
        else:
            cells.append(value)
        if kind == "interval" and not row["support"]:
            cells.append(empty)
        elif kind == "interval":
            cells.append(Interval.of({"value": value, "low": row["low"], "high": row["high"]}))
    return cells


def pairs_table(
    counts: NDArray[np.int64], names: Sequence[str], *, of: str, nothing: int | None = None
) -> Table | None:
    """The most frequent mistakes by truth and answer; None where there are none.

    Args:
        counts: [K, K], rows truth, columns answers.
        names: of rows and columns.
        of: what is counted, plural.
        nothing: the row of what is no class, which has no share of a class.
    """
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    found = [
        (int(counts[t, a]), float(share[t, a]), t, a)
        for t, a in np.argwhere(counts > 0).tolist()
        if t != a
    ]
    rows = [
        [names[t], names[a], n, None if t == nothing else part]
        for n, part, t, a in sorted(found, reverse=True)[:PAIRS]
    ]
    columns = [
        Column("truth", "name"),
        Column("answer", "wrong"),
        Column(of, "number"),
        Column("of the class", "share"),
    ]
    return Table(columns, rows, caption="Most frequent mistakes") if rows else None


def confusion_figure(counts: NDArray[np.int64], names: Sequence[str], *, caption: str) -> Figure:
    """The confusion matrix drawn cell by cell, or as a picture where there are too many classes."""
    k = len(names)
    order = ", both in the order of the classes" if k > MOST_CELLS else ""
    sums = "" if k > SUMMED else " The last column and the last row are their sums."
    said = (
        f"{caption} Rows are the truth, columns the answers{order}.{sums} Colour is the share of the row, blue where the "
        "answer is right and orange where it is not, on one scale for both: its strength is the root of the share."
    )
    if k > MOST_CELLS:
        alt = "Confusion matrix: rows truth, columns answers, in the order of the classes"
        return Figure("", said, picture=confusion_pixels(counts), alt=alt, widths=(0, 640))
    svg, width = confusion(counts.tolist(), names)
    # Wider than its box it scrolls, so that names and counts stay readable on a phone.
    least = min(width, max(240, 0.9 * width)) if k > 7 else 0
    return Figure(svg, said, widths=(least, 1.35 * width))


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> tuple[str, float]:
    """The matrix with the sums of rows and columns, and its natural width in pixels.

    Truth down, answers across. Colour is the share of the row by `striate.svg.level`, for right and wrong answers alike; the
    ink on it is black or white, whichever is read better. A cell without items is empty. Meant for at most `MOST_CELLS`
    classes; `confusion_pixels` has no limit.
    """
    k = len(classes)
    cell = 40.0 if k <= 12 else 24.0 if k <= SUMMED else 12.0
    names = [short(name, 14) for name in classes]
    left = top = 28 + 6.4 * max((len(name) for name in names), default=1)
    side = k * cell
    frame = (left, top, cell)
    middle = f"translate(10 {amount(top + side / 2)}) rotate(-90)"
    parts = [
        tag("rect", "", {"x": left, "y": top, "width": side, "height": side, "class": "paper"}),
        text("answer", left + side / 2, 10, "mid axis"),
        tag("g", text("truth", 0, 0, "mid axis"), {"transform": middle}),
    ]
    for i, name in enumerate([*names, "all"]):
        parts += _names(name, left, top, (i + 0.5) * cell + 3 * (i == k))
    for truth, row in enumerate(counts):
        parts += [
            _cell(n, n / sum(row), (truth, answer), frame, classes)
            for answer, n in enumerate(row)
            if n
        ]
    parts += _sums(counts, frame)
    height = top + (k + 1) * cell + 6
    parts.append(_scale(left, height + 12))
    label = f"Confusion matrix of {k} classes, rows truth, columns answers; the table of pairs says it in words"
    width = max(left + (k + 1) * cell + 6, left + 212)
    return chart("".join(parts), width, height + 40, label), width


def _sums(counts: Sequence[Sequence[int]], frame: tuple[float, float, float]) -> list[str]:
    """How many items each row and each column has, and all of them."""
    (left, top, cell), k = frame, len(counts)
    if cell < 18:
        return []
    end, half = k * cell + 3, cell / 2
    rows = [sum(row) for row in counts]
    columns = [sum(row[i] for row in counts) for i in range(k)]
    drawn = [_sum(n, left + end + half, top + i * cell + half) for i, n in enumerate(rows)]
    drawn += [_sum(n, left + i * cell + half, top + end + half) for i, n in enumerate(columns)]
    return [*drawn, _sum(sum(rows), left + end + half, top + end + half)]


def _sum(n: int, x: float, y: float) -> str:
    return text(compact(n) if n >= 10_000 else f"{n:,}", x, y + 3.8, "mid sum")


def _scale(left: float, top: float) -> str:
    """The colours of the cells with the shares that begin them."""
    parts: list[str] = []
    for i in range(LEVELS):
        for row, kind in enumerate(("right", "wrong")):
            spot = {"x": left + 14 * i, "y": top + 6 * row, "width": 14, "height": 6}
            parts.append(tag("rect", "", {**spot, "class": f"{kind}-{i + 1}"}))
    parts += [
        text(words, left + 14 * at, top + 23, kind)
        for at, words, kind in (
            (0, "0", "mid"),
            (5, f"25{SPACE}%", "mid"),
            (10, f"100{SPACE}%", "mid"),
        )
    ]
    return "".join([*parts, text("of the row", left + 146, top + 9)])


def confusion_pixels(counts: NDArray[np.int64] | Sequence[Sequence[int]]) -> NDArray[np.uint8]:
    """The same colours as one RGBA pixel a cell, [K, K, 4], clear where there are no items."""
    share = np.asarray(counts, dtype=np.float64)
    share = share / np.maximum(share.sum(axis=1, keepdims=True), 1)
    wrong = ~np.eye(len(share), dtype=bool)
    pixels = np.empty((*share.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where(wrong[..., None], ORANGE, BLUE)
    pixels[..., 3] = np.rint(255 * np.sqrt(share))
    return pixels


def _names(name: str, left: float, top: float, at: float) -> list[str]:
    turned = {"transform": f"translate({amount(left + at + 3.5)} {amount(top - 5)}) rotate(-90)"}
    upright = len(name) <= 3
    above = text(name, left + at, top - 5, "mid") if upright else tag("g", text(name, 0, 0), turned)
    return [text(name, left - 5, top + at + 3.5, "end"), above]


def _cell(
    n: int,
    share: float,
    at: tuple[int, int],
    frame: tuple[float, float, float],
    classes: Sequence[str],
) -> str:
    (truth, answer), (left, top, cell) = at, frame
    kind = f"{'right' if truth == answer else 'wrong'}-{level(share)}"
    spot = {"x": left + answer * cell, "y": top + truth * cell, "width": cell, "height": cell}
    said = "right" if truth == answer else f"answered {classes[answer]}"
    words = tip(f"truth {classes[truth]}, {said}: {n:,} ({percent(share)} of the row)")
    drawn = tag("rect", words, spot | {"class": kind})
    x, y = left + (answer + 0.5) * cell, top + (truth + 0.5) * cell
    number = f"{n}" if n < 10_000 else compact(n)
    if cell < 18 or len(number) * 6 > cell:
        return drawn
    if cell < 36:
        return drawn + text(number, x, y + 3.8, f"mid count {kind}")
    part = (
        f"{min(round(100 * share), 99 if share < 1 else 100)}{SPACE}%"
        if share >= 0.01
        else f"<1{SPACE}%"
    )
    return (
        drawn
        + text(number, x, y, f"mid count {kind}")
        + text(part, x, y + 11, f"mid count small {kind}")
    )
