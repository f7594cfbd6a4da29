"""Tables of series: a column a node, the time in the first column or nowhere, with a header or without. N nodes.

Columns of words are left out; text in the place of a single number is refused, or a missing value where that was asked for.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from striate.data import documents
from striate.data.files import shown
from striate.data.index import Fault
from striate.data.series.clock import is_stamp
from striate.data.series.raw import Raw, Values
from striate.errors import DataError

MISSING = {"", "na", "n/a", "nan", "null", "none", "-", "?", "#n/a", "missing"}
# fmt: off
TIMES = {"time", "times", "timestamp", "timestamps", "date", "dates", "datetime", "index", "step", "steps", "hour",
         "day", "week", "month", "year", "t", "unnamed: 0"}
# fmt: on
_SAMPLE = 50  # rows that tell which columns are words
_PLACES = 5  # of a fault that are named


def series_table(path: Path, *, skip: bool) -> Raw:
    """Read a table of series.

    Args:
        path: of the file.
        skip: text in the place of a number is a missing value.

    Raises:
        DataError: it holds none, rows differ in length, names repeat, or text stands in the place of a number.
    """
    table = documents.stream_table(path)
    rows = iter(table.rows)
    sample = list(itertools.islice(rows, _SAMPLE))
    if not sample:
        raise DataError(f"{table.name} is an empty table")
    header, sample = (sample[0], sample[1:]) if _is_header(sample) else (None, sample)
    if not sample:
        raise DataError(f"{table.name} has a header and no rows")
    width = len(sample[0].cells)
    names = header.cells if header else tuple(map(str, range(width)))
    timed = _first_is_time(header.cells if header else (), [row.cells for row in sample])
    words = {k for k in range(int(timed), width) if _is_words([r.cells for r in sample], k)}
    columns = [k for k in range(int(timed), width) if k not in words]
    if not columns:
        raise DataError(f"{table.name} has no column of numbers")
    if len(names) != width:
        raise DataError(f"{table.name}: the header has {len(names)} cells, the rows have {width}")
    reader = _Numbers(table.name, table.separator, names, columns, skip=skip)
    stamps: list[str] = []
    block = [np.empty((0, len(columns)), np.float32)]
    for row in itertools.chain(sample, rows):
        if len(row.cells) != width:
            raise DataError(
                f"{table.name} line {row.line}: {len(row.cells)} cells, the rows before have {width}"
            )
        stamps.append(row.cells[0])
        block.append(reader.row(row))
    notes = tuple(
        f"the column {shown(names[k])} holds words and is left out" for k in sorted(words)
    )
    nodes = tuple(shown(names[k]) for k in columns)
    if not header:
        nodes = tuple(map(str, range(len(columns))))
    _check_names(nodes, table.name)
    values = np.concatenate(block)
    return Raw(table.name, values, nodes, stamps if timed else None, None, reader.faults(), notes)


def is_series(rows: Sequence[documents.Row]) -> bool:
    """Whether the first rows of a table are numbers step by step, with the time in the first column or nowhere."""
    header, rows = (rows[0], rows[1:]) if _is_header(rows) else (None, rows)
    width = len(rows[0].cells) if rows else 0
    if any(len(row.cells) != width for row in rows) or not width:
        return False
    timed = _first_is_time(header.cells if header else (), [row.cells for row in rows])
    cells = [row.cells for row in rows]
    numbers = [k for k in range(int(timed), width) if not _is_words(cells, k)]
    return bool(numbers) and (timed or len(numbers) == width)


def _check_names(nodes: Sequence[str], name: str) -> None:
    twice = [node for node, count in Counter(nodes).items() if count > 1]
    if twice:
        raise DataError(f"{name} has {Counter(nodes)[twice[0]]} series called {twice[0]!r}")


def is_number(cell: str) -> bool:
    """Whether a cell is a number, or says that there is none."""
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return cell.lower() in MISSING
    return True


def _is_header(rows: Sequence[documents.Row]) -> bool:
    """Whether the first row names columns: one of its cells is no number, or its first names the time."""
    first = rows[0].cells
    if not all(map(is_number, first[1:])):
        return True
    head, second = first[0], rows[1].cells[0] if len(rows) > 1 else ""
    return bool(second) and (not head or not (is_number(head) or is_stamp(head)))


def _first_is_time(header: Sequence[str], rows: Sequence[tuple[str, ...]]) -> bool:
    """Whether the first column is the time: stamps, or rising numbers below a name for time."""
    if len(rows[0]) < 2:
        return False
    if not is_number(rows[0][0]):
        return is_stamp(rows[0][0])
    named = bool(header) and (header[0].lower() in TIMES or not header[0])
    return named and all(cells[0] and is_number(cells[0]) for cells in rows)


def _is_words(rows: Sequence[tuple[str, ...]], k: int) -> bool:
    """Whether most cells of a column are words."""
    cells = [row[k] for row in rows if len(row) > k and row[k].lower() not in MISSING]
    return sum(not is_number(cell) for cell in cells) > len(cells) / 2


class _Numbers:
    """Rows of a table as numbers; counts text that stands in their place."""

    def __init__(
        self, name: str, separator: str, names: Sequence[str], columns: Sequence[int], *, skip: bool
    ) -> None:
        self.name, self.names, self.columns, self.skip = name, names, columns, skip
        self.comma = separator != ","
        self.places: list[str] = []
        self.count = 0

    def row(self, row: documents.Row) -> Values:
        """The numbers of one row [1, N].

        Raises:
            DataError: text in the place of a number.
        """
        cells = row.cells
        try:
            found = [float(cells[k]) for k in self.columns]
        except ValueError:
            found = [self._number(cells[k], row.line, k) for k in self.columns]
        return np.array([found], np.float32)

    def _number(self, cell: str, line: int, k: int) -> float:
        if cell.lower() in MISSING:
            return np.nan
        try:
            return float(cell.replace(",", ".") if self.comma else cell)
        except ValueError:
            place = f"line {line}, column {shown(self.names[k])}: {shown(cell[:40])!r}"
            if not self.skip:
                raise DataError(
                    f"{self.name} {place} is no number: leave the cell empty where a value is missing, or say broken=skip to "
                    "take text as missing"
                ) from None
            self.count += 1
            if len(self.places) < _PLACES:
                self.places.append(place)
            return np.nan

    def faults(self) -> tuple[Fault, ...]:
        """What was taken as missing."""
        if not self.count:
            return ()
        return (
            Fault(
                "text in the place of numbers", "taken as missing", self.count, tuple(self.places)
            ),
        )
