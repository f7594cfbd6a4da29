"""VoxNet: two convolutions over the voxels of a shape, one pooling, two linear layers.

B batch, C channels, D H W voxels, K classes. Maturana and Scherer 2015, doi 10.1109/IROS.2015.7353481,
section III: C(32, 5, 2) - C(32, 3, 1) - P(2) - FC(128) - FC(K) on grids of 32 x 32 x 32. The slopes, the shares
that dropout leaves out and the first weights of the linear layers are those of the authors' released net.
"""

import torch
from torch import Tensor, nn

from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request
from striate.models.stages import Step, check_size, sides

MAPS, UNITS = 32, 128
SLOPE = 0.1  # of the leaky activations, below 0
# Released: 0.2 behind conv1, 0.3 behind the pooling, 0.4 behind the first linear layer, as shares of the last.
RATES = (0.5, 0.75, 1.0)
STEPS = (Step(5, 2), Step(3), Step(2, 2))
STD = 0.01


class VoxNet(Backbone):
    """conv1, conv2 and their pooling in `features`; fc1 and fc2 answer."""

    strides = (2, 4)
    stem = "conv1"
    head = "fc2"

    def __init__(self, request: Request) -> None:
        super().__init__()
        maps, units = request.scaled(MAPS), request.scaled(UNITS)
        first, second, third = (share * request.number("drop_rate") for share in RATES)
        self.input_shape = (request.in_channels, *request.size)
        self.widths = (maps, maps)
        self.conv1 = nn.Conv3d(request.in_channels, maps, STEPS[0].kernel, STEPS[0].stride)
        self.drop1 = dropout(first)
        self.conv2 = nn.Conv3d(maps, maps, STEPS[1].kernel)
        self.act = nn.LeakyReLU(SLOPE, inplace=True)
        self.pool = nn.MaxPool3d(STEPS[2].kernel)
        self.drop2 = dropout(second)
        depth, high, wide = (sides(side, STEPS)[-1] for side in request.size)
        self.fc1 = nn.Linear(maps * depth * high * wide, units)
        self.relu = nn.ReLU(inplace=True)
        self.drop3 = dropout(third)
        self.fc2 = nn.Linear(units, request.num_classes)

    def initialise(self, generator: torch.Generator) -> None:
        """Convolutions by He's rule (section IV), linear layers normal with a deviation of 0.01."""
        init.he_inputs(self, generator)
        for layer in (self.fc1, self.fc2):
            init.normal(layer.weight, STD, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """Maps behind conv1, and behind conv2 and its pooling."""
        x = self.act(self.conv1(x))
        maps = [x]
        if len(self.widths) > 1:
            maps.append(self.pool(self.act(self.conv2(self.drop1(x)))))
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Volumes [B, C, D, H, W] of the size built for to logits [B, K]."""
        x = self.drop2(self.features(x)[-1]).flatten(1)
        return self.fc2(self.drop3(self.relu(self.fc1(x))))


def build(request: Request) -> Backbone:
    """The net at the sizes asked for.

    Raises:
        ShapeError: a volume of which nothing is left behind the pooling.
    """
    check_size(request, STEPS, last="pool")
    return VoxNet(request)
