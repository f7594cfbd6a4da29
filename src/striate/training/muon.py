"""Muon: momentum whose steps are made orthogonal, kernel by kernel. N outputs, K inputs of one output.

Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; the size of the steps after Liu et al. 2025,
arXiv 2502.16982, section 2.2, so that the rates and the decay of AdamW suit it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

QUINTIC = (3.4445, -4.7750, 2.0315)  # a x + b x^3 + c x^5 drives singular values towards 1
ROUNDS = 5
LIKE_ADAM = 0.2  # root mean square of AdamW's steps, in learning rates
SECOND_BETA, EPSILON = 0.99, 1e-8


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
        mean = self._kept(p, "momentum")
        mean.lerp_(gradient, 1 - momentum)
        matrix = orthogonal(gradient.lerp(mean, momentum).flatten(1))  # one step ahead, as Nesterov
        return matrix.reshape(p.shape) * (LIKE_ADAM * max(matrix.shape) ** 0.5)

    def _adam(self, p: Tensor, gradient: Tensor, momentum: float) -> Tensor:
        mean, square = self._kept(p, "mean"), self._kept(p, "square")
        steps = self.state[p].setdefault("steps", torch.zeros(()))
        steps += 1
        mean.lerp_(gradient, 1 - momentum)
        square.mul_(SECOND_BETA).addcmul_(gradient, gradient, value=1 - SECOND_BETA)
        root = (square / (1 - SECOND_BETA ** float(steps))).sqrt_().add_(EPSILON)
        return mean / (1 - momentum ** float(steps)) / root

    def _kept(self, p: Tensor, name: str) -> Tensor:
        return self.state[p].setdefault(name, torch.zeros_like(p))


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix [N, K] with its singular values brought near 1, by Newton and Schulz's iteration."""
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / (x.norm() + 1e-7)
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        gram = x @ x.T
        terms = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.addmm(x, terms, x, beta=a)
    return x if wide else x.T
