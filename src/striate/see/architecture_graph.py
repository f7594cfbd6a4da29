"""A traced net as a graph: nodes are layers, poolings and joins, stages are what everything passes through.

A node holds the calls it stands for, and there is an edge between two nodes if and only if a call of the second reads a
value that a call of the first made. Normalisations, activations and reshapings belong to the node they follow.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

from striate.probe.calls import Call, Trace, Value
from striate.text import times

WEIGHTED = (
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear", "bmm",
)  # fmt: skip
PRODUCTS = ("linear", "bmm", "matmul", "einsum", "addmm", "mm", "baddbmm")
CONVOLUTIONS = WEIGHTED[:6]
JOINS = {
    "add": "add", "sub": "subtract", "cat": "cat", "concat": "cat", "concatenate": "cat", "stack": "stack",
    "lerp": "gate", "mul": "multiply", "div": "divide", "matmul": "product", "bmm": "product", "max_unpool2d": "indices",
    "scaled_dot_product_attention": "attention",
}  # fmt: skip
# Operations on weights with several axes that mix no channels.
PLAIN = (
    "norm",
    "relu",
    "add",
    "mul",
    "sub",
    "div",
    "pow",
    "lerp",
    "where",
    "clone",
    "cat",
    "stack",
    "expand",
)
UPWARDS = ("interpolate", "upsample", "upsample_nearest", "upsample_bilinear", "pixel_shuffle")


@dataclass(frozen=True)
class Node:
    """A layer with weights, a pooling, a join of several ways, or an input.

    Attributes:
        kind: input, conv, up, pool, linear, join or other.
        label: what it does, such as "conv 3x3 /2" or "add".
        shape: of what it makes, without the batch axis.
        path: the module that called it.
        calls: places in the trace of all calls that it stands for.
        inputs: the nodes that it reads, each once, in order.
        ways: how many values meet in a join.
        params: parameters that no earlier call of the net reads.
        macs: multiply-adds as torch.utils.flop_counter counts them; None if it has no formula.
    """

    kind: str
    label: str
    shape: tuple[int, ...]
    path: str = ""
    calls: tuple[int, ...] = ()
    inputs: tuple[int, ...] = ()
    ways: int = 1
    params: int = 0
    macs: int | None = 0

    @property
    def area(self) -> int:
        """Places of its maps."""
        return prod(self.shape[1:])

    @property
    def weighted(self) -> bool:
        """Whether it is a layer with weights of its own or fixed ones."""
        return self.kind in ("conv", "linear") or (self.kind == "up" and "conv" in self.label)


@dataclass(frozen=True)
class Group:
    """Nodes of one stage, of which the last is what the next stage reads; `side` if it lies on a leap beside the others."""

    nodes: tuple[int, ...]
    side: bool = False


@dataclass(frozen=True)
class Graph:
    """All nodes of a net in the order of their calls, its stages, and the edges that leap over smaller maps."""

    nodes: tuple[Node, ...]
    groups: tuple[Group, ...]
    leaps: frozenset[tuple[int, int]]


def graph(run: Trace, counts: Mapping[str, int]) -> Graph:
    """The graph of a trace; its multiply-adds are those of one item.

    Args:
        run: a trace that came to its end.
        counts: how many numbers each parameter holds, and of those with two axes or more a negative count.
    """
    nodes = _nodes(run, counts)
    leaps, sides = _leaps(nodes)
    leaps |= _indices(run, nodes)
    return Graph(tuple(nodes), tuple(_groups(nodes, leaps, sides)), frozenset(leaps))


def needed(run: Trace) -> list[int]:
    """Places of the calls that the outputs depend on."""
    wanted = {value.index for value in run.outputs}
    kept: list[int] = []
    for at in range(len(run.calls) - 1, -1, -1):
        call = run.calls[at]
        if call.live and any(output.index in wanted for output in call.outputs):
            kept.append(at)
            wanted |= {value.index for value in call.inputs if value.live}
    return kept[::-1]


# ------------------------------------------------------------------------------------------- nodes


def _nodes(run: Trace, counts: Mapping[str, int]) -> list[Node]:
    nodes = [Node("input", "input", value.shape[1:]) for value in run.inputs]
    maker = {value.index: i for i, value in enumerate(run.inputs)}
    unread = dict(counts)
    odd: set[int] = set()  # whose first axis is not that of the batch
    for at in needed(run):
        call = run.calls[at]
        sources = tuple(dict.fromkeys(maker[v.index] for v in call.inputs if v.live))
        new = sum(abs(unread.pop(name, 0)) for name in call.params)
        kind = _kind(call, counts, len(sources))
        if kind:
            ways = len({v.index for v in call.inputs if v.live})
            shape = call.outputs[0].shape[_per_item(run, call) :]
            label = _label(call, kind)
            here = len(nodes)
            nodes.append(Node(kind, label, shape, call.path, (at,), sources, ways, new, _macs(run, call, kind)))  # fmt: skip
            odd |= set() if _per_item(run, call) else {here}
        else:
            here = sources[0]
            nodes[here] = _with(nodes[here], _macs(run, call) or 0, at, new)
            if here in odd and _per_item(run, call):
                nodes[here] = replace(nodes[here], shape=call.outputs[0].shape[1:])
                odd.remove(here)
        maker |= {output.index: here for output in call.outputs}
    return nodes


def _per_item(run: Trace, call: Call) -> bool:
    return call.outputs[0].shape[:1] == run.inputs[0].shape[:1]


def _with(node: Node, more: int, at: int, new: int) -> Node:
    """A node and one more call that reads nothing else."""
    macs = None if node.macs is None else node.macs + more
    return replace(node, calls=(*node.calls, at), params=node.params + new, macs=macs)


def _macs(run: Trace, call: Call, kind: str = "") -> int | None:
    if call.flops or call.op == "embedding" or kind not in ("conv", "linear", "other"):
        items = max(1, *run.inputs[0].shape[:1])
        return call.flops // 2 // items
    return None


def _kind(call: Call, counts: Mapping[str, int], sources: int) -> str:
    """What kind of node a call begins; "" if it belongs to the one it reads."""
    op = call.op.rstrip("_")
    matrices = any(counts.get(name, 0) < 0 for name in call.params)
    product = op in PRODUCTS and (matrices or op == "linear")
    rules = (
        ("conv", op in CONVOLUTIONS and "transpose" not in op),
        ("up", op in CONVOLUTIONS or "unpool" in op or op in UPWARDS),
        ("linear", product),
        ("pool", "pool" in op or (op in ("mean", "sum") and _over_maps(call))),
        ("join", sources > 1),
        ("linear", call.flops > 0),
        ("other", matrices and not any(word in op for word in PLAIN)),
    )
    return next((kind for kind, holds in rules if holds), "")


def _over_maps(call: Call) -> bool:
    before = call.inputs[0].shape
    least = 2 if call.op == "mean" else 3
    return len(before) > least and call.outputs[0].count == prod(before[:2])


def _label(call: Call, kind: str) -> str:
    """What a call does, in words."""
    if kind in ("conv", "linear") or "conv" in call.op:
        return _weighted_label(call, kind)
    if kind == "pool":
        return "global average" if call.op in ("mean", "sum") else _pooling(call)
    if kind == "up":
        return {"max_unpool2d": "max unpool"}.get(call.op, "upsample")
    op = call.op.rstrip("_")
    return JOINS.get(op) or re.sub("[123]d$", "", op).replace("_", " ")


def _weighted_label(call: Call, kind: str) -> str:
    if kind == "linear":
        known = call.op in PRODUCTS
        return ("linear" if call.params else "matrix product") if known else call.op
    weight = call.arg("weight")
    kernel = weight.shape[2:] if isinstance(weight, Value) else ()
    words = f"{'up-conv' if kind == 'up' else 'conv'} {times(kernel)}"
    stride, dilation = _axes(call.arg("stride", 1)), _axes(call.arg("dilation", 1))
    groups = call.arg("groups", 1)
    channels = call.inputs[0].shape[1] if len(call.inputs[0].shape) > 1 else 0
    words += f" /{_same(stride)}" if max(stride) > 1 else ""
    words += f" dil {_same(dilation)}" if max(dilation) > 1 else ""
    if isinstance(groups, int) and groups > 1:
        words += " depthwise" if groups == channels else f" {groups} groups"
    return words


def _pooling(call: Call) -> str:
    kind = call.op.replace("_with_indices", "").rstrip("_").replace("_", " ")
    kind = re.sub(" ?[123]d", "", kind)
    if kind.startswith("adaptive"):
        to = call.outputs[0].shape[2:]
        word = kind.removeprefix("adaptive ").replace("avg", "average")
        return f"global {word.removesuffix(' pool')}" if prod(to) == 1 else f"{word} to {times(to)}"
    rank = len(call.outputs[0].shape) - 2
    kernel = _spread(_axes(call.arg("kernel_size", 1)), rank)
    stride = _axes(call.arg("stride") or kernel)
    return f"{kind.replace('avg', 'average')} {times(kernel)} /{_same(stride)}"


def _spread(sizes: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """One size for each axis."""
    return sizes * rank if len(sizes) == 1 else sizes


def _axes(value: object) -> tuple[int, ...]:
    if isinstance(value, Sequence):
        found = tuple(item for item in value if isinstance(item, int))
        return found or (1,)
    return (value,) if isinstance(value, int) else (1,)


def _same(sizes: Sequence[int]) -> str:
    """A size that all axes have, or each one's."""
    return str(sizes[0]) if len(set(sizes)) == 1 else times(sizes)


# ------------------------------------------------------------------------------------------- leaps


def readers(nodes: Sequence[Node]) -> list[list[int]]:
    """Of each node those that read it."""
    found: list[list[int]] = [[] for _ in nodes]
    for index, node in enumerate(nodes):
        for source in node.inputs:
            found[source].append(index)
    return found


def _leaps(nodes: Sequence[Node]) -> tuple[set[tuple[int, int]], set[int]]:
    """Edges over which a value is joined to others after the maps had become smaller and have grown back.

    A node alone on such a way, such as a convolution or a crop, is beside the others: it is given too. A product joins
    nothing: it gates.
    """
    reads = readers(nodes)
    below, above = _reach(nodes, reads)
    found: set[tuple[int, int]] = set()
    beside: set[int] = set()
    for index, node in enumerate(nodes):
        if node.label not in ("add", "cat", "max unpool") or len(node.inputs) < 2:
            continue
        for source in node.inputs:
            way = _way(nodes, reads, source, index)
            between = above[way[0]] & below[index] & ~sum(1 << i for i in way)
            if node.area > 1 and _dips([nodes[i] for i in _bits(between)], [nodes[i] for i in way]):
                found |= set(pairwise(way))
                beside |= set(way[1:-1])
    return found, beside


def _dips(between: Sequence[Node], way: Sequence[Node]) -> bool:
    """Whether maps become smaller between the ends of a way than they are on it.

    A branch that averages all places and spreads the result again, as in a spatial pyramid, is no such detour.
    """
    least = min(node.area for node in way)
    smaller = [node for node in between if node.kind in ("conv", "pool") and node.area < least]
    layers = sum(node.weighted for node in smaller)
    return any(node.area > 1 for node in smaller) or layers > 1 + sum(n.weighted for n in way)


def _way(nodes: Sequence[Node], reads: Sequence[Sequence[int]], source: int, end: int) -> list[int]:
    """From a join back along one of its inputs to the node where that way began."""
    way = [end, source]
    while len(reads[way[-1]]) == 1 and len(nodes[way[-1]].inputs) == 1:
        way.append(nodes[way[-1]].inputs[0])
    return way[::-1]


def _reach(nodes: Sequence[Node], reads: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """Of each node those it depends on and those that depend on it, as bits."""
    below, above = [0] * len(nodes), [0] * len(nodes)
    for index, node in enumerate(nodes):
        for source in node.inputs:
            below[index] |= below[source] | 1 << source
    for index in range(len(nodes) - 1, -1, -1):
        for reader in reads[index]:
            above[index] |= above[reader] | 1 << reader
    return below, above


def _bits(number: int) -> Iterator[int]:
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low


def _indices(run: Trace, nodes: Sequence[Node]) -> set[tuple[int, int]]:
    """Edges over which the indices of a pooling lead to where it is undone."""
    maker = {
        output.index: i
        for i, node in enumerate(nodes)
        for at in node.calls
        for output in run.calls[at].outputs
    }
    return {
        (maker[value.index], index)
        for index, node in enumerate(nodes)
        if node.kind == "up"
        for value in run.calls[node.calls[0]].inputs
        if value.live and not value.dtype.is_floating_point and value.index in maker
    }


# ------------------------------------------------------------------------------------------- stages


def _groups(nodes: Sequence[Node], leaps: set[tuple[int, int]], sides: set[int]) -> list[Group]:
    """Cut where everything that is used later, leaps aside, is what one node makes."""
    last = {
        source: index
        for index, node in enumerate(nodes)
        for source in node.inputs
        if (source, index) not in leaps
    }
    found: list[Group] = []
    segment: list[int] = []
    pending: set[int] = set()
    for index in range(len(nodes)):
        if index in sides:
            found.append(Group((index,), side=True))
            continue
        segment.append(index)
        pending = {i for i in pending if last[i] > index} | ({index} if index in last else set())
        if pending <= {index}:
            found.append(Group(tuple(segment)))
            segment = []
    return found + ([Group(tuple(segment))] if segment else [])
