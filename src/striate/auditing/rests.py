"""What the answers of a net rest on: the magnitude of its saliency by place. N items, H W pixels.

Gradient times input (Shrikumar, Greenside and Kundaje 2017, arXiv 1704.02685), of the class that is answered: one pass
an item, and on nets that provably read one corner nearly all of it lies there.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from striate.auditing.check import Case
from striate.see import saliency

PASSES = 3  # forward passes that one with its gradient counts
MEMORY = 512  # MiB of a batch

F64 = NDArray[np.float64]


def saliency_maps(case: Case, stored: NDArray[np.generic], label: int | None = None) -> F64:
    """Magnitudes of the saliency of stored pictures [N, H, W, C] as the net sees them [N, h, w].

    Args:
        case: of the net.
        stored: the pictures.
        label: the number of the class that is explained; by default the likeliest of each picture.

    Raises:
        StriateError: there is none, as of answers that are no finite number.
    """
    pre = case.used.preprocessing
    x = pre.normalise(pre.centre(torch.from_numpy(np.ascontiguousarray(stored))))
    target = None if label is None else [label] * len(x)
    found = saliency(case.trained, x, method="gradient-x-input", target=target, memory=MEMORY)
    return np.abs(found.values.astype(np.float64))


def shares_inside(maps: F64, inside: NDArray[np.bool_]) -> F64:
    """What part of each map [N, H, W] lies in a region [H, W]: [n], without those that are zero everywhere."""
    whole = maps.sum((1, 2))
    there = whole > 0
    return maps[there][:, inside].sum(1) / whole[there]
