"""Pooling that chooses: one value a window by chance, or the k largest of a row in their order.

x [N, C, *space], result [N, C, *out]; r the rectified input max(x, 0).
"""

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Num
from torch import Tensor

from striate.errors import ShapeError
from striate.ops.checks import (
    check_axis,
    check_flags,
    check_generator,
    check_integers,
    check_numeric,
    check_space,
)
from striate.ops.padding import pad
from striate.ops.pool.expected import expect
from striate.ops.pool.windows import pool_window
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

    In evaluation the expectation under the same probabilities. Zeiler and Fergus, "Stochastic
    pooling", ICLR 2013, arXiv 1301.3557.

    Args:
        x: items, channels and space.
        kernel_size: as in `max_pool`, like the rest.
        stride: cells from one window to the next; as many as the window has if not given.
        padding: as in `conv`; padded cells are never drawn.
        ceil_mode: also a last window that is not full.
        training: draw, rather than expect.
        generator: where the randomness comes from; PyTorch's own if not given.

    Raises:
        ShapeError: sizes that do not fit together, or padding as wide as the window.
        ArgumentError: a setting out of range or unknown, or integers in the tensor.
    """
    check_space(x, "stochastic_pool")
    check_flags("stochastic_pool", training=training)
    check_generator(generator, "stochastic_pool")
    w = pool_window("stochastic_pool", x, kernel_size, stride, padding, 1, ceil_mode)
    if training:
        places = _draw(x.detach(), w, generator)
        return x.flatten(2).gather(2, places.flatten(2)).view(places.shape)
    return expect(x, w)


def _draw(x: Tensor, w: Window, generator: torch.Generator | None) -> Tensor:
    """Flat places, one a window: the first at which the running sum passes a uniform share of the whole."""
    r = x.relu() if x.dtype == torch.float64 else x.float().relu()
    padded = pad(r, w.reach)
    real = pad(torch.ones_like(r[:1, :1]), w.reach)
    taps = list(w.taps())
    total = torch.zeros_like(padded[(..., *taps[0])])
    count = torch.zeros_like(real[(..., *taps[0])])
    for tap in taps:
        total += padded[(..., *tap)]
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
        running += torch.where(none, real[(..., *tap)], padded[(..., *tap)])
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


def kmax_pool(x: Num[Tensor, "*axes"], *, k: int, dim: int = -1) -> Num[Tensor, "*out"]:
    """The k largest values along an axis, in their original order (arXiv 1404.2188).

    Of values that are equal to the k-th, which ones are taken is left open, as in `torch.topk`.

    Raises:
        ShapeError: there are fewer than k values.
        ArgumentError: k under 1.
    """
    check_numeric(x, "kmax_pool")
    check_axis(x, dim, "kmax_pool")
    check_integers("kmax_pool", k=k)
    if x.shape[dim] < k:
        raise ShapeError(
            f"kmax_pool: got {x.shape[dim]} values along axis {dim}, expected at least k={k}"
        )
    places = x.detach().topk(k, dim=dim, sorted=False).indices.sort(dim=dim).values
    if torch.compiler.is_compiling():  # which works out its own gradient
        return x.gather(dim, places)
    y: Tensor = _Taken.apply(x, places, dim)
    return y


class _Taken(torch.autograd.Function):
    """`x.gather` of places of which none is named twice: the gradient is put there, not added up."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, places: Tensor, dim: int) -> Tensor:
        """The values at the places."""
        return x.gather(dim, places)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the places alone."""
        del output
        x, places, ctx.dim = inputs
        ctx.size = x.shape
        ctx.save_for_backward(places)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Zeros but there."""
        (places,) = ctx.saved_tensors
        return grads[0].new_zeros(ctx.size).scatter_(ctx.dim, places, grads[0]), None, None
