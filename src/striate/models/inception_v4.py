"""Inception v4: one plan for the whole net, from a stem that branches to three kinds of modules.

B batch, C channels, H W pixels. Szegedy et al. 2016, arXiv 1602.07261, figs. 3 to 9. Names of the weights as
in timm. Where a figure has a mean before a 1x1 convolution the convolution comes first; see `Mean`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from striate.layers.pool import GlobalAvgPool
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.branches import Conv, Layer, Mean, Table, links
from striate.models.row_types import Request
from striate.models.stages import Staged, Stages, Step, check_size

HALVED = Step(3, 2)  # 3x3 windows two apart without padding, of maxima or of convolutions
ROW, COLUMN = (1, 7), (7, 1)


def mean(maps: int) -> tuple[Layer, ...]:
    """The branch of means; its place 0 is that of the pooling in timm."""
    return (nn.Identity, Mean(maps))


def halving(maps: int) -> Conv:
    """A convolution that halves the size."""
    return Conv(maps, 3, 2, padded=False)


# Fig. 3, the stem from its first branches on.
STEM_73: Table = {"maxpool": (HALVED,), "conv": (halving(96),)}
STEM_71: Table = {
    "branch0": (Conv(64), Conv(96, 3, padded=False)),
    "branch1": (Conv(64), Conv(64, ROW), Conv(64, COLUMN), Conv(96, 3, padded=False)),
}
STEM_35: Table = {"conv": (halving(192),), "maxpool": (HALVED,)}
# Figs. 4, 5 and 6.
A: Table = {
    "branch0": (Conv(96),),
    "branch1": (Conv(64), Conv(96, 3)),
    "branch2": (Conv(64), Conv(96, 3), Conv(96, 3)),
    "branch3": mean(96),
}
B: Table = {
    "branch0": (Conv(384),),
    "branch1": (Conv(192), Conv(224, ROW), Conv(256, COLUMN)),
    "branch2": (Conv(192), Conv(192, COLUMN), Conv(224, ROW), Conv(224, COLUMN), Conv(256, ROW)),
    "branch3": mean(128),
}
C: Table = {
    "branch0": (Conv(256),),
    "branch1_0": (Conv(384),),
    "branch1_1a": ("branch1_0", Conv(256, (1, 3))),
    "branch1_1b": ("branch1_0", Conv(256, (3, 1))),
    "branch2_0": (Conv(384),),
    "branch2_1": ("branch2_0", Conv(448, (3, 1))),
    "branch2_2": ("branch2_1", Conv(512, (1, 3))),
    "branch2_3a": ("branch2_2", Conv(256, (1, 3))),
    "branch2_3b": ("branch2_2", Conv(256, (3, 1))),
    "branch3": mean(256),
}
# Figs. 7 and 8.
TO_17: Table = {
    "branch0": (halving(384),),
    "branch1": (Conv(192), Conv(224, 3), halving(256)),
    "branch2": (HALVED,),
}
TO_8: Table = {
    "branch0": (Conv(192), halving(192)),
    "branch1": (Conv(256), Conv(256, ROW), Conv(320, COLUMN), halving(320)),
    "branch2": (HALVED,),
}

# Fig. 9, by the sizes of the maps: what leads to each, and what follows there.
STAGES: tuple[tuple[Layer | Table, ...], ...] = (
    (halving(32), Conv(32, 3, padded=False), Conv(64, 3)),
    (STEM_73, STEM_71),
    (STEM_35, A, A, A, A),
    (TO_17, B, B, B, B, B, B, B),
    (TO_8, C, C, C),
)
# How the layers that are not padded move: two convolutions, 73, 71, 35, 17, 8.
STEPS = (HALVED, Step(3), HALVED, Step(3), HALVED, HALVED, HALVED)


class InceptionV4(Staged):
    """The stem, four, seven and three modules with a reduction before each kind, the mean, one linear layer."""

    strides = (2, 4, 8, 16, 32)
    stem = "features.0.conv"
    head = "last_linear"

    def __init__(self, request: Request) -> None:
        row: Mapping[str, Layer | Table] = {
            str(place): entry for place, entry in enumerate(sum(STAGES, ()))
        }
        made = iter(list(links(request, row)))
        stages = [[next(made) for _ in stage] for stage in STAGES]
        super().__init__(Stages([[found.layer for found in stage] for stage in stages]))
        self.input_shape = (request.in_channels, *request.size)
        self.widths = tuple(stage[-1].maps for stage in stages)
        self.avgpool = GlobalAvgPool()
        self.drop = dropout(request.number("drop_rate"))
        self.last_linear = nn.Linear(self.widths[-1], request.num_classes)

    def initialise(self, generator: torch.Generator) -> None:
        """Normal with variance 2 / inputs, as in the authors' code."""
        init.he_inputs(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to logits [B, classes]."""
        x = self.avgpool(self.features(x)[-1])
        return self.last_linear(self.drop(torch.flatten(x, 1)))


def build(request: Request) -> Backbone:
    """The net at the sizes asked for; `width` rounds filters to multiples of 8.

    Raises:
        ShapeError: a picture of which nothing is left behind the second reduction.
    """
    check_size(request, STEPS, last="features.18")
    return InceptionV4(request)
