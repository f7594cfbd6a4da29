"""The sheet: one row a function that a net calls, the totals, and how sure they are.

Shapes stand without the batch axis; everything is counted for one item. One multiply-add (MAC) counts one.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from striate.measuring import folding
from striate.measuring.comparison import shares, shares_text
from striate.measuring.fields import NONE_UNREAD, Field, Unread
from striate.measuring.finding import Finding, Unfinished
from striate.measuring.inputs import times
from striate.report import Result, text_table

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
            folding.parameters(self.layers, self.totals.params, self.totals.trainable),
            shares_text(self.layers),
            self._evidence(),
        ]
        lines += [finding.as_text() for finding in self.findings]
        lines += [self.unfinished.as_text()] if self.unfinished else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        notes = [CONVENTION, self._evidence(), *(each.as_text() for each in self.findings)]
        notes += [self.unfinished.as_text()] if self.unfinished else []
        return folding.as_html(HEADER, self._rows(), self.layers, notes)

    def as_csv(self) -> str:
        """One line a row, for spreadsheets: trainable and frozen parameters apart, no totals."""
        return folding.as_csv(self.as_dict()["layers"])

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
    """Size, stride and start as they stand in the table."""
    return (
        ["", "", ""]
        if field is None
        else [
            "x".join(map(str, field.size)),
            "x".join(f"{step:.4g}" for step in field.stride),
            ",".join(map(str, field.start)),
        ]
    )


def _figures(row: Layer | Totals, size: int, *, counted: bool) -> list[str]:
    """Parameters, connections (- if they are not counted), MACs and bytes as they stand in the table."""
    connections = f"{row.connections:,}" if counted else "-"
    return [f"{row.params:,}", connections, f"{row.macs:,}", f"{size:,}"]
