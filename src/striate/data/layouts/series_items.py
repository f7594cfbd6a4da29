"""Series with a label or numbers each. N items, C channels, T steps.

npz: x [N, T] or [N, C, T] with y, as x_train, y_train, x_test, y_test or x, y, or a file a split with x, y; whole numbers
    and words in y are classes, others values.
tables: a row an item, its label in the first column, as the UCR archive has them (NAME_TRAIN.tsv, NAME_TEST.tsv), or in
    a column called label, class, target or y; one table, or one a split.
folders: a folder a class, a file a series: .csv or .tsv with a row a step and a column a channel, or .npy [T] or [C, T].

Series that differ in length are brought to the longest by repeating their last value, which is said.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data import documents, files
from striate.data.files import shown
from striate.data.index import WHOLE, Candidate, Fault, Listing, Part, coded, numbered
from striate.data.layouts import npz, split_files
from striate.data.layouts.tree import Tree, is_split
from striate.data.series.clock import is_stamp
from striate.data.series.raw import load_npz
from striate.data.series.reading import TABLES
from striate.data.sources import Values
from striate.data.targets import Labels, Targets
from striate.data.targets import Values as Numbers
from striate.errors import DataError

F32 = NDArray[np.float32]

LABELS = {"label", "labels", "class", "classes", "target", "y"}
FLAT = (
    16,
    4,
)  # channels at most, and times as many steps as channels, that tell a series from a grey picture
_FEWEST = 8  # steps of an item in a table
_PLACES = 5
_LOOKED_AT = 8  # files that tell whether they are series

Rows = tuple[F32, NDArray[Any]]  # inputs [N, C, T] and what belongs to them [N]


def find(tree: Tree) -> Candidate | None:
    """Whichever of the three there is."""
    return _of_npz(tree) or _of_tables(tree) or _of_folders(tree)


# --------------------------------------------------------------------------------------------- npz


def _of_npz(tree: Tree) -> Candidate | None:
    names = [tree.given] if tree.given else tree.files()
    alone = [{WHOLE: name} for name in names if name.lower().endswith(".npz")]
    several = [] if tree.given else split_files.families(tree, (".npz",), lambda _: True)
    for files_of in (*several, *alone):
        try:
            found = {split: _roles(tree.root / name) for split, name in files_of.items()}
        except DataError:
            continue
        arrays = {
            (split if split != WHOLE else part, what): (files_of[split], key)
            for split, (roles, _) in found.items()
            for (part, what), key in roles.items()
            if split == WHOLE or part in (WHOLE, split)
        }
        shapes = {name: found[split][1] for split, name in files_of.items()}
        inputs = [shapes[name][key] for (_, what), (name, key) in arrays.items() if what == "x"]
        if len(inputs) < len(files_of) or not all(_flat(*each) for each in inputs):
            continue
        why = f"{_listed(files_of)} series [N, T] or [N, C, T] and what belongs to them"
        read = partial(_read_npz, tree.root, arrays)
        tasks = ("classify", "regress")
        count = sum(shape[0] for shape, _ in inputs)
        return Candidate("series", count, _tops(files_of), read, why, tasks=tasks)
    return None


def _listed(files_of: Mapping[str, str]) -> str:
    held = " and ".join(map(shown, files_of.values()))
    return f"{held} {'hold' if len(files_of) > 1 else 'holds'}"


def _tops(files_of: Mapping[str, str]) -> frozenset[str]:
    """The names at the top of the folder of files that are used."""
    return frozenset(name.partition("/")[0] for name in files_of.values())


def _roles(path: Path) -> tuple[dict[tuple[str, str], str], npz.Shapes]:
    """Which array is what; nothing where a part lacks its x or its y."""
    shapes = npz.headers(path)
    roles = {npz.ROLES[key.lower()]: key for key in shapes if key.lower() in npz.ROLES}
    splits = {split for split, _ in roles}
    whole = bool(roles) and all((split, what) in roles for split in splits for what in "xy")
    return (roles if whole else {}), shapes


def _flat(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether an array holds series: [N, T], or floats [N, C, T] that are no pictures."""
    if len(shape) == 2:
        return shape[1] >= _FEWEST and dtype.kind in "fiu"
    most, times = FLAT
    return (
        len(shape) == 3 and dtype.kind == "f" and shape[1] <= most and shape[2] >= times * shape[1]
    )


def _read_npz(root: Path, arrays: Mapping[tuple[str, str], tuple[str, str]]) -> Listing:
    """Arrays by split and "x" or "y": the file of each, and its key there."""
    held = {name: load_npz(root / name) for name, _ in arrays.values()}
    parts: dict[str, Rows] = {}
    for split in dict.fromkeys(split for split, _ in arrays):
        (name, key), (named, y_key) = arrays[split, "x"], arrays[split, "y"]
        x, y = np.asarray(held[name][key], np.float32), held[named][y_key]
        if len(x) != len(y):
            raise DataError(
                f"{shown(root / name)}: {split} has {len(x)} series but {len(y)} targets"
            )
        parts[split] = (x[:, None] if x.ndim == 2 else x), y
    return _listing("npz of series", parts)


# ------------------------------------------------------------------------------------------ tables


def _of_tables(tree: Tree) -> Candidate | None:
    def able(name: str) -> bool:
        return _is_table_of_series(tree.root / name)

    found: dict[str, str] = {}
    if not tree.given:
        found = next(iter(split_files.families(tree, (*TABLES, ".txt"), able)), {})
    if not found:
        names = [tree.given] if tree.given else tree.files()
        for name in names:
            if name.lower().endswith(TABLES) and _label_column(tree.root / name) is not None:
                found = {WHOLE: name}
                break
    if not found or not all(map(able, found.values())):
        return None
    why = f"{_listed(found)} a series and its label a row"
    read = partial(_read_tables, tree.root, found)
    count = sum(_count(tree.root / name) for name in found.values())
    tasks = ("classify", "regress")
    return Candidate("series", count, _tops(found), read, why, tasks=tasks)


def _label_column(path: Path) -> int | None:
    """The column of labels of a table whose other columns are numbers; None where it has none."""
    try:
        rows = list(itertools.islice(documents.stream_table(path).rows, 20))
    except DataError:
        return None
    if len(rows) < 2:
        return None
    named = [k for k, cell in enumerate(rows[0].cells) if cell.lower() in LABELS]
    if len(named) != 1 or len(rows[0].cells) <= _FEWEST:
        return None
    rest = [cell for row in rows[1:] for k, cell in enumerate(row.cells) if k != named[0]]
    return named[0] if all(_number(cell) is not None for cell in rest) else None


def _is_table_of_series(path: Path) -> bool:
    """Whether rows are an item each: numbers behind a label, or beside a column of labels; the label is no time."""
    try:
        rows = list(itertools.islice(documents.stream_table(path).rows, 5))
    except DataError:
        return False
    if _label_column(path) is not None:
        return True
    cells = [cell for row in rows for cell in row.cells[1:]]
    if len(rows) < 2 or len(rows[0].cells) <= _FEWEST or any(_number(c) is None for c in cells):
        return False
    return not any(is_stamp(row.cells[0]) for row in rows if _number(row.cells[0]) is None)


def _count(path: Path) -> int:
    return sum(1 for _ in documents.stream_table(path).rows)


def _read_tables(root: Path, names: Mapping[str, str]) -> Listing:
    parts: dict[str, Rows] = {}
    lengths: dict[str, list[F32]] = {}
    for split, name in names.items():
        label = _label_column(root / name)
        rows = documents.stream_table(root / name).rows
        if label is not None:
            next(rows)
        series: list[F32] = []
        labels: list[str] = []
        for row in rows:
            k = label or 0
            labels.append(row.cells[k])
            series.append(_row_of(row, k, root / name))
        lengths[split] = series
        parts[split] = np.empty((0, 1, 1), np.float32), np.array(labels)
    longest = max(len(each) for series in lengths.values() for each in series)
    faults = _lengths({s: [len(each) for each in series] for s, series in lengths.items()}, longest)
    parts = {
        split: (np.stack([fitted(each[None], longest) for each in lengths[split]]), y)
        for split, (_, y) in parts.items()
    }
    return _listing("a row a series", parts, faults)


def _row_of(row: documents.Row, label: int, path: Path) -> F32:
    """The values of a row without its label; missing ones at the end are no part of it, as in the UCR archive.

    Raises:
        DataError: a cell that is no number.
    """
    values: list[float] = []
    for k, cell in enumerate(row.cells):
        if k == label:
            continue
        found = _number(cell)
        if found is None:
            raise DataError(
                f"{shown(path)} line {row.line}, column {k + 1}: {shown(cell[:40])!r} is no number"
            )
        values.append(found)
    array = np.array(values, np.float32)
    known = np.flatnonzero(~np.isnan(array))
    if not len(known):
        raise DataError(f"{shown(path)} line {row.line}: a series without a value")
    return _without_gaps(array[: known[-1] + 1][None])[0]


def _number(cell: str) -> float | None:
    if cell == "":
        return np.nan
    try:
        return float(cell)
    except ValueError:
        return None


# ----------------------------------------------------------------------------------------- folders


def _of_folders(tree: Tree) -> Candidate | None:
    if tree.given:
        return None
    tops = tree.folders()
    splits = (
        {top: tree.folders(top) for top in tops}
        if tops and all(map(is_split, tops))
        else {WHOLE: tops}
    )
    found = {
        split: [(folder.rpartition("/")[2], n) for folder in folders for n in _files(tree, folder)]
        for split, folders in splits.items()
    }
    found = {split: items for split, items in found.items() if items}
    classes = {label for items in found.values() for label, _ in items}
    names = [name for items in found.values() for _, name in items]
    some = names[:: -(-len(names) // _LOOKED_AT) or 1]  # the first of them may all be broken
    if len(classes) < 2 or not any(_may_be_series(tree.root / name) for name in some):
        return None
    count = sum(len(items) for items in found.values())
    why = f"{shown(min(classes))} and others hold files of numbers"
    uses = frozenset(tops)
    return Candidate("series", count, uses, partial(_read_folders, tree, found), why)


def _may_be_series(path: Path) -> bool:
    """Whether a file is a table, or an array [T] or [C, T] that is no picture."""
    if path.suffix.lower() != ".npy":
        return True
    try:
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
    except files.UNSOUND:
        return False
    most, times = FLAT
    return len(shape) == 1 or (
        len(shape) == 2 and shape[0] <= most and shape[1] >= times * shape[0]
    )


def _files(tree: Tree, folder: str) -> list[str]:
    return [n for n in tree.files(folder) if n.lower().endswith((".npy", *TABLES))]


def _read_folders(tree: Tree, found: Mapping[str, Sequence[tuple[str, str]]]) -> Listing:
    """Every file an item, those without a series as broken ones.

    Raises:
        DataError: none holds a series, or they have different numbers of channels.
    """
    read = {
        split: [_series_or_reason(tree.root / name) for _, name in items]
        for split, items in found.items()
    }
    sound = {
        split: [each for each in held if not isinstance(each, str)] for split, held in read.items()
    }
    every = [each for held in sound.values() for each in held]
    if not every:
        lost = [
            f"{shown(name)}: {reason}"
            for split, items in found.items()
            for (_, name), reason in zip(items, read[split], strict=True)
        ]
        raise DataError(f"no series can be read: {'; '.join(lost[:_PLACES])}")
    channels = sorted({len(each) for each in every})
    if len(channels) > 1:
        raise DataError(
            f"the series have {' or '.join(map(str, channels))} channels: expected as many in each"
        )
    longest = max(each.shape[1] for each in every)
    faults = _lengths({s: [each.shape[1] for each in rows] for s, rows in sound.items()}, longest)
    words = {_split(split): split for split in found}
    marks = itertools.count(-1_000_000)
    parts = {
        word: (
            np.stack([_in_place(each, marks, channels[0], longest) for each in read[split]]),
            np.array([label for label, _ in found[split]]),
        )
        for word, split in words.items()
    }
    names = {word: tuple(shown(n) for _, n in found[split]) for word, split in words.items()}
    broken = {
        word: {i: each for i, each in enumerate(read[split]) if isinstance(each, str)}
        for word, split in words.items()
    }
    return _listing("a folder a class, a file a series", parts, faults, names, broken)


def _series_or_reason(path: Path) -> F32 | str:
    """The series [C, T] of a file, or why it holds none."""
    try:
        return series_of(path)
    except DataError as error:
        return str(error)


def _in_place(found: F32 | str, marks: Iterator[int], channels: int, steps: int) -> F32:
    """A series of so many steps; what stands for a broken one is no copy of what stands for another."""
    if isinstance(found, str):
        return np.full((channels, steps), next(marks), np.float32)
    return fitted(found, steps)


def _split(folder: str) -> str:
    from striate.data.layouts.tree import role

    found = role(folder)
    return folder if found is None or not found.split else found.split


def series_of(path: Path) -> F32:
    """The series [C, T] of a file: .npy [T] or [C, T], or a table with a row a step and a column a channel.

    Raises:
        DataError: it holds none; with the reason alone.
    """
    if path.suffix.lower() == ".npy":
        try:
            found = np.load(path, allow_pickle=False)
        except files.UNSOUND as error:
            raise DataError(f"no array of NumPy ({' '.join(str(error).split())[:100]})") from error
        if found.ndim not in (1, 2) or found.dtype.kind not in "fiu" or not found.size:
            raise DataError(f"{list(found.shape)} of {found.dtype}, expected numbers [T] or [C, T]")
        return _without_gaps(np.atleast_2d(found).astype(np.float32))
    rows = [row.cells for row in documents.read_table(path).rows]
    if rows and any(_number(cell) is None for cell in rows[0]):
        rows = rows[1:]
    if not rows:
        raise DataError("no rows of numbers")
    try:
        values = np.array([[_number(cell) for cell in cells] for cells in rows], np.float32)
    except (TypeError, ValueError) as error:
        raise DataError("rows of different length, or text in them") from error
    return _without_gaps(values.T)


def _without_gaps(values_CT: F32) -> F32:
    """The same with missing values on the line between their neighbours.

    Raises:
        DataError: a channel without a value.
    """
    if not np.isfinite(values_CT).all():
        steps = np.arange(values_CT.shape[1])
        for row in values_CT:
            known = np.isfinite(row)
            if not known.any():
                raise DataError("a channel without a value")
            row[:] = np.interp(steps, steps[known], row[known])
    return values_CT


def fitted(values_CT: F32, steps: int) -> F32:
    """Series of so many steps: the first of a longer one, the last value of a shorter one repeated."""
    lacking = steps - values_CT.shape[1]
    if lacking <= 0:
        return np.ascontiguousarray(values_CT[:, :steps])
    return np.pad(values_CT, ((0, 0), (0, lacking)), mode="edge")


def _lengths(lengths: Mapping[str, Sequence[int]], longest: int) -> list[Fault]:
    shorter = [
        f"{split}/{i}: {n} steps"
        for split, each in lengths.items()
        for i, n in enumerate(each)
        if n < longest
    ]
    if not shorter:
        return []
    done = f"brought to {longest} steps by repeating their last value"
    return [
        Fault(
            "series that are shorter than the longest", done, len(shorter), tuple(shorter[:_PLACES])
        )
    ]


# ----------------------------------------------------------------------------------------- all three


def _listing(
    layout: str,
    parts: Mapping[str, Rows],
    faults: Sequence[Fault] = (),
    names: Mapping[str, Sequence[str]] | None = None,
    broken: Mapping[str, Mapping[int, str]] | None = None,
) -> Listing:
    """Items of labels, or of numbers where they are no whole numbers and no words.

    Raises:
        DataError: series of other sizes in another split, or targets of another shape.
    """
    shapes = {x.shape[1:] for x, _ in parts.values()}
    if len(shapes) > 1:
        listed = ", ".join(f"{split} {list(x.shape[1:])}" for split, (x, _) in parts.items())
        raise DataError(f"the series of the splits differ in size: {listed}")
    targets = {split: _plain(y) for split, (_, y) in parts.items()}
    if any(y.dtype.kind == "f" for y in targets.values()):
        numbers = {
            split: np.asarray(y, np.float64).reshape(len(y), -1) for split, y in targets.items()
        }
        outputs = tuple(f"value {k + 1}" for k in range(next(iter(numbers.values())).shape[1]))
        outputs = ("value",) if len(outputs) == 1 else outputs
        found: dict[str, Targets] = {split: Numbers(y) for split, y in numbers.items()}
        made = _parts(parts, found, names, broken or {})
        return Listing(layout, (), made, task="regress", outputs=outputs, faults=tuple(faults))
    classes, codes = coded(targets, None)
    made = _parts(
        parts, {split: Labels(code) for split, code in codes.items()}, names, broken or {}
    )
    return Listing(layout, classes, made, faults=tuple(faults))


def _plain(y: NDArray[Any]) -> NDArray[Any]:
    """Words that are whole numbers as such, other numbers as floats, words as they are."""
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", "replace")
    if y.dtype.kind == "U":
        try:
            y = y.astype(np.float64)
        except ValueError:
            return y
    if y.dtype.kind == "f" and y.ndim == 1 and np.isfinite(y).all() and (y % 1 == 0).all():
        return y.astype(np.int64)
    return y


def _parts(
    rows: Mapping[str, Rows],
    targets: Mapping[str, Targets],
    names: Mapping[str, Sequence[str]] | None,
    broken: Mapping[str, Mapping[int, str]],
) -> dict[str, Part]:
    return {
        split: Part(
            names[split] if names else numbered("series" if split == WHOLE else split, len(x)),
            targets[split],
            Values(x, "series"),
            broken.get(split, {}),
        )
        for split, (x, _) in rows.items()
    }
