"""A fully convolutional net on any backbone: scores of its three coarsest maps, enlarged and added up.

B batch, C channels, H W pixels, K classes. Long, Shelhamer and Darrell 2015, arXiv 1411.4038, section 4.2, with
linear interpolation for every upsampling and without the linear layers of the backbone.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.facts import Request
from striate.models.trunk import OnBackbone, fitted, strides_below

SCORED = 3  # maps that are scored
COARSEST = 32  # stride of the coarsest


class FCNBackbone(OnBackbone):
    """A backbone, a 1x1 convolution to the classes on each of its coarsest maps, interpolation."""

    def __init__(self, request: Request) -> None:
        super().__init__(request, strides_below(request, COARSEST)[-SCORED:])
        self.drop = dropout(request.number("drop_rate"))
        self.score = nn.ModuleList(nn.Conv2d(w, request.num_classes, 1) for w in self.widths)
        self.head = f"score.{len(self.widths) - 1}"

    @property
    def class_layers(self) -> tuple[str, ...]:
        """Paths of the scores of finer maps."""
        return tuple(f"score.{level}" for level in range(len(self.widths) - 1))

    def initialise(self, generator: torch.Generator) -> None:
        """The backbone as its family does, zeros for the scores."""
        self.backbone.initialise(generator)
        self._begin()

    def _begin(self) -> None:
        for parameter in self.score.parameters():
            init.constant(parameter, 0)

    def reset_head(self, num_classes: int, *, generator: torch.Generator | None = None) -> None:  # noqa: ARG002 - nothing is drawn
        """New scores; they begin at zero."""
        place = next(self.score.parameters())
        with init.skipped():
            layers = (nn.Conv2d(width, num_classes, 1) for width in self.widths)
            self.score = nn.ModuleList(layers).to(place.device, place.dtype)
        self._begin()

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] of any size the backbone takes to logits [B, K, H, W]."""
        *finer, coarse = self.features(x)
        y, stride = self.score[-1](self.drop(coarse)), self.strides[-1]
        for level in reversed(range(len(finer))):
            maps, before = finer[level], stride
            stride = self.strides[level]
            y = fitted(_enlarged(y, before // stride), maps) + self.score[level](maps)
        return fitted(_enlarged(y, stride), x)


def _enlarged(scores: Tensor, factor: int) -> Tensor:
    """Linear interpolation by a whole factor, so that a part of a picture gives the same as the whole."""
    if factor == 1:
        return scores
    return F.interpolate(scores, scale_factor=factor, mode="bilinear", align_corners=False)


def build(request: Request) -> Backbone:
    """The backbone asked for and scores of its three coarsest maps of stride 32 or less.

    Raises:
        ShapeError: a size that the backbone cannot take.
    """
    return FCNBackbone(request)
