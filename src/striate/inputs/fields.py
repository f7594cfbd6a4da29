"""Fields of a preprocessing: read back from config.json and checked, and measured on items."""

import math
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np

from striate.errors import CheckpointError


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
