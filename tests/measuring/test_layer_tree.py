"""The sheet as a tree on a terminal: what is in it equals the JSON, and nothing is wider than its terminal."""

import csv
import io
import re

import pytest
from torch import nn

import terminal
from striate.measuring import Comparison, measure, page
from striate.measuring.layer_tree import COLUMNS, tree
from striate.models.catalog import build
from striate.text import wide

NETS = ["lenet5", "resnet18", "unet", "googlenet", "densenet121", "fcn1d", "voxnet", "capsnet"]


@pytest.fixture(scope="module")
def sheets():
    return {name: measure(name) for name in NETS}


def rows_of(nodes):
    """The rows that nodes stand for, none twice."""
    return [i for node in nodes for i in node.rows]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("depth", [None, 1, 2])
def test_a_tree_has_every_row_once(sheets, name, depth):
    sheet = sheets[name]

    def check(nodes, rows):
        assert sorted(rows_of(nodes)) == sorted(rows)
        for node in nodes:
            if node.children:
                one = len(node.rows) // node.copies
                check(node.children, node.rows[:one])

    check(tree(sheet.layers, sheet.kinds, depth), range(len(sheet.layers)))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("width", [20, 60, 80, 120])
def test_nothing_is_wider_than_its_terminal(sheets, name, width):
    lines = sheets[name].as_text(width=width).splitlines()
    end = next(i for i, line in enumerate(lines) if line.startswith("total"))
    # Below the table a single word, such as the name of a function, may be longer than twenty letters.
    assert max(map(wide, lines if width >= 60 else lines[1 : end + 1])) <= width


def test_the_recorded_text_of_sixty_and_of_a_hundred_and_twenty_columns():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()),
        nn.Flatten(),
        nn.Linear(256, 3),
    )
    sheet = measure(net, (1, 8, 8))
    narrow = sheet.as_text(width=60).replace("\xa0", " ").splitlines()
    assert narrow[:9] == [
        "Sequential, input 1x8x8",
        "layer    kind        output  params    MACs   memory  field",
        "0        Conv2d      4x8x8       40   2,304  1.02 kB    3x3",
        "1..2 x2  Sequential  4x8x8      296  18,432   4.1 kB    7x7",
        "  0      Conv2d      4x8x8      148   9,216  1.02 kB    5x5",
        "  1      ReLU        4x8x8        0       0  1.02 kB    5x5",
        "3        Flatten     256          0       0      0 B",
        "4        Linear      3          771     768     12 B",
        "total                         1,107  21,504  5.13 kB",
    ]
    broad = sheet.as_text(width=120).replace("\xa0", " ").splitlines()
    assert (
        broad[1]
        == "layer    kind        output  params  connections    MACs   memory  field  stride  start"
    )
    assert (
        broad[3]
        == "1..2 x2  Sequential  4x8x8      296       18,944  18,432   4.1 kB    7x7     1x1  -3,-3"
    )
    assert "Left out" in "\n".join(narrow)
    assert "Left out" not in "\n".join(broad)


def test_depth_closes_modules(sheets):
    lines = sheets["resnet18"].as_text(depth=1).splitlines()
    names = [
        line.split()[0]
        for line in lines[2 : lines.index(next(x for x in lines if x.startswith("total")))]
    ]
    assert names == [
        "conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool", "flatten", "fc",
    ]  # fmt: skip
    assert any(line.startswith("  0 ") for line in sheets["resnet18"].as_text(depth=2).splitlines())


def test_modules_are_called_by_their_names(sheets):
    pooled = [
        line.split()
        for line in sheets["resnet18"].as_text().splitlines()
        if line.startswith("avgpool")
    ]
    assert [line[:2] for line in pooled] == [["avgpool", "GlobalAvgPool"]]
    words = sheets["unet"].as_text()
    assert re.search(r"^  crop +function", words, re.MULTILINE)
    assert not re.search(r"^ *pad +function", words, re.MULTILINE)
    assert "ModuleList" not in words
    assert re.search(r"^up\.0 ", words, re.MULTILINE)


@pytest.mark.parametrize("name", NETS)
def test_every_column_is_defined_and_totals_equal_the_json(sheets, name):
    sheet = sheets[name]
    text = sheet.as_text().replace("\xa0", " ")
    for column in COLUMNS:
        assert f"\n{column.title}: " in text
    total = sheet.as_dict()["totals"]
    assert f"Parameters: {total['params']:,}" in text
    last = next(line for line in text.splitlines() if line.startswith("total"))
    shown = re.findall(r"([\d.,]+)(?: ([kMGT]))?", last.removesuffix("B"))
    factors = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    values = [float(n.replace(",", "")) * factors[unit] for n, unit in shown]
    expected = [total["params"], total["connections"], total["macs"], total["activation_bytes"]]
    if sheet.counts.unconnected:
        del expected[1]
    assert values == pytest.approx(expected, rel=5.1e-3)


def test_coordinates_of_a_csv_have_columns_of_their_own(sheets):
    rows = list(csv.DictReader(io.StringIO(sheets["resnet18"].as_csv())))
    assert [key for key in rows[0] if key.startswith("field")] == [
        "field_size_y", "field_size_x", "field_stride_y", "field_stride_x", "field_start_y", "field_start_x",
    ]  # fmt: skip
    for row, layer in zip(rows, sheets["resnet18"].as_dict()["layers"], strict=True):
        assert row["module"] == layer["module"]
        field = layer["field"] or {"size": ["", ""], "start": ["", ""]}
        assert [row["field_size_y"], row["field_size_x"]] == list(map(str, field["size"]))
        assert [row["field_start_y"], row["field_start_x"]] == list(map(str, field["start"]))
    assert "field_size_z" in sheets["voxnet"].as_csv().splitlines()[0]
    assert "field_size_x,field_stride_x" in sheets["fcn1d"].as_csv().splitlines()[0]
    mlp = measure(nn.Linear(3, 2), (3,)).as_csv().splitlines()
    assert len({line.count(",") for line in mlp}) == 1


@pytest.mark.parametrize("width", [40, 60, 80, 120, None])
@pytest.mark.parametrize("count", [2, 3, 6])
def test_nets_side_by_side_stand_at_the_right_and_fit(sheets, width, count):
    text = Comparison(tuple(list(sheets.values())[:count])).as_text(width=width)
    lines = [line for line in text.split("\n") if line]
    if width is not None and width > 40:
        assert max(map(wide, lines)) <= width
    table = text.split("\n\n")[0].split("\n")
    ends = {wide(line) for line in table[:6]}
    assert len(ends) <= 2  # all but where the ratio has no value


def test_a_page_has_headings_landmarks_inputs_and_no_markup_of_a_name(sheets):
    class Named(nn.Sequential):
        pass

    Named.__name__ = "<b>Net</b>"
    written = page([measure(Named(nn.Linear(3, 2)), (3,)), sheets["lenet5"], sheets["resnet18"]])
    for mark in (
        "<header>",
        "<main>",
        "<footer>",
        "<h1>",
        "<nav",
        "Side by side",
        "input 1x28x28",
        'lang="en"',
    ):
        assert mark in written
    assert written.count("<h1>") == 1
    assert written.count("<h2>") == 4
    assert "<b>Net</b>" not in written
    assert "Side by side" not in page([sheets["lenet5"]])


def test_a_net_of_one_layer_and_one_with_a_frozen_one():
    assert "total" in measure(nn.Identity(), (3, 2, 2)).as_text(width=60)
    net = build("lenet5")
    net.get_submodule("conv1").requires_grad_(requires_grad=False)
    assert "156 frozen (conv1)" in measure(net).as_text(width=200)
    assert "frozen (s1, s2, s3)." in measure("neocognitron").as_text(width=200)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [20, 60, 120])
def test_measure_in_a_terminal(columns):
    code, found = terminal.run(columns, "measure", "resnet18", "--depth", "1")
    assert code == 0
    rows = [line for line in found if re.match(r"(layer|conv1|fc|total) ", line)]
    assert len(rows) >= 4
    assert max(map(wide, rows)) <= columns
    assert ("connections" in found[1]) == (columns == 120)
