"""What a step learns by: a task, or a loss of the user's own. B batch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from striate.errors import RecipeError
from striate.tasks import Learned


class Objective(Protocol):
    """The part of a task (`striate.tasks.Task`) that the training loop calls."""

    def learn(self, net: nn.Module, x: Tensor, target: Tensor) -> Learned:
        """The net's answer to inputs [B, ...], and its mean loss, from which gradients are taken."""
        ...

    def counts(self, answer: Any, target: Tensor) -> Mapping[str, Tensor]:
        """Sums over the items of a batch that are shown beside the loss."""
        ...

    def shares(self, target: Tensor, kind: torch.dtype) -> Tensor:
        """Targets in a form in which those of two items can be blended, for mixup and cutmix."""
        ...


@dataclass(frozen=True)
class Supervised:
    """A net that learns by one loss of its answer: `Supervised(nn.functional.mse_loss)`.

    Attributes:
        loss: from answer and target [B, ...] to the mean loss, a tensor without axes.
    """

    loss: Callable[[Any, Tensor], Tensor]

    def learn(self, net: nn.Module, x: Tensor, target: Tensor) -> Learned:
        """Answer and loss."""
        answer = net(x)
        return Learned(answer, self.loss(answer, target), {})

    def counts(self, answer: Any, target: Tensor) -> Mapping[str, Tensor]:
        """None."""
        del answer, target
        return {}

    def shares(self, target: Tensor, kind: torch.dtype) -> Tensor:
        """Not known.

        Raises:
            RecipeError: always.
        """
        del target, kind
        raise RecipeError(
            "a loss alone does not say how targets are mixed: leave mixup and cutmix out"
        )
