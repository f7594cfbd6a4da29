"""Nets that are one row of layers: maps handed out on the way, and the least picture that fits through."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, Self, cast

from torch import Tensor, nn

from striate.models.backbone import Backbone
from striate.models.row_types import Request
from striate.shapes import in_size, out_size


class Stages(nn.Sequential):
    """Layers in a row, stage by stage; gives the maps behind each stage, finest first.

    Args:
        stages: the layers of each.
        names: of all layers in turn; None numbers them.
    """

    def __init__(
        self, stages: Sequence[Sequence[nn.Module]], *, names: Sequence[str] | None = None
    ) -> None:
        layers = [layer for stage in stages for layer in stage]
        named = map(str, range(len(layers))) if names is None else names
        super().__init__(OrderedDict(zip(named, layers, strict=True)))
        self.ends = tuple(count - 1 for count in accumulate(map(len, stages)))

    @classmethod
    def named(cls, stages: Sequence[Mapping[str, nn.Module]]) -> Self:
        """Stages whose layers come with their names."""
        names = [name for stage in stages for name in stage]
        return cls([list(stage.values()) for stage in stages], names=names)

    def forward(self, input: Tensor) -> list[Tensor]:
        """[B, C, H, W] to the maps of each resolution."""
        maps: list[Tensor] = []
        x = input
        for place, layer in enumerate(self):
            x = layer(x)
            if place in self.ends:
                maps.append(x)
        return maps

    def keep(self, count: int) -> None:
        """Take out the layers behind the first maps, so many."""
        self.ends = self.ends[:count]
        for name in list(self._modules)[self.ends[-1] + 1 :]:
            del self._modules[name]


class Staged(Backbone):
    """A net whose maps come from a module called `features`, the name that torchvision's weights have."""

    def __init__(self, stages: Stages) -> None:
        super().__init__()
        # Not by assignment: the name belongs to the property below, which only reads.
        self._modules["features"] = stages

    @property
    def features(self) -> Stages:  # pyright: ignore[reportIncompatibleMethodOverride] - called alike
        """The layers up to the last maps; called, they give the maps of each resolution."""
        return cast("Stages", self._modules["features"])

    def keep_maps(self, count: int) -> None:
        """As every net, and the layers behind are taken out."""
        super().keep_maps(count)
        self.features.keep(count)


class Step(NamedTuple):
    """How one layer moves over a side of its input; in ceil mode its windows may reach over the end."""

    kernel: int
    stride: int = 1
    padding: int = 0
    ceil_mode: bool = False

    @property
    def needed(self) -> int:
        """Cells of a window that have to be there: all but those which ceil mode lends."""
        return self.kernel - (self.stride - 1 if self.ceil_mode else 0)


def sides(side: int, steps: Iterable[Step]) -> list[int]:
    """One side of the maps behind each step."""
    found: list[int] = []
    for step in steps:
        side = out_size(side, kernel=step.needed, stride=step.stride, padding=step.padding)
        found.append(side)
    return found


def least_side(steps: Sequence[Step]) -> int:
    """The smallest side of a picture of which something is left behind the last step."""
    side = 1
    for step in reversed(steps):
        side = in_size(side, kernel=step.needed, stride=step.stride, padding=step.padding)
    return side


def check_size(request: Request, steps: Sequence[Step], *, last: str) -> None:
    """Refuse pictures or volumes that vanish on the way; `last` names the layer that is left without a map.

    Raises:
        ShapeError: a side is too small.
    """
    request.check_least(least_side(steps), f"{last} needs")
