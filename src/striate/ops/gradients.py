"""What gradients by hand share: linear maps with their adjoints, steps in place, and runs that fit the cache."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from striate.errors import out_of_memory

# Values of one run: two megabytes of single precision; shorter runs lose more by the number of their steps.
_VALUES = 2**19


def linear(
    there: Callable[..., Tensor], back: Callable[..., Tensor], x: Tensor, *args: Any
) -> Tensor:
    """there(x, *args), a linear map of `x`, differentiated by its adjoint back(gradient, *args), and that by the map."""
    y: Tensor = _Linear.apply(x, there, back, *args)
    return y


class _Linear(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, there: Callable[..., Tensor], _: Any, *args: Any) -> Tensor:
        return there(x, *args)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del output
        ctx.maps = inputs[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        there, back, *args = ctx.maps
        return linear(back, there, grads[0], *args), *(None for _ in ctx.maps)


def in_place(quick: Callable[[], Tensor], plain: Callable[[], Tensor]) -> Tensor:
    """A gradient by `quick`, whose steps write into its own arrays, or by `plain`, which can be differentiated in turn.

    A compiler finds its own places. Of many gradients at once (`is_grads_batched`, vmap) PyTorch writes none
    into an array that was made for one, and says so.
    """
    if not (torch.is_grad_enabled() or torch.compiler.is_compiling()):
        try:
            return quick()
        except RuntimeError as error:
            if out_of_memory(error):
                raise
    return plain()


def in_cache(x: Tensor) -> list[slice]:
    """Items in even runs that stay in the processor's cache through many small steps."""
    items = max(1, x.shape[0])
    runs = -(-items // max(1, _VALUES * items // max(1, x.numel())))
    run = -(-items // runs)
    return [slice(i, i + run) for i in range(0, items, run)]


def wide(x: Tensor) -> Tensor:
    """`x` in a type whose sums lose nothing that matters."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
