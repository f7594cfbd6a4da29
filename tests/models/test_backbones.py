"""Heads on backbones of the catalogue: every pair is built, reads the whole net's maps, and takes its weights."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

import striate
from striate.errors import ArgumentError, CheckpointError, ShapeError
from striate.models.catalog import CATALOG, backbones, build
from striate.models.on_backbone import fitted
from striate.weights import load

HEADS = ("unet", "fcn", "yolo_grid")
# The smallest of each way to compute maps.
ONE_EACH = list(
    {CATALOG[n].file: n for n in sorted(backbones(), key=lambda n: -CATALOG[n].macs)}.values()
)

PAIRS = [
    pytest.param(head, name, stride, marks=[] if name in ONE_EACH else pytest.mark.slow)
    for head in HEADS
    for name in backbones()
    for stride in ((16, 32) if head == "yolo_grid" else (None,))
    if stride is None or stride in CATALOG[name].strides
]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def standing(head, backbone, size, *, stride=None, **settings) -> Any:
    given: dict[str, Any] = {"in_channels": 3, "num_classes": 4, **settings}
    given |= {"stride": str(stride)} if stride else {}
    width = CATALOG[backbone].small.width
    return build(head, backbone=backbone, size=size, width=width, **given)


def odd(backbone):
    return (128, 192) if backbone.startswith("yolo") else (97, 131)


@pytest.mark.parametrize("name", CATALOG)
def test_the_strides_of_the_catalogue_are_those_of_the_nets(name):
    with torch.device("meta"):
        net = build(name, init=False)
    assert CATALOG[name].strides in ((), net.strides)


def test_nets_with_maps_of_a_fixed_size_or_none_are_no_backbones():
    assert {"vgg16", "resnet18", "densenet121", "yolo_v1"} < set(backbones(16, 32))
    assert "resnet20_cifar" in set(backbones()) - set(backbones(16, 32))
    assert not {"linear", "tdnn", "lenet5", "cdbn", "unet", "stgcn"} & set(backbones())


@pytest.mark.parametrize(("head", "backbone", "stride"), PAIRS)
def test_every_head_stands_on_every_backbone_at_any_size(head, backbone, stride):
    size = odd(backbone)
    with torch.device("meta"):
        net = standing(head, backbone, size, stride=stride, init=False).eval()
        whole = build(backbone, init=False, size=size)
        answer = net(torch.empty(2, 3, *size))
    if head == "yolo_grid":
        assert answer.shape[:2] == (2, 14)
        assert net.strides[-1] == stride
    else:
        assert answer.shape == (2, 4, *size)
    # Nothing is built that is not used, and what is built has the name that it has in the whole net.
    answer.sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    below = {n.removeprefix("backbone.") for n in net.state_dict() if n.startswith("backbone.")}
    assert below <= whole.state_dict().keys()
    assert net.backbone_name == backbone


@pytest.mark.parametrize("backbone", ONE_EACH)
def test_the_maps_below_a_head_are_those_of_the_whole_net(backbone):
    size = odd(backbone)
    width = CATALOG[backbone].small.width
    whole = build(backbone, in_channels=3, size=size, width=width, generator=generator(1)).eval()
    x = torch.rand(1, 3, *size, generator=generator(2))
    with torch.no_grad():
        maps = dict(zip(whole.strides, (m.clone() for m in whole.features(x)), strict=True))
        for head in HEADS:
            for stride in CATALOG[backbone].strides if head == "yolo_grid" else (None,):
                if stride not in (None, 16, 32):
                    continue
                net = standing(head, backbone, size, stride=stride).eval()
                state = whole.state_dict()
                for name, tensor in net.backbone.state_dict().items():
                    tensor.copy_(state[name])
                found = net.features(x)
                net(x)
                for at, features in zip(net.strides, found, strict=True):
                    assert torch.equal(features, maps[at]), (head, at)


@pytest.mark.parametrize("backbone", ONE_EACH)
@pytest.mark.parametrize("head", ["unet", "fcn"])
def test_first_weights_are_set_and_learn(head, backbone):
    size = odd(backbone)
    net = standing(head, backbone, size, generator=generator())
    assert all(tensor.isfinite().all() for tensor in net.state_dict().values())
    with torch.no_grad():
        for parameter in net.score.parameters():
            parameter.normal_(0, 0.1, generator=generator())
    answer = net(torch.rand(2, 3, *size, generator=generator(3)))
    answer.square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())
    assert net.get_submodule(net.stem).weight.grad.any()


def test_the_own_way_down_is_as_before():
    for name in ("unet", "unet_same"):
        plain = build(name, size=188, width=0.0625, generator=generator())
        own = build(name, size=188, width=0.0625, backbone="own", generator=generator())
        for a, b in zip(plain.state_dict().values(), own.state_dict().values(), strict=True):
            assert torch.equal(a, b)


def test_the_way_up_of_unet_same_is_normalised_on_request():
    def norms(net):
        return sum(isinstance(m, nn.BatchNorm2d) for m in net.up.modules())

    assert norms(standing("unet", "vgg11", 64)) == 2 * 5
    assert norms(standing("unet_same", "vgg11", 64)) == 0
    assert norms(standing("unet_same", "vgg11", 64, batch_norm=True)) == 2 * 5


def test_maps_are_cut_or_continued_about_their_middle():
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert fitted(x, torch.zeros(1, 1, 3, 4)) is x
    assert fitted(x, torch.zeros(1, 1, 2, 2)).tolist() == [[[[1, 2], [5, 6]]]]
    assert fitted(x[:, :, :1], torch.zeros(1, 1, 2, 7)).tolist() == [
        [[[0, 0, 1, 2, 3, 3, 3], [0, 0, 1, 2, 3, 3, 3]]]
    ]
    assert fitted(x, torch.zeros(1, 1, 1, 6)).tolist() == [[[[4, 4, 5, 6, 7, 7]]]]


def test_fcn_without_its_trunk_is_scores_and_interpolation():
    net = standing("fcn", "resnet18", 64, generator=generator()).eval().double()
    x = torch.rand(1, 3, 64, 96, dtype=torch.float64, generator=generator(1))
    with torch.no_grad():
        for parameter in net.score.parameters():
            parameter.normal_(0, 1, generator=generator(2))
        fine, middle, coarse = (s(m) for s, m in zip(net.score, net.features(x), strict=True))

        def twice(y, factor=2):
            return nn.Upsample(scale_factor=factor, mode="bilinear")(y)

        expected = twice(twice(twice(coarse) + middle) + fine, 8)
        torch.testing.assert_close(net(x), expected)


def test_unet_without_its_trunk_is_doublings_with_maps_beside():
    net = standing("unet_same", "resnet18", 64, generator=generator()).eval().double()
    x = torch.rand(2, 3, 64, 96, dtype=torch.float64, generator=generator(1))
    s = net.state_dict()
    with torch.no_grad():
        *finer, y = net.features(x)
        for i in range(5):
            y = F.conv_transpose2d(y, s[f"up.{i}.up.weight"], s[f"up.{i}.up.bias"], stride=2).relu()
            y = torch.cat((y, finer.pop()), 1) if finer else y
            for conv in ("conv1", "conv2"):
                at = f"up.{i}.convs.{conv}"
                y = F.conv2d(y, s[f"{at}.weight"], s[f"{at}.bias"], padding=1).relu()
        torch.testing.assert_close(net(x), F.conv2d(y, s["score.weight"], s["score.bias"]))
    # 16 maps a pixel of stride, at most 256, times the width of a quarter.
    widths = [net.get_submodule(f"up.{i}.up").weight.shape[1] for i in range(5)]
    assert widths == [64, 32, 16, 8, 4]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "backbone"), [("unet", "resnet18"), ("fcn", "alexnet"), ("yolo_grid", "densenet121")]
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_export_and_both_memory_layouts_compute_the_same(head, backbone):
    net = standing(head, backbone, (97, 131), generator=generator()).eval().double()
    x = torch.rand(2, 3, 97, 131, dtype=torch.float64, generator=generator(1))
    with torch.no_grad():
        for parameter in net.score.parameters():
            parameter.normal_(0, 0.1, generator=generator(2))
        answer = net(x)
        torch.testing.assert_close(torch.export.export(net, (x,)).module()(x), answer)
        turned = net.to(memory_format=torch.channels_last)
        last = turned(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, answer)


def test_fcn_is_a_trunk_and_three_scores():
    fully_connected = (25088 * 4096 + 4096 * 4096 + 4096 * 1000, 4096 + 4096 + 1000)
    vgg, row = CATALOG["vgg16"], CATALOG["fcn"]
    scores = 21 * (256 + 512 + 512 + 3)
    assert row.params == vgg.params - sum(fully_connected) + scores
    # Pictures of 512x512 instead of 224x224; maps of 64, 32 and 16 pixels are scored.
    convolved = (vgg.macs - fully_connected[0]) * 512**2 // 224**2
    assert row.macs == convolved + 21 * (64**2 * 256 + 32**2 * 512 + 16**2 * 512)


@pytest.mark.parametrize(
    ("head", "settings", "error", "message"),
    [
        (
            "unet",
            {"backbone": "resnet81"},
            ArgumentError,
            r"unet: backbone has no value 'resnet81'; did you mean resnet18.*",
        ),
        (
            "fcn",
            {"backbone": "own"},
            ArgumentError,
            r"fcn: backbone has no value 'own'; .*",
        ),
        (
            "unet",
            {"backbone": "lenet5"},
            ArgumentError,
            (
                r"unet: backbone=lenet5: it has no maps that a head can stand on; those that have: "
                r"alexnet_2012, zfnet, .* and \d+ more"
            ),
        ),
        (
            "yolo_grid",
            {"backbone": "resnet20_cifar", "stride": "16"},
            ArgumentError,
            r"yolo_grid: backbone=resnet20_cifar has no maps of stride 16; it has some of 1, 2, 4",
        ),
        (
            "yolo_grid",
            {"backbone": "squeezenet1_0", "stride": "32"},
            ArgumentError,
            r"yolo_grid: backbone=squeezenet1_0 has no maps of stride 32; it has some of 4, 8, 16",
        ),
        (
            "unet",
            {"backbone": "resnet18", "size": 16},
            ShapeError,
            r"resnet18: layer4 has stride 32 and needs pictures of at least 32x32; got 16x16; .*",
        ),
    ],
)
def test_mistakes_are_told(head, settings, error, message):
    with pytest.raises(error) as caught:
        build(head, **settings)
    assert re.fullmatch(message, str(caught.value))


# --- weights ---------------------------------------------------------------------------------------


def file_of(net, path, **others):
    save_file({**net.state_dict(), **others}, path)
    return path


@pytest.mark.parametrize(
    ("head", "backbone"),
    [
        ("unet", "resnet18"),
        ("yolo_grid", "densenet121"),
        ("fcn", "googlenet"),
        ("unet_same", "vgg11"),
    ],
)
def test_a_classifiers_weights_go_below_the_head(tmp_path, head, backbone):
    width = CATALOG[backbone].small.width
    whole = build(backbone, size=64, width=width, generator=generator(1))
    path = file_of(whole, tmp_path / "whole.safetensors")
    net = standing(head, backbone, 64, generator=generator(2), in_channels=1)
    result = load(net, path, generator=generator(2))
    first, *others = result.notes
    below = net.backbone.state_dict()
    outside = len(net.state_dict()) - len(below)
    assert first == (
        f"the weights of {backbone} are loaded below the head, {len(whole.state_dict()) - len(below)} tensors "
        f"that it does not need there are left out; {outside} tensors of the head start anew"
    )
    assert others == [f"{net.stem}.weight reads 1 channels, the file's 3: adapted, sums kept"]
    assert result.tensors == len(below)
    fresh = standing(head, backbone, 64, generator=generator(2), in_channels=1).state_dict()
    for name, tensor in net.state_dict().items():
        inner = name.removeprefix("backbone.")
        if inner == name:
            assert torch.equal(tensor, fresh[name])
        elif inner != f"{whole.stem}.weight":
            assert torch.equal(tensor, whole.state_dict()[inner])


def test_a_run_of_resnet50_goes_below_its_dilated_form(tmp_path):
    whole = build("resnet50", size=64, width=0.125, generator=generator(1))
    file_of(whole, tmp_path / "model.safetensors")
    net = build("fcn_resnet50", size=64, width=0.125, num_classes=2, auxiliary=False)
    assert (
        load(net, tmp_path)
        .notes[0]
        .startswith(
            "the weights of resnet50 are loaded below the head, 2 tensors that it does not need there are left out; "
        )
    )
    for name, tensor in net.get_submodule("backbone").state_dict().items():
        assert torch.equal(tensor, whole.state_dict()[name])


def test_a_nets_own_weights_are_taken_as_before(tmp_path):
    net = standing("unet", "resnet18", 64, generator=generator(1))
    path = file_of(net, tmp_path / "own.safetensors")
    other = standing("unet", "resnet18", 64, num_classes=2)
    assert load(other, path).notes == (
        "score has 2 outputs, the file's 4: it starts anew, the rest is loaded",
    )
    assert torch.equal(other.up[0].up.weight, net.up[0].up.weight)


@pytest.mark.parametrize("change", ["missing", "strange", "deeper"])
def test_weights_of_another_net_are_refused(tmp_path, change):
    name = "resnet34" if change == "deeper" else "resnet18"
    state = build(name, size=64, width=0.25).state_dict()
    if change == "missing":
        del state["layer2.0.conv1.weight"]
    if change == "strange":
        state["layer9.weight"] = torch.zeros(1)
    save_file(state, tmp_path / "w.safetensors")
    net = standing("unet", "resnet18", 64)
    before = {name: t.clone() for name, t in net.state_dict().items()}
    with pytest.raises(
        CheckpointError,
        match=f"w.safetensors does not fit the net: {'1 ' if change != 'deeper' else ''}",
    ):
        load(net, tmp_path / "w.safetensors")
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())


@pytest.mark.parametrize("head", ["fcn", "unet"])
def test_convolutions_of_vgg16_that_learned_from_pictures_go_below_a_head(shared, head):
    path: Path = shared / "weights" / "vgg16_features.safetensors"
    if not path.exists():
        pytest.skip("the trained VGG-16 is not there")
    net = striate.build(head, backbone="vgg16", weights=path, in_channels=3, size=64, num_classes=2)
    theirs = load_file(path)
    assert {f"backbone.{name}" for name in theirs} < net.state_dict().keys()
    for name, tensor in theirs.items():
        assert torch.equal(net.state_dict()[f"backbone.{name}"], tensor.float())
