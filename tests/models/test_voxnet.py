"""The nets over volumes against what their papers print, and a plain reference."""

import pytest
import torch
from torch.nn import functional as F

import striate
from striate.errors import ShapeError
from striate.models.catalog import able, build, entry


def meta(name, **settings):
    with torch.device("meta"):
        return build(name, init=False, **settings)


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_voxnet_has_the_parameters_that_the_paper_prints():
    row = entry("voxnet")
    assert count(meta("voxnet")) == row.params == row.published.params == 921_736
    assert row.macs == 14**3 * 32 * 125 + 12**3 * 32 * 32 * 27 + 6912 * 128 + 128 * 40


def test_unet3d_has_the_parameters_that_the_paper_prints():
    """They are those of convolutions with a bias each; normalisation has two numbers a channel instead."""
    assert count(meta("unet3d", batch_norm=False)) == entry("unet3d").published.params
    channels = 32 + 64 + 64 + 128 + 128 + 256 + 256 + 512 + 2 * (256 + 128 + 64)
    assert count(meta("unet3d")) == 19_069_955 + channels == entry("unet3d").params


def test_unet3d_gives_the_sides_of_figure_2():
    assert meta("unet3d")(torch.empty(1, 3, 132, 132, 116, device="meta")).shape == (
        1,
        3,
        44,
        44,
        28,
    )


@pytest.mark.parametrize("size", [(32, 32, 32), (11, 15, 24)])
def test_voxnet_computes_what_the_paper_says(size):
    generator = torch.Generator().manual_seed(2)
    net = build("voxnet", size=size, width=0.25, num_classes=5, generator=generator).double().eval()
    x = torch.randn(2, 1, *size, dtype=torch.float64, generator=generator)
    w = net.state_dict()
    y = F.leaky_relu(F.conv3d(x, w["conv1.weight"], w["conv1.bias"], 2), 0.1)
    y = F.max_pool3d(F.leaky_relu(F.conv3d(y, w["conv2.weight"], w["conv2.bias"]), 0.1), 2)
    y = F.relu(F.linear(y.flatten(1), w["fc1.weight"], w["fc1.bias"]))
    with torch.no_grad():
        torch.testing.assert_close(net(x), F.linear(y, w["fc2.weight"], w["fc2.bias"]))


@pytest.mark.parametrize("size", [(12, 12, 12), (9, 14, 17)])
def test_the_padded_unet_answers_every_voxel(size):
    net = build("unet3d_same", size=size, width=0.0625, num_classes=3).eval()
    with torch.no_grad():
        assert net(torch.rand(2, 1, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("voxnet", 10, "volumes of at least 11x11x11; got 10x10x10; enlarge them with grid=11"),
        ("voxnet", (32, 32), "size takes one number or 3"),
        ("voxnet", (0, 32, 32), "the depth in size must be at least 1, got 0"),
        ("unet3d", 64, "sides of 92, 100, 108 and on by 8; got 64x64x64"),
    ],
)
def test_what_does_not_fit_is_said(name, size, words):
    with pytest.raises(ShapeError, match=words):
        build(name, size=size)


def test_nets_are_offered_for_volumes():
    assert able("classify", 4) == able("regress", 4) == ["voxnet"]
    assert able("segment", 4) == ["unet3d", "unet3d_same"]


@pytest.mark.parametrize("name", ["voxnet", "unet3d", "unet3d_same"])
def test_measuring_agrees_with_the_catalogue(name):
    row = entry(name)
    sheet = striate.measure(meta(name).eval(), row.input).as_dict()["totals"]
    assert (sheet["params"], sheet["macs"]) == (row.params, row.macs)
