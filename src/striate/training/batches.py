"""Batches of decoded items: gathered, augmented and normalised a whole batch at a time.

N items, B batch; pictures have H W pixels and C channels.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from striate.augment import Colors, colors, cut, follow, read, view
from striate.runs.preprocessing import Preprocessing
from striate.training import seed as randomness
from striate.training.shard_order import Shards

SHIFT = 1 / 28  # a shift moves by up to this share of the size: one pixel of an MNIST digit


@dataclass(frozen=True)
class Batches:
    """All training items on the device, and how they are drawn.

    The order is a function of (seed, epoch), the views of (seed, epoch, item), shifts of (seed, epoch, step). Every epoch's batches differ
    in size by at most one item, so there is no small last one that batch normalisation would suffer from.
    """

    inputs: Tensor  # pictures [N, H, W, C] of 0..255, with some pixels around for shifts; or arrays [N, ...]
    targets: Tensor  # with the items along the first axis, see `striate.data.targets`
    preprocessing: Preprocessing
    batch: int
    augment: str
    seed: int
    balanced: bool = False  # every class drawn equally often
    shards: Shards | None = None  # where items lie, for an order that reads a few shards at a time
    kind: str = "label"  # of the targets

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return math.ceil(self.count / self.batch)

    @property
    def cropped(self) -> bool:
        """Whether pictures are stored in their own size, of which the net sees windows in training."""
        pre = self.preprocessing
        return pre.fit != "cover" and bool(pre.resize) and pre.resize != pre.size

    @property
    def count(self) -> int:
        """Items of one epoch."""
        return len(self.targets)

    @property
    def device(self) -> torch.device:
        """Where batches come to lie."""
        return self.inputs.device

    def order(self, epoch: int) -> tuple[Tensor, ...]:
        """Item numbers of every step of an epoch."""
        generator = randomness.generator(self.seed, "order", epoch)
        if self.balanced:
            shuffled = balanced_order(self.targets.cpu(), generator)
        elif self.shards:
            shuffled = self.shards.order(generator)
        else:
            shuffled = torch.randperm(self.count, generator=generator)
        return torch.tensor_split(shuffled.to(self.device), self.steps)

    def take(
        self, index: Tensor, epoch: int, step: int, *, plain: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The items of one step: pictures [B, C, h, w] float32, or arrays, and what belongs to them.

        Args:
            index: item numbers [B].
            epoch: counted from zero.
            step: within the epoch.
            plain: the middle of each picture instead of a random view.
        """
        inputs, targets = self.stored(index, epoch, step)
        if self.preprocessing.color:
            inputs, targets = self._viewed(inputs, targets, index, epoch, step, plain=plain)
            targets = self.preprocessing.target(self.kind, targets, tuple(inputs.shape[1:3]))
        return self.preprocessing.normalise(inputs), targets

    def _viewed(
        self, images: Tensor, targets: Tensor, index: Tensor, epoch: int, step: int, *, plain: bool
    ) -> tuple[Tensor, Tensor]:
        """Pictures as the net is to see them, and their targets in the places of those."""
        policy = read(self.augment)
        if self.cropped:  # a whole picture may be far larger than the window that is asked for
            policy = read("crop") if plain else policy.within_windows()
        elif plain or not (policy.shifts or policy.views):
            return self._middle(images, targets)
        if policy.shifts:
            generator = randomness.generator(self.seed, "view", epoch, step)
            return self._shifted(images, targets, generator)
        seed = randomness.derive(self.seed, "view", epoch)
        size = (self.preprocessing.size[0], self.preprocessing.size[1])
        images, where = view(images, index, policy, seed=seed, size=size, seen=self._colors)
        return images, follow(self.kind, targets, where)

    def stored(self, index: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:  # noqa: ARG002 - of a stream
        """The items of one step as they are kept, pictures [B, H, W, C], and their targets."""
        # A copy of whole rows; indexing is 8x slower.
        return self.inputs.index_select(0, index), self.targets.index_select(0, index)

    @cached_property
    def _colors(self) -> Colors | None:
        """The colours of the items, where views move along them; of a stream nothing is kept to measure."""
        along = "pca" in dict(read(self.augment).steps)
        return colors(self.inputs) if along and len(self.inputs) else None

    def _shifted(
        self, images: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """A small shift of the batch as one, which costs nothing."""
        (h, w), (high, wide) = self.preprocessing.size, images.shape[1:3]
        top, left = (
            int(torch.randint(room + 1, (), generator=generator)) for room in (high - h, wide - w)
        )
        rows, columns = self._margin(images)
        moved = cut(self.kind, targets, top=top - rows, left=left - columns, size=(h, w))
        return images[:, top : top + h, left : left + w], moved

    def _margin(self, images: Tensor) -> tuple[int, int]:
        """Rows above and columns to the left that were added for shifts."""
        high, wide = self.preprocessing.resize or images.shape[1:3]
        return (images.shape[1] - high) // 2, (images.shape[2] - wide) // 2

    def _middle(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """What evaluation sees: nothing of what was added, and of pictures that cover their size the middle."""
        pre = self.preprocessing
        top, left = self._margin(images)
        high, wide = pre.resize or images.shape[1:3]
        images = pre.centre(images[:, top : top + high, left : left + wide])
        h, w = images.shape[1:3]
        top, left = (high - h) // 2, (wide - w) // 2
        return images, cut(self.kind, targets, top=top, left=left, size=(h, w))


def balanced_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Item numbers [N] in random order in which every class occurs N / K times, to within one.

    Of a class with fewer items each is repeated, equally often to within one; of a larger one some wait for
    another epoch.
    """
    classes = labels.unique()
    n, k = len(labels), len(classes)
    extra = torch.randperm(k, generator=generator) < n % k
    drawn: list[Tensor] = []
    for label, more in zip(classes, extra.tolist(), strict=True):
        mine = (labels == label).nonzero().flatten()
        wanted = n // k + more
        rounds = [
            mine[torch.randperm(len(mine), generator=generator)]
            for _ in range(-(-wanted // len(mine)))
        ]
        drawn.append(torch.cat(rounds)[:wanted] if wanted else mine[:0])
    order = torch.cat(drawn)
    return order[torch.randperm(n, generator=generator)]


def padded(images: Tensor, size: tuple[int, ...]) -> Tensor:
    """Pictures [N, H, W, C] with their edges repeated, to have room for shifts of `size`."""
    down, right = (max(1, round(SHIFT * side)) for side in size)
    n, high, wide, channels = images.shape
    room = torch.empty((n, high + 2 * down, wide + 2 * right, channels), dtype=images.dtype)
    room[:, down : down + high, right : right + wide] = images
    room[:, :down] = room[:, down : down + 1]
    room[:, down + high :] = room[:, down + high - 1 : down + high]
    room[:, :, :right] = room[:, :, right : right + 1]
    room[:, :, right + wide :] = room[:, :, right + wide - 1 : right + wide]
    return room
