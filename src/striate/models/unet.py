"""U-Net: halve and double the maps four times, then back up with a copy of each level beside.

B batch, C channels, H W pixels, K classes. Ronneberger, Fischer and Brox 2015, arXiv 1505.04597, fig. 1.
Where the figure leaves a choice the authors' released net decides: dropout closes the last two levels of
the path down, an activation follows every up-convolution, and its maps stand before the copied ones.

`UNetBackbone` puts a net of the catalogue in the place of the way down: every doubling has the backbone's map of the
same stride beside it, where there is one. Batch normalisation, and half as many maps at each finer stride down to
16, are ours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.on_backbone import OnBackbone, fitted, strides_below
from striate.models.row_types import Request
from striate.ops.padding import crop

WIDTHS = (64, 128, 256, 512, 1024)
FINEST = 16  # on a backbone: maps at the size of the picture
WIDEST = 256
COARSEST = 32  # stride of the coarsest maps of a backbone that are read
SMALLEST = 4  # side of the coarsest maps from which one pixel is left on the way up


@dataclass(frozen=True)
class Spec:
    """Whether the 3x3 convolutions are padded; valid ones lose a border and their copies are cropped."""

    padded: bool


SPECS = {"unet": Spec(padded=False), "unet_same": Spec(padded=True)}


class Double(nn.Sequential):
    """Two 3x3 convolutions, each with an activation; batch normalisation between as an option."""

    def __init__(self, inputs: int, width: int, *, padded: bool, norm: bool) -> None:
        super().__init__()
        for number, channels in ((1, inputs), (2, width)):
            self.add_module(
                f"conv{number}",
                nn.Conv2d(channels, width, 3, padding=int(padded), bias=not norm),
            )
            if norm:
                self.add_module(f"bn{number}", nn.BatchNorm2d(width))
            self.add_module(f"relu{number}", nn.ReLU(inplace=True))


class Up(nn.Module):
    """A 2x2 up-convolution that halves the maps, a copy from the way down beside them, a `Double`."""

    def __init__(self, inputs: int, width: int, *, padded: bool, norm: bool) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, width, 2, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.convs = Double(2 * width, width, padded=padded, norm=norm)

    def forward(self, x: Tensor, copied: Tensor) -> Tensor:
        """Coarse maps [B, inputs, h, w] and finer ones [B, width, H, W] to [B, width, H', W']."""
        x = self.relu(self.up(x))
        size = (min(x.shape[2], copied.shape[2]), min(x.shape[3], copied.shape[3]))
        return self.convs(torch.cat((_middle(x, size), _middle(copied, size)), 1))


def _middle(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle of each map; where an odd number is cut, one more at the end."""
    top, left = (x.shape[2] - size[0]) // 2, (x.shape[3] - size[1]) // 2
    return crop(x, top=top, left=left, size=size)


class UNet(Backbone):
    """Five levels down, four up, a 1x1 convolution to the classes."""

    strides = (1, 2, 4, 8, 16)
    stem = "down.0.conv1"
    head = "score"

    def __init__(self, spec: Spec, request: Request) -> None:
        super().__init__()
        norm = "batch_norm" in request.options and request.flag("batch_norm")
        rate = request.number("drop_rate")
        self.input_shape = (request.in_channels, *request.size)
        self.padded = spec.padded
        self.widths = tuple(request.scaled(width) for width in WIDTHS)
        inputs = (request.in_channels, *self.widths)
        self.down = nn.ModuleList(
            Double(before, width, padded=spec.padded, norm=norm)
            for before, width in zip(inputs, self.widths, strict=False)
        )
        # In ceil mode no pixel of an odd map is lost: the way up overlaps and is cropped.
        self.pool = nn.MaxPool2d(2, ceil_mode=spec.padded)
        self.drops = nn.ModuleList(dropout(rate if level > 2 else 0) for level in range(5))
        self.up = nn.ModuleList(
            Up(below, width, padded=spec.padded, norm=norm)
            for below, width in zip(self.widths[:0:-1], self.widths[-2::-1], strict=True)
        )
        self.score = nn.Conv2d(self.widths[0], request.num_classes, 1)

    def initialise(self, generator: torch.Generator) -> None:
        """He's, by the numbers that one output value reads (section 3)."""
        init.he_inputs(self, generator)

    def features(self, x: Tensor) -> list[Tensor]:
        """The last maps of each level on the way down."""
        maps: list[Tensor] = []
        for convs, drop in zip(self.down, self.drops, strict=True):
            x = drop(convs(self.pool(x) if maps else x))
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to logits [B, K, H', W']; H' is H - 184 without padding, else H.

        Raises:
            ShapeError: without padding, a side that is not halved evenly.
        """
        if not self.padded:
            _check_sides("unet", (x.shape[2], x.shape[3]))
        *copies, x = self.features(x)
        for up, copied in zip(self.up, reversed(copies), strict=True):
            x = up(x, copied)
        return self.score(x)


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
    """A row of `SPECS` at the sizes asked for, or the way up on the backbone asked for.

    Raises:
        ShapeError: a side of which valid convolutions and poolings leave odd maps, or none; a size that
            the backbone cannot take.
    """
    if request.word("backbone") != "own":
        return UNetBackbone(request)
    spec = SPECS[request.name]
    if not spec.padded:
        _check_sides(request.name, request.size)
    return UNet(spec, request)


def _check_sides(name: str, size: tuple[int, ...]) -> None:
    """Coarsest maps of n pixels come from pictures of 16 n + 124, and nothing else is halved evenly."""
    fits = {side: _nearest_sides(side) for side in size}
    if any(side not in near for side, near in fits.items()):
        height, width = size
        nearest = [f"{' or '.join(map(str, near))} for {side}" for side, near in fits.items()]
        raise ShapeError(
            f"{name}: valid convolutions and even poolings take sides of 188, 204, 220 and on "
            f"by 16; got {height}x{width}; resize or pad to {', '.join(nearest)}, or use unet_same"
        )


def _nearest_sides(side: int) -> tuple[int, ...]:
    coarsest, rest = divmod(side - 124, 16)
    near = (coarsest,) if rest == 0 else (coarsest, coarsest + 1)
    return tuple(sorted({16 * max(n, SMALLEST) + 124 for n in near}))
