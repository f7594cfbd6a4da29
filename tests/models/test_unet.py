"""U-Net against fig. 1 of the paper: the size of every map, the counts by hand, a functional reading."""

import pytest
import torch
from torch.nn import functional as F

from striate.errors import ShapeError
from striate.models.catalog import CATALOG, build
from striate.models.unet import UNet

WIDTHS = (64, 128, 256, 512, 1024)
# Fig. 1: after each pair of convolutions, down and up.
DOWN = ((64, 568), (128, 280), (256, 136), (512, 64), (1024, 28))
UP = ((512, 52), (256, 100), (128, 196), (64, 388))


def params_by_hand():
    def conv(inputs, outputs, cells):
        return cells * inputs * outputs + outputs

    count, inputs = 0, 1
    for width in WIDTHS:
        count += conv(inputs, width, 9) + conv(width, width, 9)
        inputs = width
    for width in WIDTHS[-2::-1]:
        count += conv(2 * width, width, 4) + conv(2 * width, width, 9) + conv(width, width, 9)
    return count + conv(64, 2, 1)


def macs_by_hand(side, border):
    """`border` pixels are lost by each 3x3 convolution; each level halves or doubles the side."""
    count, inputs = 0, 1
    for level, width in enumerate(WIDTHS):
        side //= 2 if level else 1
        for channels in (inputs, width):
            side -= border
            count += side**2 * 9 * channels * width
        inputs = width
    for width in WIDTHS[-2::-1]:
        count += side**2 * 4 * 2 * width * width
        side *= 2
        for channels in (2 * width, width):
            side -= border
            count += side**2 * 9 * channels * width
    return count + side**2 * 64 * 2


def test_the_counts_are_those_of_the_figure():
    assert params_by_hand() == CATALOG["unet"].params == CATALOG["unet_same"].params == 31_030_658
    assert macs_by_hand(572, 2) == CATALOG["unet"].macs
    assert macs_by_hand(512, 0) == CATALOG["unet_same"].macs


def test_every_map_has_the_size_of_the_figure():
    with torch.device("meta"):
        net = build("unet", init=False)
        assert isinstance(net, UNet)
        maps = net.features(torch.empty(1, 1, 572, 572))
        sizes = [(m.shape[1], m.shape[2]) for m in maps]
        assert tuple(sizes) == DOWN
        x, ups = maps[-1], []
        for up, copied in zip(net.up, reversed(maps[:-1]), strict=True):
            x = up(x, copied)
            ups.append((x.shape[1], x.shape[2]))
        assert tuple(ups) == UP
        assert net.score(x).shape == (1, 2, 388, 388)


def reference(s, x, *, padded):
    pad = 1 if padded else 0

    def double(x, at):
        for number in (1, 2):
            name = f"{at}.conv{number}"
            x = F.relu(F.conv2d(x, s[f"{name}.weight"], s[f"{name}.bias"], padding=pad))
        return x

    copies = []
    for level in range(5):
        if level:
            x = F.max_pool2d(x, 2, ceil_mode=padded)
        x = double(x, f"down.{level}")
        copies.append(x)
    for level, copied in enumerate(copies[-2::-1]):
        at = f"up.{level}"
        x = F.relu(F.conv_transpose2d(x, s[f"{at}.up.weight"], s[f"{at}.up.bias"], stride=2))
        if padded:
            x = x[:, :, : copied.shape[2], : copied.shape[3]]
        cut = [(a - b) // 2 for a, b in zip(copied.shape[2:], x.shape[2:], strict=True)]
        rows = slice(cut[0], cut[0] + x.shape[2])
        columns = slice(cut[1], cut[1] + x.shape[3])
        x = double(torch.cat((x, copied[:, :, rows, columns]), 1), f"{at}.convs")
    return F.conv2d(x, s["score.weight"], s["score.bias"])


@pytest.mark.parametrize(
    ("name", "size"), [("unet", (188, 220)), ("unet_same", (37, 50)), ("unet_same", (1, 16))]
)
def test_it_computes_what_the_figure_says(name, size):
    generator = torch.Generator().manual_seed(2)
    net = build(name, size=size, width=0.05, in_channels=3, generator=generator).double().eval()
    x = torch.rand(2, 3, *size, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        y = net(x)
        torch.testing.assert_close(
            y, reference(net.state_dict(), x, padded=name == "unet_same"), rtol=1e-10, atol=1e-12
        )
    lost = 184 if name == "unet" else 0
    assert y.shape == (2, 2, size[0] - lost, size[1] - lost)


@pytest.mark.parametrize(
    ("size", "near"),
    [
        ((512, 572), "508 or 524 for 512, 572 for 572"),
        ((64, 189), "188 for 64, 188 or 204 for 189"),
        ((573, 573), "572 or 588 for 573"),
    ],
)
def test_a_side_that_does_not_fit_gets_the_nearest(size, near):
    with pytest.raises(ShapeError) as error:
        build("unet", size=size)
    assert str(error.value) == (
        "unet: valid convolutions and even poolings take sides of 188, 204, 220 and on by 16; "
        f"got {size[0]}x{size[1]}; resize or pad to {near}, or use unet_same"
    )


def test_sides_that_fit_are_those_whose_poolings_are_even():
    def fits(side):
        for _ in range(4):
            side -= 4
            if side < 2 or side % 2:
                return False
            side //= 2
        side -= 4
        for _ in range(4):
            side = 2 * side - 4
        return side > 0

    def builds(side):
        try:
            build("unet", size=side, width=0.01, init=False)
        except ShapeError:
            return False
        return True

    assert [side for side in range(150, 260) if builds(side)] == [
        side for side in range(150, 260) if fits(side)
    ]


def test_first_weights_are_he_normal_in_what_one_value_reads():
    net = build("unet", size=188, width=0.25, generator=torch.Generator().manual_seed(0))
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        elif parameter.numel() > 5000:
            transposed = name.endswith(".up.weight")
            reads = parameter.shape[0] if transposed else parameter[0].numel()
            assert abs(parameter.std().item() / (2 / reads) ** 0.5 - 1) < 0.05, name


def test_dropout_ends_the_last_two_levels_of_the_way_down():
    net = build("unet", size=188, width=0.05)
    drops = [path for path, m in net.named_modules() if isinstance(m, torch.nn.Dropout)]
    assert drops == ["drops.3", "drops.4"]
    halves = net.features(torch.rand(1, 1, 188, 188))
    assert [bool((m == 0).sum() > 0.4 * m.numel()) for m in halves[3:]] == [True, True]


def test_batch_normalisation_is_an_option():
    net = build("unet_same", size=32, width=0.05, batch_norm=True)
    assert sum(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules()) == 18
    assert "down.0.conv1.bias" not in net.state_dict()
    assert net(torch.rand(2, 1, 32, 32)).shape == (2, 2, 32, 32)
