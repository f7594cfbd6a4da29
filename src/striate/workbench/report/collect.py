"""From a finished training to the content of its report."""

import platform
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from striate import see
from striate.data import Data
from striate.errors import StriateError
from striate.measuring import Sheet, measure
from striate.runs.folder import write_text
from striate.runs.run import Run
from striate.runs.split_answers import Held, write_table
from striate.see.attribution.section import worst_section
from striate.tasks import Section, Tile
from striate.tasks.section import Gallery
from striate.training import Fitted, Progress, Recipe, read_recipe
from striate.training.defaults import with_defaults
from striate.training.schedules import curve
from striate.workbench.report import page
from striate.workbench.report.content import Content
from striate.workbench.report.evidence import evidence
from striate.workbench.report.outcome import counted
from striate.workbench.report.verdict import judged

T = TypeVar("T")

WORST = 4  # items whose saliency is shown
VIEWS = 5  # of a training item
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
    # As it learned, with what was chosen after that: what the run keeps is what answers.
    task = type(run.task).of(data, recipe).as_settled(run.task)
    leading = fitted.test or held
    of = counted(leading.scores.items, held.noun, test=fitted.test is not None)
    headline, command = task.headline(leading, of), _command(fitted, recipe)
    return Content(
        title=f"{config.net.name} on {Path(data.path).name}",
        run=str(run.path),
        created=config.created,
        net=config.net.name,
        own=config.net.own,
        command=command,
        data=data.as_dict(),
        history=run.history(),
        rates=curve(recipe, summary["steps"], run.history()) if "steps" in summary else (),
        held_out=data.held_out,
        items=held.scores.items,
        scores=scored["scores"],
        headline=headline,
        measures={key: task.measure(key) for key in (*task.measures, *scored["scores"])},
        counted=task.counted,
        curve_words=task.curve_words(recipe),
        classes=config.classes,
        classes_of=task.classes_of,
        noun=held.noun,
        chosen=data.held_out == "val",
        best_epoch=summary["kept"],
        test=fitted.test.scores.as_dict()["scores"] if fitted.test else None,
        test_items=fitted.test.scores.items if fitted.test else None,
        sections=[*task.sections(held), *_worst(run, None if fitted.test else held)],
        test_sections=[*task.sections(fitted.test), *_worst(run, fitted.test)]
        if fitted.test
        else (),
        batch=_batch(run, data),
        verdict=judged(evidence(fitted, recipe, headline, task, command)),
        balance=_balance(data),
        kernels=_kernels(run, x),
        maps=_or_none(lambda: see.maps(run.net, x)) if x.ndim == 4 else None,
        map_titles=names,
        sheet=_sheet(run),
        plan=config.plan,
        recipe=recipe.model_dump(mode="json"),
        recipe_changed=_changed(recipe, data),
        notes=[*data.cautions, *(f"{p.file}: {p.reason}" for p in data.problems[:50])],
        seconds=summary["seconds"],
        machine={
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            **config.versions,
        },
        movement=_moved(fitted),
    )


def _balance(data: Data) -> dict[str, Sequence[int]]:
    """How many items of each class each split has; nothing of a task without classes."""
    found = {name: data.counts(name) for name in data.splits}
    return {name: counts for name, counts in found.items() if counts}


def _worst(run: Run, held: Held | None) -> list[Section]:
    """What the worst answers of the headline's split rest on, of nets that see pictures."""
    if held is None or run.config.preprocessing.modality != "picture":
        return []
    found = _or_none(lambda: worst_section(run, held, count=WORST))
    return [found] if found else []


def _batch(run: Run, data: Data) -> Section | None:
    """A few training items with views of them, as the training made them."""
    found = _or_none(lambda: see.augmented(run, data, items=SHOWN, views=VIEWS))
    if found is None or found.policy == "none":
        return None
    tiles = [
        Tile(plate.pixels, plate.title, alt=plate.tip)
        for row in found.rows()
        for plate in row.plates
    ]
    said = f"Training items, each with {VIEWS} views that augment={found.policy} made of it."
    return Section("A batch as the net saw it", said, [Gallery(tiles)], name="Batch")


def _kernels(run: Run, x: Tensor) -> see.Kernels | None:
    """Of the first layer, of nets that see pictures."""
    if x.ndim != 4:
        return None
    return _or_none(lambda: see.kernels(run.net, shape=(x.shape[1], x.shape[2], x.shape[3])))


def _moved(fitted: Fitted) -> see.Movement | None:
    """How far the weights moved; also kept as movement.csv."""
    if fitted.start is None:
        return None
    found = see.movement(fitted.start, fitted.run.net)
    rows = [[m.layer, f"{m.correlation:.6f}", f"{m.distance:.6f}"] for m in found.layers]
    write_table(fitted.run.path / "movement.csv", ["layer", "correlation", "distance"], rows)
    return found


def _examples(run: Run, held: Held) -> tuple[Tensor, list[str]]:
    """A few held-out items of different classes, as the net takes them, and what they are called."""
    strata = held.split.labels[held.arrays.numbers]
    _, first = np.unique(strata, return_index=True)
    first = first if len(first) > 1 else np.arange(min(SHOWN, len(strata)))
    picked = first[:: max(1, len(first) // SHOWN)][:SHOWN]
    pre = run.config.preprocessing
    inputs = [np.asarray(held.arrays.inputs[int(i)]) for i in picked]
    inputs = inputs if len({each.shape for each in inputs}) == 1 else inputs[:1]
    x = run.plan.batch(pre.normalise(pre.centre(torch.from_numpy(np.stack(inputs)))))
    named = [held.rows[int(i)].get("truth", held.names[int(i)]) for i in picked]
    return x.float().cpu(), named[: len(inputs)]


def _sheet(run: Run) -> dict[str, Any] | None:
    pre = run.config.preprocessing

    def counted() -> Sheet:
        return measure(run.net, pre.shape)

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
    # A budget takes the place of the epochs, so the epochs that it leaves open are no change of their own.
    plain = Recipe(net=recipe.net, budget=recipe.budget)
    usual = with_defaults(plain, data, own_net=recipe.net is None).model_dump()
    usual["budget"] = None
    return {key for key, value in recipe.model_dump().items() if value != usual[key]}


def _command(fitted: Fitted, recipe: Recipe) -> str:
    """The command that trains the same again."""
    changed = _changed(recipe, fitted.data) - {"net", "cache"}
    said = {key: value for key, value in recipe.model_dump(mode="json").items() if key in changed}
    spec = fitted.run.config.net
    return command(fitted.data.path, "package.module:factory" if spec.own else spec.name, said)


def command(data: str, net: str | None, settings: Mapping[str, Any]) -> str:
    """A command that trains.

    Args:
        data: what on.
        net: which; left to the data if None.
        settings: of the recipe, those that are to be said.
    """
    said = {key: value for key, value in settings.items() if key != "options"}
    said |= settings.get("options") or {}
    words = [f"{key}={_word(value)}" for key, value in said.items()]
    return " ".join(["striate train", shlex.quote(data), *(["--net", net] if net else []), *words])


def _word(value: Any) -> str:
    """A setting's value as the command line takes it: 28x28 for a size, a,b for words."""
    if isinstance(value, list):
        joint = "x" if all(isinstance(part, int) for part in value) else ","
        return shlex.quote(joint.join(map(str, value)))
    return shlex.quote(str(value))
