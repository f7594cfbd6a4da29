"""The sheet as HTML that folds, block by block, and as CSV. Neighbours that are alike in all but their name fold together."""

import csv
import html
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate.measuring.sheet import Layer

COLUMNS = ("path", "op", "output", "params", "trainable", "frozen", "connections", "macs", "bytes")
FIELD = ("size", "stride", "start")
SHARES = (18, 12, 11, 9, 12, 12, 10, 6, 5, 5)  # percent of the width, a column each
STYLE = (
    "<style>.ss{font:13px/1.45 system-ui,sans-serif;overflow-x:auto;font-variant-numeric:tabular-nums}"
    ".ss table{border-collapse:collapse;table-layout:fixed;width:100%;min-width:66rem}"
    ".ss td,.ss th{padding:.18em .6em;text-align:right;overflow-wrap:anywhere;"
    "border-bottom:1px solid color-mix(in srgb,currentColor 14%,transparent)}"
    ".ss td:nth-child(-n+3),.ss th:nth-child(-n+3){text-align:left}.ss th{font-weight:600;opacity:.75}"
    ".ss td:nth-child(n+4):nth-child(-n+7){white-space:nowrap}"
    ".ss summary{cursor:pointer;padding:.25em .3em}.ss summary b{font-weight:600}.ss summary i{font-style:normal;opacity:.7}"
    ".ss details details{margin-left:1.1em}.ss .total{font-weight:600}</style>"
)


@dataclass(frozen=True)
class Block:
    """Rows of one module: its path, the row numbers, and the paths of those after it that are alike."""

    path: str
    rows: tuple[int, ...]
    alike: tuple["Block", ...] = ()


def blocks(layers: Sequence["Layer"], rows: Sequence[int], depth: int = 0) -> list[Block]:
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


def _alike(layers: Sequence["Layer"], first: Block, second: Block) -> bool:
    def told(block: Block) -> list[tuple[Any, ...]]:
        return [(layers[i].path.removeprefix(block.path), *_figures(layers[i])) for i in block.rows]

    return told(first) == told(second)


def _figures(row: "Layer") -> tuple[Any, ...]:
    return row.op, row.output, row.params, row.trainable, row.connections, row.macs, row.bytes


def as_html(
    header: Sequence[str],
    cells: Sequence[Sequence[str]],
    layers: Sequence["Layer"],
    notes: Sequence[str],
) -> str:
    """The table; `cells` are one row a layer and one of totals."""
    width = f"<colgroup>{''.join(f'<col style=width:{share}%>' for share in SHARES)}</colgroup>"
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = _fold(cells, layers, range(len(layers)), 0, width)
    total = _table([cells[-1]], width, kind=' class="total"')
    told = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return (
        f'{STYLE}<div class="ss"><table>{width}<thead><tr>{head}</tr></thead></table>'
        f"{''.join(body)}{total}{told}</div>"
    )


def _fold(
    cells: Sequence[Sequence[str]],
    layers: Sequence["Layer"],
    rows: Sequence[int],
    depth: int,
    width: str,
) -> Iterator[str]:
    plain: list[Sequence[str]] = []
    for block in blocks(layers, rows, depth):
        deeper = any(layers[i].path != block.path for i in block.rows)
        if not deeper or not block.path:
            plain += [cells[i] for i in block.rows]
            continue
        if plain:
            yield _table(plain, width)
            plain = []
        inside = [
            _details(each, layers, "".join(_fold(cells, layers, each.rows, depth + 1, width)))
            for each in (block, *block.alike)
        ]
        if not block.alike:
            yield inside[0]
            continue
        count = len(block.alike) + 1
        names = ", ".join(each.path for each in (block, *block.alike))
        yield (
            f"<details><summary><b>x{count} identical</b> <i>{html.escape(names)}</i></summary>"
            f"{''.join(inside)}</details>"
        )
    if plain:
        yield _table(plain, width)


def _details(block: Block, layers: Sequence["Layer"], content: str) -> str:
    params = sum(layers[i].params for i in block.rows)
    macs = sum(layers[i].macs for i in block.rows)
    return (
        f"<details><summary><b>{html.escape(block.path)}</b> <i>{layers[block.rows[-1]].op} last, "
        f"{params:,} parameters, {macs:,} MACs</i></summary>{content}</details>"
    )


def _table(rows: Sequence[Sequence[str]], width: str, kind: str = "") -> str:
    body = "".join(
        f"<tr{kind}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table>{width}<tbody>{body}</tbody></table>"


def as_csv(layers: Sequence[Mapping[str, Any]]) -> str:
    """One line a row of the sheet, from its dictionaries; sizes are joined by x, fields by axis too."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*COLUMNS, *(f"field_{part}" for part in FIELD)])
    for layer in layers:
        given = dict(layer) | {
            "output": "x".join(map(str, layer["output"])),
            "frozen": layer["params"] - layer["trainable"],
        }
        field = layer["field"] or {}
        seen = ["x".join(map(str, field[part])) if field else "" for part in FIELD]
        writer.writerow([*(given[column] for column in COLUMNS), *seen])
    return out.getvalue()


def parameters(layers: Sequence["Layer"], total: int, trainable: int) -> str:
    """How many parameters are trained, and which layers hold the others."""
    if total == trainable:
        return f"Parameters: {total:,}, all trainable."
    frozen = [layer.path or "(net)" for layer in layers if layer.params > layer.trainable]
    where = f" ({', '.join(frozen[:6])}{', ...' if len(frozen) > 6 else ''})" if frozen else ""
    return f"Parameters: {total:,}, of which {trainable:,} trainable and {total - trainable:,} frozen{where}."
