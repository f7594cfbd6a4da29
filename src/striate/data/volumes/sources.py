"""Where the volumes of a split are: files and folders below a root, or one array in memory. N items."""

import gzip
import hashlib
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from striate.data import files
from striate.data.sources import I64, ArrayInMemory, Look, Source
from striate.data.volumes import grid as grids
from striate.data.volumes import reading
from striate.data.volumes.grid import Grid, Plan
from striate.data.volumes.volume import Head, Volume
from striate.errors import DataError

_GZIP = (b"\x1f\x8b", ".gz")
_BLOCK = 2**22


@dataclass(frozen=True, eq=False)
class VolumeFiles(Source):
    """Volumes by their names below a folder: files, or folders of slices or frames.

    Attributes:
        root: the folder.
        names: relative to it.
        heads: of each; None where it cannot be read.
        plan: of the set that they are of.
        frames: whether folders hold frames, that is pictures; else DICOM slices or what the name says.
    """

    modality: ClassVar[str] = "volume"  # pyright: ignore[reportIncompatibleVariableOverride]
    check: ClassVar[Grid] = Grid((1, 1, 1))
    root: Path
    names: tuple[str, ...]
    heads: tuple[Head | None, ...]
    plan: Plan

    def __len__(self) -> int:
        return len(self.names)

    @property
    def decoder(self) -> str:
        """What the cache tells entries apart by, beside their content and form."""
        return f"volume 1 {self.plan.channels} {self.plan.grid.words}"

    def named(self, i: int) -> str:
        """Its path."""
        return files.shown(self.root / self.names[i])

    def take(self, index: I64) -> "VolumeFiles":
        """The same, with only these numbers."""
        numbers: list[int] = index.tolist()
        return replace(
            self,
            names=tuple(self.names[i] for i in numbers),
            heads=tuple(self.heads[i] for i in numbers),
        )

    def grid(self, form: Any) -> Grid:
        """What was asked for, or the grid of the set."""
        return form if isinstance(form, Grid) else self.plan.grid

    def shape(self, form: Any) -> tuple[int, ...]:
        """Of one of them, [D, H, W, C]."""
        return (*(self.grid(form).size or (0, 0, 0)), self.plan.channels)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the set."""
        return self.plan.dtype

    def digest(self, i: int) -> bytes:
        """SHA-256 of its content; of a folder of that of all its files, of a compressed file of what it holds."""
        try:
            return _digest(self.root / self.names[i])
        except (DataError, OSError) as error:
            return hashlib.sha256(f"no content: {self.names[i]} {error}".encode()).digest()

    def look(self, i: int) -> Look:
        """Hash, and what its header says."""
        head = self.heads[i]
        return Look(self.digest(i), None, {} if head is None else facts(head))

    def decode(self, i: int, form: Any) -> npt.NDArray[Any]:
        """Its voxels [D, H, W, C].

        Raises:
            DataError: it cannot be read, or has other channels than the set; with the reason alone.
        """
        volume = reading.read(self.root / self.names[i])
        _check_channels(volume, self.plan.channels)
        if form == self.check:
            return volume.voxels[:1, :1, :1].astype(self.dtype)
        return grids.fitted(volume, self.grid(form), self.dtype)

    def sides(self) -> I64:
        """Depth, height and width of each [N, 3]; 0 where that is not known."""
        found = [(0, 0, 0) if head is None else head.sides for head in self.heads]
        return np.array(found, np.int64).reshape(-1, 3)

    def weights(self) -> I64:
        """Bytes of each, of a compressed file those of what it holds."""
        return np.fromiter((_weight(self.root / name) for name in self.names), np.int64, len(self))


def _check_channels(volume: Volume, wanted: int) -> None:
    came = volume.voxels.shape[3]
    if came != wanted:
        raise DataError(f"{came} values a voxel, expected {wanted}")


def facts(head: Head) -> Mapping[str, float]:
    """Sides and spacing as numbers by name."""
    found: dict[str, float] = dict(
        zip(("depth", "height", "width"), map(float, head.sides), strict=True)
    )
    if head.spacing is not None:
        names = ("voxel depth in mm", "voxel height in mm", "voxel width in mm")
        found |= dict(zip(names, head.spacing, strict=True))
    return found


def _digest(path: Path) -> bytes:
    if path.is_dir():
        inside = sorted(_digest(path / e.name) for e in files.entries(path) if e.kind == "file")
        return hashlib.sha256(b"".join(inside)).digest()
    found = hashlib.sha256()
    if path.name.lower().endswith(_GZIP[1]) and files.read(path, first=2, most=2**40) == _GZIP[0]:
        try:
            with gzip.open(path) as file:
                while block := file.read(_BLOCK):
                    found.update(block)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"is cut off or damaged ({error})") from error
        return found.digest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _weight(path: Path) -> int:
    """Bytes; -1 of what is not there."""
    try:
        if path.is_dir():
            return sum(
                (path / e.name).lstat().st_size for e in files.entries(path) if e.kind == "file"
            )
        if not path.name.lower().endswith(_GZIP[1]):
            return path.lstat().st_size
        with path.open("rb") as file:  # the last four bytes say how many it holds (RFC 1952)
            file.seek(-4, os.SEEK_END)
            return int.from_bytes(file.read(4), "little")
    except (OSError, DataError):
        return -1


@dataclass(frozen=True, eq=False)
class Grids(ArrayInMemory):
    """Volumes of one size in memory: [N, D, H, W, C], uint8, int16 or float32."""

    modality: ClassVar[str] = "volume"  # pyright: ignore[reportIncompatibleVariableOverride]

    def take(self, index: I64) -> "Grids":
        """A copy of these numbers."""
        return Grids(self.values[index])

    @property
    def own(self) -> Grid:
        """The grid that they have."""
        depth, high, wide = self.values.shape[1:4]
        return Grid((depth, high, wide))

    def sides(self) -> I64:
        """Depth, height and width of each [N, 3]."""
        return np.broadcast_to(np.array(self.values.shape[1:4], np.int64), (len(self), 3))

    def shape(self, form: Any) -> tuple[int, ...]:
        """Of one of them, [D, H, W, C]."""
        size = form.size if isinstance(form, Grid) and form.size else self.own.size
        return (*(size or ()), self.values.shape[-1])

    def ready(self, form: Any) -> npt.NDArray[Any] | None:
        """All of them, where they lie on this grid already."""
        plain = not isinstance(form, Grid) or (
            form.size in (None, self.own.size) and not form.levels
        )
        return self.values if plain else None

    def look(self, i: int) -> Look:
        """Hash and sides."""
        return Look(self.digest(i), None, facts(Volume(self.values[i]).head))

    def decode(self, i: int, form: Any) -> npt.NDArray[Any]:
        """Its voxels [D, H, W, C]."""
        wanted = form if isinstance(form, Grid) else self.own
        return grids.fitted(Volume(self.values[i]), wanted._replace(spacing=None), self.dtype)
