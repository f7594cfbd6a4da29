"""Steps as SVG: one alone, all on a sheet, or all in one drawing that shows one at a time."""

import html
import math
from collections.abc import Iterable

from striate.errors import ArgumentError
from striate.see.stepper import style
from striate.see.stepper.layout import Box, Layout, Part
from striate.see.stepper.steps import Steps

SHEET = 2200  # pixels that a sheet of all steps is wide, about


def one(steps: Steps, index: int) -> str:
    """One step.

    Raises:
        ArgumentError: there is no such step.
    """
    if not 0 <= index < len(steps.steps):
        raise ArgumentError(f"step={index}: there are steps 0 to {len(steps.steps) - 1}")
    layout = Layout(steps)
    return _svg(
        _parts(layout.still()) + _parts(layout.moving(index)),
        layout.width,
        layout.height,
        steps.said,
    )


def sheet(steps: Steps) -> str:
    """Every step, in rows."""
    layout = Layout(steps)
    columns = max(1, min(len(steps.steps), round(SHEET / layout.width)))
    rows = math.ceil(len(steps.steps) / columns)
    still = f'<g id="still">{_parts(layout.still())}</g>'
    panels = "".join(
        f'<g transform="translate({i % columns * layout.width:g} {i // columns * layout.height:g})">'
        f'<use href="#still"/>{_parts(layout.moving(i))}</g>'
        for i in range(len(steps.steps))
    )
    content = f"<defs>{still}</defs>{panels}"
    return _svg(content, columns * layout.width, rows * layout.height, steps.said)


def stacked(steps: Steps) -> str:
    """Every step in one drawing, each in a group of class `step`; which is seen is up to the page."""
    layout = Layout(steps)
    groups = "".join(
        f'<g class="step{" on" * (i == 0)}">{_parts(layout.moving(i))}</g>'
        for i in range(len(steps.steps))
    )
    return _svg(_parts(layout.still()) + groups, layout.width, layout.height, steps.said)


def _parts(parts: Iterable[Part]) -> str:
    return "".join(_part(part) for part in parts)


def _part(part: Part) -> str:
    if isinstance(part, Box):
        return (
            f'<rect class="b-{part.kind}" x="{part.x:g}" y="{part.y:g}" '
            f'width="{part.width:g}" height="{part.height:g}" rx="3"/>'
        )
    kinds = f"w-{part.kind}" + (f" {part.anchor}" if part.anchor != "start" else "")
    return f'<text class="{kinds}" x="{part.x:g}" y="{part.y:g}">{html.escape(part.text)}</text>'


def _svg(content: str, width: float, height: float, label: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="st" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" aria-label="{html.escape(label)}">'
        f"<style>{style.css()}</style>{content}</svg>"
    )
