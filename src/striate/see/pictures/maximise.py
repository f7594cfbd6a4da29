"""What a unit, a channel or a class answers to most: a picture made for it by gradient ascent."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import ArgumentError, ShapeError
from striate.models.backbone import last_layer
from striate.probe import as_eval, frozen, layer_output
from striate.result import text_table
from striate.see.levels import Levels, as_read
from striate.see.optimised import START, optimised
from striate.see.plates import Plate, Plates, Row
from striate.text import counted, times

UNITS = 9  # shown where none is named
NOISE = 16  # random pictures that say what an answer is large against
STARTS = (START, 0.1, 0.5, 2.0)  # from grey to noise, one after the other while a unit is closed


@dataclass(frozen=True, eq=False)
class Maximised(Plates):
    """Pictures made for units.

    Attributes:
        path: of the layer.
        shape: of its output for one picture.
        units: numbers of channels or outputs.
        names: of them.
        pictures: float32 [N, C, H, W], 0 to 1.
        values: what each unit answers to its picture: its value, of a channel the mean over its places.
        usual: the largest answer of each to random pictures of the same kind, before any step.
        steps: of the ascent.
        starts: how many starts each unit took: of a closed one, as behind a ReLU that is zero, no step leads away.
        closed: units that were closed at every start.
    """

    path: str
    shape: tuple[int, ...]
    units: tuple[int, ...]
    names: tuple[str, ...]
    pictures: NDArray[np.float32] = field(repr=False)
    values: tuple[float, ...]
    usual: tuple[float, ...]
    steps: int
    starts: tuple[int, ...]
    closed: tuple[int, ...]

    def heading(self) -> str:
        """What is shown."""
        what = counted(len(self.units), "channel" if len(self.shape) == 3 else "output")
        return f"pictures that {what} of {self.path} ({times(self.shape)}) answer{'s' * (len(self.units) == 1)} to most, {self.steps} steps"

    def rows(self) -> list[Row]:
        """A picture a unit, with its answer and what random pictures reach."""
        tiles = np.rint(self.pictures.transpose(0, 2, 3, 1) * 255).astype(np.uint8)
        tiles = tiles if tiles.shape[-1] == 3 else tiles[..., :1].repeat(3, axis=-1)
        each = zip(tiles, self.units, self.names, self.values, self.usual, strict=True)
        plates = [
            Plate(
                tile,
                f"{name}: closed" if unit in self.closed else f"{name}: {value:.3g}",
                f"{name}: {value:.4g}, random pictures {usual:.4g}",
            )
            for tile, unit, name, value, usual in each
        ]
        return [Row(plates)]

    def remarks(self) -> list[str]:
        """How to read them."""
        said = [
            "Made by ascent, not found among data: they show what raises the answer, which pictures of the data may never do.",
            f"Random pictures of the same kind reach at most {max(self.usual):.3g}.",
        ]
        names = dict(zip(self.units, self.names, strict=True))
        again = [n for u, n, k in zip(self.units, self.names, self.starts, strict=True) if k > 1 and u not in self.closed]  # fmt: skip
        if again:
            said.append(
                f"No step led away from grey, where the answer has no gradient, so that these began from noise: {', '.join(again)}."
            )
        if self.closed:
            shut = ", ".join(names[unit] for unit in self.closed)
            said.append(
                f"Without a gradient at each of {len(STARTS)} starts, so that their pictures are the last start and show nothing: {shut}."
            )
        return said

    def as_dict(self) -> dict[str, Any]:
        """Units with their answers."""
        rows = zip(self.units, self.names, self.values, self.usual, self.starts, strict=True)
        return {
            "path": self.path,
            "shape": list(self.shape),
            "steps": self.steps,
            "units": [
                {
                    "unit": u,
                    "name": n,
                    "value": v,
                    "random": r,
                    "starts": k,
                    "closed": u in self.closed,
                }
                for u, n, v, r, k in rows
            ],
        }

    def as_text(self) -> str:
        """A row a unit."""
        rows = [
            [name, f"{value:.4g}", f"{usual:.4g}"]
            for name, value, usual in zip(self.names, self.values, self.usual, strict=True)
        ]
        table = text_table(["unit", "answer", "to random pictures"], rows)
        return "\n\n".join([self.heading(), table, *self.remarks()[2:]])


def maximise(
    net: nn.Module,
    *,
    layer: str | None = None,
    unit: Sequence[int] = (),
    steps: int = 128,
    seed: int = 0,
    shape: tuple[int, ...] | None = None,
    levels: Levels | None = None,
    classes: tuple[str, ...] = (),
) -> Maximised:
    """Pictures that units of a layer answer to most, by gradient ascent on the amplitudes of their frequencies.

    Olah, Mordvintsev and Schubert 2017. The net stays as it is.

    Args:
        net: any module that reads pictures.
        layer: by its name; the last one, whose outputs are classes, if not given.
        unit: channels or outputs; the first nine if not given.
        steps: of the ascent.
        seed: of the start.
        shape: (C, H, W) of a picture.
        levels: mean and deviation a channel with which pictures of 0 to 1 are normalised for the net.
        classes: names of the outputs of the last layer.

    Raises:
        ArgumentError: no such layer or unit, or fewer than one step.
        ShapeError: the net reads no pictures, or levels are of another number of channels.
    """
    if shape is None or len(shape) != 3:
        raise ShapeError(f"shape={shape}: expected (channels, height, width) of a picture")
    path = last_layer(net) if layer is None else layer
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(NOISE, *shape, generator=generator).to(device)
    with as_eval(net), frozen(net):
        with torch.no_grad():
            random = layer_output(net, path, as_read(noise, levels))
        kind = tuple(random.shape[1:])
        units = _units(unit, kind, path)
        ascent = _Ascent(net, path, steps, levels, generator)
        x, starts, closed = ascent.of(units, shape, device)
        with torch.no_grad():
            values = _answers(layer_output(net, path, as_read(x, levels)), units)
    usual = _pooled(random).amax(0)[list(units)]
    last = path == last_layer(net) and len(classes) == kind[0]
    names = tuple(classes[u] if last else str(u) for u in units)
    return Maximised(
        path,
        kind,
        units,
        names,
        x.float().cpu().numpy(),
        tuple(values.tolist()),
        tuple(usual.tolist()),
        steps,
        starts,
        closed,
    )


@dataclass(frozen=True, eq=False)
class _Ascent:
    net: nn.Module
    path: str
    steps: int
    levels: Levels | None
    generator: torch.Generator

    def of(
        self, units: Sequence[int], shape: tuple[int, ...], device: torch.device
    ) -> tuple[Tensor, tuple[int, ...], tuple[int, ...]]:
        """Pictures [N, C, H, W] of units, how many starts each took, and the units that were closed at all of them."""
        x = torch.zeros(len(units), *shape, device=device)
        taken, left = [0] * len(units), list(range(len(units)))
        for spread in STARTS:
            some = [units[i] for i in left]
            x[left] = self._pictures(some, shape, device, spread)
            for i in left:
                taken[i] += 1
            left = [i for i, is_open in zip(left, self._open(x[left], some), strict=True) if not is_open]  # fmt: skip
            if not left:
                break
        return x, tuple(taken), tuple(units[i] for i in left)

    def _pictures(
        self, units: Sequence[int], shape: tuple[int, ...], device: torch.device, spread: float
    ) -> Tensor:
        return optimised(
            (len(units), shape[0], shape[1], shape[2]),
            lambda seen: -_answers(layer_output(self.net, self.path, seen), units).sum(),
            steps=self.steps,
            jitter=max(shape[1:]) // 14,
            levels=self.levels,
            generator=self.generator,
            device=device,
            spread=spread,
        )

    def _open(self, pictures: Tensor, units: Sequence[int]) -> list[bool]:
        """Whether the answer of each unit has a gradient at its picture."""
        with torch.enable_grad():
            leaf = as_read(pictures, self.levels).detach().requires_grad_()
            answer = _answers(layer_output(self.net, self.path, leaf), units).sum()
            (slope,) = torch.autograd.grad(answer, leaf, allow_unused=True, materialize_grads=True)
        return (slope.flatten(1) != 0).any(1).tolist()


def _answers(values: Tensor, units: Sequence[int]) -> Tensor:
    """The answer of unit i to picture i [N]."""
    return _pooled(values)[torch.arange(len(units)), list(units)]


def _pooled(values: Tensor) -> Tensor:
    return values.flatten(2).mean(2) if values.ndim > 2 else values


def _units(unit: Sequence[int], kind: tuple[int, ...], path: str) -> tuple[int, ...]:
    if not kind:
        raise ArgumentError(f"{path}: gives one number an item and has no units")
    if bad := [u for u in unit if not 0 <= u < kind[0]]:
        raise ArgumentError(f"unit={bad[0]}: {path} has units 0 to {kind[0] - 1}")
    return tuple(unit) or tuple(range(min(UNITS, kind[0])))
