"""A net of the catalogue below the head of another: built as far as its maps are needed, and maps fitted together.

B batch, C channels, H W pixels.
"""

from abc import ABC
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.models.backbone import Backbone
from striate.models.catalog import build, entry
from striate.models.row_types import Request
from striate.ops.padding import crop


def cut(request: Request, strides: Sequence[int]) -> tuple[Backbone, tuple[int, ...]]:
    """The net that the option `backbone` names, without the layers that its maps of some strides do not need.

    What is left keeps its name, so that weights of the whole net fit.

    Args:
        request: of the net whose head stands on it; channels, size and width are handed on.
        strides: of the maps; each must be one of the net's.

    Returns:
        The net, and where in its `features` the maps are, in the order of `strides`.

    Raises:
        ArgumentError: the net has no map of a stride.
        ShapeError: a size that the net cannot take.
    """
    name = request.word("backbone")
    have = entry(name).strides
    for stride in strides:
        if stride not in have:
            raise ArgumentError(
                f"{request.name}: backbone={name} has no maps of stride {stride}; it has some of "
                + ", ".join(map(str, have))
            )
    net = _net(name, request)
    with torch.device("meta"):
        twin = _net(name, request)
    levels = tuple(have.index(stride) for stride in strides)
    for each in (net, twin):
        each.keep_maps(max(levels) + 1)
    _drop(net, _needed(twin, levels))
    return net, levels


def strides_below(request: Request, most: int) -> tuple[int, ...]:
    """Strides, up to one, that the net which the option `backbone` names has maps of."""
    return tuple(stride for stride in entry(request.word("backbone")).strides if stride <= most)


class OnBackbone(Backbone, ABC):
    """A head on the maps of a backbone; `features` are those that the head reads.

    Attributes:
        backbone: without what these maps do not need.
        levels: where in its own `features` they are.
    """

    def __init__(self, request: Request, strides: Sequence[int]) -> None:
        super().__init__()
        self.input_shape = (request.in_channels, *request.size)
        self.backbone, self.levels = cut(request, strides)
        self.backbone_name = request.word("backbone")
        self.stem = f"backbone.{self.backbone.stem}"
        self.strides = tuple(strides)
        self.widths = tuple(self.backbone.widths[level] for level in self.levels)

    def features(self, x: Tensor) -> list[Tensor]:
        """Those of the backbone that the head reads, finest first."""
        maps = self.backbone.features(x)
        return [maps[level] for level in self.levels]


def fitted(x: Tensor, like: Tensor) -> Tensor:
    """Maps cut or continued at their edges until they are as large as others, the middle kept.

    Where one row or column is too many or too few, it is the last.
    """
    rows, columns = like.shape[2] - x.shape[2], like.shape[3] - x.shape[3]
    top, left = int(rows / 2), int(columns / 2)
    if rows < 0 or columns < 0:
        size = (min(x.shape[2], like.shape[2]), min(x.shape[3], like.shape[3]))
        x = crop(x, top=max(0, -top), left=max(0, -left), size=size)
    if rows > 0 or columns > 0:
        before, after = (max(0, top), max(0, left)), (max(0, rows - top), max(0, columns - left))
        x = F.pad(x, (before[1], after[1], before[0], after[0]), mode="replicate")
    return x


def _net(name: str, request: Request) -> Backbone:
    row = entry(name)
    size = (request.size[0], request.size[1])
    bare: dict[str, object] = {"auxiliary": False} if "auxiliary" in row.options else {}
    return build(
        name,
        in_channels=request.in_channels,
        size=size,
        width=request.width,
        init=False,
        **bare,  # pyright: ignore[reportArgumentType] - options take any value
    )


def _needed(net: Backbone, levels: Sequence[int]) -> set[str]:
    with torch.enable_grad():
        maps = net.eval().features(torch.empty(1, *net.input_shape, device="meta"))
        torch.stack([maps[level].sum() for level in levels]).sum().backward()
    return {name for name, parameter in net.named_parameters() if parameter.grad is not None}


def _drop(net: nn.Module, needed: set[str], path: str = "") -> None:
    """Take out of a net the children without a needed parameter; lists are looked into, blocks kept whole."""
    for name, child in list(net.named_children()):
        at = f"{path}{name}."
        own = [f"{at}{parameter}" for parameter, _ in child.named_parameters()]
        if own and not needed.intersection(own):
            net.set_submodule(name, nn.Identity())
        elif isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            _drop(child, needed, at)
