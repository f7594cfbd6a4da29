"""Windows as grids of numbers: what was read, the kernel, the products, one set a channel and slice."""

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from striate.measuring.operations.number_terms import Arithmetic, Term

GAP, SIDE_BY_SIDE = "·", "   "
STYLE = (
    "<style>.sa table{border-collapse:collapse;margin:.3em 1.2em .3em 0;display:inline-table;vertical-align:top}"
    ".sa td{border:1px solid color-mix(in srgb,currentColor 22%,transparent);padding:.15em .5em;text-align:right;"
    "font-variant-numeric:tabular-nums}.sa caption{text-align:left;opacity:.7;font-size:.85em}"
    ".sa .padding{background:repeating-linear-gradient(45deg,transparent 0 4px,color-mix(in srgb,currentColor 16%,"
    "transparent) 4px 5px);opacity:.75}.sa .gap{opacity:.35}.sa .taken{outline:2px solid #d66014;outline-offset:-2px}"
    ".sa p{margin:.4em 0}.sa summary{cursor:pointer}</style>"
)


@dataclass(frozen=True)
class Cell:
    """A number in a grid and how it is marked: "", "padding", "gap" or "taken"."""

    text: str
    mark: str = ""
    value: float = 0.0


Grid = list[list[Cell]]


def short(x: float) -> str:
    """Four digits.

    >>> short(0.123456), short(-float("inf"))
    ('0.1235', '-inf')
    """
    return f"{x:.4g}"


def by_channel(done: Arithmetic) -> dict[int | None, list[Term]]:
    """Terms by input channel, in order."""
    found: dict[int | None, list[Term]] = {}
    for term in done.terms:
        found.setdefault(term.channel, []).append(term)
    return found


def grids(done: Arithmetic, terms: Sequence[Term]) -> Iterator[tuple[str, Grid, Grid, Grid]]:
    """For every slice of a window: its name, the patch as it lies in the input, the kernel, the products."""
    kernel, dilation = ((1,) * (2 - len(sides)) + sides for sides in (done.kernel, done.dilation))
    size = kernel[-2] * kernel[-1]
    for start in range(0, len(terms), size):
        part = terms[start : start + size]
        tap = part[0].tap[:-2]
        name = f"slice {', '.join(map(str, tap))}: " if tap else ""
        yield (
            name,
            _patch(part, kernel[-2:], dilation[-2:]),
            _cells([t.factor for t in part], kernel[-1]),
            _cells([t.product for t in part], kernel[-1]),
        )


def _patch(terms: Sequence[Term], kernel: Sequence[int], dilation: Sequence[int]) -> Grid:
    height, width = ((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    grid = [[Cell(GAP, "gap")] * width for _ in range(height)]
    for i, term in enumerate(terms):
        row, column = i // kernel[1] * dilation[0], i % kernel[1] * dilation[1]
        grid[row][column] = _cell(term)
    return grid


def _cell(term: Term) -> Cell:
    if term.mark == "gap":
        return Cell(GAP, "gap")
    shown = short(term.input)
    texts = {"padding": f"[{shown}]", "taken": f"*{shown}"}
    return Cell(texts.get(term.mark, shown), term.mark, term.input)


def _cells(numbers: Sequence[float], width: int) -> Grid:
    cells = [Cell(short(x), "", x) for x in numbers]
    return [cells[i : i + width] for i in range(0, len(cells), width)]


def as_text(titled: Sequence[tuple[str, Grid]]) -> str:
    """Grids side by side, each under its title."""
    blocks = [_block(title, grid) for title, grid in titled]
    height = max(map(len, blocks))
    padded = [block + [" " * len(block[0])] * (height - len(block)) for block in blocks]
    return "\n".join(SIDE_BY_SIDE.join(row).rstrip() for row in zip(*padded, strict=True))


def _block(title: str, grid: Grid) -> list[str]:
    wide = max((len(cell.text) for row in grid for cell in row), default=1)
    rows = [" ".join(cell.text.rjust(wide) for cell in row) for row in grid]
    full = max(len(title), *(len(row) for row in rows))
    return [line.ljust(full) for line in (title, *rows)]


def as_html(titled: Sequence[tuple[str, Grid]]) -> str:
    """The same as tables; colour is the sign and size of a number: blue below zero, orange above."""
    return "".join(_table(title, grid) for title, grid in titled)


def _table(title: str, grid: Grid) -> str:
    sizes = [abs(c.value) for row in grid for c in row if math.isfinite(c.value)]
    top = max(sizes, default=0.0) or 1.0
    rows = "".join(f"<tr>{''.join(_td(cell, top) for cell in row)}</tr>" for row in grid)
    return f"<table><caption>{html.escape(title)}</caption>{rows}</table>"


def _td(cell: Cell, top: float) -> str:
    kind = f' class="{cell.mark}"' if cell.mark else ""
    share = abs(cell.value) / top if math.isfinite(cell.value) else 0.0
    colour = "214,96,20" if cell.value > 0 else "58,122,190"
    paint = (
        f' style="background:rgba({colour},{0.6 * share:.2f})"' if share and not cell.mark else ""
    )
    return f"<td{kind}{paint}>{html.escape(cell.text.strip('*[]'))}</td>"
