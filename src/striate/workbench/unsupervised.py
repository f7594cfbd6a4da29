"""Nets that learn from pictures without labels, taught by the command line: what they learned, layer by layer, and what it is good for.

N items, K planes of the last layer. Labels are asked for afterwards alone: a logistic regression reads the class from
the last layer's answers, and another from the pixels themselves, which is what those answers have to be held against.
"""

import base64
import html
import io
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from striate import tasks
from striate.data import Data
from striate.errors import DataError, RecipeError
from striate.metrics import Scores, score
from striate.models import catalog
from striate.models.cdbn import CDBN, whitened
from striate.models.unsupervised import Unsupervised
from striate.result import Result, contained, html_page, html_table, text_table
from striate.runs import folder
from striate.text import duration, percent
from striate.training import Progress, Recipe, reproducibility
from striate.workbench.train import open_data

MOST = {"neocognitron": 1500, "cdbn": 300}  # training items that are shown, evenly picked, and
PASSES = {"neocognitron": 3, "cdbn": 5}  # how often, where the recipe leaves that open
HELD = 2000  # held-out items that are read
HEADER = ("layer", "planes", "that learned", "most alike (cosine)")
LEARNED = 0.01  # a kernel has learned that moved by more than this share of its length
DARK = 127  # mean above which pictures are taken for dark lines on a light ground
# Settings that such a net has; what else is typed would change nothing.
SETTINGS = frozenset(
    "net epochs size color width options seed split_seed val split "  # noqa: SIM905 - a list of words
    "ignore broken cache layout task max_pixels".split()
)


@dataclass(frozen=True)
class LearnedLayer:
    """What one layer's kernels became.

    Attributes:
        name: of the layer.
        planes: kernels that it has.
        learned: that moved from their first weights.
        alike: the largest cosine between two of those; nan where there are not two.
    """

    name: str
    planes: int
    learned: int
    alike: float


@dataclass(frozen=True)
class Learned(Result):
    """What a net learned without labels.

    Attributes:
        run: the folder.
        net: its name.
        items: pictures that it saw.
        epochs: how often each.
        seconds: that took.
        layers: what became of each.
        scores: of classes read from the last layer's answers, on items held out.
        pixels: the accuracy of the same reading from the pixels.
        settings: with which the net is built.
    """

    run: str
    net: str
    items: int
    epochs: int
    seconds: float
    layers: tuple[LearnedLayer, ...]
    scores: Scores
    pixels: Scores
    settings: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape `train`, with the layers and the reading from pixels added."""
        layers = [
            {**vars(layer), "alike": None if math.isnan(layer.alike) else layer.alike}
            for layer in self.layers
        ]
        document = self.scores.as_dict()
        return {
            "run": self.run,
            "task": folder.UNSUPERVISED,
            "net": self.net,
            "settings": dict(self.settings),
            "epochs": self.epochs,
            "seconds": self.seconds,
            "items": self.items,
            "layers": layers,
            "held_out": document["items"],
            "split": document["split"],
            "scores": document["scores"],
            "scores_of_pixels": self.pixels.as_dict()["scores"],
        }

    def as_text(self) -> str:
        """The layers, then how well classes can be read from what they say."""
        return f"{self._head()}\n\n{text_table(HEADER, self._rows())}\n\n{self._reading()}"

    def _repr_html_(self) -> str:
        head, said = (f"<p>{html.escape(words)}</p>" for words in (self._head(), self._reading()))
        return contained(head + html_table(HEADER, self._rows()) + said)

    def _head(self) -> str:
        return (
            f"{self.net} learned without labels from {self.items:,} pictures, shown {_times(self.epochs)} to each layer, in "
            f"{duration(self.seconds)}: {self.run}"
        )

    def _rows(self) -> list[list[object]]:
        return [
            [
                each.name,
                each.planes,
                each.learned,
                "-" if math.isnan(each.alike) else f"{each.alike:.3f}",
            ]
            for each in self.layers
        ]

    def _reading(self) -> str:
        found, pixels = (each.scores["accuracy"] for each in (self.scores, self.pixels))
        split = {"val": "validation"}.get(self.scores.split, self.scores.split)
        return (
            f"read by a logistic regression from the last layer, {percent(found.value)} of {self.scores.items:,} "
            f"{split} pictures are right ({percent(found.low)} to {percent(found.high)}); "
            f"from the pixels, {percent(pixels.value)} ({percent(pixels.low)} to {percent(pixels.high)})"
        )


def _times(count: int) -> str:
    return f"{count} time{'s' * (count != 1)}"


def learns_alone(recipe: Recipe) -> bool:
    """Whether a recipe names a net that learns without labels."""
    row = catalog.CATALOG.get(recipe.net or "")
    return row is not None and row.tasks == ("unsupervised",)


def teach(
    data: str | Path | Data,
    recipe: Recipe,
    *,
    out: Path = Path("runs"),
    name: str | None = None,
    progress: Progress | None = None,
) -> Learned:
    """Teach a net of the catalogue that learns without labels, and write weights, kernels and a report.

    Args:
        data: pictures with a class each, as `striate.open` understands them.
        recipe: net, epochs (how often each layer sees each picture), size, width, color, options and seed.
        out: below which the folder `unsupervised` is made.
        name: of the run folder; made from data and net if not given.
        progress: gets lines.

    Raises:
        RecipeError: a setting that such a net does not have.
        UsageError: the name is malformed or taken, or no folder can be made.
        DataError: the data are no pictures with a class each.
    """
    progress = progress or Progress()
    unused = sorted(recipe.model_fields_set - SETTINGS)
    if unused:
        raise RecipeError(
            f"{', '.join(unused)}: {recipe.net} learns without a loss and has no such setting; it has epochs, size, "
            "width, color and seed"
        )
    folder.check_name(name)
    folder.check_parent(out)
    if name and (out / folder.UNSUPERVISED / name).exists():  # said before the work, not after it
        raise folder.taken(out / folder.UNSUPERVISED / name)
    opened = data if isinstance(data, Data) else open_data(data, recipe)
    if not opened.pictures or opened.kind != "label":
        raise DataError(
            f"{opened.path} holds {tasks.named(opened.task).wanted}: {recipe.net} learns from pictures with a class each"
        )
    net_name = str(recipe.net)
    net, shown = _built(opened, recipe)
    held_split = next(split for split in ("val", "test", "train") if split in opened.splits)
    parts = {
        split: _taken(opened, split, recipe, shown, progress)
        for split in dict.fromkeys(("train", held_split))
    }
    pictures, truth = parts["train"]
    count = MOST[net_name]
    some = _evenly(len(pictures), count)
    before = {path: tensor.clone() for path, tensor in _kernels(net).items()}
    passes = recipe.epochs or PASSES[net_name]
    progress.say(f"{net_name} is shown {len(some):,} pictures, {_times(passes)} a layer")
    began = time.monotonic()
    net.fit(
        pictures[some],
        generator=reproducibility.generator(recipe.seed, "order"),
        passes=passes,
        progress=partial(progress.bar, "learning"),
    )
    seconds = time.monotonic() - began
    held, held_truth = parts[held_split]
    path = folder.make(
        out,
        folder.UNSUPERVISED,
        name,
        f"{Path(opened.path).name.split('.')[0] or 'data'}-{net_name}",
    )
    reading = (opened, held_split, truth[some], held_truth)
    found = Learned(
        str(path),
        net_name,
        len(some),
        passes,
        seconds,
        tuple(_learned(layer, before[layer], kernels) for layer, kernels in _kernels(net).items()),
        _read(_answers(net, pictures[some]), _answers(net, held), reading),
        _read(pictures[some].flatten(1).numpy(), held.flatten(1).numpy(), reading),
        _settings(net, recipe),
    )
    _write(path, net, found, progress)
    return found


def _settings(net: Unsupervised, recipe: Recipe) -> dict[str, Any]:
    """What `catalog.build` needs beside the name, as plain values."""
    channels, *size = net.input_shape
    return {"in_channels": channels, "size": size, "width": recipe.width, **recipe.options}


def _built(data: Data, recipe: Recipe) -> tuple[Unsupervised, tuple[int, int]]:
    """The net, and the size at which a picture is decoded: at most that of the net."""
    row = catalog.entry(str(recipe.net))
    native = data.native_size or row.input[1:]
    least = 32 if row.family == "cdbn" else 16
    size = recipe.size or (
        min(row.input[1], max(least, native[0])),
        min(row.input[2], max(least, native[1])),
    )
    color = recipe.color or "grey"
    built = catalog.build(
        row.name,
        in_channels=1 if color == "grey" else 3,
        size=size,
        width=recipe.width,
        generator=reproducibility.generator(recipe.seed, "init"),
        **recipe.options,
    )
    if not isinstance(built, Unsupervised):
        raise TypeError(f"{row.name} learns with labels")
    if isinstance(built, CDBN):
        return built, (size[0], size[1])
    return built, (min(native[0], size[0]), min(native[1], size[1]))


def _taken(
    data: Data, split: str, recipe: Recipe, shown: tuple[int, int], progress: Progress
) -> tuple[Tensor, NDArray[np.int64]]:
    """Pictures [N, C, H, W] as the net sees them, and their class numbers."""
    arrays = data.arrays(split, size=shown, color=recipe.color or "grey")
    some = _evenly(len(arrays), MOST[str(recipe.net)] if split == "train" else HELD)
    pixels = np.stack([np.asarray(arrays.inputs[i : i + 1])[0] for i in some.tolist()])
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    truth = np.asarray(arrays.targets)[some].astype(np.int64)
    if catalog.entry(str(recipe.net)).family == "cdbn":
        return whitened(
            x
            + 1e-3 * torch.rand(x.shape, generator=reproducibility.generator(recipe.seed, "noise"))
        ), truth
    if float(x.mean()) * 255 > DARK:
        progress.say(
            f"note: the pictures of {split} are light: dark and light are exchanged, as lines are to be light on 0"
        )
        x = 1 - x
    high, wide = recipe.size or (max(16, shown[0]), max(16, shown[1]))
    down, right = high - shown[0], wide - shown[1]
    # Laid on a larger ground, not enlarged: a cell has to see lines of a pixel or two.
    return F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2)), truth


def _evenly(count: int, most: int) -> NDArray[np.int64]:
    """At most so many of the numbers below `count`, evenly picked."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _kernels(net: Unsupervised) -> dict[str, Tensor]:
    """The kernels [planes, ...] of each layer that learns."""
    return {
        path.removesuffix(".weight"): parameter.detach()
        for path, parameter in net.named_parameters()
        if path.endswith(".weight") and parameter.ndim == 4
    }


def _learned(name: str, before: Tensor, now: Tensor) -> LearnedLayer:
    was, rows = before.flatten(1), now.flatten(1)
    moved = (rows - was).norm(dim=1) > LEARNED * was.norm(dim=1)
    some = F.normalize(rows[moved], dim=1)
    cosines = (some @ some.T).fill_diagonal_(-1) if len(some) > 1 else None
    alike = math.nan if cosines is None else float(cosines.max())
    return LearnedLayer(name, len(rows), int(moved.sum()), alike)


def _answers(net: Unsupervised, pictures: Tensor) -> NDArray[np.float32]:
    """What the last layer says, the mean over all places [N, K]."""
    with torch.no_grad():
        found = torch.cat([net(some) for some in pictures.split(50)])
    return (found.flatten(2).mean(2) if found.ndim > 2 else found).numpy()


def _read(
    train: NDArray[np.float32],
    held: NDArray[np.float32],
    reading: tuple[Data, str, NDArray[np.int64], NDArray[np.int64]],
) -> Scores:
    """The scores of a logistic regression from features [N, F]."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data, split, truth, held_truth = reading
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train, truth)
    probs = np.zeros((len(held), len(data.classes)), np.float32)
    probs[:, model.classes_] = model.predict_proba(held)
    return score(probs, held_truth, classes=data.classes, data=data.path, split=split)


def _write(path: Path, net: Unsupervised, found: Learned, progress: Progress) -> None:
    """Weights, kernels of the first layer as a picture, the result as JSON and as a page."""
    save_file(dict(net.state_dict()), path / "model.safetensors")
    first = next(iter(_kernels(net).values()))
    kernels = io.BytesIO()
    Image.fromarray(_grid(first)).save(kernels, "PNG")
    folder.write_bytes(path / "kernels.png", kernels.getvalue())
    folder.write_json(path / "summary.json", found.as_dict())
    picture = (
        '<p><img alt="kernels of the first layer" style="image-rendering:pixelated;width:30rem;max-width:100%" '
        f'src="data:image/png;base64,{base64.b64encode(kernels.getvalue()).decode()}"></p>'
    )
    body = f"<h1>{found.net}, learned without labels</h1>{found.as_html()}{picture}"
    folder.write_text(path / "report.html", html_page(found.net, body))
    progress.say(f"report: {path / 'report.html'}")


def _grid(kernels: Tensor) -> NDArray[np.uint8]:
    """The kernels [K, C, H, W] side by side, grey where they are 0, each from its own smallest to largest."""
    tiles = kernels.mean(1)
    reach = tiles.abs().amax((1, 2), keepdim=True).clamp_min(1e-12)
    tiles = F.pad((tiles / reach + 1) * 127.5, (1, 1, 1, 1), value=255)
    wide = math.ceil(math.sqrt(len(tiles)))
    blank = tiles.new_full(
        (wide * math.ceil(len(tiles) / wide) - len(tiles), *tiles.shape[1:]), 255
    )
    rows = torch.cat([tiles, blank]).unflatten(0, (-1, wide))
    return rows.permute(0, 2, 1, 3).flatten(2).flatten(0, 1).round().byte().numpy()
