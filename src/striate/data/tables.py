"""Tables as people save them: commas, semicolons, tabs or bars between cells, quotes, a byte order mark, any line end."""

import csv
import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from striate.data import files
from striate.data.files import shown
from striate.errors import DataError

SUFFIXES = (".csv", ".tsv", ".tab")
LARGEST = 2**30  # bytes
_SEPARATORS = (",", ";", "\t", "|")
_SAMPLE = 30  # lines that tell the separator
_CELL = 2**20  # characters


@dataclass(frozen=True)
class Row:
    """The cells of one row, without blanks around them, and the line that it starts at, from 1."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table as it stands in its file, the header not told from the rows.

    Attributes:
        name: of the file, for messages.
        rows: all with something in them.
        separator: between cells.
        sha256: of the file, in hexadecimal.
        encoding: that it was read in.
    """

    name: str
    rows: tuple[Row, ...]
    separator: str
    sha256: str
    encoding: str

    @property
    def width(self) -> int:
        """How many cells most rows have."""
        return Counter(len(row.cells) for row in self.rows).most_common(1)[0][0] if self.rows else 0


def read(path: Path, name: str | None = None) -> Table:
    """A table.

    Raises:
        DataError: it cannot be read, or is none; the message names the file.
    """
    name = shown(path) if name is None else name
    try:
        data = files.read(path, most=LARGEST)
    except DataError as error:
        raise DataError(f"{name}: the table {error}") from None
    if data.startswith(files.POINTER):
        raise DataError(f"{name} is {files.POINTED}")
    text, encoding = _decoded(data)
    if "\0" in text:
        raise DataError(f"{name} is no table: it holds zero bytes")
    separator = _separator(text, "\t" if path.suffix.lower() in (".tsv", ".tab") else "")
    try:
        rows = tuple(_rows(text, separator))
    except csv.Error as error:
        raise DataError(f"{name} is no table with cells between {separator!r} ({error})") from None
    return Table(name, rows, separator, hashlib.sha256(data).hexdigest(), encoding)


def _decoded(data: bytes) -> tuple[str, str]:
    """UTF-8, UTF-16 with its mark, else the code page that spreadsheets of western Europe write."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace"), "UTF-16"
    try:
        return data.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace"), "Windows-1252"


def _separator(text: str, given: str) -> str:
    """The one that gives most lines at the start the same number of cells, more than one."""
    if given:
        return given
    start = "".join(text.splitlines(keepends=True)[:_SAMPLE])
    best, most = ",", 0.0
    for separator in _SEPARATORS:
        try:
            widths = Counter(len(row.cells) for row in _rows(start, separator))
        except csv.Error:
            continue
        width, count = max(widths.items(), key=lambda pair: (pair[1], pair[0]), default=(1, 0))
        alike = count / max(1, widths.total())
        if width > 1 and alike > most:
            best, most = separator, alike
    return best


def _rows(text: str, separator: str) -> list[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    found: list[Row] = []
    line = 1
    for cells in reader:
        row = tuple(cell.strip() for cell in cells)
        if any(row):
            if max(map(len, row)) > _CELL:
                raise csv.Error(f"a cell of more than {_CELL:,} characters in line {line}")
            found.append(Row(line, row))
        line = reader.line_num + 1
    return found


def column(header: tuple[str, ...], wanted: str, name: str) -> int:
    """The number of a column, by its name or its number from 1.

    Raises:
        DataError: there is none, or two of that name.
    """
    exact = [k for k, cell in enumerate(header) if cell == wanted]
    found = exact or [k for k, cell in enumerate(header) if cell.casefold() == wanted.casefold()]
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        raise DataError(f"{name} has {len(found)} columns {wanted!r}")
    if wanted.isdigit() and 1 <= int(wanted) <= len(header):
        return int(wanted) - 1
    raise DataError(f"{name} has no column {wanted!r}; it has {', '.join(header) or 'none'}")
