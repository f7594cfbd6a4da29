"""The main job: data in; a trained, measured, reported net out."""

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

from torch import nn

from striate import data as data_room
from striate.data import Data
from striate.errors import ArgumentError, CheckpointError, RecipeError
from striate.runs import Run, folder
from striate.runs.config import Config
from striate.training import (
    Fitted,
    Progress,
    Recipe,
    check,
    check_whole,
    fit,
    follow,
    ranks,
    read_recipe,
    restarts,
)
from striate.training import resume as go_on
from striate.workbench import launch, nets, progress, report
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
    crop: int | str | tuple[int, int]
    color: str
    weights: str
    freeze: str | Sequence[str]
    freeze_norm: bool
    head_epochs: int
    lr_decay: float
    width: float
    options: dict[str, Any]
    task: str
    layout: str
    val: float | str
    split: str
    ignore: str | list[str]
    broken: str | float
    max_pixels: int
    levels: Sequence[float]
    on_nan: str
    oom: str
    deterministic: bool
    seed: int
    plan: str
    health: int
    device: str
    devices: int
    sync_norm: bool
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

    Meanwhile the process keeps the memory it frees (glibc only, see `plan.pages`), and gives it back at the end.

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
        if own is None:
            check_whole(recipe, chosen)
        try:
            return trained(data, chosen, own=own, out=Path(out), name=name, progress=shown)
        except ranks.Followed as other:  # in a script under torchrun, which goes on with the run
            if other.path is None:
                raise
            return Run(other.path)


def trained(
    data: str | Path | Data,
    recipe: Recipe,
    *,
    own: nn.Module | None = None,
    out: Path = Path("runs"),
    name: str | None = None,
    progress: Progress,
) -> Run:
    """`train` with a recipe that is read, in this process or in as many as its `devices` ask for."""
    if launch.wanted(recipe.devices):
        if own is not None or isinstance(data, Data):
            raise ArgumentError(
                f"devices={recipe.devices}: other processes cannot be given a net or data that are in memory: name "
                "them (package.module:factory, a path), or start your script with torchrun"
            )
        check(recipe, out)
        words = {"data": str(data), "recipe": recipe.as_yaml(), "out": str(out), "name": name}
        return Run(launch.launch(words, recipe.devices or 1, recipe.device))
    return train_with(data, recipe, own=own, out=out, name=name, progress=progress).run


def train_with(
    data: str | Path | Data,
    recipe: Recipe,
    *,
    own: nn.Module | None = None,
    out: Path = Path("runs"),
    name: str | None = None,
    progress: Progress,
) -> Fitted:
    """`train` with a recipe that is read, giving the answers to the held-out items too.

    Raises:
        Followed: this process is not the first of several; its work is done.
    """
    if own is None and recipe.net is not None and ":" in recipe.net:
        own, recipe = nets.own(recipe.net), recipe.model_copy(update={"net": None})
    if recipe.weights and Path(recipe.weights).exists():  # a run is gone on with from any folder
        recipe = recipe.model_copy(update={"weights": str(Path(recipe.weights).absolute())})
    with ranks.joined() as here:
        if here.first:
            check(recipe, out)
            _check_name(out, name, data, recipe)
            begun = restarts.begun(out)
            if begun is not None:
                progress.say(f"started again, with {begun}")
                return _gone_on(begun, own, progress, here)
            ready = opened(data, recipe)
            fitted = fit(
                ready, recipe, net=own, out=out, name=name, progress=progress, examine=outlook, ranks=here
            )  # fmt: skip
            return _told(fitted, progress)
        path = follow(here, net=own)
    raise ranks.Followed(path=path)


def _check_name(out: Path, name: str | None, data: str | Path | Data, recipe: Recipe) -> None:
    """Refuse a name before the data are opened, where it cannot be one or is that of a run on the same data.

    Raises:
        UsageError: saying which.
    """
    folder.check_name(name)
    if name is None or restarts.launched():
        return
    for taken in out.glob(f"*/{glob.escape(name)}"):
        if recipe.task == taken.parent.name or _same_data(taken, data):
            raise folder.taken(taken)


def _same_data(run: Path, data: str | Path | Data) -> bool:
    if isinstance(data, Data):
        return False
    try:
        where = Config.read(run).data["origin"].get("path")
    except CheckpointError:
        return False
    return where in (str(data), str(Path(data).absolute()))


def _gone_on(path: Path, own: nn.Module | None, progress: Progress, here: ranks.Alone) -> Fitted:
    """A training that this launch began, taken up again."""
    (path / "report.html").unlink(missing_ok=True)  # it may be what was being written
    return _told(go_on(path, net=own, progress=progress, ranks=here), progress)


def _told(fitted: Fitted, progress: Progress) -> Fitted:
    """A finished training with its report."""
    report.write(fitted, progress)
    restarts.unmark(fitted.run.path)
    return fitted


def opened(data: str | Path | Data, recipe: Recipe) -> Data:
    """The data that a recipe is for.

    Raises:
        ArgumentError: settings of opening, for data that are opened.
        DataError: nothing usable lies there.
    """
    if isinstance(data, Data):
        for key in (
            "val",
            "split",
            "ignore",
            "broken",
            "cache",
            "layout",
            "task",
            "max_pixels",
            "levels",
        ):
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
        layout=recipe.layout,
        task=recipe.task,
        max_pixels=data_room.MAX_PIXELS if recipe.max_pixels is None else recipe.max_pixels,
        levels=recipe.levels,
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

    Raises:
        Followed: this process is not the first of several; its work is done.
    """
    with ranks.joined() as here:
        if here.first:
            begun = restarts.begun(Path(path).parent.parent)
            if begun is not None:
                return _gone_on(begun, own, progress, here)
            fitted = go_on(Path(path), net=own, progress=progress, allow=allow, ranks=here)
            return _told(fitted, progress)
        followed = follow(here, net=own)
    raise ranks.Followed(path=followed)


def _finished(path: Path) -> Run | None:
    """A run whose training and report are done; None of any other."""
    if not ((path / "summary.json").exists() and (path / "report.html").exists()):
        return None
    run = Run(path)
    _ = run.config, run.summary  # damaged ones are said
    return run


def resumed(
    path: str | Path,
    *,
    net: str | None = None,
    devices: int | None = None,
    progress: Progress,
    allow: Sequence[str] = (),
) -> Run:
    """`resume` with a net that is named, in this process or in as many as are asked for.

    Args:
        path: the run folder.
        net: `package.module:factory` of a net of the user's own.
        devices: processes; as many as the training began with if not given.
        progress: who is told.
        allow: what may differ from the beginning; see `striate.training.resume`.
    """
    if (done := _finished(Path(path))) is not None:
        progress.say(
            f"{path} is finished, there is nothing to do: evaluate it (striate evaluate {path}), or train further "
            f"from its weights (striate train DATA weights={path})"
        )
        return done
    try:
        recipe = read_recipe(str(Path(path) / "args.yaml"))
    except RecipeError:  # missing or damaged, of which `resume` says more
        recipe = Recipe()
    count = devices or recipe.devices
    if launch.wanted(count):
        job = {"resume": str(path), "net": net, "allow": list(allow)}
        return Run(launch.launch(job, count or 1, recipe.device))
    own = nets.own(net) if net else None
    return resume(path, own=own, progress=progress, allow=allow).run
