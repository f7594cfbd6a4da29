"""What preprocessings share: fields read back from config.json and checked, moments of items, arrays from files."""

import io
import math
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data import files
from striate.errors import CheckpointError, DataError

F64 = NDArray[np.float64]


@contextmanager
def damaged() -> Generator[None]:
    """Turn a field that is missing or of the wrong kind into one line.

    Raises:
        CheckpointError: saying which.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"config.json: its preprocessing is damaged ({error})") from error


def counts(values: Any, key: str) -> tuple[int, ...]:
    """Whole numbers from one up."""
    if any(type(v) is not int or v < 1 for v in values):
        raise ValueError(f"{key} is {values}")
    return tuple(values)


def numbers(values: Any, key: str) -> tuple[float, ...]:
    """Finite numbers."""
    if any(type(v) not in (int, float) or not math.isfinite(v) for v in values):
        raise ValueError(f"{key} is {values}")
    return tuple(float(v) for v in values)


def word(value: Any, key: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise TypeError(f"{key} is {value!r}")
    return value


def moments(values: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of every channel of arrays [N, C, ...]; a channel that never changes has deviation 1."""
    axes = tuple(axis for axis in range(values.ndim) if axis != 1)
    mean, std = values.mean(axes), values.std(axes)
    std = np.where(std > 0, std, 1.0)
    return tuple(np.atleast_1d(mean).tolist()), tuple(np.atleast_1d(std).tolist())


def moments_one_by_one(items: Iterable[Any], channels: int) -> tuple[F64, F64]:
    """Mean and deviation of every channel, the last axis of items, added up item by item (Chan, Golub and LeVeque 1979)."""
    count, mean, squares = 0, np.zeros(channels), np.zeros(channels)
    for item in items:
        values = np.asarray(item).reshape(-1, channels).astype(np.float64)
        own = values.mean(0)
        total = count + len(values)
        squares += ((values - own) ** 2).sum(0) + (own - mean) ** 2 * count * len(values) / total
        mean += (own - mean) * len(values) / total
        count = total
    return mean, np.sqrt(squares / max(1, count))


def array_of(file: Path) -> NDArray[Any]:
    """The one array of a .npy file.

    Raises:
        DataError: it holds none; with the reason alone.
    """
    try:
        found = np.load(io.BytesIO(files.read(file)), allow_pickle=False)
    except (DataError, *files.UNSOUND) as error:
        raise DataError(f"no array of NumPy ({' '.join(str(error).split())})") from error
    if not isinstance(found, np.ndarray):  # an archive of several
        found.close()
        raise DataError("an archive of several, expected one array in a .npy file")
    return found
