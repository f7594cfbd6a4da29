"""Convolutions that come apart: depthwise then pointwise, or one axis after the other.

C channels, m multiplier. A kernel of k x k that is an outer product (rank 1) takes 2 k products
instead of k^2; `factor` tells how far a kernel is from that.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ArgumentError, ShapeError, told
from striate.ops import checks
from striate.ops.conv import conv
from striate.ops.padding import Fill, padded
from striate.shapes import Ints, Padding, is_list

# Kernels up to this many cells are quicker in one pass over memory than in one an axis.
_FEW = 64


class Factors(NamedTuple):
    """The outer product nearest to a kernel: column [..., h], row [..., w], residual [...].

    `residual` is the part of the kernel's length (Frobenius norm) that the product misses: 0 for a
    separable kernel, under 1 always.
    """

    column: Tensor
    row: Tensor
    residual: Tensor


def factor(kernel: Float[Tensor, "*batch h w"]) -> Factors:
    """Best rank-1 fit of a kernel: the first pair of singular vectors, each with the root of its value.

    Raises:
        ShapeError: the kernel has fewer than two axes.
    """
    checks.floating(kernel, "factor")
    if kernel.ndim < 2 or not kernel.numel():
        raise ShapeError(f"factor: got a kernel {list(kernel.shape)}, expected [..., h, w]")
    wide = kernel.float() if kernel.dtype in (torch.float16, torch.bfloat16) else kernel
    u, s, v = torch.linalg.svd(wide, full_matrices=False)
    root = s[..., :1].sqrt()
    total = s.square().sum(-1)
    missed = s[..., 1:].square().sum(-1)
    residual = torch.where(total > 0, missed / total, missed).sqrt()
    return Factors(*(t.to(kernel.dtype) for t in (u[..., 0] * root, v[..., 0, :] * root, residual)))


def depthwise_conv(
    x: Float[Tensor, "n c *space"],
    weight: Float[Tensor, "o 1 *kernel"],
    bias: Float[Tensor, " o"] | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    fill: Fill = "zeros",
) -> Float[Tensor, "n o *out"]:
    """Every channel with its own m kernels: `conv` with as many groups as channels; O = m C."""
    checks.space(x, "depthwise_conv")
    return conv(
        x,
        weight,
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=x.shape[1],
        fill=fill,
    )


def depthwise_separable_conv(
    x: Float[Tensor, "n c *space"],
    depthwise: Float[Tensor, "m 1 *kernel"],
    pointwise: Float[Tensor, "o m *ones"],
    bias: Float[Tensor, " o"] | None = None,
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    fill: Fill = "zeros",
) -> Float[Tensor, "n o *out"]:
    """A depthwise convolution, then one of kernel 1 that mixes the channels (arXiv 1704.04861)."""
    y = depthwise_conv(x, depthwise, stride=stride, padding=padding, dilation=dilation, fill=fill)
    return conv(y, pointwise, bias)


def separable_conv(
    x: Float[Tensor, "n c *space"],
    factors: Sequence[Float[Tensor, " _"]],
    *,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    fill: Fill = "zeros",
) -> Float[Tensor, "n c *out"]:
    """Every channel with the outer product of `factors`, one axis after the other where that is faster.

    Raises:
        ShapeError: there is not one factor an axis, or sizes that do not fit.
        ArgumentError: a setting out of range or unknown, or integers in a tensor.
    """
    rank = checks.space(x, "separable_conv")
    if not is_list(factors):
        raise ArgumentError(f"separable_conv: factors={told(factors)}, expected a list of tensors")
    if len(factors) != rank:
        raise ShapeError(
            f"separable_conv: got {len(factors)} factors, expected {rank}: one an axis"
        )
    for weights in factors:
        checks.weight(weights, x, "separable_conv")
    kernel = [f.numel() for f in factors]
    w = checks.geometry("separable_conv", x.shape[2:], kernel, stride, padding, dilation)
    if prod(w.kernel) <= _FEW:
        kernel = factors[0]
        for more in factors[1:]:
            kernel = kernel.unsqueeze(-1) * more
        weight = kernel.expand(x.shape[1], 1, *w.kernel)
        return depthwise_conv(
            x, weight, stride=w.stride, padding=w.sides, dilation=w.dilation, fill=fill
        )
    # A number that fills the corners would be weighed once, not twice, if it came an axis at a time.
    first = isinstance(fill, int | float)
    y = padded(x, w.sides, fill, "separable_conv") if first else x
    none = ((0, 0),) * rank
    for axis, weights in enumerate(factors):
        one = [1] * rank
        y = depthwise_conv(
            y,
            _along(weights, axis, rank, x.shape[1]),
            stride=[*one[:axis], w.stride[axis], *one[axis + 1 :]],
            dilation=w.dilation[axis],
            padding=none if first else (*none[:axis], w.sides[axis], *none[axis + 1 :]),
            fill="zeros" if first else fill,
        )
    return y


def _along(weights: Tensor, axis: int, rank: int, channels: int) -> Tensor:
    """One factor as the depthwise weight [C, 1, ...] that reads along one axis."""
    shape = [1] * rank
    shape[axis] = weights.numel()
    return weights.reshape(1, 1, *shape).expand(channels, 1, *shape)
