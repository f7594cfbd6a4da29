"""You Only Look Once without linear layers: two convolutions on the maps of any backbone.

B batch, C channels, H W pixels, n boxes a cell, K classes. The answer, and the loss it learns by, are those of
Redmon et al. 2016, arXiv 1506.02640; the grid is whatever the backbone's maps are.
"""

import torch
from torch import Tensor, nn

from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.facts import Request
from striate.models.trunk import cut
from striate.models.yolo import Detector, boxes_of, conv

WIDTH = 512  # maps of the 3x3 convolution of the head


class YoloGrid(Detector):
    """A backbone up to the maps of one stride, a 3x3 convolution, a 1x1 convolution to boxes and classes."""

    head = "score"

    def __init__(self, backbone: Backbone, request: Request) -> None:
        super().__init__()
        self.input_shape = (request.in_channels, *request.size)
        self.boxes = boxes_of(request)
        self.widths, self.strides = backbone.widths, backbone.strides
        self.stem = f"backbone.{backbone.stem}"
        self.backbone, self.backbone_name = backbone, request.word("backbone")
        width = request.scaled(WIDTH)
        self.neck = conv(self.widths[-1], width, 3, norm=True)
        self.drop = dropout(request.number("drop_rate"))
        self.score = nn.Conv2d(width, self.channels(request.num_classes), 1)

    def initialise(self, generator: torch.Generator) -> None:
        """The backbone as its family does, the head He's."""
        self.backbone.initialise(generator)
        init.he_inputs(self.neck, generator)
        init.he_inputs(self.score, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """Those of the backbone down to the maps that the head reads."""
        return self.backbone.features(x)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to [B, 5 n + K, H / stride, W / stride]; see `Detector`."""
        return self.score(self.drop(self.neck(self.features(x)[-1])))


def build(request: Request) -> Backbone:
    """The backbone asked for, without what its maps do not need, and a head on it.

    Raises:
        ArgumentError: more than one number of boxes, or a backbone without maps of the stride.
        ShapeError: a size that the backbone cannot take.
    """
    backbone, _ = cut(request, [int(request.word("stride"))])
    return YoloGrid(backbone, request)
