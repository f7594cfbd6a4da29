"""The one thread on which nets run, and long work in steps between the requests.

Requests come on many threads; whatever runs a net goes through `ModelThread.do`, one after the other. Of the requests of
one view that wait, the latest wins and the others are superseded. Long work is a job: a generator whose steps run between
the requests, so that the page stays quick meanwhile. What will probably be asked next is made when nothing else is to do.
"""

import queue
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from striate.studio.routes import Refusal, Superseded

QUIET = 0.25  # seconds without a request or a step of a job, after which is made what will be asked next

Work = Generator[tuple[str, object], None, None]


class Job:
    """Long work in steps: what it has said so far, and whether it is over."""

    def __init__(self, work: Work) -> None:
        self.id = secrets.token_hex(8)
        self.events: list[tuple[str, object]] = []
        self.over = False
        self.cancelled = False
        self._work = work
        self._more = threading.Condition()

    def step(self) -> bool:
        """Run to the next event on the model thread; whether there is more to do."""
        if self.cancelled:
            self._work.close()
            self._say(("cancelled", {}), over=True)
            return False
        try:
            event = next(self._work)
        except StopIteration:
            self._say(("done", {}), over=True)
            return False
        except Exception as error:  # noqa: BLE001 - whatever a net raises is an answer to the page
            self._say(("failed", {"error": " ".join(str(error).split())[:400]}), over=True)
            return False
        self._say(event)
        return True

    def cancel(self) -> None:
        """End before the next step."""
        self.cancelled = True

    def follow(self, since: int = 0) -> Iterator[tuple[str, object]]:
        """Every event from the one with a number on, as they come, to the end."""
        while True:
            with self._more:
                self._more.wait_for(lambda at=since: self.over or len(self.events) > at, timeout=15)
                fresh, over = self.events[since:], self.over
            yield from fresh or [("still", {})]
            since += len(fresh)
            if over and since >= len(self.events):
                return

    def _say(self, event: tuple[str, object], *, over: bool = False) -> None:
        with self._more:
            self.events.append(event)
            self.over = over
            self._more.notify_all()


@dataclass
class _Task:
    work: Callable[[], Any]
    future: "Future[Any]" = field(default_factory=Future)


class ModelThread:
    """The one thread on which nets run: requests in order, of each view the latest only, and jobs between them."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, _Task] = OrderedDict()
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._change = threading.Condition()
        self._closed = False
        self._count = 0
        self._later: Callable[[], Any] | None = None
        self._thread = threading.Thread(target=self._run, name="striate-studio-model", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], Any], view: str = "") -> Any:
        """What `work` gives, or raises; Superseded if a later call of the same view came while it waited."""
        if threading.current_thread() is self._thread:
            return work()
        task = _Task(work)
        with self._change:
            if self._closed:
                raise Refusal(503, "the studio is closing")
            self._count += 1
            key = view or f"#{self._count}"
            older = self._waiting.pop(key, None)
            self._waiting[key] = task
            self._change.notify_all()
        if older is not None:
            older.future.set_exception(Superseded())
        return task.future.result()

    def start(self, job: Job) -> None:
        """Let a job run between the requests, after those that were started before it."""
        self._jobs.put(job)
        with self._change:
            self._change.notify_all()

    def later(self, work: Callable[[], Any] | None) -> None:
        """Run when there was nothing to do for a while, in place of what still waits so; None leaves nothing to wait."""
        with self._change:
            self._later = work
            self._change.notify_all()

    def close(self) -> None:
        """End after the work that runs; what waits is refused."""
        with self._change:
            self._closed = True
            waiting = list(self._waiting.values())
            self._waiting.clear()
            self._change.notify_all()
        for task in waiting:
            task.future.set_exception(Refusal(503, "the studio is closing"))
        self._thread.join(timeout=30)

    def _run(self) -> None:
        job: Job | None = None
        while True:
            with self._change:
                if not (self._waiting or self._closed or job or not self._jobs.empty()):
                    quiet = not self._change.wait(QUIET if self._later else None)
                    if quiet and self._later:
                        self._waiting[""] = _Task(self._later)  # no view is called so
                        self._later = None
                if self._closed:
                    return
                task = self._waiting.popitem(last=False)[1] if self._waiting else None
            if task is not None:
                _finish(task)
                continue
            if job is None and not self._jobs.empty():
                job = self._jobs.get()
            if job is not None and not job.step():
                job = None


def _finish(task: _Task) -> None:
    try:
        task.future.set_result(task.work())
    except BaseException as error:  # noqa: BLE001 - handed on to the thread that waits for it
        task.future.set_exception(error)
