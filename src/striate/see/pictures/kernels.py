"""The weights of a layer as pictures. O outputs, I inputs, H W the kernel's size.

What a first convolution has learned is what it looks for in a picture: a light spot, an edge, a colour.
"""

import html
from dataclasses import dataclass, field
from math import ceil, prod, sqrt
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import ArgumentError, ShapeError, nearest
from striate.result import Result, contained, text_table
from striate.see import paint
from striate.text import MINUS, times

if TYPE_CHECKING:
    from PIL.Image import Image

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
WITH_KERNELS = (*CONVOLUTIONS, *TRANSPOSED, nn.Linear)


@dataclass(frozen=True, eq=False, repr=False)
class Kernels(Result):
    """The first kernels of one layer, as its own numbers.

    `weights` is float32 [o, i, H, W], as much of the layer's [O, I, H, W] (`shape`) as was asked for.
    """

    path: str
    op: str
    shape: tuple[int, int, int, int]
    weights: NDArray[np.float32] = field(repr=False)

    @property
    def low(self) -> float:
        """The smallest weight shown."""
        return float(self.weights.min())

    @property
    def high(self) -> float:
        """The largest weight shown."""
        return float(self.weights.max())

    @property
    def scale(self) -> float:
        """Colours reach from -scale over zero to +scale, the same for every kernel."""
        return paint.reach(self.weights)

    @property
    def in_colour(self) -> bool:
        """Three input channels are painted as red, green and blue; others around zero, one by one."""
        return self.weights.shape[1] == 3

    def tiles(self) -> list[paint.Pixels]:
        """One picture [H, W, 3] a kernel; a layer of other than 1 or 3 channels gives one an input."""
        if self.in_colour:
            return list(paint.colour(self.weights.transpose(0, 2, 3, 1), self.scale))
        return list(paint.diverging(self.weights.reshape(-1, *self.weights.shape[2:]), self.scale))

    def picture(self) -> "Image":
        """All tiles on one sheet: a square of kernels, or a row a kernel where it has many inputs."""
        tiles, inputs = self.tiles(), self.weights.shape[1]
        columns = ceil(sqrt(len(tiles))) if inputs in (1, 3) else inputs
        return paint.sheet(paint.rows_of(tiles, columns))

    def as_dict(self) -> dict[str, Any]:
        """Path, operation, shape, counts and the range of the weights."""
        return {
            "path": self.path,
            "op": self.op,
            "shape": list(self.shape),
            "shown": len(self.weights),
            "min": self.low,
            "max": self.high,
        }

    def as_text(self) -> str:
        """One row a kernel: its range, mean and length."""
        head = self._words()
        rows = [
            [i, *(f"{x:.3f}" for x in (k.min(), k.max(), k.mean(), np.linalg.norm(k)))]
            for i, k in enumerate(self.weights)
        ]
        return f"{head}\n\n{text_table(['kernel', 'min', 'max', 'mean', 'norm'], rows)}"

    def __repr__(self) -> str:
        return f"Kernels({self._words()}, {self.low:.3g} to {self.high:.3g})"

    def _words(self) -> str:
        """The layer, and how many of its kernels are shown."""
        shown = f"{len(self.weights)} of {self.shape[0]} kernels of {times(self.shape[1:])}"
        return f"{self.path or 'the net'}: {self.op}, {shown}"

    def _repr_html_(self) -> str:
        """All tiles, what they are of, and what their colours mean."""
        words = self._words()
        anchors = (
            ((0, 0, 0), (128, 128, 128), (255, 255, 255)) if self.in_colour else paint.DIVERGING
        )
        ends = (f"{sign}{self.scale:.3g}" for sign in (MINUS, "+"))
        what = "three input channels as red, green and blue: " if self.in_colour else ""
        low, high = ends
        return contained(
            f"<p>{html.escape(words)}</p>{paint.html_image(self.picture(), words)}"
            f"{paint.html_scale(what + low, high, anchors)}"
        )


def kernels(
    net: nn.Module,
    layer: str | None = None,
    *,
    limit: int = 64,
    shape: tuple[int, int, int] | None = None,
) -> Kernels:
    """The kernels of a layer of any net; the net stays as it is.

    Args:
        net: any module.
        layer: by its name in `net.named_modules()`; by default the first convolution, or the
            first linear layer if there is none.
        limit: how many tiles at most; a layer with many inputs takes one an input.
        shape: (channels, height, width) of the picture that a linear layer reads.

    Raises:
        ArgumentError: the net has no such layer, it has no kernels, or `limit` is below 1.
        ShapeError: `shape` is missing for a linear layer, or does not fit it.
    """
    if limit < 1:
        raise ArgumentError(f"limit={limit}: expected at least 1 picture")
    path = _first(net) if layer is None else layer
    found = _layer(net, path)
    weight_OIHW = _weights(found, path, shape)
    inputs = weight_OIHW.shape[1] if weight_OIHW.shape[1] not in (1, 3) else 1
    shown = weight_OIHW[: max(1, limit // inputs)]
    shown = shown[:, :limit] if inputs > limit else shown
    return Kernels(path, type(found).__name__, weight_OIHW.shape, shown)


def _first(net: nn.Module) -> str:
    for test in (_convolves, _slides, _has_kernels):
        for path, layer in net.named_modules():
            if test(layer):
                return path
    raise ArgumentError(
        f"{type(net).__name__} has neither a convolution nor a linear layer: there are no kernels to see"
    )


def _convolves(layer: nn.Module) -> bool:
    return isinstance(layer, CONVOLUTIONS)


def _slides(layer: nn.Module) -> bool:
    """Whether a layer of another kind has kernels of its own, [O, I, H, W], as those of nets that learn without labels."""
    weight = getattr(layer, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.ndim == 4


def _has_kernels(layer: nn.Module) -> bool:
    return isinstance(layer, WITH_KERNELS) or _slides(layer)


def _layer(net: nn.Module, path: str) -> nn.Module:
    layers = dict(net.named_modules())
    if path not in layers:
        known = [name for name, layer in layers.items() if _has_kernels(layer)]
        raise ArgumentError(f"no layer {path!r} in {type(net).__name__}; {nearest(path, known)}")
    if not _has_kernels(layers[path]):
        kind = type(layers[path]).__name__
        raise ArgumentError(
            f"{path}: a {kind} has no kernels; name a convolution or a linear layer"
        )
    return layers[path]


def _weights(
    layer: nn.Module, path: str, shape: tuple[int, int, int] | None
) -> NDArray[np.float32]:
    """The weights as [O, I, H, W], whatever the layer's kind and number of axes."""
    weight = cast("Tensor", layer.weight).detach().float().cpu().clone()
    if isinstance(layer, nn.Linear):
        if shape is None or prod(shape) != layer.in_features:
            raise ShapeError(
                f"{path}: a linear layer of {layer.in_features:,} inputs, got shape={shape}; "
                "give shape=(channels, height, width) of the picture it reads"
            )
        weight = weight.reshape(-1, *shape)
    if isinstance(layer, TRANSPOSED):
        weight = weight.transpose(0, 1)
    if weight.ndim == 3:  # one axis: a strip of one row
        weight = weight.unsqueeze(2)
    if weight.ndim == 5:  # three axes: slices side by side with the channels
        weight = weight.flatten(1, 2)
    return weight.contiguous().numpy()
