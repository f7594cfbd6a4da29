"""Whether answers are as often right as they are sure: reliability with counts, and the confidence of right and wrong ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from striate import svg
from striate.data import Data
from striate.errors import ArgumentError
from striate.metrics.classify import CALIBRATION_BINS, wilson
from striate.result import Result, contained, text_table
from striate.runs import Run
from striate.tasks.certainty import confidence, reliability
from striate.text import percent, plain


@dataclass(frozen=True)
class Bin:
    """Answers of about one confidence: how many, how sure on average, the share that is right with its interval."""

    items: int
    confidence: float
    right: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Calibration(Result):
    """Confidence against truth over the items of a split.

    Attributes:
        bins: those with items, by confidence.
        error: the expected calibration error, with its interval.
        items: how many.
        data: what they are of.
        drawings: SVG of reliability, and of the confidence of right and wrong answers.
    """

    bins: tuple[Bin, ...]
    error: tuple[float, float, float]
    items: int
    data: str
    drawings: tuple[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Bins and the error."""
        low, high = (None if np.isnan(end) else end for end in self.error[1:])
        return {
            "data": self.data,
            "of": self.items,
            "ece": {"value": self.error[0], "low": low, "high": high},
            "bins": [vars(each) for each in self.bins],
        }

    def as_text(self) -> str:
        """A row a bin."""
        rows = [
            [
                each.items,
                plain(percent(each.confidence)),
                *(plain(percent(v)) for v in (each.right, each.low, each.high)),
            ]
            for each in self.bins
        ]
        table = text_table(["items", "confidence", "right", "low", "high"], rows)
        return f"expected calibration error {self.error[0]:.4f} over {self.items:,} items of {self.data}\n\n{table}"

    def _repr_html_(self) -> str:
        said = f"Expected calibration error {self.error[0]:.4f} over {self.items:,} items."
        drawn = "".join(f'<div style="max-width:480px">{each}</div>' for each in self.drawings)
        return contained(f"<style>.striate{{{svg.STYLE}}}</style><p>{said}</p>{drawn}")


def calibration(run: Run, data: Data | None = None, *, split: str | None = None) -> Calibration:
    """How often answers are right, by how sure they are; the bins are those of the expected calibration error.

    Args:
        run: a trained run of a classification.
        data: whose items are answered; those of the run if not given.
        split: which of them; if not given test, else val, else the first there is, which the run may have learned from.

    Raises:
        ArgumentError: the run answers with no probabilities of classes.
    """
    opened = run.opened() if data is None else data
    name = split or opened.judged
    held = run.held(opened, name)
    probs, truth = getattr(held.meter, "probs", None), getattr(held.meter, "truth", None)
    if probs is None or truth is None or np.ndim(truth) != 1 or not len(truth):
        raise ArgumentError(f"{run.path}: {run.task.name} answers with no probabilities of classes")
    sure, right = probs.max(1), probs.argmax(1) == truth
    places = np.minimum((sure * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    bins: list[Bin] = []
    for k in range(CALIBRATION_BINS):
        inside = places == k
        if inside.any():
            share = wilson(int(right[inside].sum()), int(inside.sum()))
            mean = float(sure[inside].mean())
            bins.append(Bin(int(inside.sum()), mean, share.value, share.low, share.high))
    error = held.scores.scores["ece"]
    drawings = (reliability(sure, right).svg, confidence(sure, right, held.noun).svg)
    return Calibration(
        tuple(bins),
        (error.value, error.low, error.high),
        len(truth),
        f"{opened.path} ({name})",
        drawings,
    )
