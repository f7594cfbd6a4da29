"""The field of a unit: box, strengths, Gaussian and cone against what PyTorch and arithmetic say."""

import numpy as np
import pytest
import torch
from torch import nn

from striate.errors import ArgumentError, ShapeError
from striate.see import field


def net(axes=2, channels=1):
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    made = nn.Sequential(
        conv(channels, 2, 3, padding=1),
        nn.Tanh(),
        conv(2, 3, 3, stride=2, padding=1),
        nn.ReLU(inplace=True),
    )
    generator = torch.Generator().manual_seed(0)
    for p in made.parameters():
        p.data = torch.randn(p.shape, generator=generator)
    return made


def items(n=3, axes=2, channels=1, side=16):
    return torch.randn(n, channels, *[side] * axes, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_box_is_where_the_gradient_is_and_no_larger(axes):
    module, x = net(axes), items(axes=axes)
    unit = field(module, x, layer="2", at=(3,) * axes).units[0]
    fed = x.clone().requires_grad_()
    module[2](module[1](module[0](fed)))[(..., *[3] * axes)].sum().backward()
    assert fed.grad is not None
    wanted = fed.grad.abs().mean((0, 1))
    assert np.allclose(unit.strength, wanted, atol=1e-6)
    there = wanted.nonzero()
    for axis, span in enumerate(unit.box):
        assert span == (int(there[:, axis].min()), int(there[:, axis].max())) == (4, 8)
    assert unit.size == (5,) * axes


def test_moments_are_those_of_the_strengths():
    unit = field(net(), items(), layer="2").units[0]
    share = unit.strength / unit.strength.sum()
    rows = np.arange(16)
    assert unit.seen.centre is not None
    assert unit.seen.width is not None
    middle = float((share.sum(1) * rows).sum())
    assert unit.seen.centre[0] == pytest.approx(middle, abs=1e-4)
    width = float((share.sum(1) * (rows - middle) ** 2).sum()) ** 0.5
    assert unit.seen.width[0] == pytest.approx(width, abs=1e-4)


def test_the_cone_widens_from_the_unit_to_the_input():
    unit = field(net(), items(), layer="2", at=(3, 3)).units[0]
    assert [(step.layer, step.cells, step.moved) for step in unit.cone] == [
        ("input", 16, (4, 8)),
        ("0", 16, (5, 7)),
        ("1", 16, (5, 7)),
        ("2", 8, (3, 3)),
    ]


def test_several_layers_and_the_edge():
    found = field(net(), items(), layer=["0", "2"], at=(0, 0))
    assert [unit.box for unit in found.units] == [((0, 1), (0, 1)), ((0, 2), (0, 2))]
    assert [unit.size for unit in found.units] == [(3, 3), (5, 5)]
    assert "0..1, 0..1" in found.as_text()
    assert found.as_dict()["units"][1]["at"] == [0, 0]


def test_a_field_without_bound_has_none():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.out = nn.Conv2d(1, 2, 3), nn.Tanh()

        def forward(self, x):
            y = self.conv(x)
            return self.out(y + y.mean((2, 3), keepdim=True)).mean((2, 3))

    unit = field(Pooled(), items(), layer="out").units[0]
    assert unit.size is None
    assert "no bound" in unit.caption()


def test_the_frame_is_drawn_around_the_box():
    found = field(net(), items(), layer="2", at=(3, 3))
    over = found.panel(0).over
    by = over.shape[0] // 16
    red = (over == np.array([214, 39, 20])).all(-1)
    rows, columns = np.nonzero(red)
    assert (rows.min(), rows.max() + 1) == (4 * by, 9 * by)
    assert (columns.min(), columns.max() + 1) == (4 * by, 9 * by)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_pictures_and_pages_of_every_kind(axes):
    found = field(net(axes, 3), items(axes=axes, channels=3))
    assert found.picture().width >= 480
    page = found.as_html()
    assert page.count("<img") == 3 * len(found.units)
    assert page.count("<svg") == len(found.units)


def test_the_net_stays_as_it_was():
    module = net().train()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    random = torch.get_rng_state()
    field(module, items())
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert all(m.training and not m._forward_hooks for m in module.modules())
    assert all(p.grad is None and p.requires_grad for p in module.parameters())
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"layer": "7"}, "no layer '7'; there are: 0, 1, 2, 3"),
        ({"layer": "2", "at": (9, 0)}, r"at=\(9, 0\): 2 gives maps of 8x8"),
        ({"items": 0}, "items=0: expected at least 1"),
    ],
)
def test_settings_that_cannot_be(settings, said):
    with pytest.raises(ArgumentError, match=said):
        field(net(), items(), **settings)


def test_items_and_nets_that_cannot_be():
    with pytest.raises(ShapeError, match="got shape"):
        field(net(), torch.zeros(2, 3))
    with pytest.raises(ShapeError, match="does not take items of 2x16x16"):
        field(net(), items(channels=2))
    dense = nn.Sequential(nn.Flatten(), nn.Linear(256, 3))
    with pytest.raises(ArgumentError, match="no layer gives maps"):
        field(dense, items())
    with pytest.raises(ArgumentError, match="gives no maps with the axes"):
        field(dense, items(), layer="1")
