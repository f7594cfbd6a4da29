"""Two items in one picture: mix-up (Zhang et al. 2018) and cut-mix (Yun et al. 2019). B batch, K classes.

The partner of an item is the next one of its batch in a drawn order; one share is drawn for the whole batch,
as in the papers' own code.
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
        x: pictures [B, C, H, W].
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
    partner = torch.randperm(len(x), generator=generator).to(x.device)
    if name == "mixup":
        x = torch.lerp(x[partner], x, share)
    else:
        x, share = _cut(x, partner, share, generator)
    return x, torch.lerp(target[partner], target, share)


def _cut(
    x: Tensor, partner: Tensor, share: float, generator: torch.Generator
) -> tuple[Tensor, float]:
    """A window of the partner of area 1 - share, cut at the edge; the true share is given back."""
    h, w = x.shape[2:]
    side = math.sqrt(1 - share)
    y, at = (int(torch.randint(n, (), generator=generator)) for n in (h, w))
    top, bottom = max(0, y - int(h * side) // 2), min(h, y + int(h * side) // 2)
    left, right = max(0, at - int(w * side) // 2), min(w, at + int(w * side) // 2)
    x = x.clone()
    x[:, :, top:bottom, left:right] = x[partner, :, top:bottom, left:right]
    return x, 1 - (bottom - top) * (right - left) / (h * w)


def _beta(alpha: float, generator: torch.Generator) -> float:
    """One number of Beta(alpha, alpha)."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))
