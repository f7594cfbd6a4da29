"""The items of one split: looked at without decoding, and decoded chunk by chunk.

N items, H W pixels, C channels.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL

from striate.data import workers
from striate.data.cache import VERSION, Broken
from striate.data.index import Part
from striate.data.masks import OutlineMasks
from striate.data.pictures import SWAPPED
from striate.data.pillow import without_warnings
from striate.data.sources import I64, AnyForm, Form, Look, Pixels, Source
from striate.data.targets import Targets
from striate.errors import DataError

Progress = Callable[[int, int], None]  # (done, total)

# For finding broken pictures: a JPEG is read to its end but cheaply.
CHECK = Form((8, 8), "grey")


@dataclass(frozen=True, eq=False)
class Looks:
    """What reading without decoding tells of N pictures.

    digests: SHA-256 of each content. shapes: int64 [N, 2], height and width, upright; 0 where the
    header is broken. grey: bool [N]. bad_exif: how many have an EXIF block that cannot be read.
    several: how many hold more frames or pages than the one that is read. alpha: how many are laid on white by their
    transparency. more_bands: how many hold a band beside red, green and blue that is left out.
    reduced: how many have more than 8 bits of which 8 are read: the others cannot be, or all of the set are read so.
    orientation: int64 [N], how each is turned to be upright, 1 to 8 as EXIF numbers it. facts: numbers of each, where
    they are no pictures.
    """

    digests: list[bytes]
    shapes: I64
    grey: npt.NDArray[np.bool]
    bad_exif: int
    several: int
    alpha: int
    more_bands: int
    reduced: int
    orientation: I64
    facts: list[Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class Split:
    """One split as listed, the pictures that cannot be read included."""

    name: str
    part: Part

    def __len__(self) -> int:
        return len(self.part)

    @property
    def names(self) -> Sequence[str]:
        """Names of the pictures, escaped for printing."""
        return self.part.names

    @property
    def targets(self) -> Targets:
        """What belongs to each item."""
        return self.part.targets

    @property
    def labels(self) -> I64:
        """Class numbers [N], where items have one each; else 0."""
        return self.part.targets.strata()

    @property
    def source(self) -> Source:
        """Where the inputs are."""
        return self.part.source

    @cached_property
    def looks(self) -> Looks:
        """One reading of every input, without decoding."""
        return _looks(self.source)

    @cached_property
    def target_looks(self) -> Looks | None:
        """The same of the targets, where they are pictures themselves."""
        return None if self.targets.source is None else _looks(self.targets.source)

    def digests(self, what: str) -> list[bytes]:
        """The hash of the content of each input, or of each target that is a picture."""
        looks = self.looks if what == "inputs" or self.target_looks is None else self.target_looks
        return looks.digests

    @property
    def natural(self) -> I64:
        """Height and width of every picture [N, 2], upright."""
        if isinstance(self.source, Pixels):
            return np.broadcast_to(np.array(self.source.size, np.int64), (len(self), 2))
        return self.looks.shapes

    def unusable(self) -> Broken:
        """The items whose target cannot be used, as the layout says, or is a picture of another size than the input."""
        if self.target_looks is None:
            return dict(self.part.broken)
        ours, theirs = self.looks.shapes, self.target_looks.shapes
        known = (ours[:, 0] > 0) & (theirs[:, 0] > 0)
        wrong = np.flatnonzero(known & (ours != theirs).any(1))
        others = {
            int(i): f"its mask is {theirs[i, 1]} x {theirs[i, 0]} pixels, the picture "
            f"{ours[i, 1]} x {ours[i, 0]}{self._as_turned(int(i))}"
            for i in wrong
        }
        return {**others, **self.part.broken}

    def _as_turned(self, i: int) -> str:
        """Where a picture lies on its side: why its size may not be what its file seems to say."""
        on_its_side = self.looks.orientation[i] in SWAPPED
        return " as EXIF turns it: turn the mask as well" if on_its_side else ""

    @cached_property
    def unturned_masks(self) -> int:
        """How many masks may be of the picture before EXIF turns it, which neither they nor their sizes say."""
        if self.target_looks is None or isinstance(self.targets.source, OutlineMasks):
            return 0
        ours, theirs = self.looks.shapes, self.target_looks.shapes
        turned = (self.looks.orientation != 1) & (self.target_looks.orientation == 1)
        told = np.isin(self.looks.orientation, SWAPPED) & (ours[:, 0] != ours[:, 1])
        return int(np.count_nonzero(turned & ~told & (ours == theirs).all(1)))

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
        with without_warnings():
            return any(self._sound(i) for i in index.tolist())

    def _sound(self, i: int) -> bool:
        try:
            self.source.decode(i, CHECK)
        except DataError:
            return False
        return True


def _looks(source: Source) -> Looks:
    """One reading of every item of a source, without decoding."""

    def work(index: I64) -> list[Look]:
        return [source.look(i) for i in workers.each(index)]

    with without_warnings():
        found = [
            look
            for done in workers.in_order(
                work, workers.everything(len(source)), threads=source.threads, named=source.named
            )
            for look in done.result
        ]
    shapes = [(look.head.height, look.head.width) if look.head else (0, 0) for look in found]
    return Looks(
        digests=[look.digest for look in found],
        shapes=np.array(shapes, np.int64).reshape(-1, 2),
        grey=np.array([look.head is not None and look.head.grey for look in found], np.bool_),
        bad_exif=sum(look.head is not None and look.head.bad_exif for look in found),
        several=sum(look.head is not None and look.head.several for look in found),
        alpha=sum(look.head is not None and look.head.alpha for look in found),
        more_bands=sum(look.head is not None and look.head.more_bands for look in found),
        reduced=sum(
            look.head.reduced or (look.head.deep and source.dtype == np.uint8)
            for look in found
            if look.head is not None
        ),
        orientation=np.array(
            [look.head.orientation if look.head else 1 for look in found], np.int64
        ),
        facts=[look.facts for look in found],
    )


def key(source: Source, digests: Sequence[bytes], form: AnyForm) -> str:
    """Names what decoded items are a function of: content in order, form, and the decoder."""
    how = getattr(source, "decoder", None) or getattr(source, "limits", None)
    if isinstance(form, Form):
        words = f"{VERSION} {PIL.__version__} {form.size} {form.color} {how}"
    else:
        words = f"{VERSION} {source.modality} {form.words} {how}"
    if source.dtype != np.uint8:
        words += f" {source.dtype}"
    stretched = isinstance(form, Form) and form.fit != "cover"
    digest = hashlib.sha256((f"{words} {form.fit}" if stretched else words).encode())
    for content in digests:
        digest.update(content)
    return digest.hexdigest()


def decoded(
    source: Source, form: AnyForm, progress: Progress | None
) -> Iterator[tuple[npt.NDArray[Any], Broken]]:
    """All items in order, chunk by chunk: the sound ones as one array, the broken ones by number."""
    shape = source.shape(form)

    def work(index: I64) -> tuple[npt.NDArray[Any], Broken]:
        items: list[npt.NDArray[Any]] = []
        broken: Broken = {}
        for i in workers.each(index):
            try:
                items.append(source.decode(i, form))
            except DataError as error:
                broken[i] = str(error)
        return np.stack(items) if items else np.empty((0, *shape), source.dtype), broken

    total = len(source)
    chunks = workers.everything(total, max(1, min(256, 2**22 // max(1, math.prod(shape)))))
    with without_warnings():
        for done in workers.in_order(work, chunks, threads=source.threads, named=source.named):
            yield done.result
            if progress is not None:
                progress(int(done.index[-1]) + 1, total)
