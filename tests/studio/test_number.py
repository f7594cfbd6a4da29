"""One number over nets of every kind: PyTorch's own value, its sum in float64, its terms, and the way back to the pixels."""

import gc
import json
import math
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from number_nets import NETS, made

from striate.probe import record, tensors
from striate.studio import number as numbers
from striate.studio.routes import Refusal, Request
from striate.studio.wire import as_json

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even")
CELLS = 12  # random cells a net: 240 in all


def session_of(recording) -> Any:
    """What handlers ask of a session."""
    return SimpleNamespace(recording=lambda _run: recording)


def recorded(name) -> Any:
    """A session with one run, and what each module of a net gives, watched by hooks of this test's own."""
    net, x = made(name)
    given = {}
    hooks = [
        module.register_forward_hook(
            lambda _m, _i, out, path=path: given.setdefault(path, []).append(
                [t.clone() for t in tensors(out)]
            )
        )
        for path, module in net.named_modules()
    ]
    with torch.no_grad():
        net(x.clone())
    for hook in hooks:
        hook.remove()
    recording = record(net, [x], shared=True)
    return session_of(recording), recording, given, x


def request(**query):
    return Request(
        "GET", "api/run/r/number", {"run": "r"}, {key: str(value) for key, value in query.items()}
    )


def asked(session, layer, at, item=0):
    answer = numbers.number(session, request(layer=layer, at=",".join(map(str, at)), item=item))
    assert answer.fixed
    return json.loads(answer.body)


def plain(value):
    return float(value.replace("Infinity", "inf")) if isinstance(value, str) else value


def drawn(given, rng):
    path = list(given)[rng.integers(len(given))]
    call = int(rng.integers(len(given[path])))
    tensor = given[path][call][0]
    return f"{path}@{call}", tensor, tuple(int(rng.integers(n)) for n in tensor.shape[1:])


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


@pytest.mark.parametrize("name", NETS)
def test_values_are_those_of_pytorch_and_sums_stay_within_their_bound(name):
    session, _, given, _ = recorded(name)
    rng = np.random.default_rng(len(name))
    for _ in range(CELLS):
        layer, tensor, at = drawn(given, rng)
        told = asked(session, layer, at)
        assert same(plain(told["value"]), float(tensor[(0, *at)])), layer
        assert told["at"] == list(at)
        assert told["shape"] == list(tensor.shape[1:])
        assert told.get("within") is not False, (layer, at, told)
        if told["kind"] in numbers.SUMS and math.isfinite(plain(told["value"])):
            sizes = sum(abs(term.product) for term in _terms(session, layer, at)) + abs(
                told["constant"]
            )
            assert told["bound"] == pytest.approx(16 * 2**-24 * sizes)
            assert abs(told["value"] - told["sum64"]) <= 16 * 2**-24 * sizes


def _terms(session, layer, at):
    place = numbers.Place(numbers.value_of(session.recording(""), layer), (0, *at))
    return numbers._explained(session.recording(""), place).done.terms


@pytest.mark.parametrize("name", NETS)
def test_terms_and_others_add_up_and_padding_adds_nothing(name):
    session, _, given, _ = recorded(name)
    rng = np.random.default_rng(len(name))
    for _ in range(CELLS):
        layer, _, at = drawn(given, rng)
        told = asked(session, layer, at)
        products = [plain(term["p"]) for term in told["terms"]]
        assert len(products) == min(told["total"], numbers.SHOWN)
        whole = load(numbers.terms(session, request(layer=layer, at=",".join(map(str, at)))).body)
        assert len(whole["a"]) == told["total"]
        pads = whole["mark"] == 1
        assert pads.sum() == told["pad_terms"]
        assert all(a in (0.0, -math.inf) for a in whole["a"][pads]) or told["kind"] == "moved"
        if not told["adds"] or not all(map(math.isfinite, map(plain, [told["sum64"], *products]))):
            continue
        total = math.fsum([*products, told["others"], told["constant"]])
        assert total == pytest.approx(told["sum64"], rel=1e-11, abs=1e-11)
        if told["channel_sums"]:
            total = math.fsum([*told["channel_sums"], told["constant"]])
            assert total == pytest.approx(told["sum64"], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", [n for n in NETS if n not in ("opaque", "no numbers")])
def test_the_way_back_ends_at_a_pixel_that_the_number_depends_on(name):
    session, recording, given, x = recorded(name)
    net, _ = made(name)
    rng = np.random.default_rng(len(name))
    for _ in range(3):
        layer, _, at = drawn(given, rng)
        here, at_here, item, ways, chosen = layer, list(at), 0, [{}], {}
        while here != "#input" and ways:
            told = asked(session, here, at_here, item)
            ways = [t for t in told["terms"] if t.get("at") is not None]
            chosen = next((t for t in ways if t["index"] == told.get("main")), {})
            if not chosen:
                assert told["pad_terms"] + told["gap_terms"] == told["total"]
                break  # gaps and padding alone: a bias
            here = chosen.get("layer") or told["source"]["layer"]
            at_here, item = chosen["at"], chosen.get("item", 0)
            read = recording.numbers[numbers.value_of(recording, here).index][(item, *at_here)]
            assert float(read) == chosen["a"]
        if here != "#input":
            continue
        spoilt = x.clone()
        assert float(spoilt[(0, *at_here)]) == chosen["a"]
        spoilt[(0, *at_here)] = math.nan
        after = record(net, [spoilt])
        path, _, call = layer.rpartition("@")
        assert after.numbers[after.returned[path][int(call)][0].index][(0, *at)].isnan()


@pytest.mark.parametrize("name", NETS)
def test_what_every_call_gave_is_computed_again(name):
    _, recording, _, _ = recorded(name)
    rng = np.random.default_rng(len(name))
    for call in recording.calls:
        for value in (value for value in call.outputs if value.live):
            for _ in range(4):
                cell = tuple(int(rng.integers(n)) for n in value.shape)
                told = numbers.number_of(recording, numbers.Place(value, cell))
                assert same(told.value, float(recording.numbers[value.index][cell]))
                assert told.within is not False, (call.op, cell, told)


def test_every_number_of_a_net_of_infinities_is_explained():
    net, x = made("no numbers")
    recording = record(net, [x])
    for call in recording.calls:
        for value in (value for value in call.outputs if value.live):
            for cell in torch.ones(value.shape).nonzero().tolist():
                told = numbers.number_of(recording, numbers.Place(value, tuple(cell)))
                assert told.within is not False
                assert same(told.value, told.sum64) or math.isfinite(told.value)
                json.loads(as_json(told), parse_constant=pytest.fail)


@pytest.mark.parametrize("name", NETS)
def test_every_call_of_a_net_has_an_id_that_names_it(name):
    _, recording, _, x = recorded(name)
    for i, call in enumerate(recording.calls):
        for k, value in enumerate(call.outputs):
            assert numbers.value_of(recording, f"#{i}.{k}") == value
            if value.live:
                assert numbers.value_of(recording, numbers.layer_of(recording, value)) == value
    (given,) = recording.inputs
    assert numbers.layer_of(recording, given) == "#input"
    assert torch.equal(recording.numbers[given.index], x)


def test_a_window_says_which_cells_it_covers():
    x = torch.arange(36.0).view(1, 1, 6, 6)
    conv = nn.Conv2d(1, 2, 3, 2, 1, bias=True)
    net = nn.Sequential(conv, nn.BatchNorm2d(2), nn.ReLU())
    recording = record(net, [x], shared=True)
    session = session_of(recording)
    told = asked(session, "0@0", (1, 0, 2))
    assert told["window"] == [[-1, 0, 1], [3, 4, 5]]
    assert (told["kernel"], told["stride"], told["padding"], told["dilation"]) == (
        [3, 3],
        [2, 2],
        [1, 1],
        [1, 1],
    )
    assert (told["groups"], told["transposed"], told["channels"], told["pad_terms"]) == (
        1,
        False,
        [0, 1, 1],
        3,
    )
    assert told["source"] == {"layer": "#input", "name": "input", "shape": [1, 6, 6]}
    assert told["constant"] == dict(conv.named_parameters())["bias"][1].item()
    norm, relu = told["after"]
    assert (norm["layer"], relu["layer"]) == ("1@0", "2@0")
    assert norm["symbols"]["x"] == told["value"]
    assert relu["formula"] == "max(0, {x})"
    assert relu["symbols"]["x"] == norm["value"]
    for stage in told["after"]:
        assert all(f"{{{name}}}" in stage["formula"] for name in stage["symbols"])


def test_gaps_of_a_transposed_convolution_are_marked_and_add_nothing():
    net = nn.Sequential(nn.ConvTranspose2d(1, 1, 3, 2))
    recording = record(net, [torch.rand(1, 1, 3, 3)])
    session = session_of(recording)
    told = asked(session, "0@0", (0, 2, 3))
    assert told["transposed"]
    assert told["gap_terms"] == 7
    assert told["window"] == [[1, None, 0], [None, 1, None]]
    assert all(t["p"] == 0 for t in told["terms"] if t.get("mark") == "gap")


def test_a_plane_is_the_map_that_a_number_stands_in():
    session, _, given, x = recorded("lenet")
    for layer, tensor in (("#input", x), ("0@0", given["0"][0][0])):
        c = tensor.shape[1] - 1
        found = load(numbers.plane(session, request(layer=layer, c=c)).body)["map"]
        assert np.array_equal(found, tensor[0, c].numpy())
    vector = load(numbers.plane(session, request(layer="8@0")).body)["map"]
    assert vector.shape == (1, 10)


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ({"layer": "conv9@0", "c": 0, "y": 0, "x": 0}, 404, "layer"),
        ({"layer": "0@1", "c": 0, "y": 0, "x": 0}, 404, "layer"),
        ({"layer": "0", "c": 0, "y": 0, "x": 0}, 404, "layer"),
        ({"layer": "#99999", "c": 0, "y": 0, "x": 0}, 404, "layer"),
        ({"layer": "#0.7", "c": 0, "y": 0, "x": 0}, 404, "layer"),
        ({"layer": "#input1", "c": 0, "y": 0, "x": 0}, 404, "layer"),
        ({"layer": "0@0", "c": 0, "y": 0, "x": 14}, 400, "at"),
        ({"layer": "0@0", "c": 0, "y": -1, "x": 0}, 400, "at"),
        ({"layer": "0@0", "at": "1,2"}, 400, "at"),
        ({"layer": "0@0", "at": "1,2,x"}, 400, "at"),
        ({"layer": "0@0", "c": 0, "y": 0, "x": 0, "item": 1}, 400, "at"),
        ({"layer": "#input", "c": 0, "y": 0, "x": 0}, 400, "layer"),
        ({"layer": "0@0", "c": 0, "x": 0}, 400, "y"),
        ({"c": 0}, 400, "layer"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused_in_one_line(query, status, field):
    session, *_ = recorded("lenet")
    with pytest.raises(Refusal) as caught:
        numbers.number(session, request(**query))
    assert (caught.value.status, caught.value.field) == (status, field)
    assert "\n" not in str(caught.value)


def test_the_term_that_is_followed_is_among_those_shown_however_small_it_is():
    recording = record(nn.Sequential(nn.Softmax(1)), [torch.arange(100.0).view(1, 100)])
    told = asked(session_of(recording), "0@0", (3,))
    assert told["total"] == 100
    assert len(told["terms"]) == numbers.SHOWN
    assert 3 in [term["index"] for term in told["terms"]]


def test_a_recording_goes_when_nobody_else_holds_it():
    net, x = made("lenet")
    recording = record(net, [x], shared=True)
    left = weakref.ref(recording)
    first = asked(session_of(recording), "3@0", (0, 1, 1))
    assert asked(session_of(recording), "3@0", (0, 1, 1)) == first
    del recording
    gc.collect()
    assert left() is None


def test_many_threads_may_ask_at_once():
    session, *_ = recorded("lenet")
    cells = [(c, y, 0) for c in range(6) for y in range(3)]
    alone = [asked(session, "3@0", at) for at in cells]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda at: asked(session, "3@0", at), cells * 4))
    assert together == alone * 4


def test_an_answer_stays_small():
    session, *_ = recorded("4,096 channels")
    answer = numbers.number(session, request(layer="4@0", c=1))
    assert json.loads(answer.body)["total"] == 4096
    assert len(answer.body) < 12_000
