"""The columns of a multi-column deep net for handwritten digits: two convolutions, two maxima, two linear layers.

B batch, C channels, H W pixels. Ciresan, Meier and Schmidhuber 2012, arXiv 1202.2745, section 3.1:
1x29x29-20C4-MP2-40C5-MP3-150N-10N, scaled tanh behind convolutions and the hidden layer (section 2). Thirty-five of
them, averaged, have an error of 0.23 % on MNIST.
"""

import torch
from torch import Tensor, nn

from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request
from striate.models.stages import Step, check_size, sides
from striate.ops.activation import scaled_tanh

STEPS = (Step(4), Step(2, 2), Step(5), Step(3, 3))
MAPS, UNITS = (20, 40), 150


class ScaledTanh(nn.Module):
    """1.7159 tanh(2x / 3)."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return scaled_tanh(x)


ACTS = {"scaled_tanh": ScaledTanh, "tanh": nn.Tanh, "relu": nn.ReLU}


class Column(Backbone):
    """conv1 (4x4), a maximum of 2x2, conv2 (5x5), a maximum of 3x3, fc1, fc2."""

    strides = (2, 6)
    stem = "conv1"
    head = "fc2"

    def __init__(self, request: Request) -> None:
        super().__init__()
        act = ACTS[request.word("act")]
        self.input_shape = (request.in_channels, *request.size)
        self.widths = (request.scaled(MAPS[0]), request.scaled(MAPS[1]))
        height, width = (sides(side, STEPS)[-1] for side in request.size)
        units = request.scaled(UNITS)
        # The maximum is taken first: the activation is monotone, so the values are the same for a fraction of the work.
        self.conv1, self.pool1 = nn.Conv2d(request.in_channels, self.widths[0], 4), nn.MaxPool2d(2)
        self.act1 = act()
        self.conv2, self.pool2 = nn.Conv2d(*self.widths, 5), nn.MaxPool2d(3)
        self.act2 = act()
        self.fc1, self.act3 = nn.Linear(self.widths[1] * height * width, units), act()
        self.drop = dropout(request.number("drop_rate"))
        self.fc2 = nn.Linear(units, request.num_classes)

    def initialise(self, generator: torch.Generator) -> None:
        """Uniform in +-0.05, as section 3 has it; biases too."""
        for parameter in self.parameters():
            init.uniform(parameter, 0.05, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """Maps after each maximum: [B, 20, 13, 13] and [B, 40, 3, 3]."""
        fine = self.act1(self.pool1(self.conv1(x)))
        return [fine, self.act2(self.pool2(self.conv2(fine)))]

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W], of the size it was built for, to logits [B, classes]."""
        x = torch.flatten(self.features(x)[-1], 1)
        return self.fc2(self.drop(self.act3(self.fc1(x))))


def build(request: Request) -> Backbone:
    """The net at the sizes asked for.

    Raises:
        ShapeError: a picture of which nothing is left behind the second maximum.
    """
    check_size(request, STEPS, last="pool2")
    return Column(request)
