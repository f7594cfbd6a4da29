"""Pictures of any size: in tiles that equal the whole, blended where they cannot, and extended where a net needs more."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from striate.models import catalog
from striate.plan.tiles import Tiling, dense
from striate.workbench.tiling import TOLERANCE, tiling_of

NETS = {
    "unet_same": (64, {"width": 0.125}),
    "unet": (188, {"width": 0.0625}),
    "fcn32s": (64, {"width": 0.0625}),
    "fcn8s": (64, {"width": 0.0625}),
    "fcn": (64, {"width": 0.125, "options": {"backbone": "resnet18"}}),
    "fcn_resnet50": (64, {"width": 0.0625}),
    "enet": (64, {"width": 0.25}),
}


def built(name: str, channels: int = 1, classes: int = 3) -> nn.Module:
    """A net whose layers are all at work, batch statistics and scores too."""
    side, given = NETS[name]
    options = given.get("options", {})
    generator = torch.Generator().manual_seed(3)
    net = catalog.build(
        name, in_channels=channels, num_classes=classes, size=(side, side), width=given["width"],
        **options, generator=generator,
    )  # fmt: skip
    with torch.no_grad():
        for each in net.modules():
            if isinstance(each, nn.BatchNorm2d):
                each.running_mean.uniform_(-0.2, 0.2, generator=generator)
                each.running_var.uniform_(0.5, 1.5, generator=generator)
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.3, generator=generator)
    return net.eval()


def tiled(name: str) -> tuple[nn.Module, Tiling]:
    """A net and how its pictures are divided."""
    net = built(name)
    side = NETS[name][0]
    return net, tiling_of(net, (1, side, side))


def picture(*size: int, channels: int = 1) -> Tensor:
    """Noise, in which every tile differs."""
    return torch.randn(1, channels, *size, generator=torch.Generator().manual_seed(0))


def apart(net: nn.Module, x: Tensor, tiling: Tiling, tile: int) -> float:
    """The largest difference of probabilities between tiles and the whole."""
    even = replace(tiling, axes=tuple(replace(a, takes=a.even) for a in tiling.axes))
    with torch.inference_mode():
        whole = dense(net, x, even, tile=max(x.shape[2:]))
        parts = dense(net, x, tiling, tile=tile)
    assert whole.shape[2:] == parts.shape[2:] == x.shape[2:]
    assert float(whole.softmax(1).std((2, 3)).max()) > 1e-3  # there is something to compare
    return float((whole.softmax(1) - parts.softmax(1)).abs().max())


@pytest.mark.parametrize("name", [n for n in NETS if n != "enet"])
def test_tiles_equal_the_whole(name):
    net, tiling = tiled(name)
    assert tiling.exact, tiling.as_text()
    assert tiling.difference is not None
    assert tiling.difference <= TOLERANCE
    assert apart(net, picture(352, 301), tiling, 128) < 1e-5


@pytest.mark.parametrize("name", ["unet_same", "fcn32s"])
def test_a_tile_that_reads_too_little_is_found_out(name):
    net, tiling = tiled(name)
    short = tuple(replace(axis, before=8, after=8) for axis in tiling.axes)
    assert apart(net, picture(352, 301), replace(tiling, axes=short), 128) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet_same", "fcn"])
def test_tiles_of_256_equal_the_whole_at_1024(name):
    net, tiling = tiled(name)
    assert apart(net, picture(1024, 1024), tiling, 256) < 1e-5
