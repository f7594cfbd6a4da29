"""Densely connected networks: every layer reads the maps of all layers before it in its block.

B batch, C channels, H W pixels, k maps that a layer adds. Huang, Liu, van der Maaten and Weinberger 2017,
arXiv 1608.06993: table 1 for ImageNet, section 3 for CIFAR-10. Names of the weights as in torchvision.
Recomputing what is cheap in the backward pass: Pleiss et al. 2017, arXiv 1707.06990.
"""

from collections import OrderedDict
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from striate.layers.pool import GlobalAvgPool
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request

MULTIPLE = 4  # k is kept a multiple of it, which fast kernels like


def conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> nn.Conv2d:
    """A convolution padded to keep the size at stride 1; no bias, as normalisation follows somewhere."""
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)


class DenseLayer(nn.Module):
    """Normalisation, ReLU and a 3x3 convolution to k maps; a bottleneck (B) puts a 1x1 to 4 k maps before it."""

    def __init__(self, inputs: int, growth: int, *, bottleneck: bool, drop_rate: float) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        self.norm1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU(inplace=True)
        if bottleneck:
            self.conv1 = conv(inputs, 4 * growth, 1)
            self.norm2 = nn.BatchNorm2d(4 * growth)
            self.relu2 = nn.ReLU(inplace=True)
            self.conv2 = conv(4 * growth, growth, 3)
        else:
            self.conv1 = conv(inputs, growth, 3)
        self.drop = dropout(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """All maps so far [B, inputs, H, W] to the new ones [B, k, H, W]."""
        return self.finish(self.begin(x))

    def begin(self, *maps: Tensor) -> Tensor:
        """The first convolution, of one map of all channels or of several that have them together."""
        x = maps[0] if len(maps) == 1 else torch.cat(maps, 1)
        return self.conv1(self.relu1(self.norm1(x)))

    def finish(self, y: Tensor) -> Tensor:
        """What comes after the first convolution."""
        return self.drop(self.conv2(self.relu2(self.norm2(y))) if self.bottleneck else y)


class DenseBlock(nn.ModuleDict):
    """Layers that each add k maps to what they read.

    Args:
        layers: in turn.
        recompute: whether the backward pass computes joined and normalised maps again, instead of
            keeping them: memory grows with the number of layers, no longer with its square.
    """

    def __init__(self, layers: list[DenseLayer], *, recompute: bool) -> None:
        super().__init__(
            OrderedDict((f"denselayer{i}", layer) for i, layer in enumerate(layers, start=1))
        )
        self.recompute = recompute

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C + layers k, H, W]."""
        layers = cast("list[DenseLayer]", list(self.values()))
        # A compiler chooses by itself what to keep.
        again = self.recompute and torch.is_grad_enabled() and not torch.compiler.is_compiling()
        return recomputed(layers, x) if again else joined(layers, x)


def joined(layers: list[DenseLayer], x: Tensor) -> Tensor:
    """Each layer's maps behind those it read: one joint of two tensors, and one gradient to add, a layer."""
    for layer in layers:
        x = torch.cat([x, layer(x)], 1)
    return x


Context = AbstractContextManager[None]


def recomputed(layers: list[DenseLayer], x: Tensor) -> Tensor:
    """As `joined`, keeping for each layer its new maps and its first convolution alone."""
    maps = [x]
    for layer in layers:

        def twice(norm: nn.BatchNorm2d = layer.norm1) -> tuple[Context, Context]:
            return nullcontext(), statistics_kept(norm)

        y = checkpoint(
            layer.begin, *maps, use_reentrant=False, preserve_rng_state=False, context_fn=twice
        )
        maps.append(layer.finish(y))
    return torch.cat(maps, 1)


@contextmanager
def statistics_kept(norm: nn.BatchNorm2d) -> Generator[None]:
    """Inside, training leaves the running statistics alone: a second look at a batch is not a second batch."""
    momentum, batches = norm.momentum, norm.num_batches_tracked
    norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        norm.momentum, norm.num_batches_tracked = momentum, batches


class Transition(nn.Sequential):
    """Between two blocks: normalisation, ReLU, a 1x1 convolution and 2x2 averages."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            OrderedDict(
                norm=nn.BatchNorm2d(inputs),
                relu=nn.ReLU(inplace=True),
                conv=conv(inputs, outputs, 1),
                pool=nn.AvgPool2d(2),
            )
        )


@dataclass(frozen=True)
class Spec:
    """Layers of each block, k, maps before the first block, and what differs between the two data sets."""

    layers: tuple[int, ...]
    growth: int = 32
    first: int = 64
    bottleneck: bool = True
    compression: float = 0.5
    strides: tuple[int, ...] = (4, 8, 16, 32)


SPECS = {
    "densenet121": Spec((6, 12, 24, 16)),
    "densenet161": Spec((6, 12, 36, 24), growth=48, first=96),
    "densenet169": Spec((6, 12, 32, 32)),
    "densenet201": Spec((6, 12, 48, 32)),
    "densenet264": Spec((6, 12, 64, 48)),
    "densenet40_cifar": Spec(
        (12, 12, 12), growth=12, first=16, bottleneck=False, compression=1, strides=(1, 2, 4)
    ),
    "densenet100bc_cifar": Spec((16, 16, 16), growth=12, first=24, strides=(1, 2, 4)),
}


class Maps(nn.ModuleDict):
    """All layers before the classifier; gives the maps of each block, the last normalised and through ReLU."""

    def __init__(self, spec: Spec, request: Request) -> None:
        growth = request.scaled(spec.growth, multiple=MULTIPLE)
        channels = request.scaled(spec.first, multiple=MULTIPLE)
        layers = stem(request.in_channels, channels, large=spec.strides[0] == 4)
        widths: list[int] = []
        for i, count in enumerate(spec.layers, start=1):
            dense = [
                DenseLayer(
                    channels + j * growth,
                    growth,
                    bottleneck=spec.bottleneck,
                    drop_rate=request.number("drop_rate"),
                )
                for j in range(count)
            ]
            layers[f"denseblock{i}"] = DenseBlock(dense, recompute=request.flag("recompute"))
            channels += count * growth
            widths.append(channels)
            if i < len(spec.layers):
                outputs = int(channels * spec.compression)
                layers[f"transition{i}"] = Transition(channels, outputs)
                channels = outputs
        layers[f"norm{len(spec.layers) + 1}"] = nn.BatchNorm2d(channels)
        layers[f"relu{len(spec.layers) + 1}"] = nn.ReLU(inplace=True)
        super().__init__(layers)
        self.widths, self.blocks = tuple(widths), len(widths)

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B, C, H, W] to the maps of each resolution."""
        maps: list[Tensor] = []
        for layer in self.values():
            x = layer(x)
            if isinstance(layer, DenseBlock):
                maps.append(x)
                if len(maps) == self.blocks < len(self.widths):
                    return maps
        return [*maps[:-1], x]


def stem(inputs: int, outputs: int, *, large: bool) -> OrderedDict[str, nn.Module]:
    """The layers before the first block: for ImageNet they divide the size by four, for CIFAR-10 they keep it."""
    if not large:
        return OrderedDict(conv0=conv(inputs, outputs, 3))
    return OrderedDict(
        conv0=conv(inputs, outputs, 7, stride=2),
        norm0=nn.BatchNorm2d(outputs),
        relu0=nn.ReLU(inplace=True),
        pool0=nn.MaxPool2d(3, stride=2, padding=1),
    )


class DenseNet(Backbone):
    """Dense blocks with transitions between them, the mean over each map, one linear layer."""

    stem = "features.conv0"
    head = "classifier"

    def __init__(self, spec: Spec, request: Request) -> None:
        super().__init__()
        self.input_shape = (request.in_channels, *request.size)
        self.strides = spec.strides
        maps = Maps(spec, request)
        self.widths = maps.widths
        # Not by assignment: the name belongs to the property below, which only reads.
        self._modules["features"] = maps
        self.avgpool = GlobalAvgPool()
        self.classifier = nn.Linear(self.widths[-1], request.num_classes)

    @property
    def features(self) -> Maps:  # pyright: ignore[reportIncompatibleMethodOverride] - called alike
        """The layers before the classifier; called, they give the output of each block."""
        return cast("Maps", self._modules["features"])

    def keep_maps(self, count: int) -> None:
        """As every net; the last block kept is followed by nothing."""
        super().keep_maps(count)
        self.features.blocks = count

    def initialise(self, generator: torch.Generator) -> None:
        """He's for the convolutions; batch normalisation starts as the identity."""
        init.he(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to logits [B, classes]."""
        return self.classifier(torch.flatten(self.avgpool(self.features(x)[-1]), 1))


def build(request: Request) -> Backbone:
    """A row of `SPECS` at the sizes asked for; `width` scales k and the maps of the first convolution.

    Raises:
        ShapeError: a picture smaller than the stride of the last block.
    """
    spec = SPECS[request.name]
    least = spec.strides[-1]
    request.check_least(least, f"denseblock{len(spec.layers)} has stride {least} and needs")
    return DenseNet(spec, request)
