"""Working through items in runs that stay in the processor's cache through many small steps."""

import torch
from torch import Tensor

# Values of one run: two megabytes of single precision; shorter runs lose more by the number of their steps.
_VALUES = 2**19


def in_cache(x: Tensor) -> list[slice]:
    """Items in even runs."""
    items = max(1, x.shape[0])
    runs = -(-items // max(1, _VALUES * items // max(1, x.numel())))
    run = -(-items // runs)
    return [slice(i, i + run) for i in range(0, items, run)]


def wide(x: Tensor) -> Tensor:
    """`x` in a type whose sums lose nothing that matters."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
