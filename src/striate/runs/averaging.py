"""Answers averaged over several nets, and over several views of each item. B batch, K classes or values.

Of classes and masks the probabilities are averaged, of numbers and series the values in their own unit. Every net
answers every view once: what one of them says alone is kept beside the mean, item by item, for paired differences.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from striate.data import Arrays, Targets
from striate.inputs.preprocessing import FixedView
from striate.probe import as_eval
from striate.runs.answering import Answered, Net, batches_of, rows_of


@dataclass(frozen=True, eq=False)
class Member:
    """One of the nets whose answers are averaged.

    Attributes:
        name: of its run.
        used: the net.
        arrays: the items as it has them stored; the same object for all that store them alike.
        views: "" for what evaluation sees alone, else a word of `Preprocessing.fixed_views`.
    """

    name: str
    used: Net
    arrays: Arrays = field(repr=False)
    views: str = ""

    def seen(self) -> Sequence[FixedView]:
        """The views that it answers; the first is what evaluation sees."""
        pre = self.used.preprocessing
        return pre.fixed_views(self.views) if self.views else [FixedView(_as_it_is, pre)]

    def means(self, stored: NDArray[Any]) -> Iterator[tuple[Any, Tensor]]:
        """Of each view the outputs, and what of them is averaged, with left and right as in the item."""
        for view in self.seen():
            used = replace(self.used, preprocessing=view.preprocessing)
            outputs = used.outputs(view.see(stored))
            mean = used.task.to_mean(outputs).cpu()
            yield outputs, mean.flip(-1) if view.mirrored and used.task.maps else mean


@dataclass(frozen=True)
class Averaged:
    """The averaged answers, and a row an item of each member's first view."""

    answered: Answered
    alone: list[list[dict[str, Any]]]


def answered_together(
    members: Sequence[Member],
    targets: Targets,
    sizes: NDArray[np.int64],
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Averaged:
    """Answer items by several nets or views and count the mean answers. The nets are left as they were.

    The maps of a large picture, which one net answers part by part, are whole in memory here.

    Args:
        members: the nets; the task of the first reads the mean.
        targets: of all items of the split as listed, in the items' own size.
        sizes: as `answered` takes them.
        progress: called with (done, total).

    Raises:
        UsageError: inputs without such views.
    """
    first, count = members[0], len(members[0].arrays)
    found = Averaged(Answered(first.used.task.meter(whole=True)), [[] for _ in members])
    size = min(member.used.batch_size(member.arrays.inputs) for member in members)
    with ExitStack() as around:
        for member in members:
            around.enter_context(as_eval(member.used.net))
            around.enter_context(member.used.plan.uncompiled())
        around.enter_context(torch.inference_mode())
        for index in batches_of(range(count), size):
            numbers = first.arrays.numbers[index.start : index.stop].tolist()
            truths = [targets.truth(number) for number in numbers]
            spots = [tuple(sizes[number].tolist()) for number in numbers]
            _batch(members, index, truths, spots, found)
            progress(index.stop, count)
    return found


def _batch(
    members: Sequence[Member],
    index: range,
    truths: list[Any],
    spots: list[tuple[int, ...]],
    found: Averaged,
) -> None:
    stored: dict[int, NDArray[Any]] = {}
    total, count = torch.empty(0), 0
    for member, rows in zip(members, found.alone, strict=True):
        key, task = id(member.arrays), member.used.task
        if key not in stored:  # what is streamed is decoded once for all
            stored[key] = np.asarray(member.arrays.inputs[index.start : index.stop])
        for place, (outputs, mean) in enumerate(member.means(stored[key])):
            if place == 0:
                rows.extend(rows_of(task, task.decode(outputs, spots), truths))
            total = total + _as_large(mean, total) if count else mean
            count += 1
    task = members[0].used.task
    answers = task.decode(task.from_mean(total / count), spots)
    found.answered.meter.add(answers, truths)
    found.answered.rows += rows_of(task, answers, truths)


def _as_large(mean: Tensor, like: Tensor) -> Tensor:
    """Maps of probabilities brought to the size of others, which a net with another input size gave."""
    if mean.shape == like.shape:
        return mean
    mode = "bilinear" if mean.ndim == 4 else "trilinear"
    return F.interpolate(mean, like.shape[2:], mode=mode, align_corners=False)


def _as_it_is(stored: NDArray[Any]) -> NDArray[Any]:
    return stored
