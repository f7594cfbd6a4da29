"""Highway networks: totals as printed, counts by hand, a plain functional reading, and what depth does to each path."""

import csv
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from striate.errors import ArgumentError, ShapeError
from striate.models.catalog import CATALOG, build

# Maps and 3x3 layers of each stage, and maps of the 1x1 convolution behind them.
CONVOLUTIONAL = {
    "highway_mnist_16": ((16, 16, 16), (3, 3, 3), 0),
    "highway_mnist_32": ((32, 32, 32), (3, 3, 3), 0),
    "highway_cifar_11": ((16, 32, 64), (3, 4, 3), 0),
    "highway_cifar_19": ((32, 80, 128), (5, 6, 6), 100),
    "highway_cifar_32": ((32, 48, 64), (10, 10, 10), 100),
}


def counted(name):
    """Weights, biases and multiply-adds of the layers in turn."""
    maps, layers, reduce = CONVOLUTIONAL[name]
    digits = "mnist" in name
    sizes = (24, 12, 6) if digits else (32, 16, 8)
    inputs = 1 if digits else 3
    weights = biases = macs = 0
    for stage in range(3):
        for layer in range(layers[stage]):
            plain = layer == 0 and (stage == 0 or not digits)
            cells = 25 if digits and plain else 9
            new = (1 if plain else 2) * cells * inputs * maps[stage]  # H, and a gate as large
            weights, macs = weights + new, macs + new * sizes[stage] ** 2
            biases += (1 if plain else 2) * maps[stage]
            inputs = maps[stage]
    if reduce:
        weights, biases = weights + inputs * reduce, biases + reduce
        macs, inputs = macs + inputs * reduce * sizes[2] ** 2, reduce
    read = inputs * 9 if digits else inputs  # 3x3 pixels are left of 28x28
    return weights + read * 10, biases + 10, macs + read * 10


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_the_weights_alone_round_to_the_printed_total(shared, name):
    weights, biases, macs = counted(name)
    row = CATALOG[name]
    assert (row.params, row.macs) == (weights + biases, macs)
    with (shared / "figures" / "networks.csv").open(newline="") as file:
        printed = next(int(r["params"]) for r in csv.DictReader(file) if r["net"] == name)
    assert printed == row.published.params
    # 39k, 151k and 236k; 2.3M; 1.25M.
    unit = {2_300_000: 100_000, 1_250_000: 10_000}.get(printed, 1_000)
    assert round(weights / unit) * unit == printed


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("highway_mnist_16", 10),
        ("highway_mnist_32", 10),
        ("highway_cifar_11", 11),
        ("highway_cifar_19", 19),
        ("highway_cifar_32", 32),
    ],
)
def test_as_many_layers_as_printed(name, layers):
    net = build(name, init=False)
    weighted = [path for path, m in net.named_modules() if isinstance(m, torch.nn.Conv2d)]
    assert len([path for path in weighted if not path.endswith("gate")]) + 1 == layers


def reference(s, x, *, digits):
    """Logits from a state dict."""

    def conv(x, name, *, pad):
        return F.conv2d(x, s[f"{name}.weight"], s[f"{name}.bias"], padding=pad)

    for stage in range(3):
        if stage:
            x = F.max_pool2d(x, 3, 2, ceil_mode=True) if digits else F.max_pool2d(x, 2)
        names = [k.split(".")[2] for k in s if k.startswith(f"stages.{stage}.") and "bias" in k]
        for name in dict.fromkeys(names):
            at = f"stages.{stage}.{name}"
            if name == "conv":
                x = F.relu(conv(x, at, pad=0 if digits else 1))
                continue
            gate = torch.sigmoid(conv(x, f"{at}.gate", pad=1))
            x = gate * F.relu(conv(x, f"{at}.transform", pad=1)) + (1 - gate) * x
    if "reduce.0.weight" in s:
        x = F.relu(conv(x, "reduce.0", pad=0))
    x = F.max_pool2d(x, 2).flatten(1) if digits else x.mean((2, 3))
    return F.linear(x, s["fc.weight"], s["fc.bias"])


@pytest.mark.parametrize(
    ("name", "size"),
    [("highway_mnist_16", 28), ("highway_mnist_16", (12, 21)), ("highway_cifar_19", (16, 19))],
)
def test_it_computes_what_the_paper_says(name, size):
    generator = torch.Generator().manual_seed(2)
    net = build(name, size=size, width=0.5, generator=generator).double().eval()
    for tensor in net.state_dict().values():
        tensor.add_(torch.randn(tensor.shape, generator=generator), alpha=0.05)
    x = torch.rand(2, *net.input_shape, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        expected = reference(net.state_dict(), x, digits="mnist" in name)
        torch.testing.assert_close(net(x), expected)


@pytest.mark.parametrize(("path", "units"), [("highway", 50), ("plain", 71), ("residual", 71)])
def test_the_dense_net_is_what_its_formula_says(path, units):
    net = build("highway_fc", path=path, depth=4, act="tanh").double()
    x = torch.rand(2, 1, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    s = net.state_dict()

    def linear(x, name):
        return F.linear(x, s[f"{name}.weight"], s[f"{name}.bias"])

    y = torch.tanh(linear(x.flatten(1), "fc1"))
    assert y.shape == (2, units)
    for i in range(3):
        h = torch.tanh(linear(y, f"layers.{i}.transform"))
        if path == "highway":
            gate = torch.sigmoid(linear(y, f"layers.{i}.gate"))
            y = h * gate + y * (1 - gate)
        else:
            y = h + y if path == "residual" else h
    with torch.no_grad():
        torch.testing.assert_close(net(x), linear(y, "fc"))


def test_the_dense_net_counted_by_hand():
    row = CATALOG["highway_fc"]
    assert row.params == 785 * 50 + 49 * 2 * 51 * 50 + 51 * 10
    assert row.macs == 784 * 50 + 49 * 2 * 50 * 50 + 50 * 10
    # Of the other paths a layer has about as many weights: the paper compares 50 units with 71.
    assert abs(71 * 72 / (2 * 51 * 50) - 1) < 0.01
    assert len(build("highway_fc", depth=7).get_submodule("layers").state_dict()) == 6 * 4
    assert [
        m.out_features
        for m in build("highway_fc", depth=1).children()
        if hasattr(m, "out_features")
    ] == [50, 10]


@pytest.mark.parametrize(
    ("name", "settings", "bias"),
    [
        ("highway_mnist_16", {}, -1.0),
        ("highway_cifar_11", {}, -2.0),
        ("highway_fc", {}, -4.0),
        ("highway_fc", {"carry_bias": -7.5}, -7.5),
    ],
)
def test_gates_start_nearly_closed(name, settings, bias):
    net = build(name, **settings)
    gates = [p for path, p in net.named_parameters() if path.endswith("gate.bias")]
    assert gates
    assert all((gate == bias).all() for gate in gates)
    others = [p for path, p in net.named_parameters() if "bias" in path and "gate" not in path]
    assert not any(p.any() for p in others)


def accuracy(path) -> float:
    """Of 50 layers after 300 steps, on the digits that it has seen."""
    pixels, labels = load_digits(return_X_y=True)
    x = (torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) - 4.9) / 6.0
    y = torch.tensor(labels)
    net = build("highway_fc", size=8, path=path, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    order = torch.Generator().manual_seed(0)
    for _ in range(300):
        batch = torch.randint(0, len(x), (64,), generator=order)
        optimizer.zero_grad()
        F.cross_entropy(net(x[batch]), y[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        return (net(x).argmax(1) == y).float().mean().item()


@pytest.mark.slow
def test_fifty_plain_layers_fail_where_the_others_learn():
    assert accuracy("plain") < 0.5
    assert accuracy("highway") > 0.8
    assert accuracy("residual") > 0.8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 2.5}, "highway_fc: depth takes a whole number from 1 to 1000, got 2.5"),
        ({"depth": 0}, "highway_fc: depth takes a whole number from 1 to 1000, got 0"),
        (
            {"path": "residul"},
            (
                "highway_fc: path has no value 'residul'; did you mean residual? "
                "There are: highway, plain, residual"
            ),
        ),
    ],
)
def test_a_mistake_in_an_option(settings, message):
    with pytest.raises(ArgumentError) as error:
        build("highway_fc", **settings)
    assert str(error.value) == message


@pytest.mark.parametrize(("name", "least"), [("highway_mnist_16", 12), ("highway_cifar_11", 4)])
def test_the_least_picture(name, least):
    net: Any = build(name, size=least, width=0.5).eval()
    with torch.no_grad():
        assert net(torch.zeros(1, *net.input_shape)).shape == (1, 10)
    with pytest.raises(ShapeError) as error:
        build(name, size=least - 1)
    assert str(error.value) == (
        f"{name}: the last maximum needs pictures of at least {least}x{least}; "
        f"got {least - 1}x{least - 1}; enlarge them with size={least}"
    )
