"""Muon against the singular value decomposition, and its other half against AdamW."""

import pytest
import torch
from torch import nn

from striate.training import optimizers, read_recipe
from striate.training.optimizers import Muon, orthogonal

GENERATOR = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("shape", [(6, 25), (25, 6), (8, 8)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    u, _, v = torch.linalg.svd(torch.randn(shape, generator=GENERATOR), full_matrices=False)
    values = torch.linspace(0.2, 1, min(shape))
    got = orthogonal(u @ torch.diag(values) @ v)
    # the iteration is steep, not exact: its source gives 0.7 to 1.2
    assert torch.linalg.svdvals(got).min() > 0.6
    assert torch.linalg.svdvals(got).max() < 1.3
    inner = u.T @ got @ v.T
    torch.testing.assert_close(inner, torch.diag(inner.diag()), atol=1e-4, rtol=0)


@pytest.mark.parametrize("powers", [0, 2, 6])
@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (1, 9)])
def test_long_rows_take_a_shorter_way_to_the_same_matrix(shape, powers, monkeypatch):
    u, s, v = torch.linalg.svd(torch.randn(shape, generator=GENERATOR), full_matrices=False)
    matrix = u * torch.logspace(0, -powers, len(s)) @ v
    found = orthogonal(matrix)
    monkeypatch.setattr(optimizers, "LONG", torch.inf)
    torch.testing.assert_close(found, orthogonal(matrix), rtol=0, atol=1e-3)
    assert not orthogonal(torch.zeros(shape)).any()


def test_biases_step_as_adam_does():
    bias, twin = (nn.Parameter(torch.ones(3)) for _ in range(2))
    ours = Muon([{"params": [bias], "weight_decay": 0.0}], lr=0.1, momentum=0.9)
    theirs = torch.optim.AdamW([twin], lr=0.1, betas=(0.9, 0.99), weight_decay=0.0)
    for step in range(5):
        for p, opt in ((bias, ours), (twin, theirs)):
            p.grad = torch.tensor([1.0, -2.0, 0.1]) * (step - 1.5)
            opt.step()
    torch.testing.assert_close(bias, twin, rtol=1e-5, atol=1e-6)


def test_a_step_of_a_kernel_is_as_large_as_one_of_adam():
    net = nn.Conv2d(6, 16, 5)
    opt = optimizers.optimizer(net, read_recipe("quick", {"optimizer": "muon", "lr": 0.01}))
    before = net.weight.detach().clone()
    opt.param_groups[0]["weight_decay"] = 0.0
    net.weight.grad = torch.randn(16, 6, 5, 5, generator=GENERATOR)
    opt.step()
    size = (net.weight - before).square().mean().sqrt().item()
    # 0.2 learning rates for singular values of 1
    assert 0.6 * 0.002 < size < 1.3 * 0.002
