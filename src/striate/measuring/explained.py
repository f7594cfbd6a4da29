"""An explanation in words and tables, for a terminal and for a notebook."""

import html
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from striate.measuring.arithmetic import Arithmetic, grids
from striate.measuring.arithmetic.grids import short
from striate.measuring.inputs import counted, times
from striate.report import html_table, text_table

if TYPE_CHECKING:
    from striate.measuring.explain import Explanation

CHANNELS, TERMS = 3, 8  # shown in full; of the rest the sum
MARKS = {
    "padding": "[ ] padding",
    "gap": "· no input meets this cell of the kernel",
    "taken": "* taken",
}


def shown_at(at: Sequence[int]) -> str:
    """Coordinates as they are typed: 0,3,4."""
    return ",".join(map(str, at)) or "0"


def misplaced(shape: Sequence[int], at: Sequence[int], item: int, layer: str) -> str:
    """What is wrong with a place in an output [items, ...]."""
    count, *sides = shape
    if not 0 <= item < count:
        return f"item {item}: {layer} gives {counted(count, 'item')}, numbered from 0"
    axes = {1: " I", 2: " C,I", 3: " C,Y,X", 4: " C,Z,Y,X"}.get(len(sides), "")
    return (
        f"at={shown_at(at)}: {layer} gives {times(sides)}, so a place is {counted(len(sides), 'number')}{axes}, "
        f"from {shown_at([0] * len(sides))} to {shown_at([side - 1 for side in sides])}"
    )


def as_text(told: "Explanation") -> str:
    """Terms, sum, comparison, and what follows."""
    lines = [_title(told), told.done.rule]
    if told.done.terms:
        lines += ["", *_terms_text(told, told.done), ""]
    lines += [f"{name} {number:.9g}" for name, number in told.done.facts.items()]
    return "\n".join([*lines, *_evidence(told), *_next(told)])


def as_html(told: "Explanation", *, folded: bool = False) -> str:
    """The same as tables in a block that folds."""
    parts = [f"<p>{html.escape(told.done.rule)}</p>"]
    if told.done.terms:
        parts.append(_terms_html(told, told.done))
    parts += [f"<p>{name} {number:.9g}</p>" for name, number in told.done.facts.items()]
    parts += [f"<p>{html.escape(line)}</p>" for line in (*_evidence(told), *_next(told))]
    state = "" if folded else " open"
    return (
        f'{grids.STYLE}<details class="sa"{state}><summary>{html.escape(_title(told))}</summary>'
        f"{''.join(parts)}</details>"
    )


def _title(told: "Explanation") -> str:
    size = "x".join(map(str, told.shape)) or "1"
    return f"{told.path or '(net)'} ({told.op}) at {shown_at(told.at)} of {size} = {told.value:.9g}"


def _evidence(told: "Explanation") -> list[str]:
    if told.done.kind == "unknown":
        return []
    lines = [f"PyTorch ({told.dtype}) {told.value:.9g}", f"again in float64 {told.done.exact:.12g}"]
    if told.done.bound is None:
        return [*lines, f"they differ by {told.difference:.2g}; no bound of the rounding is known"]
    verdict = "within" if told.within else "MORE THAN"
    return [
        *lines,
        f"they differ by {told.difference:.2g}, {verdict} the rounding bound {told.done.bound:.2g}",
    ]


def _next(told: "Explanation") -> list[str]:
    return [f"then {after.path or '(net)'} ({after.op}): {after.value:.9g}" for after in told.after]


def _terms_text(told: "Explanation", done: Arithmetic) -> Iterator[str]:
    if not done.kernel:
        yield text_table(*_table(told, done))
        return
    for title, titled in _windows(told, done):
        yield title
        yield from (grids.as_text(row) for row in titled)
    yield from _sums(done)


def _terms_html(told: "Explanation", done: Arithmetic) -> str:
    if not done.kernel:
        return html_table(*_table(told, done))
    blocks = [
        f"<p>{html.escape(title)}</p>"
        + "".join(f"<div>{grids.as_html(row)}</div>" for row in titled)
        for title, titled in _windows(told, done)
    ]
    lines = [
        line.replace("[ ] padding", "hatched: padding").replace("* taken", "framed: taken")
        for line in _sums(done)
    ]
    return "".join(blocks) + "".join(f"<p>{html.escape(line)}</p>" for line in lines)


Titled = list[tuple[str, grids.Grid]]


def _windows(told: "Explanation", done: Arithmetic) -> Iterator[tuple[str, list[Titled]]]:
    found = grids.channels(done)
    sums = {channel: sum(t.product for t in terms) for channel, terms in found.items()}
    strongest = sorted(found, key=lambda channel: -abs(sums[channel]))[:CHANNELS]
    multiplied = any(term.factor != 1 for term in done.terms) and done.kind != "maximum"
    for channel in sorted(strongest, key=lambda c: -1 if c is None else c):
        terms = found[channel]
        read = next((told.name(t.source) for t in terms if t.source), "padding alone")
        whole = f"channel {channel}, from {read}"
        rows: list[Titled] = []
        for name, patch, kernel, products in grids.grids(done, terms):
            row = [(f"{name}read", patch)]
            rows.append([*row, ("kernel", kernel), ("products", products)] if multiplied else row)
        yield whole, rows


def _sums(done: Arithmetic) -> Iterator[str]:
    marks = {term.mark for term in done.terms} - {""}
    legend = [text for mark, text in MARKS.items() if mark in marks]
    if any(step > 1 for step in done.dilation):
        legend.append("· skipped by the dilation")
    if legend:
        yield "; ".join(legend)
    found = grids.channels(done)
    if len(found) > 1:
        each = [f"{c}: {short(sum(t.product for t in terms))}" for c, terms in found.items()]
        more = f" and {len(each) - 24:,} more" if len(each) > 24 else ""
        yield f"products summed by channel: {', '.join(each[:24])}{more}"


def _table(told: "Explanation", done: Arithmetic) -> tuple[list[str], list[list[str]]]:
    order = sorted(done.terms, key=lambda term: -abs(term.product))
    rows = [
        [
            told.name(t.source) if t.source else t.mark or "number",
            *map(short, (t.input, t.factor, t.product)),
        ]
        for t in order[:TERMS]
    ]
    if order[TERMS:]:
        rest = sum(term.product for term in order[TERMS:])
        rows.append([f"{len(order) - TERMS:,} more", "", "", short(rest)])
    return ["read", "number", "factor", "product"], rows
