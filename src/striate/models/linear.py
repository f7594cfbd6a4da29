"""Linear classifier and multilayer perceptron: a picture as one long vector.

C channels, H W pixels. The linear net is a table of class templates, one weight a pixel and class;
the perceptron puts hidden layers between (Rumelhart, Hinton and Williams 1986, doi 10.1038/323533a0).
"""

from collections import OrderedDict
from math import prod

import torch
from torch import Tensor, nn

from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request

ACTS = {"relu": lambda: nn.ReLU(inplace=True), "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


class Dense(Backbone):
    """Flatten, hidden layers `fc1`, `fc2`, ... each with its activation and dropout, then `fc`.

    Without hidden layers it is the pixels that are dropped.
    """

    head = "fc"

    def __init__(
        self,
        input_shape: tuple[int, ...],
        *,
        num_classes: int,
        hidden: tuple[int, ...],
        act: str,
        drop_rate: float,
    ) -> None:
        super().__init__()
        self.input_shape = input_shape
        sizes = (prod(input_shape), *hidden)
        layers = OrderedDict[str, nn.Module](flatten=nn.Flatten())
        for i in range(len(hidden)):
            layers[f"fc{i + 1}"] = nn.Linear(sizes[i], sizes[i + 1])
            layers[f"act{i + 1}"] = ACTS[act]()
            layers[f"drop{i + 1}"] = dropout(drop_rate)
        if not hidden:
            layers["drop"] = dropout(drop_rate)
        self.hidden = nn.Sequential(layers)
        self.fc = nn.Linear(sizes[-1], num_classes)
        self.stem = "hidden.fc1" if hidden else "fc"
        # Hidden units see every pixel: as maps they are 1x1, one stride of the longer side apart.
        self.widths = (hidden[-1],) if hidden else input_shape[:1]
        self.strides = (max(input_shape[1:]),) if hidden else (1,)

    def initialise(self, generator: torch.Generator) -> None:
        """PyTorch's default."""
        init.as_torch(self, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """The last hidden layer as [B, units, 1, 1]; of the linear net the picture itself."""
        return [x] if self.stem == self.head else [self.hidden(x)[:, :, None, None]]

    def templates(self) -> Tensor:
        """Weights of the first layer as pictures [units, C, H, W]; of the linear net one picture a class.

        What a unit answers is the sum over its template times the picture, and its bias.
        """
        weight = self.get_parameter(f"{self.stem}.weight")
        return weight.detach().unflatten(1, self.input_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to logits [B, classes]."""
        return self.fc(self.hidden(x))


def build(request: Request) -> Backbone:
    """The net at the sizes asked for; `linear` is the row of the catalogue without hidden layers."""
    deep = "hidden" in request.options
    return Dense(
        (request.in_channels, *request.size),
        num_classes=request.num_classes,
        hidden=tuple(request.scaled(n) for n in request.counts("hidden")) if deep else (),
        act=request.word("act") if deep else "relu",
        drop_rate=request.number("drop_rate"),
    )
