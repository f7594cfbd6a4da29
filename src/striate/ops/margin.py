"""The margin loss of capsules, for nets that bring it and for those that are trained by it. B batch, K classes."""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def margin_loss(
    lengths: Float[Tensor, "b k"],
    target: Int[Tensor, " b"],
    *,
    present: float = 0.9,
    absent: float = 0.1,
    down: float = 0.5,
) -> Float[Tensor, ""]:
    """Squared shortfall of the truth below `present` and excess of the others over `absent`.

    Sabour, Frosst, Hinton 2017, Dynamic routing between capsules, equation 4: the sum over classes, the mean over
    items. It ends where every margin is kept, so scores are not driven on as cross-entropy drives them.

    Args:
        lengths: scores, of capsules from 0 to 1.
        target: class numbers.
        present: what the truth's score should reach.
        absent: what the others should stay below.
        down: weight of the others.
    """
    there = F.one_hot(target, lengths.shape[1]).to(lengths.dtype)
    missing = there * F.relu(present - lengths).square()
    wrong = (1 - there) * F.relu(lengths - absent).square()
    return (missing + down * wrong).sum(1).mean()
