"""Two items in one picture: mix-up (Zhang et al. 2018) and cut-mix (Yun et al. 2019). B batch, K classes.

The partner of an item is the next one of its batch, whose order is drawn already; one share is drawn for the
whole batch, as in the papers' own code. Both are a function of where in the training the batch is.
"""

import math

import numpy as np
import torch
from torch import Tensor

from striate.augment.policy import Policy


def mix(
    x: Tensor, target: Tensor, policy: Policy, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mixed pictures and their shares of the classes.

    Args:
        x: pictures [B, C, H, W]; for mix-up also anything else, such as waves [B, T].
        target: probabilities of the classes [B, K].
        policy: of its steps of kind "mix" one is drawn.
        generator: a function of seed, epoch and step.

    Returns:
        Pictures and probabilities of the same shapes.
    """
    steps = policy.of("mix")
    if not steps:
        return x, target
    name, alpha = steps[int(torch.randint(len(steps), (), generator=generator))]
    share = _beta(alpha, generator)
    if name == "mixup":
        x = torch.lerp(_next(x), x, share)
    else:
        x, share = _cut(x, share, generator)
    return x, torch.lerp(_next(target), target, share)


def _next(x: Tensor) -> Tensor:
    """For every item the one after it; joined slices keep the layout in memory, an index would not."""
    return torch.cat([x[1:], x[:1]])


def _cut(x: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, float]:
    """A window of the partner of area 1 - share, cut at the edge; the true share is given back."""
    h, w = x.shape[2:]
    side = math.sqrt(1 - share)
    y, at = (int(torch.randint(n, (), generator=generator)) for n in (h, w))
    top, bottom = max(0, y - int(h * side) // 2), min(h, y + int(h * side) // 2)
    left, right = max(0, at - int(w * side) // 2), min(w, at + int(w * side) // 2)
    window = _next(x[:, :, top:bottom, left:right])
    x = x.clone()
    x[:, :, top:bottom, left:right] = window
    return x, 1 - (bottom - top) * (right - left) / (h * w)


def _beta(alpha: float, generator: torch.Generator) -> float:
    """One number of Beta(alpha, alpha)."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))
