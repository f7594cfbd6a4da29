"""How far every layer moved from where it started: correlation with its first weights, and distance.

A layer whose weights still correlate with the first ones was taken over; one that does not was learned anew.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate import svg
from striate.errors import ArgumentError
from striate.result import Result, text_table

ROW, LABEL, BAR = 18, 150, 300  # pixels of the drawing
STYLE = ".drawing rect{fill:var(--held)}"


@dataclass(frozen=True)
class Moved:
    """One layer's weights.

    Attributes:
        layer: its path.
        correlation: Pearson's, of the values before and after; 1 where nothing moved.
        distance: of the values, as a share of the norm of the first ones.
    """

    layer: str
    correlation: float
    distance: float


@dataclass(frozen=True)
class Movement(Result):
    """Every layer with weights, in the net's order."""

    layers: tuple[Moved, ...]

    def as_dict(self) -> dict[str, Any]:
        """The rows."""
        return {"layers": [asdict(layer) for layer in self.layers]}

    def as_text(self) -> str:
        """A line a layer."""
        rows = [[m.layer, f"{m.correlation:.3f}", f"{m.distance:.3f}"] for m in self.layers]
        return text_table(["layer", "correlation with the first weights", "distance"], rows)

    def as_svg(self) -> str:
        """A bar a layer, full where it stayed where it was."""
        width, height = LABEL + BAR + 60, ROW * len(self.layers) + 24
        head = svg.text("correlation with the first weights", LABEL, 12)
        rows = [self._bar(i, moved) for i, moved in enumerate(self.layers)]
        label = "correlation of every layer with its first weights"
        return svg.drawing(head + "".join(rows), width, height, label, STYLE)

    def _repr_html_(self) -> str:
        return self.as_svg()

    def _bar(self, i: int, moved: Moved) -> str:
        y = 20 + ROW * i
        length = BAR * max(0.0, moved.correlation)
        tip = f"{moved.layer}: correlation {moved.correlation:.4f}, distance {moved.distance:.4f}"
        name = svg.text(moved.layer[-24:], LABEL - 6, y + 12, "end")
        bar = svg.tag("rect", "", {"x": LABEL, "y": y + 2, "width": length, "height": ROW - 5})
        value = svg.text(f"{moved.correlation:.3f}", LABEL + length + 5, y + 12)
        return svg.tag("g", svg.tip(tip) + name + bar + value)


def movement(
    before: nn.Module | Mapping[str, Tensor], after: nn.Module | Mapping[str, Tensor]
) -> Movement:
    """How far weights moved, layer by layer: tensors of two axes or more, biases and normalisation left out.

    Args:
        before: the net as it started, or its state dict.
        after: the same net later.

    Raises:
        ArgumentError: they are not of one net.
    """
    first, last = (
        side.state_dict() if isinstance(side, nn.Module) else side for side in (before, after)
    )
    layers: list[Moved] = []
    for name, old in first.items():
        if old.ndim < 2 or not old.is_floating_point():
            continue
        new = last.get(name)
        if new is None or new.shape != old.shape:
            raise ArgumentError(
                f"movement: {name} is not the same in both; give one net, earlier and later"
            )
        layers.append(
            _moved(name.removesuffix(".weight"), *(t.detach().double().cpu() for t in (old, new)))
        )
    return Movement(tuple(layers))


def _moved(layer: str, old: Tensor, new: Tensor) -> Moved:
    a, b = ((t - t.mean()).flatten() for t in (old, new))
    norms = a.norm() * b.norm()
    same = torch.equal(old, new)
    correlation = 1.0 if same else float(a @ b / norms) if norms > 0 else 0.0
    return Moved(layer, correlation, float((new - old).norm() / old.norm().clamp_min(1e-30)))
