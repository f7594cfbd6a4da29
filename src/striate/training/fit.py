"""One training, from opened data to a finished run folder."""

import shutil
import signal
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from torch import nn

from striate import plan as plan_room
from striate.data import Data
from striate.errors import CheckpointError, DataError, RecipeError, UsageError
from striate.runs import Run, checkpoint, folder
from striate.runs.config import structure
from striate.tasks import Classify
from striate.training import interrupt, loop, optim
from striate.training import seed as randomness
from striate.training.prepare import CHANNELS, chosen_net, prepare, training_batches
from striate.training.recipe import Recipe, read_recipe
from striate.training.record import Fitted, Job, Progress, Record
from striate.training.settle import settle

# The net, the shape of one item, and how many items a step takes.
Examine = Callable[[nn.Module, tuple[int, ...], int], Iterable[str]]


def fit(
    data: Data,
    recipe: Recipe,
    *,
    net: nn.Module | None = None,
    out: Path = Path("runs"),
    name: str | None = None,
    progress: Progress | None = None,
    examine: Examine | None = None,
) -> Fitted:
    """Train a net on opened data.

    Args:
        data: what `striate.data.open` gave.
        recipe: as written; what it leaves open is settled from the data.
        net: a net of the user's own instead of one of the catalogue; a copy is trained.
        out: below which folder the run folder is made.
        name: of the run folder; found if not given.
        progress: who is told.
        examine: gives what is worth saying about the net before it is trained.

    Raises:
        StriateError: of the kinds in `striate.errors`; what was written before stays.
    """
    progress = progress or Progress()
    if "train" not in data.splits:
        raise DataError(
            f"{data.path} has no training pictures, only {', '.join(data.splits)}: "
            "put them into a folder named train"
        )
    recipe = settle(recipe, data, own_net=net is not None)
    check(recipe, out)
    device = plan_room.device(recipe.device)
    spec, trained = chosen_net(net, recipe, data)
    if examine:
        shape = (CHANNELS[recipe.color or "rgb"], *(recipe.size or ()))
        for line in examine(trained, shape, recipe.batch or 1):
            progress.say(line)
    path = folder.make(out, "classify", name, f"{_stem(data.path)}-{spec.name}")
    with folder.lock(path), randomness.own_randomness():
        with _nothing_left_behind(path):
            job = prepare(path, data, recipe, spec, trained, device, progress)
            folder.write_text(path / "args.yaml", recipe.as_yaml())
            job.config.write(path)
        state = loop.State(job.plan.place(trained), optim.optimizer(trained, recipe))
        return _train(job, state, Record(path))


def resume(path: Path, *, net: nn.Module | None = None, progress: Progress | None = None) -> Fitted:
    """Go on with a training that was stopped, from its newest whole checkpoint.

    Args:
        path: the run folder.
        net: the user's own net, for a run that trains one.
        progress: who is told.

    Raises:
        CheckpointError: no run folder, damaged, or of a newer version.
        UsageError: the training is finished.
        DataError: the data are not the ones it began with.
    """
    progress = progress or Progress()
    run = Run(path, net)
    config = run.config
    with folder.lock(path), randomness.own_randomness():
        if (path / "summary.json").exists():  # what is written last
            return _finished(run)
        recipe = _recipe(path)
        data = run.open_data()
        _, trained = chosen_net(net, recipe, data)
        if structure(trained) != config.net.structure:
            raise CheckpointError(
                f"{path}: this is not the net that the training began with ({config.net.name})"
            )
        plan = run.plan
        found, warnings = checkpoint.newest(path)
        if found is None and (path / "results.csv").exists():
            raise CheckpointError(
                f"{path}: its checkpoints are gone, so it cannot go on; train anew"
            )
        for line in warnings:
            progress.say(line)
        batches = training_batches(data, recipe, plan.device, config.preprocessing)
        task = Classify(data.classes, recipe.smoothing)
        job = Job(path, data, recipe, config, plan, batches, task, progress)
        state = loop.State(plan.place(trained), optim.optimizer(trained, recipe))
        record = Record.restore(path, found, state) if found else Record(path)
        progress.say(f"going on after step {state.step:,} of {job.steps:,}")
        return _train(job, state, record)


def check(recipe: Recipe, out: Path) -> None:
    """Refuse what cannot work on this machine before any data are read.

    Raises:
        UsageError: there is no such device, no such plan, or no folder can be made below `out`.
    """
    device = plan_room.device(recipe.device)
    if recipe.plan != "auto":
        plan_room.explicit(recipe.plan, device)
    folder.check_parent(out)


def _recipe(path: Path) -> Recipe:
    """The settled recipe of a run.

    Raises:
        CheckpointError: args.yaml is missing or is not as the training wrote it.
    """
    args = path / "args.yaml"
    try:
        recipe = read_recipe(str(args))
    except RecipeError as error:
        raise CheckpointError(f"{args} is damaged ({error}); train anew") from error
    if sha256(args.read_bytes()).hexdigest() != Run(path).config.recipe:
        raise CheckpointError(
            f"{args} was changed since the training began: put it back, or train anew with it, "
            f"--recipe {args}"
        )
    return recipe


def _finished(run: Run) -> Fitted:
    """A finished training whose report could not be written, so that it can be now."""
    if (run.path / "report.html").exists():
        raise UsageError(
            f"{run.path} is finished: evaluate it (striate evaluate {run.path}) or train anew"
        )
    data = run.open_data()
    test = run.held(data, "test") if {"val", "test"} <= set(data.splits) else None
    return Fitted(run, data, run.held(data, data.held_out), test)


def _train(job: Job, state: loop.State, record: Record) -> Fitted:
    """Run the loop, keep the record, and finish the run folder."""
    try:
        _loop(job, state, record)
        return record.finish(state, job)
    except KeyboardInterrupt:  # before the loop or after it; within it a signal is waited for
        raise record.stopped(state, signal.SIGINT) from None


def _loop(job: Job, state: loop.State, record: Record) -> None:
    held = job.held_out()
    with interrupt.listening() as asked:

        def after_step(state: loop.State) -> None:
            job.progress.bar("training", state.step, job.steps)
            record.after_step(state, asked.signum)

        def after_epoch(state: loop.State, epoch: int) -> None:
            row = record.after_epoch(state, epoch, held, job)
            job.progress.say(
                f"epoch {epoch + 1}/{job.recipe.epochs}  loss {row['train_loss']:.4f}  "
                f"{job.data.held_out} loss {row['val_loss']:.4f}  accuracy {row['val_accuracy']:.2%}  "
                f"{row['seconds']:.0f} s"
            )

        try:
            loop.run(
                state,
                job.batches,
                job.task,
                recipe=job.recipe,
                plan=job.plan,
                after_step=after_step,
                after_epoch=after_epoch,
            )
        except loop.BrokenStepError as error:
            raise record.broken(error) from error


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
