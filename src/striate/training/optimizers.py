"""Optimisers: parameter groups, Muon, the average of weights, and their memory as named tensors.

Muon is momentum whose steps are made orthogonal, kernel by kernel (N outputs, K inputs of one output): Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon/; the size of the steps after Liu et al. 2025, arXiv 2502.16982, section 2.2, so
that the rates and the decay of AdamW suit it.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from striate.models.backbone import freeze_norm, last_layer
from striate.training.freezing import blocks, is_frozen, within
from striate.training.recipe import Recipe

QUINTIC = (3.4445, -4.7750, 2.0315)  # a x + b x^3 + c x^5 drives singular values towards 1


ROUNDS = 5


LONG = 3  # times as many columns as rows, from which the iteration runs on the products of the rows


LIKE_ADAM = 0.2  # root mean square of AdamW's steps, in learning rates


SECOND_BETA, EPSILON = 0.99, 1e-8


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


def _by_depth(net: nn.Module, recipe: Recipe) -> Iterator[tuple[float, list[nn.Parameter]]]:
    """Parameters that are trained, by their factor on the rate."""
    frozen = is_frozen(net, recipe.freeze)
    trained = {n: p for n, p in net.named_parameters() if p.requires_grad and not frozen(n)}
    if recipe.lr_decay == 1:
        yield 1.0, list(trained.values())
        return
    paths = [path for path in blocks(net) if not within(last_layer(net), path)]
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


class Muon(torch.optim.Optimizer):
    """Kernels [N, ...] flattened to matrices [N, K] by Muon; biases and normalisation by Adam."""

    def __init__(self, groups: list[dict[str, Any]], *, lr: float, momentum: float) -> None:
        """Take parameter groups as `torch.optim.AdamW` takes them.

        Args:
            groups: with `params` and `weight_decay` each.
            lr: learning rate.
            momentum: share of the running mean of gradients that stays, a step.
        """
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - closures are not taken
        """One step of every parameter that has a gradient."""
        if closure is not None:
            raise TypeError("Muon takes no closure")
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                towards = self._orthogonal if p.ndim > 1 else self._adam
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(towards(p, p.grad, group["momentum"]), alpha=-group["lr"])

    def _orthogonal(self, p: Tensor, gradient: Tensor, momentum: float) -> Tensor:
        mean = self._memory(p, "momentum")
        mean.lerp_(gradient, 1 - momentum)
        matrix = orthogonal(gradient.lerp(mean, momentum).flatten(1))  # one step ahead, as Nesterov
        return matrix.reshape(p.shape) * (LIKE_ADAM * max(matrix.shape) ** 0.5)

    def _adam(self, p: Tensor, gradient: Tensor, momentum: float) -> Tensor:
        mean, square = self._memory(p, "mean"), self._memory(p, "square")
        steps = self.state[p].setdefault("steps", torch.zeros(()))
        steps += 1
        mean.lerp_(gradient, 1 - momentum)
        square.mul_(SECOND_BETA).addcmul_(gradient, gradient, value=1 - SECOND_BETA)
        root = (square / (1 - SECOND_BETA ** float(steps))).sqrt_().add_(EPSILON)
        return mean / (1 - momentum ** float(steps)) / root

    def _memory(self, p: Tensor, name: str) -> Tensor:
        return self.state[p].setdefault(name, torch.zeros_like(p))


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix [N, K] with its singular values brought near 1, by Newton and Schulz's iteration."""
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / (x.norm() + 1e-7)
    x = _factor(x @ x.T) @ x if x.shape[1] >= LONG * x.shape[0] else _iterated(x)
    return x if wide else x.T


def _iterated(x: Tensor) -> Tensor:
    """The rounds, written plainly."""
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        gram = x @ x.T
        terms = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.addmm(x, terms, x, beta=a)
    return x


def _factor(gram: Tensor) -> Tensor:
    """What the rounds multiply a matrix by in all, [N, N], from the products of its rows.

    Every round multiplies it from the left by a polynomial of `gram`, and `gram` by that from both sides: of long rows
    a round costs N^3 instead of N^2 K. Equal in exact numbers; in float32 within 1e-3 where singular values span six
    powers of ten, else within 1e-4.
    """
    a, b, c = QUINTIC
    whole = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    for last in range(ROUNDS, 0, -1):
        terms = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        terms.diagonal().add_(a)
        whole = terms @ whole
        if last > 1:
            gram = terms @ gram @ terms
    return whole


class EMA:
    """The exponential moving average of a net's weights and statistics, itself a net.

    Polyak and Juditsky 1992; exponentially, as in Szegedy et al. 2016, arXiv 1512.00567, section 8.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        """Start as a copy.

        Args:
            net: what is averaged; already on its device.
            decay: share of the average that stays, a step. Early steps count more: (1 + n) / (10 + n)
                where that is less, so that the first weights are forgotten in a short training too.
        """
        self.net = copy.deepcopy(net).requires_grad_(False)
        self.decay = decay
        pairs = list(zip(_tensors(self.net), _tensors(net), strict=True))
        self._mean = [mean for mean, _ in pairs if mean.is_floating_point()]
        self._now = [now for mean, now in pairs if mean.is_floating_point()]
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` steps."""
        keep = min(self.decay, (1 + step) / (10 + step))
        get_ema_multi_avg_fn(keep)(self._mean, self._now, None)
        for mean, now in self._counts:
            mean.copy_(now)


def _tensors(net: nn.Module) -> list[Tensor]:
    return [t for t in net.state_dict(keep_vars=True).values() if isinstance(t, Tensor)]
