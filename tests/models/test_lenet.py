"""LeNet-5 against a plain reference: convolution, activation, pooling, in that order."""

import pytest
import torch
from torch.nn import functional as F

from striate.models.catalog import build

ACTS = {"relu": F.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
POOLS = {"max": F.max_pool2d, "avg": F.avg_pool2d}


def reference(w, x, *, act, pool, padding):
    for name in ("conv1", "conv2"):
        x = F.conv2d(
            x, w[f"{name}.weight"], w[f"{name}.bias"], padding=padding if name == "conv1" else 0
        )
        x = pool(act(x), 2)
    x = x.flatten(1)
    x = act(F.linear(x, w["fc1.weight"], w["fc1.bias"]))
    x = act(F.linear(x, w["fc2.weight"], w["fc2.bias"]))
    return F.linear(x, w["fc3.weight"], w["fc3.bias"])


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("size", [28, 32])
def test_every_option_equals_the_plain_order(act, pool, size):
    net = build("lenet5", size=size, act=act, pool=pool).double()
    x = torch.rand(3, 1, size, size, dtype=torch.float64, generator=torch.Generator())
    w = dict(net.named_parameters())
    ours, plain = (
        net(x),
        reference(w, x, act=ACTS[act], pool=POOLS[pool], padding=2 if size == 28 else 0),
    )
    torch.testing.assert_close(ours, plain)
    mine = torch.autograd.grad(ours.square().sum(), list(w.values()))
    theirs = torch.autograd.grad(plain.square().sum(), list(w.values()))
    torch.testing.assert_close(mine, theirs)


def test_maps_are_14_and_5_on_both_sizes():
    for size in (28, 32):
        maps = build("lenet5", size=size).features(torch.zeros(1, 1, size, size))
        assert [tuple(m.shape[1:]) for m in maps] == [(6, 14, 14), (16, 5, 5)]
