"""The largest of every 2x2 cells while a net learns on a CPU, where PyTorch's kernel is slow for few channels.

x [N, C, 2 h, 2 w], result [N, C, h, w]. PyTorch's kernel runs along the channels or cell by cell. Here whole
rows are compared, then neighbours in a row, and on the way back the bits of a gradient are multiplied by 0 or
1 as integers, which processors do many at a time. Values are those of `max_pool2d` and so are gradients,
except that of equal cells the left one's upper gets it.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from striate.ops.gradients import in_place

BITS = {torch.float64: torch.int64, torch.float32: torch.int32, torch.bfloat16: torch.int16}
FEW = 16  # channels; with more PyTorch's kernel is as fast in channels_last


def pays(x: Tensor) -> bool:
    """Whether this way is open and shorter: a gradient is wanted, sides are even, channels few."""
    return (
        x.requires_grad
        and torch.is_grad_enabled()
        and x.device.type in ("cpu", "meta")  # what a step keeps is counted without numbers
        and x.dtype in BITS
        and x.ndim == 4
        and x.shape[1] <= FEW
        and x.shape[2] % 2 == x.shape[3] % 2 == 0
        and not torch.compiler.is_compiling()
    )


def halving_max(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c half_h half_w"]:
    """The largest value of every 2x2 cells, where `pays` says so."""
    return _Halving.apply(x)[0]  # pyright: ignore[reportIndexIssue, reportOptionalSubscript, reportReturnType]


class _Halving(torch.autograd.Function):
    """Rows first, then columns; two masks are kept, of the cells that are the larger of their pair."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        upper, lower = x[:, :, ::2], x[:, :, 1::2]
        rows = torch.maximum(upper, lower)
        left, right = rows[..., ::2], rows[..., 1::2]
        return torch.maximum(left, right), upper >= lower, left >= right

    @staticmethod
    def setup_context(
        ctx: Any,
        inputs: tuple[Any, ...],  # noqa: ARG004 - torch calls it by name
        output: tuple[Tensor, Tensor, Tensor],
    ) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*output[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        is_upper, is_left = ctx.saved_tensors
        n, c, high, wide = is_upper.shape

        def quick() -> Tensor:
            bits = BITS[grads[0].dtype]
            rows = torch.empty_like(is_upper, dtype=bits)
            _share(grads[0].view(bits), is_left, rows[..., ::2], rows[..., 1::2])
            last = is_upper.is_contiguous(memory_format=torch.channels_last)
            layout = torch.channels_last if last else torch.contiguous_format
            x = torch.empty((n, c, 2 * high, wide), dtype=bits, memory_format=layout)
            _share(rows, is_upper, x[:, :, ::2], x[:, :, 1::2])
            return x.view(grads[0].dtype)

        def plain() -> Tensor:
            halves = torch.stack([grads[0] * is_left, grads[0] * ~is_left], -1)
            rows = halves.reshape(is_upper.shape)
            both = torch.stack([rows * is_upper, rows * ~is_upper], -2)
            return both.reshape(n, c, 2 * high, wide)

        return in_place(quick, plain)


def _share(values: Tensor, is_first: Tensor, first: Tensor, second: Tensor) -> None:
    """Each value to the first of two places where `is_first`, else to the second; zero to the other."""
    torch.mul(values, is_first.to(values.dtype), out=first)
    torch.sub(values, first, out=second)
