"""Branches side by side and on from one another, means behind their convolution, maxima, losses beside the answer's."""

from typing import cast

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.models.branches import Branches, Conv, ConvNorm, MaxPool, Mean, MeanConvNorm, numbered
from striate.models.catalog import build
from striate.models.row_types import Request

REQUEST = Request("net", 3, 5, (8, 8), 1.0, {})


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("gradients", [False, True])
def test_maxima_are_those_of_pytorch_in_the_layout_that_came(layout, gradients):
    x = torch.randn(2, 5, 9, 12, generator=torch.Generator()).contiguous(memory_format=layout)
    x.requires_grad_(gradients)
    for stride, padding, ceil_mode in ((1, 1, False), (2, 0, True)):
        ours = MaxPool(3, stride, padding, ceil_mode=ceil_mode)(x)
        assert torch.equal(ours, F.max_pool2d(x, 3, stride, padding, ceil_mode=ceil_mode))
        assert ours.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
def test_a_mean_may_follow_its_convolution(training, zeros):
    generator = torch.Generator().manual_seed(0)
    net = MeanConvNorm(16, Mean(8, zeros=zeros)).double().train(training)
    x = torch.randn(2, 16, 7, 5, dtype=torch.float64, generator=generator)
    mean = F.avg_pool2d(x, 3, 1, 1, count_include_pad=zeros)
    y = F.conv2d(mean, net.conv.weight)
    y = F.batch_norm(
        y, torch.zeros(8).double(), torch.ones(8).double(), training=training, eps=1e-3
    )
    torch.testing.assert_close(net(x), F.relu(y))


def test_branches_go_on_from_those_they_name():
    table = {
        "a": (Conv(8),),
        **numbered("b", Conv(16), Conv(24, 3)),
        "fork": ("b_1", Conv(32, (1, 3))),
        "pool": (nn.Identity,),
    }
    net = Branches(REQUEST, 8, table).eval()
    assert [name for name, _ in net.named_children()] == ["a", "b_1", "b_2", "fork", "pool"]
    x = torch.randn(2, 8, 6, 5, generator=torch.Generator())
    first = cast("ConvNorm", net.b_1)(x)
    ends = [net.get_submodule(n)(y) for n, y in (("a", x), ("b_2", first), ("fork", first))]
    with torch.no_grad():
        torch.testing.assert_close(net(x), torch.cat([*ends, x], 1))
    assert net.maps == 8 + 24 + 32 + 8


def test_channels_last_stays_channels_last():
    for name in ("googlenet", "inception_v3", "xception"):
        net = build(name, size=96, width=1 / 8).eval()
        for parameter in net.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        x = torch.rand(2, 3, 96, 96).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            for feature in net.features(x):
                assert feature.is_contiguous(memory_format=torch.channels_last), name
