"""A swap of strides keeps weights, sizes and the caller's net, and a shift by one pixel then moves less of a map."""

from typing import Any

import pytest
import torch
from torch import nn

import striate
from striate.auditing.antialias import BlurredStride, binomial, blurred
from striate.layers import pool
from striate.models import catalog


@pytest.mark.parametrize("side", [15, 16, 17, 24])
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.Conv2d(3, 4, 1, stride=2, bias=False),
        nn.Conv2d(3, 4, 5, stride=3, padding=2, dilation=2),
        nn.Conv2d(3, 4, 7, stride=(1, 4)),
        nn.MaxPool2d(2),
        nn.MaxPool2d(3, 2, padding=1),
        nn.AvgPool2d(2),
        pool.HalvingMaxPool2d(),
    ],
)
def test_sizes_are_those_of_the_strided_layer(layer, side):
    net = nn.Sequential(layer)
    found, paths = blurred(net)
    x = torch.randn(2, 3, side, side)
    assert paths == ["0"]
    assert found(x).shape == net(x).shape
    assert isinstance(net[0], type(layer))  # the caller's net is as it was


class Padded(nn.Conv2d):
    """Pads by its own stride, as convolutions of "same" size do."""

    def forward(self, input):
        return super().forward(nn.functional.pad(input, (0, self.stride[0] - 1)))


@pytest.mark.parametrize(
    "layer",
    [
        nn.MaxPool2d(2, return_indices=True),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.AvgPool2d(3, 2, padding=1, count_include_pad=False),
        pool.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
        Padded(3, 4, 3, stride=2),
    ],
)
def test_what_cannot_be_replaced_is_left_as_it_is(layer):
    found, paths = blurred(nn.Sequential(layer))
    assert paths == []
    kept: Any = found.get_submodule("0")
    assert type(kept) is type(layer)
    assert kept.stride == layer.stride


def test_a_layer_of_two_names_is_changed_under_both():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 3, 3, stride=2, padding=1)
            self.block = nn.Sequential(nn.ReLU(), self.first)

        def forward(self, x):
            return self.block(self.first(x))

    net = Twice()
    x = torch.randn(1, 3, 16, 16)
    found, paths = blurred(net)
    assert paths == ["first", "block.1"]
    assert found.get_submodule("first") is found.get_submodule("block.1")
    assert found(x).shape == net(x).shape == (1, 3, 4, 4)
    assert net.first.stride == (2, 2)


def test_a_constant_map_is_left_as_it_is():
    net = nn.Sequential(nn.AvgPool2d(2))
    x = torch.full((1, 2, 8, 8), 3.0)
    assert torch.allclose(blurred(net)[0](x), net(x))


def test_it_is_the_unstrided_layer_blurred_and_thinned():
    layer = nn.Conv2d(1, 1, 3, stride=2, padding=1, bias=False)
    x = torch.randn(1, 1, 9, 9)
    whole = nn.functional.conv2d(x, layer.weight, padding=1)[0, 0]
    line = torch.tensor([1.0, 2.0, 1.0]) / 4
    wanted = (whole[3:6, 1:4] * torch.outer(line, line)).sum()  # about row 4, column 2
    assert blurred(nn.Sequential(layer))[0](x)[0, 0, 2, 1].item() == pytest.approx(
        wanted.item(), abs=1e-6
    )


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_weights_of_a_blur_sum_to_one(stride):
    found = binomial(stride)
    assert len(found) == 2 * stride - 1
    assert found.sum().item() == pytest.approx(1)


def test_an_alternating_map_no_longer_depends_on_where_the_stride_begins():
    """Of columns 0 1 0 1 ... a stride of 2 reads all or nothing; after a blur both shifts read one half."""
    x = (torch.arange(16) % 2).float().expand(1, 1, 16, 16)
    net = nn.Sequential(nn.Conv2d(1, 1, 1, stride=2, bias=False))
    nn.init.ones_(net.get_parameter("0.weight"))
    moved = x.roll(1, 3)
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    assert (net(x) - net(moved))[inner].abs().min() == 1
    found = blurred(net)[0]
    assert (found(x) - found(moved))[inner].abs().max() < 1e-6


@pytest.mark.parametrize("name", ["lenet5", "resnet20_cifar"])
def test_nets_of_the_catalogue_have_strides_to_blur(name):
    net = catalog.build(name, num_classes=3, generator=torch.Generator().manual_seed(0))
    found, paths = blurred(net)
    assert paths
    assert any(isinstance(layer, BlurredStride) for layer in found.modules())
    x = torch.randn(2, *catalog.entry(name).input)
    assert found.eval()(x).shape == net.eval()(x).shape


def test_the_card_names_both_sides(own):
    found = striate.audit(own, only=["equivariance"]).findings
    card = next(each for each in found if "no training after that" in each.text)
    assert [row["shift"] for row in card.evidence] == list(range(1, 9))
    assert all({"before", "after"} <= set(row) for row in card.evidence)
    assert card.severity == "pass"
    assert card.advice == ""
