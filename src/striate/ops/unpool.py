"""Unpooling: every value back into a block, by repeating it, by nails in zeros, or to where it was.

x [N, C, *space], result [N, C, *out].
"""

from math import prod

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from striate.errors import ArgumentError, ShapeError, told
from striate.ops import checks
from striate.shapes import Ints, Padding, in_size, per_axis, pool_window, sides


def nearest_unpool(x: Float[Tensor, "n c *space"], *, scale: Ints) -> Float[Tensor, "n c *out"]:
    """Every value repeated over a block of `scale` cells.

    Raises:
        ShapeError: not one to three axes of space.
        ArgumentError: a scale under 1, or integers in the tensor.
    """
    factors = _factors(x, scale, "nearest_unpool")
    size = [n * f for n, f in zip(x.shape[2:], factors, strict=True)]
    return F.interpolate(x, size=size, mode="nearest")


def nails_unpool(x: Float[Tensor, "n c *space"], *, scale: Ints) -> Float[Tensor, "n c *out"]:
    """Bed of nails: every value in the first cell of a block of `scale` cells, zeros in the others.

    Raises:
        ShapeError: not one to three axes of space.
        ArgumentError: a scale under 1, or integers in the tensor.
    """
    factors = _factors(x, scale, "nails_unpool")
    out = x.new_zeros(*x.shape[:2], *(n * f for n, f in zip(x.shape[2:], factors, strict=True)))
    out[(..., *(slice(None, None, f) for f in factors))] = x
    return out


def _factors(x: Tensor, scale: Ints, who: str) -> tuple[int, ...]:
    rank = checks.space(x, who)
    with checks.named(who):
        return per_axis(scale, rank, "scale")


def max_unpool(
    x: Float[Tensor, "n c *space"],
    indices: Int[Tensor, "n c *space"],
    *,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    output_size: Ints | None = None,
) -> Float[Tensor, "n c *out"]:
    """Every value back to the place it was the maximum of, zeros elsewhere.

    `x` and `indices` are what `max_pool_with_indices` gave, the window is that of the pooling. `output_size` is
    the number of cells an axis, the least that the pooling takes to the size of `x` if not given.

    Raises:
        ShapeError: sizes that do not fit together.
        ArgumentError: a setting out of range or unknown, a place outside, or integers in the tensor.
    """
    rank = checks.space(x, "max_unpool")
    checks.tensor(indices, "max_unpool", "the places")
    if indices.dtype is not torch.int64 or indices.device != x.device:
        raise ArgumentError(
            f"max_unpool: got places of {indices.dtype} on {indices.device}, expected torch.int64 on {x.device}"
        )
    if x.shape != indices.shape:
        raise ShapeError(
            f"max_unpool: got values {list(x.shape)} and places {list(indices.shape)}, expected the same"
        )
    with checks.named("max_unpool"):
        least = _unpooled(x, kernel_size, kernel_size if stride is None else stride, padding)
        size = least if output_size is None else per_axis(output_size, rank, "output_size")
    flat = x.new_zeros(*x.shape[:2], prod(size))
    try:
        flat = flat.scatter(2, indices.flatten(2), x.flatten(2))
    except RuntimeError as error:
        raise ArgumentError(
            f"max_unpool: places up to {int(indices.max())} do not fit in output_size={tuple(size)}; "
            "give the size of the input that was pooled"
        ) from error
    return flat.view(*x.shape[:2], *size)


def _unpooled(x: Tensor, kernel_size: Ints, stride: Ints, padding: Padding) -> tuple[int, ...]:
    rank = x.ndim - 2
    kernel, step = per_axis(kernel_size, rank, "kernel_size"), per_axis(stride, rank, "stride")
    if isinstance(padding, str) and padding != "valid":
        raise ArgumentError(
            f"padding={padding!r} does not tell the size before; write the cells, or use output_size"
        )
    pads = sides(padding, kernel, kernel=kernel, stride=step, dilation=(1,) * rank)
    axes = zip(x.shape[2:], kernel, step, pads, strict=True)
    size = tuple(in_size(m, kernel=k, stride=s, padding=p) for m, k, s, p in axes)
    if pool_window(size, kernel_size=kernel, stride=step, padding=pads).out != x.shape[2:]:
        raise ShapeError(
            f"no input is pooled to {tuple(x.shape[2:])} with padding={told(padding)}; pad less"
        )
    return size
