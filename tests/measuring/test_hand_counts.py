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


def with_gaps(x):
    return F.conv2d(x, torch.ones(3, 2, 2, 2), stride=5)


def on_a_point(x):
    return F.conv2d(x, torch.ones(7, 5, 1, 1))


def unbatched(x):
    return F.conv2d(x[0], torch.ones(4, 2, 3, 3))


def padded_same(x):
    return F.conv1d(x, torch.ones(3, 2, 4), padding="same", dilation=2)


def depthwise(x):
    return F.conv2d(x, torch.ones(8, 1, 5, 5), padding=2, groups=4)


def transposed_padded(x):
    return F.conv_transpose2d(x, torch.ones(2, 3, 3, 3), stride=2, padding=1, output_padding=1)


def transposed_3d(x):
    return F.conv_transpose3d(x, torch.ones(2, 2, 2, 1, 3), stride=2, groups=2)


def by_unfolding(x):
    return torch.ones(6, 2 * 9) @ F.unfold(x, 3, padding=1)


def bias_added(x):
    return torch.addmm(torch.zeros(5), x.flatten(0, 1), torch.ones(4, 5))


def bias_added_in_batches(x):
    return torch.baddbmm(torch.zeros(3, 2, 5), x[0], torch.ones(3, 4, 5))


def matrix_by_vector(x):
    return torch.mv(x[0], torch.ones(4))


def dot(x):
    return torch.dot(x[0], torch.ones(6))


def einsum_of_channels(x):
    return torch.einsum("bchw,oc->bohw", x, torch.ones(5, 3))


def einsum_with_dots(x):
    return torch.einsum("b...c,oc->b...o", x, torch.ones(5, 3))


def einsum_of_attention(x):
    return torch.einsum("bid,bjd->bij", x, x)


def einsum_without_a_sum(x):
    return torch.einsum("bi,j->bij", x, torch.ones(4))


def tensor_product(x):
    return torch.tensordot(x, torch.ones(3, 4, 2), dims=([3, 2], [0, 1]))  # pyright: ignore[reportArgumentType]


def two_inputs_in_one(x):
    return F.bilinear(x, x[..., :4], torch.ones(3, 5, 4))


def recurrent(x):
    return nn.LSTM(4, 6, num_layers=2, bidirectional=True, batch_first=True).eval()(x)[0]


def one_gated_step(x):
    return nn.GRUCell(4, 6)(x)


def heads(x):
    return nn.MultiheadAttention(8, 2, kdim=8, batch_first=True)(x, x[:, :3], x[:, :3])[0]


def nothing_to_multiply(x):
    return F.interpolate(F.avg_pool2d(F.instance_norm(x), 2), scale_factor=2).softmax(1)


HAND = [
    # 6 maps of 4x4, each from 2 of 4 channels by 9 cells; three counters give such a call 0
    (functional, (4, 8, 8), 6 * 16 * 2 * 9),
    # every input value meets 3 maps of 16 cells; two counters give 4x4 times that
    (strided_transposed, (4, 5, 5), 4 * 25 * 3 * 16),
    (grouped_transposed_1d, (4, 7), 4 * 7 * 3 * 5),
    (dilated_3d, (2, 5, 4, 3), 2 * 3 * 2 * 1 * 2 * 8),
    # [5, 1, 2, 3] by [1, 6, 3, 4]: five times six products of 2x3 by 3x4
    (broadcast, (6, 3, 4), 5 * 6 * 2 * 3 * 4),
    (attention, (7, 8), 2 * 7 * 5 * (4 + 4)),
    (attention_by_hand, (7, 8), 2 * 7 * 7 * 8),
    # a window of 2 every 5: padding and gaps change nothing but the number of places
    (with_gaps, (2, 12, 7), 3 * (3 * 2) * 2 * 4),
    (on_a_point, (5, 1, 1), 7 * 5),
    (unbatched, (2, 5, 5), 4 * 9 * 2 * 9),
    # padding cells count as read: 9 places all the same
    (padded_same, (2, 9), 3 * 9 * 2 * 4),
    (depthwise, (4, 6, 6), 8 * 36 * 25),
    # every input value over 9 cells of 3 maps, also those that the padding cuts off
    (transposed_padded, (2, 4, 4), 2 * 16 * 3 * 9),
    (transposed_3d, (2, 3, 2, 2), 2 * 12 * 2 * 6),
    (by_unfolding, (2, 5, 4), 6 * 18 * 20),
    (bias_added, (3, 4), 3 * 4 * 5),
    (bias_added_in_batches, (3, 2, 4), 3 * 2 * 4 * 5),
    (einsum_of_channels, (3, 4, 5), 5 * 3 * 20),
    (einsum_with_dots, (4, 5, 3), 20 * 3 * 5),
    (einsum_of_attention, (6, 8), 6 * 6 * 8),
    (einsum_without_a_sum, (6,), 0),
    (tensor_product, (5, 4, 3), 5 * 12 * 2),
    # four gates, from the input and from the state, in two layers and two directions
    (recurrent, (5, 4), 5 * 2 * 4 * 6 * ((4 + 6) + (12 + 6))),
    (one_gated_step, (4,), 3 * 6 * (4 + 6)),
    # queries and result of 7 places, keys and values of 3, and the products of both with one another
    (heads, (7, 8), (7 + 3 + 3 + 7) * 8 * 8 + 2 * 7 * 3 * 8),
    (nothing_to_multiply, (3, 8, 8), 0),
]

# PyTorch's counter has no formula for these: the sheet names what it counts by itself.
ALONE = [
    (matrix_by_vector, (3, 4), 3 * 4),
    (vector, (3, 4), 3 * 4),
    (dot, (6,), 6),
    # every weight is used once an item
    (two_inputs_in_one, (2, 5), 2 * 3 * 5 * 4),
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
    assert sheet.counts.flop_counter == macs
    assert sheet.counts.disagree == ()


@pytest.mark.parametrize(
    ("call", "shape", "macs"), ALONE, ids=[call.__name__ for call, _, _ in ALONE]
)
def test_by_hand_alone(call, shape, macs):
    class Net(nn.Module):
        def forward(self, x):
            return call(x)

    sheet = measure(Net(), shape)
    assert sheet.totals.macs == sheet.counts.formula == macs
    assert [(row.formula, row.flop_counter) for row in sheet.counts.disagree] == [(macs, 0)]


def test_einsum_that_sums_over_one_factor_alone_is_counted_by_its_products():
    class Net(nn.Module):
        def forward(self, x):
            return three_factors(x)

    sheet = measure(Net(), (3, 4))
    last = [layer.macs for layer in sheet.layers if layer.op == "einsum"][-1]
    assert last == 3 * 4 * 5
