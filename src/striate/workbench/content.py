"""All that the report of a run shows, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.see import Kernels, Maps, Movement
from striate.tasks import Section

Score = Mapping[str, float]  # value, low, high: a 95 % interval


@dataclass(frozen=True, eq=False)
class Mistake:
    """One item that was answered wrongly; `picture` is uint8 [H, W, C], confidences lie in 0..1."""

    picture: NDArray[np.uint8] = field(repr=False)
    name: str
    truth: str
    answer: str
    confidence: float
    truth_confidence: float


@dataclass(frozen=True, eq=False)
class Content:
    """All that the report shows.

    Attributes:
        title: such as "lenet5 on digits".
        run: the run's folder, as a command takes it.
        created: ISO time.
        net: name of the network.
        own: the network is the user's own, so it must be named again to be used.
        command: what was typed, or the Python call.
        data: the JSON shape `data`.
        history: one row an epoch: epoch, lr, train_loss, train_accuracy, val_loss, val_accuracy, seconds;
            a value may be missing or None.
        held_out: the split that scores, confusion and mistakes are of: "val" or "test".
        items: how many items that split has.
        scores: name -> {value, low, high}.
        per_class: rows of label, support, precision, recall, f1 and low, high of the recall.
        confusion: counts, rows truth, columns answers.
        classes: their names, in the order of the confusion matrix.
        noun: what an item is called, plural.
        chosen: the kept epoch was picked by these held-out items, which flatters their scores.
        best_epoch: the epoch whose weights were kept; by default that of the best held-out accuracy.
        test, test_items: scores of a separate test split and its size, if there is one.
        mistakes: the worst, worst first.
        kernels: of the first layer.
        maps: of a few items.
        map_titles: a caption an item of `maps`.
        sheet: the JSON shape `measure`.
        plan: device, layout, precision, compiled, ratio, why, tolerance, candidates.
        recipe: every setting of the training.
        recipe_changed: the settings that differ from their defaults.
        notes: warnings.
        seconds: of the whole training.
        baselines: name -> accuracy of an answer that needs no network.
        machine: facts of the machine and the versions.
        movement: how far every layer moved from its first weights.
        class_weights: factors on the loss of each class, if they were balanced.
        trained: how many items of each class were trained on.
        sections: what the task shows of the held-out items.
    """

    title: str
    run: str
    created: str
    net: str
    command: str
    data: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    held_out: str
    items: int
    scores: Mapping[str, Score]
    per_class: Sequence[Mapping[str, Any]]
    confusion: Sequence[Sequence[int]]
    classes: Sequence[str]
    own: bool = False
    noun: str = "pictures"
    chosen: bool = True
    best_epoch: int | None = None
    test: Mapping[str, Score] | None = None
    test_items: int | None = None
    mistakes: Sequence[Mistake] = ()
    kernels: Kernels | None = None
    maps: Maps | None = None
    map_titles: Sequence[str] = ()
    sheet: Mapping[str, Any] | None = None
    plan: Mapping[str, Any] | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict[str, Any])
    recipe_changed: frozenset[str] | set[str] = frozenset()
    notes: Sequence[str] = ()
    seconds: float | None = None
    baselines: Mapping[str, float] = field(default_factory=dict[str, float])
    machine: Mapping[str, Any] = field(default_factory=dict[str, Any])
    movement: Movement | None = None
    class_weights: Mapping[str, float] = field(default_factory=dict[str, float])
    trained: Mapping[str, int] = field(default_factory=dict[str, int])
    sections: Sequence[Section] = ()
