"""What a linear layer answers to most strongly: its weights laid out as the picture or the maps that it reads.

A linear classifier of pixels is one template a class: the score is the product of picture and template, summed. Behind
other layers a template is one of features; then its channels stand side by side, or as the mean over them.
"""

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from striate.errors import ArgumentError, ShapeError, nearest
from striate.probe import trace
from striate.result import text_table
from striate.see import paint
from striate.see.plates import Plate, Plates, Ramp, Row
from striate.text import times


@dataclass(frozen=True, eq=False)
class Templates(Plates):
    """The weights of a linear layer as what it reads.

    Attributes:
        path: of the layer.
        weights: float32 [K, C, H, W], of the first outputs; H = W = 1 of a layer that reads no places.
        outputs: how many outputs the layer has.
        names: of the outputs shown: classes where the layer is the last one, else numbers.
        pixels: whether the layer reads the picture itself, and not features of it.
    """

    path: str
    weights: NDArray[np.float32] = field(repr=False)
    outputs: int
    names: tuple[str, ...]
    pixels: bool

    @property
    def scale(self) -> float:
        """Colours reach from -scale over zero to +scale, the same for every template."""
        return paint.reach(self.weights if self._in_colour else self._flat)

    @property
    def _in_colour(self) -> bool:
        return self.pixels and self.weights.shape[1] == 3

    @property
    def _flat(self) -> NDArray[np.float32]:
        """One plane an output [K, H, W]: the mean over channels; a strip of channels where there are no places."""
        if self.weights.shape[2:] == (1, 1):
            return self.weights[:, :, 0, 0][:, None]
        return self.weights.mean(1)

    def heading(self) -> str:
        """What is shown."""
        what = "pixels" if self.pixels else "features"
        size = times(self.weights.shape[1:])
        mean = "" if self._in_colour or self.weights.shape[1] == 1 else ", the mean over channels"
        return f"{len(self.names)} of {self.outputs} templates of {self.path}, over {size} {what}{mean}"

    def ramps(self) -> list[Ramp]:
        """Weights around zero."""
        return [Ramp("grey" if self._in_colour else "diverging", -self.scale, self.scale, "weight")]

    def rows(self) -> list[Row]:
        """A picture an output."""
        if self._in_colour:
            tiles = list(paint.colour(self.weights.transpose(0, 2, 3, 1), self.scale))
        else:
            tiles = list(paint.diverging(self._flat, self.scale))
        if self.weights.shape[2:] == (1, 1):  # a strip of channels, tall enough to be seen
            tiles = [tile.repeat(8, axis=0) for tile in tiles]
            return [Row([Plate(tile)], name) for tile, name in zip(tiles, self.names, strict=True)]
        return [Row([Plate(t, n) for t, n in zip(tiles, self.names, strict=True)])]

    def as_dict(self) -> dict[str, Any]:
        """Path, shape and range."""
        return {
            "path": self.path,
            "shape": [self.outputs, *self.weights.shape[1:]],
            "shown": list(self.names),
            "pixels": self.pixels,
            "min": float(self.weights.min()),
            "max": float(self.weights.max()),
        }

    def as_text(self) -> str:
        """One row a template: its range, mean and length."""
        rows = [
            [name, *(f"{x:.4f}" for x in (w.min(), w.max(), w.mean(), np.linalg.norm(w)))]
            for name, w in zip(self.names, self.weights, strict=True)
        ]
        table = text_table(["output", "min", "max", "mean", "norm"], rows)
        return f"{self.heading()}\n\n{table}"


def templates(
    net: nn.Module,
    *,
    layer: str | None = None,
    limit: int = 64,
    shape: tuple[int, ...] | None = None,
    classes: tuple[str, ...] = (),
) -> Templates:
    """The weights of a linear layer, laid out as the picture or the maps that it reads; the net stays as it is.

    Args:
        net: any module.
        layer: a linear layer by its name; the last one if not given.
        limit: templates that are shown.
        shape: of one item of the input, such as (3, 32, 32), by which the layer's inputs are laid out.
        classes: names of the outputs of the last layer.

    Raises:
        ArgumentError: the net has no linear layer, or none of this name.
        ShapeError: the net cannot read inputs of this shape.
    """
    linear = {path: each for path, each in net.named_modules() if isinstance(each, nn.Linear)}
    if not linear:
        raise ArgumentError(f"{type(net).__name__} has no linear layer, so there are no templates")
    path = list(linear)[-1] if layer is None else layer
    if path not in linear:
        raise ArgumentError(f"no linear layer {path!r}; {nearest(path, linear)}")
    if limit < 1:
        raise ArgumentError(f"limit={limit}: expected at least 1")
    found = linear[path]
    read, pixels = _read(net, path, found.in_features, shape)
    weight = found.weight.detach()[:limit].float().cpu()
    laid = weight.reshape(len(weight), *(read or (found.in_features, 1, 1)))
    last = path == list(linear)[-1] and len(classes) == found.out_features
    names = classes[:limit] if last else tuple(str(i) for i in range(len(weight)))
    return Templates(path, laid.numpy(), found.out_features, names, pixels)


def _read(
    net: nn.Module, path: str, wanted: int, shape: tuple[int, ...] | None
) -> tuple[tuple[int, ...] | None, bool]:
    """The picture or maps [C, H, W] that a layer's inputs were, and whether that is the input of the net itself.

    It is the last of the values of as many numbers that the net made before; None where there was none.
    """
    if shape is None:
        return None, False
    run = trace(net, [torch.empty(1, *shape)])
    if run.error is not None:
        reason = " ".join(str(run.error).split())[:160]
        raise ShapeError(f"the net cannot read {times(shape)}: {reason}")
    sizes = [tuple(shape)]
    for call in run.calls:
        if call.path == path:
            break
        sizes += [value.shape[1:] for value in call.outputs if value.live]
    fits = [size for size in sizes if len(size) == 3 and prod(size) == wanted]
    return (fits[-1], fits[-1] == tuple(shape)) if fits else (None, False)
