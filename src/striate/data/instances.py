"""Masks that tell single objects apart: an id for each pixel. H W pixels.

For training ids become what a net can learn: background, the inside of an object, and its border of a pixel, which
keeps objects that touch apart; beside it stands how close two objects are, as a weight of the gaps between them
(Ronneberger, Fischer and Brox 2015, arXiv 1505.04597, equation 2, without its constants).
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from striate.data import files, pictures
from striate.data.masks import OutlineMasks, read_values
from striate.data.modes import U8
from striate.data.pictures import Limits
from striate.data.sources import I64, Files, Form, Look, Source
from striate.data.targets import IGNORE
from striate.errors import DataError

NOWHERE = -1  # the id of pixels that count nowhere
BACKGROUND, INSIDE, BORDER = 0, 1, 2
SIGMA = 5.0  # pixels of the equation
MOST = 10_000  # ids of a mask: of more, the file is a photo or was compressed with a loss
VERSION = 1  # of what follows from ids; a change makes cached maps anew

Ids = npt.NDArray[np.int32]
F64 = npt.NDArray[np.float64]


class IdSource(Source, ABC):
    """Masks of ids, of which it is decoded what is learned."""

    @abstractmethod
    def take(self, index: I64) -> "IdSource":
        """The same, with only these numbers."""

    @abstractmethod
    def ids(self, i: int) -> Ids:
        """Ids [H, W].

        Raises:
            DataError: the mask cannot be read; with the reason alone.
        """

    def shape(self, form: Form) -> tuple[int, ...]:
        """Of what is learned."""
        return (*(form.size or (0, 0)), 2)

    def decode(self, i: int, form: Form) -> U8:
        """What is learned, [H, W, 2]."""
        return learned(nearest(self.ids(i), form))


@dataclass(frozen=True)
class IdFiles(IdSource, Files):
    """Files with an id or a colour an object, 0 or black for the background.

    Attributes:
        single: they hold one value beside the background: each connected region of it is an object.
    """

    single: bool = False

    @property
    def decoder(self) -> str:
        """What the cache tells entries apart by, beside the content of the files."""
        return f"ids {VERSION} {self.single} {self.limits}"

    def take(self, index: I64) -> "IdFiles":
        """The same, with only these numbers."""
        return replace(self, names=tuple(self.names[i] for i in index.tolist()))

    def ids(self, i: int) -> Ids:
        """Ids [H, W]."""
        values = values_of(self.data(i), self.limits)
        return regions(values > 0) if self.single else renumbered(values)


@dataclass(frozen=True)
class IdFolders(IdSource):
    """A file an object, several of them a picture; where they overlap the later one is seen."""

    root: Path
    groups: tuple[tuple[str, ...], ...]
    limits: Limits

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def decoder(self) -> str:
        """What the cache tells entries apart by, beside the content of the files."""
        return f"ids {VERSION} {self.limits}"

    def take(self, index: I64) -> "IdFolders":
        """The same, with only these numbers."""
        return replace(self, groups=tuple(self.groups[i] for i in index.tolist()))

    def digest(self, i: int) -> bytes:
        """SHA-256 of the hashes of its files."""
        each = hashlib.sha256()
        for data in self._data(i):
            each.update(hashlib.sha256(data).digest())
        return each.digest()

    def _data(self, i: int) -> Iterator[bytes]:
        for name in self.groups[i]:
            try:
                yield files.read(self.root / name)
            except DataError as error:
                yield f"no content: {name} {error}".encode()

    def look(self, i: int) -> Look:
        """Its hash, and the header of the first file."""
        try:
            head = pictures.head(files.read(self.root / self.groups[i][0]), self.limits)
        except DataError:
            head = None
        return Look(self.digest(i), head)

    def ids(self, i: int) -> Ids:
        """Ids [H, W].

        Raises:
            DataError: a file cannot be read, or is of another size than the first; with the reason alone.
        """
        found: Ids | None = None
        for number, name in enumerate(self.groups[i], 1):
            inside = values_of(files.read(self.root / name), self.limits) > 0
            if found is None:
                found = np.zeros(inside.shape, np.int32)
            if inside.shape != found.shape:
                raise DataError(f"{files.shown(name)} is of another size than the mask before it")
            found[inside] = number
        return np.zeros((0, 0), np.int32) if found is None else found

    def weights(self) -> I64:
        """Sizes of the files together."""
        sizes = (sum(files.size(str(self.root / n)) for n in group) for group in self.groups)
        return np.fromiter(sizes, np.int64, len(self))


@dataclass(frozen=True, eq=False)
class IdOutlines(IdSource, OutlineMasks):
    """Objects that are drawn from their outlines, the later ones over the earlier."""

    @property
    def decoder(self) -> str:
        """What the cache tells entries apart by, beside the content."""
        return f"ids {VERSION} {super().decoder}"

    def take(self, index: I64) -> "IdOutlines":
        """The same, with only these numbers."""
        return IdOutlines([self.drawings[i] for i in index.tolist()])

    def ids(self, i: int) -> Ids:
        """Ids [H, W]."""
        return self.drawings[i].ids()


def values_of(data: bytes, limits: Limits) -> npt.NDArray[np.int32]:
    """The values of an encoded mask [H, W]: numbers, or colours as one number.

    Raises:
        DataError: it cannot be read, or holds more values than there can be objects; with the reason alone.
    """
    try:
        values = read_values(data, limits, colors=False)
    except DataError:
        values = read_values(data, limits, colors=True)
    count = len(np.unique(values))
    if count > MOST:
        raise DataError(f"a mask of {count:,} values, where an id an object is expected")
    return values


def renumbered(values: npt.NDArray[np.int32]) -> Ids:
    """Values [H, W] as 1, 2 and on in their order, 0 as it is: ids may jump."""
    known, place = np.unique(values, return_inverse=True)
    numbers = np.cumsum(known != 0).astype(np.int32)
    numbers[known == 0] = 0
    return numbers[place].reshape(values.shape)


def regions(inside: npt.NDArray[np.bool_]) -> Ids:
    """Connected regions [H, W], neighbours by sides, numbered from 1."""
    from scipy import ndimage  # here: other data do without

    return np.asarray(ndimage.label(inside)[0], np.int32)  # pyright: ignore[reportIndexIssue]


def nearest(ids: Ids, form: Form) -> Ids:
    """Ids at the size of a form: of each pixel the nearest one."""
    if form.size is None or form.size == ids.shape:
        return ids
    (high, wide), (h, w) = ids.shape, form.size
    by = (max(h / high, w / wide),) * 2 if form.fit == "cover" else (h / high, w / wide)
    rows, columns = (
        ((n - k / scale) / 2 + (np.arange(k) + 0.5) / scale).astype(np.int64).clip(0, n - 1)
        for n, k, scale in zip((high, wide), (h, w), by, strict=True)
    )
    return ids[rows][:, columns]


def learned(ids: Ids) -> U8:
    """What a net learns of ids [H, W]: classes, and weights of gaps from 0 to 255, [H, W, 2]."""
    inside = ids > 0
    classes = np.where(inside, INSIDE, BACKGROUND).astype(np.uint8)
    classes[inside & borders(ids)] = BORDER
    classes[ids == NOWHERE] = IGNORE
    return np.stack([classes, gaps(ids)], -1)


def borders(ids: Ids) -> npt.NDArray[np.bool_]:
    """The pixels beside, above or below one of another id; the edge of the picture is no border."""
    found = np.zeros(ids.shape, np.bool_)
    for axis in (0, 1):
        differs = np.diff(ids, axis=axis) != 0
        before, after = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
        before[axis], after[axis] = (1, 0), (0, 1)
        found |= np.pad(differs, before) | np.pad(differs, after)
    return found


def gaps(ids: Ids) -> U8:
    """exp(-(d1 + d2)^2 / 2 sigma^2) of background pixels, d1 and d2 how far the two nearest objects are; 255 is 1."""
    reach = int(3 * SIGMA)
    first, second = (np.full(ids.shape, np.inf) for _ in range(2))
    from scipy import ndimage

    for number, place in enumerate(ndimage.find_objects(np.maximum(ids, 0)), 1):
        if place is None:
            continue
        around = tuple(slice(max(0, s.start - reach), s.stop + reach) for s in place)
        away: F64 = ndimage.distance_transform_edt(ids[around] != number)  # pyright: ignore[reportAssignmentType]
        one, two = first[around], second[around]
        second[around] = np.minimum(two, np.maximum(one, away))
        first[around] = np.minimum(one, away)
    close = np.exp(-((first + second) ** 2) / (2 * SIGMA**2))
    return np.rint(255 * np.where(ids == 0, close, 0)).astype(np.uint8)
