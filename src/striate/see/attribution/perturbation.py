"""Saliency from answers to changed items; the net needs no gradient. N items, C channels, M masks.

Occlusion: Zeiler and Fergus 2013, arXiv 1311.2901, section 4.2. RISE: Petsiuk, Das and Saenko 2018, arXiv 1806.07421.
What is hidden is set to zero, which is the mean of the training items where inputs are normalised by it.
"""

from itertools import product
from math import ceil

import torch
from torch import Tensor
from torch.nn import functional as F

from striate.see.attribution.subject import Subject

CELLS = 7  # of RISE's coarse grid, along each axis
SEEN = 0.5  # the share of its cells that a mask leaves


def occlusion(subject: Subject, window: tuple[int, ...], step: tuple[int, ...]) -> Tensor:
    """How much the number falls when a window is hidden: at each place the mean over the windows on it, [N, *space].

    Args:
        subject: what is explained.
        window: its sides.
        step: from one window to the next; the last ones are cut off at the border.
    """
    subject.settle()
    boxes = windows(subject.space, window, step)
    total = torch.zeros(len(subject), *subject.space)
    covered = torch.zeros(subject.space)
    for box in boxes:
        covered[box] += 1
    with torch.no_grad():
        for part in subject.batches(len(subject) * len(boxes), graph=False):
            places = torch.arange(part.start, part.stop)
            items, turns = places // len(boxes), places % len(boxes)
            batch = subject.x[items]
            for row, turn in zip(batch, turns.tolist(), strict=True):
                row[(slice(None), *boxes[turn])] = 0
            scores = subject.score(subject.answer(batch), items).cpu()
            for score, i, turn in zip(scores, items.tolist(), turns.tolist(), strict=True):
                total[(i, *boxes[turn])] += subject.scores[i] - score
    return total / covered


def windows(
    space: tuple[int, ...], window: tuple[int, ...], step: tuple[int, ...]
) -> list[tuple[slice, ...]]:
    """Every place of a window, so that all of the space is covered."""
    axes = [
        [slice(k * s, min(n, k * s + w)) for k in range(1 + ceil(max(0, n - w) / s))]
        for n, w, s in zip(space, window, step, strict=True)
    ]
    return list(product(*axes))


def rise(subject: Subject, samples: int, generator: torch.Generator) -> Tensor:
    """The mean answer where a place is seen, less the mean over all masks, [N, *space].

    Masks are coarse random grids, enlarged linearly and shifted at random, the same for all items (section 3.2).
    Answers are probabilities where they are scores of classes. The published map is not less the mean: that is a
    constant, and noise where the masks do not cover all places alike.
    """
    subject.settle()
    masks = Masks(subject.space, samples, generator)
    seen = torch.zeros(len(subject), *subject.space, device=subject.x.device)
    cover = torch.zeros(subject.space, device=subject.x.device)
    sums = torch.zeros(len(subject), device=subject.x.device)
    with torch.no_grad():
        for part in subject.batches(len(subject) * samples, graph=False):
            places = torch.arange(part.start, part.stop)
            items, turns = places // samples, places % samples
            shown = masks.at(turns).to(subject.x)
            values = subject.answer(subject.x[items] * shown)
            scores = subject.score(values, items, shares=True)
            for i in items.unique().tolist():
                mine = items == i
                flat = shown[mine].flatten(1).float()
                seen[i] += (scores[mine] @ flat).view(subject.space)
                sums[i] += scores[mine].sum()
                cover += flat.sum(0).view(subject.space) if i == 0 else 0
    mean = (sums / samples).view(-1, *[1] * len(subject.space))
    return (seen - mean * cover) / (samples * SEEN)


class Masks:
    """Random masks in 0..1; the coarse grids are kept, a batch is enlarged when it is asked for."""

    def __init__(self, space: tuple[int, ...], count: int, generator: torch.Generator) -> None:
        cells = cells_of(space)
        self.space = space
        self.sides = [ceil(n / c) for n, c in zip(space, cells, strict=True)]
        self.grids = (
            torch.rand(count, 1, *(c + 1 for c in cells), generator=generator) < SEEN
        ).float()
        self.shifts = torch.stack(
            [torch.randint(side, (count,), generator=generator) for side in self.sides], 1
        )

    def at(self, numbers: Tensor) -> Tensor:
        """Some of them, [B, 1, *space]."""
        grids = self.grids[numbers]
        full = [c * side for c, side in zip(grids.shape[2:], self.sides, strict=True)]
        large = F.interpolate(grids, full, mode=LINEAR[len(full)], align_corners=False)
        shown = torch.empty(len(numbers), 1, *self.space)
        for row, wide, shift in zip(shown, large, self.shifts[numbers].tolist(), strict=True):
            cut = (slice(k, k + n) for k, n in zip(shift, self.space, strict=True))
            row.copy_(wide[(slice(None), *cut)])
        return shown


def cells_of(space: tuple[int, ...]) -> tuple[int, ...]:
    """The coarse grid of masks."""
    return tuple(min(CELLS, n) for n in space)


LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
