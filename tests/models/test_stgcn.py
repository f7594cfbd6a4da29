"""STGCN: counts by hand, a functional reading with dense polynomials, the graph as part of the state."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from striate.errors import ArgumentError, ShapeError
from striate.models.catalog import CATALOG, build
from striate.models.graph_forecasters import GraphNet, ring
from striate.ops.graph import laplacian
from striate.ops.graph_from_series import similarity_graph

NODES, STEPS = 228, 12


def graph_net(name, **settings) -> GraphNet:
    net = build(name, **settings)
    assert isinstance(net, GraphNet)
    return net


def some_graph(nodes, seed=0):
    weights = torch.rand(nodes, nodes, generator=torch.Generator().manual_seed(seed))
    return (weights + weights.T).fill_diagonal_(0)


def test_the_counts_are_those_of_the_layers():
    params = macs = 0
    steps = STEPS
    for inputs in (1, 64):
        steps -= 2
        params += 3 * inputs * 128 + 128
        macs += steps * NODES * 3 * inputs * 128
        # Three terms of the polynomial, two of them by a product with the Laplacian; a 1x1 shortcut.
        params += 3 * 64 * 16 + 16 + 64 * 16 + 16
        macs += 2 * NODES * NODES * 64 * steps + steps * NODES * (3 * 64 * 16 + 64 * 16)
        steps -= 2
        params += 3 * 16 * 128 + 128 + 2 * 64 * NODES
        macs += steps * NODES * 3 * 16 * 128
    params += steps * 64 * 128 + 128 + 64 * 9 + 9
    macs += NODES * (steps * 64 * 128 + 64 * 9)
    assert (params, macs) == (CATALOG["stgcn"].params, CATALOG["stgcn"].macs)


def gate(s, x, at, kernel):
    p, q = F.conv2d(x, s[f"{at}.conv.weight"], s[f"{at}.conv.bias"]).chunk(2, 1)
    shortcut = x[:, :, kernel - 1 :]
    if f"{at}.gate.align.weight" in s:
        shortcut = F.conv2d(shortcut, s[f"{at}.gate.align.weight"], s[f"{at}.gate.align.bias"])
    zeros = p.new_zeros(len(p), p.shape[1] - shortcut.shape[1], *p.shape[2:])
    return (p + torch.cat((shortcut, zeros), 1)) * torch.sigmoid(q)


def reference(s, x):
    t = s["laplacian"] - torch.eye(x.shape[-1], dtype=x.dtype)
    polynomials = torch.stack(
        (
            torch.eye(x.shape[-1], dtype=x.dtype),
            t,
            2 * t @ t - torch.eye(x.shape[-1], dtype=x.dtype),
        )
    )
    for block in ("blocks.0", "blocks.1"):
        x = gate(s, x, f"{block}.before", 3)
        at = f"{block}.spatial"
        y = torch.einsum("bctn,kmn,ock->botm", x, polynomials, s[f"{at}.weight"])
        y = y + s[f"{at}.bias"][:, None, None]
        x = F.relu(y + F.conv2d(x, s[f"{at}.align.weight"], s[f"{at}.align.bias"]))
        x = gate(s, x, f"{block}.after", 3)
        mean, var = x.mean((1, 3), keepdim=True), x.var((1, 3), keepdim=True, unbiased=False)
        x = (x - mean) / (var + 1e-5).sqrt()
        x = x * s[f"{block}.norm.weight"][:, None] + s[f"{block}.norm.bias"][:, None]
    x = gate(s, x, "last", x.shape[2])
    return F.conv2d(x, s["forecast.weight"], s["forecast.bias"])[:, :, 0]


@pytest.mark.parametrize("channels", [1, 20])
def test_it_computes_what_the_paper_says(channels):
    generator = torch.Generator().manual_seed(2)
    net = graph_net(
        "stgcn", size=(11, 7), width=0.25, in_channels=channels, num_classes=4, generator=generator
    )
    net.set_graph(some_graph(7))
    net.double().eval()
    x = torch.rand(3, channels, 11, 7, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        y = net(x)
        assert y.shape == (3, 4, 7)
        torch.testing.assert_close(y, reference(net.state_dict(), x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["stgcn", "tgcn3d"])
def test_the_graph_is_saved_with_the_weights(name):
    # Wide enough that no draw leaves every unit of the convolution over the graph at zero.
    settings = {"size": (12, 6), "width": 0.5}
    generator = torch.Generator().manual_seed(3)
    net = graph_net(name, **settings, generator=generator)
    torch.testing.assert_close(net.laplacian, laplacian(ring(6)))
    net.set_graph(some_graph(6))
    other = graph_net(name, init=False, **settings)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.laplacian, laplacian(some_graph(6)))
    x = torch.rand(2, 1, 12, 6, generator=generator)
    assert torch.equal(other.eval()(x), net.eval()(x))
    other.set_graph(ring(6))
    assert not torch.equal(other(x), net(x))


def test_a_ring_of_few_nodes():
    assert ring(1).tolist() == [[0]]
    assert ring(2).tolist() == [[0, 1], [1, 0]]
    assert ring(4).sum(1).tolist() == [2, 2, 2, 2]


def test_mistakes_are_told():
    with pytest.raises(ShapeError) as error:
        build("stgcn", size=(8, 30))
    assert str(error.value) == (
        "stgcn: its convolutions over time use up 8 steps, so it reads at least 9; got 8; "
        "build it with size=(9, 30)"
    )
    net = graph_net("stgcn", size=(12, 6), width=0.1)
    with pytest.raises(ShapeError) as error:
        net.set_graph(ring(5))
    assert str(error.value) == (
        "set_graph: got [5, 5], expected [6, 6], the nodes that the net was built for; "
        "build it with size=(steps, 5)"
    )
    with pytest.raises(ArgumentError, match="symmetric"):
        net.set_graph(torch.eye(6).roll(1, 1))


def windows(series, steps, ahead):
    """All inputs [B, 1, steps, N] and what follows them [B, ahead, N]."""
    cut = series.unfold(0, steps + ahead, 1).transpose(1, 2)
    return cut[:, None, :steps], cut[:, steps:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("stgcn", {}),
        pytest.param("tgcn3d", {}, marks=pytest.mark.full),
        pytest.param("tgcn3d", {"graph": "learned"}, marks=pytest.mark.full),
    ],
)
def test_it_forecasts_buses_better_than_persistence(shared, name, options):
    """Passengers at the 30 busiest stops of Montevideo: 3 hours from the 12 before, the last week unseen."""
    file = shared / "data" / "graph_series" / "montevideo_bus.npz"
    inflow = torch.from_numpy(np.load(file)["inflow"]).float()
    inflow = inflow[:, inflow.sum(0).argsort(descending=True)[:30]]
    past = inflow[:-168]
    scaled = (inflow - past.mean(0)) / past.std(0)
    x, y = windows(scaled[:-168], 12, 3)
    unseen, truth = windows(scaled[-168 - 12 :], 12, 3)
    generator = torch.Generator().manual_seed(0)
    net = graph_net(name, size=(12, 30), width=0.25, num_classes=3, generator=generator, **options)
    mean_day = scaled[: 24 * 24].view(24, 24, 30).mean(0).T
    net.set_graph(similarity_graph(mean_day))
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(150):
        some = torch.randint(len(x), (64,), generator=generator)
        loss = F.mse_loss(net(x[some]), y[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        error = F.mse_loss(net.eval()(unseen), truth).sqrt().item()
    persistence = F.mse_loss(unseen[:, 0, -1:].expand_as(truth), truth).sqrt().item()
    week_before = F.mse_loss(scaled[-336:-168], scaled[-168:]).sqrt().item()
    assert error < 0.7 * persistence
    assert error < 0.9 * week_before


@pytest.mark.parametrize("name", ["stgcn", "tgcn3d"])
def test_a_net_that_starts_from_the_last_value_says_that_first(name):
    size: dict[str, Any] = {"size": (12, 5), "width": 0.25, "in_channels": 3, "num_classes": 4}
    net, plain = build(name, **size, from_last=True), build(name, **size)
    x = torch.randn(2, 3, 12, 5)
    assert torch.equal(net(x), x[:, :1, -1].expand(2, 4, 5))
    net.load_state_dict(plain.state_dict())
    torch.testing.assert_close(net(x), plain(x) + x[:, :1, -1])
