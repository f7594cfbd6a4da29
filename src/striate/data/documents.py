"""XML, JSON, YAML, tables and lines of text that somebody else wrote: bounded in size and depth, never executed.

Entities and document types of XML, aliases of YAML and numbers that are not finite are refused. Every error is a
`DataError` with the reason alone, the line first where there is one; that of a table names its file. Tables are as
people save them: commas, semicolons, tabs or bars between cells, quotes, a byte order mark, any line end.
"""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

import yaml

from striate.data import files
from striate.errors import DataError

MB = 2**20
LARGEST_XML = 8 * MB  # bytes; an annotation of one picture
LARGEST_TEXT = 16 * MB
LARGEST_YAML = 1 * MB
LARGEST_TABLE = 1024 * MB
LARGEST_JSON = 1024 * MB  # the instances of COCO's training split are 450 MB
DEEPEST = 64  # nested elements, lists or dictionaries
MOST = 500_000  # elements of an XML file
TABLE_SUFFIXES = (".csv", ".tsv", ".tab")
_SEPARATORS = (",", ";", "\t", "|")
_SAMPLE = 30  # lines that tell the separator
_CELL = 2**20  # characters


@dataclass
class Node:
    """An element of XML: its name, the line it starts at, its text and the elements in it."""

    tag: str
    line: int
    text: str = ""
    children: list["Node"] = field(default_factory=list["Node"])

    def all(self, tag: str) -> list["Node"]:
        """The elements of this name directly in it."""
        return [node for node in self.children if node.tag == tag]

    def first(self, tag: str) -> "Node | None":
        """The first element of this name directly in it."""
        return next((node for node in self.children if node.tag == tag), None)

    def word(self, tag: str) -> str:
        """The text of the first element of this name directly in it; "" where there is none."""
        node = self.first(tag)
        return "" if node is None else node.text.strip()


class _Tree:
    """What expat's events add up to."""

    def __init__(self, parser: expat.XMLParserType) -> None:
        self.parser = parser
        self.open: list[Node] = []
        self.root: Node | None = None
        self.count = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        del attributes
        node = Node(tag, self.parser.CurrentLineNumber)
        if len(self.open) >= DEEPEST:
            raise DataError(f"line {node.line}: more than {DEEPEST} elements within each other")
        self.count += 1
        if self.count > MOST:
            raise DataError(f"line {node.line}: more than {MOST:,} elements")
        if self.open:
            self.open[-1].children.append(node)
        else:
            self.root = node
        self.open.append(node)

    def end(self, tag: str) -> None:
        del tag
        self.open.pop()

    def text(self, text: str) -> None:
        self.open[-1].text += text

    def refuse(self, *found: object) -> None:
        del found
        raise DataError(
            f"line {self.parser.CurrentLineNumber}: a document type (DOCTYPE), which may define entities, is not read"
        )


def read_xml(path: Path) -> Node:
    """The root element of an XML file.

    Raises:
        DataError: it cannot be read, is larger than 8 MB, or is no XML; with the reason alone.
    """
    data = files.read(path, most=LARGEST_XML)
    parser = expat.ParserCreate()
    tree = _Tree(parser)
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = tree.start, tree.end
    parser.CharacterDataHandler = tree.text
    parser.StartDoctypeDeclHandler = tree.refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # an unknown encoding too
        raise DataError(
            f"line {parser.CurrentLineNumber}: no sound XML ({_reason(error)})"
        ) from None
    if tree.root is None:
        raise DataError("an empty file")
    return tree.root


def _reason(error: Exception) -> str:
    """Expat's words without the place that follows them."""
    return str(error).partition(":")[0]


def read_json(path: Path, *, most: int = LARGEST_JSON) -> Any:
    """What a JSON file holds; numbers are finite.

    Raises:
        DataError: it cannot be read, is too large or nested too deeply, or is no JSON; with the reason alone.
    """
    data = files.read(path, most=most)
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_not_finite)
    except json.JSONDecodeError as error:
        raise DataError(f"line {error.lineno}: no sound JSON ({error.msg})") from None
    except RecursionError:
        raise DataError("lists or dictionaries nested too deeply") from None
    except ValueError as error:  # bytes that are no UTF-8, a number of thousands of digits
        raise DataError(f"no sound JSON ({files.shown(str(error))})") from None


def _not_finite(word: str) -> float:
    raise ValueError(f"the number {word}")


class _Plain(yaml.SafeLoader):
    """YAML without aliases, keys given twice, or deep nesting."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise _refused(event, "an alias (*), which is not read")
        if self.depth >= DEEPEST:
            raise _refused(event, f"more than {DEEPEST} lists or dictionaries within each other")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise _refused(key, f"the key {files.shown(key.value)} for the second time")
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)


def _refused(where: Any, what: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=where.start_mark)


def read_yaml(path: Path) -> Any:
    """What a YAML file holds, as plain values.

    Raises:
        DataError: it cannot be read, is larger than 1 MB, has aliases, doubled keys or Python objects, or is no YAML;
            with the reason alone.
    """
    return parse_yaml(_text(files.read(path, most=LARGEST_YAML)))


def parse_yaml(text: str) -> Any:
    """`read_yaml` of text.

    Raises:
        DataError: likewise.
    """
    try:
        return yaml.load(text, Loader=_Plain)  # noqa: S506 - a safe loader with more refused
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise DataError(f"{line}no sound YAML ({files.shown(error.problem or '')})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"no sound YAML ({files.shown(' '.join(str(error).split()))})") from None


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, stripped, with their numbers from 1.

    Raises:
        DataError: it cannot be read, is larger than 16 MB, or is no UTF-8; with the reason alone.
    """
    lines = _text(files.read(path, most=LARGEST_TEXT)).split("\n")
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"line {line}: no text in UTF-8") from None


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


@dataclass(frozen=True)
class Stream:
    """The same with its rows one after the other, each read once; of `read_table` the faults come up while they are read."""

    name: str
    rows: Iterator[Row]
    separator: str
    sha256: str
    encoding: str


def read_table(path: Path, name: str | None = None) -> Table:
    """A table.

    Raises:
        DataError: it cannot be read, or is none; the message names the file.
    """
    found = stream_table(path, name)
    return Table(found.name, tuple(found.rows), found.separator, found.sha256, found.encoding)


def stream_table(path: Path, name: str | None = None) -> Stream:
    """A table whose rows are not all in memory as cells.

    Raises:
        DataError: it cannot be read, or is none; the message names the file.
    """
    name = files.shown(path) if name is None else name
    try:
        data = files.read(path, most=LARGEST_TABLE)
    except DataError as error:
        raise DataError(f"{name}: the table {error}") from None
    if data.startswith(files.POINTER):
        raise DataError(f"{name} is {files.POINTED}")
    text, encoding = _decoded_table(data)
    if "\0" in text:
        raise DataError(f"{name} is no table: it holds zero bytes")
    separator = _separator(text, "\t" if path.suffix.lower() in (".tsv", ".tab") else "")
    rows = _named_rows(text, separator, name)
    return Stream(name, rows, separator, hashlib.sha256(data).hexdigest(), encoding)


def _named_rows(text: str, separator: str, name: str) -> Iterator[Row]:
    try:
        yield from _rows(text, separator)
    except csv.Error as error:
        raise DataError(f"{name} is no table with cells between {separator!r} ({error})") from None


def _decoded_table(data: bytes) -> tuple[str, str]:
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


def _rows(text: str, separator: str) -> Iterator[Row]:
    # As bytes: a StringIO takes four of them a character.
    file = io.TextIOWrapper(
        io.BytesIO(text.encode("utf-8", "surrogatepass")), "utf-8", "surrogatepass", newline=""
    )
    reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
    line = 1
    for cells in reader:
        row = tuple(cell.strip() for cell in cells)
        if any(row):
            if max(map(len, row)) > _CELL:
                raise csv.Error(f"a cell of more than {_CELL:,} characters in line {line}")
            yield Row(line, row)
        line = reader.line_num + 1


def column_number(header: tuple[str, ...], wanted: str, name: str) -> int:
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
