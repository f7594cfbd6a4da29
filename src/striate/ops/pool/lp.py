"""Pooling by the p-norm of a window or of a whole map.

x [N, C, *space], result [N, C, *out].
"""

from math import prod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ArgumentError
from striate.ops import checks
from striate.ops.gradients import in_place
from striate.ops.padding import padded
from striate.ops.pool.average import mean_pool
from striate.ops.pool.maximum import max_pool
from striate.ops.pool.windows import window_of
from striate.shapes import Ints, Padding


def lp_pool(
    x: Float[Tensor, "n c *space"],
    *,
    norm_type: float = 2.0,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> Float[Tensor, "n c *out"]:
    """The p-norm (sum |x|^p)^(1/p) of every window: p = 1 the sum, infinity the maximum of |x|.

    The gradient where all are zero is zero. `norm_type` is p, at least 1; the rest is as in `avg_pool`, and
    what is padded adds nothing.

    Raises:
        ShapeError: sizes that do not fit together, or padding as wide as the window.
        ArgumentError: p under 1, a setting out of range or unknown, or integers in the tensor.
    """
    checks.space(x, "lp_pool")
    check_norm(norm_type, "lp_pool")
    w = window_of("lp_pool", x, kernel_size, stride, padding, dilation, ceil_mode)
    if norm_type == float("inf"):
        cells = padded(x.abs(), w.reach)
        return max_pool(cells, kernel_size=w.kernel, stride=w.stride, dilation=dilation)
    if norm_type == 1:
        return mean_pool(x.abs(), w) * prod(w.kernel)
    return _root(mean_pool(_power(x, norm_type), w), norm_type) * prod(w.kernel) ** (1 / norm_type)


def global_lp_pool(
    x: Float[Tensor, "n c *space"], *, norm_type: float = 2.0
) -> Float[Tensor, "n c *ones"]:
    """The p-norm of every map, its axes kept with one cell each.

    Raises:
        ArgumentError: p under 1, or integers in the tensor.
    """
    rank = checks.space(x, "global_lp_pool")
    check_norm(norm_type, "global_lp_pool")
    axes = tuple(range(2, rank + 2))
    if norm_type == float("inf"):
        return x.abs().amax(axes, keepdim=True)
    return _root(_power(x, norm_type).sum(axes, keepdim=True), norm_type)


def check_norm(p: float, who: str) -> None:
    """Raise ArgumentError unless p makes a norm."""
    checks.numbers(who, norm_type=p)
    if not p >= 1:
        raise ArgumentError(f"{who}: norm_type={p} is no norm, expected at least 1")


def _power(x: Tensor, p: float) -> Tensor:
    """|x|^p; a compiler fuses the formula by itself."""
    if torch.compiler.is_compiling():
        return x * x if p == 2 else x.abs().pow(p)
    y: Tensor = _Power.apply(x, p)
    return y


class _Power(torch.autograd.Function):
    """|x|^p with its gradient p |x|^(p - 1) sign(x) in one temporary."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, p: float) -> Tensor:
        return x * x if p == 2 else x.pow(p) if p % 2 == 0 else x.abs().pow(p)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del output
        x, ctx.p = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,), p, g = ctx.saved_tensors, ctx.p, grads[0]

        def quick() -> Tensor:
            if p == 2:
                return (g * x).mul_(2)
            slope = x.abs().mul_(x) if p == 3 else x.abs().pow_(p - 1).copysign_(x)
            return slope.mul_(g).mul_(p)

        return in_place(quick, lambda: g * p * x.abs().pow(p - 1) * x.sign()), None


def _root(total: Tensor, p: float) -> Tensor:
    """total^(1/p), with gradient 0 instead of infinity at 0."""
    some = total > 0
    safe = torch.where(some, total, 1)
    return torch.where(some, safe.sqrt() if p == 2 else safe.pow(1 / p), 0)
