"""The pictures of one split: looked at without decoding, and decoded chunk by chunk.

N pictures, H W pixels, C channels.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import PIL

from striate.data import workers
from striate.data.cache import VERSION, Broken
from striate.data.colors import channels
from striate.data.listing import Part
from striate.data.modes import U8
from striate.data.quiet import quiet
from striate.data.sources import I64, Look, Pixels, Source
from striate.errors import DataError

Progress = Callable[[int, int], None]  # (done, total)

CHECK = (8, 8)  # size for finding broken pictures: a JPEG is read to its end but cheaply


@dataclass(frozen=True, eq=False)
class Looks:
    """What reading without decoding tells of N pictures.

    digests: SHA-256 of each content. shapes: int64 [N, 2], height and width, upright; 0 where the
    header is broken. grey: bool [N]. bad_exif: how many have an EXIF block that cannot be read.
    several: how many hold more frames or pages than the one that is read.
    """

    digests: list[bytes]
    shapes: I64
    grey: npt.NDArray[np.bool]
    bad_exif: int
    several: int


@dataclass(frozen=True, eq=False)
class Split:
    """One split as listed, the pictures that cannot be read included."""

    name: str
    part: Part

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def names(self) -> Sequence[str]:
        """Names of the pictures, escaped for printing."""
        return self.part.names

    @property
    def labels(self) -> I64:
        """Class numbers [N]."""
        return self.part.labels

    @property
    def source(self) -> Source:
        """Where the pixels are."""
        return self.part.source

    @cached_property
    def looks(self) -> Looks:
        """One reading of every picture, without decoding."""

        def work(index: I64) -> list[Look]:
            return [self.source.look(i) for i in workers.each(index)]

        with quiet():
            found = [
                look
                for done in workers.in_order(
                    work,
                    workers.everything(len(self)),
                    threads=self.source.threads,
                    named=self.source.named,
                )
                for look in done.result
            ]
        shapes = [(look.head.height, look.head.width) if look.head else (0, 0) for look in found]
        grey = [look.head is not None and look.head.grey for look in found]
        bad_exif = sum(look.head is not None and look.head.bad_exif for look in found)
        several = sum(look.head is not None and look.head.several for look in found)
        digests = [look.digest for look in found]
        return Looks(digests, np.array(shapes, np.int64), np.array(grey), bad_exif, several)

    def shapes(self, broken: Broken) -> I64:
        """Heights and widths [*, 2] of the pictures but the broken ones; one row stands for all of an array."""
        if isinstance(self.source, Pixels):
            return np.array([self.source.size], np.int64)
        found = np.delete(self.looks.shapes, list(broken), axis=0)
        return found[found[:, 0] > 0]

    @cached_property
    def grey(self) -> bool:
        """Whether every readable picture is grey; where headers disagree others are decoded until one is sound."""
        if isinstance(self.source, Pixels):
            return self.source.color == "grey"
        grey = self.looks.grey[self.looks.shapes[:, 0] > 0]
        if grey.all() or not grey.any():
            return bool(grey.all())
        return not self.any_sound(np.flatnonzero((self.looks.shapes[:, 0] > 0) & ~self.looks.grey))

    def any_sound(self, index: I64) -> bool:
        """Whether one of these pictures can be decoded fully; a header alone may be that of a broken one."""
        with quiet():
            return any(self._sound(i) for i in index.tolist())

    def _sound(self, i: int) -> bool:
        try:
            self.source.decode(i, CHECK, "grey")
        except DataError:
            return False
        return True


def key(split: Split, size: tuple[int, int], color: str) -> str:
    """Names what the decoded pictures are a function of: content in order, form, and the decoder."""
    limits = getattr(split.source, "limits", None)
    digest = hashlib.sha256(f"{VERSION} {PIL.__version__} {size} {color} {limits}".encode())
    for content in split.looks.digests:
        digest.update(content)
    return digest.hexdigest()


def decoded(
    source: Source, size: tuple[int, int], color: str, progress: Progress | None
) -> Iterator[tuple[U8, Broken]]:
    """All pictures in order, chunk by chunk: the sound ones as one array, the broken ones by number."""

    def work(index: I64) -> tuple[U8, Broken]:
        images: list[U8] = []
        broken: Broken = {}
        for i in workers.each(index):
            try:
                images.append(source.decode(i, size, color))
            except DataError as error:
                broken[i] = str(error)
        empty = np.empty((0, *size, channels(color)), np.uint8)
        return np.stack(images) if images else empty, broken

    total = len(source)
    per_picture = size[0] * size[1] * 3
    chunks = workers.everything(total, max(1, min(256, 2**22 // per_picture)))
    with quiet():
        for done in workers.in_order(work, chunks, threads=source.threads, named=source.named):
            yield done.result
            if progress is not None:
                progress(int(done.index[-1]) + 1, total)
