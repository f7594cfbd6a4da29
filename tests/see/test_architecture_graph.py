"""No line without a connection: every edge of every drawn net is rebuilt by a recorder that knows nothing of `probe`."""

import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from drawn import box, check_each_other, check_edges, check_forms, check_lines
from striate.errors import ShapeError
from striate.models.catalog import CATALOG, entry, outline
from striate.see.architecture import architecture
from striate.see.architecture_graph import graph
from striate.see.architecture_stages import dense
from striate.see.canvas import Words, flat

SVG = "{http://www.w3.org/2000/svg}"


def tensors(value):
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for item in value for t in tensors(item)] if isinstance(value, list | tuple) else []


class Watch(TorchFunctionMode):
    """Which call read what which call made: by the tensors themselves, and by their memory where it is written to."""

    def __init__(self, inputs):
        super().__init__()
        self.kept = list(inputs)
        self.maker = {id(t): -1 - i for i, t in enumerate(inputs)}
        self.reads, self.names = [], []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        given = tensors([args, kwargs or {}])
        read = {self.maker[id(t)] for t in given if id(t) in self.maker}
        out = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        made = tensors(out) if "setitem" not in name else given[:1]
        if made:
            here = len(self.reads)
            self.reads.append(read)
            self.names.append(name)
            self.kept += made
            memory = [t.untyped_storage()._cdata for t in made]
            changed = "setitem" in name or (name.endswith("_") and not name.endswith("__")) or name.startswith("__i")  # fmt: skip
            if changed:
                for t in self.kept:
                    if t.untyped_storage()._cdata in memory and id(t) in self.maker:
                        self.maker[id(t)] = here
            if read:
                self.maker |= {id(t): here for t in made}
        return out


@cache
def traced(name):
    """The net on the meta device, an input, and each call's reads by number."""
    with torch.device("meta"):
        net = outline(name).eval()
    x = torch.empty(1, *entry(name).input, device="meta")
    watch = Watch([x])
    with torch.no_grad(), watch, torch.device("meta"):
        out = net(x)
    return net, x, watch, out


@cache
def drawn(name, detail="block"):
    net, x, _, _ = traced(name)
    return architecture(net, [x], name=name, detail=detail)


def edges(name):
    """Between the nodes of a graph, from the calls of the recorder."""
    _, _, watch, _ = traced(name)
    nodes = drawn(name).graph.nodes
    node_of = {-1: 0} | {call: i for i, node in enumerate(nodes) for call in node.calls}
    return {
        (node_of[source], node_of[call])
        for call, read in enumerate(watch.reads)
        if call in node_of
        for source in read
        if node_of[source] != node_of[call]
    }


@pytest.mark.slow
@pytest.mark.catalogue
@pytest.mark.parametrize("name", CATALOG)
def test_nodes_are_joined_as_a_second_recorder_saw_it(name):
    _, _, watch, _ = traced(name)
    nodes = drawn(name).graph.nodes
    assert {(i, j) for j, node in enumerate(nodes) for i in node.inputs} == edges(name)
    weighted = {"conv1d", "conv2d", "conv3d", "linear", "bmm", "einsum"}
    told = {call for node in nodes if node.weighted for call in node.calls}
    assert all(i in told for i, n in enumerate(watch.names) if n in weighted and watch.reads[i])


def lines(root):
    """What each line of a drawing says it joins: stages, and within a stage nodes or its entry."""
    stages, inside = set(), defaultdict(set)
    for line in root.iter(f"{SVG}polyline"):
        if "data-from-stage" in line.attrib:
            stages.add((int(line.attrib["data-from-stage"]), int(line.attrib["data-to-stage"])))
    for group in root.iter(f"{SVG}g"):
        if "data-stage" in group.attrib:
            for line in group.iter(f"{SVG}polyline"):
                inside[int(group.attrib["data-stage"])].add((line.attrib["data-from"], line.attrib["data-to"]))  # fmt: skip
    return stages, inside


@pytest.mark.slow
@pytest.mark.catalogue
@pytest.mark.parametrize("detail", ["block", "layer"])
@pytest.mark.parametrize("name", CATALOG)
def test_lines_are_connections_and_connections_are_lines(name, detail):
    net = drawn(name, detail)
    found, inside = lines(ET.fromstring(net.as_svg()))  # noqa: S314 - ours
    stage_of = {n: i for i, s in enumerate(net.stages) for layer in s.inside for n in layer.nodes}
    wanted = edges(name)
    pairs = {(stage_of[a], stage_of[b]) for a, b in wanted}
    # Repeats that are drawn once follow one another, and only that.
    assert found == {(a, b) for a, b in pairs if a != b}
    for at, stage in enumerate(net.stages):
        if dense(stage):
            check_fan(net, stage, wanted, inside[at])
        elif len(stage.inside) > 1:
            for copy in range(stage.times):
                assert within(stage, copy, wanted, stage_of, at) == inside[at]


def within(stage, copy, wanted, stage_of, at):
    """The edges of one repeat, named as those of the first."""
    mine = {layer.nodes[copy]: str(layer.nodes[0]) for layer in stage.inside}
    leaps = {(leap.source, leap.target) for leap in stage.leaps}
    return {
        (mine.get(a, "in"), mine[b])
        for a, b in wanted
        if b in mine and (a, b) not in leaps
    }  # fmt: skip


def check_fan(net, stage, wanted, arcs):
    """Every arc goes from a layer to a later one through puttings together alone, and none is missing."""
    cats = set(stage.inside[-1].nodes)
    readers = defaultdict(set)
    for a, b in wanted:
        readers[a].add(b)

    def reached(start):
        found, queue = set(), list(start)
        while queue:
            here = queue.pop()
            if here not in found:
                found.add(here)
                queue += readers[here] if here in cats else ()
        return {str(i) for i in found}

    first, last = {str(i) for i in stage.inside[0].nodes}, {str(i) for i in stage.inside[-2].nodes}
    end = str(stage.inside[-1].nodes[-1])
    outside = {a for a, b in wanted if str(b) in first and a not in cats}
    targets = {b for _, b in arcs}
    for source in {a for a, _ in arcs}:
        start = {b for a in outside for b in readers[a]} if source == "in" else readers[int(source)]
        all_of = reached(start) & (first | {end})
        assert {b for a, b in arcs if a == source} == all_of & targets
    assert {a for a, _ in arcs} - {"in"} <= last


def rectangle(element):
    """Left, top, right and bottom of what a group draws, its words and lines aside."""
    xs, ys = [], []
    for part in element.iter():
        if part.tag == f"{SVG}rect":
            x, y, w, h = (float(part.attrib[k]) for k in ("x", "y", "width", "height"))
            xs, ys = [*xs, x, x + w], [*ys, y, y + h]
        if part.tag == f"{SVG}polygon" and " s-" in part.attrib["class"]:
            points = [tuple(map(float, p.split(","))) for p in part.attrib["points"].split()]
            xs, ys = [*xs, *(x for x, _ in points)], [*ys, *(y for _, y in points)]
    return min(xs), min(ys), max(xs), max(ys)


def on(point, box, room=8.0):
    x, y = point
    return box[0] - room <= x <= box[2] + room and box[1] - room <= y <= box[3] + room


def ends(line):
    points = [tuple(map(float, p.split(","))) for p in line.attrib["points"].split()]
    return points[0], points[-1]


@pytest.mark.slow
@pytest.mark.catalogue
@pytest.mark.parametrize("name", CATALOG)
def test_a_line_begins_and_ends_on_what_it_joins(name):
    root = ET.fromstring(drawn(name).as_svg())  # noqa: S314 - ours
    groups = list(root.iter(f"{SVG}g"))
    stages = {g.attrib["data-stage"]: rectangle(g) for g in groups if "data-stage" in g.attrib}
    layers = {g.attrib["data-layer"]: rectangle(g) for g in groups if "data-layer" in g.attrib}
    for line in root.iter(f"{SVG}polyline"):
        start, end = ends(line)
        if "data-from-stage" in line.attrib:
            assert on(start, stages[line.attrib["data-from-stage"]])
            assert on(end, stages[line.attrib["data-to-stage"]])
        elif line.attrib["data-from"] in layers and line.attrib["data-to"] in layers:
            assert on(start, layers[line.attrib["data-from"]])
            assert on(end, layers[line.attrib["data-to"]])


@pytest.mark.slow
@pytest.mark.catalogue
@pytest.mark.parametrize("name", CATALOG)
def test_figures_add_up_to_those_of_the_catalogue(name):
    found, row = drawn(name), entry(name)
    unread = {"cdbn": 25, "capsnet": 1_411_344}.get(name, 0)  # what no output depends on
    assert (found.params, found.macs) == (row.params - unread, row.macs)


class Twice(nn.Module):
    """Two inputs, two outputs, one layer that is read twice."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x, y):
        x = self.one(x)
        return self.two(x) + self.one(y), self.two(x)


def test_a_net_with_two_inputs_and_two_outputs_is_drawn():
    net = architecture(Twice(), [torch.zeros(1, 4), torch.zeros(1, 4)])
    assert net.params == 40
    kinds = [layer.kind for stage in net.stages for layer in stage.inside]
    assert kinds.count("input") == 2
    ET.fromstring(net.as_svg())  # noqa: S314 - ours


class Unknown(nn.Module):
    """Distances to centres, whose multiply-adds no formula gives."""

    def __init__(self):
        super().__init__()
        self.centres = nn.Parameter(torch.zeros(5, 3))

    def forward(self, x):
        return torch.cdist(x, self.centres)


def test_multiply_adds_that_nobody_knows_are_not_zero():
    net = architecture(Unknown(), [torch.zeros(1, 7, 3)])
    assert net.macs is None
    assert net.params == 15
    words = [t.text for t in ET.fromstring(net.as_svg()).iter(f"{SVG}text")]  # noqa: S314 - ours
    assert "MACs unknown" in words
    assert re.search(r"\?", net.as_text())


def test_a_graph_has_no_circle():
    from striate.probe import trace

    net, x, _, _ = traced("lenet5")
    nodes = graph(trace(net, [x]), {}).nodes
    assert all(i < at for at, node in enumerate(nodes) for i in node.inputs)


class Gated(nn.Module):
    """Squeeze and excitation: a product with what all places give together is no connection over smaller maps."""

    def __init__(self):
        super().__init__()
        self.conv, self.gate = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)

    def forward(self, x):
        x = self.conv(x)
        return x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))


class Pyramid(nn.Module):
    """Branches over one map, one of which averages all places and spreads the result."""

    def __init__(self):
        super().__init__()
        self.near, self.far, self.all = (nn.Conv2d(3, 4, 1) for _ in range(3))

    def forward(self, x):
        whole = self.all(nn.functional.adaptive_avg_pool2d(x, 1))
        whole = nn.functional.interpolate(whole, x.shape[2:])
        return torch.cat([self.near(x), self.far(x), whole], 1)


class Repeated(nn.Module):
    """One layer, called again and again, whose result is in a dictionary."""

    def __init__(self):
        super().__init__()
        self.step = nn.Linear(4, 4)

    def forward(self, x):
        state = torch.zeros_like(x[:, 0])
        for t in range(x.shape[1]):
            state = torch.tanh(self.step(x[:, t]) + state)
        return {"state": state}


ODD = [
    (Gated(), (3, 9, 9), 296, 8 * 27 * 81 + 64, 0),
    (Pyramid(), (3, 9, 9), 48, 2 * 12 * 81 + 12, 0),
    (Repeated(), (6, 4), 20, 96, 0),
    (nn.Sequential(nn.Flatten(), nn.Linear(4, 1), nn.Flatten(0)), (4,), 5, 4, 0),
    (nn.Identity(), (3,), 0, 0, 0),
    (nn.Conv2d(1, 4096, 1), (1, 1, 3000), 8192, 4096 * 3000, 0),
]


@pytest.mark.parametrize(("net", "shape", "params", "macs", "leaps"), ODD)
@pytest.mark.parametrize("batch", [1, 3])
def test_nets_of_other_forms_are_drawn(net, shape, params, macs, leaps, batch):
    drawn = architecture(net, [torch.zeros(batch, *shape)])
    assert (drawn.params, drawn.macs) == (params, macs)
    assert sum(len(stage.skips) for stage in drawn.stages) == leaps
    canvas = drawn.canvas()
    parts = list(flat(canvas.parts))
    words = [(part, box(part)) for part in parts if isinstance(part, Words)]
    check_edges(canvas, words)
    check_each_other(words)
    check_forms(parts, words)
    check_lines(parts, words)


class Constant(nn.Module):
    def forward(self, _):
        return torch.ones(1)


def test_an_output_that_depends_on_nothing_is_refused():
    with pytest.raises(ShapeError, match=r"^Constant gives no tensor that depends on its inputs"):
        architecture(Constant(), [torch.zeros(1, 3)])
