"""The way up of a U-Net on the maps of any backbone.

B batch, C channels, H W pixels, K classes. After Ronneberger, Fischer and Brox 2015, arXiv 1505.04597, whose way
down is replaced by a net of the catalogue: every doubling has the backbone's map of the same stride beside it,
where there is one. Batch normalisation, and half as many maps at each finer stride down to 16, are ours.
"""

import torch
from torch import Tensor, nn

from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.facts import Request
from striate.models.trunk import OnBackbone, fitted, strides_below
from striate.models.unet import Double

FINEST = 16  # maps at the size of the picture
WIDEST = 256
COARSEST = 32  # stride of the coarsest maps that are read


class Rise(nn.Module):
    """A 2x2 up-convolution, maps of the way down beside it if there are any, two 3x3 convolutions."""

    def __init__(self, inputs: int, beside: int, width: int, *, norm: bool) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, width, 2, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.convs = Double(width + beside, width, padded=True, norm=norm)

    def forward(self, x: Tensor, beside: Tensor | None) -> Tensor:
        """Coarse maps [B, inputs, h, w] and finer ones [B, beside, H, W] to [B, width, H, W]."""
        x = self.relu(self.up(x))
        if beside is not None:
            x = torch.cat((fitted(x, beside), beside), 1)
        return self.convs(x)


class UNetBackbone(OnBackbone):
    """A backbone, doublings back to the size of the picture, a 1x1 convolution to the classes."""

    head = "score"

    def __init__(self, request: Request) -> None:
        super().__init__(request, strides_below(request, COARSEST))
        norm = request.flag("batch_norm") if "batch_norm" in request.options else True
        beside = dict(zip(self.strides[:-1], self.widths, strict=False))
        # The map that each doubling has beside it, counted from the finest; -1 is none.
        self.places: list[int] = []
        self.up = nn.ModuleList()
        inputs, stride = self.widths[-1], self.strides[-1] // 2
        while stride:
            width = request.scaled(min(WIDEST, FINEST * stride))
            self.up.append(Rise(inputs, beside.get(stride, 0), width, norm=norm))
            self.places.append(self.strides.index(stride) if stride in beside else -1)
            inputs, stride = width, stride // 2
        self.drop = dropout(request.number("drop_rate"))
        self.score = nn.Conv2d(inputs, request.num_classes, 1)

    def initialise(self, generator: torch.Generator) -> None:
        """The backbone as its family does, the way up He's."""
        self.backbone.initialise(generator)
        init.he_inputs(self.up, generator)
        init.he_inputs(self.score, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] of any size the backbone takes to logits [B, K, H, W]."""
        maps = self.features(x)
        y = self.drop(maps[-1])
        for up, place in zip(self.up, self.places, strict=True):
            y = up(y, maps[place] if place >= 0 else None)
        return self.score(fitted(y, x))


def build(request: Request) -> Backbone:
    """The backbone asked for and a way up from its maps of stride 32 or less.

    Raises:
        ShapeError: a size that the backbone cannot take.
    """
    return UNetBackbone(request)
