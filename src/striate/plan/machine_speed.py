"""How fast this machine learns, measured in a moment, whatever else it is doing.

Timed is one thread on steps of a millisecond, the fastest of many: such a step often ends before the system turns to
another program. With all threads a single one that has to wait holds the others up, and no step is undisturbed on a busy
machine.
"""

import math
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch.nn import functional as F

MAPS, SIDE = 64, 28  # of the convolution that is timed, 3x3
BATCH = {"cpu": 2, "cuda": 8}  # of it
ROUNDS = 30
SHARED = 0.9  # n threads are taken to be as fast as n to this power
STEP = 2**0.5  # rates are rounded to powers of it, so that the same machine gives the same rate


@lru_cache
def learning_speed(device: str) -> float:
    """Multiply-adds of the forward pass that a 3x3 convolution does a second while it learns.

    The fastest of many steps, forward and backward, in float32 or bfloat16, whichever is faster; rounded to a power
    of the square root of two. Of a processor the rate of one thread, times what its threads are taken to give together.

    Args:
        device: such as "cpu".
    """
    kind, threads = device.partition(":")[0], torch.get_num_threads()
    batch = BATCH.get(kind, BATCH["cuda"])
    with _one_thread():
        taken = min(min(_steps(device, dtype, batch)) for dtype in (torch.float32, torch.bfloat16))
    rate = batch * (MAPS * 3 * SIDE) ** 2 / taken
    return _rounded(rate * threads**SHARED if kind == "cpu" else rate)


def _rounded(rate: float) -> float:
    return STEP ** round(math.log(rate, STEP))


@contextmanager
def _one_thread() -> Generator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _steps(device: str, kind: torch.dtype, batch: int) -> list[float]:
    """Seconds of each of some steps."""
    x, weight = (
        torch.full(shape, 0.5, dtype=kind, device=device)
        .contiguous(memory_format=torch.channels_last)
        .requires_grad_()
        for shape in ((batch, MAPS, SIDE, SIDE), (MAPS, MAPS, 3, 3))
    )
    times: list[float] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        F.conv2d(x, weight, padding=1).sum().backward()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return times
