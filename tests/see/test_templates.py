"""Templates are the weights of a linear layer, laid out as what it reads."""

import numpy as np
import pytest
import torch
from torch import nn

from striate import see
from striate.errors import ArgumentError, ShapeError
from striate.models import catalog


def built(name, **settings):
    return catalog.build(name, generator=torch.Generator().manual_seed(0), **settings)


def test_a_linear_net_of_pixels():
    net = built("linear", in_channels=1, size=(28, 28))
    found = see.templates(net, shape=(1, 28, 28), classes=tuple("abcdefghij"))
    weight = next(m for m in net.modules() if isinstance(m, nn.Linear)).weight
    assert found.pixels
    assert np.array_equal(found.weights, weight.detach().reshape(10, 1, 28, 28).numpy())
    assert found.names == tuple("abcdefghij")
    assert "weight" in found.as_html()


def test_a_layer_behind_convolutions_is_laid_out_as_their_maps():
    found = see.templates(built("lenet5"), layer="fc1", shape=(1, 28, 28))
    assert not found.pixels
    assert found.weights.shape[1:] in {(16, 4, 4), (16, 5, 5)}
    assert found.as_dict()["shape"][0] == 120
    assert "mean over channels" in found.heading()


def test_a_layer_of_no_places_is_a_strip():
    found = see.templates(built("lenet5"), limit=3)
    assert found.weights.shape[2:] == (1, 1)
    assert len(found.rows()) == 3


@pytest.mark.parametrize(
    ("net", "given", "kind", "says"),
    [
        (lambda: nn.Sequential(nn.Conv2d(1, 2, 3)), {}, ArgumentError, "no linear layer, so"),
        (lambda: built("lenet5"), {"layer": "fc4"}, ArgumentError, "did you mean fc"),
        (lambda: built("lenet5"), {"limit": 0}, ArgumentError, "limit=0"),
        (lambda: built("lenet5"), {"shape": (3, 28, 28)}, ShapeError, "cannot read 3x28x28"),
    ],
)
def test_wrong_words(net, given, kind, says):
    with pytest.raises(kind, match=says):
        see.templates(net(), **given)
