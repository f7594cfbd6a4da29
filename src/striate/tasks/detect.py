"""Boxes around objects. B batch, M boxes of a picture, n boxes a cell, K classes."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate import losses
from striate.data import Data
from striate.data.targets import Objects
from striate.errors import ShapeError
from striate.files import stems
from striate.metrics import Interval
from striate.metrics.detect import Curve, DetectMeter
from striate.metrics.intervals import mean
from striate.models import catalog
from striate.ops.boxes import detections
from striate.svg import Axis, plot, share_axis
from striate.tasks.by_class import class_table, confusion_figure, pairs_table, with_training
from striate.tasks.confidence import FromConfidence, check_share
from striate.tasks.explained import Chosen, Wanted, place
from striate.tasks.pictures import enlarged, outlined, scale, shrunk
from striate.tasks.section import Beside, Figure, Gallery, Measure, Section, Text, Tile
from striate.tasks.segment import palette
from striate.tasks.task import CountedMeter, HeldOut, Item, Settings, Size, answered, epochs_of
from striate.text import percent, short

SIDE = 320  # of the longer side of a picture, unless all are smaller
STRIDE = 32  # sides are multiples of it
BATCH, RATE, STEPS = 8, 0.002, 2000  # of a default training with AdamW
LEAST = 0.001  # confidence of a box that is scored: average precision looks at all of them
WORST = 12  # pictures shown in the report
CURVES = 24  # classes whose precision is drawn over recall
POINTS = 120  # of such a curve

U8 = NDArray[np.uint8]


class Found(NamedTuple):
    """What was found in a picture, the surest first: boxes [n, 4] in its pixels, classes [n], confidences [n]; its height and width."""

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    size: Size


@dataclass(frozen=True)
class Detect(FromConfidence):
    """Detection by grids of cells: each tells boxes, confidences and a class.

    Attributes:
        classes: their names.
        spelled: the loss as `striate.losses.read` takes it; it says how an answer is read.
        boxes: of a cell.
        conf: least confidence of a box.
        iou: overlap from which the lesser of two boxes of a class goes.
        most: boxes of a picture.
    """

    name: ClassVar[str] = "detect"
    noun: ClassVar[str] = "pictures"
    kinds: ClassVar[tuple[str, ...]] = ("boxes",)
    wanted: ClassVar[str] = "pictures with boxes"
    fit: ClassVar[str] = "stretch"
    things: ClassVar[str] = "boxes"
    loss_names: ClassVar[tuple[str, ...]] = tuple(losses.BOXES)
    usual_loss: ClassVar[str] = "grid"
    main: ClassVar[str] = "map50"
    measures: ClassVar[Mapping[str, Measure]] = {
        "map50": Measure(
            "mAP50", "average precision of boxes that overlap by half, mean over classes"
        ),
        "map": Measure(
            "mAP50-95", "average precision, mean over overlaps of 0.5 to 0.95 and classes"
        ),
        "count_mae": Measure(
            "Count error", "boxes too many or too few a picture, of those given", lower=True
        ),
    }
    formats: ClassVar[tuple[str, ...]] = ("json", "csv", "yolo", "coco")
    columns: ClassVar[Mapping[str, str]] = {"ap50": "AP50", "ap": "AP", "support": "objects"}
    classes: tuple[str, ...]
    spelled: str = "grid"
    boxes: int = 2
    sure: float = field(default=0.25, kw_only=True)
    conf: float = LEAST
    iou: float = 0.5
    most: int = 100

    @classmethod
    def of(cls, data: Data, recipe: Settings) -> Self:
        """With the loss of the recipe, the boxes of a cell that its net has, and a confidence given, chosen later, or of 0.25.

        Raises:
            RecipeError: a confidence to be chosen on pictures that there are not.
        """
        spelled = recipe.loss or cls.usual_loss
        return cls(data.classes, spelled, _boxes(recipe), **cls._confidence(data, recipe))

    @classmethod
    def restored(cls, classes: Sequence[str], config: Mapping[str, Any]) -> Self:
        """To answer as it learned."""
        sure = cls._restored_confidence(config)
        return cls(tuple(classes), str(config["loss"]), int(config["boxes"]), sure=sure)

    def config(self) -> dict[str, Any]:
        """How an answer is read."""
        return {"loss": self.spelled, "boxes": self.boxes, "threshold": self.sure}

    @classmethod
    def defaults(cls, data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any]:
        """A fully convolutional detector on pictures of about `SIDE` pixels, of the shape most of them have."""
        net = recipe.net or (None if own_net else "yolo_grid")
        paper = net is not None and net.startswith("yolo_v1")
        given = recipe.options
        backbone = catalog.CATALOG.get(str(given.get("backbone", "resnet18")))
        fine = backbone is None or 16 in backbone.strides
        options = {"stride": "16"} if net == "yolo_grid" and "stride" not in given and fine else {}
        return {
            "net": net,
            "size": recipe.size or _size(data, paper=paper),
            "color": recipe.color or data.color,
            "augment": "flip+scale:0.3+translate:0.1+brightness+contrast",
            "loss": "yolo" if paper else "grid",
            "batch": BATCH,
            "lr": RATE,
            "epochs": epochs_of(STEPS, BATCH, data),
            "options": options,
        }

    # ---------------------------------------------------------------------------------- a step of it

    @cached_property
    def _composite(self) -> losses.Composite:
        return losses.read(self.spelled).within(boxes=self.boxes)

    def criterion(self, answer: Any, target: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Of a grid and class and corners [B, M, 5] as shares of the picture, class -1 for none."""
        return self._composite.measured(answer, target)

    def check_answer(self, outputs: Any, x: Tensor) -> None:
        """Five numbers a box and a score a class, for each cell.

        Raises:
            ShapeError: what came and what was expected.
        """
        channels = 5 * self.boxes + len(self.classes)
        if (
            not isinstance(outputs, Tensor)
            or outputs.ndim != 4
            or outputs.shape[:2] != (len(x), channels)
        ):
            raise ShapeError(
                f"the net answers {answered(outputs)} to {len(x)} pictures, expected one tensor "
                f"({len(x)}, {channels}, rows, columns): 5 numbers for each of {self.boxes} boxes of a cell and a "
                f"score for each of the {len(self.classes)} classes"
            )
        if outputs.shape[2] * 2 > x.shape[2] and outputs.shape[3] * 2 > x.shape[3]:
            (rows, columns), (height, width) = outputs.shape[2:], x.shape[2:]
            raise ShapeError(
                f"the net answers maps of {rows}x{columns} to pictures of {height}x{width}, a value for each pixel as for "
                "masks, and the targets of these data are boxes: a detector answers a grid of cells that are larger, such "
                f"as {max(1, height // 32)}x{max(1, width // 32)}; for masks give data with masks"
            )

    # ------------------------------------------------------------------------------------ its answers

    def decode(self, outputs: Tensor, sizes: Sequence[tuple[int, ...]]) -> list[Found]:
        """Boxes in the pixels of each picture itself, after non-maximum suppression."""
        boxes, scores = self._composite.decode(outputs.float(), boxes=self.boxes)
        found = detections(boxes.cpu(), scores.cpu(), conf=self.conf, iou=self.iou)
        return [self._found(*each, size) for each, size in zip(found, sizes, strict=True)]

    def _found(self, boxes: Tensor, labels: Tensor, scores: Tensor, size: Sequence[int]) -> Found:
        height, width = size
        edge = np.array((width, height, width, height), np.float32)
        inside = boxes[: self.most].numpy().clip(0, 1) * edge
        return Found(
            inside, labels[: self.most].numpy(), scores[: self.most].numpy(), (height, width)
        )

    def explained(self, outputs: Any, items: int) -> Tensor:
        """The confidence of each class of every box, [B, boxes, K]."""
        return self._composite.decode(super().explained(outputs, items), boxes=self.boxes)[1]

    def chosen(self, values: Tensor, wanted: Sequence[Wanted]) -> Chosen:
        """The surest box, or the surest of the wanted class."""
        weights, words = torch.zeros_like(values), list[str]()
        for scores, weight, want in zip(values, weights, wanted, strict=True):
            at = None if want is None else place(want, self.classes, values.shape[2])
            shown = scores if at is None else scores[:, at : at + 1]
            box, k = divmod(int(shown.argmax()), shown.shape[1])
            k = k if at is None else at
            weight[box, k] = 1
            words.append(f"confidence of the surest box of {self.classes[k]}")
        return Chosen(weights, tuple(words))

    def item_scores(self, answer: Found, truth: Objects) -> dict[str, float]:
        """F1 at overlap 0.5 of the boxes that are sure, and how many are right, wrong and missed."""
        sure = at_least(answer, self.sure)
        found = DetectMeter(self.classes, confidence=self.sure).item_scores(
            sure.boxes, sure.scores, sure.labels, truth.boxes, truth.labels, truth.crowd
        )
        return {name: value for name, value in found.items() if value == value}  # noqa: PLR0124

    def meter(self, *, whole: bool = False) -> "Precisions":
        """A meter of average precision."""
        del whole
        return Precisions(self.classes, self.sure)

    # -------------------------------------------------------------------------------------- predicting

    def tuned(self, options: Mapping[str, Any]) -> Self:
        """With `conf`, `iou` and `max_boxes` of `predict`.

        Raises:
            UsageError: one that is out of range, or another setting.
        """
        own = ("iou", "max_boxes")
        found = super().tuned({k: v for k, v in options.items() if k not in own})
        check_share("iou", options)
        return replace(
            found,
            conf=found.sure,
            iou=options.get("iou", self.iou),
            most=options.get("max_boxes", self.most),
        )

    def answer(self, one: Found) -> dict[str, Any]:
        """Label, confidence and corners of every box, and the picture's height and width."""
        boxes = zip(one.boxes.tolist(), one.labels.tolist(), one.scores.tolist(), strict=True)
        return {
            "size": list(one.size),
            "boxes": [
                {
                    "label": self.classes[label],
                    "confidence": round(score, 6),
                    "box": [round(at, 2) for at in box],
                }
                for box, label, score in boxes
            ],
        }

    def table(self, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A row a box."""
        corners = ("x0", "y0", "x1", "y1")
        return [
            {
                "label": box["label"],
                "confidence": box["confidence"],
                **dict(zip(corners, box["box"], strict=True)),
            }
            for box in answer["boxes"]
        ]

    def export(self, form: str, folder: Path, answers: Iterable[Mapping[str, Any]]) -> None:
        """As every task, and as YOLO's text files or as the results of COCO."""
        if form == "yolo":
            self._as_yolo(folder, answers)
        elif form == "coco":
            self._as_coco(folder, answers)
        else:
            super().export(form, folder, answers)

    def _as_yolo(self, folder: Path, answers: Iterable[Mapping[str, Any]]) -> None:
        """labels/STEM.txt a picture, as `striate.files.stems` has it: class, centre, width and height as shares, confidence; and classes.txt."""
        answers = list(answers)
        names = stems([Path(one["file"]) for one in answers])
        (folder / "labels").mkdir(exist_ok=True)
        (folder / "classes.txt").write_text("\n".join(self.classes) + "\n", encoding="utf-8")
        for one in answers:
            height, width = one["size"]
            lines: list[str] = []
            for box in one["boxes"]:
                x0, y0, x1, y1 = box["box"]
                shares = (
                    (x0 + x1) / 2 / width,
                    (y0 + y1) / 2 / height,
                    (x1 - x0) / width,
                    (y1 - y0) / height,
                )
                number = self.classes.index(box["label"])
                lines.append(
                    " ".join(
                        [str(number), *(f"{s:.6f}" for s in shares), f"{box['confidence']:.6f}"]
                    )
                )
            path = folder / "labels" / f"{names[Path(one['file'])]}.txt"
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def _as_coco(self, folder: Path, answers: Iterable[Mapping[str, Any]]) -> None:
        """coco.json: images, categories, and annotations with a score; boxes as x, y, width, height."""
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, one in enumerate(answers, 1):
            height, width = one["size"]
            images.append(
                {"id": number, "file_name": one["file"], "height": height, "width": width}
            )
            for box in one["boxes"]:
                x0, y0, x1, y1 = box["box"]
                wide, high = round(x1 - x0, 2), round(y1 - y0, 2)
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": self.classes.index(box["label"]) + 1,
                        "bbox": [x0, y0, wide, high],
                        "area": round(wide * high, 2),
                        "iscrowd": 0,
                        "score": box["confidence"],
                    }
                )
        categories = [{"id": k, "name": name} for k, name in enumerate(self.classes, 1)]
        whole = {"images": images, "categories": categories, "annotations": annotations}
        (folder / "coco.json").write_text(json.dumps(whole), encoding="utf-8")

    def line(self, answer: Mapping[str, Any]) -> str:
        """How many of each class."""
        labels = [box["label"] for box in answer["boxes"]]
        counts = {name: labels.count(name) for name in self.classes if name in labels}
        return ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing found"

    def draw(self, picture: U8, answer: Found | Objects) -> U8:
        """The boxes over the picture."""
        colors = palette(len(self.classes))
        labels = answer.labels.tolist()
        names = [self.classes[label] for label in labels]
        return outlined(picture, answer.boxes, names, [colors[label] for label in labels])

    def files(
        self, stem: str, picture: Callable[[], U8], answer: Found, folder: Path
    ) -> dict[str, str]:
        """An overlay, of a small picture enlarged."""
        return enlarged(
            f"{stem}_overlay.png",
            picture(),
            folder,
            lambda pixels, by: self.draw(pixels, answer._replace(boxes=answer.boxes * by)),
        )

    # -------------------------------------------------------------------------------------- the report

    def sections(self, held: HeldOut) -> list[Section]:
        """Scores a class, precision over recall, what is taken for what, and the pictures that do worst."""
        order = sorted(range(len(held.rows)), key=lambda i: held.rows[i].get("f1", 2.0))[:WORST]
        said = (
            f"{len(order)} of {held.scores.items:,} held-out {self.noun}, the lowest F1 first; "
            f"answers from a confidence of {self.sure_words()} on."
        )
        strips = [self._strip(item) for item in held.items(order)]
        worst = [Text(said, soft=True), Beside(strips, "pair")]
        return [
            self._classes(held),
            self._confused(held),
            Section("The worst pictures", parts=worst, name="Worst"),
        ]

    def _classes(self, held: HeldOut) -> Section:
        table = class_table(
            with_training(held, None),
            {
                "support": ("boxes", "number"),
                "pictures": (self.noun, "number"),
                "ap50": ("AP50", "share"),
                "ap": ("AP50-95", "interval"),
                "precision": ("precision", "share"),
                "recall": ("recall", "share"),
                "fp": ("wrong", "number"),
                "missed": ("missed", "number"),
            },
            by="ap50",
            title="",
            empty="no boxes held out",
        )
        said = (
            f"The lowest AP50 first. Precision, recall, wrong and missed boxes are at overlap 0.5 and from a "
            f"confidence of {self.sure_words()} on."
        )
        return Section(
            "Class by class", parts=[Text(said, soft=True), table, *_curves(held)], name="Classes"
        )

    def _confused(self, held: HeldOut) -> Section:
        counts, names = held.meter.boxes_confused(), [*self.classes, "background"]
        caption = (
            f"Boxes of {held.scores.items:,} {self.noun} at overlap 0.5, from a confidence of {self.sure_words()} on. "
            "An answer to the background is a box where there is nothing; a truth answered background was missed."
        )
        figure = confusion_figure(counts, names, caption=caption)
        pairs = pairs_table(counts, names, of="boxes", nothing=len(self.classes))
        pairs = pairs or Text("No box was taken for another.")
        parts = [Beside([figure, pairs], "uneven")]
        return Section("What is taken for what", parts=parts, name="Confusion")

    def _strip(self, item: Item) -> Gallery:
        """The true boxes beside those of the answer."""
        picture, by = shrunk(item.input), scale(item.input)
        answer, truth = at_least(item.answer, self.sure), item.truth
        views = [
            self.draw(picture, each._replace(boxes=each.boxes * by)) for each in (truth, answer)
        ]
        counted = [f"{n} box{'es' * (n != 1)}" for n in (len(truth.boxes), len(answer.boxes))]
        scores = [f"{key.replace('f1', 'F1')} {percent(v)}" for key, v in item.scores.items()]
        tiles = [
            Tile(view, title, [words])
            for view, title, words in zip(views, ("truth", "answer"), counted, strict=True)
        ]
        return Gallery(tiles, "row", title=item.name, lines=scores or ["no boxes, none found"])


class Precisions(CountedMeter[DetectMeter]):
    """Boxes found and missed, matched as COCO's evaluation does."""

    def __init__(self, classes: Sequence[str], sure: float) -> None:
        super().__init__(DetectMeter(classes, confidence=sure))

    def add(self, answers: Sequence[Found], truths: Sequence[Any] | NDArray[Any]) -> None:
        """Count what was found in some pictures."""
        for found, truth in zip(answers, truths, strict=True):
            self._counted.add(found.boxes, found.scores, found.labels, *truth)

    def values(self) -> dict[str, float]:
        """Mean average precision at overlap 0.5, and over 0.5 to 0.95."""
        found = self._counted.values()
        return {"map50": found.pop("map50"), **found}

    def scores(self, groups: NDArray[np.int64] | None = None) -> dict[str, Interval]:
        """The same with intervals, and by how many boxes a picture is miscounted."""
        off = np.abs(self._counted.miscounted()).astype(np.float64)
        return {**self._counted.scores(groups), "count_mae": mean(off, groups, scale="positive")}

    @property
    def merit(self) -> float:
        """Mean average precision at overlap 0.5."""
        return self._counted.values()["map50"]

    def per_class(self, groups: NDArray[np.int64] | None = None) -> list[dict[str, Any]]:
        """Average precision of each class."""
        return self._counted.per_class(groups)

    def notes(self, groups: NDArray[np.int64] | None = None) -> list[str]:
        """Whether there are too few items for intervals, and which boxes are counted."""
        return [*super().notes(groups), self._counted.confidence_words("boxes")]

    def boxes_confused(self) -> NDArray[np.int64]:
        """Counts of sure boxes [K + 1, K + 1], rows truth, columns answers, the background last."""
        return self._counted.confusion

    def best_confidence(self, usual: float) -> float:
        """From which on boxes have the largest F1; the usual one where too few are found."""
        return self._counted.best_confidence(usual)

    def curve(self, label: str) -> Curve:
        """Precision and recall of a class at overlap 0.5."""
        return self._counted.pr_curve(label)


def at_least(found: Found, conf: float) -> Found:
    """The boxes of at least a confidence."""
    kept = found.scores >= conf
    return Found(found.boxes[kept], found.labels[kept], found.scores[kept], found.size)


def _curves(held: HeldOut) -> list[Beside | Text]:
    """Precision over recall, a small chart a class, the classes with most boxes."""
    there = [row for row in held.scores.per_class if row["support"]]
    rows = sorted(there, key=lambda row: -row["support"])[:CURVES]
    if not rows:
        return []
    figures = [_curve(row, held.meter.curve(row["label"])) for row in rows]
    more = f", of the {CURVES} classes with most boxes" if len(there) > CURVES else ""
    said = f"Precision over recall at overlap 0.5, from the surest box on{more}."
    return [Text(said, soft=True), Beside(figures, "grid")]


def _curve(row: Mapping[str, Any], curve: Curve) -> Figure:
    step = max(1, len(curve.recall) // POINTS)
    keep = sorted({*range(0, len(curve.recall), step), len(curve.recall) - 1} - {-1})
    line = [(float(curve.recall[i]), float(curve.precision[i])) for i in keep]
    axis: Axis = share_axis([0.0, 1.0])
    label = f"precision over recall of {row['label']}"
    svg = plot(line, axis, axis, label=label, names=("recall", "precision"))
    return Figure(svg, f"AP50 {percent(row['ap50'])}", title=short(str(row["label"]), 40))


def _boxes(recipe: Settings) -> int:
    """Boxes of a cell, as the recipe's net has them."""
    given = recipe.options.get("boxes")
    if given is None and recipe.net and "boxes" in catalog.entry(recipe.net).options:
        given = catalog.entry(recipe.net).options["boxes"].default
    return int(given[0] if isinstance(given, tuple | list) else given or 2)


def _size(data: Data, *, paper: bool) -> Size:
    """About `SIDE` pixels at the longer side and of the middle shape of the pictures, in multiples of the stride."""
    step = 2 * STRIDE if paper else STRIDE
    height, width = data.median_size
    scale = min(1.0, SIDE / max(height, width))
    high, wide = (max(step, round(side * scale / step) * step) for side in (height, width))
    return high, wide
