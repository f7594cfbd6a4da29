"""A convolutional auto-encoder: a picture through a narrow code and back. B batch, C channels, H W pixels.

Masci, Meier, Ciresan and Schmidhuber 2011, Stacked convolutional auto-encoders for hierarchical feature extraction,
doi 10.1007/978-3-642-21735-7_7, in today's form, which is ours: strides of 2 in place of max-pooling, batch
normalisation, and on the way up maps doubled by their nearest value before a convolution, which leaves no chequered
pattern as strided transposed convolutions do (Odena, Dumoulin and Olah 2016, doi 10.23915/distill.00003).

At the coarsest maps, of stride 8, each place holds `code` numbers: 16 of them are a twelfth of the 192 that 8x8 pixels
in colour have. There is no way round the code, so what it does not hold is lost.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request

WIDTHS = (16, 32, 64, 128)
FIRST = 0.01  # deviation of the last kernels, so that the first answers are near that:
GREY = 0.5  # what the first answer is: the middle of values 0..1


class ConvAutoencoder(Backbone):
    """Four convolutions down to an eighth of the size, the code, four convolutions up; the answer is linear."""

    strides = (1, 2, 4, 8)
    stem = "down.0.conv"
    head = "picture"

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.input_shape = (request.in_channels, *request.size)
        self.widths = tuple(request.scaled(width) for width in WIDTHS)
        self.down = nn.ModuleList(
            _convolved(before, width, stride=1 if level == 0 else 2)
            for level, (before, width) in enumerate(
                zip((request.in_channels, *self.widths), self.widths, strict=False)
            )
        )
        code = request.count("code")
        self.bottleneck = nn.Conv2d(self.widths[-1], code, 1)
        self.drop = dropout(request.number("drop_rate"))
        self.opened = _convolved(code, self.widths[-1], stride=1)
        self.up = nn.ModuleList(
            _convolved(below, width, stride=1)
            for below, width in zip(self.widths[:0:-1], self.widths[-2::-1], strict=True)
        )
        self.picture = nn.Conv2d(self.widths[0], request.num_classes, 3, padding=1)

    def initialise(self, generator: torch.Generator) -> None:
        """He's, by the numbers that one output value reads; the first answer is grey."""
        init.he_inputs(self, generator)
        init.normal(self.picture.weight, FIRST, generator)
        if self.picture.bias is not None:
            init.constant(self.picture.bias, GREY)

    def code_values(self, height: int, width: int) -> int:
        """Those of the code at each place of the coarsest maps, whose sides are rounded up."""
        stride = self.strides[-1]
        return self.bottleneck.out_channels * -(-height // stride) * -(-width // stride)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of each level on the way down."""
        maps: list[Tensor] = []
        for level in self.down:
            x = level(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] of any size to pictures [B, K, H, W]."""
        *finer, coarsest = self.features(x)
        y = self.opened(self.drop(self.bottleneck(coarsest)))
        for level, like in zip(self.up, reversed(finer), strict=True):
            y = level(F.interpolate(y, like.shape[2:], mode="nearest"))
        return self.picture(y)


def _convolved(inputs: int, width: int, *, stride: int) -> nn.Sequential:
    """A 3x3 convolution, batch normalisation, ReLU."""
    layers = nn.Sequential()
    layers.add_module("conv", nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False))
    layers.add_module("bn", nn.BatchNorm2d(width))
    layers.add_module("relu", nn.ReLU(inplace=True))
    return layers


def build(request: Request) -> Backbone:
    """The net at the sizes asked for."""
    return ConvAutoencoder(request)
