"""What a cell reads is what `measuring` says, saliency is what `striate.see` gives, and jobs can be ended."""

import json
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from map_nets import NETS, Joined, Shared

from striate import see
from striate.errors import ArgumentError
from striate.measuring.effective_field import effective
from striate.measuring.fields import fields
from striate.probe import copied, trace
from striate.studio import looking, saliency_maps
from striate.studio.graph import net_graph
from striate.studio.map_routes import traced
from striate.studio.number import value_of
from striate.studio.routes import Refusal, Request
from striate.studio.saliency_maps import Asked, Paced, asked
from striate.studio.session import OpenNet, Pass, Session


def _net() -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    ).eval()  # fmt: skip
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return net


class _Session(Session):
    """One net and one input, as the server would hold them."""

    def __init__(self, net: nn.Module, x: Tensor) -> None:
        super().__init__()
        card: Any = SimpleNamespace(
            input=SimpleNamespace(shape=list(x.shape[1:])), example=SimpleNamespace(run_id="r1")
        )
        open_ = OpenNet("own", "own", "given", net, None, [], "w", card=card)  # pyright: ignore[reportArgumentType]
        top = [SimpleNamespace(index=int(net(x).flatten(1).argmax()))]
        self.nets["own"] = open_
        nothing = np.zeros((1, 1, 3), np.uint8)
        self.hold(Pass("r1", open_, x, nothing, nothing, answer=SimpleNamespace(top=top)))  # pyright: ignore[reportArgumentType]

    def ask(self, handler: Any, **query: object) -> Any:
        answer = handler(
            self,
            Request(
                "GET", "api/x", {"run": "r1", "net": "own"}, {k: str(v) for k, v in query.items()}
            ),
        )
        return json.loads(answer.body) if "json" in answer.kind else load(answer.body)


@pytest.fixture
def session() -> Any:
    x = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(4))
    made = _Session(_net(), x)
    yield made
    made.close()


@pytest.mark.parametrize(
    "name", ["joined", "shared", "sound", "lenet5", "unet", "residual", "transposed"]
)
def test_fields_are_those_of_measuring(name: str) -> None:
    make, shape = NETS[name]
    net, x = make().eval(), torch.zeros(1, *shape)
    run = trace(net, [x])
    found = fields(run)
    for node in net_graph(net, x).nodes:
        value = value_of(run, node.layer)
        at = [n // 3 for n in value.shape[2:]]
        field = looking.field_of(run, value, node.layer, at)
        wanted = found.of(value)
        assert field.size == (wanted and list(wanted.size))
        assert field.stride == (wanted and [float(s) for s in wanted.stride])
        assert field.space == list(shape[1:])
        box = found.box(value, [*at, *[0] * len(shape)][: len(shape) - 1])
        assert field.box == [span and list(span) for span in box]
        if wanted and field.theoretical and all(isinstance(s, int) for s in wanted.stride):
            for (low, high), ends, n in zip(field.theoretical, field.box, shape[1:], strict=True):
                assert ends is not None
                assert low <= ends[0] <= ends[1] <= high
                assert field.clipped or (low >= 0 and high < n)


@pytest.mark.parametrize("name", ["joined", "unet", "residual", "sound"])
def test_the_cone_holds_all_cells_that_move_the_unit_and_no_other(name: str) -> None:
    """Checked by changing cells: with random weights every cell in the box moves the unit, none outside does."""
    make, shape = NETS[name]
    net = make().eval()
    x = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    run, graph = trace(net, [x]), net_graph(net, x)
    node = [n for n in graph.nodes if n.kind == "conv"][-1]
    value = value_of(run, node.layer)
    at = [n // 2 for n in value.shape[2:]]
    cone = looking.cone_of(run, graph, value, at)
    assert cone[0].node == "in0"
    assert cone[-1].node == node.id
    assert cone[-1].box == [[i, i] for i in at]
    path = node.layer.rpartition("@")[0]
    for step in cone[:-1]:
        layer = step.layer.rpartition("@")[0]
        moved = _moved(net, x, layer if not step.layer.startswith("#") else None, path, at)
        if moved is None:
            continue
        for span, axis in zip(step.box, moved, strict=True):
            assert span is not None
            low, high = span
            assert low <= axis[0]
            assert axis[1] <= high


def _moved(
    net: nn.Module, x: Tensor, layer: str | None, path: str, at: list[int]
) -> list[tuple[int, int]] | None:
    """First and last cell an axis of a layer, or of the input, by which a unit has a gradient."""
    if layer is None:
        return None
    modules = dict(net.named_modules())
    kept: dict[str, Tensor] = {}
    leaf = x.clone().requires_grad_()
    hooks = [
        modules[p].register_forward_hook(lambda _m, _i, out, p=p: kept.update({p: out}))
        for p in {layer, path}
        if p in modules and p
    ]
    net(leaf)
    for hook in hooks:
        hook.remove()
    source = kept.get(layer, leaf)
    (gradient,) = torch.autograd.grad(kept[path][(0, slice(None), *at)].sum(), source)
    nonzero = gradient[0].abs().sum(0).nonzero()
    return [(int(axis.min()), int(axis.max())) for axis in nonzero.T]


def test_field_cone_and_strengths_over_the_wire(session: _Session) -> None:
    found = session.ask(looking.field, layer="3@0", y=2, x=3)
    assert (found["size"], found["stride"]) == ([8, 8], [2.0, 2.0])
    assert found["theoretical"] == [[3, 10], [5, 12]]
    assert not found["clipped"]
    assert [
        step["node"] for step in session.ask(looking.cone, layer="3@0", y=2, x=3)["layers"]
    ] == ["in0", "#0", "#2", "#3"]
    net, x = session.nets["own"].net, session.run("r1").x
    strengths = session.ask(looking.strengths, layer="3@0", y=2, x=3)["map"]
    np.testing.assert_array_equal(strengths, effective(net, x, "3", (2, 3)).map.float().numpy())
    assert session.ask(looking.field, layer="8@0")["why"] == "unbounded"


@pytest.mark.parametrize("name", ["googlenet", "residual"])
def test_functions_between_modules_are_found_where_the_trace_counts_other_calls(name: str) -> None:
    make, shape = NETS[name]
    session = _Session(make().eval(), torch.rand(1, *shape))
    graph = traced(session, session.nets["own"])[1]
    found = [node for node in graph.nodes if node.layer.startswith("#") and node.call >= 0]
    assert name == "residual" or any(node.layer != node.id for node in found)
    for node in found:
        at = dict.fromkeys(("y", "x")[: len(node.shape) - 1], 0)
        assert session.ask(looking.field, layer=node.layer, **at)["cells"] == node.shape[1:]
    with pytest.raises(Refusal, match="no call"):
        session.ask(looking.field, layer="#9999")
    session.close()


def test_inputs_without_space_have_no_regions() -> None:
    session = _Session(nn.Sequential(nn.Linear(7, 4)), torch.rand(1, 7))
    with pytest.raises(Refusal, match="no regions"):
        session.ask(looking.units, layer="0@0", y0=0, y1=1, x0=0, x1=1)
    session.close()


def test_a_shared_module_has_a_field_a_call() -> None:
    net, x = Shared().eval(), torch.rand(1, 3, 8, 8)
    session = _Session(net, x)
    sizes = [session.ask(looking.field, layer=f"conv@{k}", y=4, x=4)["size"][0] for k in range(3)]
    assert sizes == [3, 5, 7]
    spread = [
        (session.ask(looking.strengths, layer=f"conv@{k}", y=4, x=4)["map"] > 0).sum()
        for k in range(3)
    ]
    assert spread == [9, 25, 49]
    session.close()


QUICK = [m for m in saliency_maps.known.METHODS if m not in saliency_maps.LONG]


@pytest.mark.parametrize("method", QUICK)
def test_saliency_is_that_of_see(session: _Session, method: str) -> None:
    net, x = session.nets["own"].net, session.run("r1").x
    for wanted in (None, 2):
        query = {"method": method} | ({} if wanted is None else {"class": wanted})
        found = session.ask(looking.saliency_maps.looking, **query)["map"]
        np.testing.assert_array_equal(
            found, see.saliency(net, x, method=method, target=wanted).values[0]
        )
    assert all(not m._forward_pre_hooks and not m._forward_hooks for m in net.modules())


def test_a_layer_of_choice_and_random_weights(session: _Session) -> None:
    net, x = session.nets["own"].net, session.run("r1").x
    before = [p.clone() for p in net.parameters()]
    at = session.ask(saliency_maps.looking, method="grad-cam", layer="0@0")["map"]
    np.testing.assert_array_equal(at, see.saliency(net, x, method="grad-cam", layer="0").values[0])
    true = session.ask(saliency_maps.looking, method="gradient")["map"]
    top = 1  # as if it were what the net finds likeliest; with mixed weights it is not
    session.run("r1").answer.top[0].index = top  # pyright: ignore[reportAttributeAccessIssue]
    mixed = session.ask(saliency_maps.looking, method="gradient", random=1)["map"]
    again = session.ask(saliency_maps.looking, method="gradient", random=1)["map"]
    assert not np.allclose(true, mixed)
    twin = copied(net, "cpu").eval()
    generator = torch.Generator().manual_seed(saliency_maps.SEED)
    for module in twin.modules():
        saliency_maps.checks.shuffle(module, generator)
    assert int(twin(x).argmax()) != top
    np.testing.assert_array_equal(
        mixed, see.saliency(twin, x, method="gradient", target=top).values[0]
    )
    np.testing.assert_array_equal(mixed, again)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


@pytest.mark.parametrize(
    "method", ["integrated:8", "smoothgrad:6", "occlusion:6", "rise:40", "score-cam:4"]
)
def test_a_long_method_is_a_job_and_gives_what_see_gives(session: _Session, method: str) -> None:
    net, x = session.nets["own"].net, session.run("r1").x
    with pytest.raises(Refusal, match="takes long"):
        session.ask(saliency_maps.looking, method=method)
    job = session.job(
        saliency_maps.job(session, {"kind": "looking", "run": "r1", "method": method, "class": 1})
    )
    events = [event for event in job.follow() if event[0] != "still"]
    assert [name for name, _ in events][-2:] == ["map", "done"]
    found: Any = dict(events)["map"]
    path = found["path"]
    query = dict(pair.split("=") for pair in path.partition("?")[2].replace("%3A", ":").split("&"))
    found = session.ask(saliency_maps.looking, **query)["map"]
    np.testing.assert_array_equal(found, see.saliency(net, x, method=method, target=1).values[0])


def test_a_job_ends_soon_after_it_is_cancelled(session: _Session) -> None:
    threads = threading.active_count()
    job = session.job(saliency_maps.job(session, {"run": "r1", "method": "rise:400000"}))
    assert next(iter(job.follow()))[0] in ("progress", "still")
    start = time.monotonic()
    assert session.ask(looking.field, layer="3@0", y=0, x=0)["size"] == [
        8,
        8,
    ]  # a request comes in between
    job.cancel()
    assert [name for name, _ in job.follow()][-1] == "cancelled"
    assert time.monotonic() - start < 20
    assert threading.active_count() == threads
    assert session.store.get("looking", "r1 method=rise%3A400000&random=0") is None


def test_work_in_steps_hands_on_what_it_raises() -> None:
    def work(pause: Any) -> None:
        pause(1)
        raise ValueError("no")

    paced = Paced(work)
    assert not paced.step()
    with pytest.raises(ValueError, match="no"):
        paced.step()
    paced.close()


def test_a_region_names_the_channels_that_fire_there() -> None:
    maps = torch.zeros(3, 10, 10)
    maps[1, 2:4, 2:4] = 1.0  # fires in the region
    maps[2, 7:9, 7:9] = 1.0  # fires elsewhere
    cells, larger, units = looking.firing(maps, None, [20, 20], [[4, 7], [4, 7]])
    assert cells == [[2, 3], [2, 3]]
    assert [(u.c, u.inside, u.outside) for u in units] == [(1, 1.0, 0.0)]
    assert larger == 1
    tiny, _, _ = looking.firing(maps, None, [20, 20], [[9, 9], [9, 9]])
    assert tiny == [[4, 4], [4, 4]]


def test_of_many_channels_all_are_counted_and_the_first_are_named() -> None:
    maps = torch.zeros(100, 6, 6)
    maps[:90, 0, 0] = torch.arange(1, 91).float()
    _, larger, units = looking.firing(maps, None, [6, 6], [[0, 1], [0, 1]])
    assert (larger, len(units)) == (90, looking.UNITS)


def test_a_region_is_placed_by_the_middles_of_fields(session: _Session) -> None:
    found = session.ask(looking.units, layer="3@0", y0=4, y1=9, x0=0, x1=23)
    assert found["cells"] == [[1, 3], [0, 9]]  # middles of fields at 2.5 + 2 i
    assert found["total"] == 8
    with pytest.raises(Refusal, match="no maps"):
        session.ask(looking.units, layer="8@0", y0=0, y1=1, x0=0, x1=1)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"method": "nonsense"}, "no such method"),
        ({"method": "gradient", "class": "9"}, "numbered 0 to 3"),
        ({"method": "gradient", "class": "x"}, "whole number"),
        ({"method": "gradient", "random": "2"}, "expected 0 or 1"),
        ({"method": "grad-cam", "layer": "nope@0"}, "nope"),
        ({}, "no such method"),
    ],
)
def test_wrong_questions_are_refused_in_a_line(
    session: _Session, query: dict[str, str], said: str
) -> None:
    with pytest.raises((Refusal, ArgumentError), match=said) as error:
        session.ask(saliency_maps.looking, **query)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "query",
    [{"layer": "3@0"}, {"layer": "3@0", "y": 99, "x": 0}, {"layer": "9@0", "y": 0, "x": 0}, {}],
)
def test_wrong_cells_are_refused(session: _Session, query: dict[str, object]) -> None:
    for handler in (looking.field, looking.cone):
        with pytest.raises(Refusal):
            session.ask(handler, **query)


def test_what_is_asked_is_written_as_it_is_read() -> None:
    what = Asked("occlusion:8", "", 3, random=True)
    pairs = dict(pair.split("=") for pair in what.query.replace("%3A", ":").split("&"))
    assert asked(lambda name: pairs.get(name, "")) == what


def test_cells_of_branches_are_told_apart() -> None:
    net, x = Joined().eval(), torch.rand(1, 3, 8, 8)
    run = trace(net, [x])
    assert looking.field_of(run, value_of(run, "left@0"), "left@0", [4, 4]).size == [1, 1]
    assert looking.field_of(run, value_of(run, "last@0"), "last@0", [4, 4]).size == [3, 3]
