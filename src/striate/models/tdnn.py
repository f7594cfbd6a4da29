"""Time-delay network: convolution along time, and evidence summed over all of it.

B batch, C coefficients of a frame, T frames, K classes. Waibel, Hanazawa, Hinton, Shikano and Lang
1989, doi 10.1109/29.21701, fig. 2: one kernel slides over the frames, so that a sound is known wherever
in time it stands.
"""

import torch
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request

UNITS = 8  # of the first hidden layer; the second has one unit a class
WINDOWS = (3, 5)  # frames that a unit of each hidden layer reads
LEAST = sum(WINDOWS) - 1


class TDNN(Backbone):
    """conv1 and conv2 over time, each with sigmoid units; the activations of a class summed over time."""

    strides = (1,)
    stem = "conv1"
    head = "conv2"

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.input_shape = (request.in_channels, *request.size)
        self.widths = (request.scaled(UNITS),)
        self.squares = request.word("evidence") == "squares"
        self.conv1 = nn.Conv1d(request.in_channels, self.widths[0], WINDOWS[0])
        self.drop = dropout(request.number("drop_rate"))
        self.conv2 = nn.Conv1d(self.widths[0], request.num_classes, WINDOWS[1])

    def initialise(self, generator: torch.Generator) -> None:
        """PyTorch's default; the paper says only that first weights are small and random."""
        init.as_torch(self, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """The first hidden layer [B, 8, T - 2]."""
        return [torch.sigmoid(self.conv1(x))]

    def forward(self, x: Tensor) -> Tensor:
        """Frames [B, C, T], of any T from 7 up, to the evidence of each class [B, K].

        It is at most the frames of the second layer, T - 6. The paper trains a last sigmoid unit on it
        by squared errors; here it goes to the task's loss as it is.
        """
        y = torch.sigmoid(self.conv2(self.drop(self.features(x)[0])))
        return (y.square() if self.squares else y).sum(-1)


def build(request: Request) -> Backbone:
    """The net at the sizes asked for.

    Raises:
        ShapeError: fewer frames than both windows read together.
    """
    if request.size[0] < LEAST:
        raise ShapeError(
            f"{request.name}: windows of {WINDOWS[0]} and {WINDOWS[1]} frames need at least {LEAST}; "
            f"got {request.size[0]}; use longer pieces, such as size=15"
        )
    return TDNN(request)
