"""Results that print themselves: the command line, notebooks and pages show the same truth."""

import html
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from striate.text import wide


class Result(ABC):
    """A frozen result: as text, as a plain dictionary (the JSON shape), as HTML in a notebook."""

    @abstractmethod
    def as_text(self) -> str:
        """Lines for a terminal."""

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """Plain values that `json.dumps` takes, with the keys that other programs rely on."""

    def as_html(self) -> str:
        """Markup, as a notebook shows it."""
        return self._repr_html_()

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.as_text())}</pre>"

    def __str__(self) -> str:
        return self.as_text()


def text_table(
    header: Sequence[str], rows: Sequence[Sequence[object]], *, right: bool = False
) -> str:
    """Columns padded to their widest cell: the first to the left, those of numbers, or all others, to the right.

    >>> print(text_table(["layer", "params"], [["conv", 156], ["fc", "10,164"]]))
    layer  params
    conv      156
    fc     10,164
    """
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(wide(row[i]) for row in cells) for i in range(len(header))]
    flush = [
        i > 0 and (right or all(_is_number(row[i]) for row in cells[1:]))
        for i in range(len(header))
    ]
    lines = ("  ".join(map(_padded, row, widths, flush)).rstrip() for row in cells)
    return "\n".join(lines)


def _padded(cell: str, width: int, right: bool) -> str:
    """A cell in its column of a terminal, where East Asian letters take two places."""
    room = " " * (width - wide(cell))
    return room + cell if right else cell + room


def html_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The same table as HTML, every cell escaped."""
    head = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
    'content="width=device-width"><title>{title}</title><style>:root{{color-scheme:light dark}}'
    "body{{margin:2rem auto;max-width:72rem;padding:0 1rem;background:light-dark(#fcfbf8,#17181b);"
    "color:light-dark(#1c1c1a,#e9e6df);font:15px/1.5 system-ui,sans-serif}}</style></head>"
    "<body>{body}</body></html>"
)


def html_page(title: str, body: str) -> str:
    """A whole page that needs nothing else; `body` is markup already."""
    return PAGE.format(title=html.escape(title), body=body)


def _is_number(cell: str) -> bool:
    bare = cell.translate({ord(c): "" for c in ",.%\N{NO-BREAK SPACE}"}).lstrip("-")
    return bare.isdigit() or cell in ("", "-")
