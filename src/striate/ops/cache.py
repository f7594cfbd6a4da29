"""Working through items in runs that stay in the processor's cache through many small steps."""

import torch
from torch import Tensor

# Values of one run: a megabyte of single precision, about what one core keeps near it.
_VALUES = 2**18


def in_cache(x: Tensor) -> list[slice]:
    """Items in runs; in one run where a compiler fuses the steps anyway."""
    items = x.shape[0]
    if torch.compiler.is_compiling():
        return [slice(0, items)]
    run = max(1, _VALUES // max(1, x.numel() // max(1, items)))
    return [slice(i, i + run) for i in range(0, max(1, items), run)]


def wide(x: Tensor) -> Tensor:
    """`x` in a type whose sums lose nothing that matters."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
