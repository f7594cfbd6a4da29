"""Frequencies that kernels let pass, hand-made ones on a picture, and which unit feeds which."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate import see
from striate.errors import ArgumentError, ShapeError
from striate.models import catalog
from striate.ops.kernels import KERNELS
from striate.see.pictures.filters import SIZE, response


def test_the_gain_is_that_of_waves():
    """A kernel over a wave of each frequency of the plane answers with a wave of this amplitude."""
    kernel = np.random.default_rng(0).normal(size=(1, 3, 5)).astype(np.float32)
    found = response(kernel)
    y, x = np.mgrid[:3, :5]
    for i, j in [(16, 16), (20, 16), (3, 30), (16, 29)]:
        fy, fx = (np.fft.fftshift(np.fft.fftfreq(SIZE))[k] for k in (i, j))
        wave = np.exp(-2j * np.pi * (fy * y + fx * x))
        assert found.gain[i, j] == pytest.approx(abs((kernel[0] * wave).sum()), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "kind", "angle"),
    [
        ("gaussian", "low-pass", None),
        ("blur", "low-pass", None),
        ("laplacian", "high-pass", None),
        ("sobel vertical", "band-pass", 90),
        ("sobel horizontal", "band-pass", 0),
    ],
)
def test_known_kernels(name, kind, angle):
    found = response(KERNELS[name]().float().numpy()[None])
    assert found.kind == kind
    if angle is not None:
        assert found.angle == pytest.approx(angle, abs=1)
    if kind == "low-pass":
        assert found.peak == 0
        assert np.isnan(found.angle)


def test_filters_of_any_net():
    net = catalog.build("lenet5", generator=torch.Generator().manual_seed(0))
    found = see.filters(net, limit=4)
    assert (found.path, len(found.responses), found.of) == ("conv1", 4, 6)
    assert found.as_dict()["kernels"][0]["kind"] in ("low-pass", "band-pass", "high-pass", "flat")
    with pytest.raises(ArgumentError, match="1x1"):
        see.filters(nn.Sequential(nn.Conv2d(3, 4, 1)))
    with pytest.raises(ArgumentError, match="conv1"):
        see.filters(net, layer="cnv1")


def test_handmade_kernels_are_applied_by_cross_correlation():
    picture = torch.rand(1, 3, 12, 14, generator=torch.Generator().manual_seed(0))
    found = see.handmade(picture, kernel=("sobel vertical",))
    padded = F.pad(picture, (1, 1, 1, 1), mode="replicate").reshape(3, 1, 14, 16)
    wanted = F.conv2d(padded, KERNELS["sobel vertical"]()[None, None].float()).reshape(1, 3, 12, 14)
    assert np.allclose(found.results["sobel vertical"], wanted.numpy(), atol=1e-6)
    assert set(see.handmade(picture).kernels) == {n for n, k in KERNELS.items() if k().ndim == 2}
    with pytest.raises(ArgumentError, match="sobel"):
        see.handmade(picture, kernel=("sobl vertical",))
    with pytest.raises(ShapeError, match="images"):
        see.handmade(picture[0])


def test_what_moves_a_linear_unit_adds_up_to_its_value():
    net = catalog.build("lenet5", generator=torch.Generator().manual_seed(0)).eval()
    x = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    found = see.node_link(net, x)
    assert found.paths == ("input", "conv1", "conv2", "fc1", "fc2", "fc3")
    assert [(found.paths[k.source], found.paths[k.target]) for k in found.links] == list(
        zip(found.paths, found.paths[1:], strict=False)
    )
    seen: dict[str, torch.Tensor] = {}
    handle = net.get_submodule("fc3").register_forward_hook(
        lambda _m, i, out: seen.update({"in": i[0].detach(), "out": out.detach()})
    )
    net(x)
    handle.remove()
    moves = net.get_parameter("fc3.weight").detach().numpy() * seen["in"].numpy()
    # Between fc2 and fc3 stands a rectifier, so a unit is joined by its value before it where that is above zero.
    last = found.links[-1].moves
    alive = seen["in"][0].numpy() > 0
    assert np.allclose(last[:, alive], moves[:, alive], atol=1e-5)


def test_branches_are_joined_to_what_feeds_them():
    net = catalog.build("resnet20_cifar", width=0.25, generator=torch.Generator().manual_seed(0))
    found = see.node_link(net, torch.rand(1, 3, 32, 32))
    feeds: dict[str, set[str]] = {}
    for link in found.links:
        feeds.setdefault(found.paths[link.target], set()).add(found.paths[link.source])
    assert any(len(sources) > 1 for sources in feeds.values()), "after an addition there are two"
    assert feeds["conv1"] == {"input"}


def test_many_links_are_cut_to_the_strongest():
    net = catalog.build("lenet5", generator=torch.Generator().manual_seed(0))
    found = see.node_link(net, torch.rand(1, 1, 28, 28), strongest=2)
    link = next(k for k in found.links if found.paths[k.target] == "fc2")
    pairs = found.drawn(link)
    assert len(pairs) == 2 * 64
    for unit in (0, 5):
        own = sorted(abs(m) for _, i, m in pairs if i == unit)
        every = np.sort(np.abs(link.moves[unit, :64]))
        assert own == pytest.approx(every[-2:].tolist())
    with pytest.raises(ArgumentError, match="strongest=0"):
        see.node_link(net, torch.rand(1, 1, 28, 28), strongest=0)
    with pytest.raises(ArgumentError, match="no layer with weights"):
        see.node_link(nn.Sequential(nn.Flatten()), torch.rand(1, 1, 4, 4))
