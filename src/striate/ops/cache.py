"""Working through items in runs that stay in the processor's cache through many small steps, in place."""

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor

# Values of one run: two megabytes of single precision; shorter runs lose more by the number of their steps.
_VALUES = 2**19


def in_cache(x: Tensor) -> list[slice]:
    """Items in even runs."""
    items = max(1, x.shape[0])
    runs = -(-items // max(1, _VALUES * items // max(1, x.numel())))
    run = -(-items // runs)
    return [slice(i, i + run) for i in range(0, items, run)]


def in_place(gradient: Tensor) -> bool:
    """Whether the next gradient may be worked out in place.

    Not if it is differentiated in turn, nor for many gradients at once (`is_grads_batched`), of which PyTorch
    writes none into an array that was made for one, nor for a compiler, which finds its own places.
    """
    many = torch.compiler.is_compiling() or is_legacy_batchedtensor(gradient)
    return not (torch.is_grad_enabled() or many)


def wide(x: Tensor) -> Tensor:
    """`x` in a type whose sums lose nothing that matters."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
