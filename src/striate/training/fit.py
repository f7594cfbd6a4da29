"""A training from its beginning to its finished run folder: begun, resumed, or joined as one of several processes."""

import copy
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from striate import data as data_room
from striate import inputs
from striate import plan as plan_room
from striate.data import Data
from striate.errors import CheckpointError, DataError, RecipeError, StriateError, UsageError
from striate.plan import Plan
from striate.runs import Run, checkpoint, folder
from striate.runs.checkpoint import Checkpoint
from striate.runs.config import Config, NetSpec, structure
from striate.runs.training_items import split_as_then, write_trained
from striate.tasks import named
from striate.tasks.task import refuse_net
from striate.text import some
from striate.training import callbacks, freezing, linear_probe, loop, pretrained, reproducibility
from striate.training.budget import check_budget
from striate.training.defaults import with_defaults
from striate.training.distributed import ALONE, Alone, mark_run, terminable
from striate.training.logs import tensorboard
from striate.training.prepare import (
    Estimate,
    chosen_net,
    load_first_weights,
    prepare,
    training_batches,
)
from striate.training.recipe import Recipe
from striate.training.recipe_files import refuse_together
from striate.training.record import Fitted, Job, Progress, Record
from striate.training.reproducibility import deterministic
from striate.training.resume_check import of_this_code, rate_after, same_code, same_recipe
from striate.training.state import State, Totals

JUDGED = 30  # held-out items from which scores say something
FEWEST = 10  # items in all, below which nothing is trained

Estimator = Callable[[nn.Module, Recipe, Data], Estimate]


def fit(
    data: Data,
    recipe: Recipe,
    *,
    net: nn.Module | None = None,
    out: Path = Path("runs"),
    name: str | None = None,
    progress: Progress | None = None,
    estimate: Estimator | None = None,
    ranks: Alone = ALONE,
) -> Fitted:
    """Train a net on opened data.

    Args:
        data: what `striate.data.open` gave.
        recipe: as written; what it leaves open is settled from the data.
        net: a net of the user's own instead of one of the catalogue; a copy is trained.
        out: below which folder the run folder is made.
        name: of the run folder; found if not given.
        progress: gets lines, and how much is done.
        estimate: gives what is worth saying before the first step, or refuses.
        ranks: this process, the first of those that train together; the others call `run_peer`.

    Raises:
        StriateError: of the kinds in `striate.errors`; what was written before stays.
    """
    progress = progress or Progress()
    folder.check_name(name)
    if name is not None and (out / data.task / name).exists():
        raise folder.taken(out / data.task / name)
    _check_data(data, progress)
    recipe = _settled(recipe, data, net, out, progress)
    spec, trained = chosen_net(net, recipe, data)
    recipe = _begins_with(spec, trained, recipe, data, progress)
    estimated = estimate(trained, recipe, data) if estimate else Estimate()
    for line in estimated.findings:
        progress.say(line)
    with ExitStack() as around:
        folders = around.enter_context(terminable())
        path = folder.make(
            out, data.task, name, f"{_stem(data.path)}-{spec.name.replace('/', '-')}"
        )
        folders.append(path)
        around.enter_context(folder.lock(path))
        around.enter_context(reproducibility.fork_rng())
        around.enter_context(plan_room.kept_pages())
        around.enter_context(deterministic(recipe.deterministic))
        with _removed_on_failure(path):
            mark_run(path)
            _begin(trained, recipe, progress, data)
            start = copy.deepcopy(trained)
            job = prepare(path, data, recipe, spec, trained, progress, estimated, ranks)
            check_budget(job)
            folder.write_text(path / "args.yaml", recipe.as_yaml())
            write_trained(path, data)
            job.config.write(path)
            probed = _probed(trained, job)
        state, record = initial_state(job, trained, None)
        state.parts, state.totals = estimated.parts, probed
        record.started -= probed.seconds  # the probe is a part of the training
        record.say = progress.say
        return replace(_run(job, state, record), start=start)


def _settled(
    recipe: Recipe, data: Data, net: nn.Module | None, out: Path, progress: Progress
) -> Recipe:
    """The recipe with everything that the data decide; what cannot work is refused."""
    inputs.refuse_settings(data.modality, recipe)
    _refuse(recipe, data, own_net=net is not None)
    recipe = pretrained.settled(recipe, data, net, progress.say)
    recipe = with_defaults(recipe, data, own_net=net is not None, say=progress.say)
    inputs.of(data.modality).refuse(recipe)
    check(recipe, out)
    _refuse(recipe, data, own_net=net is not None)
    if recipe.class_weights == recipe.sampling == "balanced":
        progress.say(
            "class_weights=balanced and sampling=balanced both make up for rare classes, which is done "
            "twice now: leave one of them out"
        )
    return recipe


def _refuse(recipe: Recipe, data: Data, *, own_net: bool) -> None:
    """Refuse a net of the catalogue or a setting that cannot learn these data, before anything is decoded."""
    if recipe.net and not own_net:
        refuse_net(named(data.task), recipe.net, inputs.of(data.modality).axes_of(recipe))
    named(data.task).refuse(recipe, own_net=own_net)


def _begun_so(path: Path, net: nn.Module, layer: str) -> CheckpointError:
    """The error of a training in a form in which it cannot go on."""
    kind, _, form = plan_room.crash_words(net, layer).rpartition(" in ")
    return CheckpointError(
        f"{path}: begun in {form}, in which torch reaches beyond its memory in the backward pass of "
        f"{layer} {kind}; train anew with plan=default"
    )


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
        progress: gets lines, and how much is done.
        allow: settings that were changed in args.yaml meanwhile, or "striate" for its version.
        ranks: this process, the first of those that train together; the others call `run_peer`.

    Raises:
        CheckpointError: no run folder, damaged, or of a newer version.
        UsageError: the training is finished, or what is not allowed to was changed.
        DataError: the data are not the ones it began with.
    """
    progress = progress or Progress()
    run = Run(path, net)
    config = run.config
    with (
        terminable([path]),
        folder.lock(path),
        reproducibility.fork_rng(),
        plan_room.kept_pages(),
        ExitStack() as around,
    ):
        mark_run(path)
        for part in path.glob(".*.part"):  # half-written when the process before was killed
            part.unlink(missing_ok=True)
        if (path / "summary.json").exists():  # what is written last
            ranks.broadcast({"path": str(path)})
            return _finished(run)
        same_code(config, allow, progress.say)
        recipe = same_recipe(path, config, allow)
        was, config = config.settings, Config.read(path)
        run.config = config
        around.enter_context(deterministic(recipe.deterministic))
        data = run.open_data()
        for line in data.since:
            progress.say(line)
        _, trained = chosen_net(net, recipe, data)
        if structure(trained) != config.net.structure:
            raise CheckpointError(
                f"{path}: this is not the net that the training began with ({config.net.name})"
            )
        plan = replace(run.plan, device=ranks.device(run.plan.device))
        if layer := plan_room.crashing_layer(trained, plan):
            raise _begun_so(path, trained, layer)
        saved, warnings = checkpoint.newest(path)
        if saved is None and not folder.can_go_on(path):
            raise CheckpointError(
                f"{path}: its checkpoints are gone, so it cannot go on; train anew"
            )
        for line in warnings:
            progress.say(line)
        job = _restored(path, data, recipe, config, plan, progress, ranks)
        saved = of_this_code(saved, progress.say)
        start = _start(trained, recipe, progress, data, needed=saved is None)
        probed = Totals() if saved else _probed(trained, job)
        state, record = initial_state(job, trained, saved)
        state.totals = state.totals if saved else probed
        record.started -= probed.seconds  # the probe is a part of the training
        progress.say(f"going on after step {state.step:,}" + job.of_all())
        for line in rate_after(state, job, was):
            progress.say(line)
        record.say = progress.say
        return replace(_run(job, state, record), start=start)


def _run(job: Job, state: State, record: Record) -> Fitted:
    """From where the training stands to its end; interrupted it goes on later."""
    with callbacks.interruptible(state, record):
        with callbacks.of_training(job, state, record) as after:
            loop.run(state, after.setting, after_step=after.step, after_epoch=after.epoch)
        return record.finish(state, job)


def _begins_with(
    spec: NetSpec, net: nn.Module, recipe: Recipe, data: Data, progress: Progress
) -> Recipe:
    """Say what the net begins with, and give the recipe without a linear probe where there can be none."""
    shape = inputs.of(data.modality).planned_shape(data, recipe)
    recipe, without_probe = linear_probe.settled(net, recipe, named(data.task), shape)
    frozen = freezing.words(net, recipe)
    for line in (pretrained.hint(recipe, data), spec.head_words(), frozen, without_probe):
        if line:
            progress.say(line)
    return recipe


def _probed(net: nn.Module, job: Job) -> Totals:
    """What the training items cost a linear probe, which the net has for its last layer then; nothing without one."""
    return Totals() if job.recipe.linear_probe == "none" else linear_probe.fit_head(net, job)


def _check_data(data: Data, progress: Progress) -> None:
    """Refuse data from which nothing can be learned, and say where too few are held out to judge by.

    Raises:
        DataError: no training items, fewer than `FEWEST` in all, or pictures of a single pixel.
    """
    noun = named(data.task).noun or data.noun
    if "train" not in data.splits:
        raise DataError(
            f"{data.path} has no training {noun}, only {', '.join(data.splits)}: "
            "put them into a folder named train"
        )
    if data.pictures and data.native_size == (1, 1):
        raise DataError(f"{data.path}: every picture is a single pixel (1x1), expected larger ones")
    if unlearned := _never_trained(data):
        progress.say(
            f"note: train has no item of {some(unlearned, 5)}: it cannot be learned, and "
            + (
                "what is said of it means nothing"
                if data.kind == "labels"
                else "every answer to its held-out items is wrong"
            )
        )
    if named(data.task).maps:  # a mask has a score for every place
        return
    held, every = len(data.splits[data.held_out]), sum(map(len, data.splits.values()))
    if every < FEWEST and data.modality != "window":  # a window is a few steps of one series
        raise DataError(
            f"{data.path} has {every} {noun} in all, too few to learn from and to judge by: expected {FEWEST} or more"
        )
    if held < JUDGED:
        progress.say(
            f"note: nothing can be judged by {held} held-out {noun}, too few to tell a good net from a bad one; "
            f"hold out {JUDGED} or more"
        )


def _never_trained(data: Data) -> list[str]:
    """Classes that occur in other splits alone."""
    train = data.counts("train")
    others = [counts for name in data.splits if name != "train" and (counts := data.counts(name))]
    if train is None:
        return []
    return [
        label
        for k, label in enumerate(data.classes)
        if not train[k] and any(counts[k] for counts in others)
    ]


def check(recipe: Recipe, out: Path) -> None:
    """Refuse what cannot work on this machine before any data are read.

    Raises:
        RecipeError: settings that do not go together, or a run folder in the place of a net.
        UsageError: there is no such device, no such plan, or no folder can be made below `out`.
    """
    refuse_together(recipe)
    if recipe.net and (Path(recipe.net) / "config.json").exists():
        raise RecipeError(
            f"net={recipe.net}: this is a run folder; weights={recipe.net} trains its net further, from its weights"
        )
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


def _begin(net: nn.Module, recipe: Recipe, progress: Progress, data: Data) -> None:
    """Give a net its first weights, and what it takes from the data."""
    load_first_weights(net, recipe, progress, data)
    named(data.task).of(data, recipe).set_up(net)


def _start(
    net: nn.Module,
    recipe: Recipe,
    progress: Progress,
    data: Data,
    *,
    needed: bool,
) -> nn.Module | None:
    """The net as the training began; None where its first weights are gone and a checkpoint has newer ones."""
    try:
        _begin(net, recipe, progress, data)
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
        start = _start(chosen_net(None, recipe, data)[1], recipe, Progress(), data, needed=False)
    return Fitted(run, data, run.held(data, data.held_out), test, start)


def _stem(path: str) -> str:
    """The data's name, fit for a folder."""
    name = Path(path).resolve().name.split(".")[0]
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:60] or "data"


@contextmanager
def _removed_on_failure(path: Path) -> Generator[None]:
    """Remove a run folder again when nothing was trained in it."""
    try:
        yield
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def run_peer(ranks: Alone, *, net: nn.Module | None = None) -> Path:
    """Train as one of several processes, not the first: silent, from what the first one settled, writing nothing.

    Args:
        ranks: this process.
        net: the user's own net.

    Returns:
        The run folder.

    Raises:
        DataError: the data here are not those of the first process.
    """
    with reproducibility.fork_rng(), plan_room.kept_pages():
        path, received = _receive(ranks, net)
        if received is None:
            return path
        job, trained = received
        with deterministic(job.recipe.deterministic):
            state, record = initial_state(job, trained, None)
            with callbacks.of_training(job, state, record) as after:
                loop.run(state, after.setting, after_step=after.step, after_epoch=after.epoch)
    return path


def _receive(ranks: Alone, net: nn.Module | None) -> tuple[Path, tuple[Job, nn.Module] | None]:
    """The run folder, the training and its net, as the first process sent them; None where it is finished already."""
    sent: dict[str, Any] = ranks.broadcast({})
    path = Path(sent["path"])
    if "config" not in sent:
        return path, None
    config, recipe = Config.parse(sent["config"], path), Recipe.model_validate(sent["recipe"])
    data = data_room.again(config.data["origin"])
    if data.fingerprint != config.data["fingerprint"]:
        raise DataError(
            f"{data.path} on this machine is not what the first process of this training reads: "
            "every machine needs the same files"
        )
    data = split_as_then(config.data, data)
    _, trained = chosen_net(net, recipe, data)
    given = Plan.from_dict(config.plan)
    plan = replace(given, device=ranks.device(given.device))
    with ranks.decoding():
        job = _restored(path, data, recipe, config, plan, Progress(), ranks)
        job.held_out()
    return path, (job, trained)


def _restored(
    path: Path,
    data: Data,
    recipe: Recipe,
    config: Config,
    plan: Plan,
    progress: Progress,
    ranks: Alone,
) -> Job:
    """A training as config.json describes it."""
    batches = training_batches(data, recipe, plan.device, config.preprocessing, ranks)
    task = named(data.task).of(data, recipe)
    return Job(path, data, recipe, config, plan, batches, task, progress, ranks)


def initial_state(job: Job, net: nn.Module, saved: Checkpoint | None) -> tuple[State, Record]:
    """The same state in all processes: that of the first one's checkpoint, or before the first step.

    Args:
        job: the training.
        net: what is trained, with its first weights in the first process.
        saved: the first process's checkpoint.
    """
    ranks, recipe = job.ranks, job.recipe
    settled = recipe.model_dump(mode="json")
    if ranks.first:
        _refuse_halving(job)
        for line in ranks.warnings():
            job.progress.say(line)
        ranks.broadcast({"path": str(job.path), "config": job.config.as_dict(), "recipe": settled})
    saved = ranks.same(saved, net)
    state = State.begin(ranks.sync_batch_norm(net, together=recipe.sync_norm), recipe, job.plan)
    record = Record(job.path, ranks=ranks)
    if saved:
        record = Record.restore(job.path, saved, state, ranks)
    record.keep = job.recipe.keep
    if ranks.first:
        record.board = tensorboard(job.path, state.step)
    return state, record


def _refuse_halving(job: Job) -> None:
    if job.ranks.world > 1 and job.recipe.oom == "halve":
        raise RecipeError(
            "oom=halve works in one process alone, since the others would not know of it: use accumulate="
        )
