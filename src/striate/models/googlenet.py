"""GoogLeNet: nine modules of four branches side by side, and two auxiliary classifiers on the way.

B batch, C channels, H W pixels. googlenet_2014: Szegedy et al. 2014, arXiv 1409.4842, table 1. googlenet: the
form whose weights people have, under torchvision's names: batch normalisation in place of biases and response
normalisation, 3x3 where the paper has 5x5, 2x2 in the fourth pooling.

What is built has the sizes and filter counts of table 1. Its column of weights has misprints, K = 1024:

    layer    conv1     4a     4c     4d     4e      5a      5b
    printed    2.7  364    463    580    840    1072    1388
    built      9.2  366.8  497.5  590.5  847.0  1018.0  1409.0

So has that of operations: 34M for conv1, where 118M are done, and 54M for 5a (51M).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.layers.norm import LocalResponseNorm
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.branches import (
    MULTIPLE,
    Block,
    Chain,
    Conv,
    ConvNorm,
    ConvReLU,
    Layer,
    Table,
    links,
)
from striate.models.row_types import Request
from striate.models.stages import Step, check_size, sides


class Filters(NamedTuple):
    """Columns of table 1: filters of each branch; "reduce" are those of a 1x1 before a larger kernel."""

    ones: int
    reduce3: int
    threes: int
    reduce5: int
    fives: int
    pool: int


TABLE = {
    "3a": Filters(64, 96, 128, 16, 32, 32),
    "3b": Filters(128, 128, 192, 32, 96, 64),
    "4a": Filters(192, 96, 208, 16, 48, 64),
    "4b": Filters(160, 112, 224, 24, 64, 64),
    "4c": Filters(128, 128, 256, 24, 64, 64),
    "4d": Filters(112, 144, 288, 32, 64, 64),
    "4e": Filters(256, 160, 320, 32, 128, 128),
    "5a": Filters(256, 160, 320, 32, 128, 128),
    "5b": Filters(384, 192, 384, 48, 128, 128),
}
BESIDE = {"aux1": "inception4a", "aux2": "inception4d"}
UNITS = 1024  # of the hidden layer of an auxiliary classifier
GRID = 4  # side of the maps that it reads
AUX_DROP_RATE = 0.7


@dataclass(frozen=True)
class Spec:
    """What tells the two apart.

    Attributes:
        block: what a convolution comes with.
        large: side of the kernel of the third branch.
        last_pool: side of the window of the fourth pooling.
        as_printed: whether the stem normalises responses and auxiliary classifiers pool as in the paper.
        first: draws the first weights.
    """

    block: Block
    large: int
    last_pool: int
    as_printed: bool
    first: Callable[[nn.Module, torch.Generator], None]


SPECS = {
    "googlenet_2014": Spec(ConvReLU, 5, 3, as_printed=True, first=init.he_inputs),
    "googlenet": Spec(ConvNorm, 3, 2, as_printed=False, first=init.gaussian),
}


def row(spec: Spec) -> dict[str, Layer | Table]:
    """Table 1 from top to bottom.

    Where response normalisation stands is from fig. 3; its settings, which the paper does not give, are
    those of Caffe's copy of the net.
    """
    pool = Step(3, 2, ceil_mode=True)
    table: dict[str, Layer | Table] = {
        "conv1": Conv(64, 7, 2),
        "maxpool1": pool,
        "norm1": LocalResponseNorm,
        "conv2": Conv(64),
        "conv3": Conv(192, 3),
        "norm2": LocalResponseNorm,
        "maxpool2": pool,
    }
    if not spec.as_printed:
        del table["norm1"], table["norm2"]
    before = {"4a": ("maxpool3", pool), "5a": ("maxpool4", pool._replace(kernel=spec.last_pool))}
    for name, filters in TABLE.items():
        if name in before:
            pool_name, step = before[name]
            table[pool_name] = step
        table[f"inception{name}"] = module(filters, spec.large)
    return table


def module(filters: Filters, large: int) -> Table:
    """Fig. 2 (b): the layers of each branch."""
    return {
        "branch1": (Conv(filters.ones),),
        "branch2": (Conv(filters.reduce3), Conv(filters.threes, 3)),
        "branch3": (Conv(filters.reduce5), Conv(filters.fives, large)),
        "branch4": (Step(3, 1, 1), Conv(filters.pool)),
    }


class GoogLeNet(Chain):
    """Three convolutions, nine modules, the mean over each map, one linear layer.

    In training each auxiliary loss counts 0.3 (section 5), or what `aux_weights` says. `drop_rate` 0 also takes the 70 % out of the
    auxiliary classifiers.
    """

    ends = ("conv1", "conv3", "inception3b", "inception4e", "inception5b")
    strides = (2, 4, 8, 16, 32)
    stem = "conv1.conv"
    head = "fc"
    auxiliary_heads = tuple(f"{name}.fc2" for name in BESIDE)

    def __init__(self, spec: Spec, request: Request) -> None:
        super().__init__(request, links(request, row(spec), block=spec.block))
        self.first = spec.first
        if request.flag("auxiliary"):
            self.beside, self.shares = BESIDE, request.weights("aux_weights")
            for name, layer in BESIDE.items():
                self.add_module(name, Auxiliary(spec, request, self.counts[layer]))
        else:
            self.auxiliary_heads = ()

    def initialise(self, generator: torch.Generator) -> None:
        """Normal: variance 2 / inputs for the paper's net, which does not say; N(0, 0.01) for torchvision's."""
        self.first(self, generator)


class Auxiliary(nn.Module):
    """A classifier of maps in the middle of the net: pooling to 4x4, a 1x1 convolution, two linear layers.

    Section 5 pools windows of 5x5 three apart, which make 4x4 of 14x14. Where a picture's size makes
    another number of them, and in torchvision's form at any, 4x4 windows share the map between them.
    """

    def __init__(self, spec: Spec, request: Request, inputs: int) -> None:
        super().__init__()
        conv = Conv(128).scaled(request)
        units = request.scaled(UNITS, multiple=MULTIPLE)
        maps = (sides(side, steps(spec)[:-1])[-1] for side in request.size)
        plain = spec.as_printed and {(side - 5) // 3 + 1 for side in maps} == {GRID}
        self.pool = nn.AvgPool2d(5, stride=3) if plain else nn.AdaptiveAvgPool2d(GRID)
        self.conv = spec.block(inputs, conv)
        self.fc1 = nn.Linear(conv.maps * GRID * GRID, units)
        self.relu = nn.ReLU(inplace=True)
        self.drop = dropout(AUX_DROP_RATE if request.number("drop_rate") else 0)
        self.fc2 = nn.Linear(units, request.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to logits [B, classes]."""
        x = torch.flatten(self.conv(self.pool(x)), 1)
        return self.fc2(self.drop(self.relu(self.fc1(x))))


def steps(spec: Spec) -> list[Step]:
    """How the layers that change the size move over a picture; the last is the fourth pooling."""
    return [Step(7, 2, 3), *(entry for entry in row(spec).values() if isinstance(entry, Step))]


def build(request: Request) -> Backbone:
    """A row of `SPECS` at the sizes asked for; `width` rounds filters and units to multiples of 8.

    Raises:
        ShapeError: a picture of which nothing is left behind the fourth pooling.
    """
    spec = SPECS[request.name]
    check_size(request, steps(spec), last="maxpool4")
    return GoogLeNet(spec, request)
