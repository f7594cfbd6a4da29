"""Every row of the tables of published figures is held by a test: none is skipped because nobody reads it."""

import csv
from pathlib import Path

import torch
from torch import nn

import striate
from striate.models.catalog import CATALOG, build

HERE = Path(__file__).parent
# The tables of layers, and the test that reads each; those of "here" are held below.
READ_BY = {
    "AlexNet": "test_alexnet.py",
    "AlexNet (Caffe deploy, 227x227)": "test_alexnet.py",
    "AlexNet (torchvision)": "test_alexnet.py",
    "DenseNet Table 1": "test_densenet.py",
    "DenseNet torchvision": "test_densenet.py",
    "DenseNet-BC CIFAR": "here",
    "GoogLeNet Table 1": "test_googlenet.py",
    "LeNet-5": "test_lenet_1998.py",
    "LeNet-5 C3 connections": "test_lenet_1998.py",
    "Neocognitron 1980": "test_neocognitron.py",
    "ResNet CIFAR": "test_resnet.py",
    "ResNet Table 1": "test_resnet.py",
    "U-Net": "here",
    "VGG Table 1/2": "test_vgg.py",
    "YOLOv1 (darknet cfg)": "here",
}


def rows(shared, name):
    with (shared / "figures" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def bare(name):
    with torch.device("meta"):
        return build(name, init=False).eval()


def test_every_net_of_the_table_of_networks_is_in_the_catalogue(shared):
    table = rows(shared, "networks.csv")
    assert len({row["net"] for row in table}) == len(table)
    assert {row["net"] for row in table} - CATALOG.keys() == set()


def test_every_table_of_layers_is_read_by_a_test(shared):
    names = {row["table"] for row in rows(shared, "architectures.csv")}
    assert names == READ_BY.keys()
    for name, file in READ_BY.items():
        if file != "here":
            assert f'"{name}"' in (HERE / file).read_text(), name


def row_of(shared, table):
    (row,) = (row for row in rows(shared, "architectures.csv") if row["table"] == table)
    return row


def test_the_row_of_the_u_net(shared):
    row, net = row_of(shared, "U-Net"), bare("unet")
    answer = net(torch.empty(1, 1, 572, 572, device="meta"))
    assert f"572x572 -> {answer.shape[2]}x{answer.shape[3]}" == row["output_size"]
    assert sum(p.numel() for p in net.parameters()) == int(row["params"])


def test_the_row_of_the_densenet_of_three_blocks(shared):
    row, net = row_of(shared, "DenseNet-BC CIFAR"), bare("densenet100bc_cifar")
    maps = net.features(torch.empty(1, 3, 32, 32, device="meta"))
    assert ", ".join(f"{m.shape[2]}x{m.shape[3]}" for m in maps) == row["output_size"]
    assert f"{len(maps)} dense blocks" == row["layer"]
    # 16 maps first, or 2k for BC.
    assert row["detail"].startswith("first conv 16 maps (2k for BC)")
    assert bare("densenet40_cifar").get_submodule("features.conv0").out_channels == 16
    weights = dict(net.named_parameters())
    grown = weights["features.denseblock1.denselayer1.conv2.weight"]
    assert len(weights["features.conv0.weight"]) == 2 * len(grown)


def test_the_row_of_yolo_and_where_the_distributed_file_left_the_paper(shared):
    detail, net = row_of(shared, "YOLOv1 (darknet cfg)")["detail"], bare("yolo_v1")
    kinds = [layer.op for layer in striate.measure(net, net.input_shape).layers]
    assert f"{kinds.count('conv2d')} convolutional" in detail
    assert f"{kinds.count('max_pool2d')} maxpool" in detail
    # The file has a local layer and three boxes a cell, the paper a linear layer of 4096 and two.
    assert "1715 = 7*7*(20+3*5)" in detail
    linear = [m.out_features for m in net.modules() if isinstance(m, nn.Linear)]
    assert linear == [4096, 7 * 7 * (20 + 2 * 5)]
