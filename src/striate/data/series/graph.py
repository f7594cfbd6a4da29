"""The graph of the nodes: from a square table, or from a list of links. N nodes, E links.

Where numbers are distances they become weights exp(-(d / s)^2) with s their standard deviation (Li, Yu, Shahabi and
Liu 2018, arXiv 1707.01926, section 4); of a full table of distances what falls below 0.1 is no link, as there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.errors import DataError

F32 = NDArray[np.float32]

FAINT = 0.1  # weights of a full table of distances below this are no links
DISTANCES = ("metre", "meter", "dist", "length", "cost", "km", "miles")


@dataclass(frozen=True)
class Links:
    """A graph as a file has it.

    Attributes:
        name: of the file, for messages.
        matrix: a square table, or None where `ends` has the links.
        ends: the two nodes of each link, by name or number, [E, 2] of text.
        weights: of the links [E]; None where all are alike.
        distances: whether numbers are distances; None where that is not said.
        names: of the nodes along the sides of `matrix`; () where the file does not name them.
    """

    name: str
    matrix: NDArray[np.float64] | None = None
    ends: Sequence[tuple[str, str]] = ()
    weights: NDArray[np.float64] | None = None
    distances: bool | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Graph:
    """Symmetric weights [N, N], how they were understood, and what is doubtful."""

    adjacency: F32
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def graph_of(links: Links, nodes: Sequence[str]) -> Graph:
    """Weights between the nodes of series.

    Raises:
        DataError: of another number of nodes, links to nodes that there are not, or numbers that are no weights.
    """
    if links.matrix is not None:
        matrix, said = _in_order(links.matrix, links, nodes)
        _check_square(matrix, links.name, len(nodes))
        weights, note = _of_table(matrix, links)
        note = "; ".join(filter(None, [said, note]))
    else:
        weights, note = _of_list(links, nodes)
    np.fill_diagonal(weights, 0.0)
    return _symmetric(weights, links.name, note)


def _in_order(
    matrix: NDArray[np.float64], links: Links, nodes: Sequence[str]
) -> tuple[NDArray[np.float64], str]:
    """A square table with its rows and columns in the order of the series, where it names them.

    Raises:
        DataError: it names a node twice, or lacks one of the series.
    """
    names = links.names
    if not names or len(matrix) != len(names) or names == tuple(nodes):
        return matrix, ""
    place = {name: i for i, name in enumerate(names)}
    if len(place) < len(names):
        twice = next(name for i, name in enumerate(names) if place[name] != i)
        raise DataError(f"{links.name} has the node {twice!r} twice")
    lost = [node for node in nodes if node not in place]
    if len(lost) == len(nodes) == len(names):
        if sorted(names) == sorted(map(str, range(len(nodes)))):  # numbers of rows say no more
            lost = []
            place = {node: place[str(i)] for i, node in enumerate(nodes)}
        elif tuple(nodes) == tuple(map(str, range(len(nodes)))):
            return (
                matrix,
                f"{links.name} names its nodes and the series do not: taken to be in the same order",
            )
    if lost:
        raise DataError(
            f"{links.name} has no node {lost[0]!r}, which is one of the series; it has {', '.join(names[:3])}, ...: expected a row "
            "and a column for each of them, by the same names"
        )
    order = [place[node] for node in nodes]
    left = len(names) - len(nodes)
    said = [f"{left:,} of its {len(names):,} nodes are none of the series and are left out"] * bool(
        left
    )
    if order != sorted(order):
        said.append("its nodes are put in the order of the series, by their names")
    return matrix[np.ix_(order, order)], "; ".join(f"{links.name}: {line}" for line in said)


def _check_square(matrix: NDArray[np.float64], name: str, nodes: int) -> None:
    if matrix.shape != (nodes, nodes):
        raise DataError(
            f"{name}: the adjacency is {' x '.join(map(str, matrix.shape))}, but there are {nodes} series: expected a row and "
            f"a column for each of them"
        )
    if np.isnan(matrix).any() or (matrix < 0).any():
        wrong = "is missing" if np.isnan(matrix).any() else "is below 0"
        i, j = np.argwhere(np.isnan(matrix) | (matrix < 0))[0].tolist()
        raise DataError(
            f"{name}: the adjacency in row {i + 1}, column {j + 1} {wrong}: expected 0 or more"
        )


def _of_table(matrix: NDArray[np.float64], links: Links) -> tuple[NDArray[np.float64], str]:
    """Weights of a full table; distances where it says so, or where few are 0 and many above 1."""
    apart = ~np.eye(len(matrix), dtype=np.bool_)
    there = (matrix > 0) & np.isfinite(matrix) & apart
    dense = (
        there.sum() > apart.sum() / 2 and (matrix[there] > 1).mean() > 0.5 if there.any() else False
    )
    distances = bool(dense) if links.distances is None else links.distances
    if not distances:
        return np.where(np.isfinite(matrix), matrix, 0.0), ""
    found = np.where(there, _near(matrix, there), 0.0)
    said = (
        ""
        if links.distances
        else ", since few are 0 and most above 1 (distances=false of the layout takes them as weights)"
    )
    return np.where(found < FAINT, 0.0, found), f"{links.name} holds distances{said}"


def _near(distances: NDArray[np.float64], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """exp(-(d / s)^2)."""
    spread = float(distances[there].std()) if there.any() else 0.0
    spread = spread or float(distances[there].mean() if there.any() else 1.0)
    return np.exp(-((np.where(there, distances, 0.0) / spread) ** 2))


def _of_list(links: Links, nodes: Sequence[str]) -> tuple[NDArray[np.float64], str]:
    place, note = _places(links, nodes)
    here = np.array([a in place and b in place for a, b in links.ends], np.bool_)
    pairs = [[place[a], place[b]] for a, b in links.ends if a in place and b in place]
    ends = np.array(pairs, np.int64).reshape(-1, 2)
    given = np.ones(len(ends)) if links.weights is None else links.weights[here]
    if not np.isfinite(given).all() or (given < 0).any():
        i = int(np.argmax(~np.isfinite(given) | (given < 0)))
        raise DataError(f"{links.name}: link {i + 1} has the weight {given[i]}: expected 0 or more")
    notes = [note] if note else []
    if links.distances and links.weights is not None:
        given = np.maximum(_near(given, np.ones(len(given), np.bool_)), 1e-3)
        notes.append(f"{links.name} holds distances of links")
    weights = np.zeros((len(nodes), len(nodes)))
    np.maximum.at(weights, (ends[:, 0], ends[:, 1]), given)
    return weights, "; ".join(notes)


def _places(links: Links, nodes: Sequence[str]) -> tuple[dict[str, int], str]:
    """The number of each node that links name: by name, or from 0, or from 1.

    Raises:
        DataError: one that there is not, where most series are not named.
    """
    by_name = {name: i for i, name in enumerate(nodes)}
    used = {end for pair in links.ends for end in pair}
    if used <= by_name.keys():
        return by_name, ""
    numbers = {end: int(float(end)) for end in used if _whole(end)}
    counted = [str(i + 1) for i in range(len(nodes))]
    if "0" in used and used <= {"0", *counted[:-1]} and list(nodes) == counted:
        return numbers, f"{links.name} counts nodes from 0, the series from 1"
    known = used & by_name.keys()
    if 2 * len(known) > len(nodes):  # a graph of a larger network, of which these series are a part
        left = sum(a not in known or b not in known for a, b in links.ends)
        return by_name, (
            f"{links.name}: {left:,} of {len(links.ends):,} links have a node that is none of the series and are left out"
        )
    least, most = min(numbers.values(), default=0), max(numbers.values(), default=-1)
    if len(numbers) == len(used) and least >= 0 and most < len(nodes):
        return numbers, ""
    if len(numbers) == len(used) and least == 1 and most == len(nodes):
        return {end: k - 1 for end, k in numbers.items()}, f"{links.name} counts nodes from 1"
    strange = sorted(used - by_name.keys() - {e for e, k in numbers.items() if 0 <= k < len(nodes)})
    raise DataError(
        f"{links.name}: a link has the node {(strange or sorted(used - by_name.keys()))[0]!r}, which is none of the "
        f"{len(nodes)} series ({', '.join(nodes[:3])}, ...): expected their names, or numbers from 0 to {len(nodes) - 1}"
    )


def _whole(word: str) -> bool:
    try:
        return float(word).is_integer()
    except ValueError:
        return False


def _symmetric(weights: NDArray[np.float64], name: str, note: str) -> Graph:
    """With the larger weight of both directions."""
    notes = (note,) if note else ()
    links = int((weights > 0).sum())
    if not links:
        return Graph(
            weights.astype(np.float32), notes, (f"{name} has no link between two different nodes",)
        )
    one_way = int(((weights > 0) & (weights != weights.T)).sum())
    said = (
        f"{name} is directed: {one_way:,} of {links:,} links have no equal one back; the larger weight counts both ways, "
        "as the graph convolutions here need it"
    )
    both = np.maximum(weights, weights.T).astype(np.float32)
    return Graph(both, notes, (said,) if one_way else ())
