"""Batches of pictures that are decoded for every step, ahead of time, in threads.

B batch, H W pixels, C channels. Which pictures a step sees and what becomes of them is as in `batches`;
how many threads decode, and how far ahead, changes nothing but the waiting.
"""

import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue

import numpy as np
import torch
from torch import Tensor

from striate.augment import read
from striate.data import Data, Streamed
from striate.data.cache import gb
from striate.data.quiet import quiet
from striate.data.workers import PATIENCE, Job, available, dismiss, exhausted, hangs, served
from striate.training.batches import Batches, padded

AHEAD = 4  # batches under way while one is used, fewer where they are large:
MEMORY = 2**29  # bytes of them together
_CHUNK = 8  # pictures decoded by one thread at a time


@dataclass(frozen=True, kw_only=True)
class _Ahead:
    """A batch under way: what it was asked for, where its pictures are put, and what is read now."""

    index: Tensor
    images: Tensor  # [B, H, W, C] uint8
    parts: list["Future[None]"]
    reading: list[int]  # the picture that each part is at


@dataclass(frozen=True)
class Stream(Batches):
    """The training items as a stream; `images` holds none of them, only their form [0, H, W, C].

    mine: which of a step's items this process takes, where several share them.
    """

    pictures: Streamed = field(kw_only=True)
    workers: int | None = field(default=None, kw_only=True)
    mine: Callable[[Tensor], Tensor] = field(default=lambda index: index, kw_only=True)
    _queue: "SimpleQueue[Job | None]" = field(default_factory=SimpleQueue, init=False)
    _ahead: dict[tuple[int, int], _Ahead] = field(default_factory=dict, init=False)
    _orders: dict[int, tuple[Tensor, ...]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        count = self.workers or self.pictures.source.threads or available()
        served(self._queue, count)
        weakref.finalize(self, dismiss, self._queue, count)

    def stored(self, index: Tensor, epoch: int, step: int) -> Tensor:
        """The pictures of one step, [B, H, W, C], while those of the next are being decoded.

        Raises:
            DataError: one cannot be read, or not in time; it is named.
            NumericError: the memory does not suffice for one.
        """
        found = self._ahead.pop((epoch, step), None)
        if found is None or not torch.equal(found.index, index):
            found = self._begin(index)
        self._look_ahead(epoch, step)
        self._wait(found)
        images = found.images
        if read(self.augment).shifts:
            images = padded(images, self.preprocessing.size)
        return images.to(self.labels.device)

    def _look_ahead(self, epoch: int, step: int) -> None:
        """Begin what comes next, and forget what was begun for another place."""
        bytes_each = int(np.prod(self.pictures.shape[1:])) * self.batch
        wanted: list[tuple[int, int]] = []
        for _ in range(max(1, min(AHEAD, MEMORY // bytes_each))):
            step += 1
            if step == self.steps:
                epoch, step = epoch + 1, 0
            wanted.append((epoch, step))
        for place in set(self._ahead) - set(wanted):
            for part in self._ahead.pop(place).parts:
                part.cancel()
        for place in wanted:
            if place not in self._ahead:
                self._ahead[place] = self._begin(self.mine(self._order(place[0])[place[1]]))

    def _order(self, epoch: int) -> tuple[Tensor, ...]:
        if epoch not in self._orders:
            for old in [known for known in self._orders if abs(known - epoch) > 1]:
                del self._orders[old]
            self._orders[epoch] = self.order(epoch)
        return self._orders[epoch]

    def _begin(self, index: Tensor) -> _Ahead:
        """Queue the pictures of a batch; each part of it writes into its own rows."""
        images = torch.empty((len(index), *self.pictures.shape[1:]), dtype=torch.uint8)
        numbers = index.tolist()
        firsts = range(0, len(numbers), _CHUNK)
        ahead = _Ahead(
            index=index,
            images=images,
            parts=[Future() for _ in firsts],
            reading=[numbers[first] for first in firsts],
        )
        for at, (first, future) in enumerate(zip(firsts, ahead.parts, strict=True)):
            job = _job(self.pictures, ahead, at, numbers[first : first + _CHUNK])
            self._queue.put((future, job))
        return ahead

    def _wait(self, ahead: _Ahead) -> None:
        end = time.monotonic() + PATIENCE
        for at, future in enumerate(ahead.parts):
            try:
                future.result(max(0.0, end - time.monotonic()))
            except TimeoutError:
                raise hangs(self._called(ahead.reading[at]), PATIENCE) from None
            except MemoryError as error:
                raise exhausted(self._called(ahead.reading[at])) from error

    def _called(self, i: int) -> str:
        where = getattr(self.pictures.source, "where", None)
        place = f" ({where(i)[0]} at offset {where(i)[1]:,})" if where else ""
        return f"{self.pictures.names[i]}{place}"


def _job(pictures: Streamed, ahead: _Ahead, at: int, numbers: list[int]) -> Callable[[], None]:
    """Decode a part of a batch into its rows; it holds the stream's pictures but not the stream."""
    rows = ahead.images.numpy()[at * _CHUNK :]
    reading = ahead.reading

    def job() -> None:
        with quiet():
            for row, i in enumerate(numbers):
                reading[at] = i
                rows[row] = pictures.picture(i)

    return job


def explained(split: str, pictures: Streamed, data: Data) -> str:
    """One line: why a split is decoded anew for every epoch."""
    needed = int(np.prod(pictures.shape, dtype=object))
    return (
        f"{split} is decoded as it is used: its {len(pictures):,} pictures would need {gb(needed)} of the cache, "
        f"which is limited to {gb(data.store.limit)} ($STRIATE_CACHE_GB)"
    )
