"""XML, JSON, YAML and lines of text that somebody else wrote: bounded in size and depth, nothing in them is executed.

Entities and document types of XML, aliases of YAML and numbers that are not finite are refused. Every error is a
`DataError` with the reason alone, the line first where there is one.
"""

import json
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
LARGEST_JSON = 1024 * MB  # the instances of COCO's training split are 450 MB
DEEPEST = 64  # nested elements, lists or dictionaries
MOST = 500_000  # elements of an XML file


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
