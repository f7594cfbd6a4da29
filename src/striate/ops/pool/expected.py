"""The expectation of stochastic pooling and its gradient, window cell by window cell.

x_t the cell t of every window, r_t = max(x_t, 0), S = sum r_t, y = sum r_t^2 / S, or the mean of the real
cells where S = 0. dy / dx_t = (2 x_t - y) / S where x_t > 0, or 1 / (number of real cells) where S = 0.
"""

from typing import Any

import torch
from torch import Tensor

from striate.ops.cache import in_cache, wide
from striate.ops.padding import pad
from striate.ops.pool.windows import outer
from striate.shapes import Window


def expect(x: Tensor, w: Window) -> Tensor:
    """[N, C, *out]: what a draw in proportion to r gives on average."""
    compiling = torch.compiler.is_compiling()  # which works out its own gradient
    y: Tensor = (_expected if compiling else _Expected.apply)(x, w)[0]
    return y


def _mean_weight(w: Window, like: Tensor) -> Tensor:
    """[*out]: one over the number of real cells."""
    counts = [w.counts(axis) for axis in range(len(w.size))]
    return 1 / outer([[max(1, c) for c in cells] for cells in counts], like)


def _expected(x: Tensor, w: Window) -> tuple[Tensor, Tensor]:
    """Of a run of items: y and S."""
    padded = pad(wide(x), w.reach)
    plain, total, square = (padded.new_zeros(*x.shape[:2], *w.out) for _ in range(3))
    for tap in w.taps():
        cell = padded[(..., *tap)]
        r = cell.relu()
        plain += cell
        total += r
        square += r * r
    some = total > 0
    mean = square / torch.where(some, total, 1)
    return torch.where(some, mean, plain * _mean_weight(w, plain)).to(x.dtype), total


def _slope(g: Tensor, x: Tensor, y: Tensor, total: Tensor, w: Window) -> Tensor:
    """The gradient by a run of items."""
    padded = pad(wide(x), w.reach)
    some = total > 0
    shared = torch.where(some, g / torch.where(some, total, 1), 0)
    evenly = torch.where(some, 0, g * _mean_weight(w, total))
    back = torch.zeros_like(padded)
    for tap in w.taps():
        cell = padded[(..., *tap)]
        back[(..., *tap)] += (2 * cell - y) * shared * (cell > 0) + evenly
    for axis, ((before, _), n) in enumerate(zip(w.sides, w.size, strict=True), 2):
        back = back.narrow(axis, before, n)
    return back.to(x.dtype)


class _Expected(torch.autograd.Function):
    """y, and S for the way back: autograd on the composition keeps seven arrays, this two."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, w: Window) -> tuple[Tensor, Tensor]:
        """Run by run."""
        parts = [_expected(x[run], w) for run in in_cache(x)]
        y, total = (torch.cat(part) for part in zip(*parts, strict=True))
        return y, total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        """Keep x, y and S."""
        x, ctx.window = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(x, *output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """The gradient by x; differentiable in turn when that is asked for."""
        (x, y, total), w = ctx.saved_tensors, ctx.window
        if torch.is_grad_enabled():
            y, total = _expected(x, w)
        runs = in_cache(x)
        parts = [_slope(grads[0][run], x[run], y[run], total[run], w) for run in runs]
        return torch.cat(parts), None
