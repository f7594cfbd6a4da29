"""The time that `budget=` gives: of the whole command, from its start to its report.

Training gets what the rest leaves: imports, reading and the choice of a plan before the first step; answers to the
held-out and test items, tables and the report after the last.
"""

import math
import time

from striate.errors import RecipeError
from striate.training.recipe import Recipe
from striate.training.record import Job, Progress, Record

REPORT = (
    4.0  # seconds that tables, pictures and costs of a report take beside the answers, on two cores
)
LEAST = 1.0  # seconds of training that are worth its beginning


class Budget:
    """How much of its time a training with a budget has had, by the clock of the first process.

    Args:
        job: the training; its recipe has a budget.
        record: of its time.
    """

    def __init__(self, job: Job, record: Record) -> None:
        self.job, self.record = job, record
        self.seconds = job.recipe.budget or 0.0
        self.before = max(0.0, record.started - job.progress.began)

    @property
    def after(self) -> float:
        """Seconds from the last step to the end: the held-out items answered twice, those of a test split once."""
        splits = self.job.data.splits
        held = len(splits[self.job.data.held_out])
        test = len(splits["test"]) if {"val", "test"} <= set(splits) else 0
        each = self.record.answering / held if self.record.answering else self._guessed
        return REPORT + each * (2 * held + test)

    @property
    def _guessed(self) -> float:
        """Seconds to answer an item, before one was: a third of what it takes to learn from it."""
        return (self.job.plan.step_ms or 0.0) / 1000 / 3 / (self.job.recipe.batch or 1)

    @property
    def training(self) -> float:
        """Seconds that are left for all steps and what is done after each epoch; may be negative."""
        return self.seconds - self.before - self.after

    def spent(self) -> float:
        """Seconds of the budget, so that all are spent when training has had what is its own."""
        return self.record.spent() * self.seconds / max(self.training, 1e-3)


def left(recipe: Recipe, progress: Progress) -> float:
    """Seconds of a budget that are left for training, as far as is known before anything was answered."""
    return (recipe.budget or math.inf) - (time.monotonic() - progress.began) - REPORT


def check_soon(recipe: Recipe, progress: Progress) -> None:
    """Refuse a budget that is gone before the data are read.

    Raises:
        RecipeError: with the least that may do.
    """
    if left(recipe, progress) <= 0:
        least = time.monotonic() - progress.began + 2 * REPORT
        raise RecipeError(
            f"budget={recipe.budget:g}s: the start and the report alone take longer here; the least is about "
            f"budget={5 * math.ceil(least / 5)}s, more where there are many pictures"
        )


def check_budget(job: Job) -> None:
    """Refuse a budget in which nothing can be learned, before the first step.

    Raises:
        RecipeError: with the least that would do.
    """
    if job.recipe.budget is None:
        return
    budget = Budget(job, Record(job.path))
    least = budget.before + budget.after + LEAST
    if least > budget.seconds:
        raise RecipeError(
            f"budget={budget.seconds:g}s: reading, timing, the answers and the report alone take about "
            f"{budget.before + budget.after:.0f} s here; the least is budget={5 * math.ceil(least / 5)}s"
        )
