"""Which pixels reach a value, by gradients through the structure."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.errors import ArgumentError, ShapeError
from striate.models.catalog import build
from twins.fields.reach import reach


class Cross(nn.Module):
    """A row and a column: a field that is no rectangle."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(1, 2, (1, 5), padding=(0, 2))
        self.high = nn.Conv2d(1, 2, (5, 1), padding=(2, 0))

    def forward(self, x):
        return self.wide(x) + self.high(x)


def test_the_mask_shows_the_shape_of_the_field():
    found = reach(Cross(), (1, 9, 9))
    assert (found.at, found.box) == ((4, 4), ((2, 6), (2, 6)))
    expected = torch.zeros(9, 9, dtype=torch.bool)
    expected[4, 2:7] = expected[2:7, 4] = True
    assert torch.equal(found.mask, expected)
    assert found.as_dict() == {"layer": "", "at": [4, 4], "box": [[2, 6], [2, 6]], "pixels": 9}
    assert str(found) == "the net at 4,4 reads 9 pixels within 2..6 x 2..6"


def test_signs_weights_and_activations_do_not_hide_a_path():
    net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1), nn.ReLU(), nn.MaxPool2d(2))
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    assert reach(net, (1, 8, 8), at=(0, 1)).box == ((0, 3), (2, 5))
    assert reach(net, (1, 8, 8), "0", at=(0, 1)).box == ((0, 2), (1, 3))


def test_a_hundred_layers_neither_over_nor_underflow():
    net = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(100)))
    found = reach(net, (1, 221, 221))
    assert found.box == ((10, 210), (10, 210))
    assert found.mask.sum() == 201**2


def test_the_field_of_a_resnet_is_435_and_the_net_as_before():
    net = build("resnet18").train()
    state = {key: value.clone() for key, value in net.state_dict().items()}
    seed = torch.get_rng_state()
    assert reach(net, (3, 448, 448), "layer4", at=(7, 6)).box == ((7, 441), (0, 409))
    assert torch.equal(torch.get_rng_state(), seed)
    assert net.training
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


def test_a_value_that_reads_nothing():
    net = nn.Sequential(nn.ConvTranspose1d(1, 1, 1, stride=2))
    found = reach(net, (1, 5), at=(3,))
    assert found.box is None
    assert str(found) == "the net at 3 reads no pixel"
    assert reach(net, (1, 5), at=(4,)).box == ((2, 2),)


def test_a_dense_layer_reads_everything():
    found = reach(build("lenet5"))
    assert (found.at, found.box) == ((), ((0, 27), (0, 27)))
    assert str(found) == "the net at its one place reads 784 pixels within 0..27 x 0..27"


class Scans(nn.Module):
    def forward(self, x):
        return torch.histc(F.relu(x), 4).view(1, 1, 2, 2)


def test_what_cannot_be_asked():
    net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Identity())
    with pytest.raises(ArgumentError) as error:
        reach(net, (1, 5, 5), "2")
    assert str(error.value).startswith("the net has no layer '2'; ")
    with pytest.raises(ArgumentError) as error:
        reach(net, (1, 5, 5), "1")
    assert str(error.value) == "1 computes nothing in this run; choose a layer of the sheet"
    with pytest.raises(ArgumentError) as error:
        reach(net, (1, 5, 5), at=(3, 0))
    assert str(error.value) == "at=(3, 0): the net gives maps of 3x3; give 2 numbers from 0 on"
    with pytest.raises(ArgumentError) as error:
        reach(Scans(), (1, 5, 5))
    assert str(error.value) == (
        "the structure of histc is not known, so no path can be followed through it; "
        "choose a layer before it"
    )
    with pytest.raises(ArgumentError) as error:
        reach(nn.Linear(3, 2), (3,))
    assert str(error.value) == (
        "the net reads no picture: no input has axes after items and channels"
    )
    with pytest.raises(ShapeError):
        reach(net, (2, 5, 5))
