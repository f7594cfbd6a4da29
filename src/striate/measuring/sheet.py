"""The sheet: one row a function that a net calls, the totals, and how sure they are; as text, HTML that folds, CSV.

Shapes stand without the batch axis; everything is counted for one item. One multiply-add (MAC) counts one.
"""

import csv
import html
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

from striate.measuring.fields import NONE_UNREAD, Field, Unread
from striate.measuring.findings import Finding
from striate.measuring.operations import operation
from striate.measuring.shape_errors import Unfinished
from striate.result import Result, text_table
from striate.text import percent, times

HEADER = (
    "layer",
    "op",
    "output",
    "params",
    "connections",
    "MACs",
    "bytes",
    "field",
    "stride",
    "start",
)
CONVENTION = (
    "For one item. MACs: convolutions, linear layers and matrix products, padding cells included; everything "
    "else 0. Connections: inputs read by one output value, and 1 for a bias, times output values."
)


@dataclass(frozen=True)
class Layer:
    """One call of a function.

    Attributes:
        path: the module that called it; "" is the net itself.
        op: the function.
        output: shape of its (first) output; a leading batch axis of 1 is left out.
        params: parameters that no earlier row reads.
        trainable: those of them that require a gradient.
        connections: as LeCun counted them, for convolution, pooling and linear layers; else 0.
        macs: multiply-adds.
        bytes: memory that its outputs take and no input held already; 0 for views and in-place functions.
        field: the receptive field of its (first) output; None if it has no bound or is unknown.
    """

    path: str
    op: str
    output: tuple[int, ...]
    params: int
    trainable: int
    connections: int
    macs: int
    bytes: int
    field: Field | None = None


@dataclass(frozen=True)
class Totals:
    """Sums over the net; parameters count once however often they are read, and also if never."""

    params: int
    trainable: int
    connections: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True)
class Disagreement:
    """A row on which the two counts of MACs differ; None is a count that does not know the function."""

    path: str
    op: str
    formula: int | None
    flop_counter: int

    def as_text(self) -> str:
        """Where, and both figures."""
        ours = "unknown" if self.formula is None else f"{self.formula:,}"
        return f"{self.path or '(net)'} {self.op} {ours} against {self.flop_counter:,}"


@dataclass(frozen=True)
class Counts:
    """The MACs by two methods: our formulas, and PyTorch's flop counter (halved).

    `uncounted` names the functions whose MACs neither method knows, `unconnected` those that multiply
    but whose connections are not counted, such as lstm.
    """

    formula: int
    flop_counter: int
    uncounted: tuple[str, ...]
    disagree: tuple[Disagreement, ...]
    unconnected: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sheet(Result):
    """The measured net. `ran_on` is "meta" (shapes alone) or "cpu" (a net that needs real numbers).

    `unfinished` is None if the net ran to its end.
    """

    net: str
    inputs: tuple[tuple[int, ...], ...]
    layers: tuple[Layer, ...]
    totals: Totals
    counts: Counts
    findings: tuple[Finding, ...]
    ran_on: str
    field: Field | None = None
    unread: Unread = NONE_UNREAD
    unfinished: Unfinished | None = None

    @property
    def beyond_input(self) -> tuple[str, Field, Field] | None:
        """From which layer on a field is larger than the picture, that field, and the last such; None if none is."""
        sides = next((shape[1:] for shape in self.inputs if len(shape) > 1), ())
        wide = [
            (layer.path, layer.field)
            for layer in self.layers
            if layer.field and any(a > b for a, b in zip(layer.field.size, sides, strict=False))
        ]
        return (*wide[0], wide[-1][1]) if wide else None

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape `measure`; `field` is that of the first output."""
        return {
            "net": self.net,
            "inputs": [list(shape) for shape in self.inputs],
            "layers": [_layer_dict(layer) for layer in self.layers],
            "totals": asdict(self.totals),
            "shares": shares(self.layers),
            "counts": {
                "formula": self.counts.formula,
                "flop_counter": self.counts.flop_counter,
                "uncounted": list(self.counts.uncounted),
                "unconnected": list(self.counts.unconnected),
                "disagree": [asdict(row) for row in self.counts.disagree],
            },
            "field": self.field and self.field.as_dict(),
            "unread": self.unread.as_dict(),
            "findings": [asdict(finding) for finding in self.findings],
            "ran_on": self.ran_on,
            "unfinished": self.unfinished and asdict(self.unfinished),
        }

    def as_text(self) -> str:
        """The table with its totals, the convention, and the evidence for the count."""
        read = ", ".join(times(shape) for shape in self.inputs)
        lines = [
            f"{self.net}, input {read}",
            text_table(HEADER, self._rows()),
            CONVENTION,
            _parameters(self.layers, self.totals.params, self.totals.trainable),
            shares_text(self.layers),
            self._evidence(),
        ]
        if self.beyond_input:
            path, first, last = self.beyond_input
            lines.append(
                f"From {path or '(net)'} on fields are larger than the input: {times(first.size)}, "
                f"at last {times(last.size)}."
            )
        lines += [finding.as_text() for finding in self.findings]
        lines += [self.unfinished.as_text()] if self.unfinished else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        notes = [CONVENTION, self._evidence(), *(each.as_text() for each in self.findings)]
        notes += [self.unfinished.as_text()] if self.unfinished else []
        return _html(HEADER, self._rows(), self.layers, notes)

    def as_csv(self) -> str:
        """One line a row, for spreadsheets: trainable and frozen parameters apart, no totals."""
        return _csv(self.as_dict()["layers"])

    def _rows(self) -> list[list[str]]:
        rows = [
            [
                layer.path or "(net)",
                layer.op,
                times(layer.output),
                *_figures(layer, layer.bytes, counted=layer.op not in self.counts.unconnected),
                *_seen(layer.field),
            ]
            for layer in self.layers
        ]
        total = self.totals
        figures = _figures(total, total.activation_bytes, counted=not self.counts.unconnected)
        return [*rows, ["total", "", "", *figures, "", "", ""]]

    def _evidence(self) -> str:
        counts = self.counts
        text = "Two counts of the MACs agree: by formula and by torch.utils.flop_counter."
        if counts.disagree:
            text = (
                f"MACs by formula {counts.formula:,}, by torch.utils.flop_counter {counts.flop_counter:,}: "
                + "; ".join(row.as_text() for row in counts.disagree)
                + "."
            )
        if counts.uncounted:
            text += f" The MACs of these are unknown: {', '.join(counts.uncounted)}."
        if counts.unconnected:
            text += (
                f" The connections of these are not counted: {', '.join(counts.unconnected)}; "
                f"all others have {self.totals.connections:,}."
            )
        return text


def _layer_dict(layer: Layer) -> dict[str, Any]:
    return asdict(replace(layer, field=None)) | {
        "output": list(layer.output),
        "field": layer.field and layer.field.as_dict(),
    }


def _seen(field: Field | None) -> list[str]:
    return (
        ["", "", ""]
        if field is None
        else [
            times(field.size),
            "x".join(f"{step:.4g}" for step in field.stride),
            ",".join(map(str, field.start)),
        ]
    )


def _figures(row: Layer | Totals, size: int, *, counted: bool) -> list[str]:
    connections = f"{row.connections:,}" if counted else "-"
    return [f"{row.params:,}", connections, f"{row.macs:,}", f"{size:,}"]


def shares(layers: Sequence[Layer]) -> dict[str, dict[str, float]]:
    """The share of parameters and of MACs by kind of operation, 0 to 1, the largest parameters first."""
    params, macs = sum(row.params for row in layers), sum(row.macs for row in layers)
    found: dict[str, dict[str, float]] = {}
    for row in layers:
        share = found.setdefault(operation(row.op).kind, {"params": 0.0, "macs": 0.0})
        share["params"] += row.params / max(params, 1)
        share["macs"] += row.macs / max(macs, 1)
    paid = {name: share for name, share in found.items() if share["params"] or share["macs"]}
    return dict(sorted(paid.items(), key=lambda item: (-item[1]["params"], -item[1]["macs"])))


def shares_text(layers: Sequence[Layer]) -> str:
    """The shares as one line, without those under a tenth of a percent."""
    found = shares(layers)

    def listed(what: str) -> str:
        parts = sorted(((share[what], name) for name, share in found.items()), reverse=True)
        return (
            ", ".join(f"{name} {percent(part)}" for part, name in parts if part >= 0.001) or "none"
        )

    return f"Of the parameters: {listed('params')}. Of the MACs: {listed('macs')}."


# HTML that folds, block by block; neighbours that are alike in all but their name fold together. And CSV.

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


def blocks(layers: Sequence[Layer], rows: Sequence[int], depth: int = 0) -> list[Block]:
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


def _alike(layers: Sequence[Layer], first: Block, second: Block) -> bool:
    def told(block: Block) -> list[tuple[Any, ...]]:
        return [
            (layers[i].path.removeprefix(block.path), *_what_it_counts(layers[i]))
            for i in block.rows
        ]

    return told(first) == told(second)


def _what_it_counts(row: Layer) -> tuple[Any, ...]:
    return row.op, row.output, row.params, row.trainable, row.connections, row.macs, row.bytes


def _html(
    header: Sequence[str],
    cells: Sequence[Sequence[str]],
    layers: Sequence[Layer],
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
    layers: Sequence[Layer],
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


def _details(block: Block, layers: Sequence[Layer], content: str) -> str:
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


def _csv(layers: Sequence[Mapping[str, Any]]) -> str:
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
        seen = [times(field[part]) if field else "" for part in FIELD]
        writer.writerow([*(given[column] for column in COLUMNS), *seen])
    return out.getvalue()


def _parameters(layers: Sequence[Layer], total: int, trainable: int) -> str:
    if total == trainable:
        return f"Parameters: {total:,}, all trainable."
    frozen = [layer.path or "(net)" for layer in layers if layer.params > layer.trainable]
    where = f" ({', '.join(frozen[:6])}{', ...' if len(frozen) > 6 else ''})" if frozen else ""
    return f"Parameters: {total:,}, of which {trainable:,} trainable and {total - trainable:,} frozen{where}."
