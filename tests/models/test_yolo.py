"""YOLO against fig. 3 of the paper, its counts by hand, and a functional reading; the grid on every backbone."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from striate.errors import ArgumentError, ShapeError
from striate.losses import cell_target, yolo_loss
from striate.models.catalog import CATALOG, build

# Fig. 3, a line for each column: (kernel, maps), with the stride where it is 2; "max" halves.
YOLO = """
7x64/2 max 3x192 max
1x128 3x256 1x256 3x512 max
1x256 3x512 1x256 3x512 1x256 3x512 1x256 3x512 1x512 3x1024 max
1x512 3x1024 1x512 3x1024 3x1024 3x1024/2
3x1024 3x1024
"""
# The authors' small net of 2015: the paper says nine convolutions.
TINY = "3x16 max 3x32 max 3x64 max 3x128 max 3x256 max 3x512 max 3x1024 3x1024 3x1024"
HIDDEN = {YOLO: (4096,), TINY: (256, 4096)}


def convolutions(text):
    for word in text.split():
        if word == "max":
            yield None
        else:
            shape, _, stride = word.partition("/")
            kernel, maps = shape.split("x")
            yield int(kernel), int(maps), int(stride or 1)


def counts_by_hand(text, side, classes=20):
    params = macs = 0
    channels = 3
    for layer in convolutions(text):
        if layer is None:
            side //= 2
            continue
        kernel, maps, stride = layer
        side //= stride
        weights = kernel * kernel * channels * maps
        params, macs = params + weights + maps, macs + weights * side * side
        channels = maps
    units = (channels * side * side, *HIDDEN[text], side * side * (2 * 5 + classes))
    for read, told in pairwise(units):
        params, macs = params + read * told + told, macs + read * told
    return params, macs


@pytest.mark.parametrize(("name", "text"), [("yolo_v1", YOLO), ("yolo_v1_tiny", TINY)])
def test_the_counts_are_those_of_the_layers(name, text):
    row = CATALOG[name]
    assert counts_by_hand(text, 448) == (row.params, row.macs)
    assert sum(layer is not None for layer in convolutions(text)) == (
        24 if name == "yolo_v1" else 9
    )


def test_yolo_grid_is_a_trunk_and_a_head():
    trunk = CATALOG["resnet18"].params - (512 * 1000 + 1000)
    head = 512 * 512 * 9 + 2 * 512 + 512 * 30 + 30
    assert CATALOG["yolo_grid"].params == trunk + head
    # Four times the pixels of 224x224 through the convolutions, then the head on 14x14 cells.
    convolved = 4 * (CATALOG["resnet18"].macs - 512 * 1000)
    assert CATALOG["yolo_grid"].macs == convolved + 14 * 14 * (512 * 512 * 9 + 512 * 30)


def test_every_map_has_the_size_of_the_figure():
    with torch.device("meta"):
        net = build("yolo_v1", init=False)
        x = torch.empty(1, 3, 448, 448)
        maps = net.features(x)
    sizes = [(m.shape[1], m.shape[2]) for m in maps]
    # The figure prints 112x112x192, 14x14x1024 and 7x7x1024, and 56 and 28 for the two between.
    assert sizes == [(64, 224), (192, 112), (512, 56), (1024, 28), (1024, 14), (1024, 7)]
    assert net(x).shape == (1, 30, 7, 7)


def reference(s, text, x, grid):
    weights = iter([name for name in s if name.endswith("conv.weight")])
    for layer in convolutions(text):
        if layer is None:
            x = F.max_pool2d(x, 2)
            continue
        name = next(weights)
        bias = s[name.replace("weight", "bias")]
        x = F.leaky_relu(F.conv2d(x, s[name], bias, layer[2], layer[0] // 2), 0.1)
    x = x.flatten(1)
    for i in range(len(HIDDEN[text])):
        at = f"hidden.{2 * i}"
        x = F.leaky_relu(F.linear(x, s[f"{at}.weight"], s[f"{at}.bias"]), 0.1)
    return F.linear(x, s["fc.weight"], s["fc.bias"]).view(len(x), -1, *grid)


@pytest.mark.parametrize(("name", "text"), [("yolo_v1", YOLO), ("yolo_v1_tiny", TINY)])
def test_it_computes_what_the_figure_says(name, text):
    generator = torch.Generator().manual_seed(2)
    net = build(name, size=(64, 128), width=0.05, num_classes=3, generator=generator)
    net = net.double().eval()
    x = torch.rand(2, 3, 64, 128, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        answer = net(x)
        expected = reference(net.state_dict(), text, x, (1, 2))
    torch.testing.assert_close(answer, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("size", "near"), [(100, "64 or 128 for 100"), ((32, 64), "64 for 32")])
def test_a_side_that_does_not_fit_gets_the_nearest(size, near):
    height, width = (size, size) if isinstance(size, int) else size
    with pytest.raises(ShapeError) as error:
        build("yolo_v1_tiny", size=size)
    assert str(error.value) == (
        "yolo_v1_tiny: a cell is 64x64 pixels, so sides are multiples of 64; "
        f"got {height}x{width}; the nearest are {near}"
    )


def test_boxes_of_a_cell_are_an_option():
    net = build("yolo_v1_tiny", size=64, width=0.05, num_classes=1, boxes=3)
    assert net.eval()(torch.rand(1, 3, 64, 64)).shape == (1, 16, 1, 1)
    with pytest.raises(ArgumentError) as error:
        build("yolo_grid", size=64, boxes=[2, 3])
    assert str(error.value) == "yolo_grid: boxes takes one number, the boxes of a cell; got [2, 3]"


def test_the_grid_without_its_trunk_is_two_convolutions():
    net = build("yolo_grid", size=64, width=0.1, num_classes=2).double().eval()
    x = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    s = net.state_dict()
    with torch.no_grad():
        y = F.conv2d(net.features(x)[-1], s["neck.conv.weight"], padding=1)
        y = F.leaky_relu(y / (1 + 1e-5) ** 0.5, 0.1)  # normalisation at its first statistics
        y = F.conv2d(y, s["score.weight"], s["score.bias"])
        torch.testing.assert_close(net(x), y)


@pytest.mark.slow
def test_it_learns_to_find_one_square():
    generator = torch.Generator().manual_seed(0)
    net = build("yolo_grid", size=64, width=0.25, num_classes=1, generator=generator)
    pictures, boxes = torch.zeros(64, 3, 64, 64), torch.zeros(64, 4)
    for i in range(64):
        x, y, side = (
            int(torch.randint(low, high, (), generator=generator))
            for low, high in ((0, 40), (0, 40), (10, 24))
        )
        pictures[i, :, y : y + side, x : x + side] = 1
        boxes[i] = torch.tensor([x, y, x + side, y + side]) / 64
    objects = F.pad(boxes, (1, 0))[:, None]
    target = cell_target(objects, grid=(2, 2), num_classes=1)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    losses: list[float] = []
    for _ in range(60):
        loss = yolo_loss(net(pictures), target).total()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
