"""A class for every pixel. B batch, K classes, H W pixels of a picture, h w of what the net answers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from striate import inputs, losses
from striate.data import Data
from striate.data.targets import IGNORE
from striate.errors import ShapeError
from striate.inputs.volumes import slices, slices_of_mask
from striate.metrics.segment import SegmentMeter, pixel_counts, pixel_scores
from striate.models import catalog
from striate.plan.tiles import Piece
from striate.tasks.by_class import class_table, with_training
from striate.tasks.pictures import shrunk, shrunk_mask
from striate.tasks.section import Gallery, Headline, Legend, Measure, Section, Text, Tile
from striate.tasks.task import CountedMeter, HeldOut, Item, Settings, Task, answered, epochs_of
from striate.text import percent, short

OWN = 512  # pictures up to this side are read as they are
PIXELS = 4 * 512 * 512  # of a default batch
RATE = 0.003  # of AdamW
STEPS = 2000  # of a default training
WORST = 12  # items shown in the report
INK = 0.5  # of a class over its picture
BAND = 256  # rows that are drawn at a time

Mask = NDArray[np.uint8]
U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Segment(Task):
    """Semantic segmentation: losses of labels pixel by pixel, or of maps class by class; the likeliest class answers.

    Attributes:
        classes: their names.
        spelled: the loss as `striate.losses.read` takes it.
        smoothing: of the labels, in cross-entropy.
        class_weights: a factor for the pixels of each class, in cross-entropy.
    """

    name: ClassVar[str] = "segment"
    kinds: ClassVar[tuple[str, ...]] = ("mask",)
    wanted: ClassVar[str] = "pictures with masks"
    fit: ClassVar[str] = "stretch"
    maps: ClassVar[bool] = True
    loss_names: ClassVar[tuple[str, ...]] = (
        "cross_entropy",
        "focal",
        "dice",
        "iou",
        "bce",
        "l1",
        "l2",
        "edge",
    )
    usual_loss: ClassVar[str] = "cross_entropy+dice"
    has_mean: ClassVar[bool] = True
    as_files: ClassVar[bool] = True
    main: ClassVar[str] = "miou"
    measures: ClassVar[Mapping[str, Measure]] = {
        "miou": Measure(
            "Mean IoU", "intersection over union of truth and answer, mean over classes"
        ),
        "dice": Measure("Dice", "twice the intersection over the sum of both, mean over classes"),
        "pixel_accuracy": Measure("Pixel accuracy", "share of the pixels answered rightly"),
        "boundary_f1": Measure(
            "Boundary F1", "outlines within a few pixels of the true ones, mean over pictures"
        ),
        "rand": Measure("Rand", "pairs of pixels rightly joined or parted, in the foreground"),
    }
    columns: ClassVar[Mapping[str, str]] = {"iou": "IoU", "dice": "Dice", "support": "pictures"}
    classes: tuple[str, ...]
    spelled: str = "cross_entropy+dice"
    smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None

    @classmethod
    def of(cls, data: Data, recipe: Settings) -> Self:
        """With the loss of the recipe and the weights of the classes, by the pixels that they have."""
        weights = None
        if recipe.class_weights == "balanced":
            weights = balanced(data.pixels("train").tolist())
        return cls(data.classes, recipe.loss or cls.usual_loss, recipe.smoothing, weights)

    @classmethod
    def restored(cls, classes: Sequence[str], config: Mapping[str, Any]) -> Self:
        """To answer with: how it was learned does not matter any more."""
        del config
        return cls(tuple(classes))

    @classmethod
    def defaults(cls, data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any]:
        """A padded U-Net with batch normalisation, of a quarter of the width where no net is named.

        It sees pictures as they are, those of more than `OWN` pixels a side at half of that.
        """
        other = inputs.of(data.modality).map_defaults(data, recipe, own_net=own_net)
        if other is not None:
            return other
        native = data.native_size
        own = native if native is not None and max(native) <= OWN else (OWN // 2, OWN // 2)
        size = recipe.crop or recipe.size or own
        net = recipe.net or (None if own_net else "unet_same")
        batch = max(2, min(16, PIXELS // (size[0] * size[1])))
        normalised = net is not None and "batch_norm" in catalog.entry(net).options
        return {
            "net": net,
            "size": size,
            "color": recipe.color or data.color,
            "augment": "flip+scale:0.2+rotate:10+brightness+contrast",
            "batch": batch,
            "lr": RATE,
            "epochs": epochs_of(STEPS, batch, data),
            # The published net has none; with it the same loss is reached in a tenth of the steps.
            "options": {"batch_norm": True} if normalised and not recipe.weights else {},
            **({"width": 0.25} if recipe.net is None and not own_net else {}),
        }

    # ---------------------------------------------------------------------------------- a step of it

    @cached_property
    def _composite(self) -> losses.Composite:
        return losses.read(self.spelled)

    def criterion(self, answer: Any, target: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The sum of the terms; pixels that count nowhere are neither in the answer nor in the target of any."""
        return self.summed(answer, middle(target, answer.shape[2:]))

    def summed(
        self, answer: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The same of class numbers as large as the answer, pixels weighted in cross-entropy."""
        known = target != IGNORE
        exact = answer if answer.dtype == torch.float64 else answer.float()
        parts: dict[str, Tensor] = {}
        for term in self._composite.terms:
            value = term.weight * self._term(term, exact, (target, known, weights))
            parts[term.name] = parts[term.name] + value if term.name in parts else value
        total = torch.stack(list(parts.values())).sum()
        return total, parts if len(parts) > 1 else {}

    def _term(
        self, term: losses.Term, logits: Tensor, truth: tuple[Tensor, Tensor, Tensor | None]
    ) -> Tensor:
        target, known, pixels = truth
        if term.name == "cross_entropy":
            weights = None if self.class_weights is None else logits.new_tensor(self.class_weights)
            costs = F.cross_entropy(
                logits,
                target,
                weights,
                ignore_index=IGNORE,
                reduction="none",
                label_smoothing=self.smoothing,
            )
            return _mean_of_items(costs if pixels is None else costs * pixels, known)
        if term.name == "focal":
            return term.loss(_pixels(logits)[known.flatten()], target[known])
        hot = F.one_hot(target.where(known, 0), len(self.classes)).movedim(-1, 1)
        there = known[:, None].to(logits.dtype)
        if term.name == "bce":  # a pixel that counts nowhere is answered as it should be
            sure = 40.0 * hot - 20.0
            return term.loss(logits.where(known[:, None], sure), hot.to(logits.dtype))
        return _of_maps(term)(logits.softmax(1) * there, hot * there)

    def check_answer(self, outputs: Any, x: Tensor) -> None:
        """A map for each class, at most as large as the picture.

        Raises:
            ShapeError: what came and what was expected.
        """
        k = len(self.classes)
        good = (
            isinstance(outputs, Tensor)
            and outputs.ndim == x.ndim
            and outputs.shape[:2] == (len(x), k)
            and all(n <= m for n, m in zip(outputs.shape[2:], x.shape[2:], strict=True))
        )
        if not good:
            what = "volume" if x.ndim == 5 else "picture"
            expected = (len(x), k, *x.shape[2:])
            raise ShapeError(
                f"the net answers {answered(outputs)} to {len(x)} {what}s, expected one tensor {expected}: "
                f"a map for each of the {k} classes, of the {what}'s size or smaller around its middle"
            )
        if times := _strided(outputs.shape[2:], x.shape[2:]):
            small, whole = ("x".join(map(str, size)) for size in (outputs.shape[2:], x.shape[2:]))
            what, mode = ("volumes", "trilinear") if x.ndim == 5 else ("pictures", "bilinear")
            raise ShapeError(
                f"the net answers maps of {small} to {what} of {whole}, {times} times smaller, as of strides; smaller maps "
                f"are taken as the middle of the {what[:-1]}: scale the logits up at the end of forward, "
                f'F.interpolate(y, x.shape[2:], mode="{mode}", align_corners=False)'
            )

    # ------------------------------------------------------------------------------------ its answers

    def decode(self, outputs: Tensor, sizes: Sequence[tuple[int, ...]]) -> list[Mask]:
        """Class numbers [H, W] of each picture: the likeliest class, of probabilities brought to its own size."""
        return [
            self._mask(logits, size) for logits, size in zip(outputs.float(), sizes, strict=True)
        ]

    def to_mean(self, outputs: Tensor) -> Tensor:
        """Probabilities of each place."""
        return outputs.float().softmax(1)

    def from_mean(self, mean: Tensor) -> Tensor:
        """Maps of logits with these probabilities."""
        return mean.clamp_min(torch.finfo(mean.dtype).tiny).log()

    @staticmethod
    def _mask(maps: Tensor, size: Sequence[int]) -> Mask:
        if tuple(maps.shape[1:]) != tuple(size):
            probs = maps.softmax(0)[None]
            mode = "bilinear" if len(size) == 2 else "trilinear"
            maps = F.interpolate(probs, size, mode=mode, align_corners=False)[0]
        # Two classes need one comparison, which is much faster than a search along the axis of classes.
        likeliest = maps[1] > maps[0] if len(maps) == 2 else maps.argmax(0)
        return likeliest.to(torch.uint8).cpu().numpy()

    def joined(self, parts: Iterable[Piece], size: tuple[int, ...]) -> Mask:
        """Class numbers [H, W] of one picture; only one part of its maps is in memory at a time."""
        mask = np.empty(size, np.uint8)
        for rows, columns, logits in parts:
            maps = logits[0].float()
            mask[rows, columns] = self._mask(maps, (maps.shape[1], maps.shape[2]))
        return mask

    def truth(self, target: Any) -> Mask:
        """A stored mask without its axis of one channel."""
        return target[..., 0]

    def item_scores(self, answer: Mask, truth: Mask) -> dict[str, float]:
        """Mean IoU, Dice and the share of pixels of one picture."""
        counts = pixel_counts(answer, truth, len(self.classes), ignore=IGNORE)
        return {name: value for name, value in pixel_scores(counts).items() if value == value}  # noqa: PLR0124

    def meter(self, *, whole: bool = False) -> "Pixels":
        """A meter of pixels; of a `whole` evaluation outlines are counted too."""
        return Pixels(self.classes, outlines=whole)

    # -------------------------------------------------------------------------------------- predicting

    def answer(self, one: Mask) -> dict[str, Any]:
        """The share of the pixels of each class."""
        bands = (np.bincount(band.ravel(), minlength=len(self.classes)) for band in _bands(one))
        shares = sum(bands, np.zeros(len(self.classes))) / max(1, one.size)
        return {"classes": {name: float(s) for name, s in zip(self.classes, shares, strict=True)}}

    def table(self, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The share of each class."""
        return [dict(answer["classes"])]

    def line(self, answer: Mapping[str, Any]) -> str:
        """The classes that are there, the largest first."""
        shares = sorted(answer["classes"].items(), key=lambda pair: -pair[1])
        return ", ".join(f"{name} {percent(share)}" for name, share in shares if share > 0)

    def draw(self, picture: U8, answer: Mask) -> U8:
        """The classes in colours over the picture."""
        drawn = np.empty((*picture.shape[:2], 3), np.uint8)
        for band, seen, classes in zip(_bands(drawn), _bands(picture), _bands(answer), strict=True):
            band[:] = self._inked(seen, classes)
        return drawn

    def _inked(self, picture: U8, answer: Mask) -> U8:
        """Some rows of it: numbers that take eight times the room of the pixels."""
        colors = np.array(palette(len(self.classes)), np.float64)
        base = np.broadcast_to(picture, (*picture.shape[:2], 3)).astype(np.float64)
        known = (answer != IGNORE)[..., None]
        inked = (1 - INK) * base + INK * colors[np.where(answer == IGNORE, 0, answer)]
        return np.rint(np.where(known, inked, base)).astype(np.uint8)

    def files(
        self, stem: str, picture: Callable[[], U8], answer: Mask, folder: Path
    ) -> dict[str, str]:
        """The mask as a PNG with a palette, in the picture's size, and an overlay."""
        mask = Image.fromarray(answer, "P")
        mask.putpalette([value for color in palette(len(self.classes)) for value in color])
        names = {"mask": f"{stem}_mask.png", "overlay": f"{stem}_overlay.png"}
        mask.save(folder / names["mask"])
        Image.fromarray(self.draw(picture(), answer)).save(folder / names["overlay"])
        return names

    # -------------------------------------------------------------------------------------- the report

    def headline(self, held: HeldOut, of: str) -> Headline:
        """Mean IoU, and what answering the best one class everywhere would give."""
        found = super().headline(held, of)
        rows = [row for row in held.scores.per_class if row["pixels"]]
        if not rows:
            return found
        common = max(rows, key=lambda row: row["pixels"])
        share = common["pixels"] / sum(row["pixels"] for row in rows) / len(rows)
        said = f"Answering “{short(str(common['label']), 40)}” everywhere would score {percent(share)}."
        return found._replace(meaning=[said], constant=share)

    def curve_words(self, recipe: Settings) -> dict[str, str]:
        """The scores after an epoch are of masks in the size the net reads."""
        said = "After an epoch masks are scored in the size the net reads, at the end in that of the pictures."
        return {**super().curve_words(recipe), "miou": said}

    def sections(self, held: HeldOut) -> list[Section]:
        """Scores a class; the pictures that do worst, with truth, answer and where they differ."""
        order = sorted(range(len(held.rows)), key=lambda i: held.rows[i].get("miou", 2.0))[:WORST]
        strips = [self._strip(item) for item in held.items(order)]
        said = f"{len(order)} of {held.scores.items:,} held-out {held.noun}, the lowest mean IoU first."
        colors = zip(self.classes, palette(len(self.classes)), strict=True)
        parts = [Text(said, soft=True), Legend(list(colors)), *strips]
        return [self._classes(held), Section(f"The worst {held.noun}", parts=parts, name="Worst")]

    def _classes(self, held: HeldOut) -> Section:
        total = max(1, sum(row["pixels"] for row in held.scores.per_class))
        rows = [
            {**row, "share": row["pixels"] / total}
            for row in with_training(held, self.class_weights)
        ]
        table = class_table(
            rows,
            {
                "support": (held.noun, "number"),
                "share": ("of the pixels", "share"),
                "iou": ("IoU", "interval"),
                "dice": ("Dice", "share"),
                "precision": ("precision", "share"),
                "recall": ("recall", "share"),
                "boundary_f1": ("boundary F1", "share"),
            },
            by="iou",
            title="",
            empty="no pixels held out",
        )
        said = f"The lowest IoU first, over the pixels of all held-out {held.noun} together."
        return Section("Class by class", parts=[Text(said, soft=True), table], name="Classes")

    def _strip(self, item: Item) -> Gallery:
        """A picture, its truth, its answer and where they differ."""
        seen, of_truth, of_answer = item.input, item.truth, item.answer
        if of_truth.ndim == 3:
            seen = slices(seen)
            of_truth, of_answer = slices_of_mask(of_truth), slices_of_mask(of_answer)
        picture = shrunk(seen)
        truth, answer = shrunk_mask(of_truth), shrunk_mask(of_answer)
        wrong = (item.answer != item.truth) & (item.truth != IGNORE)
        share = float(wrong.sum() / max(1, (item.truth != IGNORE).sum()))
        differ = ((answer != truth) & (truth != IGNORE)).astype(np.uint8)
        scores = [f"{self.measure(key).title} {percent(v)}" for key, v in item.scores.items()]
        views = [
            Tile(picture, "picture"),
            Tile(self.draw(picture, truth), "truth"),
            Tile(self.draw(picture, answer), "answer"),
            Tile(_difference(picture, differ), f"differs in {percent(share)} of the pixels"),
        ]
        return Gallery(views, "row", title=item.name, lines=scores)


def _strided(small: Sequence[int], whole: Sequence[int]) -> int:
    """How many times smaller maps are that strides made; 0 of others, such as of unpadded convolutions, which lose a margin.

    Strides make powers of two. A net of unpadded convolutions loses exactly so much only by chance: the U-Net's sizes
    never do below 40 times, and the one over volumes takes 132 to 44 and 92 to 4, which no strides make.
    """
    times = whole[0] // small[0]
    exact = times in (2, 4, 8, 16, 32) and [side * times for side in small] == list(whole)
    return times if exact else 0


class Pixels(CountedMeter[SegmentMeter]):
    """Counts of pixels by class, a row an item."""

    def __init__(self, classes: Sequence[str], *, outlines: bool) -> None:
        super().__init__(SegmentMeter(classes, IGNORE, boundary=outlines))

    def add(self, answers: Sequence[Mask], truths: Sequence[Any] | NDArray[Any]) -> None:
        """Count masks [H, W] and their truths."""
        for answer, truth in zip(answers, truths, strict=True):
            self._counted.add(answer, truth)

    def values(self) -> dict[str, float]:
        """Mean IoU first."""
        return self._counted.values()

    @property
    def merit(self) -> float:
        """Mean IoU."""
        return self._counted.values()["miou"]

    def per_class(self, groups: NDArray[np.int64] | None = None) -> list[dict[str, Any]]:
        """IoU with its interval, Dice, precision, recall."""
        return self._counted.per_class(groups)


def palette(count: int) -> list[tuple[int, int, int]]:
    """Colours that are easily told apart, class 0 first: of Pascal VOC's palette, black left to the end."""
    return [_voc_color(i) for i in range(1, count + 1)]


def _voc_color(index: int) -> tuple[int, int, int]:
    """Bits of a number spread over three channels, as the development kit of Pascal VOC does."""
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= ((index >> (3 * bit + channel)) & 1) << (7 - bit)
    return channels[0], channels[1], channels[2]


def balanced(pixels: Sequence[int]) -> tuple[float, ...]:
    """Median frequency balancing: the median share of pixels over that of each class (Eigen and Fergus 2015).

    Args:
        pixels: of each class in the training items; a class without any counts as the median.
    """
    counts = np.asarray(pixels, np.float64)
    there = counts[counts > 0]
    middle = float(np.median(there)) if len(there) else 1.0
    return tuple((middle / np.where(counts > 0, counts, middle)).tolist())


def _bands(rows: NDArray[Any]) -> list[NDArray[Any]]:
    """A few rows at a time; views."""
    return [rows[at : at + BAND] for at in range(0, len(rows), BAND)]


def _difference(picture: U8, wrong: Mask) -> U8:
    """The picture in grey, pixels that are wrong in red."""
    grey = picture.mean(2, keepdims=True) if picture.shape[2] == 3 else picture.astype(np.float64)
    base = np.broadcast_to(0.6 * grey + 80, (*picture.shape[:2], 3))
    red = np.array([214.0, 40.0, 40.0])
    return np.rint(np.where(wrong[..., None] > 0, red, base)).clip(0, 255).astype(np.uint8)


def middle(target: Tensor, size: Sequence[int]) -> Tensor:
    """The middle of masks [B, H, W] or [B, D, H, W], as large as the answer of a net without padding."""
    starts = [(n - k) // 2 for n, k in zip(target.shape[1:], size, strict=True)]
    inside = tuple(slice(at, at + k) for at, k in zip(starts, size, strict=True))
    return target[(slice(None), *inside)]


def _mean_of_items(costs: Tensor, known: Tensor) -> Tensor:
    """The mean over items of the mean over their pixels that count, so a batch in parts gives the same gradient."""
    return ((costs * known).flatten(1).sum(1) / known.flatten(1).sum(1).clamp_min(1)).mean()


def _pixels(logits: Tensor) -> Tensor:
    """[B, K, h, w] as [B h w, K], of volumes likewise."""
    return logits.movedim(1, -1).flatten(0, -2)


def _of_maps(term: losses.Term) -> Callable[..., Any]:
    """A loss of maps for probabilities, where it would take logits else."""
    return partial(term.loss, logits=False) if term.name in ("dice", "iou") else term.loss
