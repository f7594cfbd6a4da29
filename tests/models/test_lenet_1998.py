"""LeNet-1, LeNet-4 and LeNet-5 of 1998: layer tables, connection tables, outputs and loss, all against the papers."""

import csv
import math

import pytest
import torch
from torch.nn import functional as F

import striate
from striate.errors import ShapeError
from striate.layers.local import TabledConv
from striate.models.catalog import build
from striate.models.lenet_1998 import LENET1_C3, LENET4_C3, LENET4_C5, LENET5_C3, SPECS, codes

# LeCun et al. 1998, sec. II-B: layer, maps, side, trainable parameters, connections.
LENET5 = [
    ("c1", 6, 28, 156, 122_304),
    ("s2", 6, 14, 12, 5_880),
    ("c3", 16, 10, 1_516, 151_600),
    ("s4", 16, 5, 32, 2_000),
    ("c5", 120, 1, 48_120, 48_120),
    ("f6", 84, 1, 10_164, 10_164),
    ("output", 10, 1, 0, 840),
]


def c3(net):
    layer = net.get_submodule("c3")
    assert isinstance(layer, TabledConv)
    return layer


def layers(name):
    """What counts connections: layer, maps, side, parameters, connections."""
    sheet = striate.measure(build(name, init=False))
    return [
        (row.path, row.output[0], (*row.output, 1)[1], row.params, row.connections)
        for row in sheet.layers
        if row.connections
    ], sheet.totals


def test_lenet5_is_the_papers_layer_by_layer(shared):
    rows, totals = layers("lenet5_1998")
    assert rows == LENET5
    assert (totals.trainable, totals.params, totals.connections) == (60_000, 60_000, 340_908)
    with (shared / "figures" / "architectures.csv").open(newline="") as file:
        table = [row for row in csv.DictReader(file) if row["table"] == "LeNet-5"]
    printed = {row["layer"].lower(): row for row in table}
    for layer, maps, side, params, connections in LENET5:
        row = printed[layer]
        assert (int(row["maps"]), row["output_size"]) == (maps, f"{side}x{side}")
        assert (int(row["params"]), int(row["connections"])) == (params, connections)


def test_lenet5_reads_what_table_1_says(shared):
    with (shared / "figures" / "architectures.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["table"] == "LeNet-5 C3 connections"]
    printed = [tuple(int(i) for i in r["detail"].split(":")[1].split()) for r in rows]
    assert list(LENET5_C3) == printed
    assert sum(map(len, LENET5_C3)) == 60


def test_lenet1_is_the_net_of_1990():
    # LeCun et al. 1990: 98,442 connections, 2,578 parameters; twenty pairs follow from the second.
    c1, s2, c3, s4, output = 4 * 26, 4 * 2, 20 * 25 + 12, 12 * 2, 10 * (12 * 16 + 1)
    assert c1 + s2 + c3 + s4 + output == 2_578
    rows, totals = layers("lenet1")
    assert rows == [
        ("c1", 4, 24, c1, c1 * 24 * 24),
        ("s2", 4, 12, s2, 4 * 5 * 12 * 12),
        ("c3", 12, 8, c3, c3 * 8 * 8),
        ("s4", 12, 4, s4, 12 * 5 * 4 * 4),
        ("output", 10, 1, output, output),
    ]
    assert (totals.params, totals.connections) == (2_578, 98_442)
    assert sum(map(len, LENET1_C3)) == 20
    # LeCun et al. 1998, sec. III-C: about 2,600 and 100,000.
    assert (round(totals.params, -2), round(totals.connections, -4)) == (2_600, 100_000)


def test_lenet4_has_the_figures_that_its_source_rounds():
    # 8 subsampling maps in pairs on 4; 60 pairs into 16; 560 pairs of 5x5 into 120; ten outputs.
    c1, s2, c3, s4, c5, output = 4 * 26, 8 * 2, 60 * 25 + 16, 16 * 2, 560 * 25 + 120, 10 * 121
    rows, totals = layers("lenet4")
    assert rows == [
        ("c1", 4, 28, c1, c1 * 28 * 28),
        ("s2", 8, 14, s2, 8 * 5 * 14 * 14),
        ("c3", 16, 10, c3, c3 * 10 * 10),
        ("s4", 16, 5, s4, 16 * 5 * 5 * 5),
        ("c5", 120, 1, c5, c5),
        ("output", 10, 1, output, output),
    ]
    assert (totals.params, totals.connections) == (16_998, 258_306)
    assert (round(totals.params, -3), round(totals.connections, -4)) == (17_000, 260_000)
    reads = [sum(i in maps for maps in LENET4_C3) for i in range(8)]
    assert max(reads) - min(reads) <= 1
    assert {sum(i in maps for maps in LENET4_C5) for i in range(16)} == {35}


def squash(a):
    return 1.7159 * torch.tanh(2 / 3 * a)


def tabled(x, weight, bias, table):
    """One output map at a time, one kernel a pair."""
    kernels = iter(weight)
    return torch.stack(
        [
            sum(F.conv2d(x[:, i : i + 1], next(kernels)[None, None])[:, 0] for i in maps) + b
            for maps, b in zip(table, bias, strict=True)
        ],
        dim=1,
    )


def subsampled(x, weight, bias):
    x = x.repeat_interleave(len(bias) // x.shape[1], dim=1)
    total = x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]
    return total * weight.reshape(-1, 1, 1) + bias.reshape(-1, 1, 1)


def trunk(s, x, table):
    x = squash(F.conv2d(x, s["c1.weight"], s["c1.bias"]))
    x = squash(subsampled(x, s["s2.weight"], s["s2.bias"]))
    x = squash(tabled(x, s["c3.weight"], s["c3.bias"], table))
    return squash(subsampled(x, s["s4.weight"], s["s4.bias"]))


def lenet1(s, x):
    return F.linear(trunk(s, x, LENET1_C3).flatten(1), s["output.weight"], s["output.bias"])


def lenet4(s, x):
    x = squash(tabled(trunk(s, x, LENET4_C3), s["c5.weight"], s["c5.bias"], LENET4_C5))
    return F.linear(x.flatten(1), s["output.weight"], s["output.bias"])


def lenet5(s, x):
    x = squash(F.conv2d(trunk(s, x, LENET5_C3), s["c5.weight"], s["c5.bias"])).flatten(1)
    x = squash(F.linear(x, s["f6.weight"], s["f6.bias"]))
    return -(x[:, None] - s["output.weight"]).square().sum(-1)


@pytest.mark.parametrize(
    ("name", "reference"), [("lenet1", lenet1), ("lenet4", lenet4), ("lenet5_1998", lenet5)]
)
def test_it_computes_what_the_paper_says(name, reference):
    net = build(name, generator=torch.Generator().manual_seed(2)).double().eval()
    x = torch.randn(2, *net.input_shape, dtype=torch.float64, generator=torch.Generator())
    with torch.no_grad():
        torch.testing.assert_close(net(x), reference(net.state_dict(), x))
        if SPECS[name].side == 32:
            inner = build(name, size=28).double().eval()
            inner.load_state_dict(net.state_dict())
            middle = x[:, :, 2:-2, 2:-2]
            torch.testing.assert_close(inner(middle), net(F.pad(middle, [2] * 4)))


def test_the_codes_of_ten_digits_are_bitmaps_of_7_by_12():
    drawn = codes(84, 10)
    assert drawn.shape == (10, 84)
    assert set(drawn.unique().tolist()) == {-1, 1}
    one = drawn[1].view(12, 7)
    assert (one[:, 3] == 1).all()
    assert one[-1].tolist() == [-1, 1, 1, 1, 1, 1, -1]
    assert torch.equal(drawn[8].view(12, 7), drawn[8].view(12, 7).flip(1))
    assert torch.equal(codes(84, 7), drawn[:7])


@pytest.mark.parametrize(
    ("units", "classes"), [(84, 11), (84, 1000), (42, 10), (1, 2), (10, 1000), (5, 26), (1, 1)]
)
def test_other_codes_are_all_different_and_always_the_same(units, classes):
    made = codes(units, classes)
    assert made.shape == (classes, units)
    assert set(made.unique().tolist()) <= {-1, 1}
    assert len(made.unique(dim=0)) == classes
    assert torch.equal(made, codes(units, classes))


def test_the_objective_is_equation_9():
    net = build("lenet5_1998", j=3.0, generator=torch.Generator().manual_seed(0)).double()
    x = torch.randn(3, 1, 32, 32, dtype=torch.float64, generator=torch.Generator())
    target = torch.tensor([4, 0, 9])
    answer, loss = net.objective(x, target, F.cross_entropy)
    torch.testing.assert_close(answer, net(x))
    by_hand = 0.0
    for distances, right in zip((-answer).tolist(), target.tolist(), strict=True):
        rivals = math.exp(-3) + sum(math.exp(-d) for d in distances)
        by_hand += (distances[right] + math.log(rivals)) / 3
    assert loss.item() == pytest.approx(by_hand)


def test_a_new_head_has_codes_for_its_classes():
    net = build("lenet5_1998")
    net.reset_head(200)
    assert torch.equal(net.get_buffer("output.weight"), codes(84, 200))
    narrow = build("lenet5_1998", width=0.05, num_classes=3)
    with pytest.raises(ShapeError) as error:
        narrow.reset_head(17)
    assert str(error.value) == (
        "codes of 4 numbers tell 16 classes apart, not 17; build with a larger width="
    )


def test_first_weights_are_uniform_by_the_inputs_of_a_unit():
    net = build("lenet5_1998", generator=torch.Generator().manual_seed(0))
    inputs = {"c1": 25, "s2": 4, "s4": 4, "c5": 400, "f6": 120}
    for name, count in inputs.items():
        largest = net.get_parameter(f"{name}.weight").abs().max().item()
        assert 0.5 * 2.4 / count < largest <= 2.4 / count, name
    rows = c3(net).weight.split([len(maps) for maps in LENET5_C3])
    for row in rows:
        assert 0.9 * 2.4 / row.numel() < row.abs().max().item() <= 2.4 / row.numel()


@pytest.mark.parametrize("width", [0.05, 0.3, 0.5, 1.7])
@pytest.mark.parametrize("name", SPECS)
def test_every_map_is_read_at_any_width(name, width):
    net = build(name, width=width, init=False)
    table = c3(net).table
    assert {i for maps in table for i in maps} == set(range(net.widths[0]))
    assert all(table)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        (
            "lenet1",
            32,
            (
                "lenet1: its last maps are 4x4, which come from pictures of 28x28; got 32x32; "
                "resize with size=28"
            ),
        ),
        (
            "lenet5_1998",
            (32, 28),
            (
                "lenet5_1998: its last maps are 5x5, which come from pictures of 28x28 or 32x32; "
                "got 32x28; resize with size=32"
            ),
        ),
    ],
)
def test_a_size_that_does_not_fit_says_which_does(name, size, message):
    with pytest.raises(ShapeError) as error:
        build(name, size=size)
    assert str(error.value) == message
