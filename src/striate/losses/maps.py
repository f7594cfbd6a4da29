"""Losses between two pictures, or between a mask and the truth. B batch, C channels, H W pixels.

Each is a mean over items of what one item costs, so a batch computed in parts gives the gradient of the whole.
`logits` says that the answer is to go through the logistic function first.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.errors import ArgumentError, ShapeError
from striate.ops import kernels

EDGES = ("sobel horizontal", "sobel vertical")
SMALL = 1e-6  # pixels added above and below, so that two empty masks agree

Picture = Float[Tensor, "b *axes"]
Value = Float[Tensor, ""]


def l1(answer: Picture, target: Picture, *, logits: bool = False) -> Value:
    """Mean absolute difference: the best single answer is the median."""
    answer = _checked(answer, target, "l1", logits=logits)
    return (answer - target).abs().mean()


def l2(answer: Picture, target: Picture, *, logits: bool = False) -> Value:
    """Mean squared difference: the best single answer is the mean, which is grey at an uncertain border."""
    answer = _checked(answer, target, "l2", logits=logits)
    kind = torch.result_type(answer, target)
    return F.mse_loss(answer.to(kind), target.to(kind))  # one pass, where the formula takes three


def huber(answer: Picture, target: Picture, *, delta: float = 1.0, logits: bool = False) -> Value:
    """Half the square up to `delta`, linear beyond (Huber 1964).

    Raises:
        ArgumentError: delta is not above 0.
    """
    if not delta > 0:
        raise ArgumentError(f"huber: got delta={delta}, expected more than 0")
    answer = _checked(answer, target, "huber", logits=logits)
    return F.huber_loss(answer, target, delta=delta)


def bce(answer: Picture, target: Picture, *, positive_weights: Tensor | None = None) -> Value:
    """Mean binary cross-entropy of logits, in nats.

    Args:
        answer: scores.
        target: zeros and ones, or what lies between them.
        positive_weights: a factor for the ones of each channel, along the last axis.
    """
    _check(answer, target, "bce")
    weights = None if positive_weights is None else positive_weights.to(answer.device)
    return F.binary_cross_entropy_with_logits(answer.float(), target.float(), pos_weight=weights)


def iou(answer: Picture, target: Picture, *, logits: bool = True) -> Value:
    """1 - intersection over union, soft: sum of products over sum of a + t - a t (Jaccard 1912).

    For every item and channel over all its pixels, then a mean: an empty background earns nothing.
    """
    both, single, other = _overlap(_checked(answer, target, "iou", logits=logits), target)
    return 1 - ((both + SMALL) / (single + other - both + SMALL)).mean()


def dice(answer: Picture, target: Picture, *, logits: bool = True) -> Value:
    """1 - Dice coefficient, soft: twice the sum of products over the sum of both (Dice 1945)."""
    both, single, other = _overlap(_checked(answer, target, "dice", logits=logits), target)
    return 1 - ((2 * both + SMALL) / (single + other + SMALL)).mean()


def edge(
    answer: Picture, target: Picture, *, kernel: str | None = None, logits: bool = False
) -> Value:
    """Mean squared difference between the borders that a kernel finds in both pictures.

    Args:
        answer: pictures [B, C, H, W], or volumes [B, C, D, H, W], of which each slice is a picture.
        target: pictures of the same shape.
        kernel: a name in `striate.ops.kernels.KERNELS`, _ for a space; None is both directions of Sobel, added.
        logits: the answer is to go through the logistic function first.

    Raises:
        ArgumentError: an unknown kernel.
        ShapeError: two shapes.
    """
    off = _checked(answer, target, "edge", logits=logits) - target  # filters are linear
    off = off.flatten(0, -3)  # of volumes each slice by itself
    names = EDGES if kernel is None else (kernel,)
    return torch.stack(
        [kernels.apply(off, name.replace("_", " ")).square().mean() for name in names]
    ).sum()


def _overlap(answer: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of the product and of both, [B, C]."""
    a, t = (mask.flatten(2) if mask.ndim > 2 else mask for mask in (answer, target))
    return (a * t).sum(-1), a.sum(-1), t.sum(-1)


def _checked(answer: Tensor, target: Tensor, who: str, *, logits: bool) -> Tensor:
    _check(answer, target, who)
    return answer.sigmoid() if logits else answer


def _check(answer: Tensor, target: Tensor, who: str) -> None:
    if answer.shape != target.shape:
        raise ShapeError(
            f"{who}: got an answer {list(answer.shape)} and a target {list(target.shape)}, "
            "expected two of one shape; of labels there are cross_entropy, focal, margin"
        )
