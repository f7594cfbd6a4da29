"""Residual networks with identity mappings: a plain functional reading, counts by hand, names, the open path."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from striate.errors import ShapeError
from striate.models.catalog import CATALOG, build

DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


@pytest.mark.parametrize("depth", DEPTHS)
def test_it_counts_as_resnet_but_for_the_normalisation(depth):
    """Each convolution's scale and shift are as wide as its input, projections and the stem have none."""
    change = -2 * 64  # bn1 of the stem
    expansion = 1 if depth < 50 else 4
    inputs = 64
    for stage, blocks in enumerate(DEPTHS[depth]):
        width = 64 * 2**stage
        for _ in range(blocks):
            # After the last convolution there was one as wide as the output, before the first is one
            # as wide as the input.
            change += 2 * inputs - 2 * width * expansion
            if inputs != width * expansion:
                change -= 2 * width * expansion  # of the projection
            inputs = width * expansion
    change += 2 * inputs  # after the last block
    before, after = CATALOG[f"resnet{depth}"], CATALOG[f"preresnet{depth}"]
    assert (after.params, after.macs) == (before.params + change, before.macs)


def test_weights_have_the_names_of_timm_but_for_stem_and_head():
    with torch.device("meta"):
        state = build("preresnet50", init=False).state_dict()
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = ["conv1.weight"]
    for stage, blocks in enumerate(DEPTHS[50]):
        for block in range(blocks):
            at = f"stages.{stage}.blocks.{block}"
            expected += [f"{at}.downsample.conv.weight"] if block == 0 else []
            for i in (1, 2, 3):
                expected += [*(f"{at}.norm{i}.{part}" for part in norm), f"{at}.conv{i}.weight"]
    expected += [*(f"norm.{part}" for part in norm), "fc.weight", "fc.bias"]
    assert list(state) == expected


def reference(s, x):
    def conv(x, name, *, stride=1):
        weight = s[f"{name}.weight"]
        return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2)

    def act(x, name):
        parts = (s[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.relu(F.batch_norm(x, *parts))

    x = F.max_pool2d(conv(x, "conv1", stride=2), 3, 2, 1)
    blocks = sorted(
        {(int(k.split(".")[1]), int(k.split(".")[3])) for k in s if k.startswith("stages")}
    )
    for stage, block in blocks:
        at = f"stages.{stage}.blocks.{block}"
        stride = 2 if stage and not block else 1
        y, short = act(x, f"{at}.norm1"), x
        if f"{at}.downsample.conv.weight" in s:
            short = conv(y, f"{at}.downsample.conv", stride=stride)
        if f"{at}.conv3.weight" in s:
            y = conv(act(conv(y, f"{at}.conv1"), f"{at}.norm2"), f"{at}.conv2", stride=stride)
            y = conv(act(y, f"{at}.norm3"), f"{at}.conv3")
        else:
            y = conv(y, f"{at}.conv1", stride=stride)
            y = conv(act(y, f"{at}.norm2"), f"{at}.conv2")
        x = y + short
    return F.linear(act(x, "norm").mean((2, 3)), s["fc.weight"], s["fc.bias"])


@pytest.mark.parametrize(("name", "width"), [("preresnet18", 0.25), ("preresnet50", 0.125)])
def test_it_computes_what_the_paper_says(name, width):
    generator = torch.Generator().manual_seed(2)
    net = build(name, size=(64, 71), width=width, generator=generator).double().eval()
    for key, tensor in net.state_dict().items():
        if ("running" in key or "norm" in key) and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=generator)
    x = torch.rand(2, *net.input_shape, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(net(x), reference(net.state_dict(), x))


def test_within_a_stage_the_signal_passes_unchanged():
    """With the last convolution of each block at 0, the map that leaves the first block leaves the stage."""
    net: Any = build("preresnet34", size=64, width=0.25).eval()
    for stage in net.stages:
        for block in stage.blocks[1:]:
            torch.nn.init.zeros_(block.conv2.weight)
    x = torch.rand(1, 64 // 4, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    with torch.no_grad():
        assert torch.equal(net.stages[0].blocks[1:](x.clone()), x)


def test_a_picture_below_the_last_stride_is_refused():
    with pytest.raises(ShapeError) as error:
        build("preresnet18", size=(31, 40))
    assert str(error.value) == (
        "preresnet18: the last stage has stride 32 and needs pictures of at least 32x32; "
        "got 31x40; enlarge them with size=32"
    )
