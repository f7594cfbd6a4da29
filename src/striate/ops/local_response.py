"""Local response normalisation at speed: few passes over memory, and the gradient by hand.

d = k + a W(x^2), y = x d^-beta with W the sum over a window of channels;
dx = g d^-beta - 2 a beta x W'(g x d^-beta / d) with W' its adjoint.
"""

from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.ops.gradients import in_cache, in_place, wide


def respond(x: Tensor, size: int, a: float, beta: float, k: float) -> Tensor:
    """y; only x and d are kept for the way back, where autograd on the composition keeps six arrays."""
    if (
        x.is_meta and not torch.is_grad_enabled()
    ):  # there is nothing to compute: a net is counted, and this is one operation of it
        return F.local_response_norm(x, size)
    if torch.compiler.is_compiling():  # which fuses the steps and works out their gradient
        return (x * _to_minus(_scale(wide(x), size, a, k), beta)).to(x.dtype)
    y: Tensor = _Response.apply(x, size, a, beta, k)[0]
    return y


def _reach(x: Tensor, size: int) -> tuple[int, int]:
    """Channels that a window reads below and above its own; the odd one of an even window lies above."""
    return min((size - 1) // 2, x.shape[1]), min(size // 2, x.shape[1])


def _window_sum(x: Tensor, size: int, out: Tensor | None = None) -> Tensor:
    """Sums of `size` channels in a row, `size` - 1 fewer than come in: halves of a window added up."""
    if size == 1:
        return x if out is None else out.copy_(x)
    if size % 2:
        return torch.add(x[:, : 1 - size], _window_sum(x[:, 1:], size - 1), out=out)
    half = _window_sum(x, size // 2)
    return torch.add(half[:, : -(size // 2)], half[:, size // 2 :], out=out)


def _to_minus(d: Tensor, beta: float) -> Tensor:
    """d^-beta; by two roots for 0.75, several times faster than a power."""
    if beta == 0.75:
        root = d.rsqrt()
        return root * root.sqrt()
    return d.rsqrt() if beta == 0.5 else d.pow(-beta)


def _power(d: Tensor, beta: float) -> Tensor:
    """`_to_minus` where no gradient is asked for: in place, and without PyTorch's slower square root."""
    return d.rsqrt().rsqrt_().div_(d) if beta == 0.75 else _to_minus(d, beta)


def _around(x: Tensor, below: int, above: int) -> Tensor:
    padded = F.pad(x, [0, 0] * (x.ndim - 2) + [below, above])
    return _window_sum(padded, below + 1 + above)


def _scale(x: Tensor, size: int, a: float, k: float) -> Tensor:
    return _around(x * x, *_reach(x, size)) * a + k


def _slope(g: Tensor, x: Tensor, size: int, a: float, beta: float, k: float) -> Tensor:
    below, above = _reach(x, size)
    d = _scale(x, size, a, k)
    direct = g * _to_minus(d, beta)
    return direct - 2 * a * beta * x * _around(direct * x / d, above, below)


def _between(x: Tensor, below: int, above: int, value: float) -> Tensor:
    """Channels of `value`, laid out as x, as many as x has and `below` before them and `above` after."""
    items, channels, *space = x.shape
    if x.stride(1) == 1:
        rows = x.new_full((items * prod(space), below + channels + above), value)
        return rows.unflatten(0, (items, *space)).movedim(-1, 1)
    return x.new_full((items, below + channels + above, *space), value)


def _forward(x: Tensor, size: int, a: float, beta: float, k: float) -> tuple[Tensor, Tensor]:
    """The result and d, run by run of items; k comes into the sums in parts, with their cells."""
    y, d = torch.empty_like(x), wide(torch.empty_like(x))
    if x.is_meta:  # there is nothing to compute: a net is counted, and this is one operation of it
        return F.local_response_norm(x, size), d
    below, above = _reach(x, size)
    window = below + 1 + above
    for run in in_cache(x):
        x_run = wide(x[run])
        cells = _between(x_run, below, above, k / window)
        cells.narrow(1, below, x.shape[1]).addcmul_(x_run, x_run, value=a)
        _window_sum(cells, window, out=d[run])
        torch.mul(_power(d[run], beta), x_run, out=y[run])
    return y, d


def _backward(g: Tensor, x: Tensor, d: Tensor, size: int, a: float, beta: float) -> Tensor:
    back = torch.empty_like(x)
    below, above = _reach(x, size)
    for run in in_cache(x):
        x_run = wide(x[run])
        direct = _power(d[run], beta).mul_(g[run])
        cells = _between(x_run, above, below, 0)
        torch.div(direct * x_run, d[run], out=cells.narrow(1, above, x.shape[1]))
        inner = _window_sum(cells, below + 1 + above)
        torch.addcmul(direct, x_run, inner, value=-2 * a * beta, out=back[run])
    return back


class _Response(torch.autograd.Function):
    """y, and d for the way back."""

    @staticmethod
    def forward(x: Tensor, *settings: Any) -> tuple[Tensor, Tensor]:
        return _forward(x, *settings)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        x, *ctx.settings = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # no zeros in its place
        ctx.save_for_backward(x, output[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        (x, d), g = ctx.saved_tensors, grads[0]
        back = None
        if g is not None:
            back = in_place(
                lambda: _backward(g, x, d, *ctx.settings[:3]),
                lambda: _slope(wide(g), wide(x), *ctx.settings).to(x.dtype),
            )
        return back, None, None, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], *args: Any
    ) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        # The mapped axis as more items, because steps in place cannot be mapped.
        x, *settings = args
        items = x.movedim(in_dims[0], 0).flatten(0, 1)
        outputs = _Response.apply(items, *settings)
        return tuple(y.unflatten(0, (info.batch_size, -1)) for y in outputs), (0, 0)
