"""Convolution on graphs: the Laplacian, its frequencies, and filters that reach a few neighbours."""

import numpy as np
import torch

from striate.lessons.exercise import Array, Case, Exercise, Mistake
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Grids, Shown
from striate.ops.graph import chebyshev_conv, laplacian, spectrum


def ring(nodes: int = 6) -> torch.Tensor:
    """Every node joined to the one before and the one after."""
    one = torch.eye(nodes)
    return torch.roll(one, 1, 1) + torch.roll(one, -1, 1)


def the_laplacian() -> Shown:
    path = torch.tensor([[0.0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]])
    plain, normalised = laplacian(path, normalized=False), laplacian(path)
    return Shown([Grids({"neighbours": path, "D - A": plain, "normalised": normalised})])


def frequencies() -> Shown:
    found = spectrum(laplacian(ring(), normalized=False))
    grids = Grids(
        {
            "eigenvalues": found.values,
            "slowest": found.vectors[:, 0],
            "fastest": found.vectors[:, -1],
        }
    )
    return Shown([grids])


def on_a_ring() -> Shown:
    adjacency = ring()
    x = torch.tensor([[[1.0, 0, 0, 0, 0, 0]]])
    matrix = laplacian(adjacency)
    rows: dict[str, torch.Tensor] = {}
    for k in range(3):
        theta = torch.zeros(1, 1, 3)
        theta[..., k] = 1
        rows[f"reach {k}"] = chebyshev_conv(x, theta, matrix)
    return Shown([Grids(rows)])


def laplacian_of(adjacency: Array) -> Array:
    """The normalised Laplacian."""
    return laplacian(torch.from_numpy(np.array(adjacency))).numpy()


def cases(rng: np.random.Generator) -> list[Case]:
    found: list[Case] = []
    for n in (3, 4, 5):
        upper = np.triu((rng.random((n, n)) < 0.6).astype(float), 1)
        upper[np.arange(n - 1), np.arange(1, n)] = 1  # no node is alone
        found.append({"adjacency": upper + upper.T})
    return found


def degrees(c: Case) -> Array:
    return c["adjacency"].sum(1)


LESSON = Lesson(
    "graphs",
    (the_laplacian, frequencies, on_a_ring),
    (
        Exercise(
            "laplacian",
            ("adjacency",),
            laplacian_of,
            cases,
            (
                Mistake("not_normalised", instead=lambda c: np.diag(degrees(c)) - c["adjacency"]),
                Mistake(
                    "by_row_only",
                    instead=lambda c: (
                        np.eye(len(degrees(c))) - c["adjacency"] / degrees(c)[:, None]
                    ),
                ),
                Mistake(
                    "no_root",
                    instead=lambda c: (
                        np.eye(len(degrees(c))) - c["adjacency"] / np.outer(degrees(c), degrees(c))
                    ),
                ),
                Mistake("sign", after=lambda m: -m),
                Mistake(
                    "identity_forgotten",
                    instead=lambda c: c["adjacency"] / np.sqrt(np.outer(degrees(c), degrees(c))),
                ),
            ),
        ),
    ),
)
