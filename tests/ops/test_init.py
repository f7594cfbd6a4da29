"""Initialisation: the variance each rule states, the bias, the generator."""

import pytest
import torch

from striate.errors import ArgumentError, ShapeError
from striate.ops import init

IN, OUT = 30 * 9, 40 * 9


@pytest.mark.parametrize(
    ("rule", "settings", "variance"),
    [
        (init.gaussian_, {}, 1e-4),
        (init.gaussian_, {"std": 0.5}, 0.25),
        (init.glorot_, {}, 2 / (IN + OUT)),
        (init.glorot_, {"uniform": False, "gain": 2}, 8 / (IN + OUT)),
        (init.he_, {}, 2 / IN),
        (init.he_, {"uniform": True}, 2 / IN),
        (init.he_, {"fan_out": True}, 2 / OUT),
        (init.lecun_, {}, 1 / IN),
        (init.lecun_, {"uniform": True}, 1 / IN),
    ],
)
def test_variance(rule, settings, variance):
    weight = torch.zeros(40, 30, 3, 3, requires_grad=True)
    rule(weight, **settings, generator=torch.Generator().manual_seed(0))
    assert weight.requires_grad
    assert weight.var().item() == pytest.approx(variance, rel=0.05)
    again = torch.zeros(40, 30, 3, 3)
    rule(again, **settings, generator=torch.Generator().manual_seed(0))
    assert torch.equal(weight, again)


def test_alexnet_begins_with_bias_one():
    bias = torch.zeros(4, requires_grad=True)
    init.gaussian_(torch.zeros(4, 3), bias)
    assert bias.tolist() == [1, 1, 1, 1]


def test_variance_is_kept_through_layers():
    x = torch.randn(2000, 400, generator=torch.Generator().manual_seed(1))
    weight = torch.empty(400, 400)
    init.lecun_(weight, generator=torch.Generator().manual_seed(2))
    assert (x @ weight.T).var().item() == pytest.approx(1, rel=0.05)
    init.he_(weight, generator=torch.Generator().manual_seed(2))
    assert (x.relu() @ weight.T).square().mean().item() == pytest.approx(1, rel=0.05)


def test_messages():
    with pytest.raises(
        ShapeError, match=r"^got a weight of shape \(4,\), expected \[outputs, inputs"
    ):
        init.he_(torch.zeros(4))
    with pytest.raises(ArgumentError, match=r"^std=-1 is no spread, expected at least 0$"):
        init.gaussian_(torch.zeros(4), std=-1)
