"""What measuring costs, in calls of Python functions: a count, so that no other load on the machine moves it."""

import cProfile
import pstats

import pytest
import torch
from torch import nn

from striate.measuring import measure


def deep(layers):
    with torch.device("meta"):
        steps = [
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()) for _ in range(layers // 2)
        ]
        return nn.Sequential(*steps)


def calls(layers):
    net = deep(layers)
    with cProfile.Profile() as profile:
        sheet = measure(net, (4, 16, 16))
    assert len(sheet.layers) == layers
    return pstats.Stats(profile).total_calls  # pyright: ignore[reportAttributeAccessIssue]


def test_a_net_twice_as_deep_costs_twice_as_much():
    calls(20)  # what is imported and cached at first
    assert calls(200) / calls(100) < 2.1


@pytest.mark.slow
def test_a_thousand_layers():
    calls(20)
    assert calls(1000) / calls(500) < 2.05
