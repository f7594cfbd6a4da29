"""The map of a net: its edges are those of the trace, groups hold each call once, drawings show each box once."""

import functools
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from map_nets import NETS, Joined, Residual, Shared

from striate.errors import ArgumentError
from striate.probe import record, trace
from striate.studio.fan_out import fan
from striate.studio.graph import COLLAPSED, LISTED, NetGraph, net_graph, numbered
from striate.studio.launch import begun
from striate.studio.map_layout import layout
from striate.studio.map_routes import traced
from striate.studio.number import value_of
from striate.studio.routes import Refusal


@functools.cache
def _made(name: str) -> tuple[nn.Module, Tensor, NetGraph]:
    make, shape = NETS[name]
    net = make().eval()
    x = torch.rand(1, *shape, generator=torch.Generator().manual_seed(1))
    return net, x, net_graph(net, x)


@pytest.mark.parametrize("name", NETS)
def test_edges_are_those_of_the_trace(name: str) -> None:
    net, x, graph = _made(name)
    run = trace(net, [x])
    wanted: list[tuple[str, str, int]] = []
    for at, call in enumerate(run.calls):
        for port, value in enumerate([v for v in call.inputs if v.live]):
            makers = [i for i, earlier in enumerate(run.calls[:at]) if value in earlier.outputs]
            source = f"#{makers[-1]}" if makers else f"in{run.inputs.index(value)}"
            wanted.append((source, f"#{at}", port))
    ids = [node.id for node in graph.nodes]
    assert sorted((ids[a], ids[b], port) for a, b, port in graph.edges) == sorted(wanted)
    assert len(graph.nodes) == len(run.inputs) + sum(call.live for call in run.calls)


@pytest.mark.parametrize("name", NETS)
def test_groups_hold_every_call_once_and_sums_agree(name: str) -> None:
    net, x, graph = _made(name)
    assert sorted(i for box in graph.root for i in graph.members(box)) == list(
        range(len(graph.nodes))
    )
    read = {name for call in trace(net, [x]).calls for name in call.params}
    assert sum(node.params for node in graph.nodes) == sum(
        p.numel() for name, p in net.named_parameters() if name in read
    )
    for group in graph.groups.values():
        members = [graph.nodes[i] for i in graph.members(group.id)]
        assert group.calls == len(members)
        assert group.params == sum(node.params for node in members)
    assert len(graph.shown(graph.opened())) <= COLLAPSED


@pytest.mark.parametrize("name", NETS)
def test_layers_are_what_modules_gave(name: str) -> None:
    net, x, graph = _made(name)
    recording = record(net, [x])
    for node in numbered(graph, trace(net, [x]), recording.calls).nodes:
        value = value_of(recording, node.layer)
        assert list(value.shape[1:]) == node.shape
        made = recording.maker(value)
        if node.layer.startswith("#") and made is not None:
            assert recording.calls[made].op == node.op
            assert recording.calls[made].path == node.path


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("width", [390.0, 1200.0])
def test_boxes_do_not_overlap_and_lines_end_at_them(name: str, width: float) -> None:
    _, _, graph = _made(name)
    for opened in (graph.opened(), frozenset(graph.groups)):
        drawn = layout(graph, opened, width)
        boxes = drawn.boxes
        assert [box.id for box in boxes] == graph.shown(opened)
        assert drawn.listed == (len(boxes) > LISTED)
        if drawn.listed:
            continue
        for one, other in pairwise(sorted(boxes, key=lambda b: (b.y, b.x))):
            assert one.y + one.h <= other.y or one.x + one.w <= other.x
        for line in drawn.lines:
            start, end = boxes[line.from_], boxes[line.to]
            assert line.points[0] == [start.x + start.w / 2, start.y + start.h]
            assert line.points[-1] == [end.x + end.w / 2, end.y]
            assert width > 390 or start.y + start.h < end.y  # one column: every line goes down
        assert all(box.x + box.w <= drawn.w and box.y + box.h <= drawn.h for box in boxes)


@pytest.mark.parametrize("name", ["residual", "chunked", "shared", "googlenet"])
def test_layers_have_the_names_that_other_screens_know(name: str) -> None:
    make, shape = NETS[name]
    net = make().eval()
    whole = {path for path, module in net.named_modules() if not list(module.children())}
    page = begun([net], shape=shape)
    try:
        (opened,) = page.session.nets.values()
        nodes = {node.layer: node for node in traced(page.session, opened)[1].nodes}
        known = {layer.id for layer in opened.card.layers}
        assert known <= set(nodes)
        for node in (nodes[layer] for layer in set(nodes) - known):
            assert (
                node.kind in ("input", "move") or node.path in whole
            )  # one of several functions in it
    finally:
        page.close()


def test_identical_blocks_are_one_box_and_open_to_all() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), *(Residual() for _ in range(6)))
    graph = net_graph(net.eval(), torch.zeros(1, 3, 9, 9))
    (repeated,) = [group for group in graph.groups.values() if group.repeat > 1]
    assert (repeated.repeat, repeated.name, len(repeated.children)) == (6, "1…6", 6)
    assert graph.shown(set()) == ["in0", "#0", repeated.id]
    assert len(graph.shown({repeated.id})) == 8


def test_a_shared_module_is_a_box_a_call() -> None:
    graph = net_graph(Shared().eval(), torch.zeros(1, 3, 8, 8))
    assert [n.layer for n in graph.nodes if n.op == "conv2d"] == ["conv@0", "conv@1", "conv@2"]


def test_a_block_that_runs_several_times_is_a_group_a_call() -> None:
    class Repeating(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Residual(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.block(self.block(self.block(x)))

    graph = net_graph(Repeating().eval(), torch.zeros(1, 3, 8, 8))
    single = [group for group in graph.groups.values() if group.repeat == 1]
    assert [group.calls for group in single] == [4, 4, 4]
    assert [group.params > 0 for group in single] == [True, False, False]


def test_what_is_not_known_is_said() -> None:
    _, _, graph = _made("odd")
    assert {n.op: (n.opaque, n.used) for n in graph.nodes if n.op != "input"} == {
        "conv2d": (False, True),
        "exp": (False, False),
        "linalg_svdvals": (True, True),
    }
    stopped = net_graph(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(9, 2)), torch.zeros(1, 3, 8, 8))
    assert [n.op for n in stopped.nodes] == ["input", "conv2d"]
    assert "could not be followed to its end" in stopped.note


# --------------------------------------------------------------------------------------- fan-out


def _fans(net: nn.Module, x: Tensor, layer: str, c: int):
    recording = record(net, [x])
    return recording, fan(recording, value_of(recording, layer), layer, c)


@pytest.mark.parametrize(
    ("conv", "c"),
    [
        (nn.Conv2d(6, 4, 3, padding=1, stride=2), 3),
        (nn.Conv2d(6, 4, 3, groups=2, dilation=2), 2),
        (nn.Conv2d(6, 6, 3, groups=6, padding="same"), 5),
        (nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2, output_padding=1), 3),
    ],
)
def test_shares_are_those_of_each_channel_alone(conv: nn.Module, c: int) -> None:
    x = torch.randn(1, 6, 9, 9, generator=torch.Generator().manual_seed(0))
    _, found = _fans(nn.Sequential(conv), x, "0@0", c)
    sizes = torch.zeros(6)
    with torch.no_grad():
        nothing = conv(torch.zeros_like(x))
        for i in range(6):
            alone = torch.zeros_like(x)
            alone[:, i] = x[:, i]
            sizes[i] = (conv(alone) - nothing)[0, c].abs().mean()
    wanted = (sizes / sizes.sum()).tolist()
    assert {e.c: e.share for e in found.edges} == pytest.approx(
        {i: s for i, s in enumerate(wanted) if s > 0}, rel=1e-4
    )
    assert found.bias == pytest.approx(float(conv.state_dict()["bias"][c]))
    assert found.rule == "products"


def test_sources_are_found_behind_a_concatenation_and_a_flattening() -> None:
    net = Joined().eval()
    _, found = _fans(net, torch.rand(1, 3, 8, 8), "last@0", 0)
    assert {(e.layer, e.c) for e in found.edges} == {("left@0", 0), ("left@0", 1)} | {
        ("#2", c) for c in range(5)
    }
    flat = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(3 * 16, 2)).eval()
    _, found = _fans(flat, torch.rand(1, 1, 6, 6), "2@0", 1)
    assert {(e.layer, e.c) for e in found.edges} == {("0@0", c) for c in range(3)}
    assert sum(e.share for e in found.edges) == pytest.approx(1)


def test_a_sum_has_a_share_of_each_part_and_a_normalisation_one_map() -> None:
    net = nn.Sequential(Residual()).eval()
    x = torch.rand(1, 4, 8, 8)
    recording, found = _fans(net, x, "#2", 1)
    assert (found.rule, [e.c for e in found.edges]) == ("parts", [1, 1])
    assert {e.layer for e in found.edges} == {"0.norm@0", "#input"}
    assert fan(recording, value_of(recording, "0.norm@0"), "", 2).edges[0].layer == "0.conv@0"


def test_beyond_32_maps_the_rest_is_counted() -> None:
    net = nn.Sequential(nn.Conv2d(100, 2, 1))
    _, found = _fans(net, torch.rand(1, 100, 3, 3), "0@0", 0)
    assert (len(found.edges), found.more) == (32, 68)
    assert sum(e.share for e in found.edges) + found.rest == pytest.approx(1)
    assert [e.share for e in found.edges] == sorted((e.share for e in found.edges), reverse=True)


def test_wrong_questions_are_refused() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 1))
    with pytest.raises(ArgumentError, match="channels 0 to 1"):
        _fans(net, torch.rand(1, 3, 4, 4), "0@0", 2)
    for layer in ("0@1", "1@0", "#7", "0", "@", "#x", ""):
        with pytest.raises(Refusal, match="that ran"):
            _fans(net, torch.rand(1, 3, 4, 4), layer, 0)
