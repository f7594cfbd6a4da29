"""Two charts of the field's history, drawn from our own counts: what depth bought, and what accuracy costs.

Accuracies are published ones: the winners of ILSVRC as in the course's chart "Revolution of depth", and the
ImageNet top-1 of torchvision 0.29's weights (one crop). Depth, parameters and multiply-adds are counted.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import cos, hypot, log10, radians, sin, sqrt
from typing import Any

import torch

from striate import svg
from striate.models.catalog import build, entry
from striate.probe import trace
from striate.probe.calls import Trace
from striate.result import Result, text_table
from striate.see.architecture import WEIGHTED

# year, winner, top-5 error in percent, net of the catalogue that shows its depth
WINNERS = (
    (2010, "shallow", 28.2, None),
    (2011, "shallow", 25.8, None),
    (2012, "AlexNet", 16.4, "alexnet_2012"),
    (2013, "2013 winner", 11.7, "zfnet"),
    (2014, "VGG", 7.3, "vgg19"),
    (2014, "GoogLeNet", 6.7, "googlenet_2014"),
    (2015, "ResNet", 3.57, "resnet152"),
)
# top-1 in percent of torchvision's IMAGENET1K_V1 weights
TOP1 = {
    "alexnet": 56.522,
    "squeezenet1_0": 58.092,
    "squeezenet1_1": 58.178,
    "vgg11": 69.02,
    "vgg13": 69.928,
    "vgg16": 71.592,
    "vgg19": 72.376,
    "vgg16_bn": 73.36,
    "vgg19_bn": 74.218,
    "googlenet": 69.778,
    "inception_v3": 77.294,
    "resnet18": 69.758,
    "resnet34": 73.314,
    "resnet50": 76.13,
    "resnet101": 77.374,
    "resnet152": 78.312,
    "densenet121": 74.434,
    "densenet161": 77.138,
    "densenet169": 75.6,
    "densenet201": 76.896,
}
Box = tuple[float, float, float, float]  # left, top, right, bottom
Disc = tuple[float, float, float]  # centre and radius
FLOOR, WIDTH = 345, 790
LETTER, HEIGHT = 5.9, 10  # pixels of a name: of a letter, and of its line
GAPS, TURNS = (2, 9, 16, 24, 34, 46, 60), (0, 180, 90, 270, 45, 315, 135, 225)
STYLE = (
    ".drawing .bar{fill:var(--right)}.drawing .deep{fill:none;stroke:var(--wrong);stroke-width:2}"
    ".drawing .dot{fill:var(--wrong)}.drawing .ring{fill:var(--right);fill-opacity:.3;stroke:var(--held)}"
    ".drawing line{stroke:var(--soft);stroke-width:.5;stroke-dasharray:2 3}.drawing .to{stroke-width:.6;stroke-dasharray:none}"
)


def depth(run: Trace) -> int:
    """Layers with weights on the longest way from an input of a traced net to its output."""
    longest: dict[int, int] = {}
    for call in run.calls:
        before = max((longest.get(value.index, 0) for value in call.inputs), default=0)
        after = before + (call.op in WEIGHTED and bool(call.params))
        longest |= {output.index: after for output in call.outputs}
    return max((longest.get(value.index, 0) for value in run.outputs), default=0)


@dataclass(frozen=True)
class Winner:
    """One year's winner: error in percent, layers counted on the catalogue's net (None: no deep net)."""

    year: int
    name: str
    top5_error: float
    layers: int | None


@dataclass(frozen=True)
class Depths(Result):
    """Top-5 error and depth by year."""

    winners: tuple[Winner, ...]

    def as_dict(self) -> dict[str, Any]:
        """The rows."""
        return {"winners": [asdict(winner) for winner in self.winners]}

    def as_text(self) -> str:
        """A line a winner."""
        rows = [[w.year, w.name, w.top5_error, w.layers or "shallow"] for w in self.winners]
        return text_table(["year", "winner", "top-5 error %", "layers"], rows)

    def as_svg(self) -> str:
        """Bars of the error, and above them a line of the depth."""
        bars: list[str] = []
        points: list[tuple[float, float]] = []
        for i, winner in enumerate(self.winners):
            x, height = 40 + 84 * i, 6.4 * winner.top5_error
            bars.append(
                svg.tag(
                    "rect",
                    "",
                    {
                        "class": "bar",
                        "x": x,
                        "y": FLOOR - height,
                        "width": 44,
                        "height": height,
                        "rx": 2,
                    },
                )
                + svg.text(f"{winner.top5_error:g} %", x + 22, FLOOR - 4 - height, "mid")
                + svg.text(winner.name, x + 22, FLOOR + 16, "mid")
                + svg.text(str(winner.year), x + 22, FLOOR + 30, "mid soft")
            )
            if winner.layers:
                points.append((x + 22, 145 - 0.55 * winner.layers))
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        labels = [w.layers for w in self.winners if w.layers]
        below = [16] * (len(labels) - 1) + [-9]  # the line comes to the last from below
        dots = "".join(
            svg.tag("circle", "", {"class": "dot", "cx": x, "cy": y, "r": 3.5})
            + svg.text(f"{layers} layers", x, y + off, "mid soft")
            for (x, y), layers, off in zip(points, labels, below, strict=True)
        )
        title = "Top-5 error of the ImageNet winners, and the layers of their nets"
        line = svg.tag("polyline", "", {"class": "deep", "points": line})
        return _drawn(
            title, 40 + 84 * len(self.winners) + 20, FLOOR + 45, "".join(bars) + line + dots
        )

    def _repr_html_(self) -> str:
        return self.as_svg()


@dataclass(frozen=True)
class Cost:
    """One net: top-1 in percent, multiply-adds and parameters."""

    name: str
    top1: float
    macs: int
    params: int


@dataclass(frozen=True)
class Costs(Result):
    """Top-1 accuracy against multiply-adds against parameters."""

    nets: tuple[Cost, ...]

    def as_dict(self) -> dict[str, Any]:
        """The rows."""
        return {"nets": [asdict(net) for net in self.nets]}

    def as_text(self) -> str:
        """A line a net, best first."""
        rows = [
            [net.name, f"{net.top1:.2f}", f"{net.macs / 1e9:.2f}", f"{net.params / 1e6:.1f}"]
            for net in sorted(self.nets, key=lambda net: -net.top1)
        ]
        return text_table(["net", "top-1 %", "giga MACs", "mega parameters"], rows)

    def as_svg(self) -> str:
        """A disc a net: its area is its parameters."""
        parts = [_grid(52 + i * 60, f"{65 + (5 - i) * 5 - 10} %") for i in range(6)]
        parts += [
            svg.text(f"{macs:g} G", _x(macs * 1e9), 395, "mid soft") for macs in (0.3, 1, 3, 10, 20)
        ]
        discs = [
            (_x(net.macs), _y(net.top1), 2.2 * sqrt(net.params / 1e6), net)
            for net in sorted(self.nets, key=lambda net: -net.params)
        ]
        for x, y, radius, net in discs:
            words = f"{net.name}: {net.top1:.1f} %, {net.macs / 1e9:.2f} G MACs, {net.params / 1e6:.1f} M parameters"
            ring = {"class": "ring", "cx": x, "cy": y, "r": radius}
            parts.append(svg.tag("circle", svg.tip(words), ring))
        round_ones = [disc[:3] for disc in discs]
        placed: list[Box] = []
        for x, y, radius, net in discs:
            box, start = _spot((x, y, radius), len(net.name) * LETTER, round_ones, placed)
            placed.append(box)
            if start is not None:
                (fx, fy), (tx, ty) = start, _nearest(box, *start)
                parts.append(
                    svg.tag("line", "", {"class": "to", "x1": fx, "y1": fy, "x2": tx, "y2": ty})
                )
            parts.append(svg.text(net.name, (box[0] + box[2]) / 2, box[3] - 2, "mid soft"))
        below = "multiply-adds of one picture; area of a disc: parameters"
        parts.append(svg.text(below, 380, 412, "mid soft"))
        return _drawn("Top-1 accuracy, multiply-adds and parameters", WIDTH, 424, "".join(parts))

    def _repr_html_(self) -> str:
        return self.as_svg()


def depths() -> Depths:
    """The first chart; nets are built without weights and counted."""
    return Depths(
        tuple(
            Winner(year, name, error, _layers(net) if net else None)
            for year, name, error, net in WINNERS
        )
    )


def costs() -> Costs:
    """The second chart; parameters and multiply-adds are the catalogue's, held by its tests."""
    rows = [(entry(name), top1) for name, top1 in TOP1.items()]
    return Costs(tuple(Cost(row.name, top1, row.macs, row.params) for row, top1 in rows))


def _spot(
    disc: Disc, width: float, discs: Sequence[Disc], placed: Sequence[Box]
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
            inside = box[0] > 48 and box[2] < WIDTH - 4 and box[1] > 30 and box[3] < 380
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


def _layers(name: str) -> int:
    net = build(name, init=False)
    return depth(trace(net, [torch.zeros(1, *net.input_shape, device="meta")]))


def _x(macs: float) -> float:
    return 60 + 330 * (log10(macs) - log10(0.25e9))


def _y(top1: float) -> float:
    return 52 + 12 * (80 - top1)


def _grid(y: float, words: str) -> str:
    line = svg.tag("line", "", {"x1": 48, "x2": 740, "y1": y, "y2": y})
    return line + svg.text(words, 40, y + 4, "end soft")


def _drawn(title: str, width: int, height: int, content: str) -> str:
    return svg.drawing(svg.text(title, 12, 22, "title") + content, width, height, title, STYLE)
