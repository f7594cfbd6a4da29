"""Which unit feeds which: every layer a row of units, lit by what they answer, joined where one moves another."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate import svg
from striate.errors import ArgumentError
from striate.probe import as_eval, trace, watch
from striate.probe.calls import Trace, Value
from striate.result import Result, text_table
from striate.text import short

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
WIDTH, STEP, LEFT = 1100, 120, 150  # pixels
MOST = 64  # units of a layer that are drawn
FEW = 400  # pairs of units up to which all are joined

F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Link:
    """What one layer gives another: `moves` [outputs, inputs] says how much a unit moves one of the next layer.

    Of linear layers that is weight times value, of convolutions the sum over the kernel of |weight| times the mean value
    of the channel; both for the item that is shown.
    """

    source: int
    target: int
    moves: F64 = field(repr=False)


@dataclass(frozen=True, eq=False)
class NodeLink(Result):
    """Units of layers and what joins them, for one item.

    Attributes:
        paths: of the layers, the input first as "input".
        values: of each layer a value a unit: of channels the mean over places.
        links: between layers that feed each other with nothing that has weights between them.
        names: of the last layer's units, where they are known.
        strongest: links of a unit that are drawn where there are many.
    """

    paths: tuple[str, ...]
    values: tuple[F64, ...] = field(repr=False)
    links: tuple[Link, ...]
    names: tuple[str, ...]
    strongest: int

    def drawn(self, link: Link) -> list[tuple[int, int, float]]:
        """The joined pairs (source unit, target unit, how much): all of a few, else the strongest of each target."""
        rows, columns = (len(self.shown(i)) for i in (link.target, link.source))
        moves = link.moves[:rows, :columns]
        if moves.size <= FEW:
            return [(j, i, float(m)) for (i, j), m in np.ndenumerate(moves)]
        keep = np.argsort(-np.abs(moves), axis=1)[:, : self.strongest]
        return [(int(j), i, float(moves[i, j])) for i in range(rows) for j in keep[i]]

    def shown(self, layer: int) -> F64:
        """The values of the units of a layer that are drawn, the first ones."""
        return self.values[layer][:MOST]

    def as_dict(self) -> dict[str, Any]:
        """Layers with their units' values, and the joined pairs."""
        return {
            "layers": [
                {"path": path, "units": len(values), "values": [float(v) for v in values[:MOST]]}
                for path, values in zip(self.paths, self.values, strict=True)
            ],
            "links": [
                {
                    "from": self.paths[link.source],
                    "to": self.paths[link.target],
                    "pairs": [[a, b, m] for a, b, m in self.drawn(link)],
                }
                for link in self.links
            ],
        }

    def as_text(self) -> str:
        """A row a layer: its units, which of them answers most, and what feeds it."""
        feeds = {
            i: ", ".join(self.paths[link.source] for link in self.links if link.target == i)
            for i in range(len(self.paths))
        }
        rows = [
            [path, len(values), int(values.argmax()), f"{values.max():.3g}", feeds[i] or "-"]
            for i, (path, values) in enumerate(zip(self.paths, self.values, strict=True))
        ]
        return text_table(["layer", "units", "strongest", "its value", "fed by"], rows)

    def as_svg(self) -> str:
        """Rows of units from the input at the top to the answer at the bottom."""
        lines = "".join(self._line(link, *pair) for link in self.links for pair in self.drawn(link))
        rows = "".join(self._row(i) for i in range(len(self.paths)))
        said = "lit: the unit's value, over the largest of its row; orange: raises the unit below, blue: lowers it"
        head = svg.text(said, 8, 16, "soft")
        height = 40 + STEP * len(self.paths)
        label = f"units of {len(self.paths)} layers and what joins them"
        return svg.drawing(head + lines + rows, WIDTH, height, label, STYLE)

    def _repr_html_(self) -> str:
        return self.as_svg()

    def _place(self, layer: int, unit: int) -> tuple[float, float]:
        count = len(self.shown(layer))
        return LEFT + (unit + 0.5) * (WIDTH - LEFT - 16) / count, 60.0 + STEP * layer

    def _row(self, layer: int) -> str:
        values = self.shown(layer)
        top = max(float(np.abs(values).max()), 1e-12)
        room = (WIDTH - LEFT - 16) / len(values)
        radius = float(np.clip(room / 2 - 1, 2, 12))
        said = len(self.values[layer])
        more = f", {len(values)} drawn" if said > len(values) else ""
        name = svg.text(short(self.paths[layer], 22), 8, 58 + STEP * layer)
        count = svg.text(f"{said} units{more}", 8, 72 + STEP * layer, "soft")
        units: list[str] = []
        for unit, value in enumerate(values.tolist()):
            x, y = self._place(layer, unit)
            last = layer == len(self.paths) - 1 and unit < len(self.names)
            called = self.names[unit] if last else str(unit)
            lit = svg.tag("circle", "", {"cx": x, "cy": y, "r": radius, "class": "unit"})
            over = {"cx": x, "cy": y, "r": radius, "class": "lit" if value >= 0 else "low"}
            light = svg.tag("circle", "", {**over, "fill-opacity": abs(value) / top})
            below = svg.text(short(called, 10), x, y + radius + 13, "mid soft") if last else ""
            units.append(
                svg.tag(
                    "g", svg.tip(f"{self.paths[layer]} {called}: {value:.4g}") + lit + light + below
                )
            )
        return name + count + "".join(units)

    def _line(self, link: Link, source: int, target: int, moves: float) -> str:
        top = max(float(np.abs(link.moves).max()), 1e-12)
        (x1, y1), (x2, y2) = self._place(link.source, source), self._place(link.target, target)
        kind = "up" if moves >= 0 else "down"
        drawn = {
            "x1": x1,
            "y1": y1,
            "x2": x2,
            "y2": y2,
            "class": kind,
            "stroke-opacity": 0.08 + 0.8 * abs(moves) / top,
        }
        return svg.tag("line", "", drawn)


STYLE = (
    ".drawing .unit{fill:var(--panel);stroke:var(--soft)}.drawing .lit{fill:var(--wrong)}.drawing .low{fill:var(--held)}"
    ".drawing line{stroke-width:1.2}.drawing .up{stroke:var(--wrong)}.drawing .down{stroke:var(--held)}"
)


def node_link(
    net: nn.Module, images: Tensor, *, strongest: int = 3, classes: tuple[str, ...] = ()
) -> NodeLink:
    """Units of every layer with weights, for the first of the items, joined where one moves another (Harley 2015).

    Channels of convolutions are one unit each. The net stays as it is.

    Args:
        net: any module.
        images: [N, ...] as the net takes them; the first one is shown.
        strongest: links of a unit that are drawn where layers have more than 400 pairs.
        classes: names of the last layer's units.

    Raises:
        ArgumentError: no layer with weights ran, or none that can be followed.
    """
    if strongest < 1:
        raise ArgumentError(f"strongest={strongest}: expected at least 1")
    x = images[:1]
    run = trace(net, [torch.empty_like(x, device="cpu")])
    fed = _feeds(net, run)
    if not fed:
        raise ArgumentError(
            f"{type(net).__name__}: no layer with weights could be followed; expected convolutions or linear layers"
        )
    paths = list(fed)
    with as_eval(net), torch.no_grad(), watch(net, paths) as seen:
        net(x.clone().to(next(net.parameters()).device))
    values = [_units(x), *(_units(seen[path]) for path in paths)]
    links = [
        Link(source, k + 1, moves)
        for k, path in enumerate(paths)
        for source in sorted(0 if s == "" else paths.index(s) + 1 for s in fed[path])
        if (moves := _moves(net.get_submodule(path), values[source])) is not None
    ]
    last = len(classes) == len(values[-1])
    return NodeLink(
        ("input", *paths), tuple(values), tuple(links), classes if last else (), strongest
    )


def _feeds(net: nn.Module, run: Trace) -> dict[str, set[str]]:
    """Every layer with weights that ran, in order, with those that feed it; "" stands for the input."""
    kinds = {path for path, module in net.named_modules() if isinstance(module, WEIGHTED)}
    from_: dict[int, set[str]] = {value.index: {""} for value in run.inputs}
    fed: dict[str, set[str]] = {}
    for call in run.calls:
        sources: set[str] = set()
        sources = sources.union(*(from_.get(v.index, set()) for v in call.inputs if v.live))
        if call.path in kinds:
            fed.setdefault(call.path, set()).update(sources)
            sources = {call.path}
        for value in cast("Sequence[Value]", call.outputs):
            from_[value.index] = sources
    return {path: sources for path, sources in fed.items() if sources}


def _units(value: Tensor) -> F64:
    """A value a unit [U] of one item's output: of maps the mean over places."""
    of = value[0].detach().double().cpu()
    return (of.flatten(1).mean(1) if of.ndim > 1 else of.flatten()).numpy()


def _moves(module: nn.Module, source: F64) -> F64 | None:
    """How much each unit of the source moves each unit [outputs, inputs]; None where the channels do not match."""
    weight = cast("Tensor", module.weight).detach().double().cpu().numpy()
    if isinstance(module, nn.Linear):
        inputs = weight.shape[1]
        if inputs % len(source):
            return None
        # Maps laid in a row: the places of a channel stand together.
        grouped = weight.reshape(len(weight), len(source), inputs // len(source)).sum(2)
        return grouped * source
    if weight.shape[1] != len(source):
        return None
    return np.abs(weight).reshape(*weight.shape[:2], -1).sum(2) * source
