"""GoogLeNet against table 1 of the paper, its misprints, a plain functional reading, counts by hand, names of weights."""

import csv
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import striate
from striate.errors import ArgumentError, ShapeError
from striate.models.catalog import build, entry

MODULES = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
# Weights in K = 1024 where table 1 prints others than its own filter counts make: printed, counted.
MISPRINTED = {
    "conv1": (2.7, 9.1875),
    "4a": (364, 366.75),
    "4c": (463, 497.5),
    "4d": (580, 590.5),
    "4e": (840, 847),
    "5a": (1072, 1018),
    "5b": (1388, 1409),
}
OPERATIONS_MISPRINTED = {"conv1": (34, 118), "5a": (54, 51)}  # millions


def bare(name, **settings) -> Any:
    with torch.device("meta"):
        return build(name, init=False, **settings)


@pytest.fixture(scope="module")
def table(shared):
    """Table 1 by our names of its rows."""
    ours = {"convolution #1": "conv1", "convolution #2": "conv3", "avg pool": "avgpool"}
    ours |= {f"max pool #{i}": f"maxpool{i}" for i in range(1, 5)}
    ours |= {f"inception ({name})": f"inception{name}" for name in MODULES}
    with (shared / "figures" / "architectures.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["table"] == "GoogLeNet Table 1"]
    return {ours.get(row["layer"], row["layer"]): row for row in rows}


@pytest.fixture(scope="module")
def sheet():
    """Layers of the paper's net by path, without auxiliary classifiers."""
    net = bare("googlenet_2014", auxiliary=False)
    return {layer.path: layer for layer in striate.measure(net, net.input_shape).layers}


def filters(net, name):
    """The filter counts of one module in the order of the table's columns."""
    branch = net.get_submodule(name)
    convs = [branch.branch1, *branch.branch2, *branch.branch3, branch.branch4[1]]
    return {
        column: conv.conv.weight.shape[0]
        for column, conv in zip(
            ("#1x1", "#3x3 reduce", "#3x3", "#5x5 reduce", "#5x5", "pool proj"), convs, strict=True
        )
    }


def test_table_1_row_by_row(table):
    net = bare("googlenet_2014").eval()
    x = torch.empty(1, 3, 224, 224, device="meta")
    sizes = net.maps(x, net.chain)
    for name in net.chain:
        if name in ("norm1", "norm2", "conv2"):
            continue  # rows that the table does not have, or has in its column "3x3 reduce"
        row = table[name]
        assert str(sizes[name].shape[1]) == row["maps"], name
        assert "x".join(map(str, sizes[name].shape[2:])) == row["output_size"], name
        layer = net.get_submodule(name)
        if name.startswith("inception"):
            listed = dict(part.split("=") for part in row["detail"].split("; "))
            assert {k: int(v) for k, v in listed.items()} == filters(net, name), name
        else:
            kernel = layer.conv.kernel_size[0] if name.startswith("conv") else layer.kernel_size
            stride = layer.conv.stride[0] if name.startswith("conv") else layer.stride
            assert (f"{kernel}x{kernel}", str(stride)) == (row["kernel"], row["stride"]), name
    assert table["conv3"]["detail"] == "#3x3 reduce=64; #3x3=192"
    assert net.conv2.conv.weight.shape == (64, 64, 1, 1)
    assert net.conv3.conv.weight.shape == (192, 64, 3, 3)
    assert net.inception3a.branch3[1].conv.kernel_size == (5, 5)
    assert net.drop.p == 0.4
    assert table["dropout (40%)"]["maps"] == str(net.fc.in_features) == "1024"


def weights(net, name):
    """Of one row, biases not counted; the second convolution of the table is two of ours."""
    layers = ("conv2", "conv3") if name == "conv3" else (name,)
    parameters = [p for layer in layers for p in net.get_submodule(layer).parameters()]
    return sum(p.numel() for p in parameters if p.ndim > 1)


def test_the_printed_weights_and_their_misprints(table):
    net = bare("googlenet_2014")
    rows = ["conv1", "conv3", *(f"inception{name}" for name in MODULES)]
    for row in rows:
        printed, ours = float(table[row]["params"].rstrip("K")), weights(net, row) / 1024
        name = row.removeprefix("inception")
        if name in MISPRINTED:
            assert (printed, ours) == MISPRINTED[name]
        else:
            assert abs(printed - ours) <= 1, name
    # The linear layer's 1000K are its weights alone too.
    assert net.fc.weight.numel() / 1024 == float(table["linear"]["params"].rstrip("K"))


def test_the_printed_operations_and_their_misprints(table, sheet):
    def work(row):
        paths = ("conv2", "conv3") if row == "conv3" else (row,)
        return sum(
            layer.macs
            for path, layer in sheet.items()
            if path.startswith(tuple(f"{each}." for each in paths))
        )

    for row in ["conv1", "conv3", *(f"inception{name}" for name in MODULES)]:
        printed, ours = float(table[row]["ops"].rstrip("M")), work(row) / 1e6
        name = row.removeprefix("inception")
        if name in OPERATIONS_MISPRINTED:
            assert (printed, int(ours)) == OPERATIONS_MISPRINTED[name]
        else:
            assert abs(printed - ours) < 1, name


def test_counted_by_hand():
    columns = {  # table 1, written out: inputs, then the filters
        "3a": (192, 64, 96, 128, 16, 32, 32),
        "3b": (256, 128, 128, 192, 32, 96, 64),
        "4a": (480, 192, 96, 208, 16, 48, 64),
        "4b": (512, 160, 112, 224, 24, 64, 64),
        "4c": (512, 128, 128, 256, 24, 64, 64),
        "4d": (512, 112, 144, 288, 32, 64, 64),
        "4e": (528, 256, 160, 320, 32, 128, 128),
        "5a": (832, 256, 160, 320, 32, 128, 128),
        "5b": (832, 384, 192, 384, 48, 128, 128),
    }
    side = {"3": 28, "4": 14, "5": 7}
    for name, large, per_map in (("googlenet_2014", 5, 1), ("googlenet", 3, 2)):
        # A map has a bias, or a scale and a shift.
        stem = 49 * 3 * 64, 64 * 64, 9 * 64 * 192
        params = sum(stem) + per_map * (64 + 64 + 192) + 1024 * 1000 + 1000
        macs = 112**2 * stem[0] + 56**2 * (stem[1] + stem[2]) + 1024 * 1000
        for module, (n, a, b, c, d, e, f) in columns.items():
            weight = n * (a + b + d + f) + 9 * b * c + large**2 * d * e
            params += weight + per_map * (a + b + c + d + e + f)
            macs += weight * side[module[0]] ** 2
        row = entry(name)
        assert (row.params, row.macs) == (params, macs)
        heads = sum(
            n * 128 + per_map * 128 + 2048 * 1024 + 1024 + 1024 * 1000 + 1000 for n in (512, 528)
        )
        assert row.params_train == params + heads


def reference(s, x, *, large=3):
    """Both nets by plain calls; the paper's has biases, response normalisation and 5x5."""
    printed = large == 5

    def block(x, name, stride=1):
        w = s[f"{name}.conv.weight"]
        x = F.conv2d(x, w, s.get(f"{name}.conv.bias"), stride, w.shape[-1] // 2)
        if not printed:
            bn = [
                s[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
            ]
            x = F.batch_norm(x, *bn, eps=1e-3)
        return F.relu(x)

    def pool(x, k=3):
        return F.max_pool2d(x, k, 2, ceil_mode=True)

    def response(x):
        return F.local_response_norm(x, 5) if printed else x

    def head(x, name):
        x = F.avg_pool2d(x, 5, 3) if printed else F.adaptive_avg_pool2d(x, 4)
        x = block(x, f"{name}.conv").flatten(1)
        x = F.relu(F.linear(x, s[f"{name}.fc1.weight"], s[f"{name}.fc1.bias"]))
        return F.linear(x, s[f"{name}.fc2.weight"], s[f"{name}.fc2.bias"])

    x = response(pool(block(x, "conv1", 2)))
    x = pool(response(block(block(x, "conv2"), "conv3")))
    heads = []
    for name in MODULES:
        at = f"inception{name}"
        x = pool(x) if name == "4a" else pool(x, 3 if printed else 2) if name == "5a" else x
        x = torch.cat(
            [
                block(x, f"{at}.branch1"),
                block(block(x, f"{at}.branch2.0"), f"{at}.branch2.1"),
                block(block(x, f"{at}.branch3.0"), f"{at}.branch3.1"),
                block(F.max_pool2d(x, 3, 1, 1), f"{at}.branch4.1"),
            ],
            1,
        )
        heads += [head(x, {"4a": "aux1", "4d": "aux2"}[name])] if name in ("4a", "4d") else []
    return F.linear(x.mean((2, 3)), s["fc.weight"], s["fc.bias"]), heads


@pytest.mark.parametrize(("name", "large"), [("googlenet_2014", 5), ("googlenet", 3)])
@pytest.mark.parametrize("size", [(224, 224), (225, 237)])
def test_it_computes_what_the_paper_says(name, large, size):
    generator = torch.Generator().manual_seed(2)
    net = build(name, size=size, width=1 / 8, num_classes=5, generator=generator).double().eval()
    for tensor in net.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5, generator=generator)
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=generator)
    target = torch.tensor([1, 4])
    with torch.no_grad():
        answer, heads = reference(net.state_dict(), 20 * x, large=large)
        torch.testing.assert_close(net(20 * x), answer)
        # In evaluation mode the objective is the answer's loss alone.
        _, value = net.objective(20 * x, target, F.cross_entropy)
        torch.testing.assert_close(value, F.cross_entropy(answer, target))
        net.training = True  # the net alone: its dropout and normalisation stay in evaluation
        ours, value = net.objective(20 * x, target, F.cross_entropy)
    losses = [F.cross_entropy(each, target) for each in (answer, *heads)]
    torch.testing.assert_close(ours, answer)
    torch.testing.assert_close(value, losses[0] + 0.3 * (losses[1] + losses[2]))


def test_without_auxiliary_classifiers():
    net: Any = build("googlenet", size=64, width=1 / 8, auxiliary=False)
    assert not [path for path in net.state_dict() if path.startswith("aux")]
    assert net.auxiliary_heads == ()
    x, target = torch.rand(2, 3, 64, 64), torch.tensor([1, 2])
    answer, value = net.objective(x, target, F.cross_entropy)
    assert value == F.cross_entropy(answer, target)


def test_dropout_is_where_the_paper_has_it():
    net = bare("googlenet_2014")
    assert (net.drop.p, net.aux1.drop.p, net.aux2.drop.p) == (0.4, 0.7, 0.7)
    assert bare("googlenet").drop.p == 0.2


def test_auxiliary_classifiers_pool_as_printed_wherever_that_makes_4x4():
    kind = torch.nn.AvgPool2d
    # Maps of 14 to 16 do: three poolings halve and round down, the first convolution rounds up.
    for size, plain in ((222, False), (223, True), (224, True), (270, True), (271, False)):
        assert isinstance(bare("googlenet_2014", size=size).aux1.pool, kind) is plain, size
    assert not isinstance(bare("googlenet").aux1.pool, kind)


def names():
    """Torchvision's names, written from its convention."""
    state = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

    def block(path):
        return [f"{path}.conv.weight", *(f"{path}.bn.{part}" for part in state)]

    blocks = ["conv1", "conv2", "conv3", "aux1.conv", "aux2.conv"]
    for name in MODULES:
        branches = ("branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1")
        blocks += [f"inception{name}.{branch}" for branch in branches]
    found = {key for path in blocks for key in block(path)}
    linear = ["fc", *(f"aux{i}.fc{j}" for i in (1, 2) for j in (1, 2))]
    return found | {f"{path}.{part}" for path in linear for part in ("weight", "bias")}


def test_weights_have_the_names_of_torchvision():
    assert set(bare("googlenet").state_dict()) == names()
    printed = {key for key in names() if ".bn." not in key}
    printed |= {f"{key.removesuffix('weight')}bias" for key in printed if "conv.weight" in key}
    assert set(bare("googlenet_2014").state_dict()) == printed


def test_first_weights():
    net = build("googlenet", generator=torch.Generator().manual_seed(0))
    for path, parameter in net.named_parameters():
        if parameter.ndim > 1:
            assert abs(parameter.std().item() / 0.01 - 1) < 0.08, path
    net = build("googlenet_2014", generator=torch.Generator().manual_seed(0))
    for path, parameter in net.named_parameters():
        if parameter.ndim > 1:
            spread = (2 / parameter[0].numel()) ** 0.5
            assert abs(parameter.std().item() / spread - 1) < 0.08, path
        else:
            assert (parameter == 0).all(), path


@pytest.mark.parametrize(("name", "least"), [("googlenet_2014", 31), ("googlenet", 15)])
def test_the_least_picture_fits_and_the_next_smaller_is_refused(name, least):
    # Backwards from one cell: ceil mode makes one of 2 (3x3) or 1 (2x2), and n of 2n; 7x7 padded makes n of 2n - 1.
    cells = 2 if name == "googlenet_2014" else 1
    assert least == 2 * (cells * 2 * 2 * 2) - 1
    net = build(name, size=least, width=1 / 16).eval()
    assert net(torch.zeros(1, 3, least, least)).shape == (1, 1000)
    with pytest.raises(ShapeError) as error:
        build(name, size=(224, least - 1))
    assert str(error.value) == (
        f"{name}: maxpool4 needs pictures of at least {least}x{least}; "
        f"got 224x{least - 1}; enlarge them with size={least}"
    )


@pytest.mark.parametrize("name", ["googlenet", "googlenet_2014", "inception_v3"])
def test_weights_of_losses_that_are_left_out_are_refused(name):
    with pytest.raises(ArgumentError, match="auxiliary=false leaves these out"):
        build(name, auxiliary=False, aux_weights=1, init=False)
    build(name, auxiliary=False, init=False)
