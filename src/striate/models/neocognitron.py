"""Neocognitron: layers of S-cells that learn features by themselves, and of C-cells that let them shift.

B batch, K cell planes of a layer, C of the one before, H W cells of a plane. Fukushima 1980, doi
10.1007/BF00344251. S-cells find a feature (eq. 1), held back by a V-cell that measures how much there
is at all (eq. 2); C-cells blur over positions (eqs. 4 to 6). The strongest S-cell of a neighbourhood
learns what it sees, and its whole plane with it (eqs. 7, 8, sec. 3): no teacher, no gradient.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.models import init
from striate.models.backbone import Backbone
from striate.models.row_types import Request
from striate.models.unsupervised import Progress, Unsupervised, unheard

SIDE = 5  # of what a cell reads
FALL = 0.9  # gamma and delta: how fixed weights fall with the distance from their centre
SATURATION = 0.5  # alpha of eq. 6


@dataclass(frozen=True)
class Stage:
    """An S-layer and the C-layer after it.

    Attributes:
        selectivity: r; a cell answers where the cosine between what it learned and what it sees is
            above r / (1 + r).
        rate: q; how much is learned from one picture.
        padding: cells of nothing around the planes that the S-layer reads.
    """

    selectivity: float
    rate: float
    padding: int


# Chosen so that five digits part from any first weights; a second stage below 2.5 keeps some together.
STAGES = (Stage(4.0, 1.0, 2), Stage(3.0, 16.0, 1), Stage(1.5, 16.0, 0))
LEAST = 12  # at which the last S-layer still has one cell


class SLayer(nn.Module):
    """S-cells: planes of cells that share one kernel and one inhibition."""

    fall: Tensor

    def __init__(self, planes_in: int, planes: int, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        self.weight = nn.Parameter(torch.empty(planes, planes_in, SIDE, SIDE), requires_grad=False)
        self.inhibition = nn.Parameter(torch.empty(planes), requires_grad=False)
        fall = falling(SIDE).expand(1, planes_in, SIDE, SIDE)
        self.register_buffer("fall", fall / fall.sum(), persistent=False)

    def begin(self, generator: torch.Generator) -> None:
        """Weak kernels, each a little different, and no inhibition."""
        init.uniform(self.weight, 0.01, generator)
        with torch.no_grad():
            self.weight.abs_().mul_(self.fall)
            self.inhibition.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Eq. 1: [B, C, H, W] to [B, K, H', W']."""
        r = self.stage.selectivity
        excited = F.conv2d(x, self.weight, padding=self.stage.padding)
        held = self.inhibition[:, None, None] * self._present(x)
        return r * F.relu((1 + excited) / (1 + 2 * r / (1 + r) * held) - 1)

    def _present(self, x: Tensor) -> Tensor:
        """The V-cells, eq. 2: the root of the mean square of what a cell reads [B, 1, H', W']."""
        return F.conv2d(x.square(), self.fall, padding=self.stage.padding).sqrt()

    def learn(self, x: Tensor) -> None:
        """One picture [1, C, H, W]: the representatives of their planes learn what they see."""
        answer = self(x)[0]
        strongest = answer.amax(0, keepdim=True)
        column = F.max_pool2d(strongest, SIDE, stride=1, padding=SIDE // 2)
        # A candidate has nothing stronger in the S-column about it; a plane's strongest stands for it.
        candidates = torch.where(answer == column, answer, 0).flatten(1)
        best, places = candidates.max(1)
        chosen = best > 0
        patches = F.unfold(x, SIDE, padding=self.stage.padding)[0][:, places[chosen]].T
        seen = patches.view(-1, *self.weight.shape[1:])
        present = self._present(x).flatten()[places[chosen]]
        self.weight[chosen] += self.stage.rate * self.fall * seen
        self.inhibition[chosen] += self.stage.rate / 2 * present


class CLayer(nn.Module):
    """C-cells: each answers if its plane of S-cells finds its feature anywhere near."""

    fall: Tensor

    def __init__(self, side: tuple[int, int], *, thinned: bool) -> None:
        super().__init__()
        self.thinned = thinned
        self.register_buffer("fall", falling(*side)[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Eqs. 4 to 6: [B, K, H, W] to half as many cells and a margin of two, or to one cell that reads all."""
        # Every second position from two before the first cell to about two after the last: 16 give 10.
        x = F.pad(x, (4, 3, 4, 3)) if self.thinned else x
        near = F.conv2d(x.flatten(0, 1)[:, None], self.fall, stride=2 if self.thinned else 1)
        near = near.view(*x.shape[:2], *near.shape[2:])
        y = F.relu((1 + near) / (1 + near.mean(1, keepdim=True)) - 1)
        return y / (SATURATION + y)


class Neocognitron(Unsupervised):
    """Three stages of S- and C-cells; the last C-layer has one cell a plane."""

    stem = "s1"
    head = "s3"
    strides = (1, 2, 4)

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.input_shape = (request.in_channels, *request.size)
        hidden = request.scaled(24)
        self.widths = (hidden, hidden, request.num_classes)
        height, width = (_last(side) for side in request.size)
        self.s1 = SLayer(request.in_channels, hidden, STAGES[0])
        self.c1 = CLayer((SIDE, SIDE), thinned=True)
        self.s2 = SLayer(hidden, hidden, STAGES[1])
        self.c2 = CLayer((SIDE, SIDE), thinned=True)
        self.s3 = SLayer(hidden, request.num_classes, STAGES[2])
        self.c3 = CLayer((height, width), thinned=False)

    def initialise(self, generator: torch.Generator) -> None:
        """Weak kernels, each a little different, and no inhibition."""
        for layer, _ in self._stages():
            layer.begin(generator)

    def _stages(self) -> Iterator[tuple[SLayer, CLayer]]:
        yield from ((self.s1, self.c1), (self.s2, self.c2), (self.s3, self.c3))

    def fit(
        self,
        pictures: Tensor,
        *,
        generator: torch.Generator,
        passes: int = 20,
        progress: Progress = unheard,
    ) -> Self:
        """Learn from pictures [N, C, H, W] of values from 0 up, one stage after the other.

        Args:
            pictures: what is shown, one at a time.
            generator: source of their order.
            passes: how often each is shown to each stage.
            progress: called with how many pictures were shown, and how many will be.

        Raises:
            ArgumentError: one plane alone of the first stage learned from several pictures: their strokes are as wide as
                what a cell reads, so that all that it sees is alike.
        """
        x, stages = pictures, list(self._stages())
        done, total = 0, len(stages) * passes * len(x)
        with torch.no_grad():
            for layer, blur in stages:
                for _ in range(passes):
                    for i in torch.randperm(len(x), generator=generator).tolist():
                        layer.learn(x[i : i + 1])
                        progress(done := done + 1, total)
                learned = int((layer.inhibition > 0).sum())
                if layer is self.s1 and learned < 2 <= min(len(x), len(layer.inhibition)):
                    raise ArgumentError(
                        f"pictures: {learned} of {len(layer.inhibition)} planes of the first stage learned from {len(x)}: a cell "
                        f"reads {SIDE}x{SIDE}, so it needs lines of one or two pixels on 0, as in the paper; do not enlarge "
                        "the pictures, lay them on a larger ground"
                    )
                x = blur(layer(x))
        return self

    def features(self, x: Tensor) -> list[Tensor]:
        """What each S-layer finds: [B, 24, 16, 16], [B, 24, 8, 8] and [B, 24, 2, 2]."""
        first = self.s1(x)
        second = self.s2(self.c1(first))
        return [first, second, self.s3(self.c2(second))]

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to the answers of the last C-cells [B, planes], each from 0 to 1."""
        return self.c3(self.features(x)[-1]).flatten(1)

    def reset_head(self, num_classes: int, *, generator: torch.Generator | None = None) -> None:
        """A last S-layer of other planes that have learned nothing."""
        old = self.s3.weight
        self.s3 = SLayer(old.shape[1], num_classes, STAGES[2]).to(old)
        self.s3.begin(generator or torch.Generator())
        self.widths = (*self.widths[:2], num_classes)


def falling(height: int, width: int | None = None) -> Tensor:
    """0.9 to the power of the distance from the centre [H, W]."""
    y, x = (torch.arange(n) - (n - 1) / 2 for n in (height, width or height))
    return FALL ** (y[:, None].square() + x.square()).sqrt()


def _last(side: int) -> int:
    """Cells of the last S-layer along one axis: 16 -> 10 -> 8 -> 6 -> 2."""
    return ((side + 4) // 2 - 2 + 4) // 2 - 4


def build(request: Request) -> Backbone:
    """The net at the sizes asked for.

    Raises:
        ShapeError: pictures too small for the last S-layer.
    """
    request.check_least(LEAST, "its last S-layer needs", enough=16)
    return Neocognitron(request)
