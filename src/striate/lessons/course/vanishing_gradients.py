"""Vanishing gradients: how much of the error reaches the first layer of plain, highway and residual nets of 5 to 50 layers."""

from itertools import pairwise

import torch
from torch import Tensor, nn

import striate
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Shown, Table
from striate.lessons.small import digits, right, seeded, taught

PATHS = ("plain", "highway", "residual")


def net_of(path: str, depth: int) -> nn.Module:
    """A net of the catalogue, of layers of one path."""
    rng = torch.Generator().manual_seed(0)
    return striate.build(
        "highway_fc",
        path=path,
        depth=depth,
        act="tanh",
        in_channels=1,
        num_classes=10,
        size=8,
        generator=rng,
    )


def product_of_slopes() -> Shown:
    rows = [[n, f"{0.25**n:.1e}", f"{0.9**n:.1e}", 1] for n in (1, 5, 10, 50)]
    return Shown([Table(["layers", "sigmoid, at most", "slope 0.9", "carried along"], rows)])


def sigmoid_net(depth: int) -> nn.Module:
    """Layers of 71 units with the logistic function, as nets began."""
    sizes = [64, *[71] * (depth - 1)]

    def make() -> nn.Module:
        layers = [each for a, b in pairwise(sizes) for each in (nn.Linear(a, b), nn.Sigmoid())]
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(71, 10))

    return seeded(make)


def first_layer() -> Shown:
    d = digits()
    rows: list[list[object]] = []
    for depth in (5, 20, 50):
        nets = [sigmoid_net(depth), *(net_of(path, depth) for path in PATHS)]
        rows.append([depth, *(first_against_last(net, d.x[:64], d.y[:64]) for net in nets)])
    header = ["layers", "plain, sigmoid", *(f"{path}, tanh" for path in PATHS)]
    return Shown([Table(header, rows)])


def first_against_last(net: nn.Module, x: Tensor, y: Tensor) -> str:
    """The length of the gradient of the first layer's weights, over that of the last one's."""
    nn.functional.cross_entropy(net(x), y).backward()
    layers = [each for each in net.modules() if isinstance(each, nn.Linear)]
    first, last = (
        0.0 if g is None else float(g.norm())
        for g in (layers[0].weight.grad, layers[-1].weight.grad)
    )
    return f"{first / last:.1e}"


def do_they_learn() -> Shown:
    d = digits()
    rows: list[list[object]] = []
    for path in PATHS:
        net = taught(
            net_of(path, 30), d.x, d.y, settings={"epochs": 3, "lr": 0.002, "optimizer": "adamw"}
        )
        rows.append([path, f"{right(net, d.held_x, d.held_y):.1%}"])
    return Shown([Table(["30 layers, 3 epochs", "right"], rows)])


LESSON = Lesson("vanishing_gradients", (product_of_slopes, first_layer, do_they_learn))
