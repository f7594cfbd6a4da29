"""Fully convolutional network for series: three convolutions over time, the mean over all of it, a linear layer.

B batch, C channels, T steps, K classes. Wang, Yan and Oates 2017, arXiv 1611.06455, section II.B and fig. 1 (b).
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request

CHANNELS, KERNELS = (128, 256, 128), (8, 5, 3)


class FCN1d(Backbone):
    """Convolution, batch normalisation and ReLU, three times; no pooling between them."""

    strides = (1, 1, 1)
    stem = "blocks.0.conv"
    head = "fc"

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.input_shape = (request.in_channels, *request.size)
        self.widths = tuple(request.scaled(channels) for channels in CHANNELS)
        inputs = (request.in_channels, *self.widths)
        self.blocks = nn.ModuleList(
            _block(*sizes) for sizes in zip(inputs, self.widths, KERNELS, strict=False)
        )
        self.drop = dropout(request.number("drop_rate"))
        self.fc = nn.Linear(self.widths[-1], request.num_classes)

    def initialise(self, generator: torch.Generator) -> None:
        """PyTorch's default; the paper says nothing of first weights."""
        init.as_torch(self, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps after each block, [B, 128 or 256, T]."""
        maps: list[Tensor] = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Series [B, C, T] of any length to logits [B, K]."""
        return self.fc(self.drop(self.features(x)[-1].mean(-1)))


def _block(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """A convolution that keeps the length, zeros around it; of an even kernel one more behind."""
    room = nn.ZeroPad1d(((kernel - 1) // 2, kernel // 2))
    conv = nn.Conv1d(inputs, outputs, kernel, bias=False)  # the normalisation after it has one
    layers = {"pad": room, "conv": conv, "norm": nn.BatchNorm1d(outputs), "relu": nn.ReLU()}
    return nn.Sequential(OrderedDict(layers))


def build(request: Request) -> Backbone:
    """The net at the sizes asked for."""
    return FCN1d(request)
