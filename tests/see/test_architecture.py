"""A net as boxes: its stages and their sizes, read from the traced net."""

import xml.etree.ElementTree as ET

import pytest
import torch
from torch import nn

from striate.errors import ShapeError
from striate.models.catalog import build, entry
from striate.see.architecture import architecture


def stages(net, *shape):
    drawn = architecture(net, [torch.zeros(1, *shape)])
    return [(stage.shape, stage.layers, stage.label) for stage in drawn.stages]


@pytest.mark.slow
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
        ((64, 56, 56), 2, "conv 3x3 x2"),
        ((64, 56, 56), 2, "conv 3x3 x2"),
        ((128, 28, 28), 3, "3 layers"),
        ((128, 28, 28), 2, "conv 3x3 x2"),
        ((256, 14, 14), 3, "3 layers"),
        ((256, 14, 14), 2, "conv 3x3 x2"),
        ((512, 7, 7), 3, "3 layers"),
        ((512, 7, 7), 2, "conv 3x3 x2"),
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
    assert "cat with stage 1" in drawn.as_text()


class Cropped(nn.Module):
    """As an hourglass without padding: what is joined is cut to size, and goes through a convolution on its way."""

    def __init__(self):
        super().__init__()
        self.down, self.low = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 3)
        self.side, self.up = nn.Conv2d(4, 2, 1), nn.ConvTranspose2d(8, 4, 2, stride=2)

    def forward(self, x):
        fine = torch.relu(self.down(x))
        up = self.up(self.low(nn.functional.max_pool2d(fine, 2)))
        return torch.cat([self.side(fine)[:, :, 2:-2, 2:-2], up], 1)


def test_a_crop_and_a_convolution_on_the_way_belong_to_the_leap():
    drawn = architecture(Cropped(), [torch.zeros(1, 1, 18, 18)])
    assert [(s.shape, s.skips) for s in drawn.stages] == [
        ((1, 18, 18), ()),
        ((4, 16, 16), ()),
        ((4, 8, 8), ()),
        ((8, 6, 6), ()),
        ((4, 12, 12), ()),
        ((6, 12, 12), (1,)),
    ]


def net_of(name):
    row = entry(name)
    return architecture(
        build(name, init=False).to("meta"), [torch.empty(1, *row.input, device="meta")]
    )


def test_the_u_net_goes_down_and_up_with_four_arcs():
    stages = net_of("unet").stages
    assert [s.shape[1] for s in stages if "pool" in s.label] == [284, 140, 68, 32]
    joined = [(s.shape[1], stages[s.skips[0]].shape[1]) for s in stages if s.skips]
    assert joined == [(56, 64), (104, 136), (200, 280), (392, 568)]


def arcs(name):
    """What is written over the arcs of a drawing, and how many there are."""
    drawn = net_of(name)
    written = [
        word for i in range(len(drawn.stages)) for arc in drawn._arcs(i) if (word := arc.label)
    ]
    return written, drawn.as_svg().count('class="a"')


@pytest.mark.parametrize(
    ("name", "labels", "count"),
    [
        ("vgg16", [], 0),
        ("resnet18", ["add"] * 8, 8),
        ("preresnet18", ["add"] * 8, 8),
        ("resnet152", ["add x3", "add x8", "add x36", "add x3"], 4),
        ("highway_mnist_16", ["gate"] * 8, 16),  # what was and how much of it
        ("densenet121", ["cat x6", "cat x12", "cat x24", "cat x16"], 4),
        ("googlenet", ["cat of 4"] * 9, 27),
        ("inception_v3", ["cat of 4"] * 3 + ["cat of 3"] + ["cat of 4"] * 4 + ["cat of 3"] + ["cat of 6"] * 2, 33),
        ("unet", ["copy and crop"] * 4, 4),
        ("unet_same", ["copy"] * 4, 4),
        ("fcn8s", ["crop and add"] * 2, 2),
        ("capsnet", [], 0),
    ],
)  # fmt: skip
def test_ways_beside_the_straight_one_are_arcs(name, labels, count):
    assert arcs(name) == (labels, count)


def test_indices_of_a_pooling_lead_to_where_it_is_undone():
    stages = net_of("enet").stages
    assert [stages[s.skips[0]].shape[1:] for s in stages if s.label == "max unpool"] == [
        (64, 128),
        (128, 256),
    ]


def test_arcs_end_on_the_boxes_they_join():
    drawn = net_of("resnet18")
    middles = [
        float(e.get("x", "0"))
        for e in ET.fromstring(drawn.as_svg()).iter("{http://www.w3.org/2000/svg}text")  # noqa: S314 - ours
        if e.text in {stage.label for stage in drawn.stages}
    ]
    ends = []
    for path in ET.fromstring(drawn.as_svg()).iter("{http://www.w3.org/2000/svg}path"):  # noqa: S314 - ours
        if path.get("class") == "a":
            numbers = path.get("d", "").replace("M", "").replace("C", " ").split()
            ends.append((float(numbers[0]), float(numbers[-2])))
    where = [(i - 1, i) for i, stage in enumerate(drawn.stages) if stage.join]
    assert ends == [
        (pytest.approx(middles[a], abs=1), pytest.approx(middles[b], abs=1)) for a, b in where
    ]


def test_branches_of_one_module_are_no_leaps():
    assert not any(s.skips for name in ("inception_v3", "capsnet") for s in net_of(name).stages)


def test_a_block_of_many_layers_is_one_box():
    stages = net_of("densenet121").stages
    assert [(s.shape[0], s.label) for s in stages if s.label.endswith("layers")] == [
        (256, "12 layers"), (512, "24 layers"), (1024, "48 layers"), (1024, "32 layers"),
    ]  # fmt: skip


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
