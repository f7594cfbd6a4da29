"""What happens before the first step: data decoded and measured, the net built, the plan chosen."""

import copy
import hashlib
import math
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from striate import inputs, weights
from striate import plan as plan_room
from striate.augment import read
from striate.data import Arrays, Data, Streamed
from striate.errors import CheckpointError, RecipeError, StriateError, UsageError, out_of_memory
from striate.inputs import Preprocessing
from striate.models import catalog
from striate.models.backbone import BATCH_NORMS, Backbone
from striate.models.unsupervised import Unsupervised
from striate.plan import Plan
from striate.plan.tiles import Tiling
from striate.runs.config import Config, NetSpec, structure
from striate.runs.training_items import sha256_of
from striate.tasks import Task, named
from striate.text import rough, some
from striate.training import budget, freezing, pretrained, reproducibility
from striate.training.batches import Batches, Stream, read_shards, why_streamed
from striate.training.distributed import ALONE, Alone
from striate.training.recipe import OWN, Recipe
from striate.training.record import Job, Progress
from striate.training.reproducibility import check_deterministic
from striate.training.resume_check import remembered, versions

NAMED = 5  # classes that a line names
MEASURED, TOGETHER = 5000, 64  # training items that a task measures at most, and of a batch
PLAN_VALUES = 500_000  # input values of the batch on which candidates are timed
LONG = 600.0  # seconds from which smaller forms are named


@dataclass(frozen=True)
class Estimate:
    """What someone who knows the net found out about a training to come.

    Attributes:
        findings: a line each.
        memory: the words for what it takes and what is there.
        smaller: what smaller forms would take, given the seconds of this one, if known.
        parts: in how many times as many parts as the recipe says a batch is computed.
        close: the memory will be short.
        tiling: how large pictures may be divided, of tasks with maps.
        announced: whether a training follows, whose time is worth a word.
    """

    findings: tuple[str, ...] = ()
    memory: str = ""
    smaller: Callable[[float | None], list[str]] = lambda _seconds: []
    parts: int = 1
    close: bool = False
    tiling: Tiling | None = None
    announced: bool = True

    def as_text(self, seconds: float | None, recipe: Recipe, left: float | None = None) -> str:
        """One line: time, memory, and what a smaller form would take where this one is long or large.

        Args:
            seconds: of an epoch, if it was timed.
            recipe: settled.
            left: seconds of its budget that are left for training; all of it if not given.
        """
        if not self.announced:
            return ""
        left = recipe.budget if left is None else left
        epochs = recipe.most_epochs
        whole = None if seconds is None else seconds * epochs
        words = [self.memory] if self.memory else []
        if recipe.linear_probe == "only":
            return self.memory
        if seconds is not None and recipe.budget and left is not None and epochs * seconds > left:
            whole = None  # ends when the budget does
            words.insert(
                0,
                f"{recipe.budget:.0f} s in all, as asked for: about {max(0.0, left) / seconds:.1f} epochs",
            )
        elif seconds is not None and whole is not None:
            words.insert(
                0,
                f"about {rough(whole)} of training: {epochs} epoch{'s' * (epochs != 1)} of {seconds:.1f} s",
            )
        long = whole is not None and whole > LONG
        if long:
            words.append("fewer epochs= take less")
        if long or self.close:
            words += [f"{form} instead" for form in self.smaller(whole)]
        return "; ".join(words)


def prepare(
    path: Path,
    data: Data,
    recipe: Recipe,
    spec: NetSpec,
    net: nn.Module,
    progress: Progress,
    estimate: Estimate = Estimate(),
    ranks: Alone = ALONE,
) -> Job:
    """Decode all items, measure those of the training, choose the plan."""
    items = sum(len(split) for split in data.splits.values())
    kind = named(data.task)
    how = inputs.of(data.modality)
    noun = kind.noun or how.noun()
    then = "then timing ways to run it" if estimate.announced else "to try learning rates on them"
    progress.say(f"reading {items:,} {noun} for {spec.name}, {then}")
    for line in how.remarks(data, recipe):
        progress.say(line)
    form = how.planned(data, recipe, kind.fit)
    decoded = {  # all of them now: too many broken ones must not show up after the training
        split: data.arrays(
            split,
            form=form,
            progress=partial(progress.bar, f"decoding {split}"),
        )
        for split in data.splits
    }
    for problem in data.problems:
        progress.say(f"skipped {problem.file}: {problem.reason}")
    for split, arrays in decoded.items():
        if isinstance(arrays.inputs, Streamed):
            progress.say(why_streamed(split, arrays.inputs, data))
    measured = how.of(decoded["train"].inputs, data, recipe, form)
    fed = pretrained.choose_normalization(measured, recipe, net, progress.say)
    for line in (*data.warnings, *data.cautions):
        progress.say(f"note: {line}")
    device = ranks.device(recipe.device)
    batches = training_batches(data, recipe, device, fed, ranks)
    task = kind.of(data, recipe).measured(net, _seen(decoded["train"], fed))
    _check_norm(net, batches, recipe, ranks.world)

    def expected_words(step_seconds: float | None) -> str:
        seconds = step_seconds * batches.steps if step_seconds else None
        return estimate.as_text(seconds, recipe, budget.left(recipe, progress))

    def slow(seconds: float) -> None:
        _say(progress, "by its first step alone: ", expected_words(seconds))

    def share(done: float) -> None:
        progress.bar("timing plans", round(100 * done), 100)

    watch = plan_room.Watch(slow, share)
    plan = _plan(net, batches, task, recipe, device, ranks.world, watch)
    progress.say(plan.as_text())
    _say(progress, "", expected_words(plan.step_ms / 1000 if plan.step_ms else None))
    config = Config(
        net=spec,
        task=task.name,
        task_settings=task.config(),
        classes=task.classes,
        preprocessing=fed,
        data={
            "origin": data.origin,
            "layout": data.layout,
            "fingerprint": data.fingerprint,
            "splits": {name: len(split) for name, split in data.splits.items()},
            "trained": sha256_of(data),
        },
        plan=plan.as_dict(),
        tiling=estimate.tiling.as_dict() if estimate.tiling else {},
        versions={**versions(spec.name), "processes": str(ranks.world)},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    config = remembered(recipe, config)
    return Job(path, data, recipe, config, plan, batches, task, progress, ranks)


def _seen(arrays: Arrays, fed: Preprocessing) -> Iterator[NDArray[Any]]:
    """Training inputs as evaluation sees them, evenly picked, batch by batch; of large sets a part."""
    numbers = np.unique(np.linspace(0, len(arrays) - 1, min(len(arrays), MEASURED)).astype(int))
    for at in range(0, len(numbers), TOGETHER):
        stored = np.asarray(arrays.inputs[numbers[at : at + TOGETHER]])
        yield fed.centre(torch.from_numpy(np.array(stored))).numpy()


def _say(progress: Progress, before: str, words: str) -> None:
    """Say something, if there is anything to say."""
    if words:
        progress.say(before + words)


def chosen_net(net: nn.Module | None, recipe: Recipe, data: Data) -> tuple[NetSpec, nn.Module]:
    """What is trained, and the words for it in config.json."""
    if net is not None:
        name = type(net).__name__.lower()
        with _of_the_user(f"the net {name} cannot be copied and read"):
            own = copy.deepcopy(net)
            generator = reproducibility.generator(recipe.seed, "init")
            outputs = pretrained.with_classes(own, recipe, data, generator)
            spec = NetSpec(name, structure(own), own=True, num_classes=outputs)
        if not any(p.requires_grad for p in own.parameters()):
            raise UsageError(f"the net {name} has no parameter that can be trained")
        return spec, own
    head, how = named(data.task).of(data, recipe).head(), inputs.of(data.modality)
    spec = NetSpec(
        recipe.net or "",
        in_channels=head.get("in_channels") or how.planned_shape(data, recipe)[0],
        num_classes=head.get("num_classes"),
        size=how.planned_size(data, recipe),
        width=recipe.width,
        options=recipe.options,
    )
    with reproducibility.fork_rng():
        reproducibility.seed_everything(recipe.seed, "init")  # nets of other packages draw from it
        built = spec.build(reproducibility.generator(recipe.seed, "init"))
    if isinstance(built, Unsupervised):
        raise built.refusal()
    return replace(spec, structure=structure(built)), built


def load_first_weights(net: nn.Module, recipe: Recipe, progress: Progress, data: Data) -> None:
    """Put the recipe's `weights` into a net, say what was adapted, and refuse to freeze what is not there.

    The head of a run is taken over by what its outputs stand for: classes in another order change places, numbers are
    scaled as they are here, and where the names are others it starts anew.

    Args:
        net: changed in place.
        recipe: its weights and what it freezes.
        progress: who is told.
        data: what it is to learn.

    Raises:
        StriateError: of the kinds in `striate.errors`; see `striate.weights.load`.
    """
    if recipe.weights and recipe.weights != OWN:
        was = _task_of(Path(recipe.weights))
        task = named(data.task).of(data, recipe) if was else None
        known, wanted = (each.answers if each else () for each in (was, task))
        same = was is None or set(known) == set(wanted)
        generator = reproducibility.generator(recipe.seed, "init")
        library = catalog.is_library(recipe.net or "")
        loaded = weights.load(net, recipe.weights, generator=generator, head=same, adapt=library)
        for line in loaded.as_text().splitlines():
            progress.say(line)
        if not same and not isinstance(net, Backbone):
            progress.say(
                f"the outputs of {recipe.weights} stood for {some(known, NAMED)}, here for {some(wanted, NAMED)}: "
                "its last layer answers those until it has learned these"
            )
        elif was and task and same:
            if known != wanted:
                _reordered(net, torch.tensor([known.index(name) for name in wanted]))
                progress.say(f"the head's outputs are put in the order {some(wanted, NAMED)}")
            layers = [
                net.get_submodule(p) for p in freezing.heads(net) if isinstance(net, Backbone)
            ]
            adopted = [task.adopt(layer, was) for layer in layers]
            if any(adopted):
                progress.say(
                    "the head's outputs are scaled to the mean and deviation of these numbers"
                )
    freezing.check(net, recipe)


def _task_of(run: Path) -> Task | None:
    """What a run folder whose weights are whole was trained for; None of anything else.

    Raises:
        CheckpointError: it is a run, and damaged.
    """
    if not (run / "config.json").exists():
        return None
    config = Config.read(run)
    path = run / "model.safetensors"
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path} cannot be read: it is no regular file")
    if path.exists():
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != config.weights:
            raise CheckpointError(f"{path} is damaged: its SHA-256 is not the one in config.json")
    return named(config.task).restored(config.classes, config.task_settings)


def _reordered(net: nn.Module, order: torch.Tensor) -> None:
    """Put the outputs of a net's last layers into another order, where each is a class."""
    for path in freezing.heads(net):
        layer = net.get_submodule(path)
        for tensor in (getattr(layer, "weight", None), getattr(layer, "bias", None)):
            if isinstance(tensor, torch.Tensor) and len(tensor) == len(order):
                with torch.no_grad():
                    tensor.copy_(tensor[order])


def training_batches(
    data: Data,
    recipe: Recipe,
    device: str,
    preprocessing: Preprocessing,
    ranks: Alone = ALONE,
) -> Batches:
    """The training items on the device, at the size they are stored, with room for shifts."""
    arrays = data.arrays("train", form=preprocessing.form)
    masks = arrays.targets if isinstance(arrays.targets, Streamed) else None
    whole = torch.empty(0) if masks is not None else torch.from_numpy(np.asarray(arrays.targets))
    targets = on_device(whole, device)
    settings = (targets, preprocessing, recipe.batch or 1, recipe.augment, recipe.seed)
    balanced, shards = recipe.sampling == "balanced", read_shards(arrays.places, recipe.window)
    if isinstance(arrays.inputs, Streamed):
        mixed = bool(read(recipe.augment).of("mix"))  # then every process needs the whole batch
        nothing = torch.empty((0, *arrays.inputs.shape[1:]), dtype=torch.uint8, device=device)
        return Stream(
            nothing,
            *settings,
            balanced,
            shards,
            data.kind,
            pictures=arrays.inputs,
            masks=masks,
            workers=recipe.workers,
            mine=lambda index: index if mixed else ranks.share(index)[0],
        )
    stored = torch.from_numpy(arrays.inputs)
    stored = preprocessing.with_room(stored, read(recipe.augment))
    return Batches(on_device(stored, device), *settings, balanced, shards, data.kind)


def on_device(view: torch.Tensor, device: str) -> torch.Tensor:
    """A tensor on a device; of windows that share their memory that memory alone is copied."""
    extent = 1 + sum((n - 1) * step for n, step in zip(view.shape, view.stride(), strict=True))
    if extent >= view.numel() or not view.numel():
        return view.to(device)
    return view.as_strided((extent,), (1,)).to(device).as_strided(view.shape, view.stride())


def _plan(
    net: nn.Module,
    batches: Batches,
    task: Task,
    recipe: Recipe,
    device: str,
    world: int,
    watch: plan_room.Watch,
) -> Plan:
    """The plan as asked for, or the one that measures best on a real batch, of which `world` processes share each.

    Where choosing takes a while, `watch.slow` gets what a step of the training takes, by the first one.
    """
    items = max(2, PLAN_VALUES // max(1, math.prod(batches.inputs.shape[1:])))
    index = batches.order(0)[0][:items]
    x, target = batches.take(index, 0, 0)
    if recipe.deterministic:
        check_deterministic(net, x[:2], target[:2], task)
    _check_outputs(net, x, task)
    _check_loss(net, x[:2], target[:2], task, recipe)
    batch = (recipe.batch or 1) / world
    ours = isinstance(net, Backbone)  # whose failures are faults of this package
    with nullcontext() if ours else _of_the_user("the net fails while ways to run it are timed"):
        if recipe.plan != "auto" or recipe.deterministic:  # what is fastest may change between runs
            plan = _explicit(net, "default" if recipe.plan == "auto" else recipe.plan, device)
            return plan_room.timed(plan, net, x, target, task.learn, scale=batch / len(index))
        steps = batches.steps * recipe.most_epochs * batch / len(index)
        watch.share(0.0)

        def slow(first: float) -> None:
            watch.slow(first * batch / len(index))

        plan = plan_room.choose(
            net,
            x,
            target,
            task.learn,
            device=device,
            steps=steps,
            seconds=recipe.budget or math.inf,
            watch=watch._replace(slow=slow),
        )
    return replace(plan, step_ms=(plan.step_ms or 0) * batch / len(index))


def _check_norm(net: nn.Module, batches: Batches, recipe: Recipe, world: int) -> None:
    """Refuse batches too small for batch normalisation, which sees those of each process alone."""
    least = 1 if recipe.sync_norm and world > 1 else 2
    normalised = any(isinstance(m, BATCH_NORMS) for m in net.modules())
    if normalised and min(map(len, batches.order(0))) < least * world:
        shared = f" shared by {world} processes" if world > 1 else ""
        raise RecipeError(
            f"batch={recipe.batch}{shared}: batch normalisation cannot learn from one picture a step; "
            f"use batch={_batch_of(batches.count, least * world)} or more"
        )


def _batch_of(items: int, least: int) -> int:
    """The smallest batch of which no step of an epoch has fewer items than `least`."""
    fits = (b for b in range(least, items + 1) if items // math.ceil(items / b) >= least)
    return next(fits, least)


def _explicit(net: nn.Module, words: str, device: str) -> Plan:
    asked = plan_room.explicit(words, device)
    layer = plan_room.crashing_layer(net, asked)
    if layer is not None:
        raise RecipeError(
            f"plan={words}: torch reaches beyond its memory in the backward pass of {layer} "
            f"{plan_room.crash_words(net, layer)}; use plan=default"
        )
    return asked


def _check_outputs(net: nn.Module, x: torch.Tensor, task: Task) -> None:
    """One pass of a copy, so that a net that does not fit the data says so before anything is timed."""
    trial = copy.deepcopy(net).eval()
    some = Plan().batch(x[:2])
    with _of_the_user(f"the net fails on a batch of {'x'.join(map(str, some.shape))}"):
        with torch.inference_mode():
            outputs = trial(some)
        trial.train()(some)
    task.check_answer(outputs, some)


def _check_loss(
    net: nn.Module, x: torch.Tensor, target: torch.Tensor, task: Task, recipe: Recipe
) -> None:
    """Refuse what a loss of the net's own would not take notice of.

    Raises:
        RecipeError: naming the setting.
    """
    if not isinstance(net, Backbone):
        return
    targets_seen: list[torch.Tensor] = []

    def loss(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        targets_seen.append(wanted)
        return task.criterion(logits, wanted)[0]

    copy.deepcopy(net).train().objective(Plan().batch(x), target.cpu(), loss)
    usual = {"loss": task.usual_loss, "smoothing": 0.0, "class_weights": "none"}
    changed = {key: getattr(recipe, key) for key in usual if getattr(recipe, key) != usual[key]}
    if read(recipe.augment).of("mix"):
        changed["augment"] = recipe.augment
    if changed and not targets_seen:
        key, value = next(iter(changed.items()))
        raise RecipeError(
            f"{key}={value}: {recipe.net} learns by a loss of its own, which takes no notice of it; "
            + ("leave mixup and cutmix out" if key == "augment" else f"leave {key} out")
        )


@contextmanager
def _of_the_user(what: str) -> Generator[None]:
    """Turn whatever a net of the user's own raises into one line that names it."""
    try:
        yield
    except StriateError:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        reason = " ".join(str(error).split())
        raise UsageError(f"{what}: {type(error).__name__}: {reason}; mend the net") from error
