"""Residual networks against the paper: tables, a plain functional reading, counts by hand, names of weights."""

import csv
import re
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from striate.errors import ShapeError
from striate.models.catalog import CATALOG, build

IMAGENET = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
PRINTED = ("resnet50_v1", "resnet101_v1", "resnet152_v1")
CIFAR = ("resnet20_cifar", "resnet32_cifar", "resnet44_cifar", "resnet56_cifar", "resnet110_cifar")

# Table 1: blocks of conv2_x to conv5_x by depth.
DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


def bare(name, **settings) -> Any:
    with torch.device("meta"):
        return build(name, init=False, **settings)


def norms(name):
    return [f"{name}.{part}" for part in ("weight", "bias", *STATE)]


STATE = ("running_mean", "running_var", "num_batches_tracked")


def names_of(depth):
    """Torchvision's names in its order, written from its convention."""
    expected = ["conv1.weight", *norms("bn1")]
    convolutions = 2 if depth < 50 else 3
    for stage, blocks in enumerate(DEPTHS[depth], start=1):
        for block in range(blocks):
            at = f"layer{stage}.{block}"
            for i in range(1, convolutions + 1):
                expected += [f"{at}.conv{i}.weight", *norms(f"{at}.bn{i}")]
            if block == 0 and (stage > 1 or convolutions == 3):
                expected += [f"{at}.downsample.0.weight", *norms(f"{at}.downsample.1")]
    return [*expected, "fc.weight", "fc.bias"]


@pytest.mark.parametrize("name", [*IMAGENET, *PRINTED])
def test_weights_have_the_names_of_torchvision(name):
    depth = int(re.findall(r"\d+", name)[0])
    assert list(bare(name).state_dict()) == names_of(depth)


@pytest.mark.parametrize("depth", DEPTHS)
def test_table_1_row_by_row(shared, depth):
    with (shared / "figures" / "architectures.csv").open(newline="") as file:
        table = {
            row["layer"]: row for row in csv.DictReader(file) if row["table"] == "ResNet Table 1"
        }
    net = bare(f"resnet{depth}").eval()
    assert table["conv1"]["kernel"] == "7x7"
    assert net.conv1.weight.shape[2:] == (7, 7)
    maps = net.features(torch.empty(1, 3, 224, 224, device="meta"))
    for stage, blocks in enumerate(DEPTHS[depth], start=1):
        row = table[f"{depth}-layer conv{stage + 1}_x"]
        layer = net.get_submodule(f"layer{stage}")
        kernels = [
            "x".join(map(str, p.shape[2:])) + f",{p.shape[0]}"
            for key, p in layer[-1].named_parameters()
            if "conv" in key
        ]
        assert f"[{'; '.join(kernels)}]" == row["detail"]
        assert f"x{len(layer)}" == row["repeat"] == f"x{blocks}"
        assert str(maps[stage - 1].shape[1]) == row["maps"]
        assert "x".join(map(str, maps[stage - 1].shape[2:])) == row["output_size"]
    # The FLOPs row prints tenths of 10^9, most cut off and some rounded, of nets with the stride in the 1x1.
    tenths = CATALOG[f"resnet{depth}" if depth < 50 else f"resnet{depth}_v1"].macs / 1e8
    printed = round(float(table[f"{depth}-layer TOTAL"]["ops"]) / 1e8)
    assert printed == (round(tenths) if depth > 50 else int(tenths))


@pytest.mark.parametrize(("name", "stride"), [("resnet50", (1, 2)), ("resnet50_v1", (2, 1))])
def test_where_the_stride_is(name, stride):
    first = bare(name).layer2[0]
    assert (first.conv1.stride[0], first.conv2.stride[0]) == stride


@pytest.mark.parametrize("name", CIFAR)
@pytest.mark.parametrize("shortcut", ["projection", "padding"])
def test_section_4_2_counted_by_hand(name, shortcut):
    layers = int(re.findall(r"\d+", name)[0])
    n = (layers - 2) // 6

    def pair(inputs, width):  # two 3x3 convolutions, and scale and shift after each
        return 9 * inputs * width + 9 * width * width + 4 * width

    stem, head = 3 * 9 * 16 + 2 * 16, 64 * 10 + 10
    same = sum((n - (width > 16)) * pair(width, width) for width in (16, 32, 64))
    params = stem + head + same + pair(16, 32) + pair(32, 64)
    # Each stage does the same work in all its convolutions but the first, which reads half the maps.
    block = 2 * 9 * 16 * 16 * 32 * 32
    macs = 3 * 9 * 16 * 32 * 32 + 64 * 10 + 3 * n * block - 2 * block // 4
    if shortcut == "projection":
        params += (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)
        macs += 16 * 32 * 16 * 16 + 32 * 64 * 8 * 8
        assert (CATALOG[name].params, CATALOG[name].macs) == (params, macs)
    net = bare(name, shortcut=shortcut)
    assert sum(p.numel() for p in net.parameters()) == params
    weighted = [m for path, m in net.named_modules() if "downsample" not in path]
    assert sum(isinstance(m, torch.nn.Conv2d | torch.nn.Linear) for m in weighted) == layers


def test_the_cifar_table(shared):
    with (shared / "figures" / "architectures.csv").open(newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["table"] == "ResNet CIFAR")
    net = bare("resnet20_cifar").eval()
    maps = net.features(torch.empty(1, 3, 32, 32, device="meta"))
    assert " / ".join(str(m.shape[1]) for m in maps) == row["maps"] == "16 / 32 / 64"
    assert " / ".join(f"{m.shape[2]}x{m.shape[3]}" for m in maps) == row["output_size"]
    listed = row["detail"].split("-> ")[1].split(",")
    assert set(CIFAR) == {f"resnet{depth}_cifar" for depth in listed if depth != "1202"}


def reference(s, x, *, early=False, padded=False):
    """Logits from a state dict, as the paper words it."""

    def conv(x, name, *, stride, pad):
        return F.conv2d(x, s[f"{name}.weight"], None, stride, pad)

    def norm(x, name):
        parts = (s[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *parts)

    large = s["conv1.weight"].shape[-1] == 7
    x = F.relu(norm(conv(x, "conv1", stride=2 if large else 1, pad=3 if large else 1), "bn1"))
    if large:
        x = F.max_pool2d(x, 3, 2, 1)
    blocks = sorted({tuple(map(int, k[5:].split(".")[:2])) for k in s if k.startswith("layer")})
    for stage, block in blocks:
        at = f"layer{stage}.{block}"
        stride = 2 if stage > 1 and block == 0 else 1
        short, y = x, x
        if f"{at}.downsample.0.weight" in s:
            short = norm(conv(x, f"{at}.downsample.0", stride=stride, pad=0), f"{at}.downsample.1")
        elif padded and stride == 2:
            short = torch.cat([x[:, :, ::2, ::2], torch.zeros_like(x[:, :, ::2, ::2])], 1)
        last = 3 if f"{at}.conv3.weight" in s else 2
        strided = 2 if last == 3 and not early else 1
        for i in range(1, last + 1):
            pad = s[f"{at}.conv{i}.weight"].shape[-1] // 2
            y = conv(y, f"{at}.conv{i}", stride=stride if i == strided else 1, pad=pad)
            y = norm(y, f"{at}.bn{i}")
            y = F.relu(y) if i < last else F.relu(y + short)
        x = y
    return F.linear(x.mean((2, 3)), s["fc.weight"], s["fc.bias"])


@pytest.mark.parametrize(
    ("name", "settings", "how"),
    [
        ("resnet18", {"size": 64, "width": 0.25}, {}),
        ("resnet50", {"size": (65, 70), "width": 0.125}, {}),
        ("resnet50_v1", {"size": 64, "width": 0.125}, {"early": True}),
        ("resnet20_cifar", {"width": 0.5}, {}),
        ("resnet20_cifar", {"width": 0.5, "shortcut": "padding"}, {"padded": True}),
    ],
)
def test_it_computes_what_the_paper_says(name, settings, how):
    generator = torch.Generator().manual_seed(2)
    net = build(name, generator=generator, **settings).double().eval()
    for key, tensor in net.state_dict().items():
        if ("running" in key or "bn" in key) and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=generator)
    x = torch.rand(2, *net.input_shape, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(net(x), reference(net.state_dict(), x, **how))


def test_first_weights_are_he_normal():
    net = build("resnet18", generator=torch.Generator().manual_seed(0))
    for name, parameter in net.named_parameters():
        if parameter.ndim == 4:
            fan_out = parameter.shape[0] * parameter.shape[2] * parameter.shape[3]
            assert abs(parameter.std().item() / (2 / fan_out) ** 0.5 - 1) < 0.03, name
            assert abs(parameter.mean().item()) < 0.03 * (2 / fan_out) ** 0.5 + 1e-3, name


def test_a_picture_below_the_last_stride_is_refused():
    with pytest.raises(ShapeError) as error:
        build("resnet20_cifar", size=3)
    assert str(error.value) == (
        "resnet20_cifar: layer3 has stride 4 and needs pictures of at least 4x4; "
        "got 3x3; enlarge them with size=4"
    )
