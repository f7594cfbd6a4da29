"""Losses of a classification. B batch, K classes."""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def cross_entropy(
    logits: Float[Tensor, "b k"], target: Int[Tensor, " b"], *, smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Mean cross-entropy of class scores, in nats, computed in float32 whatever the scores are in.

    Args:
        logits: unnormalised scores.
        target: class numbers.
        smoothing: share of the target spread evenly over all classes (Szegedy et al. 2015, section 7).
    """
    return F.cross_entropy(logits.float(), target, label_smoothing=smoothing)
