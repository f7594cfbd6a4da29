"""Residual networks for ImageNet: every block adds its input to its output.

B batch, C channels, H W pixels. He, Zhang, Ren and Sun 2015, arXiv 1512.03385, table 1; names of the
weights as in torchvision, stride in the 3x3 convolution, projections (option B) where sizes change.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.facts import Request

STRIDE = 32  # of the last stage, and so the least side of a picture
MULTIPLE = 8  # widths are kept multiples of it, which fast kernels like


def conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> nn.Conv2d:
    """A convolution padded to keep the size at stride 1; no bias, as batch normalisation follows."""
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut: fig. 5, left."""

    expansion = 1

    def __init__(self, inputs: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(inputs, width, 3, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = projection(inputs, width, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, width, H / stride, W / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y.add_(shortcut))


def projection(inputs: int, outputs: int, *, stride: int) -> nn.Sequential | None:
    """The 1x1 convolution of a shortcut whose size changes; None where it does not."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(conv(inputs, outputs, 1, stride=stride), nn.BatchNorm2d(outputs))


def stage(
    block: type[BasicBlock], depth: int, inputs: int, width: int, *, stride: int
) -> nn.Sequential:
    """`depth` blocks, the first of which changes the width and the size."""
    outputs = width * block.expansion
    later = [block(outputs, width, stride=1) for _ in range(depth - 1)]
    return nn.Sequential(block(inputs, width, stride=stride), *later)


@dataclass(frozen=True)
class Spec:
    """The block and how many of them stand in each of the four stages."""

    block: type[BasicBlock]
    depths: tuple[int, int, int, int]
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)


SPECS = {"resnet18": Spec(block=BasicBlock, depths=(2, 2, 2, 2))}


class ResNet(Backbone):
    """A 7x7 stem, four stages of residual blocks, the mean over each map, one linear layer."""

    strides = (4, 8, 16, 32)
    stem = "conv1"
    head = "fc"

    def __init__(self, spec: Spec, request: Request) -> None:
        super().__init__()
        widths = [request.scaled(width, multiple=MULTIPLE) for width in spec.widths]
        self.input_shape = (request.in_channels, *request.size)
        self.widths = tuple(width * spec.block.expansion for width in widths)
        self.conv1 = conv(request.in_channels, widths[0], 7, stride=2)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = (widths[0], *self.widths)
        self.layer1 = stage(spec.block, spec.depths[0], inputs[0], widths[0], stride=1)
        self.layer2 = stage(spec.block, spec.depths[1], inputs[1], widths[1], stride=2)
        self.layer3 = stage(spec.block, spec.depths[2], inputs[2], widths[2], stride=2)
        self.layer4 = stage(spec.block, spec.depths[3], inputs[3], widths[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.drop = dropout(request.number("drop_rate"))
        self.fc = nn.Linear(self.widths[-1], request.num_classes)

    def initialise(self, generator: torch.Generator) -> None:
        """He's for the convolutions; batch normalisation starts as the identity."""
        init.he(self, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """The output of each stage, at strides 4, 8, 16 and 32."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        maps: list[Tensor] = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to logits [B, classes]."""
        return self.fc(self.drop(torch.flatten(self.avgpool(self.features(x)[-1]), 1)))


def build(request: Request) -> Backbone:
    """A row of `SPECS` at the sizes asked for; `width` rounds channels to multiples of 8.

    Raises:
        ShapeError: a picture smaller than the stride of the last stage.
    """
    height, width = request.size
    if min(height, width) < STRIDE:
        raise ShapeError(
            f"{request.name}: layer4 has stride {STRIDE} and needs pictures of at least "
            f"{STRIDE}x{STRIDE}; got {height}x{width}; enlarge them with size={STRIDE}"
        )
    return ResNet(SPECS[request.name], request)
