"""Boxes to scale, as architectures are drawn in papers. C channels, H W pixels.

Heights are proportional to the side of the maps, widths to the number of channels, units of vectors to
their height; what would be thinner than a line is drawn as a line. The straight line from box to box is the
first way through the net, arcs are the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from math import sqrt

from striate import svg
from striate.text import TIMES, times

TALLEST, WIDEST = 150.0, 46.0  # pixels of the largest map and of the most channels
SLANT = 0.32  # of the side, drawn backwards
STEP = 30.0  # between boxes
CELL = 74.0  # least room of a box with its words
LETTER = 5.2  # of a label
FACES = "--front:{};--top:{};--side:{}"  # of a box, three shades of one colour
STYLE = (
    f".drawing{{{FACES.format('#cfe0f3', '#e6effa', '#a9c5e5')}}}"
    f"@media(prefers-color-scheme:dark){{.drawing{{{FACES.format('#2e4a6b', '#3d6089', '#223850')}}}}}"
    ".drawing .f{fill:var(--front)}.drawing .u{fill:var(--top)}.drawing .r{fill:var(--side)}"
    ".drawing path{stroke:var(--held);stroke-width:.7;stroke-linejoin:round}.drawing .l{fill:none;stroke:var(--soft)}"
    ".drawing .a{fill:none;stroke:var(--wrong);stroke-width:1.4}.drawing #to path{fill:var(--soft);stroke:none}"
)
HEAD = (
    '<defs><marker id="to" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="5" markerHeight="5" '
    'orient="auto" markerUnits="userSpaceOnUse"><path d="M0 0L6 3L0 6Z"/></marker></defs>'
)


@dataclass(frozen=True)
class Arc:
    """A way from an earlier box: the index of that box, what is written over it, and its number among those from there."""

    source: int
    label: str = ""
    nested: int = 1


@dataclass(frozen=True)
class Box:
    """One stage: its shape (C, H, W) or (units,), what made it, and the ways that reach it over others."""

    shape: tuple[int, ...]
    label: str
    arcs: tuple[Arc, ...] = ()


@dataclass(frozen=True)
class _Placed:
    left: float
    width: float
    height: float
    slant: float
    middle: float


def draw(title: str, stages: Sequence[Box]) -> str:
    """One SVG of all stages in a row."""
    placed, total = _place(stages)
    base = 64 + TALLEST * (1 + SLANT) + 22 * any(box.arcs for box in stages)
    parts = [HEAD, svg.text(title, 12, 22, "title")]
    parts += [_line(before, after, base) for before, after in pairwise(placed)]
    for box, at in zip(stages, placed, strict=True):
        parts.append(_box(box, at, base))
    for index, box in enumerate(stages):
        parts += [_arc(arc, placed[arc.source], placed[index], base) for arc in box.arcs]
    return svg.drawing("".join(parts), round(total), round(base + 52), title, STYLE)


def _place(stages: Sequence[Box]) -> tuple[list[_Placed], float]:
    # Capsules and other regrouped values come after the maps and are no pictures: they set no scale.
    rank = len(stages[0].shape)
    maps = [box.shape for box in takewhile(lambda box: len(box.shape) == rank, stages) if rank > 1]
    side = max((max(shape[1:]) for shape in maps), default=1)
    channels = max((shape[0] for shape in maps), default=1)
    units = max((box.shape[0] for box in stages if len(box.shape) == 1), default=1)
    placed: list[_Placed] = []
    x = 16.0
    for box in stages:
        if len(box.shape) > 1:
            height = max(1.5, TALLEST * min(1, max(box.shape[1:]) / side))
            width = max(1.5, WIDEST * min(1, box.shape[0] / channels))
            slant = SLANT * height
        else:
            count = box.shape[0] if box.shape else 1
            height, width, slant = max(2.0, TALLEST * sqrt(count / units)), 5.0, 2.0
        room = max(CELL, width + slant + STEP, LETTER * len(box.label) + 12)
        left = x + (room - width - slant) / 2
        placed.append(_Placed(left, width, height, slant, x + room / 2))
        x += room
    return placed, x + 16


def _box(box: Box, at: _Placed, base: float) -> str:
    middle = 64 + (base - 64) / 2
    bottom = middle + at.height / 2 + at.slant / 2
    top, right = bottom - at.height, at.left + at.width
    back = f"l{at.slant:.1f} {-at.slant:.1f}"
    words = f" {TIMES} ".join(map(str, box.shape[1:])) if len(box.shape) > 1 else "units"
    return (
        f"<g>{svg.tip(f'{box.label}: {times(box.shape)}')}"
        f'<path class="f" d="M{at.left:.1f} {top:.1f}H{right:.1f}V{bottom:.1f}H{at.left:.1f}Z"/>'
        f'<path class="u" d="M{at.left:.1f} {top:.1f}{back}h{at.width:.1f}L{right:.1f} {top:.1f}Z"/>'
        f'<path class="r" d="M{right:.1f} {top:.1f}{back}v{at.height:.1f}L{right:.1f} {bottom:.1f}Z"/></g>'
        + svg.text(str(box.shape[0] if box.shape else 1), at.middle, base + 8, "mid")
        + svg.text(words, at.middle, base + 21, "mid soft")
        + svg.text(box.label, at.middle, base + 36, "mid soft")
    )


def _line(source: _Placed, target: _Placed, base: float) -> str:
    y = 64 + (base - 64) / 2
    left = source.left + source.width + source.slant / 2
    return f'<path class="l" marker-end="url(#to)" d="M{left:.1f} {y:.1f}H{target.left - 1:.1f}"/>'


def _arc(arc: Arc, source: _Placed, target: _Placed, base: float) -> str:
    middle = 64 + (base - 64) / 2
    x, end = (at.left + (at.width + at.slant) / 2 for at in (source, target))
    y, goal = (middle - (at.height + at.slant) / 2 - 2 for at in (source, target))
    rise = 26 + 0.03 * (end - x) + 12 * (arc.nested - 1)
    peak = max(28.0, min(y, goal) - rise)
    # Three quarters of the way from the ends to its control points is as high as a cubic curve comes.
    top = (y + goal) / 8 + 0.75 * peak - 4
    return (
        f'<path class="a" marker-end="url(#to)" d="M{x:.1f} {y:.1f}C{x:.1f} {peak:.1f} '
        f'{end:.1f} {peak:.1f} {end:.1f} {goal:.1f}"/>'
        + svg.text(arc.label, (x + end) / 2, top, "mid soft")
    )
