"""Pictures that are decoded whenever they are asked for, because all of them decoded have no room.

N pictures, H W pixels, C channels. `kept` decides: the cache where it is large enough, else a stream.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.data import workers
from striate.data.cache import Broken, Store
from striate.data.colors import channels
from striate.data.decoding import CHECK, Progress, Split, decoded, key
from striate.data.listing import pick
from striate.data.modes import U8
from striate.data.quiet import quiet
from striate.data.shards import Sharded
from striate.data.sources import I64, Pixels, Source
from striate.errors import DataError

_IN_MEMORY = 256 * 2**20  # bytes; arrays that are only resized go through the disk above it
_CHUNK = 16  # pictures decoded by one thread at a time


@dataclass(frozen=True, eq=False)
class Streamed:
    """Like an array uint8 [N, H, W, C] to whoever reads it; a part of it is decoded when it is read.

    A slice, or an array of numbers, gives another one of these; a number gives a picture; iterating
    and `np.asarray` decode, on all cores.
    """

    source: Source
    names: Sequence[str]
    size: tuple[int, int]
    color: str

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """N, H, W, C."""
        return (len(self.source), *self.size, channels(self.color))

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int | np.integer):
            with quiet():
                return self.picture(range(len(self))[index])
        numbers = np.arange(len(self))[index]
        return replace(self, source=self.source.take(numbers), names=pick(self.names, numbers))

    def __iter__(self) -> Iterator[U8]:
        with quiet():
            chunks = workers.everything(len(self), _CHUNK)
            for done in workers.in_order(
                self.decode, chunks, threads=self.source.threads, named=self.names.__getitem__
            ):
                yield from done.result

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("a stream has no array of its own to share")
        images = np.stack(list(self)) if len(self) else np.empty(self.shape, np.uint8)
        return images if dtype is None else images.astype(dtype, copy=False)

    def decode(self, index: I64) -> U8:
        """The pictures of these numbers; call it inside `quiet`.

        Raises:
            DataError: one cannot be read; it is named.
        """
        return np.stack([self.picture(i) for i in workers.each(index)])

    def picture(self, i: int) -> U8:
        """One picture [H, W, C]; call it inside `quiet`.

        Raises:
            DataError: it cannot be read; it is named.
        """
        try:
            return self.source.decode(i, self.size, self.color)
        except DataError as error:
            raise DataError(
                f"{self.names[i]} cannot be read ({error}); striate data names all that are broken"
            ) from error


Images = U8 | Streamed


@dataclass(frozen=True)
class Kept:
    """The sound pictures of a split, and the numbers of those that are left out."""

    images: Images
    broken: Broken


def kept(
    split: Split, store: Store, size: tuple[int, int], color: str, progress: Progress | None
) -> Kept:
    """The pictures of a split at a size and in a colour: from memory, from the cache, or as a stream.

    Raises:
        DataError: the disk is too small for the cache.
    """
    source = split.source
    shape = (len(split), *size, channels(color))
    count = int(np.prod(shape, dtype=object))
    if isinstance(source, Pixels) and count <= _IN_MEMORY:
        chunks = decoded(source, size, color, progress)
        return Kept(np.concatenate([images for images, _ in chunks]), {})
    if count > store.limit:
        broken = _lost(source, progress)
        sound = np.delete(np.arange(len(split)), list(broken))
        names = pick(split.names, sound)
        return Kept(Streamed(source.take(sound), names, size, color), broken)
    name = key(split, size, color)
    stored = store.find(name) or store.keep(name, shape, decoded(source, size, color, progress))
    return Kept(stored.images, stored.broken)


def _lost(source: Source, progress: Progress | None) -> Broken:
    """What cannot be read; what was packed by us was sound then, and is held to its hash when it is read."""
    if isinstance(source, Sharded) and source.hashed:
        return source.lost()
    return unreadable(source, progress)


def unreadable(source: Source, progress: Progress | None) -> Broken:
    """The pictures that cannot be read, found by decoding every one fully."""
    if isinstance(source, Pixels):
        return {}
    chunks = decoded(source, CHECK, "grey", progress)
    return {i: reason for _, broken in chunks for i, reason in broken.items()}
