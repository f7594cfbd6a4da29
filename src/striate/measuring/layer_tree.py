"""The rows of a sheet by the modules that hold them, and the tree as a table that fits a terminal.

Neighbours that are alike in all but their name stand there once, with how many there are of them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from striate.text import compact, short, times, wide, wrapped

if TYPE_CHECKING:
    from striate.measuring.fields import Field
    from striate.measuring.sheet import Layer, Sheet

LEAST = 10  # columns that the names of layers keep, whatever else goes
DROPPED = ("start", "connections", "stride", "memory", "field", "kind", "params", "output")
EXACT = 1_000_000  # a column whose total is below it shows every digit
LISTS = (
    "ModuleList",
    "ModuleDict",
)  # which compute nothing: what is in them may be called in any order
FUNCTION = "function"  # the kind of a row that no module of its own makes


@dataclass(frozen=True)
class Block:
    """Rows of one module: its path, the row numbers, and the paths of those after it that are alike."""

    path: str
    rows: tuple[int, ...]
    alike: tuple["Block", ...] = ()


def blocks(layers: "Sequence[Layer]", rows: Sequence[int], depth: int = 0) -> list[Block]:
    """Rows by the module `depth` steps below the net; neighbours that are alike are folded into the first."""
    found = [
        Block(path, tuple(part))
        for path, part in groupby(rows, lambda i: _head(layers[i].path, depth))
    ]
    folded: list[Block] = []
    for block in found:
        last = folded[-1] if folded else None
        if last and len(block.rows) > 1 and _alike(layers, last, block):
            folded[-1] = replace(last, alike=(*last.alike, block))
        else:
            folded.append(block)
    return folded


def _head(path: str, depth: int) -> str:
    return ".".join(path.split(".")[: depth + 1])


def _alike(layers: "Sequence[Layer]", first: Block, second: Block) -> bool:
    def counted(block: Block) -> list[tuple[Any, ...]]:
        return [
            (layers[i].path.removeprefix(block.path), *_what_it_counts(layers[i]))
            for i in block.rows
        ]

    return counted(first) == counted(second)


def _what_it_counts(row: "Layer") -> tuple[Any, ...]:
    return row.op, row.output, row.params, row.trainable, row.connections, row.macs, row.bytes


# --------------------------------------------------------------------------------------- the tree


@dataclass(frozen=True)
class Node:
    """A module, or a function that a module calls itself.

    Attributes:
        name: within the module around it.
        kind: the type of the module, or "function".
        rows: of the sheet, of all that are alike.
        copies: how many are alike.
        children: of the first of them.
    """

    name: str
    kind: str
    rows: tuple[int, ...]
    copies: int = 1
    children: "tuple[Node, ...]" = ()


def tree(
    layers: "Sequence[Layer]",
    kinds: Mapping[str, str],
    depth: int | None = None,
    rows: Sequence[int] | None = None,
    below: int = 0,
) -> tuple[Node, ...]:
    """The rows of a net as a tree.

    Args:
        layers: all rows.
        kinds: the type of each module by its path.
        depth: modules so many steps below the net are not opened; None opens all.
        rows: which of them; all if not given.
        below: how far below the net these rows are.
    """
    rows = range(len(layers)) if rows is None else rows
    found: list[Node] = []
    for block in blocks(layers, rows, below):
        if not block.path or len(block.path.split(".")) <= below:
            found += [Node(layers[i].label, FUNCTION, (i,)) for i in block.rows]
        elif kinds.get(block.path) in LISTS and not block.alike:
            deeper = None if depth is None else depth + 1
            inside = tree(layers, kinds, deeper, block.rows, below + 1)
            name = block.path.split(".")[-1]
            found += [replace(node, name=f"{name}.{node.name}") for node in inside]
        else:
            found.append(_module(layers, kinds, depth, block, below))
    return tuple(found)


def _module(
    layers: "Sequence[Layer]",
    kinds: Mapping[str, str],
    depth: int | None,
    block: Block,
    below: int,
) -> Node:
    """A module with what is in it; what one module does in several functions, of which one costs anything, is one row."""
    leaf = all(layers[i].path == block.path for i in block.rows)
    paid = sum(bool(layers[i].macs or layers[i].params) for i in block.rows)
    closed = (depth is not None and below + 1 >= depth) or (leaf and paid <= 1)
    last = [block, *block.alike][-1]
    names = [each.path.split(".")[-1] for each in (block, last)]
    return Node(
        names[0] if not block.alike else f"{names[0]}..{names[1]} x{len(block.alike) + 1}",
        kinds.get(block.path, FUNCTION),
        sum((each.rows for each in block.alike), block.rows),
        len(block.alike) + 1,
        () if closed else tree(layers, kinds, depth, block.rows, below + 1),
    )


# -------------------------------------------------------------------------------------- the table


@dataclass(frozen=True)
class Column:
    """A column: its title, what it says, and its cell of some rows, given how numbers are written."""

    key: str
    title: str
    says: str
    cell: "Callable[[Node, Sequence[Layer], Write], str]"


Write = Callable[[int], str]


def _summed(what: str) -> "Callable[[Node, Sequence[Layer], Write], str]":
    def cell(node: Node, layers: "Sequence[Layer]", write: Write) -> str:
        return write(sum(getattr(layers[i], what) for i in node.rows))

    return cell


def _of_field(part: "Callable[[Field], str]") -> "Callable[[Node, Sequence[Layer], Write], str]":
    def cell(node: Node, layers: "Sequence[Layer]", _write: Write) -> str:
        field = layers[node.rows[-1]].field
        return part(field) if field else ""

    return cell


def steps(stride: Sequence[float]) -> str:
    """Strides an axis, joined by x."""
    return "x".join(f"{step:.4g}" for step in stride)


COLUMNS = (
    Column("kind", "kind", "the type of the module; function: called by the module around it", lambda n, _l, _w: n.kind),
    Column("output", "output", "what it gives for one item: channels x height x width", lambda n, ls, _w: times(ls[n.rows[-1]].output)),
    Column("params", "params", "parameters, each counted where it is read first", _summed("params")),
    Column("connections", "connections", "inputs read by one output value, and 1 for a bias, times output values", _summed("connections")),
    Column("macs", "MACs", "multiply-adds of convolutions, linear layers and matrix products, padding cells included; all else 0", _summed("macs")),
    Column("memory", "memory", "bytes that its outputs take and no input held already", _summed("bytes")),
    Column("field", "field", "receptive field: cells of the input that one value reads, height x width; empty: no bound, or unknown", _of_field(lambda f: times(f.size))),
    Column("stride", "stride", "cells of the input between two neighbouring values", _of_field(lambda f: steps(f.stride))),
    Column("start", "start", "the first cell that the first value reads, negative in the padding", _of_field(lambda f: ",".join(map(str, f.start)))),
)  # fmt: skip
TOTALS = {
    "params": "params",
    "connections": "connections",
    "macs": "macs",
    "memory": "activation_bytes",
}


def table(sheet: "Sheet", *, width: int | None = None, depth: int | None = None) -> list[str]:
    """The tree as lines, totals last, and what each column says.

    Args:
        sheet: the measured net.
        width: of a terminal, which columns that do not fit are left out for; None leaves out none.
        depth: as for `tree`.
    """
    nodes = list(_flat(tree(sheet.layers, sheet.kinds, depth)))
    cells = {column.key: _cells(column, sheet, [node for _, node in nodes]) for column in COLUMNS}
    names = ["layer", *("  " * level + node.name for level, node in nodes), "total"]
    shown = [column for column in COLUMNS if column.key in _fitting(cells, names, width)]
    widths = [max(map(wide, cells[column.key])) for column in shown]
    room = max(map(wide, names))
    if width is not None:
        room = min(room, max(LEAST, width - sum(widths) - 2 * len(shown)))
    lines = [
        "  ".join([_padded(short(name, room), room), *_aligned(shown, cells, widths, i)]).rstrip()
        for i, name in enumerate(names)
    ]
    return [*lines, *_footer(shown, nodes, width)]


def _flat(nodes: Sequence[Node], level: int = 0) -> Iterator[tuple[int, Node]]:
    for node in nodes:
        yield level, node
        yield from _flat(node.children, level + 1)


def _cells(column: Column, sheet: "Sheet", nodes: Sequence[Node]) -> list[str]:
    """The title, a cell a node, and the total."""
    total = getattr(sheet.totals, TOTALS[column.key]) if column.key in TOTALS else None
    write = _writer(column.key, total or 0)
    last = "" if total is None else write(total)
    unknown = column.key == "connections" and set(sheet.counts.unconnected)
    found = [
        "-"
        if unknown and any(sheet.layers[i].op in unknown for i in node.rows)
        else column.cell(node, sheet.layers, write)
        for node in nodes
    ]
    return [column.title, *found, "-" if unknown else last]


def _writer(key: str, total: int) -> Write:
    """How the numbers of a column are written: every digit, or three with a prefix where its total is long."""
    if key == "memory":
        return _bytes
    return "{:,}".format if total < EXACT else compact


def _bytes(count: int) -> str:
    text = compact(count)
    return f"{text}B" if text[-1].isalpha() else f"{text} B"


def _fitting(
    cells: Mapping[str, Sequence[str]], names: Sequence[str], width: int | None
) -> list[str]:
    """The columns that there is room for."""
    keys = list(cells)
    room = min(max(map(wide, names)), 2 * LEAST)
    for key in DROPPED if width is not None else ():
        if room + sum(max(map(wide, cells[k])) + 2 for k in keys) <= (width or 0):
            break
        keys.remove(key)
    return keys


def _aligned(
    shown: Sequence[Column], cells: Mapping[str, Sequence[str]], widths: Sequence[int], row: int
) -> list[str]:
    """The cells of a row: words to the left, numbers to the right."""
    return [
        _padded(cells[column.key][row], width, left=column.key in ("kind", "output"))
        for column, width in zip(shown, widths, strict=True)
    ]


def _padded(cell: str, width: int, *, left: bool = True) -> str:
    room = " " * max(0, width - wide(cell))
    return cell + room if left else room + cell


def _footer(
    shown: Sequence[Column], nodes: Sequence[tuple[int, Node]], width: int | None
) -> list[str]:
    """What the columns say, and which are left out."""
    said = [f"{column.title}: {column.says}." for column in shown]
    if any(node.children for _, node in nodes):
        said.append("A module's row is the sum of the rows below it, with the output of its last.")
    if any(node.copies > 1 for _, node in nodes):
        said.append(
            "x2, x3, ...: so many modules that are alike; their row is the sum of all, the first one's layers stand below."
        )
    gone = [column.title for column in COLUMNS if column not in shown]
    if gone:
        said.append(f"Left out for want of room: {', '.join(gone)}; --format csv has all.")
    lines = ["For one item. k, M, G: thousand, million, thousand million.", *said]
    return lines if width is None else [wrapped(line, width) for line in lines]
