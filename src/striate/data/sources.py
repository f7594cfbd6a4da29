"""Where the inputs of a split come from: files, one block of encoded pictures, or arrays in memory.

N items, H W pixels, C channels. All of them answer the same questions about item i.
"""

import hashlib
import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from striate.data import files, pictures
from striate.data.color_spaces import channels
from striate.data.modes import F32, U8
from striate.data.pictures import Head, Limits
from striate.errors import DataError

I64 = npt.NDArray[np.int64]

# What inputs may be, and what several of them are called.
MODALITIES = {
    "picture": "pictures",
    "sound": "sounds",
    "series": "series",
    "window": "windows",
    "volume": "volumes",
    "array": "arrays",
}

# How inputs are stored: `Form` of pictures; of others a frozen tuple of their own, with all that decides the decoding
# and `words`, which name it in the cache.
AnyForm = Any


class Form(NamedTuple):
    """How pictures are stored: height and width (None: each as it is), colour, and how they are brought to them.

    fit is "cover" (scaled until it covers the size, its middle cut out) or "stretch" (each side scaled by itself,
    so that nothing is lost).
    """

    size: tuple[int, int] | None
    color: str
    fit: str = "cover"


@dataclass(frozen=True)
class Look:
    """What one reading without decoding tells.

    Attributes:
        digest: the hash of the content.
        head: of a picture, if it can be read.
        facts: numbers of what is no picture, such as the seconds of a sound; none where it cannot be read.
    """

    digest: bytes
    head: Head | None = None
    facts: Mapping[str, float] = field(default_factory=dict[str, float])


class Source(ABC):
    """The inputs of a split, asked for by number.

    Attributes:
        modality: what they are, of `MODALITIES`.
        in_memory: whether they lie there decoded, so that none can be broken.
        check: the form in which they are decoded to find out which cannot be, where they are no pictures.
    """

    modality: str = "picture"
    in_memory: ClassVar[bool] = False
    check: ClassVar[AnyForm] = None

    @property
    def pictures(self) -> bool:
        """Whether they are pictures, which have a size and a colour."""
        return self.modality == "picture"

    @property
    def threads(self) -> int | None:
        """How many are best read at the same time; None: one a core."""
        return None

    @abstractmethod
    def __len__(self) -> int: ...

    def named(self, i: int) -> str:
        """Picture i in a message, where its source is all that is known."""
        return f"item {i}"

    @abstractmethod
    def take(self, index: I64) -> "Source":
        """The same, with only the items of these numbers, in this order."""

    def sides(self) -> I64 | None:
        """The size of each item itself [N, axes], to which maps of it are brought; None where its header says it."""
        return None

    def shape(self, form: AnyForm) -> tuple[int, ...]:
        """Of one decoded item, in a form that has a size."""
        return (*(form.size or (0, 0)), channels(form.color))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a decoded item."""
        return np.dtype(np.uint8)

    def ready(self, form: AnyForm) -> npt.NDArray[Any] | None:
        """All items [N, ...], where they lie in memory in this form already."""
        del form
        return None

    @abstractmethod
    def digest(self, i: int) -> bytes:
        """SHA-256 of the content of picture i; never raises."""

    @abstractmethod
    def look(self, i: int) -> Look:
        """The same, and what the header says; never raises for a broken picture."""

    @abstractmethod
    def decode(self, i: int, form: AnyForm) -> npt.NDArray[Any]:
        """Item i; of a picture pixels [H, W, C], as `pictures.picture` describes.

        Raises:
            DataError: the picture cannot be read; with the reason alone.
        """

    def remarks(self, names: Sequence[str], facts: Sequence[Mapping[str, float]]) -> list[str]:
        """Lines about what may spoil a training, from the names and the facts of all items."""
        del names, facts
        return []

    @abstractmethod
    def weights(self) -> I64:
        """A number for each picture that equal pictures share: enough to rule out most twins."""


class InFileFormat(Source, ABC):
    """Items in a file format, each known by its encoded bytes."""

    @abstractmethod
    def data(self, i: int) -> bytes:
        """The encoded bytes of item i.

        Raises:
            DataError: they cannot be read; with the reason alone.
        """

    def digest(self, i: int) -> bytes:
        """SHA-256 of its bytes."""
        try:
            return hashlib.sha256(self.data(i)).digest()
        except DataError as error:
            return self._no_content(i, error)

    def _no_content(self, i: int, error: DataError) -> bytes:
        """What stands for the content of an item that has none, so that two such are no copies of each other."""
        return hashlib.sha256(f"no content: {self.label(i)} {error}".encode()).digest()

    def label(self, i: int) -> str:
        """A name of item i that does not depend on where the data lie; "" if there is none."""
        del i
        return ""


class Encoded(InFileFormat, ABC):
    """Pictures in a file format."""

    limits: Limits

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8, or float32 where the pictures have more than 8 bits."""
        return np.dtype(np.uint8 if self.limits.levels is None else np.float32)

    def look(self, i: int) -> Look:
        """Hash and header."""
        try:
            data = self.data(i)
        except DataError as error:
            return Look(self._no_content(i, error), None)
        try:
            head = pictures.head(data, self.limits)
        except DataError:
            head = None
        return Look(hashlib.sha256(data).digest(), head)

    def decode(self, i: int, form: Form) -> U8 | F32:
        """Its pixels, [H, W, C]."""
        size, color, fit = form
        return pictures.decode(self.data(i), size=size, color=color, limits=self.limits, fit=fit)


@dataclass(frozen=True)
class Files(Encoded):
    """Picture files below one folder, by their names relative to it."""

    root: Path
    names: tuple[str, ...]
    limits: Limits

    def __len__(self) -> int:
        return len(self.names)

    def take(self, index: I64) -> "Files":
        """The same, with only these numbers."""
        return Files(self.root, tuple(self.names[i] for i in index.tolist()), self.limits)

    def label(self, i: int) -> str:
        """Its name below the folder."""
        return files.shown(self.names[i])

    def named(self, i: int) -> str:
        """Its path."""
        return files.shown(self.root / self.names[i])

    def data(self, i: int) -> bytes:
        """Its bytes."""
        return files.read(self.root / self.names[i])

    def weights(self) -> I64:
        """Sizes of the files."""
        root = os.fspath(self.root)
        return np.fromiter(
            (files.size(f"{root}/{name}") for name in self.names), np.int64, len(self)
        )


@dataclass(frozen=True, eq=False)
class Block(Encoded):
    """Encoded pictures end to end: number i is block[starts[i]:ends[i]]."""

    block: memoryview
    starts: I64
    ends: I64
    limits: Limits

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, index: I64) -> "Block":
        """The same, with only these numbers."""
        return Block(self.block, self.starts[index], self.ends[index], self.limits)

    def data(self, i: int) -> bytes:
        """Its bytes."""
        return self.block[self.starts[i] : self.ends[i]].tobytes()

    def weights(self) -> I64:
        """Sizes in bytes."""
        return self.ends - self.starts


@dataclass(frozen=True, eq=False)
class Pixels(Source):
    """Decoded pictures of one size: [N, H, W, C] with 1 or 3 channels, uint8 or, of more than 8 bits, float32 0 to 255."""

    in_memory: ClassVar[bool] = True
    images: U8 | F32

    def __len__(self) -> int:
        return len(self.images)

    @property
    def color(self) -> str:
        """Either "grey" or "rgb"."""
        return "grey" if self.images.shape[-1] == 1 else "rgb"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.images.shape[1], self.images.shape[2]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pictures."""
        return self.images.dtype

    def take(self, index: I64) -> "Pixels":
        """A copy of these numbers."""
        return Pixels(self.images[index])

    def digest(self, i: int) -> bytes:
        """SHA-256 of its bytes."""
        image = self.images[i]
        return hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).digest()

    def look(self, i: int) -> Look:
        """Hash and header."""
        return Look(self.digest(i), Head(*self.size, grey=self.color == "grey"))

    def ready(self, form: Form) -> U8 | F32 | None:
        """All pictures, if this is their form."""
        return self.images if (self.size, self.color) == form[:2] else None

    def decode(self, i: int, form: Form) -> U8 | F32:
        """Its pixels, [H, W, C]."""
        image = self.images[i]
        if image.dtype == np.float32:
            return pictures.formed_values(image.astype(np.float64), *form)
        flat = image[..., 0] if self.color == "grey" else image
        return pictures.formed(Image.fromarray(flat), form.size, form.color, form.fit)

    def weights(self) -> I64:
        """Sums of the pixels, of those with more than 8 bits to a sixteenth."""
        if self.images.dtype == np.uint8:
            return np.asarray(self.images.sum(axis=(1, 2, 3), dtype=np.int64))
        return np.rint(16 * self.images.sum(axis=(1, 2, 3), dtype=np.float64)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class ArrayInMemory(Source, ABC):
    """Items that are the rows of one array [N, ...]."""

    in_memory: ClassVar[bool] = True
    values: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of all of them."""
        return self.values.dtype

    def digest(self, i: int) -> bytes:
        """SHA-256 of its shape, type and bytes."""
        value = np.ascontiguousarray(self.values[i])
        return hashlib.sha256(f"{value.shape} {value.dtype}".encode() + value.tobytes()).digest()

    def weights(self) -> I64:
        """Checksums of their bytes."""
        each = (zlib.crc32(np.ascontiguousarray(value).tobytes()) for value in self.values)
        return np.fromiter(each, np.int64, len(self))


@dataclass(frozen=True, eq=False)
class Values(ArrayInMemory):
    """Arrays of one shape and any type, in memory: [N, ...]; they are taken as they are."""

    modality: str = "array"

    def take(self, index: I64) -> "Values":
        """A copy of these numbers."""
        return Values(self.values[index], self.modality)

    def shape(self, form: AnyForm) -> tuple[int, ...]:
        """Of one of them."""
        del form
        return self.values.shape[1:]

    def ready(self, form: AnyForm) -> npt.NDArray[Any]:
        """All of them."""
        del form
        return self.values

    def look(self, i: int) -> Look:
        """Hash alone."""
        return Look(self.digest(i))

    def decode(self, i: int, form: AnyForm) -> npt.NDArray[Any]:
        """The array."""
        del form
        return self.values[i]
