"""Parts of reports on tasks with classes: what is taken for what, and a table of the classes. K classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.metrics import Interval
from striate.svg import amount, chart, tag, text, tip
from striate.tasks.section import Column, Figure, Kind, Table
from striate.tasks.task import HeldOut
from striate.text import percent, short

MOST_CELLS = 60  # classes of a confusion matrix that is drawn cell by cell
BLUE, ORANGE = (58, 122, 190), (214, 96, 20)  # right and wrong, for what is painted in pixels
PAIRS = 12  # confused pairs that are listed
SHOWN = 12  # classes of a table that are not folded


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
        columns: what is shown beside the label: the key of a row, its heading and its kind; an interval is that of
            its key.
        by: the key by which the classes are sorted.
        title: above the table.
        empty: what is said in place of the interval of a class without support.
    """
    there = {key: head for key, head in columns.items() if any(key in row for row in rows)}
    order = sorted(rows, key=lambda row: (not row["support"], row[by] or 0.0, -row["support"]))
    heads = [Column("class", "name")]
    for title_, kind in there.values():
        heads.append(Column(title_, kind))
        if kind == "interval":
            heads[-1:] = [Column(title_, "share"), Column("95 % interval", "interval", minor=True)]
    return Table(
        heads,
        [[row["label"], *_class_cells(row, there, empty)] for row in order],
        title=title,
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
    said = (
        f"{caption} Rows are the truth, columns the answers{order}. Colour is the share of the row: blue where the "
        "answer is right, orange where it is not; orange is strengthened so that a single mistake shows."
    )
    if k > MOST_CELLS:
        alt = "Confusion matrix: rows truth, columns answers, in the order of the classes"
        return Figure("", said, picture=confusion_pixels(counts), alt=alt, widths=(0, 640))
    svg, width = confusion(counts.tolist(), names)
    # Wider than its box it scrolls, so that names and counts stay readable on a phone.
    least = min(width, max(240, 0.9 * width)) if k > 12 else 0
    return Figure(svg, said, widths=(least, 1.35 * width))


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> tuple[str, float]:
    """The matrix and its natural width in pixels. Truth down, answers across; colour is the share of the row, right answers blue, mistakes orange.

    Cells without items are not drawn. Meant for at most `MOST_CELLS` classes; `confusion_pixels` has no limit.
    """
    k = len(classes)
    cell = 34.0 if k <= 4 else 30.0 if k <= 12 else 21.0 if k <= 26 else 11.0
    names = [short(name, 14) for name in classes]
    left = top = 28 + 6.4 * max((len(name) for name in names), default=1)
    middle = f"translate(10 {amount(top + k * cell / 2)}) rotate(-90)"
    side = k * cell
    parts = [
        tag("rect", "", {"x": left, "y": top, "width": side, "height": side, "class": "paper"}),
        text("answer", left + side / 2, 10, "mid axis"),
        tag("g", text("truth", 0, 0, "mid axis"), {"transform": middle}),
    ]
    for i, name in enumerate(names):
        parts += _names(name, left, top, (i + 0.5) * cell)
    for truth, row in enumerate(counts):
        parts += [
            _cell(n, n / sum(row), (truth, answer), (left, top, cell), classes)
            for answer, n in enumerate(row)
            if n
        ]
    label = f"Confusion matrix of {k} classes, rows truth, columns answers; the table of pairs says it in words"
    width = left + side + 2
    return chart("".join(parts), width, width, label), width


def confusion_pixels(counts: NDArray[np.int64] | Sequence[Sequence[int]]) -> NDArray[np.uint8]:
    """The same colours as one RGBA pixel a cell, [K, K, 4], clear where there are no items."""
    share = np.asarray(counts, dtype=np.float64)
    share = share / np.maximum(share.sum(axis=1, keepdims=True), 1)
    wrong = ~np.eye(len(share), dtype=bool)
    strength = np.where(wrong, _strength(share), share) * (share > 0)
    pixels = np.empty((*share.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where(wrong[..., None], ORANGE, BLUE)
    pixels[..., 3] = np.rint(255 * strength)
    return pixels


def _strength(share: Any) -> Any:
    """Of a mistake's colour: one in a row of hundreds must still be seen, so it starts at a quarter."""
    return 0.25 + 0.75 * share**0.5


def _names(name: str, left: float, top: float, at: float) -> list[str]:
    turned = {"transform": f"translate({amount(left + at + 3.5)} {amount(top - 5)}) rotate(-90)"}
    level = len(name) <= 2
    above = text(name, left + at, top - 5, "mid") if level else tag("g", text(name, 0, 0), turned)
    return [text(name, left - 5, top + at + 3.5, "end"), above]


def _cell(
    n: int,
    share: float,
    at: tuple[int, int],
    frame: tuple[float, float, float],
    classes: Sequence[str],
) -> str:
    (truth, answer), (left, top, cell) = at, frame
    right = truth == answer
    strength = share if right else _strength(share)
    kind = ("right" if right else "wrong") + (" strong" if strength > 0.6 else "")
    spot = {"x": left + answer * cell, "y": top + truth * cell, "width": cell, "height": cell}
    said = "right" if right else f"answered {classes[answer]}"
    words = tip(f"truth {classes[truth]}, {said}: {n:,} ({percent(share)} of the row)")
    drawn = tag("rect", words, spot | {"class": kind, "fill-opacity": f"{strength:.2f}"})
    if cell < 18 or len(str(n)) * 6 > cell:
        return drawn
    middle = (left + (answer + 0.5) * cell, top + (truth + 0.5) * cell + 3.8)
    return drawn + text(str(n), *middle, f"mid count {kind}")
