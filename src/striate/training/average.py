"""A running average of the weights: calmer than any one step of them, and what is kept in the end."""

import copy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """A net whose weights and statistics follow those of another.

    Polyak and Juditsky 1992; exponentially, as in Szegedy et al. 2016, arXiv 1512.00567, section 8.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        """Start as a copy.

        Args:
            net: what is followed; already on its device.
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
    def follow(self, step: int) -> None:
        """Take in the weights after `step` steps."""
        keep = min(self.decay, (1 + step) / (10 + step))
        get_ema_multi_avg_fn(keep)(self._mean, self._now, None)
        for mean, now in self._counts:
            mean.copy_(now)


def _tensors(net: nn.Module) -> list[Tensor]:
    return [t for t in net.state_dict(keep_vars=True).values() if isinstance(t, Tensor)]
