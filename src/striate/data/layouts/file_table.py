"""A table that names files which are an item each, with the class or numbers, and perhaps the fold or the split, in columns.

Such as meta/esc50.csv and metadata/UrbanSound8K.csv of sounds, or a table of the labels of scans. What the files are,
`Kind` says. N items.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np

from striate.data import documents, files
from striate.data.documents import Row, Table
from striate.data.files import shown
from striate.data.index import ASSIGNED, IGNORED, WHOLE, Candidate, Fault, Listing, Part
from striate.data.layouts.file_lists import Lookup
from striate.data.layouts.label_columns import TASKS, Column, is_flag, is_missing, label_targets
from striate.data.layouts.tree import Tree
from striate.data.modes import Levels
from striate.data.sources import Source
from striate.errors import DataError
from striate.text import some

SETTINGS = ("table", "path", "label", "group", "split", "separator")
_FIRST = 5  # places of a fault
_SAMPLE = 200  # rows of a table that are looked at
# fmt: off
_LABELS = (
    "category", "label", "labels", "class", "classname", "class_name", "genre", "tag", "tags", "word", "target", "digit",
    "classid", "class_id", "diagnosis",
)
# fmt: on
# What the name of a table says of its rows; those of dev are trained on where no other table is.
_SPLITS = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
FOLD = "fold"
_SOURCES = (
    "src_file",
    "fsid",
    "source_id",
    "freesound_id",
    "recording",
)  # what clips of a fold were cut from
GROUPS = (FOLD, "group", "speaker", "speaker_id", "subject", "patient")


@dataclass(frozen=True)
class Files:
    """The files that rows name, as items.

    Attributes:
        source: of the N files.
        broken: numbers of those that cannot be read by their headers, and why.
        notes: how they were understood.
        levels: values beyond which are set to the nearer one, where somebody said so.
    """

    source: Source
    broken: Mapping[int, str] = field(default_factory=dict[int, str])
    notes: tuple[str, ...] = ()
    levels: Levels | None = None


@dataclass(frozen=True)
class Kind:
    """What a table names.

    Attributes:
        noun: of one of them, in a message.
        layout: its name in the table of layouts.
        names: those in a folder, relative to it.
        items: some of them, by their names.
        short: a name without what a table may leave out beside its extension.
    """

    noun: str
    layout: str
    names: Callable[[Tree], list[str]]
    items: Callable[[Tree, Sequence[str]], Files]
    short: Callable[[str], str] = str


@dataclass(frozen=True)
class Named:
    """A table that names files, and its columns by what they say; None where there is no such column."""

    file: str
    source: Table
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    path: int
    labels: tuple[int, ...]
    group: int | None
    split: int | None

    @property
    def titles(self) -> list[str]:
        """Of the columns that say what a file is."""
        return [self.header[k].lower() for k in self.labels]

    @property
    def grouped(self) -> str:
        """Of the column that says what belongs together; "" where there is none."""
        return "" if self.group is None else shown(self.header[self.group])

    def place(self, row: Row) -> str:
        """Where a row stands."""
        return f"{shown(self.file)} line {row.line}"

    def said(self, row: Row) -> list[str]:
        """What a row says of its file: its labels, and its group if there is one."""
        return [row.cells[k] for k in (*self.labels, *([] if self.group is None else [self.group]))]

    def fault(self, row: Row) -> str:
        """What is wrong with a row by itself."""
        needed = (self.path, *self.labels)
        also = [k for k in (self.group, self.split) if k is not None]
        if len(row.cells) <= max(needed) or any(is_missing(row.cells[k]) for k in needed):
            return "rows without a file or a label"
        if len(row.cells) <= max(also, default=0):
            return "rows without a split or a group"
        if self.group is not None and is_missing(row.cells[self.group]):
            return f"rows without a {self.grouped}"
        return ""


class AnyTable(Protocol):
    """A table that names files."""

    @property
    def file(self) -> str:
        """Its name relative to the root."""
        ...

    @property
    def header(self) -> tuple[str, ...]:
        """Names of its columns."""
        ...


def left_out(found: Sequence[AnyTable], taken: Sequence[AnyTable], layout: str) -> tuple[str, ...]:
    """A warning of tables that have the columns of one that is read and are not read themselves, or none."""
    read = {each.file for each in taken}
    others = [t.file for t in found if t.file not in read and t.header == taken[0].header]
    if not others:
        return ()
    listed = some([shown(file) for file in others], _FIRST)
    have, are = ("has", "is") if len(others) == 1 else ("have", "are")
    warning = (
        f"{listed} {have} the columns of {shown(taken[0].file)} and {are} not read: write one table, name them train.csv, "
        f"val.csv and test.csv, or choose with layout={layout}:table={shown(others[0])}"
    )
    return (warning,)


def find(tree: Tree, kind: Kind) -> Candidate | None:
    """A table at the root or a folder below, of whose rows most name files that are there.

    Raises:
        DataError: a column that was named is not there.
    """
    asked = tree.options.asks_for(kind.layout)
    settings = tree.options.settings if asked else {}
    tables = [
        name
        for place in ("", *tree.folders())
        for name in tree.files(place)
        if name.lower().endswith(documents.TABLE_SUFFIXES)
    ]
    there = kind.names(tree) if tables else []
    if not there:
        return None
    wanted = [settings["table"]] if "table" in settings else tables
    found = [t for name in wanted if (t := _table(tree, name, settings, kind)) is not None]
    if not found:
        return None
    best = max(found, key=lambda table: len(table.rows))
    taken = _by_splits(found, best)
    files_of = " and ".join(shown(table.file) for table in taken.values())
    uses = frozenset(
        [t.file.split("/")[0] for t in taken.values()] + [n.split("/")[0] for n in there]
    )
    warnings = left_out(found, list(taken.values()), kind.layout)
    read = partial(_listed, tree, taken, settings, kind, warnings)
    return Candidate(
        f"{kind.noun}s named by {files_of}",
        sum(len(table.rows) for table in taken.values()),
        uses,
        read,
        f"{files_of} {'name' if len(taken) > 1 else 'names'} {kind.noun}s",
        tasks=TASKS,
    )


def _by_splits(found: Sequence[Named], best: Named) -> dict[str, Named]:
    """Tables that are a split each, by their names or folders; else the one with most rows, as `WHOLE`."""
    each: dict[str, Named] = {}
    for table in sorted(found, key=lambda table: -len(table.rows)):
        if (split := _split_of(table.file)) and table.titles == best.titles:
            each.setdefault(split, table)
    if "dev" in each:
        each["val" if "train" in each else "train"] = each.pop("dev")
    whole = len(each) < 2 or "train" not in each or best not in each.values()
    return {WHOLE: best} if whole else {s: each[s] for s in ("train", "val", "test") if s in each}


def _split_of(file: str) -> str:
    """The split that the name of a table says, else that of its folder; "" where neither says one."""
    folder, _, name = file.lower().rpartition("/")
    for place in (name.rpartition(".")[0], folder):
        found = (_SPLITS[word] for word in re.split(r"[^a-z]+", place) if word in _SPLITS)
        if split := next(found, ""):
            return split
    return ""


@dataclass(frozen=True)
class Finder:
    """Files by every name that a table may give them.

    Attributes:
        lookup: of their short names.
        whole: the name of each short one.
        short: see `Kind`.
    """

    lookup: Lookup
    whole: Mapping[str, str]
    short: Callable[[str], str]

    @classmethod
    def of(cls, tree: Tree, kind: Kind) -> "Finder":
        """Of the files of a folder."""
        whole = {kind.short(name): name for name in kind.names(tree)}
        return cls(Lookup(whole), whole, kind.short)

    def find(self, given: str, beside: str) -> list[str]:
        """As `Lookup.find`."""
        return [self.whole[name] for name in self.lookup.find(self.short(given), beside)]


def _finder(tree: Tree, kind: Kind) -> Finder:
    return tree.once(f"files of {kind.layout}", lambda tree: Finder.of(tree, kind))


def _table(tree: Tree, file: str, settings: Mapping[str, str], kind: Kind) -> Named | None:
    """A table with its columns; None where none names such files or says what they are."""
    try:
        table = documents.read_table(tree.root / file, shown(file))
    except DataError:
        if "table" in settings:
            raise
        return None
    if len(table.rows) < 2:
        return None
    header, rows = table.rows[0].cells, table.rows[1:]
    words = [cell.strip().lower().replace(" ", "_") for cell in header]
    given = {key: documents.column_number(header, settings[key], table.name) for key in ("path", "group", "split") if key in settings}  # fmt: skip
    path = (
        given["path"] if "path" in given else _path_column(_finder(tree, kind), file, header, rows)
    )
    if path is None:
        return None
    if "label" in settings:
        named = settings["label"].split("+")
        labels = tuple(documents.column_number(header, each, table.name) for each in named)
    else:
        labels = tuple(words.index(word) for word in _LABELS if word in words)[:1]
    split = given.get("split", words.index("split") if "split" in words else None)
    group = given.get("group", next((words.index(w) for w in GROUPS if w in words), None))
    rest = [k for k in range(len(header)) if k not in (path, group, split)]
    if not labels and len(rest) > 1 and _are_flags(rows, rest):
        labels = tuple(rest)
    if not labels:
        return None
    return Named(file, table, header, rows, path, labels, group, split)


def _are_flags(rows: Sequence[Row], columns: Sequence[int]) -> bool:
    """Whether all cells of these columns say yes or no: a label each."""
    cells = (row.cells[k] if k < len(row.cells) else "" for row in rows for k in columns)
    return all(is_flag(cell) for cell in cells)


def _path_column(
    finder: Finder, file: str, header: tuple[str, ...], rows: Sequence[Row]
) -> int | None:
    """The column whose cells name most files, if they are at least half."""
    sample = rows[:: max(1, len(rows) // _SAMPLE)]
    beside = file.rpartition("/")[0]
    counts = [
        sum(k < len(row.cells) and bool(finder.find(row.cells[k], beside)) for row in sample)
        for k in range(len(header))
    ]
    best = int(np.argmax(counts))
    return best if 2 * counts[best] >= len(sample) else None


def _listed(
    tree: Tree,
    tables: Mapping[str, Named],
    settings: Mapping[str, str],
    kind: Kind,
    warnings: tuple[str, ...],
) -> Listing:
    """The rows as items; several lines of one file count once."""
    items: dict[str, tuple[str, Row]] = {}
    faults: dict[str, list[str]] = {}
    for part, table in tables.items():
        for row in table.rows:
            what, name = _item(tree, table, row, kind)
            if name in items:
                before = items[name]
                same = tables[before[0]].said(before[1]) == table.said(row) and part == before[0]
                other = f"rows that say otherwise of a {kind.noun} that an earlier one names"
                what = "rows that repeat another" if same else other
            if what:
                faults.setdefault(what, []).append(table.place(row))
            else:
                items[name] = (part, row)
    files_of = " and ".join(shown(table.file) for table in tables.values())
    if not items:
        raise DataError(f"{files_of} names no {kind.noun} that is there")
    first, rows = next(iter(tables.values())), list(items.values())
    columns = [
        Column(first.header[k], [row.cells[tables[part].labels[i]] for part, row in rows])
        for i, k in enumerate(first.labels)
    ]
    places = [tables[part].place(row) for part, row in rows]
    found = label_targets(columns, places, settings.get("separator"), tree.options.task)
    names = tuple(items)
    named = kind.items(tree, names)
    whole = Part(tuple(map(shown, names)), found.targets, named.source, named.broken)
    parts, note = _split_by(tables, rows, whole)
    return Listing(
        f"{kind.noun}s named by {files_of}",
        found.classes,
        parts,
        unused(
            tree,
            [*names, *(table.file for table in tables.values())],
            {name.split("/")[0] for name in names if "/" in name},
        ),
        "; ".join(filter(None, [found.note, note, *named.notes])),
        found.task,
        found.outputs,
        faults=tuple(Fault(k, "left out", len(v), tuple(v[:_FIRST])) for k, v in faults.items()),
        groups=_groups(tables, items),
        sources=_sources(first, rows, names) if len(tables) == 1 else None,
        tables={table.file: table.source.sha256 for table in tables.values()},
        levels=named.levels,
        warnings=warnings,
    )


def _item(tree: Tree, table: Named, row: Row, kind: Kind) -> tuple[str, str]:
    """What is wrong with a row, or the file that it names."""
    if fault := table.fault(row):
        return fault, ""
    beside = table.file.rpartition("/")[0]
    found = _finder(tree, kind).find(row.cells[table.path], beside)
    found = _of_fold(found, row, table)
    if len(found) == 1:
        return "", found[0]
    several = f"rows that name several {kind.noun}s"
    return several if found else f"rows whose {kind.noun} is not there", ""


def _groups(tables: Mapping[str, Named], items: Mapping[str, tuple[str, Row]]) -> dict[str, str]:
    """What belongs together, by the column that says it; nothing where a table has none."""
    columns = {part: table.group for part, table in tables.items() if table.group is not None}
    if len(columns) < len(tables):
        return {}
    return {shown(name): row.cells[columns[part]] for name, (part, row) in items.items()}


def _of_fold(found: list[str], row: Row, table: Named) -> list[str]:
    """Of files of one name in several folders that of the fold of the row, as in audio/fold7."""
    if len(found) < 2 or table.group is None:
        return found
    fold = row.cells[table.group]
    return [n for n in found if n.split("/")[-2:-1] in ([fold], [f"fold{fold}"])]


def _sources(
    table: Named, rows: Sequence[tuple[str, Row]], names: Sequence[str]
) -> dict[str, str] | None:
    """What each file was cut from, where groups are folds; {} where no column says it, None where groups are no folds."""
    if table.grouped.lower() != FOLD:
        return None
    words = [title.strip().lower() for title in table.header]
    column = next((words.index(word) for word in _SOURCES if word in words), None)
    if column is None or any(len(row.cells) <= column for _, row in rows):
        return {}
    return {shown(name): row.cells[column] for name, (_, row) in zip(names, rows, strict=True)}


def _split_by(
    tables: Mapping[str, Named], rows: Sequence[tuple[str, Row]], whole: Part
) -> tuple[dict[str, Part], str]:
    """The splits that tables, or a column, say, and what is said of them and of folds."""
    first, note = next(iter(tables.values())), ""
    if len(tables) == 1 and first.group is not None:
        count = len({row.cells[first.group] for _, row in rows})
        note = f"column {first.grouped}: its {count} parts stay whole in every split, --folds {count} holds out each once"
    if len(tables) == 1 and first.split is None:
        return {WHOLE: whole}, note
    words = [
        row.cells[first.split].lower()
        if tables[part] is first and first.split is not None
        else part
        for part, row in rows
    ]
    if strange := next((word for word in words if word not in ASSIGNED), None):
        raise DataError(
            f"{shown(first.file)}: {shown(strange)!r} is no split; expected train, val, test or none"
        )
    assigned = np.array([ASSIGNED[word] for word in words])
    parts = {s: whole.take(np.flatnonzero(assigned == s)) for s in ("train", "val", "test") if (assigned == s).any()}  # fmt: skip
    said = [f"{shown(table.file)} is the {part} split" for part, table in tables.items() if table is not first or first.split is None]  # fmt: skip
    if first.split is not None:
        said.insert(0, f"column {shown(first.header[first.split])} makes the splits")
    return parts, "; ".join(said)


def unused(tree: Tree, used: Iterable[str], folders: Iterable[str]) -> Counter[str]:
    """What else lies in the folders that are read, by kind."""
    known, found = set(used), Counter[str]()
    for folder in folders:
        for entry in tree.walk(folder) if (tree.root / folder).is_dir() else ():
            if tree.options.leaves_out(entry.name):
                found[IGNORED] += 1
            elif entry.name not in known:
                found[files.kind(entry)] += 1
    return found
