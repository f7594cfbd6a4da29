"""Work on numbered items, in chunks, on all cores, results in order, never much ahead of the reader."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Generic, TypeVar

import numpy as np

from striate.data.sources import I64
from striate.errors import DataError, NumericError

T = TypeVar("T")
Job = tuple["Future[None]", Callable[[], None]]
PATIENCE = 120.0  # seconds that an item is waited for
_CHUNK = 128  # items
_AHEAD = 2  # chunks under way for each worker
_LEAVE = 5.0  # seconds that threads are given to end
_HERE = threading.local()  # the chunk that a thread is at


@dataclass(frozen=True)
class Done(Generic[T]):
    """The numbers of one chunk, and what became of them."""

    index: I64
    result: T


@dataclass
class _UnderWay(Generic[T]):
    """A chunk, the item of it that is worked on, and since when."""

    index: I64
    work: Callable[[I64], T]
    result: list[T] = field(default_factory=list[T])
    future: "Future[None]" = field(default_factory=Future)
    at: int = -1
    since: float = float("inf")

    def __call__(self) -> None:
        _HERE.chunk = self
        self.note(int(self.index[0]))
        self.result.append(self.work(self.index))

    def note(self, item: int) -> None:
        self.at, self.since = item, time.monotonic()

    def done(self, named: Callable[[int], str]) -> Done[T]:
        """What became of it; an item that takes longer than `PATIENCE`, or more memory than there is, is an error."""
        while not wait([self.future], min(1.0, PATIENCE)).done:
            if time.monotonic() - self.since > PATIENCE:
                raise hangs(named(self.at), PATIENCE)
        try:
            self.future.result()
        except MemoryError as error:
            raise exhausted(named(self.at)) from error
        return Done(self.index, self.result[0])


def hangs(name: str, seconds: float) -> DataError:
    """The error of an item that does not come."""
    return DataError(
        f"{name} was waited for {seconds:.0f} s: is its disk or network still there? Call it again once it is; "
        "a training that had begun goes on with --resume"
    )


def exhausted(name: str) -> NumericError:
    """The error of an item for which there is no memory: it is no broken one, and must not be left out as one."""
    return NumericError(
        f"out of memory while {name} was read: workers=1 reads one at a time; a training that had begun goes on "
        "with --resume"
    )


def each(index: I64) -> Iterator[int]:
    """The numbers of a chunk one after the other, for `work`: so it is known which one is being read."""
    for item in index.tolist():
        if chunk := getattr(_HERE, "chunk", None):
            chunk.note(item)
        yield item


def chunks_of(numbers: I64, size: int = _CHUNK) -> list[I64]:
    """Numbers cut into chunks of at most `size`."""
    return [numbers[at : at + size] for at in range(0, len(numbers), size)]


def in_order(
    work: Callable[[I64], T],
    chunks: Iterable[I64],
    *,
    threads: int | None = None,
    named: Callable[[int], str] = "item {}".format,
) -> Generator[Done[T]]:
    """Apply `work` to each chunk in threads, one a core if not said, and yield the results in order.

    Pillow, hashing and reading release the interpreter, so threads do use all cores.

    Args:
        work: done with a chunk; it goes through its numbers with `each`.
        chunks: of numbers.
        threads: how many.
        named: what an item is called in a message.

    Raises:
        DataError: an item, which is named, took longer than `PATIENCE`.
        NumericError: the memory does not suffice for one.
    """
    count = threads or available()
    queue: SimpleQueue[Job | None] = SimpleQueue()
    crew = served(queue, count)
    pending: deque[_UnderWay[T]] = deque()
    try:
        for index in chunks:
            pending.append(_UnderWay(index, work))
            queue.put((pending[-1].future, pending[-1]))
            if len(pending) > count * _AHEAD:
                yield pending.popleft().done(named)
        while pending:
            yield pending.popleft().done(named)
    finally:
        for left in pending:
            left.future.cancel()
        dismiss(queue, count)
        end = time.monotonic() + _LEAVE
        for thread in crew:
            thread.join(max(0.0, end - time.monotonic()))


def served(queue: "SimpleQueue[Job | None]", count: int) -> list[threading.Thread]:
    """Threads that do what is queued. They are daemons, for a read that hangs must not keep the program."""
    crew = [
        threading.Thread(target=_serve, args=(queue,), name=f"striate-data-{i}", daemon=True)
        for i in range(count)
    ]
    for thread in crew:
        thread.start()
    return crew


def dismiss(queue: "SimpleQueue[Job | None]", count: int) -> None:
    """Let so many threads end once everything before is done."""
    for _ in range(count):
        queue.put(None)


def _serve(queue: "SimpleQueue[Job | None]") -> None:
    while (job := queue.get()) is not None:
        future, work = job
        if future.set_running_or_notify_cancel():
            try:
                work()
                future.set_result(None)
            except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
                future.set_exception(error)
        del job, future, work


def available() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def everything(count: int, size: int = _CHUNK) -> list[I64]:
    """The numbers 0..count-1 in chunks."""
    return chunks_of(np.arange(count), size)
