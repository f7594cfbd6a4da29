"""What the nets have in common that learn from pictures alone, layer by layer, without a gradient."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Never, Self

import torch
from torch import Tensor

from striate.errors import UsageError
from striate.models.backbone import Backbone

Progress = Callable[[int, int], None]


def unheard(_done: int, _total: int) -> None:
    """Nobody is told."""


class Unsupervised(Backbone):
    """A net that `fit` teaches; its weights are parameters that take no gradient.

    Its "classes" are the units of its last layer, which find their own meaning.
    """

    @abstractmethod
    def fit(
        self,
        pictures: Tensor,
        *,
        generator: torch.Generator,
        passes: int = 20,
        progress: Progress = unheard,
    ) -> Self:
        """Learn from pictures, each layer from what the one below makes of them.

        Args:
            pictures: [N, C, H, W].
            generator: source of their order, and of whatever else the family draws.
            passes: how often each layer sees all of them.
            progress: called with how many pictures were shown, and how many will be, each once a pass and a layer.
        """

    def objective(
        self,
        x: Tensor,  # noqa: ARG002 - refused whatever they are
        target: Tensor,  # noqa: ARG002
        loss: Callable[[Tensor, Tensor], Tensor],  # noqa: ARG002
    ) -> Never:
        """There is none.

        Raises:
            UsageError: always.
        """
        raise self.refusal()

    def refusal(self) -> UsageError:
        """What is said to a training that asks for a loss."""
        return UsageError(
            f"{type(self).__name__} learns without labels and has no loss to descend; "
            "striate train DATA --net teaches it, and in Python net.fit(pictures, generator=torch.Generator())"
        )
