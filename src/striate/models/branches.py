"""What the Inception nets are made of: normalised convolutions, branches side by side, layers in a row by name.

B batch, C channels, H W pixels. Widths in tables are the published ones; `Request.scaled` makes them ours.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from striate.layers.pool import GlobalAvgPool
from striate.models.backbone import Backbone, dropout
from striate.models.row_types import Request
from striate.models.stages import Step

MULTIPLE = 8  # widths are kept multiples of it, which fast kernels like


class Conv(NamedTuple):
    """One convolution of a table: maps, kernel (a side, or height and width), stride, whether it is padded."""

    maps: int
    kernel: int | tuple[int, int] = 1
    stride: int = 1
    padded: bool = True

    def scaled(self, request: Request) -> "Conv":
        """The same at the width asked for."""
        return self._replace(maps=request.scaled(self.maps, multiple=MULTIPLE))

    def layer(self, inputs: int, *, bias: bool = False) -> nn.Conv2d:
        """The convolution itself; padding keeps the size at stride 1."""
        sides = self.kernel if isinstance(self.kernel, tuple) else (self.kernel, self.kernel)
        padding = (sides[0] // 2, sides[1] // 2) if self.padded else 0
        return nn.Conv2d(inputs, self.maps, sides, stride=self.stride, padding=padding, bias=bias)


class ConvNorm(nn.Module):
    """A convolution, batch normalisation and ReLU."""

    def __init__(self, inputs: int, conv: Conv, *, bias: bool = False, eps: float = 1e-3) -> None:
        super().__init__()
        self.conv = conv.layer(inputs, bias=bias)
        self.bn = nn.BatchNorm2d(conv.maps, eps=eps)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, maps, H / stride, W / stride]."""
        return self.relu(self.bn(self.conv(x)))


class Mean(NamedTuple):
    """The mean over 3x3 windows and a 1x1 convolution of it: maps, and whether zeros beyond the edge count."""

    maps: int
    zeros: bool = False


class MeanConvNorm(ConvNorm):
    """What a `Mean` stands for. Both steps are linear, so they may change places: fewer maps are left to average."""

    def __init__(self, inputs: int, mean: Mean) -> None:
        super().__init__(inputs, Conv(mean.maps))
        self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=mean.zeros)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, maps, H, W]."""
        return self.relu(self.bn(self.pool(self.conv(x))))


class ConvReLU(nn.Module):
    """A convolution with biases and ReLU."""

    def __init__(self, inputs: int, conv: Conv) -> None:
        super().__init__()
        self.conv = conv.layer(inputs, bias=True)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, maps, H / stride, W / stride]."""
        return self.relu(self.conv(x))


class MaxPool(nn.MaxPool2d):
    """Maxima of windows; on a CPU, where no gradient is asked for, by way of channels_last.

    PyTorch's kernel for the plain layout takes five to ten times as long as the other one there, longer than
    that and two copies: in nets with a pooling in every module half of their time. Gradients would come back
    turned, which slows down what reads them.
    """

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C, H / stride, W / stride], in the layout that came."""
        turned = input
        plain = input.device.type == "cpu" and input.is_contiguous()
        if plain and not (input.requires_grad or torch.compiler.is_compiling()):
            turned = input.contiguous(memory_format=torch.channels_last)
        pooled = cast("Tensor", super().forward(turned))
        return pooled.contiguous() if plain else pooled


Block = Callable[[int, Conv], nn.Module]  # what a convolution of a table stands for
Layer = Conv | Mean | Step | Callable[[], nn.Module]  # a Step is a maximum; others have no weights
Table = Mapping[
    str, Sequence[str | Layer]
]  # branches by name; one that goes on from another opens with its name


class Link(NamedTuple):
    """One layer of a net, its name, and how many maps it gives."""

    name: str
    layer: nn.Module
    maps: int


def made(
    request: Request, inputs: int, layer: Layer, *, block: Block = ConvNorm
) -> tuple[nn.Module, int]:
    """One layer of a table at the width asked for, and how many maps it gives."""
    if isinstance(layer, Conv):
        conv = layer.scaled(request)
        return block(inputs, conv), conv.maps
    if isinstance(layer, Mean):
        maps = request.scaled(layer.maps, multiple=MULTIPLE)
        return MeanConvNorm(inputs, Mean(maps, layer.zeros)), maps
    if isinstance(layer, Step):
        kernel, stride, padding, ceil_mode = layer
        return MaxPool(kernel, stride, padding=padding, ceil_mode=ceil_mode), inputs
    return layer(), inputs


class Branches(nn.Module):
    """Branches that read the same maps or go on from one another; what their ends give stands side by side.

    Args:
        request: the width asked for.
        inputs: maps that come in.
        table: the layers of each branch; one layer alone has the name of its branch itself.
        block: what a convolution stands for.

    Attributes:
        maps: of all ends together.
    """

    def __init__(
        self, request: Request, inputs: int, table: Table, *, block: Block = ConvNorm
    ) -> None:
        super().__init__()
        counts = {"": inputs}
        self.sources: dict[str, str] = {}
        for name, branch in table.items():
            source = branch[0] if isinstance(branch[0], str) else ""
            layers, maps = list[nn.Module](), counts[source]
            for layer in branch:
                if not isinstance(layer, str):
                    one, maps = made(request, maps, layer, block=block)
                    layers.append(one)
            self.add_module(name, layers[0] if len(layers) == 1 else nn.Sequential(*layers))
            self.sources[name], counts[name] = source, maps
        self.ends = [name for name in table if name not in self.sources.values()]
        self.maps = sum(counts[name] for name in self.ends)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, maps, H / stride, W / stride]."""
        found = {"": x}
        for name, source in self.sources.items():
            found[name] = getattr(self, name)(found[source])
        return torch.cat([found[name] for name in self.ends], 1)


def numbered(name: str, *layers: Layer) -> Table:
    """A branch whose layers are named one by one, from 1 up."""
    table: dict[str, Sequence[str | Layer]] = {f"{name}_1": layers[:1]}
    for place, layer in enumerate(layers[1:], start=2):
        table[f"{name}_{place}"] = (f"{name}_{place - 1}", layer)
    return table


def link(
    request: Request, inputs: int, name: str, entry: Layer | Table, *, block: Block = ConvNorm
) -> Link:
    """One layer of a net that reads `inputs` maps; a table stands for branches."""
    if isinstance(entry, Mapping):
        branches = Branches(request, inputs, entry, block=block)
        return Link(name, branches, branches.maps)
    return Link(name, *made(request, inputs, entry, block=block))


def links(
    request: Request, table: Mapping[str, Layer | Table], *, block: Block = ConvNorm
) -> Iterator[Link]:
    """The layers of a net by name, each reading the one before."""
    maps = request.in_channels
    for name, entry in table.items():
        found = link(request, maps, name, entry, block=block)
        maps = found.maps
        yield found


class Chain(Backbone):
    """Layers in a row by name, and the mean over each of the last maps into one linear layer.

    Attributes:
        chain: names of the layers in their order.
        ends: those whose maps `features` gives.
        counts: maps of each layer.
        beside: by the name of each auxiliary classifier, the layer whose maps it reads.
        shares: weights of the auxiliary losses, in the order of `beside`.
    """

    ends: tuple[str, ...]
    shares: tuple[float, ...] = ()

    def __init__(self, request: Request, row: Iterator[Link]) -> None:
        super().__init__()
        self.input_shape = (request.in_channels, *request.size)
        self.counts: dict[str, int] = {}
        for name, layer, maps in row:
            self.add_module(name, layer)
            self.counts[name] = maps
        self.chain = tuple(self.counts)
        self.widths = tuple(self.counts[name] for name in self.ends)
        self.beside: Mapping[str, str] = {}
        self.avgpool = GlobalAvgPool()
        self.drop = dropout(request.number("drop_rate"))
        self.add_module(self.head, nn.Linear(self.counts[self.chain[-1]], request.num_classes))

    def maps(self, x: Tensor, behind: Collection[str]) -> dict[str, Tensor]:
        """What the layers named in `behind` give."""
        found: dict[str, Tensor] = {}
        for name in self.chain:
            x = getattr(self, name)(x)
            if name in behind:
                found[name] = x
            if len(found) == len(behind):
                break
        return found

    def features(self, x: Tensor) -> list[Tensor]:
        """The last maps of each resolution."""
        return list(self.maps(x, self.ends[: len(self.widths)]).values())

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to logits [B, classes]."""
        (last,) = self.maps(x, self.chain[-1:]).values()
        return self.answer(last)

    def answer(self, x: Tensor) -> Tensor:
        """The last maps [B, C, H, W] to logits [B, classes]."""
        return getattr(self, self.head)(self.drop(torch.flatten(self.avgpool(x), 1)))

    def objective(
        self, x: Tensor, target: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """In training the loss of the answer, and that of each auxiliary classifier times its share."""
        if not self.training:
            return super().objective(x, target, loss)
        maps = self.maps(x, {*self.beside.values(), self.chain[-1]})
        answer = self.answer(maps[self.chain[-1]])
        value = loss(answer, target)
        for (name, layer), share in zip(self.beside.items(), self.shares, strict=True):
            value = value + share * loss(getattr(self, name)(maps[layer]), target)
        return answer, value
