"""Graph convolution: equal to its matrices, both forms equal, and blind to the order of the nodes."""

import re

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from striate.errors import ArgumentError, ShapeError
from striate.ops import graph as ops
from twins import local as twins


def ring(n):
    eye = torch.eye(n, dtype=torch.float64)
    return eye.roll(1, 0) + eye.roll(-1, 0)


def test_laplacian_of_a_ring_has_the_frequencies_of_the_cosine():
    values = ops.spectrum(ops.laplacian(ring(8), normalized=False)).values
    expected = (2 - 2 * torch.cos(2 * torch.pi * torch.arange(8) / 8)).double().sort().values
    torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-6)
    assert ops.spectrum(ops.laplacian(ring(8))).values.max() <= 2 + 1e-9


def test_lonely_nodes_have_rows_of_zeros():
    adjacency = torch.zeros(3, 3)
    adjacency[0, 1] = adjacency[1, 0] = 2
    expected = torch.tensor([[1.0, -1, 0], [-1, 1, 0], [0, 0, 0]])
    torch.testing.assert_close(ops.laplacian(adjacency), expected)


def test_both_forms_equal_their_twins_and_each_other(kit):
    matrix = ops.laplacian(ring(7))
    vectors = ops.spectrum(matrix).vectors
    x, theta, short, bias = kit.rand(2, 3, 7), kit.rand(4, 3, 7), kit.rand(4, 3, 4), kit.rand(4)
    y = ops.spectral_conv(x, theta, vectors, bias)
    twin = twins.spectral_conv(x.numpy(), theta.numpy(), vectors.numpy())
    kit.close(y, twin + bias.numpy()[:, None])
    z = ops.chebyshev_conv(x, short, matrix, bias)
    twin = twins.chebyshev_conv(x.numpy(), short.numpy(), matrix.numpy(), 2.0)
    kit.close(z, twin + bias.numpy()[:, None])
    kit.close(ops.chebyshev_conv(x, short, matrix.to_sparse(), bias), z)
    kit.close(
        ops.chebyshev_conv(x, short[..., :1], matrix), torch.einsum("ncv,oc->nov", x, short[..., 0])
    )


@given(
    st.integers(1, 6),
    st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 5)),
    st.floats(0, 1),
    st.integers(0, 1000),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_any_graph_equals_its_twins(kit, nodes, sizes, share, seed, normalized):
    items, channels, outputs, terms = sizes
    weights = kit.rand(nodes, nodes, seed=seed).abs()
    weights = torch.where(kit.rand(nodes, nodes, seed=seed + 1).sigmoid() < share, weights, 0).triu(
        1
    )
    adjacency = weights + weights.T
    matrix = ops.laplacian(adjacency, normalized=normalized)
    kit.close(matrix, twins.laplacian(adjacency.numpy(), normalized=normalized))
    values, vectors = ops.spectrum(matrix)
    kit.close(vectors @ values.diag() @ vectors.T, matrix)
    largest = max(1e-3, values.max().item())
    x, bias = kit.rand(items, channels, nodes), kit.rand(outputs)
    theta, short = kit.rand(outputs, channels, nodes), kit.rand(outputs, channels, terms)
    twin = twins.spectral_conv(x.numpy(), theta.numpy(), vectors.numpy())
    kit.close(ops.spectral_conv(x, theta, vectors, bias), twin + bias.numpy()[:, None])
    twin = twins.chebyshev_conv(x.numpy(), short.numpy(), matrix.numpy(), largest)
    kit.close(
        ops.chebyshev_conv(x, short, matrix, bias, largest=largest),
        twin + bias.numpy()[:, None],
        rtol=1e-7,  # the twin's arc cosine loses half its digits at the ends of the spectrum
    )


def test_terms_are_the_polynomials_of_the_matrix(kit):
    matrix, x = ops.laplacian(ring(7)), kit.rand(2, 3, 4, 7)
    t = 2 * matrix / 1.5 - torch.eye(7, dtype=matrix.dtype)
    one = torch.eye(7, dtype=matrix.dtype)
    powers = (one, t, 2 * t @ t - one, 4 * t @ t @ t - 3 * t)
    terms = ops.chebyshev_terms(x, matrix, count=4, largest=1.5)
    kit.close(terms, torch.stack([x @ power.T for power in powers]))
    theta = kit.rand(5, 3, 4)
    mixed = torch.einsum("knctv,ock->notv", terms, theta)
    plain = ops.chebyshev_conv(x[:, :, 1], theta, matrix, largest=1.5)
    kit.close(mixed[:, :, 1], plain)


def test_renaming_the_nodes_renames_the_result(kit):
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    matrix, x, theta = ops.laplacian(ring(7)), kit.rand(2, 3, 7), kit.rand(4, 3, 3)
    y = ops.chebyshev_conv(x, theta, matrix)
    kit.close(ops.chebyshev_conv(x[..., order], theta, matrix[order][:, order]), y[..., order])


def test_on_a_ring_a_filter_of_the_frequencies_commutes_with_shifts(kit):
    matrix, x = ops.laplacian(ring(6)), kit.rand(1, 1, 6)
    values, vectors = ops.spectrum(matrix)
    theta = torch.exp(-values)[None, None]
    y = ops.spectral_conv(x, theta, vectors)
    kit.close(ops.spectral_conv(x.roll(2, -1), theta, vectors), y.roll(2, -1))


@pytest.mark.slow
@pytest.mark.plain
def test_gradients_types_compile(kit):
    matrix = ops.laplacian(ring(5))
    vectors = ops.spectrum(matrix).vectors
    x, wide, short = (kit.rand(*s).requires_grad_() for s in ((2, 2, 5), (3, 2, 5), (3, 2, 3)))
    for call, theta in (
        (lambda x, theta: ops.spectral_conv(x, theta, vectors), wide),
        (lambda x, theta: ops.chebyshev_conv(x, theta, matrix), short),
    ):
        assert torch.autograd.gradcheck(call, (x, theta))
        assert torch.autograd.gradgradcheck(call, (x, theta))
        kit.close(kit.compiled(call)(x, theta), call(x, theta))
        assert call(x[:0], theta).shape == (0, 3, 5)
        kit.close(
            torch.vmap(call, (0, None))(torch.stack([x, 2 * x]), theta)[1], call(2 * x, theta)
        )


@pytest.mark.plain
@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: ops.laplacian(torch.zeros(2, 3)),
            ShapeError,
            "laplacian: got [2, 3], expected [nodes, nodes]",
        ),
        (
            lambda: ops.laplacian(torch.tensor([[0.0, 1], [0, 0]])),
            ArgumentError,
            "laplacian: expected symmetric weights of at least 0; add the transpose",
        ),
        (
            lambda: ops.spectral_conv(
                torch.zeros(1, 2, 3), torch.zeros(4, 2, 2), torch.zeros(3, 3)
            ),
            ShapeError,
            (
                "spectral_conv: got x [1, 2, 3], theta [4, 2, 2], vectors [3, 3]; "
                "expected [n, c, v], [o, c, v] and [v, v]"
            ),
        ),
        (
            lambda: ops.chebyshev_conv(
                torch.zeros(1, 2, 3), torch.zeros(4, 2, 0), torch.zeros(3, 3)
            ),
            ShapeError,
            (
                "chebyshev_conv: got x [1, 2, 3], theta [4, 2, 0], matrix [3, 3]; "
                "expected [n, c, v], [o, c, k] with k at least 1, and [v, v]"
            ),
        ),
        (
            lambda: ops.chebyshev_terms(torch.zeros(2, 3, 7), torch.zeros(6, 7), count=2),
            ShapeError,
            (
                "chebyshev_terms: got x [2, 3, 7], matrix [6, 7] and count=2; "
                "expected [..., v], [v, v] and at least 1"
            ),
        ),
    ],
)
def test_messages(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()
