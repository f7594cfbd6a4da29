"""What lessons learn on: real handwritten digits of 8 x 8 pixels, and a small training of any net on tensors."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from striate import data
from striate.training import Batches, Setting, State, Supervised, loop, read_recipe
from striate.training.reproducibility import fork_rng, seed_everything


class Digits(NamedTuple):
    """Pictures [N, 1, 8, 8] of 0 to 1 and their digits [N]; those to learn from, and those held out."""

    x: Tensor
    y: Tensor
    held_x: Tensor
    held_y: Tensor


@cache
def digits() -> Digits:
    """The 1,797 digits that come with scikit-learn; a fifth is held out."""
    opened = data.open("digits")
    found: list[Tensor] = []
    for name in ("train", "val"):
        split = opened.splits[name]
        arrays = opened.arrays(name)
        pixels = torch.from_numpy(np.ascontiguousarray(arrays.inputs)).float() / 255
        found += [pixels.permute(0, 3, 1, 2).contiguous(), torch.from_numpy(split.labels)]
    return Digits(*found)


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A net whose first weights follow from a seed; the random state around it stays as it is."""
    with fork_rng():
        seed_everything(seed, "lesson")
        return make()


def taught(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    settings: dict[str, Any],
    batch: int = 64,
    loss: Callable[[Any, Tensor], Tensor] = nn.functional.cross_entropy,
    after_step: Callable[[State], None] = lambda _state: None,
) -> nn.Module:
    """Train a net by the loop that `striate train` uses, and give it in evaluation mode.

    Args:
        net: changed.
        x: inputs [N, ...].
        y: targets [N, ...].
        settings: of the recipe: epochs, lr, and what differs from a constant rate of plain gradient descent.
        batch: items a step.
        loss: from answers and targets.
        after_step: is given the state after every step.
    """
    plain = {"optimizer": "sgd", "schedule": "constant", "augment": "none", "momentum": 0.0}
    recipe = read_recipe("quick", {"weight_decay": 0.0, **plain, **settings})
    setting = Setting(Batches.of_tensors(x, y, batch=batch), Supervised(loss), recipe)
    state = State.begin(net, recipe, setting.plan)
    loop.run(state, setting, after_step=after_step)
    return net.eval()


def right(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share of items that a net names rightly."""
    with torch.inference_mode():
        return float((net(x).argmax(1) == y).double().mean())


def plain_net(width: int = 8) -> nn.Module:
    """A small net for the digits: two convolutions, pooling after the first, one linear layer."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * width * 16, 10),
    )
