"""Residual networks with identity mappings: nothing stands on the sum between two blocks.

B batch, C channels, H W pixels. He, Zhang, Ren and Sun 2016, arXiv 1603.05027, fig. 4 (e): normalisation
and ReLU come before each convolution, and once more after the last block. Stride in the 3x3 and names of
the weights as in timm's `resnetv2`, but `conv1` for its `stem.conv` and `fc` for its `head.fc`.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.layers.pool import GlobalAvgPool
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request

STRIDE = 32  # of the last stage, and so the least side of a picture
MULTIPLE = 8  # widths are kept multiples of it, which fast kernels like
WIDTHS = (64, 128, 256, 512)


def conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> nn.Conv2d:
    """A convolution padded to keep the size at stride 1, without bias."""
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)


def projection(inputs: int, outputs: int, *, stride: int) -> nn.Sequential | None:
    """The 1x1 convolution of a shortcut whose size changes; None where it does not."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(OrderedDict(conv=conv(inputs, outputs, 1, stride=stride)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, each after normalisation and ReLU; a projection reads what the first one reads."""

    expansion = 1

    def __init__(self, inputs: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.downsample = projection(inputs, width, stride=stride)
        self.relu = nn.ReLU(inplace=True)
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, width, 3, stride=stride)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, width, H / stride, W / stride]."""
        y = self.relu(self.norm1(x))
        shortcut = x if self.downsample is None else self.downsample(y)
        y = self.relu(self.norm2(self.conv1(y)))
        return self.conv2(y).add_(shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, each after normalisation and ReLU."""

    expansion = 4

    def __init__(self, inputs: int, width: int, *, stride: int) -> None:
        super().__init__()
        outputs = self.expansion * width
        self.downsample = projection(inputs, outputs, stride=stride)
        self.relu = nn.ReLU(inplace=True)
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, width, 1)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride=stride)
        self.norm3 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, 4 width, H / stride, W / stride]."""
        y = self.relu(self.norm1(x))
        shortcut = x if self.downsample is None else self.downsample(y)
        y = self.relu(self.norm2(self.conv1(y)))
        y = self.relu(self.norm3(self.conv2(y)))
        return self.conv3(y).add_(shortcut)


@dataclass(frozen=True)
class Spec:
    """The block and how many of them stand in each of the four stages."""

    block: type[BasicBlock] | type[Bottleneck]
    depths: tuple[int, int, int, int]


SPECS = {
    "preresnet18": Spec(BasicBlock, (2, 2, 2, 2)),
    "preresnet34": Spec(BasicBlock, (3, 4, 6, 3)),
    "preresnet50": Spec(Bottleneck, (3, 4, 6, 3)),
    "preresnet101": Spec(Bottleneck, (3, 4, 23, 3)),
    "preresnet152": Spec(Bottleneck, (3, 8, 36, 3)),
}


class Stage(nn.Module):
    """Blocks in a row, the first of which takes `maps[0]` to `maps[1]` and changes the size."""

    def __init__(self, spec: Spec, index: int, maps: tuple[int, ...], width: int) -> None:
        super().__init__()
        first = spec.block(maps[0], width, stride=2 if index else 1)
        later = (spec.block(maps[1], width, stride=1) for _ in range(spec.depths[index] - 1))
        self.blocks = nn.Sequential(first, *later)

    def forward(self, x: Tensor) -> Tensor:
        """[B, maps[0], H, W] to [B, maps[1], H / stride, W / stride]."""
        return self.blocks(x)


class PreResNet(Backbone):
    """A 7x7 stem, four stages, normalisation and ReLU, the mean over each map, one linear layer."""

    strides = (4, 8, 16, 32)
    stem = "conv1"
    head = "fc"

    def __init__(self, spec: Spec, request: Request) -> None:
        super().__init__()
        widths = [request.scaled(width, multiple=MULTIPLE) for width in WIDTHS]
        self.input_shape = (request.in_channels, *request.size)
        self.widths = tuple(width * spec.block.expansion for width in widths)
        self.conv1 = conv(request.in_channels, widths[0], 7, stride=2)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        maps = (widths[0], *self.widths)
        self.stages = nn.ModuleList(Stage(spec, i, maps[i : i + 2], widths[i]) for i in range(4))
        self.norm = nn.BatchNorm2d(maps[-1])
        self.relu = nn.ReLU(inplace=True)
        self.avgpool = GlobalAvgPool()
        self.drop = dropout(request.number("drop_rate"))
        self.fc = nn.Linear(maps[-1], request.num_classes)

    def initialise(self, generator: torch.Generator) -> None:
        """He's for the convolutions; batch normalisation starts as the identity."""
        init.he(self, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """The sums at the end of each stage, the last one normalised and through ReLU as the head reads it."""
        x = self.pool(self.conv1(x))
        maps: list[Tensor] = []
        for stage in self.stages[: len(self.widths)]:
            x = stage(x)
            maps.append(x)
        if len(maps) == len(self.stages):
            maps[-1] = self.relu(self.norm(x))
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to logits [B, classes]."""
        return self.fc(self.drop(torch.flatten(self.avgpool(self.features(x)[-1]), 1)))


def build(request: Request) -> Backbone:
    """A row of `SPECS` at the sizes asked for; `width` rounds channels to multiples of 8.

    Raises:
        ShapeError: a picture smaller than the stride of the last stage.
    """
    request.check_least(STRIDE, f"the last stage has stride {STRIDE} and needs")
    return PreResNet(SPECS[request.name], request)
