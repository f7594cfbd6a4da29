"""What the course shows beside the published nets: options it compares, nets it draws, and figures where it differs from a paper."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import striate
from striate.errors import ArgumentError
from striate.models import catalog
from striate.models.catalog import CATALOG, backbones, nets
from striate.training import read_recipe


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def build(name: str, **given: Any) -> Any:
    return catalog.build(name, **given)


def pictures(count, *shape):
    return torch.rand(count, *shape, generator=generator(1))


def kinds(net) -> list[str]:
    return [type(module).__name__ for module in net.modules()]


@pytest.mark.parametrize("depth", [20, 56])
def test_plain_nets_are_residual_ones_without_their_shortcuts(depth):
    name = f"resnet{depth}_cifar"
    residual, plain = (build(name, path=path, init=False) for path in ("residual", "plain"))
    left_out = sum(p.numel() for n, p in residual.named_parameters() if "downsample" in n)
    counts = [sum(p.numel() for p in net.parameters()) for net in (residual, plain)]
    assert counts[1] == counts[0] - left_out
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in plain.modules()) == depth


def test_a_plain_net_computes_two_convolutions_a_block_and_adds_nothing():
    net = build("resnet20_cifar", path="plain", size=16, generator=generator()).eval()
    state, x = net.state_dict(), pictures(2, 3, 16, 16)

    def layer(x, name, number, stride=1):
        x = F.conv2d(x, state[f"{name}conv{number}.weight"], None, stride, 1)
        norm = f"{name}bn{number}."
        kept = (state[norm + word] for word in ("running_mean", "running_var", "weight", "bias"))
        return F.relu(F.batch_norm(x, *kept))

    y = layer(x, "", 1)
    for stage in (1, 2, 3):
        for block in range(3):
            name = f"layer{stage}.{block}."
            y = layer(layer(y, name, 1, 2 if stage > 1 and block == 0 else 1), name, 2)
    wanted = F.linear(y.mean((2, 3)), state["fc.weight"], state["fc.bias"])
    with torch.no_grad():
        torch.testing.assert_close(net(x), wanted)


@pytest.mark.parametrize("name", ["googlenet", "googlenet_2014", "inception_v3"])
def test_side_losses_have_weights_of_your_own(name):
    small: Any = CATALOG[name].small
    default: Any = CATALOG[name].options["aux_weights"].default
    assert default == ((0.4,) if name == "inception_v3" else (0.3, 0.3))
    x, target = pictures(4, 3, *[small.size] * 2), torch.tensor([0, 1, 2, 0])

    def parts(**given):
        net = build(
            name, size=small.size, width=small.width, num_classes=3, drop_rate=0.0, generator=generator(), **given
        )  # fmt: skip
        each: list[torch.Tensor] = []

        def loss(answer, target):
            each.append(F.cross_entropy(answer, target))
            return each[-1]

        _, value = net.objective(x, target, loss)
        return value, each

    for given, weights in (
        ({}, default),
        ({"aux_weights": 1}, (1,) * len(default)),
        ({"aux_weights": [0.5, 2][: len(default)]}, (0.5, 2)[: len(default)]),
    ):
        value, (main, *sides) = parts(**given)
        wanted = main + sum(w * side for w, side in zip(weights, sides, strict=True))
        torch.testing.assert_close(value, wanted)
    with pytest.raises(ArgumentError, match=r"aux_weights takes .* from 0 up, as in 0\.[34]"):
        build(name, aux_weights=[1, 1, 1])


def test_options_are_typed_on_the_command_line_as_they_are():
    recipe = read_recipe("quick", {"net": "googlenet", "aux_weights": "1,0.5"})
    assert build("googlenet", size=64, width=0.25, **recipe.options).shares == (1.0, 0.5)
    recipe = read_recipe("quick", {"net": "yolo_grid", "stride": "16"})
    assert build("yolo_grid", size=64, width=0.25, **recipe.options).strides[-1] == 16


@pytest.mark.parametrize("name", ["alexnet_2012", "zfnet", "alexnet", "bn_alexnet"])
def test_alexnets_take_the_activations_that_the_course_compares(name):
    form = {"size": 80, "width": 0.125, "num_classes": 3}
    relu, tanh = (build(name, act=act, generator=generator(), **form) for act in ("relu", "tanh"))
    assert kinds(relu).count("ReLU") == kinds(tanh).count("Tanh") == 7
    assert relu.state_dict().keys() == tanh.state_dict().keys()
    layers = [module for module in tanh.features if isinstance(module, nn.Conv2d | nn.Tanh)]
    assert [type(module).__name__ for module in layers] == ["Conv2d", "Tanh"] * 5


@pytest.mark.parametrize("name", ["alexnet_2012", "zfnet", "alexnet"])
def test_alexnets_are_normalised_on_request(name):
    form = {"size": 80, "width": 0.125, "num_classes": 3}
    assert not any("BatchNorm" in kind for kind in kinds(build(name, init=False, **form)))
    net = build(name, batch_norm=True, generator=generator(), **form).eval()
    assert kinds(net).count("BatchNorm2d") == 5
    assert kinds(net).count("BatchNorm1d") == 2
    order = [type(module).__name__ for module in net.features]
    for place, kind in enumerate(order):
        if kind == "BatchNorm2d":
            assert (order[place - 1], order[place + 1]) == ("Conv2d", "ReLU")
    assert isinstance(net.get_submodule(net.head), nn.Linear)
    net.train()
    answer, loss = net.objective(
        pictures(4, 3, 80, 80), torch.tensor([0, 1, 2, 0]), F.cross_entropy
    )
    loss.backward()
    assert answer.shape == (4, 3)
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("act", ["relu", "tanh", "sigmoid"])
def test_a_normalised_lenet_normalises_before_every_activation(act):
    net = build("lenet5", act=act, batch_norm=True, generator=generator())
    net(pictures(32, 1, 28, 28))  # statistics of its own
    net.eval()
    x = pictures(3, 1, 28, 28)
    f = {"relu": F.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}[act]
    y = F.max_pool2d(f(net.norm1(F.conv2d(x, net.conv1.weight, None, padding=2))), 2)
    y = F.max_pool2d(f(net.norm2(F.conv2d(y, net.conv2.weight))), 2).flatten(1)
    y = f(net.norm4(F.linear(f(net.norm3(F.linear(y, net.fc1.weight))), net.fc2.weight)))
    with torch.no_grad():
        torch.testing.assert_close(net(x), net.fc3(y))
    assert set(build("lenet5").state_dict()) < set(net.state_dict()) | {
        f"{name}.bias" for name in ("conv1", "conv2", "fc1", "fc2")
    }


def test_the_net_of_29x29_has_the_maps_that_the_course_shows():
    net = build("mcdnn_mnist", generator=generator()).eval()
    sheet = striate.measure(net, (1, 29, 29))
    shapes = {layer.path: tuple(layer.output) for layer in sheet.layers}
    assert [shapes[name] for name in ("conv1", "pool1", "conv2", "pool2", "fc1", "fc2")] == [
        (20, 26, 26),
        (20, 13, 13),
        (40, 9, 9),
        (40, 3, 3),
        (150,),
        (10,),
    ]
    assert (net.conv1.kernel_size, net.conv2.kernel_size) == ((4, 4), (5, 5))
    assert sheet.totals.params == 20 * 17 + 40 * 501 + 150 * 361 + 10 * 151
    x = pictures(2, 1, 29, 29)

    def f(x):
        return 1.7159 * torch.tanh(2 / 3 * x)

    y = F.max_pool2d(f(net.conv1(x)), 2)
    y = F.max_pool2d(f(net.conv2(y)), 3).flatten(1)
    with torch.no_grad():
        torch.testing.assert_close(net(x), net.fc2(f(net.fc1(y))))
    assert all(float(p.detach().abs().max()) <= 0.05 for p in net.parameters())


def test_bn_nin_for_imagenet_layer_by_layer():
    with torch.device("meta"):
        net = build("bn_nin_imagenet", init=False).eval()
        maps = [tuple(m.shape[1:]) for m in net.features(torch.empty(1, 3, 224, 224))]
    assert maps == [(96, 56, 56), (256, 28, 28), (384, 14, 14), (1024, 7, 7)]
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    wanted = [(n, k) for n, k in ((96, 11), (256, 5), (384, 3), (1024, 3)) for k in (k, 1, 1)]
    assert [(c.out_channels, c.kernel_size[0]) for c in convs] == wanted
    assert kinds(net).count("BatchNorm2d") == kinds(net).count("ReLU") == 12
    by_hand = sum(
        before * n * k * k + n + 3 * 2 * n + 2 * (n * n + n)
        for before, n, k in ((3, 96, 11), (96, 256, 5), (256, 384, 3), (384, 1024, 3))
    )
    assert CATALOG["bn_nin_imagenet"].params == by_hand + 1024 * 1000 + 1000


def test_enet_for_imagenet_is_the_encoder_and_one_linear_layer():
    whole, net = (build(name, generator=generator()) for name in ("enet", "enet_imagenet"))
    encoder = {k for k in whole.state_dict() if k.split(".")[0] in ("initial", *(f"bottleneck{i}" for i in (1, 2, 3)))}  # fmt: skip
    assert net.state_dict().keys() == encoder | {"fc.weight", "fc.bias"}
    taken = whole.state_dict()
    net.load_state_dict({**net.state_dict(), **{k: taken[k] for k in encoder}})
    x = pictures(1, 3, 64, 64)
    with torch.no_grad():
        for own, its in zip(net.eval().features(x), whole.eval().features(x), strict=True):
            assert torch.equal(own, its)
    assert net.fc.in_features == 128


@pytest.mark.parametrize("backbone", ["alexnet", "googlenet", "squeezenet1_1", "resnet20_cifar"])
def test_the_detector_takes_the_coarsest_maps_of_any_backbone(backbone):
    small = CATALOG[backbone].small
    net = build(
        "yolo_grid", backbone=backbone, size=128, width=small.width, num_classes=2, init=False
    )
    stride = max(s for s in CATALOG[backbone].strides if s <= 32)
    assert net.strides[-1] == stride
    with torch.device("meta"):
        net = build(
            "yolo_grid", backbone=backbone, size=128, width=small.width, num_classes=2, init=False
        )
        answer = net.eval()(torch.empty(1, 3, 128, 128))
    assert answer.shape[1] == 12
    assert backbone in backbones()


TAUGHT = {"neocognitron": ("1979", "1980"), "tdnn": ("1987", "1989"), "alexnet_2012": ("20 epochs", "about 90"), "googlenet_2014": ("1, 1 and 1", "0.3 and 0.3")}  # fmt: skip


def test_what_courses_say_otherwise_stands_beside_the_papers_figure():
    told = {row["name"]: str(row["taught"]) for row in nets().as_list() if "taught" in row}
    assert told.keys() == TAUGHT.keys()
    for name, words in TAUGHT.items():
        assert all(word in told[name] for word in words), told[name]
        assert CATALOG[name].year in (1980, 1989, 2012, 2014)


def test_the_share_of_weights_in_linear_layers_of_alexnet_is_counted():
    net = build("alexnet_2012", init=False)
    linear = sum(
        p.numel() for m in net.modules() if isinstance(m, nn.Linear) for p in m.parameters()
    )
    assert f"{linear / CATALOG['alexnet_2012'].params:.0%}" == "96%"
    assert "96 %" in CATALOG["alexnet_2012"].taught
    assert "90 %" in CATALOG["alexnet_2012"].taught
    assert read_recipe("alexnet2012").epochs == 90
