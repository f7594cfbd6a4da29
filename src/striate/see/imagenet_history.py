"""Two charts of the field's history, drawn from our own counts: what depth bought, and what accuracy costs.

Accuracies are published ones, each with its source. Depth, parameters and multiply-adds are counted on the nets of the
catalogue; where the published net is another than the one that was counted, the table says on which.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import cos, hypot, log10, radians, sin, sqrt
from typing import TYPE_CHECKING, Any

import torch

from striate.models.catalog import build, entry
from striate.probe import trace
from striate.probe.calls import Trace
from striate.result import Result, html_table, text_table
from striate.see import fonts
from striate.see.architecture_graph import WEIGHTED
from striate.see.canvas import Canvas, Disc, Part, Path, Rect, Words
from striate.weights import PUBLISHED

if TYPE_CHECKING:
    from pathlib import Path as FilePath

COURSE = 'chart "Revolution of depth" of the course'
# year, entry, its place, top-5 error in percent, of how many nets, net of the catalogue that shows its depth, source
ENTRIES = (
    (2010, "shallow", "winner", 28.2, "", None, COURSE),
    (2011, "shallow", "winner", 25.8, "", None, COURSE),
    (2012, "AlexNet", "winner", 16.4, "5 nets, without further data", "alexnet_2012", COURSE),
    (2013, "2013 winner", "winner", 11.7, "", "zfnet", COURSE),
    (2014, "VGG", "second", 7.3, "7 nets", "vgg19", COURSE),
    (2014, "GoogLeNet", "winner", 6.7, "7 nets, 144 crops", "googlenet_2014", COURSE),
    (2015, "ResNet", "winner", 3.57, "6 nets", "resnet152", COURSE),
)
# nets that the second chart draws, of torchvision's IMAGENET1K_V1 weights, and their top-1 in percent
COMPARED = (
    "alexnet",
    "squeezenet1_0",
    "squeezenet1_1",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
    "vgg16_bn",
    "vgg19_bn",
    "googlenet",
    "inception_v3",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
)
TOP1 = {net: PUBLISHED[f"torchvision/{net}.IMAGENET1K_V1"].top1 or 0.0 for net in COMPARED}
TORCHVISION = "torchvision 0.29, IMAGENET1K_V1, one crop"
# name, net that is counted, top-1 in percent, source: nets of Canziani et al. 2016 (arXiv 1605.07678) of other origin
OTHERS = (
    ("BN-AlexNet", "bn_alexnet", 60.1, "Simon et al. 2016, arXiv 1612.01452, code release: error 39.9 %, one crop"),
    ("BN-NIN", "nin_imagenet", 62.6, "Zagoruyko 2015, model release for Torch, one crop; counted without normalisation"),
    ("Inception-v4", "inception_v4", 80.0, "Szegedy et al. 2016, arXiv 1602.07261, table 2: error 20.0 %, one crop"),
)  # fmt: skip
MISSING = "Not drawn: ENet, whose accuracy on ImageNet was printed nowhere as a number."
Box = tuple[float, float, float, float]  # left, top, right, bottom
Round = tuple[float, float, float]  # centre and radius
GAPS, TURNS = (2, 9, 16, 24, 34, 46, 60, 80), (0, 180, 90, 270, 45, 315, 135, 225)
COLOURS = {"ring": ("#c8dcf2", "#2c4a6e"), "bar": ("#3a7abe", "#4f8fd6")}


def depth(run: Trace) -> int:
    """Layers with weights on the longest way from an input of a traced net to its output."""
    longest: dict[int, int] = {}
    for call in run.calls:
        before = max((longest.get(value.index, 0) for value in call.inputs), default=0)
        after = before + (call.op in WEIGHTED and bool(call.params))
        longest |= {output.index: after for output in call.outputs}
    return max((longest.get(value.index, 0) for value in run.outputs), default=0)


class Charted(Result):
    """A result that is a chart and a table."""

    def canvas(self) -> Canvas:
        """The chart as primitives."""
        raise NotImplementedError

    def rows(self) -> tuple[list[str], list[list[object]]]:
        """The header and the rows of the table."""
        raise NotImplementedError

    def as_text(self) -> str:
        """The table."""
        return text_table(*self.rows())

    def as_svg(self) -> str:
        """The chart: one file that needs nothing else, in light and dark."""
        return self.canvas().as_svg()

    def as_html(self) -> str:
        """The chart and the table."""
        table = html_table(*self.rows())
        return f'{self.canvas().as_html()}<div class="drawn" tabindex="0">{table}</div>'

    def page(self) -> str:
        """A whole page: the picture and the table."""
        return self.canvas().page(self.as_html())

    def save(self, path: "FilePath") -> None:
        """Write an .svg, a .png or an .html page.

        Raises:
            ArgumentError: another ending.
        """
        self.canvas().save(path, self.as_html())

    def _repr_html_(self) -> str:
        return self.as_svg()


# ------------------------------------------------------------------------------------------- depth


@dataclass(frozen=True)
class Competitor:
    """One entry of the ImageNet challenge.

    Attributes:
        year: of the challenge.
        name: of the net.
        place: winner or second.
        top5_error: in percent.
        of: whose error that is, such as "7 nets".
        layers: counted on the catalogue's net; None if it was no deep net.
        counted_on: that net.
        source: of the error.
    """

    year: int
    name: str
    place: str
    top5_error: float
    of: str
    layers: int | None
    counted_on: str | None
    source: str


STEP, LEFT = 96, 64  # from entry to entry, and before the first
FLOOR_DEPTH, DEEP = 250.0, 1.05  # height of zero layers; pixels a layer
FLOOR, TALL = 480.0, 6.2  # height of no error; pixels a percent


@dataclass(frozen=True)
class Depths(Charted):
    """Top-5 error and depth by year."""

    entries: tuple[Competitor, ...]

    def as_dict(self) -> dict[str, Any]:
        """The rows."""
        return {"entries": [asdict(each) for each in self.entries]}

    def rows(self) -> tuple[list[str], list[list[object]]]:
        """A line an entry."""
        header = ["year", "entry", "place", "top-5 error %", "of", "layers", "counted on", "source"]
        return header, [
            [e.year, e.name, e.place, e.top5_error, e.of, e.layers or "shallow", e.counted_on or "", e.source]
            for e in self.entries
        ]  # fmt: skip

    def canvas(self) -> Canvas:
        """Above the layers, below bars of the error, each with its axis."""
        wide = LEFT + STEP * len(self.entries) + 20.0
        title = "Entries of the ImageNet challenge: layers and top-5 error"
        notes = (
            "Errors are mostly of several nets together; " + COURSE + ".",
            "Layers: on the longest way through the catalogue's net.",
        )
        parts = [
            Words(16, 28, title, "ink", 16, bold=True),
            *_axis("layers", range(0, 151, 50), FLOOR_DEPTH, DEEP, wide),
            *_axis("top-5 error, %", range(0, 31, 10), FLOOR, TALL, wide),
            *self._line(),
            *(part for i, each in enumerate(self.entries) for part in _bar(i, each)),
            *(Words(16, FLOOR + 84 + 16 * i, note, "soft") for i, note in enumerate(notes)),
        ]
        told = "; ".join(f"{e.year} {e.name} {e.top5_error:g} %, {e.layers or 'few'} layers" for e in self.entries)  # fmt: skip
        return Canvas(wide, FLOOR + 118, tuple(parts), f"{title}: {told}.", COLOURS)

    def _line(self) -> Iterator[Part]:
        points = [
            (_middle(i), FLOOR_DEPTH - DEEP * each.layers, each.layers)
            for i, each in enumerate(self.entries)
            if each.layers
        ]
        for (x0, y0, _), (x1, y1, _) in pairwise(points):
            yield Path(((x0, y0), (x1, y1)), "wrong", 2.0, arrow=False)
        for x, y, layers in points:
            yield Disc(x, y, 4, "wrong")
            # To the left, where the line that rises from the point does not cross it.
            yield Words(x - 4, y - 9, str(layers), "ink", 12, bold=True, anchor="end")


def _middle(index: int) -> float:
    return LEFT + STEP * index + STEP / 2


def _axis(name: str, ticks: Sequence[int], floor: float, unit: float, wide: float) -> Iterator[Part]:  # fmt: skip
    yield Words(16, floor - unit * ticks[-1] - 14, name, "soft")
    for tick in ticks:
        y = floor - unit * tick
        yield Path(((LEFT - 8, y), (wide - 20, y)), "rule", 1.0, arrow=False)
        yield Words(LEFT - 14, y + 4, str(tick), "soft", anchor="end")


def _bar(index: int, each: Competitor) -> Iterator[Part]:
    x, height = _middle(index), TALL * each.top5_error
    yield Rect(x - 24, FLOOR - height, 48, height, "bar", radius=2)
    yield Rect(
        x - 20, FLOOR - height - 18, 40, 16, "paper"
    )  # the lines of the axis keep clear of the figure
    yield Words(x, FLOOR - height - 6, f"{each.top5_error:g}", "ink", anchor="middle")
    for i, (words, colour) in enumerate(
        ((each.name, "ink"), (str(each.year), "soft"), (each.place, "soft"))
    ):
        yield Words(x, FLOOR + 18 + 16 * i, words, colour, anchor="middle")
    if each.layers is None:
        yield Words(x, FLOOR_DEPTH - 8, "shallow", "soft", anchor="middle")


def depths() -> Depths:
    """The first chart; nets are built without weights and counted."""
    return Depths(
        tuple(
            Competitor(year, name, place, error, of, _layers(net) if net else None, net, source)
            for year, name, place, error, of, net, source in ENTRIES
        )
    )


def _layers(name: str) -> int:
    net = build(name, init=False)
    return depth(trace(net, [torch.zeros(1, *net.input_shape, device="meta")]))


# ------------------------------------------------------------------------------------------- cost


@dataclass(frozen=True)
class Cost:
    """One net: top-1 in percent and its source, multiply-adds and parameters, and the net they are counted on."""

    name: str
    top1: float
    macs: int
    params: int
    counted_on: str = ""
    source: str = TORCHVISION


WIDTH, RIGHT, BOTTOM = 1080.0, 1040.0, 520.0  # of the chart; where its axes end
AREA = 0.5  # of the radius in pixels to the root of 10^5 parameters


@dataclass(frozen=True)
class Costs(Charted):
    """Top-1 accuracy against multiply-adds against parameters."""

    nets: tuple[Cost, ...]

    def as_dict(self) -> dict[str, Any]:
        """The rows."""
        return {"nets": [asdict(net) for net in self.nets], "missing": MISSING}

    def rows(self) -> tuple[list[str], list[list[object]]]:
        """A line a net, best first."""
        header = ["net", "top-1 %", "giga MACs", "mega parameters", "counted on", "source"]
        return header, [
            [net.name, f"{net.top1:.2f}", f"{net.macs / 1e9:.2f}", f"{net.params / 1e6:.1f}", net.counted_on, net.source]
            for net in sorted(self.nets, key=lambda net: -net.top1)
        ]  # fmt: skip

    def as_text(self) -> str:
        """The table, and what is missing in it."""
        return f"{super().as_text()}\n{MISSING}"

    def canvas(self) -> Canvas:
        """A disc a net: its area is its parameters."""
        title = "ImageNet top-1 accuracy, multiply-adds and parameters"
        discs = [(*_at(net), net) for net in sorted(self.nets, key=lambda net: -net.params)]
        names = list(_named(discs))
        parts: list[Part] = [Words(16, 28, title, "ink", 16, bold=True), *_grid()]
        # The lines of the axis keep clear of names.
        parts += [part for part in names if isinstance(part, Rect)]
        parts += [
            Disc(x, y, radius, "ring", "held", f"{net.name}: {net.top1:g} %, {net.macs / 1e9:.2f} G, {net.params / 1e6:.1f} M")
            for x, y, radius, net in discs
        ]  # fmt: skip
        parts += [Disc(x, y, 2, "wrong") for x, y, *_ in discs]
        parts += [part for part in names if not isinstance(part, Rect)] + [*_areas()]
        told = "; ".join(f"{net.name} {net.top1:g} %" for net in self.nets)
        return Canvas(WIDTH, BOTTOM + 82, tuple(parts), f"{title}: {told}.", COLOURS)


def _at(net: Cost) -> Round:
    return _x(net.macs), _y(net.top1), AREA * sqrt(net.params / 1e5)


def _x(macs: float) -> float:
    return 90 + 480 * (log10(macs) - log10(0.27e9))


def _y(top1: float) -> float:
    return 76 + 16 * (81 - top1)


def _grid() -> Iterator[Part]:
    yield Words(16, 54, "top-1 accuracy, one crop", "soft")
    for share in range(55, 81, 5):
        yield Path(((62, _y(share)), (RIGHT, _y(share))), "rule", 1.0, arrow=False)
        yield Words(56, _y(share) + 4, f"{share} %", "soft", anchor="end")
    for giga in (0.3, 0.5, 1, 2, 5, 10, 20):
        yield Path(((_x(giga * 1e9), BOTTOM - 8), (_x(giga * 1e9), BOTTOM)), "soft", 1.0, arrow=False)  # fmt: skip
        yield Words(_x(giga * 1e9), BOTTOM + 16, f"{giga:g} G", "soft", anchor="middle")
    yield Words((62 + RIGHT) / 2, BOTTOM + 36, "multiply-adds of one picture, spaced by their ratios", "soft", anchor="middle")  # fmt: skip
    yield Words(16, BOTTOM + 62, MISSING, "soft")


def _areas() -> Iterator[Part]:
    """Discs that say how large parameters are."""
    x = 700.0
    yield Words(x - 8, BOTTOM - 28, "parameters:", "soft", anchor="end")
    for mega in (5, 50, 150):
        radius = AREA * sqrt(mega * 10)
        x += radius + 4
        yield Disc(x, BOTTOM - 32, radius, "ring", "held")
        words = f"{mega} M"
        yield Words(x + radius + 6, BOTTOM - 28, words, "soft")
        x += radius + 22 + fonts.width(words, 12)


def _named(discs: Sequence[tuple[float, float, float, Cost]]) -> Iterator[Part]:
    rounds = [each[:3] for each in discs]
    placed: list[Box] = []
    for x, y, radius, net in sorted(discs, key=lambda each: each[0]):
        box, start = _spot((x, y, radius), fonts.width(net.name, 12), rounds, placed)
        placed.append(box)
        if start is not None:
            yield Path((start, _nearest(box, *start)), "soft", 0.8, arrow=False)
        yield Rect(box[0] - 1, box[1], box[2] - box[0] + 2, HEIGHT, "paper")
        yield Words((box[0] + box[2]) / 2, box[3] - 3, net.name, "ink", anchor="middle")


def costs() -> Costs:
    """The second chart; parameters and multiply-adds are the catalogue's, held by its tests."""
    found = [Cost(name, top1, entry(name).macs, entry(name).params, name) for name, top1 in TOP1.items()]  # fmt: skip
    found += [
        Cost(name, top1, entry(net).macs, entry(net).params, net, source)
        for name, net, top1, source in OTHERS
    ]
    return Costs(tuple(found))


HEIGHT = 14.0  # of a name


def _spot(
    disc: Round, width: float, discs: Sequence[Round], placed: Sequence[Box]
) -> "tuple[Box, tuple[float, float] | None]":
    """Where a disc's name covers no disc and no other name: as near as can be, and where a line to it begins."""
    x, y, radius = disc
    for gap in GAPS:
        for turn in TURNS:
            dx, dy = cos(radians(turn)), -sin(radians(turn))
            # The middle of a name lies half its size beyond the end of the gap.
            mx = x + (radius + gap + width / 2 * abs(dx)) * dx
            my = y + (radius + gap + HEIGHT / 2 * abs(dy)) * dy
            box = (mx - width / 2, my - HEIGHT / 2, mx + width / 2, my + HEIGHT / 2)
            inside = box[0] > 62 and box[2] < WIDTH - 4 and box[1] > 60 and box[3] < BOTTOM - 60
            if (
                inside
                and not any(_covers(box, *each) for each in discs)
                and not any(_meet(box, other) for other in placed)
            ):
                start = (x + radius * dx, y + radius * dy)
                return box, None if gap == GAPS[0] else start
    return (x + radius, y - HEIGHT / 2, x + radius + width, y + HEIGHT / 2), None


def _nearest(box: Box, x: float, y: float) -> tuple[float, float]:
    return min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3])


def _covers(box: Box, x: float, y: float, radius: float) -> bool:
    nx, ny = _nearest(box, x, y)
    return hypot(nx - x, ny - y) < radius


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
