"""Rows of numbers, an item each, that a meter collects and other processes can send it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from striate.errors import ShapeError, told


class Rows:
    """Named arrays that grow by rows.

    Args:
        kinds: of each array the sizes of one row and the type of its numbers.
    """

    def __init__(self, kinds: Mapping[str, tuple[tuple[int, ...], DTypeLike]]) -> None:
        self._kinds = dict(kinds)
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in kinds}

    def add(self, rows: Mapping[str, NDArray[Any]]) -> None:
        """Add rows to every array.

        Raises:
            ShapeError: an array is missing or its rows have other sizes; then nothing is added.
        """
        for name, (shape, _) in self._kinds.items():
            got = rows.get(name)
            if got is None or got.ndim == 0 or got.shape[1:] != shape:
                raise ShapeError(
                    f"{name}: got {told(got)}, expected [{', '.join(['rows', *map(str, shape)])}]: only what a "
                    "meter with the same settings counted can be added"
                )
        for name, (_, kind) in self._kinds.items():
            self._parts[name].append(rows[name].astype(kind, copy=False))

    def __getitem__(self, name: str) -> NDArray[Any]:
        """All rows of one array; they are put together once."""
        parts = self._parts[name]
        if len(parts) != 1:
            shape, kind = self._kinds[name]
            parts[:] = [np.concatenate([np.zeros((0, *shape), kind), *parts])]
        return parts[0]

    def last(self, name: str, count: int) -> NDArray[Any]:
        """The last rows of one array; the others are not put together for them."""
        found: list[NDArray[Any]] = []
        for part in reversed(self._parts[name]):
            if count <= 0:
                break
            found.insert(0, part[-count:])
            count -= len(part)
        shape, kind = self._kinds[name]
        return np.concatenate([np.zeros((0, *shape), kind), *found])

    def state(self) -> dict[str, NDArray[Any]]:
        """All arrays by name."""
        return {name: self[name] for name in self._kinds}
