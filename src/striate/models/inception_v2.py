"""Inception v2, also called BN-Inception: GoogLeNet batch-normalised, two 3x3 where it has a 5x5.

B batch, C channels, H W pixels. Ioffe and Szegedy 2015, arXiv 1502.03167, the table of its appendix, in the
form whose weights people have: its pooling branches of 4c and 4d project to 128 filters (the table says
96), its first convolution is not separable, and convolutions keep their biases.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from striate.layers.pool import MaxPool2d
from striate.models import init
from striate.models.backbone import Backbone
from striate.models.branches import Chain, Conv, ConvNorm, Layer, Table, links
from striate.models.row_types import Request
from striate.models.stages import Step, check_size

Pool = type[nn.AvgPool2d] | type[nn.MaxPool2d]


class Filters(NamedTuple):
    """Columns of the table: filters of each branch; 1x1 filters stand before each 3x3 and behind the pooling."""

    ones: int
    reduce3: int
    threes: int
    reduce_double: int
    double: int
    projected: int
    pool: Pool = nn.AvgPool2d


class Halving(NamedTuple):
    """A row of the table that halves the size: no 1x1 branch, and maxima that are passed on as they are."""

    reduce3: int
    threes: int
    reduce_double: int
    double: int


TABLE = {
    "3a": Filters(64, 64, 64, 64, 96, 32),
    "3b": Filters(64, 64, 96, 64, 96, 64),
    "3c": Halving(128, 160, 64, 96),
    "4a": Filters(224, 64, 96, 96, 128, 128),
    "4b": Filters(192, 96, 128, 96, 128, 128),
    "4c": Filters(160, 128, 160, 128, 160, 128),
    "4d": Filters(96, 128, 192, 160, 192, 128),
    "4e": Halving(128, 192, 192, 256),
    "5a": Filters(352, 192, 320, 160, 224, 128),
    "5b": Filters(352, 192, 320, 192, 224, 128, nn.MaxPool2d),
}
POOL = Step(3, 2, ceil_mode=True)
# How the layers that change the size move; 3c and 4e halve any size and round up.
STEPS = (Step(7, 2, 3), POOL, POOL, Step(3, 2, 1), Step(3, 2, 1))


def module(row: Filters | Halving) -> Table:
    """The layers of each branch."""
    stride = 2 if isinstance(row, Halving) else 1
    double = Conv(row.double, 3)
    table: Table = {
        "branch2": (Conv(row.reduce3), Conv(row.threes, 3, stride)),
        "branch3": (Conv(row.reduce_double), double, double._replace(stride=stride)),
    }
    if isinstance(row, Halving):
        # At even sizes the windows of ceil mode, which gives one fewer than the convolutions at odd ones.
        return {**table, "branch4": (partial(MaxPool2d, 3, stride=2, padding="same"),)}
    pool = partial(row.pool, 3, stride=1, padding=1)
    return {"branch1": (Conv(row.ones),), **table, "branch4": (pool, Conv(row.projected))}


ROW: dict[str, Layer | Table] = {
    "conv1": Conv(64, 7, 2),
    "maxpool1": POOL,
    "conv2": Conv(64),
    "conv3": Conv(192, 3),
    "maxpool2": POOL,
    **{f"inception{name}": module(row) for name, row in TABLE.items()},
}


class InceptionV2(Chain):
    """Three convolutions, ten modules, the mean over each map, one linear layer."""

    ends = ("conv1", "conv3", "inception3b", "inception4d", "inception5b")
    strides = (2, 4, 8, 16, 32)
    stem = "conv1.conv"
    head = "fc"

    def __init__(self, request: Request) -> None:
        super().__init__(request, links(request, ROW, block=partial(ConvNorm, bias=True, eps=1e-5)))

    def initialise(self, generator: torch.Generator) -> None:
        """Normal with variance 2 / inputs, no biases; the paper does not say."""
        init.he_inputs(self, generator)


def build(request: Request) -> Backbone:
    """The net at the sizes asked for; `width` rounds filters to multiples of 8.

    Raises:
        ShapeError: a picture of which nothing is left behind the second pooling.
    """
    check_size(request, STEPS, last="maxpool2")
    return InceptionV2(request)
