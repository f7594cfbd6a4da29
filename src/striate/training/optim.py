"""Optimisers and the course of the learning rate."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from striate.training.recipe import Recipe


def optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over everything that is trained; no decay on biases and normalisation."""
    trained = [p for p in net.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    rate: Any = recipe.lr
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=recipe.momentum, fused=True)
    return torch.optim.AdamW(groups, lr=rate, betas=(recipe.momentum, 0.99), fused=True)


def rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate at step `step` of `steps`: a function, so that nothing need be remembered.

    onecycle rises linearly during the warm-up and falls linearly to zero; cosine rises likewise and falls
    as half a cosine (Loshchilov and Hutter 2017); constant stays.
    """
    top = recipe.lr or 0.0
    if recipe.schedule == "constant":
        return top
    rise = max(1.0, recipe.warmup * steps)
    if step < rise:
        return top * (step + 1) / (rise + 1)
    left = (steps - step) / max(1.0, steps - rise)
    return top * (left if recipe.schedule == "onecycle" else 0.5 - 0.5 * math.cos(math.pi * left))


def state_tensors(opt: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's memory as named tensors."""
    return {
        f"{index}.{key}": value
        for index, memory in opt.state_dict()["state"].items()
        for key, value in memory.items()
        if isinstance(value, Tensor)
    }


def load_state_tensors(opt: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put `state_tensors` back, each in the memory layout of its parameter (fused steps rely on it)."""
    parameters = [p for group in opt.param_groups for p in group["params"]]
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        parameter = parameters[int(index)]
        same = value.shape == parameter.shape
        place = torch.empty_like(parameter, dtype=value.dtype) if same else torch.empty_like(value)
        opt.state[parameter][key] = place.copy_(value)
