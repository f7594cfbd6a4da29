"""The all convolutional net: a stride of 2 in a convolution does what pooling did.

B batch, C channels, H W pixels. Springenberg, Dosovitskiy, Brox and Riedmiller 2014, arXiv 1412.6806,
All-CNN-C: model C of table 1 with its poolings replaced (table 2).
"""

import torch
from torch import Tensor, nn

from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request
from striate.models.stages import Staged, Stages, Step, check_size

MULTIPLE = 8  # widths are kept multiples of it, which fast kernels like
# Maps, and how the window moves; a stage begins where the stride is 2.
CONVS = (
    (96, Step(3, 1, 1)),
    (96, Step(3, 1, 1)),
    (96, Step(3, 2, 1)),
    (192, Step(3, 1, 1)),
    (192, Step(3, 1, 1)),
    (192, Step(3, 2, 1)),
    (192, Step(3)),
    (192, Step(1)),
)
OF_PICTURE = 0.4  # the picture loses this share of the rate that maps lose: 0.2 of 0.5


class AllCNN(Staged):
    """conv1 to conv8 in `features`; conv9 gives one map a class, its mean the logit."""

    strides = (1, 2, 4)
    stem = "features.conv1"
    head = "classifier.conv9"

    def __init__(self, request: Request) -> None:
        rate = request.number("drop_rate")
        stages: list[dict[str, nn.Module]] = [{"drop": dropout(OF_PICTURE * rate)}]
        inputs, ends = request.in_channels, list[int]()
        for number, (count, step) in enumerate(CONVS, start=1):
            maps = request.scaled(count, multiple=MULTIPLE)
            conv = nn.Conv2d(inputs, maps, step.kernel, step.stride, step.padding)
            if step.stride > 1:
                ends.append(inputs)
                stages.append({})
            stages[-1] |= {f"conv{number}": conv, f"relu{number}": nn.ReLU(inplace=True)}
            if step.stride > 1:
                stages[-1][f"drop{number}"] = dropout(rate)
            inputs = maps
        super().__init__(Stages.named(stages))
        self.input_shape = (request.in_channels, *request.size)
        self.widths = (*ends, inputs)
        self.classifier = nn.Sequential()
        self.classifier.add_module("conv9", nn.Conv2d(inputs, request.num_classes, 1))
        self.classifier.add_module("relu9", nn.ReLU(inplace=True))

    def initialise(self, generator: torch.Generator) -> None:
        """He's; the paper names none."""
        init.he_uniform(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to logits [B, classes], none below 0."""
        return self.classifier(self.features(x)[-1]).mean((2, 3))


def build(request: Request) -> Backbone:
    """The net at the sizes asked for; `width` rounds channels to multiples of 8.

    Raises:
        ShapeError: a picture of which nothing is left behind conv7, which is not padded.
    """
    check_size(request, [step for _, step in CONVS], last="conv7")
    return AllCNN(request)
