"""The measured gradient map: by hand on small nets, and that the net stays as it was."""

import math

import pytest
import torch
from torch import nn

from striate.errors import ArgumentError, ShapeError
from striate.measuring import effective, measure
from striate.models.catalog import build


def averaging(layers, kernel=3):
    """Convolutions that take the mean of their window."""
    net = nn.Sequential(
        *(nn.Conv2d(1, 1, kernel, padding=kernel // 2, bias=False) for _ in range(layers))
    )
    for parameter in net.parameters():
        nn.init.constant_(parameter, 1 / kernel**2)
    return net


@pytest.mark.parametrize("layers", [1, 4, 9])
def test_the_width_of_repeated_averages(layers):
    # Each adds the variance of three cells in a row, 2/3; the field itself is 2 layers + 1 wide.
    found = effective(averaging(layers), torch.rand(2, 1, 31, 31))
    assert found.at == (15, 15)
    assert found.centre == pytest.approx((15, 15))
    assert found.width == pytest.approx((math.sqrt(layers * 2 / 3),) * 2)
    assert found.map.sum() == pytest.approx(1, rel=1e-5)
    assert (found.map > 0).sum() == (2 * layers + 1) ** 2


def test_the_map_is_the_mean_of_absolute_gradients():
    net = nn.Sequential(nn.Conv2d(2, 1, (1, 2), bias=False), nn.ReLU())
    net.load_state_dict({"0.weight": torch.tensor([[[[1.0, -2]], [[3.0, 4]]]])})
    x = torch.zeros(2, 2, 3, 4)
    x[0, 1] = 1  # its place answers 7; that of the other item is at rest
    found = effective(net, x, at=(1, 2))
    expected = torch.zeros(3, 4, dtype=torch.float64)
    expected[1, 2], expected[1, 3] = (1 + 3) / 4, (2 + 4) / 4
    torch.testing.assert_close(found.map, expected)
    assert found.as_dict() == {
        "layer": "", "at": [1, 2], "items": 2,
        "centre": pytest.approx([1, 2.6]), "width": pytest.approx([0, math.sqrt(0.24)]),
    }  # fmt: skip
    assert str(found) == (
        "the net at 1,2: Gaussian of width 0.0 x 0.5 pixels about 1.0, 2.6, mean of 2 items"
    )


def test_it_lies_within_the_theoretical_field_and_the_net_is_as_before():
    net = build("resnet18").train()
    net.get_submodule("layer1").requires_grad_(requires_grad=False)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    seed = torch.get_rng_state()
    x = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    found = effective(net, x, "layer2.0.conv1")
    field = next(
        row.field for row in measure(net, (3, 96, 96)).layers if row.path == "layer2.0.conv1"
    )
    assert field
    rows = found.map.sum(1).nonzero().flatten()
    low = field.start[0] + field.stride[0] * found.at[0]
    assert (rows.min(), rows.max()) == (low, low + field.size[0] - 1)
    assert found.width
    assert 1 < found.width[0] < field.size[0] / math.sqrt(12)
    assert net.training
    assert torch.equal(torch.get_rng_state(), seed)
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())
    assert not x.requires_grad


def test_what_an_in_place_layer_does_afterwards_does_not_count():
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(inplace=True))
    net.load_state_dict({"0.weight": torch.full((1, 1, 1, 1), -1.0)})
    x = torch.ones(1, 1, 3, 3)
    assert effective(net, x, "0").map[1, 1] == 1
    still = effective(net, x, "1")
    assert (still.centre, still.width) == (None, None)
    assert str(still) == "1 at 1,1: no pixel of 1 items has a gradient"


def test_one_axis_and_what_cannot_be_asked():
    net = nn.Sequential(nn.Conv1d(1, 1, 3, bias=False), nn.Identity())
    nn.init.ones_(net.get_parameter("0.weight"))
    assert effective(net, torch.zeros(1, 1, 9), at=[0]).centre == pytest.approx((1,))
    with pytest.raises(ArgumentError) as error:
        effective(net, torch.zeros(1, 1, 9), at=(7,))
    assert str(error.value) == "at=(7,): the net gives maps of 7; give 1 numbers from 0 on"
    with pytest.raises(ArgumentError):
        effective(net, torch.zeros(1, 1, 9), "2")
    with pytest.raises(ShapeError) as caught:
        effective(nn.Linear(3, 2), torch.zeros(1, 3))
    assert str(caught.value) == "got items 3; a field needs axes after the channels"
