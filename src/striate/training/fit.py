"""One training, from opened data to a finished run folder."""

import copy
import shutil
import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from torch import nn

from striate import plan as plan_room
from striate.data import Data
from striate.errors import (
    CheckpointError,
    DataError,
    RecipeError,
    StriateError,
    Terminated,
    UsageError,
)
from striate.metrics.scores import shown
from striate.runs import Run, checkpoint, folder
from striate.runs.config import Config, structure
from striate.tasks import named
from striate.training import following, interrupt, loop, restarts
from striate.training import seed as randomness
from striate.training.determinism import deterministic
from striate.training.guards import Guard
from striate.training.health import Health
from striate.training.outlook import Outlook
from striate.training.prepare import (
    chosen_net,
    first_weights,
    prepare,
    training_batches,
)
from striate.training.ranks import ALONE, Alone
from striate.training.recipe import Recipe
from striate.training.record import Fitted, Job, Progress, Record
from striate.training.resumed import same_code, same_recipe
from striate.training.settle import settle
from striate.training.state import State

Examine = Callable[[nn.Module, Recipe, Data], Outlook]


def fit(
    data: Data,
    recipe: Recipe,
    *,
    net: nn.Module | None = None,
    out: Path = Path("runs"),
    name: str | None = None,
    progress: Progress | None = None,
    examine: Examine | None = None,
    ranks: Alone = ALONE,
) -> Fitted:
    """Train a net on opened data.

    Args:
        data: what `striate.data.open` gave.
        recipe: as written; what it leaves open is settled from the data.
        net: a net of the user's own instead of one of the catalogue; a copy is trained.
        out: below which folder the run folder is made.
        name: of the run folder; found if not given.
        progress: who is told.
        examine: gives what is worth saying before the first step, or refuses.
        ranks: this process, the first of those that train together; the others `follow`.

    Raises:
        StriateError: of the kinds in `striate.errors`; what was written before stays.
    """
    progress = progress or Progress()
    folder.check_name(name)
    if name is not None and (out / data.task / name).exists():
        raise folder.taken(out / data.task / name)
    if "train" not in data.splits:
        raise DataError(
            f"{data.path} has no training {named(data.task).noun}, only {', '.join(data.splits)}: "
            "put them into a folder named train"
        )
    named(data.task).refuse(recipe, own_net=net is not None)
    recipe = settle(recipe, data, own_net=net is not None)
    check(recipe, out)
    named(data.task).refuse(recipe, own_net=net is not None)
    if recipe.class_weights == recipe.sampling == "balanced":
        progress.say(
            "class_weights=balanced and sampling=balanced both make up for rare classes, which is done "
            "twice now: leave one of them out"
        )
    spec, trained = chosen_net(net, recipe, data)
    ahead = examine(trained, recipe, data) if examine else Outlook()
    for line in ahead.findings:
        progress.say(line)
    with ExitStack() as around:
        begun = around.enter_context(interrupt.terminable())
        path = folder.make(out, data.task, name, f"{_stem(data.path)}-{spec.name}")
        begun.append(path)
        around.enter_context(folder.lock(path))
        around.enter_context(randomness.own_randomness())
        around.enter_context(plan_room.kept_pages())
        around.enter_context(deterministic(recipe.deterministic))
        with _nothing_left_behind(path):
            restarts.mark(path)
            first_weights(trained, recipe, progress, data.classes)
            start = copy.deepcopy(trained)
            job = prepare(path, data, recipe, spec, trained, progress, ahead, ranks)
            folder.write_text(path / "args.yaml", recipe.as_yaml())
            job.config.write(path)
        job, state, record = following.begin(job, trained, None)
        state.parts = ahead.parts
        return _train(job, state, record, start)


def resume(
    path: Path,
    *,
    net: nn.Module | None = None,
    progress: Progress | None = None,
    allow: Sequence[str] = (),
    ranks: Alone = ALONE,
) -> Fitted:
    """Go on with a training that was stopped, from its newest whole checkpoint.

    Args:
        path: the run folder.
        net: the user's own net, for a run that trains one.
        progress: who is told.
        allow: settings that were changed in args.yaml meanwhile, or "striate" for its version.
        ranks: this process, the first of those that train together; the others `follow`.

    Raises:
        CheckpointError: no run folder, damaged, or of a newer version.
        UsageError: the training is finished, or what is not allowed to was changed.
        DataError: the data are not the ones it began with.
    """
    progress = progress or Progress()
    run = Run(path, net)
    config = run.config
    with (
        interrupt.terminable([path]),
        folder.lock(path),
        randomness.own_randomness(),
        plan_room.kept_pages(),
        ExitStack() as around,
    ):
        restarts.mark(path)
        if (path / "summary.json").exists():  # what is written last
            ranks.agreed({"path": str(path)})
            return _finished(run)
        same_code(config, allow, progress.say)
        recipe = same_recipe(path, config, allow)
        config = run.config = Config.read(path)
        around.enter_context(deterministic(recipe.deterministic))
        data = run.open_data()
        _, trained = chosen_net(net, recipe, data)
        if structure(trained) != config.net.structure:
            raise CheckpointError(
                f"{path}: this is not the net that the training began with ({config.net.name})"
            )
        plan = replace(run.plan, device=ranks.device(run.plan.device))
        if layer := plan_room.crashing_layer(trained, plan):
            raise CheckpointError(
                f"{path}: begun in channels_last, in which torch reaches beyond its memory in the backward pass of "
                f"{layer} (1x1 with a stride, few channels); train anew with plan=default"
            )
        found, warnings = checkpoint.newest(path)
        if found is None and not folder.can_go_on(path):
            raise CheckpointError(
                f"{path}: its checkpoints are gone, so it cannot go on; train anew"
            )
        for line in warnings:
            progress.say(line)
        batches = training_batches(data, recipe, plan.device, config.preprocessing, ranks)
        task = named(data.task).of(data, recipe)
        job = Job(path, data, recipe, config, plan, batches, task, progress, ranks)
        start = _start(trained, recipe, progress, data.classes, needed=found is None)
        job, state, record = following.begin(job, trained, found)
        progress.say(f"going on after step {state.step:,}" + job.of_all())
        return _train(job, state, record, start)


def check(recipe: Recipe, out: Path) -> None:
    """Refuse what cannot work on this machine before any data are read.

    Raises:
        UsageError: there is no such device, no such plan, or no folder can be made below `out`.
    """
    device = plan_room.device(recipe.device)
    if recipe.deterministic and recipe.budget:
        raise RecipeError(
            "deterministic=true cannot be kept with budget=: a clock is never the same; use epochs="
        )
    if recipe.plan != "auto":
        plan_room.explicit(recipe.plan, device)
    if recipe.sync_norm and not device.startswith("cuda"):
        raise RecipeError(f"sync_norm=true needs GPUs, this is {device}; leave it out")
    folder.check_parent(out)


def _start(
    net: nn.Module,
    recipe: Recipe,
    progress: Progress,
    classes: Sequence[str] = (),
    *,
    needed: bool,
) -> nn.Module | None:
    """The net as the training began; None where its first weights are gone and a checkpoint has newer ones."""
    try:
        first_weights(net, recipe, progress, classes)
    except StriateError:
        if needed:
            raise
        return None
    return copy.deepcopy(net)


def _finished(run: Run) -> Fitted:
    """A finished training whose report could not be written, so that it can be now."""
    if (run.path / "report.html").exists():
        raise UsageError(
            f"{run.path} is finished: evaluate it (striate evaluate {run.path}), or train further from its weights "
            f"(striate train DATA weights={run.path})"
        )
    data = run.open_data()
    test = run.held(data, "test") if {"val", "test"} <= set(data.splits) else None
    start = None
    if not run.config.net.own:
        recipe = same_recipe(run.path, run.config)
        start = _start(
            chosen_net(None, recipe, data)[1], recipe, Progress(), data.classes, needed=False
        )
    return Fitted(run, data, run.held(data, data.held_out), test, start)


def _train(job: Job, state: State, record: Record, start: nn.Module | None) -> Fitted:
    """Run the loop, keep the record, and finish the run folder."""
    record.say = job.progress.say
    try:
        steps(job, state, record)
        return replace(record.finish(state, job), start=start)
    except (
        KeyboardInterrupt
    ) as error:  # before the loop or after it; within it a signal is waited for
        terminated = isinstance(error, Terminated)
        signum = signal.SIGTERM if terminated else signal.SIGINT
        raise record.stopped(state, signum) from None


def steps(job: Job, state: State, record: Record) -> None:
    """Take all steps of a training, in this process."""
    held, recipe = job.held_out(), job.recipe
    first = job.ranks.first
    health = Health(
        job.path, recipe.health if first else 0, job.plan, job.progress.say, record.board
    )

    def back(state: State) -> None:
        record.back(state)
        if first:
            health.forget(state.step)

    guard = Guard(recipe.on_nan, recipe.oom, job.path if first else None, job.progress.say, back)
    guard.mishaps = job.ranks.agreed(guard.mishaps)
    if first:
        health.forget(state.step)
    if recipe.on_nan == "rollback" and state.step == 0:
        record.save(state)  # what there is to go back to
    with interrupt.listening() as asked:
        heard = job.ranks.heed(asked, record.spent)
        setting = loop.Setting(
            job.batches, job.task, recipe, job.plan, health, heard.spent, guard, job.ranks
        )

        def after_step(state: State) -> None:
            if recipe.epochs:
                job.progress.bar("training", state.step, job.steps)
            else:
                job.progress.bar("training", int(record.spent()), int(recipe.budget or 0))
            record.after_step(state, heard.signum)

        def after_epoch(state: State, epoch: int) -> None:
            row = record.after_epoch(state, epoch, held, job)
            share = setting.place(state).share
            left = record.spent() * (1 - share) / share
            job.progress.say(
                f"epoch {epoch + 1}{f'/{recipe.epochs}' if recipe.epochs else ''}  "
                f"loss {row['train_loss']:.4f}  {job.data.held_out} {_watched(row)}  "
                f"{row['seconds']:.0f} s, {row['items_per_second']:,.0f}/s"
                + (f", {left:.0f} s left" if left >= 1 else "")
            )

        with record.explained(state, own=job.config.net.own):
            loop.run(state, setting, after_step=after_step, after_epoch=after_epoch)
    if state.course.over(recipe):
        job.progress.say(
            f"ended: no smaller loss for {recipe.patience} epoch{'s' * (recipe.patience != 1)}"
        )


def _watched(row: Mapping[str, float]) -> str:
    """The held-out loss and the score that chooses the epoch."""
    first, *_ = [key for key in row if key.startswith("val_") and key != "val_loss"]
    name = first.removeprefix("val_")
    return f"loss {row['val_loss']:.4f}  {name} {shown(name, row[first])}"


def _stem(path: str) -> str:
    """The data's name, fit for a folder."""
    name = Path(path).resolve().name.split(".")[0]
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:60] or "data"


@contextmanager
def _nothing_left_behind(path: Path) -> Generator[None]:
    """Remove a run folder again when nothing was trained in it."""
    try:
        yield
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
