"""Sheets as one HTML page: each net with its input, its totals and its tree; several side by side first."""

import html
from collections.abc import Sequence

from striate.measuring.compare import Comparison
from striate.measuring.sheet import Sheet
from striate.result import html_page, html_table
from striate.text import SPACE, compact, times

STYLE = (
    "<style>h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .2rem}main p,header p{max-width:46rem}"
    "nav a{margin-right:1rem;color:inherit}.side{overflow-x:auto}.side table{border-collapse:collapse}"
    ".side td,.side th{padding:.2em .8em;text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums;"
    "border-bottom:1px solid color-mix(in srgb,currentColor 14%,transparent)}"
    ".side td:first-child,.side th:first-child{text-align:left;white-space:normal;padding-left:0}"
    "@media(max-width:40rem){.side td,.side th{padding:.2em .4em;font-size:.8rem}}:focus-visible{outline:2px solid currentColor}"
    "footer{margin-top:2.5rem;opacity:.8;font-size:.85rem}bdi{overflow-wrap:anywhere}</style>"
)


def page(sheets: Sequence[Sheet]) -> str:
    """One page that needs nothing else, for light and dark, a desk and a phone."""
    names = ", ".join(dict.fromkeys(sheet.net for sheet in sheets))
    links = "".join(f'<a href="#net-{i}">{_named(sheet)}</a>' for i, sheet in enumerate(sheets, 1))
    several = len(sheets) > 1
    body = (
        f"{STYLE}<header><h1>{html.escape(names)}</h1>"
        f"<p>Shapes, parameters, multiply-adds and receptive fields{' side by side' if several else ''}, counted by "
        f"Striate.</p>{f'<nav aria-label=nets>{links}</nav>' if several else ''}</header><main>"
        f"{_side_by_side(sheets) if several else ''}{''.join(map(_section, range(1, len(sheets) + 1), sheets))}</main>"
        "<footer>k, M, G: thousand, million, thousand million.</footer>"
    )
    return html_page(names, body)


def _named(sheet: Sheet) -> str:
    read = ", ".join(times(shape) for shape in sheet.inputs)
    return f"<bdi>{html.escape(sheet.net)}</bdi>, input {read}"


def _side_by_side(sheets: Sequence[Sheet]) -> str:
    header, rows = Comparison(tuple(sheets)).table(short=len(sheets) > 2)
    return (
        '<section><h2>Side by side</h2><div class="side" tabindex="0" role="group" aria-label="Side by side">'
        f"{html_table(header, rows)}</div></section>"
    )


def _section(number: int, sheet: Sheet) -> str:
    total = sheet.totals
    said = (
        f"{_amount(total.params)} parameters, {_amount(total.macs)} multiply-adds, {compact(total.activation_bytes)}B of "
        f"outputs for one item."
    )
    return f'<section id="net-{number}"><h2>{_named(sheet)}</h2><p>{said}</p>{sheet.as_html()}</section>'


def _amount(count: int) -> str:
    """Every digit, and in short where there are many."""
    return f"{count:,}" if count < 100_000 else f"{compact(count)}{SPACE}({count:,})"
