"""Files of series: tables, .npz, HDF5 and JSON. T steps, N nodes, E links.

CSV: a column a node, the time stamps in the first column or nowhere, with a header or without.
npz, HDF5: the largest array [T, N], or [T, N, features] of which the first feature is taken; adjacency or links,
    time stamps and names of nodes beside it, by the names of their keys.
HDF5 of pandas: a data frame as `to_hdf` writes it, as METR-LA and PEMS-BAY are given.
JSON: FX [T][N], edges [[from, to], ...] and node_ids, as PyTorch Geometric Temporal writes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate import extras
from striate.data import documents, files
from striate.data.files import shown
from striate.data.index import Fault
from striate.data.series.clock import Clock, read_stamps, spaced
from striate.data.series.graph import DISTANCES, Links, graph_of
from striate.data.series.raw import Raw, Settings
from striate.data.series.table import Series
from striate.data.series.tables import TIMES, is_number, series_table
from striate.errors import DataError

TABLES = documents.TABLE_SUFFIXES
HDF5 = (".h5", ".hdf5", ".hdf")
SUFFIXES = (*TABLES, ".npz", ".json", *HDF5)

# fmt: off
VALUES = ("fx", "values", "series", "data", "x", "inflow", "flow", "speed", "speeds", "traffic", "demand", "counts")
SQUARE = ("adj", "weight", "graph", "dist", "w", "a")
EDGES = ("edges", "edge_index", "links", "edge")
NODES = ("node", "name", "station", "stop", "sensor", "id", "city", "county", "region")
# fmt: on
_EPOCH = 1e8  # numbers from here on in the first column are seconds since 1970, from:
_MILLIS, _NANOS = 1e11, 1e17  # thousandths, thousand-millionths
_MOST = 2**34  # bytes of one array
_PLACES = 5


def read_series(path: Path, settings: Settings, graph: Path | None = None) -> Series:
    """Series of one file, with the graph of the same or of another file.

    Raises:
        DataError: it holds no series, or what it holds cannot be used; with the place and the mend.
    """
    raw = read_raw(path, settings)
    if not raw.values.size:
        raise DataError(f"{raw.name} holds no values: {list(raw.values.shape)} steps and nodes")
    if settings.missing is not None:
        raw.values[raw.values == settings.missing] = np.nan
    infinite = np.isinf(raw.values)
    faults = raw.faults
    if infinite.any():
        at = tuple(
            f"{raw.nodes[j]}, row {i + 1}" for i, j in np.argwhere(infinite)[:_PLACES].tolist()
        )
        faults = (*faults, Fault("infinite values", "taken as missing", int(infinite.sum()), at))
        raw.values[infinite] = np.nan
    series = _on_clock(replace(raw, faults=faults))
    links = read_links(graph, settings) if graph is not None else raw.links
    if links is None:
        return series
    found = graph_of(links, series.nodes)
    series = replace(series, adjacency=found.adjacency)
    return series.noted(*found.notes, warnings=found.warnings)


def read_raw(path: Path, settings: Settings) -> Raw:
    """What a file of series holds.

    Raises:
        DataError: it holds none.
    """
    suffix = path.suffix.lower()
    if suffix in TABLES:
        return series_table(path, skip=settings.skip)
    if suffix == ".json":
        return _of_json(path)
    if suffix in HDF5:
        return _of_hdf5(path, settings)
    arrays = load_npz(path)
    return _of_arrays(shown(path), arrays, settings)


# ------------------------------------------------------------------------------ arrays with names


def load_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file.

    Raises:
        DataError: it is none, or one of them is too large or holds Python objects.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except files.UNSOUND as error:
        if files.is_pointer(path):
            raise DataError(f"{shown(path)} is {files.POINTED}") from error
        raise DataError(
            f"{shown(path)} is no sound .npz file of numbers ({' '.join(str(error).split())[:200]})"
        ) from error


def values_key(shapes: Mapping[str, tuple[int, ...]], wanted: str = "") -> str:
    """Which of several arrays holds the series: the one asked for, or named so, or the largest; "" if none does."""
    if wanted:
        return wanted if wanted in shapes else ""
    able = {
        key: shape
        for key, shape in shapes.items()
        if len(shape) in (2, 3)
        and min(shape) > 0
        and shape[0] > 2
        and not _is_graph(key.lower(), shape)
    }
    named = [key for word in VALUES for key in able if key.lower() == word]
    tables = [key for key, shape in able.items() if len(shape) == 2]  # more axes may be pictures
    return named[0] if named else max(tables, key=lambda key: np.prod(able[key]), default="")


def _is_graph(key: str, shape: tuple[int, ...]) -> bool:
    square = len(shape) == 2 and shape[0] == shape[1]
    return key in EDGES or (
        square and any(word == key or (len(word) > 1 and word in key) for word in SQUARE)
    )


def _of_arrays(name: str, arrays: Mapping[str, NDArray[Any]], settings: Settings) -> Raw:
    numeric = {k: v for k, v in arrays.items() if v.dtype.kind in "fiub"}
    key = values_key({k: v.shape for k, v in numeric.items()}, settings.values)
    if not key:
        listed = ", ".join(f"{shown(k)} {list(v.shape)}" for k, v in arrays.items())
        raise DataError(f"{name} holds {listed or 'nothing'}: expected values [steps, nodes]")
    values, notes = numeric[key], list[str]()
    if values.ndim == 3:
        if not 0 <= settings.feature < values.shape[2]:
            raise DataError(
                f"{name}: {key} is {list(values.shape)}: there is no feature {settings.feature}"
            )
        notes.append(
            f"{shown(key)} is {list(values.shape)}: feature {settings.feature} of {values.shape[2]} is taken (feature= of the layout)"
        )
        values = values[:, :, settings.feature]
    nodes = _node_names(arrays, key, values.shape[1])
    stamps = next(
        (v for k, v in arrays.items() if k.lower() in TIMES and v.shape == values.shape[:1]), None
    )
    links = _links_of(name, arrays, key, settings)
    made = np.array(values, np.float32)
    return Raw(name, made, nodes, stamps, links, (), tuple(notes))


def _node_names(arrays: Mapping[str, NDArray[Any]], key: str, count: int) -> tuple[str, ...]:
    """Distinct words or whole numbers of each node, under a key that says so; else numbers."""
    for name, array in arrays.items():
        hinted = any(word in name.lower() for word in NODES)
        if name != key and hinted and array.shape == (count,) and array.dtype.kind in "USiu":
            words = tuple(
                shown(v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v))
                for v in array.tolist()
            )
            if len(set(words)) == count:
                return words
    return tuple(map(str, range(count)))


def _links_of(
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
        if _is_graph(low, array.shape) or (key == settings.graph and array.ndim == 2):
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


# --------------------------------------------------------------------------------------- JSON, HDF5


def _of_json(path: Path) -> Raw:
    name = shown(path)
    try:
        content = documents.read_json(path)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    if not is_temporal(content):
        raise DataError(
            f"{name} has no FX [steps][nodes] and edges, as PyTorch Geometric Temporal writes them"
        )
    try:
        values = np.array(content["FX"], np.float32)
        ends = [(str(int(a)), str(int(b))) for a, b in content["edges"]]
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: FX or edges are no numbers of one shape ({error})") from None
    if values.ndim != 2:
        raise DataError(f"{name}: FX is {list(values.shape)}, expected [steps, nodes]")
    weights = content.get("weights")
    given = (
        np.array(weights, np.float64)
        if isinstance(weights, list) and len(weights) == len(ends)
        else None
    )
    return Raw(
        name,
        values,
        _json_nodes(content, values.shape[1]),
        None,
        Links(f"{name}: edges", None, ends, given, None),
    )


def is_temporal(content: Any) -> bool:
    """Whether JSON is a data set as PyTorch Geometric Temporal writes it."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("FX"), list)
        and isinstance(content.get("edges"), list)
    )


def _json_nodes(content: Mapping[str, Any], count: int) -> tuple[str, ...]:
    given: Any = content.get("node_ids")
    named = (
        {str(place): str(word) for word, place in given.items()} if isinstance(given, dict) else {}
    )
    numbers = [str(k) for k in range(count)]
    return (
        tuple(shown(named[k]) for k in numbers) if named.keys() == set(numbers) else tuple(numbers)
    )


def _of_hdf5(path: Path, settings: Settings) -> Raw:
    h5py = extras.need("h5py")
    name = shown(path)
    arrays: dict[str, NDArray[Any]] = {}
    frames: list[str] = []

    def visit(key: str, item: Any) -> None:
        if key.endswith("block0_values"):
            frames.append(key.rpartition("/")[0])
        if not isinstance(item, h5py.Dataset) or item.size * item.dtype.itemsize > _MOST:
            return
        if item.dtype.kind in "fiubSU":
            arrays[key] = item[()]
        elif h5py.check_string_dtype(item.dtype) is not None and item.shape:
            arrays[key] = np.array(item.asstr()[()].tolist(), np.str_)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
            nanos = [k for k in arrays if str(file[k].attrs.get("kind", b"")).find("datetime") >= 0]
    except (OSError, RuntimeError, KeyError, TypeError) as error:
        raise DataError(
            f"{name} is no sound HDF5 file ({' '.join(str(error).split())[:200]})"
        ) from error
    if frames:
        return _of_frame(name, arrays, frames[0], set(nanos))
    return _of_arrays(name, {key.rpartition("/")[2]: v for key, v in arrays.items()}, settings)


def _of_frame(name: str, arrays: Mapping[str, NDArray[Any]], frame: str, nanos: set[str]) -> Raw:
    """A data frame that pandas wrote with format="fixed"."""
    prefix = f"{frame}/" if frame else ""
    values = arrays[f"{prefix}block0_values"]
    if f"{prefix}block1_values" in arrays or values.ndim != 2:
        raise DataError(
            f"{name}: its data frame has columns of several types; write one of numbers alone"
        )
    axis = arrays.get(f"{prefix}axis0")
    nodes = tuple(map(str, range(values.shape[1])))
    if axis is not None and axis.shape == (values.shape[1],):
        items = (
            v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in axis.tolist()
        )
        nodes = tuple(map(shown, items))
    stamps = arrays.get(f"{prefix}axis1") if f"{prefix}axis1" in nanos else None
    return Raw(name, np.array(values, np.float32), nodes, stamps)


# ------------------------------------------------------------------------------------- the clock


def _on_clock(raw: Raw) -> Series:
    """Rows in the order of time, with rows of nan where there are gaps."""
    timed = _times(raw)
    if timed is None:
        return Series(
            raw.values, raw.nodes, Clock(), name=raw.name, faults=raw.faults, notes=raw.notes
        )
    found = spaced(*timed, raw.name)
    values = raw.values[found.used]
    if len(found.place) and found.place[-1] + 1 != len(values):
        full = np.full((int(found.place[-1]) + 1, values.shape[1]), np.nan, np.float32)
        full[found.place] = values
        values = full
    faults, notes = (*raw.faults, *found.faults), (*raw.notes, *found.notes)
    return Series(values, raw.nodes, found.clock, name=raw.name, faults=faults, notes=notes)


def _times(raw: Raw) -> tuple[NDArray[np.int64], Clock] | None:
    """The time of every row, and a clock with its unit; None where there is no time.

    Raises:
        DataError: stamps that cannot be read.
    """
    if raw.stamps is None:
        return None
    if isinstance(raw.stamps, np.ndarray) and raw.stamps.dtype.kind == "M":
        return raw.stamps.astype("M8[s]").astype(np.int64), Clock(0, 1, "s", "%Y-%m-%d %H:%M:%S")
    words = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in raw.stamps]
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError:
        found = read_stamps(words, raw.name)
        if found is None:
            raise DataError(
                f"{raw.name}: {shown(words[0])!r} in the first column is no time stamp: write 2024-03-31 08:00, or leave the column out"
            ) from None
        return found[0], Clock(0, 1, "s", found[1])
    if not np.isfinite(numbers).all():
        raise DataError(f"{raw.name}: row {int(np.argmax(~np.isfinite(numbers))) + 1} has no time")
    scale = 1e9 if abs(numbers[0]) >= _NANOS else 1e3 if abs(numbers[0]) >= _MILLIS else 1.0
    if abs(numbers[0]) >= _EPOCH:
        return np.rint(numbers / scale).astype(np.int64), Clock(0, 1, "s", "%Y-%m-%d %H:%M:%S")
    if (numbers % 1).any():
        raise DataError(
            f"{raw.name}: the times in the first column are no whole numbers: write time stamps, or leave them out"
        )
    return numbers.astype(np.int64), Clock()


# -------------------------------------------------------------------------------------- the graph


def read_links(path: Path, settings: Settings) -> Links:
    """A graph from a file of its own: a square table, or a list of links.

    Raises:
        DataError: it is neither.
    """
    suffix = path.suffix.lower()
    if suffix == ".npz":
        arrays = load_npz(path)
        found = _links_of(shown(path), arrays, "", settings)
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
        return Links(shown(path), matrix, (), None, settings.distances)
    if suffix not in TABLES and suffix != ".txt":
        raise DataError(
            f"{shown(path)}: a graph is read from .csv, .npz or .npy; pickled ones are never read"
        )
    return _links_of_table(documents.read_table(path), settings)


def _links_of_table(table: documents.Table, settings: Settings) -> Links:
    if not table.rows:
        raise DataError(f"{table.name} is an empty table")
    first = table.rows[0].cells
    headed = not all(map(is_number, first))
    rows = [row.cells for row in (table.rows[1:] if headed else table.rows)]
    if headed and rows and not is_number(rows[0][0]) and len(first) == len(rows) + 1:
        rows = [cells[1:] for cells in rows]  # a square table with names on both sides
    width = table.width
    if width in (2, 3) and not (width == len(rows) and not headed):
        return _list_of_links(table.name, first if headed else (), rows, settings)
    try:
        matrix = np.array([[float(cell) for cell in cells] for cells in rows])
    except ValueError as error:
        raise DataError(f"{table.name}: {error}: expected a square table of numbers") from None
    return Links(table.name, matrix, (), None, settings.distances)


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
