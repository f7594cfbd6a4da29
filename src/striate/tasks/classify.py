"""One label an item. B batch, K classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from striate import losses
from striate.augment import read
from striate.data import Data
from striate.errors import RecipeError
from striate.metrics import Interval, Scores, thresholds
from striate.metrics.classify import confusion_matrix, decided, score, uneven
from striate.tasks import certainty
from striate.tasks.by_class import (
    check_scores,
    class_table,
    confusion_figure,
    pairs_table,
    with_training,
)
from striate.tasks.section import (
    Bar,
    Beside,
    Fold,
    Gallery,
    Headline,
    Measure,
    Part,
    Section,
    Table,
    Text,
    Tile,
    Wrong,
)
from striate.tasks.task import HeldOut, Item, Meter, Settings, Task
from striate.text import percent, short, short_name

MISTAKES, UNSURE = (
    12,
    8,
)  # items that the report shows: answered wrongly, and rightly without being sure
ROW = 6  # items of a class in its row
ROWS = 20  # classes up to which each has one
AUTO = "auto"  # of threshold=: chosen on validation items

Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class Classify(Task):
    """Classification: cross-entropy or another loss of labels to learn by, softmax to answer with.

    Attributes:
        classes: their names.
        smoothing: of the labels, in cross-entropy.
        spelled: the loss as `striate.losses.read` takes it.
        class_weights: a factor for the items of each class, in cross-entropy and focal loss.
        uneven: whether classes are so uneven that balanced accuracy chooses the epoch.
        top: how many labels an answer lists.
        threshold: of two classes the probability of the second from which it is answered; None for the likelier one.
        auto: whether validation items are still to choose it.
    """

    name: ClassVar[str] = "classify"
    kinds: ClassVar[tuple[str, ...]] = ("label",)
    wanted: ClassVar[str] = "items with one label each"
    loss_names: ClassVar[tuple[str, ...]] = tuple(losses.LABELS)
    usual_loss: ClassVar[str] = "cross_entropy"
    has_mean: ClassVar[bool] = True
    linear: ClassVar[bool] = True
    thresholds: ClassVar[bool] = True
    held_loss: ClassVar[bool] = False
    counted: ClassVar[tuple[str, ...]] = ("accuracy",)
    columns: ClassVar[Mapping[str, str]] = {
        "recall": "recall",
        "precision": "precision",
        "support": "items",
    }
    main: ClassVar[str] = "accuracy"
    measures: ClassVar[Mapping[str, Measure]] = {
        "accuracy": Measure("Accuracy", "share answered rightly"),
        "top5": Measure("Top-5 accuracy", "truth among the five likeliest"),
        "balanced_accuracy": Measure(
            "Balanced accuracy", "mean recall, every class counting the same"
        ),
        "f1": Measure("F1", "mean over classes of precision and recall in one"),
        "auroc": Measure("AUROC", "a random item of a class ranks above a random other"),
        "average_precision": Measure(
            "Average precision", "of the second class: mean precision down to each of its items"
        ),
        "sensitivity": Measure("Sensitivity", "share of the second class that is answered so"),
        "specificity": Measure("Specificity", "share of the first class that is answered so"),
        "ece": Measure(
            "Calibration error", "mean gap between confidence and being right", lower=True
        ),
        "loss": Measure("Loss", "mean cross-entropy, in nats", lower=True),
    }
    classes: tuple[str, ...]
    smoothing: float = 0.0
    spelled: str = "cross_entropy"
    class_weights: tuple[float, ...] | None = None
    uneven: bool = False
    top: int = 5
    threshold: float | None = None
    auto: bool = False

    @classmethod
    def of(cls, data: Data, recipe: Settings) -> Self:
        """With the loss of the recipe, the weights of the classes and the threshold between two of them.

        Raises:
            RecipeError: a threshold between more than two classes, or one to be chosen on items that there are not.
        """
        weights = None
        if recipe.class_weights == "balanced":
            weights = balanced_weights(data.counts("train") or [])
        return cls(
            data.classes,
            recipe.smoothing,
            recipe.loss or cls.usual_loss,
            weights,
            uneven=uneven(data.counts("train") or []),
            threshold=_of_two(data, recipe),
            auto=recipe.threshold == AUTO,
        )

    @classmethod
    def restored(cls, classes: Sequence[str], config: Mapping[str, Any]) -> Self:
        """To answer with: how it was learned does not matter any more."""
        found = config.get("threshold")
        return cls(tuple(classes), threshold=None if found is None else float(found))

    def config(self) -> dict[str, Any]:
        """The threshold, where there is one."""
        return {} if self.threshold is None else {"threshold": self.threshold}

    @classmethod
    def refuse(cls, recipe: Settings, *, own_net: bool = False) -> None:
        """As every task, and mixed items under a loss of single labels.

        Raises:
            RecipeError: naming the setting.
        """
        super().refuse(recipe, own_net=own_net)
        spelt = recipe.loss or cls.usual_loss
        if read(recipe.augment).of("mix") and not losses.read(spelt).of_shares():
            raise RecipeError(
                f"augment={recipe.augment} and loss={spelt} do not go together: mixed items belong to two "
                "classes at once, which cross_entropy alone takes"
            )

    # ---------------------------------------------------------------------------------- a step of it

    @cached_property
    def _composite(self) -> losses.Composite:
        weights = None if self.class_weights is None else torch.tensor(self.class_weights)
        context: dict[str, Any] = {"smoothing": self.smoothing} if self.smoothing else {}
        if weights is not None:
            context["class_weights"] = weights
        return losses.read(self.spelled).within(**context)

    def criterion(
        self, answer: Float[Tensor, "b k"], target: Int[Tensor, " b"] | Float[Tensor, "b k"]
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Of scores and class numbers, or shares of the classes."""
        return self._composite.measured(answer, target)

    def counts(self, answer: Any, target: Tensor) -> dict[str, Tensor]:
        """How many are right; of a mixed item the larger share is the truth."""
        truth = target if target.ndim == 1 else target.argmax(1)
        if self.threshold is None:
            return {"accuracy": (answer.argmax(1) == truth).sum()}
        second = answer.float().softmax(1)[:, 1] >= self.threshold
        return {"accuracy": (second.long() == truth).sum()}

    def shares(self, target: Tensor, kind: torch.dtype) -> Tensor:
        """One for the class of an item, zero for all others, [B, K]."""
        return F.one_hot(target, len(self.classes)).to(kind)

    def check_answer(self, outputs: Any, x: Tensor) -> None:
        """A score for each class.

        Raises:
            ShapeError: what came and what was expected.
        """
        check_scores(outputs, len(x), len(self.classes), what="classes")

    # ----------------------------------------------------------------------------- after a training

    @property
    def unsettled(self) -> bool:
        """Whether the threshold is still to be chosen."""
        return self.auto

    def settled_by(self, meter: "Labelled") -> tuple[Self, str]:
        """With the threshold of the largest balanced accuracy (Youden 1950); 0.5 where a class has hardly an item."""
        second, items = meter.truth == 1, f"{len(meter.truth):,} validation items"
        found = thresholds.best(meter.probs[:, 1], second, "balanced_accuracy")
        how = f", chosen on {items} by their balanced accuracy"
        if not thresholds.enough(second):
            how = f": {items} have too few of a class to choose another"
        said = f"threshold={found:.3g}{how}: {self.classes[1]} is answered from that probability on"
        return replace(self, threshold=found, auto=False), said

    def as_settled(self, other: Task) -> Self:
        """With the threshold of another."""
        found = other.threshold if isinstance(other, Classify) else self.threshold
        return replace(self, threshold=found, auto=False)

    # ------------------------------------------------------------------------------------ its answers

    def decode(
        self, outputs: Float[Tensor, "b k"], sizes: Sequence[tuple[int, ...]] = ()
    ) -> Probabilities:
        """Probabilities [B, K]."""
        del sizes
        return outputs.float().softmax(1).cpu().numpy()

    def to_mean(self, outputs: Float[Tensor, "b k"]) -> Tensor:
        """Probabilities."""
        return outputs.float().softmax(1)

    def from_mean(self, mean: Tensor) -> Tensor:
        """Logits with these probabilities."""
        return mean.clamp_min(torch.finfo(mean.dtype).tiny).log()

    def item_scores(self, answer: Probabilities, truth: int) -> dict[str, float]:
        """Whether it is right, and its loss in nats."""
        return {
            "accuracy": float(self._said(answer) == truth),
            "loss": float(-np.log(max(float(answer[truth]), 1e-12))),
        }

    def said(self, answers: Probabilities) -> NDArray[np.bool_]:
        """Which class is said, of probabilities [N, K]."""
        return self._answers(np.asarray(answers))[:, None] == np.arange(len(self.classes))

    def from_thresholds(self, outputs: Float[Tensor, "b k"]) -> Tensor:
        """Scores of which the second of two is less by that of its threshold."""
        if self.threshold is None:
            return outputs
        limit = torch.tensor([0.5, self.threshold], dtype=torch.float64).logit(thresholds.EDGE)
        return outputs - limit.to(outputs)

    def _said(self, answer: Probabilities) -> int:
        """The class that is answered."""
        return int(self._answers(answer[None])[0])

    def item_words(self, answer: Probabilities, truth: int) -> dict[str, str]:
        """Truth, answer and its confidence."""
        best = self._said(answer)
        return {
            "truth": self.classes[truth],
            "answer": self.classes[best],
            "confidence": f"{answer[best]:.6f}",
        }

    def meter(self, *, whole: bool = False) -> "Labelled":
        """A meter of probabilities."""
        del whole
        return Labelled(self.classes, uneven=self.uneven, threshold=self.threshold)

    # -------------------------------------------------------------------------------------- predicting

    def tuned(self, options: Mapping[str, Any]) -> Self:
        """With `top`, how many labels are listed."""
        super().tuned({key: value for key, value in options.items() if key != "top"})
        return replace(self, top=options.get("top", self.top))

    def answer(self, one: Sequence[float] | Probabilities) -> dict[str, Any]:
        """Label, confidence, the best few; where a threshold decides, the label comes before one that is likelier."""
        said = self._said(np.asarray(one))
        order = np.argsort(-np.asarray(one), kind="stable")
        order = np.concatenate([[said], order[order != said]])[: self.top]
        best = [[self.classes[i], float(one[i])] for i in order]
        return {"label": best[0][0], "confidence": best[0][1], "top": best}

    def line(self, answer: Mapping[str, Any]) -> str:
        """The label, and the others in brackets."""
        others = ", ".join(f"{label} {percent(p)}" for label, p in answer.get("top", ())[1:])
        return f"{answer['label']} {percent(answer['confidence'])}" + (
            f" ({others})" if others else ""
        )

    # -------------------------------------------------------------------------------------- the report

    def headline(self, held: HeldOut, of: str) -> Headline:
        """The share that is right, and what always answering the commonest class would give."""
        if self.main not in held.scores.scores:
            return Headline(self.main, f"no accuracy on {of}")
        rows = held.scores.per_class
        total = sum(row["support"] for row in rows)
        said: list[str] = []
        constant = None
        if total:
            common = max(rows, key=lambda row: row["support"])
            share = common["support"] / total
            within = held.scores.scores[self.main].low <= share
            reaches = "; the interval reaches down to that" if within else ""
            answer = short(str(common["label"]), 40)
            constant = share
            said = [f"Always answering “{answer}” would be right in {percent(share)}{reaches}."]
        return Headline(self.main, f"of {of} right", said, constant)

    def curve_words(self, recipe: Settings) -> dict[str, str]:
        """What the loss of the training is of, where that is not what is held out is measured by."""
        said = [f"smoothed by {recipe.smoothing}"] if recipe.smoothing else []
        said += ["classes balanced"] if recipe.class_weights == "balanced" else []
        mixed = bool(read(recipe.augment).of("mix"))
        said += ["items mixed"] if mixed else []
        spelt = recipe.loss or self.usual_loss
        words = f"{spelt} ({', '.join(said)})" if said else spelt
        held = "Held-out: mean cross-entropy in nats. Train: "
        larger = "A mixed training item counts as the class of its larger share."
        return {
            "loss": "Mean cross-entropy in nats, by epoch."
            if words == self.usual_loss
            else f"{held}{words}.",
            "accuracy": larger if mixed else "",
        }

    def sections(self, held: HeldOut) -> list[Section]:
        """What is taken for what, class by class, the worst mistakes, and how sure the answers are."""
        found = [self._confused(held), self._mistakes(held), self._certain(held)]
        return [section for section in found if section]

    def _certain(self, held: HeldOut) -> Section | None:
        meter = held.meter
        if not isinstance(meter, Labelled):
            return None
        answered_N = self._answers(meter.probs)
        return certainty.section(meter.probs, meter.truth, answered_N, self.classes, held.noun)

    def _answers(self, probs_NK: Probabilities) -> NDArray[np.int64]:
        """The class that is said of each item, [N]."""
        return decided(probs_NK, self.threshold)

    def _confused(self, held: HeldOut) -> Section | None:
        counts, rows = held.scores.confusion, held.scores.per_class
        parts: list[Part] = []
        if counts is not None:
            split = {"val": "validation"}.get(held.scores.split, held.scores.split)
            caption = f"{held.scores.items:,} {split} items."
            figure = confusion_figure(counts, self.classes, caption=caption)
            pairs = pairs_table(counts, self.classes, of="items")
            said = "was answered wrongly" if counts.sum() else "was there to be answered"
            none = Text(f"No held-out item {said}.")
            parts.append(Beside([figure, pairs or none], "uneven"))
        if self.threshold is not None:
            parts.append(Text(f"{held.meter.threshold_words()}.", soft=True))
        if rows:
            parts.append(self._table(held))
        return Section("What is taken for what", parts=parts, name="Confusion") if parts else None

    def _table(self, held: HeldOut) -> Table:
        rows = with_training(held, self.class_weights)
        return class_table(
            rows,
            {
                "support": ("items", "number"),
                "recall": ("recall", "interval"),
                "precision": ("precision", "share"),
                "f1": ("F1", "share"),
                "specificity": ("specificity", "share"),
                "average_precision": ("average precision", "share"),
            },
            by="recall",
            title="Class by class, worst recall first",
            empty="no items held out",
        )

    def _mistakes(self, held: HeldOut) -> Section:
        """The surest of the wrong answers, the least sure of the right ones, and a row of items a class."""
        split = "test" if held.scores.split == "test" else "held-out"
        items, noun = f"{held.scores.items:,}", f"{split} {held.noun}"
        sure = [float(row["confidence"]) for row in held.rows]
        good = [bool(row["accuracy"]) for row in held.rows]
        wrong = sorted((i for i, right in enumerate(good) if not right), key=lambda i: -sure[i])
        right = sorted((i for i, right in enumerate(good) if right), key=lambda i: sure[i])
        if not good:
            return Section("Mistakes", f"No {noun} were there to be answered.")
        parts: list[Part] = []
        if wrong:
            worst = held.items(wrong[:MISTAKES])
            said = f"{len(worst)} of {len(wrong):,} wrong answers among {items} {noun}, the most confident first."
            parts += [Text(said, soft=True), Gallery([self._tile(item) for item in worst])]
        else:
            parts.append(Text(f"None of the {items} {noun} was answered wrongly."))
        if right:
            unsure = held.items(right[:UNSURE])
            said = f"{len(unsure)} of {len(right):,} right answers, the least confident first."
            shown = Gallery([self._tile(item) for item in unsure], title="Right, but least sure")
            parts += [shown, Text(said, soft=True)]
        parts += self._rows_of_classes(held)
        title = "The worst mistakes" if wrong else "No mistakes, and the least sure answers"
        return Section(title, parts=parts, name="Mistakes")

    def _tile(self, item: Item) -> Tile:
        """Truth, answer, and the three likeliest classes as bars, the truth among them."""
        best, truth = int(self._answers(item.answer[None])[0]), self.classes[item.truth]
        order = np.argsort(-item.answer, kind="stable").tolist()
        three = order[:3] if item.truth in order[:3] else [*order[:2], item.truth]
        answer, wrong = self.classes[best], best != item.truth
        title: list[str] = ["truth ", truth, ", answered ", Wrong(answer)] if wrong else [truth]
        return Tile(
            item.shown,
            title,
            alt=f"truth {truth}, answered {answer}",
            code=short_name(item.name),
            hint=item.name,
            bars=[Bar(self.classes[k], float(item.answer[k]), k == item.truth) for k in three],
            wrong=wrong,
        )

    def _rows_of_classes(self, held: HeldOut) -> list[Part]:
        """A row of items a class, those first to which the net gives the least chance of their class."""
        if not 1 < len(self.classes) <= ROWS or not isinstance(held.meter, Labelled):
            return []
        probs, truth = held.meter.probs, held.meter.truth
        strips: list[Part] = []
        for k, name in enumerate(self.classes):
            mine = np.flatnonzero(truth == k)
            worst = mine[np.argsort(probs[mine, k], kind="stable")][:ROW].tolist()
            tiles = [self._small(item) for item in held.items(worst)]
            strips += [Gallery(tiles, "strip", title=name)] if tiles else []
        said = (
            f"Of each class the {ROW} items to which the net gives the least chance of it, from left to right; those "
            "that were answered wrongly have a frame."
        )
        return [Fold("A row a class", [Text(said, soft=True), *strips])] if strips else []

    def _small(self, item: Item) -> Tile:
        best = int(self._answers(item.answer[None])[0])
        said = f"{item.name}: truth {self.classes[item.truth]}, answered {self.classes[best]} ({percent(float(item.answer[best]))})"
        return Tile(item.shown, alt=said, wrong=best != item.truth)


class Labelled(Meter):
    """Probabilities of items and their classes. N items, K classes."""

    def __init__(
        self, classes: Sequence[str], *, uneven: bool = False, threshold: float | None = None
    ) -> None:
        self.classes, self.uneven, self.threshold = classes, uneven, threshold
        self._probs: list[Probabilities] = []
        self._answer: list[NDArray[np.int64]] = []
        self._truth: list[NDArray[np.int64]] = []
        self._found: tuple[object, Scores] | None = None
        self._merged = False

    def add(self, answers: Any, truths: Sequence[int] | NDArray[Any]) -> None:
        """Count some items: probabilities [B, K] and class numbers [B]."""
        probs = np.asarray(answers, np.float32)
        self._add(probs, decided(probs, self.threshold), np.asarray(truths, np.int64))

    def _add(
        self, probs: Probabilities, answer: NDArray[np.int64], truth: NDArray[np.int64]
    ) -> None:
        self._probs.append(probs)
        self._answer.append(answer)
        self._truth.append(truth)

    @property
    def probs(self) -> Probabilities:
        """Of all items, [N, K]."""
        empty = np.zeros((0, len(self.classes)), np.float32)
        return np.concatenate(self._probs) if self._probs else empty

    @property
    def truth(self) -> NDArray[np.int64]:
        """Of all items, [N]."""
        return np.concatenate(self._truth) if self._truth else np.zeros(0, np.int64)

    @property
    def answer(self) -> NDArray[np.int64]:
        """The classes that were answered, [N]."""
        return np.concatenate(self._answer) if self._answer else np.zeros(0, np.int64)

    def state(self) -> dict[str, NDArray[Any]]:
        """Probabilities and truth; the answers, which every part decides by its own threshold, where there is one."""
        answer = {} if self.threshold is None else {"answer": self.answer}
        return {"probs": self.probs, "truth": self.truth, **answer}

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take in the arrays of another."""
        self._merged = True
        probs = np.asarray(state["probs"], np.float32)
        answer = state["answer"] if "answer" in state else decided(probs)
        self._add(probs, np.asarray(answer), np.asarray(state["truth"], np.int64))

    def values(self) -> dict[str, float]:
        """Mean loss in nats and the share that is right, of uneven classes the mean over them before it."""
        probs, truth = self.probs, self.truth
        chance = probs[np.arange(len(truth)), truth].clip(1e-12)
        right = {"accuracy": float((self.answer == truth).mean())}
        balanced = {"balanced_accuracy": self.merit} if self.uneven else {}
        return {"loss": float(-np.log(chance).mean()), **balanced, **right}

    def scores(self, groups: NDArray[np.int64] | None = None) -> dict[str, Interval]:
        """Accuracy, averages over classes, calibration, loss."""
        return dict(self._scored(groups).scores)

    def _scored(self, groups: NDArray[np.int64] | None) -> Scores:
        """All of them at once; asked for again as long as nothing is added."""
        key = (len(self._truth), None if groups is None else groups.tobytes())
        if self._found is None or self._found[0] != key:
            found = score(
                self.probs,
                self.truth,
                classes=self.classes,
                groups=groups,
                answer_N=self.answer,
            )
            self._found = (key, found)
        return self._found[1]

    def notes(self, groups: NDArray[np.int64] | None = None) -> list[str]:
        """Which scores have no interval, and why; and the threshold."""
        said = [] if self.threshold is None else [self.threshold_words()]
        return [*self._scored(groups).notes, *said]

    def threshold_words(self) -> str:
        """From which probability on the second class is answered."""
        if self._merged:
            return "each part is answered by the threshold of its own run"
        return f"{self.classes[1]} is answered from a probability of {self.threshold:.3g} on"

    @property
    def merit(self) -> float:
        """The share that is right, of uneven classes the mean over those that occur."""
        right = self.answer == self.truth
        if not self.uneven:
            return float(right.mean())
        counts = np.bincount(self.truth, minlength=len(self.classes))
        hits = np.bincount(self.truth[right], minlength=len(self.classes))
        return float((hits[counts > 0] / counts[counts > 0]).mean())

    def confusion(self) -> NDArray[np.int64]:
        """Counts, rows truth, columns answers."""
        return confusion_matrix(self.truth, self.answer, len(self.classes))

    def per_class(self, groups: NDArray[np.int64] | None = None) -> list[dict[str, Any]]:
        """Support, recall with its interval, precision, F1."""
        return [dict(row) for row in self._scored(groups).per_class]


def _of_two(data: Data, recipe: Settings) -> float | None:
    """The threshold of a recipe, where it is a number.

    Raises:
        RecipeError: there are more than two classes, or nothing to choose one on.
    """
    given = recipe.threshold
    if given is not None and len(data.classes) != 2:
        raise RecipeError(
            f"threshold={given}: it lies between two classes, these data have {len(data.classes)}; leave it out"
        )
    check_choice(data, recipe)
    return None if given in (None, AUTO) else float(given)


def check_choice(data: Data, recipe: Settings) -> None:
    """Refuse a threshold that is to be chosen on validation items where there are none.

    Raises:
        RecipeError: with what else can be done.
    """
    if recipe.threshold == AUTO and data.held_out != "val":
        raise RecipeError(
            "threshold=auto is chosen on validation items, and these data hold out test items alone, which choose nothing: "
            "val=0.2 takes some of the training items, or give a number"
        )


def balanced_weights(counts: Sequence[int]) -> tuple[float, ...]:
    """N / (K n) for each class of n items, so that all weigh the same in sum (King and Zeng 2001).

    Args:
        counts: of the training items of each class.
    """
    held = torch.tensor(counts, dtype=torch.int64)
    return tuple((int(held.sum()) / (len(counts) * held.clamp_min(1).double())).tolist())
