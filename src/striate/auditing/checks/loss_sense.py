"""What the loss really asks for: how far the best answer that ignores its input gets, and what moves the net.

A net does what its loss says. Where one answer for all items costs nearly as little as the net's, the loss prefers that
answer to much of what was learned: the empty mask where objects are small, the commonest class where classes are uneven.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.auditing.check import Case, Check, enough, of_one_size, seconds_of
from striate.auditing.finding import Finding
from striate.errors import StriateError
from striate.metrics.scores import shown
from striate.tasks import Task
from striate.text import counted, percent, plain
from striate.training import read_recipe

MOST = 256
VALUES = 2**25  # numbers of all outputs together, 128 MiB: of large maps fewer items do
NEARLY = 0.8  # of the constant answer's loss: a net that costs more gained little by looking
STEPS = 60


def _find(case: Case) -> Iterator[Finding]:
    index = _index(case)
    task, net_loss, outputs, targets = _answered(case, index)
    constant, constant_loss = best_constant(task, outputs, targets)
    share = net_loss / constant_loss if constant_loss > 0 else float("nan")
    scores = _scores(case, task, constant, index)
    little = share > NEARLY
    yield Finding(
        "loss_sense",
        plain(
            f"the loss of the net is {net_loss:.4g}, that of the best answer that ignores its input {constant_loss:.4g} "
            f"({percent(min(share, 9.99))} of it is left, {counted(len(index), 'item')}){scores[0]}"
        ),
        limit=NEARLY,
        crossed=bool(little),
        evidence=[{"net": net_loss, "constant": constant_loss, "share": share, **scores[1]}],
        advice="the loss is nearly as content with one answer for all: weigh classes (class_weights=balanced), take another loss (loss=dice), or train longer"
        if little
        else "",
    )
    yield from _parts(task, outputs, targets)
    yield from _by_class(case, task, outputs, targets)


def _index(case: Case) -> NDArray[np.int64]:
    """The items that are looked at: as many as have `VALUES` outputs."""
    some = case.sample(MOST, "loss")
    one = case.outputs(case.arrays.inputs[some[:1]]).numel()
    return case.sample(max(1, min(MOST, VALUES // max(1, one))), "loss")


def _answered(case: Case, index: NDArray[np.int64]) -> tuple[Task, float, Tensor, Tensor]:
    """The task as it was learned, the mean loss of the net on some items, its outputs there, and the targets."""
    recipe = read_recipe(str(case.trained.path / "args.yaml"))
    task = type(case.trained.task).of(case.data, recipe)
    outputs = case.outputs(case.arrays.inputs[index])
    targets = case.targets(index)
    with torch.no_grad():
        loss = float(task.criterion(outputs, targets)[0])
    return task, loss, outputs, targets


def best_constant(task: Task, outputs: Tensor, targets: Tensor) -> tuple[Tensor, float]:
    """The one answer for all items and places that costs least: a number an output channel, and its loss.

    Args:
        task: whose loss it is.
        outputs: of the net [N, K, ...], for their shape and as a start.
        targets: of the items.
    """
    axes = [axis for axis in range(outputs.ndim) if axis != 1]
    level = outputs.mean(axes, keepdim=True).detach().clone().requires_grad_()
    optimizer = torch.optim.LBFGS([level], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = task.criterion(level.expand_as(outputs), targets)[0]
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)  # pyright: ignore[reportArgumentType] - a tensor is what it reads
    with torch.no_grad():
        return level.detach(), float(task.criterion(level.expand_as(outputs), targets)[0])


def _scores(
    case: Case, task: Task, constant: Tensor, index: NDArray[np.int64]
) -> tuple[str, dict[str, float]]:
    """What the constant answer scores by what the task is judged by, in words and numbers."""
    from striate.runs.split_answers import natural_sizes

    shape = (len(index), *constant.shape[1:])
    sizes = [tuple(s) for s in natural_sizes(case.part)[case.arrays.numbers[index]].tolist()]
    truths = case.truths(index)
    meter = task.meter()
    try:
        whole = constant.expand(shape)
        if constant.ndim == 4:  # of maps: small ones do, being all alike
            whole = constant.expand(len(index), -1, 8, 8)
        meter.add(task.decode(whole, sizes), truths)
        values = meter.values()
    except (StriateError, RuntimeError, ValueError, NotImplementedError):
        return "", {}
    # The loss stands before it already; accuracy says least of a constant answer, so it comes last.
    known = [n for n, value in values.items() if n != "loss" and np.isfinite(value)]
    name = min(known, key=lambda n: n == "accuracy", default="")
    if not name:
        return "", {}
    said = f"; that answer has {name} {shown(name, values[name])}"
    return said, {f"constant_{name}": values[name]}


def _parts(task: Task, outputs: Tensor, targets: Tensor) -> Iterator[Finding]:
    """How much of the gradient each part of the loss gives, where it is a sum of several."""
    with torch.enable_grad():
        leaf = outputs.detach().clone().requires_grad_()
        parts: Mapping[str, Tensor] = task.criterion(leaf, targets)[1]
        sizes: dict[str, float] = {}
        for name, part in parts.items():
            if part.requires_grad:
                (slope,) = torch.autograd.grad(
                    part, leaf, retain_graph=True, allow_unused=True, materialize_grads=True
                )
                sizes[name] = float(slope.norm())
    total = sum(sizes.values())
    if len(sizes) < 2 or total <= 0:
        return
    rows: list[dict[str, Any]] = [
        {"part": name, "share": size / total}
        for name, size in sorted(sizes.items(), key=lambda each: -each[1])
    ]
    least = rows[-1]
    weak = least["share"] < 0.01
    yield Finding(
        "loss_sense",
        plain(
            "parts of the loss by their gradient: "
            + ", ".join(f"{row['part']} {percent(row['share'])}" for row in rows)
        ),
        crossed=weak,
        evidence=rows,
        advice=f"{least['part']} moves next to nothing: give it more weight, or leave it out"
        if weak
        else "",
    )


def _by_class(case: Case, task: Task, outputs: Tensor, targets: Tensor) -> Iterator[Finding]:
    """How much of the loss each class makes, beside its share of the items."""
    if not case.has_labels:
        return
    labels = targets.long().flatten()
    with torch.no_grad():
        costs = torch.stack(
            [task.criterion(o[None], t[None])[0] for o, t in zip(outputs, targets, strict=True)]
        )
    whole = float(costs.sum())
    if whole <= 0:
        return
    rows: list[dict[str, Any]] = []
    for k, name in enumerate(case.data.classes):
        inside = labels == k
        if inside.any():
            share = float(costs[inside].sum()) / whole
            rows.append({"class": name, "items": float(inside.float().mean()), "loss": share})
    rows.sort(key=lambda row: -(row["loss"] - row["items"]))
    worst = rows[0]
    yield Finding(
        "loss_sense",
        plain(
            f"{worst['class']} makes {percent(worst['loss'])} of the loss with {percent(worst['items'])} of the items"
        ),
        evidence=rows[:30],
    )


def _lacks(case: Case) -> str:
    return enough(case) or (of_one_size(case) if case.trained.task.maps else "")


CHECK = Check(
    "loss_sense",
    "What does the loss really ask for?",
    _find,
    lacks=_lacks,
    seconds=lambda case: 1.0 + seconds_of(case, 1, 0.1, MOST),
)
