"""How sure the answers of a classification are, drawn: reliability, confidence, ROC and precision over recall. N items, K classes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.metrics.classify import CALIBRATION_BINS, wilson
from striate.svg import SERIES, Curve, Point, bars, paths, share_axis
from striate.tasks.section import Beside, Column, Figure, Legend, Part, Section, Table, Text
from striate.text import percent, short

POINTS = 80  # of a curve that is drawn
WIDTHS = (0, 400)  # pixels of a drawing
SHARE = share_axis([0.0, 1.0])
LISTED = 60  # classes of the table of areas

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]


class Ranked(NamedTuple):
    """The items by their score for one class: shares found and shares taken wrongly at every threshold.

    Attributes:
        recall: of the items of the class, [T + 1], from 0 to 1.
        fall_out: of the other items, [T + 1], likewise.
        precision: of the items at or above the threshold, [T + 1]; the first is that of the second.
    """

    recall: Floats
    fall_out: Floats
    precision: Floats

    @property
    def auroc(self) -> float:
        """Area under recall over fall-out, by trapezoids."""
        return round(float(np.trapezoid(self.recall, self.fall_out)), 12)

    @property
    def average_precision(self) -> float:
        """Sum of precision times the step in recall, without interpolation."""
        return round(float((np.diff(self.recall) * self.precision[1:]).sum()), 12)


def ranked(score_N: Floats, positive_N: NDArray[np.bool_]) -> Ranked | None:
    """ROC and precision-recall of one class against the rest; None where all items are of the class or none is."""
    total, rest = int(positive_N.sum()), int((~positive_N).sum())
    if not total or not rest:
        return None
    order = np.argsort(-score_N, kind="stable")
    ends = np.append(
        np.flatnonzero(np.diff(score_N[order])), len(order) - 1
    )  # equal scores at once
    hits = np.cumsum(positive_N[order])[ends]
    taken = ends + 1
    precision = hits / taken
    return Ranked(
        np.append(0.0, hits / total),
        np.append(0.0, (taken - hits) / rest),
        np.append(precision[:1], precision),
    )


def section(
    probs_NK: Floats, truth_N: Ints, answer_N: Ints, classes: Sequence[str], noun: str
) -> Section | None:
    """All of it; None without items.

    Args:
        probs_NK: of the classes, a row an item.
        truth_N: class numbers.
        answer_N: the classes that were said, whose probability is the confidence.
        classes: K names.
        noun: what the items are called, plural.
    """
    if not len(truth_N):
        return None
    sure, right = probs_NK[np.arange(len(answer_N)), answer_N], answer_N == truth_N
    parts: list[Part] = [
        Beside([_reliability(sure, right), _confidence(sure, right, noun)], "pair")
    ]
    parts += _curves(probs_NK, truth_N, classes)
    return Section("How sure the answers are", parts=parts, name="Confidence")


def _binned(sure_N: Floats) -> Ints:
    return np.minimum((sure_N * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


def _reliability(sure_N: Floats, right_N: NDArray[np.bool_]) -> Figure:
    """The share that is right over confidence, in the bins of the calibration error, each with its interval and count."""
    bins = _binned(sure_N)
    points: list[Point] = []
    for b in np.unique(bins).tolist():
        here = bins == b
        n, hits = int(here.sum()), int(right_N[here].sum())
        found = wilson(hits, n)
        told = f"{n:,} answers with mean confidence {percent(float(sure_N[here].mean()))}: {percent(found.value)} right"
        points.append(Point(float(sure_N[here].mean()), found.value, found.low, found.high, told))
    svg = paths(
        [],
        SHARE,
        SHARE,
        label="Reliability: share of right answers over confidence; each point has its numbers",
        names=("confidence", "share right"),
        even=[(0.0, 0.0), (1.0, 1.0)],
        points=points,
    )
    said = (
        "On the broken line confidence is what it says; below it the net is too sure. Bars are 95 % intervals; "
        "the counts behind each point stand beside, in the same bins."
    )
    return Figure(svg, said, "Reliability", widths=WIDTHS)


def _confidence(sure_N: Floats, right_N: NDArray[np.bool_], noun: str) -> Figure:
    """How many answers have each confidence, right and wrong ones."""
    bins = _binned(sure_N)
    good = np.bincount(bins[right_N], minlength=CALIBRATION_BINS).tolist()
    bad = np.bincount(bins[~right_N], minlength=CALIBRATION_BINS).tolist()
    tips = [
        f"confidence {percent(b / CALIBRATION_BINS)} to {percent((b + 1) / CALIBRATION_BINS)}: {g:,} right, {w:,} wrong"
        for b, (g, w) in enumerate(zip(good, bad, strict=True))
    ]
    svg = bars(
        list(zip(bad, good, strict=True)),
        ("wrong", "right"),
        SHARE,
        label="Histogram of confidence, right and wrong answers",
        names=("confidence", noun),
        tips=tips,
    )
    means = [
        f"mean confidence of {word} answers {percent(float(sure_N[mask].mean()))}"
        for word, mask in (("right", right_N), ("wrong", ~right_N))
        if mask.any()
    ]
    said = "; ".join(means)
    legend = Legend([("right", "block-right"), ("wrong", "block-wrong")])
    return Figure(
        svg,
        f"{said[:1].upper()}{said[1:]}.",
        "Confidence of right and wrong",
        legend=legend,
        widths=WIDTHS,
    )


def _curves(probs_NK: Floats, truth_N: Ints, classes: Sequence[str]) -> list[Part]:
    """ROC and precision over recall of each class against the rest, of many classes those that do worst."""
    columns = range(len(classes)) if len(classes) > 2 else [len(classes) - 1]
    found = [(k, ranked(probs_NK[:, k], truth_N == k)) for k in columns]
    known = sorted(((one.auroc, k, one) for k, one in found if one), key=lambda row: row[:2])
    if not known:
        return [Text("No ROC curve: the items are of one class.", soft=True)]
    shown = known[: len(SERIES)]
    names = [short(classes[k], 24) for _, k, _ in shown]
    legend = Legend(list(zip(names, SERIES, strict=False)))
    of = (
        f"The {len(shown)} classes with the least area of {len(known)}, each against the rest."
        if len(known) > len(shown)
        else "Each class against the rest."
        if len(known) > 1
        else f"{names[0]} against {short(classes[1 - shown[0][1]], 24)}."
        if len(classes) == 2
        else f"{names[0]} against the rest."
    )
    mean = percent(float(np.mean([area for area, _, _ in known])))
    precise = percent(float(np.mean([one.average_precision for _, _, one in known])))
    roc = _lines(
        [
            (name, _thin(one.fall_out, one.recall))
            for name, (_, _, one) in zip(names, shown, strict=True)
        ]
    )
    pr = _lines(
        [
            (name, _until(_thin(one.recall, one.precision)))
            for name, (_, _, one) in zip(names, shown, strict=True)
        ]
    )
    over = f" over {len(known)} classes" if len(known) > 1 else ""
    figures = [
        Figure(
            paths(
                roc,
                SHARE,
                SHARE,
                label="ROC curves: recall over fall-out",
                names=("fall-out (false alarms)", "recall"),
                even=[(0.0, 0.0), (1.0, 1.0)],
            ),
            f"{of} The broken line is chance. Area{over and ', mean' + over}: {mean}.",
            "ROC",
            legend=legend,
            widths=WIDTHS,
        ),
        Figure(
            paths(pr, SHARE, SHARE, label="Precision over recall", names=("recall", "precision")),
            f"The same classes. Average precision{over and ', mean' + over}: {precise}.",
            "Precision and recall",
            legend=legend,
            widths=WIDTHS,
        ),
    ]
    return [Beside(figures, "pair"), *_areas(known, classes)]


def _lines(curves: Sequence[tuple[str, list[tuple[float, float]]]]) -> list[Curve]:
    return [Curve(name, kind, points) for (name, points), kind in zip(curves, SERIES, strict=False)]


def _thin(across: Floats, up: Floats) -> list[tuple[float, float]]:
    """The points of a curve, of many those that are about evenly spaced along it."""
    if len(across) > POINTS:
        along = np.append(0.0, np.cumsum(np.abs(np.diff(across)) + np.abs(np.diff(up))))
        places = np.searchsorted(along, np.linspace(0, along[-1], POINTS))
        kept = np.unique(np.append(places, len(across) - 1).clip(max=len(across) - 1))
        across, up = across[kept], up[kept]
    return list(zip(across.tolist(), up.tolist(), strict=True))


def _until(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Up to where all is found; what comes after it has ever less precision."""
    first = next((i for i, (across, _) in enumerate(points) if across >= 1), len(points))
    return points[: first + 1]


def _areas(known: Sequence[tuple[float, int, Ranked]], classes: Sequence[str]) -> list[Part]:
    """The areas of all classes, where not all are drawn."""
    if len(known) <= len(SERIES):
        return []
    rows = [[classes[k], percent(area), percent(one.average_precision)] for area, k, one in known]
    columns = [
        Column("class", "name"),
        Column("AUROC", "number"),
        Column("average precision", "number"),
    ]
    note = f"the worst {LISTED}" if len(rows) > LISTED else ""
    return [Table(columns, rows[:LISTED], "Areas of the classes", note, first=6, rest="classes")]
