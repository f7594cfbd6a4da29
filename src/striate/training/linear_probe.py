"""A linear probe: the last layer of a net, fitted to features that the rest of it computes once.

N items, D features, K outputs. Alain and Bengio 2016, arXiv 1610.01644; as the beginning of fine-tuning Kumar et al. 2022,
arXiv 2202.10054, section 4.
"""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from striate.augment import read
from striate.models.backbone import last_layer
from striate.probe import as_eval
from striate.tasks import Task
from striate.training import reproducibility
from striate.training.recipe import Recipe
from striate.training.record import Job
from striate.training.state import Totals

MOST = 20_000  # items whose features are computed, at most
FEWEST = 100  # however little time there is
PASSES = 3  # as long as answering an item a step of training takes: forward once, backward twice
CHUNK = 64  # items at a time
STRENGTHS = tuple(10 ** (exponent / 2) for exponent in range(2, -11, -1))  # of the penalty
ITERATIONS = 200  # of L-BFGS for each strength
WORSE = 3  # strengths in a row that may be worse than the best before the search ends

Criterion = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Features:
    """What the last layer reads [N, D] of views of items, the targets [N, ...] and the numbers [N] of the items."""

    x: Tensor
    target: Tensor
    item: Tensor

    def of(self, which: Tensor) -> "Features":
        """Some of the views."""
        return Features(self.x[which], self.target[which], self.item[which])


@dataclass(frozen=True)
class Fit:
    """A linear layer's weights [K, D] and bias [K] for features as they are, and the penalty that they were fitted with."""

    weight: Tensor
    bias: Tensor
    strength: float
    loss: float


def settled(
    net: nn.Module, recipe: Recipe, task: type[Task], shape: tuple[int, ...]
) -> tuple[Recipe, str]:
    """The recipe without a probe where the net or the task allows none, and the line that says so; mostly empty.

    Args:
        net: any net, as it will be trained; it is left as it is.
        recipe: settled.
        task: what is learned.
        shape: of one item of its input.
    """
    if recipe.linear_probe == "none":
        return recipe, ""
    why = _refusal(net, task, shape)
    if not why:
        return recipe, ""
    update = {"linear_probe": "none", "head_epochs": max(1, recipe.head_epochs)}
    return recipe.model_copy(
        update=update
    ), f"no linear probe: {why}; the head learns alone for an epoch"


def _refusal(net: nn.Module, task: type[Task], shape: tuple[int, ...]) -> str:
    path = last_layer(net)
    layer = net.get_submodule(path) if path else net
    if not task.linear:
        return f"what is learned is to {task.name}"
    if not isinstance(layer, nn.Linear):
        return f"the last layer {path} is {type(layer).__name__}, which is not linear"
    x = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    with as_eval(net), torch.inference_mode():
        try:
            answer = net(x)
            with without_head(net, path):
                features = net(x)
        except Exception:  # noqa: BLE001 - what comes next says what is wrong with the net
            return "the net fails on a trial"
        if not isinstance(features, Tensor) or features.ndim != 2:
            return f"the last layer {path} reads no vector an item"
        if features.shape[1] != layer.in_features or not torch.allclose(layer(features), answer):
            return f"something follows the last layer {path}"
    return ""


@contextmanager
def without_head(net: nn.Module, path: str) -> Generator[nn.Module]:
    """Lend a net whose answer is what the layer at a path would read; the layer is put back, also after an exception."""
    layer = net.get_submodule(path)
    net.set_submodule(path, nn.Identity())
    try:
        yield layer
    finally:
        net.set_submodule(path, layer)


def fit_head(net: nn.Module, job: Job) -> Totals:
    """Fit the last layer of a net, in place, and give what the training items cost it, as an epoch would.

    The strength of the penalty is the one with which held-out items cost least; where those are test items, which
    choose nothing, a fifth of the training items takes their place.

    Args:
        net: what will be trained.
        job: the training; nothing of it is changed.
    """
    start = time.perf_counter()
    net = job.plan.place(net)
    path = last_layer(net)
    with as_eval(net), without_head(net, path) as layer, torch.no_grad():
        train = _trained(net, job)
        held = _held_out(net, job)
    by = job.data.held_out if held else "a fifth of them"

    def criterion(answer: Tensor, target: Tensor) -> Tensor:
        return job.task.criterion(answer, target)[0]

    tensors = dict(layer.named_parameters())
    outputs, bias = len(tensors["weight"]), "bias" in tensors
    parts = (train, held) if held else _divided(train, job.recipe.seed)
    fit = fitted(*parts, criterion, outputs, bias=bias)
    if not held:
        fit = fitted(train, train, criterion, outputs, bias=bias, strengths=(fit.strength,))
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(getattr(fit, name))
    job.progress.say(
        f"linear probe: {path} fitted to {train.x.shape[1]:,} features of {len(train.x):,} views of what is trained on, "
        f"penalty {fit.strength:.2g} by {by}"
    )
    return replace(_totals(fit, train, job.task), seconds=time.perf_counter() - start)


def _trained(net: nn.Module, job: Job) -> Features:
    """Of the training items as evaluation sees them, and mirrored where the training mirrors them."""
    batches, device = job.batches, job.batches.device
    index = torch.arange(batches.count)
    most, mirrored = _affordable(job)
    if batches.count > most:
        order = torch.randperm(
            batches.count, generator=reproducibility.generator(job.recipe.seed, "probe")
        )
        index = order[:most].sort().values
        job.progress.say(f"linear probe: of {most:,} of {batches.count:,} training items")
    found: list[Features] = []
    for some in index.split(CHUNK):
        x, target = batches.take(some.to(device), 0, 0, plain=True)
        views = (x, x.flip(-1)) if mirrored else (x,)
        found += [Features(_answer(net, job, view), target.cpu(), some) for view in views]
        job.progress.bar("features", sum(len(f.x) for f in found) // (1 + mirrored), len(index))
    return _joined(found)


def _affordable(job: Job) -> tuple[int, bool]:
    """Of how many training items features are computed, and whether of mirrored ones too: a third of the time at most."""
    recipe = job.recipe
    mirrored = "flip" in dict(read(recipe.augment).steps)
    step = (job.plan.step_ms or 0.0) / 1000
    if not (recipe.budget and step):
        return MOST, mirrored
    item = step / (recipe.batch or 1) / PASSES
    views = int(recipe.budget / 3 / item)
    mirrored = mirrored and views >= 2 * job.batches.count
    return max(FEWEST, min(MOST, views // (1 + mirrored))), mirrored


def _held_out(net: nn.Module, job: Job) -> Features | None:
    """Of the validation items; None where none are held out to choose by."""
    if job.data.held_out != "val":
        return None
    arrays, pre = job.held_out(), job.config.preprocessing
    found: list[Features] = []
    for start in range(0, len(arrays), CHUNK):
        stored = torch.from_numpy(np.asarray(arrays.inputs[start : start + CHUNK]))
        target = torch.from_numpy(np.asarray(arrays.targets[start : start + CHUNK]))
        x = pre.normalise(pre.centre(stored.to(job.batches.device)))
        target = pre.target(job.data.kind, target)
        found.append(Features(_answer(net, job, x), target, torch.arange(start, start + len(x))))
    return _joined(found)


def _answer(net: nn.Module, job: Job, x: Tensor) -> Tensor:
    with job.plan.autocast():
        return net(job.plan.batch(x)).float().cpu()


def _joined(parts: list[Features]) -> Features:
    columns = zip(*((part.x, part.target, part.item) for part in parts), strict=True)
    return Features(*map(torch.cat, columns))


def _divided(train: Features, seed: int) -> tuple[Features, Features]:
    """Four fifths of the items and a fifth, each with all its views."""
    items = train.item.unique()
    order = torch.randperm(len(items), generator=reproducibility.generator(seed, "probe", "held"))
    held = torch.isin(train.item, items[order[: max(1, len(items) // 5)]])
    return train.of(~held), train.of(held)


def fitted(
    train: Features,
    held: Features,
    criterion: Criterion,
    outputs: int,
    *,
    bias: bool,
    strengths: Sequence[float] = STRENGTHS,
) -> Fit:
    """The linear layer that costs held-out items least, of those fitted with each strength of the penalty.

    Features are centred (where there is a bias) and divided by their common deviation, so that strengths mean the same
    for every net; the penalty is half the strength times the squared weights.

    Args:
        train: what is fitted to.
        held: what the strength is chosen by.
        criterion: the mean loss of answers [N, K] and targets.
        outputs: K.
        bias: whether the layer has one.
        strengths: of the penalty, the strongest first; the search ends where weaker ones have become worse.
    """
    mean = train.x.mean(0) if bias else torch.zeros(train.x.shape[1])
    scale = float((train.x - mean).square().mean().sqrt().clamp_min(1e-12))
    x, seen = (train.x - mean) / scale, (held.x - mean) / scale
    best: Fit | None = None
    worse = 0
    start = torch.zeros(outputs, x.shape[1]), torch.zeros(outputs)
    for strength in strengths:
        start = weight, offset = _minimum(
            start, Features(x, train.target, train.item), criterion, strength, bias=bias
        )
        loss = float(criterion(seen @ weight.T + offset, held.target))
        worse = 0 if best is None or loss < best.loss else worse + 1
        if best is None or loss < best.loss:
            best = Fit(weight / scale, offset - (weight / scale) @ mean, strength, loss)
        if worse == WORSE:
            break
    if best is None:
        raise ValueError("there are no strengths to try")
    return best


def _minimum(
    start: tuple[Tensor, Tensor],
    train: Features,
    criterion: Criterion,
    strength: float,
    *,
    bias: bool,
) -> tuple[Tensor, Tensor]:
    """Weights [K, D] and bias [K] that cost the least, by L-BFGS from where it starts."""
    weight, offset = (tensor.clone().requires_grad_() for tensor in start)
    opt = torch.optim.LBFGS(
        [weight, offset] if bias else [weight],
        max_iter=ITERATIONS,
        tolerance_grad=1e-5,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        opt.zero_grad()
        loss = criterion(train.x @ weight.T + offset, train.target)
        loss = loss + strength / 2 * weight.square().sum()
        loss.backward()
        return float(loss.detach())

    opt.step(closure)
    return weight.detach(), offset.detach()


def _totals(fit: Fit, train: Features, task: Task) -> Totals:
    """What the training items cost the fitted layer."""
    answer = train.x @ fit.weight.T + fit.bias
    loss, parts = task.criterion(answer, train.target)
    counts = task.counts(answer, train.target)
    items = len(train.x)
    return Totals(
        items,
        float(loss) * items,
        parts={name: float(value) * items for name, value in parts.items()},
        counts={name: float(value) for name, value in counts.items()},
    )
