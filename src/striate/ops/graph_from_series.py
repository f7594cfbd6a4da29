"""Graphs from series alone: nodes whose series look alike are neighbours, wherever they are.

V nodes, T steps. Yu, Li, Zhang and Zhu 2019, arXiv 1903.00919; Sakoe and Chiba 1978 (the band).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ShapeError
from striate.ops import checks
from striate.shapes import check_whole

CHUNK = 1 << 16  # pairs of nodes compared at a time, so that memory stays bounded


def warping_distances(
    series: Float[Tensor, "v t"], *, band: int | None = None
) -> Float[Tensor, "v v"]:
    """The least sum of |a_i - b_j| along a path through both series that skips no step, for every pair.

    Args:
        series: a row a node.
        band: steps that the two may be apart on the path; any if not given. The work is V^2 T band.

    Raises:
        ShapeError: not two axes, or no steps.
        ArgumentError: a band below 0, or integers in the tensor.
    """
    checks.floating(series, "warping_distances")
    if series.ndim != 2 or not series.shape[1]:
        raise ShapeError(f"warping_distances: got {list(series.shape)}, expected [nodes, steps]")
    if band is not None:
        with checks.named("warping_distances"):
            check_whole(least=0, band=band)
    nodes, steps = series.shape
    first, second = torch.triu_indices(nodes, nodes, 1, device=series.device)
    reach = steps if band is None else band
    found = [
        _warped(series[a].T, series[b].T, reach)
        for a, b in zip(first.split(CHUNK), second.split(CHUNK), strict=True)
    ]
    distances = series.new_zeros(nodes, nodes)
    distances[first, second] = torch.cat(found)
    return distances + distances.T


def similarity_graph(
    series: Float[Tensor, "v t"], *, neighbours: int = 8, band: int | None = 6
) -> Float[Tensor, "v v"]:
    """Weights exp(-distance / median distance) between every node and those most like it; symmetric, no loops.

    Series are compared by their course: each is brought to mean 0 and deviation 1 first.

    Args:
        series: a row a node, of training data only; a mean day or week is enough and quicker.
        neighbours: that each node chooses; two nodes are linked when either chose the other.
        band: of `warping_distances`.

    Raises:
        ShapeError: not two axes, or no steps.
        ArgumentError: fewer than one neighbour, a band below 0, or integers in the tensor.
    """
    checks.floating(series, "similarity_graph")
    checks.integers("similarity_graph", neighbours=neighbours)
    centered = series - series.mean(-1, keepdim=True)
    deviation = centered.square().mean(-1, keepdim=True).sqrt()
    distances = warping_distances(centered / torch.where(deviation > 0, deviation, 1), band=band)
    nodes = len(distances)
    if nodes < 2:
        return torch.zeros_like(distances)
    middle = distances[~torch.eye(nodes, dtype=torch.bool, device=distances.device)].median()
    weights = torch.exp(-distances / torch.where(middle > 0, middle, 1)).fill_diagonal_(0)
    chosen = weights.topk(min(neighbours, nodes - 1)).indices
    kept = torch.zeros_like(weights).scatter(1, chosen, 1)
    return weights * torch.maximum(kept, kept.T)


def _warped(a: Tensor, b: Tensor, reach: int) -> Tensor:
    """Distances of series a and b [T, pairs], row by row of the table of partial sums."""
    steps = len(a)
    nowhere = torch.full_like(a[0], torch.inf)
    before = [torch.zeros_like(a[0]), *[nowhere] * steps]
    for i in range(steps):
        row = [nowhere] * (steps + 1)
        for j in range(max(0, i - reach), min(steps, i + reach + 1)):
            cheapest = torch.minimum(torch.minimum(before[j], before[j + 1]), row[j])
            row[j + 1] = (a[i] - b[j]).abs() + cheapest
        before = row
    return before[steps]
