"""One training, from opened data to a finished run folder."""

import copy
import platform
import shutil
import signal
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from striate import plan as plan_room
from striate.data import Data
from striate.errors import CheckpointError, ShapeError, UsageError
from striate.plan import Plan
from striate.runs import Run, checkpoint, folder
from striate.runs.config import Config, NetSpec, structure
from striate.runs.preprocessing import Preprocessing
from striate.tasks import Classify
from striate.training import interrupt, loop, optim
from striate.training import seed as randomness
from striate.training.batches import Batches, padded
from striate.training.recipe import Recipe, read_recipe
from striate.training.record import Fitted, Job, Progress, Record
from striate.training.settle import settle, stored_size

CHANNELS = {"grey": 1, "rgb": 3}
PLAN_VALUES = 1_000_000  # input values of the batch on which candidates are timed


def fit(
    data: Data,
    recipe: Recipe,
    *,
    net: nn.Module | None = None,
    out: Path = Path("runs"),
    name: str | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Train a net on opened data.

    Args:
        data: what `striate.data.open` gave.
        recipe: as written; what it leaves open is settled from the data.
        net: a net of the user's own instead of one of the catalogue; a copy is trained.
        out: below which folder the run folder is made.
        name: of the run folder; found if not given.
        progress: who is told.

    Raises:
        StriateError: of the kinds in `striate.errors`; what was written before stays.
    """
    progress = progress or Progress()
    recipe = settle(recipe, data, own_net=net is not None)
    device = plan_room.device(recipe.device)
    if recipe.plan != "auto":
        plan_room.explicit(recipe.plan, device)  # a misspelt plan is said before anything is made
    spec, trained = _net(net, recipe, data)
    path = folder.make(out, "classify", name, f"{_stem(data.path)}-{spec.name}")
    with folder.lock(path), randomness.own_randomness():
        with _nothing_left_behind(path):
            job = _prepare(path, data, recipe, spec, trained, device, progress)
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
    if (path / "summary.json").exists():  # what is written last
        raise UsageError(f"{path} is finished: evaluate it (striate evaluate {path}) or train anew")
    recipe = read_recipe(str(path / "args.yaml"))
    data = run.open_data()
    _, trained = _net(net, recipe, data)
    if structure(trained) != config.net.structure:
        raise CheckpointError(
            f"{path}: this is not the net that the training began with ({config.net.name})"
        )
    plan = Plan.from_dict(config.plan)
    with folder.lock(path), randomness.own_randomness():
        found, warnings = checkpoint.newest(path)
        for line in warnings:
            progress.say(line)
        batches = _batches(data, recipe, plan.device, config.preprocessing)
        task = Classify(data.classes, recipe.smoothing)
        job = Job(path, data, recipe, config, plan, batches, task, progress)
        state = loop.State(plan.place(trained), optim.optimizer(trained, recipe))
        record = Record.restore(path, found, state) if found else Record(path)
        progress.say(f"going on after step {state.step:,} of {job.steps:,}")
        return _train(job, state, record)


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
                f"{job.data.held_out} loss {row['val_loss']:.4f}  accuracy {row['val_accuracy']:.2%}"
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


def _prepare(
    path: Path,
    data: Data,
    recipe: Recipe,
    spec: NetSpec,
    net: nn.Module,
    device: str,
    progress: Progress,
) -> Job:
    """Decode all items, measure those of the training, choose the plan."""
    decoded = {  # all of them now: too many broken ones must not show up after the training
        split: data.arrays(
            split,
            size=stored_size(recipe),
            color=recipe.color,
            progress=partial(progress.bar, f"decoding {split}"),
        )
        for split in data.splits
    }
    for problem in data.problems:
        progress.say(f"skipped {problem.file}: {problem.reason}")
    train = decoded["train"]
    size, color = recipe.size or (0, 0), recipe.color or "rgb"
    preprocessing = Preprocessing.measured(train.images, size, color)
    batches = _batches(data, recipe, device, preprocessing)
    task = Classify(data.classes, recipe.smoothing)
    plan = _plan(net, batches, task, recipe, device)
    progress.say(plan.as_text())
    if plan.step_ms:
        progress.say(_forecast(plan.step_ms / 1000 * batches.steps, recipe.epochs or 1))
    config = Config(
        net=spec,
        task=task.name,
        classes=data.classes,
        preprocessing=preprocessing,
        data={
            "path": str(Path(data.path).resolve()) if Path(data.path).exists() else data.path,
            "layout": data.layout,
            "fingerprint": data.fingerprint,
            "splits": {name: len(split) for name, split in data.splits.items()},
            "val": recipe.val,
            "seed": recipe.seed,
            "ignore": list(recipe.ignore),
            "broken": recipe.broken,
        },
        plan=plan.as_dict(),
        versions={
            "striate": version("striate"),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "threads": str(torch.get_num_threads()),
        },
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Job(path, data, recipe, config, plan, batches, task, progress)


def _net(net: nn.Module | None, recipe: Recipe, data: Data) -> tuple[NetSpec, nn.Module]:
    """What is trained, and the words for it in config.json."""
    if net is not None:
        own = copy.deepcopy(net)
        return NetSpec(type(net).__name__.lower(), structure(own), own=True), own
    spec = NetSpec(
        recipe.net or "",
        in_channels=CHANNELS[recipe.color or "rgb"],
        num_classes=len(data.classes),
        size=recipe.size,
        width=recipe.width,
        options=recipe.options,
    )
    built = spec.build(randomness.generator(recipe.seed, "init"))
    return replace(spec, structure=structure(built)), built


def _batches(data: Data, recipe: Recipe, device: str, preprocessing: Preprocessing) -> Batches:
    arrays = data.arrays("train", size=preprocessing.resize, color=preprocessing.color)
    images = torch.from_numpy(arrays.images)
    if recipe.augment == "shift":
        images = padded(images, preprocessing.size)
    return Batches(
        images.to(device),
        torch.from_numpy(arrays.labels).to(device),
        preprocessing,
        recipe.batch or 1,
        recipe.augment,
        recipe.seed,
    )


def _plan(net: nn.Module, batches: Batches, task: Classify, recipe: Recipe, device: str) -> Plan:
    """The plan as asked for, or the one that measures best on a real batch."""
    items = max(2, PLAN_VALUES // batches.images[0].numel())
    index = batches.order(0)[0][:items]
    x, target = batches.take(index, 0, 0)
    _check_outputs(net, x, task)
    if recipe.plan != "auto":
        return plan_room.explicit(recipe.plan, device)
    steps = batches.steps * (recipe.epochs or 1) * (recipe.batch or 1) / len(index)
    plan = plan_room.choose(net, x, target, task.loss, device=device, steps=steps)
    return replace(plan, step_ms=(plan.step_ms or 0) * (recipe.batch or 1) / len(index))


def _forecast(seconds: float, epochs: int) -> str:
    """How long it will take, said before the first step, while nothing is lost by stopping."""
    whole = seconds * epochs
    words = f"{whole / 60:.0f} min" if whole > 120 else f"{whole:.0f} s"
    hint = "; fewer epochs= or a smaller size= or width= take less" if whole > 600 else ""
    return f"about {words} of training: {epochs} epochs of {seconds:.1f} s{hint}"


def _check_outputs(net: nn.Module, x: torch.Tensor, task: Classify) -> None:
    """One pass of a copy, so that a net that does not fit the data says so before anything is timed."""
    trial = copy.deepcopy(net).eval()
    with torch.inference_mode():
        outputs = trial(x[:2].cpu())
    expected = (len(x[:2]), len(task.classes))
    if not isinstance(outputs, torch.Tensor) or tuple(outputs.shape) != expected:
        got = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise ShapeError(
            f"the net answers {got} to {expected[0]} pictures, expected {expected}: "
            f"build it with {expected[1]} classes"
        )


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
