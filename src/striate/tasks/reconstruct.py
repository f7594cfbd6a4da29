"""Pictures that are given back. B batch, C channels, H W pixels, h w of what the net answers; values 0 to 1.

A whole evaluation holds the net against answers that need none: see `striate.tasks.reconstruct_baselines`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from striate import losses
from striate.data import Data, as_rgb, channels
from striate.errors import RecipeError, ShapeError
from striate.metrics import Interval
from striate.metrics.intervals import mean
from striate.metrics.meter_rows import Rows
from striate.metrics.reconstruct import ReconstructMeter, picture_scores
from striate.models.backbone import Backbone
from striate.tasks import feature_net, reconstruct_baselines
from striate.tasks.against import LOSES, cells, verdict
from striate.tasks.pictures import shrunk
from striate.tasks.reconstruct_baselines import MEAN, SHRUNK, Baselines
from striate.tasks.section import Column, Gallery, Headline, Measure, Section, Table, Text, Tile
from striate.tasks.task import HeldOut, Item, Meter, Settings, Task, answered, epochs_of

OWN = 64  # pictures up to this side are read as they are, larger ones at it
BATCH, RATE, STEPS = 16, 0.003, 3000  # of a default training with AdamW
EVEN = 0.98  # of a side that is read, where the shape of a picture is that of the answer
WORST = 12  # pictures shown in the report
SEEN = ("rgb", "grey")  # colours that the nets of perceptual losses read

Picture = NDArray[np.float32]  # [H, W, C]
U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Reconstruct(Task):
    """The net gives back the picture that it reads, as auto-encoders do: what its code holds is seen in the answer.

    Attributes:
        color: of the pictures.
        spelled: the loss as `striate.losses.read` takes it, of values 0..1.
        baselines: that a net is held against; None before they are measured, and of runs from before there were any.
    """

    name: ClassVar[str] = "reconstruct"
    kinds: ClassVar[tuple[str, ...]] = ("picture",)
    wanted: ClassVar[str] = "pictures that are given back"
    noun: ClassVar[str] = "pictures"
    loss_names: ClassVar[tuple[str, ...]] = ("l1", "l2", "huber", "edge", losses.PERCEPTUAL)
    usual_loss: ClassVar[str] = "l2"
    as_files: ClassVar[bool] = True
    main: ClassVar[str] = "psnr"
    measures: ClassVar[Mapping[str, Measure]] = {
        "psnr": Measure("PSNR", "peak signal-to-noise ratio in decibels"),
        "ssim": Measure("SSIM", "structural similarity: 1 of an equal picture"),
        "l1": Measure("L1", "mean absolute difference of values 0 to 1", lower=True),
        "l2": Measure("L2", "mean squared difference of values 0 to 1", lower=True),
        "edge_error": Measure("Edge error", "difference of the slopes, by pixel", lower=True),
        "sharpness": Measure(
            "Sharpness", "energy of the finest detail over that of the truth: under 1 is blurred"
        ),
    }
    color: str
    spelled: str = "l2"
    baselines: Baselines | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, data: Data, recipe: Settings) -> Self:
        """With the colour and the loss of the recipe.

        Raises:
            RecipeError: a loss seen through a net, of pictures in a colour space that it does not read.
        """
        color, spelled = recipe.color or data.color, recipe.loss or cls.usual_loss
        if color not in SEEN and losses.read(spelled).looks:
            raise RecipeError(
                f"color={color}: the net of loss={spelled} reads red, green and blue or grey; use color=rgb, or another loss"
            )
        return cls(color, spelled)

    @classmethod
    def restored(cls, classes: Sequence[str], config: Mapping[str, Any]) -> Self:
        """To answer with: how it was learned does not matter any more."""
        del classes
        kept = config.get("baselines")
        return cls(str(config["color"]), baselines=Baselines.from_dict(kept) if kept else None)

    def config(self) -> dict[str, Any]:
        """How an answer is shown, and the answers without a net as they were measured."""
        kept = {"baselines": self.baselines.as_dict()} if self.baselines else {}
        return {"color": self.color, **kept}

    def measured(self, net: nn.Module, seen: Iterable[NDArray[Any]]) -> Self:
        """With the mean picture, and how many values the net's code has, where that is known."""
        found = reconstruct_baselines.measured(seen, None)
        height, width, _ = found.mean.shape
        code = net.code_values(height, width) if isinstance(net, Backbone) else None
        return replace(self, baselines=replace(found, code=code))

    def as_settled(self, other: Task) -> Self:
        """With the answers without a net that another has measured."""
        kept = other.baselines if isinstance(other, Reconstruct) else self.baselines
        return replace(self, baselines=kept)

    @classmethod
    def defaults(cls, data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any]:
        """A convolutional auto-encoder, at the pictures' own size where that is at most `OWN`."""
        native = data.native_size
        own = native if native is not None and max(native) <= OWN else (OWN, OWN)
        return {
            "net": recipe.net or (None if own_net else "conv_autoencoder"),
            "size": recipe.size or own,
            "color": recipe.color or data.color,
            "augment": "none" if max(own) <= 32 else "flip",
            "batch": BATCH,
            "optimizer": "adamw",
            "lr": RATE,
            "epochs": epochs_of(STEPS, BATCH, data),
        }

    @classmethod
    def refuse(cls, recipe: Settings, *, own_net: bool = False) -> None:
        """As every task, and a net to look through that there is not.

        Raises:
            RecipeError: naming it.
        """
        super().refuse(recipe, own_net=own_net)
        spelt = recipe.loss or cls.usual_loss
        for look in losses.read(spelt).looks:
            feature_net.check(look, spelt)
        if recipe.crop:
            raise RecipeError("crop: pictures are given back whole; leave it out, or use size=")

    @property
    def answers(self) -> tuple[str, ...]:
        """The channels."""
        return tuple(f"{self.color} {k}" for k in range(channels(self.color)))

    # ---------------------------------------------------------------------------------- a step of it

    @cached_property
    def _composite(self) -> losses.Composite:
        return losses.read(self.spelled).seen_through(feature_net.perceptual)

    def criterion(self, answer: Any, target: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Of pictures [B, C, h, w] against the middle of their truth."""
        exact = answer if answer.dtype == torch.float64 else answer.float()
        return self._composite.measured(exact, _middle(target, exact).to(exact.dtype))

    def check_answer(self, outputs: Any, x: Tensor) -> None:
        """A picture as large as the input, or the middle of it.

        Raises:
            ShapeError: what came and what was expected.
        """
        expected = (len(x), channels(self.color), *x.shape[2:])
        good = (
            isinstance(outputs, Tensor)
            and outputs.ndim == 4
            and tuple(outputs.shape[:2]) == expected[:2]
            and all(n <= m < 2 * n for n, m in zip(outputs.shape[2:], x.shape[2:], strict=True))
        )
        if not good:
            raise ShapeError(
                f"the net answers {answered(outputs)} to {len(x)} pictures, expected one tensor {expected}: each picture "
                "given back, with a map for each of its channels; values 0 (black) to 1 (white)"
            )

    # ------------------------------------------------------------------------------------ its answers

    def decode(self, outputs: Tensor, sizes: Sequence[tuple[int, ...]]) -> list[Picture]:
        """Pictures [H, W, C] in the size that the net answers, values from 0 to 1."""
        del sizes
        values = outputs.float().clamp(0, 1).movedim(1, -1).cpu().numpy()
        return list(np.ascontiguousarray(values))

    def truth(self, target: Any) -> Picture:
        """A picture of values 0..255 as one of 0..1."""
        return np.asarray(target, np.float32) / np.float32(255)

    def item_scores(self, answer: Picture, truth: Picture) -> dict[str, float]:
        """All scores of one picture."""
        found = picture_scores(answer, centre(truth, answer))
        return {key: value for key, value in found.items() if np.isfinite(value)}

    def meter(self, *, whole: bool = False) -> "Copies":
        """A meter of pictures; of a `whole` evaluation SSIM, edges, sharpness and the answers without a net are measured too."""
        return Copies(self.baselines if whole else None, whole=whole)

    # -------------------------------------------------------------------------------------- predicting

    def answer(self, one: Picture) -> dict[str, Any]:
        """The size of the picture that is written beside."""
        return {"size": [*one.shape[:2]]}

    def remark(self, one: Picture, size: tuple[int, ...]) -> str:
        """Which part of a picture of another shape is given back: a fiftieth of its side is not spoken of."""
        by = min(side / own for side, own in zip(size, one.shape, strict=False))
        height, width = (round(by * own) for own in one.shape[:2])
        if height >= EVEN * size[0] and width >= EVEN * size[1]:
            return ""
        return f"the middle {width} x {height} of {size[1]} x {size[0]} pixels"

    def line(self, answer: Mapping[str, Any]) -> str:
        """Where the picture lies."""
        height, width = answer["size"]
        return f"{width} x {height} pixels" + (
            f" in {answer['image']}" if "image" in answer else ""
        )

    def table(self, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Height, width and the file."""
        height, width = answer["size"]
        return [{"height": height, "width": width, "image": answer.get("image", "")}]

    def files(
        self, stem: str, picture: Callable[[], U8], answer: Picture, folder: Path
    ) -> dict[str, str]:
        """The picture as a PNG, in the size that the net answers."""
        del picture
        name = f"{stem}_image.png"
        shown = self.shown(answer)
        Image.fromarray(shown[..., 0] if shown.shape[2] == 1 else shown).save(folder / name)
        return {"image": name}

    def shown(self, values: Picture) -> U8:
        """Values 0..1 in the colour of the pictures as pixels [H, W, 1 or 3]."""
        pixels = np.rint(255 * values).astype(np.uint8)
        return pixels if self.color == "grey" else as_rgb(pixels, self.color)

    # -------------------------------------------------------------------------------------- the report

    @classmethod
    def measure(cls, score: str) -> Measure:
        """A score in words."""
        kind, _, key = score.partition("_")
        called = {MEAN: "the mean training picture", SHRUNK: "the shrunk picture"}.get(key, "")
        if kind == "gain" and called:
            return Measure(f"Gain over {called}", "in decibels, on the same pictures")
        return Measure(f"PSNR of {called}") if called else super().measure(score)

    def verdict(self, scores: Mapping[str, Interval]) -> str:
        """Whether the net is better than each answer without one, in one line; "" where they were not scored."""
        names = self.baselines.names if self.baselines else {}
        gains = {
            name: scores[f"gain_{key}"] for key, name in names.items() if f"gain_{key}" in scores
        }
        return verdict(gains, "an answer", "dB")

    def headline(self, held: HeldOut, of: str) -> Headline:
        """PSNR, whether an answer without a net does better, at which size pictures are compared, and what a sharpness says."""
        said, words = self.verdict(held.scores.scores), super().headline(held, of).words
        loses = said.startswith(LOSES)
        meaning = [
            *([f"The net is {said}."] if said and not loses else []),
            "Each picture is compared at the size that the net reads.",
            *(["A sharpness under 1 says that answers are blurred."] if held.rows else []),
        ]
        words = f"{words}: this net {said}" if loses else words
        return Headline(self.main, words, meaning, held.meter.best_plain)

    def sections(self, held: HeldOut) -> list[Section]:
        """Against the answers without a net; input, answer and where they differ, the lowest PSNR first."""
        return [*self._against(held), self._worst(held)]

    def _against(self, held: HeldOut) -> list[Section]:
        scores = held.scores.scores
        names = self.baselines.names if self.baselines else {}
        names = {key: name for key, name in names.items() if f"psnr_{key}" in scores}
        if not names:
            return []
        columns = [
            Column("answer"),
            *(Column(word, "number") for word in ("PSNR", "low", "high")),
            *(Column(word, "number") for word in ("gain of the net", "low", "high")),
        ]
        rows = [["the net", *cells(scores["psnr"]), None, None, None]]
        rows += [
            [name, *cells(scores[f"psnr_{key}"]), *cells(scores[f"gain_{key}"])]
            for key, name in names.items()
        ]
        said = (
            "In decibels, all on the same pictures. A gain above 0 is in favour of the net; where its interval holds 0, chance "
            "alone may have made it."
        )
        notes = Text(" ".join(held.meter.plain_words()), soft=True)
        return [
            Section(
                "Against answers without a net", said, [Table(columns, rows), notes], "Baselines"
            )
        ]

    def _worst(self, held: HeldOut) -> Section:
        order = sorted(range(len(held.rows)), key=lambda i: held.rows[i].get("psnr", 999.0))
        strips = [self._strip(item) for item in held.items(order[:WORST])]
        said = (
            f"{len(strips)} of {held.scores.items:,} held-out {held.noun}, the lowest PSNR first."
        )
        parts = [Text(said, soft=True), *strips]
        return Section(f"The worst {held.noun}", parts=parts, name="Worst")

    def _strip(self, item: Item) -> Gallery:
        truth = centre(item.truth, item.answer)
        off = np.abs(item.answer - truth).mean(2, keepdims=True)
        strongest = max(float(off.max()), 1e-6)
        views = [
            Tile(shrunk(self.shown(truth)), "input"),
            Tile(shrunk(self.shown(item.answer)), "answer"),
            Tile(
                shrunk(np.rint(255 * off / strongest).astype(np.uint8)),
                f"difference, white is {strongest:.2g}",
            ),
        ]
        scores = [f"{self.measure(key).title} {value:.4g}" for key, value in item.scores.items()]
        return Gallery(views, "row", title=item.name, lines=scores)


def centre(truth: Picture, answer: Picture) -> Picture:
    """The middle of a picture, as large as the answer of a net without padding."""
    (high, wide), (h, w) = truth.shape[:2], answer.shape[:2]
    top, left = (high - h) // 2, (wide - w) // 2
    return truth[top : top + h, left : left + w]


def _middle(target: Tensor, answer: Tensor) -> Tensor:
    """The same of pictures [B, C, H, W]."""
    high, wide = (n - k for n, k in zip(target.shape[2:], answer.shape[2:], strict=True))
    if not (high or wide):
        return target
    return F.pad(target, (-(wide // 2), wide // 2 - wide, -(high // 2), high // 2 - high))


class Copies(Meter):
    """Scores of pictures, a row an item; and of the answers without a net, where there are some."""

    def __init__(self, baselines: Baselines | None = None, *, whole: bool) -> None:
        self.baselines = baselines
        self._counted = ReconstructMeter(whole=whole)
        self._keys = tuple(baselines.names) if baselines else ()
        self._plain = Rows({"plain": ((len(self._keys),), np.float64)})

    def add(self, answers: Iterable[Picture], truths: Sequence[Any] | NDArray[Any]) -> None:
        """Count pictures and their truths."""
        for answer, truth in zip(answers, truths, strict=True):
            middle = centre(truth, answer)
            self._counted.add(answer, middle)
            plain = self.baselines.answers(truth) if self.baselines else []
            found = [
                picture_scores(centre(each, answer), middle, whole=False)["psnr"] for each in plain
            ]
            self._plain.add({"plain": np.array([found], np.float64)})

    def last(self, count: int) -> list[dict[str, float]]:
        """Those of a whole evaluation are the scores of `Reconstruct.item_scores`, which take long."""
        return self._counted.last(count)

    def state(self) -> dict[str, NDArray[Any]]:
        """The rows."""
        return {**self._counted.state(), **self._plain.state()}

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take in rows."""
        self._plain.add(state)
        self._counted.add_rows(state)

    def values(self) -> dict[str, float]:
        """PSNR first."""
        found = self._counted.values()
        return {key: value for key, value in found.items() if np.isfinite(value)}

    def scores(self, groups: NDArray[np.int64] | None = None) -> dict[str, Interval]:
        """With intervals; then the PSNR of each answer without a net, and the gain of the net over it."""
        found, ours = self._counted.scores(groups), self._counted.row("psnr")
        for k, key in enumerate(self._keys):
            plain = self._plain["plain"][:, k]
            found[f"psnr_{key}"] = mean(plain, groups)
            found[f"gain_{key}"] = mean(ours - plain, groups)
        return found

    @property
    def best_plain(self) -> float | None:
        """The PSNR of the best answer without a net; None where none was scored."""
        rows = self._plain["plain"]
        return float(rows.mean(0).max()) if rows.size else None

    def plain_words(self) -> list[str]:
        """What the answers without a net are."""
        if self.baselines is None:
            return []
        said = ["The mean training picture is the best answer that ignores its input."]
        if self.baselines.shrunk:
            height, width = self.baselines.shrunk
            channels_ = self.baselines.mean.shape[2]
            said.append(
                f"{width} x {height} pixels have {width * height * channels_:,} values, the code of the net {self.baselines.code:,}."
            )
        return said

    def notes(self, groups: NDArray[np.int64] | None = None) -> list[str]:
        """Whether there are too few items for intervals."""
        return self._counted.notes(groups)

    @property
    def merit(self) -> float:
        """PSNR."""
        return self._counted.values()["psnr"]
