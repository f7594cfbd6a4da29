"""The graph of series as it lies in a file: a square table, a list of links, or arrays under their names. N nodes, E links."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data import documents, files
from striate.data.files import shown
from striate.data.series.graph import DISTANCES, Links
from striate.data.series.raw import Settings, load_npz
from striate.data.series.tables import is_number
from striate.errors import DataError

# fmt: off
SQUARE = ("adj", "weight", "graph", "dist", "w", "a")
EDGES = ("edges", "edge_index", "links", "edge")
_ENDS = {("from", "to"), ("source", "target"), ("src", "dst"), ("start", "end"), ("origin", "destination"),
         ("from_node", "to_node"), ("node_from", "node_to"), ("from_id", "to_id"), ("node1", "node2"), ("i", "j"), ("u", "v")}
# fmt: on


def are_links(path: Path) -> bool:
    """Whether a table is a list of links, by the names of its first two columns: from and to, source and target, ..."""
    try:
        first = next(iter(documents.stream_table(path).rows), None)
    except DataError:
        return False
    return first is not None and any(
        tuple(cell.strip().lower() for cell in first.cells[k : k + 2]) in _ENDS for k in (0, 1)
    )


def is_graph(key: str, shape: tuple[int, ...]) -> bool:
    """Whether an array is a graph, by its key and its sides."""
    square = len(shape) == 2 and shape[0] == shape[1]
    return key in EDGES or (
        square and any(word == key or (len(word) > 1 and word in key) for word in SQUARE)
    )


def links_of_arrays(
    name: str, arrays: Mapping[str, NDArray[Any]], values: str, settings: Settings
) -> Links | None:
    """The graph among arrays: a square one, or two rows or columns of node numbers with weights beside them."""
    rest = {k: v for k, v in arrays.items() if k != values and v.dtype.kind in "fiub"}
    if settings.graph in rest:
        rest = {settings.graph: rest[settings.graph], **rest}
    for key, array in rest.items():
        low = key.lower()
        where = f"{name}: {shown(key)}"
        if array.ndim == 2 and (low in EDGES or key == settings.graph) and 2 in array.shape:
            pairs = array.T if array.shape[0] == 2 else array
            ends = [(str(int(a)), str(int(b))) for a, b in pairs.tolist()]
            weights, far = _weights_of(rest, key, len(ends))
            return Links(where, None, ends, weights, _either(settings.distances, guess=far))
        if is_graph(low, array.shape) or (key == settings.graph and array.ndim == 2):
            hinted = True if any(word in low for word in DISTANCES) else None
            matrix = array.astype(np.float64)
            return Links(where, matrix, (), None, _either(settings.distances, guess=hinted))
    return None


def _weights_of(
    arrays: Mapping[str, NDArray[Any]], ends: str, count: int
) -> tuple[NDArray[np.float64] | None, bool]:
    """The only array with a number a link, and whether its name says that it is a distance."""
    found = {k: v for k, v in arrays.items() if k != ends and v.shape == (count,)}
    for key, array in found.items():
        far = any(word in key.lower() for word in DISTANCES)
        if far or "weight" in key.lower():
            return array.astype(np.float64), far
    return None, False


def _either(said: bool | None, *, guess: bool | None) -> bool | None:
    return guess if said is None else said


def read_links(path: Path, settings: Settings) -> Links:
    """A graph from a file of its own: a square table, or a list of links.

    Raises:
        DataError: it is neither.
    """
    suffix = path.suffix.lower()
    if suffix == ".npz":
        arrays = load_npz(path)
        found = links_of_arrays(shown(path), arrays, "", settings)
        if found is None and len(arrays) == 1:
            ((key, array),) = arrays.items()
            if array.ndim == 2 and array.dtype.kind in "fiub":
                found = Links(
                    f"{shown(path)}: {key}", array.astype(np.float64), (), None, settings.distances
                )
        if found is None:
            raise DataError(
                f"{shown(path)} holds {', '.join(arrays)}: expected an adjacency [N, N], or edges [2, E]"
            )
        return found
    if suffix == ".npy":
        try:
            matrix = np.load(path, allow_pickle=False).astype(np.float64)
        except files.UNSOUND as error:
            raise DataError(f"{shown(path)} is no array of numbers ({error})") from error
        return _links_of_array(shown(path), matrix, settings)
    if suffix not in documents.TABLE_SUFFIXES and suffix != ".txt":
        raise DataError(
            f"{shown(path)}: a graph is read from .csv, .npz or .npy; pickled ones are never read"
        )
    return _links_of_table(documents.read_table(path), settings)


def _links_of_array(name: str, array: NDArray[np.float64], settings: Settings) -> Links:
    """A square array, or one of links: [E, 2], [2, E], or [E, 3] with a number each."""
    if (
        array.ndim == 2
        and array.shape[0] != array.shape[1]
        and (array.shape[0] == 2 or array.shape[1] in (2, 3))
    ):
        rows = array.T if array.shape[0] == 2 else array
        if np.isfinite(rows[:, :2]).all() and not (rows[:, :2] % 1).any():
            ends = [(str(int(a)), str(int(b))) for a, b in rows[:, :2].tolist()]
            weights = rows[:, 2] if rows.shape[1] == 3 else None
            return Links(name, None, ends, weights, settings.distances)
    return Links(name, array, (), None, settings.distances)


def _links_of_table(table: documents.Table, settings: Settings) -> Links:
    """A square table, perhaps with the names of the nodes along one or both of its sides, or a list of links.

    Raises:
        DataError: it is neither, or its two sides name different nodes.
    """
    if not table.rows:
        raise DataError(f"{table.name} is an empty table")
    cells = [row.cells for row in table.rows]
    if tuple(map(str.lower, cells[0][1:3])) in _ENDS:  # behind numbers of rows, as pandas writes
        cells = [row[1:] for row in cells]
    first, width = cells[0], len(cells[0])
    headed = not all(map(is_number, first))
    square = width == len(cells) and (not headed or not first[0])
    if width in (2, 3) and not square:
        return _list_of_links(table.name, first if headed else (), cells[headed:], settings)
    rows, names = _without_names(cells, table.name)
    try:
        matrix = np.array([[float(cell) for cell in row] for row in rows])
    except ValueError as error:
        raise DataError(f"{table.name}: {error}: expected a square table of numbers") from None
    return Links(table.name, matrix, (), None, settings.distances, names)


def _without_names(
    cells: Sequence[tuple[str, ...]], name: str
) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """The numbers of a square table, and the names of its nodes; () where it has none.

    Raises:
        DataError: its two sides name different nodes.
    """
    count, width = len(cells), len(cells[0])
    if count == width and not _is_exact(cells[0][0]):  # names along both sides, and an empty corner
        across, down = cells[0][1:], tuple(row[0] for row in cells[1:])
        if across != down:
            i = next(k for k, (a, b) in enumerate(zip(across, down, strict=True)) if a != b)
            raise DataError(
                f"{name}: column {i + 2} is of {shown(across[i])!r}, row {i + 2} of {shown(down[i])!r}: expected the same nodes "
                "in the same order along both sides"
            )
        return [row[1:] for row in cells[1:]], down
    down = tuple(row[0] for row in cells)
    if count == width + 1 and len(set(cells[0])) == width:
        return list(cells[1:]), cells[0]
    if width == count + 1 and len(set(down)) == count:
        return [row[1:] for row in cells], down
    return list(cells), ()


def _is_exact(cell: str) -> bool:
    """Whether a cell is a number, and not merely empty."""
    return bool(cell.strip()) and is_number(cell)


def _list_of_links(
    name: str, header: Sequence[str], rows: Sequence[tuple[str, ...]], settings: Settings
) -> Links:
    ends = [(cells[0], cells[1]) for cells in rows]
    third = header[2].lower() if len(header) > 2 else ""
    weights = None
    if all(len(cells) > 2 for cells in rows) and rows:
        try:
            weights = np.array([float(cells[2]) for cells in rows])
        except ValueError as error:
            raise DataError(f"{name}: {error}: expected from, to, weight") from None
    far = any(word in third for word in DISTANCES)
    distances = settings.distances if settings.distances is not None else far
    return Links(name, None, ends, weights, distances)
