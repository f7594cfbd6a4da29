"""A net's answers to many pictures, a batch at a time. N items, K classes."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data import Images
from striate.plan import Plan
from striate.probe import as_eval
from striate.runs.preprocessing import Preprocessing

# Activations of one batch stay near the second-level caches for small pictures, and within memory for large ones.
PIXELS_A_BATCH = 400_000


def answers(
    net: nn.Module,
    images: Images,
    decode: Callable[[Tensor], NDArray[np.float32]],
    *,
    preprocessing: Preprocessing,
    plan: Plan,
) -> NDArray[np.float32]:
    """Decoded answers [N, K] to stored pictures [N, H, W, C]. The net is left as it was.

    Args:
        net: on the plan's device and in its layout.
        images: as `Data.arrays` gives them, at the preprocessing's `resize`.
        decode: from the net's outputs to probabilities.
        preprocessing: how pictures become a batch.
        plan: how the net runs.
    """
    size = max(1, min(1000, PIXELS_A_BATCH // (preprocessing.size[0] * preprocessing.size[1])))
    with as_eval(net), plan.uncompiled(), torch.inference_mode():
        parts = [
            _batch(net, images[start : start + size], decode, preprocessing, plan)
            for start in range(0, len(images), size)
        ]
    return np.concatenate(parts)


def _batch(
    net: nn.Module,
    images: Images,
    decode: Callable[[Tensor], NDArray[np.float32]],
    preprocessing: Preprocessing,
    plan: Plan,
) -> NDArray[np.float32]:
    stored = torch.from_numpy(np.ascontiguousarray(images)).to(plan.device)
    with plan.autocast():
        return decode(net(plan.batch(preprocessing.normalise(preprocessing.centre(stored)))))
