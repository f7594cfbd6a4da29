"""From a finished training to the content of its report."""

import platform
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from striate import see
from striate.data import Data, as_rgb, channels
from striate.errors import StriateError
from striate.measuring import Sheet, measure
from striate.runs.folder import write_text
from striate.runs.items import Held, write_table
from striate.runs.run import Run
from striate.training import Fitted, Progress, Recipe, read_recipe
from striate.training.batches import balanced_weights
from striate.training.settle import settle
from striate.workbench import page
from striate.workbench.content import Content, Mistake

T = TypeVar("T")

MISTAKES = 20
SHOWN = 4  # items whose feature maps are shown


def write(fitted: Fitted, progress: Progress) -> Path:
    """Write report.html of a finished training, and give its path."""
    path = fitted.run.path / "report.html"
    write_text(path, page.render(content(fitted)))
    progress.say(f"report: {path}")
    return path


def content(fitted: Fitted) -> Content:
    """All that the report shows of a training."""
    run, held, data = fitted.run, fitted.held, fitted.data
    config, scored, summary = run.config, held.scores.as_dict(), run.summary
    recipe = read_recipe(str(run.path / "args.yaml"))
    x, names = _examples(run, held)
    history = run.history()
    return Content(
        title=f"{config.net.name} on {Path(data.path).name}",
        run=str(run.path),
        created=config.created,
        net=config.net.name,
        own=config.net.own,
        command=_command(fitted, recipe),
        data=data.as_dict(),
        history=history,
        held_out=data.held_out,
        items=held.scores.items,
        scores=scored["scores"],
        per_class=scored["per_class"],
        confusion=scored["confusion"],
        classes=config.classes,
        chosen=data.held_out == "val",
        best_epoch=summary["kept"],
        test=fitted.test.scores.as_dict()["scores"] if fitted.test else None,
        test_items=fitted.test.scores.items if fitted.test else None,
        mistakes=mistakes(held, config.classes, config.preprocessing.color),
        kernels=_or_none(lambda: see.kernels(run.net, shape=(x.shape[1], x.shape[2], x.shape[3]))),
        maps=_or_none(lambda: see.maps(run.net, x)),
        map_titles=names,
        sheet=_sheet(run),
        plan=config.plan,
        recipe=recipe.model_dump(mode="json"),
        recipe_changed=_changed(recipe, data),
        notes=[f"{p.file}: {p.reason}" for p in data.problems[:50]],
        seconds=summary["seconds"],
        machine={
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            **config.versions,
        },
        movement=_moved(fitted),
        class_weights=_class_weights(fitted, recipe),
        trained=_trained(data),
    )


def _moved(fitted: Fitted) -> see.Movement | None:
    """How far the weights moved; also kept as movement.csv."""
    if fitted.start is None:
        return None
    found = see.movement(fitted.start, fitted.run.net)
    rows = [[m.layer, f"{m.correlation:.6f}", f"{m.distance:.6f}"] for m in found.layers]
    write_table(fitted.run.path / "movement.csv", ["layer", "correlation", "distance"], rows)
    return found


def _class_weights(fitted: Fitted, recipe: Recipe) -> dict[str, float]:
    """Factors on the loss of each class, where the recipe balances them."""
    if recipe.class_weights == "none":
        return {}
    labels = torch.from_numpy(fitted.data.splits["train"].labels)
    weights = balanced_weights(labels, len(fitted.data.classes))
    return dict(zip(fitted.data.classes, weights, strict=True))


def _trained(data: Data) -> dict[str, int]:
    """How many items of each class were trained on."""
    counts = np.bincount(data.splits["train"].labels, minlength=len(data.classes))
    return dict(zip(data.classes, counts.tolist(), strict=True))


def mistakes(held: Held, classes: Sequence[str], color: str = "rgb") -> list[Mistake]:
    """The items that were answered wrongly with the most confidence, the worst first."""
    truth, answer = (
        [int(label) for label in labels] for labels in (held.arrays.labels, held.probs.argmax(1))
    )
    confidence = held.probs.max(1)
    wrong = np.flatnonzero(held.probs.argmax(1) != held.arrays.labels)
    worst = [int(i) for i in wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]]
    return [
        Mistake(
            picture=as_rgb(np.asarray(held.arrays.images[i]), color),
            name=held.arrays.names[i],
            truth=classes[truth[i]],
            answer=classes[answer[i]],
            confidence=float(confidence[i]),
            truth_confidence=float(held.probs[i, truth[i]]),
        )
        for i in worst
    ]


def _examples(run: Run, held: Held) -> tuple[Tensor, list[str]]:
    """A few held-out items of different classes, as the net takes them, and what they are called."""
    _, first = np.unique(held.arrays.labels, return_index=True)
    picked = first[:: max(1, len(first) // SHOWN)][:SHOWN]
    pre = run.config.preprocessing
    stored = torch.from_numpy(np.ascontiguousarray(held.arrays.images[picked]))
    return run.plan.batch(pre.normalise(pre.centre(stored))).float().cpu(), [
        run.config.classes[held.arrays.labels[i]] for i in picked
    ]


def _sheet(run: Run) -> dict[str, Any] | None:
    pre = run.config.preprocessing
    shape = (channels(pre.color), *pre.size)

    def counted() -> Sheet:
        return measure(run.net, shape)

    sheet = _or_none(counted)
    return sheet.as_dict() if sheet else None


def _or_none(make: Callable[[], T]) -> T | None:
    """A part of the report that a user's own net may not have; the rest is written all the same."""
    try:
        return make()
    except StriateError:
        return None


def _changed(recipe: Recipe, data: Data) -> set[str]:
    """Settings that differ from what this net and these data get without a word."""
    usual = settle(Recipe(net=recipe.net), data, own_net=recipe.net is None).model_dump()
    return {key for key, value in recipe.model_dump().items() if value != usual[key]}


def _command(fitted: Fitted, recipe: Recipe) -> str:
    """The command that trains the same again."""
    changed = _changed(recipe, fitted.data) - {"net", "cache"}
    said = {key: value for key, value in recipe.model_dump(mode="json").items() if key in changed}
    said |= said.pop("options", {})
    words = [f"{key}={_word(value)}" for key, value in said.items()]
    spec = fitted.run.config.net
    net = "package.module:factory" if spec.own else spec.name
    return " ".join(["striate train", shlex.quote(fitted.data.path), "--net", net, *words])


def _word(value: Any) -> str:
    """A setting's value as the command line takes it: 28x28 for a size, a,b for words."""
    if isinstance(value, list):
        joint = "x" if all(isinstance(part, int) for part in value) else ","
        return shlex.quote(joint.join(map(str, value)))
    return shlex.quote(str(value))
