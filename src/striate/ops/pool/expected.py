"""The expectation of stochastic pooling and its gradient, window cell by window cell.

x_t the cell t of every window, r_t = max(x_t, 0), S = sum r_t, y = sum r_t^2 / S, or the mean of the real
cells where S = 0. dy / dx_t = (2 x_t - y) / S where x_t > 0, or 1 / (number of real cells) where S = 0.
"""

from typing import Any

import torch
from torch import Tensor

from striate.ops.cache import in_cache, in_place, wide
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


def _cells(x: Tensor, w: Window) -> Tensor:
    """[K, N, C, *out]: cell by cell of the window, what lies in it everywhere."""
    padded = pad(x, w.reach)
    return torch.stack([padded[(..., *tap)] for tap in w.taps()])


def _expected(x: Tensor, w: Window) -> tuple[Tensor, Tensor]:
    """Of a run of items: y and S."""
    cells = _cells(wide(x), w)
    evenly = cells.sum(0) * _mean_weight(w, cells)
    r = cells.relu()
    total, square = r.sum(0), (r * r).sum(0)
    some = total > 0
    y = torch.where(some, square / torch.where(some, total, 1), evenly)
    return y.to(x.dtype), total


def _slope(g: Tensor, x: Tensor, y: Tensor, total: Tensor, w: Window) -> Tensor:
    """The gradient by a run of items."""
    cells = _cells(wide(x), w)
    some, positive = total > 0, cells > 0
    shared = 2 * g / torch.where(some, total, 1)
    evenly = torch.where(some, 0, g * _mean_weight(w, total))
    cells.sub_(y / 2)
    slopes = torch.where(positive, cells.mul_(shared) if in_place(g) else cells * shared, evenly)
    reached = [n + sum(pair) for n, pair in zip(x.shape[2:], w.reach, strict=True)]
    back = shared.new_zeros(*x.shape[:2], *reached)
    for tap, slope in zip(w.taps(), slopes, strict=True):
        back[(..., *tap)] += slope
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
        ctx.set_materialize_grads(False)  # no zeros in its place
        ctx.save_for_backward(x, *output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None]:
        """The gradient by x; differentiable in turn when that is asked for."""
        g = grads[0]
        if g is None:
            return None, None
        (x, y, total), w = ctx.saved_tensors, ctx.window
        if torch.is_grad_enabled():
            y, total = _expected(x, w)
        runs = in_cache(x)
        parts = [_slope(g[run], x[run], y[run], total[run], w) for run in runs]
        return torch.cat(parts), None
