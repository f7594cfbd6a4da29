"""Network in network against the papers and the authors' files: layers, counts, a plain reference."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

import striate
from striate.errors import ShapeError
from striate.models.catalog import build, entry

# Maps of the convolution and the 1x1 ones of each block, kernel, stride, padding; sides behind each block.
CIFAR = [
    ((192, 160, 96), 5, 1, 2),
    ((192, 192, 192), 5, 1, 2),
    ((192, 192, 10), 3, 1, 1),
]
IMAGENET = [
    ((96, 96, 96), 11, 4, 0),
    ((256, 256, 256), 5, 1, 2),
    ((384, 384, 384), 3, 1, 1),
    ((1024, 1024, 1000), 3, 1, 1),
]
NETS = {
    "nin_cifar10": (CIFAR, (32, 16, 8)),
    "nin_imagenet": (IMAGENET, (54, 27, 13, 6)),
    "bn_nin": (CIFAR, (32, 16, 8)),
}


def meta(name, **settings):
    with torch.device("meta"):
        return build(name, init=False, **settings)


@pytest.mark.parametrize("name", NETS)
def test_layers_parameters_and_multiply_adds_by_hand(name):
    net = meta(name)
    blocks, sides = NETS[name]
    layers = [
        layer for layer in striate.measure(net, net.input_shape).layers if "conv2d" in layer.op
    ]
    normalised = name == "bn_nin"
    inputs, params, macs, found = entry(name).input[0], 0, 0, iter(layers)
    for (maps, kernel, stride, padding), side in zip(blocks, sides, strict=True):
        for place, count in enumerate(maps):
            window = kernel if place == 0 else 1
            outputs = count * (5 if normalised and place else 1)  # five linear pieces a unit
            conv = next(found)
            assert conv.output == (outputs, side, side)
            if not normalised:
                module: Any = net.get_submodule(conv.path)
                given = (kernel, stride, padding) if place == 0 else (1, 1, 0)
                assert (module.kernel_size[0], module.stride[0], module.padding[0]) == given
            params += outputs * (inputs * window**2 + 1 + 2 * normalised)
            macs += side**2 * outputs * inputs * window**2
            inputs = count
    assert next(found, None) is None
    assert (entry(name).params, entry(name).macs) == (params, macs)


def test_the_weights_for_imagenet_take_what_the_authors_print():
    assert round(entry("nin_imagenet").params * 4 / 2**20) == 29


def test_layers_have_the_names_of_the_authors_files():
    kernels = [path for path in meta("nin_imagenet").state_dict() if path.endswith("weight")]
    names = ["conv1", "cccp1", "cccp2", "conv2", "cccp3", "cccp4", "conv3", "cccp5", "cccp6"]
    names += ["conv4", "cccp7"]
    assert kernels == [f"features.{name}.weight" for name in names] + ["classifier.cccp8.weight"]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("nin_cifar10", ["MaxPool2d", "Dropout", "AvgPool2d", "Dropout", "GlobalAvgPool"]),
        ("nin_imagenet", ["MaxPool2d"] * 3 + ["Dropout", "GlobalAvgPool"]),
        ("bn_nin", ["AvgPool2d", "Dropout", "AvgPool2d", "Dropout", "GlobalAvgPool"]),
    ],
)
def test_poolings_and_dropout_are_where_the_authors_have_them(name, kinds):
    found = [type(module).__name__ for module in meta(name).modules()]
    assert [kind for kind in found if "Pool" in kind or kind == "Dropout"] == kinds


def maxout(x, s, layer, *, pieces):
    norm = [s[f"{layer}.norm.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    x = F.batch_norm(x, *norm)
    return torch.stack([x[:, i::pieces] for i in range(pieces)]).amax(0)


def reference(s, x, *, name):
    """By plain calls, the layers in their order."""
    blocks, _ = NETS[name]
    unit = 0
    for number, (maps, _, stride, padding) in enumerate(blocks, start=1):
        if number > 1:
            averages = name == "bn_nin" or (name == "nin_cifar10" and number == 3)
            pool = F.avg_pool2d if averages else F.max_pool2d
            x = pool(x, 3, 2, ceil_mode=True)
        for place in range(len(maps)):
            unit += place > 0
            last = number == len(blocks) and place == 2
            path = f"conv{number}" if place == 0 else f"cccp{unit}"
            path = f"{'classifier' if last else 'features'}.{path}"
            how = {"stride": stride, "padding": padding} if place == 0 else {}
            inner = f"{path}.conv" if name == "bn_nin" else path
            x = F.conv2d(x, s[f"{inner}.weight"], s[f"{inner}.bias"], **how)
            x = maxout(x, s, path, pieces=5 if place else 1) if name == "bn_nin" else F.relu(x)
    return x.mean((2, 3))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("size", [(64, 64), (47, 55)])
def test_it_computes_what_the_paper_says(name, size):
    generator = torch.Generator().manual_seed(2)
    net = build(name, size=size, width=0.25, generator=generator).double().eval()
    for path, tensor in net.state_dict().items():
        if "norm" in path and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.ndim == 1:
            tensor.uniform_(0, 0.1, generator=generator)
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        assert net(x).any()
        torch.testing.assert_close(net(x), reference(net.state_dict(), x, name=name))


def test_a_new_head_of_maxout_units_has_its_own_normalisation():
    net = build("bn_nin", size=16, width=0.25).eval()
    net.reset_head(4, generator=torch.Generator().manual_seed(1))
    assert net.get_parameter("classifier.cccp6.conv.weight").shape == (20, 48, 1, 1)
    assert net.get_parameter("classifier.cccp6.norm.weight").shape == (20,)
    assert net(torch.rand(2, 3, 16, 16)).shape == (2, 4)


@pytest.mark.parametrize(
    ("name", "least", "last"), [("nin_cifar10", 4, 3), ("nin_imagenet", 39, 4)]
)
def test_the_least_picture_fits_and_the_next_smaller_is_refused(name, least, last):
    net = build(name, size=least, width=0.25).eval()
    classes = entry(name).classes
    assert net(torch.zeros(1, 3, least, least)).shape == (1, classes)
    with pytest.raises(ShapeError) as error:
        build(name, size=(least - 1, 224))
    assert str(error.value) == (
        f"{name}: conv{last} needs pictures of at least {least}x{least}; "
        f"got {least - 1}x224; enlarge them with size={least}"
    )


@pytest.mark.parametrize("seed", range(6))
def test_no_class_is_dead_at_the_start(seed):
    """Behind the last ReLU a class of zeros alone has no gradient; with biases of zero seed 2 has one."""
    net = build(
        "nin_cifar10",
        in_channels=1,
        size=28,
        width=0.25,
        generator=torch.Generator().manual_seed(seed),
    ).eval()
    x = torch.randn(64, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    assert (net(x) > 0).any(0).all()
    net.reset_head(7, generator=torch.Generator().manual_seed(seed))
    assert (net(x) > 0).any(0).all()
    assert net.get_parameter("classifier.cccp6.bias").tolist() == [1.0] * 7
