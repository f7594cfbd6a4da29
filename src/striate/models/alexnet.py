"""AlexNet and its next of kin: five convolutions, three poolings, two hidden layers, one classifier.

B batch, C channels, H W pixels. alexnet_2012: Krizhevsky, Sutskever and Hinton 2012, "ImageNet
classification with deep convolutional neural networks", fig. 2; its two columns are two groups. zfnet:
Zeiler and Fergus 2013, arXiv 1311.2901, fig. 3. bn_alexnet: Simon, Rodner and Denzler 2016, arXiv
1612.01452. alexnet: one column, Krizhevsky 2014, arXiv 1404.5997, with torchvision's names of weights.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.layers.norm import LocalResponseNorm
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request
from striate.models.stages import Staged, Stages, Step, check_size, sides

MULTIPLE = 8  # widths are kept multiples of it: fast kernels like that, and two groups divide it
UNITS = 4096  # of each hidden layer
POOLED = (1, 2, 5)  # the convolutions that a pooling follows
IN_COLUMNS = (2, 4, 5)  # those that read only the maps of their own column
# Fig. 1 compares the first two; layers keep the name relu, so that weights fit.
ACTS = {"relu": lambda: nn.ReLU(inplace=True), "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
GRID = 6  # side of the maps that the one column's hidden layers read, whatever the picture


class Conv(NamedTuple):
    """One convolution: maps, side of the kernel, stride, padding."""

    maps: int
    kernel: int
    stride: int = 1
    padding: int = 0


def first_of_2012(net: nn.Module, generator: torch.Generator) -> None:
    """N(0, 0.01); biases one where the paper wants the ReLUs to start with positive inputs, else zero: section 5."""
    init.gaussian(net, generator, std=0.01)
    for name, layer in net.named_modules():
        if not isinstance(layer, nn.Identity) and name.endswith(
            ("conv2", "conv4", "conv5", "fc6", "fc7")
        ):
            init.constant(layer.get_parameter("bias"), 1)


@dataclass(frozen=True)
class Spec:
    """What tells the four apart.

    Attributes:
        convs: the five convolutions.
        first: draws the first weights.
        ceil_mode: whether pooling windows may reach over the edge.
        pool_first: whether response normalisation follows the pooling, as fig. 3 of zfnet has it.
        batch_norm: of the picture, and before every ReLU, there without scale and shift.
        one_column: torchvision's: numbered layers, dropout ahead of the hidden ones, any size.
    """

    convs: tuple[Conv, ...]
    first: Callable[[nn.Module, torch.Generator], None]
    ceil_mode: bool = False
    pool_first: bool = False
    batch_norm: bool = False
    one_column: bool = False


LATE = (Conv(384, 3, 1, 1), Conv(384, 3, 1, 1), Conv(256, 3, 1, 1))
COLUMNS = (Conv(96, 11, 4), Conv(256, 5, 1, 2), *LATE)
ZEILER = (Conv(96, 7, 2, 1), Conv(256, 5, 2), *LATE)
TOWER = (Conv(64, 11, 4, 2), Conv(192, 5, 1, 2), LATE[0], LATE[2], LATE[2])

SPECS = {
    "alexnet_2012": Spec(COLUMNS, first_of_2012),
    "bn_alexnet": Spec(COLUMNS, init.he_inputs, batch_norm=True),
    "zfnet": Spec(ZEILER, init.gaussian, ceil_mode=True, pool_first=True),
    "alexnet": Spec(TOWER, init.as_torch, one_column=True),
}


class AlexNet(Staged):
    """conv1 to conv5 in `features`, fc6 to fc8 in `classifier`.

    The head is "fc" as published, "linear" without the two hidden layers (Zeiler and Fergus, table 3),
    or "gap", the mean of each map and one linear layer (Lin et al. 2013, arXiv 1312.4400).
    """

    def __init__(self, spec: Spec, request: Request) -> None:
        maps = [request.scaled(conv.maps, multiple=MULTIPLE) for conv in spec.convs]
        stages = trunk(spec, request, maps)
        numbered = [list(stage.values()) for stage in stages]
        super().__init__(Stages(numbered) if spec.one_column else Stages.named(stages))
        self.first = spec.first
        self.input_shape = (request.in_channels, *request.size)
        self.widths = tuple(maps[number - 1] for number in POOLED)
        early, late = spec.convs[0].stride * 2, spec.convs[1].stride * 2
        self.strides = (early, early * late, early * late * 2)
        grid = (
            (1, 1) if request.word("head") == "gap" else (GRID, GRID) if spec.one_column else None
        )
        self.avgpool = nn.AdaptiveAvgPool2d(grid) if grid else nn.Identity()
        layers = classifier(spec, request, maps[-1] * prod(grid or last_maps(spec, request)))
        self.stem = "features.0" if spec.one_column else "features.conv1"
        self.head = f"classifier.{len(layers) - 1 if spec.one_column else 'fc8'}"
        if spec.one_column:
            layers = {str(place): layer for place, layer in enumerate(layers.values())}
        self.classifier = nn.Sequential(OrderedDict(layers))

    def initialise(self, generator: torch.Generator) -> None:
        """As each paper says; torchvision's net takes PyTorch's default."""
        self.first(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W], of the size it was built for if it has no `avgpool`, to logits [B, classes]."""
        return self.classifier(torch.flatten(self.avgpool(self.features(x)[-1]), 1))


def trunk(spec: Spec, request: Request, maps: list[int]) -> list[dict[str, nn.Module]]:
    """The layers up to each pooling, by name."""
    stages: list[dict[str, nn.Module]] = [{}]
    if spec.batch_norm:
        stages[0]["data"] = nn.BatchNorm2d(request.in_channels)
    inputs = request.in_channels
    for number, (conv, outputs) in enumerate(zip(spec.convs, maps, strict=True), start=1):
        groups = 2 if number in IN_COLUMNS and on(request, "groups") else 1
        layers: dict[str, nn.Module] = {
            f"conv{number}": nn.Conv2d(inputs, outputs, *conv[1:], groups=groups)
        }
        if normalised(spec, request):
            layers[f"bn{number}"] = nn.BatchNorm2d(outputs, affine=not spec.batch_norm)
        layers[f"relu{number}"] = ACTS[request.word("act")]()
        if number in POOLED:
            stages[-1] |= layers | reduction(spec, request, number)
            stages.append({})
        else:
            stages[-1] |= layers
        inputs = outputs
    return stages[:-1]


def reduction(spec: Spec, request: Request, number: int) -> dict[str, nn.Module]:
    """Pooling, and response normalisation before or after it, with the settings of section 3.3."""
    step = pooling(spec, request)
    layers: dict[str, nn.Module] = {
        f"pool{number}": nn.MaxPool2d(step.kernel, step.stride, ceil_mode=step.ceil_mode)
    }
    if number == POOLED[-1] or not on(request, "lrn"):
        return layers
    norm: dict[str, nn.Module] = {
        f"norm{number}": LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2, window="sum")
    }
    return layers | norm if spec.pool_first else norm | layers


def classifier(spec: Spec, request: Request, inputs: int) -> dict[str, nn.Module]:
    """Two hidden layers unless the head is without, and the last one."""
    layers: dict[str, nn.Module] = {}
    units = request.scaled(UNITS, multiple=MULTIPLE)
    for number in (6, 7) if request.word("head") == "fc" else ():
        drop: dict[str, nn.Module] = {f"drop{number}": dropout(rate(request))}
        hidden: dict[str, nn.Module] = {f"fc{number}": nn.Linear(inputs, units)}
        if normalised(spec, request):
            hidden[f"bn{number}"] = nn.BatchNorm1d(units, affine=not spec.batch_norm)
        hidden[f"relu{number}"] = ACTS[request.word("act")]()
        layers |= drop | hidden if spec.one_column else hidden | drop
        inputs = units
    if not layers:
        layers["drop"] = dropout(rate(request))
    return layers | {"fc8": nn.Linear(inputs, request.num_classes)}


def on(request: Request, switch: str) -> bool:
    """Whether a switch is on; not every row has every one."""
    return request.options.get(switch) is True


def normalised(spec: Spec, request: Request) -> bool:
    """Whether there is batch normalisation before every activation: as published, or as asked for."""
    return spec.batch_norm or on(request, "batch_norm")


def rate(request: Request) -> float:
    """The share of units that training drops: none where the switch `dropout` is off."""
    return request.number("drop_rate") if request.options.get("dropout", True) else 0.0


def pooling(spec: Spec, request: Request) -> Step:
    """3x3 windows two apart, or 2x2, which give maps of the same size: section 3.4."""
    overlap = on(request, "overlap")
    return Step(3 if overlap else 2, 2, ceil_mode=spec.ceil_mode and overlap)


def steps(spec: Spec, request: Request) -> list[Step]:
    """How the layers move over a picture."""
    found: list[Step] = []
    for number, conv in enumerate(spec.convs, start=1):
        found.append(Step(conv.kernel, conv.stride, conv.padding))
        if number in POOLED:
            found.append(pooling(spec, request))
    return found


def last_maps(spec: Spec, request: Request) -> tuple[int, ...]:
    """Height and width of the maps behind pool5."""
    return tuple(sides(side, steps(spec, request))[-1] for side in request.size)


def build(request: Request) -> Backbone:
    """A row of `SPECS` at the sizes asked for; `width` rounds channels and units to multiples of 8.

    Raises:
        ShapeError: a picture of which nothing is left behind pool5.
    """
    spec = SPECS[request.name]
    check_size(request, steps(spec, request), last="pool5")
    return AlexNet(spec, request)
