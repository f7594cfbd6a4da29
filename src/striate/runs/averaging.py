"""Answers averaged over several nets, and over several views of each item. B batch, K classes or values.

Of classes and masks the probabilities are averaged, of numbers and series the values in their own unit. Every net
answers every view once: what one of them says alone is kept beside the mean, item by item, for paired differences.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from striate.data import Arrays, Data, Split, Targets
from striate.errors import LISTED, GateError, UsageError
from striate.inputs.preprocessing import FixedView, mirrors
from striate.metrics import AveragedScores, Scores, gains
from striate.probe import as_eval
from striate.runs.answering import Answered, Net, batches_of, rows_of
from striate.runs.split_answers import Held, natural_sizes
from striate.runs.training_items import seen

if TYPE_CHECKING:
    from striate.runs.run import Run


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
    members: Sequence[Member], targets: Targets, sizes: NDArray[np.int64]
) -> Averaged:
    """Answer items by several nets or views and count the mean answers. The nets are left as they were.

    The maps of a large picture, which one net answers part by part, are whole in memory here.

    Args:
        members: the nets; the task of the first reads the mean.
        targets: of all items of the split as listed, in the items' own size.
        sizes: as `answered` takes them.

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


def check_fits(run: "Run", other: "Run", opened: Data, split: str, *, leaks: str) -> str:
    """Refuse a run whose answers cannot be averaged with those of another, or that learned from what is scored.

    Raises:
        UsageError: another task, other classes or outputs, other inputs.
        GateError: it was trained on items of the split.
    """
    mine, its = run.config, other.config
    if its.task != mine.task:
        raise UsageError(
            f"{other.path} was trained to {its.task}, {run.path} to {mine.task}: no mean of both can be had"
        )
    if not run.task.like(other.task):
        mean, known = (", ".join(each.task.answers[:LISTED]) for each in (run, other))
        raise UsageError(
            f"{other.path} answers {known}; {run.path} {mean}: a mean needs the same, in the same order"
        )
    pre = its.preprocessing
    if pre.modality != mine.preprocessing.modality or pre.opening != mine.preprocessing.opening:
        raise UsageError(
            f"{other.path} reads other inputs than {run.path}: no mean of their answers can be had"
        )
    if split == "train" or split not in opened.splits:
        return ""
    trained = its.data.get("trained")
    if not isinstance(trained, str):
        said = f"{other.path} does not say which items it learned from"
        if leaks == "stop":
            raise UsageError(f"{said}: train it anew, or take --leaks keep")
        return said
    learned = seen(other.path, trained, opened.splits[split])  # whatever its seed held out
    if learned and leaks == "stop":
        raise GateError(
            f"{other.path}: {counted(learned, opened, split)}: train both with one split_seed=, or score them "
            "all the same with --leaks keep"
        )
    said = f"{other.path}: {counted(learned, opened, split)}, which flatters these scores"
    return said if learned else ""


def held_together(runs: "Sequence[Run]", data: Data, split: str, views: str) -> Held:
    """Answers to one split, averaged over runs and views, with what that gains in their scores.

    Args:
        runs: the first reads the mean.
        data: opened.
        split: of it.
        views: "" for one view, else a word of `Preprocessing.fixed_views`.

    Raises:
        UsageError: a task whose answers have no mean, inputs without such views, a run that is given twice.
    """
    first = runs[0]
    if not first.task.has_mean:  # refused before anything is decoded
        raise UsageError(
            f"{first.path}: to {first.task.name} gives answers without a mean over runs or views: evaluate each alone"
        )
    twice = [path for path, n in Counter(str(run.path.absolute()) for run in runs).items() if n > 1]
    if twice:
        raise UsageError(f"{twice[0]} is given twice: it would count twice in the mean")
    for run in runs if views else ():
        run.config.preprocessing.fixed_views(views)
    prepared = [run.prepared(data, split) for run in runs]
    members = _members(runs, prepared, split, views)
    arrays = members[0].arrays
    part = prepared[0].splits[split]
    found = answered_together(members, part.targets, natural_sizes(part))
    held = first.scored(prepared[0], split, arrays, found.answered)
    groups = _groups(part, arrays, found.answered.rows)
    gained = [
        gain
        for member, rows in zip(members, found.alone, strict=True)
        for gain in gains(member.name, rows, found.answered.rows, groups)
    ]
    notes = [
        *(_unlike_training(run, views) for run in runs),
        *(_unlike_first(first, run) for run in runs[1:]),
    ]
    of_mean: dict[str, Any] = {**vars(held.scores)}
    of_mean |= {"notes": [*held.scores.notes, *filter(None, notes)]}
    names = tuple(member.name for member in members)
    scores = AveragedScores(**of_mean, runs=names, views=views, gains=tuple(gained))
    return replace(held, scores=scores)


def _members(
    runs: "Sequence[Run]", prepared: Sequence[Data], split: str, views: str
) -> list[Member]:
    """The nets with their items, which are decoded once for all that store them alike."""
    decoded: dict[Any, Arrays] = {}
    found: list[Member] = []
    for run, data in zip(runs, prepared, strict=True):
        form = run.config.preprocessing.form
        if form not in decoded:
            decoded[form] = data.arrays(split, form=form)
        found.append(Member(str(run.path), run.used, decoded[form], views))
        if list(found[-1].arrays.names) != list(found[0].arrays.names):
            raise UsageError(
                f"{run.path} reads other items of {data.path} than {runs[0].path}: no mean can be had"
            )
    return found


def _unlike_first(first: "Run", other: "Run") -> str:
    """What is to be said of a further run that answers by other thresholds, or has the same weights; mostly nothing."""
    if other.config.weights == first.config.weights:
        return f"{other.path} has the same weights as {first.path}: its answers count twice"
    if first.task.thresholds and other.task.config() != first.task.config():
        return (
            f"the means are answered by the thresholds of {first.path}; {other.path} has others, so that its gain is not of "
            "averaging alone"
        )
    return ""


def _unlike_training(run: "Run", views: str) -> str:
    """What is to be said of mirrored views where the training had none; mostly nothing."""
    augment = run.config.settings.get("augment")
    if views not in ("flips", "10") or not isinstance(augment, str):
        return ""
    if mirrors(augment):
        return ""
    return f"{run.path} learned from no mirrored pictures (augment={augment}): half of its views are new to it"


def file_mark(scores: Scores) -> str:
    """What tells the files of averaged answers from those of the run alone: the views, and a mark of the other runs."""
    if not isinstance(scores, AveragedScores):
        return ""
    others = "\n".join(str(Path(run).absolute()) for run in scores.runs[1:])
    mark = f"-with-{hashlib.sha256(others.encode()).hexdigest()[:8]}" if others else ""
    return f"-views{scores.views}{mark}" if scores.views else mark


def _groups(
    part: Split, arrays: Arrays, rows: Sequence[Mapping[str, Any]]
) -> NDArray[np.int64] | None:
    """What items belong to: the groups of the split, or the blocks of windows that overlap."""
    if part.part.groups is not None:
        return part.part.groups[arrays.numbers]
    blocks = [int(row["block"]) for row in rows if "block" in row]
    return np.array(blocks, np.int64) if blocks and len(blocks) == len(rows) else None


def counted(learned: list[int], data: Data, split: str) -> str:
    """How many items of a split the net learned from, and the first of them."""
    names = data.splits[split].names
    some = ", ".join(names[i] for i in learned[:5])
    return f"{len(learned):,} of {len(names):,} items of {split} are what this run was trained on ({some})"
