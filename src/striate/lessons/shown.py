"""What a step of a lesson shows: tables, grids of numbers, small pictures; as text and as markup."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from striate.lessons.catalogue import Worded, Words
from striate.result import Result, contained, html_table, picture_tag, text_table, tile
from striate.text import number, wide

SHADES = " .:-=+*#%@"
PLAIN = Words("common")
WIDEST = 100  # columns of a terminal


@dataclass(frozen=True)
class Table(Worded):
    """Rows of numbers and words."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    words: Words = PLAIN

    def worded(self, words: Words) -> "Table":
        """The same in these words."""
        return replace(self, words=words)

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        header = [self.words.word(each) for each in self.header]
        return header, [[self._cell(cell) for cell in row] for row in self.rows]

    def _cell(self, cell: object) -> str:
        return number(cell) if isinstance(cell, int | float) else self.words.word(cell)

    def as_text(self) -> str:
        """Columns padded to their widest cell."""
        return text_table(*self._cells())

    def as_dict(self) -> dict[str, Any]:
        """Header and rows."""
        return {"header": list(self.header), "rows": [list(row) for row in self.rows]}

    def _repr_html_(self) -> str:
        return contained(html_table(*self._cells()))


@dataclass(frozen=True, eq=False)
class Grids(Worded):
    """Grids of numbers side by side, each below its name; a row of numbers is a grid of one row."""

    grids: Mapping[str, Any]
    words: Words = PLAIN

    def worded(self, words: Words) -> "Grids":
        """The same in these words."""
        return replace(self, words=words)

    def _arrays(self) -> list[tuple[str, np.ndarray[Any, Any]]]:
        return [(self.words.word(n), grid_of(values)) for n, values in self.grids.items()]

    def as_text(self) -> str:
        """The grids beside each other, in as many rows as a terminal needs."""
        blocks = [[name, *grid_lines(grid)] for name, grid in self._arrays()]
        return beside(blocks)

    def as_dict(self) -> dict[str, Any]:
        """The numbers by name."""
        return {name: grid_of(values).tolist() for name, values in self.grids.items()}

    def _repr_html_(self) -> str:
        tables = [tile(_table(grid), [name]) for name, grid in self._arrays()]
        return contained(f'<div class="tiles">{"".join(tables)}</div>')


@dataclass(frozen=True, eq=False)
class Pictures(Worded):
    """Grey pictures side by side, each from its own darkest to its own lightest value, or from `low` to `high`."""

    pictures: Mapping[str, Any]
    low: float | None = None
    high: float | None = None
    words: Words = PLAIN

    def worded(self, words: Words) -> "Pictures":
        """The same in these words."""
        return replace(self, words=words)

    def _shares(self) -> list[tuple[str, np.ndarray[Any, Any]]]:
        """Of every picture its name and its values from 0, black, to 1, white."""
        found: list[tuple[str, np.ndarray[Any, Any]]] = []
        for name, values in self.pictures.items():
            grid = grid_of(values)
            low = grid.min() if self.low is None else self.low
            high = grid.max() if self.high is None else self.high
            share = (grid - low) / max(high - low, 1e-12)
            found.append((self.words.word(name), share.clip(0, 1)))
        return found

    def as_text(self) -> str:
        """Lighter letters for lighter pixels; a pixel is two letters wide."""
        return beside([[name, *_letters(share)] for name, share in self._shares()])

    def as_dict(self) -> dict[str, Any]:
        """The numbers by name."""
        return {name: grid_of(values).tolist() for name, values in self.pictures.items()}

    def _repr_html_(self) -> str:
        tiles = [
            tile(picture_tag(np.rint(255 * share).astype(np.uint8), name, side=112), [name])
            for name, share in self._shares()
        ]
        return contained(f'<div class="tiles">{"".join(tiles)}</div>')


@dataclass(frozen=True)
class Shown(Worded):
    """What one step shows.

    Attributes:
        parts: results, one below the other.
        numbers: what the words after them name.
    """

    parts: Sequence[Result]
    numbers: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def worded(self, words: Words) -> "Shown":
        """The same in these words."""
        parts = [part.worded(words) if isinstance(part, Worded) else part for part in self.parts]
        return replace(self, parts=parts)

    def as_text(self) -> str:
        """The parts with empty lines between them."""
        return "\n\n".join(part.as_text() for part in self.parts)

    def as_dict(self) -> dict[str, Any]:
        """The parts in order, and the numbers."""
        return {
            "parts": [part.as_dict() for part in self.parts],
            "numbers": {key: _plain(value) for key, value in self.numbers.items()},
        }

    def _repr_html_(self) -> str:
        return "".join(part.as_html() for part in self.parts)


def grid_of(values: Any) -> np.ndarray[Any, Any]:
    """Numbers of two axes: leading axes of one are dropped, one axis is one row.

    >>> grid_of([1, 2]).shape, grid_of([[[1], [2]]]).shape
    ((1, 2), (2, 1))
    """
    detached = values.detach() if hasattr(values, "detach") else values
    grid = np.asarray(detached, dtype=np.float64)
    while grid.ndim > 2 and grid.shape[0] == 1:
        grid = grid[0]
    return np.atleast_2d(grid)


def grid_lines(
    grid: np.ndarray[Any, Any], marks: Mapping[tuple[int, int], str] | None = None
) -> list[str]:
    """Rows of numbers with columns of one width; a mark stands behind its number."""
    cells = [
        [f"{_short(value)}{(marks or {}).get((y, x), '')}" for x, value in enumerate(row)]
        for y, row in enumerate(grid.tolist())
    ]
    width = max((len(cell) for row in cells for cell in row), default=1)
    return [" ".join(cell.rjust(width) for cell in row) for row in cells]


def _short(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    whole = round(value)
    return f"{whole}" if abs(value - whole) < 1e-6 else f"{value:.2f}"


def beside(blocks: Sequence[Sequence[str]], gap: str = "   ") -> str:
    """Blocks of lines beside each other; those that a terminal has no room for stand below."""
    rows: list[list[Sequence[str]]] = [[]]
    taken = 0
    for block in blocks:
        width = max(map(wide, block)) + len(gap)
        if rows[-1] and taken + width > WIDEST:
            rows.append([])
            taken = 0
        rows[-1].append(block)
        taken += width
    return "\n\n".join(_joined(row, gap) for row in rows if row)


def _joined(blocks: Sequence[Sequence[str]], gap: str) -> str:
    widths = [max(map(wide, block)) for block in blocks]
    height = max(map(len, blocks))
    lines = (
        gap.join(
            (line := block[i] if i < len(block) else "") + " " * (width - wide(line))
            for block, width in zip(blocks, widths, strict=True)
        ).rstrip()
        for i in range(height)
    )
    return "\n".join(lines)


def _letters(share: np.ndarray[Any, Any]) -> list[str]:
    levels = np.minimum((share * len(SHADES)).astype(int), len(SHADES) - 1)
    return ["".join(2 * SHADES[level] for level in row) for row in levels.tolist()]


def _table(grid: np.ndarray[Any, Any]) -> str:
    rows = "".join(
        f"<tr>{''.join(f'<td class=n>{html.escape(_short(cell))}</td>' for cell in row)}</tr>"
        for row in grid.tolist()
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
