"""Items that are decoded whenever they are asked for, because all of them decoded have no room.

N items; pictures have H W pixels and C channels. `decoded_or_streamed` decides: the cache where it is large enough, else a stream.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.data import workers
from striate.data.cache import Broken, Store
from striate.data.index import pick
from striate.data.pillow import without_warnings
from striate.data.shards import Sharded
from striate.data.sources import I64, AnyForm, Source
from striate.data.split_items import CHECK, Progress, decoded, key
from striate.errors import DataError

_IN_MEMORY = 256 * 2**20  # bytes; arrays that are only resized go through the disk above it
_CHUNK = 16  # pictures decoded by one thread at a time


@dataclass(frozen=True, eq=False)
class Streamed:
    """Like an array [N, ...] to whoever reads it; a part of it is decoded when it is read.

    A slice, or an array of numbers, gives another one of these; a number gives a picture; iterating
    and `np.asarray` decode, on all cores.
    """

    source: Source
    names: Sequence[str]
    form: AnyForm

    @property
    def shape(self) -> tuple[int, ...]:
        """N, H, W, C of pictures."""
        return (len(self.source), *self.source.shape(self.form))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of an item."""
        return self.source.dtype

    @property
    def varied(self) -> bool:
        """Whether items are pictures that keep sizes of their own, so that no array holds them."""
        return self.source.pictures and self.form.size is None

    @property
    def nbytes(self) -> int:
        """What all of it would need, decoded; 0 where that is not known without decoding."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int | np.integer):
            with without_warnings():
                return self.picture(range(len(self))[index])
        numbers = np.arange(len(self))[index]
        return replace(self, source=self.source.take(numbers), names=pick(self.names, numbers))

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        def work(index: I64) -> list[npt.NDArray[Any]]:
            return [self.picture(i) for i in workers.each(index)]

        with without_warnings():
            # Pictures that keep their own sizes may be large, and are no more than a few at a time in memory.
            chunks = workers.everything(len(self), 1 if self.varied else _CHUNK)
            for done in workers.in_order(
                work, chunks, threads=self.source.threads, named=self.names.__getitem__
            ):
                yield from done.result

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("a stream has no array of its own to share")
        items = np.stack(list(self)) if len(self) else np.empty(self.shape, self.dtype)
        return items if dtype is None else items.astype(dtype, copy=False)

    def decode(self, index: I64) -> npt.NDArray[Any]:
        """The items of these numbers; call it inside `without_warnings`.

        Raises:
            DataError: one cannot be read; it is named.
        """
        return np.stack([self.picture(i) for i in workers.each(index)])

    def picture(self, i: int) -> npt.NDArray[Any]:
        """One item, of pictures [H, W, C]; call it inside `without_warnings`.

        Raises:
            DataError: it cannot be read; it is named.
        """
        try:
            return self.source.decode(i, self.form)
        except DataError as error:
            raise DataError(
                f"{self.names[i]} cannot be read ({error}); striate data names all that are broken"
            ) from error


Images = npt.NDArray[Any] | Streamed


@dataclass(frozen=True)
class Decoded:
    """The sound items of a split, and the numbers of those that are left out."""

    images: Images
    broken: Broken


def decoded_or_streamed(
    source: Source,
    names: Sequence[str],
    digests: Callable[[], Sequence[bytes]],
    store: Store,
    form: AnyForm,
    progress: Progress | None,
) -> Decoded:
    """The items of a source in a form: from memory, from the cache, or as a stream.

    Pictures that keep their own sizes, which differ, are a stream whatever they need.

    Args:
        source: of the items.
        names: of the items, for messages.
        digests: gives the hash of the content of each item; asked for only where the cache is used.
        store: the cache.
        form: of the result.
        progress: called with (done, total) while decoding.

    Raises:
        DataError: the disk is too small for the cache.
    """
    found = source.ready(form)
    if found is not None:
        return Decoded(found, {})
    whole = Streamed(source, names, form)
    if source.in_memory and not whole.varied and whole.nbytes <= _IN_MEMORY:
        return Decoded(np.concatenate([items for items, _ in decoded(source, form, progress)]), {})
    if whole.varied or whole.nbytes > store.limit:
        broken = _lost(source, progress)
        return Decoded(whole[np.delete(np.arange(len(source)), list(broken))], broken)
    name = key(source, digests(), form)
    stored = store.find(name) or store.keep(
        name, whole.shape, source.dtype, decoded(source, form, progress)
    )
    return Decoded(stored.images, stored.broken)


def _lost(source: Source, progress: Progress | None) -> Broken:
    """What cannot be read; what was packed by us was sound then, and is held to its hash when it is read."""
    if isinstance(source, Sharded) and source.hashed:
        return source.lost()
    return unreadable(source, progress)


def unreadable(source: Source, progress: Progress | None) -> Broken:
    """The items that cannot be read, found by decoding every one fully."""
    if source.in_memory:
        return {}
    chunks = decoded(source, CHECK if source.pictures else source.check, progress)
    return {i: reason for _, broken in chunks for i, reason in broken.items()}
