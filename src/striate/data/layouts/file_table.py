"""A table that names files which are an item each, with the class or numbers, and perhaps the fold or the split, in columns.

Such as meta/esc50.csv and metadata/UrbanSound8K.csv of sounds, or a table of the labels of scans. What the files are,
`Kind` says. N items.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

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

SETTINGS = ("table", "path", "label", "group", "split", "separator")
_FIRST = 5  # places of a fault
_SAMPLE = 200  # rows of a table that are looked at
# fmt: off
_LABELS = (
    "category", "label", "labels", "class", "classname", "class_name", "genre", "tag", "tags", "word", "target", "digit",
    "classid", "class_id", "diagnosis",
)
# fmt: on
GROUPS = ("fold", "group", "speaker", "speaker_id", "subject", "patient")


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
    uses = frozenset({best.file.split("/")[0], *(n.split("/")[0] for n in there)})
    words = f"{kind.noun}s named by {shown(best.file)}"
    read = partial(_listed, tree, best, settings, kind)
    return Candidate(
        words,
        len(best.rows),
        uses,
        read,
        f"{shown(best.file)} names {kind.noun}s",
        tasks=TASKS,
    )


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


def _listed(tree: Tree, table: Named, settings: Mapping[str, str], kind: Kind) -> Listing:
    """The rows as items; several lines of one file count once."""
    items: dict[str, Row] = {}
    faults: dict[str, list[str]] = {}
    beside = table.file.rpartition("/")[0]
    needed = (table.path, *table.labels)
    also = [k for k in (table.group, table.split) if k is not None]
    for row in table.rows:
        place = f"{shown(table.file)} line {row.line}"
        if len(row.cells) <= max(needed) or any(is_missing(row.cells[k]) for k in needed):
            faults.setdefault("rows without a file or a label", []).append(place)
            continue
        if len(row.cells) <= max(also, default=0):
            faults.setdefault("rows without a split or a group", []).append(place)
            continue
        found = _finder(tree, kind).find(row.cells[table.path], beside)
        found = _of_fold(found, row, table)
        if len(found) != 1:
            noun = kind.noun
            what = f"rows that name several {noun}s" if found else f"rows whose {noun} is not there"
            faults.setdefault(what, []).append(place)
        elif found[0] in items:
            faults.setdefault("rows that repeat another", []).append(place)
        else:
            items[found[0]] = row
    if not items:
        raise DataError(f"{shown(table.file)} names no {kind.noun} that is there")
    rows = list(items.values())
    columns = [Column(table.header[k], [row.cells[k] for row in rows]) for k in table.labels]
    places = [f"{shown(table.file)} line {row.line}" for row in rows]
    found = label_targets(columns, places, settings.get("separator"), tree.options.task)
    names = tuple(items)
    named = kind.items(tree, names)
    whole = Part(tuple(map(shown, names)), found.targets, named.source, named.broken)
    groups = (
        {} if table.group is None else {shown(n): r.cells[table.group] for n, r in items.items()}
    )
    parts, note = _split_by(table, rows, whole)
    return Listing(
        f"{kind.noun}s named by {shown(table.file)}",
        found.classes,
        parts,
        unused(tree, names, {name.split("/")[0] for name in names if "/" in name}),
        "; ".join(filter(None, [found.note, note, *named.notes])),
        found.task,
        found.outputs,
        faults=tuple(Fault(k, "left out", len(v), tuple(v[:_FIRST])) for k, v in faults.items()),
        groups=groups,
        tables={table.file: table.source.sha256},
        levels=named.levels,
    )


def _of_fold(found: list[str], row: Row, table: Named) -> list[str]:
    """Of files of one name in several folders that of the fold of the row, as in audio/fold7."""
    if len(found) < 2 or table.group is None:
        return found
    fold = row.cells[table.group]
    return [n for n in found if n.split("/")[-2:-1] in ([fold], [f"fold{fold}"])]


def _split_by(table: Named, rows: Sequence[Row], whole: Part) -> tuple[dict[str, Part], str]:
    """The splits that a column says, and what is said of them and of folds."""
    note = ""
    if table.group is not None:
        count = len({row.cells[table.group] for row in rows})
        name = shown(table.header[table.group])
        note = f"column {name}: its {count} parts stay whole in every split, --folds {count} holds out each once"
    if table.split is None:
        return {WHOLE: whole}, note
    words = [row.cells[table.split].lower() for row in rows]
    if strange := next((word for word in words if word not in ASSIGNED), None):
        raise DataError(
            f"{shown(table.file)}: {shown(strange)!r} is no split; expected train, val, test or none"
        )
    assigned = np.array([ASSIGNED[word] for word in words])
    parts = {s: whole.take(np.flatnonzero(assigned == s)) for s in ("train", "val", "test") if (assigned == s).any()}  # fmt: skip
    return parts, f"column {shown(table.header[table.split])} makes the splits"


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
