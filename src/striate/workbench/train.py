"""The main job: data in; a trained, measured, reported net out."""

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

from torch import nn

from striate import data as data_room
from striate import training
from striate.data import Data
from striate.errors import ArgumentError, CheckpointError
from striate.runs import Run, folder
from striate.runs.config import Config
from striate.training import (
    Fitted,
    Progress,
    Rates,
    Recipe,
    check,
    check_soon,
    check_whole,
    distributed,
    fit,
    read_recipe,
    run_peer,
)
from striate.workbench import launch, nets, progress, report
from striate.workbench.estimate import estimate

WORDS = ("published", "own")  # of weights=, which name no file


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
    validation_freq: int
    ema: float
    loss: str
    smoothing: float
    class_weights: str
    sampling: str
    threshold: float | str
    clip: float
    augment: str
    size: int | str | tuple[int, int]
    crop: int | str | tuple[int, int]
    grid: int | str | tuple[int, int, int]
    patch: int | str | tuple[int, int, int]
    color: str
    seconds: float
    rate: int
    representation: str
    mels: int
    win_ms: float | Sequence[float]
    hop_ms: float
    weights: str
    linear_probe: str
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
    history: int
    horizon: int
    period: str | Sequence[str]
    fixes: str
    on_nan: str
    oom: str
    deterministic: bool
    seed: int
    split_seed: int
    plan: str
    health: int
    device: str
    devices: int
    sync_norm: bool
    cache: str
    workers: int
    keep: int
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

    Meanwhile the process keeps the memory it frees (glibc only, see `plan.malloc`), and gives it back at the end.

    Args:
        data: a folder, an archive, an array file, a built-in name, or what `striate.open` gave.
        net: a name of the catalogue, `timm/NAME`, `torchvision/NAME`, `package.module:factory`, or a net of your own
            (a copy is trained).
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
    with progress.display() as bars:
        chosen = read_recipe(recipe, settings)
        if own is None:
            check_whole(recipe, chosen)
        run = launch.train(data, chosen, own=own, out=Path(out), name=name)
        if run is not None:
            return run
        try:
            fitted = train_recipe(data, chosen, own=own, out=Path(out), name=name, progress=bars)
        except (
            distributed.PeerFinished
        ) as end:  # in a script under torchrun, which goes on with the run
            if end.path is None:
                raise
            return Run(end.path)
        return fitted.run


def train_recipe(
    data: str | Path | Data,
    recipe: Recipe,
    *,
    own: nn.Module | None = None,
    out: Path = Path("runs"),
    name: str | None = None,
    progress: Progress,
) -> Fitted:
    """`train` with a recipe that is read, in this process or as one of those that a launcher started.

    Raises:
        PeerFinished: this process is not the first of several; its work is done.
    """
    if own is None and recipe.net is not None:
        nets.check_factory(recipe.net)
    if own is None and recipe.net is not None and ":" in recipe.net:
        own, recipe = nets.own(recipe.net), recipe.model_copy(update={"net": None})
    file = recipe.weights if recipe.weights not in WORDS else None
    if file and Path(file).exists():  # a run is resumed from any folder
        recipe = recipe.model_copy(update={"weights": str(Path(file).absolute())})
    with distributed.joined() as ranks:
        if ranks.first:
            check(recipe, out)
            check_soon(recipe, progress)
            if (
                not distributed.launched()
            ):  # what a restart has to know of is told apart by its mark
                folder.sweep(out)
            _check_name(out, name, data, recipe)
            restarted = distributed.find_marked_run(out)
            if restarted is not None:
                progress.say(f"started again, with {restarted}")
                return _resume_after_restart(restarted, own, progress, ranks)
            fitted = fit(
                open_data(data, recipe),
                recipe,
                net=own,
                out=out,
                name=name,
                progress=progress,
                estimate=estimate,
                ranks=ranks,
            )
            return _with_report(fitted, progress)
        path = run_peer(ranks, net=own)
    raise distributed.PeerFinished(path=path)


def _check_name(out: Path, name: str | None, data: str | Path | Data, recipe: Recipe) -> None:
    """Refuse a name before the data are opened, where it cannot be one or is that of a run on the same data.

    Raises:
        UsageError: saying which.
    """
    folder.check_name(name)
    if name is None or distributed.launched():
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


def _resume_after_restart(
    path: Path, own: nn.Module | None, progress: Progress, ranks: distributed.Alone
) -> Fitted:
    """Resume a training that this launch had begun before it started its processes again."""
    (path / "report.html").unlink(missing_ok=True)  # it may be what was being written
    return _with_report(training.resume(path, net=own, progress=progress, ranks=ranks), progress)


def _with_report(fitted: Fitted, progress: Progress) -> Fitted:
    report.write(fitted, progress)
    distributed.unmark_run(fitted.run.path)
    return fitted


def open_data(data: str | Path | Data, recipe: Recipe) -> Data:
    """The data that a recipe is for.

    Raises:
        ArgumentError: settings of opening, for data that are opened.
        DataError: nothing usable lies there.
    """
    if isinstance(data, Data):
        for key in (
            "val",
            "split",
            "split_seed",
            "ignore",
            "broken",
            "cache",
            "layout",
            "task",
            "max_pixels",
            "levels",
            "history",
            "horizon",
            "period",
            "fixes",
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
        seed=recipe.seed if recipe.split_seed is None else recipe.split_seed,
        ignore=recipe.ignore,
        broken=recipe.broken,
        cache=recipe.cache,
        layout=recipe.layout,
        task=recipe.task,
        max_pixels=data_room.MAX_PIXELS if recipe.max_pixels is None else recipe.max_pixels,
        levels=recipe.levels,
        history=recipe.history,
        horizon=recipe.horizon,
        period=recipe.period or (),
        fixes=recipe.fixes,
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
        progress: gets lines, and how much is done.
        allow: what may differ from the beginning; see `striate.training.resume`.

    Raises:
        PeerFinished: this process is not the first of several; its work is done.
    """
    with distributed.joined() as ranks:
        if ranks.first:
            restarted = distributed.find_marked_run(Path(path).parent.parent)
            if restarted is not None:
                return _resume_after_restart(restarted, own, progress, ranks)
            fitted = training.resume(
                Path(path), net=own, progress=progress, allow=allow, ranks=ranks
            )
            return _with_report(fitted, progress)
        finished = run_peer(ranks, net=own)
    raise distributed.PeerFinished(path=finished)


def finished(path: Path, progress: Progress) -> Run | None:
    """A run whose training and report are done; None of any other."""
    if not ((path / "summary.json").exists() and (path / "report.html").exists()):
        return None
    run = Run(path)
    _ = run.config, run.summary  # damaged ones are said
    progress.say(
        f"{path} is finished, there is nothing to do: evaluate it (striate evaluate {path}), or train further "
        f"from its weights (striate train DATA weights={path})"
    )
    return run


def find_rate(data: str, recipe: Recipe, *, out: Path, progress: Progress) -> Rates:
    """Try learning rates on data, and draw the loss over them to OUT/rates.svg.

    Raises:
        StriateError: of the kinds in `striate.errors`.
    """
    own = None
    if recipe.net is not None and ":" in recipe.net:
        own, recipe = nets.own(recipe.net), recipe.model_copy(update={"net": None})
    folder.check_parent(out)
    rates = training.find_rate(open_data(data, recipe), recipe, net=own, progress=progress)
    out.mkdir(parents=True, exist_ok=True)
    folder.write_text(out / "rates.svg", rates.as_svg())
    progress.say(f"drawn to {out / 'rates.svg'}")
    return rates
