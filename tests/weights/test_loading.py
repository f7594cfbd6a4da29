"""Weights into a net: the same answers, or a word about every difference."""

import logging
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import striate
from striate.errors import ArgumentError, CheckpointError, DataError
from striate.models import catalog
from striate.weights import PUBLISHED, Published, load
from striate.weights.loading import adapted
from striate.weights.published import found


def weight(net, path):
    return net.get_parameter(f"{path}.weight")


def generator(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def trained(tmp_path):
    """A file of weights, and the net they are of."""
    net = catalog.build("resnet18", width=0.25, size=64, num_classes=5, generator=generator(1))
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors", net


SIZES: dict[str, Any] = {"width": 0.25, "size": 64}


def test_the_same_input_gives_the_same_answer(trained):
    path, net = trained
    loaded = striate.build("resnet18", weights=path, num_classes=5, **SIZES)
    x = torch.rand(2, 3, 64, 64, generator=generator(0))
    with torch.no_grad():
        assert torch.equal(loaded.eval()(x), net.eval()(x))


def test_other_classes_keep_the_backbone_and_say_so(trained, caplog):
    path, net = trained
    with caplog.at_level(logging.WARNING, "striate"):
        loaded = striate.build("resnet18", weights=path, num_classes=7, **SIZES)
    assert caplog.messages == [
        "resnet18: fc has 7 outputs, the file's 5: it starts anew, the rest is loaded"
    ]
    assert torch.equal(weight(loaded, "conv1"), weight(net, "conv1"))
    assert weight(loaded, "fc").isfinite().all()
    assert weight(loaded, "fc").abs().max() <= 1 / 128**0.5
    again = striate.build("resnet18", weights=path, num_classes=7, **SIZES)
    assert torch.equal(weight(again, "fc"), weight(loaded, "fc"))


@pytest.mark.parametrize("channels", [1, 2, 4, 6, 7])
def test_other_channels_keep_the_sum_of_the_weights(trained, channels):
    path, net = trained
    target = catalog.build("resnet18", num_classes=5, in_channels=channels, **SIZES)
    result = load(target, path)
    assert result.notes == (
        f"conv1.weight reads {channels} channels, the file's 3: adapted, sums kept",
    )
    torch.testing.assert_close(weight(target, "conv1").sum(1), weight(net, "conv1").sum(1))


def test_a_grey_picture_in_all_channels_gives_the_same_maps():
    kernels = torch.rand(4, 3, 5, 5, generator=generator(2))
    grey = torch.rand(1, 1, 9, 9, generator=generator(3))
    plain = nn.functional.conv2d(grey.expand(1, 3, 9, 9), kernels)
    for channels in (1, 2, 3, 4, 7):
        x = grey.expand(1, channels, 9, 9)
        torch.testing.assert_close(nn.functional.conv2d(x, adapted(kernels, channels)), plain)


def test_prefixes_of_wrappers_are_taken_off(trained, tmp_path):
    _, net = trained
    wrapped = {f"module._orig_mod.{name}": t for name, t in net.state_dict().items()}
    save_file(wrapped, tmp_path / "w.safetensors")
    load(catalog.build("resnet18", num_classes=5, **SIZES), tmp_path / "w.safetensors")


def test_half_precision_becomes_the_type_of_the_net(trained, tmp_path):
    _, net = trained
    save_file(
        {n: t.half() if t.is_floating_point() else t for n, t in net.state_dict().items()},
        tmp_path / "h.safetensors",
    )
    target = catalog.build("resnet18", num_classes=5, **SIZES)
    load(target, tmp_path / "h.safetensors")
    assert weight(target, "conv1").dtype == torch.float32
    torch.testing.assert_close(weight(target, "conv1"), weight(net, "conv1"), rtol=1e-3, atol=1e-4)


def test_what_does_not_fit_is_named_and_nothing_is_loaded(trained, tmp_path):
    _, net = trained
    state = net.state_dict()
    state["layer1.0.conv9.weight"] = state.pop("layer1.0.conv1.weight")
    state["bn1.bias"] = torch.zeros(3)
    save_file(state, tmp_path / "bad.safetensors")
    target = catalog.build("resnet18", num_classes=5, **SIZES)
    before = {name: t.clone() for name, t in target.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        load(target, tmp_path / "bad.safetensors")
    assert str(error.value) == (
        f"{tmp_path}/bad.safetensors does not fit the net: "
        "1 missing: layer1.0.conv1.weight 16x16x3x3 (nearest: layer1.0.conv9.weight); "
        "1 left over: layer1.0.conv9.weight 16x16x3x3 (nearest: layer1.0.conv1.weight); "
        "1 of another shape: bn1.bias 3, expected 16; "
        "build the net that these weights belong to, with its width and options"
    )
    assert all(torch.equal(t, before[name]) for name, t in target.state_dict().items())


def test_another_net_is_told_in_one_line(trained):
    path, _ = trained
    with pytest.raises(CheckpointError) as error:
        striate.build("lenet5", weights=path)
    assert "\n" not in str(error.value)
    assert "9 missing: conv1.bias 6" in str(error.value)
    assert " more; 1 of another shape: conv1.weight 16x3x7x7, expected 6x1x5x5; " in str(
        error.value
    )


def test_values_that_are_no_numbers_are_refused(trained, tmp_path):
    _, net = trained
    state = {name: t.clone() for name, t in net.state_dict().items()}
    state["layer2.0.bn1.weight"][1] = float("nan")
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(CheckpointError, match=r"layer2\.0\.bn1\.weight holds values that are no"):
        load(catalog.build("resnet18", num_classes=5, **SIZES), tmp_path / "nan.safetensors")


def test_a_net_of_the_users_own_takes_exactly_its_tensors(tmp_path):
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    save_file(net.state_dict(), tmp_path / "own.safetensors")
    assert load(net, tmp_path / "own.safetensors").tensors == 4
    with pytest.raises(CheckpointError, match=r"1 left over: 2\.bias 2"):
        load(
            nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 3, bias=False)),
            tmp_path / "own.safetensors",
        )


def test_published_names_belong_to_nets_of_the_catalogue_and_are_well_formed():
    for name, each in PUBLISHED.items():
        assert each.net in catalog.CATALOG or each.net in name
        assert each.address.startswith("https://")
        assert len(each.sha256) in (0, 8, 9)
        assert len(each.mean) == len(each.std) == 3


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(ArgumentError) as error:
        striate.build("resnet18", weights="torchvision/resnet18.IMAGENET1K_V3")
    assert str(error.value).startswith(
        "weights=torchvision/resnet18.IMAGENET1K_V3: no such file, and no published name; "
        "did you mean torchvision/resnet18.IMAGENET1K_V1"
    )


def test_without_a_network_the_message_says_where_to_put_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    gone = Published("resnet18", "http://127.0.0.1:9/resnet18-f37072fd.pth", "f37072fd")
    with pytest.raises(DataError) as error:
        found("torchvision/x", {"torchvision/x": gone})
    assert str(error.value).endswith(f"put it at {tmp_path}/weights/torchvision-x.pth")


@pytest.mark.slow
def test_a_published_name_is_loaded_once_it_is_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    net = catalog.build("resnet18", generator=generator(4))
    (tmp_path / "weights").mkdir()
    torch.save(net.state_dict(), tmp_path / "weights" / "torchvision-resnet18.IMAGENET1K_V1.pth")
    loaded = striate.build("resnet18", weights="torchvision/resnet18.IMAGENET1K_V1")
    assert torch.equal(weight(loaded, "fc"), weight(net, "fc"))


@pytest.mark.parametrize(
    ("name", "flag", "size"),
    [
        ("googlenet", "auxiliary", 64),
        pytest.param("inception_v3", "auxiliary", 299, marks=pytest.mark.full),
        ("fcn_resnet50", "auxiliary", 64),
        ("capsnet", "decoder", 28),
    ],
)
def test_heads_of_training_alone_may_be_on_one_side(tmp_path, caplog, name, flag, size):
    both: dict[str, Any] = {"width": 0.125, "size": size}
    nets = {}
    for on in (True, False):
        nets[on] = catalog.build(name, generator=generator(1), **both, **{flag: on})
        save_file(nets[on].state_dict(), tmp_path / f"{on}.safetensors")
    beside = len(nets[True].state_dict()) - len(nets[False].state_dict())
    for on, words in ((False, "were left out"), (True, "start anew")):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "striate"):
            net = striate.build(
                name, weights=tmp_path / f"{not on}.safetensors", **both, **{flag: on}
            )
        assert caplog.messages == [f"{name}: {beside} tensors of auxiliary heads {words}"]
        for key in nets[True].state_dict().keys() & nets[False].state_dict().keys():
            assert torch.equal(net.state_dict()[key], nets[not on].state_dict()[key]), key
        assert all(p.isfinite().all() for p in net.parameters())


def test_timm_names_the_ends_of_its_preactivation_resnets_otherwise(tmp_path):
    net = catalog.build("preresnet18", generator=generator(1), **SIZES)
    theirs = {
        {"conv1.weight": "stem.conv.weight"}.get(n, n.replace("fc.", "head.fc.", 1)): t
        for n, t in net.state_dict().items()
    }
    theirs["head.fc.weight"] = theirs["head.fc.weight"][:, :, None, None]
    save_file(theirs, tmp_path / "timm.safetensors")
    loaded = striate.build("preresnet18", weights=tmp_path / "timm.safetensors", **SIZES)
    for key, tensor in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key


def small():
    return catalog.build("resnet18", num_classes=5, **SIZES)


WRAPPED = {
    "ddp": (lambda s: {f"module.{n}": t for n, t in s.items()}, ""),
    "lightning": (lambda s: {f"model.{n}": t for n, t in s.items()}, "taken from under 'model.'"),
    "lightning, compiled": (
        lambda s: {f"model._orig_mod.{n}": t for n, t in s.items()}, "taken from under 'model.'"
    ),
    "lightning with a loss": (
        lambda s: {f"backbone.{n}": t for n, t in s.items()} | {"criterion.weight": torch.ones(5)},
        "1 other tensors in the file were left out: criterion.weight",
    ),
    "deep": (lambda s: {f"net.encoder.{n}": t for n, t in s.items()}, "under 'net.encoder.'"),
    "averaged": (
        lambda s: {f"module.{n}": t for n, t in s.items()} | {"n_averaged": torch.tensor(7)},
        "left out: n_averaged",
    ),
    "beside its average": (
        lambda s: {f"model.{n}": t for n, t in s.items()} | {f"ema_model.{n}": t + 1 for n, t in s.items()},
        "taken from under 'model.'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WRAPPED)
def test_what_training_scripts_put_before_the_names_is_found_and_said(trained, tmp_path, way):
    _, net = trained
    wrap, said = WRAPPED[way]
    save_file({n: t.clone() for n, t in wrap(net.state_dict()).items()}, tmp_path / "w.safetensors")
    target = small()
    notes = load(target, tmp_path / "w.safetensors").notes
    assert all(torch.equal(t, net.state_dict()[n]) for n, t in target.state_dict().items())
    assert said in "; ".join(notes)


def test_two_nets_in_one_file_are_not_chosen_between(trained, tmp_path):
    _, net = trained
    both = {
        f"{who}.{n}": t.clone()
        for who in ("student", "teacher")
        for n, t in net.state_dict().items()
    }
    save_file(both, tmp_path / "two.safetensors")
    with pytest.raises(CheckpointError, match=r"2 times, under student\. and teacher\.: save one"):
        load(small(), tmp_path / "two.safetensors")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (("state_dict", "state_dict_ema"), "taken from 'state_dict' in the file, which also holds state_dict_ema"),
        (("model", "ema"), "taken from 'model' in the file, which also holds ema"),
        (("model_ema",), "the file holds averaged weights alone ('model_ema')"),
        (("state_dict",), ""),
    ],
)  # fmt: skip
def test_which_of_several_tables_was_taken_is_said(trained, tmp_path, keys, said):
    _, net = trained
    torch.save({key: net.state_dict() for key in keys} | {"epoch": 3}, tmp_path / "w.pth")
    assert "; ".join(load(small(), tmp_path / "w.pth").notes) == said


@pytest.mark.parametrize("name", ["resnet18", "densenet40_cifar", "vgg11"])
def test_a_head_may_be_on_one_side_alone(tmp_path, caplog, name):
    size: dict[str, Any] = {"size": (32, 32)}
    whole = striate.build(name, width=0.125, num_classes=5, **size)
    bare = striate.build(name, width=0.125, num_classes=0, **size)
    save_file(whole.state_dict(), tmp_path / "whole.safetensors")
    save_file(bare.state_dict(), tmp_path / "bare.safetensors")
    loaded = load(bare, tmp_path / "whole.safetensors")
    assert loaded.notes == (f"the net has no {whole.head}: the file's is left out",)
    same = whole.state_dict()
    assert all(torch.equal(tensor, same[key]) for key, tensor in bare.state_dict().items())
    new = striate.build(
        name, width=0.125, num_classes=3, weights=tmp_path / "bare.safetensors", **size
    )
    assert f"the file has no {whole.head}: it starts anew" in caplog.text
    assert weight(new, whole.head).std() > 0
    broken = {key: value for key, value in bare.state_dict().items() if "conv1" not in key}
    if len(broken) < len(bare.state_dict()):
        save_file(broken, tmp_path / "broken.safetensors")
        with pytest.raises(CheckpointError, match="missing"):
            load(new, tmp_path / "broken.safetensors")
