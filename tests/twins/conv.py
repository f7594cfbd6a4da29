"""Convolution and its gradients in loops over output places. Arrays [N, C, *space], weight [O, C / g, *k].

Forward: y[p] = sum over taps t of w[t] x[p s + t d]. The input gradient is the full cross-correlation of
the output gradient, spread by the stride, with the kernel turned by 180 degrees: a true convolution.
The weight gradient is the cross-correlation of the input with the output gradient.
"""

from itertools import product
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from striate.shapes import Sides, Window

Array: TypeAlias = NDArray[Any]

# The words of our padding as NumPy's
MODES: dict[str, Literal["reflect", "edge", "wrap"]] = {
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


def pad(x: Array, sides: Sides, fill: str | float = "zeros") -> Array:
    """Cells before and after every axis of space."""
    widths = [(0, 0), (0, 0), *sides]
    if isinstance(fill, str) and fill in MODES:
        return np.pad(x, widths, mode=MODES[fill])
    return np.pad(x, widths, constant_values=0 if fill == "zeros" else fill)


def pad_grad(
    grad: Array, size: tuple[int, ...], sides: Sides, fill: str | float = "zeros"
) -> Array:
    """Gradient of `pad`: every padded cell gives its share back to the cell that it copied."""
    source = np.arange(np.prod(size)).reshape(1, 1, *size)
    copied = pad(source, sides, fill if isinstance(fill, str) and fill in MODES else -1).ravel()
    flat = grad.reshape(*grad.shape[:2], -1)
    out = np.zeros((*grad.shape[:2], int(np.prod(size))), grad.dtype)
    for place, cell in enumerate(copied):
        if cell >= 0:
            out[:, :, cell] += flat[:, :, place]
    return out.reshape(*grad.shape[:2], *size)


def places(w: Window) -> list[tuple[int, ...]]:
    """Every output place."""
    return list(product(*map(range, w.out)))


def patch(place: tuple[int, ...], w: Window) -> tuple[slice, ...]:
    """Where one output place reads in the padded input."""
    return tuple(
        slice(p * s, p * s + (k - 1) * d + 1, d)
        for p, s, k, d in zip(place, w.stride, w.kernel, w.dilation, strict=True)
    )


def cross_correlate(x: Array, weight: Array, w: Window) -> Array:
    """One group over a padded input: multiply the patch at every place with the kernel and sum."""
    out = np.zeros((x.shape[0], weight.shape[0], *w.out), np.result_type(x, weight))
    axes = range(1, weight.ndim)
    for place in places(w):
        out[(..., *place)] = np.tensordot(x[(..., *patch(place, w))], weight, axes=(axes, axes))
    return out


def conv(
    x: Array,
    weight: Array,
    bias: Array | None,
    w: Window,
    *,
    groups: int = 1,
    fill: str | float = "zeros",
) -> Array:
    """Cross-correlation, a group at a time."""
    padded = pad(x, w.sides, fill)
    inputs, outputs = np.split(padded, groups, 1), np.split(weight, groups, 0)
    y = np.concatenate(
        [cross_correlate(i, o, w) for i, o in zip(inputs, outputs, strict=True)], axis=1
    )
    return y if bias is None else y + bias.reshape(-1, *(1,) * len(w.out))


def turn(weight: Array) -> Array:
    """The kernel turned by 180 degrees."""
    return np.flip(weight, tuple(range(2, weight.ndim)))


def true_conv(x: Array, weight: Array, bias: Array | None, w: Window, *, groups: int = 1) -> Array:
    """Convolution as mathematics has it."""
    return conv(x, turn(weight), bias, w, groups=groups)


def spread(grad: Array, stride: tuple[int, ...]) -> Array:
    """`stride` - 1 zeros between neighbours."""
    sizes = [(n - 1) * s + 1 for n, s in zip(grad.shape[2:], stride, strict=True)]
    out = np.zeros((*grad.shape[:2], *sizes), grad.dtype)
    out[(..., *(slice(None, None, s) for s in stride))] = grad
    return out


def _full(size: tuple[int, ...], kernel: tuple[int, ...], dilation: tuple[int, ...]) -> Window:
    """The window of a full cross-correlation: padded until one cell alone is read at either end."""
    ends = tuple((k - 1) * d for k, d in zip(kernel, dilation, strict=True))
    out = tuple(n + e for n, e in zip(size, ends, strict=True))
    ones = (1,) * len(size)
    return Window(size, kernel, ones, dilation, tuple((e, e) for e in ends), out, (0,) * len(size))


def _swap(weight: Array, groups: int) -> Array:
    """Inputs and outputs of every group exchanged: [O, C / g, *k] to [C, O / g, *k]."""
    return np.concatenate([part.swapaxes(0, 1) for part in np.split(weight, groups, 0)], axis=0)


def conv_transpose(
    x: Array, weight: Array, bias: Array | None, w: Window, *, groups: int = 1
) -> Array:
    """The transpose of `conv` with window `w`: from [N, C, *w.out] to [N, O, *w.size].

    `weight` is [C, O / g, *k], as the convolution that is transposed has it.
    """
    wide = spread(x, w.stride)
    turned = turn(_swap(weight, groups))
    full = conv(wide, turned, None, _full(wide.shape[2:], w.kernel, w.dilation), groups=groups)
    out = np.zeros(
        (*full.shape[:2], *(n + b + a for n, (b, a) in zip(w.size, w.sides, strict=True)))
    )
    fits = tuple(slice(0, min(n, m)) for n, m in zip(full.shape[2:], out.shape[2:], strict=True))
    out[(..., *fits)] = full[(..., *fits)]
    out = pad_grad(out, w.size, w.sides)
    return out if bias is None else out + bias.reshape(-1, *(1,) * len(w.size))


def conv_input_grad(
    grad: Array, weight: Array, w: Window, *, groups: int = 1, fill: str | float = "zeros"
) -> Array:
    """Gradient of `conv` by its input: true convolution of the spread output gradient, folded back."""
    padded = tuple(n + b + a for n, (b, a) in zip(w.size, w.sides, strict=True))
    bare = w._replace(size=padded, sides=((0, 0),) * len(padded))
    return pad_grad(conv_transpose(grad, weight, None, bare, groups=groups), w.size, w.sides, fill)


def conv_weight_grad(
    x: Array, grad: Array, w: Window, *, groups: int = 1, fill: str | float = "zeros"
) -> Array:
    """Gradient of `conv` by its weight: the input cross-correlated with the output gradient.

    Items take the place of channels, and stride and dilation change places.
    """
    padded = pad(x, w.sides, fill)
    swapped = w._replace(kernel=w.out, out=w.kernel, stride=w.dilation, dilation=w.stride)
    parts = [
        cross_correlate(i.swapaxes(0, 1), g.swapaxes(0, 1), swapped).swapaxes(0, 1)
        for i, g in zip(np.split(padded, groups, 1), np.split(grad, groups, 1), strict=True)
    ]
    return np.concatenate(parts, axis=0)


def conv_bias_grad(grad: Array) -> Array:
    """Gradient of `conv` by its bias: the output gradient summed over items and places."""
    return grad.sum(axis=(0, *range(2, grad.ndim)))
