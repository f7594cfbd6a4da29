"""How fast this machine learns, measured in a moment."""

import math
import time
from functools import lru_cache

import torch
from torch.nn import functional as F

BATCH, MAPS, SIDE = 8, 64, 28  # of the convolution that is timed, 3x3
ROUNDS = 7
STEP = 2**0.5  # rates are rounded to powers of it, so that the same machine gives the same rate


@lru_cache
def learning_speed(device: str) -> float:
    """Multiply-adds of the forward pass that a 3x3 convolution does a second while it learns.

    The fastest of a few steps, forward and backward, in float32 or bfloat16, whichever is faster; rounded to a power
    of the square root of two.

    Args:
        device: such as "cpu".
    """
    taken = min(_seconds(device, kind) for kind in (torch.float32, torch.bfloat16))
    return _rounded(BATCH * (MAPS * 3 * SIDE) ** 2 / taken)


def _rounded(rate: float) -> float:
    return STEP ** round(math.log(rate, STEP))


def _seconds(device: str, kind: torch.dtype) -> float:
    x, weight = (
        torch.full(shape, 0.5, dtype=kind, device=device)
        .contiguous(memory_format=torch.channels_last)
        .requires_grad_()
        for shape in ((BATCH, MAPS, SIDE, SIDE), (MAPS, MAPS, 3, 3))
    )
    times: list[float] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        F.conv2d(x, weight, padding=1).sum().backward()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)  # what other programs take is no speed of this machine
