"""How a training went: its curves, and a table of its epochs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from striate.metrics.scores import SHARES
from striate.svg import SERIES, Axis, Line, curves, finite, opened_axis, value_axis
from striate.tasks import Section
from striate.tasks.section import Beside, Column, Figure, Fold, Legend, Part, Table, Text
from striate.text import SPACE, duration, listed, number
from striate.workbench.report.content import Content
from striate.workbench.report.outcome import written

WIDTH = 320  # of a chart, in its own units: its words keep their size where three stand beside each other


def section(content: Content) -> Section | None:
    """Loss, the main score and the learning rate by epoch, then the parts of the loss and the other scores."""
    if not content.history:
        return None
    scores = _scores(content)
    main = [_score_figure(content, key) for key in scores[:1]]
    first = [_loss(content), *main, _rates(content)]
    rows = [
        [figure for figure in row if figure]
        for row in (first, [_parts(content)], _others(content, scores[1:]))
    ]
    if not any(rows):
        return None
    entries: list[tuple[str, Any]] = [("held-out", "held"), ("train", "train")]
    if best(content):
        entries.append((f"{kept(content)}, kept", "best"))
    parts: list[Part] = [*_gaps(content), Legend(entries)]
    parts += [Beside(rows[0], "trio")] if rows[0] else []
    parts += [Beside([*rows[1]], "pair")] if rows[1] else []
    if rows[2]:
        parts.append(Fold("More curves", [Beside(rows[2], "pair")]))
    return Section("Learning", parts=[*parts, Fold("Table of epochs", [_epochs(content)])])


def _gaps(content: Content) -> list[Part]:
    """Epochs whose loss is no number, which no curve shows."""
    lost = [
        f"{row['epoch']:g}"
        for row in content.history
        if any(
            isinstance(row.get(key), float) and not math.isfinite(row[key])
            for key in ("train_loss", "val_loss")
        )
    ]
    if not lost:
        return []
    word = "epoch" if len(lost) == 1 else "epochs"
    return [Text(f"The loss is no number in {word} {listed(lost)}: the curves have gaps there.")]


def best(content: Content) -> Mapping[str, Any]:
    """The row of the epoch that was kept; empty where that is not known."""
    return next((row for row in content.history if row["epoch"] == content.best_epoch), {})


def kept(content: Content) -> str:
    """The epoch that was kept; a linear probe stands before the first."""
    return f"epoch {content.best_epoch}" if content.best_epoch else "the linear probe (epoch 0)"


def _columns(content: Content) -> list[str]:
    return list(dict.fromkeys(key for row in content.history for key in row))


def _scores(content: Content) -> list[str]:
    """What is measured of the held-out items beside the loss, the main score first."""
    found = [key[4:] for key in _columns(content) if key.startswith("val_") and key != "val_loss"]
    return sorted(found, key=lambda key: key != content.headline.score)


def _loss_parts(content: Content) -> list[str]:
    """The parts of the loss of the training."""
    found = [key[6:] for key in _columns(content) if key.startswith("train_")]
    return [key for key in found if key != "loss" and key not in content.counted]


def _column(content: Content, key: str) -> list[float | None]:
    return [row.get(key) for row in content.history]


def _drawn(
    content: Content,
    lines: Sequence[Line],
    label: str,
    *,
    name: str,
    shares: bool = False,
    lower: bool = True,
) -> str:
    """Curves by epoch; nothing where no value is known. `name` is that of the vertical axis, ratios are for what is to be low."""
    values = finite([value for line in lines for value in line.values])
    if not values:
        return ""
    axis = opened_axis(values) if shares else value_axis(values, ratios=lower)
    epochs = [int(row["epoch"]) for row in content.history]
    mark = content.best_epoch if best(content) else None
    if axis.log:
        name = f"{name}, log scale"
    if axis.finest:
        name = f"{name}, scale opens towards 100{SPACE}%"
    return curves(epochs, lines, axis, best=mark, label=label, width=WIDTH, name=name)


def _pair(content: Content, key: str, *, shares: bool) -> str:
    """A column of the held-out items, and that of the training where it is of the same."""
    lines = [Line("held-out", "held", _column(content, f"val_{key}"))]
    if key == "loss" or key in content.counted:
        lines.insert(0, Line("train", "train", _column(content, f"train_{key}")))
    lines = [line for line in lines if finite(line.values)]
    names = " and ".join(line.name for line in lines)
    label = f"{key} by epoch, {names}; the values stand in the table of epochs"
    title = content.measure(key).title
    name = {"loss": "loss"}.get(
        key, title[:1].lower() + title[1:] if title[1:2].islower() else title
    )
    lower = key == "loss" or content.measure(key).lower
    return _drawn(content, lines, label, shares=shares, name=name, lower=lower)


def _loss(content: Content) -> Figure | None:
    svg = _pair(content, "loss", shares=False)
    said = f"{content.curve_words.get('loss', '')} Lower is better.".strip()
    return Figure(svg, said, "Loss", widths=(0, 420)) if svg else None


def _score_figure(content: Content, key: str) -> Figure | None:
    svg = _pair(content, key, shares=key in SHARES)
    measure, row = content.measure(key), best(content)
    said = [f"{measure.says[:1].upper()}{measure.says[1:]}, by epoch." if measure.says else ""]
    sides = [("train", "train")] if key in content.counted else []
    told = [
        f"{name} {written(key, row[f'{side}_{key}'])}"
        for name, side in (*sides, ("held-out", "val"))
        if row.get(f"{side}_{key}") is not None
    ]
    said += [f"At {kept(content)}: {', '.join(told)}."] if told else []
    said.append(content.curve_words.get(key, ""))
    return (
        Figure(svg, " ".join(filter(None, said)), measure.title, widths=(0, 420)) if svg else None
    )


def _rates(content: Content) -> Figure | None:
    """The learning rate by step, its warm-up and its peak."""
    rates = _column(content, "lr")
    found = finite(rates)
    if not found:
        return None
    epochs = [int(row["epoch"]) for row in content.history]
    top, points = max([*found, *(rate for _, rate in content.rates)]), content.rates
    peak = next(((at, rate) for at, rate in points if rate >= top * (1 - 1e-9)), None)
    svg = curves(
        epochs,
        [Line("learning rate", "rate", rates, points)],
        Axis(0.0, top * 1.15 or 1.0, "{:g}".format, exact=number),
        best=content.best_epoch if best(content) else None,
        label="learning rate by step, the epochs below it",
        width=WIDTH * 13 // 16,
        name="learning rate",
        marks=[(*peak, number(peak[1]))] if peak else [],
    )
    return Figure(svg, _rate_words(points, peak), "Learning rate", widths=(0, 360))


def _rate_words(points: Sequence[tuple[float, float]], peak: tuple[float, float] | None) -> str:
    """Where the rate is highest, how it gets there and where it ends."""
    if peak is None:
        return ""
    (at, rate), last = peak, points[-1][1]
    rises = points[0][1] < rate * (1 - 1e-6)
    constant = not rises and last >= rate * (1 - 1e-6)
    if constant:
        return f"By step: {number(rate)} throughout."
    warm = f"warm-up until epoch {at:.2g}, " if rises else ""
    return f"By step: {warm}peak {number(rate)}, at the end {number(last)}."


def _parts(content: Content) -> Figure | None:
    """The parts of the loss of the training, a line each."""
    names = _loss_parts(content)[: len(SERIES)]
    return _series(
        content, names, "train_", "Parts of the training's loss", "Weighted as in its sum."
    )


def _others(content: Content, scores: Sequence[str]) -> list[Figure | None]:
    """Further scores: shares in one drawing, others each in its own."""
    shares = [key for key in scores if key in SHARES][: len(SERIES)]
    rest = [_score_figure(content, key) for key in scores if key not in shares]
    return [_series(content, shares, "val_", "Other scores", "Of the held-out items."), *rest]


def _series(
    content: Content, names: Sequence[str], prefix: str, title: str, said: str
) -> Figure | None:
    """Several columns in one drawing; `said` and the names of the lines stand below it."""
    titled = prefix == "val_"
    lines = [
        Line(
            content.measure(name).title if titled else name,
            color,
            _column(content, f"{prefix}{name}"),
        )
        for name, color in zip(names, SERIES, strict=False)
    ]
    name = "score" if titled else "loss"
    svg = _drawn(content, lines, f"{title} by epoch", shares=titled, name=name)
    legend = Legend([(line.name, line.kind) for line in lines])
    return Figure(svg, said, title, legend=legend, widths=(0, 420)) if svg else None


def _epochs(content: Content) -> Table:
    """A row an epoch: the training's columns, those of the held-out items, the time."""
    columns = _columns(content)
    train = [f"train_{key}" for key in (*_loss_parts(content), *content.counted)]
    held = [key for key in columns if key.startswith("val_") and key != "val_loss"]
    order = ["epoch", "lr", "train_loss", *train, "val_loss", *held, "seconds"]
    keys = [key for key in order if key in columns]
    rows = [[_cell(content, key, row.get(key)) for key in keys] for row in content.history]
    marked = {i for i, row in enumerate(content.history) if row["epoch"] == content.best_epoch}
    heads = [Column(_heading(content, key), "number") for key in keys]
    return Table(heads, rows, marked=marked, tall=True)


def _cell(content: Content, key: str, value: float | None) -> Any:
    side, _, score = key.partition("_")
    if key == "seconds":
        return duration(value)
    if side not in ("train", "val"):
        return value
    part = side == "train" and score not in content.counted  # may have a score's name, and is none
    return written("loss" if part else score, value)


def _heading(content: Content, key: str) -> str:
    side, _, score = key.partition("_")
    if side not in ("train", "val"):
        return {"lr": "learning rate", "seconds": "time"}.get(key, key)
    if side == "train" and score in _loss_parts(content):
        return score
    title = content.measure(score).title
    title = title[:1].lower() + title[1:] if title[1:2].islower() else title
    return f"{'held-out' if side == 'val' else 'train'} {title}"
