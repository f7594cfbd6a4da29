"""Any number of labels an item. B batch, K labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from striate import losses
from striate.data import Data
from striate.errors import UsageError
from striate.metrics import Interval, multilabel, thresholds
from striate.metrics.multilabel import Answers
from striate.tasks.by_class import check_scores, class_table, with_training
from striate.tasks.classify import AUTO, MISTAKES, check_choice
from striate.tasks.section import Gallery, Headline, Measure, Section, Table, Text, Tile, Wrong
from striate.tasks.task import HeldOut, Item, Meter, Settings, Task
from striate.text import percent, short, some

LISTED = 8  # labels of a tile

Probabilities = NDArray[np.float32]
Flags = NDArray[np.uint8]


@dataclass(frozen=True)
class Multilabel(Task):
    """Several labels an item: binary cross-entropy of each to learn by, a sigmoid each to answer with.

    Attributes:
        classes: the labels' names.
        smoothing: of zeros and ones towards a half.
        spelled: the loss as `striate.losses.read` takes it.
        class_weights: a factor for the items that have each label, in the loss.
        limits: the probability of each label from which it is said.
        auto: whether validation items are still to choose these.
        top: so many likeliest labels are listed, whatever the thresholds; None for those that are said.
    """

    name: ClassVar[str] = "multilabel"
    kinds: ClassVar[tuple[str, ...]] = ("labels",)
    wanted: ClassVar[str] = "items with several labels each"
    loss_names: ClassVar[tuple[str, ...]] = ("bce",)
    usual_loss: ClassVar[str] = "bce"
    has_mean: ClassVar[bool] = True
    linear: ClassVar[bool] = True
    thresholds: ClassVar[bool] = True
    held_loss: ClassVar[bool] = False
    counted: ClassVar[tuple[str, ...]] = ("label_accuracy",)
    columns: ClassVar[Mapping[str, str]] = {
        "average_precision": "average precision",
        "f1": "F1",
        "support": "items",
    }
    main: ClassVar[str] = "average_precision"
    measures: ClassVar[Mapping[str, Measure]] = {
        "average_precision": Measure(
            "Average precision", "mean over labels of the precision down to each item that has it"
        ),
        "f1": Measure("F1", "mean over labels of precision and sensitivity in one"),
        "sensitivity": Measure(
            "Sensitivity", "share of items with a label that get it, mean over labels"
        ),
        "specificity": Measure(
            "Specificity", "share of items without a label that do not get it, mean over labels"
        ),
        "subset_accuracy": Measure("Subset accuracy", "share of items with every label right"),
        "label_accuracy": Measure(
            "Label accuracy", "share of all labels of all items that is right"
        ),
        "loss": Measure("Loss", "mean binary cross-entropy, in nats", lower=True),
    }
    classes: tuple[str, ...]
    smoothing: float = 0.0
    spelled: str = "bce"
    class_weights: tuple[float, ...] | None = None
    limits: tuple[float, ...] = ()
    auto: bool = False
    top: int | None = None

    @classmethod
    def of(cls, data: Data, recipe: Settings) -> Self:
        """With the loss of the recipe, the weights of the labels, and thresholds given, chosen later, or of 0.5.

        Raises:
            RecipeError: thresholds to be chosen on items that there are not.
        """
        check_choice(data, recipe)
        given = recipe.threshold
        fixed = thresholds.USUAL if given in (None, AUTO) else float(given)
        weights = None
        if recipe.class_weights == "balanced":
            weights = rare_weights(data.counts("train") or [], len(data.readable("train")))
        return cls(
            data.classes,
            recipe.smoothing,
            recipe.loss or cls.usual_loss,
            weights,
            (fixed,) * len(data.classes),
            auto=given == AUTO or (given is None and data.held_out == "val"),
        )

    @classmethod
    def restored(cls, classes: Sequence[str], config: Mapping[str, Any]) -> Self:
        """To answer with."""
        found = tuple(float(each) for each in config["thresholds"])
        if len(found) != len(classes):
            raise ValueError(f"{len(found)} thresholds for {len(classes)} labels")
        return cls(tuple(classes), limits=found)

    def config(self) -> dict[str, Any]:
        """The threshold of each label."""
        return {"thresholds": list(self.limits)}

    # ---------------------------------------------------------------------------------- a step of it

    @cached_property
    def _composite(self) -> losses.Composite:
        found = losses.read(self.spelled)
        if self.class_weights is None:
            return found
        return found.within(positive_weights=torch.tensor(self.class_weights))

    def criterion(
        self, answer: Float[Tensor, "b k"], target: Float[Tensor, "b k"]
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Of scores, and zeros and ones or what lies between them of mixed items."""
        wanted = target.float() * (1 - self.smoothing) + self.smoothing / 2
        return self._composite.measured(answer.float(), wanted)

    def counts(self, answer: Any, target: Tensor) -> dict[str, Tensor]:
        """The share of its labels that is right, added up over items."""
        right = (answer > 0) == (target > thresholds.USUAL)
        return {"label_accuracy": right.float().mean(1).sum()}

    def shares(self, target: Tensor, kind: torch.dtype) -> Tensor:
        """The zeros and ones, [B, K]."""
        return target.to(kind)

    def check_answer(self, outputs: Any, x: Tensor) -> None:
        """A score for each label.

        Raises:
            ShapeError: what came and what was expected.
        """
        check_scores(outputs, len(x), len(self.classes), what="labels, before any sigmoid")

    # ----------------------------------------------------------------------------- after a training

    @property
    def unsettled(self) -> bool:
        """Whether thresholds are still to be chosen."""
        return self.auto

    def settled_by(self, meter: "Labels") -> tuple[Self, str]:
        """With the threshold of the largest F1 for each label; 0.5 where hardly an item has it, or lacks it."""
        probs, truth, _ = meter.answers
        found = tuple(
            thresholds.best(probs[:, k], truth[:, k], "f1") for k in range(len(self.classes))
        )
        each = ", ".join(f"{name} {t:.2g}" for name, t in zip(self.classes, found, strict=True))
        none = [
            name
            for name, positive in zip(self.classes, truth.T, strict=True)
            if not thresholds.enough(positive)
        ]
        few = (
            f"; {thresholds.USUAL} where too few have the label, or lack it: {some(none)}"
            if none
            else ""
        )
        said = (
            f"thresholds chosen on {len(truth):,} validation items by the F1 of each label: {short(each, 200)}{few}; "
            "threshold=0.5 sets them all"
        )
        return replace(self, limits=found, auto=False), said

    def as_settled(self, other: Task) -> Self:
        """With the thresholds of another."""
        limits = other.limits if isinstance(other, Multilabel) else self.limits
        return replace(self, limits=limits, auto=False)

    # ------------------------------------------------------------------------------------ its answers

    def decode(
        self, outputs: Float[Tensor, "b k"], sizes: Sequence[tuple[int, ...]] = ()
    ) -> Probabilities:
        """Probabilities [B, K]."""
        del sizes
        return outputs.float().sigmoid().cpu().numpy()

    def to_mean(self, outputs: Float[Tensor, "b k"]) -> Tensor:
        """Probabilities of each label."""
        return outputs.float().sigmoid()

    def from_mean(self, mean: Tensor) -> Tensor:
        """Scores with these probabilities."""
        return mean.logit(1e-7)

    def said(self, answers: Probabilities) -> NDArray[np.bool_]:
        """Which labels are said, of probabilities [..., K]."""
        return answers >= np.array(self.limits)

    def from_thresholds(self, outputs: Float[Tensor, "b k"]) -> Tensor:
        """Scores less those at which labels are said, so that these are said from 0 on."""
        limits = torch.tensor(self.limits, dtype=torch.float64).logit(thresholds.EDGE)
        return outputs - limits.to(outputs)

    def item_scores(self, answer: Probabilities, truth: Flags) -> dict[str, float]:
        """Whether every label is right, and the loss in nats."""
        found = Answers(answer[None], truth[None].astype(bool), self.said(answer)[None])
        return {"subset_accuracy": float(found.right[0]), "loss": float(found.losses[0])}

    def item_words(self, answer: Probabilities, truth: Flags) -> dict[str, str]:
        """The labels that it has, and those that were said."""
        return {"truth": self._joined(truth > 0), "answer": self._joined(self.said(answer))}

    def _joined(self, flags: NDArray[np.bool_]) -> str:
        return ";".join(self.classes[k] for k in np.flatnonzero(flags))

    def meter(self, *, whole: bool = False) -> "Labels":
        """A meter of probabilities."""
        del whole
        return Labels(self)

    # -------------------------------------------------------------------------------------- predicting

    def tuned(self, options: Mapping[str, Any]) -> Self:
        """With `top`, how many likeliest labels are listed, or `conf`, from which probability all are said.

        Raises:
            UsageError: one that is out of range, or another setting.
        """
        super().tuned({key: v for key, v in options.items() if key not in ("top", "conf")})
        conf = options.get("conf")
        if conf is not None and not 0 <= conf <= 1:
            raise UsageError(f"--conf {conf}: expected a number from 0 to 1")
        limits = self.limits if conf is None else (float(conf),) * len(self.classes)
        return replace(self, top=options.get("top", self.top), limits=limits)

    def answer(self, one: Probabilities) -> dict[str, Any]:
        """The labels that are said with their probabilities, the likeliest first; with `top` the likeliest."""
        order = np.argsort(-one, kind="stable")
        kept = order[self.said(one)[order]] if self.top is None else order[: self.top]
        return {"labels": [[self.classes[k], float(one[k])] for k in kept]}

    def line(self, answer: Mapping[str, Any]) -> str:
        """The labels with their probabilities."""
        named = (f"{label} {percent(p)}" for label, p in answer["labels"])
        return ", ".join(named) or "none of the labels"

    def table(self, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
        """One row: labels with semicolons between them, as tables of data are read, and their probabilities."""
        labels = ";".join(label for label, _ in answer["labels"])
        return [
            {"labels": labels, "confidences": ";".join(f"{p:.6g}" for _, p in answer["labels"])}
        ]

    # -------------------------------------------------------------------------------------- the report

    def headline(self, held: HeldOut, of: str) -> Headline:
        """The mean average precision, and what answers without looking would score."""
        truth = held.meter.answers.truth
        if not len(truth):
            return super().headline(held, of)
        there = truth.any(0)
        chance = float(truth[:, there].mean()) if there.any() else 0.0
        sets, counts = np.unique(truth, axis=0, return_counts=True)
        common = short(self._joined(sets[counts.argmax()]).replace(";", ", ") or "no label", 60)
        share = percent(float(counts.max() / len(truth)))
        said = [
            f"Labels ranked at random would have about {percent(chance)}.",
            f"Always answering “{common}” would have every label right in {share} of the items.",
        ]
        words = f"average precision of {of}, mean over {int(there.sum())} labels"
        return Headline(self.main, words, said, chance)

    def curve_words(self, recipe: Settings) -> dict[str, str]:
        """What the loss of the training is of, where that is not what is held out is measured by."""
        said = [f"zeros and ones smoothed by {recipe.smoothing}"] if recipe.smoothing else []
        said += ["labels balanced"] if recipe.class_weights == "balanced" else []
        usual = "Mean binary cross-entropy in nats, by epoch."
        return {"loss": f"Held-out: {usual} Train: {', '.join(said)}." if said else usual}

    def sections(self, held: HeldOut) -> list[Section]:
        """Label by label, and the items that cost most."""
        parts = [Text(self._threshold_words(), soft=True), self._table(held)]
        return [Section("Label by label", parts=parts, name="Labels"), self._worst(held)]

    def _threshold_words(self) -> str:
        return f"A label is said from its threshold on: {threshold_words(self.limits)}."

    def _table(self, held: HeldOut) -> Table:
        rows = [
            {**row, "threshold": f"{t:.3g}"}
            for row, t in zip(with_training(held, self.class_weights), self.limits, strict=True)
        ]
        return class_table(
            rows,
            {
                "support": ("items", "number"),
                "average_precision": ("average precision", "interval"),
                "f1": ("F1", "share"),
                "precision": ("precision", "share"),
                "sensitivity": ("sensitivity", "share"),
                "specificity": ("specificity", "share"),
                "threshold": ("threshold", "number"),
            },
            by="average_precision",
            title="Lowest average precision first",
            empty="no items held out",
        )

    def _worst(self, held: HeldOut) -> Section:
        """The items that cost most among those with a wrong label."""
        wrong = [i for i, row in enumerate(held.rows) if not row["subset_accuracy"]]
        worst = sorted(wrong, key=lambda i: -float(held.rows[i]["loss"]))[:MISTAKES]
        count, noun = f"{held.scores.items:,}", f"held-out {held.noun}"
        if not worst:
            return Section("Mistakes", f"Every label of all {count} {noun} is right.")
        said = f"{len(worst)} of {len(wrong):,} {noun} with a wrong label among {count}, the most costly first."
        tiles = [self._tile(item) for item in held.items(worst)]
        return Section(
            "The worst mistakes", parts=[Text(said, soft=True), Gallery(tiles)], name="Mistakes"
        )

    def _tile(self, item: Item) -> Tile:
        has, says = item.truth > 0, self.said(item.answer)
        extra, missed = self._named(says & ~has, item.answer), self._named(has & ~says, item.answer)
        title: list[str] = ["truth ", self._named(has) or "no label"]
        lines = [f"said wrongly: {extra}"] if extra else []
        lines += [f"missed: {missed}"] if missed else []
        answer = self._named(says) or "no label"
        return Tile(
            item.shown,
            [*title, ", answered ", Wrong(answer)],
            lines,
            alt=f"truth {title[1]}, answered {answer}",
            code=item.name,
        )

    def _named(self, which: NDArray[np.bool_], probs: Probabilities | None = None) -> str:
        """Labels by name, with their probabilities where they are given; of many the first."""
        found = np.flatnonzero(which).tolist()
        names = [
            self.classes[k] if probs is None else f"{self.classes[k]} ({percent(float(probs[k]))})"
            for k in found[:LISTED]
        ]
        more = [f"{len(found) - LISTED} more"] if len(found) > LISTED else []
        return ", ".join(names + more)


@dataclass
class Labels(Meter):
    """Probabilities of items, and the labels that they have."""

    task: Multilabel
    _probs: list[Probabilities] = field(default_factory=list[Probabilities])
    _truth: list[NDArray[np.bool_]] = field(default_factory=list[NDArray[np.bool_]])
    _said: list[NDArray[np.bool_]] = field(default_factory=list[NDArray[np.bool_]])
    _parts: set[tuple[float, ...]] = field(default_factory=set[tuple[float, ...]])

    def add(self, answers: Any, truths: Sequence[Any] | NDArray[Any]) -> None:
        """Count some items: probabilities [B, K] and zeros and ones [B, K]."""
        probs = np.asarray(answers, np.float32)
        self._add(probs, np.asarray(truths) > 0, self.task.said(probs))
        self._parts.add(self.task.limits)

    def _add(self, probs: Probabilities, truth: NDArray[np.bool_], said: NDArray[np.bool_]) -> None:
        self._probs.append(probs)
        self._truth.append(truth.reshape(len(probs), -1))
        self._said.append(said)

    @property
    def answers(self) -> Answers:
        """Of all items."""
        none = (0, len(self.task.classes))
        return Answers(
            np.concatenate([np.zeros(none, np.float32), *self._probs]),
            np.concatenate([np.zeros(none, np.bool_), *self._truth]),
            np.concatenate([np.zeros(none, np.bool_), *self._said]),
        )

    def state(self) -> dict[str, NDArray[Any]]:
        """All three, and the thresholds that decided what was said."""
        probs, truth, said = self.answers
        limits = np.array(self.task.limits, np.float64)
        return {"probs": probs, "truth": truth, "said": said, "thresholds": limits}

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take in those of another, each said by its own thresholds."""
        probs, truth, said = (state[key] for key in ("probs", "truth", "said"))
        self._add(np.asarray(probs, np.float32), truth.astype(bool), said.astype(bool))
        self._parts.add(tuple(state["thresholds"].tolist()))

    def values(self) -> dict[str, float]:
        """Loss, mean average precision, share with every label right."""
        return multilabel.values(self.answers)

    def scores(self, groups: NDArray[np.int64] | None = None) -> dict[str, Interval]:
        """Averages over labels, share with every label right, loss."""
        return multilabel.scores(self.answers, self.task.classes, groups)[0]

    def notes(self, groups: NDArray[np.int64] | None = None) -> list[str]:
        """Which scores have no interval and why, and how labels are said."""
        missing = multilabel.scores(self.answers, self.task.classes, groups)[1]
        if len(self._parts) > 1:
            return [*missing, "each part is answered by the thresholds of its own run"]
        return [
            *missing,
            f"labels are said from these probabilities on: {threshold_words(self.task.limits)}",
        ]

    @property
    def merit(self) -> float:
        """The mean average precision, which no threshold changes; minus the loss where no item has a label."""
        found = self.values()
        area = found["average_precision"]
        return area if np.isfinite(area) else -found["loss"]

    def per_class(self, groups: NDArray[np.int64] | None = None) -> list[dict[str, Any]]:
        """Support, average precision with its interval, F1, sensitivity and specificity with theirs."""
        return multilabel.per_class(self.answers, self.task.classes, groups)


def threshold_words(found: Sequence[float]) -> str:
    """One number where all labels have the same, else their range.

    >>> threshold_words([0.5, 0.5]), threshold_words([0.25, 0.5])
    ('0.5', '0.25 to 0.5, one for each label, chosen on validation items by its F1')
    """
    low, high = (f"{end:.2g}" for end in (min(found), max(found)))
    if len(set(found)) == 1:
        return low
    return f"{low} to {high}, one for each label, chosen on validation items by its F1"


def rare_weights(counts: Sequence[int], items: int) -> tuple[float, ...]:
    """For each label the items without it over those with it, so that both weigh the same in sum.

    Args:
        counts: of the training items that have each label.
        items: of all of them.
    """
    return tuple(max(items - count, 1) / max(count, 1) for count in counts)
