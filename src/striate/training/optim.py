"""Optimisers: which parameter is in which group, and their memory as named tensors."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from striate.models.backbone import freeze_norm
from striate.training.frozen import head, stays, within
from striate.training.muon import Muon
from striate.training.recipe import Recipe


def optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over all that is ever trained.

    Biases and normalisation (parameters of one axis) do not decay unless `decay_all` asks for it. With
    `lr_decay` each block has a group of its own, whose `scale` is its factor on the rate.
    """
    if recipe.freeze_norm:
        freeze_norm(net, lambda _path: True)  # takes their weights out of what is trained
    groups: list[dict[str, Any]] = []
    for scale, trained in _by_depth(net, recipe):
        matrices = [p for p in trained if p.ndim > 1 or recipe.decay_all]
        others = [p for p in trained if not (p.ndim > 1 or recipe.decay_all)]
        groups += [
            {"params": matrices, "weight_decay": decay(recipe), "scale": scale},
            {"params": others, "weight_decay": 0.0, "scale": scale},
        ]
    rate: Any = recipe.lr
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=rate, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True
        )
    if recipe.optimizer == "muon":
        return Muon(groups, lr=rate, momentum=recipe.momentum)
    return torch.optim.AdamW(groups, lr=rate, betas=(recipe.momentum, 0.99), fused=True)


def decay(recipe: Recipe) -> float:
    """The weight decay: as given, else what is usual for the optimiser."""
    usual = 5e-4 if recipe.optimizer == "sgd" else 0.05
    return usual if recipe.weight_decay is None else recipe.weight_decay


def set_rate(opt: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its learning rate."""
    for group in opt.param_groups:
        group["lr"] = rate * group["scale"]


def recipe_rate(opt: torch.optim.Optimizer) -> float:
    """The rate that `set_rate` gave last, whatever the factors of the groups."""
    rates = {group["scale"]: group["lr"] for group in opt.param_groups}
    scale = 1.0 if 1.0 in rates else next(iter(rates))
    return float(rates[scale] / scale)


def blocks(net: nn.Module) -> list[str]:
    """Paths of a net's blocks, from the pictures to the head: its parts, and the parts of a sequence."""
    found: list[str] = []
    for name, part in net.named_children():
        inner = isinstance(part, nn.Sequential | nn.ModuleList)
        found += [f"{name}.{sub}" for sub, _ in part.named_children()] if inner else [name]
    return [path for path in found if any(True for _ in net.get_submodule(path).parameters())]


def _by_depth(net: nn.Module, recipe: Recipe) -> Iterator[tuple[float, list[nn.Parameter]]]:
    """Parameters that are trained, by their factor on the rate."""
    kept = stays(net, recipe.freeze)
    trained = {n: p for n, p in net.named_parameters() if p.requires_grad and not kept(n)}
    if recipe.lr_decay == 1:
        yield 1.0, list(trained.values())
        return
    paths = [path for path in blocks(net) if not within(head(net), path)]
    for depth, path in enumerate(reversed(paths), 1):
        names = [name for name in trained if name.startswith(f"{path}.")]
        yield recipe.lr_decay**depth, [trained.pop(name) for name in names]
    yield 1.0, list(trained.values())  # the head, and what stands in no block


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
