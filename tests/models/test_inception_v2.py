"""Inception v2: the table of the paper's appendix, a plain functional reading, counts by hand, the source's operations."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.errors import ShapeError
from striate.layers.pool import MaxPool2d
from striate.models.catalog import build, entry

# The table's columns: #1x1, #3x3 reduce, #3x3, double #3x3 reduce, double #3x3, projection, side of the maps.
# It prints a projection to 96 in 4c and 4d, and so 576 maps; the net whose weights people have has 128.
TABLE = {
    "3a": (64, 64, 64, 64, 96, 32, 28),
    "3b": (64, 64, 96, 64, 96, 64, 28),
    "3c": (0, 128, 160, 64, 96, 0, 14),
    "4a": (224, 64, 96, 96, 128, 128, 14),
    "4b": (192, 96, 128, 96, 128, 128, 14),
    "4c": (160, 128, 160, 128, 160, 128, 14),
    "4d": (96, 128, 192, 160, 192, 128, 14),
    "4e": (0, 128, 192, 192, 256, 0, 7),
    "5a": (352, 192, 320, 160, 224, 128, 7),
    "5b": (352, 192, 320, 192, 224, 128, 7),
}
OUTPUTS = (256, 320, 576, 576, 576, 608, 608, 1056, 1024, 1024)


def bare(**settings) -> Any:
    with torch.device("meta"):
        return build("inception_v2", init=False, **settings)


def convolutions():
    """Inputs, filters, kernel cells, and cells of the maps of every convolution."""
    found = [(3, 64, 49, 112**2), (64, 64, 1, 56**2), (64, 192, 9, 56**2)]
    n = 192
    for ones, reduce3, threes, reduce_double, double, projection, side in TABLE.values():
        # Where the size is halved only the last convolution of a branch moves on by two.
        inner = (side if ones else 2 * side) ** 2
        found += [(n, ones, 1, side**2)] if ones else []
        found += [(n, reduce3, 1, inner), (reduce3, threes, 9, side**2)]
        found += [(n, reduce_double, 1, inner), (reduce_double, double, 9, inner)]
        found += [(double, double, 9, side**2)]
        found += [(n, projection, 1, side**2)] if projection else []
        n = ones + threes + double + (projection or n)
    return found


def test_counted_by_hand():
    row = entry("inception_v2")
    # Each filter has a bias, a scale and a shift.
    params = sum(n * m * k + 3 * m for n, m, k, _ in convolutions()) + 1024 * 1000 + 1000
    assert row.params == params
    assert row.macs == sum(n * m * k * cells for n, m, k, cells in convolutions()) + 1024 * 1000


def test_the_operations_that_the_source_prints():
    """Half of: two a multiply-add, four a value normalised, one through ReLU, a window's cells a value pooled."""
    net = bare().eval()
    beside = []

    def count(layer, inputs, output):
        if isinstance(layer, nn.BatchNorm2d):
            beside.append(4 * output.numel())
        elif isinstance(layer, nn.ReLU):
            beside.append(output.numel())
        elif isinstance(layer, nn.MaxPool2d | nn.AvgPool2d | MaxPool2d):
            beside.append(9 * output.numel())
        elif isinstance(layer, nn.AdaptiveAvgPool2d):
            beside.append(inputs[0].numel())

    for layer in net.modules():
        layer.register_forward_hook(count)
    net(torch.empty(1, 3, 224, 224, device="meta"))
    # The maxima of 3c and 4e, of 320 and 608 maps, are missing in the source's sum.
    total = sum(beside) - 9 * (320 * 14**2 + 608 * 7**2)
    printed = entry("inception_v2").published.macs
    assert printed == round((entry("inception_v2").macs + total / 2) / 1e6) * 10**6


def test_the_table_row_by_row():
    net = bare().eval()
    maps = net.maps(torch.empty(1, 3, 224, 224, device="meta"), net.chain)
    for (name, row), outputs in zip(TABLE.items(), OUTPUTS, strict=True):
        assert maps[f"inception{name}"].shape[1:] == (outputs, row[-1], row[-1]), name
        module = net.get_submodule(f"inception{name}")
        branches = [*module.branch2, *module.branch3]
        filters = [conv.conv.out_channels for conv in branches]
        assert filters == [row[1], row[2], row[3], row[4], row[4]], name
        strides = [conv.conv.stride[0] for conv in branches]
        if row[0]:
            assert strides == [1] * 5
            assert module.branch1.conv.out_channels == row[0]
            assert module.branch4[1].conv.out_channels == row[5]
            kind = nn.MaxPool2d if name == "5b" else nn.AvgPool2d
            assert isinstance(module.branch4[0], kind)
        else:
            assert strides == [1, 2, 1, 1, 2]
            assert (module.branch4.kernel_size, module.branch4.stride) == (3, 2)


def reference(s, x):
    """By plain calls."""

    def block(x, name, stride=1):
        w, bias = s[f"{name}.conv.weight"], s[f"{name}.conv.bias"]
        bn = [s[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        x = F.conv2d(x, w, bias, stride, w.shape[-1] // 2)
        return F.relu(F.batch_norm(x, *bn, eps=1e-5))

    x = F.max_pool2d(block(x, "conv1", 2), 3, 2, ceil_mode=True)
    x = F.max_pool2d(block(block(x, "conv2"), "conv3"), 3, 2, ceil_mode=True)
    for name, row in TABLE.items():
        b, stride = f"inception{name}.branch", 1 if row[0] else 2
        ends = [block(x, f"{b}1")] if row[0] else []
        ends += [block(block(x, f"{b}2.0"), f"{b}2.1", stride)]
        ends += [block(block(block(x, f"{b}3.0"), f"{b}3.1"), f"{b}3.2", stride)]
        if not row[0]:
            # ceil(n / 2) windows; beyond the end of an even side, on both sides of an odd one
            odd = [n % 2 for n in x.shape[2:]]
            padded = F.pad(x, (odd[1], 1, odd[0], 1), value=-torch.inf)
            ends += [F.max_pool2d(padded, 3, 2)]
        elif name == "5b":
            ends += [block(F.max_pool2d(x, 3, 1, 1), f"{b}4.1")]
        else:
            ends += [block(F.avg_pool2d(x, 3, 1, 1), f"{b}4.1")]
        x = torch.cat(ends, 1)
    return F.linear(x.mean((2, 3)), s["fc.weight"], s["fc.bias"])


@pytest.mark.parametrize("size", [(224, 224), (107, 89)])
def test_it_computes_what_the_paper_says(size):
    generator = torch.Generator().manual_seed(2)
    net = build("inception_v2", size=size, width=1 / 8, generator=generator).double().eval()
    for tensor in net.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5, generator=generator)
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(net(x), reference(net.state_dict(), x))


def test_the_least_picture_fits_and_the_next_smaller_is_refused():
    # maxpool2 makes one cell of 2, maxpool1 two of 4, conv1 four of 7; 3c and 4e keep one cell.
    net = build("inception_v2", size=7, width=1 / 16).eval()
    assert net(torch.zeros(1, 3, 7, 7)).shape == (1, 1000)
    with pytest.raises(ShapeError) as error:
        build("inception_v2", size=(6, 224))
    assert str(error.value) == (
        "inception_v2: maxpool2 needs pictures of at least 7x7; got 6x224; enlarge them with size=7"
    )
