"""Losses of a classification. B batch, K classes.

Class weights multiply an item's loss and the sum is divided by B, not by the sum of the weights, so that a batch
computed in parts gives the gradient of the whole.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from striate.ops.margin import margin_loss as margin

__all__ = ["cross_entropy", "focal", "margin"]


def cross_entropy(
    logits: Float[Tensor, "b k"],
    target: Int[Tensor, " b"] | Float[Tensor, "b k"],
    *,
    smoothing: float = 0.0,
    class_weights: Float[Tensor, " k"] | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of class scores, in nats, computed in float32 where the scores are in less.

    Args:
        logits: unnormalised scores.
        target: class numbers, or each item's shares of the classes, as mixed pictures have them.
        smoothing: share of the target spread evenly over all classes (Szegedy et al. 2015, section 7).
        class_weights: a factor for the items of each class; an item of several counts as much as they do
            by their shares.
    """
    if class_weights is None:
        return F.cross_entropy(_exact(logits), target, label_smoothing=smoothing)
    if target.ndim > 1:
        logs = _exact(logits).log_softmax(1)
        shares = target * class_weights.to(target.device)
        spread = shares.sum(1, keepdim=True) * smoothing / logs.shape[1]
        return -((shares * (1 - smoothing) + spread) * logs).sum(1).mean()
    items = F.cross_entropy(_exact(logits), target, label_smoothing=smoothing, reduction="none")
    return (class_weights.to(items.device)[target] * items).mean()


def focal(
    logits: Float[Tensor, "b k"],
    target: Int[Tensor, " b"],
    *,
    gamma: float = 2.0,
    class_weights: Float[Tensor, " k"] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy times (1 - p) ** gamma, p the truth's probability: items that are right count little.

    Lin et al. 2017, Focal loss for dense object detection, equation 4, over a softmax.
    """
    surprise = F.cross_entropy(_exact(logits), target, reduction="none")
    items = (1 - (-surprise).exp()) ** gamma * surprise
    if class_weights is not None:
        items = class_weights.to(items.device)[target] * items
    return items.mean()


def _exact(scores: Tensor) -> Tensor:
    return scores if scores.dtype == torch.float64 else scores.float()
