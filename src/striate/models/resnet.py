"""Residual networks: every block adds its input to its output.

B batch, C channels, H W pixels. He, Zhang, Ren and Sun 2015, arXiv 1512.03385: table 1 for ImageNet,
section 4.2 for CIFAR-10. Names of the weights as in torchvision; projections (option B) where sizes change.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.layers.pool import GlobalAvgPool
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request

MULTIPLE = 8  # widths are kept multiples of it, which fast kernels like


def conv(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1
) -> nn.Conv2d:
    """A convolution padded to keep the size at stride 1; no bias, as batch normalisation follows."""
    padding = dilation * (kernel // 2)
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)


class Padding(nn.Module):
    """A shortcut without weights (option A): every `stride`-th pixel, and zeros for the maps that are new."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.new, self.stride = outputs - inputs, stride

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""
        # A pooling of single cells: the gradient of a slice would be a map with channels outermost.
        return F.pad(F.avg_pool2d(x, 1, self.stride), (0, 0, 0, 0, 0, self.new))


def projection(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    """A shortcut by a 1x1 convolution (option B)."""
    return nn.Sequential(conv(inputs, outputs, 1, stride=stride), nn.BatchNorm2d(outputs))


Shortcut = Callable[..., nn.Module]
SHORTCUTS: dict[str, Shortcut] = {"projection": projection, "padding": Padding}


class PlainBlock(nn.Module):
    """Two 3x3 convolutions without a shortcut: the plain nets of section 4.2, whose training error grows with depth."""

    def __init__(self, inputs: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(inputs, width, 3, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, width, H / stride, W / stride]."""
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut: fig. 5, left."""

    def __init__(
        self, inputs: int, width: int, *, stride: int, shortcut: Shortcut = projection
    ) -> None:
        super().__init__()
        self.conv1 = conv(inputs, width, 3, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        changed = stride > 1 or inputs != width
        self.downsample = shortcut(inputs, width, stride=stride) if changed else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, width, H / stride, W / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y.add_(shortcut))


class Bottleneck(nn.Module):
    """A 1x1 convolution to fewer maps, a 3x3 among them and a 1x1 to four times as many: fig. 5, right.

    The paper puts the stride into the first 1x1 (`early`); the weights that people have put it into the 3x3.
    """

    def __init__(
        self, inputs: int, width: int, *, stride: int, early: bool = False, dilation: int = 1
    ) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1 = conv(inputs, width, 1, stride=stride if early else 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride=1 if early else stride, dilation=dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        changed = stride > 1 or inputs != outputs
        self.downsample = projection(inputs, outputs, stride=stride) if changed else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, 4 width, H / stride, W / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y.add_(shortcut))


Block = Callable[..., nn.Module]


@dataclass(frozen=True)
class Spec:
    """The block, what it multiplies its width by, and how many stand in each stage."""

    block: Block
    depths: tuple[int, ...]
    expansion: int = 1
    widths: tuple[int, ...] = (64, 128, 256, 512)
    strides: tuple[int, ...] = (4, 8, 16, 32)


def bottlenecks(*depths: int, early: bool = False) -> Spec:
    """A row of the deeper nets."""
    return Spec(partial(Bottleneck, early=early), depths, expansion=4)


def cifar(depth: int) -> Spec:
    """Section 4.2: 6n + 2 layers with weights, n blocks in each of three stages."""
    depths = ((depth - 2) // 6,) * 3
    return Spec(BasicBlock, depths, widths=(16, 32, 64), strides=(1, 2, 4))


SPECS = {
    "resnet18": Spec(BasicBlock, (2, 2, 2, 2)),
    "resnet34": Spec(BasicBlock, (3, 4, 6, 3)),
    "resnet50": bottlenecks(3, 4, 6, 3),
    "resnet101": bottlenecks(3, 4, 23, 3),
    "resnet152": bottlenecks(3, 8, 36, 3),
    "resnet50_v1": bottlenecks(3, 4, 6, 3, early=True),
    "resnet101_v1": bottlenecks(3, 4, 23, 3, early=True),
    "resnet152_v1": bottlenecks(3, 8, 36, 3, early=True),
    "resnet20_cifar": cifar(20),
    "resnet32_cifar": cifar(32),
    "resnet44_cifar": cifar(44),
    "resnet56_cifar": cifar(56),
    "resnet110_cifar": cifar(110),
}


def stage(
    block: Block, depth: int, maps: tuple[int, ...], width: int, *, stride: int
) -> nn.Sequential:
    """`depth` blocks, the first of which takes `maps[0]` to `maps[1]` and changes the size."""
    first = block(maps[0], width, stride=stride)
    return nn.Sequential(first, *(block(maps[1], width, stride=1) for _ in range(depth - 1)))


class ResNet(Backbone):
    """A stem, stages of residual blocks, the mean over each map, one linear layer.

    The stem for ImageNet is a 7x7 convolution and a maximum, which together divide the size by four; for
    CIFAR-10 a 3x3 convolution that keeps it.
    """

    stem = "conv1"
    head = "fc"

    def __init__(self, spec: Spec, request: Request) -> None:
        super().__init__()
        widths = [request.scaled(width, multiple=MULTIPLE) for width in spec.widths]
        self.input_shape = (request.in_channels, *request.size)
        self.widths = tuple(width * spec.expansion for width in widths)
        self.strides = spec.strides
        large = spec.strides[0] == 4
        self.conv1 = conv(
            request.in_channels, widths[0], 7 if large else 3, stride=2 if large else 1
        )
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if large else nn.Identity()
        block = spec.block
        if request.options.get("path") == "plain":
            block = PlainBlock
        elif "shortcut" in request.options:
            block = partial(block, shortcut=SHORTCUTS[request.word("shortcut")])
        inputs = (widths[0], *self.widths)
        for i, depth in enumerate(spec.depths):
            layer = stage(block, depth, inputs[i : i + 2], widths[i], stride=2 if i else 1)
            self.add_module(f"layer{i + 1}", layer)
        self.avgpool = GlobalAvgPool()
        self.drop = dropout(request.number("drop_rate"))
        self.fc = nn.Linear(self.widths[-1], request.num_classes)

    def initialise(self, generator: torch.Generator) -> None:
        """He's for the convolutions; batch normalisation starts as the identity."""
        init.he(self, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """The output of each stage: at strides 4, 8, 16 and 32, or 1, 2 and 4 for CIFAR-10."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        maps: list[Tensor] = []
        for i in range(len(self.widths)):
            x = getattr(self, f"layer{i + 1}")(x)
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
    spec = SPECS[request.name]
    least = spec.strides[-1]
    request.check_least(least, f"layer{len(spec.depths)} has stride {least} and needs")
    return ResNet(spec, request)
