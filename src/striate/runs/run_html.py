"""A run as a notebook shows it: curves, scores, the table of confusions, some mistakes with their pictures."""

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from striate import svg
from striate.data.samples import peek, places
from striate.errors import StriateError
from striate.metrics import Interval
from striate.metrics.scores import cells, is_share
from striate.result import contained, html_table, picture_tag, tile
from striate.runs.split_answers import read_rows
from striate.text import percent, plain

if TYPE_CHECKING:
    from striate.runs.run import Run

CLASSES = 20  # of more the table of confusions is left to the report
MISTAKES = 6
OPENED = 5_000  # items up to which data are opened again for the pictures of mistakes
STYLE = f"<style>.striate{{{svg.STYLE}}}</style>"  # the rules of charts, within this element


def page(run: "Run") -> str:
    """The markup; what of the folder cannot be read is left out or says why, of an unfinished run all but its name."""
    try:
        done = run.summary
    except StriateError:
        return contained(f"<p>{html.escape(repr(run))}</p>")
    parts = [f"<p><b>{html.escape(str(done['net']))}</b> {html.escape(str(run.path))}</p>"]
    with suppress(StriateError):
        parts.append(f'<div class="pair">{"".join(_curves(run, done))}</div>')
    both = [(done["split"], done), *([("test", done["test"])] if "test" in done else [])]
    parts += [_scores(split, part) for split, part in both]
    try:
        parts += _answers(run, _rows(run))
    except StriateError as error:
        parts.append(f"<p>{html.escape(str(error))}</p>")
    return contained(STYLE + "".join(parts))


def _curves(run: "Run", done: Mapping[str, Any]) -> list[str]:
    """The loss and the first score by epoch."""
    rows = run.history()
    epochs = [int(row["epoch"]) for row in rows]
    if not rows:
        return []
    score = next((k for k in rows[-1] if k.startswith("val_") and k != "val_loss"), "")
    pairs = [("loss", ("train_loss", "val_loss"))]
    pairs += (
        [(score.removeprefix("val_"), (f"train_{score[len('val_') :]}", score))] if score else []
    )
    return [_curve(name, keys, rows, epochs, done) for name, keys in pairs]


def _curve(
    name: str,
    keys: Sequence[str],
    rows: Sequence[Mapping[str, float]],
    epochs: Sequence[int],
    done: Mapping[str, Any],
) -> str:
    lines = [
        svg.Line(title, kind, [row.get(key) for row in rows])
        for key, title, kind in zip(keys, ("train", done["split"]), ("train", "held"), strict=True)
        if any(key in row for row in rows)
    ]
    known = svg.finite([value for line in lines for value in line.values])
    if not known:
        return ""
    axis = svg.share_axis(known) if is_share(name) else svg.value_axis(known)
    kept = done["kept"] if done["kept"] in epochs else None
    told = " and ".join(
        f"{line.name} ({'dashed' if line.kind == 'train' else 'whole'})" for line in lines
    )
    label = f"{name} by epoch, {told}"
    drawn = svg.curves(epochs, lines, axis, best=kept, label=label)
    return f"<div><h4>{html.escape(label)}</h4>{drawn}</div>"


def _scores(split: str, part: Mapping[str, Any]) -> str:
    scores = {name: Interval.of(one) for name, one in part["scores"].items()}
    rows = [[name, *cells(name, interval)] for name, interval in scores.items()]
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in part.get("notes", ()))
    return html_table([f"{split}, {part['items']:,} items", "value", "low", "high"], rows) + notes


def _rows(run: "Run") -> list[dict[str, str]]:
    """The answers to the held-out items; none of a task whose answers are no labels."""
    rows = read_rows(run.path / "items.csv", run.summary.get("items_sha256"))
    return rows if rows and {"file", "truth", "answer", "confidence"} <= set(rows[0]) else []


def _answers(run: "Run", rows: Sequence[Mapping[str, str]]) -> list[str]:
    if not rows:
        return []
    parts: list[str] = []
    if 2 <= len(run.config.classes) <= CLASSES:
        counts = Counter((row["truth"], row["answer"]) for row in rows)
        parts.append(confusion(run.config.classes, counts))
    wrong = [row for row in rows if row["truth"] != row["answer"]]
    wrong.sort(key=lambda row: -_number(row["confidence"]))
    title = f"{len(wrong):,} of {len(rows):,} wrong"
    surest = ", the surest of them" if wrong else ""
    parts.append(f"<h4>{title}{surest}</h4>")
    return [*parts, f'<div class="tiles">{_mistakes(run, wrong[:MISTAKES])}</div>']


def _mistakes(run: "Run", rows: Sequence[Mapping[str, str]]) -> str:
    """Pictures with what they are and what they were taken for; words alone where the pictures are not to be had soon."""
    pictures: dict[str, str] = {}
    if rows and sum(run.config.data["splits"].values()) <= OPENED:
        with suppress(StriateError):
            data = run.open_data()
            for name, place in places(data, [row["file"] for row in rows]).items():
                pixels = peek(data, place)
                pictures[name] = "" if pixels is None else picture_tag(pixels, name)
    return "".join(
        tile(
            pictures.get(row["file"], ""),
            [
                f"{row['truth']}, taken for {row['answer']}",
                plain(percent(_number(row["confidence"]))),
                row["file"].rpartition("/")[2],
            ],
        )
        for row in rows
    )


def confusion(classes: Sequence[str], counts: Mapping[tuple[str, str], int]) -> str:
    """A table of truths by answers, shaded by the share of the truth.

    Args:
        classes: their names.
        counts: items by truth and answer.
    """
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in classes)
    body = ""
    for truth in classes:
        total = sum(counts.get((truth, answer), 0) for answer in classes)
        body += f'<tr><th scope="row">{html.escape(truth)}</th>'
        for answer in classes:
            count = counts.get((truth, answer), 0)
            share = count / total if total else 0.0
            color = "--right" if truth == answer else "--wrong"
            shade = f"color-mix(in srgb,var({color}) {55 * share:.0f}%,transparent)"
            body += f'<td style="background:{shade}">{count or ""}</td>'
        body += "</tr>"
    return (
        "<h4>Truth by row, answer by column</h4>"
        f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
