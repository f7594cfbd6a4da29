"""Masks of volumes: the class of every voxel, in files or in memory. N items, D H W voxels."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from striate.data import workers
from striate.data.files import shown
from striate.data.masks import MOST, Coding
from striate.data.sources import I64, Look, Source
from striate.data.volumes import grid as grids
from striate.data.volumes import reading
from striate.data.volumes.grid import Grid
from striate.data.volumes.sources import Grids, VolumeFiles
from striate.data.volumes.volume import Volume
from striate.errors import DataError

U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class MaskVolumes(VolumeFiles):
    """Mask files below a folder, of which each value stands for a class."""

    coding: Coding = field(default_factory=lambda: Coding(colors=False, table=()))

    @property
    def decoder(self) -> str:
        """What the cache tells entries apart by, beside their content and form."""
        return f"mask of volume 1 {self.coding}"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of class numbers."""
        return np.dtype(np.uint8)

    def shape(self, form: Any) -> tuple[int, ...]:
        """Of one of them, [D, H, W, 1]."""
        return (*(self.grid(form).size or (0, 0, 0)), 1)

    def decode(self, i: int, form: Any) -> U8:
        """Its class numbers [D, H, W, 1], in its own size where no grid is asked for; of others the nearest voxel.

        Raises:
            DataError: it cannot be read, or has values that stand for no class; with the reason alone.
        """
        numbers = self.coding.classes_of(whole_values(reading.read(self.root / self.names[i])))
        if form == self.check:
            return numbers[:1, :1, :1]
        if not isinstance(form, Grid):
            return numbers
        return grids.fitted(Volume(numbers), form._replace(spacing=None), self.dtype, nearest=True)


def whole_values(volume: Volume) -> npt.NDArray[np.int32]:
    """The values of a mask [D, H, W, 1].

    Raises:
        DataError: several values a voxel, or values that are no whole numbers; with the reason alone.
    """
    voxels = volume.voxels
    if voxels.shape[3] != 1:
        raise DataError(f"{voxels.shape[3]} values a voxel, where numbers of classes are expected")
    if voxels.dtype.kind == "f" and (voxels != np.rint(voxels)).any():
        raise DataError("values that are not whole, where numbers of classes are expected")
    return voxels.astype(np.int32)


def values_of(root: Path, names: Sequence[str]) -> dict[int, int]:
    """How many voxels have each value in these masks; those that cannot be read are passed over.

    Raises:
        DataError: so many that they cannot be classes.
    """

    def one(path: Path) -> dict[int, int]:
        try:
            values, counts = np.unique(whole_values(reading.read(path)), return_counts=True)
        except DataError:
            return {}
        return dict(zip(values.tolist(), counts.tolist(), strict=True))

    def work(index: I64) -> list[dict[int, int]]:
        return [one(root / names[i]) for i in workers.each(index)]

    found: dict[int, int] = {}
    chunks = workers.everything(len(names), 2)
    for done in workers.in_order(work, chunks, named=lambda i: shown(root / names[i])):
        for counted in done.result:
            for value, count in counted.items():
                found[value] = found.get(value, 0) + count
        if len(found) > MOST:
            raise DataError(
                f"masks have {len(found):,} different values, more than the {MOST} classes there may be: are they masks?"
            )
    return found


@dataclass(frozen=True, eq=False)
class GridMasks(Source):
    """Class numbers of volumes of one size in memory: uint8 [N, D, H, W, 1]."""

    modality: ClassVar[str] = "volume"  # pyright: ignore[reportIncompatibleVariableOverride]
    in_memory: ClassVar[bool] = True
    values: U8

    def __len__(self) -> int:
        return len(self.values)

    def take(self, index: I64) -> "GridMasks":
        """A copy of these numbers."""
        return GridMasks(self.values[index])

    def shape(self, form: Any) -> tuple[int, ...]:
        """Of one of them, [D, H, W, 1]."""
        return Grids(self.values).shape(form)

    def ready(self, form: Any) -> npt.NDArray[Any] | None:
        """All of them, where they lie on this grid already."""
        own = Grids(self.values)
        return own.ready(form._replace(levels=None) if isinstance(form, Grid) else form)

    def digest(self, i: int) -> bytes:
        """SHA-256 of its bytes."""
        return hashlib.sha256(np.ascontiguousarray(self.values[i]).tobytes()).digest()

    def look(self, i: int) -> Look:
        """Hash alone."""
        return Look(self.digest(i))

    def decode(self, i: int, form: Any) -> U8:
        """Its class numbers [D, H, W, 1]; on another grid the nearest voxel."""
        if not isinstance(form, Grid):
            return self.values[i]
        wanted = form._replace(spacing=None)
        return grids.fitted(Volume(self.values[i]), wanted, self.dtype, nearest=True)

    def weights(self) -> I64:
        """Sums of the class numbers."""
        return self.values.sum((1, 2, 3, 4), dtype=np.int64)
