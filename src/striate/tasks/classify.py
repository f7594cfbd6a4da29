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

from striate import inputs, losses
from striate.augment import read
from striate.data import Data
from striate.errors import RecipeError, ShapeError
from striate.metrics import Interval, Scores
from striate.metrics.classify import confusion_matrix, score, uneven
from striate.tasks.by_class import class_table, confusion_figure, pairs_table, with_training
from striate.tasks.section import (
    Beside,
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
from striate.tasks.task import HeldOut, Item, Meter, Settings, Task, answered
from striate.text import percent, short

MISTAKES = 20  # shown in the report

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
    """

    name: ClassVar[str] = "classify"
    kinds: ClassVar[tuple[str, ...]] = ("label",)
    loss_names: ClassVar[tuple[str, ...]] = tuple(losses.LABELS)
    usual_loss: ClassVar[str] = "cross_entropy"
    has_mean: ClassVar[bool] = True
    mixes: ClassVar[bool] = True
    linear: ClassVar[bool] = True
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

    @classmethod
    def of(cls, data: Data, recipe: Settings) -> Self:
        """With the loss of the recipe and the weights of the classes."""
        weights = None
        if recipe.class_weights == "balanced":
            weights = balanced_weights(data.counts("train") or [])
        return cls(
            data.classes,
            recipe.smoothing,
            recipe.loss or cls.usual_loss,
            weights,
            uneven=uneven(data.counts("train") or []),
        )

    @classmethod
    def restored(cls, classes: Sequence[str], config: Mapping[str, Any]) -> Self:
        """To answer with: how it was learned does not matter any more."""
        del config
        return cls(tuple(classes))

    @classmethod
    def defaults(cls, data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any]:
        """Those of nets that answer whole inputs."""
        return inputs.of(data.modality).defaults(data, recipe, own_net=own_net)

    def head(self) -> dict[str, Any]:
        """A score a class."""
        return {"num_classes": len(self.classes)}

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
                f"augment={recipe.augment} and loss={spelt} do not go together: mixed pictures belong to two "
                "classes at once, which cross_entropy alone takes"
            )

    @classmethod
    def wanted(cls) -> str:
        """What the losses are of."""
        return "pictures with one label each"

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
        return {"accuracy": (answer.argmax(1) == truth).sum()}

    def shares(self, target: Tensor, kind: torch.dtype) -> Tensor:
        """One for the class of an item, zero for all others, [B, K]."""
        return F.one_hot(target, len(self.classes)).to(kind)

    def check_answer(self, outputs: Any, x: Tensor) -> None:
        """A score for each class.

        Raises:
            ShapeError: what came and what was expected.
        """
        expected = (len(x), len(self.classes))
        if not isinstance(outputs, Tensor) or tuple(outputs.shape) != expected:
            raise ShapeError(
                f"the net answers {answered(outputs)} to {expected[0]} pictures, expected one tensor {expected}: "
                f"a score for each of the {expected[1]} classes"
            )

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
            "accuracy": float(int(answer.argmax()) == truth),
            "loss": float(-np.log(max(float(answer[truth]), 1e-12))),
        }

    def item_words(self, answer: Probabilities, truth: int) -> dict[str, str]:
        """Truth, answer and its confidence."""
        best = int(answer.argmax())
        return {
            "truth": self.classes[truth],
            "answer": self.classes[best],
            "confidence": f"{answer[best]:.6f}",
        }

    def meter(self, *, whole: bool = False) -> "Labelled":
        """A meter of probabilities."""
        del whole
        return Labelled(self.classes, uneven=self.uneven)

    # -------------------------------------------------------------------------------------- predicting

    def tuned(self, options: Mapping[str, Any]) -> Self:
        """With `top`, how many labels are listed."""
        super().tuned({key: value for key, value in options.items() if key != "top"})
        return replace(self, top=options.get("top", self.top))

    def answer(self, one: Sequence[float] | Probabilities) -> dict[str, Any]:
        """Label, confidence, the best few."""
        order = np.argsort(-np.asarray(one), kind="stable")[: self.top]
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
        if total:
            common = max(rows, key=lambda row: row["support"])
            share = common["support"] / total
            within = held.scores.scores[self.main].low <= share
            reaches = "; the interval reaches down to that" if within else ""
            answer = short(str(common["label"]), 40)
            said = [f"Always answering “{answer}” would be right in {percent(share)}{reaches}."]
        return Headline(self.main, f"of {of} right", said)

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
        """What is taken for what, class by class, and the worst mistakes."""
        confused = self._confused(held)
        return [*([confused] if confused else []), self._mistakes(held)]

    def _confused(self, held: HeldOut) -> Section | None:
        counts, rows = held.scores.confusion, held.scores.per_class
        parts: list[Part] = []
        if counts is not None:
            split = {"val": "validation"}.get(held.scores.split, held.scores.split)
            caption = f"{held.scores.items:,} {split} items."
            figure = confusion_figure(counts, self.classes, caption=caption)
            pairs = pairs_table(counts, self.classes, of="items")
            none = Text("No held-out item was answered wrongly.")
            parts.append(Beside([figure, pairs or none], "uneven"))
        if rows:
            parts.append(self._table(held))
        return Section("What is taken for what", parts=parts, name="Confusion") if parts else None

    def _table(self, held: HeldOut) -> Table:
        rows = with_training(held, self.class_weights)
        return class_table(
            rows,
            {
                "trained": ("trained on", "number"),
                "weight": ("weight in the loss", "number"),
                "support": ("items", "number"),
                "recall": ("recall", "interval"),
                "precision": ("precision", "share"),
                "f1": ("F1", "share"),
            },
            by="recall",
            title="Class by class, worst recall first",
            empty="no items held out",
        )

    def _mistakes(self, held: HeldOut) -> Section:
        """The items that were answered wrongly with the most confidence."""
        items, noun = f"{held.scores.items:,}", f"held-out {held.noun}"
        wrong = [i for i, row in enumerate(held.rows) if not row["accuracy"]]
        worst = sorted(wrong, key=lambda i: -float(held.rows[i]["confidence"]))[:MISTAKES]
        if not worst:
            said = f"None of the {items} {noun} was answered wrongly."
            return Section("Mistakes", said)
        said = f"{len(worst)} of {len(wrong):,} wrong answers among {items} {noun}, the most confident first."
        tiles = [self._mistake(item) for item in held.items(worst)]
        return Section(
            "The worst mistakes", parts=[Text(said, soft=True), Gallery(tiles)], name="Mistakes"
        )

    def _mistake(self, item: Item) -> Tile:
        best = int(item.answer.argmax())
        truth, answer = self.classes[item.truth], self.classes[best]
        sure, other = float(item.scores["confidence"]), float(item.answer[item.truth])
        return Tile(
            item.shown,
            ["truth ", truth, ", answered ", Wrong(answer), f" ({percent(sure)})"],
            [f"{percent(other)} for the truth"],
            alt=f"truth {truth}, answered {answer}",
            code=item.name,
        )


class Labelled(Meter):
    """Probabilities of items and their classes. N items, K classes."""

    def __init__(self, classes: Sequence[str], *, uneven: bool = False) -> None:
        self.classes, self.uneven = classes, uneven
        self._probs: list[Probabilities] = []
        self._truth: list[NDArray[np.int64]] = []
        self._found: tuple[object, Scores] | None = None

    def add(self, answers: Any, truths: Sequence[int] | NDArray[Any]) -> None:
        """Count some items: probabilities [B, K] and class numbers [B]."""
        self._probs.append(np.asarray(answers, np.float32))
        self._truth.append(np.asarray(truths, np.int64))

    @property
    def probs(self) -> Probabilities:
        """Of all items, [N, K]."""
        empty = np.zeros((0, len(self.classes)), np.float32)
        return np.concatenate(self._probs) if self._probs else empty

    @property
    def truth(self) -> NDArray[np.int64]:
        """Of all items, [N]."""
        return np.concatenate(self._truth) if self._truth else np.zeros(0, np.int64)

    def state(self) -> dict[str, NDArray[Any]]:
        """Both arrays."""
        return {"probs": self.probs, "truth": self.truth}

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take in both arrays of another."""
        self.add(state["probs"], state["truth"])

    def values(self) -> dict[str, float]:
        """Mean loss in nats and the share that is right, of uneven classes the mean over them before it."""
        probs, truth = self.probs, self.truth
        chance = probs[np.arange(len(truth)), truth].clip(1e-12)
        right = {"accuracy": float((probs.argmax(1) == truth).mean())}
        balanced = {"balanced_accuracy": self.merit} if self.uneven else {}
        return {"loss": float(-np.log(chance).mean()), **balanced, **right}

    def scores(self, groups: NDArray[np.int64] | None = None) -> dict[str, Interval]:
        """Accuracy, averages over classes, calibration, loss."""
        return dict(self._scored(groups).scores)

    def _scored(self, groups: NDArray[np.int64] | None) -> Scores:
        """All of them at once; asked for again as long as nothing is added."""
        key = (len(self._truth), None if groups is None else groups.tobytes())
        if self._found is None or self._found[0] != key:
            found = score(self.probs, self.truth, classes=self.classes, groups=groups)
            self._found = (key, found)
        return self._found[1]

    def notes(self, groups: NDArray[np.int64] | None = None) -> list[str]:
        """Which scores have no interval, and why."""
        return list(self._scored(groups).notes)

    @property
    def merit(self) -> float:
        """The share that is right, of uneven classes the mean over those that occur."""
        right = self.probs.argmax(1) == self.truth
        if not self.uneven:
            return float(right.mean())
        counts = np.bincount(self.truth, minlength=len(self.classes))
        hits = np.bincount(self.truth[right], minlength=len(self.classes))
        return float((hits[counts > 0] / counts[counts > 0]).mean())

    def confusion(self) -> NDArray[np.int64]:
        """Counts, rows truth, columns answers."""
        return confusion_matrix(self.truth, self.probs.argmax(1), len(self.classes))

    def per_class(self, groups: NDArray[np.int64] | None = None) -> list[dict[str, Any]]:
        """Support, recall with its interval, precision, F1."""
        return [dict(row) for row in self._scored(groups).per_class]


def balanced_weights(counts: Sequence[int]) -> tuple[float, ...]:
    """N / (K n) for each class of n items, so that all weigh the same in sum (King and Zeng 2001).

    Args:
        counts: of the training items of each class.
    """
    held = torch.tensor(counts, dtype=torch.int64)
    return tuple((int(held.sum()) / (len(counts) * held.clamp_min(1).double())).tolist())
