"""Inception-ResNet v2 against the paper's blocks: counts by hand, a plain functional reading, names of weights."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from striate.errors import ShapeError
from striate.models.catalog import build, entry

# Branches as filters and kernels; "mean" reads the mean over 3x3.
MIXED_5B = [[(96, 1)], [(48, 1), (64, 5)], [(64, 1), (96, 3), (96, 3)], ["mean", (64, 1)]]
TO_17 = [[(384, 3)], [(256, 1), (256, 3), (384, 3)], []]
TO_8 = [[(256, 1), (384, 3)], [(256, 1), (288, 3)], [(256, 1), (288, 3), (320, 3)], []]
BLOCKS = {  # branches, blocks, scale
    "repeat": ([[(32, 1)], [(32, 1), (32, 3)], [(32, 1), (48, 3), (64, 3)]], 10, 0.17),
    "repeat_1": ([[(192, 1)], [(128, 1), (160, (1, 7)), (192, (7, 1))]], 20, 0.10),
    "repeat_2": ([[(192, 1)], [(192, 1), (224, (1, 3)), (256, (3, 1))]], 9, 0.20),
    "block8": ([[(192, 1)], [(192, 1), (224, (1, 3)), (256, (3, 1))]], 1, 1.0),
}
STEM = {"1a": (32, 3), "2a": (32, 3), "2b": (64, 3), "3b": (80, 1), "4a": (192, 3)}


def bare(**settings) -> Any:
    with torch.device("meta"):
        return build("inception_resnet_v2", init=False, **settings)


def area(kernel):
    return kernel * kernel if isinstance(kernel, int) else kernel[0] * kernel[1]


def counted(n, branches, cells, before=None):
    """Convolutions of one module as inputs, filters, kernel cells and cells, and how many maps come out."""
    found, outputs = [], 0
    for branch in branches:
        m, layers = n, [layer for layer in branch if layer != "mean"]
        for i, (filters, kernel) in enumerate(layers):
            inner = before if before and i < len(layers) - 1 else cells
            found.append((m, filters, area(kernel), inner))
            m = filters
        outputs += m
    return found, outputs


def test_counted_by_hand():
    n, convolutions, shortcuts = 3, [], []
    for (filters, kernel), side in zip(STEM.values(), (149, 147, 147, 73, 71), strict=True):
        convolutions.append((n, filters, area(kernel), side**2))
        n = filters
    for branches, name, side, larger in (
        (MIXED_5B, "repeat", 35, 0),
        (TO_17, "repeat_1", 17, 35),
        (TO_8, "repeat_2", 8, 17),
        ([], "block8", 8, 0),
    ):
        if branches:
            more, n = counted(n, branches, side**2, larger**2)
            convolutions += more
        block, times, _ = BLOCKS[name]
        more, sums = counted(n, block, side**2)
        convolutions += more * times
        shortcuts += [(sums, n, side**2)] * times
    assert n == 2080
    convolutions.append((n, 1536, 1, 64))
    params = sum(n * m * k + 2 * m for n, m, k, _ in convolutions) + 1536 * 1000 + 1000
    params += sum(n * m + m for n, m, _ in shortcuts)
    macs = sum(n * m * k * cells for n, m, k, cells in convolutions) + 1536 * 1000
    macs += sum(n * m * cells for n, m, cells in shortcuts)
    row = entry("inception_resnet_v2")
    assert (row.params, row.macs) == (params, macs)
    # The figure of timm also counts two a value normalised.
    normalised = sum(m * cells for _, m, _, cells in convolutions)
    assert f"{(macs + 2 * normalised) / 1e9:.2f}" == "13.18"
    assert row.published.macs == 13_180_000_000


def test_blocks_scales_and_sizes():
    net = bare().eval()
    sizes = {"mixed_5b": (320, 35), "mixed_6a": (1088, 17), "mixed_7a": (2080, 8)}
    sizes |= {"conv2d_4a": (192, 71), "conv2d_7b": (1536, 8)}
    maps = net.maps(torch.empty(1, 3, 299, 299, device="meta"), net.chain)
    assert {name: tuple(maps[name].shape[1:3]) for name in sizes} == sizes
    for name, (_, times, scale) in BLOCKS.items():
        blocks = [net.block8] if name == "block8" else list(net.get_submodule(name))
        assert [block.scale for block in blocks] == [scale] * times
    assert net.drop.p == 0.2  # fig. 15: keep 0.8


def names():
    """Timm's, written from its convention."""
    blocks = [f"conv2d_{name}" for name in (*STEM, "7b")]

    def add(at, branches):
        for i, branch in enumerate(branches):
            if len(branch) == 1:
                blocks.append(f"{at}.branch{i}")
            for j, layer in enumerate(branch if len(branch) > 1 else []):
                blocks.extend([f"{at}.branch{i}.{j}"] if layer != "mean" else [])

    for at, branches in (("mixed_5b", MIXED_5B), ("mixed_6a", TO_17), ("mixed_7a", TO_8)):
        add(at, branches)
    residual = {
        name if name == "block8" else f"{name}.{i}": branches
        for name, (branches, times, _) in BLOCKS.items()
        for i in range(times)
    }
    for at, branches in residual.items():
        add(at, branches)
    state = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    found = {f"{block}.conv.weight" for block in blocks}
    found |= {f"{block}.bn.{part}" for block in blocks for part in state}
    found |= {f"{at}.conv2d.{part}" for at in residual for part in ("weight", "bias")}
    return found | {"classif.weight", "classif.bias"}


def test_weights_have_the_names_of_timm():
    assert set(bare().state_dict()) == names()


def reference(s, x):
    """By plain calls; means come before their 1x1 here."""

    def block(x, name, stride=1, *, valid=False):
        w = s[f"{name}.conv.weight"]
        bn = [s[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        padding = (0, 0) if valid else (w.shape[2] // 2, w.shape[3] // 2)
        return F.relu(F.batch_norm(F.conv2d(x, w, None, stride, padding), *bn, eps=1e-3))

    def module(x, at, branches, *, halved=False):
        ends = []
        for i, branch in enumerate(branches):
            name, y = f"{at}.branch{i}", x
            if not branch:
                ends.append(F.max_pool2d(x, 3, 2))
                continue
            if branch[0] == "mean":
                y = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
            for j, layer in enumerate(branch):
                last = halved and j == len(branch) - 1
                path = name if len(branch) == 1 else f"{name}.{j}"
                y = y if layer == "mean" else block(y, path, 2 if last else 1, valid=last)
            ends.append(y)
        return torch.cat(ends, 1)

    def residual(x, name):
        branches, times, scale = BLOCKS[name]
        for i in range(times):
            at = name if name == "block8" else f"{name}.{i}"
            y = module(x, at, branches)
            x = x + scale * F.conv2d(y, s[f"{at}.conv2d.weight"], s[f"{at}.conv2d.bias"])
            x = x if name == "block8" else F.relu(x)
        return x

    x = block(block(x, "conv2d_1a", 2, valid=True), "conv2d_2a", valid=True)
    x = block(F.max_pool2d(block(x, "conv2d_2b"), 3, 2), "conv2d_3b")
    x = F.max_pool2d(block(x, "conv2d_4a", valid=True), 3, 2)
    x = residual(module(x, "mixed_5b", MIXED_5B), "repeat")
    x = residual(module(x, "mixed_6a", TO_17, halved=True), "repeat_1")
    x = residual(module(x, "mixed_7a", TO_8, halved=True), "repeat_2")
    x = block(residual(x, "block8"), "conv2d_7b")
    return F.linear(x.mean((2, 3)), s["classif.weight"], s["classif.bias"])


def test_it_computes_what_the_paper_says():
    generator = torch.Generator().manual_seed(2)
    settings: dict[str, Any] = {"size": (92, 107), "width": 1 / 16}
    net = build("inception_resnet_v2", generator=generator, **settings).double().eval()
    for tensor in net.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5, generator=generator)
    x = torch.randn(2, 3, 92, 107, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(net(x), reference(net.state_dict(), x))


def test_the_least_picture_fits_and_the_next_smaller_is_refused():
    side = 1  # backwards from mixed_7a: 3x3 windows, two apart or one
    for stride in (2, 2, 2, 1, 2, 1, 2):
        side = (side - 1) * stride + 3
    assert side == 75
    net = build("inception_resnet_v2", size=75, width=1 / 16).eval()
    assert net(torch.zeros(1, 3, 75, 75)).shape == (1, 1000)
    with pytest.raises(ShapeError) as error:
        build("inception_resnet_v2", size=(299, 74))
    assert str(error.value) == (
        "inception_resnet_v2: mixed_7a needs pictures of at least 75x75; "
        "got 299x74; enlarge them with size=75"
    )
