"""Inception-ResNet v2: modules of branches that add a scaled sum to what they read.

B batch, C channels, H W pixels. Szegedy et al. 2016, arXiv 1602.07261, fig. 15 with the parts of figs. 16 to
19; the stem, the counts of filters and blocks and the names of the weights are those of timm, where
people have their weights from. Where a figure has a mean before a 1x1 convolution the convolution comes
first; see `Mean`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.models import init
from striate.models.backbone import Backbone
from striate.models.branches import Branches, Chain, Conv, Layer, Link, Mean, Table, link
from striate.models.row_types import Request
from striate.models.stages import Step, check_size

HALVED = Step(3, 2)  # 3x3 windows two apart without padding, of maxima or of convolutions


class Repeat(NamedTuple):
    """Residual blocks in a row: the branches of one, how many, what their sum is scaled by, whether ReLU ends it."""

    table: Table
    times: int
    scale: float
    relu: bool = True


def halving(maps: int) -> Conv:
    """A convolution that halves the size."""
    return Conv(maps, 3, 2, padded=False)


MIXED_5B: Table = {
    "branch0": (Conv(96),),
    "branch1": (Conv(48), Conv(64, 5)),
    "branch2": (Conv(64), Conv(96, 3), Conv(96, 3)),
    "branch3": (nn.Identity, Mean(64)),
}
BLOCK_35: Table = {
    "branch0": (Conv(32),),
    "branch1": (Conv(32), Conv(32, 3)),
    "branch2": (Conv(32), Conv(48, 3), Conv(64, 3)),
}
TO_17: Table = {
    "branch0": (halving(384),),
    "branch1": (Conv(256), Conv(256, 3), halving(384)),
    "branch2": (HALVED,),
}
BLOCK_17: Table = {
    "branch0": (Conv(192),),
    "branch1": (Conv(128), Conv(160, (1, 7)), Conv(192, (7, 1))),
}
TO_8: Table = {
    "branch0": (Conv(256), halving(384)),
    "branch1": (Conv(256), halving(288)),
    "branch2": (Conv(256), Conv(288, 3), halving(320)),
    "branch3": (HALVED,),
}
BLOCK_8: Table = {
    "branch0": (Conv(192),),
    "branch1": (Conv(192), Conv(224, (1, 3)), Conv(256, (3, 1))),
}

# Section 3.3: scales of 0.1 to 0.3 keep the training of so many filters stable.
ROW: dict[str, Layer | Table | Repeat] = {
    "conv2d_1a": halving(32),
    "conv2d_2a": Conv(32, 3, padded=False),
    "conv2d_2b": Conv(64, 3),
    "maxpool_3a": HALVED,
    "conv2d_3b": Conv(80),
    "conv2d_4a": Conv(192, 3, padded=False),
    "maxpool_5a": HALVED,
    "mixed_5b": MIXED_5B,
    "repeat": Repeat(BLOCK_35, 10, 0.17),
    "mixed_6a": TO_17,
    "repeat_1": Repeat(BLOCK_17, 20, 0.10),
    "mixed_7a": TO_8,
    "repeat_2": Repeat(BLOCK_8, 9, 0.20),
    "block8": Repeat(BLOCK_8, 1, 1.0, relu=False),
    "conv2d_7b": Conv(1536),
}
# How the layers that are not padded move: 1a, 2a, 3a, 4a, 5a, mixed_6a, mixed_7a.
STEPS = (HALVED, Step(3), HALVED, Step(3), HALVED, HALVED, HALVED)


class Residual(Branches):
    """Branches, a 1x1 convolution to as many maps as came in, and those added to it."""

    def __init__(self, request: Request, inputs: int, repeat: Repeat) -> None:
        super().__init__(request, inputs, repeat.table)
        self.scale = repeat.scale
        self.conv2d = nn.Conv2d(self.maps, inputs, 1)
        self.relu = nn.ReLU(inplace=True) if repeat.relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to the same."""
        y = self.conv2d(super().forward(x))
        return self.relu(torch.add(x, y, alpha=self.scale))


def row(request: Request) -> Iterator[Link]:
    """The layers of the net by name."""
    maps = request.in_channels
    for name, entry in ROW.items():
        if isinstance(entry, Repeat):
            blocks = [Residual(request, maps, entry) for _ in range(entry.times)]
            layer = nn.Sequential(*blocks) if len(blocks) > 1 else blocks[0]
            yield Link(name, layer, maps)
            continue
        found = link(request, maps, name, entry)
        maps = found.maps
        yield found


class InceptionResNetV2(Chain):
    """A stem of five convolutions, forty residual blocks with two reductions among them, the mean, one linear layer."""

    ends = ("conv2d_2b", "conv2d_4a", "repeat", "repeat_1", "conv2d_7b")
    strides = (2, 4, 8, 16, 32)
    stem = "conv2d_1a.conv"
    head = "classif"

    def __init__(self, request: Request) -> None:
        super().__init__(request, row(request))

    def initialise(self, generator: torch.Generator) -> None:
        """Normal with variance 2 / inputs, no biases, as in the authors' code."""
        init.he_inputs(self, generator)


def build(request: Request) -> Backbone:
    """The net at the sizes asked for; `width` rounds filters to multiples of 8.

    Raises:
        ShapeError: a picture of which nothing is left behind mixed_7a.
    """
    check_size(request, STEPS, last="mixed_7a")
    return InceptionResNetV2(request)
