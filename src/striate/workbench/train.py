"""The main job: data in; a trained, measured, reported net out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

from torch import nn

from striate import data as data_room
from striate.data import Data
from striate.errors import ArgumentError
from striate.runs import Run
from striate.training import Fitted, Progress, Recipe, check, fit, read_recipe
from striate.training import resume as go_on
from striate.workbench import nets, progress, story
from striate.workbench.outlook import outlook


class Settings(TypedDict, total=False):
    """The settings of a recipe, as `striate.training.Recipe` describes them."""

    epochs: int
    batch: int
    lr: float
    accumulate: int
    budget: str | float
    optimizer: str
    momentum: float
    nesterov: bool
    weight_decay: float
    decay_all: bool
    schedule: str
    warmup: float
    gamma: float | Sequence[float]
    milestones: Sequence[float]
    plateau: int
    patience: int
    ema: float
    loss: str
    smoothing: float
    class_weights: str
    sampling: str
    clip: float
    augment: str
    size: int | str | tuple[int, int]
    color: str
    weights: str
    freeze: str | Sequence[str]
    freeze_norm: bool
    head_epochs: int
    lr_decay: float
    width: float
    options: dict[str, Any]
    val: float | str
    split: str
    ignore: str | list[str]
    broken: str | float
    on_nan: str
    oom: str
    deterministic: bool
    seed: int
    plan: str
    health: int
    device: str
    cache: str
    workers: int
    window: int


def train(
    data: str | Path | Data,
    net: str | nn.Module | None = None,
    *,
    recipe: str = "quick",
    out: str | Path = "runs",
    name: str | None = None,
    **settings: Unpack[Settings],
) -> Run:
    """Train a net, evaluate it, and write a run folder with a report.

    Args:
        data: a folder, an archive, an array file, a built-in name, or what `striate.open` gave.
        net: a name of the catalogue, `package.module:factory`, or a net of your own (a copy is trained).
        recipe: a named recipe or a YAML file.
        out: below which folder the run folder is made.
        name: of the run folder; made from data and net if not given.
        settings: what differs from the recipe.

    Raises:
        StriateError: of the kinds in `striate.errors`.
    """
    own, named = (None, net) if isinstance(net, str) else (net, None)
    if named is not None:
        settings = {**settings, "net": named}  # pyright: ignore[reportAssignmentType] - checked by Recipe
    with progress.shown() as shown:
        chosen = read_recipe(recipe, settings)
        return train_with(data, chosen, own=own, out=Path(out), name=name, progress=shown).run


def train_with(
    data: str | Path | Data,
    recipe: Recipe,
    *,
    own: nn.Module | None = None,
    out: Path = Path("runs"),
    name: str | None = None,
    progress: Progress,
) -> Fitted:
    """`train` with a recipe that is read, giving the answers to the held-out items too."""
    if own is None and recipe.net is not None and ":" in recipe.net:
        own, recipe = nets.own(recipe.net), recipe.model_copy(update={"net": None})
    check(recipe, out)
    ready = opened(data, recipe)
    fitted = fit(ready, recipe, net=own, out=out, name=name, progress=progress, examine=outlook)
    story.write(fitted, progress)
    return fitted


def opened(data: str | Path | Data, recipe: Recipe) -> Data:
    """The data that a recipe is for.

    Raises:
        ArgumentError: settings of opening, for data that are opened.
        DataError: nothing usable lies there.
    """
    if isinstance(data, Data):
        for key in ("val", "split", "ignore", "broken", "cache"):
            if key in recipe.model_fields_set:
                raise ArgumentError(
                    f"{key}= belongs to striate.open: these data are opened already"
                )
        return data
    return data_room.open(
        data,
        val=recipe.val,
        split=recipe.split,
        seed=recipe.seed,
        ignore=recipe.ignore,
        broken=recipe.broken,
        cache=recipe.cache,
    )


def resume(
    path: str | Path,
    *,
    own: nn.Module | None = None,
    progress: Progress,
    allow: Sequence[str] = (),
) -> Fitted:
    """Go on with a training that was stopped, to its end and its report.

    Args:
        path: the run folder.
        own: the user's own net, for a run that trains one.
        progress: who is told.
        allow: what may differ from the beginning; see `striate.training.resume`.
    """
    fitted = go_on(Path(path), net=own, progress=progress, allow=allow)
    story.write(fitted, progress)
    return fitted
