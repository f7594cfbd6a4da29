"""You Only Look Once: one pass over the picture, then every cell of a grid tells boxes and classes.

B batch, C channels, H W pixels, n boxes a cell, K classes. Redmon, Divvala, Girshick and Farhadi 2016,
arXiv 1506.02640, fig. 3. The figure prints the maps before the last convolutions of a size: 56x56x256 and
28x28x512 where its layers end with 512 and 1024.

`YoloGrid` has no linear layers: two convolutions on the maps of any backbone, whose grid is whatever these are.
"""

from abc import ABC
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError, ShapeError
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.on_backbone import cut, strides_below
from striate.models.row_types import Request

STRIDE = 64  # pixels of a cell
SLOPE = 0.1  # of the leaky ReLU, equation 2
COARSEST = 32  # stride of the coarsest maps that `YoloGrid` reads where none is asked for
WIDTH = 512  # maps of the 3x3 convolution of `YoloGrid`


class Detector(Backbone, ABC):
    """A net that answers [B, 5 n + K, rows, columns]: x, y, root of width, root of height, confidence of each box, then classes.

    x and y are cells from the cell's corner, width and height shares of the picture;
    `striate.ops.boxes.decode_cells` makes pixels of them, `striate.losses.yolo_loss` judges them. A net that
    learns by `striate.losses.grid_loss` has logits in the same channels; `decode_logits` reads those.

    Attributes:
        boxes: of a cell.
        cells: that the last layer answers for at once, each with outputs of its own.
    """

    boxes: int
    cells: int = 1

    def channels(self, num_classes: int) -> int:
        """Five numbers a box, one a class."""
        return 5 * self.boxes + num_classes

    def reset_head(self, num_classes: int, *, generator: torch.Generator | None = None) -> None:
        """A new last layer for `num_classes` classes; as many boxes as before."""
        super().reset_head(self.cells * self.channels(num_classes), generator=generator)


def boxes_of(request: Request) -> int:
    """The option `boxes`.

    Raises:
        ArgumentError: more than one number.
    """
    boxes, *others = request.counts("boxes")
    if others:
        raise ArgumentError(
            f"{request.name}: boxes takes one number, the boxes of a cell; got {[boxes, *others]}"
        )
    return boxes


def conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1, norm: bool) -> nn.Sequential:
    """A padded convolution, batch normalisation if wanted, leaky ReLU."""
    layers = nn.Sequential()
    pad = kernel // 2
    layers.add_module("conv", nn.Conv2d(inputs, outputs, kernel, stride, pad, bias=not norm))
    if norm:
        layers.add_module("bn", nn.BatchNorm2d(outputs))
    layers.add_module("leaky", nn.LeakyReLU(SLOPE, inplace=True))
    return layers


@dataclass(frozen=True)
class Spec:
    """Convolutions as (kernel, maps, stride), a tuple for each size of map, and units of hidden linear layers.

    Where a size begins without a stride, 2x2 maximum pooling halves the maps before it.
    """

    sizes: tuple[tuple[tuple[int, int, int], ...], ...]
    hidden: tuple[int, ...]

    def strides(self) -> tuple[int, ...]:
        """Input pixels between neighbouring values of the maps of each size."""
        first = self.sizes[0][0][2]
        return tuple(first * 2**i for i in range(len(self.sizes)))


def _pairs(count: int, narrow: int, wide: int) -> tuple[tuple[int, int, int], ...]:
    return ((1, narrow, 1), (3, wide, 1)) * count


SPECS = {
    "yolo_v1": Spec(
        sizes=(
            ((7, 64, 2),),
            ((3, 192, 1),),
            (*_pairs(1, 128, 256), *_pairs(1, 256, 512)),
            (*_pairs(4, 256, 512), *_pairs(1, 512, 1024)),
            (*_pairs(2, 512, 1024), (3, 1024, 1)),
            ((3, 1024, 2), (3, 1024, 1), (3, 1024, 1)),
        ),
        hidden=(4096,),
    ),
    "yolo_v1_tiny": Spec(
        sizes=(
            *(((3, maps, 1),) for maps in (16, 32, 64, 128, 256, 512)),
            ((3, 1024, 1),) * 3,
        ),
        hidden=(256, 4096),
    ),
}


class Yolo(Detector):
    """Convolutions, then linear layers that see the whole picture for every cell."""

    stem = "sizes.0.0.conv"
    head = "fc"

    def __init__(self, spec: Spec, request: Request) -> None:
        super().__init__()
        self.name = request.name
        self.input_shape = (request.in_channels, *request.size)
        self.boxes = boxes_of(request)
        self.grid = (request.size[0] // STRIDE, request.size[1] // STRIDE)
        self.widths = tuple(request.scaled(size[-1][1]) for size in spec.sizes)
        self.strides = spec.strides()
        self.pool = nn.MaxPool2d(2)
        self.pooled = tuple(i > 0 and size[0][2] == 1 for i, size in enumerate(spec.sizes))
        inputs = request.in_channels
        self.sizes = nn.ModuleList()
        for size in spec.sizes:
            layers = nn.Sequential()
            for kernel, maps, stride in size:
                width, norm = request.scaled(maps), request.flag("batch_norm")
                layers.append(conv(inputs, width, kernel, stride=stride, norm=norm))
                inputs = width
            self.sizes.append(layers)
        self.cells = self.grid[0] * self.grid[1]
        units = [inputs * self.cells, *(request.scaled(n) for n in spec.hidden)]
        self.hidden = nn.Sequential()
        for read, told in pairwise(units):
            self.hidden.extend((nn.Linear(read, told), nn.LeakyReLU(SLOPE, inplace=True)))
        self.drop = dropout(request.number("drop_rate"))
        self.fc = nn.Linear(units[-1], self.cells * self.channels(request.num_classes))

    def initialise(self, generator: torch.Generator) -> None:
        """He's, by the numbers that one output value reads, as in the authors' program."""
        init.he_inputs(self, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """The last maps of each size."""
        maps: list[Tensor] = []
        for pooled, layers in zip(self.pooled, self.sizes[: len(self.widths)], strict=False):
            x = layers(self.pool(x) if pooled else x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] of the size built for to [B, 5 n + K, H / 64, W / 64]; see `Detector`.

        Raises:
            ShapeError: another size, of which the linear layers would see another part.
        """
        if x.shape[2:] != self.input_shape[1:]:
            height, width = self.input_shape[1:]
            raise ShapeError(
                f"{self.name}: it was built for pictures of {height}x{width}; got {x.shape[2]}x{x.shape[3]}; resize them, "
                "or build yolo_grid, which takes any size"
            )
        x = self.hidden(torch.flatten(self.features(x)[-1], 1))
        return self.fc(self.drop(x)).unflatten(1, (-1, *self.grid))


class YoloGrid(Detector):
    """A backbone up to the maps of one stride, a 3x3 convolution, a 1x1 convolution to boxes and classes."""

    head = "score"

    def __init__(self, backbone: Backbone, request: Request) -> None:
        super().__init__()
        self.input_shape = (request.in_channels, *request.size)
        self.boxes = boxes_of(request)
        self.widths, self.strides = backbone.widths, backbone.strides
        self.stem = f"backbone.{backbone.stem}"
        self.backbone, self.backbone_name = backbone, request.word("backbone")
        width = request.scaled(WIDTH)
        self.neck = conv(self.widths[-1], width, 3, norm=True)
        self.drop = dropout(request.number("drop_rate"))
        self.score = nn.Conv2d(width, self.channels(request.num_classes), 1)

    def initialise(self, generator: torch.Generator) -> None:
        """The backbone as its family does, the head He's."""
        self.backbone.initialise(generator)
        init.he_inputs(self.neck, generator)
        init.he_inputs(self.score, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """Those of the backbone down to the maps that the head reads."""
        return self.backbone.features(x)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to [B, 5 n + K, H / stride, W / stride]; see `Detector`."""
        return self.score(self.drop(self.neck(self.features(x)[-1])))


def build(request: Request) -> Backbone:
    """A row of `SPECS` at the sizes asked for, or a head on the backbone asked for.

    Raises:
        ArgumentError: more than one number of boxes, or a backbone without maps of the stride.
        ShapeError: a side that is no multiple of 64, or a size that the backbone cannot take.
    """
    if request.name == "yolo_grid":
        stride = request.word("stride")
        coarsest = strides_below(request, COARSEST)[-1]
        backbone, _ = cut(request, [coarsest if stride == "auto" else int(stride)])
        return YoloGrid(backbone, request)
    if any(side % STRIDE for side in request.size):
        height, width = request.size
        near = " and ".join(_near(side) for side in dict.fromkeys(request.size) if side % STRIDE)
        raise ShapeError(
            f"{request.name}: a cell is {STRIDE}x{STRIDE} pixels, so sides are multiples of {STRIDE}; "
            f"got {height}x{width}; the nearest are {near}"
        )
    return Yolo(SPECS[request.name], request)


def _near(side: int) -> str:
    below = side // STRIDE * STRIDE
    return f"{below} or {below + STRIDE} for {side}" if below else f"{STRIDE} for {side}"
