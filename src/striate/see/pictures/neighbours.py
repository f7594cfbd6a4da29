"""The items that a net takes for most alike: the nearest by what its last layer reads, and the classes it names."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data import Data
from striate.errors import ArgumentError
from striate.probe import as_eval
from striate.result import text_table
from striate.runs import Run
from striate.see import features as room
from striate.see import fonts, paint
from striate.see.plates import Plate, Plates, Row
from striate.text import percent, plain, short

LIKELY = 5  # classes that are shown
BLOCK = 4096  # items compared at a time
BARS = (220, 20)  # pixels of one bar's row

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Near:
    """An item of the data: its name, what it is, how far it is, and its pixels uint8 [H, W, C]."""

    name: str
    label: str
    distance: float
    pixels: NDArray[np.uint8] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Neighbours(Plates):
    """Pictures, each with its nearest items and its most probable classes.

    Attributes:
        inputs: float32 [N, C, H, W], as the net took them.
        near: of each, the nearest first.
        classes: of each, the most probable ones with their probabilities, which add up to one only where an item has one
            class; () of nets without classes.
        among: where the items are from.
        count: how many there were.
    """

    inputs: F32 = field(repr=False)
    near: tuple[tuple[Near, ...], ...]
    classes: tuple[tuple[tuple[str, float], ...], ...]
    among: str
    count: int

    def heading(self) -> str:
        """What is shown."""
        return f"nearest of {self.count:,} items of {self.among}, by Euclidean distance of what the last layer reads"

    def rows(self) -> list[Row]:
        """A row a picture: itself, its classes as bars, its neighbours with their labels and distances."""
        pictures = (paint.stretch(item) for item in _as_pictures(self.inputs))
        rows: list[Row] = []
        for i, picture in enumerate(pictures):
            plates = [Plate(picture, "given", f"item {i + 1}")]
            if self.classes:
                told = ", ".join(f"{name} {percent(p)}" for name, p in self.classes[i])
                plates.append(Plate(bars(self.classes[i]), "", told))
            plates += [
                Plate(
                    paint.as_rgb(one.pixels),
                    f"{one.label} {one.distance:.3g}".strip(),
                    f"{one.name}, distance {one.distance:.4g}",
                )
                for one in self.near[i]
            ]
            rows.append(Row(plates))
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Names, labels, distances and probabilities."""
        return {
            "among": self.among,
            "of": self.count,
            "neighbours": [
                [{"file": n.name, "label": n.label, "distance": n.distance} for n in each]
                for each in self.near
            ],
            "top": [[[name, p] for name, p in each] for each in self.classes],
        }

    def as_text(self) -> str:
        """A row a picture."""
        rows = [
            [
                i + 1,
                ", ".join(plain(f"{c} {percent(p)}") for c, p in self.classes[i][:1])
                if self.classes
                else "",
                ", ".join(f"{n.label or n.name} {n.distance:.3g}" for n in near),
            ]
            for i, near in enumerate(self.near)
        ]
        return f"{self.heading()}\n\n{text_table(['picture', 'answer', 'nearest'], rows)}"


def neighbours(
    run: Run, images: Tensor, *, among: str = "train", count: int = 6, where: str | None = None
) -> Neighbours:
    """The nearest items of the run's data by what the net's last layer reads, as in figure 4 of Krizhevsky et al. 2012.

    The features of the data are computed once and kept beside the run.

    Args:
        run: a trained run.
        images: [N, ...] as the net takes them, normalised.
        among: the split whose items are searched.
        count: neighbours of each.
        where: the data, if they are not where they were; others are searched too.

    Raises:
        ArgumentError: no such split, or the last layer reads no vector an item.
    """
    if count < 1:
        raise ArgumentError(f"count={count}: expected at least 1")
    data = run.opened(where)
    arrays, key = room.stored(run, data, among)
    known = room.features(run, arrays, key)
    asked = room.of_batch(run, images).numpy()
    index, distances = nearest(asked, known, count)
    labels = _labels(data, among, arrays.numbers)
    near = tuple(
        tuple(
            Near(
                arrays.names[int(j)],
                labels[j] if labels else "",
                float(d),
                np.asarray(arrays.inputs[j]),
            )
            for j, d in zip(row.tolist(), far.tolist(), strict=True)
        )
        for row, far in zip(index, distances, strict=True)
    )
    return Neighbours(
        images.float().cpu().numpy(),
        near,
        _classes(run, images),
        f"{data.path} ({among})",
        len(arrays),
    )


def nearest(asked: F32, known: F32, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest of `known` [M, D] to each of `asked` [N, D]: their numbers and distances [N, count], the nearest first."""
    count = min(count, len(known))
    best = torch.full((len(asked), count), torch.inf)
    which = torch.zeros((len(asked), count), dtype=torch.int64)
    a = torch.from_numpy(np.ascontiguousarray(asked))
    for at in range(0, len(known), BLOCK):
        block = np.asarray(known[at : at + BLOCK])
        # PyTorch shares memory that may be written alone.
        b = torch.from_numpy(block if block.flags.writeable else block.copy())
        # The squared distance but for |a|^2, which changes no order.
        apart = torch.addmm(torch.linalg.vector_norm(b, dim=1).square(), a, b.T, alpha=-2)
        joined = torch.cat([best, apart], 1)
        best, place = joined.topk(count, 1, largest=False)
        here = torch.cat([which, torch.arange(at, at + len(b)).expand(len(a), -1)], 1)
        which = here.gather(1, place)
    index = which.numpy()
    exact = [
        np.linalg.norm(known[row].astype(np.float64) - q, axis=1)
        for row, q in zip(index, asked, strict=True)
    ]
    return index, np.array(exact).reshape(len(asked), count)


def bars(classes: tuple[tuple[str, float], ...]) -> paint.Pixels:
    """Classes as bars with their names, the most probable first: pixels [H, W, 3] on white."""
    from PIL import Image, ImageDraw

    width, height = BARS
    image = Image.new("RGB", (width, height * len(classes)), "#fcfbf8")
    draw = ImageDraw.Draw(image)
    for i, (name, share) in enumerate(classes):
        top = i * height
        draw.rectangle(
            [0, top + 2, max(1, round(share * (width - 1))), top + height - 3], fill="#a9c8ec"
        )
        words = fonts.fitted(f"{short(name, 24)} {plain(percent(share))}", 12, width - 6)
        draw.text((4, top + 3), words, fill="#1c1c1a", font=fonts.font(12))
    return np.asarray(image)


def _classes(run: Run, images: Tensor) -> tuple[tuple[tuple[str, float], ...], ...]:
    """The most probable classes of each picture, as its task decodes them; nothing of runs whose answers are no classes."""
    names = run.config.classes
    if not {"label", "labels"} & {*run.task.kinds} or len(names) < 2:
        return ()
    with as_eval(run.net), run.plan.uncompiled(), torch.inference_mode(), run.plan.autocast():
        answers = run.task.decode(run.net(run.plan.batch(images.clone())), ())
    shares, places = torch.from_numpy(answers).topk(min(LIKELY, len(names)), 1)
    return tuple(
        tuple((names[k], p) for k, p in zip(place, share, strict=True))
        for place, share in zip(places.tolist(), shares.tolist(), strict=True)
    )


def _labels(data: Data, split: str, numbers: NDArray[np.int64]) -> list[str]:
    if data.kind != "label":
        return []
    return [data.classes[k] for k in data.splits[split].labels[numbers].tolist()]


def _as_pictures(inputs: F32) -> NDArray[np.float32]:
    """Inputs [N, C, H, W] as [N, H, W, C]; what is no picture as one row of its first values."""
    if inputs.ndim == 4:
        kept = inputs if inputs.shape[1] == 3 else inputs[:, :1]
        return kept.transpose(0, 2, 3, 1)
    return inputs.reshape(len(inputs), -1)[:, None, :512, None]
