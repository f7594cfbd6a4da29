"""A net as boxes: its stages and their sizes, read from the traced net."""

import xml.etree.ElementTree as ET

import pytest
import torch
from torch import nn

from striate.errors import ShapeError
from striate.models.catalog import build
from striate.see.architecture import architecture


def stages(net, *shape):
    drawn = architecture(net, [torch.zeros(1, *shape)])
    return [(stage.shape, stage.layers, stage.label) for stage in drawn.stages]


def test_a_chain_is_drawn_layer_by_layer():
    assert stages(build("lenet5", init=False), 1, 28, 28) == [
        ((1, 28, 28), 0, "input"),
        ((6, 28, 28), 1, "conv 5x5"),
        ((6, 14, 14), 0, "max pool 2x2 /2"),
        ((16, 10, 10), 1, "conv 5x5"),
        ((16, 5, 5), 0, "max pool 2x2 /2"),
        ((120,), 1, "linear"),
        ((84,), 1, "linear"),
        ((10,), 1, "linear"),
    ]


def test_blocks_are_drawn_where_their_branches_meet():
    assert stages(build("resnet18", init=False), 3, 224, 224) == [
        ((3, 224, 224), 0, "input"),
        ((64, 112, 112), 1, "conv 7x7 /2"),
        ((64, 56, 56), 0, "max pool 3x3 /2"),
        ((64, 56, 56), 4, "conv 3x3 x4"),
        ((128, 28, 28), 5, "5 layers"),
        ((256, 14, 14), 5, "5 layers"),
        ((512, 7, 7), 5, "5 layers"),
        ((512, 1, 1), 0, "global average"),
        ((1000,), 1, "linear"),
    ]


class Hourglass(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, padding=1)
        self.low = nn.Conv2d(4, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.out = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        fine = torch.relu(self.down(x))
        low = self.low(nn.functional.max_pool2d(fine, 2))
        return self.out(torch.cat([fine, self.up(low)], 1))


def test_connections_over_smaller_maps_are_arcs():
    drawn = architecture(Hourglass(), [torch.zeros(1, 1, 16, 16)])
    assert [(s.shape, s.skips) for s in drawn.stages] == [
        ((1, 16, 16), ()),
        ((4, 16, 16), ()),
        ((4, 8, 8), ()),
        ((8, 8, 8), ()),
        ((4, 16, 16), ()),
        ((8, 16, 16), (1,)),
        ((2, 16, 16), ()),
    ]
    assert drawn.stages[4].label == "up-conv 2x2"
    assert drawn.as_svg().count('class="a"') == 1


def boxes(svg):
    """Height and width in pixels of each box's front, from the drawing itself."""
    sides = []
    for path in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}path"):  # noqa: S314 - ours
        if path.get("class") == "f":
            start, right, bottom, *_ = (
                path.get("d", "").replace("M", "").replace("V", "H").split("H")
            )
            left, top = map(float, start.split())
            sides.append((float(bottom) - top, float(right) - left))
    return sides


def test_boxes_are_to_scale():
    net = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.Conv2d(8, 32, 3, 2, 1))
    sides = boxes(architecture(net, [torch.zeros(1, 1, 64, 64)]).as_svg())
    assert [round(height) for height, _ in sides] == [150, 75, 38]
    assert sides[2][1] == pytest.approx(4 * sides[1][1], rel=0.02)


def test_names_are_escaped():
    svg = architecture(build("mlp", init=False), [torch.zeros(1, 1, 28, 28)], name="a<b").as_svg()
    assert ET.fromstring(svg).get("aria-label") == "a<b"  # noqa: S314 - ours


def test_a_net_that_does_not_fit_is_told():
    with pytest.raises(ShapeError, match=r"^LeNet cannot be run on these inputs: "):
        architecture(build("lenet5", init=False), [torch.zeros(1, 1, 9, 9)])
