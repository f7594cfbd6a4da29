"""Stochastic pooling: one value a window by chance, or its expectation.

x [N, C, *space], result [N, C, *out]. x_t the cell t of every window, r_t = max(x_t, 0), S = sum r_t. A draw
takes x_t with probability r_t / S. The expectation is y = sum r_t^2 / S, or the mean of the real cells where
S = 0; dy / dx_t = (2 x_t - y) / S where x_t > 0, or 1 / (number of real cells) where S = 0.
"""

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from striate.ops import checks
from striate.ops.gradients import in_cache, in_place, wide
from striate.ops.padding import padded
from striate.ops.pool.windows import outer, window_of
from striate.shapes import Ints, Padding, Window


def stochastic_pool(
    x: Float[Tensor, "n c *space"],
    *,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    training: bool = True,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "n c *out"]:
    """One value of every window, drawn with probability r / sum r; uniformly where all are zero.

    In evaluation (not `training`) the expectation under the same probabilities. Padded cells are never
    drawn; the window is as in `max_pool`. The randomness is that of `generator`, PyTorch's own if it is None.
    Zeiler and Fergus, "Stochastic pooling", ICLR 2013, arXiv 1301.3557.

    Raises:
        ShapeError: sizes that do not fit together, or padding as wide as the window.
        ArgumentError: a setting out of range or unknown, or integers in the tensor.
    """
    checks.space(x, "stochastic_pool")
    checks.flags("stochastic_pool", training=training)
    checks.generator(generator, "stochastic_pool")
    w = window_of("stochastic_pool", x, kernel_size, stride, padding, 1, ceil_mode)
    if training:
        places = _draw(x.detach(), w, generator)
        return x.flatten(2).gather(2, places.flatten(2)).view(places.shape)
    compiling = torch.compiler.is_compiling()  # which works out its own gradient
    y: Tensor = (_expected if compiling else _Expected.apply)(x, w)[0]
    return y


def _draw(x: Tensor, w: Window, generator: torch.Generator | None) -> Tensor:
    """Flat places, one a window: the first at which the running sum passes a uniform share of the whole."""
    r = x.relu() if x.dtype == torch.float64 else x.float().relu()
    cells = padded(r, w.reach)
    real = padded(torch.ones_like(r[:1, :1]), w.reach)
    taps = list(w.taps())
    total = torch.zeros_like(cells[(..., *taps[0])])
    count = torch.zeros_like(real[(..., *taps[0])])
    for tap in taps:
        total += cells[(..., *tap)]
        count += real[(..., *tap)]
    none = total == 0
    # Below 1 by more than the rounding of the sums, so that the last sum is always larger.
    share = torch.rand(total.shape, dtype=r.dtype, device=r.device, generator=generator) * (
        1 - 1e-6
    )
    share *= torch.where(none, count, total)
    running = torch.zeros_like(total)
    place = _first(w, x.device).expand(total.shape).clone()
    for tap, step in zip(taps, _steps(w), strict=True):
        running += torch.where(none, real[(..., *tap)], cells[(..., *tap)])
        place += (running <= share) * step
    return place


def _first(w: Window, device: torch.device) -> Tensor:
    """[*out]: flat place of the first cell of every window, in the map itself; may be negative."""
    flat = torch.zeros((), dtype=torch.int64, device=device)
    for m, s, n, (before, _) in zip(w.out, w.stride, w.size, w.sides, strict=True):
        flat = flat.unsqueeze(-1) * n + torch.arange(-before, m * s - before, s, device=device)
    return flat


def _steps(w: Window) -> list[int]:
    """From the flat place of every cell of the window to that of the next one; 0 after the last."""
    flat = [0]
    for k, n in zip(w.kernel, w.size, strict=True):
        flat = [cell * n + i for cell in flat for i in range(k)]
    return [after - before for before, after in pairwise(flat)] + [0]


def _mean_weight(w: Window, like: Tensor) -> Tensor:
    """[*out]: one over the number of real cells."""
    counts = [w.counts(axis) for axis in range(len(w.size))]
    return 1 / outer([[max(1, c) for c in cells] for cells in counts], like)


def _cells(x: Tensor, w: Window) -> Tensor:
    """[K, N, C, *out]: cell by cell of the window, what lies in it everywhere."""
    cells = padded(x, w.reach)
    return torch.stack([cells[(..., *tap)] for tap in w.taps()])


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
    slopes = torch.where(
        positive, in_place(lambda: cells.mul_(shared), lambda: cells * shared), evenly
    )
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
        parts = [_expected(x[run], w) for run in in_cache(x)]
        y, total = (torch.cat(part) for part in zip(*parts, strict=True))
        return y, total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        x, ctx.window = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # no zeros in its place
        ctx.save_for_backward(x, *output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None]:
        g = grads[0]
        if g is None:
            return None, None
        (x, y, total), w = ctx.saved_tensors, ctx.window
        if torch.is_grad_enabled():
            y, total = _expected(x, w)
        runs = in_cache(x)
        parts = [_slope(g[run], x[run], y[run], total[run], w) for run in runs]
        return torch.cat(parts), None
