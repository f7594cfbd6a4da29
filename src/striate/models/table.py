"""The catalogue as a result: a table for the terminal, a list of rows for other programs."""

from dataclasses import dataclass
from typing import Any

from striate.models.facts import Entry
from striate.report import Result, html_table, text_table

HEADER = ("net", "year", "input", "params", "MACs", "tasks", "note")


@dataclass(frozen=True)
class NetTable(Result):
    """The nets that a pattern matches, in the order of the catalogue."""

    entries: tuple[Entry, ...]

    def as_list(self) -> list[dict[str, object]]:
        """The JSON shape `nets`: one object a net."""
        return [entry.as_dict() for entry in self.entries]

    def as_dict(self) -> dict[str, Any]:
        """The same rows under one key, as every result gives a dictionary."""
        return {"nets": self.as_list()}

    def as_text(self) -> str:
        """One line a net; params at inference, MACs of one item at the input shown."""
        return text_table(HEADER, self._rows())

    def _rows(self) -> list[list[object]]:
        return [
            [
                entry.name,
                entry.year,
                "x".join(str(side) for side in entry.input),
                f"{entry.params:,}",
                f"{entry.macs:,}",
                ", ".join(entry.tasks),
                entry.note,
            ]
            for entry in self.entries
        ]

    def _repr_html_(self) -> str:
        return html_table(HEADER, self._rows())
