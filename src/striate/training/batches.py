"""Batches of decoded pictures: gathered, augmented and normalised a whole batch at a time.

N items, B batch, H W pixels, C channels.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from striate.augment import read, view
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

    images: Tensor  # [N, H, W, C] uint8, with `margin` pixels around for shifts
    labels: Tensor  # [N] int64
    preprocessing: Preprocessing
    batch: int
    augment: str
    seed: int
    balanced: bool = False  # every class drawn equally often
    shards: Shards | None = None  # where items lie, for an order that reads a few shards at a time

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return math.ceil(len(self.labels) / self.batch)

    def order(self, epoch: int) -> tuple[Tensor, ...]:
        """Item numbers of every step of an epoch."""
        generator = randomness.generator(self.seed, "order", epoch)
        if self.balanced:
            shuffled = balanced_order(self.labels.cpu(), generator)
        elif self.shards:
            shuffled = self.shards.order(generator)
        else:
            shuffled = torch.randperm(len(self.labels), generator=generator)
        return torch.tensor_split(shuffled.to(self.labels.device), self.steps)

    def take(
        self, index: Tensor, epoch: int, step: int, *, plain: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The items of one step: pictures [B, C, h, w] float32 and labels [B].

        Args:
            index: item numbers [B].
            epoch: counted from zero.
            step: within the epoch.
            plain: the middle of each picture instead of a random view.
        """
        images = self.stored(index, epoch, step)
        policy = read(self.augment)
        if plain or not (policy.shifts or policy.views):
            images = self.preprocessing.centre(self._unpadded(images))
        elif policy.shifts:
            images = self._shifted(images, randomness.generator(self.seed, "view", epoch, step))
        else:
            seed = randomness.derive(self.seed, "view", epoch)
            images, _ = view(images, index, policy, seed=seed, size=self.preprocessing.size)
        return self.preprocessing.normalise(images), self.labels.index_select(0, index)

    def stored(self, index: Tensor, epoch: int, step: int) -> Tensor:  # noqa: ARG002 - of a stream
        """The pictures of one step as they are kept, [B, H, W, C]."""
        return self.images.index_select(0, index)  # a copy of whole rows; indexing is 8x slower

    def _shifted(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """A small shift of the batch as one, which costs nothing."""
        (h, w), (high, wide) = self.preprocessing.size, images.shape[1:3]
        top, left = (
            int(torch.randint(room + 1, (), generator=generator)) for room in (high - h, wide - w)
        )
        return images[:, top : top + h, left : left + w]

    def _unpadded(self, images: Tensor) -> Tensor:
        high, wide = self.preprocessing.resize
        top, left = (images.shape[1] - high) // 2, (images.shape[2] - wide) // 2
        return images[:, top : top + high, left : left + wide]


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


def balanced_weights(labels: Tensor, classes: int) -> tuple[float, ...]:
    """N / (K n) for each class of n items, so that all weigh the same in sum (King and Zeng 2001).

    Args:
        labels: of the training items [N].
        classes: K.
    """
    counts = torch.bincount(labels.cpu(), minlength=classes).clamp_min(1)
    return tuple((len(labels) / (classes * counts.double())).tolist())


def padded(images: Tensor, size: tuple[int, int]) -> Tensor:
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
