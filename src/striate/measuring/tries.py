"""The same net at other sizes of its input: what a message recommends is tried first."""

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile

import torch
from torch import nn

from striate.measuring.fields import Unread, fields
from striate.measuring.misfits import misfits
from striate.probe import Trace, Value, trace

WORK = 4000  # calls that the search for a better size may trace again


def picture_of(run: Trace) -> Value | None:
    """The first input with axes of space."""
    return next((value for value in run.inputs if len(value.shape) > 2), None)


class Tries:
    """Each size is traced once; a large net is tried at fewer sizes."""

    def __init__(self, net: nn.Module, run: Trace) -> None:
        self._net, self._run = net, run
        self._left = max(3, WORK // max(1, len(run.calls)))
        self._found: dict[tuple[int, ...], Trace] = {}

    def of(self, sizes: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
        """The sizes, as long as more may be tried."""
        return takewhile(self.allowed, sizes)

    def known(self, size: tuple[int, ...]) -> bool:
        """Whether this size has been tried."""
        return size in self._found

    def allowed(self, size: tuple[int, ...]) -> bool:
        """Whether this size may be tried, or has been."""
        return self._left > 0 or size in self._found

    def runs(self, size: tuple[int, ...]) -> bool:
        """Whether the net takes a picture of this size."""
        run = self._at(size)
        return run.error is None and not any(misfits(run))

    def reads(self, size: tuple[int, ...], part: Sequence[int]) -> bool:
        """Whether the net takes this size and reads all of the first `part` pixels an axis."""
        if not self.runs(size):
            return False
        lost = self._unread(size)
        return not any(i < n for line, n in zip(lost.lines, part, strict=True) for i in line)

    def first(self, sizes: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
        """The first size that the net takes."""
        return next((size for size in self.of(sizes) if self.runs(size)), None)

    def _unread(self, size: tuple[int, ...]) -> Unread:
        run = self._at(size)
        return fields(run).unread(run.outputs)

    def _at(self, size: tuple[int, ...]) -> Trace:
        if size not in self._found:
            self._left -= 1
            self._found[size] = resized(self._net, self._run, lambda _shape: size)
        return self._found[size]


def resized(
    net: nn.Module,
    run: Trace,
    sides: Callable[[tuple[int, ...]], Sequence[int]],
    *,
    channels: int = 0,
) -> Trace:
    """The same run with a picture of other sides, or other channels."""
    picture = picture_of(run)
    fed: list[torch.Tensor] = []
    for value in run.inputs:
        shape: Sequence[int] = value.shape
        if value is picture:
            shape = (shape[0], channels or shape[1], *sides(value.shape[2:]))
        fed.append(torch.empty(tuple(shape), dtype=value.dtype, device="meta"))
    return trace(net, fed, numbers=run.device == "cpu")
