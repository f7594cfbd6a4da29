"""What one open page works with: nets, their inputs, and the one thread on which nets run.

Requests come on many threads; whatever runs a net goes through `Session.on_model`, one after the other. Of the requests
of one view that wait, the latest wins and the others are superseded. Long work is a job: a generator whose steps run
between the requests, so that the page stays quick meanwhile.
"""

import queue
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from striate.studio.routes import Refusal, Superseded

if TYPE_CHECKING:
    from torch import Tensor, nn

HELD_JOBS = 64

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
            self._say(("error", {"error": " ".join(str(error).split())[:400]}), over=True)
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
        self._thread = threading.Thread(target=self._run, name="striate-studio-model", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], Any], view: str = "") -> Any:
        """What `work` gives, or raises; Superseded if a later call of the same view came while it waited."""
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
                    self._change.wait()
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


@dataclass(eq=False)
class OpenNet:
    """A net that the page looks into.

    Attributes:
        id: its name in addresses.
        net: the net, in evaluation mode, on the CPU, channels last where it reads pictures.
        card: what the page shows of it (wire.NetCard).
        classes: names of the outputs; empty if nobody knows them.
        data: an opened striate.data.Data, its items in the net's own preprocessing; None without data.
        run: the striate.runs.Run it comes from; None for others.
    """

    id: str
    net: "nn.Module"
    card: Any
    classes: list[str]
    data: Any = None
    run: Any = None


@dataclass(eq=False)
class Pass:
    """One input that a net was given: `x` is what the net reads, float32 [1, C, H, W] (or [1, C, T]...)."""

    id: str
    open: OpenNet
    x: "Tensor"
    answer: Any  # wire.Run
    picture: Any = None  # uint8 [H, W, 3], what was shown to the net, before scaling of values
    made: float = field(default_factory=time.monotonic)


class Session:
    """One page's state; everything that handlers reach."""

    def __init__(self) -> None:
        self.model = ModelThread()
        self.nets: dict[str, OpenNet] = {}
        self.passes: OrderedDict[str, Pass] = OrderedDict()
        self.jobs: OrderedDict[str, Job] = OrderedDict()
        self.lock = threading.RLock()

    def net(self, name: str) -> OpenNet:
        """An open net; 404 if none has that id."""
        with self.lock:
            if name not in self.nets:
                raise Refusal(404, f"no net {name!r} is open", "net")
            return self.nets[name]

    def run(self, run_id: str) -> Pass:
        """An input that a net was given; 404 if it is no longer held (the page then asks again with its input)."""
        with self.lock:
            if run_id not in self.passes:
                raise Refusal(
                    404, f"the run {run_id!r} is no longer held: give its input again", "run"
                )
            self.passes.move_to_end(run_id)
            return self.passes[run_id]

    def on_model(self, work: Callable[[], Any], view: str = "") -> Any:
        """Run on the model thread and wait for what it gives."""
        return self.model.do(work, view)

    def job(self, work: Work) -> Job:
        """Start long work; a generator of (event, value) that holds no hooks or modes of a net while it waits."""
        job = Job(work)
        with self.lock:
            self.jobs[job.id] = job
            while len(self.jobs) > HELD_JOBS:
                self.jobs.popitem(last=False)[1].cancel()
        self.model.start(job)
        return job

    def close(self) -> None:
        """Stop all jobs and the model thread."""
        with self.lock:
            for job in self.jobs.values():
                job.cancel()
        self.model.close()
