"""Locally connected layers, tabled connections and graph convolution in loops. Arrays [N, C, *space]."""

from collections.abc import Sequence

import numpy as np

from striate.shapes import Window, regions
from twins.conv import Array, pad, patch, places


def local_conv(
    x: Array, weight: Array, bias: Array | None, w: Window, *, fill: str | float = "zeros"
) -> Array:
    """Every place multiplied with its own kernels [O, *kernel, C]."""
    padded = pad(x, w.sides, fill)
    out = np.zeros((x.shape[0], weight.shape[len(w.out)], *w.out))
    for place in places(w):
        read = np.moveaxis(padded[(..., *patch(place, w))], 1, -1)
        for o, kernel in enumerate(weight[place]):
            out[(slice(None), o, *place)] = (read * kernel).reshape(len(x), -1).sum(1)
            if bias is not None:
                out[(slice(None), o, *place)] += bias[(*place, o)]
    return out


def regional_conv(
    x: Array, weight: Array, bias: Array | None, w: Window, *, fill: str | float = "zeros"
) -> Array:
    """As `local_conv`, every place with the kernels [O, C, *kernel] of its region."""
    rank = len(w.out)
    cuts = [regions(m, g) for m, g in zip(w.out, weight.shape[:rank], strict=True)]
    own = np.zeros((*w.out, weight.shape[rank], *weight.shape[rank + 2 :], weight.shape[rank + 1]))
    shift = np.zeros((*w.out, weight.shape[rank]))
    for place in places(w):
        region = tuple(
            next(i for i, (start, stop) in enumerate(cut) if start <= p < stop)
            for p, cut in zip(place, cuts, strict=True)
        )
        own[place] = np.moveaxis(weight[region], 1, -1)
        shift[place] = 0 if bias is None else bias[region]
    return local_conv(x, own, shift, w, fill=fill)


def tabled_conv(
    x: Array,
    weight: Array,
    bias: Array | None,
    w: Window,
    *,
    table: Sequence[Sequence[int]],
    fill: str | float = "zeros",
) -> Array:
    """Output map by output map, connection by connection."""
    padded = pad(x, w.sides, fill)
    out = np.zeros((x.shape[0], len(table), *w.out))
    kernels = iter(weight)
    for o, maps in enumerate(table):
        for i in maps:
            kernel = next(kernels)
            for place in places(w):
                read = padded[(slice(None), i, *patch(place, w))] * kernel
                out[(slice(None), o, *place)] += read.reshape(len(x), -1).sum(1)
        if bias is not None:
            out[:, o] += bias[o]
    return out


def laplacian(adjacency: Array, *, normalized: bool) -> Array:
    """Degrees less weights, entry by entry; normalized: 1 less weight / sqrt of both degrees, 0 for lonely nodes."""
    out = np.zeros_like(adjacency)
    degree = adjacency.sum(1)
    for i, j in np.ndindex(*out.shape):
        out[i, j] = degree[i] * (i == j) - adjacency[i, j]
        if normalized and out[i, j]:
            out[i, j] /= np.sqrt(degree[i] * degree[j])
    return out


def spectral_conv(x: Array, theta: Array, vectors: Array) -> Array:
    """The matrices U diag(theta) U^T, one a pair of channels."""
    out = np.zeros((x.shape[0], theta.shape[0], x.shape[2]))
    for o, c in np.ndindex(*theta.shape[:2]):
        out[:, o] += x[:, c] @ (vectors @ np.diag(theta[o, c]) @ vectors.T).T
    return out


def chebyshev_conv(x: Array, theta: Array, matrix: Array, largest: float) -> Array:
    """The polynomial as a matrix, one a pair of channels: T_k(t) = cos(k arccos(t)) on the spectrum."""
    values, vectors = np.linalg.eigh(2 * matrix / largest - np.eye(len(matrix)))
    angles = np.arccos(np.clip(values, -1, 1))
    frequencies = sum(theta[..., k, None] * np.cos(k * angles) for k in range(theta.shape[2]))
    return spectral_conv(x, np.asarray(frequencies), vectors)
