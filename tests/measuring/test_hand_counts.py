"""Multiply-adds where popular counters go wrong, against counts by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.measuring import measure


def functional(x):
    return F.conv2d(x, torch.ones(6, 2, 3, 3), stride=2, padding=1, groups=2)


def strided_transposed(x):
    return F.conv_transpose2d(x, torch.ones(4, 3, 4, 4), stride=4)


def grouped_transposed_1d(x):
    return F.conv_transpose1d(x, torch.ones(4, 3, 5), stride=3, groups=2, dilation=2)


def dilated_3d(x):
    return F.conv3d(x, torch.ones(2, 2, 2, 2, 2), dilation=2)


def broadcast(x):
    return torch.ones(5, 1, 2, 3) @ x


def vector(x):
    return x @ torch.ones(4)


def three_factors(x):
    return torch.einsum(
        "bij,jk->bik", torch.einsum("bij,jk->bij", x, torch.ones(4, 2)), torch.ones(4, 5)
    )


def attention(x):
    heads = x.unflatten(-1, (2, 4)).transpose(1, 2)
    return F.scaled_dot_product_attention(heads, heads[:, :, :5], heads[:, :, :5])


def attention_by_hand(x):
    return torch.softmax(x @ x.mT / 2, -1) @ x


HAND = [
    # 6 maps of 4x4, each from 2 of 4 channels by 9 cells; three counters give such a call 0
    (functional, (4, 8, 8), 6 * 16 * 2 * 9),
    # every input value meets 3 maps of 16 cells; two counters give 4x4 times that
    (strided_transposed, (4, 5, 5), 4 * 25 * 3 * 16),
    (grouped_transposed_1d, (4, 7), 4 * 7 * 3 * 5),
    (dilated_3d, (2, 5, 4, 3), 2 * 3 * 2 * 1 * 2 * 8),
    # [5, 1, 2, 3] by [1, 6, 3, 4]: five times six products of 2x3 by 3x4
    (broadcast, (6, 3, 4), 5 * 6 * 2 * 3 * 4),
    (vector, (3, 4), 3 * 4),
    (attention, (7, 8), 2 * 7 * 5 * (4 + 4)),
    (attention_by_hand, (7, 8), 2 * 7 * 7 * 8),
]


@pytest.mark.parametrize(
    ("call", "shape", "macs"), HAND, ids=[call.__name__ for call, _, _ in HAND]
)
def test_by_hand(call, shape, macs):
    class Net(nn.Module):
        def forward(self, x):
            return call(x)

    sheet = measure(Net(), shape)
    assert sheet.totals.macs == macs
    assert sheet.counts.formula == macs
    assert sheet.counts.uncounted == ()


def test_einsum_that_sums_over_one_factor_alone_is_counted_by_its_products():
    class Net(nn.Module):
        def forward(self, x):
            return three_factors(x)

    sheet = measure(Net(), (3, 4))
    last = [layer.macs for layer in sheet.layers if layer.op == "einsum"][-1]
    assert last == 3 * 4 * 5
