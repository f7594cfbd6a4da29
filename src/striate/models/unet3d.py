"""3D U-Net: U-Net over volumes, three levels down and up, channels doubled before a pooling and not behind it.

B batch, C channels, D H W voxels, K classes. Cicek, Abdulkadir, Lienkamp, Brox and Ronneberger 2016,
arXiv 1606.06650, fig. 2: tiles of 132 x 132 x 116 voxels in, 44 x 44 x 28 out.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import ShapeError
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request

WIDTHS = (
    64,
    128,
    256,
    512,
)  # behind the second convolution of each level; the first has half of it
MULTIPLE = 2
BORDER = 88  # voxels that valid convolutions take from a side


class Double(nn.Sequential):
    """Two 3x3x3 convolutions, each with batch normalisation, unless left out, and an activation."""

    def __init__(self, widths: tuple[int, int, int], *, padded: bool, norm: bool) -> None:
        super().__init__()
        for number, (inputs, width) in enumerate(itertools.pairwise(widths), start=1):
            conv = nn.Conv3d(inputs, width, 3, padding=int(padded), bias=not norm)
            self.add_module(f"conv{number}", conv)
            if norm:
                self.add_module(f"bn{number}", nn.BatchNorm3d(width))
            self.add_module(f"relu{number}", nn.ReLU(inplace=True))


class UNet3D(Backbone):
    """Four levels down, three up, a 1x1x1 convolution to the classes."""

    strides = (1, 2, 4, 8)
    stem = "down.0.conv1"
    head = "score"

    def __init__(self, request: Request, *, padded: bool) -> None:
        super().__init__()
        norm = request.flag("batch_norm")
        self.input_shape = (request.in_channels, *request.size)
        self.padded = padded
        self.widths = tuple(request.scaled(width, multiple=MULTIPLE) for width in WIDTHS)
        inputs = (request.in_channels, *self.widths)
        self.down = nn.ModuleList(
            Double((before, width // 2, width), padded=padded, norm=norm)
            for before, width in zip(inputs, self.widths, strict=False)
        )
        self.pool = nn.MaxPool3d(2, ceil_mode=padded)
        self.drop = dropout(request.number("drop_rate"))
        steps = list(zip(self.widths[:0:-1], self.widths[-2::-1], strict=True))
        self.grow = nn.ModuleList(
            nn.ConvTranspose3d(below, below, 2, stride=2, bias=False) for below, _ in steps
        )
        self.up = nn.ModuleList(
            Double((below + width, width, width), padded=padded, norm=norm)
            for below, width in steps
        )
        self.score = nn.Conv3d(self.widths[0], request.num_classes, 1)

    def initialise(self, generator: torch.Generator) -> None:
        """He's, by the numbers that one output value reads; the paper names none."""
        init.he_inputs(self, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """The last maps of each level on the way down."""
        maps: list[Tensor] = []
        for convs in self.down:
            x = convs(self.pool(x) if maps else x)
            maps.append(x)
            if len(maps) == len(self.widths):
                break
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Volumes [B, C, D, H, W] to logits [B, K, D', H', W']; D' is D - 88 without padding, else D.

        Raises:
            ShapeError: without padding, a side that is not halved evenly.
        """
        if not self.padded:
            _check_sides("unet3d", tuple(x.shape[2:]))
        *copies, x = self.features(x)
        x = self.drop(x)
        for grow, convs, copied in zip(self.grow, self.up, reversed(copies), strict=True):
            x = grow(x)
            size = [min(a, b) for a, b in zip(x.shape[2:], copied.shape[2:], strict=True)]
            x = convs(torch.cat((_middle(copied, size), _middle(x, size)), 1))
        return self.score(x)


def _middle(x: Tensor, size: list[int]) -> Tensor:
    """The middle of each map; where an odd number is cut, one more at the end."""
    pads: list[int] = []
    for have, want in zip(reversed(x.shape[2:]), reversed(size), strict=True):
        before = (have - want) // 2
        pads += [-before, want - have + before]
    return F.pad(x, pads) if any(pads) else x


def build(request: Request) -> Backbone:
    """The net at the sizes asked for.

    Raises:
        ShapeError: a side of which valid convolutions and poolings leave odd maps, or none.
    """
    padded = request.name == "unet3d_same"
    if not padded:
        _check_sides(request.name, request.size)
    return UNet3D(request, padded=padded)


def _check_sides(name: str, size: tuple[int, ...]) -> None:
    """An answer of 8 n + 4 voxels comes from volumes of 8 n + 92, and nothing else is halved evenly."""
    if all(side >= BORDER + 4 and (side - BORDER) % 8 == 4 for side in size):
        return
    raise ShapeError(
        f"{name}: valid convolutions and even poolings take sides of 92, 100, 108 and on by 8; "
        f"got {'x'.join(map(str, size))}; resize or pad, or use unet3d_same"
    )
