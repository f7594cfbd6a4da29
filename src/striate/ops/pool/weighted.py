"""Average pooling weighted by distance from the centre of the window, and the p-norms of windows.

x [N, C, *space], result [N, C, *out].
"""

from itertools import product
from math import exp, prod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ArgumentError
from striate.ops.cache import in_place, wide
from striate.ops.checks import check_integers, check_numbers, check_space
from striate.ops.padding import pad
from striate.ops.pool.average import depthwise, mean_pool
from striate.ops.pool.maximum import max_pool
from striate.ops.pool.windows import outer, pool_window
from striate.shapes import Ints, Padding, Window


def gaussian_weights(cells: int, sigma: float) -> list[float]:
    """Weights that fall off from the centre of `cells` as a Gaussian of width `sigma`; they sum to one.

    >>> [round(w, 3) for w in gaussian_weights(3, 1.0)]
    [0.274, 0.452, 0.274]
    """
    check_integers("gaussian_weights", cells=cells)
    check_numbers("gaussian_weights", sigma=sigma)
    if not sigma > 0:
        raise ArgumentError(f"sigma={sigma} is no width, expected more than 0")
    raw = [exp(-(((i - (cells - 1) / 2) / sigma) ** 2) / 2) for i in range(cells)]
    return [weight / sum(raw) for weight in raw]


def weighted_avg_pool(
    x: Float[Tensor, "n c *space"],
    *,
    sigma: float,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> Float[Tensor, "n c *out"]:
    """The mean of every window weighted by distance from its centre, the weights summing to one.

    Args:
        x: items, channels and space.
        sigma: width of the Gaussian, in cells of the window.
        kernel_size: as in `max_pool`, like the rest.
        stride: cells from one window to the next; as many as the window has if not given.
        padding: as in `conv`; padded cells have no weight.
        dilation: cells from one cell of the window to the next.
        ceil_mode: also a last window that is not full.

    Raises:
        ShapeError: sizes that do not fit together, or padding as wide as the window.
        ArgumentError: a width of 0 or less, a setting out of range, or integers in the tensor.
    """
    rank = check_space(x, "weighted_avg_pool")
    w = pool_window("weighted_avg_pool", x, kernel_size, stride, padding, dilation, ceil_mode)
    of_length = {k: gaussian_weights(k, sigma) for k in set(w.kernel)}
    weights = [of_length[k] for k in w.kernel]
    cells = wide(x)
    kernel = cells.new_tensor([prod(each) for each in product(*weights)])
    y = depthwise(cells, w, kernel.view(w.kernel))
    if any(cells for pair in w.reach for cells in pair):
        y = y / outer([_mass(w, axis, weights[axis]) for axis in range(rank)], y)
    return y.to(x.dtype)


def _mass(w: Window, axis: int, weights: list[float]) -> list[float]:
    """Weight that lies on real cells, at every place along an axis; 1 where all of it or none does."""
    n, s, d, before = w.size[axis], w.stride[axis], w.dilation[axis], w.sides[axis][0]
    last = (len(weights) - 1) * d
    masses: list[float] = []
    for start in range(-before, w.out[axis] * s - before, s):
        whole = start >= 0 and start + last < n
        real = () if whole else (m for t, m in enumerate(weights) if 0 <= start + t * d < n)
        masses.append(sum(real) or 1.0)
    return masses


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

    The gradient where all are zero is zero.

    Args:
        x: items, channels and space.
        norm_type: p, at least 1.
        kernel_size: as in `max_pool`, like the rest.
        stride: cells from one window to the next; as many as the window has if not given.
        padding: as in `conv`, filled with zeros, which add nothing.
        dilation: cells from one cell of the window to the next.
        ceil_mode: also a last window that is not full.

    Raises:
        ShapeError: sizes that do not fit together, or padding as wide as the window.
        ArgumentError: p under 1, a setting out of range or unknown, or integers in the tensor.
    """
    check_space(x, "lp_pool")
    _check_norm(norm_type, "lp_pool")
    w = pool_window("lp_pool", x, kernel_size, stride, padding, dilation, ceil_mode)
    if norm_type == float("inf"):
        return max_pool(
            pad(x.abs(), w.reach), kernel_size=w.kernel, stride=w.stride, dilation=dilation
        )
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
    rank = check_space(x, "global_lp_pool")
    _check_norm(norm_type, "global_lp_pool")
    axes = tuple(range(2, rank + 2))
    if norm_type == float("inf"):
        return x.abs().amax(axes, keepdim=True)
    return _root(_power(x, norm_type).sum(axes, keepdim=True), norm_type)


def _check_norm(p: float, who: str) -> None:
    check_numbers(who, norm_type=p)
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
        """An even power needs no absolute value."""
        return x * x if p == 2 else x.pow(p) if p % 2 == 0 else x.abs().pow(p)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep x and p."""
        del output
        x, ctx.p = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """The gradient by x; differentiable in turn when that is asked for."""
        (x,), p = ctx.saved_tensors, ctx.p
        if not in_place(grads[0]):
            return grads[0] * p * x.abs().pow(p - 1) * x.sign(), None
        if p == 2:
            return (grads[0] * x).mul_(2), None
        slope = x.abs().mul_(x) if p == 3 else x.abs().pow_(p - 1).copysign_(x)
        return slope.mul_(grads[0]).mul_(p), None


def _root(total: Tensor, p: float) -> Tensor:
    """total^(1/p), with gradient 0 instead of infinity at 0."""
    some = total > 0
    safe = torch.where(some, total, 1)
    return torch.where(some, safe.sqrt() if p == 2 else safe.pow(1 / p), 0)
