"""What the stages of a net answer to a few items. N items, C channels, H W positions.

A feature map is one channel of one layer's output, laid out as the picture it was computed from: bright
where the layer has found what that channel stands for.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import ArgumentError, ShapeError
from striate.probe import as_eval, watch
from striate.result import Result, contained, text_table
from striate.see import paint
from striate.text import MINUS, times

if TYPE_CHECKING:
    from PIL.Image import Image

STAGES = 4  # shown when no path is named
COLUMNS = 16  # maps side by side: no browser shows a picture of thousands


@dataclass(frozen=True, eq=False)
class Stage:
    """The output of one layer for all items: `values` is float32 [N, c, H, W], the first of `channels`."""

    path: str
    op: str
    channels: int
    values: NDArray[np.float32] = field(repr=False)

    @property
    def signed(self) -> bool:
        """Outputs below zero occur, so that colours are laid around zero."""
        return bool((self.values < 0).any())

    @property
    def scale(self) -> float:
        """Colours end at this magnitude, the same for every item and channel of the stage."""
        return paint.reach(self.values)

    def words(self) -> str:
        """Its name, and how many of its channels are shown."""
        size = times([self.channels, *self.values.shape[2:]])
        shown = f"the first {self.values.shape[1]} of {self.channels} channels"
        return f"{self.path or 'the net'}: {self.op}, {size}, {shown}"

    def tiles(self, item: int) -> list[paint.Pixels]:
        """One picture [H, W, 3] a channel."""
        colours = paint.diverging if self.signed else paint.sequential
        return list(colours(self.values[item], self.scale))

    def as_dict(self) -> dict[str, Any]:
        """Path, operation, shape [C, H, W] and range."""
        return {
            "path": self.path,
            "op": self.op,
            "shape": [self.channels, *self.values.shape[2:]],
            "shown": self.values.shape[1],
            "min": float(self.values.min()),
            "max": float(self.values.max()),
        }


@dataclass(frozen=True, eq=False, repr=False)
class Maps(Result):
    """Feature maps of a few items at a few stages; `inputs` is what the net was given, [N, C, H, W]."""

    inputs: NDArray[np.float32] = field(repr=False)
    stages: tuple[Stage, ...]

    def pictures(self) -> list[paint.Pixels]:
        """The inputs as pictures [H, W, 3], each stretched from black to white."""
        seen = self.inputs if self.inputs.shape[1] == 3 else self.inputs[:, :1]
        return [paint.stretch(item) for item in seen.transpose(0, 2, 3, 1)]

    def picture(self) -> "Image":
        """One sheet: for every item a row a stage, led by the input."""
        rows = [
            row
            for i, picture in enumerate(self.pictures())
            for stage in self.stages
            for row in paint.rows_of([picture, *stage.tiles(i)], COLUMNS + 1)
        ]
        return paint.sheet(rows, cell=64)

    def as_dict(self) -> dict[str, Any]:
        """The number of items and the facts of each stage."""
        return {"items": len(self.inputs), "stages": [stage.as_dict() for stage in self.stages]}

    def as_text(self) -> str:
        """One row a stage."""
        facts = [stage.as_dict() for stage in self.stages]
        rows = [
            [
                f["path"],
                f["op"],
                times(f["shape"]),
                f"{f['min']:.3f}",
                f"{f['max']:.3f}",
            ]
            for f in facts
        ]
        table = text_table(["stage", "op", "output", "min", "max"], rows)
        return f"feature maps of {len(self.inputs)} items\n\n{table}"

    def __repr__(self) -> str:
        stages = ", ".join(stage.path or "the net" for stage in self.stages)
        return f"Maps({len(self.inputs)} items at {stages})"

    def _repr_html_(self) -> str:
        """For every item its picture, and a row a stage with its name; below, what the colours of each stage mean."""
        parts: list[str] = []
        for i, picture in enumerate(self.pictures()):
            parts.append(f"<h4>item {i}</h4>")
            alone = paint.sheet([[picture]], cell=64)
            rows = [("what the net was given", alone)]
            rows += [
                (s.words(), paint.sheet(paint.rows_of(s.tiles(i), COLUMNS), cell=64))
                for s in self.stages
            ]
            parts += [
                f"<p>{html.escape(words)}</p>{paint.html_image(tiles, f'{words}, item {i}')}"
                for words, tiles in rows
            ]
        for stage in self.stages:
            low = f"{MINUS}{stage.scale:.3g}" if stage.signed else "0"
            anchors = paint.DIVERGING if stage.signed else paint.SEQUENTIAL
            name = stage.path or "the net"
            parts.append(paint.html_scale(f"{name}: {low}", f"{stage.scale:.3g}", anchors))
        return contained("".join(parts))


def maps(
    net: nn.Module,
    images: Tensor,
    layers: str | Sequence[str] | None = None,
    *,
    limit: int = 8,
    items: int = 8,
) -> Maps:
    """Feature maps of any net, in evaluation mode; the net stays as it is.

    Args:
        net: any module that takes one batch of pictures.
        images: [N, C, H, W] as the net takes them, normalised.
        layers: by name; by default, of the first four resolutions, what stands last at each.
        limit: channels shown of each stage.
        items: items shown, the first ones.

    Raises:
        ArgumentError: a path is unknown, or no stage answers with maps.
        ShapeError: `images` is no batch of pictures.
    """
    if images.ndim != 4 or len(images) == 0:
        raise ShapeError(
            f"images: got shape {tuple(images.shape)}, expected (items, channels, height, width)"
        )
    if min(limit, items) < 1:
        raise ArgumentError(f"limit={limit}, items={items}: expected at least 1 of each")
    seen = images[:items].to(_device(net))
    if layers is None or layers == ():
        # One item is enough to find the stages; all of it at every layer would be much to hold.
        layers = stages(net, seen[:1])[:STAGES]
    paths = [layers] if isinstance(layers, str) else list(layers)
    answers = _answers(net, seen, paths)
    if bare := [path for path in paths if path not in answers]:
        raise ArgumentError(
            f"{bare[0] or 'the net'}: gives no maps [items, channels, height, width]"
        )
    if not answers:
        raise ArgumentError(
            f"{type(net).__name__}: no layer gives maps [items, channels, height, width]"
        )
    modules = dict(net.named_modules())
    return Maps(
        seen.float().cpu().numpy(),
        tuple(_stage(path, modules[path], answers[path], limit) for path in paths),
    )


def stages(net: nn.Module, x: Tensor) -> list[str]:
    """Of the layers that answer one item with maps, what stands last at each resolution, the finest first."""
    answers = _answers(net, x, [path for path in _children_first(net) if path])
    return list({tuple(value.shape[2:]): path for path, value in answers.items()}.values())


def _answers(net: nn.Module, seen: Tensor, paths: Sequence[str]) -> dict[str, Tensor]:
    """The last output of each layer that gives maps, [N, C, H, W] with H x W above 1."""
    cards = [seen.device] if seen.device.type == "cuda" else []
    with torch.random.fork_rng(cards), torch.no_grad(), as_eval(net), watch(net, paths) as record:
        net(seen.clone())
    last = {path: record[path] for path in paths if record.activations[path]}
    return {
        path: value
        for path, value in last.items()
        if value.ndim == 4 and value.shape[2:].numel() > 1
    }


def _children_first(net: nn.Module, path: str = "") -> list[str]:
    """Every module by name, a block after its parts, since that is when its output is there."""
    inner = [
        name
        for part, module in net.named_children()
        for name in _children_first(module, f"{path}.{part}" if path else part)
    ]
    return [*inner, path]


def _stage(path: str, layer: nn.Module, value: Tensor, limit: int) -> Stage:
    return Stage(
        path, type(layer).__name__, value.shape[1], value[:, :limit].detach().float().cpu().numpy()
    )


def _device(net: nn.Module) -> torch.device:
    first = next(net.parameters(), None)
    return torch.device("cpu") if first is None else first.device
