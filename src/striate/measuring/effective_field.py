"""The effective receptive field: how strongly each pixel really moves one place of a layer, on given data.

Within the theoretical field the pixels in the middle count most; the gradient falls off nearly as a
Gaussian. Luo, Li, Urtasun and Zemel 2016, "Understanding the effective receptive field", arXiv 1701.04128.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ArgumentError, ShapeError
from striate.probe import as_eval, watch
from striate.result import Result
from striate.text import times


@dataclass(frozen=True)
class Effective(Result):
    """A measured gradient map and the Gaussian that has its moments.

    Attributes:
        layer: the module whose place was asked.
        at: the place in its map.
        items: how many items the map is the mean of.
        centre: middle of the map in pixels, an axis each; None if no pixel moves the place.
        width: standard deviation about it in pixels.
        map: mean absolute gradient, [*space] of the input.
    """

    layer: str
    at: tuple[int, ...]
    items: int
    centre: tuple[float, ...] | None
    width: tuple[float, ...] | None
    map: Float[Tensor, "*space"] = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, object]:
        """Without the map."""
        return {
            "layer": self.layer,
            "at": list(self.at),
            "items": self.items,
            "centre": self.centre and list(self.centre),
            "width": self.width and list(self.width),
        }

    def as_text(self) -> str:
        """One line."""
        where = f"{self.layer or 'the net'} at {','.join(map(str, self.at)) or 'its one place'}"
        if self.centre is None or self.width is None:
            return f"{where}: no pixel of {self.items} items has a gradient"
        middle = ", ".join(f"{c:.1f}" for c in self.centre)
        width = " x ".join(f"{w:.1f}" for w in self.width)
        return (
            f"{where}: Gaussian of width {width} pixels about {middle}, mean of {self.items} items"
        )


def effective(
    net: nn.Module,
    x: Float[Tensor, "n c *space"],
    layer: str = "",
    at: Sequence[int] | None = None,
    *,
    call: int = -1,
) -> Effective:
    """How strongly each pixel moves one place of a layer, all its channels summed.

    The net runs in evaluation mode; it, its gradients and the random state are as before afterwards.

    Args:
        net: any module that takes one tensor.
        x: items as the net takes them, on its device.
        layer: path of a module. "" is the net.
        at: place in the map, one number an axis after the channels; its centre if not given.
        call: which of its calls, where it runs several times; the last if not given.

    Raises:
        ArgumentError: no such layer, one that was not called, or a place outside its map.
        ShapeError: items without axes of space.
    """
    if x.ndim < 3:
        raise ShapeError(f"got items {times(x.shape[1:])}; a field needs axes after the channels")
    fed = x.detach().clone().requires_grad_()
    with (
        torch.random.fork_rng(devices=[]),
        torch.enable_grad(),
        as_eval(net),
        watch(net, [layer], attached=True) as seen,
    ):
        net(fed.clone())
        if not seen.activations[layer]:
            raise ArgumentError(f"{layer} was not called in this run; choose a layer that is")
        if not -len(seen.activations[layer]) <= call < len(seen.activations[layer]):
            calls = len(seen.activations[layer])
            raise ArgumentError(f"call={call}: {layer or 'the net'} ran {calls} times in this run")
        maps = seen.activations[layer][call]
        place = _place(maps, layer, at)
        unit = maps[(..., *place)].sum()
        gradient = (
            torch.autograd.grad(unit, fed, allow_unused=True)[0] if unit.requires_grad else None
        )
    strength = torch.zeros_like(x) if gradient is None else gradient.abs()
    mean = strength.mean((0, 1)).double()
    centre, width = _moments(mean)
    return Effective(layer, place, len(x), centre, width, mean)


def _place(maps: Tensor, layer: str, at: Sequence[int] | None) -> tuple[int, ...]:
    space = maps.shape[2:]
    place = tuple(n // 2 for n in space) if at is None else tuple(at)
    if len(place) != len(space) or any(not 0 <= i < n for i, n in zip(place, space, strict=True)):
        raise ArgumentError(
            f"at={place}: {layer or 'the net'} gives maps of {times(space)}; "
            f"give {len(space)} numbers from 0 on"
        )
    return place


def _moments(
    strength: Float[Tensor, "*space"],
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    total = strength.sum()
    if not total > 0:
        return None, None
    centre: list[float] = []
    width: list[float] = []
    for axis, n in enumerate(strength.shape):
        others = [other for other in range(strength.ndim) if other != axis]
        share = (strength.sum(others) if others else strength) / total
        cells = torch.arange(n, dtype=strength.dtype, device=strength.device)
        middle = (share * cells).sum()
        centre.append(float(middle))
        width.append(float((share * (cells - middle) ** 2).sum().sqrt()))
    return tuple(centre), tuple(width)
