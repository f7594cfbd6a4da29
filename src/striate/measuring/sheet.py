"""The sheet: one row a function that a net calls, the totals, and how sure they are; as text, HTML that folds, CSV.

Shapes stand without the batch axis; everything is counted for one item. One multiply-add (MAC) counts one.
"""

import csv
import dataclasses
import html
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from striate.measuring.fields import NONE_UNREAD, Field, Unread
from striate.measuring.findings import Finding
from striate.measuring.layer_tree import COLUMNS, Block, blocks, steps, table
from striate.measuring.operations import operation
from striate.measuring.shape_errors import Unfinished
from striate.result import Result
from striate.text import compact, percent, plain, some, times, wrapped

HEADER = ("layer", *(column.title for column in COLUMNS))
CONVENTION = "For one item. " + " ".join(f"{column.title}: {column.says}." for column in COLUMNS)


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
        label: what the function does, where its name does not say it: a `pad` that takes cells away is a crop.
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
    label: str = ""


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


@dataclass(frozen=True, repr=False)
class Sheet(Result):
    """The measured net. `ran_on` is "meta" (shapes alone) or "cpu" (a net that needs real numbers).

    `unfinished` is None if the net ran to its end; `kinds` has the type of each module by its path.
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
    kinds: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])

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
            "layers": [
                _layer_dict(layer) | {"module": self.kinds.get(layer.path, "")}
                for layer in self.layers
            ],
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

    def as_text(self, *, width: int | None = None, depth: int | None = None) -> str:
        """The layers as a tree with totals, what each column says, and the evidence for the count.

        Args:
            width: columns of a terminal, for which what does not fit is left out; None leaves out nothing.
            depth: modules so many steps below the net stand in one row; None opens all.
        """
        read = ", ".join(times(shape) for shape in self.inputs)
        lines = table(self, width=width, depth=depth)
        said = [
            _parameters(self.layers, self.totals.params, self.totals.trainable),
            shares_text(self.layers),
            self._evidence(),
            *self._remarks(),
        ]
        said = said if width is None else [wrapped(line, width) for line in said]
        return "\n".join([f"{self.net}, input {read}", *lines, *said])

    def _remarks(self) -> list[str]:
        """Fields that are larger than the input, faults, and where the net stopped."""
        lines: list[str] = []
        if self.beyond_input:
            path, first, last = self.beyond_input
            lines.append(
                f"From {path or '(net)'} on fields are larger than the input: {times(first.size)}, "
                f"at last {times(last.size)}."
            )
        lines += [finding.as_text() for finding in self.findings]
        lines += [self.unfinished.as_text()] if self.unfinished else []
        return lines

    def __repr__(self) -> str:
        """The net, its input and its totals on one line."""
        read = ", ".join(times(shape) for shape in self.inputs)
        params, macs = (compact(n) for n in (self.totals.params, self.totals.macs))
        return plain(f"Sheet({self.net}, input {read}: {params} parameters, {macs} MACs)")

    def _repr_html_(self) -> str:
        notes = [CONVENTION, self._evidence(), *(each.as_text() for each in self.findings)]
        notes += [self.unfinished.as_text()] if self.unfinished else []
        return _html(HEADER, self._rows(), self, notes)

    def as_csv(self) -> str:
        """One line a row, for spreadsheets: trainable and frozen parameters apart, no totals."""
        return _csv(self.as_dict()["layers"])

    def _rows(self) -> list[list[str]]:
        rows = [
            [
                layer.path or "(net)",
                self._named_op(layer),
                times(layer.output),
                *_figures(layer, layer.bytes, counted=layer.op not in self.counts.unconnected),
                *_seen(layer.field),
            ]
            for layer in self.layers
        ]
        total = self.totals
        figures = _figures(total, total.activation_bytes, counted=not self.counts.unconnected)
        return [*rows, ["total", "", "", *figures, "", "", ""]]

    def _named_op(self, layer: Layer) -> str:
        """The type of a module that this function alone makes up; the function itself where a module has others too."""
        alone = sum(other.path == layer.path for other in self.layers) == 1
        leaf = not any(other.path.startswith(f"{layer.path}.") for other in self.layers)
        kind = self.kinds.get(layer.path, "") if layer.path and leaf else ""
        return (kind if alone else f"{kind}: {layer.label}") if kind else layer.label

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
    found = asdict(replace(layer, field=None)) | {
        "output": list(layer.output),
        "field": layer.field and layer.field.as_dict(),
    }
    return {key: value for key, value in found.items() if key != "label"}


def _seen(field: Field | None) -> list[str]:
    return (
        ["", "", ""]
        if field is None
        else [
            times(field.size),
            steps(field.stride),
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

CSV_COLUMNS = (
    "path",
    "op",
    "output",
    "params",
    "trainable",
    "frozen",
    "connections",
    "macs",
    "bytes",
    "module",
)
FIELD = ("size", "stride", "start")
AXES = ("z", "y", "x")
SHARES = (18, 14, 12, 8, 10, 8, 8, 8, 7, 7)  # percent of the width, a column each
STYLE = (
    "<style>.ss{font:13px/1.45 system-ui,sans-serif;overflow-x:auto;font-variant-numeric:tabular-nums}"
    ".ss table{border-collapse:collapse;table-layout:fixed;width:100%;min-width:60rem}"
    ".ss td,.ss th{padding:.18em .6em;text-align:right;overflow-wrap:anywhere;"
    "border-bottom:1px solid color-mix(in srgb,currentColor 14%,transparent)}"
    ".ss td:nth-child(-n+3),.ss th:nth-child(-n+3){text-align:left}.ss th{font-weight:600;opacity:.75}"
    ".ss td:nth-child(n+4):nth-child(-n+7){white-space:nowrap}"
    ".ss summary{cursor:pointer;padding:.25em .3em}.ss summary b{font-weight:600}.ss summary i{font-style:normal;opacity:.7}"
    ".ss details details{margin-left:1.1em}.ss .total{font-weight:600}.ss p{max-width:46rem}"
    "@media(max-width:40rem){.ss table{min-width:0}.ss td,.ss th{padding:.18em .25em;font-size:11px}"
    + "".join(
        f".ss {part}:nth-child({column}){{display:none}}"
        for part in ("td", "th", "col")
        for column in (2, 5, 7, 9, 10)
    )
    + ".ss col:nth-child(1){width:27%!important}.ss col:nth-child(3){width:25%!important}"
    ".ss col:nth-child(n+4){width:16%!important}.ss details details{margin-left:.3em}}</style>"
)


def _html(
    header: Sequence[str],
    cells: Sequence[Sequence[str]],
    sheet: Sheet,
    notes: Sequence[str],
) -> str:
    """The table; `cells` are one row a layer and one of totals."""
    layers = sheet.layers
    width = f"<colgroup>{''.join(f'<col style=width:{share}%>' for share in SHARES)}</colgroup>"
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in header)
    body = _fold(cells, sheet, range(len(layers)), 0, width)
    total = _table([cells[-1]], width, kind=' class="total"')
    told = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return (
        f'{STYLE}<div class="ss" tabindex="0" role="group" aria-label="layers"><table>{width}<thead><tr>{head}</tr></thead></table>'
        f"{''.join(body)}{total}{told}</div>"
    )


def _fold(
    cells: Sequence[Sequence[str]],
    sheet: Sheet,
    rows: Sequence[int],
    depth: int,
    width: str,
) -> Iterator[str]:
    plain: list[Sequence[str]] = []
    layers = sheet.layers
    for block in blocks(layers, rows, depth):
        deeper = any(layers[i].path != block.path for i in block.rows)
        if not deeper or not block.path:
            plain += [cells[i] for i in block.rows]
            continue
        if plain:
            yield _table(plain, width)
            plain = []
        inside = [
            _details(each, sheet, "".join(_fold(cells, sheet, each.rows, depth + 1, width)))
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


def _details(block: Block, sheet: Sheet, content: str) -> str:
    rows = [sheet.layers[i] for i in block.rows]
    said = (
        f"{sheet.kinds.get(block.path, '')} {times(rows[-1].output)}, {compact(sum(row.params for row in rows))} parameters, "
        f"{compact(sum(row.macs for row in rows))} MACs"
    )
    return (
        f"<details><summary><b>{html.escape(block.path)}</b> <i>{html.escape(said.strip())}</i></summary>"
        f"{content}</details>"
    )


def _table(rows: Sequence[Sequence[str]], width: str, kind: str = "") -> str:
    body = "".join(f"<tr{kind}>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table>{width}<tbody>{body}</tbody></table>"


def _cell(words: str) -> str:
    """A cell; a long number has three digits, and all of them where the pointer rests."""
    count = words.replace(",", "")
    if count.isdecimal() and int(count) >= 100_000:
        return f'<td title="{words}">{compact(int(count))}</td>'
    return f"<td>{html.escape(words)}</td>"


def _csv(layers: Sequence[Mapping[str, Any]]) -> str:
    """One line a row of the sheet, from its dictionaries; the sizes of an output are joined by x, fields have a column an axis."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    count = max((len(layer["field"]["size"]) for layer in layers if layer["field"]), default=0)
    axes = AXES[-count:] if 0 < count <= len(AXES) else tuple(map(str, range(count)))
    writer.writerow([*CSV_COLUMNS, *(f"field_{part}_{axis}" for part in FIELD for axis in axes)])
    for layer in layers:
        given = dict(layer) | {
            "output": "x".join(map(str, layer["output"])),
            "frozen": layer["params"] - layer["trainable"],
        }
        field = layer["field"] or dict.fromkeys(FIELD, [""] * count)
        seen = [value for part in FIELD for value in field[part]]
        writer.writerow([*(given[column] for column in CSV_COLUMNS), *seen])
    return out.getvalue()


def _parameters(layers: Sequence[Layer], total: int, trainable: int) -> str:
    if total == trainable:
        return f"Parameters: {total:,}, all trainable."
    # A path has a row for each of its operations.
    frozen = dict.fromkeys(each.path or "(net)" for each in layers if each.params > each.trainable)
    where = f" ({some([*frozen], 6)})" if frozen else ""
    return f"Parameters: {total:,}, of which {trainable:,} trainable and {total - trainable:,} frozen{where}."
