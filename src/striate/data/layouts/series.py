"""Series of the nodes of a graph, to forecast: a table [steps, nodes] in CSV, .npz, HDF5 or JSON, and a graph beside it.

The graph is a square table or a list of links, in the same file or in one whose name says so (adjacency.csv, edges.csv,
distances.csv, ...). Files named train, val and test are the splits, at their own times. Settings: values=KEY, graph=FILE
or KEY, missing=NUMBER that stands for a missing value, or none, distances=true or false of the numbers of the graph, feature=NUMBER
of [steps, nodes, features].
"""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath

import numpy as np

from striate.data import documents, files
from striate.data.files import shown
from striate.data.index import WHOLE, Candidate, Listing, Part, layout_settings
from striate.data.layouts import npz, split_files
from striate.data.layouts.tree import Tree
from striate.data.series import joined, reading
from striate.data.series.clock import guessed
from striate.data.series.links import are_links
from striate.data.series.raw import Settings
from striate.data.series.reading import HDF5, SUFFIXES, TABLES
from striate.data.series.table import F32, Series
from striate.data.series.tables import is_series
from striate.data.series.windows import HISTORY, HORIZON, TEST, VAL, windows, within
from striate.data.series.zeros import suspect, without_zeros
from striate.errors import ArgumentError, DataError
from striate.text import some

SETTINGS = ("values", "graph", "missing", "distances", "feature")
FORECAST = "forecast"
GRAPHS = re.compile(r"adj|edge|graph|dist|link|network|(^|[-_])w([-_.]|$)|cost", re.IGNORECASE)
GRAPH_SUFFIXES = (*TABLES, ".npz", ".npy")
PICKLES = (".pkl", ".pickle")
_FEWEST = 3  # rows of a table of series
_NAMED = 5


def find(tree: Tree) -> Candidate | None:
    """The largest file that holds series, or the one that was named.

    Raises:
        DataError: the one that was named, as this layout, holds none; or a setting that cannot be read.
    """
    asked = tree.options.asks_for("series")
    settings = read_settings(tree.options.layout if asked else None, skip=tree.options.skip)
    splits = [] if tree.given else split_files.families(tree, SUFFIXES, _no_graph)
    lost = [n for each in splits for n in each.values() if not _steps(tree.root / n, settings)]
    whole = [each for each in splits if not set(lost) & set(each.values())]
    if whole:
        return _of_splits(tree, whole, settings)
    named = [tree.given] if tree.given else [n for n in tree.files() if _no_graph(n)]
    able = [n for n in named if n.lower().endswith(SUFFIXES)]
    links = [n for n in able if n.lower().endswith(TABLES) and are_links(tree.root / n)]
    able = [n for n in able if n not in links] or able
    counts = {
        n: count
        for n in able
        if (count := _steps(tree.root / n, settings)) or (asked and n == tree.given)
    }
    if not counts:
        return None
    name = max(counts, key=lambda n: counts[n])
    graphs = _graph_files(tree, name, settings)
    beside = next((each for each in splits if name == each["train"]), {}).values()
    read = partial(_listing, tree, name, graphs, settings, [n for n in beside if n in lost])
    uses = frozenset(each.partition("/")[0] for each in (name, *graphs[:1]))
    why = f"{shown(name)} holds numbers step by step"
    doubt = _rivals(tree, name, counts) if not asked and not tree.given else ""
    return Candidate("series", max(1, counts[name]), uses, read, why, doubt, tasks=(FORECAST,))


def _no_graph(name: str) -> bool:
    return not GRAPHS.search(name.rpartition("/")[2])


def _of_splits(tree: Tree, splits: Sequence[Mapping[str, str]], settings: Settings) -> Candidate:
    """Files that are a split each."""
    taken = splits[0]
    graphs = _graph_files(tree, "", settings)
    uses = frozenset(name.partition("/")[0] for name in (*taken.values(), *graphs[:1]))
    why = f"{' and '.join(map(shown, taken.values()))} hold numbers step by step, a split each"
    counts = {each["train"]: 1 for each in splits}
    count = sum(max(1, _steps(tree.root / name, settings)) for name in taken.values())
    read = partial(_listing_of_splits, tree, taken, graphs, settings)
    doubt = _rivals(tree, taken["train"], counts)
    return Candidate("series", count, uses, read, why, doubt, tasks=(FORECAST,))


def _rivals(tree: Tree, name: str, counts: Mapping[str, int]) -> str:
    """What speaks against the file: others that hold as much."""
    others = [n for n, count in counts.items() if n != name and count == counts[name]]
    if not others:
        return ""
    return (
        f"{shown(tree.name)} holds several files of series ({', '.join(map(shown, [name, *others][:_NAMED]))}): name the one "
        "to forecast"
    )


def read_settings(layout: str | None, *, skip: bool) -> Settings:
    """The settings of the layout.

    Args:
        layout: as `layout=` has it.
        skip: text in the place of a number is a missing value.

    Raises:
        ArgumentError: a value that cannot be read.
    """
    given = layout_settings(layout)
    try:
        word = given.get("missing")
        missing = None if word is None else math.nan if word == "none" else float(word)
        feature = int(given.get("feature", 0))
        distances = {"true": True, "false": False, "": None}[given.get("distances", "").lower()]
    except (ValueError, KeyError) as error:
        raise ArgumentError(
            f"layout={layout}: {error}: missing= and feature= take numbers (missing=none: no number stands for it), distances= "
            "true or false"
        ) from None
    return Settings(
        given.get("values", ""), given.get("graph", ""), missing, distances, feature, skip
    )


def _steps(path: Path, settings: Settings) -> int:
    """About how many steps a file holds; 0 where it holds no series."""
    suffix = path.suffix.lower()
    try:
        if suffix in TABLES:
            return _rows_of(path)
        if suffix == ".npz":
            shapes = _npz_shapes(path)
            key = reading.values_key(shapes, settings.values)
            steps = shapes[key][0] if key else 0
            # An array whose name says nothing is taken for series where it is long enough to be some.
            known = key.lower() in reading.VALUES or bool(settings.values)
            return steps if known or steps >= 2 * (HISTORY + HORIZON) else 0
        if suffix == ".json":
            content = documents.read_json(path)
            return len(content["FX"]) if reading.is_temporal(content) else 0
    except DataError:
        return 0
    return 1 if suffix in HDF5 else 0


def _rows_of(path: Path) -> int:
    """Rows of a table of numbers, whose first column may be the time; 0 of any other."""
    table = documents.stream_table(path)
    sample = list(itertools.islice(table.rows, 20))
    if len(sample) < _FEWEST or not is_series(sample):
        return 0
    return max(len(sample), files.read(path).count(b"\n"))


def _npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of numbers of an .npz file that has no x and y of items."""
    found = npz.headers(path)
    if any(key.lower() in npz.ROLES and key.lower() != "x" for key in found):
        return {}
    return {key: shape for key, (shape, dtype) in found.items() if dtype.kind in "fiub"}


def _graph_files(tree: Tree, name: str, settings: Settings) -> list[str]:
    """Files that may hold the graph, beside the series or in a folder there, the likeliest first."""
    if settings.graph:
        there = (tree.root / settings.graph).is_file()
        return [settings.graph] if there else []
    folders = [f for f in tree.folders() if not tree.given or GRAPHS.search(f)]
    rest = [n for place in ("", *folders) for n in tree.files(place) if n != name]
    able = [n for n in rest if n.lower().endswith(GRAPH_SUFFIXES)]
    named = [n for n in able if not _no_graph(n)]
    tables = [n for n in able if n not in named and n.lower().endswith(TABLES)]
    return named or [n for n in tables if are_links(tree.root / n)]


def _read(path: Path, tree: Tree, graphs: Sequence[str], settings: Settings) -> tuple[Series, str]:
    """The series of a file with the first graph that is of them, and the file of that; of several those that are not are said.

    Raises:
        DataError: what it holds cannot be used, or none of the graphs fits.
    """
    refused: list[DataError] = []
    series = reading.read_series(path, settings)
    for graph in graphs:
        try:
            found = reading.with_links(series, tree.root / graph, settings)
        except DataError as error:
            refused.append(error)
            continue
        lost = [f"{error}: it is left aside" for error in refused]
        others = [shown(n) for n in graphs[len(refused) + 1 :]]
        also = (
            f" (not {', '.join(others[:_NAMED])}: layout=series:graph= says which)"
            if others
            else ""
        )
        return found.noted(f"graph: {shown(graph)}{also}", warnings=lost), graph
    if refused and (settings.graph or any("/" not in graph for graph in graphs)):
        raise refused[0]
    series = series.noted(warnings=[f"{error}: it is left aside" for error in refused])
    return _without_graph(series, path, tree, settings), ""


def _without_graph(series: Series, file: Path, tree: Tree, settings: Settings) -> Series:
    """With a warning of a pickled graph beside it, which is never read.

    Raises:
        DataError: a graph that was named is not there.
    """
    if settings.graph and series.adjacency is None:
        raise DataError(
            f"{shown(file)}: there is no graph {shown(settings.graph)}, as a file or a key"
        )
    folders = [f for f in tree.folders() if not tree.given or GRAPHS.search(f)]
    pickled = [
        n
        for place in ("", *folders)
        for n in tree.files(place)
        if n.lower().endswith(PICKLES) and not _no_graph(n)
    ]
    if not pickled or series.adjacency is not None:
        return series
    said = f"{shown(pickled[0])} is pickled and never read: save its table with numpy.save as {PurePath(pickled[0]).stem}.npy beside it"
    return series.noted(warnings=[said])


def _listing(
    tree: Tree, name: str, graphs: Sequence[str], settings: Settings, unread: Sequence[str] = ()
) -> Listing:
    """Windows of the series of a file.

    Args:
        tree: the folder.
        name: of the file.
        graphs: files that may hold the graph, the likeliest first.
        settings: how they are to be understood.
        unread: files that are named for its other splits and hold no series.

    Raises:
        DataError: what it holds cannot be used.
    """
    options = tree.options
    series, _ = _read(tree.root / name, tree, graphs, settings)
    if settings.missing is None:
        series = without_zeros(series)
    trained = series.values[: round(len(series) * (1 - VAL - TEST))]
    series = checked(with_periods(series, options.period, trained), series.values, settings)
    if unread:
        said = f"{' and '.join(map(shown, unread))} hold no series that can be read: {shown(name)} is split instead"
        series = series.noted(warnings=[said])
    history, horizon = options.history or HISTORY, options.horizon or HORIZON
    return _as_listing(series, len(series), {WHOLE: windows(series, history, horizon)})


def _listing_of_splits(
    tree: Tree, names: Mapping[str, str], graphs: Sequence[str], settings: Settings
) -> Listing:
    """Windows of the series of several files, none of which reaches from one into another.

    Raises:
        DataError: what they hold cannot be used, or does not belong together.
    """
    options = tree.options
    first, graph = _read(tree.root / names["train"], tree, graphs, settings)
    place = tree.root / graph if graph else None
    each = {
        split: first if split == "train" else reading.read_series(tree.root / name, settings, place)
        for split, name in names.items()
    }
    series, spans = joined.in_one(each, shown(tree.name))
    if settings.missing is None:
        series = without_zeros(series)
    trained = series.values[slice(*spans["train"])]
    held = np.concatenate([series.values[slice(*span)] for span in spans.values()])
    series = checked(with_periods(series, options.period, trained), held, settings)
    history, horizon = options.history or HISTORY, options.horizon or HORIZON
    whole = windows(series, history, horizon)
    parts = {split: within(whole, split, *span) for split, span in spans.items()}
    return _as_listing(series, len(held), parts)


def _as_listing(series: Series, steps: int, parts: dict[str, Part]) -> Listing:
    nodes = len(series.nodes)
    return Listing(
        f"series of {nodes:,} node{'s' * (nodes != 1)}, {steps:,} steps {series.clock.words()}",
        (),
        parts,
        note="; ".join(series.notes),
        task=FORECAST,
        faults=series.faults,
        warnings=series.warnings,
    )


def with_periods(series: Series, asked: tuple[str, ...], trained: F32) -> Series:
    """With the periods that were asked for, or those of its clock, or one that the values show; what is guessed is said.

    Args:
        series: all of them.
        asked: the words that were given.
        trained: values [T, N] that are trained on: what comes later decides nothing.
    """
    if asked:
        words = () if asked == ("none",) else asked
        for word in words:
            series.clock.period(word)
        return replace(series, periods=words)
    usual = series.clock.usual(len(trained))
    if usual:
        return replace(series, periods=usual).noted(
            f"period: {', '.join(usual)}, by the time stamps"
        )
    found = guessed(trained)
    if not found:
        return series.noted("no period is known: period= says one, in steps")
    listed = ", ".join(f"{word} steps (autocorrelation {like:.2f})" for word, like in found.items())
    said = f"period: {listed}, guessed from the values; period= says another, or none"
    return replace(series, periods=tuple(found)).noted(said)


def checked(series: Series, values: F32, settings: Settings) -> Series:
    """With warnings of values that may not be what they seem.

    Args:
        series: all of them.
        values: of all steps that a file has [T, N].
        settings: what was said of missing values.

    Raises:
        DataError: no value is known.
    """
    known = ~np.isnan(values)
    if not known.any():
        raise DataError(f"{series.name}: all of its values are missing")
    warnings: list[str] = []
    lost = int(known.size - known.sum())
    if lost:
        warnings.append(
            f"{lost:,} of {known.size:,} values ({lost / known.size:.1%}) are missing: they count neither in the loss nor in the scores"
        )
    with np.errstate(all="ignore"):
        low = np.where(known, values, np.inf).min(0)
        high = np.where(known, values, -np.inf).max(0)
    still = [node for node, a, b in zip(series.nodes, low, high, strict=True) if not a < b]
    if still:
        warnings.append(
            f"{len(still):,} of {len(series.nodes):,} series never change: {some(still, _NAMED)}"
        )
    if said := "" if settings.missing is not None else suspect(series):
        warnings.append(f"{said}: if 0 stands for a missing value, say layout=series:missing=0")
    return series.noted(warnings=warnings)
