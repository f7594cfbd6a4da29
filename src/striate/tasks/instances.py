"""Single objects told apart. B batch, H W pixels of a picture, h w of what the net answers, n objects.

The net answers whether a pixel is background, inside an object or on its border, and objects are what hangs together
inside; each then grows over the border up to its neighbours (a watershed, Vincent and Soille 1991). The gaps between
objects that nearly touch weigh more in the loss, as in the U-Net's paper (Ronneberger, Fischer and Brox 2015, arXiv
1505.04597, equation 2), which told cells apart so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from striate.data import Data
from striate.data.instances import BACKGROUND, BORDER, IGNORE, INSIDE, borders
from striate.metrics.instances import InstanceMeter, item_scores
from striate.plan.tiles import Piece
from striate.tasks.confidence import FromConfidence
from striate.tasks.pictures import shrunk, shrunk_mask
from striate.tasks.section import Gallery, Headline, Measure, Section, Text, Tile
from striate.tasks.segment import Segment, middle
from striate.tasks.segment import palette as voc_palette
from striate.tasks.task import CountedMeter, HeldOut, Item, Settings, Task
from striate.text import percent

CLASSES = ("background", "inside", "border")
GAP = 10.0  # w0 of equation 2: how much more the narrowest gap weighs
FEWEST = 0.25  # of the pixels that all but one in twenty training objects have: less is no object
LOOKED = 64  # training masks that are measured for that
WORST = 12  # pictures shown in the report
COLORS = 20
OUTSIDE = 65535  # the level of the background where objects grow

Ids = NDArray[np.int32]
U8 = NDArray[np.uint8]


class Found(NamedTuple):
    """The objects of a picture: ids [H, W], 0 for none; how sure the net is of each, the mean over its pixels [n]."""

    ids: Ids
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Instances(FromConfidence, Segment):
    """Instance separation: three classes of pixels are learned as masks are, objects follow from them.

    Attributes:
        least: pixels of the smallest object that is told.
    """

    name: ClassVar[str] = "instances"
    kinds: ClassVar[tuple[str, ...]] = ("instances",)
    wanted: ClassVar[str] = "pictures with single objects"
    noun: ClassVar[str] = "pictures"
    things: ClassVar[str] = "objects"
    loss_names: ClassVar[tuple[str, ...]] = ("cross_entropy", "focal", "dice", "iou", "edge")
    usual_loss: ClassVar[str] = "cross_entropy"
    as_files: ClassVar[bool] = False
    item_facts: ClassVar[tuple[str, ...]] = ("objects",)
    main: ClassVar[str] = "ap50"
    measures: ClassVar[Mapping[str, Measure]] = {
        "ap50": Measure("AP50", "average precision of objects that overlap by half"),
        "ap": Measure("AP50-95", "average precision, mean over overlaps of 0.5 to 0.95"),
        "rand": Measure("Rand", "pairs of pixels rightly joined or parted, in the foreground"),
        "count_mae": Measure("Count error", "objects too many or too few a picture", lower=True),
        "f1": Measure("F1", "of objects that overlap by half"),
    }
    columns: ClassVar[Mapping[str, str]] = {}
    classes_of: ClassVar[str] = "classes of pixels"  # objects are of one kind
    classes: tuple[str, ...] = CLASSES
    spelled: str = "cross_entropy"
    least: int = 1

    @classmethod
    def of(cls, data: Data, recipe: Settings) -> Self:
        """With the loss of the recipe; how large objects are is measured."""
        spelled = recipe.loss or cls.usual_loss
        sure = cls._confidence(data, recipe)
        return cls(CLASSES, spelled, recipe.smoothing, None, _least(data), **sure)

    @classmethod
    def restored(cls, classes: Sequence[str], config: Mapping[str, Any]) -> Self:
        """To answer as it learned."""
        del classes
        return cls(least=int(config["least"]), sure=cls._restored_confidence(config))

    def config(self) -> dict[str, Any]:
        """The size of the smallest object, and how sure the net is of it at least."""
        return {"least": self.least, "threshold": self.sure}

    # ---------------------------------------------------------------------------------- a step of it

    def criterion(self, answer: Any, target: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """As of masks, from classes and weights of gaps [B, 2, H, W]; the weights count in cross-entropy."""
        classes, gaps = (middle(target[:, k], answer.shape[2:]) for k in range(2))
        return self.summed(answer, classes.long(), 1 + GAP * gaps.float() / 255)

    # ------------------------------------------------------------------------------------ its answers

    def decode(self, outputs: Tensor, sizes: Sequence[tuple[int, ...]]) -> list[Found]:  # pyright: ignore[reportIncompatibleMethodOverride] - other answers than masks
        """The objects of each picture, in its own size."""
        return [self._found(maps, size) for maps, size in zip(outputs.float(), sizes, strict=True)]

    def _found(self, maps: Tensor, size: Sequence[int]) -> Found:
        probs = maps.softmax(0)
        if tuple(probs.shape[1:]) != tuple(size):
            probs = F.interpolate(probs[None], tuple(size), mode="bilinear", align_corners=False)[0]
        return self._parted(probs[BACKGROUND].cpu().numpy(), probs[INSIDE].cpu().numpy())

    def _parted(self, nothing: NDArray[np.float32], inside: NDArray[np.float32]) -> Found:
        ids = parted(inside > 0.5, nothing < 0.5, 1 - inside)
        return told(ids, 1 - nothing, self.least)

    def joined(self, parts: Iterable[Piece], size: tuple[int, ...]) -> Found:  # pyright: ignore[reportIncompatibleMethodOverride] - other answers than masks
        """The objects of one picture; of its maps two are kept, in a byte a pixel."""
        kept = np.empty((2, *size), np.uint8)
        for rows, columns, logits in parts:
            probs = logits[0].float().softmax(0)[[BACKGROUND, INSIDE]]
            kept[:, rows, columns] = (255 * probs).round().byte().cpu().numpy()
        nothing, inside = (each.astype(np.float32) / 255 for each in kept)
        return self._parted(nothing, inside)

    def truth(self, target: Any) -> Ids:  # pyright: ignore[reportIncompatibleMethodOverride] - other answers than masks
        """The objects of stored classes, for scores after an epoch; -1 where a pixel counts nowhere."""
        classes = target[..., 0]
        there = (classes == INSIDE) | (classes == BORDER)
        ids = parted(classes == INSIDE, there, (classes != INSIDE).astype(np.float32))
        ids[classes == IGNORE] = -1
        return ids

    def item_scores(self, answer: Found, truth: Ids) -> dict[str, float]:  # pyright: ignore[reportIncompatibleMethodOverride] - other answers than masks
        """F1, Rand, how many objects too many, and how many there are."""
        found = item_scores(at_least(answer, self.sure).ids, truth)
        return {name: value for name, value in found.items() if np.isfinite(value)}

    def meter(self, *, whole: bool = False) -> "Parted":  # pyright: ignore[reportIncompatibleMethodOverride] - other answers than masks
        """A meter of objects."""
        del whole
        return Parted(self.sure)

    # -------------------------------------------------------------------------------------- predicting

    def answer(self, one: Found) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride] - other answers than masks
        """Each object: its id in the label picture, confidence, pixels and box; and how many there are."""
        one = at_least(one, self.sure)
        places = ndimage.find_objects(one.ids)
        areas = np.bincount(one.ids.ravel(), minlength=len(places) + 1)
        rows = [
            {
                "id": number,
                "confidence": round(float(one.scores[number - 1]), 4),
                "pixels": int(areas[number]),
                "box": [place[1].start, place[0].start, place[1].stop, place[0].stop],
            }
            for number, place in enumerate(places, 1)
            if place is not None
        ]
        return {"size": [*one.ids.shape], "count": len(rows), "instances": rows}

    def table(self, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A row an object."""
        corners = ("x0", "y0", "x1", "y1")
        return [
            {
                **{k: one[k] for k in ("id", "confidence", "pixels")},
                **dict(zip(corners, one["box"], strict=True)),
            }
            for one in answer["instances"]
        ]

    def line(self, answer: Mapping[str, Any]) -> str:
        """How many there are."""
        return objects(answer["count"])

    def draw(self, picture: U8, answer: Any) -> U8:
        """Outlines over the picture, neighbours in colours of their own."""
        ids = at_least(answer, self.sure).ids if isinstance(answer, Found) else answer
        drawn = np.array(np.broadcast_to(picture, (*picture.shape[:2], 3)))
        colors = np.array(voc_palette(COLORS), np.uint8)
        line = (ids > 0) & borders(ids)
        drawn[line] = colors[ids[line] % COLORS]
        return drawn

    def files(
        self, stem: str, picture: Callable[[], U8], answer: Any, folder: Path
    ) -> dict[str, str]:
        """The ids in the picture's size, as a PNG of 16 bits or, of more objects than these number, a TIFF of 32; and the outlines."""
        ids = at_least(answer, self.sure).ids
        deep = ids.max(initial=0) > np.iinfo(np.uint16).max
        labels = f"{stem}_labels.{'tif' if deep else 'png'}"
        names = {"labels": labels, "overlay": f"{stem}_overlay.png"}
        Image.fromarray(ids.astype(np.int32 if deep else np.uint16)).save(folder / labels)
        Image.fromarray(self.draw(picture(), ids)).save(folder / names["overlay"])
        return names

    # -------------------------------------------------------------------------------------- the report

    def headline(self, held: HeldOut, of: str) -> Headline:
        """AP50, and how many objects a picture has."""
        found = Task.headline(self, held, of)
        counts = [row["objects"] for row in held.rows if "objects" in row]
        said = [f"A picture has {np.mean(counts):.1f} objects on average."] if counts else []
        return found._replace(meaning=said)

    def curve_words(self, recipe: Settings) -> dict[str, str]:
        """The scores after an epoch are of pictures in the size the net reads."""
        said = "After an epoch objects are scored in the size the net reads, at the end in that of the pictures."
        return {**Task.curve_words(self, recipe), "ap50": said}

    def sections(self, held: HeldOut) -> list[Section]:
        """The pictures that do worst, with the outlines of truth and answer."""
        order = sorted(range(len(held.rows)), key=lambda i: held.rows[i].get("f1", 2.0))[:WORST]
        said = (
            f"{len(order)} of {held.scores.items:,} held-out {self.noun}, the lowest F1 first; objects from a confidence of "
            f"{self.sure_words()} on."
        )
        strips = [self._outlined(item) for item in held.items(order)]
        return [
            Section(f"The worst {self.noun}", parts=[Text(said, soft=True), *strips], name="Worst")
        ]

    def _outlined(self, item: Item) -> Gallery:
        picture = shrunk(item.input)
        both = item.truth, at_least(item.answer, self.sure).ids
        truth, answer = map(_shrunk, both)
        counts = [int((np.unique(ids) > 0).sum()) for ids in both]
        views = [
            Tile(picture, "picture"),
            Tile(self.draw(picture, truth), "truth", [objects(counts[0])]),
            Tile(self.draw(picture, answer), "answer", [objects(counts[1])]),
        ]
        shares = {key: item.scores[key] for key in ("f1", "rand") if key in item.scores}
        scores = [f"{self.measure(key).title} {percent(value)}" for key, value in shares.items()]
        return Gallery(views, "row", title=item.name, lines=scores)


def objects(count: int) -> str:
    """How many, in words.

    >>> objects(1), objects(1200)
    ('1 object', '1,200 objects')
    """
    return f"{count:,} object{'s' * (count != 1)}"


def parted(inside: NDArray[np.bool_], there: NDArray[np.bool_], cost: NDArray[np.floating]) -> Ids:
    """What hangs together inside, grown over what is there; what is there without an inside is an object of its own.

    Args:
        inside: pixels that are surely of an object and not on its border, [H, W].
        there: pixels of any object.
        cost: from 0 to 1, where it grows late.
    """
    seeds, count = _labelled(inside & there)
    whole, _ = _labelled(there)
    bare = np.setdiff1d(whole[there], whole[seeds > 0])
    numbers = np.zeros(whole.max() + 1, np.int32)
    numbers[bare] = count + 1 + np.arange(len(bare))
    seeds = np.where(numbers[whole] > 0, numbers[whole], seeds)
    count += len(bare)
    markers = np.where(there, seeds, count + 1)
    # A flood pays the difference of neighbouring levels: from the background, far above all, it cannot enter an object.
    levels = np.where(there, np.rint(255 * np.clip(cost, 0, 1)), OUTSIDE).astype(np.uint16)
    grown = np.asarray(ndimage.watershed_ift(levels, markers.astype(np.int32)), np.int32)
    return np.where(there & (grown <= count), grown, 0).astype(np.int32)


def _labelled(mask: NDArray[np.bool_]) -> tuple[Ids, int]:
    labelled: Any = ndimage.label(mask)
    return labelled[0].astype(np.int32), int(labelled[1])


def told(ids: Ids, sure: NDArray[np.floating], least: int) -> Found:
    """Objects of `least` pixels or more, numbered anew, and how sure each is."""
    areas = np.bincount(ids.ravel())
    kept = np.flatnonzero(areas >= max(1, least))
    kept = kept[kept > 0]
    numbers = np.zeros(len(areas), np.int32)
    numbers[kept] = np.arange(1, len(kept) + 1)
    sums = np.bincount(ids.ravel(), sure.ravel(), minlength=len(areas))
    return Found(numbers[ids], (sums[kept] / areas[kept]).astype(np.float32))


def at_least(found: Found, sure: float) -> Found:
    """The objects of at least a confidence, numbered anew."""
    kept = found.scores >= sure
    numbers = np.zeros(len(kept) + 1, np.int32)
    numbers[1:][kept] = np.arange(1, kept.sum() + 1)
    return Found(numbers[found.ids], found.scores[kept])


def _least(data: Data) -> int:
    """A quarter of the pixels that all but one in twenty of the training objects have."""
    split, numbers = data.splits["train"], data.readable("train")
    some = numbers[:: -(-len(numbers) // LOOKED)].tolist()
    areas = [np.bincount(ids[ids > 0])[1:] for ids in map(split.targets.truth, some)]
    sizes = np.concatenate([each[each > 0] for each in areas]) if areas else np.empty(0)
    return max(1, int(FEWEST * np.quantile(sizes, 0.05))) if len(sizes) else 1


def _shrunk(ids: Ids) -> Ids:
    """Ids in the size of a gallery: of each pixel the nearest one."""
    plain = shrunk_mask(np.zeros(ids.shape, np.uint8)).shape
    rows, columns = (
        ((np.arange(k) + 0.5) * n / k).astype(np.int64)
        for k, n in zip(plain, ids.shape, strict=True)
    )
    return ids[rows][:, columns]


class Parted(CountedMeter[InstanceMeter]):
    """Objects of pictures."""

    def __init__(self, sure: float) -> None:
        super().__init__(InstanceMeter(sure))

    def add(self, answers: Sequence[Found], truths: Sequence[Any] | NDArray[Any]) -> None:
        """Count objects and the true ones."""
        for answer, truth in zip(answers, truths, strict=True):
            self._counted.add(answer.ids, answer.scores, truth)

    def best_confidence(self, usual: float) -> float:
        """From which on objects have the largest F1; the usual one where too few are found."""
        return self._counted.best_confidence(usual)

    @property
    def merit(self) -> float:
        """AP over all overlaps."""
        return self._counted.values()["ap"]
