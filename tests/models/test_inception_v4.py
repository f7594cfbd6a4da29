"""Inception v4 against figs. 3 to 9 of the paper: sizes, counts by hand, a plain functional reading, names of weights."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from striate.errors import ShapeError
from striate.models.catalog import build, entry

ROW, COLUMN = (1, 7), (7, 1)
A, B, C = range(6, 10), range(11, 18), range(19, 22)  # places of the modules in `features`

# Figs. 4 to 8: the branches of each module as filters and kernels; "mean" reads the mean over 3x3.
MODULES: dict[str, list[list[Any]]] = {
    "A": [
        [(96, 1)],
        [(64, 1), (96, 3)],
        [(64, 1), (96, 3), (96, 3)],
        ["mean", (96, 1)],
    ],
    "B": [
        [(384, 1)],
        [(192, 1), (224, ROW), (256, COLUMN)],
        [(192, 1), (192, COLUMN), (224, ROW), (224, COLUMN), (256, ROW)],
        ["mean", (128, 1)],
    ],
    "to17": [[(384, 3)], [(192, 1), (224, 3), (256, 3)], []],
    "to8": [
        [(192, 1), (192, 3)],
        [(256, 1), (256, ROW), (320, COLUMN), (320, 3)],
        [],
    ],
    "71": [[(64, 1), (96, 3)], [(64, 1), (64, ROW), (64, COLUMN), (96, 3)]],
}
PLACES = {4: "71", **dict.fromkeys(A, "A"), 10: "to17", **dict.fromkeys(B, "B"), 18: "to8"}
SIDES = [149, 147, 147, 73, 71, *[35] * 5, *[17] * 8, *[8] * 4]


def area(kernel):
    return kernel * kernel if isinstance(kernel, int) else kernel[0] * kernel[1]


def convolutions():
    """Inputs, filters, kernel cells, and cells of the maps of every convolution, place by place."""
    found = [(3, 32, 9, 149**2), (32, 32, 9, 147**2), (32, 64, 9, 147**2), (64, 96, 9, 73**2)]
    n = 64 + 96
    for place in range(4, 22):
        side = SIDES[place]
        if place == 5:  # a convolution beside a maximum
            found.append((n, 192, 9, side**2))
            n += 192
        elif place in C:
            found += [(n, 256, 1, side**2), (n, 384, 1, side**2), *[(384, 256, 3, side**2)] * 2]
            found += [(n, 384, 1, side**2), (384, 448, 3, side**2), (448, 512, 3, side**2)]
            found += [*[(512, 256, 3, side**2)] * 2, (n, 256, 1, side**2)]
            n = 6 * 256
        else:
            outputs = 0
            for branch in MODULES[PLACES[place]]:
                m, layers = n, [layer for layer in branch if layer != "mean"]
                for i, (filters, kernel) in enumerate(layers):
                    # Only the last convolution of a reduction and of the stem lacks padding.
                    valid = place in (4, 10, 18) and i == len(layers) - 1
                    cells = side if valid or place not in (4, 10, 18) else SIDES[place - 1]
                    found.append((m, filters, area(kernel), cells**2))
                    m = filters
                outputs += m
            n = outputs
    return found


def bare(**settings) -> Any:
    with torch.device("meta"):
        return build("inception_v4", init=False, **settings)


def test_counted_by_hand():
    row = entry("inception_v4")
    norms = sum(2 * m for _, m, _, _ in convolutions())
    weights = sum(n * m * k for n, m, k, _ in convolutions())
    assert row.params == weights + norms + 1536 * 1000 + 1000
    assert row.macs == sum(n * m * k * cells for n, m, k, cells in convolutions()) + 1536 * 1000
    # The figure of timm also counts two a value normalised.
    normalised = sum(m * cells for _, m, _, cells in convolutions())
    assert f"{(row.macs + 2 * normalised) / 1e9:.2f}" == "12.28"
    assert row.published.macs == 12_280_000_000


def test_the_sizes_of_figures_3_and_9():
    net = bare().eval()
    maps = [64, 160, 192, *[384] * 5, *[1024] * 8, *[1536] * 4]
    x = torch.empty(1, 3, 299, 299, device="meta")
    for place, layer in enumerate(net.features):
        x = layer(x)
        assert x.shape[2:] == (SIDES[place], SIDES[place]), place
        if place >= 2:
            assert x.shape[1] == maps[place - 2], place
    assert net.drop.p == 0.2  # fig. 9: keep 0.8


def names():
    """Timm's, written from its convention."""
    blocks = ["0", "1", "2", "3.conv", "5.conv"]
    for place, kind in PLACES.items():
        for i, branch in enumerate(MODULES[kind]):
            if len(branch) == 1:
                blocks.append(f"{place}.branch{i}")
            else:
                blocks += [
                    f"{place}.branch{i}.{j}" for j, layer in enumerate(branch) if layer != "mean"
                ]
    inner = ("0", "1_0", "1_1a", "1_1b", "2_0", "2_1", "2_2", "2_3a", "2_3b", "3.1")
    blocks += [f"{place}.branch{name}" for place in C for name in inner]
    state = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    found = {f"features.{block}.conv.weight" for block in blocks}
    found |= {f"features.{block}.bn.{part}" for block in blocks for part in state}
    return found | {"last_linear.weight", "last_linear.bias"}


def test_weights_have_the_names_of_timm():
    assert set(bare().state_dict()) == names()


def reference(s, x):
    """By plain calls; means come before their 1x1 here."""

    def block(x, name, stride=1, *, valid=False):
        w = s[f"features.{name}.conv.weight"]
        parts = ("running_mean", "running_var", "weight", "bias")
        bn = [s[f"features.{name}.bn.{part}"] for part in parts]
        padding = (0, 0) if valid else (w.shape[2] // 2, w.shape[3] // 2)
        return F.relu(F.batch_norm(F.conv2d(x, w, None, stride, padding), *bn, eps=1e-3))

    def branch(x, name, layers, stride, *, valid):
        if not layers:
            return F.max_pool2d(x, 3, 2)
        if layers[0] == "mean":
            return block(F.avg_pool2d(x, 3, 1, 1, count_include_pad=False), f"{name}.1")
        for j in range(len(layers)):
            last = j == len(layers) - 1
            at = name if len(layers) == 1 else f"{name}.{j}"
            x = block(x, at, stride if last else 1, valid=valid and last)
        return x

    x = block(block(block(x, "0", 2, valid=True), "1", valid=True), "2")
    x = torch.cat([F.max_pool2d(x, 3, 2), block(x, "3.conv", 2, valid=True)], 1)
    for place in range(4, 19):
        if place == 5:
            x = torch.cat([block(x, "5.conv", 2, valid=True), F.max_pool2d(x, 3, 2)], 1)
            continue
        stride, valid = 2 if place in (10, 18) else 1, place in (4, 10, 18)
        branches = enumerate(MODULES[PLACES[place]])
        ends = [branch(x, f"{place}.branch{i}", b, stride, valid=valid) for i, b in branches]
        x = torch.cat(ends, 1)
    for place in C:
        b = f"{place}.branch"
        one, two = block(x, f"{b}1_0"), block(block(block(x, f"{b}2_0"), f"{b}2_1"), f"{b}2_2")
        ends = [block(x, f"{b}0"), block(one, f"{b}1_1a"), block(one, f"{b}1_1b")]
        ends += [block(two, f"{b}2_3a"), block(two, f"{b}2_3b")]
        ends += [branch(x, f"{b}3", ["mean", 1], 1, valid=False)]
        x = torch.cat(ends, 1)
    return F.linear(x.mean((2, 3)), s["last_linear.weight"], s["last_linear.bias"])


def test_it_computes_what_the_paper_says():
    generator = torch.Generator().manual_seed(2)
    net = build("inception_v4", size=(107, 92), width=1 / 16, generator=generator).double().eval()
    for tensor in net.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5, generator=generator)
    x = torch.randn(2, 3, 107, 92, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(net(x), reference(net.state_dict(), x))


def test_the_least_picture_fits_and_the_next_smaller_is_refused():
    side = 1  # backwards from the second reduction: 3x3 windows, two apart or one
    for stride in (2, 2, 2, 1, 2, 1, 2):
        side = (side - 1) * stride + 3
    assert side == 75
    net = build("inception_v4", size=75, width=1 / 16).eval()
    assert net(torch.zeros(1, 3, 75, 75)).shape == (1, 1000)
    with pytest.raises(ShapeError) as error:
        build("inception_v4", size=(74, 299))
    assert str(error.value) == (
        "inception_v4: features.18 needs pictures of at least 75x75; "
        "got 74x299; enlarge them with size=75"
    )
