"""At which layer a map is made, and how finely it tells places apart. N items, K maps."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError, StriateError
from striate.measuring.fields import Field, Fields, fields
from striate.probe import Value, shapes, trace
from striate.see.attribution.subject import called
from striate.text import times

FEWEST = 3  # sizes of maps that are enough to choose among
PASSING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
TRIED = 4  # layers among which is chosen where the sizes are fewer


@dataclass(frozen=True)
class Resolution:
    """How finely a map tells places apart; sizes in places of the input, an axis each.

    Attributes:
        cells: the map's own size, before it is enlarged.
        step: from one cell to the next.
        reads: of what a cell is computed; None where that is unknown or without bound.
        words: the same as a sentence.
        first: the middle of what the first cell reads; None where it is unknown, and cells are drawn evenly spread.
    """

    cells: tuple[int, ...]
    step: tuple[float, ...]
    reads: tuple[int, ...] | None
    words: str
    first: tuple[float, ...] | None = None

    def placed(self, maps: Tensor, space: tuple[int, ...]) -> Tensor:
        """Maps [N, *cells] as large as the input [N, *space], linearly between the middles of what the cells read.

        A place that no cell reads gets zero, another one beyond the outermost middles the value of the nearest cell.
        """
        found = maps.float()
        for axis, (cells, n) in enumerate(zip(maps.shape[1:], space, strict=True), 1):
            step = self.step[axis - 1] if self.first else n / cells
            first = self.first[axis - 1] if self.first else (step - 1) / 2
            at = ((torch.arange(n, dtype=torch.float64) - first) / step).clamp(0, cells - 1)
            low = at.floor().long().clamp(max=max(0, cells - 2))
            share = (at - low).to(found).view(-1, *[1] * (maps.ndim - 1 - axis))
            below = found.index_select(axis, low.to(found.device))
            above = found.index_select(axis, (low + 1).clamp(max=cells - 1).to(found.device))
            found = torch.lerp(below, above, share)
            if self.first and self.reads:
                reach = (self.reads[axis - 1] - 1) / 2
                places = torch.arange(n, dtype=torch.float64)
                read = (places >= first - reach) & (places <= first + (cells - 1) * step + reach)
                found = found * read.to(found).view(-1, *[1] * (maps.ndim - 1 - axis))
        return found

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        return {
            "cells": list(self.cells),
            "step": list(self.step),
            "reads": None if self.reads is None else list(self.reads),
        }


def with_maps(net: nn.Module, x: Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """The layers that give maps of more than one place, with the sizes of these, in the order in which they end.

    Left out are layers that pass on what they get, and those that give the net's answer itself: of maps with as many
    channels as it has, those at the end.

    Args:
        net: any module.
        x: one item, [1, C, *space].
    """
    with torch.no_grad(), shapes(net) as found:
        called(net, x.clone())
    answer: tuple[int, ...] = next((shape for path, shape in reversed(found) if not path), ())
    idle = {path for path, layer in net.named_modules() if isinstance(layer, PASSING)}
    rows = [(path, shape) for path, shape in found if path and path not in idle]
    if len(answer) == x.ndim:
        while rows and (len(rows[-1][1]) != x.ndim or rows[-1][1][1:2] == answer[1:2]):
            rows.pop()
    space = x.shape[2:]
    return [
        (path, shape[2:])
        for path, shape in rows
        if len(shape) == x.ndim
        and shape[0] == len(x)
        and shape[2:] != (1,) * len(space)
        and all(n <= whole for n, whole in zip(shape[2:], space, strict=True))
    ]


def last(net: nn.Module, x: Tensor, method: str) -> str:
    """The last layer that gives maps of more than one place.

    Raises:
        ArgumentError: there is none.
    """
    found = with_maps(net, x)
    if not found:
        raise ArgumentError(
            f"{type(net).__name__}: no layer gives maps of more than one place, which {method} needs; "
            "gradient-x-input, integrated, occlusion and rise need none"
        )
    return found[-1][0]


def candidates(net: nn.Module, x: Tensor, method: str) -> list[str]:
    """The layers among which is chosen: the last of each size of maps, or a few evenly spaced where sizes are few."""
    last(net, x, method)
    found = with_maps(net, x)
    by_size = {size: path for path, size in found}
    if len(by_size) >= FEWEST or len(found) <= len(by_size):
        return list(by_size.values())
    count = min(TRIED, len(found))
    spaced = [found[(k + 1) * len(found) // count - 1][0] for k in range(count)]
    return list(dict.fromkeys([*spaced[:-1], found[-1][0]]))


def resolution(net: nn.Module, x: Tensor, layer: str, cells: tuple[int, ...]) -> Resolution:
    """Of the maps of a layer: what its cells read follows from the net's structure (`striate.measuring`).

    Args:
        net: any module.
        x: items as it takes them.
        layer: by its name.
        cells: the size of its maps.
    """
    space = tuple(x.shape[2:])
    field = _field(net, x, layer, cells)
    step = tuple(n / k for n, k in zip(space, cells, strict=True))
    if field is not None:
        step = tuple(float(each) for each in field.stride)
    head = f"{layer} gives {times(cells)} cells, {_sizes(step)} places apart"
    if field is None:
        said = "what each of them reads has no bound, or could not be followed"
    else:
        whole = all(size >= n for size, n in zip(field.size, space, strict=True))
        said = f"each reads {times(field.size)} places" + (
            f", more than all {times(space)} of the input" if whole else f" of {times(space)}"
        )
    words = f"{head}; {said}"
    if field is None:
        return Resolution(cells, step, None, f"{words}: cells are drawn evenly spread")
    middles = zip(field.start, field.size, strict=True)
    first = tuple(start + (size - 1) / 2 for start, size in middles)
    return Resolution(cells, step, field.size, words, first)


def _sizes(step: tuple[float, ...]) -> str:
    return "x".join(f"{each:.3g}" for each in step)


def followed(
    net: nn.Module, x: Tensor, layer: str, cells: tuple[int, ...]
) -> tuple[Fields, Value] | None:
    """What the maps of a layer read, followed through a run without numbers; None where that fails."""
    like = torch.empty((1, *x.shape[1:]), dtype=x.dtype, device="meta")
    try:
        run = trace(net, [like], numbers=False)
    except StriateError:
        return None
    below = [
        call
        for call in run.calls
        if call.path == layer or call.path.startswith(f"{layer}.") or not layer
    ]
    made = [value for call in below[-1:] for value in call.outputs if value.shape[2:] == cells]
    return (fields(run), made[-1]) if made and not run.unseen else None


def _field(net: nn.Module, x: Tensor, layer: str, cells: tuple[int, ...]) -> Field | None:
    found = followed(net, x, layer, cells)
    return found and found[0].of(found[1])
