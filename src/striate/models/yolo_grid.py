"""You Only Look Once without linear layers: two convolutions on the maps of any backbone.

B batch, C channels, H W pixels, n boxes a cell, K classes. The answer, and the loss it learns by, are those of
Redmon et al. 2016, arXiv 1506.02640; the grid is whatever the backbone's maps are.
"""

import torch
from torch import Tensor, nn

from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.catalog import build as build_net
from striate.models.facts import Request
from striate.models.yolo import Detector, boxes_of, conv

WIDTH = 512  # maps of the 3x3 convolution of the head


class YoloGrid(Detector):
    """A backbone up to the maps of one stride, a 3x3 convolution, a 1x1 convolution to boxes and classes."""

    head = "score"

    def __init__(self, backbone: Backbone, level: int, request: Request) -> None:
        super().__init__()
        self.input_shape = (request.in_channels, *request.size)
        self.boxes = boxes_of(request)
        self.level = level
        self.widths, self.strides = backbone.widths[: level + 1], backbone.strides[: level + 1]
        self.stem = f"backbone.{backbone.stem}"
        self.backbone = backbone
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
        return self.backbone.features(x)[: self.level + 1]

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to [B, 5 n + K, H / stride, W / stride]; see `Detector`."""
        return self.score(self.drop(self.neck(self.features(x)[-1])))


def build(request: Request) -> Backbone:
    """The backbone asked for, without what its maps do not need, and a head on it.

    Raises:
        ArgumentError: more than one number of boxes.
        ShapeError: a size that the backbone cannot take.
    """
    backbone = _backbone(request)
    with torch.device("meta"):
        twin = _backbone(request)
    stride = int(request.word("stride"))
    level = max(i for i, s in enumerate(backbone.strides) if s == stride)
    _drop(backbone, _needed(twin, level))
    return YoloGrid(backbone, level, request)


def _backbone(request: Request) -> Backbone:
    return build_net(
        request.word("backbone"),
        in_channels=request.in_channels,
        size=(request.size[0], request.size[1]),
        width=request.width,
        init=False,
    )


def _needed(net: Backbone, level: int) -> set[str]:
    """Names of the parameters that one of the maps is computed from."""
    with torch.enable_grad():
        net.eval().features(torch.empty(1, *net.input_shape, device="meta"))[level].sum().backward()
    return {name for name, parameter in net.named_parameters() if parameter.grad is not None}


def _drop(net: nn.Module, needed: set[str], path: str = "") -> None:
    """Take out of a net the children without a needed parameter; lists are looked into, blocks kept whole."""
    for name, child in list(net.named_children()):
        at = f"{path}{name}."
        own = [f"{at}{parameter}" for parameter, _ in child.named_parameters()]
        if own and not needed.intersection(own):
            net.set_submodule(name, nn.Identity())
        elif isinstance(child, nn.Sequential | nn.ModuleList):
            _drop(child, needed, at)
