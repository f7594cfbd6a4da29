"""3D-TGCN: counts by hand, its filter by loops over steps and terms, the graph learnt by gradient."""

import pytest
import torch
from torch.nn import functional as F

from striate.errors import ArgumentError, ShapeError
from striate.models.catalog import CATALOG, build
from striate.models.tgcn3d import TGCN3D
from striate.ops.graph import laplacian

NODES, STEPS = 228, 12


def tgcn3d(**settings) -> TGCN3D:
    net = build("tgcn3d", **settings)
    assert isinstance(net, TGCN3D)
    return net


def some_graph(nodes):
    weights = torch.rand(nodes, nodes, generator=torch.Generator().manual_seed(0))
    return (weights + weights.T).fill_diagonal_(0)


def test_the_counts_are_those_of_the_layers():
    params = macs = 0
    steps = STEPS
    for inputs in (1, 64, 64, 64):
        # Two products with the Laplacian on all steps, then 3 terms of 3 steps into 128 maps.
        macs += 2 * NODES * NODES * inputs * steps
        steps -= 2
        params += 9 * inputs * 128 + 128 + 2 * 64 * NODES
        macs += steps * NODES * 9 * inputs * 128
    params += steps * 64 * 128 + 128 + 64 * 9 + 9
    macs += NODES * (steps * 64 * 128 + 64 * 9)
    assert (params, macs) == (CATALOG["tgcn3d"].params, CATALOG["tgcn3d"].macs)


def space_time(x, weight, bias, graph):
    """Sum over the steps read and the terms of the polynomial, one matrix each."""
    channels, nodes = x.shape[1], x.shape[-1]
    one = torch.eye(nodes, dtype=x.dtype)
    t = graph - one
    terms = (one, t, 2 * t @ t - one)
    steps = x.shape[2] - 2
    y = 0
    for step in range(3):
        for k, term in enumerate(terms):
            theta = weight[:, k * channels : (k + 1) * channels, step, 0]
            y = y + torch.einsum("bctn,mn,oc->botm", x[:, :, step : step + steps], term, theta)
    return y + bias[:, None, None]


def reference(s, x, graph, depth):
    for i in range(depth):
        at = f"blocks.{i}"
        p, q = space_time(x, s[f"{at}.conv.weight"], s[f"{at}.conv.bias"], graph).chunk(2, 1)
        shortcut = F.pad(x[:, :, 2:], (0, 0, 0, 0, 0, p.shape[1] - x.shape[1]))
        x = (p + shortcut) * torch.sigmoid(q)
        mean, var = x.mean((1, 3), keepdim=True), x.var((1, 3), keepdim=True, unbiased=False)
        x = (x - mean) / (var + 1e-5).sqrt()
        x = x * s[f"{at}.norm.weight"][:, None] + s[f"{at}.norm.bias"][:, None]
    p, q = F.conv2d(x, s["last.conv.weight"], s["last.conv.bias"]).chunk(2, 1)
    x = (p + x[:, :, -1:]) * torch.sigmoid(q)
    return F.conv2d(x, s["forecast.weight"], s["forecast.bias"])[:, :, 0]


@pytest.mark.parametrize("graph", ["given", "learned"])
def test_it_computes_what_the_paper_says(graph):
    generator = torch.Generator().manual_seed(2)
    net = tgcn3d(size=(9, 7), width=0.1, num_classes=4, depth=3, graph=graph, generator=generator)
    net.set_graph(some_graph(7))
    net.double().eval()
    x = torch.rand(3, 1, 9, 7, dtype=torch.float64, generator=generator)
    # A learnt graph begins as the given one with a faint link between all others.
    adjacency = some_graph(7).double() + (0.01 if graph == "learned" else 0)
    spread = laplacian(adjacency.fill_diagonal_(0))
    with torch.no_grad():
        y = net(x)
        assert y.shape == (3, 4, 7)
        expected = reference(net.state_dict(), x, spread, 3)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-7)


def test_a_learnt_graph_gets_gradients_and_stays_a_graph():
    net = tgcn3d(size=(12, 6), width=0.1, graph="learned")
    net(torch.rand(4, 1, 12, 6)).square().mean().backward()
    assert net.edges is not None
    grad = net.edges.grad
    assert grad is not None
    links = ~torch.eye(6, dtype=torch.bool)
    assert (grad[links] != 0).all()
    with torch.no_grad():
        net.edges.sub_(
            1000 * grad + 0.5 * torch.rand(6, 6, generator=torch.Generator().manual_seed(0))
        )
        graph = net.graph()
    torch.testing.assert_close(graph, graph.T)
    values = torch.linalg.eigvalsh(graph.double())
    assert values.min() > -1e-6
    assert values.max() < 2 + 1e-6


def test_a_learnt_graph_exports():
    net = tgcn3d(size=(5, 6), width=0.05, depth=1, graph="learned").eval()
    x = torch.rand(2, 1, 5, 6)
    program = torch.export.export(net, (x,))
    torch.testing.assert_close(program.module()(x), net(x))


def test_mistakes_are_told():
    with pytest.raises(ShapeError) as error:
        build("tgcn3d", size=(4, 10), depth=2)
    assert str(error.value) == (
        "tgcn3d: its convolutions over time use up 4 steps, so it reads at least 5; got 4; "
        "build it with size=(5, 10)"
    )
    with pytest.raises(ArgumentError) as error:
        build("tgcn3d", depth=[2, 2])
    assert str(error.value) == "tgcn3d: depth takes one number, the blocks of the net; got [2, 2]"
