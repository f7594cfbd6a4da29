"""Files of series: tables, .npz, HDF5 and JSON. T steps, N nodes, E links.

CSV: a column a node, the time stamps in the first column or nowhere, with a header or without.
npz, HDF5: the largest array [T, N], or [T, N, features] of which the first feature is taken; adjacency or links,
    time stamps and names of nodes beside it, by the names of their keys.
HDF5 of pandas: a data frame as `to_hdf` writes it, as METR-LA and PEMS-BAY are given.
JSON: FX [T][N], edges [[from, to], ...] and node_ids, as PyTorch Geometric Temporal writes them.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate import extras
from striate.data import documents
from striate.data.files import shown
from striate.data.index import Fault
from striate.data.series.clock import EPOCH, Clock, is_ambiguous, offset_of, read_stamps, spaced
from striate.data.series.graph import Links, graph_of
from striate.data.series.links import is_graph, links_of_arrays, read_links
from striate.data.series.raw import Raw, Settings, load_npz
from striate.data.series.table import Series
from striate.data.series.tables import TIMES, series_table
from striate.errors import DataError

TABLES = documents.TABLE_SUFFIXES
HDF5 = (".h5", ".hdf5", ".hdf")
SUFFIXES = (*TABLES, ".npz", ".json", *HDF5)

# fmt: off
VALUES = ("fx", "values", "series", "data", "x", "inflow", "flow", "speed", "speeds", "traffic", "demand", "counts")
NODES = ("node", "name", "station", "stop", "sensor", "id", "city", "county", "region")
# fmt: on
_EPOCH = 1e8  # numbers from here on in the first column are seconds since 1970, or parts of one:
_EPOCHS = {"epoch_ns": 1e17, "epoch_us": 1e14, "epoch_ms": 1e11, "epoch": _EPOCH}
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
    if graph is not None:
        return with_links(series, graph, settings)
    return series if raw.links is None else _with_graph(series, raw.links)


def with_links(series: Series, graph: Path, settings: Settings) -> Series:
    """Series with the graph of a file of its own.

    Raises:
        DataError: it holds none, or one of other nodes.
    """
    return _with_graph(series, read_links(graph, settings))


def _with_graph(series: Series, links: Links) -> Series:
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
        and not is_graph(key.lower(), shape)
    }
    named = [key for word in VALUES for key in able if key.lower() == word]
    tables = [key for key, shape in able.items() if len(shape) == 2]  # more axes may be pictures
    return named[0] if named else max(tables, key=lambda key: np.prod(able[key]), default="")


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
    links = links_of_arrays(name, arrays, key, settings)
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
    stamps = arrays[f"{prefix}axis1"].astype("M8[ns]") if f"{prefix}axis1" in nanos else None
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
    faults = (*raw.faults, *found.faults)
    notes = (*raw.notes, *found.notes, *_doubt(raw, found.clock))
    return Series(values, raw.nodes, found.clock, name=raw.name, faults=faults, notes=notes)


def _doubt(raw: Raw, clock: Clock) -> list[str]:
    """How dates are read whose day and month may as well stand the other way round."""
    if raw.stamps is None or not is_ambiguous(words := list(map(str, raw.stamps)), clock.form):
        return []
    order = "day/month" if clock.form.startswith("%d") else "month/day"
    return [
        f"dates such as {shown(words[0])} are read as {order}; nothing tells them apart: write 2024-03-31"
    ]


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
        return found[0], Clock(0, 1, "s", found[1], offset_of(words[0], found[1]))
    if not np.isfinite(numbers).all():
        raise DataError(f"{raw.name}: row {int(np.argmax(~np.isfinite(numbers))) + 1} has no time")
    if abs(numbers[0]) >= _EPOCH:
        form = next(name for name, least in _EPOCHS.items() if abs(numbers[0]) >= least)
        return np.rint(numbers / EPOCH[form]).astype(np.int64), Clock(0, 1, "s", form)
    if (numbers % 1).any():
        raise DataError(
            f"{raw.name}: the times in the first column are no whole numbers: write time stamps, or leave them out"
        )
    return numbers.astype(np.int64), Clock()
