"""The part of a report that shows what a net's worst answers rest on."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.errors import ArgumentError
from striate.runs import Run
from striate.runs.split_answers import Held
from striate.see.pictures.saliency import Saliency, saliency
from striate.tasks import Section, Task, Tile
from striate.tasks.section import Gallery, Part, Text

WITHOUT_MAPS = "integrated"  # of nets in which no layer has maps
HEADS = ("as the net reads it", "map over it", "map alone")


def worst_section(run: Run, held: Held, *, count: int = 6, method: str = "grad-cam") -> Section:
    """The items of a split that were answered worst, each with its saliency map.

    Args:
        run: the training.
        held: its answers to a split.
        count: of the items.
        method: as `striate.see.saliency` takes it; integrated gradients where the net has no maps.
    """
    order = sorted(range(len(held.rows)), key=lambda i: _badness(run.task, held.rows[i]))[:count]
    if not order:
        return Section(TITLE, "There is no item.", name=NAME)
    inputs = [np.asarray(held.arrays.inputs[i]) for i in order]
    if len({each.shape for each in inputs}) > 1:
        said = "The items have several sizes, which are not explained at once; of one picture: "
        return Section(TITLE, f"{said}striate see saliency {run.path} PICTURE", name=NAME)
    stored = np.stack(inputs)
    pre = run.config.preprocessing
    x = pre.normalise(pre.centre(torch.from_numpy(stored)))
    found = of_any_net(run, x, method=method)
    rows: list[Part] = [_row(found, i, held.names[at]) for i, at in enumerate(order)]
    said = f"{found.method}{f' at {found.layer}' if found.layer else ''}; values are {found.unit}."
    notes = Text(". ".join([*found.remarks(), "Each map has a scale of its own"]) + ".", soft=True)
    return Section(TITLE, said, [*rows, notes], name=NAME)


def of_any_net(run: Run, x: Tensor, *, method: str = "grad-cam") -> Saliency:
    """What answers rest on by a method, or by integrated gradients where it needs maps and the net has none.

    Args:
        run: the training.
        x: items [N, C, ...] as the net reads them.
        method: as `striate.see.saliency` takes it.

    Raises:
        ArgumentError: neither can be computed.
    """
    try:
        return saliency(run, x, method=method)
    except ArgumentError:
        return saliency(run, x, method=WITHOUT_MAPS)


TITLE, NAME = "What the worst answers rest on", "Saliency"


def _row(found: Saliency, i: int, name: str) -> Gallery:
    tiles = [
        Tile(pixels, head, alt=f"{head}: {name}")
        for head, pixels in zip(HEADS, found.panel(i), strict=True)
    ]
    return Gallery(tiles, "row", title=name, lines=[found.caption(i)])


def _badness(task: Task, row: Mapping[str, Any]) -> float:
    """What sorts the worst first: the largest loss, or the main score of the task."""
    if "loss" in row:
        return -float(row["loss"])
    value = row.get(task.main)
    if value is None or value == "":
        return 0.0
    return -float(value) if task.measure(task.main).lower else float(value)
