"""The projection against its definition, and units whose patch is known."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate import see
from striate.errors import ArgumentError, ShapeError
from striate.models import catalog


@pytest.fixture
def net():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1),
        nn.ReLU(),
    )


def by_definition(net, x, unit, place):
    """Section 2.1 of the paper, step by step, for one picture [1, 1, H, W]."""
    first, second = net[0], net[3]
    one = torch.relu(first(x))
    pooled, switches = F.max_pool2d(one, 2, return_indices=True)
    two = torch.relu(second(pooled))
    kept = torch.zeros_like(two)
    kept[0, unit, place[0], place[1]] = two[0, unit, place[0], place[1]]
    back = F.conv_transpose2d(torch.relu(kept), second.weight, padding=1)
    back = F.max_unpool2d(back, switches, [2, 2], output_size=list(one.shape[2:]))
    return F.conv_transpose2d(torch.relu(back), first.weight, padding=1)


def test_projections_are_those_of_the_definition(net):
    x = torch.rand(3, 1, 12, 12)
    found = see.deconvnet(net, x, layer="4", unit=[0, 1, 2, 3, 4])
    assert any(found.patches)
    with torch.no_grad():
        for unit, patches in zip(found.units, found.patches, strict=True):
            for patch in patches:
                wanted = by_definition(net, x[patch.item : patch.item + 1], unit, patch.place)[0]
                top, left, bottom, right = patch.box
                assert np.allclose(patch.projection, wanted[:, top:bottom, left:right], atol=1e-5)
                rest = wanted.clone()
                rest[:, top:bottom, left:right] = 0
                assert rest.abs().max() < 1e-5, "nothing is left beside the patch"


def test_patches_are_the_strongest_places(net):
    x = torch.rand(5, 1, 12, 12)
    found = see.deconvnet(net, x, layer="4", unit=[2], top=3)
    with torch.no_grad():
        maps = net(x)[:, 2]
    order = maps.flatten(1).amax(1).argsort(descending=True)[:3].tolist()
    assert [p.item for p in found.patches[0]] == [i for i in order if maps[i].max() > 0]
    for patch in found.patches[0]:
        assert patch.value == pytest.approx(maps[patch.item].max().item())
        assert maps[patch.item][patch.place] == maps[patch.item].max()


def test_a_unit_that_sees_an_edge_shows_it():
    edge = nn.Conv2d(1, 1, 3, bias=False)
    with torch.no_grad():
        edge.weight.copy_(torch.tensor([[-1.0, 0, 1]] * 3)[None, None])
    x = torch.zeros(1, 1, 16, 16)
    x[..., 9:] = 1.0
    found = see.deconvnet(nn.Sequential(edge, nn.ReLU()), x, layer="1")
    (patch,) = found.patches[0]
    assert patch.place[1] in (7, 8)
    assert patch.box[1] <= 9 <= patch.box[3]


def test_the_net_stays_as_it_was(net):
    net.train()
    see.deconvnet(net, torch.rand(2, 1, 12, 12))
    assert net.training
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert not net[1]._forward_hooks


def test_any_net():
    net = catalog.build("resnet20_cifar", width=0.25, generator=torch.Generator().manual_seed(0))
    found = see.deconvnet(net, torch.rand(4, 3, 32, 32), unit=[0, 1])
    assert found.met > 5
    assert "edges" in found.remarks()[0]
    assert found.picture().width > 100
    unlit = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    nn.init.constant_(unlit.get_parameter("0.bias"), -1e9)
    dead = see.deconvnet(unlit, torch.ones(1, 1, 8, 8), layer="1")
    assert all("answers to none" in row.heading for row in dead.rows())
    assert len(dead.rows()) >= 1


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ({"layer": "9"}, ArgumentError, "no layer '9'"),
        ({"unit": [5], "layer": "4"}, ArgumentError, "units 0 to 4"),
        ({"top": 0}, ArgumentError, "top=0"),
    ],
)
def test_wrong_words(net, given, kind, says):
    with pytest.raises(kind, match=says):
        see.deconvnet(net, torch.rand(1, 1, 12, 12), **given)
    with pytest.raises(ShapeError, match="images"):
        see.deconvnet(net, torch.rand(1, 12, 12))
