"""Kernels as pictures: the numbers are PyTorch's, the net stays as it is."""

import json
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from striate.errors import ArgumentError, ShapeError
from striate.see import kernels, paint


def small() -> nn.Sequential:
    layers = [("act", nn.ReLU()), ("a", nn.Conv2d(1, 4, 3)), ("b", nn.Conv2d(4, 8, (5, 3)))]
    return nn.Sequential(OrderedDict([*layers, ("fc", nn.Linear(12, 5))]))


def weight(net: nn.Module, path: str) -> torch.Tensor:
    return net.get_parameter(f"{path}.weight").detach()


def test_numbers_are_those_of_the_first_convolution():
    net = small()
    found = kernels(net)
    assert found.path == "a"
    assert np.array_equal(found.weights, weight(net, "a").numpy())
    assert found.as_dict() == {
        "path": "a",
        "op": "Conv2d",
        "shape": [4, 1, 3, 3],
        "shown": 4,
        "min": weight(net, "a").min().item(),
        "max": weight(net, "a").max().item(),
    }
    assert json.dumps(found.as_dict())


def test_pictures_show_those_numbers():
    net = small()
    shown = weight(net, "a").numpy()
    tiles = kernels(net).tiles()
    assert len(tiles) == 4
    assert np.array_equal(tiles[2], paint.diverging(shown[2, 0], np.abs(shown).max()))


def test_three_inputs_are_painted_in_colour():
    net = nn.Conv2d(3, 2, 2)
    with torch.no_grad():
        net.weight.zero_()
        net.weight[1, 0, 0, 1] = 0.5
        net.weight[1, 2, 1, 0] = -0.5
    found = kernels(net)
    assert found.in_colour
    assert found.scale == 0.5
    assert found.tiles()[0].tolist() == [[[128] * 3] * 2] * 2
    assert found.tiles()[1].tolist() == [[[128] * 3, [255, 128, 128]], [[128, 128, 0], [128] * 3]]


def test_a_layer_with_many_inputs_gives_one_tile_an_input():
    net = small()
    found = kernels(net, "b", limit=20)
    assert found.weights.shape == (5, 4, 5, 3)
    assert found.shape == (8, 4, 5, 3)
    assert len(found.tiles()) == 20
    assert np.array_equal(found.weights, weight(net, "b")[:5].numpy())
    assert kernels(net, "b", limit=3).weights.shape == (1, 3, 5, 3)


def test_limit_cuts_and_the_shape_tells_the_whole():
    found = kernels(small(), limit=2)
    assert found.weights.shape[0] == 2
    assert found.shape[0] == 4
    assert "2 of 4 kernels of 1x3x3" in found.as_text()


def test_a_linear_net_is_laid_out_as_its_picture():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    found = kernels(net, shape=(1, 3, 4))
    assert np.array_equal(found.weights, weight(net, "1").reshape(5, 1, 3, 4).numpy())


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(2, 3, 5), (3, 2, 1, 5)),
        (nn.Conv3d(1, 3, (2, 4, 5)), (3, 2, 4, 5)),
        (nn.ConvTranspose2d(2, 3, 4), (3, 2, 4, 4)),
    ],
)
def test_other_convolutions(layer, shape):
    assert kernels(layer).shape == shape


def test_dead_kernels_are_drawn_flat():
    net = nn.Conv2d(1, 2, 3)
    nn.init.zeros_(net.weight)
    assert np.unique(np.stack(kernels(net).tiles())).tolist() == [247]


def test_picture_is_a_square_sheet_and_shows_itself_in_a_notebook():
    found = kernels(nn.Conv2d(1, 4, 7))
    assert found.picture().size == (2 * 60 + 4, 2 * 60 + 4)
    markup = found._repr_html_()
    assert markup.count('<img src="data:image/png;base64,') == 1
    assert f"+{found.scale:.3g}" in markup


def test_the_net_stays_and_the_result_is_a_copy():
    net = small().train()
    before = weight(net, "a").clone()
    kernels(net).weights[:] = 9
    assert torch.equal(weight(net, "a"), before)
    assert net.training
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize(
    ("net", "arguments", "kind", "message"),
    [
        (
            nn.ReLU(),
            {},
            ArgumentError,
            "ReLU has neither a convolution nor a linear layer: there are no kernels to see",
        ),
        (
            small(),
            {"layer": "fcc"},
            ArgumentError,
            "no layer 'fcc' in Sequential; did you mean fc? There are: a, b, fc",
        ),
        (
            small(),
            {"layer": "act"},
            ArgumentError,
            "act: a ReLU has no kernels; name a convolution or a linear layer",
        ),
        (
            small(),
            {"layer": "fc", "shape": (1, 5, 5)},
            ShapeError,
            (
                "fc: a linear layer of 12 inputs, got shape=(1, 5, 5); "
                "give shape=(channels, height, width) of the picture it reads"
            ),
        ),
        (small(), {"limit": 0}, ArgumentError, "limit=0: expected at least 1 picture"),
    ],
)
def test_messages(net, arguments, kind, message):
    with pytest.raises(kind) as caught:
        kernels(net, **arguments)
    assert str(caught.value) == message
