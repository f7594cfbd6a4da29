"""What every layer answers over a data set: how its values are spread, which channels are dead, which are saturated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate import svg
from striate.data import Data
from striate.errors import ArgumentError
from striate.probe import as_eval, shapes, watch
from striate.result import Result, text_table
from striate.runs import Run
from striate.see import features as room
from striate.text import percent, plain, short, times

BINS = 40
MOST = 512  # items that are read where nothing else is said
NEAR = 0.01  # of the range of a bounded function, within which a value counts as saturated
# Functions with bounds, and these.
BOUNDED: dict[type[nn.Module], tuple[float, float]] = {
    nn.Sigmoid: (0.0, 1.0),
    nn.Tanh: (-1.0, 1.0),
    nn.Hardtanh: (-1.0, 1.0),
    nn.Hardsigmoid: (0.0, 1.0),
    nn.ReLU6: (-np.inf, 6.0),
}
RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish)
WATCHED = (
    *BOUNDED,
    *RECTIFIERS,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose2d,
    nn.Linear,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.LayerNorm,
    nn.GroupNorm,
)
ROW, NAME, PLOT = 46, 190, 320  # pixels of the drawing


@dataclass(frozen=True, eq=False)
class Spread:
    """The values of one layer.

    Attributes:
        path: of the layer.
        op: its type.
        shape: of its output for one item.
        counts: of its values, in equal steps from `low` to `high` [BINS].
        low: the smallest value.
        high: the largest.
        mean: of all.
        std: of all.
        zero: the share that is exactly zero.
        channels: how many it has; of a layer that runs several times, where it has the most.
        dead: those that are zero for every item and place, of layers with a rectifier's zeros.
        saturated: the share within 1 % of a bound; nan of functions without one.
    """

    path: str
    op: str
    shape: tuple[int, ...]
    counts: NDArray[np.int64] = field(repr=False)
    low: float
    high: float
    mean: float
    std: float
    zero: float
    channels: int
    dead: tuple[int, ...]
    saturated: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values; nan as None."""
        return {
            "path": self.path,
            "op": self.op,
            "shape": list(self.shape),
            "min": self.low,
            "max": self.high,
            "mean": self.mean,
            "std": self.std,
            "zero": self.zero,
            "dead": list(self.dead),
            "saturated": None if np.isnan(self.saturated) else self.saturated,
            "counts": self.counts.tolist(),
        }


@dataclass(frozen=True, eq=False)
class Activations(Result):
    """The values of layers over `items` of `data`."""

    layers: tuple[Spread, ...]
    items: int
    data: str

    def as_dict(self) -> dict[str, Any]:
        """A row a layer."""
        return {"of": self.items, "data": self.data, "layers": [s.as_dict() for s in self.layers]}

    def as_text(self) -> str:
        """A row a layer."""
        rows = [
            [
                each.path,
                each.op,
                times(each.shape),
                f"{each.mean:.3g}",
                f"{each.std:.3g}",
                plain(percent(each.zero)),
                f"{len(each.dead)} of {each.channels}",
                plain(percent(each.saturated)),
            ]
            for each in self.layers
        ]
        head = ["layer", "op", "output", "mean", "deviation", "zero", "dead", "saturated"]
        return f"{self._title()}\n\n{text_table(head, rows)}"

    def as_svg(self) -> str:
        """A histogram a layer, each on its own range, counts by their square root; zero is marked."""
        parts = [svg.text(self._title(), 8, 18, "title")]
        parts += [self._row(i, each) for i, each in enumerate(self.layers)]
        height = 40 + ROW * len(self.layers)
        return svg.drawing("".join(parts), NAME + PLOT + 190, height, self._title(), STYLE)

    def _repr_html_(self) -> str:
        return self.as_svg()

    def _title(self) -> str:
        return f"values of {len(self.layers)} layers over {self.items:,} items of {self.data}"

    def _row(self, i: int, each: Spread) -> str:
        top, tall = 32 + ROW * i, ROW - 14
        heights = np.sqrt(each.counts / max(1, each.counts.max())) * tall
        step = PLOT / BINS
        bars = "".join(
            svg.tag(
                "rect",
                "",
                {"x": NAME + k * step, "y": top + tall - h, "width": step - 1, "height": h},
            )
            for k, h in enumerate(heights.tolist())
            if h > 0
        )
        span = each.high - each.low
        at = NAME + PLOT * (-each.low / span) if span > 0 and each.low <= 0 <= each.high else None
        zero = (
            ""
            if at is None
            else svg.tag("path", "", {"d": f"M{at:.1f} {top}V{top + tall + 3}", "class": "zero"})
        )
        ends = svg.text(f"{each.low:.3g}", NAME, top + tall + 11, "soft") + svg.text(
            f"{each.high:.3g}", NAME + PLOT, top + tall + 11, "soft end"
        )
        said = [plain(f"{percent(each.zero)} zero")]
        if each.dead:
            said.append(f"{len(each.dead)} of {each.channels} dead")
        if each.saturated > 0:
            said.append(plain(f"{percent(each.saturated)} saturated"))
        name = svg.text(short(f"{each.path} {each.op}", 30), 8, top + 14)
        size = svg.text(times(each.shape), 8, top + 28, "soft")
        tip = svg.tip(
            f"{each.path}: mean {each.mean:.4g}, deviation {each.std:.4g}, {each.low:.4g} to {each.high:.4g}"
        )
        facts = svg.text(", ".join(said), NAME + PLOT + 8, top + 18)
        return svg.tag("g", tip + name + size + bars + zero + ends + facts)


STYLE = ".drawing rect{fill:var(--held)}.drawing .zero{stroke:var(--ink);stroke-width:1}"


def activations(
    run: Run, data: Data | None = None, *, split: str | None = None, limit: int = MOST
) -> Activations:
    """How the values of every layer are spread over items; the net stays as it is.

    Args:
        run: a trained run.
        data: whose items are read; those of the run if not given.
        split: which of them; if not given test, else val, else the first there is, which the run may have learned from.
        limit: items at most; of more every n-th one, so that all classes of a sorted split are among them.

    Raises:
        ArgumentError: no such split, no items, or no layer of a known kind.
    """
    if limit < 1:
        raise ArgumentError(f"limit={limit}: expected at least 1")
    opened = run.opened() if data is None else data
    name = split or opened.judged
    arrays, _ = room.stored(run, opened, name)
    count = min(limit, len(arrays))
    index = np.arange(count) * len(arrays) // max(1, count)
    paths = watched(run.net)
    if not paths or not count:
        raise ArgumentError(
            f"{count} items and {len(paths)} layers of a known kind: nothing to see"
        )

    def batches() -> Iterator[Tensor]:
        used = run.used
        size = used.batch_size(arrays.inputs)
        for at in range(0, count, size):
            stored = torch.from_numpy(np.array(arrays.inputs[index[at : at + size]]))
            pre = used.preprocessing
            yield used.plan.batch(pre.normalise(pre.centre(stored).to(used.plan.device)))

    return Activations(spreads(run.net, paths, batches), count, f"{opened.path} ({name})")


def watched(net: nn.Module) -> list[str]:
    """Paths of the layers whose values are looked at: those with weights and those that bend."""
    return [path for path, module in net.named_modules() if path and isinstance(module, WATCHED)]


def spreads(net: nn.Module, paths: Sequence[str], batches: Any) -> tuple[Spread, ...]:
    """The spread of the values of layers; the batches are gone through twice, first for the ranges.

    Args:
        net: any net.
        paths: of layers.
        batches: called for what the net reads, batch by batch.
    """
    modules = dict(net.named_modules())
    sums = {path: _Sums(modules[path]) for path in paths}
    for note in ("range", "count"):
        for x in batches():
            with (
                as_eval(net),
                torch.inference_mode(),
                watch(net, paths) as seen,
                shapes(net) as ran,
            ):
                net(x.clone())
            axis = 1
            for path, _ in ran:
                axis = channel_axis(modules[path], axis)
                if path in sums:
                    sums[path].axis = axis
            for path in paths:
                for value in seen.activations[path]:
                    getattr(sums[path], note)(value.float())
    return tuple(sums[path].spread(path) for path in paths if sums[path].total)


def channel_axis(module: nn.Module, before: int) -> int:
    """Along which axis of a layer's output its channels lie; functions leave them where those `before` have them."""
    if isinstance(module, nn.Linear):
        return -1
    # Not of its subclasses, some of which turn maps around it.
    if type(module) is nn.LayerNorm and len(module.normalized_shape) == 1:
        return -1
    bends = isinstance(module, (*BOUNDED, *RECTIFIERS))
    return 1 if isinstance(module, WATCHED) and not bends else before


class _Sums:
    """What is added up of one layer."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.axis = 1
        self.low, self.high = np.inf, -np.inf
        self.shape: tuple[int, ...] = ()
        self.total = 0
        self.zero = self.near = 0
        self.first = self.second = 0.0
        self.counts = np.zeros(BINS, np.int64)
        self.alive: Tensor | None = None

    def range(self, value: Tensor) -> None:
        """Widen the range by a batch."""
        finite = value[torch.isfinite(value)]
        if finite.numel():
            self.low, self.high = (
                min(self.low, finite.min().item()),
                max(self.high, finite.max().item()),
            )

    def count(self, value: Tensor) -> None:
        """Add a batch up."""
        if not np.isfinite(self.low):
            return
        self.shape = tuple(value.shape[1:])
        self.total += value.numel()
        self.first += value.double().sum().item()
        self.second += value.double().square().sum().item()
        self.zero += int((value == 0).sum())
        high = self.high if self.high > self.low else self.low + 1
        self.counts += torch.histc(value, BINS, self.low, high).long().cpu().numpy()
        if (bounds := BOUNDED.get(type(self.module))) is not None:
            margin = NEAR * (bounds[1] - max(bounds[0], 0.0))
            self.near += int(((value <= bounds[0] + margin) | (value >= bounds[1] - margin)).sum())
        alive = (value != 0).movedim(self.axis, 0).flatten(1).any(1)
        rows = [alive] if self.alive is None else [self.alive, alive]
        self.alive = nn.utils.rnn.pad_sequence(rows, batch_first=True).any(0)

    def spread(self, path: str) -> Spread:
        """What was found."""
        mean = self.first / self.total
        dead = () if self.alive is None else tuple((~self.alive).nonzero().flatten().tolist())
        return Spread(
            path,
            type(self.module).__name__,
            self.shape,
            self.counts,
            self.low,
            self.high,
            mean,
            max(0.0, self.second / self.total - mean**2) ** 0.5,
            self.zero / self.total,
            0 if self.alive is None else len(self.alive),
            dead,
            self.near / self.total if type(self.module) in BOUNDED else float("nan"),
        )
