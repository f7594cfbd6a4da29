"""Xception: every convolution but the first two is separable, into one per map and a 1x1 over all of them.

B batch, C channels, H W pixels. Chollet 2017, arXiv 1610.02357, fig. 5. Names of the weights as in timm.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.models import init
from striate.models.backbone import Backbone
from striate.models.branches import MULTIPLE, Chain, Conv, Link, MaxPool
from striate.models.row_types import Request
from striate.models.stages import Step, check_size


class Row(NamedTuple):
    """One block: maps of its separable convolutions, whether it halves the size, whether ReLU opens it."""

    maps: tuple[int, ...]
    halved: bool = False
    opened: bool = True


# Fig. 5: entry flow, eight times the middle flow, exit flow.
BLOCKS = (
    Row((128, 128), halved=True, opened=False),
    Row((256, 256), halved=True),
    Row((728, 728), halved=True),
    *(Row((728, 728, 728)) for _ in range(8)),
    Row((728, 1024), halved=True),
)
POOL = Step(3, 2, 1)
# How the layers that change the size move: two convolutions without padding, four poolings.
STEPS = (Step(3, 2), Step(3), POOL, POOL, POOL, POOL)


class SeparableConv(nn.Module):
    """A 3x3 convolution of each map by itself, and a 1x1 over all of them, with nothing between: section 3.1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H, W]."""
        return self.pointwise(self.conv1(x))


class Block(nn.Module):
    """Separable convolutions, each between ReLU and normalisation, and a shortcut round them."""

    def __init__(self, inputs: int, maps: list[int], *, halved: bool, opened: bool) -> None:
        super().__init__()
        outputs, layers = maps[-1], list[nn.Module]()
        changed = halved or inputs != outputs
        self.skip = (
            nn.Conv2d(inputs, outputs, 1, stride=2 if halved else 1, bias=False)
            if changed
            else None
        )
        self.skipbn = nn.BatchNorm2d(outputs) if changed else None
        for place, (before, after) in enumerate(zip([inputs, *maps], maps, strict=False)):
            # The first ReLU leaves its input as it is, which the shortcut reads too.
            layers += [nn.ReLU(inplace=place > 0)] if place or opened else []
            layers += [SeparableConv(before, after), nn.BatchNorm2d(after)]
        if halved:
            layers.append(MaxPool(POOL.kernel, POOL.stride, POOL.padding))
        self.rep = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""
        y, shortcut = self.rep(x), x
        if self.skip is not None and self.skipbn is not None:
            shortcut = self.skipbn(self.skip(x))
        return y.add_(shortcut)


def row(request: Request) -> Iterator[Link]:
    """The layers of the net by name."""
    maps = request.in_channels
    for number, conv in enumerate((Conv(32, 3, 2, padded=False), Conv(64, 3, padded=False)), 1):
        scaled = conv.scaled(request)
        yield from plain(number, scaled.layer(maps), maps := scaled.maps)
    for number, block in enumerate(BLOCKS, start=1):
        counts = [request.scaled(count, multiple=MULTIPLE) for count in block.maps]
        layer = Block(maps, counts, halved=block.halved, opened=block.opened)
        yield Link(f"block{number}", layer, maps := counts[-1])
    for number, count in ((3, 1536), (4, 2048)):
        outputs = request.scaled(count, multiple=MULTIPLE)
        yield from plain(number, SeparableConv(maps, outputs), maps := outputs)


def plain(number: int, layer: nn.Module, maps: int) -> Iterator[Link]:
    """A convolution outside the blocks, with normalisation and ReLU."""
    yield Link(f"conv{number}", layer, maps)
    yield Link(f"bn{number}", nn.BatchNorm2d(maps), maps)
    yield Link(f"act{number}", nn.ReLU(inplace=True), maps)


class Xception(Chain):
    """Two convolutions, twelve blocks, two separable convolutions, the mean over each map, one linear layer.

    Maps in the middle are what the blocks give, before the ReLU with which the next one opens.
    """

    ends = ("act2", "block1", "block2", "block11", "act4")
    strides = (2, 4, 8, 16, 32)
    stem = "conv1"
    head = "fc"

    def __init__(self, request: Request) -> None:
        super().__init__(request, row(request))

    def initialise(self, generator: torch.Generator) -> None:
        """He's normal of the backward form, as timm; the paper does not say."""
        init.he(self, generator)


def build(request: Request) -> Backbone:
    """The net at the sizes asked for; `width` rounds filters to multiples of 8.

    Raises:
        ShapeError: a picture of which nothing is left behind the second convolution.
    """
    check_size(request, STEPS, last="conv2")
    return Xception(request)
