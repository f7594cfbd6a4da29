"""One axis of a window: the cells that are drawn, what they hold, and which of them every output reads.

A transposed convolution is drawn as the same sliding window over its input, spread by the stride, with the
kernel turned round: Dumoulin and Visin, arXiv 1603.07285, section 4.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from striate.errors import ArgumentError, ShapeError, nearest
from striate.shapes import out_size, spread, transposed_size
from striate.shapes.index_maps import FILLS, sliding

WORDS = ("zeros", *FILLS)


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        sources: for every drawn cell the input cell it holds; None where it holds none.
        marks: for every drawn cell "", "padding", or "gap" between inputs that are spread.
        reads: for every output the drawn cell that each cell of the kernel meets.
    """

    sources: tuple[int | None, ...]
    marks: tuple[str, ...]
    reads: tuple[tuple[int, ...], ...]


def forward(
    n: int, *, kernel: int, stride: int, pad: int, dilation: int, fill: str | float, turned: bool
) -> Axis:
    """The axis of a convolution or pooling; where it is turned the last cell of the kernel comes first.

    Raises:
        ArgumentError: an unknown fill.
        ShapeError: the kernel does not fit, or there are too few cells to reflect or wrap round.
    """
    word = "constant" if isinstance(fill, int | float) else fill
    if word not in (*WORDS, "constant"):
        raise ArgumentError(f"fill={fill!r}: unknown; {nearest(word, WORDS)}")
    most = {"reflect": n - 1, "circular": n}.get(word, pad)
    if pad > most:
        raise ShapeError(f"pad={pad}: {word} padding of {n} cells is at most {most}")
    out = out_size(n, kernel=kernel, stride=stride, padding=pad, dilation=dilation)
    cells = range(-pad, n + pad)
    window = sliding(kernel, stride, 0, dilation)
    return Axis(
        tuple(_source(cell, n, word) for cell in cells),
        tuple("" if 0 <= cell < n else "padding" for cell in cells),
        tuple(read[::-1] if turned else read for read in map(window.at, range(out))),
    )


def _source(cell: int, n: int, fill: str) -> int | None:
    inside = 0 <= cell < n
    return cell if inside else FILLS[fill](cell, n) if fill in FILLS else None


def transposed(n: int, *, kernel: int, stride: int, pad: int, dilation: int, extra: int) -> Axis:
    """The axis of a transposed convolution: output y meets the spread input at y + pad - k dilation.

    Raises:
        ShapeError: nothing is left after `pad` is cut off.
    """
    full = transposed_size(n, kernel=kernel, stride=stride, dilation=dilation, output_padding=extra)
    out = full - 2 * pad  # may be nothing, which is told in words of its own
    if out < 1:
        raise ShapeError(f"pad={pad} cuts all of {out + 2 * pad} cells off; take a smaller one")
    turned = sliding(kernel, 1, spread(kernel, dilation) - 1 - pad, dilation)
    low = min(turned.at(0)[0], 0)
    wide = (n - 1) * stride + 1
    cells = range(low, max(wide, out + pad))
    real = [0 <= cell < wide and cell % stride == 0 for cell in cells]
    return Axis(
        tuple(cell // stride if held else None for cell, held in zip(cells, real, strict=True)),
        tuple(_mark(cell, wide, held=held) for cell, held in zip(cells, real, strict=True)),
        tuple(tuple(cell - low for cell in reversed(turned.at(y))) for y in range(out)),
    )


def _mark(cell: int, wide: int, *, held: bool) -> str:
    if held:
        return ""
    return "gap" if 0 <= cell < wide else "padding"


def worst(marks: Iterable[str]) -> str:
    """The mark of a cell from those of its rows and columns: padding hides a gap."""
    found = set(marks)
    return next((mark for mark in ("padding", "gap") if mark in found), "")
