"""Pictures made by gradient: of nets whose answer is known, the picture is known too."""

import numpy as np
import pytest
import torch
from torch import nn

from striate import see
from striate.errors import ArgumentError, ShapeError
from striate.models import catalog
from striate.see.pictures.maximise import STARTS


class Halves(nn.Module):
    """Output 0 is the left half less the right one, output 1 the reverse, output 2 the upper less the lower."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        side, height = x.shape[3] // 2, x.shape[2] // 2
        left = (x[..., :side].mean((1, 2, 3)) - x[..., side:].mean((1, 2, 3))) * self.scale
        upper = x[:, :, :height].mean((1, 2, 3)) - x[:, :, height:].mean((1, 2, 3))
        return torch.stack([left, -left, upper], 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_ascent_draws_what_the_net_is_known_to_answer_to(channels):
    found = see.maximise(Halves(), layer="", shape=(channels, 16, 16), steps=64)
    left, right, upper = found.pictures.mean(1)
    assert left[:, :6].mean() - left[:, 10:].mean() > 0.5
    assert right[:, 10:].mean() - right[:, :6].mean() > 0.5
    assert upper[:6].mean() - upper[10:].mean() > 0.5
    assert all(value > usual for value, usual in zip(found.values, found.usual, strict=True))


class Closed(nn.Module):
    """Unit 0 answers to colours, unit 1 to contrast that a grey picture does not have, unit 2 to nothing."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        contrast = torch.relu(x.flatten(1).var(1) - 0.01) * self.scale
        return torch.stack([x.mean((1, 2, 3)), contrast, torch.relu(x.mean((1, 2, 3)) - 9)], 1)


def test_a_unit_that_is_closed_begins_again_from_noise_or_is_named():
    found = see.maximise(Closed(), layer="", shape=(1, 16, 16), steps=16)
    assert found.starts[0] == 1
    assert 1 < found.starts[1] <= len(STARTS)
    assert found.closed == (2,)
    assert found.values[1] > found.usual[1]
    again, shut = found.remarks()[2:]
    assert again.endswith("began from noise: 1.")
    assert shut.endswith("show nothing: 2.")
    assert shut in found.as_text()
    assert [row["closed"] for row in found.as_dict()["units"]] == [False, False, True]
    assert (
        len(see.maximise(Closed(), layer="", unit=[0], shape=(1, 16, 16), steps=2).remarks()) == 2
    )


def test_the_values_are_those_of_the_net():
    net = catalog.build("lenet5", generator=torch.Generator().manual_seed(0)).eval()
    found = see.maximise(net, layer="conv2", unit=[3, 5], shape=(1, 28, 28), steps=8)
    x = torch.from_numpy(found.pictures)
    seen: dict[str, torch.Tensor] = {}
    handle = net.get_submodule("conv2").register_forward_hook(
        lambda _m, _i, out: seen.update(out=out.detach())
    )
    net(x)
    handle.remove()
    wanted = [seen["out"][i, unit].mean().item() for i, unit in enumerate((3, 5))]
    assert found.values == pytest.approx(wanted, rel=1e-5)


def test_more_steps_reach_more():
    net = catalog.build("lenet5", generator=torch.Generator().manual_seed(0))
    few, many = (see.maximise(net, shape=(1, 28, 28), steps=n).values for n in (2, 60))
    assert np.mean(many) > np.mean(few)


def test_a_layer_that_keeps_all_gives_the_picture_back():
    net = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    y, x = torch.meshgrid(torch.linspace(0, 1, 16), torch.linspace(0, 1, 16), indexing="ij")
    picture = torch.stack([x, y, (x + y) / 2])[None]
    found = see.invert(net, picture, layer=["0"], steps=150)
    assert np.abs(found.pictures[0] - picture.numpy()).mean() < 0.05
    assert found.errors[0, 0] < 0.01


def test_deeper_layers_miss_no_more_features_than_noise_does():
    net = catalog.build("lenet5", generator=torch.Generator().manual_seed(0))
    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    found = see.invert(net, images, layer=["conv1", "conv2"], steps=60)
    assert (found.errors < 0.2).all()
    assert len(found.rows()) == 3


@pytest.mark.parametrize("name", ["maximise", "invert"])
def test_the_net_stays_as_it_was_and_has_no_gradients(name):
    net = catalog.build("lenet5", generator=torch.Generator().manual_seed(0)).train()
    net.get_parameter("conv1.weight").requires_grad_(False)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    if name == "maximise":
        see.maximise(net, shape=(1, 28, 28), steps=2)
    else:
        see.invert(net, torch.rand(1, 1, 28, 28), steps=2)
    assert net.training
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not net.get_parameter("conv1.weight").requires_grad
    assert net.get_parameter("conv2.weight").requires_grad


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda net: see.maximise(net, shape=(1, 28, 28), layer="conv9"), ArgumentError, "conv2"),
        (
            lambda net: see.maximise(net, shape=(1, 28, 28), unit=[10]),
            ArgumentError,
            "units 0 to 9",
        ),
        (lambda net: see.maximise(net, shape=(1, 28, 28), steps=0), ArgumentError, "steps=0"),
        (see.maximise, ShapeError, "shape=None"),
        (lambda net: see.invert(net, torch.zeros(1, 28, 28)), ShapeError, "got \\(1, 28, 28"),
        (lambda net: see.invert(net, torch.zeros(0, 1, 28, 28)), ShapeError, "images"),
    ],
)
def test_wrong_words(call, kind, says):
    with pytest.raises(kind, match=says):
        call(catalog.build("lenet5"))
