"""The map of a net: one node a call of its trace, edges where a call reads what another made, groups by module.

Nothing is recorded here: `striate.probe.trace` gives the calls, `see.architecture_graph` their words. A group is an
unbroken run of calls below one module, so that groups never read each other in a circle; neighbours that are alike in
all but their names are folded into one group that says how often.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import torch
from torch import Tensor, nn

from striate.measuring.operations import MOVES, UNKNOWN, formula, operation
from striate.probe import Call, Trace, Value, trace
from striate.see.architecture_graph import graph as drawn
from striate.studio.wire import MapGroup, MapNode

COLLAPSED = 60  # boxes of the map as it is first shown, at most
FEW, ENOUGH = (
    8,
    30,
)  # boxes at first: fewer than FEW are opened as far as COLLAPSED allows, others to ENOUGH
LISTED = 300  # boxes beyond which a list stands in place of a drawing
PART = 20  # parts in which more neighbours than COLLAPSED are put

# Calls that hand on what they read: a hovered box lights what lies behind them.
PASSING = frozenset(
    {*MOVES, "add", "clone", "contiguous", "detach", "to", "float", "dropout", "dropout2d", "alias"}
)


@dataclass(frozen=True)
class NetGraph:
    """All calls of a net that depend on its input.

    Attributes:
        nodes: in the order of the calls, inputs first.
        edges: (from, to, port): numbers of nodes, and which of the tensors that the reader takes it is.
        groups: by id; `root` holds the ids of what no group holds.
        note: why the map is not whole; "" where it is.
        places: of nodes by id.
        recorded: layers by the places of their calls in a run with numbers (`numbered`).
    """

    nodes: tuple[MapNode, ...]
    edges: tuple[tuple[int, int, int], ...]
    groups: Mapping[str, MapGroup]
    root: tuple[str, ...]
    note: str = ""
    places: Mapping[str, int] = field(default_factory=dict[str, int])
    recorded: Mapping[int, str] = field(default_factory=dict[int, str])

    def shown(self, opened: frozenset[str] | set[str]) -> list[str]:
        """Ids of the boxes that are seen while these groups are open, in the order of the calls."""
        return list(self._below(self.root, opened))

    def _below(self, ids: Sequence[str], opened: frozenset[str] | set[str]) -> Iterator[str]:
        for each in ids:
            if each in opened and each in self.groups:
                yield from self._below(self.groups[each].children, opened)
            else:
                yield each

    def members(self, box: str) -> list[int]:
        """Numbers of the nodes that a box stands for."""
        if box not in self.groups:
            return [self.places[box]]
        return [i for child in self.groups[box].children for i in self.members(child)]

    def lines(self, boxes: Sequence[str]) -> dict[tuple[int, int], int]:
        """Which boxes read which, by their places in `boxes`, and how many edges that stands for."""
        where = {node: at for at, box in enumerate(boxes) for node in self.members(box)}
        found: dict[tuple[int, int], int] = {}
        for source, target, _port in self.edges:
            pair = where[source], where[target]
            if pair[0] != pair[1]:
                found[pair] = found.get(pair, 0) + 1
        return found

    def opened(self) -> frozenset[str]:
        """The groups that are open at first: level by level, as long as the boxes stay few; repeats stay closed."""
        opened: frozenset[str] = frozenset()
        while True:
            seen = self.shown(opened)
            closed = [b for b in seen if b in self.groups and self.groups[b].repeat == 1]
            wider = opened.union(closed)
            allowed = COLLAPSED if len(seen) < FEW else ENOUGH
            if not closed or len(self.shown(wider)) > allowed:
                return opened
            opened = wider


def net_graph(net: nn.Module, like: Tensor) -> NetGraph:
    """The graph of any net; it is not touched.

    Args:
        net: any module that takes one tensor.
        like: an input with its batch axis, of which only shape and type are used.
    """
    run = trace(net, [torch.empty(like.shape, dtype=like.dtype, device="meta")])
    return graph_of(run, counted(net), kinds_of(net))


def counted(net: nn.Module) -> dict[str, int]:
    """How many numbers each parameter holds, negative of those with two axes or more."""
    return {name: p.numel() * (1 if p.ndim < 2 else -1) for name, p in net.named_parameters()}


def kinds_of(net: nn.Module) -> dict[str, str]:
    """The class of each module by its path."""
    return {path: type(module).__name__ for path, module in net.named_modules()}


def graph_of(run: Trace, counts: Mapping[str, int], kinds: Mapping[str, str]) -> NetGraph:
    """The graph of a trace.

    Args:
        run: of a net; where it stopped early the graph ends there and says so.
        counts: how many numbers each parameter holds, negative of those with two axes or more.
        kinds: the class of each module by its path.
    """
    live = [at for at, call in enumerate(run.calls) if call.live]
    names = _layers(run, kinds)
    labels = {
        node.calls[0]: (node.kind, node.label) for node in drawn(run, counts).nodes if node.calls
    }
    unread = dict(counts)
    used = _used(run)
    nodes = [_input(i, value) for i, value in enumerate(run.inputs)]
    for at in live:
        call = run.calls[at]
        params = sum(abs(unread.pop(name, 0)) for name in call.params)
        kind, label = labels.get(at) or _plain(call)
        nodes.append(_node(at, call, kind, label, params, names.get(at, ""), used=at in used))
    places = {node.id: i for i, node in enumerate(nodes)}
    edges = tuple(_edges(run, live))
    groups, root = _grouped(run, live, nodes, kinds)
    return NetGraph(tuple(nodes), edges, groups, root, _note(run), places)


def _edges(run: Trace, live: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """From what made each value that depends on the input to what reads it."""
    maker = {value.index: i for i, value in enumerate(run.inputs)}
    for number, at in enumerate(live, len(run.inputs)):
        read = [value for value in run.calls[at].inputs if value.live]
        for port, value in enumerate(read):
            yield maker[value.index], number, port
        maker |= {value.index: number for value in run.calls[at].outputs}


def _used(run: Trace) -> set[int]:
    """Places of the calls that the outputs depend on; all of them where no output could be followed."""
    wanted = {value.index for value in run.outputs if value.live}
    if not wanted:
        return set(range(len(run.calls)))
    found: set[int] = set()
    for at in range(len(run.calls) - 1, -1, -1):
        if any(value.index in wanted for value in run.calls[at].outputs):
            found.add(at)
            wanted |= {value.index for value in run.calls[at].inputs}
    return found


def _input(number: int, value: Value) -> MapNode:
    return MapNode(
        id=f"in{number}", op="input", kind="input", label="input", path="", call=-1, layer=f"#input{number or ''}",
        shape=list(value.shape[1:]), params=0, macs=0, passing=False, opaque=False, used=True,
    )  # fmt: skip


def _node(
    at: int, call: Call, kind: str, label: str, params: int, layer: str, *, used: bool
) -> MapNode:
    first = call.outputs[0]
    return MapNode(
        id=f"#{at}",
        op=call.op,
        kind=kind,
        label=label,
        path=call.path,
        call=at,
        layer=layer or f"#{at}",
        shape=list(first.shape[1:]),
        params=params,
        macs=call.flops // 2 if call.flops else formula(call),
        passing=call.op.rstrip("_") in PASSING,
        opaque=operation(call.op) is UNKNOWN,
        used=used,
    )


def _plain(call: Call) -> tuple[str, str]:
    """Kind and words of a call that belongs to the layer before it."""
    op = call.op.rstrip("_")
    kind = "norm" if operation(op).kind == "normalisation" else "move" if op in MOVES else "other"
    return kind, op.replace("_", " ")


def _layers(run: Trace, kinds: Mapping[str, str]) -> dict[int, str]:
    """Of each call whose output a module without others inside gave back, that module and which call of it: PATH@CALL."""
    around = {path.rpartition(".")[0] for path in kinds}
    maker = {value.index: at for at, call in enumerate(run.calls) for value in call.outputs}
    found: dict[int, str] = {}
    for path, given in run.returned.items():
        for number, values in enumerate(given):
            at = maker.get(values[0].index) if values else None
            # One that hands on what it was given made nothing.
            if path not in around and at is not None and run.calls[at].path == path:
                found[at] = f"{path}@{number}"
    return found


def _note(run: Trace) -> str:
    if run.error is not None:
        said = next(iter(str(run.error).strip().splitlines()), type(run.error).__name__)
        return f"the net could not be followed to its end: {said[:200]}"
    if run.unseen:
        return f"part of what the net gives is {run.unseen}, which could not be followed"
    return ""


def numbered(graph: NetGraph, run: Trace, calls: Sequence[Call]) -> NetGraph:
    """The graph with `layer` of each function, "#N", counted as in a run with numbers, which may call more or fewer.

    A call is the next one of the same module, function and shape; of one that is not found there are no maps.

    Args:
        graph: of a trace.
        run: that trace.
        calls: of a recording of the same net.
    """
    found: dict[int, int] = {}
    start = 0
    for node in graph.nodes:
        wanted = run.calls[node.call] if node.call >= 0 else None
        at = next((i for i in range(start, len(calls)) if wanted and _same(wanted, calls[i])), None)
        if at is not None:
            found[node.call], start = at, at + 1
    names = {f"#{a}": f"#{b}" for a, b in found.items()}
    nodes = tuple(
        replace(node, layer=names.get(node.layer, "")) if node.layer == node.id else node
        for node in graph.nodes
    )
    last = {name: nodes[graph.members(name)[-1]].layer for name in graph.groups}
    groups = {name: replace(group, layer=last[name]) for name, group in graph.groups.items()}
    by_call = {node.call: node.layer for node in nodes}
    recorded = {b: by_call[a] for a, b in found.items()}
    return replace(graph, nodes=nodes, groups=groups, recorded=recorded)


def _same(one: Call, other: Call) -> bool:
    shapes = [[value.shape for value in call.outputs] for call in (one, other)]
    return (one.path, one.op, shapes[0]) == (other.path, other.op, shapes[1])


# ------------------------------------------------------------------------------------------- groups


@dataclass
class _Tree:
    """Groups as they are made, and of each call the module entries that it stands in."""

    run: Trace
    nodes: Sequence[MapNode]
    kinds: Mapping[str, str]
    ends: Mapping[
        str, list[int]
    ]  # of each module that ran more than once the calls that its entries ended with
    groups: dict[str, MapGroup] = field(default_factory=dict[str, MapGroup])

    def add(self, **facts: object) -> str:
        name = f"g{len(self.groups)}"
        self.groups[name] = MapGroup(id=name, **facts)  # pyright: ignore[reportArgumentType]
        return name


def _grouped(
    run: Trace, live: Sequence[int], nodes: Sequence[MapNode], kinds: Mapping[str, str]
) -> tuple[dict[str, MapGroup], tuple[str, ...]]:
    maker = {value.index: at for at, call in enumerate(run.calls) for value in call.outputs}
    ends = {
        path: [maker.get(values[0].index, -1) for values in given if values]
        for path, given in run.returned.items()
        if len(given) > 1
    }
    tree = _Tree(run, nodes, kinds, ends)
    first = len(run.inputs)
    inside = _children(tree, list(range(first, first + len(live))), 0)
    return tree.groups, (*(node.id for node in nodes[:first]), *_in_parts(tree, inside))


def _children(tree: _Tree, members: Sequence[int], depth: int) -> list[str]:
    """Boxes for unbroken runs of nodes below one module `depth` steps down, repeats folded."""
    made: list[tuple[str, tuple[object, ...] | None]] = []
    for path, part in groupby(members, lambda i: _head(tree.nodes[i].path, depth)):
        for entry in _entries(tree, path, list(part)):
            made += _box(tree, path, entry, depth)
    return _folded(tree, made)


def _box(
    tree: _Tree, path: str, members: list[int], depth: int
) -> Iterator[tuple[str, tuple[object, ...] | None]]:
    """A group, or its members where the module is the one around them or holds one call."""
    here = tree.nodes[members[0]].path
    if not path or len(here.split(".")) <= depth or len(members) == 1:
        yield from ((tree.nodes[i].id, None) for i in members)
        return
    inner = _children(tree, members, depth + 1)
    if len(inner) == 1 and inner[0] in tree.groups:
        yield inner[0], _signature(tree, path, members)
        return
    yield _group(tree, path, members, inner), _signature(tree, path, members)


def _group(tree: _Tree, path: str, members: Sequence[int], inner: list[str]) -> str:
    last = tree.nodes[members[-1]]
    known = [tree.nodes[i].macs for i in members]
    return tree.add(
        path=path,
        label=tree.kinds.get(path, ""),
        name=_short(path),
        layer=last.layer,
        shape=last.shape,
        children=inner,
        calls=len(members),
        params=sum(tree.nodes[i].params for i in members),
        macs=None if None in known else sum(each or 0 for each in known),
        repeat=1,
    )


def _short(path: str) -> str:
    """The last name of a path, with those before it while they are but numbers."""
    names = path.split(".")
    start = next((i for i in range(len(names) - 1, 0, -1) if not names[i].isdecimal()), 0)
    return ".".join(names[start:])


def _head(path: str, depth: int) -> str:
    return ".".join(path.split(".")[: depth + 1])


def _entries(tree: _Tree, path: str, members: list[int]) -> Iterator[list[int]]:
    """A run of calls cut where the module was entered again."""
    ends = set(tree.ends.get(path, ()))
    start = 0
    for at, member in enumerate(members):
        if tree.nodes[member].call in ends and at + 1 < len(members):
            yield members[start : at + 1]
            start = at + 1
    yield members[start:]


def _signature(tree: _Tree, path: str, members: Sequence[int]) -> tuple[object, ...]:
    """What tells modules apart, their names left out."""
    return tuple(
        (n.path.removeprefix(path), n.op, n.label, tuple(n.shape), n.params)
        for n in (tree.nodes[i] for i in members)
    )


def _folded(tree: _Tree, made: Sequence[tuple[str, tuple[object, ...] | None]]) -> list[str]:
    """Neighbours of one signature as one group."""
    found: list[str] = []
    for signature, part in groupby(made, lambda each: each[1]):
        ids = [name for name, _ in part]
        found += ids if signature is None or len(ids) == 1 else [_repeated(tree, ids)]
    return found


def _repeated(tree: _Tree, ids: list[str]) -> str:
    first, last = tree.groups[ids[0]], tree.groups[ids[-1]]
    all_ = [tree.groups[each] for each in ids]
    macs = [each.macs for each in all_]
    return tree.add(
        path=first.path,
        label=first.label,
        name=first.name if first.name == last.name else f"{first.name}…{last.path.split('.')[-1]}",
        layer=last.layer,
        shape=last.shape,
        children=ids,
        calls=sum(each.calls for each in all_),
        params=sum(each.params for each in all_),
        macs=None if None in macs else sum(each or 0 for each in macs),
        repeat=len(ids),
    )


def _in_parts(tree: _Tree, ids: list[str]) -> list[str]:
    """More boxes than a map may show at first, as groups of neighbours."""
    if len(ids) < COLLAPSED:
        return ids
    size = -(-len(ids) // PART)
    parts = [ids[at : at + size] for at in range(0, len(ids), size)]
    return [part[0] if len(part) == 1 else _part(tree, part) for part in parts]


def _part(tree: _Tree, ids: list[str]) -> str:
    by_id = {node.id: i for i, node in enumerate(tree.nodes)}
    whole = NetGraph(tuple(tree.nodes), (), tree.groups, tuple(ids), "", by_id)
    members = [i for each in ids for i in whole.members(each)]
    name = _group(tree, "", members, ids)
    ends = [tree.nodes[i].path or tree.nodes[i].op for i in (members[0], members[-1])]
    tree.groups[name] = replace(tree.groups[name], name=" … ".join(ends))
    return name
