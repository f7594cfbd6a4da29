"""Xception against fig. 5 of the paper: blocks, counts by hand, a plain functional reading, names of weights."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.errors import ShapeError
from striate.models.catalog import build, entry

# Fig. 5: separable convolutions of each block; those of the middle flow stand eight times.
BLOCKS = [(128, 128), (256, 256), (728, 728), *[(728, 728, 728)] * 8, (728, 1024)]
HALVED = (1, 2, 3, 12)


def bare(**settings) -> Any:
    with torch.device("meta"):
        return build("xception", init=False, **settings)


def test_counted_by_hand():
    params = 9 * 3 * 32 + 2 * 32 + 9 * 32 * 64 + 2 * 64
    macs = 9 * 3 * 32 * 149**2 + 9 * 32 * 64 * 147**2
    normalised = 32 * 149**2 + 64 * 147**2
    n, side = 64, 147
    for number, block in enumerate(BLOCKS, start=1):
        inputs = n
        for m in block:
            params += 9 * n + n * m + 2 * m
            macs += (9 * n + n * m) * side**2
            normalised += m * side**2
            n = m
        if number in HALVED:
            side = -(-side // 2)
            params += inputs * n + 2 * n
            macs += inputs * n * side**2
            normalised += n * side**2
    for m in (1536, 2048):
        params += 9 * n + n * m + 2 * m
        macs += (9 * n + n * m) * side**2
        normalised += m * side**2
        n = m
    assert side == 10
    row = entry("xception")
    assert row.params == params + 2048 * 1000 + 1000
    assert row.macs == macs + 2048 * 1000
    # The figure of timm also counts two a value normalised.
    assert f"{(row.macs + 2 * normalised) / 1e9:.2f}" == "8.40"
    assert row.published.macs == 8_400_000_000


def test_figure_5_block_by_block():
    net = bare().eval()
    sides = [147, 74, 37, *[19] * 9, 10]
    maps = net.maps(torch.empty(1, 3, 299, 299, device="meta"), net.chain)
    for number, block in enumerate(BLOCKS, start=1):
        layer = net.get_submodule(f"block{number}")
        kinds = [type(each).__name__ for each in layer.rep]
        expected = ["ReLU", "SeparableConv", "BatchNorm2d"] * len(block)
        expected = expected[1:] if number == 1 else expected
        assert kinds == expected + (["MaxPool"] if number in HALVED else []), number
        separable = [
            each.pointwise.out_channels for each in layer.rep if "Sep" in type(each).__name__
        ]
        assert tuple(separable) == block
        assert (layer.skip is not None) == (number in HALVED)
        assert maps[f"block{number}"].shape[1:] == (block[-1], sides[number], sides[number])
    assert net.drop.p == 0.5  # section 4.4


def names():
    """Timm's, written from its convention."""
    state = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    found = {"conv1.weight", "conv2.weight", "fc.weight", "fc.bias"}
    found |= {f"bn{i}.{part}" for i in range(1, 5) for part in state}
    found |= {f"conv{i}.{part}.weight" for i in (3, 4) for part in ("conv1", "pointwise")}
    for number, block in enumerate(BLOCKS, start=1):
        for i in range(len(block)):
            place = 3 * i + (number > 1)
            found |= {f"block{number}.rep.{place}.{p}.weight" for p in ("conv1", "pointwise")}
            found |= {f"block{number}.rep.{place + 1}.{part}" for part in state}
        if number in HALVED:
            found |= {f"block{number}.skip.weight"}
            found |= {f"block{number}.skipbn.{part}" for part in state}
    return found


def test_weights_have_the_names_of_timm():
    assert set(bare().state_dict()) == names()


def reference(s, x):
    """By plain calls."""

    def norm(x, name):
        bn = [s[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *bn)

    def separable(x, name):
        w = s[f"{name}.conv1.weight"]
        return F.conv2d(F.conv2d(x, w, None, 1, 1, 1, len(w)), s[f"{name}.pointwise.weight"])

    x = F.relu(norm(F.conv2d(x, s["conv1.weight"], None, 2), "bn1"))
    x = F.relu(norm(F.conv2d(x, s["conv2.weight"]), "bn2"))
    for number, block in enumerate(BLOCKS, start=1):
        at, y, short = f"block{number}", x, x
        for i in range(len(block)):
            place = 3 * i + (number > 1)
            y = F.relu(y) if place else y
            y = norm(separable(y, f"{at}.rep.{place}"), f"{at}.rep.{place + 1}")
        if number in HALVED:
            y = F.max_pool2d(y, 3, 2, 1)
            short = norm(F.conv2d(x, s[f"{at}.skip.weight"], None, 2), f"{at}.skipbn")
        x = y + short
    for i in (3, 4):
        x = F.relu(norm(separable(x, f"conv{i}"), f"bn{i}"))
    return F.linear(x.mean((2, 3)), s["fc.weight"], s["fc.bias"])


def test_it_computes_what_the_paper_says():
    generator = torch.Generator().manual_seed(2)
    net = build("xception", size=(97, 86), width=1 / 8, generator=generator).double().eval()
    for tensor in net.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5, generator=generator)
    x = torch.randn(2, 3, 97, 86, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(net(x), reference(net.state_dict(), x))


def test_first_weights_are_he_normal():
    net = build("xception", width=0.25, generator=torch.Generator().manual_seed(0))
    for path, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 2000:
            cells = layer.kernel_size[0] * layer.kernel_size[1]
            spread = (2 / (layer.out_channels * cells)) ** 0.5
            assert abs(layer.weight.std().item() / spread - 1) < 0.1, path


def test_the_least_picture_fits_and_the_next_smaller_is_refused():
    # The four poolings keep one cell; conv2 makes it of 3, conv1 three of 7.
    net = build("xception", size=7, width=1 / 16).eval()
    assert net(torch.zeros(1, 3, 7, 7)).shape == (1, 1000)
    with pytest.raises(ShapeError) as error:
        build("xception", size=(6, 299))
    assert str(error.value) == (
        "xception: conv2 needs pictures of at least 7x7; got 6x299; enlarge them with size=7"
    )
