"""A net as the papers draw it: a graph of stages, to scale. C channels, H W pixels.

The net is traced without numbers (`architecture_graph`). A stage is what everything passes through: one layer, or a
block whose ways part and meet again, drawn with what is inside it. Neighbours that are alike are drawn once.
Connections that leap over smaller maps, as in U-Net, are lines from stage to stage.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from striate.errors import ArgumentError, ShapeError, nearest
from striate.probe import trace
from striate.result import Result, html_table, text_table
from striate.see.architecture_graph import WEIGHTED, Graph, Group, Node, graph
from striate.text import compact, counted, plain, times

if TYPE_CHECKING:
    from striate.see.canvas import Canvas

__all__ = ["DETAILS", "WEIGHTED", "Architecture", "Join", "Layer", "Stage", "architecture"]

DETAILS = ("block", "layer")
CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")


@dataclass(frozen=True)
class Join:
    """Where ways meet that parted.

    Attributes:
        kind: add, cat (channels one after another), gate (a mixture), multiply, or indices (of a pooling).
        ways: values that meet at one point.
        times: how many such points follow one another.
    """

    kind: str
    ways: int
    times: int = 1

    def __str__(self) -> str:
        """Such as "add", "cat of 4" or "add x3"."""
        of = "" if self.ways == 2 or self.kind == "gate" else f" of {self.ways}"
        return self.kind + of + (f" x{self.times}" if self.times > 1 else "")


@dataclass(frozen=True)
class Layer:
    """One layer, pooling or join within a stage.

    Attributes:
        kind: conv, up, pool, linear, join, input or other.
        label: such as "conv 3x3".
        shape: of what it makes; of the first and the last where the stage stands for several.
        inputs: layers of the same stage that it reads, by their place; -1 is what the stage reads.
        params: of all that it stands for.
        macs: likewise; None if unknown.
        nodes: places in the graph of all that it stands for.
    """

    kind: str
    label: str
    shape: tuple[int, ...]
    last_shape: tuple[int, ...]
    inputs: tuple[int, ...]
    params: int
    macs: int | None
    nodes: tuple[int, ...]


@dataclass(frozen=True)
class Leap:
    """A connection over smaller maps: the stage it comes from, what it does (cat, add, indices), the nodes it joins."""

    stage: int
    kind: str
    source: int
    target: int


@dataclass(frozen=True)
class Stage:
    """What everything passes through.

    Attributes:
        shape: of what it makes: (C, H, W), or (units,).
        label: such as "conv 3x3 /2", or the class of a block.
        layers: layers with weights among it, all repeats together.
        skips: indices of earlier stages from which a connection leads here over smaller maps.
        join: how ways meet here; None in a chain.
        kind: input, conv, up, pool, linear, join or other; of a block that of its last layer.
        path: of the module that it is, of the first where there are several.
        last_path: that of the last of them.
        times: how many alike follow one another.
        params: parameters that no earlier stage reads.
        macs: multiply-adds; None if unknown.
        inputs: indices of the stages it reads.
        inside: its layers, of the first repeat; one in a chain.
        leaps: those connections one by one.
        grows: whether its channels grow from repeat to repeat, as in a dense block.
    """

    shape: tuple[int, ...]
    label: str
    layers: int
    skips: tuple[int, ...] = ()
    join: Join | None = None
    kind: str = "other"
    path: str = ""
    last_path: str = ""
    times: int = 1
    params: int = 0
    macs: int | None = 0
    inputs: tuple[int, ...] = ()
    inside: tuple[Layer, ...] = field(default=(), repr=False)
    leaps: tuple[Leap, ...] = ()
    grows: bool = False

    @property
    def name(self) -> str:
        """Its label and how many of it there are."""
        return self.label + (f" x{self.times}" if self.times > 1 else "")


# Below this width a window shows the narrow picture; where one stage is wider still it is made a little smaller.
SHRUNK = 0.8
WINDOWS = (
    "@media(max-width:640px){.whole>.drawn:first-child{display:none}}"
    "@media(min-width:641px){.narrow{display:none}}"
)


@dataclass(frozen=True)
class Architecture(Result):
    """The stages of a net, from its input to its output."""

    net: str
    stages: tuple[Stage, ...]
    graph: Graph = field(repr=False)
    detail: str = "block"

    @property
    def params(self) -> int:
        """Parameters on the way to the output."""
        return sum(stage.params for stage in self.stages)

    @property
    def macs(self) -> int | None:
        """Multiply-adds on the way to the output; None if those of a stage are unknown."""
        known = [stage.macs for stage in self.stages if stage.macs is not None]
        return sum(known) if len(known) == len(self.stages) else None

    def as_dict(self) -> dict[str, Any]:
        """Net, totals and stages."""
        return {
            "net": self.net,
            "detail": self.detail,
            "params": self.params,
            "macs": self.macs,
            "stages": [_plain(stage) for stage in self.stages],
        }

    def as_text(self) -> str:
        """A line a stage."""
        rows = [
            [i, times(stage.shape), stage.layers, stage.name, f"{stage.params:,}", _known(stage.macs), _read(i, stage)]
            for i, stage in enumerate(self.stages)
        ]  # fmt: skip
        header = ["stage", "maps", "layers", "made by", "params", "MACs", "reads"]
        return f"{self.net}\n{text_table(header, rows)}\n{plain(self.sentence())}"

    def sentence(self) -> str:
        """The net in a sentence."""
        first, last = self.stages[0], self.stages[-1]
        form = "an encoder and a decoder" if _turns(self.stages) else "a chain"
        leaps = sum(len(stage.skips) for stage in self.stages)
        over = f" with {counted(leaps, 'connection')} over smaller maps" if leaps else ""
        blocks = sum(stage.times for stage in self.stages if len(stage.inside) > 1)
        inner = f", {counted(blocks, 'block')} among them" if blocks else ""
        macs = (
            "unknown multiply-adds" if self.macs is None else f"{compact(self.macs)} multiply-adds"
        )
        count = counted(sum(stage.times for stage in self.stages[1:]), "stage")
        return (
            f"{self.net}: {form} of {count}{inner}{over}, from {times(first.shape)} to {times(last.shape)}, "
            f"{compact(self.params)} parameters, {macs}."
        )  # fmt: skip

    def told(self) -> str:
        """The same for a reader who cannot see the picture, with its stages unless they are very many."""
        stages = "; ".join(f"{stage.name}, {times(stage.shape)}" for stage in self.stages[1:])
        return self.sentence() + (f" {stages}." if len(self.stages) <= 40 else "")

    def canvas(self) -> "Canvas":
        """The picture as primitives."""
        from striate.see import architecture_layout

        return architecture_layout.draw(self)

    def as_svg(self) -> str:
        """The picture: one file that needs nothing else, in light and dark."""
        return self.canvas().as_svg()

    def as_html(self) -> str:
        """The picture and a table of the stages."""
        rows = [
            [i, stage.name, stage.path, times(stage.shape), stage.layers, f"{stage.params:,}", _known(stage.macs), _read(i, stage)]
            for i, stage in enumerate(self.stages)
        ]  # fmt: skip
        header = ["stage", "made by", "module", "maps", "layers", "parameters", "MACs", "reads"]
        table = html_table(header, rows)
        return f'{self.canvas().as_html()}<div class="drawn" tabindex="0">{table}</div>'

    def page(self) -> str:
        """A whole page: the picture, another one of it for narrow windows, and the table."""
        return self.canvas().page(self._for_windows())

    def save(self, path: str | Path) -> None:
        """Write an .svg, a .png or an .html page.

        Raises:
            ArgumentError: another ending.
        """
        self.canvas().save(Path(path), self._for_windows())

    def _for_windows(self) -> str:
        """The markup with the picture twice, of which a window shows the one that fits."""
        from striate.see import architecture_layout as layout

        narrow = layout.draw(self, layout.NARROW)
        small = f"min-width:{SHRUNK * narrow.width:.0f}px;max-width:100%"
        return (
            f"<style>.narrow>.drawn>svg{{{small}}}{WINDOWS}</style>"
            f'<div class="narrow">{narrow.as_html()}</div><div class="whole">{self.as_html()}</div>'
        )

    def _repr_html_(self) -> str:
        return self.as_svg()


def architecture(
    net: nn.Module,
    inputs: Sequence[Tensor],
    *,
    name: str | None = None,
    detail: str = "block",
) -> Architecture:
    """The stages of a net.

    Args:
        net: any net; it is not touched.
        inputs: one tensor an argument of `forward`, of which only shape and type are used.
        name: what the picture calls it; the class if not given.
        detail: "block", where neighbours that are alike are drawn once, or "layer", where every layer is.

    Raises:
        ArgumentError: another detail.
        ShapeError: the net cannot take these inputs, or gives no tensor that depends on them.
    """
    if detail not in DETAILS:
        raise ArgumentError(f"detail={detail!r}: unknown; {nearest(detail, DETAILS)}")
    run = trace(net, inputs)
    if run.error is not None:
        raise ShapeError(f"{type(net).__name__} cannot be run on these inputs: {run.error}")
    if not any(value.live for value in run.outputs):
        raise ShapeError(f"{type(net).__name__} gives no tensor that depends on its inputs")
    found = graph(run, {key: _count(value) for key, value in net.named_parameters()})
    types = {path: type(module).__name__ for path, module in net.named_modules()}
    stages = tuple(_stages(found, types, detail))
    return Architecture(name or type(net).__name__, stages, found, detail)


def _count(parameter: Tensor) -> int:
    return parameter.numel() if parameter.ndim < 2 else -parameter.numel()


def _plain(stage: Stage) -> dict[str, Any]:
    found = asdict(stage)
    for layer in found["inside"]:
        layer.pop("nodes")
    found.pop("leaps")
    return found


def _known(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"


def _read(index: int, stage: Stage) -> str:
    """The stages that a stage reads, where these are not just the one before."""
    if stage.inputs == (index - 1,) or not stage.inputs:
        return ""
    return ", ".join(map(str, stage.inputs))


def _turns(stages: Sequence[Stage]) -> bool:
    """Whether maps become smaller and grow back."""
    sides = [max(stage.shape[1:]) for stage in stages if len(stage.shape) > 1]
    least = sides.index(min(sides)) if sides else 0
    return bool(sides) and max(sides[least:]) >= 2 * sides[least] and max(sides[:least], default=0) >= 2 * sides[least]  # fmt: skip


# ------------------------------------------------------------------------------------------- stages


def _stages(found: Graph, types: Mapping[str, str], detail: str) -> list[Stage]:
    runs = _folded(found) if detail == "block" else [[group] for group in found.groups]
    where = {node: at for at, run in enumerate(runs) for group in run for node in group.nodes}
    return [_stage(found, run, at, where, types) for at, run in enumerate(runs)]


def _folded(found: Graph) -> list[list[Group]]:
    """Neighbours that are alike as one: each of them but the first reads the one before and nothing else."""
    runs: list[list[Group]] = []
    for group in found.groups:
        last = runs[-1] if runs else []
        if last and _follows(found, last[-1], group) and _alike(found, last, group):
            last.append(group)
        else:
            runs.append([group])
    return runs


def _follows(found: Graph, last: Group, group: Group) -> bool:
    outside = {i for node in group.nodes for i in found.nodes[node].inputs} - set(group.nodes)
    return not last.side and not group.side and outside == {last.nodes[-1]}


def _alike(found: Graph, run: Sequence[Group], group: Group) -> bool:
    before, here = found.nodes[run[-1].nodes[-1]], found.nodes[group.nodes[0]]
    if len(group.nodes) == 1:
        # Linear layers of different size deserve a place each: most parameters are theirs.
        same = here.kind == "conv" or (here.kind == "linear" and here.params == before.params)
        return same and _signature(found, run[0]) == _signature(found, group) and _sizes(found, run, group)  # fmt: skip
    return _signature(found, run[0]) == _signature(found, group) and _sizes(found, run, group)


def _sizes(found: Graph, run: Sequence[Group], group: Group) -> bool:
    """Whether all maps keep their shape, or what is put together grows by as many channels with every step."""
    shapes = [[found.nodes[i].shape for i in each.nodes] for each in (*run, group)]
    *inner, ends = zip(*shapes, strict=True)
    if any(len(set(each)) > 1 for each in inner):
        return False
    if len(set(ends)) == 1:
        return True
    put = found.nodes[group.nodes[-1]].label == "cat" and run[0].nodes[0] > 0
    reads_entry = found.nodes[group.nodes[-1]].inputs[0] not in group.nodes
    steps = {b[0] - a[0] for a, b in pairwise(ends)}
    return put and reads_entry and len({shape[1:] for shape in ends}) == 1 and len(steps) == 1 and min(steps) > 0  # fmt: skip


def _signature(found: Graph, group: Group) -> tuple[object, ...]:
    place = {node: i for i, node in enumerate(group.nodes)}
    return tuple(
        (node.kind, node.label, node.shape[1:], tuple(place.get(i, -1) for i in node.inputs))
        for node in (found.nodes[i] for i in group.nodes)
    )


def _stage(
    found: Graph,
    run: Sequence[Group],
    at: int,
    where: Mapping[int, int],
    types: Mapping[str, str],
) -> Stage:
    nodes = [found.nodes[i] for group in run for i in group.nodes]
    last = nodes[-1]
    reads = [(i, j) for group in run for j in group.nodes for i in found.nodes[j].inputs]
    reads = [(i, j) for i, j in reads if where[i] != at]
    leaps = [
        Leap(where[i], _leap_kind(found.nodes[j]), i, j) for i, j in reads if (i, j) in found.leaps
    ]
    path, single = _path(found, run[0]), len(run[0].nodes) == 1
    first_shape = found.nodes[run[0].nodes[-1]].shape
    return Stage(
        shape=last.shape,
        label=last.label if single else _block_name(path, types),
        layers=sum(node.weighted for node in nodes),
        skips=tuple(sorted({leap.stage for leap in leaps})),
        join=_join(found, run),
        kind=last.kind,
        path=path,
        last_path=_path(found, run[-1]),
        times=len(run),
        params=sum(node.params for node in nodes),
        macs=_total(nodes),
        inputs=tuple(sorted({where[i] for i, _ in reads})),
        inside=tuple(_layers(found, run)),
        leaps=tuple(leaps),
        grows=len(run) > 1 and first_shape != last.shape,
    )


def _leap_kind(node: Node) -> str:
    return "indices" if node.label == "max unpool" else "" if len(node.inputs) < 2 else node.label  # fmt: skip


def _total(nodes: Sequence[Node]) -> int | None:
    known = [node.macs for node in nodes if node.macs is not None]
    return sum(known) if len(known) == len(nodes) else None


def _layers(found: Graph, run: Sequence[Group]) -> list[Layer]:
    place = {node: i for i, node in enumerate(run[0].nodes)}
    layers: list[Layer] = []
    for i, index in enumerate(run[0].nodes):
        alike = tuple(group.nodes[i] for group in run)
        nodes = [found.nodes[each] for each in alike]
        first = found.nodes[index]
        # What comes over a leap is a line of its own, from stage to stage.
        inputs = tuple(place.get(j, -1) for j in first.inputs if (j, index) not in found.leaps or j in place)  # fmt: skip
        params = sum(node.params for node in nodes)
        layers.append(Layer(first.kind, first.label, first.shape, nodes[-1].shape, inputs, params, _total(nodes), alike))  # fmt: skip
    return layers


def _join(found: Graph, run: Sequence[Group]) -> Join | None:
    joins = [n for g in run for n in (found.nodes[i] for i in g.nodes) if len(n.inputs) > 1]
    if not joins:
        return None
    last = joins[-1]
    alike = [node for node in joins if node.label == last.label]
    return Join(_leap_kind(last), last.ways, len(alike))


def _path(found: Graph, group: Group) -> str:
    """The module that all nodes of a stage stand in."""
    paths = [found.nodes[i].path.split(".") for i in group.nodes]
    common: list[str] = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return ".".join(common)


def _block_name(path: str, types: Mapping[str, str]) -> str:
    name = types.get(path, "")
    return "block" if not path or name in CONTAINERS else name
