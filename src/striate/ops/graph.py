"""Convolution on graphs: in the spectrum of the Laplacian, and as a polynomial of it.

V nodes, x [N, C, V]. Bruna et al. arXiv 1312.6203 (spectral), Defferrard et al. arXiv 1606.09375
(Chebyshev).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ArgumentError, ShapeError, told
from striate.ops import checks
from striate.shapes import is_whole


class Spectrum(NamedTuple):
    """Eigenvalues [V], rising, and eigenvectors [V, V] in columns: the frequencies of a graph."""

    values: Tensor
    vectors: Tensor


def laplacian(adjacency: Float[Tensor, "v v"], *, normalized: bool = True) -> Float[Tensor, "v v"]:
    """I - D^-1/2 A D^-1/2 with D the degrees, or D - A; a node without neighbours has a row of zeros.

    Raises:
        ShapeError: no square.
        ArgumentError: not symmetric, or a negative weight.
    """
    checks.floating(adjacency, "laplacian")
    checks.flags("laplacian", normalized=normalized)
    if adjacency.ndim != 2 or adjacency.shape[0] != adjacency.shape[1]:
        raise ShapeError(f"laplacian: got {list(adjacency.shape)}, expected [nodes, nodes]")
    if bool((adjacency < 0).any()) or not torch.equal(adjacency, adjacency.T):
        raise ArgumentError(
            "laplacian: expected symmetric weights of at least 0; add the transpose"
        )
    degree = adjacency.sum(1)
    plain = torch.diag(degree) - adjacency
    if not normalized:
        return plain
    scale = torch.where(degree > 0, degree, 1).rsqrt() * (degree > 0)
    return scale[:, None] * plain * scale


def spectrum(matrix: Float[Tensor, "v v"]) -> Spectrum:
    """The frequencies of a graph: eigenvalues and eigenvectors of its Laplacian.

    Raises:
        ShapeError: no square.
        ArgumentError: integers in the matrix.
    """
    checks.floating(matrix, "spectrum")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ShapeError(f"spectrum: got {list(matrix.shape)}, expected [nodes, nodes]")
    return Spectrum(*torch.linalg.eigh(matrix))


def spectral_conv(
    x: Float[Tensor, "n c v"],
    theta: Float[Tensor, "o c v"],
    vectors: Float[Tensor, "v v"],
    bias: Float[Tensor, " o"] | None = None,
) -> Float[Tensor, "n o v"]:
    """U diag(theta) U^T x, summed over the channels: one weight a frequency.

    `theta` is the filter, a number a frequency of every pair of channels; `vectors` is U, from `spectrum`.

    Raises:
        ShapeError: sizes that do not fit together.
        ArgumentError: integers in the tensor.
    """
    checks.floating(x, "spectral_conv")
    checks.weight(theta, x, "spectral_conv")
    checks.weight(vectors, x, "spectral_conv")
    if x.ndim != 3 or theta.shape[1:] != x.shape[1:] or vectors.shape != (x.shape[-1],) * 2:
        raise ShapeError(
            f"spectral_conv: got x {list(x.shape)}, theta {list(theta.shape)}, vectors "
            f"{list(vectors.shape)}; expected [n, c, v], [o, c, v] and [v, v]"
        )
    filtered = torch.einsum("ncv,ocv->nov", x @ vectors, theta)
    return _shifted(filtered @ vectors.T, bias, "spectral_conv")


def chebyshev_conv(
    x: Float[Tensor, "n c v"],
    theta: Float[Tensor, "o c k"],
    matrix: Float[Tensor, "v v"],
    bias: Float[Tensor, " o"] | None = None,
    *,
    largest: float = 2.0,
) -> Float[Tensor, "n o v"]:
    """Sum over k of theta_k T_k(2 L / largest - I) x: no eigenvectors, so for large graphs.

    T_0 = 1, T_1 = t, T_k = 2 t T_(k-1) - T_(k-2); K terms reach K - 1 edges far.

    `theta` holds K coefficients of every pair of channels, `matrix` is the Laplacian, dense or sparse, and
    `largest` its largest eigenvalue, or a bound; a normalised one has at most 2.

    Raises:
        ShapeError: sizes that do not fit together.
        ArgumentError: integers in the tensor.
    """
    checks.floating(x, "chebyshev_conv")
    checks.weight(theta, x, "chebyshev_conv")
    checks.weight(matrix, x, "chebyshev_conv", sparse=True)
    fits = x.ndim == 3 and theta.ndim == 3 and theta.shape[1] == x.shape[1] and theta.shape[2] > 0
    if not fits or matrix.shape != (x.shape[-1],) * 2:
        raise ShapeError(
            f"chebyshev_conv: got x {list(x.shape)}, theta {list(theta.shape)}, matrix "
            f"{list(matrix.shape)}; expected [n, c, v], [o, c, k] with k at least 1, and [v, v]"
        )
    _check_largest(largest, "chebyshev_conv")
    terms = _terms(x, matrix, theta.shape[2], largest)
    stacked = torch.stack(terms).view(len(terms), x.shape[-1], *x.shape[:2])
    return _shifted(torch.einsum("kvnc,ock->nov", stacked, theta), bias, "chebyshev_conv")


def _check_largest(largest: float, who: str) -> None:
    checks.numbers(who, largest=largest)
    if not largest > 0:
        raise ArgumentError(f"{who}: largest={largest}, expected an eigenvalue of more than 0")


def chebyshev_terms(
    x: Float[Tensor, "*n v"], matrix: Float[Tensor, "v v"], *, count: int, largest: float = 2.0
) -> Float[Tensor, "k *n v"]:
    """T_k(2 L / largest - I) x for k from 0 to `count` - 1, for filters that mix more axes than the nodes.

    Arguments as in `chebyshev_conv`.

    Raises:
        ShapeError: sizes that do not fit together.
        ArgumentError: integers in the tensor.
    """
    checks.floating(x, "chebyshev_terms")
    checks.weight(matrix, x, "chebyshev_terms", sparse=True)
    _check_largest(largest, "chebyshev_terms")
    if not x.ndim or not is_whole(count) or count < 1 or matrix.shape != (x.shape[-1],) * 2:
        raise ShapeError(
            f"chebyshev_terms: got x {list(x.shape)}, matrix {list(matrix.shape)} and count={told(count)}; "
            "expected [..., v], [v, v] and at least 1"
        )
    return torch.stack([term.T.reshape(x.shape) for term in _terms(x, matrix, count, largest)])


def _terms(x: Tensor, matrix: Tensor, count: int, largest: float) -> list[Tensor]:
    """Polynomials of the matrix times the nodes, each [V, everything else]."""
    terms = [x.reshape(-1, x.shape[-1]).T]
    for k in range(1, count):
        shifted = (matrix @ terms[-1]) * (2 / largest) - terms[-1]
        terms.append(shifted if k == 1 else 2 * shifted - terms[-2])
    return terms


def _shifted(y: Tensor, bias: Tensor | None, who: str) -> Tensor:
    checks.bias(bias, y.shape[1:2], y, who)
    return y if bias is None else y + bias[:, None]
