"""Fully convolutional VGG-16: linear layers become convolutions, scores of coarse and fine maps add up.

B batch, C channels, H W pixels, K classes. Long, Shelhamer and Darrell 2015, arXiv 1411.4038, fig. 3 and
section 4; layers, paddings and crops are those of the authors' released nets, and so are the names.

`FCNBackbone` scores the three coarsest maps of any backbone, with linear interpolation for every upsampling
(section 4.2) and without the linear layers of the backbone.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.on_backbone import OnBackbone, fitted, strides_below
from striate.models.row_types import Request
from striate.ops.padding import crop

VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # maps and convolutions of each level
UNITS = 4096
# The first convolution is padded so far that the 7x7 of fc6 fits into the maps of any picture.
PADDING = 100
SCORED = 3  # maps of a backbone that are scored
COARSEST = 32  # stride of the coarsest of them


@dataclass(frozen=True)
class Skip:
    """The scores of finer maps, added to doubled coarse ones.

    Attributes:
        score: name of the 1x1 convolution that scores the finer maps.
        up: name of the learnt upsampling of the scores so far.
        crop: first row and column of the finer scores that lie under the coarse ones.
        scale: of the finer maps, where all is trained at once instead of in stages.
    """

    score: str
    up: str
    crop: int
    scale: float


SKIPS = (
    Skip(score="score_pool4", up="upscore2", crop=5, scale=0.01),
    Skip(score="score_pool3", up="upscore_pool4", crop=9, scale=0.0001),
)


@dataclass(frozen=True)
class Spec:
    """How many finer scores are added, pixels of the last upsampling, its rows and columns cut off first."""

    skips: int
    stride: int
    crop: int


SPECS = {
    "fcn32s": Spec(skips=0, stride=32, crop=19),
    "fcn16s": Spec(skips=1, stride=16, crop=27),
    "fcn8s": Spec(skips=2, stride=8, crop=31),
}


def bilinear(stride: int) -> Tensor:
    """The kernel [2 stride, 2 stride] that a transposed convolution interpolates linearly with."""
    ramp = 1 - (torch.arange(2 * stride) - (stride - 0.5)).abs() / stride
    return ramp[:, None] * ramp


class Upsample(nn.Module):
    """Linear interpolation by a fixed transposed convolution, each map by itself, zeros around."""

    kernel: Tensor

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.register_buffer("kernel", bilinear(stride)[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] to [B, C, (h + 1) stride, (w + 1) stride]."""
        maps = x.shape[1]
        kernel = self.kernel.expand(maps, -1, -1, -1)
        return F.conv_transpose2d(x, kernel, stride=self.stride, groups=maps)


class FCN(Backbone):
    """VGG-16 without its last layer, scores of its maps, upsampling to the size of the picture."""

    strides = (8, 16, 32)
    stem = "conv1_1"
    head = "score_fr"

    def __init__(self, spec: Spec, request: Request) -> None:
        super().__init__()
        self.input_shape = (request.in_channels, *request.size)
        self.crop, self.skips = spec.crop, SKIPS[: spec.skips]
        self.scaled = spec.skips > 0 and request.flag("at_once")
        self.levels: list[list[str]] = []
        inputs = request.in_channels
        for level, (maps, depth) in enumerate(VGG16, 1):
            self.levels.append([f"conv{level}_{i}" for i in range(1, depth + 1)])
            for name in self.levels[-1]:
                padding = PADDING if name == self.stem else 1
                self.add_module(name, nn.Conv2d(inputs, request.scaled(maps), 3, padding=padding))
                inputs = request.scaled(maps)
        units = request.scaled(UNITS)
        self.widths = (request.scaled(256), request.scaled(512), units)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.relu = nn.ReLU(inplace=True)
        self.fc6 = nn.Conv2d(inputs, units, 7)
        self.fc7 = nn.Conv2d(units, units, 1)
        self.drop = dropout(request.number("drop_rate"))
        self._score(request.num_classes)
        self.upscore = Upsample(spec.stride)

    def _score(self, num_classes: int) -> None:
        self.score_fr = nn.Conv2d(self.widths[2], num_classes, 1)
        for skip, width in zip(self.skips, self.widths[1::-1], strict=False):
            up = nn.ConvTranspose2d(num_classes, num_classes, 4, stride=2, bias=False)
            self.add_module(skip.up, up)
            self.add_module(skip.score, nn.Conv2d(width, num_classes, 1))

    @property
    def class_layers(self) -> tuple[str, ...]:
        """Paths of the scores of finer maps and of the upsampling between."""
        return tuple(name for skip in self.skips for name in (skip.up, skip.score))

    def initialise(self, generator: torch.Generator) -> None:
        """He's for VGG-16, zeros for the scores, linear interpolation for the upsampling (section 4.3)."""
        init.he(self, generator)
        self._begin()

    def _begin(self) -> None:
        with torch.no_grad():
            for layer in map(self.get_submodule, (self.head, *self.class_layers)):
                if isinstance(layer, nn.ConvTranspose2d):
                    layer.weight.zero_().diagonal().copy_(bilinear(2)[..., None])
                elif isinstance(layer, nn.Conv2d) and layer.bias is not None:
                    layer.weight.zero_()
                    layer.bias.zero_()

    def reset_head(self, num_classes: int, *, generator: torch.Generator | None = None) -> None:  # noqa: ARG002 - nothing is drawn
        """New layers as wide as the answer; they begin at zero and at linear interpolation."""
        place = self.score_fr.weight
        with init.skipped():
            self._score(num_classes)
        for name in (self.head, *self.class_layers):
            self.get_submodule(name).to(place.device, place.dtype)
        self._begin()

    def _trunk(self, x: Tensor) -> list[Tensor]:
        """The maps of pool3, pool4 and fc7, with what the padding of the first layer adds around."""
        maps: list[Tensor] = []
        for level in self.levels:
            for name in level:
                x = self.relu(getattr(self, name)(x))
            x = self.pool(x)
            maps.append(x)
        x = self.drop(self.relu(self.fc6(x)))
        return [*maps[2:4], self.drop(self.relu(self.fc7(x)))]

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of pool3, pool4 and fc7 that lie over the picture, at strides 8, 16 and 32."""
        maps = self._trunk(x)
        for i, (stride, first) in enumerate(zip(self.strides, (12, 6, 0), strict=True)):
            rows, columns = -(-x.shape[2] // stride), -(-x.shape[3] // stride)
            maps[i] = maps[i][:, :, first : first + rows, first : first + columns]
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] of any size to logits [B, K, H, W]."""
        *finer, coarse = self._trunk(x)
        y = self.score_fr(coarse)
        for skip, maps in zip(self.skips, reversed(finer), strict=False):
            y = getattr(self, skip.up)(y)
            score = getattr(self, skip.score)(maps * skip.scale if self.scaled else maps)
            y = y + _cut(score, skip.crop, y)
        return _cut(self.upscore(y), self.crop, x)


def _cut(x: Tensor, first: int, like: Tensor) -> Tensor:
    return crop(x, top=first, left=first, size=(like.shape[2], like.shape[3]))


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
    """A row of `SPECS` at the sizes asked for, which any picture fits, or scores on the backbone asked for.

    Raises:
        ShapeError: a size that the backbone cannot take.
    """
    if request.name == "fcn":
        return FCNBackbone(request)
    return FCN(SPECS[request.name], request)
