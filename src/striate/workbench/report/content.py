"""All that the report of a run shows, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from striate.see import Kernels, Maps, Movement
from striate.tasks import Headline, Measure, Section
from striate.workbench.report.verdict import Verdict

Score = Mapping[str, float | None]  # value, low, high: a 95 % interval; None where nothing is known


@dataclass(frozen=True, eq=False)
class Content:
    """All that the report shows; what is not there is left out.

    Attributes:
        title: such as "lenet5 on digits".
        run: the run's folder, as a command takes it.
        created: ISO time.
        net: name of the network.
        own: the network is the user's own, so it must be named again to be used.
        command: what was typed, or the Python call.
        data: the JSON shape `data`.
        history: one row an epoch: epoch, lr, train_loss, val_loss, seconds, val_ of every score, train_ of those
            that are `counted` and of the parts of the loss; a value may be missing or None.
        rates: the learning rate by step: epochs that are done, and the rate; none where the steps are not known.
        held_out: the split that scores and the task's sections are of: "val" or "test".
        items: how many items that split has.
        scores: name -> {value, low, high}.
        headline: the one result, of the separate test split where there is one.
        measures: the scores in words.
        counted: scores of the training too; a part of its loss may have the name of another score.
        curve_words: what is to be said of the curves, by score, and by "loss".
        classes: their names; none of a task without.
        classes_of: what they are called.
        noun: what an item is called, plural.
        chosen: the kept epoch was picked by these held-out items, which flatters their scores.
        best_epoch: the epoch whose weights were kept.
        test, test_items: scores of a separate test split and its size, if there is one.
        sections: what the task shows of the held-out items.
        test_sections: the same of the test split, where there is one.
        batch: a batch as the net saw it, with its random views.
        verdict: what the training has come to.
        balance: how many items of each class each split has.
        kernels: of the first layer.
        maps: of a few items.
        map_titles: a caption an item of `maps`.
        sheet: the JSON shape `measure`.
        plan: device, layout, precision, compiled, ratio, why, tolerance, candidates.
        recipe: every setting of the training.
        recipe_changed: the settings that differ from their defaults.
        notes: warnings.
        seconds: of the whole training.
        machine: facts of the machine and the versions.
        movement: how far every layer moved from its first weights.
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
    headline: Headline
    measures: Mapping[str, Measure] = field(default_factory=dict[str, Measure])
    counted: Sequence[str] = ()
    curve_words: Mapping[str, str] = field(default_factory=dict[str, str])
    rates: Sequence[tuple[float, float]] = ()
    classes: Sequence[str] = ()
    classes_of: str = "classes"
    own: bool = False
    noun: str = "pictures"
    chosen: bool = True
    best_epoch: int | None = None
    test: Mapping[str, Score] | None = None
    test_items: int | None = None
    sections: Sequence[Section] = ()
    test_sections: Sequence[Section] = ()
    batch: Section | None = None
    verdict: Verdict | None = None
    balance: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])
    kernels: Kernels | None = None
    maps: Maps | None = None
    map_titles: Sequence[str] = ()
    sheet: Mapping[str, Any] | None = None
    plan: Mapping[str, Any] | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict[str, Any])
    recipe_changed: frozenset[str] | set[str] = frozenset()
    notes: Sequence[str] = ()
    seconds: float | None = None
    machine: Mapping[str, Any] = field(default_factory=dict[str, Any])
    movement: Movement | None = None

    def measure(self, score: str) -> Measure:
        """A score in words."""
        return self.measures.get(score, Measure(score))
