"""Shares, nets side by side and the same maps fully connected, by hand."""

import re

import pytest
from torch import nn

from striate.measuring import Comparison, measure, to_mlp
from striate.measuring.sheet import shares


@pytest.mark.slow
def test_alexnet_keeps_its_weights_in_its_dense_layers():
    # torchvision's AlexNet: 61,100,840 parameters, of which the three linear layers hold
    # 9217 * 4096 + 4097 * 4096 + 4097 * 1000 = 58,631,144: 96 %.
    sheet = measure("alexnet")
    found = shares(sheet.layers)
    assert found["fully connected"]["params"] == pytest.approx(58_631_144 / 61_100_840)
    assert sum(share["params"] for share in found.values()) == pytest.approx(1)
    assert sum(share["macs"] for share in found.values()) == pytest.approx(1)
    assert "Of the parameters: fully connected 96.0\xa0%, convolution 4.0\xa0%." in str(sheet)


def test_nets_side_by_side():
    first, second = measure("lenet5"), measure("lenet5", (1, 32, 32))
    text = Comparison((first, second)).as_text()
    lines = {line.split("  ")[0]: re.split(r"  +", line) for line in text.splitlines()}
    assert text.splitlines()[0].split("  ")[-1] == "ratio"
    assert lines["parameters"][-3:] == ["61,706", "61,706", "1.00"]
    assert lines["MACs"][-3:] == ["416,520", "416,520", "1.00"]
    assert "95.8\xa0%" in lines["parameters: fully connected"]
    three = Comparison((first, second, first))
    assert not three.as_text().splitlines()[0].endswith("ratio")
    assert [each["net"] for each in three.as_list()] == ["lenet5"] * 3


def test_the_same_maps_fully_connected():
    shared = nn.Conv2d(2, 2, 3, padding=1, bias=False)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), shared, shared, nn.Flatten(), nn.Linear(8, 3))
    mlp = to_mlp(net, (1, 4, 4))
    # 16 inputs into 2x2x2 = 8 outputs; 8 into 8 twice; 8 into 3: with a bias an output.
    assert [row.dense for row in mlp.layers] == [17 * 8, 9 * 8, 9 * 8, 9 * 3]
    assert [row.params for row in mlp.layers] == [20, 36, 0, 27]
    assert (mlp.dense, mlp.params) == (307, 83)
    assert mlp.as_text().splitlines()[-2].split() == ["total", "83", "307", "4x"]
    assert mlp.as_dict()["layers"][0]["output"] == [2, 2, 2]
