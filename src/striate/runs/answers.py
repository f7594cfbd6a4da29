"""A net's answers to many items, a batch at a time. B batch, N items."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data import Arrays, Targets
from striate.plan import Plan
from striate.probe import as_eval
from striate.runs.preprocessing import Preprocessing
from striate.tasks import Meter, Task

# Activations of one batch stay near the second-level caches for small inputs, and within memory for large ones.
VALUES_A_BATCH = 400_000
MOST = 1000  # items of a batch


@dataclass(frozen=True)
class Net:
    """A net as it is used: on the plan's device and in its layout, with what comes before and after it."""

    net: nn.Module
    task: Task
    preprocessing: Preprocessing
    plan: Plan

    def batch_size(self, inputs: Any) -> int:
        """Items that are answered together; one where they differ in size."""
        sides = inputs.shape[1:3] if self.preprocessing.color else inputs.shape[1:]
        if self.preprocessing.fit == "cover" and self.preprocessing.color:
            sides = self.preprocessing.size
        values = math.prod(sides)
        return max(1, min(MOST, VALUES_A_BATCH // values)) if values else 1

    def outputs(self, stored: NDArray[Any]) -> Any:
        """What the net says of stored inputs [B, ...]; call it inside `used`."""
        x = torch.from_numpy(np.ascontiguousarray(stored)).to(self.plan.device)
        with self.plan.autocast():
            return self.task.outputs(self.net, self._batch(x))

    def _batch(self, x: Tensor) -> Tensor:
        return self.plan.batch(self.preprocessing.normalise(self.preprocessing.centre(x)))

    def answers(self, stored: NDArray[Any], sizes: Sequence[tuple[int, int]]) -> Any:
        """Decoded answers to stored inputs; `sizes` are those of the items themselves."""
        with as_eval(self.net), self.plan.uncompiled(), torch.inference_mode():
            return self.task.decode(self.outputs(stored), sizes)


@dataclass
class Answered:
    """What became of items: a meter, and the sum of the losses where targets have the form training has."""

    meter: Meter
    loss: float = 0.0
    items: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def answered(
    used: Net,
    arrays: Arrays,
    targets: Targets,
    sizes: NDArray[np.int64],
    *,
    part: slice = slice(None),
    quick: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Answered:
    """Answer items and count the answers. The net is left as it was.

    Args:
        used: the net.
        arrays: the items, stored in the form of its preprocessing.
        targets: of all items of the split as listed, in the items' own size.
        sizes: height and width of those items [*, 2]; (0, 0) of what is no picture.
        part: which of the items.
        quick: score masks at the size they are stored in, and keep no row an item.
        progress: called with (done, total).
    """
    found = Answered(used.task.meter(whole=not quick))
    numbers = range(len(arrays))[part]
    stored = targets.source is not None and quick
    with as_eval(used.net), used.plan.uncompiled(), torch.inference_mode():
        for index in _batches(numbers, used.batch_size(arrays.inputs)):
            inputs = np.asarray(arrays.inputs[index.start : index.stop])
            outputs = used.outputs(inputs)
            place = arrays.numbers[index.start : index.stop].tolist()
            held = arrays.targets[index.start : index.stop]
            truths = [
                used.task.truth(held[k]) if stored else targets.truth(number)
                for k, number in enumerate(place)
            ]
            spots = [inputs.shape[1:3] if stored else tuple(sizes[i].tolist()) for i in place]
            answers = used.task.decode(outputs, spots)
            found.meter.add(answers, truths)
            if quick:
                found.loss += _loss(used, outputs, targets.kind, held) * len(index)
                found.items += len(index)
            else:
                found.rows += _rows(used.task, answers, truths)
            progress(index.stop, len(arrays))
    return found


def _batches(numbers: range, size: int) -> Iterator[range]:
    yield from (numbers[start : start + size] for start in range(0, len(numbers), size))


def _rows(task: Task, answers: Any, truths: Sequence[Any]) -> Iterator[dict[str, Any]]:
    for answer, truth in zip(answers, truths, strict=True):
        yield {**task.item_words(answer, truth), **task.item_scores(answer, truth)}


def _loss(used: Net, outputs: Any, kind: str, held: Any) -> float:
    """The mean loss of a batch, held against targets as training does."""
    if not used.task.held_loss:
        return 0.0
    stored = torch.from_numpy(np.asarray(held))
    target = used.preprocessing.target(kind, stored, used.preprocessing.resize)
    return float(used.task.criterion(outputs, target.to(used.plan.device))[0])
