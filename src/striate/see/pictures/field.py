"""What one unit of a layer reads: the box of its receptive field, how strongly each place in it counts, and the cone to it.

N items, C channels. The box follows from the net's structure (`striate.measuring.fields`), the strengths are gradients
on the given items (Luo et al. 2016, arXiv 1701.04128; `striate.measuring.effective_field`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate import svg
from striate.errors import ArgumentError, ShapeError, nearest
from striate.measuring.effective_field import Effective, effective
from striate.probe import as_eval, watch
from striate.result import Result, text_table
from striate.see.attribution import layers as of_layers
from striate.see.attribution.panels import Panel, panel
from striate.text import short, times

if TYPE_CHECKING:
    from PIL.Image import Image

Span = tuple[int, int]
STEPS = 10  # layers of a cone that are drawn, at most
ROW, LABEL, BAR = 22, 150, 320  # pixels of the drawing of a cone


@dataclass(frozen=True)
class Step:
    """A layer that a cone goes through: its cells along the last axis, and the first and last that move the unit."""

    layer: str
    cells: int
    moved: Span | None


@dataclass(frozen=True, eq=False)
class UnitField:
    """What one unit reads.

    Attributes:
        layer: whose unit it is.
        cells: the size of that layer's maps.
        at: the unit's place in them, all channels together.
        size: of its receptive field, padding counted; None where it has no bound or is unknown.
        box: first and last place of the input that it reads along each axis; None where that is unknown.
        seen: how strongly each place counts, and the Gaussian with the same moments.
        cone: the layers between the input and the unit, the unit's own last.
    """

    layer: str
    cells: tuple[int, ...]
    at: tuple[int, ...]
    size: tuple[int, ...] | None
    box: tuple[Span | None, ...]
    seen: Effective
    cone: tuple[Step, ...]

    @property
    def strength(self) -> NDArray[np.float32]:
        """Mean absolute gradient at each place of the input, [*space]."""
        return self.seen.map.float().cpu().numpy()

    @property
    def within(self) -> float | None:
        """The share of the strength that lies within two widths of the Gaussian along every axis."""
        if self.seen.centre is None or self.seen.width is None:
            return None
        grids = np.indices(self.seen.map.shape)
        near = np.ones(self.seen.map.shape, dtype=bool)
        for grid, centre, width in zip(grids, self.seen.centre, self.seen.width, strict=True):
            near &= np.abs(grid - centre) <= 2 * width
        return float(self.strength[near].sum() / self.strength.sum())

    def caption(self) -> str:
        """Size of the box and width of the Gaussian."""
        where = f"{self.layer}, cell {', '.join(map(str, self.at))} of {times(self.cells)}"
        if self.size is not None:
            reads = f"its field is {times(self.size)} places"
        else:
            reads = "its field has no bound, or could not be followed"
        if self.seen.width is None:
            return f"{where}: {reads}; no place has a gradient on these items"
        widths = " x ".join(f"{w:.1f}" for w in self.seen.width)
        share = f"{100 * (self.within or 0):.0f} % of it within two widths"
        return f"{where}: {reads}; Gaussian width {widths} places, {share}"

    def as_dict(self) -> dict[str, Any]:
        """Without the strengths."""
        return {
            "layer": self.layer,
            "cells": list(self.cells),
            "at": list(self.at),
            "size": self.size and list(self.size),
            "box": [span and list(span) for span in self.box],
            "centre": self.seen.centre and list(self.seen.centre),
            "width": self.seen.width and list(self.seen.width),
            "within_two_widths": self.within,
            "cone": [{"layer": s.layer, "cells": s.cells, "moved": s.moved} for s in self.cone],
        }


@dataclass(frozen=True, eq=False)
class Field(Result):
    """The fields of units of several layers, on the same items; `inputs` is what the net was given, [N, C, *space]."""

    net: str
    inputs: NDArray[np.float32] = attribute(repr=False)
    units: tuple[UnitField, ...]

    @property
    def title(self) -> str:
        """What is drawn, in one line."""
        return f"receptive fields in {self.net}, strengths measured on {len(self.inputs)} items"

    def panel(self, i: int) -> Panel:
        """The first item, the strengths of one unit over it, and alone; the box of its field is a frame."""
        unit = self.units[i]
        drawn = panel(self.inputs[0], unit.strength, float(unit.strength.max()) or 1.0)
        if self.inputs.ndim == 5 or any(span is None for span in unit.box):
            return drawn
        spans = [span for span in unit.box if span is not None]
        space = self.inputs.shape[2:]
        framed = (_framed(each, spans, space) for each in (drawn.over, drawn.alone))
        return Panel(drawn.item, *(_ringed(each, unit.seen, space) for each in framed))

    def picture(self) -> "Image":
        """A sheet: a row a unit, with its cone below."""
        from striate.see.attribution.sheet import sheet_of

        rows = [(unit.caption(), self.panel(i)) for i, unit in enumerate(self.units)]
        return sheet_of(self.title, HEADS, rows, self.remarks(), self.cone_lines())

    def cone_lines(self) -> list[list[tuple[str, int, Span | None]]]:
        """For each unit, a row a layer of its cone: its name, its cells, those that move the unit."""
        return [[(s.layer, s.cells, s.moved) for s in unit.cone] for unit in self.units]

    def remarks(self) -> list[str]:
        """What is to be known of the drawings."""
        said = [
            "strength: mean absolute gradient of the unit by each place, all its channels summed; colours end at its largest value",
            "cone: along the last axis, the cells of each layer that move the unit on these items",
        ]
        if self.inputs.ndim == 5:
            return [
                *said,
                "of a volume the slices through the strongest place are drawn, without a frame",
            ]
        frame = "frame: the box of the receptive field, as far as it lies in the input"
        ring = "; ring: two widths of the Gaussian" if self.inputs.ndim == 4 else ""
        return [*said, frame + ring]

    def as_dict(self) -> dict[str, Any]:
        """A row a unit."""
        return {"units": [unit.as_dict() for unit in self.units]}

    def as_text(self) -> str:
        """A row a unit."""
        rows: list[list[object]] = []
        for unit in self.units:
            width = (
                "-" if unit.seen.width is None else "x".join(f"{w:.1f}" for w in unit.seen.width)
            )
            box = ", ".join("-" if span is None else f"{span[0]}..{span[1]}" for span in unit.box)
            size = "-" if unit.size is None else times(unit.size)
            share = "-" if unit.within is None else f"{100 * unit.within:.0f} %"
            rows.append(
                [
                    unit.layer,
                    ",".join(map(str, unit.at)),
                    times(unit.cells),
                    size,
                    box,
                    width,
                    share,
                ]
            )
        head = ["layer", "cell", "of", "field", "reads", "Gaussian width", "within two"]
        return f"{self.title}\n\n{text_table(head, rows)}"

    def _repr_html_(self) -> str:
        from striate.see.attribution.sheet import page_of

        rows = [
            (unit.caption(), self.panel(i), cone_svg(unit)) for i, unit in enumerate(self.units)
        ]
        return page_of(self.title, HEADS, rows, self.remarks())


HEADS = ("first item", "strength over it", "strength alone")


def cone_svg(unit: UnitField) -> str:
    """The cone to a unit: a bar a layer as wide as the input, dark where its cells move the unit, joined by lines."""
    height = ROW * len(unit.cone) + 26
    rows = list(reversed(unit.cone))
    parts = [svg.text("cells that move the unit, along the last axis", LABEL, 12, "soft")]
    ends: list[tuple[float, float, float]] = []
    for k, step in enumerate(rows):
        y = 20 + ROW * k
        parts.append(svg.text(short(step.layer, 24), LABEL - 6, y + 11, "end"))
        box = {"x": LABEL, "y": y, "width": BAR, "height": 13, "class": "whole"}
        parts.append(svg.tag("rect", "", box))
        words = f"{step.layer}: no cell moves it"
        if step.moved is not None:
            first, last = step.moved
            left, right = (LABEL + BAR * n / step.cells for n in (first, last + 1))
            words = f"{step.layer}: cells {first} to {last} of {step.cells}"
            bar = {"x": left, "y": y, "width": right - left, "height": 13, "class": "moved"}
            parts.append(svg.tag("rect", svg.tip(words), bar))
            ends.append((left, right, float(y)))
            parts.append(svg.text(f"{last - first + 1} of {step.cells}", LABEL + BAR + 6, y + 11))
    for (l0, r0, y0), (l1, r1, y1) in pairwise(ends):
        for a, b in ((l0, l1), (r0, r1)):
            line = {"x1": a, "y1": y0 + 13, "x2": b, "y2": y1, "class": "edge"}
            parts.append(svg.tag("line", "", line))
    return svg.drawing("".join(parts), LABEL + BAR + 90, height, f"cone to {unit.layer}", STYLE)


STYLE = ".drawing .whole{fill:var(--rule)}.drawing .moved{fill:var(--held)}.drawing .edge{stroke:var(--held)}"


def field(
    net: nn.Module,
    images: Tensor,
    *,
    layer: str | Sequence[str] | None = None,
    at: tuple[int, ...] | None = None,
    items: int = 4,
) -> Field:
    """What units of some layers read of the input: box, strength and cone; the net stays as it is.

    Args:
        net: any module that takes one batch.
        images: items as the net takes them, [N, C, *space].
        layer: by name, one or several; by default the last layer of each size of maps.
        at: the place of the unit in the layer's maps, a number an axis; by default its centre.
        items: on which the strengths are measured, the first ones.

    Raises:
        ArgumentError: a layer that there is not or that gives no maps, or a place outside them.
        ShapeError: `images` are no items with axes of places.
    """
    if images.ndim < 3 or images.ndim > 5 or len(images) == 0:
        raise ShapeError(
            f"images: got shape {tuple(images.shape)}, expected (items, channels, height, width), or one or three axes of places"
        )
    if items < 1:
        raise ArgumentError(f"items={items}: expected at least 1")
    held = next((p for p in net.parameters() if p.is_floating_point()), None)
    x = images[:items].detach()
    x = x.float() if held is None else x.to(held.device, held.dtype)
    with torch.random.fork_rng(devices=[]), as_eval(net):
        known = of_layers.with_maps(net, x[:1])
        paths = _asked(net, x, layer)
        units = tuple(_unit(net, x, path, at, known) for path in paths)
    return Field(type(net).__name__, x.float().cpu().numpy(), units)


def _asked(
    net: nn.Module,
    x: Tensor,
    layer: str | Sequence[str] | None,
) -> list[str]:
    if layer is None or layer == ():
        return of_layers.candidates(net, x[:1], "a field")
    paths = [layer] if isinstance(layer, str) else list(layer)
    names = dict(net.named_modules())
    for path in paths:
        if path not in names:
            raise ArgumentError(
                f"the net has no layer {path!r}; {nearest(path, filter(None, names))}"
            )
    return paths


def _unit(
    net: nn.Module,
    x: Tensor,
    path: str,
    at: tuple[int, ...] | None,
    known: list[tuple[str, tuple[int, ...]]],
) -> UnitField:
    with torch.no_grad(), watch(net, [path]) as seen:
        net(x[:1].clone())
    maps = seen.activations[path]
    if not maps or maps[-1].ndim != x.ndim:
        raise ArgumentError(
            f"{path or 'the net'}: gives no maps with the axes of the input; choose a layer that does"
        )
    cells = tuple(maps[-1].shape[2:])
    found = effective(net, x, path, at)
    structure = of_layers.followed(net, x, path, cells)
    size, box = None, (None,) * len(cells)
    if structure is not None:
        followed, value = structure
        theoretical = followed.of(value)
        size = theoretical.size if theoretical else None
        box = followed.box(value, found.at)
    return UnitField(path, cells, found.at, size, box, found, _cone(net, x, path, found, known))


def _cone(
    net: nn.Module,
    x: Tensor,
    path: str,
    unit: Effective,
    known: list[tuple[str, tuple[int, ...]]],
) -> tuple[Step, ...]:
    """The layers before one, a few evenly spaced, with their cells whose gradient is not zero; the input first."""
    before = list(dict.fromkeys(name for name, _ in known))
    before = before[: before.index(path)] if path in before else before
    count = min(STEPS - 2, len(before))
    between = list(dict.fromkeys(before[k * len(before) // count] for k in range(count)))
    fed = x.clone().requires_grad_()
    with (
        torch.enable_grad(),
        watch(net, [*between, path], gradients=True, attached=True) as seen,
    ):
        net(fed.clone())
        score = seen[path][(..., *unit.at)].sum()
        by_input = torch.autograd.grad(score, fed, allow_unused=True)[0]
    steps = [Step("input", x.shape[-1], _moved(by_input))]
    for name in between:
        last = seen.gradients[name][:1]
        if last and last[0].ndim == x.ndim:
            steps.append(Step(name, last[0].shape[-1], _moved(last[0])))
    width = seen[path].shape[-1]
    return (*steps, Step(path, width, (unit.at[-1], unit.at[-1])))


def _moved(gradient: Tensor | None) -> Span | None:
    """The first and last place along the last axis where a gradient is not zero."""
    if gradient is None:
        return None
    there = gradient.abs().flatten(0, -2).sum(0).nonzero().flatten().tolist()
    return (there[0], there[-1]) if there else None


def _framed(
    pixels: NDArray[np.uint8], spans: Sequence[Span], space: Sequence[int]
) -> NDArray[np.uint8]:
    """A frame around a box, on pixels that may be enlarged; of items along one axis two lines."""
    framed = pixels.copy()
    high, wide = pixels.shape[:2]
    sides = [spans[-1]] if len(spans) == 1 else spans
    left, right = (round(n * wide / space[-1]) for n in (sides[-1][0], sides[-1][1] + 1))
    top, bottom = 0, high
    if len(sides) > 1:
        top, bottom = (round(n * high / space[-2]) for n in (sides[0][0], sides[0][1] + 1))
    for k, colour in enumerate((FRAME, (255, 255, 255))):  # readable on any ground
        y0, y1, x0, x1 = top + k, bottom - 1 - k, left + k, right - 1 - k
        if y0 > y1 or x0 > x1:
            continue
        framed[[y0, y1], x0 : x1 + 1] = colour
        framed[y0 : y1 + 1, [x0, x1]] = colour
    return framed


def _ringed(pixels: NDArray[np.uint8], seen: Effective, space: Sequence[int]) -> NDArray[np.uint8]:
    """An ellipse at two widths of the Gaussian around its centre, of items along two axes."""
    from PIL import Image, ImageDraw

    if seen.centre is None or seen.width is None or len(space) != 2:
        return pixels
    by = [n / k for n, k in zip(pixels.shape[:2], space, strict=True)]
    (y, x), (high, wide) = (
        [(value + shift) * b for value, b in zip(values, by, strict=True)]
        for values, shift in ((seen.centre, 0.5), ([2 * w for w in seen.width], 0.0))
    )
    drawn = Image.fromarray(pixels)
    ImageDraw.Draw(drawn).ellipse((x - wide, y - high, x + wide, y + high), outline=RING)
    return np.asarray(drawn)


FRAME, RING = (214, 39, 20), (255, 255, 255)
