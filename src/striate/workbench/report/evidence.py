"""The facts of a finished training that its verdict is made from."""

import copy
from dataclasses import replace
from pathlib import Path

from striate.errors import StriateError
from striate.metrics import Interval
from striate.runs.answering import answered
from striate.runs.config import Config
from striate.runs.split_answers import Held, natural_sizes
from striate.tasks import Headline, Task
from striate.training import Fitted, Recipe
from striate.weights import published
from striate.workbench.report.verdict import Began, Evidence

SMALL_RUN = 2000  # items that the first weights are asked to answer again at most


def evidence(
    fitted: Fitted, recipe: Recipe, headline: Headline, task: Task, command: str
) -> Evidence:
    """All of it, of the split that the headline is of.

    Args:
        fitted: the finished training.
        recipe: settled.
        headline: its one result.
        task: as it learned.
        command: that trains the same again.
    """
    run, leading, history = fitted.run, fitted.test or fitted.held, fitted.run.history()
    measure, epochs = task.measure(headline.score), [row for row in history if row["epoch"] > 0]
    kept = next((row for row in history if row["epoch"] == run.summary.get("kept")), {})
    trained = kept.get(f"train_{headline.score}") if headline.score in task.counted else None
    rates = [row["lr"] for row in epochs if row.get("lr") is not None]
    title = measure.title
    return Evidence(
        score=headline.score,
        title=title[:1].lower() + title[1:] if title[1:2].islower() else title,
        value=leading.scores.scores.get(headline.score, Interval(float("nan"))),
        lower=measure.lower,
        items=leading.scores.items,
        noun=leading.noun,
        split="test" if fitted.test else "held-out",
        constant=headline.constant,
        trained=trained,
        losses=[row.get("train_loss") for row in epochs],
        held_losses=[row.get("val_loss") for row in epochs],
        budget=recipe.budget,
        command=command,
        run=str(run.path),
        rate=recipe.lr or max(rates, default=None),
        published=_published(fitted, recipe),
        augment=recipe.augment,
        pictures=fitted.data.pictures,
        began=_began(fitted, recipe, headline),
        own=run.config.net.own,
    )


def _published(fitted: Fitted, recipe: Recipe) -> str:
    """Published weights that the net could have begun with, of colour pictures; "" where there are none."""
    spec = fitted.run.config.net
    if recipe.weights or spec.own or recipe.color != "rgb" or not fitted.data.pictures:
        return ""
    try:
        return published.best(str(recipe.options.get("backbone") or spec.name)) or ""
    except StriateError:
        return ""


def _began(fitted: Fitted, recipe: Recipe, headline: Headline) -> Began | None:
    """What the training went on from, and what that was worth."""
    if not recipe.weights:
        return None
    leading = fitted.test or fitted.held
    split = "test" if fitted.test else "held-out"
    words = f"{leading.scores.items:,} {split} {leading.noun}"
    if before := _before(fitted, recipe, leading, headline.score):
        after = leading.scores.scores[headline.score].value
        return Began(recipe.weights, before, after, words, "with the weights it began with")
    probe, kept = _linear(fitted, headline.score)
    if probe is None or kept is None:
        return Began(recipe.weights)
    held = f"{fitted.held.scores.items:,} {fitted.data.held_out} {fitted.held.noun}"
    return Began(recipe.weights, probe, kept, held, "a linear layer on it")


def _linear(fitted: Fitted, score: str) -> tuple[float | None, float | None]:
    """The score of the linear probe that a training began with, and of the epoch that was kept."""
    history = fitted.run.history()
    rows = {row["epoch"]: row.get(f"val_{score}") for row in history}
    return rows.get(0), rows.get(fitted.run.summary.get("kept", -1))


def _before(fitted: Fitted, recipe: Recipe, leading: Held, score: str) -> float | None:
    """The score of the first weights on the same items, where they are those of a run with the same classes."""
    run, path = fitted.run, Path(recipe.weights or "")
    if fitted.start is None or not (path / "config.json").exists() or len(leading.rows) > SMALL_RUN:
        return None
    try:
        was = Config.read(path)
        if (was.task, tuple(was.classes)) != (run.config.task, tuple(run.config.classes)):
            return None
        net = run.plan.place(copy.deepcopy(fitted.start)).eval()
        part = leading.split
        found = answered(
            replace(leading.used, net=net), leading.arrays, part.targets, natural_sizes(part)
        )
        return found.meter.scores()[score].value
    except (StriateError, KeyError):
        return None
