"""Sheets of known nets by hand count, of odd nets by hand count, and what a failure says."""

import json
import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.errors import ArgumentError, ShapeError
from striate.layers.pool import GlobalAvgPool
from striate.measuring import Comparison, measure, read_shape
from striate.models.catalog import CATALOG, build, entry


def only(net, shape, op):
    """The one row of a function."""
    (row,) = [layer for layer in measure(net, shape).layers if layer.op == op]
    return row


def rows(sheet):
    return {layer.path: layer for layer in sheet.layers}


def test_lenet_row_by_row():
    sheet = measure("lenet5", (1, 32, 32))
    hand = [
        ("conv1", "conv2d", (6, 28, 28), 6 * 26, 26 * 4704, 25 * 4704, 4 * 4704),
        ("pool1", "max_pool2d", (6, 14, 14), 0, 4 * 1176, 0, 4 * 1176),
        ("act1", "relu", (6, 14, 14), 0, 0, 0, 0),
        ("conv2", "conv2d", (16, 10, 10), 16 * 151, 151 * 1600, 150 * 1600, 4 * 1600),
        ("pool2", "max_pool2d", (16, 5, 5), 0, 4 * 400, 0, 4 * 400),
        ("act2", "relu", (16, 5, 5), 0, 0, 0, 0),
        ("flatten", "flatten", (400,), 0, 0, 0, 0),
        ("fc1", "linear", (120,), 401 * 120, 401 * 120, 400 * 120, 480),
        ("act3", "relu", (120,), 0, 0, 0, 0),
        ("fc2", "linear", (84,), 121 * 84, 121 * 84, 120 * 84, 336),
        ("act4", "relu", (84,), 0, 0, 0, 0),
        ("fc3", "linear", (10,), 850, 850, 840, 40),
    ]
    assert [
        (r.path, r.op, r.output, r.params, r.connections, r.macs, r.bytes) for r in sheet.layers
    ] == hand
    # C1 and C5 of LeCun et al. 1998 are these two layers: 122,304 and 48,120 connections.
    assert rows(sheet)["conv1"].connections == 122_304
    assert rows(sheet)["fc1"].connections == 48_120
    assert (sheet.totals.params, sheet.totals.trainable) == (61_706, 61_706)
    assert sheet.totals.macs == sheet.counts.formula == sheet.counts.flop_counter == 416_520
    assert sheet.ran_on == "meta"


@pytest.mark.catalogue
@pytest.mark.parametrize("name", sorted(CATALOG))
def test_the_catalogue_prints_what_the_sheet_counts(name):
    sheet, row = measure(name), entry(name)
    assert sheet.net == name
    assert sheet.inputs == (row.input,)
    assert sheet.totals.macs == sheet.counts.flop_counter == row.macs
    assert sheet.totals.params == row.params
    # An answer leaves out what only learning or drawing reads: a decoder, biases of what is imagined.
    unread = {"capsnet": 1_411_344, "cdbn": 25}.get(name, 0)
    assert sum(layer.params for layer in sheet.layers) == row.params - unread
    assert (sheet.counts.disagree, sheet.counts.uncounted) == ((), ())
    # A graph's nodes have no places on a grid, so its nets have no fields.
    faults = {"unused", "gradient", "softmax"} | (
        {"unknown"} if row.tasks != ("forecast",) else set()
    )
    assert [found for found in sheet.findings if found.kind in faults] == []


def test_resnet18_by_formula():
    stem = 64 * 112 * 112 * 3 * 49
    stages = sum(
        (width * side * side) * 9 * width * 4
        - (width * side * side) * 9 * width // 2 * (stage > 0)
        + (width * side * side) * (width // 2) * (stage > 0)
        for stage, (width, side) in enumerate([(64, 56), (128, 28), (256, 14), (512, 7)])
    )
    assert stem + stages + 512_000 == 1_814_073_344 == measure("resnet18").totals.macs
    assert measure("resnet18").totals.params == 11_689_512


def test_json_has_the_shape_of_the_design():
    sheet = json.loads(json.dumps(measure("lenet5").as_dict()))
    assert sheet.keys() == {
        "net", "inputs", "layers", "totals", "shares", "counts", "field", "unread", "findings", "ran_on",
        "unfinished",
    }  # fmt: skip
    assert sheet["inputs"] == [[1, 28, 28]]
    assert sheet["layers"][0] == {
        "path": "conv1",
        "module": "Conv2d",
        "op": "conv2d",
        "output": [6, 28, 28],
        "params": 156,
        "trainable": 156,
        "connections": 122_304,
        "macs": 117_600,
        "bytes": 18_816,
        "field": {"size": [5, 5], "stride": [1, 1], "start": [-2, -2]},
    }
    assert sheet["field"] is None
    assert sheet["unread"] == {"count": 0, "of": 784}
    assert sheet["totals"] == {
        "params": 61_706,
        "trainable": 61_706,
        "connections": 429_342,
        "macs": 416_520,
        "activation_bytes": 32_376,
    }
    assert sheet["counts"] == {
        "formula": 416_520, "flop_counter": 416_520, "uncounted": [], "disagree": [], "unconnected": [],
    }  # fmt: skip


def test_text_and_html_show_the_rows_and_the_totals():
    sheet = measure("lenet5")
    text = sheet.as_text().replace("\xa0", " ")
    assert text.splitlines()[0] == "lenet5, input 1x28x28"
    assert (
        "conv2    Conv2d            16x10x10   2,416      241,600  240,000   6.4 kB  14x14" in text
    )
    assert "total                                61,706      429,342  416,520  32.4 kB" in text
    assert "One multiply" not in text
    assert "padding cells included" in text
    assert text.endswith(
        "Two counts of the MACs agree: by formula and by torch.utils.flop_counter."
    )
    assert sheet._repr_html_().count("<tr") == len(sheet.layers) + 2
    assert "Parameters: 61,706, all trainable." in text


@pytest.mark.parametrize(
    ("layer", "shape", "output", "macs", "connections"),
    [
        (nn.Conv1d(2, 6, 5, stride=2), (2, 21), (6, 9), 6 * 9 * 10, 6 * 9 * 11),
        (nn.Conv2d(4, 8, 3, groups=2), (4, 7, 7), (8, 5, 5), 200 * 18, 200 * 19),
        (nn.Conv2d(4, 4, 3, groups=4, bias=False), (4, 5, 5), (4, 3, 3), 36 * 9, 36 * 9),
        (nn.Conv2d(1, 2, (3, 5), dilation=2, padding=1), (1, 9, 11), (2, 7, 5), 70 * 15, 70 * 16),
        (nn.Conv2d(3, 2, 3, padding="same"), (3, 4, 4), (2, 4, 4), 32 * 27, 32 * 28),
        (nn.Conv3d(2, 3, 3, padding=1), (2, 4, 5, 6), (3, 4, 5, 6), 360 * 54, 360 * 55),
        # Each of 2x4x4 values is spread over 3 maps of 3x3.
        (
            nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1),
            (2, 4, 4),
            (3, 7, 7),
            32 * 27,
            32 * 27 + 147,
        ),
        (
            nn.ConvTranspose1d(4, 6, 4, stride=2, groups=2, bias=False),
            (4, 5),
            (6, 12),
            20 * 3 * 4,
            20 * 3 * 4,
        ),
        (nn.ConvTranspose3d(1, 2, 2, stride=2), (1, 2, 2, 2), (2, 4, 4, 4), 8 * 16, 8 * 16 + 128),
        (nn.Linear(7, 5), (3, 7), (3, 5), 15 * 7, 15 * 8),
        (nn.MaxPool2d(3, stride=2, padding=1), (2, 8, 8), (2, 4, 4), 0, 32 * 9),
        (nn.AvgPool1d(4), (2, 8), (2, 2), 0, 4 * 4),
        (nn.AvgPool3d((1, 2, 2)), (1, 2, 4, 4), (1, 2, 2, 2), 0, 8 * 4),
        (nn.LPPool2d(2, 2), (1, 4, 4), (1, 2, 2), 0, 4 * 4),
        (nn.AdaptiveAvgPool2d(1), (3, 5, 7), (3, 1, 1), 0, 3 * 35),
        # Windows of 5 into 3 cover 2, 3 and 2 inputs.
        (nn.AdaptiveMaxPool1d(3), (2, 5), (2, 3), 0, 2 * 7),
    ],
)
def test_layers_by_hand(layer, shape, output, macs, connections):
    sheet = measure(nn.Sequential(layer), shape)
    row = next(row for row in sheet.layers if row.path == "0" and (row.macs or row.connections))
    assert (row.output, row.macs, row.connections) == (output, macs, connections)
    assert sheet.counts.flop_counter == sheet.counts.formula == macs
    assert sheet.counts.disagree == ()
    assert sheet.counts.uncounted == ()
    assert row.params == sum(p.numel() for p in layer.parameters())


class Pooled(nn.Module):
    """Four maps of 6x6 places, then `pool`."""

    def __init__(self, pool):
        super().__init__()
        self.conv, self.pool = nn.Conv2d(3, 4, 3), pool

    def forward(self, x):
        return self.pool(self.conv(x))


GLOBAL = {
    "mean over named axes": lambda x: x.mean([2, 3]),
    "counted from the end": lambda x: torch.mean(x, dim=(-2, -1), keepdim=True),
    "a sum, divided": lambda x: x.sum((2, 3)) / 36,
    "flattened": lambda x: x.flatten(2).mean(-1),
    "channels last": lambda x: x.permute(0, 2, 3, 1).mean((1, 2)),
    "as tokens": lambda x: x.flatten(2).transpose(1, 2).mean(1),
    "adaptive, a function": lambda x: F.adaptive_avg_pool2d(x, 1),
    "adaptive, a layer": nn.AdaptiveAvgPool2d(1),
    "ours": GlobalAvgPool(),
    "a window of all": lambda x: F.avg_pool2d(x, x.shape[-2:]),
    "generalised mean": lambda x: x.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3),
    "a gate of its own mean": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "largest": lambda x: x.amax((2, 3)),
    "largest, flattened": lambda x: x.flatten(2).max(2).values,
    "norm": lambda x: x.norm(dim=(2, 3)),
    "blocks of 2x2": lambda x: x.view(-1, 4, 3, 2, 3, 2).amax((3, 5)),
    "random windows of 2x2": nn.FractionalMaxPool2d(2, output_size=3),
    "after a grid": lambda x: F.grid_sample(x, x.new_zeros(1, 6, 6, 2), align_corners=False).mean(
        (2, 3)
    ),
}


@pytest.mark.parametrize("pool", GLOBAL.values(), ids=GLOBAL)
def test_pooling_has_the_same_connections_however_it_is_written(pool):
    sheet = measure(Pooled(pool), (3, 8, 8))
    assert sheet.totals.connections - sheet.layers[0].connections == 4 * 36


@pytest.mark.parametrize(
    "reduce",
    [
        lambda x: x.mean(1),
        lambda x: x.mean((1, 2, 3)),
        lambda x: x.mean(),
        lambda x: x.view(1, 2, -1).mean(-1),
        lambda x: x.flatten(2).argmax(2),
        lambda x: x.amax((2, 3), keepdim=True).norm(dim=1),
    ],
    ids=["channels", "maps", "everything", "groups", "place", "length"],
)
def test_what_mixes_channels_or_names_a_place_is_no_pooling(reduce):
    last = measure(Pooled(reduce), (3, 8, 8)).layers[-1]
    assert last.connections == 0


def test_pooling_over_time_and_over_rows_alone():
    rows_alone = measure(Pooled(lambda x: x.mean(3).mean(2)), (3, 8, 8))
    assert [row.connections for row in rows_alone.layers[1:]] == [4 * 36, 4 * 6]
    # Waibel et al. 1989, figure 2: each of 3 answers adds up 9 places in time.
    assert [row.connections for row in measure("tdnn").layers if row.op == "sum"] == [3 * 9]
    mean = only("resnet18", None, "sum")
    assert mean.connections == 512 * 7 * 7


class Functional(nn.Module):
    """A convolution without a module, and one parameter nobody reads."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(4, 2, 3, 3), requires_grad=False)
        self.spare = nn.ModuleDict({"old": nn.Linear(3, 2)})

    def forward(self, x):
        return F.conv2d(input=x, weight=self.kernel, stride=2, padding=1)


def test_a_functional_convolution_and_weights_that_are_never_read():
    sheet = measure(Functional(), (2, 6, 6))
    (row,) = sheet.layers
    assert (row.path, row.op, row.output, row.params, row.trainable) == (
        "",
        "conv2d",
        (4, 3, 3),
        72,
        0,
    )
    assert (row.macs, row.connections) == (36 * 18, 36 * 18)
    assert (sheet.totals.params, sheet.totals.trainable) == (80, 8)
    (finding,) = sheet.findings
    assert (finding.kind, finding.path) == ("unused", "spare.old")
    assert "spare.old: 8 parameters are never read; remove them or use them in forward" in str(
        sheet
    )


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return torch.cat([self.layer(self.layer(x)), x], -1)


def test_a_shared_layer_stands_twice_and_its_weights_count_once():
    sheet = measure(Shared(), (4,))
    assert [(r.path, r.op, r.params, r.macs) for r in sheet.layers] == [
        ("layer", "linear", 20, 16),
        ("layer", "linear", 0, 16),
        ("", "cat", 0, 0),
    ]
    assert sheet.totals.params == 20
    assert sheet.totals.macs == 32


class Two(nn.Module):
    """Two inputs of different rank, two outputs."""

    def __init__(self):
        super().__init__()
        self.image = nn.Conv2d(1, 2, 3)
        self.words = nn.Linear(5, 2)

    def forward(self, image, words):
        maps = self.image(image)
        return {"maps": maps, "score": [maps.mean((2, 3)) + self.words(words)]}


def test_several_inputs_and_outputs():
    sheet = measure(Two(), [(1, 6, 6), (5,)])
    assert sheet.inputs == ((1, 6, 6), (5,))
    assert sheet.totals.macs == 32 * 9 + 10
    assert sheet.as_text().startswith("Two, input 1x6x6, 5\n")


def test_tensors_stand_for_the_shape_and_type_of_an_item():
    net = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2))
    sheet = measure(net, torch.zeros(8, 3, dtype=torch.long))
    assert sheet.inputs == ((3,),)
    assert [(r.op, r.output) for r in sheet.layers] == [("embedding", (3, 4)), ("linear", (3, 2))]


def test_multi_head_attention():
    length, width = 5, 8

    class Attend(nn.Module):
        def __init__(self):
            super().__init__()
            self.attend = nn.MultiheadAttention(width, 2, batch_first=True)

        def forward(self, x):
            return self.attend(x, x, x, need_weights=False)[0]

    sheet = measure(Attend(), (length, width))
    hand = 4 * length * width * width + 2 * length * length * width
    assert sheet.totals.macs == sheet.counts.formula == sheet.counts.flop_counter == hand
    assert only(Attend(), (length, width), "multi_head_attention_forward").params == 4 * 8 * 9
    assert sheet.counts.disagree == ()


def attention(x):
    return F.scaled_dot_product_attention(x, x[:, :3], x[:, :3])


def itself(x):
    return x @ x.transpose(-1, -2)


def batched(x):
    return torch.bmm(x, x.mT)


def contracted(x):
    return torch.einsum("bik,bjk->bij", x, x)


def by_element(x):
    return torch.einsum("bik,bik->bik", x, x) + 2 * x + x.softmax(-1)


def diagonal(x):
    return torch.einsum("bii->bi", x)


def added(x):
    return torch.baddbmm(x, x, x)


@pytest.mark.parametrize(
    ("call", "shape", "macs"),
    [
        (attention, (6, 4), 6 * 3 * 4 * 2),
        (itself, (3, 4), 9 * 4),
        (batched, (3, 4), 9 * 4),
        (contracted, (3, 4), 9 * 4),
        (by_element, (3, 4), 0),
        (diagonal, (4, 4), 0),
        (added, (4, 4), 64),
    ],
)
def test_products_and_attention(call, shape, macs):
    class Net(nn.Module):
        def forward(self, x):
            return call(x)

    sheet = measure(Net(), shape)
    assert sheet.totals.macs == sheet.counts.formula == sheet.counts.flop_counter == macs
    assert sheet.counts.uncounted == ()
    assert sheet.counts.disagree == ()


def test_recurrent_layers():
    sheet = measure(nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True), (7, 3))
    hand = 7 * 2 * 16 * ((3 + 4) + (8 + 4))
    assert sheet.totals.macs == sheet.counts.flop_counter == hand
    assert sheet.totals.params == sheet.layers[0].params


def test_what_one_count_or_neither_knows_is_said():
    class Net(nn.Module):
        def forward(self, x):
            return torch.cdist(torch.mv(x[0], x[0, 0])[None], x[0, :1])

    sheet = measure(Net(), (4, 4))
    assert sheet.counts.uncounted == ("cdist",)
    (row,) = sheet.counts.disagree
    assert (row.op, row.formula, row.flop_counter) == ("mv", 16, 0)
    text = str(sheet)
    assert "MACs by formula 16, by torch.utils.flop_counter 0: (net) mv 16 against 0." in text
    assert "The MACs of these are unknown: cdist." in text


def test_a_function_that_only_the_second_count_knows():
    class Net(nn.Module):
        def forward(self, x):
            return torch.chain_matmul(x[0], x[0], x[0])

    sheet = measure(Net(), (4, 4))
    assert sheet.totals.macs == sheet.counts.flop_counter == 128
    assert sheet.counts.formula == 0
    assert [(r.op, r.formula, r.flop_counter) for r in sheet.counts.disagree] == [
        ("chain_matmul", None, 128)
    ]


class Choosy(nn.Module):
    """Control flow that depends on numbers: no shapes without them."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(self.fc(x)) if x.sum().item() >= 0 else x


def test_a_net_that_needs_numbers_is_run_on_them():
    net = Choosy()
    sheet = measure(net, (4,))
    assert sheet.ran_on == "cpu"
    assert [(r.path, r.op) for r in sheet.layers][-2:] == [("fc", "linear"), ("norm", "batch_norm")]
    assert sheet.totals.macs == 12
    assert net.training
    assert net.norm.num_batches_tracked == 0


def test_the_net_is_as_before():
    net = build("lenet5").train()
    first, last = net.get_submodule("conv1").eval(), net.get_submodule("fc3")
    state = {key: value.clone() for key, value in net.state_dict().items()}
    seed = torch.get_rng_state()
    measure(net)
    with pytest.raises(ShapeError):
        measure(net, (1, 40, 40))
    assert (first.training, last.training) == (False, True)
    assert torch.equal(torch.get_rng_state(), seed)
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert all(p.grad is None and p.device.type == "cpu" for p in net.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


@pytest.mark.parametrize(
    ("net", "shape", "error", "message"),
    [
        (
            nn.Sequential(nn.Conv2d(1, 16, 5), nn.Flatten(), nn.Linear(400, 10)),
            (1, 10, 10),
            ShapeError,
            "2 (Linear): expects 400 features, got 16x6x6 = 576, at input 1x10x10: build it with in_features=576, use input 9x9, or pool to 5x5 before it (AdaptiveAvgPool2d(5))",
        ),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3)),
            (1, 8, 8),
            ShapeError,
            "0 (Conv2d): expects 3 channels, got 1 in 1x8x8, at input 1x8x8: build it with 1 channel, or give 3 channels",
        ),
        (
            nn.Sequential(nn.Conv2d(4, 4, 3, groups=2)),
            (6, 8, 8),
            ShapeError,
            "0 (Conv2d): expects 4 channels, got 6 in 6x8x8, at input 6x8x8: build it with 6 channels, or give 4 channels",
        ),
        (
            nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(1, 4, 5)),
            (1, 8, 8),
            ShapeError,
            "1 (Conv2d): its kernel 5x5 does not fit maps of 4x4, at input 1x8x8: use input 10x10 or more",
        ),
        (
            nn.Sequential(nn.ConvTranspose2d(3, 4, 3)),
            (1, 8, 8),
            ShapeError,
            "0 (ConvTranspose2d): expects 3 channels, got 1 in 1x8x8, at input 1x8x8: build it with 1 channel, or give 3 channels",
        ),
        (
            nn.Sequential(nn.BatchNorm2d(3)),
            (4, 8, 8),
            ShapeError,
            "0 (BatchNorm2d): expects 3 channels, got 4 in 4x8x8, at input 4x8x8: build it with 4 channels, or give 3 channels",
        ),
    ],
)
def test_a_net_that_does_not_fit_names_the_layer_and_both_sizes(net, shape, error, message):
    with pytest.raises(error) as caught:
        measure(net, shape)
    assert str(caught.value) == message
    assert caught.value.exit_status == 2


def test_a_shape_is_needed_and_has_a_form():
    with pytest.raises(ArgumentError) as error:
        measure(nn.Linear(2, 2))
    assert str(error.value) == (
        "the net does not say what it reads; give the shape of one input without its batch axis, "
        "such as measure(net, (3, 224, 224))"
    )
    assert read_shape("3x224x224") == (3, 224, 224)
    assert measure(nn.Linear(2, 2), "2").inputs == ((2,),)
    with pytest.raises(ShapeError) as error:
        read_shape("3,224,224")
    assert str(error.value) == (
        "an input is written like 3x224x224 (channels, height, width); got '3,224,224'"
    )
    with pytest.raises(ShapeError) as error:
        measure(nn.Linear(2, 2), (0, 2))
    assert str(error.value) == "every side of an input is at least 1; got 0x2"
    with pytest.raises(ShapeError) as error:
        measure("lenet5", (28, 28))
    assert str(error.value) == (
        "lenet5 reads one picture, such as 1x28x28 (channels, height, width); got 28x28"
    )
    with pytest.raises(ArgumentError) as error:
        measure("resnet81")
    assert "did you mean resnet18" in str(error.value)


def test_a_net_wrapped_for_compilation_is_measured_as_itself():
    class Wrapped(nn.Module):
        """What torch.compile gives, without the compiler."""

        def __init__(self):
            super().__init__()
            self._orig_mod = nn.Sequential(nn.Linear(3, 2), nn.ReLU())

    sheet = measure(Wrapped(), (3,))
    assert sheet.net == "Sequential"
    assert [r.path for r in sheet.layers] == ["0", "1"]


def test_a_resnet_takes_well_under_a_second():
    net = build("resnet18", init=False)
    measure(net)
    started = time.process_time()
    measure(net)
    assert time.process_time() - started < 1


class Remembering(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(28, 32, batch_first=True), nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.lstm(x.squeeze(1))[0][:, -1])


def test_connections_without_a_rule_are_said_to_be_uncounted():
    sheet = measure(Remembering(), (1, 28, 28))
    assert sheet.counts.unconnected == ("lstm",)
    assert sheet.as_dict()["counts"]["unconnected"] == ["lstm"]
    lines = [line.split() for line in str(sheet).splitlines()]
    lstm = next(line for line in lines if line[:2] == ["lstm", "LSTM"])
    total = next(line for line in lines if line[0] == "total")
    assert (lstm[4], lstm[5]) == ("-", "215,040")
    assert total[2] == "-"
    assert "connections of these are not counted: lstm; all others have 330." in str(sheet)
    counted = measure("lenet5")
    assert counted.counts.unconnected == ()
    assert "not counted" not in str(counted)
    row = next(r for r in str(Comparison((counted, sheet))).splitlines() if "connections" in r)
    assert row.split()[2:] == ["-", "-"]
