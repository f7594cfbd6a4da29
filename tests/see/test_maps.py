"""Feature maps: the numbers are PyTorch's, the stages sensible, the net as before."""

import base64
import io
import json
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from striate.errors import ArgumentError, ShapeError
from striate.see import Maps, maps, paint
from striate.see.pictures.maps import Stage


def lenet() -> nn.Module:
    parts = [
        ("conv1", nn.Conv2d(1, 6, 5, padding=2)),
        ("act1", nn.ReLU(inplace=True)),
        ("pool1", nn.MaxPool2d(2)),
        ("block", nn.Sequential(nn.Conv2d(6, 16, 3, padding=1), nn.BatchNorm2d(16), nn.Tanh())),
        ("gap", nn.AdaptiveAvgPool2d(1)),
        ("drop", nn.Dropout(0.5)),
        ("flat", nn.Flatten()),
        ("fc", nn.Linear(16, 3)),
    ]
    return nn.Sequential(OrderedDict(parts))


def pictures(n: int = 3, channels: int = 1) -> torch.Tensor:
    return torch.rand(n, channels, 12, 12, generator=torch.Generator().manual_seed(0))


def test_numbers_are_those_of_the_net_in_evaluation():
    net, x = lenet(), pictures()
    found = maps(net, x, ["conv1", "block"], limit=4)
    net.eval()
    with torch.no_grad():
        conv = net.get_submodule("conv1")(x)
        pooled = net.get_submodule("pool1")(torch.relu(conv))
        block = net.get_submodule("block")(pooled)
    # the activation after conv1 works in place, yet its input is shown as it was
    assert np.array_equal(found.stages[0].values, conv[:, :4].numpy())
    assert np.allclose(found.stages[1].values, block[:, :4].numpy(), rtol=0, atol=1e-6)
    assert np.array_equal(found.inputs, x.numpy())


def test_default_stages_stand_last_at_each_resolution():
    found = maps(lenet(), pictures())
    assert [stage.path for stage in found.stages] == ["act1", "block"]
    assert [stage.op for stage in found.stages] == ["ReLU", "Sequential"]
    assert found.as_dict()["items"] == 3
    assert [stage["shape"] for stage in found.as_dict()["stages"]] == [[6, 12, 12], [16, 6, 6]]
    assert [stage["shown"] for stage in found.as_dict()["stages"]] == [6, 8]
    assert json.dumps(found.as_dict())


def test_colours_are_around_zero_only_where_values_below_it_occur():
    plain, signed = maps(lenet(), pictures()).stages
    assert not plain.signed
    assert signed.signed
    assert np.array_equal(
        plain.tiles(1)[2], paint.sequential(plain.values[1, 2], plain.values.max())
    )
    top = np.abs(signed.values).max()
    assert np.array_equal(signed.tiles(0)[1], paint.diverging(signed.values[0, 1], top))


def test_inputs_are_shown_grey_or_in_colour():
    assert maps(nn.Conv2d(1, 2, 3), pictures(), "").pictures()[0].shape == (12, 12, 3)
    net, x = nn.Conv2d(3, 2, 3), pictures(2, 3)
    shown = maps(net, x, "").pictures()
    assert len(shown) == 2
    assert np.array_equal(shown[1], paint.stretch(x[1].permute(1, 2, 0).numpy()))


def test_items_and_one_path_as_text():
    found = maps(lenet(), pictures(5), "pool1", items=2)
    assert found.stages[0].values.shape == (2, 6, 6, 6)
    assert "pool1  MaxPool2d  6x6x6" in found.as_text()
    assert found.picture().width > 6 * 60
    markup = found._repr_html_()
    assert markup.count("<img src=") == 2 * len(found.inputs)  # what it was given, and one stage
    assert "pool1" in markup


def test_the_net_and_the_random_state_stay_as_they_were():
    net = lenet().train()
    net.get_submodule("block").eval()
    modes = [module.training for module in net.modules()]
    state = {name: value.clone() for name, value in net.state_dict().items()}
    random = torch.get_rng_state()
    maps(net, pictures())
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(not module._forward_hooks for module in net.modules())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())


def test_the_net_stays_after_an_error():
    net = lenet().train()
    with pytest.raises(RuntimeError):
        maps(net, pictures(channels=2))
    assert all(module.training for module in net.modules())
    assert all(not module._forward_hooks for module in net.modules())


class Loud(nn.Module):
    """Draws random numbers even in evaluation."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x):
        return self.conv(x + torch.rand_like(x))


def test_a_net_that_draws_leaves_the_random_state():
    net, before = Loud(), torch.get_rng_state()
    maps(net, pictures())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("images", "arguments", "kind", "message"),
    [
        (
            torch.zeros(1, 12, 12),
            {},
            ShapeError,
            "images: got shape (1, 12, 12), expected (items, channels, height, width)",
        ),
        (pictures(), {"limit": 0}, ArgumentError, "limit=0, items=8: expected at least 1 of each"),
        (
            pictures(),
            {"layers": ["fc"]},
            ArgumentError,
            "fc: gives no maps [items, channels, height, width]",
        ),
        (
            pictures(),
            {"layers": "pool3"},
            ArgumentError,
            (
                "the net has no layer 'pool3'; did you mean pool1? There are: act1, block, block.0,"
                " block.1, block.2, conv1, drop, fc, flat, gap, pool1"
            ),
        ),
    ],
)
def test_messages(images, arguments, kind, message):
    with pytest.raises(kind) as caught:
        maps(lenet(), images, **arguments)
    assert str(caught.value) == message


def test_a_net_without_maps_is_named():
    net = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))
    with pytest.raises(ArgumentError) as caught:
        maps(net, pictures())
    assert str(caught.value) == "Sequential: no layer gives maps [items, channels, height, width]"


def test_many_maps_are_wrapped():
    """A browser shows no picture of 2,048 maps in one row."""
    values = np.random.default_rng(0).random((1, 40, 8, 8), dtype=np.float32)
    found = Maps(np.zeros((1, 1, 8, 8), np.float32), (Stage("a", "Conv2d", 40, values),))
    assert found.picture().size == (17 * 68 + 4, 3 * 68 + 4)
    sheets = re.findall(r"base64,([^\"]+)", found.as_html())
    with Image.open(io.BytesIO(base64.b64decode(sheets[1]))) as sheet:
        assert sheet.size == (16 * 68 + 4, 3 * 68 + 4)
