"""A table of boxes: a row an object, with its picture, its label and its corners.

path,label,xmin,ymin,xmax,ymax[,split][,group] with any of the usual names for the columns, alone or beside the pictures; x, y, w,
h stand for a corner and sizes; x_center, y_center, width, height (cx, cy, w, h) for a centre and sizes. Rows of one picture
are its objects; a row without a box and a label is a picture without objects. Where every picture has one, a label and a
box each are learned, else detection. Numbers are pixels as edges, 0 the left edge of the first, or shares of the width and
height where all lie from 0 to 1. Settings: table=FILE, path=COLUMN,
label=COLUMN, box=A+B+C+D as xmin+ymin+xmax+ymax, split=COLUMN, group=COLUMN.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

from striate.data import documents
from striate.data.documents import Row
from striate.data.files import shown
from striate.data.index import ASSIGNED, WHOLE, Candidate, Listing
from striate.data.layouts.annotation_targets import listing
from striate.data.layouts.annotations import (
    BOXED,
    DETECT,
    LOCALISE,
    NO_SPLIT,
    Annotation,
    Annotations,
    Corners,
    Shape,
    split_by_folder,
)
from striate.data.layouts.csv_table import (
    GROUP_WORDS,
    LABEL_WORDS,
    SPLIT_WORDS,
    LabelTable,
    files_beside,
    is_split_column,
    plain_word,
    read_table,
    resolver_of,
    setting_column,
    table_files,
    tables_of_splits,
    used_at_top,
)
from striate.data.layouts.file_table import left_out
from striate.data.layouts.label_columns import is_missing
from striate.data.layouts.tree import Tree, below
from striate.errors import DataError

SETTINGS = ("table", "path", "label", "box", "group", "split")
_Form = Literal["corners", "sizes", "centre"]  # two corners, one and sizes, the centre and sizes
_CENTRES = (
    ("x_center", "y_center"),
    ("x_centre", "y_centre"),
    ("xcenter", "ycenter"),
    ("center_x", "center_y"),
    ("centre_x", "centre_y"),
    ("cx", "cy"),
)
_BOXES: tuple[tuple[tuple[str, ...], _Form], ...] = (
    (("xmin", "ymin", "xmax", "ymax"), "corners"),
    (("x_min", "y_min", "x_max", "y_max"), "corners"),
    (("x1", "y1", "x2", "y2"), "corners"),
    (("x0", "y0", "x1", "y1"), "corners"),
    (("left", "top", "right", "bottom"), "corners"),
    (("x", "y", "w", "h"), "sizes"),
    (("x", "y", "width", "height"), "sizes"),
    *(((*centre, "w", "h"), "centre") for centre in _CENTRES),
    *(((*centre, "width", "height"), "centre") for centre in _CENTRES),
)
_NAMES = {*LABEL_WORDS, "name", "labelname", "object", "object_class"}
_ROUNDED = 0.01  # of a side that shares may be beyond it
_ALONE = "object"  # the class where no column says one


class BoxTable(NamedTuple):
    """A table and its columns.

    Attributes:
        table: with its columns of pictures, groups and splits.
        box: the four columns of a box.
        form: what these are.
        label: the column of labels; None where there is none, so that all objects are of one class.
        size: the columns of the picture's height and width, where they are stated.
    """

    table: LabelTable
    box: tuple[int, ...]
    form: _Form
    label: int | None
    size: tuple[int, int] | None


def find(tree: Tree) -> Candidate | None:
    """Tables whose rows name pictures and boxes in them.

    Raises:
        DataError: the table that was named has no such column, or names no pictures.
    """
    asked = tree.options.asks_for("box_table")
    settings = tree.options.settings if asked else {}
    wanted = tree.given or settings.get("table", "")
    found = [
        table
        for name in ([wanted] if wanted else table_files(tree))
        if (table := read_table(tree, name, settings, must=asked and bool(wanted)))
    ]
    tables = [
        each for table in tables_of_splits(found) if (each := _columns(table, settings, must=asked))
    ] if found else []  # fmt: skip
    if not tables:
        return None
    uses = frozenset(name for each in tables for name in used_at_top(tree, each.table))
    count = len({row.cells[each.table.path] for each in tables for row in _whole(each.table)})
    alone = all(map(_alone, tables))
    why = f"{', '.join(shown(each.table.file) for each in tables)} names pictures and boxes in them"
    left = left_out(found, [each.table for each in tables], "box_table")
    read = partial(_listing, tree, tables, LOCALISE if alone else DETECT, left)
    return Candidate("a table of boxes", count, uses, read, why, tasks=BOXED)


def _whole(table: LabelTable) -> list[Row]:
    """The rows that are long enough."""
    return [row for row in table.rows if len(row.cells) >= table.width]


def _alone(columns: BoxTable) -> bool:
    """Whether every picture has one row, and a box in it."""
    rows = _whole(columns.table)
    boxed = all(not all(is_missing(row.cells[k]) for k in columns.box) for row in rows)
    return boxed and len({row.cells[columns.table.path] for row in rows}) == len(rows)


def _columns(table: LabelTable, settings: dict[str, str], *, must: bool) -> BoxTable | None:
    """What the columns are; None where there are none of a box and there need not be.

    Raises:
        DataError: a column that was named is not there, or several may hold the labels.
    """
    words = [plain_word(cell) for cell in table.header]
    group, split = (setting_column(table, settings, key) for key in ("group", "split"))
    if group is None:
        group = next((k for k, word in enumerate(words) if word in GROUP_WORDS), None)
    if split is None:
        named = (k for k, word in enumerate(words) if word in SPLIT_WORDS)
        split = next((k for k in named if is_split_column(table, k)), None)
    box, form = _box_columns(table, words, settings)
    if not box:
        if must:
            raise DataError(
                f"{table.source.name} has no columns of boxes ({', '.join(map(shown, table.header))}): name them with "
                "layout=box_table:box=XMIN+YMIN+XMAX+YMAX"
            )
        return None
    stated = ("height", "width")
    there = form == "corners" and all(word in words for word in stated)
    size = (words.index("height"), words.index("width")) if there else None
    taken = {table.path, group, split, *box, *(size or ())}
    label = _label_column(table, words, [k for k in range(len(words)) if k not in taken], settings)
    labels = (*box, *([] if label is None else [label]), *(size or ()))
    return BoxTable(replace(table, labels=labels, group=group, split=split), box, form, label, size)


def _box_columns(
    table: LabelTable, words: list[str], settings: dict[str, str]
) -> tuple[tuple[int, ...], _Form]:
    if "box" in settings:
        named = settings["box"].split("+")
        if len(named) != 4:
            raise DataError(
                f"box={settings['box']}: expected four columns, as in box=xmin+ymin+xmax+ymax"
            )
        name = table.source.name
        return tuple(documents.column_number(table.header, each, name) for each in named), "corners"
    for names, form in _BOXES:
        if all(name in words for name in names):
            return tuple(words.index(name) for name in names), form
    return (), "corners"


def _label_column(
    table: LabelTable, words: list[str], rest: list[int], settings: dict[str, str]
) -> int | None:
    if "label" in settings:
        return documents.column_number(table.header, settings["label"], table.source.name)
    named = [k for k in rest if words[k] in _NAMES] or (rest if len(rest) == 1 else [])
    if len(named) == 1 or not rest:
        return named[0] if named else None
    listed = ", ".join(shown(table.header[k]) for k in (named or rest)[:8])
    raise DataError(
        f"{shown(table.file)} has boxes and several columns that may hold their labels ({listed}): say which with "
        f"layout=box_table:label={shown(table.header[(named or rest)[0]])}"
    )


# -------------------------------------------------------------------------------------- the rows


def _listing(
    tree: Tree, tables: Sequence[BoxTable], task: str, warnings: tuple[str, ...]
) -> Listing:
    """The rows as objects of pictures.

    Raises:
        DataError: a row that may mean two pictures, a picture in two splits, or no objects.
    """
    ignored: Counter[str] = Counter()
    held: dict[str, tuple[str, Annotation]] = {}  # by picture: its split and what is known of it
    groups: dict[str, str] = {}
    for each in tables:
        for row in each.table.rows:
            if len(row.cells) < each.table.width:
                ignored["rows that are too short"] += 1
            else:
                _add(tree, each, row, held, groups)
    annotations = [annotation for _, annotation in held.values()]
    _refuse_centres(tables, annotations)
    notes = ["boxes as edges in pixels, counted from 0"]
    if _are_shares(annotations):
        notes = ["boxes as shares of the width and height"]
        for annotation in annotations:
            annotation.shares = True
    if all(each.label is None for each in tables):
        notes.append(f"no column says a class: all are called {_ALONE}")
    parts = _parts(held, annotations, ignored)
    reading = Annotations("a table of boxes", parts, ignored=ignored, notes=notes)
    found = listing(tree, reading, tree.options.task or task)
    names = [annotation.picture for annotation in annotations]
    kinds = Counter(found.ignored) + files_beside(tree, [each.table for each in tables], names)
    sources = {each.table.file: each.table.source.sha256 for each in tables}
    warnings = (*found.warnings, *warnings)
    return replace(found, ignored=kinds, tables=sources, groups=groups, warnings=warnings)


def _add(
    tree: Tree,
    columns: BoxTable,
    row: Row,
    held: dict[str, tuple[str, Annotation]],
    groups: dict[str, str],
) -> None:
    """One row: a picture that is new or known, and its object, if it has one."""
    table, cells = columns.table, row.cells
    place, resolve = f"line {row.line}", resolver_of(tree, table.file)
    cell = cells[table.path]
    names = resolve.all(cell) if cell else []
    if len(names) > 1:
        raise DataError(
            f"{shown(table.file)} {place}: {shown(cell)} may be {shown(names[0])} or {shown(names[1])}; write paths, or "
            "leave one folder out with ignore="
        )
    name = names[0] if names else below(resolve.beside, cell.replace("\\", "/").lstrip("/"))
    if not cell or tree.options.leaves_out(name):
        return
    split = _split(columns, row)
    known, annotation = held.setdefault(name, (split, Annotation(name, table.file)))
    if known != split:
        raise DataError(
            f"{shown(table.file)} {place}: {shown(name)} is in {split or 'no split'} here and in {known or 'no split'} before: "
            "a picture is in one split"
        )
    if table.group is not None:
        groups[shown(name)] = cells[table.group]
    try:
        shape = _object(columns, row, there=bool(names))
    except DataError as error:
        annotation.fault = annotation.fault or f"{shown(table.file)} {place}: {error}"
        return
    if columns.size is not None:
        height, width = (cells[k] for k in columns.size)
        if height.isdecimal() and width.isdecimal():
            annotation.size = (int(height), int(width))
    annotation.shapes += [shape] if shape else []


def _split(columns: BoxTable, row: Row) -> str:
    """The split of a row; `WHOLE` where nothing says one, "" where it is in none."""
    if columns.table.split is None:
        return columns.table.file_split or WHOLE
    return ASSIGNED.get(row.cells[columns.table.split].lower(), "")


def _object(columns: BoxTable, row: Row, *, there: bool) -> Shape | None:
    """The object of a row; None where all of it is missing.

    Raises:
        DataError: its picture is not there, or a part of it is missing or no number.
    """
    if not there:
        raise DataError(f"there is no picture {shown(row.cells[columns.table.path])}")
    header = columns.table.header
    numbers = [row.cells[k] for k in columns.box]
    label = _ALONE if columns.label is None else row.cells[columns.label]
    bare = [is_missing(cell) for cell in numbers]
    if all(bare) and (columns.label is None or is_missing(label)):
        return None
    if columns.label is not None and is_missing(label):
        raise DataError("a box without a label")
    found: list[float] = []
    for cell, k in zip(numbers, columns.box, strict=True):
        try:
            found.append(_number(cell, columns))
        except ValueError:
            raise DataError(
                f"{shown(header[k])} is {shown(cell)[:40] or 'missing'}, expected a number"
            ) from None
    if not all(map(math.isfinite, found)):
        raise DataError("a box with numbers that are not finite")
    return Shape(label, f"line {row.line}", _corners(found, columns.form))


def _number(cell: str, columns: BoxTable) -> float:
    """A number, with a comma for its point where commas do not part cells.

    Raises:
        ValueError: it is none.
    """
    decimal = columns.table.source.separator != "," and cell.count(",") == 1
    return float(cell.replace(",", ".") if decimal else cell)


def _corners(numbers: Sequence[float], form: _Form) -> Corners:
    x, y, third, fourth = numbers
    if form == "corners":
        return x, y, third, fourth
    if form == "sizes":
        return x, y, x + third, y + fourth
    return x - third / 2, y - fourth / 2, x + third / 2, y + fourth / 2


def _refuse_centres(tables: Sequence[BoxTable], annotations: Sequence[Annotation]) -> None:
    """Shares of a corner and sizes that end far beyond the picture.

    Raises:
        DataError: with the first; x and y are then centres most likely, as YOLO has them.
    """
    if any(each.form != "sizes" for each in tables):
        return
    boxes = [(a.at(s.place), s.box) for a in annotations for s in a.shapes if s.box]
    shares = all(0 <= value <= 1 for _, box in boxes for value in box[:2]) and all(
        value < 2 for _, box in boxes for value in box
    )
    beyond = [place for place, box in boxes if max(box) > 1 + _ROUNDED]
    if shares and beyond and any(value % 1 for _, box in boxes for value in box):
        header = ", ".join(shown(tables[0].table.header[k]) for k in tables[0].box)
        raise DataError(
            f"{beyond[0]}: {header} are shares of the picture and end beyond it in {len(beyond):,} of {len(boxes):,} rows, "
            "expected a corner and sizes; call the columns x_center,y_center,width,height if they are centres"
        )


def _are_shares(annotations: Sequence[Annotation]) -> bool:
    """Whether all corners lie from 0 to 1 but for what rounding adds, and some between."""
    corners = [value for a in annotations for s in a.shapes for value in (s.box or ())]
    inside = all(-_ROUNDED <= value <= 1 + _ROUNDED for value in corners)
    return inside and any(value % 1 for value in corners)


def _parts(
    held: dict[str, tuple[str, Annotation]], annotations: list[Annotation], ignored: Counter[str]
) -> dict[str, list[Annotation]]:
    """The annotations of each split: those that the table says, else those of the pictures' folders."""
    splits = {split for split, _ in held.values()}
    if splits == {WHOLE}:
        return split_by_folder(annotations, ignored)
    outside = sum(split not in ("train", "val", "test") for split, _ in held.values())
    ignored.update({NO_SPLIT: outside} if outside else {})
    parts = {
        split: [annotation for own, annotation in held.values() if own == split]
        for split in ("train", "val", "test")
        if split in splits
    }
    return {WHOLE: parts["train"]} if list(parts) == ["train"] else parts
