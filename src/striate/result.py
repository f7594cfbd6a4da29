"""Results that print themselves: the command line, notebooks and pages show the same truth."""

import base64
import html
import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from striate.text import printable, wide


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
    """The same table as HTML, every cell escaped; cells of columns of numbers have the class `n`."""
    cells = [[str(cell) for cell in row] for row in rows]
    numbers = [
        i > 0 and all(_is_number(row[i]) for row in cells if i < len(row))
        for i in range(len(header))
    ]
    kinds = [' class="n"' if right else "" for right in numbers]
    head = "".join(
        f"<th{kind}>{html.escape(str(cell))}</th>" for cell, kind in zip(header, kinds, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{kind}>{html.escape(cell)}</td>" for cell, kind in zip(row, kinds, strict=False)
        )
        + "</tr>"
        for row in cells
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


NOTEBOOK = (
    # Nothing is painted behind, and words have the colour that they have around them, so that any theme of a notebook
    # fits; the colours of lines stand out on white and on black. Rules end at this element.
    "<style>.striate{font:14px/1.5 system-ui,sans-serif;font-variant-numeric:tabular-nums;color:inherit;"
    "--sans:system-ui,sans-serif;--ink:currentColor;--soft:color-mix(in srgb,currentColor 78%,transparent);"
    "--rule:color-mix(in srgb,currentColor 22%,transparent);--panel:color-mix(in srgb,currentColor 8%,transparent);"
    "--paper:transparent;--held:#2f81d4;--train:#8c8779;--rate:#8c8779;--right:#2f81d4;--wrong:#d9681d;--strong:#fff;"
    "max-width:60rem;overflow-x:auto}"
    ".striate table{border-collapse:collapse;font-size:13px;margin:.4em 0;color:inherit}"
    ".striate th,.striate td{padding:.2em .7em;text-align:left;background:none;border-bottom:1px solid var(--rule)}"
    ".striate .n{text-align:right}.striate th{font-weight:600}"
    ".striate p{margin:.4em 0;max-width:46rem}.striate h4{margin:.8em 0 .3em;font-size:14px}"
    ".striate .tiles{display:flex;flex-wrap:wrap;gap:.6em}.striate figure{margin:0;width:min-content}"
    ".striate figcaption{font-size:12px;overflow-wrap:anywhere;min-width:5.5rem}"
    ".striate img{display:block;max-width:100%;height:auto;image-rendering:pixelated}"
    ".striate .pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr));gap:1rem}"
    ".striate .ramp{display:inline-block;width:8rem;height:.7em;margin:0 .5em;border:1px solid var(--rule)}</style>"
)


def contained(content: str) -> str:
    """Markup for a notebook, in the colours of its theme; no rule of it reaches beyond."""
    return f'{NOTEBOOK}<div class="striate">{content}</div>'


def picture_tag(pixels: Any, alt: str, *, side: int = 96) -> str:
    """A picture as an <img> that carries its own data.

    Args:
        pixels: uint8 [H, W] or [H, W, C] of 1 or 3 channels; of others the first is shown.
        alt: what a reader who cannot see is told.
        side: pixels of its longer side on the page; smaller ones are enlarged as squares.
    """
    from PIL import Image

    flat = pixels if pixels.ndim == 2 or pixels.shape[2] == 3 else pixels[..., 0]
    picture = Image.fromarray(flat)
    picture.thumbnail((2 * side, 2 * side))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    scale = side / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}" width="{width}" height="{height}">'


def tile(picture: str, words: Sequence[str]) -> str:
    """A picture with lines below it; every line is escaped, and turns no other text round."""
    if not words:
        return f"<figure>{picture}</figure>"
    lines = "<br>".join(f"<bdi>{html.escape(printable(line, 80))}</bdi>" for line in words)
    return f"<figure>{picture}<figcaption>{lines}</figcaption></figure>"


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
    """Digits with what may stand between and behind them: thousands, a percent sign, a prefix and bytes."""
    bare = cell.translate({ord(c): "" for c in ",.%\N{NO-BREAK SPACE}"}).lstrip("-")
    return bare.removesuffix("B").rstrip("kMGT").isdigit() or cell in ("", "-")
