"""VGG against the paper: tables 1 and 2 row by row, names of weights, a plain reference."""

import csv
import re
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import striate
from striate.errors import ShapeError
from striate.models.catalog import build, entry

# Table 1: sides of the kernels, stack by stack; table 2: parameters in millions.
PAPER = {
    "A": ("vgg11", ["3", "3", "33", "33", "33"], 133),
    "A-LRN": ("vgg11_lrn", ["3", "3", "33", "33", "33"], 133),
    "B": ("vgg13", ["33", "33", "33", "33", "33"], 133),
    "C": ("vgg16_1x1", ["33", "33", "331", "331", "331"], 134),
    "D": ("vgg16", ["33", "33", "333", "333", "333"], 138),
    "E": ("vgg19", ["33", "33", "3333", "3333", "3333"], 144),
}
WIDTHS = (64, 128, 256, 512, 512)
NORMALISED = {"vgg11_bn": "A", "vgg13_bn": "B", "vgg16_bn": "D", "vgg19_bn": "E"}
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def meta(name, **settings):
    with torch.device("meta"):
        return build(name, init=False, **settings)


def spelled(name):
    """The layers of a net in the words of the table of architectures."""
    net, words = meta(name), []
    layers = {layer.path: layer for layer in striate.measure(net, net.input_shape).layers}
    for layer in layers.values():
        module: Any = net.get_submodule(layer.path)
        match type(module).__name__:
            case "Conv2d":
                one = "1x1:" if module.kernel_size == (1, 1) else ""
                assert module.kernel_size[0] == 2 * module.padding[0] + 1
                words.append(f"{one}{layer.output[0]}")
            case "MaxPool2d":
                words.append("M")
            case "LocalResponseNorm":
                assert (module.k, module.size, module.alpha, module.beta) == (2, 5, 1e-4, 0.75)
                assert module.window == "sum"
                words.append("LRN")
            case "Linear":
                words.append(f"FC-{layer.output[0]}")
            case _:
                pass
    return " ".join(words)


@pytest.mark.parametrize("column", PAPER)
def test_tables_1_and_2_row_by_row(shared, column):
    with (shared / "figures" / "architectures.csv").open(newline="") as file:
        table = {
            row["layer"]: row for row in csv.DictReader(file) if row["table"] == "VGG Table 1/2"
        }
    row = table[f"configuration {column}"]
    name, _, millions = PAPER[column]
    assert spelled(name) == row["detail"].partition(";")[0]
    params = sum(p.numel() for p in meta(name).parameters())
    assert row["params"] == f"{millions}M" == f"{round(params / 1e6)}M"
    exact = re.search(r"exact torchvision count (\d+)", row["detail"])
    assert params == entry(name).params == int(exact.group(1) if exact else params)
    printed = entry(name).published.params
    assert printed in (params, millions * 1_000_000)


def by_hand(column, *, batch_norm=False):
    """Parameters and multiply-adds of a column."""
    inputs, side, params, macs = 3, 224, 0, 0
    for width, kernels in zip(WIDTHS, PAPER[column][1], strict=True):
        for kernel in map(int, kernels):
            params += width * (inputs * kernel**2 + 1 + 2 * batch_norm)
            macs += side**2 * width * inputs * kernel**2
            inputs = width
        side //= 2
    for inputs, outputs in ((512 * 7 * 7, 4096), (4096, 4096), (4096, 1000)):
        params += (inputs + 1) * outputs
        macs += inputs * outputs
    return params, macs


def test_parameters_and_multiply_adds_by_hand():
    for column, (name, _, _) in PAPER.items():
        assert (entry(name).params, entry(name).macs) == by_hand(column)
    for name, column in NORMALISED.items():
        assert (entry(name).params, entry(name).macs) == by_hand(column, batch_norm=True)


@pytest.mark.parametrize("name", ["vgg11", "vgg16", "vgg11_bn", "vgg19_bn"])
def test_weights_have_the_names_of_torchvision(name):
    column, normal = NORMALISED.get(name), name in NORMALISED
    kernels = next(k for c, (n, k, _) in PAPER.items() if column == c or n == name)
    expected, place = [], 0
    for stack in kernels:
        for _ in stack:
            expected += [f"features.{place}.{part}" for part in ("weight", "bias")]
            expected += [f"features.{place + 1}.{part}" for part in NORM if normal]
            place += 3 if normal else 2
        place += 1
    expected += [f"classifier.{i}.{part}" for i in (0, 3, 6) for part in ("weight", "bias")]
    assert list(meta(name).state_dict()) == expected
    assert list(meta(name, drop_rate=0.0).state_dict()) == expected


def response(x):
    squares = F.pad(x.square(), (0, 0, 0, 0, 2, 2))
    return x / (2 + 1e-4 * sum(squares[:, i : i + x.shape[1]] for i in range(5))) ** 0.75


def reference(parameters, x, *, kernels, batch_norm=False, lrn=False):
    """By plain calls, the weights taken in their order."""
    left = iter(parameters)
    for stack in kernels:
        for kernel in stack:
            x = F.conv2d(x, next(left), next(left), padding=int(kernel) // 2)
            if batch_norm:
                weight, bias, mean, var, _ = (next(left) for _ in NORM)
                x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5) ** 0.5
                x = x * weight[:, None, None] + bias[:, None, None]
            x = F.relu(x)
            if lrn:
                x, lrn = response(x), False
        x = F.max_pool2d(x, 2)
    x = F.adaptive_avg_pool2d(x, 7).flatten(1)
    x = F.relu(F.linear(x, next(left), next(left)))
    x = F.relu(F.linear(x, next(left), next(left)))
    return F.linear(x, next(left), next(left))


@pytest.mark.parametrize("size", [(32, 32), (75, 46)])
@pytest.mark.parametrize("name", ["vgg11", "vgg11_lrn", "vgg16_1x1", "vgg13_bn"])
def test_it_computes_what_the_paper_says(name, size):
    generator = torch.Generator().manual_seed(2)
    net = build(name, size=size, width=1 / 16, generator=generator).double().eval()
    for path, tensor in net.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif path.startswith("classifier"):
            tensor.mul_(10)
    x = 30 * torch.randn(2, 3, *size, dtype=torch.float64, generator=generator)
    column = NORMALISED.get(name)
    kernels = next(k for c, (n, k, _) in PAPER.items() if column == c or n == name)
    plain = reference(
        net.state_dict().values(), x, kernels=kernels, batch_norm=bool(column), lrn="lrn" in name
    )
    with torch.no_grad():
        torch.testing.assert_close(net(x), plain)


def test_first_weights_are_those_of_torchvision():
    net = build("vgg11_bn", size=32, width=0.5, generator=torch.Generator().manual_seed(0))
    for path, parameter in net.named_parameters():
        if parameter.ndim == 4:
            std = (2 / (parameter.shape[0] * 9)) ** 0.5
            assert abs(parameter.std().item() / std - 1) < 0.05, path
        elif parameter.ndim == 2:
            assert abs(parameter.std().item() / 0.01 - 1) < 0.02, path
        elif path.endswith("bias"):
            assert not parameter.any(), path


def test_a_picture_that_vanishes_is_refused():
    with pytest.raises(ShapeError) as error:
        build("vgg16", size=(224, 31))
    assert str(error.value) == (
        "vgg16: the fifth pooling needs pictures of at least 32x32; "
        "got 224x31; enlarge them with size=32"
    )
