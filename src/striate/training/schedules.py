"""Schedules of the learning rate, and early stopping.

The rate is a function of how far a training is; what depends on its results (plateaus, patience) is kept in checkpoints.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from striate.training.recipe import Recipe

GAMMA = {"exponential": 0.999, "step": 0.1, "plateau": 0.1}
PARTS = 10_000  # into which a training by the clock is divided, in place of steps


@dataclass
class Course:
    """What only the results of a training tell. It is kept in checkpoints.

    Attributes:
        lowest: the smallest held-out loss so far.
        stale: epochs since then.
        waited: the same, counted anew whenever the rate is lowered.
        lowered: how often it was.
    """

    lowest: float | None = None
    stale: int = 0
    waited: int = 0
    lowered: int = 0

    def judge(self, loss: float | None, recipe: Recipe, epochs: int = 1) -> None:
        """Take in a loss, so many epochs after the one before; one that is not known, or no number, is no new minimum."""
        if (
            loss is not None
            and not math.isnan(loss)
            and (self.lowest is None or not self.lowest <= loss)
        ):
            self.lowest, self.stale, self.waited = loss, 0, 0
            return
        self.stale += epochs
        self.waited += epochs
        if recipe.schedule == "plateau" and self.waited >= recipe.plateau:
            self.lowered += 1
            self.waited = 0

    def over(self, recipe: Recipe) -> bool:
        """Whether there was no new minimum for as long as the recipe's patience."""
        return recipe.patience is not None and self.stale >= recipe.patience


@dataclass(frozen=True)
class Place:
    """Where a training is: steps done, of how many, and the number of the epoch."""

    step: float
    steps: float
    epoch: int = 0

    @classmethod
    def by_clock(cls, share: float, epoch: int) -> "Place":
        """After a share of a training that ends by the clock."""
        return cls(share * PARTS, PARTS, epoch)

    @property
    def share(self) -> float:
        """How much of the training is done, from 0 to 1."""
        return min(1.0, self.step / self.steps)


def rate(recipe: Recipe, place: Place, course: Course | None = None) -> float:
    """The learning rate of a step.

    onecycle rises linearly during the warm-up and falls linearly to zero (Smith and Topin 2017); cosine rises
    likewise and falls as half a cosine (Loshchilov and Hutter 2017, arXiv 1608.03983); exponential takes a
    factor after every epoch, step one after each milestone, plateau one whenever the held-out loss had no
    new minimum for some epochs; constant stays.
    """
    top = recipe.lr or 0.0
    if recipe.schedule in ("onecycle", "cosine"):
        return top * _wave(recipe, place)
    gamma = recipe.gamma or (GAMMA.get(recipe.schedule, 1.0),)
    times = {
        "exponential": place.epoch,
        # a milestone of 0.1 of 20 epochs is passed exactly there, whatever 0.1 is in binary
        "step": sum(place.share >= milestone - 1e-9 for milestone in recipe.milestones),
        "plateau": course.lowered if course else 0,
    }.get(recipe.schedule, 0)
    if len(gamma) == 1:
        return top * gamma[0] ** times
    return top * math.prod(gamma[:times])


def curve(
    recipe: Recipe, steps: int, rows: Sequence[Mapping[str, float | None]], most: int = 400
) -> list[tuple[float, float]]:
    """The learning rate of a training that is over, by step: how many epochs were done after a step, and its rate.

    Where the schedule does not end an epoch at the rate that was written down, because the recipe was changed under
    way or a step was taken again at a lower rate, only the end of that epoch is given.

    Args:
        recipe: settled.
        steps: of an epoch.
        rows: of results.csv, of which `lr` and `seconds` are read.
        most: points; of more steps some are left out.
    """
    each = max(2, most // max(1, len(rows)))
    within = np.unique(np.linspace(0, steps - 1, min(steps, each)).astype(np.int64)).tolist()
    points: list[tuple[float, float]] = []
    spent = 0.0
    for epoch, row in enumerate(rows):
        seconds, last = row.get("seconds") or 0.0, row.get("lr")
        found: list[tuple[float, float]] = []
        for i in within:
            place = Place(epoch * steps + i, steps * recipe.most_epochs, epoch)
            if recipe.budget is not None:
                share = (spent + seconds * i / steps) / recipe.budget
                place = Place.by_clock(max(place.share, share), epoch)
            value = last if recipe.schedule == "plateau" else rate(recipe, place)
            found += [] if value is None else [(epoch + (i + 1) / steps, value)]
        if last is not None and found and abs(found[-1][1] - last) > 0.01 * (recipe.lr or last):
            found = [(epoch + 1.0, last)]
        points += found
        spent += seconds
    return points


def _wave(recipe: Recipe, place: Place) -> float:
    rise = max(1.0, recipe.warmup * place.steps)
    if place.step < rise:
        return (place.step + 1) / (rise + 1)
    left = max(0.0, place.steps - place.step) / max(1.0, place.steps - rise)
    return left if recipe.schedule == "onecycle" else 0.5 - 0.5 * math.cos(math.pi * left)
