"""A net as boxes: its stages and their sizes, read from the traced net."""

import xml.etree.ElementTree as ET

import pytest
import torch
from PIL import Image
from torch import nn

from striate import svg
from striate.errors import ArgumentError, ShapeError
from striate.models.catalog import build, entry, outline
from striate.see.architecture import SHRUNK, architecture
from striate.see.architecture_layout import NARROW, draw, levels
from striate.see.canvas import Path, Words, flat

SVG = "{http://www.w3.org/2000/svg}"


def leaps(drawn):
    """The stages that lines over smaller maps join, from the drawing itself."""
    return [
        (int(line.attrib["data-from-stage"]), int(line.attrib["data-to-stage"]))
        for line in ET.fromstring(drawn.as_svg()).iter(f"{SVG}polyline")  # noqa: S314 - ours
        if line.attrib["class"] == "none s-wrong"
    ]


def stages(net, *shape):
    drawn = architecture(net, [torch.zeros(1, *shape)])
    return [(stage.shape, stage.layers, stage.name) for stage in drawn.stages]


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
        ((64, 56, 56), 4, "BasicBlock x2"),
        ((128, 28, 28), 3, "BasicBlock"),
        ((128, 28, 28), 2, "BasicBlock"),
        ((256, 14, 14), 3, "BasicBlock"),
        ((256, 14, 14), 2, "BasicBlock"),
        ((512, 7, 7), 3, "BasicBlock"),
        ((512, 7, 7), 2, "BasicBlock"),
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
    assert drawn.stages[4].label == "up-conv 2x2 /2"
    assert leaps(drawn) == [(1, 5)]
    assert drawn.as_text().splitlines()[7].endswith("1, 4")


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


def test_a_convolution_on_the_way_stands_beside_the_others():
    drawn = architecture(Cropped(), [torch.zeros(1, 1, 18, 18)])
    assert [(s.shape, s.inputs, s.skips) for s in drawn.stages] == [
        ((1, 18, 18), (), ()),
        ((4, 16, 16), (0,), ()),
        ((4, 8, 8), (1,), ()),
        ((8, 6, 6), (2,), ()),
        ((4, 12, 12), (3,), ()),
        ((2, 16, 16), (1,), (1,)),
        ((6, 12, 12), (4, 5), (5,)),
    ]
    assert leaps(drawn) == [(1, 5), (5, 6)]


def net_of(name):
    with torch.device("meta"):
        net = outline(name)
    return architecture(net, [torch.empty(1, *entry(name).input, device="meta")])


def test_the_u_net_goes_down_and_up_with_four_arcs():
    stages = net_of("unet").stages
    assert [s.shape[1] for s in stages if "pool" in s.label] == [284, 140, 68, 32]
    joined = [(s.shape[1], stages[s.skips[0]].shape[1]) for s in stages if s.skips]
    assert joined == [(56, 64), (104, 136), (200, 280), (392, 568)]


@pytest.mark.parametrize(
    ("name", "joins"),
    [
        ("vgg16", []),
        ("resnet18", ["add x2"] + ["add"] * 6),
        ("preresnet18", ["add x2"] + ["add"] * 6),
        ("resnet152", ["add", "add x2", "add", "add x7", "add", "add x35", "add", "add x2"]),
        ("densenet121", ["cat x6", "cat x12", "cat x24", "cat x16"]),
        ("googlenet", ["cat of 4"] * 9),
        ("inception_v3", ["cat of 4", "cat of 4 x2", "cat of 3", "cat of 4", "cat of 4 x2", "cat of 4", "cat of 3", "cat of 6 x2"]),
        ("highway_mnist_16", ["gate x2", "gate x3", "gate x3"]),
        ("unet", ["cat"] * 4),
    ],
)  # fmt: skip
def test_ways_meet_in_joins(name, joins):
    assert [str(stage.join) for stage in net_of(name).stages if stage.join] == joins


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("unet", ["copy and crop"] * 4),
        ("unet_same", ["copy"] * 4),
        ("enet", ["indices"] * 2),
        ("resnet18", []),
        ("inception_v3", []),
        ("stgcn", []),
    ],
)
def test_what_leaps_over_smaller_maps_is_written_on_its_line(name, labels):
    root = ET.fromstring(net_of(name).as_svg())  # noqa: S314 - ours
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert [word for word in words if word in ("copy", "copy and crop", "indices")] == labels


def test_indices_of_a_pooling_lead_to_where_it_is_undone():
    drawn = net_of("enet")
    nodes = drawn.graph.nodes
    found = [leap for stage in drawn.stages for leap in stage.leaps]
    assert [(nodes[leap.source].label, nodes[leap.target].label) for leap in found] == [
        ("max pool 2x2 /2", "max unpool")
    ] * 2
    assert [drawn.stages[leap.stage].shape[1:] for leap in found] == [(64, 128), (128, 256)]


def test_branches_of_one_module_are_no_leaps():
    assert not any(s.skips for name in ("inception_v3", "capsnet") for s in net_of(name).stages)


def test_a_dense_block_is_one_stage_that_grows():
    stages = [s for s in net_of("densenet121").stages if s.times > 1]
    assert [(s.shape[0], s.times, s.grows) for s in stages] == [
        (256, 6, True), (512, 12, True), (1024, 24, True), (1024, 16, True),
    ]  # fmt: skip


def test_blocks_of_other_sizes_are_not_taken_for_repeats():
    assert all(stage.times == 1 for stage in net_of("googlenet").stages)


def test_every_layer_is_drawn_when_asked_for():
    whole = architecture(build("resnet18", init=False), [torch.zeros(1, 3, 64, 64)], detail="layer")
    assert all(stage.times == 1 for stage in whole.stages)
    assert sum(len(stage.inside) for stage in whole.stages) == len(whole.graph.nodes)
    words = [text.text for text in ET.fromstring(whole.as_svg()).iter(f"{SVG}text")]  # noqa: S314 - ours
    assert words.count("37\xa0k param.") == 4  # of four convolutions in two blocks


def test_another_detail_is_refused():
    with pytest.raises(ArgumentError, match=r"^detail='blocks': unknown; .*block"):
        architecture(nn.Linear(2, 2), [torch.zeros(1, 2)], detail="blocks")


def test_three_axes_are_written_as_three():
    labels = [stage.label for stage in net_of("voxnet").stages]
    assert labels[1:4] == ["conv 5x5x5 /2", "conv 3x3x3", "max pool 2x2x2 /2"]
    assert "max pool 2x2x2 /2" in [stage.label for stage in net_of("unet3d").stages]


@pytest.mark.parametrize(
    ("layer", "label"),
    [
        (nn.Conv2d(4, 4, (3, 5), stride=(2, 1), padding=2), "conv 3x5 /2x1"),
        (nn.Conv2d(4, 4, 3, groups=4), "conv 3x3 depthwise"),
        (nn.Conv2d(4, 8, 3, groups=2, dilation=2), "conv 3x3 dil 2 2 groups"),
        (nn.MaxPool2d((2, 3), (2, 1)), "max pool 2x3 /2x1"),
        (nn.AvgPool2d(2), "average pool 2x2 /2"),
        (nn.AdaptiveAvgPool2d(1), "global average"),
        (nn.AdaptiveAvgPool2d((2, 3)), "average pool to 2x3"),
    ],
)
def test_a_layer_is_called_by_what_it_does(layer, label):
    drawn = architecture(layer, [torch.zeros(1, 4, 16, 16)])
    assert drawn.stages[1].label == label


def test_the_shape_says_where_stages_stand():
    net = net_of("unet_same")
    root = ET.fromstring(net.as_svg())  # noqa: S314 - ours
    fronts = [first_corner(g) for g in root.iter(f"{SVG}g") if "data-stage" in g.attrib]
    rows = levels(net.stages)
    tops = {level: {round(y) for (_, y), row in zip(fronts, rows, strict=True) if row == level} for level in set(rows)}  # fmt: skip
    heights = [max(tops[level]) for level in sorted(tops)]
    assert heights == sorted(heights)  # the smaller the maps, the lower
    assert len(tops) == 5
    assert float(root.attrib["width"]) <= 1250


def first_corner(group):
    polygon = next(p for p in group.iter(f"{SVG}polygon") if " s-" in p.attrib["class"])
    return tuple(map(float, polygon.attrib["points"].split()[0].split(",")))


@pytest.mark.parametrize("name", ["resnet152", "densenet201", "inception_resnet_v2", "vgg19"])
def test_a_chain_wraps_near_1200_pixels(name):
    canvas = net_of(name).canvas()
    assert 600 <= canvas.width <= 1250


def sides(svg):
    """Height and width in pixels of each box's front, from the drawing itself."""
    found = []
    for group in ET.fromstring(svg).iter(f"{SVG}g"):  # noqa: S314 - ours
        if "data-stage" in group.attrib:
            corners = next(group.iter(f"{SVG}polygon")).attrib["points"].split()
            (left, top), _, (right, bottom), _ = (tuple(map(float, c.split(","))) for c in corners)
            found.append((bottom - top, right - left))
    return found


def test_boxes_are_to_a_scale_that_is_stated():
    net = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.Conv2d(8, 32, 3, 2, 1))
    svg = architecture(net, [torch.zeros(1, 1, 64, 64)]).as_svg()
    found = sides(svg)
    assert [height for height, _ in found] == pytest.approx([110, 110 / 2**0.5, 55], abs=0.1)
    assert found[2][1] == pytest.approx(2 * found[1][1], rel=0.02)  # four times the channels
    words = " ".join(text.text or "" for text in ET.fromstring(svg).iter(f"{SVG}text"))  # noqa: S314 - ours
    assert "square root of the side" in words
    assert "64 px" in words


def test_the_net_is_told_in_a_sentence():
    root = ET.fromstring(net_of("unet").as_svg())  # noqa: S314 - ours
    assert (root.get("aria-label") or "").startswith(
        "UNet: an encoder and a decoder of 31 stages with 4 connections over smaller maps, from 1x572x572 to 2x388x388"
    )


@pytest.mark.parametrize("ending", [".svg", ".png", ".html"])
def test_it_is_written_as_a_picture_or_a_page(tmp_path, ending):
    path = tmp_path / f"net{ending}"
    drawn = net_of("lenet5")
    drawn.save(path)
    if ending == ".png":
        with Image.open(path) as picture:
            canvas = drawn.canvas()
            assert picture.size == (round(2 * canvas.width), round(2 * canvas.height))
            colours = {color for _, color in picture.getcolors(1 << 24) or []}
        wanted = [canvas.colour(name) for name in ("paper", "conv", "pool", "linear")]
        assert {tuple(bytes.fromhex(c[1:])) for c in wanted} <= colours
    else:
        assert "<svg" in path.read_text(encoding="utf-8")


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(
        ArgumentError, match=r"cannot write '\.gif'; end it in \.svg, \.png or \.html"
    ):
        net_of("lenet5").save(tmp_path / "net.gif")


@pytest.mark.parametrize("dark", [False, True])
def test_a_painted_picture_has_the_paper_of_its_theme(dark):
    canvas = net_of("lenet5").canvas()
    assert canvas.as_image(dark=dark).getpixel((1, 1)) == tuple(bytes.fromhex(svg.COLORS["paper"][dark][1:]))  # fmt: skip


def test_names_are_escaped():
    drawn = architecture(build("mlp", init=False), [torch.zeros(1, 1, 28, 28)], name="a<b").as_svg()
    assert (ET.fromstring(drawn).get("aria-label") or "").startswith("a<b: ")  # noqa: S314 - ours


def test_a_net_that_does_not_fit_is_told():
    with pytest.raises(ShapeError, match=r"^LeNet cannot be run on these inputs: "):
        architecture(build("lenet5", init=False), [torch.zeros(1, 1, 9, 9)])


@pytest.mark.parametrize("name", ["lenet5", "unet_same", "resnet18"])
def test_a_phone_gets_rows_that_it_can_show(name):
    """With the same stages and the same lines as the wide picture."""
    drawn = architecture(outline(name), [torch.zeros(1, *entry(name).input, device="meta")])
    wide, narrow = draw(drawn), draw(drawn, NARROW)
    assert narrow.width <= NARROW / SHRUNK < 640 < wide.width
    assert joined(wide) == joined(narrow)
    words = [
        sorted({part.text for part in flat(made.parts) if isinstance(part, Words)})
        for made in (wide, narrow)
    ]
    assert all(word in " ".join(words[1]) for word in words[0] if len(word) < 30)
    assert max(part.x for part in flat(narrow.parts) if isinstance(part, Words)) < narrow.width
    page = drawn.page()
    assert page.count("<svg") == 2
    assert "max-width:640px){.whole>.drawn:first-child{display:none}" in page


def joined(canvas):
    """The stages that lines join."""
    return sorted(
        (str(part.marks["data-from-stage"]), str(part.marks["data-to-stage"]))
        for part in flat(canvas.parts)
        if isinstance(part, Path) and "data-from-stage" in part.marks
    )
