"""Templates of the linear net and of the perceptron's first layer: pictures whose product with a picture is the answer."""

import torch

from striate.models.catalog import build
from striate.models.linear import Dense


def dense(name, **settings):
    net = build(name, **settings)
    assert isinstance(net, Dense)
    return net


def test_a_template_times_a_picture_is_the_logit():
    net = dense("linear", in_channels=3, size=(5, 7), num_classes=4)
    x = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(1))
    templates = net.templates()
    assert templates.shape == (4, 3, 5, 7)
    by_hand = torch.stack([(x * template).sum((1, 2, 3)) for template in templates], dim=1)
    torch.testing.assert_close(net(x), by_hand + net.get_parameter("fc.bias"))
    assert not templates.requires_grad


def test_a_picture_where_only_one_pixel_shines_reads_one_weight():
    net = dense("linear", size=(4, 6), num_classes=3)
    x = torch.zeros(1, 1, 4, 6)
    x[0, 0, 2, 5] = 1
    answer = net(x)[0] - net.get_parameter("fc.bias")
    torch.testing.assert_close(answer, net.templates()[:, 0, 2, 5])


def test_the_perceptron_shows_its_first_hidden_units():
    net = dense("mlp", hidden=[8, 5], size=(4, 6))
    assert net.templates().shape == (8, 1, 4, 6)
    assert torch.equal(net.templates().flatten(1), net.get_parameter("hidden.fc1.weight"))
