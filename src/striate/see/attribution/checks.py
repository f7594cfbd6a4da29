"""Whether a map shows the net: randomised weights, and hiding or showing the places that it points to. N items.

Weight randomisation: Adebayo et al. 2018, "Sanity checks for saliency maps", arXiv 1810.03292. Deletion and insertion:
Petsiuk, Das and Saenko 2018, arXiv 1806.07421, section 4.1; both from and to zeros here, and against random maps that are
as coarse.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.probe import copied
from striate.see.attribution.subject import Subject

STAGES = 6  # after which the map is drawn again while the weights are randomised
STEPS = 16  # in which the places of an item are hidden or shown
RANDOM = 8  # maps that are compared with
SEED = 0
CHANGED = 0.3  # a rank correlation below it: the map is another one

Maker = Callable[[Subject], Tensor]


@dataclass(frozen=True)
class Randomised:
    """A stage of a cascade from the last layer to the first: its first layer, and the mean rank correlation with the true map.

    `correlation` is None where a map has one value everywhere, so that there are no ranks.
    """

    down_to: str
    correlation: float | None


@dataclass(frozen=True)
class Area:
    """The area under a curve of answers while places are hidden or shown, the mean over items; `random` of other maps."""

    value: float
    random: tuple[float, ...]


@dataclass(frozen=True)
class Checks:
    """The tests of one map.

    Attributes:
        items: how many it was made of.
        randomised: the stages, the last with all weights randomised.
        deletion: hiding the places of the highest values first; less is better.
        insertion: showing them first; more is better.
        probability: whether the answers are probabilities; else they are the explained number.
    """

    items: int
    randomised: tuple[Randomised, ...]
    deletion: Area
    insertion: Area
    probability: bool

    @property
    def changed(self) -> bool | None:
        """Whether random weights give another map; None where that cannot be told."""
        last = self.randomised[-1].correlation if self.randomised else None
        return None if last is None else abs(last) < CHANGED

    @property
    def better(self) -> int:
        """Of how many random maps both areas are better."""
        pairs = zip(self.deletion.random, self.insertion.random, strict=True)
        return sum(self.deletion.value < d and self.insertion.value > i for d, i in pairs)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "items": self.items,
            "randomised": [asdict(stage) for stage in self.randomised],
            "changed": self.changed,
            "deletion": {"value": self.deletion.value, "random": list(self.deletion.random)},
            "insertion": {"value": self.insertion.value, "random": list(self.insertion.random)},
            "better_than_random": [self.better, len(self.deletion.random)],
            "of": "probability" if self.probability else "explained number",
        }

    def lines(self) -> list[str]:
        """The same in words."""
        found: list[str] = []
        if self.randomised:
            found.append(f"random weights: {self._correlations()}")
        what = "probability" if self.probability else "explained number"
        found += [
            f"{name}, area under the {what}: {area.value:.3f}, of {len(area.random)} random maps "
            f"{min(area.random):.3f} to {max(area.random):.3f} ({way} is better)"
            for name, area, way in (
                ("deletion", self.deletion, "less"),
                ("insertion", self.insertion, "more"),
            )
        ]
        count = len(self.deletion.random)
        found.append(
            f"of {count} random maps as coarse {self.better} are worse in both; mean over {self.items} items"
        )
        return found

    def _correlations(self) -> str:
        last = self.randomised[-1].correlation
        steps = ", ".join(
            f"{stage.down_to} {_number(stage.correlation)}" for stage in self.randomised
        )
        if last is None:
            said = "with all of them the map is one value everywhere"
        elif abs(last) < CHANGED:
            said = "the map depends on what the net has learned"
        else:
            said = (
                f"the map hardly changes (rank correlation {last:.2f}): it shows the input or the net's structure "
                "rather than what was learned"
            )
        return f"rank correlation with the true map, from the last layer down to {steps}: {said}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


def randomised(subject: Subject, make: Maker, true: Tensor) -> tuple[Randomised, ...]:
    """Shuffle the weights of a copy of the net from its last layer to its first, and make the map again.

    Args:
        subject: whose net is copied.
        make: gives the maps [N, *places] of a subject.
        true: those of the net itself.
    """
    twin = copied(subject.net, str(subject.x.device)).eval()
    layers = [
        (path, m)
        for path, m in twin.named_modules()
        if any(True for _ in m.parameters(recurse=False))
    ]
    layers.reverse()
    generator = torch.Generator().manual_seed(SEED)
    count = min(STAGES, len(layers))
    ends = [(k + 1) * len(layers) // count for k in range(count)] if count else []
    found: list[Randomised] = []
    begun = 0
    for end in ends:
        for _, layer in layers[begun:end]:
            shuffle(layer, generator)
        begun = end
        again = make(subject.of_net(twin))
        found.append(Randomised(layers[end - 1][0] or "the net", rank_correlation(true, again)))
    return tuple(found)


@torch.no_grad()
def shuffle(layer: nn.Module, generator: torch.Generator) -> None:
    """Put the numbers of each weight and bias of one layer in another order, so that their spread stays."""
    for weight in layer.parameters(recurse=False):
        order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
        weight.copy_(weight.flatten()[order].view_as(weight))


def rank_correlation(first: Tensor, second: Tensor) -> float | None:
    """Spearman's, of the magnitudes of two sets of maps, the mean over items; None where no item has two values."""
    from scipy.stats import rankdata

    found: list[float] = []
    for a, b in zip(first.abs().flatten(1).cpu(), second.abs().flatten(1).cpu(), strict=True):
        if a.min() < a.max() and b.min() < b.max():
            ranks = rankdata(np.stack([a.numpy(), b.numpy()]), axis=1)
            found.append(float(np.corrcoef(ranks)[0, 1]))
    return float(np.mean(found)) if found else None


def areas(
    subject: Subject, maps: Tensor, placed: Callable[[Tensor], Tensor], *, against: int = RANDOM
) -> tuple[Area, Area]:
    """Deletion and insertion of maps [N, *cells], and of random maps of their size.

    Args:
        subject: what is explained; its choice is made.
        maps: as they are made, not enlarged.
        placed: enlarges them to the input.
        against: random maps.
    """
    generator = torch.Generator().manual_seed(SEED)
    own = _both(subject, placed(maps), generator)
    others = [
        _both(subject, placed(torch.rand(maps.shape, generator=generator).to(maps)), generator)
        for _ in range(against)
    ]
    return (
        Area(own[0], tuple(pair[0] for pair in others)),
        Area(own[1], tuple(pair[1] for pair in others)),
    )


def _both(subject: Subject, maps: Tensor, generator: torch.Generator) -> tuple[float, float]:
    """The areas of deletion and insertion, the mean over items."""
    ranks = _ranks(maps, generator)
    count = ranks[0].numel()
    curves = torch.zeros(2, len(subject), STEPS + 1)
    total = len(subject) * (STEPS + 1)
    with torch.no_grad():
        for part in subject.batches(2 * total, graph=False):
            places = torch.arange(part.start, part.stop)
            kinds, rest = places // total, places % total
            items, steps = rest // (STEPS + 1), rest % (STEPS + 1)
            limit = (steps.double() / STEPS * count).round().to(ranks.device)
            first = ranks[items] < limit.view(-1, *[1] * len(subject.space))
            seen = torch.where(
                kinds.view(-1, *[1] * len(subject.space)).to(first.device) == 1, first, ~first
            )
            batch = subject.x[items] * seen[:, None].to(subject.x)
            scores = subject.score(subject.answer(batch), items, shares=True)
            curves[kinds, items, steps] = scores.cpu()
    means = torch.trapezoid(curves, dx=1 / STEPS, dim=2).mean(1)
    return float(means[0]), float(means[1])


def _ranks(maps: Tensor, generator: torch.Generator) -> Tensor:
    """The place of each cell when they are sorted from the highest value down; equal ones in random order."""
    flat = maps.flatten(1)
    mixed = torch.randperm(flat.shape[1], generator=generator).to(flat.device)
    order = mixed[flat[:, mixed].argsort(dim=1, descending=True, stable=True)]
    ranks = torch.empty_like(order)
    ranks.scatter_(1, order, torch.arange(flat.shape[1], device=flat.device).expand_as(order))
    return ranks.view_as(maps)
