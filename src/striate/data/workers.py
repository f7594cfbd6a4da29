"""Work on numbered items, in chunks, on all cores, results in order, never much ahead of the reader."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from striate.data.sources import I64

T = TypeVar("T")
_CHUNK = 128  # items
_AHEAD = 2  # chunks under way for each worker


@dataclass(frozen=True)
class Done(Generic[T]):
    """The numbers of one chunk, and what became of them."""

    index: I64
    result: T


def chunks_of(numbers: I64, size: int = _CHUNK) -> list[I64]:
    """Numbers cut into chunks of at most `size`."""
    return [numbers[at : at + size] for at in range(0, len(numbers), size)]


def in_order(
    work: Callable[[I64], T], chunks: Iterable[I64], *, threads: int | None = None
) -> Generator[Done[T]]:
    """Apply `work` to each chunk in threads, one a core if not said, and yield the results in order.

    Pillow, hashing and reading release the interpreter, so threads do use all cores.
    """
    workers = threads or available()
    pending: deque[tuple[I64, Future[T]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="striate-data")
    try:
        for chunk in chunks:
            pending.append((chunk, pool.submit(work, chunk)))
            if len(pending) > workers * _AHEAD:
                index, future = pending.popleft()
                yield Done(index, future.result())
        while pending:
            index, future = pending.popleft()
            yield Done(index, future.result())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def available() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def everything(count: int, size: int = _CHUNK) -> list[I64]:
    """The numbers 0..count-1 in chunks."""
    return chunks_of(np.arange(count), size)
