"""The figures of the report page: curves, interval rows, confusion, and pictures that carry their data."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from striate.see import paint
from striate.workbench import charts
from striate.workbench.charts import Axis, Line
from striate.workbench.formats import DASH, SPACE, number, percent

if TYPE_CHECKING:
    from striate.workbench.content import Content, Score

# score -> (what it is called, what it says); shares are better when higher, the others when lower
SHARES = {
    "accuracy": ("Accuracy", "answered rightly"),
    "top5": ("Top-5 accuracy", "truth among the five likeliest"),
    "balanced_accuracy": ("Balanced accuracy", "mean recall, every class counting the same"),
    "f1": ("F1", "mean over classes of precision and recall in one"),
    "auroc": ("AUROC", "a random item of a class ranks above a random other"),
}
LOWER = {
    "ece": ("Calibration error", "mean gap between confidence and being right"),
    "loss": ("Loss", "mean cross-entropy, in nats"),
}
PIXELATED = 64  # pictures smaller than this are enlarged without smoothing
THUMBNAIL = 192  # pixels of the longer side of an embedded picture
PAIRS = 12  # confused pairs that are listed


def best_row(content: "Content") -> Mapping[str, Any] | None:
    """The row of the epoch that was kept."""
    rows = {row["epoch"]: row for row in content.history}
    if content.best_epoch in rows:
        return rows[content.best_epoch]
    scored = [row for row in content.history if charts.finite([row.get("val_accuracy")])]
    return max(scored, key=lambda row: row["val_accuracy"], default=None)


def curves(content: "Content") -> dict[str, Markup]:
    """Loss, accuracy and learning rate by epoch, as far as the history tells them."""
    if not content.history:
        return {}
    epochs = [int(row["epoch"]) for row in content.history]
    best = best_row(content)
    mark = int(best["epoch"]) if best else None

    def column(key: str) -> list[float | None]:
        return [row.get(key) for row in content.history]

    drawn: dict[str, Markup] = {}
    for key, axis_of in (("loss", _loss_axis), ("accuracy", _share_axis)):
        lines = [
            Line("train", "train", column(f"train_{key}")),
            Line("held-out", "held", column(f"val_{key}")),
        ]
        values = charts.finite([v for line in lines for v in line.values])
        if values:
            label = f"{key} by epoch, train and held-out; the values stand in the table of epochs"
            svg = charts.curves(epochs, lines, axis_of(values), best=mark, label=label)
            drawn[key] = safe(svg)
    rates = column("lr")
    if found := charts.finite(rates):
        axis = Axis(0.0, max(found) * 1.05 or 1.0, "{:g}".format)
        line = [Line("learning rate", "rate", rates)]
        svg = charts.curves(
            epochs, line, axis, best=mark, label="learning rate by epoch", width=200
        )
        drawn["lr"] = safe(svg)
    return drawn


def _loss_axis(values: Sequence[float]) -> Axis:
    low, high = min(values), max(values)
    if low > 0 and high / low > 20:
        return Axis(low / 1.15, high * 1.15, "{:g}".format, log=True)
    return Axis(min(0.0, low), high * 1.05 or 1.0, "{:g}".format)


def _share_axis(values: Sequence[float]) -> Axis:
    """From a round value below all to 100 %, or to a round value above all where none comes near."""
    low, high = max(0.0, min(values)), min(1.0, max(values))
    step = charts.round_step((1.0 if high > 0.8 else high + 0.01) - low, 4)
    end = 1.0 if high > 0.8 else min(1.0, math.ceil(high / step - 1e-9) * step)
    return Axis(max(0.0, math.floor(low / step + 1e-9) * step), end, _tick)


def _tick(share: float) -> str:
    return f"{round(100 * share, 6):g}{SPACE}%"


def held_out(content: "Content") -> str:
    """What the split is called that scores, confusion and mistakes are of."""
    return "Validation" if content.held_out == "val" else "Test"


def score_groups(content: "Content") -> list[dict[str, Any]]:
    """Scores of each split: a title, its items and its rows."""
    groups = [(held_out(content), content.items, content.scores)]
    if content.test:
        groups.insert(0, ("Separate test", content.test_items or 0, content.test))
    reach = [
        score[end]
        for _, _, scores in groups
        for key, score in scores.items()
        if key in SHARES
        for end in ("low", "high")
    ]
    axis = _share_axis(charts.finite(reach) or [0.0, 1.0])
    ends = [_tick(axis.low), _tick(axis.high)]
    return [
        {
            "title": title,
            "count": items,
            "ends": ends,
            "rows": _score_rows(scores, axis, items),
        }
        for title, items, scores in groups
    ]


def _score_rows(scores: Mapping[str, "Score"], axis: Axis, items: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for key, score in scores.items():
        share = key in SHARES
        title, says = (SHARES | LOWER).get(key, (key, ""))
        ends = charts.finite([score["low"], score["high"]])
        known = len(ends) == 2 and ends[0] < ends[1]
        drawable = share and known and len(charts.finite(list(score.values()))) == 3
        form = partial(percent, items=items) if share else "{:.4f}".format
        values = {
            "value": form(score["value"]) if charts.finite([score["value"]]) else DASH,
            "low": form(score["low"]) if known else DASH,
            "high": form(score["high"]) if known else DASH,
        }
        drawn = (
            charts.whisker(score["value"], score["low"], score["high"], axis) if drawable else ""
        )
        values["low"] = values["low"].removesuffix(f"{SPACE}%")
        rows.append({"title": title, "says": says, "share": share, "drawn": safe(drawn)} | values)
    return sorted(rows, key=lambda row: not row["share"])


def matrix(content: "Content") -> dict[str, Any] | None:
    """The confusion matrix drawn cell by cell, or as a picture where there are too many classes."""
    k = len(content.classes)
    if not content.confusion:
        return None
    if k > charts.MOST_CELLS:
        pixels = charts.confusion_pixels(content.confusion)
        return {"picture": picture_tag(pixels, limit=4096), "svg": None, "fit": "max-width: 40rem"}
    svg, width = charts.confusion(content.confusion, content.classes)
    # Wider than its box it scrolls, so that names and counts stay readable on a phone.
    fit = f"max-width: {1.35 * width:.0f}px; min-width: {min(width, max(240, 0.9 * width)):.0f}px"
    return {
        "picture": None,
        "svg": safe(svg),
        "fit": fit if k > 12 else f"max-width: {1.35 * width:.0f}px",
    }


def pairs(content: "Content") -> list[dict[str, Any]]:
    """The most frequent mistakes, by truth and answer."""
    found = [
        (n, n / sum(row), truth, answer)
        for truth, row in enumerate(content.confusion)
        for answer, n in enumerate(row)
        if n and answer != truth
    ]
    names = content.classes
    return [
        {"truth": names[truth], "answer": names[answer], "count": n, "share": share}
        for n, share, truth, answer in sorted(found, reverse=True)[:PAIRS]
    ]


def class_rows(content: "Content") -> list[dict[str, Any]]:
    """One row a class, the worst recall first; classes without items last."""
    if not content.per_class or "f1" not in content.per_class[0]:
        return []
    rows = sorted(
        content.per_class, key=lambda row: (not row["support"], row["recall"], -row["support"])
    )
    reach = [row[end] for row in rows if row["support"] and "low" in row for end in ("low", "high")]
    axis = _share_axis(reach or [0.0, 1.0])
    return [
        dict(row)
        | {"axis": [_tick(axis.low), _tick(axis.high)], "drawn": safe(_class_whisker(row, axis))}
        | {"trained": content.trained.get(row["label"])}
        | {"weight": content.class_weights.get(row["label"])}
        for row in rows
    ]


def _class_whisker(row: Mapping[str, Any], axis: Axis) -> str:
    if not row["support"] or "low" not in row:
        return ""
    return charts.whisker(row["recall"], row["low"], row["high"], axis)


def picture_tag(pixels: NDArray[np.uint8], limit: int = THUMBNAIL) -> dict[str, Any]:
    """What an <img> needs: its data, its own size, and whether it is enlarged without smoothing."""
    from PIL import Image

    grey = pixels.ndim == 3 and pixels.shape[2] == 1
    picture = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels))
    small = max(picture.size) < PIXELATED
    picture.thumbnail((limit, limit))
    photo = max(picture.size) > 96 and picture.mode in ("L", "RGB")
    return {
        "src": safe(paint.data_uri(picture, "JPEG" if photo else "PNG")),
        "width": picture.width,
        "height": picture.height,
        "pixelated": small or picture.mode == "RGBA",
    }


def kernels(content: "Content") -> dict[str, Any] | None:
    """The first kernels as tiles, with their facts."""
    if content.kernels is None:
        return None
    kernels = content.kernels
    return {
        "tiles": [picture_tag(tile) for tile in kernels.tiles()],
        "colour": kernels.in_colour,
        "scale": number(kernels.scale),
    } | kernels.as_dict()


def maps(content: "Content") -> list[dict[str, Any]]:
    """One entry an item: its picture, its caption, its stages."""
    if content.maps is None:
        return []
    titles = [*content.map_titles, *[""] * len(content.maps.inputs)]
    return [
        {
            "picture": picture_tag(picture),
            "title": titles[i],
            "stages": [
                stage.as_dict()
                | {"tiles": [picture_tag(tile, 64) for tile in stage.tiles(i)]}
                | {"scale": f"{stage.scale:.3g}", "signed": stage.signed}
                for stage in content.maps.stages
            ],
        }
        for i, picture in enumerate(content.maps.pictures())
    ]


def safe(markup: str) -> Markup:
    """Markup that this room wrote itself, its texts already escaped."""
    return Markup(markup)  # noqa: S704
