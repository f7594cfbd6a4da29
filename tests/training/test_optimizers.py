"""Optimisers and rates."""

import pytest
import torch
from torch import nn

from striate.plan import Plan
from striate.training import optimizers, read_recipe


def recipe(**settings):
    return read_recipe("quick", {"lr": 1.0, **settings})


def test_biases_and_normalisation_do_not_decay():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    decayed, free = optimizers.optimizer(net, recipe()).param_groups
    assert [p.ndim for p in decayed["params"]] == [4]
    assert [p.ndim for p in free["params"]] == [1, 1, 1]
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.05, 0)


def test_frozen_parameters_are_left_out():
    net = nn.Linear(2, 2)
    net.bias.requires_grad_(False)
    assert sum(len(g["params"]) for g in optimizers.optimizer(net, recipe()).param_groups) == 1


@pytest.mark.parametrize("name", ["adamw", "muon", "sgd"])
def test_the_memory_of_an_optimiser_goes_on_in_another_layout(name):
    """Fused steps read memory in order, so restored tensors must lie as their parameter does."""

    def fresh():
        net = nn.Conv2d(3, 4, 3)
        Plan(layout="channels_last").place(net)
        with torch.no_grad():
            net.weight.copy_(torch.arange(108.0).view(4, 3, 3, 3) / 100)
            net.get_parameter("bias").zero_()
        return net, optimizers.optimizer(net, recipe(optimizer=name, lr=0.01))

    def step(net, opt):
        opt.zero_grad()
        x = torch.linspace(-1, 1, 192).view(1, 3, 8, 8)
        net(x).square().sum().backward()
        opt.step()

    whole, opt = fresh()
    for _ in range(3):
        step(whole, opt)
    half, opt = fresh()
    step(half, opt)
    kept = {
        name: t.clone(memory_format=torch.contiguous_format)
        for name, t in optimizers.state_tensors(opt).items()
    }
    weights = {name: t.clone() for name, t in half.state_dict().items()}
    rest, opt = fresh()
    rest.load_state_dict(weights)
    optimizers.load_state_tensors(opt, kept)
    for _ in range(2):
        step(rest, opt)
    assert torch.equal(rest.weight, whole.weight)
