"""Warping distances against the table filled cell by cell, and the graphs made of them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import ArgumentError, ShapeError
from striate.ops import graph_from_series
from striate.ops.graph_from_series import similarity_graph, warping_distances


def by_cells(a, b, band):
    """The best path to (i, j), asked for by its three predecessors."""
    if band is None:
        band = len(a)
    best: dict[tuple[int, int], float] = {(-1, -1): 0.0}
    for i in range(len(a)):
        for j in range(len(b)):
            if abs(i - j) <= band:
                before = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
                best[i, j] = abs(a[i] - b[j]) + min(best.get(p, float("inf")) for p in before)
    return best[len(a) - 1, len(b) - 1]


@given(
    nodes=st.integers(1, 4),
    steps=st.integers(1, 6),
    band=st.none() | st.integers(0, 6),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_distances_are_those_of_the_table(nodes, steps, band, seed):
    generator = torch.Generator().manual_seed(seed)
    series = torch.rand(nodes, steps, dtype=torch.float64, generator=generator)
    found = warping_distances(series, band=band)
    rows = series.tolist()
    expected = [[by_cells(a, b, band) for b in rows] for a in rows]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_pairs_in_chunks_are_the_same(monkeypatch):
    series = torch.rand(7, 5, generator=torch.Generator().manual_seed(0))
    whole = warping_distances(series)
    monkeypatch.setattr(graph_from_series, "CHUNK", 4)
    assert torch.equal(warping_distances(series), whole)


def test_a_late_copy_is_near_under_warping_only():
    bump = torch.tensor([0.0, 0, 1, 3, 1, 0, 0, 0])
    late, flat = bump.roll(2), torch.zeros(8)
    near, far = warping_distances(torch.stack((bump, late, flat)))[0, 1:]
    assert near == 0
    assert far > 0
    stiff = warping_distances(torch.stack((bump, late)), band=0)[0, 1]
    assert stiff == (bump - late).abs().sum()


def test_the_graph_links_what_looks_alike():
    hours = torch.arange(24) / 24 * 2 * torch.pi
    day, night = torch.sin(hours), torch.cos(2 * hours)
    # Three nodes of each kind, of different volume.
    series = torch.stack([day, 5 * day, day + 2, night, 3 * night, night - 1])
    graph = similarity_graph(series, neighbours=2)
    assert torch.equal(graph, graph.T)
    assert not graph.diag().any()
    linked = graph > 0
    assert linked[:3, :3].sum() == linked[3:, 3:].sum() == 6
    assert not linked[:3, 3:].any()
    # Equal courses are at distance 0.
    torch.testing.assert_close(graph[0, 1], torch.tensor(1.0))


def test_a_link_needs_one_choice_only():
    # Node 2 is nearest to 1, which is nearest to 0.
    series = torch.tensor([[0.0, 0, 1, 0], [0, 0.1, 1, 0], [0, 1, 1, 0]])
    linked = similarity_graph(series, neighbours=1) > 0
    assert linked.tolist() == [[False, True, False], [True, False, True], [False, True, False]]


def test_lonely_and_constant_nodes_are_no_mistake():
    assert not similarity_graph(torch.rand(1, 5)).any()
    assert similarity_graph(torch.ones(3, 5), neighbours=5).isfinite().all()


@pytest.mark.plain
def test_mistakes_are_told():
    with pytest.raises(ShapeError) as error:
        warping_distances(torch.rand(5))
    assert str(error.value) == "warping_distances: got [5], expected [nodes, steps]"
    with pytest.raises(ArgumentError) as error:
        warping_distances(torch.rand(2, 5), band=-1)
    assert str(error.value) == "warping_distances: band=-1, expected an integer of 0 to 2147483647"
    with pytest.raises(ArgumentError) as error:
        similarity_graph(torch.rand(2, 5), neighbours=0)
    assert (
        str(error.value) == "similarity_graph: neighbours=0, expected an integer of 1 to 2147483647"
    )
