"""Inception v3: large kernels as rows of small ones, and one auxiliary classifier.

B batch, C channels, H W pixels. Szegedy et al. 2015, arXiv 1512.00567, table 1. The filter counts, which
the paper does not print, and the names of the weights are those of torchvision.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from striate.layers.pool import GlobalAvgPool
from striate.models import init
from striate.models.backbone import Backbone
from striate.models.branches import Chain, Conv, ConvNorm, Layer, Mean, Table, links, numbered
from striate.models.row_types import Request
from striate.models.stages import Step, check_size, sides

HALVED = Step(3, 2)  # 3x3 windows two apart without padding, of maxima or of convolutions
GRID = 5  # side of the maps that the auxiliary classifier's last convolution needs


def grid_35(pool: int) -> Table:
    """Fig. 5: two 3x3 in a row where a 5x5 would stand; one 5x5 is left."""
    return {
        "branch1x1": (Conv(64),),
        **numbered("branch5x5", Conv(48), Conv(64, 5)),
        **numbered("branch3x3dbl", Conv(64), Conv(96, 3), Conv(96, 3)),
        "branch_pool": (Mean(pool, zeros=True),),
    }


def grid_17(width: int) -> Table:
    """Fig. 6: n x n as 1 x n and n x 1, n = 7."""
    row, column = (1, 7), (7, 1)
    return {
        "branch1x1": (Conv(192),),
        **numbered("branch7x7", Conv(width), Conv(width, row), Conv(192, column)),
        **numbered(
            "branch7x7dbl",
            Conv(width),
            Conv(width, column),
            Conv(width, row),
            Conv(width, column),
            Conv(192, row),
        ),
        "branch_pool": (Mean(192, zeros=True),),
    }


# Fig. 7: the last two modules spread out into 1x3 and 3x1 side by side.
GRID_8: Table = {
    "branch1x1": (Conv(320),),
    "branch3x3_1": (Conv(384),),
    "branch3x3_2a": ("branch3x3_1", Conv(384, (1, 3))),
    "branch3x3_2b": ("branch3x3_1", Conv(384, (3, 1))),
    **numbered("branch3x3dbl", Conv(448), Conv(384, 3)),
    "branch3x3dbl_3a": ("branch3x3dbl_2", Conv(384, (1, 3))),
    "branch3x3dbl_3b": ("branch3x3dbl_2", Conv(384, (3, 1))),
    "branch_pool": (Mean(192, zeros=True),),
}

# Fig. 10: convolutions and a maximum halve the size side by side.
TO_17: Table = {
    "branch3x3": (Conv(384, 3, 2, padded=False),),
    **numbered("branch3x3dbl", Conv(64), Conv(96, 3), Conv(96, 3, 2, padded=False)),
    "branch_pool": (HALVED,),
}
TO_8: Table = {
    **numbered("branch3x3", Conv(192), Conv(320, 3, 2, padded=False)),
    **numbered(
        "branch7x7x3",
        Conv(192),
        Conv(192, (1, 7)),
        Conv(192, (7, 1)),
        Conv(192, 3, 2, padded=False),
    ),
    "branch_pool": (HALVED,),
}

ROW: Mapping[str, Layer | Table] = {
    "Conv2d_1a_3x3": Conv(32, 3, 2, padded=False),
    "Conv2d_2a_3x3": Conv(32, 3, padded=False),
    "Conv2d_2b_3x3": Conv(64, 3),
    "maxpool1": HALVED,
    "Conv2d_3b_1x1": Conv(80),
    "Conv2d_4a_3x3": Conv(192, 3, padded=False),
    "maxpool2": HALVED,
    "Mixed_5b": grid_35(32),
    "Mixed_5c": grid_35(64),
    "Mixed_5d": grid_35(64),
    "Mixed_6a": TO_17,
    "Mixed_6b": grid_17(128),
    "Mixed_6c": grid_17(160),
    "Mixed_6d": grid_17(160),
    "Mixed_6e": grid_17(192),
    "Mixed_7a": TO_8,
    "Mixed_7b": GRID_8,
    "Mixed_7c": GRID_8,
}
# How the layers that are not padded move: 1a, 2a, maxpool1, 4a, maxpool2, Mixed_6a, Mixed_7a.
STEPS = (HALVED, Step(3), HALVED, Step(3), HALVED, HALVED, HALVED)


class InceptionV3(Chain):
    """Five convolutions, eleven modules, the mean over each map, one linear layer.

    In training the auxiliary loss counts 0.4, as in the authors' code; the paper gives no weight.
    """

    ends = ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c")
    strides = (2, 4, 8, 16, 32)
    stem = "Conv2d_1a_3x3.conv"
    head = "fc"
    auxiliary_heads = ("AuxLogits.fc",)

    def __init__(self, request: Request) -> None:
        super().__init__(request, links(request, ROW))
        if request.flag("auxiliary"):
            self.beside = {"AuxLogits": "Mixed_6e"}
            self.shares = request.weights("aux_weights")
            self.AuxLogits = Auxiliary(request, self.counts["Mixed_6e"])
        else:
            self.auxiliary_heads = ()

    def initialise(self, generator: torch.Generator) -> None:
        """N(0, 0.1), the end of the auxiliary classifier N(0, 0.01) and N(0, 0.001): the authors' code."""
        init.gaussian(self, generator, std=0.1)
        if self.beside:
            init.gaussian(self.AuxLogits.conv1, generator, std=0.01)
            init.gaussian(self.AuxLogits.fc, generator, std=0.001)


class Auxiliary(nn.Module):
    """A classifier of the 17x17 maps: means over 5x5 windows three apart, two convolutions, one linear layer.

    Pictures below 299x299 leave fewer than the 5x5 means that the second convolution needs; theirs share
    the map between them.
    """

    def __init__(self, request: Request, inputs: int) -> None:
        super().__init__()
        first, second = (
            conv.scaled(request) for conv in (Conv(128), Conv(768, GRID, padded=False))
        )
        maps = (sides(side, STEPS[:-1])[-1] for side in request.size)
        enough = all((side - 5) // 3 + 1 >= GRID for side in maps)
        self.pool = nn.AvgPool2d(5, stride=3) if enough else nn.AdaptiveAvgPool2d(GRID)
        self.conv0 = ConvNorm(inputs, first)
        self.conv1 = ConvNorm(first.maps, second)
        self.avgpool = GlobalAvgPool()
        self.fc = nn.Linear(second.maps, request.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to logits [B, classes]."""
        x = self.avgpool(self.conv1(self.conv0(self.pool(x))))
        return self.fc(torch.flatten(x, 1))


def build(request: Request) -> Backbone:
    """The net at the sizes asked for; `width` rounds filters to multiples of 8.

    Raises:
        ShapeError: a picture of which nothing is left behind Mixed_7a.
    """
    check_size(request, STEPS, last="Mixed_7a")
    return InceptionV3(request)
