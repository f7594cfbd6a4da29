"""Kernels, strides, maps and sizes that the tables of layers print, field by field beside what our layers have.

Filters, repeats, parameters and operations are held in the test of each family.
"""

import csv
import re
from math import prod
from typing import Any

import pytest
import torch
from torch import nn

from striate.models.branches import Branches
from striate.models.catalog import build
from striate.models.lenet_1998 import LENET5_C3

DEPTHS = (18, 34, 50, 101, 152)
DENSE = (121, 169, 201, 264)
VGG = dict(
    zip(
        ("A", "A-LRN", "B", "C", "D", "E"),
        ("vgg11", "vgg11_lrn", "vgg13", "vgg16_1x1", "vgg16", "vgg19"),
        strict=True,
    )
)
ALEXNET = {
    **{f"conv{i}": f"features.conv{i}" for i in range(1, 6)},
    **{f"pool{i}": f"features.pool{i}" for i in (1, 2, 5)},
    **{f"fc{i}": f"classifier.fc{i}" for i in (6, 7, 8)},
}
# (table, layer): where it is, in which net.
PLACES: dict[tuple[str, str], tuple[str, str]] = {
    **{
        ("LeNet-5", name): ("lenet5_1998", name.lower())
        for name in ("C1", "S2", "C3", "S4", "C5", "F6", "OUTPUT")
    },
    **{
        (
            "AlexNet",
            f"{name} (after LRN of conv{name[4]})" if name in ("pool1", "pool2") else name,
        ): (
            "alexnet_2012",
            path,
        )
        for name, path in ALEXNET.items()
    },
    **{
        ("AlexNet (Caffe deploy, 227x227)", name): ("alexnet_2012", path)
        for name, path in ALEXNET.items()
    },
    ("GoogLeNet Table 1", "convolution #1"): ("googlenet_2014", "conv1.conv"),
    ("GoogLeNet Table 1", "convolution #2"): ("googlenet_2014", "conv3.conv"),
    ("GoogLeNet Table 1", "avg pool"): ("googlenet_2014", "avgpool"),
    ("GoogLeNet Table 1", "dropout (40%)"): ("googlenet_2014", "drop"),
    ("GoogLeNet Table 1", "linear"): ("googlenet_2014", "fc"),
    ("GoogLeNet Table 1", "softmax"): ("googlenet_2014", "fc"),
    **{
        ("GoogLeNet Table 1", f"max pool #{i}"): ("googlenet_2014", f"maxpool{i}")
        for i in range(1, 5)
    },
    **{
        ("GoogLeNet Table 1", f"inception ({name})"): ("googlenet_2014", f"inception{name}")
        for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
    },
    ("ResNet Table 1", "conv1"): ("resnet50", "conv1"),
    ("ResNet Table 1", "conv2_x max pool"): ("resnet50", "maxpool"),
    ("ResNet Table 1", "head"): ("resnet50", "fc"),
    **{
        ("ResNet Table 1", f"{depth}-layer conv{i + 1}_x"): (f"resnet{depth}", f"layer{i}")
        for depth in DEPTHS
        for i in range(1, 5)
    },
    ("DenseNet Table 1", "Convolution"): ("densenet121", "features.conv0"),
    ("DenseNet Table 1", "Pooling"): ("densenet121", "features.pool0"),
    ("DenseNet Table 1", "Classification"): ("densenet121", "avgpool"),
    **{
        ("DenseNet Table 1", f"Transition {i}"): ("densenet121", f"features.transition{i}")
        for i in (1, 2, 3)
    },
    **{
        ("DenseNet Table 1", f"DenseNet-{depth} dense block {i}"): (
            f"densenet{depth}",
            f"features.denseblock{i}",
        )
        for depth in DENSE
        for i in (1, 2, 3, 4)
    },
}
# Rows without a layer of ours at one place: what they print is held by the test named.
ELSEWHERE = {
    **{("LeNet-5", name): "here" for name in ("INPUT", "TOTAL")},
    **{("AlexNet", name): "here" for name in ("input", "TOTAL")},
    ("AlexNet", "LRN"): "test_alexnet.py",
    **{("ResNet Table 1", f"{depth}-layer TOTAL"): "test_resnet.py" for depth in DEPTHS},
}
# Tables of rows that are each of their own kind, all of whose fields one test reads.
OTHERS = {
    "LeNet-5 C3 connections": "here",
    "VGG Table 1/2": "here",
    "AlexNet (torchvision)": "test_alexnet.py",
    "DenseNet torchvision": "test_densenet.py",
    "DenseNet-BC CIFAR": "test_figures.py",
    "Neocognitron 1980": "test_neocognitron.py",
    "ResNet CIFAR": "test_resnet.py",
    "U-Net": "test_figures.py",
    "YOLOv1 (darknet cfg)": "test_figures.py",
}


@pytest.fixture(scope="module")
def tables(shared):
    with (shared / "figures" / "architectures.csv").open(newline="") as file:
        return {(row["table"], row["layer"]): row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def nets():
    """Of a net by its name: itself, and the shapes of what goes into each layer and comes out."""
    known: dict[str, tuple[Any, dict[str, tuple[torch.Size, torch.Size]]]] = {}

    def of(name):
        if name not in known:
            shapes: dict[str, tuple[torch.Size, torch.Size]] = {}

            def saw(at, x, y):
                if isinstance(y, torch.Tensor):
                    shapes[at] = x.shape, y.shape

            with torch.device("meta"):
                net = build(name, init=False).eval()
                for path, layer in net.named_modules():
                    layer.register_forward_hook(lambda _, x, y, at=path: saw(at, x[0], y))
                net(torch.empty(1, *net.input_shape))
            known[name] = net, shapes
        return known[name]

    return of


def strides(layer: nn.Module) -> list[int]:
    """Of every layer within, in order; squares alone."""
    found: list[Any] = [m.stride for m in layer.modules() if hasattr(m, "stride")]
    return [s if isinstance(s, int) else s[0] for s in found]


def kernels(layer: nn.Module) -> list[str]:
    """Of every layer within, in order."""
    found: list[Any] = [m.kernel_size for m in layer.modules() if hasattr(m, "kernel_size")]
    return ["x".join(map(str, (k, k) if isinstance(k, int) else k)) for k in found]


def test_no_row_is_left_out(tables):
    rows = {key for key in tables if key[0] not in OTHERS}
    assert rows == PLACES.keys() | ELSEWHERE.keys()
    assert {table for table, _ in tables} == {table for table, _ in rows} | OTHERS.keys()


@pytest.mark.parametrize("at", PLACES, ids=" ".join)
def test_maps_and_size(tables, nets, at):
    row, (name, path) = tables[at], PLACES[at]
    _, shapes = nets(name)
    came, went = shapes[path]
    if row["maps"]:
        assert went[1] == int(row["maps"])
    if row["output_size"]:
        sizes = ["x".join(map(str, [*shape[2:]] or [1, 1])) for shape in (came, went)]
        assert row["output_size"] == (
            " -> ".join(sizes) if "->" in row["output_size"] else sizes[1]
        )


@pytest.mark.parametrize("at", PLACES, ids=" ".join)
def test_kernel_and_stride(tables, nets, at):
    row, (name, path) = tables[at], PLACES[at]
    net, shapes = nets(name)
    layer, (came, went) = net.get_submodule(path), shapes[path]
    printed = re.findall(r"\d+x\d+", row["kernel"])
    if row["type"] == "subsampling":  # side by side
        assert printed == ["x".join(str(a // b) for a, b in zip(came[2:], went[2:], strict=True))]
    elif row["kernel"] and kernels(layer):
        assert set(kernels(layer)) == set(printed), row["kernel"]
    elif row["kernel"] and went[2:] == (1, 1):
        assert printed == ["x".join(map(str, came[2:]))]  # over the whole map
    elif row["kernel"] and hasattr(layer, "weight") and layer.weight.ndim > 1:
        assert printed == ["x".join(map(str, layer.weight.shape[-2:]))]
    else:
        assert not row["kernel"]
    if row["stride"] == "2 at the first block":
        assert max(strides(layer[0])) == 2
        assert max(strides(layer[1:])) == 1
    elif row["stride"] and strides(layer):
        assert max(strides(layer)) == int(row["stride"])
    elif row["stride"] and went[2:] != (1, 1):
        assert came[2] // went[2] == int(row["stride"])
    else:
        assert not row["stride"] or kernels(layer) == []  # one window, which never moves


def test_the_depth_of_rows_of_googlenet(tables, nets):
    net, _ = nets("googlenet_2014")

    def depth(layer):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            return 1
        parts = [depth(part) for part in layer.children()]
        return max(parts) if isinstance(layer, Branches) else sum(parts)

    for (table, layer), row in tables.items():
        if table == "GoogLeNet Table 1":
            paths = [PLACES[table, layer][1]]
            paths += ["conv2.conv"] * (layer == "convolution #2")
            paths = [] if layer == "softmax" else paths
            assert sum(depth(net.get_submodule(path)) for path in paths) == int(row["repeat"][6:])


def test_input_and_total_of_lenet5(tables, nets):
    net, _ = nets("lenet5_1998")
    row, total = tables["LeNet-5", "INPUT"], tables["LeNet-5", "TOTAL"]
    assert net.input_shape == (int(row["maps"]), *map(int, row["output_size"].split("x")))
    assert sum(p.numel() for p in net.parameters()) == int(total["params"])
    rows = [
        row for (table, layer), row in tables.items() if table == "LeNet-5" and layer != "TOTAL"
    ]
    for field in ("params", "connections"):
        assert sum(int(row[field] or 0) for row in rows) == int(total[field])


def test_input_and_total_of_alexnet(tables, nets):
    row, total = tables["AlexNet", "input"], tables["AlexNet", "TOTAL"]
    with torch.device("meta"):
        shape = build("alexnet_2012", init=False, size=224).input_shape
    assert shape == (int(row["maps"]), *map(int, row["output_size"].split("x")))
    assert row["detail"] == f"{prod(shape):,}-dimensional"
    net, _ = nets("alexnet_2012")
    assert round(sum(p.numel() for p in net.parameters()), -7) == int(total["params"])


def test_the_work_of_googlenets_last_layer(tables, nets):
    net, _ = nets("googlenet_2014")
    assert f"{net.fc.weight.numel() // 10**6}M" == tables["GoogLeNet Table 1", "linear"]["ops"]


def test_the_layers_of_a_stage_of_resnets_for_cifar(tables, nets):
    row = tables["ResNet CIFAR", "n blocks per stage"]
    for depth, n in ((20, 3), (56, 9)):
        net, _ = nets(f"resnet{depth}_cifar")
        stages = [(net.conv1, net.layer1), (net.layer2,), (net.layer3,)]
        counted = [
            sum(
                m.weight.shape[2:] == (3, 3)
                for part in parts
                for m in part.modules()
                if isinstance(m, nn.Conv2d)
            )
            for parts in stages
        ]
        assert row["repeat"] == "1+2n / 2n / 2n"
        assert counted == [1 + 2 * n, 2 * n, 2 * n]


def test_every_map_of_c3(tables, nets):
    _, shapes = nets("lenet5_1998")
    size = shapes["c3"][1][2:]
    for i, maps in enumerate(LENET5_C3):
        row = tables["LeNet-5 C3 connections", f"C3 map {i}"]
        high, wide = map(int, row["kernel"].split("x"))
        params = high * wide * len(maps) + 1
        assert (int(row["params"]), int(row["connections"])) == (params, params * size.numel())
        assert (row["maps"], row["stride"]) == ("1", "1")
        assert row["output_size"] == "x".join(map(str, size))


@pytest.mark.parametrize("letters", VGG)
def test_every_convolution_of_vgg(tables, nets, letters):
    net, _ = nets(VGG[letters])
    row = tables["VGG Table 1/2", f"configuration {letters}"]
    assert row["kernel"] == "3x3 pad 1 (1x1 where marked)"
    assert row["output_size"] == "x".join(map(str, net.input_shape[1:])) + " input"
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    marked = row["detail"].count("1x1:")
    found = sorted((m.kernel_size, m.padding, m.stride) for m in layers)
    one = (int(row["stride"]),) * 2
    expected = [((1, 1), (0, 0), one)] * marked + [((3, 3), (1, 1), one)] * (len(layers) - marked)
    assert found == expected
