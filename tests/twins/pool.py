"""Pooling in loops over output places: every operation is one function of the cells of a window.

Arrays [N, C, *space]. What is read of a window are its real cells, in order; padded ones are left out.
"""

from collections.abc import Callable
from math import ceil, exp, floor, prod
from typing import Any

import numpy as np

from striate.shapes import Window
from twins.conv import Array, places


def cells(place: tuple[int, ...], w: Window) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The real cells that a place reads: (position in the window, position in the map)."""
    found = [((), ())]
    for p, n, k, s, d, (before, _) in zip(
        place, w.size, w.kernel, w.stride, w.dilation, w.sides, strict=True
    ):
        along = [(t, p * s + t * d - before) for t in range(k)]
        found = [
            ((*inside, t), (*at, cell))
            for inside, at in found
            for t, cell in along
            if 0 <= cell < n
        ]
    return found


def pool(x: Array, w: Window, reduce: Callable[[Array], Any], nothing: float = 0.0) -> Array:
    """`reduce` of the real cells of every window; `nothing` where there are none."""
    out = np.full((*x.shape[:2], *w.out), nothing, x.dtype)
    for place in places(w):
        read = [x[(..., *at)] for _, at in cells(place, w)]
        if read:
            out[(..., *place)] = reduce(np.stack(read, axis=-1))
    return out


def max_pool(x: Array, w: Window) -> Array:
    """The largest cell."""
    return pool(
        x, w, lambda read: read.max(-1), -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    )


def max_places(x: Array, w: Window) -> Array:
    """The flat place of the first largest cell; 0 where a window reads padding alone."""
    out = np.zeros((*x.shape[:2], *w.out), np.int64)
    for place in places(w):
        spots = [at for _, at in cells(place, w)] or [(0,) * len(w.size)]
        flat = np.array([np.ravel_multi_index(at, w.size) for at in spots])
        read = np.stack([x[(..., *at)] for at in spots], axis=-1)
        out[(..., *place)] = flat[read.argmax(-1)]
    return out


def avg_pool(x: Array, w: Window, *, count_include_pad: bool = True) -> Array:
    """The sum over the real cells by their number, or by that of all cells within the padding."""
    if not count_include_pad:
        return pool(x, w, lambda read: read.mean(-1))
    out = pool(x, w, lambda read: read.sum(-1))
    for place in places(w):
        counts = [w.counts(axis, padded=True)[p] for axis, p in enumerate(place)]
        out[(..., *place)] /= prod(counts)
    return out


def lp_pool(x: Array, w: Window, p: float) -> Array:
    """(sum |x|^p)^(1/p)."""
    return pool(x, w, lambda read: np.linalg.norm(read, p, axis=-1))


def weighted_avg_pool(x: Array, w: Window, sigma: float) -> Array:
    """Gaussian weights by distance from the centre of the window, summing to one over the real cells."""
    out = np.zeros((*x.shape[:2], *w.out), x.dtype)
    for place in places(w):
        total = 0.0
        for inside, at in cells(place, w):
            squares = [(t - (k - 1) / 2) ** 2 for t, k in zip(inside, w.kernel, strict=True)]
            weight = exp(-sum(squares) / (2 * sigma**2))
            out[(..., *place)] += weight * x[(..., *at)]
            total += weight
        out[(..., *place)] /= total or 1.0
    return out


def stochastic_probabilities(read: Array) -> Array:
    """Of the cells of a window: r / sum r, uniform where all are zero."""
    r = np.maximum(read, 0)
    total = r.sum(-1, keepdims=True)
    return np.where(total > 0, r / np.where(total > 0, total, 1), 1 / read.shape[-1])


def stochastic_expectation(x: Array, w: Window) -> Array:
    """What stochastic pooling gives in evaluation."""
    return pool(x, w, lambda read: (stochastic_probabilities(read) * read).sum(-1))


def kmax_pool(x: Array, k: int) -> Array:
    """The k largest along the last axis in their original order, a row at a time."""
    rows = [row[np.sort(np.argsort(-row, kind="stable")[:k])] for row in x.reshape(-1, x.shape[-1])]
    return np.stack(rows).reshape(*x.shape[:-1], k)


def adaptive_pool(x: Array, grid: tuple[int, ...], reduce: Callable[..., Array]) -> Array:
    """`reduce` over cells floor(i n / m) to ceil((i + 1) n / m) of every axis."""
    out = np.zeros((*x.shape[:2], *grid), x.dtype)
    for place in np.ndindex(*grid):
        window = tuple(
            slice(floor(i * n / m), ceil((i + 1) * n / m))
            for i, n, m in zip(place, x.shape[2:], grid, strict=True)
        )
        axes = tuple(range(2, x.ndim))
        out[(..., *place)] = reduce(x[(..., *window)], axis=axes)
    return out
