"""How far weights moved: against NumPy's correlation."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from striate import see
from striate.errors import ArgumentError


def test_movement_is_a_correlation():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(8, 2))
    later = copy.deepcopy(net)
    with torch.no_grad():
        later.get_parameter("3.weight").add_(
            torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
        )
    found = see.movement(net, later)
    assert [m.layer for m in found.layers] == ["0", "3"]
    assert (found.layers[0].correlation, found.layers[0].distance) == (1.0, 0.0)
    old, new = (n.get_parameter("3.weight").detach().double().numpy().ravel() for n in (net, later))
    assert found.layers[1].correlation == pytest.approx(np.corrcoef(old, new)[0, 1])
    assert found.layers[1].distance == pytest.approx(
        np.linalg.norm(new - old) / np.linalg.norm(old)
    )
    assert found.as_dict()["layers"][0] == {"layer": "0", "correlation": 1.0, "distance": 0.0}
    assert found.as_svg().count("<rect") == 3  # the paper, and a bar a layer
    assert found.as_text().splitlines()[-1].split()[0] == "3"


def test_movement_of_weights_that_were_zero_and_of_another_net():
    net = nn.Linear(3, 2)
    zero = {name: torch.zeros_like(t) for name, t in net.state_dict().items()}
    assert see.movement(zero, net).layers[0].correlation == 0
    with pytest.raises(ArgumentError) as caught:
        see.movement(net, nn.Linear(4, 2))
    assert str(caught.value) == (
        "movement: weight is not the same in both; give one net, earlier and later"
    )
