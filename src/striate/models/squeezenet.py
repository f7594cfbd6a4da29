"""SqueezeNet: 1x1 convolutions squeeze the maps before 1x1 and 3x3 ones expand them again.

B batch, C channels, H W pixels. Iandola et al. 2016, arXiv 1602.07360, table 1 (1.0), and the
authors' lighter 1.1; names of the weights and windows that reach over the edge as in torchvision.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.layers.pool import GlobalAvgPool
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request
from striate.models.stages import Staged, Stages, Step, check_size

MULTIPLE = 8  # widths are kept multiples of it, which fast kernels like


class Fire(nn.Module):
    """Squeeze, then expand in two ways side by side: fig. 1."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, 2 expanded, H, W]."""
        x = self.relu(self.squeeze(x))
        # One ReLU over both halves instead of one each.
        return self.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


@dataclass(frozen=True)
class Spec:
    """The first convolution, and the squeezed widths of the modules between the poolings.

    Modules expand to four times as many maps by either kernel, eight times in all.
    """

    maps: int
    kernel: int
    squeezed: tuple[tuple[int, ...], ...]


SPECS = {
    "squeezenet1_0": Spec(maps=96, kernel=7, squeezed=((16, 16, 32), (32, 48, 48, 64), (64,))),
    "squeezenet1_1": Spec(maps=64, kernel=3, squeezed=((16, 16), (32, 32), (48, 48, 64, 64))),
}


class SqueezeNet(Staged):
    """A convolution, eight fire modules, one score map a class and the mean over it."""

    strides = (4, 8, 16)
    stem = "features.0"
    head = "classifier.1"

    def __init__(self, spec: Spec, request: Request) -> None:
        maps = request.scaled(spec.maps, multiple=MULTIPLE)
        entry = [nn.Conv2d(request.in_channels, maps, spec.kernel, 2), nn.ReLU(inplace=True)]
        widths: list[int] = []
        stages: list[list[nn.Module]] = []
        for squeezed in spec.squeezed:
            stages.append([nn.MaxPool2d(3, 2, ceil_mode=True)])
            for width in squeezed:
                narrow, wide = (request.scaled(n, multiple=MULTIPLE) for n in (width, 4 * width))
                stages[-1].append(Fire(maps, narrow, wide))
                maps = 2 * wide
            widths.append(maps)
        super().__init__(Stages([[*entry, *stages[0]], *stages[1:]]))
        self.input_shape = (request.in_channels, *request.size)
        self.widths = tuple(widths)
        self.classifier = nn.Sequential(
            dropout(request.number("drop_rate")),
            nn.Conv2d(maps, request.num_classes, 1),
            nn.ReLU(inplace=True),
            GlobalAvgPool(),
        )

    def initialise(self, generator: torch.Generator) -> None:
        """As torchvision: He's uniform, N(0, 0.01) for the score maps, biases 0."""
        init.he_uniform(self.features, generator)
        init.gaussian(self.classifier, generator, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to logits [B, classes], none below 0."""
        return torch.flatten(self.classifier(self.features(x)[-1]), 1)


def build(request: Request) -> Backbone:
    """A row of `SPECS` at the sizes asked for; `width` rounds channels to multiples of 8.

    Raises:
        ShapeError: a picture of which nothing is left behind the last pooling.
    """
    spec = SPECS[request.name]
    steps = [Step(spec.kernel, 2), *[Step(3, 2, ceil_mode=True)] * len(spec.squeezed)]
    check_size(request, steps, last="the third pooling")
    return SqueezeNet(spec, request)
