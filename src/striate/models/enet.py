"""ENet: a large encoder that halves the maps early, a small decoder that puts maxima back where they were.

B batch, C channels, H W pixels, K classes. Paszke, Chaurasia, Kim and Culurciello 2016, arXiv 1606.02147,
table 1 and fig. 2; biases and eps, which the paper leaves open, as in the authors' program. That program ends
with a 2x2 full convolution; the paper's is 3x3, and only with it the parameters round to the printed 0.37M.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.layers.pool import GlobalAvgPool
from striate.models import init
from striate.models.backbone import Backbone
from striate.models.row_types import Request

STRIDE = 8  # of the encoder
SQUEEZE = 4  # a bottleneck convolves a quarter of its maps
EPS = 1e-3


class Pooled(NamedTuple):
    """Halved maps, and the places of the maxima among the maps they came from."""

    maps: Tensor
    places: Tensor


def norm(width: int) -> nn.BatchNorm2d:
    """Batch normalisation with the authors' eps."""
    return nn.BatchNorm2d(width, eps=EPS)


class Initial(nn.Module):
    """A strided 3x3 convolution beside the pooled picture: fig. 2, left."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, width - inputs, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.norm = norm(width)
        self.act = nn.PReLU(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, width, H / 2, W / 2]."""
        return self.act(self.norm(torch.cat((self.conv(x), self.pool(x)), 1)))


def regular(width: int) -> nn.Module:
    """A 3x3 convolution."""
    return nn.Conv2d(width, width, 3, padding=1)


def dilated_conv(width: int, *, dilation: int) -> nn.Module:
    """A 3x3 convolution that reads every `dilation`-th pixel."""
    return nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)


def asymmetric(width: int) -> nn.Module:
    """A 5x5 convolution as a column and a row."""
    return nn.Sequential(
        nn.Conv2d(width, width, (5, 1), padding=(2, 0), bias=False),
        nn.Conv2d(width, width, (1, 5), padding=(0, 2)),
    )


def upward(inputs: int, outputs: int) -> nn.Module:
    """A 3x3 full convolution that doubles the maps."""
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)


def extension(
    inputs: int, width: int, middle: nn.Module, *, first: int = 1, drop_rate: float = 0.0
) -> nn.Sequential:
    """Project to a quarter of `width`, convolve, expand, drop whole maps; `first` is the projection's kernel and stride."""
    inner = width // SQUEEZE
    return nn.Sequential(
        nn.Conv2d(inputs, inner, first, stride=first, bias=False),
        norm(inner),
        nn.PReLU(inner),
        middle,
        norm(inner),
        nn.PReLU(inner),
        nn.Conv2d(inner, width, 1, bias=False),
        norm(width),
        nn.Dropout2d(drop_rate) if drop_rate else nn.Identity(),
    )


class Bottleneck(nn.Module):
    """The maps and their extension, added: fig. 2, right."""

    def __init__(self, middle: nn.Module, width: int, *, drop_rate: float) -> None:
        super().__init__()
        self.extension = extension(width, width, middle, drop_rate=drop_rate)
        self.act = nn.PReLU(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] to the same."""
        return self.act(self.extension(x) + x)


class Down(nn.Module):
    """A bottleneck that halves the maps by pooling, and adds maps of zeros."""

    def __init__(self, inputs: int, width: int, *, drop_rate: float) -> None:
        super().__init__()
        middle = regular(width // SQUEEZE)
        self.extension = extension(inputs, width, middle, first=2, drop_rate=drop_rate)
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.act = nn.PReLU(width)

    def forward(self, x: Tensor) -> Pooled:
        """[B, inputs, H, W] to [B, width, H / 2, W / 2]."""
        pooled, places = self.pool(x)
        y = self.extension(x)
        wider = F.pad(pooled, (0, 0, 0, 0, 0, y.shape[1] - pooled.shape[1]))
        return Pooled(self.act(y + wider), places)


class Up(nn.Module):
    """A bottleneck that doubles the maps by unpooling."""

    def __init__(self, inputs: int, width: int, *, drop_rate: float) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Conv2d(inputs, width, 1, bias=False), norm(width))
        middle = upward(width // SQUEEZE, width // SQUEEZE)
        self.extension = extension(inputs, width, middle, drop_rate=drop_rate)
        self.act = nn.PReLU(width)

    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        """[B, inputs, h, w] and places [B, width, h, w] to [B, width, 2 h, 2 w]."""
        unpooled = F.max_unpool2d(self.project(x), places, (2, 2))
        return self.act(self.extension(x) + unpooled)


def section(width: int, *, drop_rate: float) -> list[nn.Module]:
    """The eight bottlenecks of section 2, which section 3 repeats."""
    inner = width // SQUEEZE
    middles = (
        regular(inner),
        dilated_conv(inner, dilation=2),
        asymmetric(inner),
        dilated_conv(inner, dilation=4),
        regular(inner),
        dilated_conv(inner, dilation=8),
        asymmetric(inner),
        dilated_conv(inner, dilation=16),
    )
    return [Bottleneck(middle, width, drop_rate=drop_rate) for middle in middles]


def plain(width: int, count: int, *, drop_rate: float) -> list[nn.Module]:
    """Bottlenecks with 3x3 convolutions."""
    return [Bottleneck(regular(width // SQUEEZE), width, drop_rate=drop_rate) for _ in range(count)]


class Encoder(Backbone):
    """Sections initial to 3 of table 1, under its names."""

    strides = (2, 4, 8)
    stem = "initial.conv"

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.input_shape = (request.in_channels, *request.size)
        fine, middle, coarse = (request.scaled(n, multiple=SQUEEZE) for n in (16, 64, 128))
        # The initial block holds the picture's own channels beside at least one map.
        fine = max(fine, SQUEEZE * (request.in_channels // SQUEEZE + 1))
        rate = request.number("drop_rate")
        early = rate / 10  # 0.01 before bottleneck2.0, 0.1 from there on
        self.widths = (fine, middle, coarse)
        self.initial = Initial(request.in_channels, fine)
        self.bottleneck1 = nn.ModuleList(
            [Down(fine, middle, drop_rate=early), *plain(middle, 4, drop_rate=early)]
        )
        self.bottleneck2 = nn.ModuleList(
            [Down(middle, coarse, drop_rate=rate), *section(coarse, drop_rate=rate)]
        )
        self.bottleneck3 = nn.ModuleList(section(coarse, drop_rate=rate))

    def initialise(self, generator: torch.Generator) -> None:
        """Torch's default, as in the authors' program: uniform convolutions, slopes of 0.25."""
        init.as_torch(self, generator)
        with torch.no_grad():
            for act in self.modules():
                if isinstance(act, nn.PReLU):
                    act.weight.fill_(0.25)

    def _encode(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The maps at each stride, and the places of the maxima in the finer two."""
        maps: list[Tensor] = [self.initial(x)]
        places: list[Tensor] = []
        stages = (self.bottleneck1, (*self.bottleneck2, *self.bottleneck3))
        for down, *others in stages[: len(self.widths) - 1]:
            x, where = down(maps[-1])
            for layer in others:
                x = layer(x)
            maps.append(x)
            places.append(where)
        return maps, places

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the initial block and of sections 1 and 3, at strides 2, 4 and 8."""
        return self._encode(x)[0]


class ENet(Encoder):
    """The encoder and sections 4 and 5, which put maxima back where they were."""

    head = "fullconv"

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        fine, middle, coarse = self.widths
        rate = request.number("drop_rate")
        self.bottleneck4 = nn.ModuleList(
            [Up(coarse, middle, drop_rate=rate), *plain(middle, 2, drop_rate=rate)]
        )
        self.bottleneck5 = nn.ModuleList(
            [Up(middle, fine, drop_rate=rate), *plain(fine, 1, drop_rate=rate)]
        )
        self.fullconv = upward(fine, request.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to logits [B, K, H, W].

        Raises:
            ShapeError: a side that cannot be halved three times.
        """
        _check_sides((x.shape[2], x.shape[3]))
        maps, places = self._encode(x)
        y = maps[-1]
        for up, *others in (self.bottleneck4, self.bottleneck5):
            y = up(y, places.pop())
            for layer in others:
                y = layer(y)
        return self.fullconv(y)


class ENetClassifier(Encoder):
    """The encoder, the mean of each map, one linear layer: what is trained on ImageNet before the decoder is attached."""

    head = "fc"

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.avgpool = GlobalAvgPool()
        self.fc = nn.Linear(self.widths[-1], request.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to logits [B, K]."""
        return self.fc(torch.flatten(self.avgpool(self.features(x)[-1]), 1))


def build(request: Request) -> Backbone:
    """The net at the sizes asked for; `width` keeps channels multiples of 4.

    Raises:
        ShapeError: a side that cannot be halved three times.
    """
    _check_sides(request.size, request.name)
    return (ENetClassifier if request.name == "enet_imagenet" else ENet)(request)


def _check_sides(size: tuple[int, ...], name: str = "enet") -> None:
    height, width = size
    if height % STRIDE or width % STRIDE:
        fits = [-(-side // STRIDE) * STRIDE for side in size]
        raise ShapeError(
            f"{name}: halves a picture three times, so sides are multiples of {STRIDE}; got "
            f"{height}x{width}; pad or resize to {fits[0]}x{fits[1]}"
        )
