"""Local response normalisation at speed: few passes over memory, and the gradient by hand.

d = k + a W(x^2), y = x d^-beta with W the sum over a window of channels;
dx = g d^-beta - 2 a beta x W'(g x d^-beta / d) with W' its adjoint.
"""

from typing import Any

import torch
from torch import Tensor

from striate.ops.cache import in_cache


def respond(x: Tensor, size: int, a: float, beta: float, k: float) -> Tensor:
    """y; only x and d are kept for the way back, where autograd on the composition keeps six arrays."""
    if (
        x.is_meta and not torch.is_grad_enabled()
    ):  # who watches sees one operation, which keeps nothing
        return torch.nn.functional.local_response_norm(x, size)
    y: Tensor = _Response.apply(x, size, a, beta, k)[0]
    return y


def _neighbours(size: int, channels: int, *, lower: bool = False) -> list[tuple[slice, slice]]:
    """For every shift within a window but none: the channels that it reaches, and those they read.

    The odd one of an even window lies above, or below if `lower` (the adjoint).
    """
    down, up = (size - 1) // 2, size // 2
    if lower:
        down, up = up, down
    above = [(slice(channels - i), slice(i, None)) for i in range(1, min(channels, up + 1))]
    below = [(slice(i, None), slice(channels - i)) for i in range(1, min(channels, down + 1))]
    return above + below


def _window_sum(x: Tensor, size: int, *, lower: bool = False) -> Tensor:
    """Sum over the channels around each."""
    total = x.clone()
    for to, read in _neighbours(size, x.shape[1], lower=lower):
        total[:, to] += x[:, read]
    return total


def _to_minus(d: Tensor, beta: float) -> Tensor:
    """d^-beta; by two reciprocal roots for 0.75, several times faster than a power."""
    if beta == 0.75:
        root = d.rsqrt()
        return root * root.sqrt()
    return d.rsqrt() if beta == 0.5 else d.pow(-beta)


def _forward(x: Tensor, size: int, a: float, beta: float, k: float) -> tuple[Tensor, Tensor]:
    """The result and d."""
    if x.is_meta:  # nothing is computed
        return torch.nn.functional.local_response_norm(x, size), torch.empty_like(x)
    y, d = torch.empty_like(x), torch.empty_like(x)
    for run in in_cache(x):
        square, scale = (x[run] * x[run]).mul_(a), d[run]
        scale.copy_(square)
        for to, read in _neighbours(size, x.shape[1]):
            scale[:, to] += square[:, read]
        y[run] = _to_minus(scale.add_(k), beta).mul_(x[run])
    return y, d


def _backward(g: Tensor, x: Tensor, d: Tensor, size: int, a: float, beta: float) -> Tensor:
    """The gradient by x."""
    back = torch.empty_like(x)
    for run in in_cache(x):
        direct = _to_minus(d[run], beta).mul_(g[run])
        inner = _window_sum((direct * x[run]).div_(d[run]), size, lower=True)
        back[run] = direct.add_(inner.mul_(x[run]), alpha=-2 * a * beta)
    return back


# A compiler takes both whole: what it makes of their slices takes up to twice as long. An exported program holds
# their steps, so that it runs without this package.
_forward_whole = torch.library.custom_op("striate::respond", _forward, mutates_args=())
_backward_whole = torch.library.custom_op("striate::respond_backward", _backward, mutates_args=())


@_forward_whole.register_fake
def _(x: Tensor, size: int, a: float, beta: float, k: float) -> tuple[Tensor, Tensor]:
    del size, a, beta, k
    return torch.empty_like(x), torch.empty_like(x)


@_backward_whole.register_fake
def _(g: Tensor, x: Tensor, d: Tensor, size: int, a: float, beta: float) -> Tensor:
    del g, d, size, a, beta
    return torch.empty_like(x)


def _whole() -> bool:
    return torch.compiler.is_compiling() and not torch.compiler.is_exporting()


class _Response(torch.autograd.Function):
    """The result, and d for the way back."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, size: int, a: float, beta: float, k: float) -> tuple[Tensor, Tensor]:
        """Run by run of items."""
        return (_forward_whole if _whole() else _forward)(x, size, a, beta, k)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        """Keep x, d and the settings."""
        x, *ctx.settings = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(x, output[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient by x; differentiable in turn when that is asked for."""
        x, d = ctx.saved_tensors
        size, a, beta, k = ctx.settings
        if _whole():
            return _backward_whole(grads[0], x, d, size, a, beta), None, None, None, None
        if not torch.is_grad_enabled():
            return _backward(grads[0], x, d, size, a, beta), None, None, None, None
        d = _window_sum(x * x, size) * a + k
        power = _to_minus(d, beta)
        inner = _window_sum(grads[0] * x * power / d, size, lower=True)
        return grads[0] * power - 2 * a * beta * x * inner, None, None, None, None
