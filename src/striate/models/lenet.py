"""LeNet-5 as it is used today: two convolutions, two poolings, three linear layers.

B batch, C channels, H W pixels. LeCun, Bottou, Bengio and Haffner 1998, doi 10.1109/5.726791, fig. 2,
without its connection table, its trained subsampling and its RBF outputs. With `batch_norm`, which is of Ioffe and
Szegedy 2015, arXiv 1502.03167, every layer but the last is normalised before its activation (section 3.2).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.layers.pool import HalvingMaxPool2d
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request

ACTS = {"relu": lambda: nn.ReLU(inplace=True), "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
POOLS = {"max": HalvingMaxPool2d, "avg": lambda: nn.AvgPool2d(2)}
# The paper pads its 28x28 digits to 32x32 before the first convolution; here conv1 does.
PADDING: dict[tuple[int, ...], int] = {(28, 28): 2, (32, 32): 0}


@dataclass(frozen=True)
class Spec:
    """Maps of the two convolutions and units of the two hidden linear layers."""

    maps: tuple[int, int]
    units: tuple[int, int]


SPECS = {"lenet5": Spec(maps=(6, 16), units=(120, 84))}


class LeNet(Backbone):
    """conv1, conv2 (5x5, each followed by 2x2 pooling and an activation), fc1, fc2, fc3."""

    strides = (2, 4)
    stem = "conv1"
    head = "fc3"

    def __init__(self, spec: Spec, request: Request) -> None:
        super().__init__()
        act, pool = ACTS[request.word("act")], POOLS[request.word("pool")]
        # Every activation offered is monotone, so it commutes with the maximum: pooling first gives
        # the same values for a quarter of the activation work. With averages the order matters.
        self.pools_first = request.word("pool") == "max"
        self.input_shape = (request.in_channels, *request.size)
        self.widths = tuple(request.scaled(maps) for maps in spec.maps)
        units = tuple(request.scaled(n) for n in spec.units)
        norm = request.flag("batch_norm")
        padding = PADDING[request.size]
        self.conv1 = conv(request.in_channels, self.widths[0], padding=padding, norm=norm)
        self.pool1, self.act1 = pool(), act()
        self.norm1 = nn.BatchNorm2d(self.widths[0]) if norm else nn.Identity()
        self.conv2 = conv(self.widths[0], self.widths[1], norm=norm)
        self.norm2 = nn.BatchNorm2d(self.widths[1]) if norm else nn.Identity()
        self.pool2, self.act2 = pool(), act()
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(self.widths[1] * 25, units[0], bias=not norm)
        self.norm3 = nn.BatchNorm1d(units[0]) if norm else nn.Identity()
        self.act3 = act()
        self.fc2 = nn.Linear(units[0], units[1], bias=not norm)
        self.norm4 = nn.BatchNorm1d(units[1]) if norm else nn.Identity()
        self.act4 = act()
        self.drop = dropout(request.number("drop_rate"))
        self.fc3 = nn.Linear(units[1], request.num_classes)

    def initialise(self, generator: torch.Generator) -> None:
        """PyTorch's default."""
        init.as_torch(self, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """Maps after each pooling: [B, 6, 14, 14] and [B, 16, 5, 5]."""
        fine = self._reduce(self.norm1(self.conv1(x)), self.pool1, self.act1)
        return [fine, self._reduce(self.norm2(self.conv2(fine)), self.pool2, self.act2)]

    def _reduce(self, x: Tensor, pool: nn.Module, act: nn.Module) -> Tensor:
        return act(pool(x)) if self.pools_first else pool(act(x))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, 28, 28] or [B, C, 32, 32], as built, to logits [B, classes]."""
        x = self.flatten(self.features(x)[-1])
        x = self.act3(self.norm3(self.fc1(x)))
        return self.fc3(self.drop(self.act4(self.norm4(self.fc2(x)))))


def conv(inputs: int, outputs: int, *, padding: int = 0, norm: bool) -> nn.Conv2d:
    """5x5; without a bias where normalisation takes it away again."""
    return nn.Conv2d(inputs, outputs, 5, padding=padding, bias=not norm)


def build(request: Request) -> Backbone:
    """A row of `SPECS` at the sizes asked for.

    Raises:
        ShapeError: a size that the 5x5 maps before fc1 do not come out of.
    """
    if request.size not in PADDING:
        height, width = request.size
        raise ShapeError(
            f"{request.name}: fc1 needs maps of 5x5, which come from pictures of 28x28 or 32x32; "
            f"got {height}x{width}; resize with size=28 or size=32"
        )
    return LeNet(SPECS[request.name], request)
