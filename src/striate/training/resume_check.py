"""Whether a training can go on as it began: its recipe, its code and its machine, compared field by field."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import torch

from striate.errors import CheckpointError, RecipeError, UsageError, nearest
from striate.models import catalog, libraries
from striate.runs.checkpoint import Checkpoint
from striate.runs.config import Config
from striate.training.recipe import Recipe
from striate.training.recipe_files import read_recipe
from striate.training.record import Job
from striate.training.schedules import Place, rate
from striate.training.state import State

# Settings that steer only what is still to come.
FREE = ("epochs", "lr", "patience", "clip", "on_nan", "oom", "health", "keep")
CODE = "striate"


def versions(net: str = "") -> dict[str, str]:
    """What the bits of a training depend on besides its recipe and its data: of nets by another package that too."""
    library = net.partition("/")[0] if catalog.is_library(net) else None
    return {
        **({library: libraries.version(library)} if library else {}),
        CODE: version("striate"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": str(torch.get_num_threads()),
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def same_code(config: Config, allow: Sequence[str], say: Callable[[str], None]) -> None:
    """Refuse another version of this package, and say what else differs from the beginning.

    Raises:
        UsageError: the training began with another version and `allow` does not name it.
    """
    for word in allow:
        if word not in (*FREE, CODE):
            raise UsageError(
                f"--allow-change {word}: this cannot change under way; {nearest(word, (*FREE, CODE))}"
            )
    now = versions(config.net.name)
    differs = {key: was for key, was in config.versions.items() if key in now and now[key] != was}
    if CODE in differs and CODE not in allow:
        raise UsageError(
            f"striate: {differs[CODE]} began this training, this is {now[CODE]}; go on with that version, "
            f"or with --allow-change {CODE}"
        )
    if differs:
        words = ", ".join(f"{key} {was}, now {now[key]}" for key, was in differs.items())
        say(f"differs from when the training began, so may the bits: {words}")


def same_recipe(path: Path, config: Config, allow: Sequence[str] = ()) -> Recipe:
    """The settled recipe of a run; where args.yaml changed and may, the run is given the new one.

    Raises:
        CheckpointError: args.yaml is missing or damaged.
        RecipeError: it was changed, and `allow` does not name every field.
    """
    args = path / "args.yaml"
    try:
        recipe = read_recipe(str(args))
    except RecipeError as error:
        raise CheckpointError(f"{args} is damaged ({error}); train anew") from error
    if sha256(args.read_bytes()).hexdigest() == config.recipe:
        return recipe
    changed = differences(config.settings, recipe.model_dump(mode="json"))
    if not config.settings or any(key not in allow for key in changed):
        fields = f": {'; '.join(changed.values())}" if config.settings else ""
        free = all(key in FREE for key in changed) and changed
        ways = f", or allow it, --allow-change {' --allow-change '.join(changed)}" if free else ""
        raise RecipeError(
            f"{args} was changed since the training began{fields}: put it back{ways}, "
            f"or train anew with it, --recipe {args}"
        )
    remembered(recipe, config).write(path)
    return recipe


def of_this_code(saved: Checkpoint | None, say: Callable[[str], None]) -> Checkpoint | None:
    """A checkpoint without the smallest loss so far, where another version of this package measured it.

    What such a version counted may mean something else, so that values of its epochs and of those to come are not
    compared; `striate.runs.checkpoint.best` leaves its merits out for the same reason.
    """
    if saved is None or saved.code in ("", version(CODE)):
        return saved
    say(
        f"{saved.code} of striate measured the epochs so far: the best epoch is chosen among those to come, and patience "
        "and plateau count from here"
    )
    course: dict[str, object] = dict(saved.state.get("course") or {})
    course |= {"lowest": None, "stale": 0, "waited": 0}
    return replace(saved, state={**saved.state, "course": course})


def rate_after(state: State, job: Job, was: Mapping[str, object]) -> list[str]:
    """A line about the learning rate of the next step, where settings that it follows from were changed.

    Args:
        state: as restored.
        job: with the new recipe.
        was: the settings before.
    """
    changed = differences(was, job.recipe.model_dump(mode="json")) if was else {}
    if not changed.keys() & {"lr", "epochs"} or job.recipe.budget is not None:
        return []
    now = Place(state.step, job.steps, state.step // job.batches.steps)
    return [
        f"{'; '.join(changed.values())}: the next step's learning rate is {rate(job.recipe, now, state.course):.3g}"
    ]


def remembered(recipe: Recipe, config: Config) -> Config:
    """A config that knows its recipe, by hash and by field."""
    return replace(
        config,
        recipe=sha256(recipe.as_yaml().encode()).hexdigest(),
        settings=recipe.model_dump(mode="json"),
    )


def differences(was: Mapping[str, object], now: Mapping[str, object]) -> dict[str, str]:
    """A word for each field that differs, by its name."""
    return {
        key: f"{key} was {was.get(key)}, is {now.get(key)}"
        for key in {**was, **now}
        if was.get(key) != now.get(key)
    }
