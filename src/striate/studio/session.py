"""What one Studio works with: the nets that can be opened, those that are, their inputs, and what they gave.

All that runs a net goes through `Session.on_model`; see `threads`.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.probe import Outputs, Recording, outputs, record
from striate.studio.routes import Refusal
from striate.studio.threads import Job, ModelThread, Work

if TYPE_CHECKING:
    from striate.inputs import Preprocessing
    from striate.studio.items import Items
    from striate.studio.wire import NetCard, NetItem, Run

HELD_JOBS = 64
HELD_PASSES = 128
SHORT = 300  # milliseconds of a pass, up to which a recording is made before it is asked for
STORE = 512 * 2**20  # bytes of outputs that are held


@dataclass(eq=False)
class OpenNet:
    """A net that the page looks into.

    Attributes:
        id: its name in addresses.
        name: as people know it.
        kind: "catalogue", "run" or "given".
        net: in evaluation mode, on the CPU, channels last where it reads pictures.
        pre: from what is given to what the net reads.
        classes: names of the outputs; empty if nobody knows them.
        weights: a digest of the weights and the preprocessing.
        task: what it was made for, such as "classify"; "" where nobody knows.
        macs: multiply-adds of one input, where they are known.
        notes: sentences about it.
        card: what the page shows of it; set once its example is computed.
        data: an opened striate.data.Data; None without data.
        items: those of the data, as the net reads them; None without data.
        run: the striate.runs.Run it comes from; None for others.
        written: calls whose outputs later layers write into.
    """

    id: str
    name: str
    kind: str
    net: nn.Module
    pre: "Preprocessing"
    classes: list[str]
    weights: str
    task: str = ""
    macs: int | None = None
    notes: Sequence[str] = ()
    card: "NetCard" = None  # pyright: ignore[reportAssignmentType] - set before anybody sees it
    data: Any = None
    items: "Items | None" = None
    run: Any = None
    written: frozenset[str] = frozenset()

    def answer(self, x: Tensor) -> object:
        """What the net says of a batch."""
        return self.net(x) if self.run is None else self.run.task.outputs(self.net, x)


@dataclass(eq=False)
class Pass:
    """One input that a net was given.

    Attributes:
        id: a digest of the weights, the preprocessing and the input.
        open: the net.
        x: what it read, float32 [1, C, H, W], or [1, C, T] and so on.
        stored: the same before its values are scaled, of pictures [H, W, C] of 0 to 255.
        shown: a picture of it, uint8 [H, W, 3].
        previews: uint8 [h, w, 3] after each step of the preprocessing.
        raw: whether it was given as the net reads it, so that nothing was scaled.
        answer: what the page is told.
    """

    id: str
    open: OpenNet
    x: Tensor
    stored: NDArray[Any]
    shown: NDArray[np.uint8]
    previews: Sequence[NDArray[np.uint8]] = ()
    raw: bool = False
    answer: "Run" = None  # pyright: ignore[reportAssignmentType] - set before anybody sees it


class Store:
    """What nets gave, the least recently used thrown away first; the last is always held."""

    def __init__(self, limit: int = STORE) -> None:
        self.limit, self.bytes = limit, 0
        self._held: OrderedDict[tuple[str, str], tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, kind: str, key: str) -> Any:
        """What is held under a kind and a key; None if nothing is."""
        with self._lock:
            found = self._held.get((kind, key))
            if found is None:
                return None
            self._held.move_to_end((kind, key))
            return found[0]

    def put(self, kind: str, key: str, value: object, size: int) -> None:
        """Hold a value of so many bytes."""
        with self._lock:
            self._drop((kind, key))
            self._held[kind, key] = (value, size)
            self.bytes += size
            while self.bytes > self.limit and len(self._held) > 1:
                self._drop(next(iter(self._held)))

    def forget(self, kind: str, key: str) -> None:
        """Hold it no longer."""
        with self._lock:
            self._drop((kind, key))

    def _drop(self, place: tuple[str, str]) -> None:
        self.bytes -= self._held.pop(place, (None, 0))[1]


@dataclass(frozen=True, eq=False)
class Source:
    """A net that can be opened."""

    item: "NetItem"
    open: Callable[[], OpenNet]


class Session:
    """Everything that handlers reach.

    Attributes:
        sources: what can be opened, by id.
        nets: what is open, by id.
        folders: every run folder known, by id, also of trainings that still run.
        jobs: long work, by id.
        store: what nets gave.
        token: what a request that changes something carries.
    """

    def __init__(
        self, sources: Mapping[str, Source] | None = None, folders: Mapping[str, Path] | None = None
    ) -> None:
        self.model = ModelThread()
        self.sources: dict[str, Source] = dict(sources or {})
        self.folders: dict[str, Path] = dict(folders or {})
        self.nets: dict[str, OpenNet] = {}
        self.passes: OrderedDict[str, Pass] = OrderedDict()
        self.jobs: OrderedDict[str, Job] = OrderedDict()
        self.store = Store()
        self.token = ""
        self.lock = threading.RLock()

    def net(self, name: str) -> OpenNet:
        """An open net; 404 if none has that id."""
        with self.lock:
            if name not in self.nets:
                raise Refusal(404, f"no net {name!r} is open", "net")
            return self.nets[name]

    def run(self, run_id: str) -> Pass:
        """An input that a net was given; 404 if it is no longer held (the page then gives its input again)."""
        with self.lock:
            if run_id not in self.passes:
                raise Refusal(
                    404, f"the run {run_id!r} is no longer held: give its input again", "run"
                )
            self.passes.move_to_end(run_id)
            return self.passes[run_id]

    def hold(self, one: Pass) -> None:
        """Let handlers find a pass by its id."""
        self.model.later(None)  # of an input that is no longer the newest nothing is made ready
        with self.lock:
            self.passes[one.id] = one
            self.passes.move_to_end(one.id)
            while len(self.passes) > HELD_PASSES:
                self.passes.popitem(last=False)

    def on_model(self, work: Callable[[], Any], view: str = "") -> Any:
        """Run on the model thread and wait for what it gives."""
        return self.model.do(work, view)

    def outputs(self, one: Pass) -> Outputs:
        """What every module gave, computed again where it is no longer held."""
        return self.store.get("outputs", one.id) or self.on_model(lambda: self._ran(one))

    def _ran(self, one: Pass) -> Outputs:
        found = self.store.get("outputs", one.id)
        if found is None:
            found = outputs(one.open.net, lambda: one.open.answer(one.x.clone()), one.open.written)
            one.open.written = found.written
            each = {id(t): t.numel() * t.element_size() for t in found.given.values()}
            self.store.put("outputs", one.id, found, sum(each.values()))
        return found

    def recording(self, run_id: str) -> Recording:
        """Every call of the net on one input with its numbers, made at the first question."""
        one = self.run(run_id)
        return self.store.get("recording", run_id) or self.on_model(lambda: self._recorded(one))

    def _recorded(self, one: Pass) -> Recording:
        found = self.store.get("recording", one.id)
        if found is None:
            found = record(one.open.net, [one.x], shared=True)
            sizes = (t.numel() * t.element_size() for t in found.numbers.values())
            self.store.put("recording", one.id, found, sum(sizes))
            self.store.forget("outputs", one.id)  # it holds the same numbers
        return found

    def make_ready(self, one: Pass) -> None:
        """Make the recording of an input that is looked at once nothing else is to do, so that its first number is there at once.

        Not where a pass takes so long that a request which comes meanwhile would wait for it.
        """
        if self.store.get("recording", one.id) is None and one.answer.ms <= SHORT:
            self.model.later(lambda: self._recorded(one))

    def output(self, one: Pass, layer: str) -> Tensor:
        """What one layer gave, batch axis included: "PATH@CALL" of a module, or "#N", the N-th call of a function.

        Raises:
            Refusal: 404, there is no such layer.
        """
        from striate.studio.number import value_of

        recording: Recording | None = self.store.get("recording", one.id)
        if layer.startswith("#") or recording is not None:
            recording = recording or self.recording(one.id)
            found = recording.numbers[value_of(recording, layer).index]
        else:
            found = self.outputs(one).given.get(layer)
        if found is None:
            raise Refusal(
                404, f"{one.open.name} has no layer {layer[:80]!r} that gave numbers", "layer"
            )
        return found

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


def layer_parts(layer: str) -> tuple[str, int]:
    """The path and the call of "PATH@CALL".

    Raises:
        ArgumentError: it is none.
    """
    path, at, call = layer.rpartition("@")
    if not at or not call.isdecimal() or len(call) > 9:
        raise ArgumentError(f"layer={layer[:80]}: expected PATH@CALL, such as conv1@0")
    return path, int(call)


def prepared(net: nn.Module, *, pictures: bool) -> nn.Module:
    """A net as the Studio runs it: in evaluation mode, without gradients, channels last where it reads pictures."""
    net = net.eval().requires_grad_(False)
    return net.to(memory_format=torch.channels_last) if pictures else net  # pyright: ignore[reportCallIssue] - torch's stub
