"""Network in network: after every convolution two 1x1 ones, a small perceptron that slides along.

B batch, C channels, H W pixels. Lin, Chen and Yan 2013, arXiv 1312.4400; maps, windows and the names
conv and cccp are those of the authors' Caffe files. bn_nin: Chang and Chen 2015, arXiv 1511.02583, and
their code: batch normalisation behind every convolution, maxout in place of ReLU, averages throughout.
bn_nin_imagenet: the BN-NIN of the chart of Canziani, Paszke and Culurciello 2016, arXiv 1605.07678; layers are those of
ninbn.lua of soumith/imagenet-multiGPU.torch, whose weights have a top-1 accuracy of 62.6 %: batch normalisation before
every ReLU, three convolutions in each block, one linear layer behind the mean.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.layers.pool import GlobalAvgPool
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request
from striate.models.stages import Staged, Stages, Step, check_size

MULTIPLE = 8  # widths are kept multiples of it, which fast kernels like
PIECES = 5  # linear pieces of one maxout unit
POOL = Step(3, 2, ceil_mode=True)  # Caffe's windows reach over the edge
ONE = Step(1)


class Block(NamedTuple):
    """How its convolution moves, and the maps of it and its 1x1 ones; the classes come out of a last one."""

    window: Step
    maps: tuple[int, ...]


@dataclass(frozen=True)
class Spec:
    """The blocks, which poolings between them take maxima (the others means), and which drop units.

    With `batch_norm` every convolution is normalised; with `linear` the mean comes before the classes.
    """

    blocks: tuple[Block, ...]
    maxima: tuple[bool, ...]
    drops: tuple[bool, ...]
    maxout: bool = False
    batch_norm: bool = False
    pool: Step = POOL
    linear: bool = False


CIFAR = (
    Block(Step(5, 1, 2), (192, 160, 96)),
    Block(Step(5, 1, 2), (192, 192, 192)),
    Block(Step(3, 1, 1), (192, 192)),
)
IMAGENET = (
    Block(Step(11, 4), (96, 96, 96)),
    Block(Step(5, 1, 2), (256, 256, 256)),
    Block(Step(3, 1, 1), (384, 384, 384)),
    Block(Step(3, 1, 1), (1024, 1024)),
)
NORMALISED = (
    Block(Step(11, 4, 5), (96, 96, 96)),
    *IMAGENET[1:3],
    Block(Step(3, 1, 1), (1024, 1024, 1024)),
)

SPECS = {
    "nin_cifar10": Spec(CIFAR, maxima=(True, False), drops=(True, True)),
    "nin_imagenet": Spec(IMAGENET, maxima=(True, True, True), drops=(False, False, True)),
    "bn_nin_imagenet": Spec(
        NORMALISED,
        maxima=(True, True, True),
        drops=(False, False, False),
        batch_norm=True,
        pool=Step(3, 2, 1),
        linear=True,
    ),
    "bn_nin": Spec(CIFAR, maxima=(False, False), drops=(True, True), maxout=True),
}


class Maxout(nn.Module):
    """A convolution, batch normalisation, and of every `pieces` neighbouring maps the largest."""

    def __init__(
        self, inputs: int, outputs: int, window: Step = ONE, *, pieces: int = PIECES
    ) -> None:
        super().__init__()
        self.pieces = pieces
        self.conv = convolution(inputs, outputs * pieces, window)
        self.norm = nn.BatchNorm2d(outputs * pieces)

    @property
    def weight(self) -> Tensor:
        """The kernels [outputs x pieces, inputs, kernel, kernel]."""
        return self.conv.weight

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H, W]."""
        x = self.norm(self.conv(x))
        return x if self.pieces == 1 else largest(x, self.pieces)


def largest(x: Tensor, pieces: int) -> Tensor:
    """[B, C, H, W] to the largest of every `pieces` neighbouring maps, in the memory layout of x."""
    if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
        return x.unflatten(1, (-1, pieces)).max(2).values
    # Where neighbouring channels are neighbours in memory, they are best the last axis.
    last = x.permute(0, 2, 3, 1).unflatten(3, (-1, pieces)).max(4).values
    return last.permute(0, 3, 1, 2)


class NiN(Staged):
    """Blocks with a pooling between them, one map a class, the mean over it."""

    stem = "features.conv1"

    def __init__(self, spec: Spec, request: Request) -> None:
        stages: list[dict[str, nn.Module]] = []
        widths: list[int] = []
        inputs, unit = request.in_channels, 0
        for number, block in enumerate(spec.blocks, start=1):
            stages.append(between(spec, number - 1, request.number("drop_rate")))
            maps = [request.scaled(count, multiple=MULTIPLE) for count in block.maps]
            stages[-1] |= layer(spec, f"conv{number}", inputs, maps[0], block.window)
            for before, after in pairwise(maps):
                unit += 1
                stages[-1] |= layer(spec, f"cccp{unit}", before, after)
            inputs = maps[-1]
            widths.append(inputs)
        super().__init__(Stages.named(stages))
        self.input_shape = (request.in_channels, *request.size)
        self.widths = tuple(widths)
        self.strides = tuple(spec.blocks[0].window.stride * 2**i for i in range(len(widths)))
        self.classifier = nn.Sequential()
        if spec.linear:
            self.head = "classifier.fc"
            self.classifier.add_module("mean", GlobalAvgPool())
            self.classifier.add_module("flatten", nn.Flatten())
            self.classifier.add_module("drop", dropout(request.number("drop_rate")))
            self.classifier.add_module("fc", nn.Linear(inputs, request.num_classes))
            return
        last = f"cccp{unit + 1}"
        self.head = f"classifier.{last}"
        for name, module in layer(spec, last, inputs, request.num_classes).items():
            self.classifier.add_module(name, module)
        self.classifier.add_module("mean", GlobalAvgPool())

    def initialise(self, generator: torch.Generator) -> None:
        """He's; the papers draw by hand, and behind batch normalisation the scale does not matter."""
        init.he_uniform(self, generator)
        self._wake_classes()

    def _wake_classes(self) -> None:
        """Biases of one before the last ReLU: a class that answers 0 to everything would never learn.

        The remedy is that of Krizhevsky, Sutskever and Hinton 2012, section 5, for their inner layers.
        """
        if isinstance(self.classifier, nn.Identity):  # below another head
            return
        head = self.get_submodule(self.head)
        if isinstance(head, nn.Conv2d) and head.bias is not None:
            init.constant(head.bias, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to logits [B, classes]; behind a ReLU, as of all but bn_nin_imagenet, none is below 0."""
        return torch.flatten(self.classifier(self.features(x)[-1]), 1)

    def reset_head(self, num_classes: int, *, generator: torch.Generator | None = None) -> None:
        """Put a new last layer of `num_classes` outputs; a maxout layer with its batch normalisation."""
        old = self.get_submodule(self.head)
        if not (num_classes and isinstance(old, Maxout)):
            super().reset_head(num_classes, generator=generator)
            self._wake_classes()
            return
        with init.skipped():
            new = Maxout(old.conv.in_channels, num_classes, pieces=old.pieces)
        init.he_uniform(new, generator or torch.Generator())
        self.set_submodule(self.head, new.to(old.weight.device, old.weight.dtype))


def between(spec: Spec, number: int, rate: float) -> dict[str, nn.Module]:
    """What stands before the block after block `number`: a pooling, perhaps dropout."""
    if number == 0:
        return {}
    pool = spec.pool
    kind = nn.MaxPool2d if spec.maxima[number - 1] else nn.AvgPool2d
    layers: dict[str, nn.Module] = {
        f"pool{number}": kind(pool.kernel, pool.stride, pool.padding, ceil_mode=pool.ceil_mode)
    }
    if spec.drops[number - 1]:
        layers[f"drop{number}"] = dropout(rate)
    return layers


def layer(
    spec: Spec, name: str, inputs: int, outputs: int, window: Step = ONE
) -> dict[str, nn.Module]:
    """A convolution and its activation; of bn_nin, maxout behind the 1x1 ones and nothing behind the others."""
    if spec.maxout:
        return {name: Maxout(inputs, outputs, window, pieces=PIECES if window == ONE else 1)}
    norm: dict[str, nn.Module] = {f"bn_{name}": nn.BatchNorm2d(outputs)} if spec.batch_norm else {}
    return {
        name: convolution(inputs, outputs, window),
        **norm,
        f"relu_{name}": nn.ReLU(inplace=True),
    }


def convolution(inputs: int, outputs: int, window: Step) -> nn.Conv2d:
    """One that moves as `window` says."""
    return nn.Conv2d(inputs, outputs, window.kernel, window.stride, window.padding)


def build(request: Request) -> Backbone:
    """A row of `SPECS` at the sizes asked for; `width` rounds channels to multiples of 8.

    Raises:
        ShapeError: a picture of which nothing is left behind the last block.
    """
    spec = SPECS[request.name]
    steps: list[Step] = []
    for block in spec.blocks:
        steps += [spec.pool] * bool(steps) + [block.window]
    check_size(request, steps, last=f"conv{len(spec.blocks)}")
    return NiN(spec, request)
