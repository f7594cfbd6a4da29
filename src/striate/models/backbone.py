"""What every net of the catalogue gives beside its logits: maps for any head, and where its ends are.

B batch, C channels, H W pixels.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from striate.models import init


class Backbone(nn.Module, ABC):
    """A net that classifies and whose maps other heads can use.

    Attributes:
        input_shape: (C, H, W) it was built for.
        widths: channels of each map of `features`.
        strides: input pixels between neighbouring values of each map.
        stem: path of the first layer with weights, the one whose kernels can be looked at as pictures.
        head: path of the last linear layer.
    """

    input_shape: tuple[int, int, int]
    widths: tuple[int, ...]
    strides: tuple[int, ...]
    stem: str
    head: str

    @abstractmethod
    def initialise(self, generator: torch.Generator) -> None:
        """First weights of every layer, as the family takes them."""

    @abstractmethod
    def features(self, x: Tensor) -> list[Tensor]:
        """Maps [B, widths[i], H / strides[i], W / strides[i]] (valid convolutions lose a border), finest first."""

    def reset_head(self, num_classes: int, *, generator: torch.Generator | None = None) -> None:
        """Put a new last layer of `num_classes` outputs, where the old one was and of its type.

        Args:
            num_classes: outputs of the new layer.
            generator: source of its weights; None is a new one, so that equal calls give equal weights.
        """
        old = self.get_submodule(self.head)
        if not isinstance(old, nn.Linear):
            raise TypeError(f"{self.head} is {type(old).__name__}, not a linear layer")
        with init.skipped():
            new = nn.Linear(
                old.in_features, num_classes, device=old.weight.device, dtype=old.weight.dtype
            )
        init.as_torch(new, generator or torch.Generator())
        self.set_submodule(self.head, new)
