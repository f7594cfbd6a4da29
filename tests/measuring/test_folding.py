"""The sheet as HTML and CSV: nothing is lost when neighbours fold, and frozen weights stand apart."""

import csv
import io
import re

from torch import nn

from striate.measuring import measure
from striate.measuring.sheet import blocks
from striate.models.catalog import build


def stack(*inner):
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *inner, nn.Flatten(), nn.Linear(64, 2))


def part(width=4):
    return nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())


def test_neighbours_that_are_alike_fold():
    sheet = measure(stack(part(), part(), part()), (3, 4, 4))
    found = blocks(sheet.layers, range(len(sheet.layers)))
    assert [(b.path, len(b.rows), [a.path for a in b.alike]) for b in found] == [
        ("0", 1, []), ("1", 3, ["2", "3"]), ("4", 1, []), ("5", 1, []),
    ]  # fmt: skip
    page = sheet._repr_html_()
    assert "<b>x3 identical</b> <i>1, 2, 3</i>" in page
    for layer in sheet.layers:
        assert f"<td>{layer.path}</td>" in page
    assert page.count("<tr") == len(sheet.layers) + 2
    assert page.count("<details>") == page.count("</details>") == 4


def test_neighbours_that_differ_do_not_fold():
    other = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    sheet = measure(stack(part(), other), (3, 4, 4))
    assert not any(block.alike for block in blocks(sheet.layers, range(len(sheet.layers))))
    assert "identical" not in sheet._repr_html_()


def test_blocks_of_a_residual_net_fold_inside_their_stage():
    page = measure("resnet50")._repr_html_()
    folds = re.findall(r"<b>(x\d+ identical)</b> <i>([^<]*)<", page)
    # Blocks 2.. of every stage are alike: 2, 3, 5 and 2 of them.
    assert folds == [
        ("x2 identical", "layer1.1, layer1.2"),
        ("x3 identical", "layer2.1, layer2.2, layer2.3"),
        ("x5 identical", "layer3.1, layer3.2, layer3.3, layer3.4, layer3.5"),
        ("x2 identical", "layer4.1, layer4.2"),
    ]


def test_csv_has_a_line_a_row():
    net = build("lenet5")
    net.get_submodule("conv1").requires_grad_(requires_grad=False)
    sheet = measure(net)
    rows = list(csv.DictReader(io.StringIO(sheet.as_csv())))
    assert len(rows) == len(sheet.layers)
    first = rows[0]
    assert (first["path"], first["op"], first["output"]) == ("conv1", "conv2d", "6x28x28")
    assert (first["params"], first["trainable"], first["frozen"]) == ("156", "0", "156")
    assert sum(int(row["macs"]) for row in rows) == sheet.totals.macs
    assert "Parameters: 61,706, of which 61,550 trainable and 156 frozen (conv1)." in str(sheet)
