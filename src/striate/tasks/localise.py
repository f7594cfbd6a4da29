"""A label and a box an item: classification with localisation. B batch, K classes, N items.

Krizhevsky et al. 2012 and Sermanet et al. 2014 (OverFeat, arXiv 1312.6229): beside the scores of the classes the net gives four
numbers, the box. Here these are its middle, width and height as shares of the picture, scaled to mean 0 and deviation 1 over
the training items, so that 0 is the mean box.

A picture may have several objects of its class. Learned is the largest of their boxes; an answer is held against the one
that it overlaps most, as ImageNet's challenge does (Russakovsky et al. 2015, arXiv 1409.0575, section 4.1).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate import inputs, losses
from striate.data import Data
from striate.data.targets import Objects, OneBox
from striate.errors import RecipeError, ShapeError
from striate.metrics import Interval
from striate.metrics.classify import confusion_matrix, share, uneven
from striate.metrics.intervals import FEWEST, mean
from striate.metrics.meter_rows import Rows
from striate.metrics.scores import number
from striate.ops.boxes import box_iou
from striate.tasks.by_class import class_table, confusion_figure, pairs_table, with_training
from striate.tasks.classify import Labelled, balanced_weights
from striate.tasks.pictures import enlarged, outlined, scale, shrunk
from striate.tasks.regress import rescaled
from striate.tasks.section import (
    Beside,
    Gallery,
    Headline,
    Measure,
    Section,
    Table,
    Text,
    Tile,
    Wrong,
)
from striate.tasks.task import HeldOut, Item, Meter, Settings, Task, answered
from striate.text import percent, short

WORST = 20  # pictures shown in the report
ENOUGH = 0.5  # overlap from which a box is right, as ImageNet's challenge counts it
SIDES = ("box middle x", "box middle y", "box width", "box height")
TRUTH, ANSWER = (40, 160, 60), (214, 96, 20)  # colours of the two boxes of an item
VIEWS = "flip+scale:0.2+translate:0.1+brightness+contrast"

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]


class Located(NamedTuple):
    """Probabilities [K] and a box x0, y0, x1, y1 in the pixels of a picture, with its height and width."""

    probs: F32
    box: F32
    size: tuple[int, int]


@dataclass(frozen=True)
class Localise(Task):
    """Classification with localisation: a loss of labels and one of the four numbers of the box, added up.

    Attributes:
        classes: their names.
        mean, std: of the four numbers over the training items, by which they are scaled.
        spelled: the loss as `striate.losses.read` takes it: of the label, and of the scaled numbers of the box.
        smoothing: of the labels, in cross-entropy.
        class_weights: a factor for the items of each class, in cross-entropy and focal loss.
        uneven: whether classes are so uneven that balanced accuracy takes part in choosing the epoch.
        top: how many labels an answer lists.
    """

    name: ClassVar[str] = "localise"
    noun: ClassVar[str] = "pictures"
    kinds: ClassVar[tuple[str, ...]] = ("box",)
    wanted: ClassVar[str] = "pictures with a label and a box each"
    fit: ClassVar[str] = "stretch"
    loss_names: ClassVar[tuple[str, ...]] = (*losses.LABELS, "l1", "l2", "huber")
    usual_loss: ClassVar[str] = "cross_entropy+huber"
    counted: ClassVar[tuple[str, ...]] = ("accuracy",)
    columns: ClassVar[Mapping[str, str]] = {"recall": "recall", "iou": "IoU", "support": "items"}
    main: ClassVar[str] = "accuracy_iou50"
    measures: ClassVar[Mapping[str, Measure]] = {
        "accuracy_iou50": Measure(
            "Localisation accuracy", "the label is right and the boxes overlap by half"
        ),
        "accuracy": Measure("Accuracy", "share of labels that are right"),
        "balanced_accuracy": Measure(
            "Balanced accuracy", "mean recall, every class counting the same"
        ),
        "iou": Measure("IoU", "overlap with the nearest true box: intersection over union"),
        "loss": Measure("Loss", "as in the training", lower=True),
    }
    classes: tuple[str, ...]
    mean: tuple[float, ...] = (0.5, 0.5, 0.5, 0.5)
    std: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    spelled: str = "cross_entropy+huber"
    smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None
    uneven: bool = False
    top: int = 5

    @classmethod
    def of(cls, data: Data, recipe: Settings) -> Self:
        """With the loss of the recipe, the weights of the classes, and mean and deviation of the training boxes."""
        counts = data.counts("train") or []
        places = middles(_train_boxes(data))
        mean_4, std_4 = (0.5, 0.5, 0.5, 0.5), (1.0, 1.0, 1.0, 1.0)
        if len(places):
            mean_4 = tuple(places.mean(0).tolist())
            std_4 = tuple(np.where((std := places.std(0)) > 1e-3, std, 1.0).tolist())
        return cls(
            data.classes,
            mean_4,
            std_4,
            recipe.loss or cls.usual_loss,
            recipe.smoothing,
            balanced_weights(counts) if recipe.class_weights == "balanced" else None,
            uneven=uneven(counts),
        )

    @classmethod
    def restored(cls, classes: Sequence[str], config: Mapping[str, Any]) -> Self:
        """To answer with."""
        mean_4, std_4 = (tuple(float(v) for v in config[key]) for key in ("mean", "std"))
        if len(mean_4) != len(SIDES) or len(std_4) != len(SIDES):
            raise ValueError("a box has four numbers")
        return cls(tuple(classes), mean_4, std_4, uneven=bool(config.get("uneven")))

    def config(self) -> dict[str, Any]:
        """How boxes were scaled, and whether the classes are uneven."""
        return {"mean": list(self.mean), "std": list(self.std), "uneven": self.uneven}

    @classmethod
    def defaults(cls, data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any]:
        """Those of nets that answer whole inputs, with views in which the object stays."""
        usual = inputs.of(data.modality).defaults(data, recipe, own_net=own_net)
        return {**usual, "augment": VIEWS}

    @classmethod
    def refuse(cls, recipe: Settings, *, own_net: bool = False) -> None:
        """As every task, windows of pictures, and a loss of the label or of the box alone.

        Raises:
            RecipeError: naming the setting.
        """
        super().refuse(recipe, own_net=own_net)
        if recipe.crop:
            raise RecipeError(
                "crop: a box is learned by its place in the whole picture, which a window does not show; use size="
            )
        spelt = recipe.loss or cls.usual_loss
        of_labels = [term.name in losses.LABELS for term in losses.read(spelt).terms]
        if all(of_labels) or not any(of_labels):
            raise RecipeError(
                f"loss={spelt}: a label and a box need a loss each, one of {', '.join(losses.LABELS)} and one of l1, l2, huber, "
                f"such as {cls.usual_loss}"
            )

    @property
    def answers(self) -> tuple[str, ...]:
        """The classes and the numbers of the box."""
        return (*self.classes, *SIDES)

    def adopt(self, layer: nn.Module, was: Task) -> bool:
        """Scale the outputs of a layer that learned boxes of another mean and deviation."""
        if not isinstance(was, Localise) or (was.mean, was.std) == (self.mean, self.std):
            return False
        rows = slice(len(self.classes), None)
        return rescaled(layer, (was.mean, was.std), (self.mean, self.std), rows)

    # ---------------------------------------------------------------------------------- a step of it

    @cached_property
    def _losses(self) -> tuple[losses.Composite, losses.Composite]:
        """Of labels and of boxes."""
        terms = losses.read(self.spelled).terms
        context: dict[str, Any] = {"smoothing": self.smoothing} if self.smoothing else {}
        if self.class_weights is not None:
            context["class_weights"] = torch.tensor(self.class_weights)
        of_labels = tuple(term for term in terms if term.name in losses.LABELS)
        of_boxes = tuple(term for term in terms if term.name not in losses.LABELS)
        return losses.Composite(of_labels).within(**context), losses.Composite(of_boxes)

    def criterion(self, answer: Tensor, target: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Of scores and numbers [B, K + 4], and class and corners [B, 1, 5] as shares of the picture; class -1 has left the view."""
        rows = target[:, 0].float()
        there = rows[:, 0] >= 0
        if not there.any():
            return answer.float().sum() * 0, {}
        answer, rows = answer.float()[there], rows[there]
        of_labels, of_boxes = self._losses
        scores, numbers = answer[:, : len(self.classes)], answer[:, len(self.classes) :]
        scale_2 = answer.new_tensor((self.mean, self.std))
        wanted = (_middles(rows[:, 1:]) - scale_2[0]) / scale_2[1]
        parts = {
            "label": sum_of(of_labels, scores, rows[:, 0].long()),
            "box": sum_of(of_boxes, numbers, wanted),
        }
        return parts["label"] + parts["box"], parts

    def counts(self, answer: Any, target: Tensor) -> dict[str, Tensor]:
        """How many labels are right, as a share of the objects that the view left there."""
        labels = target[:, 0, 0].long()
        there = labels >= 0
        right = (answer[:, : len(self.classes)].argmax(1) == labels)[there].sum()
        return {"accuracy": right * len(labels) / there.sum().clamp(min=1)}

    def check_answer(self, outputs: Any, x: Tensor) -> None:
        """A score for each class and four numbers.

        Raises:
            ShapeError: what came and what was expected.
        """
        count = len(self.classes)
        expected = (len(x), count + len(SIDES))
        if not isinstance(outputs, Tensor) or tuple(outputs.shape) != expected:
            raise ShapeError(
                f"the net answers {answered(outputs)} to {expected[0]} pictures, expected one tensor {expected}: a score for each "
                f"of the {count} classes, and four numbers for the box"
            )

    # ------------------------------------------------------------------------------------ its answers

    def decode(self, outputs: Tensor, sizes: Sequence[tuple[int, ...]]) -> list[Located]:
        """Probabilities, and boxes in the pixels of each picture itself."""
        count = len(self.classes)
        probs = outputs[:, :count].float().softmax(1).cpu().numpy()
        numbers = outputs[:, count:].double().cpu().numpy() * np.array(self.std) + self.mean
        shares = corners(numbers).clip(0, 1)
        found = zip(probs, shares, sizes, strict=True)
        return [
            Located(p, (box * (w, h, w, h)).astype(np.float32), (h, w)) for p, box, (h, w) in found
        ]

    def item_scores(self, answer: Located, truth: Objects) -> dict[str, float]:
        """Whether the label is right, the overlap with the box that it overlaps most, and whether that is enough as well."""
        right = float(int(answer.probs.argmax()) == int(truth.labels[0]))
        overlap = float(best_overlaps(answer.box[None], [truth.boxes])[0])
        return {
            "accuracy": right,
            "iou": overlap,
            "accuracy_iou50": right * float(overlap >= ENOUGH),
        }

    def item_words(self, answer: Located, truth: Objects) -> dict[str, str]:
        """Truth, answer and its confidence."""
        best = int(answer.probs.argmax())
        return {
            "truth": self.classes[int(truth.labels[0])],
            "answer": self.classes[best],
            "confidence": f"{answer.probs[best]:.6f}",
        }

    def meter(self, *, whole: bool = False) -> "Places":
        """A meter of labels and boxes."""
        del whole
        return Places(self)

    # -------------------------------------------------------------------------------------- predicting

    def tuned(self, options: Mapping[str, Any]) -> Self:
        """With `top`, how many labels are listed."""
        super().tuned({key: value for key, value in options.items() if key != "top"})
        return replace(self, top=options.get("top", self.top))

    def answer(self, one: Located) -> dict[str, Any]:
        """Label, confidence, the best few, and the corners of the box."""
        order = np.argsort(-one.probs, kind="stable")[: self.top]
        best = [[self.classes[k], float(one.probs[k])] for k in order]
        box = [round(at, 2) for at in one.box.tolist()]
        return {"label": best[0][0], "confidence": best[0][1], "top": best, "box": box}

    def line(self, answer: Mapping[str, Any]) -> str:
        """The label, and where it is."""
        x0, y0, x1, y1 = (f"{at:.0f}" for at in answer["box"])
        return f"{answer['label']} {percent(answer['confidence'])} from {x0}, {y0} to {x1}, {y1}"

    def table(self, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
        """One row."""
        sides = zip(("x0", "y0", "x1", "y1"), answer["box"], strict=True)
        return [{"label": answer["label"], "confidence": answer["confidence"], **dict(sides)}]

    def draw(self, picture: U8, answer: Located) -> U8:
        """The box over the picture, with the label."""
        label = self.classes[int(answer.probs.argmax())]
        return outlined(picture, [answer.box], [label], [ANSWER])

    def files(
        self, stem: str, picture: Callable[[], U8], answer: Located, folder: Path
    ) -> dict[str, str]:
        """An overlay, of a small picture enlarged."""
        return enlarged(
            f"{stem}_overlay.png",
            picture(),
            folder,
            lambda pixels, by: self.draw(pixels, answer._replace(box=answer.box * by)),
        )

    # -------------------------------------------------------------------------------------- the report

    def headline(self, held: HeldOut, of: str) -> Headline:
        """The share with label and box right, and what a constant answer would score."""
        said = [*held.meter.constant_words(), *held.meter.several_words()]
        return Headline(self.main, f"of {of} right, label and box", said, held.meter.constant)

    def curve_words(self, recipe: Settings) -> dict[str, str]:
        """What the loss is of."""
        spelt = recipe.loss or self.usual_loss
        return {"loss": f"{spelt}, of labels and of scaled boxes, mean over pictures, by epoch."}

    def sections(self, held: HeldOut) -> list[Section]:
        """What is taken for what, class by class, and the pictures that do worst."""
        return [self._confused(held), self._worst(held)]

    def _confused(self, held: HeldOut) -> Section:
        counts = held.meter.confusion()
        figure = confusion_figure(
            counts, self.classes, caption=f"{held.scores.items:,} {self.noun}."
        )
        pairs = pairs_table(counts, self.classes, of=self.noun)
        parts = [
            Beside([figure, pairs or Text("No held-out label was answered wrongly.")], "uneven"),
            self._table(held),
        ]
        return Section("What is taken for what", parts=parts, name="Confusion")

    def _table(self, held: HeldOut) -> Table:
        return class_table(
            with_training(held, self.class_weights),
            {
                "support": (self.noun, "number"),
                "recall": ("recall", "share"),
                "precision": ("precision", "share"),
                "iou": ("IoU", "interval"),
                "accuracy_iou50": ("label and box right", "share"),
            },
            by="iou",
            title="Class by class, lowest IoU first",
            empty="no items held out",
        )

    def _worst(self, held: HeldOut) -> Section:
        """Wrong labels first, and of those and of the others the lowest overlap."""
        order = sorted(
            range(len(held.rows)), key=lambda i: (held.rows[i]["accuracy"], held.rows[i]["iou"])
        )[:WORST]
        said = (
            f"{len(order)} of {held.scores.items:,} held-out {self.noun}, wrong labels first, then the lowest overlap. "
            "Green is the true box, orange the answer."
        )
        tiles = [self._tile(item) for item in held.items(order)]
        parts = [Text(said, soft=True), Gallery(tiles)]
        return Section("The worst pictures", parts=parts, name="Worst")

    def _tile(self, item: Item) -> Tile:
        picture, by = shrunk(item.input), scale(item.input)
        boxes = [*(item.truth.boxes * by), item.answer.box * by]
        colors = [*[TRUTH] * len(item.truth.boxes), ANSWER]
        drawn = outlined(picture, boxes, [""] * len(boxes), colors)
        best = int(item.answer.probs.argmax())
        truth, answer = self.classes[int(item.truth.labels[0])], self.classes[best]
        said = answer if truth == answer else Wrong(answer)
        overlap = percent(float(item.scores["iou"]))
        its = "the true one" if len(item.truth.boxes) == 1 else "the nearest of the true ones"
        return Tile(
            drawn,
            ["truth ", truth, ", answered ", said, f" ({percent(float(item.answer.probs[best]))})"],
            [f"overlap {overlap}"],
            alt=f"truth {truth}, answered {answer}; its box overlaps {its} by {overlap}",
            code=item.name,
        )


class Places(Meter):
    """Labels and overlaps of items, and what a constant answer would score."""

    def __init__(self, task: Localise) -> None:
        self.task = task
        self._labels = Labelled(task.classes, uneven=task.uneven)
        one = ((), np.float64)
        self._rows = Rows({"overlaps": one, "constant": one, "boxes": ((), np.int64)})

    def add(self, answers: Sequence[Located], truths: Sequence[Any] | NDArray[Any]) -> None:
        """Count the answers to some pictures."""
        if not len(answers):
            return
        self._labels.add(
            np.stack([one.probs for one in answers]), [int(one.labels[0]) for one in truths]
        )
        boxes = [one.boxes for one in truths]
        usual = corners(np.array(self.task.mean)).clip(0, 1)
        sides = np.array([one.size for one in answers])[:, [1, 0, 1, 0]]
        self._rows.add(
            {
                "overlaps": best_overlaps(np.stack([one.box for one in answers]), boxes),
                "constant": best_overlaps(usual * sides, boxes),
                "boxes": np.array([len(each) for each in boxes]),
            }
        )

    def state(self) -> dict[str, NDArray[Any]]:
        """Probabilities, classes, the overlaps of the answers and of the mean box, and how many boxes there are."""
        return {**self._labels.state(), **self._rows.state()}

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take in those of another."""
        self._labels.merge(state)
        self._rows.add(state)

    @property
    def overlaps(self) -> NDArray[np.float64]:
        """Of each answer with the true box that it overlaps most [N]."""
        return self._rows["overlaps"]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each label is right [N]."""
        return self._labels.answer == self._labels.truth

    def values(self) -> dict[str, float]:
        """The share with label and box right, accuracy, and mean overlap."""
        labels = self._labels.values()
        found = self.overlaps
        return {
            self.task.main: float((self.right & (found >= ENOUGH)).mean()),
            **{key: labels[key] for key in ("accuracy", "balanced_accuracy") if key in labels},
            "iou": float(found.mean()),
        }

    def scores(self, groups: NDArray[np.int64] | None = None) -> dict[str, Interval]:
        """The same with intervals."""
        labels = self._labels.scores(groups)
        found = self.overlaps
        both = (self.right & (found >= ENOUGH)).astype(np.float64)
        unit = None if groups is None else np.unique(groups, return_inverse=True)[1]
        few = not labels["accuracy"].known
        each = {"accuracy_iou50": share(both, unit), "iou": mean(found, groups, scale="share")}
        if few:
            each = {name: Interval(one.value) for name, one in each.items()}
        return {
            "accuracy_iou50": each["accuracy_iou50"],
            "accuracy": labels["accuracy"],
            "balanced_accuracy": labels["balanced_accuracy"],
            "iou": each["iou"],
        }

    def notes(self, groups: NDArray[np.int64] | None = None) -> list[str]:
        """Which scores have no interval, what a constant answer would score, and how several boxes are counted."""
        missing = [note for note in self._labels.notes(groups) if note.startswith("no interval")]
        return [*missing, *self.constant_words(), *self.several_words()]

    def constant_words(self) -> list[str]:
        """What the commonest class and the mean training box would score; nothing where there are no items."""
        truth = self._labels.truth
        if not len(truth):
            return []
        counts = np.bincount(truth, minlength=len(self.task.classes))
        common = short(self.task.classes[int(counts.argmax())], 40)
        accuracy, held = float(counts.max() / len(truth)), int((counts > 0).sum())
        found = float(self._rows["constant"].mean())
        said = (
            f"Always answering {common} and the mean box of the training items would have accuracy {percent(accuracy)}, "
            f"balanced accuracy {percent(1 / held)} and IoU {percent(found)}."
        )
        return [said]

    @property
    def constant(self) -> float | None:
        """The share of which that answer would have label and box right; None where there are no items."""
        truth = self._labels.truth
        if not len(truth):
            return None
        common = np.bincount(truth).argmax()
        return float(((truth == common) & (self._rows["constant"] >= ENOUGH)).mean())

    def several_words(self) -> list[str]:
        """How boxes are counted where some pictures have several; else nothing."""
        several = int((self._rows["boxes"] > 1).sum())
        if not several:
            return []
        have = "picture has" if several == 1 else "pictures have"
        return [
            f"{several:,} {have} several boxes of one class: the one that an answer overlaps most counts."
        ]

    @property
    def merit(self) -> float:
        """The mean of accuracy, of uneven classes the balanced one, and of the overlap."""
        return (self._labels.merit + float(self.overlaps.mean())) / 2

    def confusion(self) -> NDArray[np.int64]:
        """Counts, rows truth, columns answers."""
        return confusion_matrix(self._labels.truth, self._labels.answer, len(self.task.classes))

    def per_class(self, groups: NDArray[np.int64] | None = None) -> list[dict[str, Any]]:
        """Support, recall, precision, and overlap with its interval."""
        rows = self._labels.per_class(groups)
        found, right = self.overlaps, self.right
        return [
            self._row(row, self._labels.truth == k, found, right, groups)
            for k, row in enumerate(rows)
        ]

    @staticmethod
    def _row(
        row: Mapping[str, Any],
        mine: NDArray[np.bool_],
        found: NDArray[np.float64],
        right: NDArray[np.bool_],
        groups: NDArray[np.int64] | None,
    ) -> dict[str, Any]:
        units = None if groups is None else groups[mine]
        count = int(mine.sum()) if units is None else len(np.unique(units))
        overlap = mean(found[mine], units, scale="share")
        overlap = overlap if count >= FEWEST else Interval(overlap.value)
        both = right[mine] & (found[mine] >= ENOUGH)
        kept = ("label", "support", "recall", "precision", "f1")
        return {
            **{key: row[key] for key in kept},
            "iou": number(overlap.value),
            "low": number(overlap.low),
            "high": number(overlap.high),
            "accuracy_iou50": float(both.mean()) if len(both) else None,
        }


def sum_of(loss: losses.Composite, answer: Tensor, target: Tensor) -> Tensor:
    """The value of a composite loss alone."""
    return loss.measured(answer, target)[0]


def best_overlaps(
    boxes: NDArray[np.floating], truths: Sequence[NDArray[np.floating]]
) -> NDArray[np.float64]:
    """Intersection over union of each box [N, 4] with the one of its true boxes, N times [m, 4], that it overlaps most."""
    counts = [len(each) for each in truths]
    pair = (np.repeat(boxes, counts, axis=0), np.concatenate(truths))
    found = box_iou(*(torch.from_numpy(np.asarray(each, np.float64)) for each in pair)).numpy()
    return np.maximum.reduceat(found, np.cumsum([0, *counts[:-1]]))


def _train_boxes(data: Data) -> NDArray[np.float64]:
    """The boxes that are learned of the readable training items, as shares of their pictures [n, 4]."""
    split = data.splits["train"]
    targets = split.targets.largest() if isinstance(split.targets, OneBox) else split.targets
    numbers = data.readable("train")
    natural = np.asarray(split.natural)[numbers]
    found = [
        truth.boxes[0] / (w, h, w, h)
        for i, (h, w) in zip(numbers.tolist(), natural.tolist(), strict=True)
        if h and w and len((truth := targets.truth(i)).labels)
    ]
    return np.array(found, np.float64).reshape(-1, 4)


def middles(box: NDArray[np.floating]) -> NDArray[np.floating]:
    """Middle x and y, width and height of boxes [..., 4] of corners."""
    low, high = box[..., :2], box[..., 2:]
    return np.concatenate([(low + high) / 2, high - low], -1)


def _middles(box: Tensor) -> Tensor:
    low, high = box[..., :2], box[..., 2:]
    return torch.cat([(low + high) / 2, high - low], -1)


def corners(numbers: NDArray[np.floating]) -> NDArray[np.floating]:
    """Corners of boxes [..., 4] of middle, width and height; a size below 0 is none."""
    half = numbers[..., 2:].clip(0) / 2
    return np.concatenate([numbers[..., :2] - half, numbers[..., :2] + half], -1)
