"""Tasks whose nets answer numbers scaled to mean 0 and deviation 1. V numbers, or series."""

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.tasks.task import Task


class ScaledTask(Task):
    """Scales answers back to the unit of the data.

    Attributes:
        mean, std: of each number over the training items, by which it is scaled.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def unscaled(self, outputs: Tensor) -> NDArray[np.float64]:
        """Answers [..., V] in the unit of the data."""
        return outputs.double().cpu().numpy() * np.array(self.std) + np.array(self.mean)

    def to_mean(self, outputs: Tensor) -> Tensor:
        """Answers [..., V] in the unit of the data, which runs may have scaled differently."""
        mean, std = self._exact
        return outputs.double().cpu() * std + mean

    def from_mean(self, mean: Tensor) -> Tensor:
        """Scaled as this run's net answers."""
        own, std = self._exact
        return (mean - own) / std

    @cached_property
    def _exact(self) -> tuple[Tensor, Tensor]:
        mean, std = (torch.tensor(each, dtype=torch.float64) for each in (self.mean, self.std))
        return mean, std
