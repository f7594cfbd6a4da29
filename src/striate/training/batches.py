"""Batches of training items: which items a step takes, in which order, and as which tensors.

N items, B batch; pictures have H W pixels and C channels. `Batches` holds all decoded items on the device and gathers,
augments and normalises a whole batch at a time. `Stream` decodes them for every step, ahead of time, in threads: how
many threads, and how far ahead, changes nothing but the waiting. `Shards` gives the order of items that lie in shards.
"""

import math
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.augment import Colors, colors, cut, read
from striate.augment.draws import Draws
from striate.data import Data, Streamed
from striate.data.cache import gb
from striate.data.pillow import without_warnings
from striate.data.targets import IGNORE, PLACED
from striate.data.workers import PATIENCE, Job, available, dismiss, exhausted, hangs, served
from striate.errors import ShapeError
from striate.inputs import AsGiven, Preprocessing, Views
from striate.training import reproducibility

Size = tuple[int, int]


AHEAD = 4  # batches under way while one is used, fewer where they are large:


MEMORY = 2**29  # bytes of them together


_CHUNK = 8  # pictures decoded by one thread at a time


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


@dataclass
class Spent:
    """Seconds spent within it, added up."""

    seconds: float = 0.0
    _since: float = 0.0

    def __enter__(self) -> None:
        self._since = time.perf_counter()

    def __exit__(self, *_error: object) -> None:
        self.seconds += time.perf_counter() - self._since


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
    waiting: Spent = field(
        default_factory=Spent, kw_only=True, repr=False
    )  # for items to be there: decoded or read, and brought to the device

    @classmethod
    def of_tensors(cls, inputs: Tensor, targets: Tensor, *, batch: int, seed: int = 0) -> "Batches":
        """Batches of tensors that are ready for a net: nothing is augmented or normalised.

        Args:
            inputs: [N, ...], on the device where batches are to lie.
            targets: [N, ...], on the same.
            batch: most items of a step.
            seed: of their order.

        Raises:
            ShapeError: not as many targets as inputs, or none.
        """
        if not len(inputs) or len(inputs) != len(targets):
            raise ShapeError(
                f"{len(inputs)} inputs and {len(targets)} targets: expected as many of both, and at least one"
            )
        as_given = AsGiven(tuple(inputs.shape[1:]), (0.0,), (1.0,))
        return cls(inputs, targets, as_given, batch, "none", seed)

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return math.ceil(self.count / self.batch)

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
        generator = reproducibility.generator(self.seed, "order", epoch)
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
        with self.waiting:
            inputs, targets = self.stored(index, epoch, step)
        views = Views(
            self.kind,
            index,
            read(self.augment),
            reproducibility.derive(self.seed, "view", epoch),
            lambda: reproducibility.generator(self.seed, "view", epoch, step),
            plain=plain,
            colors=lambda: self._colors,
        )
        return self.preprocessing.batch(inputs, targets, views)

    def stored(self, index: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:  # noqa: ARG002 - of a stream
        """The items of one step as they are kept, pictures [B, H, W, C], and their targets."""
        # A copy of whole rows; indexing is 8x slower.
        return self.inputs.index_select(0, index), self.targets.index_select(0, index)

    @cached_property
    def _colors(self) -> Colors | None:
        """The colours of the items; of a stream nothing is kept to measure."""
        return colors(self.inputs) if len(self.inputs) else None


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


@dataclass(frozen=True, kw_only=True)
class _Ahead:
    """A batch under way: what it was asked for, where its pictures are put, and what is read now."""

    index: Tensor
    inputs: Tensor  # [B, H, W, C] of pictures, of the type of the stream
    masks: Tensor  # [B, H, W, 1] uint8; [B] where targets are no pictures
    parts: list["Future[None]"]
    reading: list[int]  # the picture that each part is at


@dataclass(frozen=True)
class Stream(Batches):
    """The training items as a stream; `inputs` holds none of them, only their form [0, H, W, C].

    Attributes:
        pictures: the inputs, decoded when they are asked for.
        masks: the targets, where they are pictures themselves; else `targets` holds them.
        workers: threads that decode.
        mine: which of a step's items this process takes, where several share them.
    """

    pictures: Streamed = field(kw_only=True)
    masks: Streamed | None = field(default=None, kw_only=True)
    workers: int | None = field(default=None, kw_only=True)
    mine: Callable[[Tensor], Tensor] = field(default=lambda index: index, kw_only=True)
    _queue: "SimpleQueue[Job | None]" = field(default_factory=SimpleQueue, init=False)
    _ahead: dict[tuple[int, int], _Ahead] = field(default_factory=dict, init=False)
    _orders: dict[int, tuple[Tensor, ...]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        count = self.workers or self.pictures.source.threads or available()
        served(self._queue, count)
        weakref.finalize(self, dismiss, self._queue, count)

    @property
    def count(self) -> int:
        """Items of one epoch."""
        return len(self.pictures)

    @property
    def window(self) -> Size | None:
        """What is cut out of pictures as they are decoded, where each keeps a size of its own."""
        return self.preprocessing.window

    def stored(self, index: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """The items of one step, pictures [B, H, W, C], while those of the next are being decoded.

        Raises:
            DataError: one cannot be read, or not in time; it is named.
            NumericError: the memory does not suffice for one.
        """
        found = self._ahead.pop((epoch, step), None)
        if found is None or not torch.equal(found.index, index):
            found = self._begin(index, epoch)
        self._look_ahead(epoch, step)
        self._wait(found)
        inputs = self.preprocessing.with_room(found.inputs, read(self.augment))
        if self.masks is not None:
            return inputs.to(self.device), found.masks.to(self.device)
        targets = self.targets.index_select(0, index)
        if self.window and self.kind in PLACED:
            places = zip(targets, self._windows(index, epoch), strict=True)
            cuts = [
                cut(self.kind, t[None], top=y, left=x, size=self.window) for t, (y, x) in places
            ]
            targets = torch.cat(cuts)
        return inputs.to(self.device), targets

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Height and width of every picture [N, 2]."""
        source = self.pictures.source
        heads = (source.look(i).head for i in range(len(source)))
        return np.array([(h.height, h.width) if h else (1, 1) for h in heads], np.int64)

    def _windows(self, index: Tensor, epoch: int) -> list[tuple[int, int]]:
        """Top and left of the window of each item [B]: a function of seed, epoch and item alone."""
        if self.window is None:
            return [(0, 0)] * len(index)
        draws = Draws(reproducibility.derive(self.seed, "window", epoch), index.cpu())
        shares = torch.stack([draws.uniform(), draws.uniform()], 1).double().tolist()
        room = np.asarray(self.sizes)[index.cpu().numpy()] - np.asarray(self.window)
        return [
            (int(y * (max(0, down) + 1)), int(x * (max(0, right) + 1)))
            for (y, x), (down, right) in zip(shares, room.tolist(), strict=True)
        ]

    def _look_ahead(self, epoch: int, step: int) -> None:
        """Begin what comes next, and forget what was begun for another place."""
        of_one = int(np.prod(self._shape(self.pictures))) * self.pictures.dtype.itemsize
        bytes_each = max(1, of_one) * self.batch
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
                self._ahead[place] = self._begin(
                    self.mine(self._order(place[0])[place[1]]), place[0]
                )

    def _order(self, epoch: int) -> tuple[Tensor, ...]:
        if epoch not in self._orders:
            for old in [known for known in self._orders if abs(known - epoch) > 1]:
                del self._orders[old]
            self._orders[epoch] = self.order(epoch)
        return self._orders[epoch]

    def _shape(self, stream: Streamed) -> tuple[int, ...]:
        """Of one item of a stream as it is put into a batch."""
        return (*self.window, stream.shape[-1]) if self.window else stream.shape[1:]

    def _empty(self, stream: Streamed | None, count: int) -> Tensor:
        if stream is None:
            return torch.empty(count, dtype=torch.uint8)
        kind = torch.from_numpy(np.empty(0, stream.dtype)).dtype
        return torch.empty((count, *self._shape(stream)), dtype=kind)

    def _begin(self, index: Tensor, epoch: int) -> _Ahead:
        """Queue the items of a batch; each part of it writes into its own rows."""
        numbers = index.tolist()
        firsts = range(0, len(numbers), _CHUNK)
        ahead = _Ahead(
            index=index,
            inputs=self._empty(self.pictures, len(index)),
            masks=self._empty(self.masks, len(index)),
            parts=[Future() for _ in firsts],
            reading=[numbers[first] for first in firsts],
        )
        decode = _Decode(self.pictures, self.masks, self.window)
        windows = self._windows(index, epoch)
        for at, (first, future) in enumerate(zip(firsts, ahead.parts, strict=True)):
            here = slice(first, first + _CHUNK)
            self._queue.put((future, decode.job(ahead, at, numbers[here], windows[here])))
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


@dataclass(frozen=True)
class _Decode:
    """What decodes parts of batches; it holds the stream's sources but not the stream."""

    pictures: Streamed
    masks: Streamed | None
    window: Size | None

    def job(
        self, ahead: _Ahead, at: int, numbers: list[int], windows: list[tuple[int, int]]
    ) -> Callable[[], None]:
        """Decode a part of a batch into its rows."""
        inputs, masks = ahead.inputs.numpy()[at * _CHUNK :], ahead.masks.numpy()[at * _CHUNK :]
        reading = ahead.reading

        def job() -> None:
            with without_warnings():
                for row, (i, place) in enumerate(zip(numbers, windows, strict=True)):
                    reading[at] = i
                    inputs[row] = self._cut(self.pictures.picture(i), place, "symmetric")
                    if self.masks is not None:
                        masks[row] = self._cut(self.masks.picture(i), place, "constant")

        return job

    def _cut(self, item: NDArray[Any], place: tuple[int, int], beyond: str) -> NDArray[Any]:
        """The window of an item; what lies beyond a smaller one is its mirror image, of a mask what counts nowhere."""
        if self.window is None:
            return item
        (top, left), (h, w) = place, self.window
        item = item[top : top + h, left : left + w]
        down, right = h - item.shape[0], w - item.shape[1]
        if not down and not right:
            return item
        room = ((0, down), (0, right), (0, 0))
        if beyond == "constant":
            return np.pad(item, room, constant_values=IGNORE)
        return np.pad(item, room, mode="symmetric")


def why_streamed(split: str, pictures: Streamed, data: Data) -> str:
    """One line: why a split is decoded anew for every epoch."""
    needed = pictures.nbytes
    if not needed:
        return f"{split} is decoded as it is used: its {len(pictures):,} {data.noun} keep sizes of their own"
    return (
        f"{split} is decoded as it is used: its {len(pictures):,} {data.noun} would need {gb(needed)} of the cache, "
        f"which is limited to {gb(data.store.limit)} ($STRIATE_CACHE_GB)"
    )
