"""Highway networks: each layer decides, unit by unit, how much it changes and how much it lets through.

B batch, C channels, H W pixels. Srivastava, Greff and Schmidhuber 2015, arXiv 1507.06228 (tables 1 and 2) and
1505.00387. y = T(x) H(x) + (1 - T(x)) x, with T a sigmoid whose bias starts below zero, so that at first a
deep net mostly carries. The papers print depths and rounded totals; the widths of the MNIST nets and of the
19-layer net are those of the authors' own network definitions (github.com/flukeskywalker/highway-networks),
those of the nets of 11 and 32 layers are a reconstruction, the plainest that meet the totals.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from striate.layers.pool import GlobalAvgPool
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request
from striate.shapes import out_size

MULTIPLE = 4  # maps are kept a multiple of it, which fast kernels like


class Highway(nn.Module):
    """y = T(x) H(x) + (1 - T(x)) x.

    Args:
        transform: makes a layer that keeps the size; called twice, for H and for the gate T.
        act: what H ends with.
    """

    def __init__(self, transform: Callable[[], nn.Module], act: nn.Module) -> None:
        super().__init__()
        self.transform, self.act, self.gate = transform(), act, transform()

    def forward(self, x: Tensor) -> Tensor:
        """As many numbers as `x` has, in its shape."""
        return torch.lerp(x, self.act(self.transform(x)), torch.sigmoid(self.gate(x)))


class Residual(nn.Module):
    """y = H(x) + x, the same without gates."""

    def __init__(self, transform: Callable[[], nn.Module], act: nn.Module) -> None:
        super().__init__()
        self.transform, self.act = transform(), act

    def forward(self, x: Tensor) -> Tensor:
        """As many numbers as `x` has, in its shape."""
        return x + self.act(self.transform(x))


class Plain(nn.Module):
    """y = H(x)."""

    def __init__(self, transform: Callable[[], nn.Module], act: nn.Module) -> None:
        super().__init__()
        self.transform, self.act = transform(), act

    def forward(self, x: Tensor) -> Tensor:
        """As many numbers as `x` has, in its shape."""
        return self.act(self.transform(x))


PATHS: dict[str, type[Highway] | type[Residual] | type[Plain]] = {
    "highway": Highway,
    "plain": Plain,
    "residual": Residual,
}
ACTS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": partial(nn.ReLU, inplace=True),
}


def start(net: nn.Module, carry_bias: float, generator: torch.Generator) -> None:
    """First weights that keep the variance; biases 0, those of the gates `carry_bias`.

    N residual layers share the variance that they add: their weights are divided by the root of N.
    """
    init.lecun(net, generator)
    sums = [layer for layer in net.modules() if isinstance(layer, Residual)]
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, Highway):
                layer.gate.get_parameter("bias").fill_(carry_bias)
        for layer in sums:
            layer.transform.get_parameter("weight").div_(math.sqrt(len(sums)))


@dataclass(frozen=True)
class Spec:
    """Maps and 3x3 layers of each of three stages, and what is around them.

    Attributes:
        digits: whether the first layer is 5x5 without padding, maxima overlap, and the last linear layer
            reads every pixel; else the first layer is as the others and maps are averaged.
        reduce: maps of a 1x1 convolution behind the last stage, 0 for none.
    """

    maps: tuple[int, int, int]
    layers: tuple[int, int, int]
    digits: bool = False
    reduce: int = 0


SPECS = {
    "highway_mnist_16": Spec((16, 16, 16), (3, 3, 3), digits=True),
    "highway_mnist_32": Spec((32, 32, 32), (3, 3, 3), digits=True),
    "highway_cifar_11": Spec((16, 32, 64), (3, 4, 3)),
    "highway_cifar_19": Spec((32, 80, 128), (5, 6, 6), reduce=100),
    "highway_cifar_32": Spec((32, 48, 64), (10, 10, 10), reduce=100),
}


def stage(plain: nn.Conv2d | None, maps: int, layers: int) -> nn.Sequential:
    """A plain layer where the number of maps changes, highway layers for the rest."""
    parts = OrderedDict[str, nn.Module]()
    if plain is not None:
        parts["conv"], parts["relu"] = plain, nn.ReLU(inplace=True)
    for i in range(1, layers + (plain is None)):
        transform = partial(nn.Conv2d, maps, maps, 3, padding=1)
        parts[f"highway{i}"] = Highway(transform, nn.ReLU(inplace=True))
    return nn.Sequential(parts)


class HighwayNet(Backbone):
    """Three stages with a maximum between them, what becomes of the last maps, one linear layer."""

    strides = (1, 2, 4)
    stem = "stages.0.conv"
    head = "fc"

    def __init__(self, spec: Spec, request: Request) -> None:
        super().__init__()
        self.carry_bias = request.number("carry_bias")
        self.input_shape = (request.in_channels, *request.size)
        self.widths = tuple(request.scaled(maps, multiple=MULTIPLE) for maps in spec.maps)
        first, second, third = self.widths
        kernel, padding = (5, 0) if spec.digits else (3, 1)
        plain = (
            nn.Conv2d(request.in_channels, first, kernel, padding=padding),
            None if spec.digits else nn.Conv2d(first, second, 3, padding=1),
            None if spec.digits else nn.Conv2d(second, third, 3, padding=1),
        )
        self.stages = nn.ModuleList(map(stage, plain, self.widths, spec.layers))
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True) if spec.digits else nn.MaxPool2d(2)
        self.drop = dropout(request.number("drop_rate"))
        reduce = request.scaled(spec.reduce, multiple=MULTIPLE) if spec.reduce else 0
        self.reduce = (
            nn.Sequential(nn.Conv2d(third, reduce, 1), nn.ReLU(inplace=True))
            if reduce
            else nn.Identity()
        )
        self.last = nn.MaxPool2d(2) if spec.digits else GlobalAvgPool()
        pixels = math.prod(grid(side) for side in request.size) if spec.digits else 1
        self.fc = nn.Linear((reduce or third) * pixels, request.num_classes)

    def initialise(self, generator: torch.Generator) -> None:
        """Uniform, such that the variance is kept; the gates mostly closed."""
        start(self, self.carry_bias, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps at the end of each stage."""
        maps: list[Tensor] = []
        for layers in self.stages[: len(self.widths)]:
            x = layers(self.drop(self.pool(maps[-1])) if maps else x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W], of the size it was built for if it is for digits, to logits [B, classes]."""
        x = self.last(self.reduce(self.features(x)[-1]))
        return self.fc(self.drop(torch.flatten(x, 1)))


def grid(side: int) -> int:
    """One side of the last maps of a picture of digits: 28 -> 24 -> 12 -> 6 -> 3."""
    side = out_size(side, kernel=5)
    for _ in range(2):
        side = out_size(side, kernel=3, stride=2, ceil_mode=True)
    return out_size(side, kernel=2, stride=2)


# --- fully connected -----------------------------------------------------------------------------

# A gate doubles the weights of a layer: so many units of the others have as many weights a layer.
UNITS = {"highway": 50, "plain": 71, "residual": 71}


class HighwayDense(Backbone):
    """One vector, a plain layer, `depth - 1` layers of one path (1505.00387, section 4), one linear layer."""

    stem = "fc1"
    head = "fc"

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.carry_bias = request.number("carry_bias")
        self.input_shape = (request.in_channels, *request.size)
        path, act = request.word("path"), ACTS[request.word("act")]
        units = request.scaled(UNITS[path])
        # Hidden units see every pixel: as maps they are 1x1, one stride of the longer side apart.
        self.widths, self.strides = (units,), (max(request.size),)
        self.fc1 = nn.Linear(math.prod(self.input_shape), units)
        self.act = act()
        transform = partial(nn.Linear, units, units)
        self.layers = nn.Sequential(
            *(PATHS[path](transform, act()) for _ in range(request.count("depth") - 1))
        )
        self.drop = dropout(request.number("drop_rate"))
        self.fc = nn.Linear(units, request.num_classes)

    def initialise(self, generator: torch.Generator) -> None:
        """Uniform, such that the variance is kept; the gates mostly closed."""
        start(self, self.carry_bias, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """The last hidden layer as [B, units, 1, 1]."""
        return [self._hidden(x)[:, :, None, None]]

    def _hidden(self, x: Tensor) -> Tensor:
        return self.layers(self.act(self.fc1(torch.flatten(x, 1))))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W], of the size it was built for, to logits [B, classes]."""
        return self.fc(self.drop(self._hidden(x)))


def build(request: Request) -> Backbone:
    """The net at the sizes asked for; `highway_fc` is the row of the catalogue that has a depth.

    Raises:
        ShapeError: a picture of which nothing is left behind the last maximum.
    """
    if "depth" in request.options:
        return HighwayDense(request)
    spec = SPECS[request.name]
    request.check_least(12 if spec.digits else 4, "the last maximum needs")
    return HighwayNet(spec, request)
