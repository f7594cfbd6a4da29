"""Two charts of the field's history, drawn from our own counts: what depth bought, and what accuracy costs.

Accuracies are published ones: the winners of ILSVRC as in the course's chart "Revolution of depth", and the
ImageNet top-1 of torchvision 0.29's weights (one crop). Depth, parameters and multiply-adds are counted.
"""

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import log10, sqrt
from typing import Any

import torch

from striate.models.catalog import build, entry
from striate.probe import trace
from striate.probe.calls import Trace
from striate.report import Result, text_table
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
STYLE = (
    "text{font:11px system-ui,sans-serif;fill:var(--ink)}.t{font-weight:600;font-size:13px}.s{fill:var(--soft);font-size:10px}"
    ".bar{fill:var(--bar)}.deep{fill:none;stroke:var(--arc);stroke-width:2}.dot{fill:var(--arc)}.ring{fill:var(--bar);fill-opacity:.45;stroke:var(--edge)}"
    "line{stroke:var(--soft);stroke-width:.5;stroke-dasharray:2 3}.to{fill:none;stroke:var(--soft);stroke-width:.6}"
    "svg{--ink:#1b2430;--soft:#5a6573;--bar:#7fa8d6;--edge:#39597d;--arc:#c2561a}"
    "@media(prefers-color-scheme:dark){svg{--ink:#e8edf3;--soft:#a3afbd;--bar:#48719f;--edge:#8fb3da;--arc:#f0965a}}"
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
        """Bars of the error, and a line of the depth."""
        bars: list[str] = []
        points: list[tuple[float, float]] = []
        for i, winner in enumerate(self.winners):
            x, height = 40 + 84 * i, 6.4 * winner.top5_error
            bars.append(
                f'<rect class="bar" x="{x}" y="{230 - height:.1f}" width="44" height="{height:.1f}" rx="2"/>'
                + _text(x + 22, 226 - height, f"{winner.top5_error:g} %")
                + _text(x + 22, 246, winner.name)
                + _text(x + 22, 260, str(winner.year), "s")
            )
            if winner.layers:
                points.append((x + 22, 230 - 1.15 * winner.layers))
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        labels = [w.layers for w in self.winners if w.layers]
        dots = "".join(
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
            + _text(x + 8, y - 7, f"{layers} layers", "s", "start")
            for (x, y), layers in zip(points, labels, strict=True)
        )
        title = "Top-5 error of the ImageNet winners, and the layers of their nets"
        return _svg(title, 40 + 84 * len(self.winners) + 40, 275, [
            *bars, f'<polyline class="deep" points="{line}"/>', dots,
        ])  # fmt: skip

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
        parts += [_text(_x(macs * 1e9), 395, f"{macs:g} G", "s") for macs in (0.3, 1, 3, 10, 20)]
        for net in sorted(self.nets, key=lambda net: -net.params):
            x, y, radius = _x(net.macs), _y(net.top1), 2.2 * sqrt(net.params / 1e6)
            words = f"{net.name}: {net.top1:.1f} %, {net.macs / 1e9:.2f} G MACs, {net.params / 1e6:.1f} M parameters"
            parts.append(
                f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"><title>{html.escape(words)}</title></circle>'
            )
        placed: list[tuple[float, float]] = []
        for net in sorted(self.nets, key=lambda net: -net.top1):
            x, y = _x(net.macs), _y(net.top1)
            while any(abs(x - px) < 78 and abs(y - py) < 11 for px, py in placed):
                y += 11
            placed.append((x, y))
            if y > _y(net.top1):
                parts.append(
                    f'<path class="to" d="M{x:.1f} {_y(net.top1):.1f}L{x + 4:.1f} {y:.1f}"/>'
                )
            parts.append(_text(x + 5, y + 4, net.name, "s", "start"))
        parts.append(
            _text(380, 412, "multiply-adds of one picture; area of a disc: parameters", "s")
        )
        return _svg("Top-1 accuracy, multiply-adds and parameters", 760, 424, parts)

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


def _layers(name: str) -> int:
    net = build(name, init=False)
    return depth(trace(net, [torch.zeros(1, *net.input_shape, device="meta")]))


def _x(macs: float) -> float:
    return 60 + 330 * (log10(macs) - log10(0.25e9))


def _y(top1: float) -> float:
    return 52 + 12 * (80 - top1)


def _grid(y: float, words: str) -> str:
    return f'<line x1="48" x2="740" y1="{y}" y2="{y}"/>' + _text(40, y + 4, words, "s", "end")


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> str:
    css = f' class="{kind}"' if kind else ""
    return f'<text{css} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>'


def _svg(title: str, width: int, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{html.escape(title)}"><style>{STYLE}</style><text class="t" x="12" y="22">{html.escape(title)}</text>'
        f"{''.join(parts)}</svg>"
    )
