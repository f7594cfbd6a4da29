"""Unpooling, one value at a time. Arrays [N, C, *space]."""

import numpy as np

from twins.conv import Array


def nearest_unpool(x: Array, scale: tuple[int, ...]) -> Array:
    """Every value repeated along every axis."""
    for axis, factor in enumerate(scale, 2):
        x = np.repeat(x, factor, axis)
    return x


def nails_unpool(x: Array, scale: tuple[int, ...]) -> Array:
    """Every value in the first cell of its block."""
    out = np.zeros((*x.shape[:2], *(n * f for n, f in zip(x.shape[2:], scale, strict=True))))
    for place in np.ndindex(*x.shape[2:]):
        out[(..., *(p * f for p, f in zip(place, scale, strict=True)))] = x[(..., *place)]
    return out


def max_unpool(x: Array, indices: Array, size: tuple[int, ...]) -> Array:
    """Every value at its place."""
    out = np.zeros((*x.shape[:2], *size))
    for n, c, *place in np.ndindex(*x.shape):
        at = np.unravel_index(indices[(n, c, *place)], size)
        out[(n, c, *at)] = x[(n, c, *place)]
    return out
