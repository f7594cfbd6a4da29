"""From the cells of a table's columns to targets: classes, several classes an item, or numbers.

Whole and few numbers are classes, others values; words with a separator between them are several classes. What was
concluded is said, and `task=` decides otherwise. N items.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from striate.data.files import shown
from striate.data.layouts.class_folders import ordered
from striate.data.targets import Labels, MultiLabels, Targets, Values
from striate.errors import DataError

CLASSIFY, MULTILABEL, REGRESS = "classify", "multilabel", "regress"
TASKS = (CLASSIFY, MULTILABEL, REGRESS)
_FEW = 20  # whole numbers that are classes wherever they stand
_NAMED_FEW = 2000  # the same in a column that is called a class
_CLASS_WORDS = ("class", "categor", "label", "species", "breed")
_SEPARATORS = {"semicolon": ";", "comma": ",", "bar": "|", "pipe": "|", "space": " ", "slash": "/"}
_MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-"}
_FLAGS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_UNIT = re.compile(r"[+-]?\d+(?:[.,]\d+)?\s*(%|[^\W\d_]{1,5})")
_LIST = re.compile(r"\[.*\]|\{.*\}")
_LISTED = "\x1f"  # between labels that stood in brackets
_MOSTLY = 0.95  # share of numbers beyond which a word among them is a mistake


@dataclass(frozen=True)
class Column:
    """The cells [N] of a column, and its name."""

    name: str
    cells: Sequence[str]


@dataclass(frozen=True)
class LabelTargets:
    """What columns mean: targets [N], names of classes or of numbers, the task, and what was concluded."""

    targets: Targets
    classes: tuple[str, ...]
    outputs: tuple[str, ...]
    task: str
    note: str = ""


def is_missing(cell: str) -> bool:
    """Whether a cell says that nothing is known."""
    return cell.lower() in _MISSING


def is_flag(cell: str) -> bool:
    """Whether a cell says yes or no."""
    return cell.lower() in _FLAGS


def label_targets(
    columns: Sequence[Column], places: Sequence[str], separator: str | None, task: str | None
) -> LabelTargets:
    """What the label columns of a table mean.

    Args:
        columns: one, or several of flags or numbers; a cell is missing at most among several numbers (nan then).
        places: where each row stands, for messages.
        separator: between several labels in one cell, if it was given.
        task: one of `TASKS` where it was asked for.

    Raises:
        DataError: cells that do not fit each other or the task; with the place.
    """
    if len(columns) > 1:
        return _of_several(columns, places, task)
    column = columns[0]
    between = _SEPARATORS.get(separator or "", separator)
    words = between or task == MULTILABEL
    listed = None if between or task in (CLASSIFY, REGRESS) else _unlisted(column.cells)
    if listed is not None:
        return _words(Column(column.name, listed), _LISTED, task)
    numbers = None if words else _numbers(column, places, must=task == REGRESS)
    if numbers is None:
        if task is None:
            _refuse_units(column, places)
        return _words(column, between, task)
    commas = _commas(column, places)
    distinct = np.unique(numbers)
    whole = bool((distinct == np.round(distinct)).all() and distinct[0] >= 0)
    called = any(word in column.name.lower() for word in _CLASS_WORDS)
    few = (
        whole
        and len(distinct) <= (_NAMED_FEW if called else _FEW)
        and 2 * len(distinct) <= len(numbers)
    )
    if task == REGRESS or (task is None and not few):
        note = f"column {shown(column.name)} holds numbers, taken as values"
        said = "" if task else f"{note} (--task {CLASSIFY} takes them as classes)"
        said = "; ".join(filter(None, [said, commas]))
        return LabelTargets(Values(numbers[:, None]), (), (shown(column.name),), REGRESS, said)
    classes, codes = _coded(column.cells if not whole else [str(int(n)) for n in numbers.tolist()])
    note = f"column {shown(column.name)} holds {len(distinct)} whole numbers, taken as classes"
    said = "" if task else f"{note} (--task {REGRESS} takes them as numbers)"
    return LabelTargets(Labels(codes), classes, (), CLASSIFY, said)


def _coded(cells: Sequence[str]) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    names = ordered(set(cells))
    code = {name: k for k, name in enumerate(names)}
    return tuple(map(shown, names)), np.array([code[cell] for cell in cells], np.int64)


def _numbers(
    column: Column, places: Sequence[str], *, must: bool
) -> npt.NDArray[np.float64] | None:
    """The cells as numbers [N]; None where they are words.

    Raises:
        DataError: a word among numbers, or a number that is not finite.
    """
    found = [math.nan if is_missing(cell) else _number(cell) for cell in column.cells]
    strange = [k for k, value in enumerate(found) if value is None]
    if strange and not must and len(strange) > (1 - _MOSTLY) * len(found):
        return None
    for k, value in enumerate(found):
        if value is None or (not math.isfinite(value) and not is_missing(column.cells[k])):
            what = "no number" if value is None else "not finite"
            raise DataError(
                f"{places[k]}: {shown(column.cells[k])[:40]!r} in column {shown(column.name)} is {what}; mend it, or "
                f"take the column as words with --task {CLASSIFY}"
                if not must
                else f"{places[k]}: {shown(column.cells[k])[:40]!r} in column {shown(column.name)} is {what}"
            )
    return np.array(found, np.float64)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        pass
    try:
        return float(cell.replace(",", ".")) if cell.count(",") == 1 else None
    except ValueError:
        return None


def _commas(column: Column, places: Sequence[str]) -> str:
    """How commas in numbers are read; "" where there are none.

    Raises:
        DataError: they may as well part thousands.
    """
    found = [k for k, cell in enumerate(column.cells) if "," in cell]
    if not found:
        return ""
    first = shown(column.cells[found[0]])
    if all(_THOUSANDS.fullmatch(column.cells[k]) for k in found):
        raise DataError(
            f"{places[found[0]]}: {first!r} in column {shown(column.name)} may be a thousand or a fraction: write numbers "
            "without a comma, a point for fractions"
        )
    return f"commas in column {shown(column.name)} are decimal points, {first} is {first.replace(',', '.')}"


def _refuse_units(column: Column, places: Sequence[str]) -> None:
    """Many different numbers with the same unit behind them are no classes.

    Raises:
        DataError: with the first.
    """
    found = [_UNIT.fullmatch(cell) for cell in column.cells]
    units = {each[1] for each in found if each is not None}
    if all(found) and len(units) == 1 and 2 * len(set(column.cells)) > len(column.cells):
        raise DataError(
            f"{places[0]}: {shown(column.cells[0])!r} in column {shown(column.name)} is a number with a unit, as all are: "
            f"write the numbers alone, or take them as words with --task {CLASSIFY}"
        )


def _unlisted(cells: Sequence[str]) -> list[str] | None:
    """Lists as programs write them, ['a', 'b'], with `_LISTED` between the bare labels; None where cells are none."""
    if not all(is_missing(cell) or _LIST.fullmatch(cell) for cell in cells) or all(
        map(is_missing, cells)
    ):
        return None
    bare = ("" if is_missing(cell) else cell[1:-1] for cell in cells)
    return [_LISTED.join(word.strip(" '\"") for word in cell.split(",")) for cell in bare]


def _words(column: Column, between: str | None, task: str | None) -> LabelTargets:
    """One class a cell, or several where cells hold separators.

    Raises:
        DataError: a separator was given, and one class a cell was asked for.
    """
    if between and task == CLASSIFY:
        raise DataError(
            f"separator={between} makes several labels of a cell, and task={task} takes one: leave one of them out, "
            f"or --task {MULTILABEL}"
        )
    guessed = None if between or task == CLASSIFY else _between(column.cells)
    used = between or guessed
    if used is None:
        classes, codes = _coded(column.cells)
        if task == MULTILABEL:
            return LabelTargets(MultiLabels(_one_hot(codes, len(classes))), classes, (), MULTILABEL)
        return LabelTargets(Labels(codes), classes, (), CLASSIFY)
    sets = [
        [word for part in cell.split(used) if (word := part.strip()) and not is_missing(word)]
        for cell in column.cells
    ]
    names = ordered({word for words in sets for word in words})
    code = {name: k for k, name in enumerate(names)}
    given = np.zeros((len(sets), len(names)), np.uint8)
    for i, words in enumerate(sets):
        given[i, [code[word] for word in words]] = 1
    how = {
        " ": "blanks",
        ";": "semicolons",
        ",": "commas",
        "|": "bars",
        _LISTED: "brackets around them and commas",
    }.get(used, used)
    other = f" (--task {CLASSIFY} takes each cell as one class)" if guessed and not task else ""
    note = f"column {shown(column.name)} holds several labels with {how} between them{other}"
    return LabelTargets(MultiLabels(given), tuple(map(shown, names)), (), MULTILABEL, note)


def _one_hot(codes: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.uint8]:
    return np.eye(classes, dtype=np.uint8)[codes]


def _between(cells: Sequence[str]) -> str | None:
    """What stands between several labels in a cell; None where cells are single names.

    Blanks stand within names too: they separate where the same few words make up many different cells.
    """
    for separator in (";", "|", ","):
        if any(separator in cell for cell in cells):
            return separator
    distinct = set(cells)
    words = Counter(word for cell in distinct for word in cell.split())
    return " " if len(distinct) > 4 and 2 * len(words) <= len(distinct) else None


def _of_several(columns: Sequence[Column], places: Sequence[str], task: str | None) -> LabelTargets:
    """One-hot columns, or several numbers."""
    names = tuple(shown(column.name) for column in columns)
    flags = all(is_flag(cell) for column in columns for cell in column.cells)
    if flags and task != REGRESS:
        given = np.array([[_FLAGS[cell.lower()] for cell in c.cells] for c in columns], np.uint8).T
        if (given.sum(1) == 1).all() and task != MULTILABEL:
            return LabelTargets(
                Labels(given.argmax(1).astype(np.int64)),
                names,
                (),
                CLASSIFY,
                "the columns are one-hot: one class each",
            )
        if task == CLASSIFY:
            i = int(np.flatnonzero(given.sum(1) != 1)[0])
            raise DataError(
                f"{places[i]}: {int(given[i].sum())} of the columns {', '.join(names)} are 1, and task={CLASSIFY} takes one "
                f"class an item; --task {MULTILABEL} takes any number of them"
            )
        note = f"{len(names)} columns of zeros and ones: any number of classes each"
        return LabelTargets(MultiLabels(np.ascontiguousarray(given)), names, (), MULTILABEL, note)
    if task in (CLASSIFY, MULTILABEL):
        raise DataError(
            f"columns {', '.join(names)}: several columns are classes where they hold zeros and ones alone"
        )
    numbers = [_numbers(column, places, must=True) for column in columns]
    stacked = np.stack([values for values in numbers if values is not None], 1)
    lacking = [
        f"{n} lack {name}" for name, n in zip(names, np.isnan(stacked).sum(0), strict=True) if n
    ]
    commas = [_commas(column, places) for column in columns]
    note = f"of {len(stacked)} rows {', '.join(lacking)}" if lacking else ""
    note = "; ".join(filter(None, [note, *commas]))
    return LabelTargets(Values(stacked), (), names, REGRESS, note)
