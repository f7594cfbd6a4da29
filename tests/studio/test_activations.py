"""What the layers gave: held against PyTorch's own numbers, with every layer of a net that works in place."""

import time
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import torch
from client import Client
from torch import nn
from torch.nn import functional as F

from striate.probe import outputs
from striate.studio import activations, session, threads
from striate.studio.launch import Studio
from striate.studio.session import Store


@pytest.fixture(scope="module")
def run(client: Client) -> str:
    """The run of the example."""
    return client.get(f"net/{client.get('session')['open'][0]}")["example"]["run_id"]


def by_hand(page: Studio, run: str) -> dict[str, torch.Tensor]:
    """Every layer of the small net written out."""
    one = page.session.run(run)
    net: Any = one.open.net
    with torch.no_grad():
        conv = net.conv(one.x)
        norm = net.norm(conv)
        relu = F.relu(norm)
        add = relu + 1
        cat = torch.cat([relu, add], 1)
        down = net.down(cat)
        last = F.relu(down)
        mean = last.mean((2, 3))
        fc = net.fc(mean)
    return {
        "conv@0": conv, "norm@0": norm, "relu@0": relu, "add": add, "cat": cat,
        "down@0": down, "relu@1": last, "mean": mean, "fc@0": fc,
    }  # fmt: skip


def layers(client: Client) -> list[dict[str, Any]]:
    return client.get(f"net/{client.get('session')['open'][0]}")["layers"]


def test_every_call_and_every_function_is_a_layer(client: Client):
    found = [(x["id"] if "@" in x["id"] else x["op"], x["op"]) for x in layers(client)]
    assert found == [
        ("conv@0", "Conv2d"),
        ("norm@0", "BatchNorm2d"),
        ("relu@0", "ReLU"),
        ("add", "add"),
        ("cat", "cat"),
        ("down@0", "Conv2d"),
        ("relu@1", "ReLU"),
        ("mean", "mean"),
        ("fc@0", "Linear"),
    ]


@pytest.mark.parametrize("recorded", [False, True])
def test_maps_are_pytorch_s_values(page: Studio, client: Client, run: str, recorded: bool):
    page.session.store.forget("recording", run)
    page.session.store.forget("outputs", run)
    if recorded:
        page.session.recording(run)
    expected = by_hand(page, run)
    for layer in layers(client):
        name = quote(layer["id"])
        wanted = expected[layer["id"] if "@" in layer["id"] else layer["op"]][0]
        exact = client.arrays(f"run/{run}/channel?layer={name}")["map"]
        assert np.array_equal(exact, wanted.numpy()), layer["id"]
        found = client.arrays(f"run/{run}/maps?layer={name}")
        flat = wanted.reshape(len(wanted), -1).numpy()
        lo, hi = flat.min(1), flat.max(1)
        assert np.array_equal(found["lo"], lo)
        assert np.array_equal(found["hi"], hi)
        assert np.allclose(found["mean"], flat.mean(1), atol=1e-6)
        assert np.allclose(found["std"], flat.std(1), atol=1e-5)
        assert np.allclose(found["zero_frac"], (flat == 0).mean(1))
        shown = lo[:, None] + (hi - lo)[:, None] * found["maps"].reshape(flat.shape) / 255
        assert np.abs(shown - flat).max() <= ((hi - lo) / 255).max() * 0.51
        one = client.arrays(f"run/{run}/channel?layer={name}&c=1")["map"]
        assert np.array_equal(one.ravel(), wanted[1].numpy().ravel())


def test_the_net_is_left_as_it_was(page: Studio, client: Client, run: str):
    net = page.session.run(run).open.net
    client.arrays(f"run/{run}/effect?layer=conv@0&class=1")
    assert not net.training
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in net.modules())
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("layer", ["conv@0", "norm@0", "relu@0", "relu@1", "fc@0"])
def test_the_effect_is_gradient_times_activation(
    page: Studio, client: Client, run: str, layer: str
):
    one = page.session.run(run)
    net: Any = one.open.net
    leaf = by_hand(page, run)[layer].clone().requires_grad_()
    at = leaf
    if layer in ("conv@0", "norm@0", "relu@0"):
        at = net.norm(at) if layer == "conv@0" else at
        at = F.relu(at) if layer != "relu@0" else at
        at = F.relu(net.down(torch.cat([at, at + 1], 1)))
    logits = at if layer == "fc@0" else net.fc(at.mean((2, 3)))
    (gradient,) = torch.autograd.grad(logits[0, 2], leaf)
    wanted = (gradient * leaf).detach()[0].reshape(leaf.shape[1], -1).sum(1)
    found = client.arrays(f"run/{run}/effect?layer={layer}&class=2")["effect"]
    assert np.allclose(found, wanted.numpy(), atol=1e-6)


def test_an_in_place_layer_overwrites_nothing_and_is_copied_in_the_first_run_next_time():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.ReLU6(inplace=True))
    x = torch.randn(1, 1, 6, 6)
    runs = 0

    def forward() -> object:
        nonlocal runs
        runs += 1
        return net(x)

    first = outputs(net, forward)
    assert (runs, first.written) == (2, {"0@0", "1@0"})
    again = outputs(net, forward, first.written)
    assert runs == 3
    with torch.no_grad():
        assert torch.equal(again.given["0@0"], net[0](x))
        assert torch.equal(again.given["1@0"], F.relu(net[0](x)))


HARD = {
    "constant": torch.full((2, 3, 3), 0.25),
    "nan": torch.tensor([[[1.0, torch.nan], [3.0, -1.0]]]),
    "infinite": torch.tensor([[[1.0, torch.inf], [3.0, -torch.inf]]]),
    "nothing": torch.full((1, 2, 2), torch.nan),
    "huge": torch.tensor([[[-3e38, 3e38], [0.0, 1.0]]]),
    "tiny": torch.tensor([[[1e-45, 3e-45], [0.0, 2e-45]]]),
    "far": torch.tensor([[[1e8, 1e8 + 8], [1e8 + 16, 1e8]]]),
}


@pytest.mark.parametrize("name", HARD)
def test_maps_that_are_hard_to_show(name: str):
    maps = HARD[name]
    found = activations.quantised(maps)
    flat = maps.flatten(1).double().numpy()
    finite = np.isfinite(flat)
    assert np.allclose(found["bad"], 1 - finite.mean(1))
    q = found["maps"].reshape(flat.shape).astype(np.float64)
    assert (q[~finite] == 0).all()
    for row in range(len(flat)):
        sound = flat[row][finite[row]]
        if not sound.size:
            assert np.isnan([found[key][row] for key in ("lo", "hi", "mean", "std")]).all()
            continue
        lo, hi = sound.min(), sound.max()
        assert (found["lo"][row], found["hi"][row]) == (lo, hi)
        assert np.isfinite([found["mean"][row], found["std"][row]]).all()
        shown = lo + (hi - lo) * q[row][finite[row]] / 255
        assert np.abs(shown - sound).max() <= (hi - lo) / 255 * 0.51


@pytest.mark.parametrize(
    ("shape", "maps", "kind"),
    [
        ((5,), (5, 1, 1), "vector"),
        ((4, 7), (4, 1, 7), "series"),
        ((3, 6, 7), (3, 6, 7), "maps"),
        ((3, 5, 6, 7), (3, 6, 7), "volume"),
    ],
)
def test_outputs_of_any_rank_are_maps(shape: tuple[int, ...], maps: tuple[int, ...], kind: str):
    x = torch.randn(shape)
    found, meta = activations.planes(x)
    assert (tuple(found.shape), meta["kind"]) == (maps, kind)
    if kind == "volume":
        assert torch.equal(found, x[:, 2])
        assert meta["slice"] == 2


@pytest.mark.parametrize(
    ("shape", "size"),
    [((20, 8, 8), (8, 8, 8)), ((3, 64, 32), (3, 32, 16)), ((2, 1, 700), (2, 1, 32))],
)
def test_thumbnails_are_means_of_their_places(shape: tuple[int, ...], size: tuple[int, ...]):
    x = torch.rand(shape)
    found = activations.thumbs(x)
    assert tuple(found.shape) == size
    assert torch.allclose(found.mean((1, 2)), x[: size[0]].mean((1, 2)), atol=1e-2)


def test_thumbs_of_many_layers_come_in_one_answer(client: Client, run: str):
    names = [x["id"] for x in layers(client)]
    found = client.arrays(f"run/{run}/thumbs?layers={quote(','.join(names))}")
    assert {key.partition(".")[2] for key in found} == {str(i) for i in range(len(names))}
    assert found["maps.0"].shape == (6, 16, 16)


@pytest.mark.parametrize("groups", [1, 2])
def test_kernels_go_by_outputs_also_where_they_are_transposed(groups: int):
    conv = nn.ConvTranspose2d(4, 6, 3, groups=groups, bias=False)
    weight = activations._by_output(conv.weight.detach(), groups)
    assert tuple(weight.shape) == (6, 4 // groups, 3, 3)
    x = torch.zeros(1, 4, 1, 1)
    x[0, 3] = 1  # one input alone: each output is the kernel by which it reads that
    mine = conv(x)[0].detach()
    readers = range(6) if groups == 1 else range(3, 6)
    for o in readers:
        assert torch.equal(mine[o], weight[o, 3 if groups == 1 else 1])


def test_kernels_are_the_weights(page: Studio, client: Client):
    opened = page.session.nets[client.get("session")["open"][0]]
    down: Any = opened.net.down
    found = client.arrays(f"net/{opened.id}/kernels?layer=down@0&from=2&count=3")
    assert np.array_equal(found["weight"], down.weight[2:5].numpy())
    assert np.array_equal(found["bias"], down.bias[2:5].numpy())


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("run/{run}/maps?layer=nope@0", 404),
        ("run/{run}/maps?layer=conv@7", 404),
        ("run/{run}/maps?layer=conv", 404),
        ("run/{run}/maps?layer=%23999", 404),
        ("run/{run}/maps?layer=%23" + "9" * 5000, 404),
        ("run/{run}/maps", 400),
        ("run/nope/maps?layer=conv@0", 404),
        ("run/{run}/channel?layer=conv@0&c=6", 400),
        ("run/{run}/channel?layer=conv@0&c=-1", 400),
        ("run/{run}/channel?layer=conv@0&c=x", 400),
        ("run/{run}/effect?layer=conv@0&class=4", 400),
        ("run/{run}/effect?layer=conv@3&class=1", 400),
        ("run/{run}/effect?layer=%23%3f&class=1", 400),
        ("run/{run}/step/9.png", 404),
        ("net/{net}/kernels?layer=relu@0", 404),
        ("net/{net}/kernels?layer=conv@0&from=6", 400),
        ("net/nope/kernels?layer=conv@0", 404),
    ],
)
def test_what_there_is_not_is_said_in_one_line(client: Client, run: str, path: str, status: int):
    net = client.get("session")["open"][0]
    found, _, body = client.ask("GET", "/api/" + path.format(run=run, net=net))
    assert found == status, body
    assert b'"error"' in body


def test_answers_of_a_run_may_be_kept_and_others_not(client: Client, run: str):
    kept = [
        f"run/{run}/maps?layer=conv@0",
        f"run/{run}/channel?layer=conv@0",
        f"run/{run}/ranges",
        f"run/{run}/input",
    ]
    for path in kept:
        assert "immutable" in client.ask("GET", f"/api/{path}")[1]["cache-control"]
    for path in ("nets", "session", f"run/{run}"):
        assert client.ask("GET", f"/api/{path}")[1]["cache-control"] == "no-store"


def test_the_store_throws_away_what_was_not_used_for_longest():
    store = Store(limit=10)
    for i in range(4):
        store.put("outputs", str(i), i, 4)
        store.get("outputs", "0")
    assert [store.get("outputs", str(i)) for i in range(4)] == [0, None, None, 3]
    assert store.bytes == 8
    store.put("outputs", "large", 1, 100)
    assert (store.get("outputs", "large"), store.get("outputs", "0"), store.bytes) == (1, None, 100)
    store.put("outputs", "large", 2, 50)
    assert store.bytes == 50


def test_what_was_thrown_away_is_computed_again(page: Studio, client: Client, run: str):
    before = client.arrays(f"run/{run}/maps?layer=relu@1")["maps"]
    page.session.store.forget("outputs", run)
    page.session.store.forget("recording", run)
    assert np.array_equal(client.arrays(f"run/{run}/maps?layer=relu@1")["maps"], before)


def test_a_net_that_reads_pictures_runs_channels_last(page: Studio, run: str):
    one = page.session.run(run)
    assert one.x.is_contiguous(memory_format=torch.channels_last)
    net: Any = one.open.net
    assert net.down.weight.is_contiguous(memory_format=torch.channels_last)
    assert session.layer_parts("a.b@3") == ("a.b", 3)


def recorded(page: Studio, run: str, seconds: float = 10.0) -> bool:
    """Whether a recording is there within some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if page.session.store.get("recording", run) is not None:
            return True
        time.sleep(0.02)
    return False


def unasked(page: Studio, client: Client, run: str) -> bool:
    """Whether an input that is asked about itself alone stays without a recording; one that was begun before may still come."""
    for _ in range(5):
        page.session.store.forget("recording", run)
        client.get(f"run/{run}")
        if not recorded(page, run, 0.6):
            return True
    return False


@pytest.mark.parametrize("way", ["maps?layer=conv%400", "thumbs?layers=conv%400"])
def test_the_first_number_of_an_input_is_made_ready_after_its_maps(
    page: Studio, client: Client, run: str, way: str
):
    assert unasked(page, client, run)
    client.arrays(f"run/{run}/{way}")
    assert recorded(page, run)


def test_of_an_older_input_or_a_slow_net_nothing_is_made_ready(
    page: Studio, client: Client, run: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(threads, "QUIET", 0.3)
    page.session.store.forget("recording", run)
    client.arrays(f"run/{run}/maps?layer=conv%400")
    net = client.get("session")["open"][0]
    client.post(f"net/{net}/item", {"index": 7})
    assert not recorded(page, run, 1.0)
    monkeypatch.setattr(session, "SHORT", -1.0)
    client.arrays(f"run/{run}/maps?layer=conv%400")
    assert not recorded(page, run, 1.0)
