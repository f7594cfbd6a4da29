"""The order of items that lie in shards: random, and yet nearly sequential for each disk or network. N items."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NEAR = 32  # items: within a shard an item is read so far before or after its neighbour at most


@dataclass(frozen=True)
class Shards:
    """Where N items lie, and how many shards are read at a time.

    shard: its number, from zero, for each item [N]. share: how far into its shard an item lies, from 0
    to 1, [N]. length: of that shard, in items, [N].
    """

    shard: Tensor
    share: Tensor
    length: Tensor
    count: int
    window: int

    def order(self, generator: torch.Generator) -> Tensor:
        """Item numbers [N] of an epoch.

        Time is counted in shards. Each is read from its front to its end within `window` units of it, one
        after the other begins, in random order, and time goes round in a circle: at every moment so many
        shards are open, and a batch has as many items of each, drawn from near where its reading is.
        """
        begins = torch.randperm(self.count, generator=generator)[self.shard]
        jitter = torch.rand(len(self.shard), generator=generator, dtype=torch.float64)
        within = self.share + jitter * NEAR / self.length
        return ((begins + self.window * within) % self.count).argsort(stable=True)


def read_shards(places: NDArray[np.int64] | None, window: int) -> Shards | None:
    """Shards of items at places (shard, offset) [N, 2]; None where all are open together anyway.

    Then the order is the same as for items that lie in no shards.
    """
    if places is None:
        return None
    shards, number, sizes = np.unique(places[:, 0], return_inverse=True, return_counts=True)
    if len(shards) <= window:
        return None
    by_place = np.lexsort((places[:, 1], places[:, 0]))
    rank = np.empty(len(places), np.int64)
    rank[by_place] = np.arange(len(places)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    length = torch.from_numpy(sizes[number])
    share = torch.from_numpy(rank) / length.double()
    return Shards(torch.from_numpy(number.astype(np.int64)), share, length, len(shards), window)
