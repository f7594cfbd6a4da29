"""The style of a painting on a photo: pixels are changed until a net sees the photo's content and the painting's style.

Gatys, Ecker and Bethge 2016, Image style transfer using convolutional neural networks, CVPR, equations 1 to 7: content
is what a layer gives, style the products of its channels with each other, averaged over all places (Gram matrices), and
the pixels of the photo itself are what is learned, here by Adam. Two things are ours, so that any net can look: where no
layers are named, those that stand last at each resolution are taken (as Johnson, Alahi and Fei-Fei 2016, arXiv
1603.08155, did with VGG-16), and each part of the loss is divided by what it would be for a blank answer, so that the
weights mean the same whatever the scale of the net's features. C channels, H W pixels; values 0 to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate import data
from striate.errors import ArgumentError, DataError
from striate.result import Result, contained, html_table, picture_tag, text_table
from striate.see.pictures.maps import stages
from striate.tasks import feature_net
from striate.tasks.feature_net import FeatureNet
from striate.tasks.pictures import shrunk

if TYPE_CHECKING:
    from PIL.Image import Image

SMALLEST = 32  # pixels of a side: of less, the coarser layers see nothing that repeats
STAGES = 4  # resolutions whose styles are taken, the finest first
CONTENT = 3  # the one of them that is taken for the content: coarse enough to leave strokes free
SHOWN = 224  # pixels of the longer side of a picture on a page, at least
HEADER = ("part", "layer", "of the photo", "of the answer")
RATE = 0.03  # of Adam at the beginning, in values from 0 to 1; it falls to 0
TINY = 1e-12

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """A part of the loss, weighted, before the first step and after the last.

    Attributes:
        kind: content or style.
        layer: that sees it.
        first, last: its value.
    """

    kind: str
    layer: str
    first: float
    last: float


@dataclass(frozen=True, eq=False)
class Style(Result):
    """A photo in the style of a painting.

    Attributes:
        image: the answer, uint8 [H, W, 3].
        photo, painting: as they were looked at.
        parts: of the loss.
        course: the whole loss after each step, that of the photo itself first.
    """

    image: Pixels = field(repr=False)
    photo: Pixels = field(repr=False)
    painting: Pixels = field(repr=False)
    parts: tuple[Part, ...]
    course: tuple[float, ...] = field(repr=False)

    def picture(self) -> "Image":
        """The answer."""
        from PIL import Image

        return Image.fromarray(self.image)

    def as_dict(self) -> dict[str, Any]:
        """Size, parts of the loss and its course."""
        return {
            "size": [*self.image.shape[:2]],
            "loss": {"first": self.course[0], "last": self.course[-1]},
            "parts": [vars(part) for part in self.parts],
            "course": list(self.course),
        }

    def as_text(self) -> str:
        """A row a part."""
        return f"{self._head()}\n\n{text_table(HEADER, self._rows())}"

    def _head(self) -> str:
        height, width = self.image.shape[:2]
        steps = len(self.course) - 1
        return f"{width} x {height} pixels after {steps:,} step{'s' * (steps != 1)}"

    def _rows(self) -> list[list[str]]:
        rows = [[p.kind, p.layer, f"{p.first:.4g}", f"{p.last:.4g}"] for p in self.parts]
        return [*rows, ["all", "", f"{self.course[0]:.4g}", f"{self.course[-1]:.4g}"]]

    def _repr_html_(self) -> str:
        said = {"the photo": self.photo, "the painting": self.painting, "the answer": self.image}
        figures = "".join(
            f'<figure style="width:fit-content;max-width:100%">{picture_tag(each, words, side=max(SHOWN, *each.shape[:2]))}'
            f"<figcaption>{words}</figcaption></figure>"
            for words, each in said.items()
        )
        row = f'<div style="display:flex;flex-wrap:wrap;gap:.5rem 1rem">{figures}</div>'
        return contained(f"<p>{self._head()}</p>{row}{html_table(HEADER, self._rows())}")


@dataclass(frozen=True, eq=False)
class _Wanted:
    """What a net shall see, and how much each part counts."""

    looked: FeatureNet
    content: str
    style: tuple[str, ...]
    features: Tensor
    grams: tuple[Tensor, ...]
    weight: float

    def parts(self, pixels: Tensor) -> list[Tensor]:
        """Content, and the weighted style of each layer."""
        layers = [self.content, *self.style]
        seen = dict(zip(layers, self.looked.features(pixels, layers), strict=True))
        found = [_relative(seen[self.content], self.features)]
        for layer, gram in zip(self.style, self.grams, strict=True):
            found.append(self.weight / len(self.style) * _relative(_gram(seen[layer]), gram))
        return found


def style(
    photo: Path,
    painting: Path,
    *,
    net: nn.Module | str = "vgg16",
    weights: str = "",
    size: int = 256,
    steps: int = 200,
    style_weight: float = 10.0,
    layers: Sequence[str] = (),
) -> Style:
    """Put the style of a painting on a photo, by what the layers of a trained net see of both.

    Args:
        photo: file of the picture whose content stays.
        painting: file of the picture whose style is taken.
        net: through which both are seen: of the catalogue, a run folder, or a net of your own.
        weights: of a net of the catalogue: a file, a run folder, a published name; random: none.
        size: longer side of the answer in pixels; a smaller photo keeps its own.
        steps: of Adam.
        style_weight: of the style, against the content's of 1.
        layers: the one whose output is the content, then those of the style; of the first four resolutions if not named.

    Raises:
        ArgumentError: a setting out of range, a layer or net that there is not, or a net without trained weights.
        DataError: a file that is no picture, or too small a one.
    """
    _check(size, steps, style_weight)
    pictures = [_read(path, size) for path in (photo, painting)]
    look = feature_net.look(net, weights) if isinstance(net, str) else None
    bare = (
        net if isinstance(net, nn.Module) else feature_net.outline(feature_net.look(net, weights))
    )
    found = _layers(bare, pictures[0].shape[:2], layers)
    looked = feature_net.built(look, (found[0], *found[1])) if look else feature_net.own(bare)
    looked.to("cuda" if torch.cuda.is_available() else "cpu")
    x, y = (_tensor(each, looked) for each in pictures)
    with torch.no_grad():
        features = looked.features(x, [found[0]])[0]
        grams = tuple(_gram(each) for each in looked.features(y, list(found[1])))
    wanted = _Wanted(looked, found[0], found[1], features, grams, style_weight)
    pixels, course, (firsts, lasts) = _learned(wanted, x, steps)
    kinds = [("content", found[0]), *(("style", layer) for layer in found[1])]
    parts = tuple(
        Part(kind, layer, first, last)
        for (kind, layer), first, last in zip(kinds, firsts, lasts, strict=True)
    )
    image = np.rint(255 * pixels[0].movedim(0, -1).cpu().numpy()).astype(np.uint8)
    return Style(image, pictures[0], pictures[1], parts, tuple(course))


def _learned(
    wanted: _Wanted, x: Tensor, steps: int
) -> tuple[Tensor, list[float], tuple[list[float], list[float]]]:
    """The pixels, the loss before each step and after the last, and the parts of it before and after."""
    pixels = x.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([pixels], RATE)
    course: list[float] = []
    ends: list[list[float]] = []
    for step in range(steps + 1):  # the last one looks, and learns nothing
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / (steps + 1))
        optimizer.zero_grad()
        parts = wanted.parts(pixels)
        loss = torch.stack(parts).sum()
        course.append(float(loss.detach()))
        if step in (0, steps):
            ends.append([float(part.detach()) for part in parts])
        if step < steps:
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                pixels.clamp_(0, 1)
    return pixels.detach(), course, (ends[0], ends[1])


def _check(size: int, steps: int, weight: float) -> None:
    if size < SMALLEST or steps < 1:
        raise ArgumentError(
            f"size={size}, steps={steps}: expected a size of {SMALLEST} or more and a step or more"
        )
    if not 0 <= weight < np.inf:
        raise ArgumentError(f"style_weight={weight:g}: expected a number from 0 up")


def _read(path: Path, size: int) -> Pixels:
    """A picture in colour, its longer side at most `size`.

    Raises:
        DataError: it cannot be read, or is too small.
    """
    pixels = data.picture(Path(path), color="rgb")
    if min(pixels.shape[:2]) < SMALLEST:
        height, width = pixels.shape[:2]
        raise DataError(
            f"{path} is {width} x {height} pixels: a layer sees a style in what repeats, so give a picture of at least "
            f"{SMALLEST} a side"
        )
    smaller = shrunk(pixels, size)
    if min(smaller.shape[:2]) < SMALLEST:
        raise DataError(f"{path} is too narrow for size={size}: cut it, or take a larger size=")
    return smaller


def _tensor(pixels: Pixels, looked: FeatureNet) -> Tensor:
    values = torch.from_numpy(pixels.copy()).movedim(-1, 0)[None].float() / 255
    return values.contiguous().to(looked.mean.device)


def _layers(
    net: nn.Module, size: tuple[int, ...], layers: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """The layer of the content and those of the style: as named, else what stands last at each resolution.

    Raises:
        ArgumentError: no layer gives maps, or the net does not take pictures of this size.
    """
    if len(layers) == 1:
        raise ArgumentError(
            f"layers={layers[0]}: expected that of the content, and one or more of the style"
        )
    if layers:
        return layers[0], tuple(layers[1:])
    shape = getattr(net, "input_shape", None) or (feature_net.channels_of(net), *size)
    first = next(net.parameters(), torch.empty(0))
    try:
        found = stages(net, torch.zeros(1, *shape, device=first.device))[:STAGES]
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise ArgumentError(
            f"the net fails on {shape[2]} x {shape[1]} pixels ({reason}): name layers, up to which it takes any size"
        ) from error
    if not found:
        raise ArgumentError(f"{type(net).__name__}: no layer gives maps of a picture")
    return found[min(CONTENT, len(found)) - 1], tuple(found)


def _gram(maps: Tensor) -> Tensor:
    """Products of channels with each other, averaged over places: [C, C] of maps [1, C, h, w]."""
    rows = maps[0].flatten(1)
    return rows @ rows.T / rows.shape[1]


def _relative(seen: Tensor, wanted: Tensor) -> Tensor:
    """The squared difference over what it would be of nothing at all."""
    return (seen - wanted).square().sum() / wanted.square().sum().clamp_min(TINY)
