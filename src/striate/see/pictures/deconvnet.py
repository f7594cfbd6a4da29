"""What single units answer to: the patches that excite each most, and what of their pixels does, projected back.

Zeiler and Fergus 2013, arXiv 1311.2901: one activation is kept, all others are set to zero, and it is sent back through
the net to the pixels: pooling by the places it remembers, rectifiers applied to what comes back, convolutions transposed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import ArgumentError, ShapeError
from striate.probe import as_eval, frozen, layer_output
from striate.result import text_table
from striate.see import paint
from striate.see.attribution import layers
from striate.see.attribution.gradients import Guided
from striate.see.plates import Plate, Plates, Ramp, Row

UNITS = 6  # shown where none is named
TOP = 9  # patches of a unit, as in the paper
BATCH = 32
SHOWN = 0.995  # of the values of a projection lie within its colours
BLIND = (
    "Rectifiers pass what is above zero on the way back, whatever they passed on the way there: much of the shape comes from "
    "the picture's edges, not from the unit (Nie, Zhang and Patel 2018, arXiv 1805.07039)."
)

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Patch:
    """One strong answer of a unit.

    Attributes:
        item: number of the picture.
        place: row and column in the map.
        value: of the unit there.
        box: top, left, bottom, right of the part of the picture that the projection reaches.
        pixels: float32 [C, h, w] of that part, as the net took it.
        projection: float32 [C, h, w], what was sent back to it.
    """

    item: int
    place: tuple[int, int]
    value: float
    box: tuple[int, int, int, int]
    pixels: F32 = field(repr=False)
    projection: F32 = field(repr=False)


@dataclass(frozen=True, eq=False)
class Deconvnet(Plates):
    """The strongest answers of units of one layer.

    Attributes:
        path: of the layer.
        units: numbers of its channels.
        patches: of each unit, the strongest first; fewer where it answers to less.
        items: how many pictures there were.
        met: rectifiers that what came back passed.
    """

    path: str
    units: tuple[int, ...]
    patches: tuple[tuple[Patch, ...], ...]
    items: int
    met: int

    def heading(self) -> str:
        """What is shown."""
        return (
            f"what {len(self.units)} units of {self.path} answer to most in {self.items} pictures: the patches, and below each "
            "what was projected back to its pixels"
        )

    def ramps(self) -> list[Ramp]:
        """Each projection on its own scale."""
        return [
            Ramp(
                "grey",
                -1.0,
                1.0,
                "of the 99.5th percentile of what was projected back, each patch by itself",
            )
        ]

    def rows(self) -> list[Row]:
        """Two rows a unit: patches, projections."""
        rows: list[Row] = []
        for unit, patches in zip(self.units, self.patches, strict=True):
            if not patches:
                rows.append(Row([], f"unit {unit}: answers to none of the pictures"))
                continue
            seen = [
                Plate(
                    _picture(p.pixels),
                    f"{p.value:.3g}",
                    f"unit {unit}: {p.value:.4g} at {p.place} of picture {p.item + 1}",
                )
                for p in patches
            ]
            back = [
                Plate(_projection(p.projection), "", f"unit {unit}, projected back")
                for p in patches
            ]
            rows += [Row(seen, f"unit {unit}"), Row(back)]
        return rows

    def remarks(self) -> list[str]:
        """Where the method is blind."""
        said = [BLIND]
        if not self.met:
            said.append(
                "The net has no rectifier between this layer and the pixels: what is shown is its plain gradient."
            )
        return said

    def as_dict(self) -> dict[str, Any]:
        """Every patch: its picture, place, value and box."""
        return {
            "path": self.path,
            "of": self.items,
            "units": [
                {
                    "unit": unit,
                    "patches": [
                        {
                            "item": p.item,
                            "place": list(p.place),
                            "value": p.value,
                            "box": list(p.box),
                        }
                        for p in patches
                    ],
                }
                for unit, patches in zip(self.units, self.patches, strict=True)
            ],
        }

    def as_text(self) -> str:
        """A row a unit: its strongest answers and where."""
        rows = [
            [
                unit,
                len(patches),
                ", ".join(f"{p.value:.3g} (picture {p.item + 1})" for p in patches[:3]) or "none",
            ]
            for unit, patches in zip(self.units, self.patches, strict=True)
        ]
        return f"{self.heading()}\n\n{text_table(['unit', 'patches', 'strongest'], rows)}"


def deconvnet(
    net: nn.Module,
    images: Tensor,
    *,
    layer: str | None = None,
    unit: Sequence[int] = (),
    top: int = TOP,
) -> Deconvnet:
    """The patches that units answer to most, each projected back to its pixels; the net stays as it is.

    Args:
        net: any net of pictures.
        images: [N, C, H, W] as the net takes them, normalised; the more, the better the patches.
        layer: by its name; the deepest one whose maps have more than one place if not given.
        unit: channels; the six that answer most strongly if not given.
        top: patches of each, no two of one picture.

    Raises:
        ArgumentError: no such layer or unit, or a layer that gives no maps.
        ShapeError: `images` is no batch of pictures.
    """
    if images.ndim != 4 or not len(images):
        raise ShapeError(
            f"images: got {tuple(images.shape)}, expected (items, channels, height, width)"
        )
    if top < 1:
        raise ArgumentError(f"top={top}: expected at least 1")
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    x = images.to(device)
    with as_eval(net), frozen(net):
        path = layer if layer is not None else _deepest(net, x[:1])
        values, places, size = _strongest(net, path, x)
        units = _units(unit, values, path)
        met = 0
        found: list[tuple[Patch, ...]] = []
        for number in units:
            order = values[:, number].argsort(descending=True)[:top]
            index = [i for i in order.tolist() if values[i, number] > 0]
            back, met = (
                _projected(net, path, x, index, number, places[index, number])
                if index
                else ([], met)
            )
            found.append(
                tuple(
                    _patch(x[i], each, i, float(values[i, number]), int(places[i, number]), size)
                    for i, each in zip(index, back, strict=True)
                )
            )
    return Deconvnet(path, units, tuple(found), len(images), met)


def _deepest(net: nn.Module, x: Tensor) -> str:
    found = layers.with_maps(net, x)
    if not found:
        raise ArgumentError(f"{type(net).__name__}: no layer gives maps of more than one place")
    return found[-1][0]


def _strongest(net: nn.Module, path: str, x: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """The largest answer of each channel to each picture [N, C], its place as one number, and the size of the maps."""
    values: list[Tensor] = []
    places: list[Tensor] = []
    size = (1, 1)
    for at in range(0, len(x), BATCH):
        with torch.no_grad():
            maps = layer_output(net, path, x[at : at + BATCH]).float()
        if maps.ndim != 4:
            raise ArgumentError(
                f"{path}: gives {tuple(maps.shape[1:])} an item, expected maps (channels, height, width)"
            )
        size = (maps.shape[2], maps.shape[3])
        most = maps.flatten(2).max(2)
        values.append(most.values.cpu())
        places.append(most.indices.cpu())
    return torch.cat(values), torch.cat(places), size


def _units(unit: Sequence[int], values: Tensor, path: str) -> tuple[int, ...]:
    count = values.shape[1]
    if bad := [u for u in unit if not 0 <= u < count]:
        raise ArgumentError(f"unit={bad[0]}: {path} has units 0 to {count - 1}")
    return tuple(unit) or tuple(values.amax(0).argsort(descending=True)[:UNITS].tolist())


def _projected(
    net: nn.Module, path: str, x: Tensor, index: list[int], unit: int, places: Tensor
) -> tuple[list[Tensor], int]:
    """What one value of each picture sends back to its pixels [C, H, W]."""
    leaf = x[index].detach().clone().requires_grad_()
    with torch.enable_grad(), Guided(forward=False) as mode:
        maps = layer_output(net, path, leaf)
        flat = maps.flatten(2)[:, unit]
        # The activation itself is sent back, not one: its value squared over two has it as its gradient.
        chosen = flat.gather(1, places[:, None].to(flat.device))
        (back,) = torch.autograd.grad((chosen.square() / 2).sum(), leaf)
    return list(back.float().cpu()), mode.met


def _patch(
    picture: Tensor, back: Tensor, item: int, value: float, place: int, size: tuple[int, int]
) -> Patch:
    reached = back.abs().amax(0) > 1e-6 * back.abs().max().clamp_min(1e-12)
    rows, columns = (torch.nonzero(reached.any(axis)).flatten() for axis in (1, 0))
    if not len(rows):
        rows, columns = (
            torch.tensor([0, picture.shape[1] - 1]),
            torch.tensor([0, picture.shape[2] - 1]),
        )
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    part = picture.float().cpu()[:, top:bottom, left:right].numpy()
    return Patch(
        item,
        divmod(place, size[1]),
        value,
        (top, left, bottom, right),
        part,
        back[:, top:bottom, left:right].numpy(),
    )


def _picture(values: F32) -> paint.Pixels:
    kept = values if len(values) == 3 else values[:1]
    return paint.stretch(kept.transpose(1, 2, 0))


def _projection(values: F32) -> paint.Pixels:
    """Around mid grey, which is nothing; of one channel likewise. Single strong values do not take all the contrast."""
    end = float(np.quantile(np.abs(values), SHOWN)) or paint.reach(values)
    kept = values if len(values) == 3 else values[:1].repeat(3, axis=0)
    return paint.colour(kept.transpose(1, 2, 0), end)
