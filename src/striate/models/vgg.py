"""VGG: stacks of 3x3 convolutions between five poolings that halve the maps, and three linear layers.

B batch, C channels, H W pixels. Simonyan and Zisserman 2014, arXiv 1409.1556, table 1; names of the
weights as in torchvision, which feeds the linear layers 7x7 maps whatever the picture's size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.layers.norm import LocalResponseNorm
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request
from striate.models.stages import Staged, Stages, Step, check_size

MULTIPLE = 8  # widths are kept multiples of it, which fast kernels like
WIDTHS = (64, 128, 256, 512, 512)  # maps of each of the five stacks
UNITS = 4096  # of each hidden linear layer
GRID = 7  # side of the maps that the linear layers read


@dataclass(frozen=True)
class Spec:
    """A column of table 1.

    Attributes:
        kernels: sides of the kernels in each stack.
        norm: "batch" behind every convolution, "response" behind the first, or none.
    """

    kernels: tuple[tuple[int, ...], ...]
    norm: str = ""


A = ((3,), (3,), (3, 3), (3, 3), (3, 3))
B = ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3))
C = ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1))
D = ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
E = ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3))

SPECS = {
    "vgg11": Spec(A),
    "vgg11_lrn": Spec(A, norm="response"),
    "vgg13": Spec(B),
    "vgg16_1x1": Spec(C),
    "vgg16": Spec(D),
    "vgg19": Spec(E),
    "vgg11_bn": Spec(A, norm="batch"),
    "vgg13_bn": Spec(B, norm="batch"),
    "vgg16_bn": Spec(D, norm="batch"),
    "vgg19_bn": Spec(E, norm="batch"),
}


class VGG(Staged):
    """Five stacks in `features`, their maps brought to 7x7, three linear layers in `classifier`."""

    strides = (2, 4, 8, 16, 32)
    stem = "features.0"
    head = "classifier.6"

    def __init__(self, spec: Spec, request: Request) -> None:
        widths = tuple(request.scaled(width, multiple=MULTIPLE) for width in WIDTHS)
        inputs = (request.in_channels, *widths)
        stacks = [
            stack(kernels, inputs[i], widths[i], batch_norm=spec.norm == "batch")
            for i, kernels in enumerate(spec.kernels)
        ]
        if spec.norm == "response":
            stacks[0].insert(2, LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2, window="sum"))
        super().__init__(Stages(stacks))
        self.input_shape = (request.in_channels, *request.size)
        self.widths = widths
        self.avgpool = nn.AdaptiveAvgPool2d(GRID)
        units, rate = request.scaled(UNITS, multiple=MULTIPLE), request.number("drop_rate")
        self.classifier = nn.Sequential(
            nn.Linear(widths[-1] * GRID**2, units),
            nn.ReLU(inplace=True),
            dropout(rate),
            nn.Linear(units, units),
            nn.ReLU(inplace=True),
            dropout(rate),
            nn.Linear(units, request.num_classes),
        )

    def initialise(self, generator: torch.Generator) -> None:
        """As torchvision: He's for the convolutions, N(0, 0.01) for the linear layers, biases 0.

        The paper trains A from N(0, 0.1) and begins the deeper ones with A's layers.
        """
        init.he(self.features, generator)
        init.gaussian(self.classifier, generator, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to logits [B, classes]."""
        return self.classifier(torch.flatten(self.avgpool(self.features(x)[-1]), 1))


def stack(
    kernels: tuple[int, ...], inputs: int, width: int, *, batch_norm: bool
) -> list[nn.Module]:
    """Convolutions that keep the size, each with its ReLU, and the pooling behind them."""
    layers: list[nn.Module] = []
    for kernel in kernels:
        layers.append(nn.Conv2d(inputs, width, kernel, padding=kernel // 2))
        if batch_norm:
            layers.append(nn.BatchNorm2d(width))
        layers.append(nn.ReLU(inplace=True))
        inputs = width
    return [*layers, nn.MaxPool2d(2)]


def build(request: Request) -> Backbone:
    """A row of `SPECS` at the sizes asked for; `width` rounds channels and units to multiples of 8.

    Raises:
        ShapeError: a picture smaller than the stride of the last maps.
    """
    check_size(request, [Step(2, 2)] * len(WIDTHS), last="the fifth pooling")
    return VGG(SPECS[request.name], request)
