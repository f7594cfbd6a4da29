"""A fully convolutional ResNet-50 of stride 8: the last two stages are dilated instead of strided.

B batch, C channels, H W pixels, K classes. The net of Long, Shelhamer and Darrell 2015, arXiv 1411.4038, on
the residual net of He et al. 2015, arXiv 1512.03385, as torchvision distributes it, names of the weights
included; dilation after Yu and Koltun 2016, arXiv 1511.07122.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.resnet import MULTIPLE, Bottleneck, conv
from striate.models.row_types import Request

EXPANSION = 4
AUXILIARY = 0.5  # weight of the loss of the auxiliary head, as in torchvision's training


@dataclass(frozen=True)
class Stage:
    """Blocks of one width. The first has the stride and the dilation of the stage before."""

    depth: int
    width: int
    stride: int
    dilations: tuple[int, int]


STAGES = (
    Stage(depth=3, width=64, stride=1, dilations=(1, 1)),
    Stage(depth=4, width=128, stride=2, dilations=(1, 1)),
    Stage(depth=6, width=256, stride=1, dilations=(1, 2)),
    Stage(depth=3, width=512, stride=1, dilations=(2, 4)),
)


def blocks(stage: Stage, inputs: int, width: int) -> nn.Sequential:
    """The blocks of one stage."""
    first, later = stage.dilations
    others = [
        Bottleneck(EXPANSION * width, width, stride=1, dilation=later)
        for _ in range(stage.depth - 1)
    ]
    return nn.Sequential(Bottleneck(inputs, width, stride=stage.stride, dilation=first), *others)


class Trunk(nn.Module):
    """ResNet-50 without its linear layer."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        stem = request.scaled(STAGES[0].width, multiple=MULTIPLE)
        self.conv1 = conv(request.in_channels, stem, 7, stride=2)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        widths = [request.scaled(stage.width, multiple=MULTIPLE) for stage in STAGES]
        inputs = (widths[0], *(EXPANSION * width for width in widths))
        self.layer1 = blocks(STAGES[0], inputs[0], widths[0])
        self.layer2 = blocks(STAGES[1], inputs[1], widths[1])
        self.layer3 = blocks(STAGES[2], inputs[2], widths[2])
        self.layer4 = blocks(STAGES[3], inputs[3], widths[3])

    def forward(self, x: Tensor) -> list[Tensor]:
        """The output of each stage, at strides 4, 8, 8 and 8."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        maps: list[Tensor] = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            maps.append(x)
        return maps


class Head(nn.Sequential):
    """A 3x3 convolution to a quarter of the maps, then a 1x1 convolution to the classes."""

    def __init__(self, inputs: int, num_classes: int, *, drop_rate: float) -> None:
        width = inputs // 4
        super().__init__(
            conv(inputs, width, 3),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            dropout(drop_rate),
            nn.Conv2d(width, num_classes, 1),
        )


class FCNResNet(Backbone):
    """The trunk, a head on its last maps, an auxiliary head on those of the stage before."""

    strides = (4, 8, 8, 8)
    stem = "backbone.conv1"
    head = "classifier.4"
    auxiliary_heads = ("aux_classifier.4",)
    backbone_name = "resnet50"

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.input_shape = (request.in_channels, *request.size)
        widths = (request.scaled(stage.width, multiple=MULTIPLE) for stage in STAGES)
        self.widths = tuple(EXPANSION * width for width in widths)
        rate, classes = request.number("drop_rate"), request.num_classes
        self.backbone = Trunk(request)
        self.classifier = Head(self.widths[3], classes, drop_rate=rate)
        self.aux_classifier = None
        if request.flag("auxiliary"):
            self.aux_classifier = Head(self.widths[2], classes, drop_rate=rate)
        else:
            self.auxiliary_heads = ()

    def initialise(self, generator: torch.Generator) -> None:
        """He's for the trunk, PyTorch's default for the heads."""
        init.he(self.backbone, generator)
        init.as_torch(self.classifier, generator)
        if self.aux_classifier is not None:
            init.as_torch(self.aux_classifier, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """The output of each stage, at strides 4, 8, 8 and 8."""
        return self.backbone(x)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] of any size to logits [B, K, H, W]."""
        return _enlarged(self.classifier(self.backbone(x)[3]), x)

    def objective(
        self, x: Tensor, target: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The answer, and its loss plus half the auxiliary head's."""
        maps = self.backbone(x)
        answer = _enlarged(self.classifier(maps[3]), x)
        value = loss(answer, target)
        if self.aux_classifier is not None:
            value = value + AUXILIARY * loss(_enlarged(self.aux_classifier(maps[2]), x), target)
        return answer, value


def _enlarged(scores: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(scores, size=like.shape[2:], mode="bilinear", align_corners=False)


def build(request: Request) -> Backbone:
    """The net at the sizes asked for; any picture fits. `width` rounds channels to multiples of 8."""
    return FCNResNet(request)
