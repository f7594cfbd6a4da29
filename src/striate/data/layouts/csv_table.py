"""A table that says what belongs to each picture: a class, several classes, or numbers.

path,label[,group,split] with any names for the columns, alone or beside the pictures; train.csv, val.csv and test.csv,
or a table in each of the folders train/, val/ and test/, are the splits. Paths are absolute, relative, or ids without extension. Settings: table=FILE, path=COLUMN,
label=COLUMN or label=A+B+C, group=COLUMN, split=COLUMN, separator=CHARACTER between several labels in one cell.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from striate.data import documents, files
from striate.data.documents import Row, Table
from striate.data.files import shown
from striate.data.index import ASSIGNED, WHOLE, Candidate, Fault, Listing, Part
from striate.data.layouts import class_folders
from striate.data.layouts.file_lists import Lookup
from striate.data.layouts.file_table import left_out
from striate.data.layouts.label_columns import TASKS, Column, is_flag, is_missing, label_targets
from striate.data.layouts.tree import Tree, below, named_like_picture, role
from striate.data.sources import Files
from striate.errors import DataError

SETTINGS = ("table", "path", "label", "group", "split", "separator")
# fmt: off
_PATHS = {
    "path", "file", "filename", "file_name", "filepath", "file_path", "image", "images", "img", "image_id", "imageid",
    "image_path", "img_path", "image_name", "id", "name", "picture", "uuid", "image_file", "fname",
}
LABEL_WORDS = {
    "label", "labels", "class", "classes", "category", "categories", "target", "targets", "y", "tag", "tags", "species",
    "breed", "diagnosis", "dx", "class_name", "classname", "label_name", "class_id", "classid", "label_id", "level",
    "finding_labels", "attribute_ids",
}
GROUP_WORDS = {"group", "groups", "group_id", "patient", "patient_id", "patientid", "subject", "subject_id"}
SPLIT_WORDS = {"split", "set", "subset", "partition", "data_set", "usage"}
BOX_WORDS = {"xmin", "ymin", "xmax", "ymax", "x_min", "y_min", "x_max", "y_max", "x1", "y1", "x2", "y2"}
# fmt: on
_FOUR = re.compile(
    r"[\[(]\s*-?\d[\d.]*([\s,;]+-?\d[\d.]*){3}\s*[\])]"
)  # in brackets: labels have none
_SAMPLE = 200  # rows that tell which column names pictures
_ENOUGH = 0.5  # of those that must name one
_SAME = 0.95  # of the rows whose label is the name of their folder: the table says nothing new
_PLACES = 5  # of a fault that are named

TOO_SHORT = ("rows that are too short", "left out")
NAMELESS = ("rows that name no picture", "left out")
UNLABELLED = ("rows without a label", "left out")
REPEATED = ("rows that repeat another", "left out")


@dataclass(frozen=True)
class LabelTable:
    """A table with the columns that matter.

    Attributes:
        source: the table as read.
        file: its name relative to the root.
        header: names of the columns; their numbers from 1 where the table has no header.
        rows: below the header.
        path: the column of pictures.
        labels: the columns of labels.
        group: the column of groups, or None.
        split: the column of splits, or None.
        file_split: the split that the name of the table, or of its folder, stands for, or "".
    """

    source: Table
    file: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    path: int
    labels: tuple[int, ...] = ()
    group: int | None = None
    split: int | None = None
    file_split: str = ""

    @property
    def label_names(self) -> list[str]:
        """Names of the columns of labels."""
        return [self.header[k] for k in self.labels]

    @property
    def width(self) -> int:
        """Cells that a row must have."""
        return 1 + max(self.path, *self.labels, self.group or 0, self.split or 0)


class Item(NamedTuple):
    """A row that is an item: its split, picture, place in its table, label cells, group, and why it cannot be used."""

    split: str
    name: str
    place: str
    cells: tuple[str, ...]
    group: str
    fault: str = ""


@dataclass
class Rows:
    """Items, and the rows that are none."""

    items: dict[str, Item] = field(default_factory=dict[str, Item])
    ignored: Counter[str] = field(default_factory=Counter[str])
    faults: dict[tuple[str, str], list[str]] = field(
        default_factory=dict[tuple[str, str], list[str]]
    )

    def fault(self, kind: tuple[str, str], place: str) -> None:
        """One more row that is wrong in this way."""
        self.faults.setdefault(kind, []).append(place)


def find(tree: Tree) -> Candidate | None:
    """Tables whose rows name pictures, if there are any.

    Raises:
        DataError: the table that was named has no such column, or names no pictures.
    """
    asked = tree.options.asks_for("csv")
    settings = tree.options.settings if asked else {}
    wanted = tree.given or settings.get("table", "")
    names = [wanted] if wanted else list(table_files(tree))
    found = [
        table for name in names if (table := read_table(tree, name, settings, must=bool(wanted)))
    ]
    if not found:
        return _of_none(tree, names)
    try:
        tables = [_with_columns(each, settings) for each in tables_of_splits(found)]
    except DataError as error:
        if asked:
            raise
        return _candidate(tree, found[:1], settings, Doubt(str(error)))
    tables = [each for each in tables if each.labels]
    tables = [each for each in tables if each.label_names == tables[0].label_names]
    if not tables:
        return None
    doubt = Doubt() if asked or tree.given else _against_folders(tree, tables[0])
    left = left_out(found, tables, "csv")
    return None if doubt is None else _candidate(tree, tables, settings, doubt, left)


def _of_none(tree: Tree, names: list[str]) -> Candidate | None:
    """A table of pictures that are not here: named, so that nobody looks elsewhere for the fault."""
    for name in names:
        try:
            table = documents.read_table(tree.root / name, shown(name))
        except DataError:
            continue
        for column in range(table.width):
            cells = [row.cells[column] for row in table.rows[1:] if column < len(row.cells)]
            if cells and all(map(named_like_picture, cells)):
                words = (
                    f"{table.name} names pictures such as {shown(cells[0])} (line {table.rows[1].line}), and hardly any of them "
                    "is here by that name and extension"
                )
                return Candidate.unreadable(
                    "a table of pictures",
                    words,
                    why=f"{table.name} names pictures",
                    uses=frozenset([name.split("/")[0]]),
                    tasks=TASKS,
                )
    return None


class Doubt(NamedTuple):
    """What speaks against a table, and whether it speaks against reading the folders instead as well."""

    words: str = ""
    rivals: bool = False


def _candidate(
    tree: Tree,
    tables: list[LabelTable],
    settings: dict[str, str],
    doubt: Doubt,
    warnings: tuple[str, ...] = (),
) -> Candidate:
    count = sum(len(each.rows) for each in tables)
    uses = frozenset(top for each in tables for top in used_at_top(tree, each))
    read = partial(_listing, tree, tables, settings, warnings)
    why = f"{', '.join(shown(each.file) for each in tables)} names pictures"
    return Candidate("a table of pictures", count, uses, read, why, *doubt, TASKS)


def table_files(tree: Tree) -> Iterator[str]:
    """Tables at the root and one folder below."""
    for place in ("", *tree.folders()):
        for name in tree.files(place):
            stem, _, suffix = name.rpartition("/")[2].lower().rpartition(".")
            if f".{suffix}" in documents.TABLE_SUFFIXES and "submission" not in stem:
                yield name


def read_table(tree: Tree, name: str, settings: dict[str, str], *, must: bool) -> LabelTable | None:
    """A table with a column that names pictures; None where it has none and need not."""
    try:
        table = documents.read_table(
            tree.root / name, shown(tree.root / name if tree.given else name)
        )
    except DataError:
        if must:
            raise
        return None
    if not table.rows:
        if must:
            raise DataError(f"{table.name} is an empty table")
        return None
    resolve = resolver_of(tree, name)
    first = table.rows[0].cells
    bare = any(named_like_picture(cell) or resolve.finds(cell) for cell in first)
    header = tuple(str(k + 1) for k in range(table.width)) if bare else first
    rows = table.rows if bare else table.rows[1:]
    if "path" in settings:
        path = documents.column_number(header, settings["path"], table.name)
    else:
        path = _path_column(header, rows, resolve)
    if path is None and must:
        row = (*rows, table.rows[0])[0]
        raise DataError(
            f"{table.name} names no pictures: line {row.line} is {', '.join(row.cells)[:80]}; expected a column of "
            "paths, file names or ids, or layout=csv:path=COLUMN"
        )
    return (
        None
        if path is None
        else LabelTable(table, name, header, rows, path, file_split=_split_of(name))
    )


def _split_of(name: str) -> str:
    """The split that the name of a table stands for, or that of the folder it lies in."""
    stem = name.rpartition("/")[2].lower().rpartition(".")[0]
    words = stem.replace("-", "_").replace(" ", "_").split("_")
    found = {ASSIGNED[word] for word in words if ASSIGNED.get(word)}
    return found.pop() if len(found) == 1 else "" if found else _folder_split(name)


class Resolver:
    """From a cell of a table to the pictures that it may mean, relative to the root; those outside of it absolute."""

    def __init__(self, tree: Tree, file: str) -> None:
        self.tree, self.beside = tree, file.rpartition("/")[0]
        self.split = _split_of(file)
        self._known: dict[str, list[str]] = {}

    def finds(self, cell: str) -> bool:
        """Whether a cell means any picture."""
        return bool(cell) and bool(self.all(cell))

    def all(self, cell: str) -> list[str]:
        """None, one, or several between which only the split of the table decides."""
        if cell not in self._known:
            self._known[cell] = self._all(cell)
        return self._known[cell]

    def _all(self, cell: str) -> list[str]:
        if self.tree.given and (exact := self._exact(cell)):
            return [exact]  # all that lies beside a single table may be very much
        found = _lookup(self.tree).find(cell, self.beside)
        if not found and (exact := self._exact(cell)):
            return [exact]
        mine = [name for name in found if self.split and _folder_split(name) == self.split]
        return mine if len(found) > 1 and mine else found

    def _exact(self, cell: str) -> str:
        """A path that is there, as it stands, from the table or from the root."""
        if not named_like_picture(cell):
            return ""
        for start in dict.fromkeys((self.beside, "")):
            path = os.path.normpath(self.tree.root / start / cell.replace("\\", "/"))
            if os.path.isfile(path) and not os.path.islink(path):  # noqa: PTH113, PTH114 - for each row
                inside = os.path.relpath(path, self.tree.root)
                return path if inside.startswith("..") else inside
        return ""


def resolver_of(tree: Tree, file: str) -> Resolver:
    """That of a table, which remembers what it found."""
    return tree.once(f"resolver of {file}", lambda tree: Resolver(tree, file))


def _folder_split(name: str) -> str:
    found = [each.split for part in name.split("/")[:-1] if (each := role(part))]
    return next((split for split in reversed(found) if split), "")


def _lookup(tree: Tree) -> Lookup:
    return tree.once("lookup", _all_pictures)


def _all_pictures(tree: Tree) -> Lookup:
    entries = (e for e in tree.all() if e.kind == "file" and named_like_picture(e.name))
    return Lookup(e.name for e in entries if not tree.options.leaves_out(e.name))


def _path_column(header: tuple[str, ...], rows: tuple[Row, ...], resolve: Resolver) -> int | None:
    """The column whose cells name most different pictures, one with a usual name before others."""
    sample = rows[:: max(1, len(rows) // _SAMPLE)]
    scores: list[tuple[bool, int, int]] = []
    for k, name in enumerate(header):
        cells = {row.cells[k] for row in sample if k < len(row.cells)}
        found, usual = sum(resolve.finds(cell) for cell in cells), plain_word(name) in _PATHS
        # A picture may have many rows, as of boxes. Without a usual name or a suffix, words that come again are rather
        # labels that happen to be called like pictures.
        plain = usual or all(map(named_like_picture, cells)) or 2 * len(cells) > len(sample)
        if found and found >= _ENOUGH * len(cells) and plain:
            scores.append((usual, found, -k))
    return -max(scores)[2] if scores else None


def plain_word(name: str) -> str:
    """The name of a column as it is looked for."""
    return name.strip().lower().replace(" ", "_")


def tables_of_splits(tables: list[LabelTable]) -> list[LabelTable]:
    """The tables that are read: one for each split where their names say splits, else the one with most rows."""
    splits = {each.file_split: each for each in reversed(tables) if each.file_split}
    if "train" in splits:
        return [splits[split] for split in ("train", "val", "test") if split in splits]
    return [max(tables, key=lambda each: len(each.rows))]


def _with_columns(table: LabelTable, settings: dict[str, str]) -> LabelTable:
    """The table with its columns of labels (none where it has none), groups and splits.

    Raises:
        DataError: a column that is not there, or several that may hold the labels.
    """
    header, name = table.header, table.source.name
    words = [plain_word(cell) for cell in header]
    group = setting_column(table, settings, "group")
    split = setting_column(table, settings, "split")
    if group is None:
        group = next(
            (k for k, word in enumerate(words) if word in GROUP_WORDS and k != table.path), None
        )
    if split is None:
        named = (k for k, word in enumerate(words) if word in SPLIT_WORDS and k != table.path)
        split = next((k for k in named if is_split_column(table, k)), None)
    if "label" in settings:
        labels = tuple(
            documents.column_number(header, each, name) for each in settings["label"].split("+")
        )
    else:
        rest = [k for k in range(len(header)) if k not in (table.path, group, split)]
        labels = _labels(table, rest, words)
    return LabelTable(
        table.source,
        table.file,
        header,
        table.rows,
        table.path,
        labels,
        group,
        split,
        table.file_split,
    )


def setting_column(table: LabelTable, settings: dict[str, str], key: str) -> int | None:
    """The column that a setting names; None where it names none."""
    return (
        documents.column_number(table.header, settings[key], table.source.name)
        if key in settings
        else None
    )


def is_split_column(table: LabelTable, column: int) -> bool:
    """Whether the cells of a column are words for splits, train among them."""
    found = {row.cells[column].lower() for row in table.rows if column < len(row.cells)}
    return found <= ASSIGNED.keys() and "train" in {ASSIGNED[word] for word in found}


def _labels(table: LabelTable, rest: list[int], words: list[str]) -> tuple[int, ...]:
    file, header = shown(table.file), table.header
    if len({words[k] for k in rest} & BOX_WORDS) >= 4:
        raise DataError(f"{file} holds boxes ({', '.join(header)}), which layout=box_table reads")
    boxed = next((k for k in rest if _holds_boxes(table, k)), None)
    if boxed is not None:
        raise DataError(
            f"{file} has four numbers in each cell of column {shown(header[boxed])}, which are boxes: write them as four "
            "columns, xmin,ymin,xmax,ymax or x,y,w,h or cx,cy,w,h, as layout=box_table reads them, or name the column of "
            "labels alone with layout=csv:label=COLUMN"
        )
    named = [k for k in rest if words[k] in LABEL_WORDS]
    if len(named) == 1 or len(rest) <= 1:
        return tuple(named or rest)
    if _are_flags(table, rest):
        return tuple(rest)
    listed = ", ".join(shown(header[k]) for k in rest[:8])
    raise DataError(
        f"{file} has several columns that may hold labels ({listed}): say which with layout=csv:label="
        f"{shown(header[rest[0]])}, or layout=csv:label={'+'.join(shown(header[k]) for k in rest[:2])} for several"
    )


def _holds_boxes(table: LabelTable, column: int) -> bool:
    """Whether cells of a column hold four numbers each, such as [12, 30, 40, 25]."""
    cells = [row.cells[column] for row in table.rows if column < len(row.cells)]
    written = [cell for cell in cells if not is_missing(cell)]
    return bool(written) and all(_FOUR.fullmatch(cell) for cell in written)


def _are_flags(table: LabelTable, columns: list[int]) -> bool:
    """Whether all cells of these columns are zeros and ones."""
    most = max(columns)
    return all(
        len(row.cells) > most and all(is_flag(row.cells[k]) for k in columns) for row in table.rows
    )


def _against_folders(tree: Tree, table: LabelTable) -> Doubt | None:
    """What speaks against a table where the pictures lie in class folders already; None: it is about other things."""
    found = class_folders.class_tree(tree)
    if found is None or len(found.names) < 2 or all(role(name) for name in found.names):
        return Doubt()
    of = {
        name: label
        for held in found.splits.values()
        for label, names in held.items()
        for name in names
    }
    if not any(plain_word(table.header[k]) in LABEL_WORDS for k in table.labels):
        return None
    resolve, k = resolver_of(tree, table.file), table.labels[0]
    same = total = 0
    for row in table.rows[:: max(1, len(table.rows) // _SAMPLE)]:
        names = resolve.all(row.cells[table.path]) if len(row.cells) >= table.width else []
        if len(names) == 1 and names[0] in of:
            total += 1
            same += of[names[0]].casefold() == row.cells[k].casefold()
    if not total:
        return Doubt()
    if same >= _SAME * total:
        return Doubt(f"{shown(table.file)} says what the folders say")
    return Doubt(
        f"{shown(tree.name)} has class folders, and {shown(table.file)} gives their pictures other labels "
        f"(column {shown(table.header[k])})",
        rivals=True,
    )


def used_at_top(tree: Tree, table: LabelTable) -> set[str]:
    """What is used at the top: the table, and where its pictures lie."""
    resolve = resolver_of(tree, table.file)
    found = {table.file.split("/")[0]}
    for row in table.rows:
        names = resolve.all(row.cells[table.path]) if len(row.cells) > table.path else []
        if len(names) == 1 and not names[0].startswith("/"):
            found.add(names[0].split("/")[0])
    return found


def _listing(
    tree: Tree, tables: list[LabelTable], settings: dict[str, str], warnings: tuple[str, ...]
) -> Listing:
    """The rows as items.

    Raises:
        DataError: a row that may mean two pictures, two rows that say different things, cells that do not fit.
    """
    rows = Rows()
    tables = [each if each.labels else _with_columns(each, settings) for each in tables]
    for each in tables:
        _add(tree, each, rows)
    items = list(rows.items.values())
    if not items:
        raise DataError(f"{shown(tables[0].file)} has no row with a picture and a label")
    header = tables[0].header
    columns = [
        Column(header[k], [item.cells[j] for item in items]) for j, k in enumerate(tables[0].labels)
    ]
    separator, task = settings.get("separator"), tree.options.task
    found = label_targets(columns, [item.place for item in items], separator, task)
    whole = Part(
        tuple(shown(item.name) for item in items), found.targets, _files(tree, items),
        {i: item.fault for i, item in enumerate(items) if item.fault},
    )  # fmt: skip
    splits = {item.split for item in items}
    parts = {
        split: whole.take(np.array([i for i, item in enumerate(items) if item.split == split]))
        for split in ("train", "val", "test", WHOLE)
        if split in splits
    }
    if list(parts) == ["train"]:
        parts = {WHOLE: parts["train"]}
    groups = {item.name: item.group for item in items} if tables[0].group is not None else {}
    return Listing(
        "a table of pictures",
        found.classes,
        parts,
        rows.ignored + files_beside(tree, tables, [item.name for item in items]),
        "; ".join(_notes(tables, found.note)),
        found.task,
        found.outputs,
        faults=tuple(_fault(kind, places) for kind, places in rows.faults.items()),
        groups={shown(name): group for name, group in groups.items()},
        tables={each.file: each.source.sha256 for each in tables},
        warnings=warnings,
    )


def _notes(tables: list[LabelTable], note: str) -> list[str]:
    first = tables[0]
    notes = [note] if note else []
    if first.split is not None:
        notes.append(f"column {shown(first.header[first.split])} makes the splits")
    if first.group is not None:
        notes.append(
            f"what shares a {shown(first.header[first.group])} stays on one side of a split"
        )
    if first.source.encoding != "UTF-8":
        notes.append(f"{shown(first.file)} is read as {first.source.encoding}")
    return notes


def _fault(kind: tuple[str, str], places: list[str]) -> Fault:
    return Fault(kind[0], kind[1], len(places), tuple(places[:_PLACES]))


def _add(tree: Tree, table: LabelTable, rows: Rows) -> None:
    """The rows of one table."""
    resolve = resolver_of(tree, table.file)
    lacks = all if _may_lack_labels(table) else any
    for row in table.rows:
        place = f"{shown(table.file)} line {row.line}"
        if len(row.cells) < table.width:
            rows.fault(TOO_SHORT, place)
            continue
        item = _item(table, row, resolve)
        if not row.cells[table.path]:
            rows.fault(NAMELESS, place)
        elif lacks(is_missing(cell) for cell in item.cells):
            rows.fault(UNLABELLED, place)
        elif tree.options.leaves_out(item.name):
            rows.ignored["(ignored)"] += 1
        elif not item.split:
            rows.ignored["rows of no split"] += 1
        elif item.name not in rows.items:
            rows.items[item.name] = item
        elif (
            rows.items[item.name].cells == item.cells and rows.items[item.name].split == item.split
        ):
            rows.fault(REPEATED, place)
        else:
            raise DataError(_conflict(rows.items[item.name], item))


def _may_lack_labels(table: LabelTable) -> bool:
    """Whether a row may lack some of its labels: numbers do not need each other, flags do."""
    cells = (row.cells[k] for row in table.rows for k in table.labels if k < len(row.cells))
    return len(table.labels) > 1 and not all(is_flag(cell) or is_missing(cell) for cell in cells)


def _item(table: LabelTable, row: Row, resolve: Resolver) -> Item:
    place = f"{shown(table.file)} line {row.line}"
    cell = row.cells[table.path]
    names = resolve.all(cell) if cell else [""]
    if len(names) > 1:
        raise DataError(
            f"{place}: {shown(cell)} may be {shown(names[0])} or {shown(names[1])}; write paths, or leave one folder out "
            "with ignore="
        )
    fault = "" if names else f"{place}: there is no picture {shown(cell)}"
    name = names[0] if names else below(resolve.beside, cell.replace("\\", "/").lstrip("/"))
    split = WHOLE if not table.file_split else table.file_split
    if table.split is not None:
        word = row.cells[table.split].lower()
        if word not in ASSIGNED:
            raise DataError(
                f"{place}: {shown(word)!r} is no split; expected train, val, test or none"
            )
        split = ASSIGNED[word]
    group = row.cells[table.group] if table.group is not None else ""
    return Item(split, name, place, tuple(row.cells[k] for k in table.labels), group, fault)


def _conflict(first: Item, second: Item) -> str:
    what = [" ".join(item.cells) for item in (first, second)]
    if first.cells == second.cells:
        what = [first.split, second.split]
    return (
        f"{first.place} and {second.place.rpartition(' ')[2]} both name {shown(first.name)} and say {shown(what[0])} and "
        f"{shown(what[1])}; several labels of a picture stand in one cell, such as cat;dog"
        if first.place.rpartition(" line ")[0] == second.place.rpartition(" line ")[0]
        else f"{first.place} and {second.place} both name {shown(first.name)}"
    )


def _files(tree: Tree, items: list[Item]) -> Files:
    """The pictures below the root, or below the folder that holds all of them where some lie elsewhere."""
    names = [item.name for item in items]
    if not any(name.startswith("/") for name in names):
        return Files(tree.root, tuple(names), tree.options.limits)
    paths = [os.path.join(tree.root, name) for name in names]  # noqa: PTH118 - absolute ones win
    top = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120
    return Files(
        Path(top), tuple(os.path.relpath(path, top) for path in paths), tree.options.limits
    )


def files_beside(tree: Tree, tables: list[LabelTable], names: list[str]) -> Counter[str]:
    """Other things in the folders of the pictures, by kind."""
    known = {*names} | {each.file for each in tables}
    folders = {name.rpartition("/")[0] for name in known if not name.startswith("/")} - {""}
    found: Counter[str] = Counter()
    for folder in folders:
        for entry in tree.entries(folder) if (tree.root / folder).is_dir() else ():
            name = below(folder, entry.name)
            if entry.kind == "folder" or name in known or tree.options.leaves_out(name):
                continue
            picture = entry.kind == "file" and named_like_picture(name)
            found["pictures in no table" if picture else files.kind(entry)] += 1
    return found
