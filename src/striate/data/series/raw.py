"""What a file of series holds before its rows are put on a clock, and how it is to be understood. T steps, N nodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data import files
from striate.data.files import shown
from striate.data.index import Fault
from striate.data.series.graph import Links
from striate.errors import DataError

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Settings:
    """How files of series are to be understood, as `layout=series:...` says it.

    Attributes:
        values: key or dataset of the values.
        graph: file or key of the graph.
        missing: the number that stands for a missing value, nan where none does; None where that is to be guessed.
        distances: whether the numbers of the graph are distances; None where that is to be guessed.
        feature: which of [T, N, features] is taken, from 0.
        skip: text in the place of a number is a missing value.
    """

    values: str = ""
    graph: str = ""
    missing: float | None = None
    distances: bool | None = None
    feature: int = 0
    skip: bool = False


@dataclass
class Raw:
    """What a file holds, before rows are put on a clock."""

    name: str
    values: Values
    nodes: tuple[str, ...]
    stamps: Sequence[str] | NDArray[Any] | None = None
    links: Links | None = None
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()


def load_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file.

    Raises:
        DataError: it is none, or one of them is too large or holds Python objects.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except files.UNSOUND as error:
        if files.is_pointer(path):
            raise DataError(f"{shown(path)} is {files.POINTED}") from error
        raise DataError(
            f"{shown(path)} is no sound .npz file of numbers ({' '.join(str(error).split())[:200]})"
        ) from error
