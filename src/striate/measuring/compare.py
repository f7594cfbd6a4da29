"""Nets side by side, one net at several inputs, and the same maps fully connected."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from striate.measuring.inputs import Given, templates
from striate.measuring.operations import formula
from striate.measuring.sheet import Sheet, shares
from striate.probe import settled, trace
from striate.result import Result, contained, html_table, text_table
from striate.shapes import dense_cost
from striate.text import compact, percent, times, wide


@dataclass(frozen=True)
class Comparison(Result):
    """Sheets side by side: other nets, or one net at other inputs."""

    sheets: tuple[Sheet, ...]

    def as_dict(self) -> dict[str, Any]:
        """The sheets under one key; the command line prints the list alone."""
        return {"nets": self.as_list()}

    def as_list(self) -> list[dict[str, Any]]:
        """The JSON shape `measure`, once a sheet."""
        return [sheet.as_dict() for sheet in self.sheets]

    def _repr_html_(self) -> str:
        return contained(html_table(*self.table(short=len(self.sheets) > 2)))

    def as_text(self, *, width: int | None = None) -> str:
        """One column a sheet; with two the second as a multiple of the first.

        Args:
            width: columns of a terminal: figures are shortened, and sheets stand below each other, where it has no room.
        """
        for short in (False, True):
            header, rows = self.table(short=short)
            parts = [self._of_some(header, rows, range(1, len(header)))]
            if width is None or wide(parts[0].split("\n")[0]) <= width:
                return parts[0]
        header = header[: len(self.sheets) + 1]  # the ratio stands beside both or not at all
        count = len(self.sheets)
        while count > 1 and any(wide(part.split("\n")[0]) > (width or 0) for part in parts):
            count -= 1
            starts = range(1, len(header), count)
            parts = [
                self._of_some(header, rows, range(i, min(i + count, len(header)))) for i in starts
            ]
        return "\n\n".join(parts)

    @staticmethod
    def _of_some(header: Sequence[str], rows: Sequence[Sequence[str]], columns: range) -> str:
        """The names of the rows with some of the columns, numbers at the right."""
        picked = [[row[0], *(row[i] for i in columns)] for row in (header, *rows)]
        return text_table(picked[0], picked[1:], right=True)

    def table(self, *, short: bool = False) -> tuple[list[str], list[list[str]]]:
        """The heading and the rows; `short` figures have three digits."""
        write = _short if short else _grouped
        read = [", ".join(times(shape) for shape in sheet.inputs) for sheet in self.sheets]
        rows = [["input", *read, *self._blank()]]
        rows += [[name, *map(write, row), *_ratio(row)] for name, row in self._figures()]
        kinds = list(dict.fromkeys(k for sheet in self.sheets for k in shares(sheet.layers)))
        for what, words in (("params", "parameters"), ("macs", "MACs")):
            for name in kinds:
                parts = [shares(sheet.layers).get(name, {}).get(what, 0.0) for sheet in self.sheets]
                if max(parts) >= 0.001:
                    rows.append(
                        [f"{words}: {name}", *(f"{percent(p)}" for p in parts), *self._blank()]
                    )
        rows.append(["field", *(_field(sheet) for sheet in self.sheets), *self._blank()])
        header = ["", *(sheet.net for sheet in self.sheets)]
        return [*header, *(["ratio"] if len(self.sheets) == 2 else [])], rows

    def _blank(self) -> list[str]:
        return [""] if len(self.sheets) == 2 else []

    def _figures(self) -> list[tuple[str, list[int | None]]]:
        totals = [sheet.totals for sheet in self.sheets]
        return [
            ("parameters", [t.params for t in totals]),
            ("trainable", [t.trainable for t in totals]),
            (
                "connections",
                [None if s.counts.unconnected else s.totals.connections for s in self.sheets],
            ),
            ("MACs", [t.macs for t in totals]),
            ("activation bytes", [t.activation_bytes for t in totals]),
            ("operations", [len(sheet.layers) for sheet in self.sheets]),
        ]


def _grouped(figure: int | None) -> str:
    return "-" if figure is None else f"{figure:,}"


def _short(figure: int | None) -> str:
    return "-" if figure is None else compact(figure)


def _ratio(row: Sequence[int | None]) -> list[str]:
    if len(row) != 2:
        return []
    first, second = row
    return ["-" if second is None or not first else f"{second / first:,.2f}"]


def _field(sheet: Sheet) -> str:
    field = sheet.as_dict()["field"]
    return times(field["size"]) if field else "no bound"


@dataclass(frozen=True)
class Dense:
    """One layer, and the fully connected one between the same maps: sizes, and parameters of both."""

    path: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    params: int
    dense: int


@dataclass(frozen=True)
class Mlp(Result):
    """What a fully connected network would need for the same maps."""

    layers: tuple[Dense, ...]

    @property
    def params(self) -> int:
        """Parameters of the layers as they are; one that is called twice counts once."""
        return sum(layer.params for layer in self.layers)

    @property
    def dense(self) -> int:
        """Parameters fully connected; no two places share any."""
        return sum(layer.dense for layer in self.layers)

    def as_dict(self) -> dict[str, Any]:
        """Both totals, and one row a layer."""
        rows = [
            {"path": d.path, "input": list(d.input), "output": list(d.output), "params": d.params, "dense": d.dense}
            for d in self.layers
        ]  # fmt: skip
        return {"params": self.params, "dense": self.dense, "layers": rows}

    def as_text(self) -> str:
        """One row a layer with maps, and the totals."""
        rows = [
            [d.path or "(net)", times(d.input), times(d.output), f"{d.params:,}", f"{d.dense:,}",
             _times(d)]
            for d in self.layers
        ]  # fmt: skip
        total = [
            "total",
            "",
            "",
            f"{self.params:,}",
            f"{self.dense:,}",
            f"{self.dense / max(self.params, 1):,.0f}x",
        ]
        header = ["layer", "reads", "gives", "parameters", "fully connected", "more"]
        return f"{text_table(header, [*rows, total])}\nFully connected, with a bias an output, between the same maps."


def _times(row: Dense) -> str:
    return f"{row.dense / row.params:,.0f}x" if row.params else ""


def to_mlp(net: nn.Module, shape: Given | None = None) -> Mlp:
    """The parameters of a fully connected network between the maps of a net: its convolutions and linear layers.

    Args:
        net: any module.
        shape: one input without its batch axis, as for `measure`.
    """
    fed = templates(net, shape)
    net = settled(net, fed)
    run = trace(net, fed)
    sizes = {name: p.numel() for name, p in net.named_parameters()}
    rows: list[Dense] = []
    for call in run.calls:
        if not call.op.startswith(("conv", "linear")) or not formula(call):
            continue
        source, output = call.inputs[0].shape[1:], call.outputs[0].shape[1:]
        now = sum(sizes.pop(name, 0) for name in call.params)
        rows.append(Dense(call.path, source, output, now, dense_cost(source, output).params))
    return Mlp(tuple(rows))
