"""A training by several processes, on PyTorch's own engine: DDP, Gloo on CPUs, NCCL on GPUs.

The order of items, views and everything else random are functions of seed, epoch, step and item; a process's number
decides only which rows of a batch it computes. Whoever loses another process ends; a launcher starts all again.
"""

import io
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.elastic.multiprocessing.errors import get_error_handler
from torch.nn.parallel import DistributedDataParallel

from striate import plan as plan_room
from striate.errors import NumericError, PeerError, Stopped, UsageError
from striate.runs.checkpoint import Checkpoint, pack
from striate.tasks import Learned
from striate.training.distributed import Alone, PeerFinished, SharedSignals, Signals, T
from striate.training.failures import Interrupt
from striate.training.objective import Objective
from striate.training.state import BrokenStepError

STEP = 120.0  # seconds that a process waits for the others within a step; $STRIATE_RANK_TIMEOUT
LONG = timedelta(days=7)  # and while one of them decodes, measures or writes
_MEETINGS = itertools.count()  # trainings that this process took part in
_LOST = (
    "gloo",
    "NCCL",
    "Connection",
    "Broken pipe",
    "timed out",
    "pair closure",
)  # in the words of RuntimeErrors


class Learner(nn.Module):
    """A net and its task as one module, so that every loss of the net passes through DDP.

    `idle` takes part in nothing: where no parameter is unused DDP warns that it looked for some, past all
    filters of Python.
    """

    def __init__(self, net: nn.Module, task: Objective) -> None:
        super().__init__()
        self.net, self.task = net, task
        self.idle = nn.Parameter(torch.zeros_like(next(net.parameters()).flatten()[:1]))

    def forward(self, x: Tensor, target: Tensor) -> Learned:
        """Answer and loss."""
        return self.task.learn(self.net, x, target)


class Ranks(Alone):
    """One of several processes."""

    def __init__(self, store: Any, rank: int, world: int) -> None:
        self.store, self.rank, self.world = store, rank, world
        self.place = (rank,) if rank else ()
        self.local = int(os.environ.get("LOCAL_RANK", "0"))
        self._times = itertools.count()  # of meetings, so that each has a name of its own
        self._signals: SharedSignals | None = None
        self._wrapped: tuple[object, DistributedDataParallel] | None = None

    def device(self, wanted: str) -> str:
        """The GPU of this process's number on this machine, or the CPU."""
        device = plan_room.device(wanted)
        if not device.startswith("cuda"):
            return device
        if self.local >= (count := torch.cuda.device_count()):
            raise UsageError(
                f"process {self.local + 1} of this machine has no GPU of its own, of {count}; start as many"
            )
        torch.cuda.set_device(self.local)
        return f"cuda:{self.local}"

    def part(self, count: int) -> slice:
        """As `torch.tensor_split` divides."""
        least, more = divmod(count, self.world)
        start = self.rank * least + min(self.rank, more)
        return slice(start, start + least + (self.rank < more))

    def share(self, whole: Tensor) -> tuple[Tensor, float]:
        """These rows, or the first one with a share of zero: every process must take part in a step."""
        mine = whole[self.part(len(whole))]
        return (mine, len(mine) / len(whole)) if len(mine) else (whole[:1], 0.0)

    def learner(
        self, net: nn.Module, task: Objective, *, last: bool
    ) -> Callable[[Tensor, Tensor], Learned]:
        """Through DDP, which is made anew whenever other parameters learn."""
        key = (net, task, tuple(p.requires_grad for p in net.parameters()))
        if self._wrapped is None or self._wrapped[0] != key:
            self._wrapped = None  # the old one's hooks go first
            # Unused parameters are looked for because nets of a user's own may have some; it also keeps the
            # buckets as they were made, so that sums have the same order after a restart.
            wrapped = DistributedDataParallel(Learner(net, task), find_unused_parameters=True)
            self._wrapped = (key, wrapped)
        wrapped = self._wrapped[1]
        return wrapped if last else partial(_without_exchange, wrapped)

    def total(self, values: dict[str, float]) -> dict[str, float]:
        """In float64, in one exchange that carries the news too."""
        message = self._signals.message(first=self.first) if self._signals else []
        sums = torch.tensor([*values.values(), *message], dtype=torch.float64)
        dist.all_reduce(sums)
        numbers = sums.tolist()
        if self._signals:
            self._signals.receive(*numbers[len(values) :])
        return dict(zip(values, numbers, strict=False))

    def listen(self, interrupt: Interrupt, clock: Callable[[], float]) -> Signals:
        """SharedSignals that are the same for all; the time begins where the first process's stands."""
        began = torch.tensor([clock()], dtype=torch.float64)
        dist.broadcast(began, 0)
        self._signals = SharedSignals(interrupt, clock, seconds=float(began))
        return self._signals

    def gathered(self, mine: Mapping[str, NDArray[Any]]) -> list[Mapping[str, NDArray[Any]]]:
        """Sent to all as the bytes of a NumPy archive without pickles."""
        packed = io.BytesIO()
        np.savez(packed, **mine)  # pyright: ignore[reportArgumentType] - keywords of any name
        own = torch.frombuffer(bytearray(packed.getvalue()), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world)]
        dist.all_gather(sizes, torch.tensor([len(own)]))
        room = torch.zeros(max(int(size) for size in sizes), dtype=torch.uint8)
        room[: len(own)] = own
        everyone = [torch.empty_like(room) for _ in sizes]
        dist.all_gather(everyone, room)
        found: list[Mapping[str, NDArray[Any]]] = []
        for content, size in zip(everyone, sizes, strict=True):
            with np.load(
                io.BytesIO(content[: int(size)].numpy().tobytes()), allow_pickle=False
            ) as held:
                found.append({name: held[name] for name in held.files})
        return found

    def level(self, net: nn.Module) -> None:
        """Every tensor of the net, from the first process."""
        with torch.no_grad():
            for tensor in (*net.parameters(), *net.buffers()):
                even = tensor.detach().contiguous()
                dist.broadcast(even, 0)
                if even.data_ptr() != tensor.data_ptr():
                    tensor.copy_(even)

    def sync_batch_norm(self, net: nn.Module, *, together: bool) -> nn.Module:
        """With PyTorch's synchronised batch normalisation, which keeps names and weights."""
        return nn.SyncBatchNorm.convert_sync_batchnorm(net) if together else net

    def broadcast(self, value: T) -> T:
        """Through the store, as JSON."""
        if self.first:
            self.store.set(
                self._decoded, "yes"
            )  # before it had anything to say it filled its cache
        key = f"broadcast/{self.meet('agreed')}"
        if self.first:
            self.store.set(key, json.dumps(value))
        return json.loads(self.store.get(key))

    def same(self, found: Checkpoint | None, net: nn.Module) -> Checkpoint | None:
        """As the bytes of a safetensors file and JSON."""
        tensors = pack(found.tensors) if found else b""
        words: dict[str, Any] | None = None
        if found:
            words = {"step": found.step, "state": found.state, "merit": found.merit}
        words, size = self.broadcast((words, len(tensors)))
        if words is None:
            self.level(net)
            return None
        content = torch.zeros(size, dtype=torch.uint8)
        if self.first:
            content[:] = torch.frombuffer(bytearray(tensors), dtype=torch.uint8)
        dist.broadcast(content, 0)
        return Checkpoint(tensors=safetensors.torch.load(content.numpy().tobytes()), **words)

    def meet(self, place: str) -> int:
        """Counted in the store, which waits for days, where an exchange of tensors would time out."""
        number = next(self._times)
        if self.store.add(f"meet/{number}/{place}", 1) == self.world:
            self.store.set(f"met/{number}/{place}", "all")
        else:
            self.store.wait([f"met/{number}/{place}"], LONG)
        return number

    def leave(self) -> None:
        """The first process goes last, because the store goes with it."""
        left = self.store.add("left", int(not self.first))
        end = time.monotonic() + STEP
        while self.first and left < self.world - 1 and time.monotonic() < end:
            time.sleep(0.01)
            left = self.store.add("left", 0)

    def warnings(self) -> list[str]:
        """Of networks that must be trusted, and of restarts that may hang."""
        lines: list[str] = []
        if self.world > int(os.environ.get("LOCAL_WORLD_SIZE", self.world)):
            lines.append(
                "the processes of several machines talk without encryption or passwords: their network must be trusted"
            )
        restarts = int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0"))
        if restarts and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            lines.append(
                "set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun: without it many restarts after a lost process hang"
            )
        return lines

    @contextmanager
    def decoding(self) -> Generator[None]:
        """Let the first process of this machine fill its cache, then the others, who read what it wrote."""
        if self.local:
            self.store.wait([self._decoded], LONG)
        yield
        if not self.local:
            self.store.set(self._decoded, "yes")

    @property
    def _decoded(self) -> str:
        return f"decoded/{os.environ.get('GROUP_RANK', '0')}"


def _without_exchange(wrapped: DistributedDataParallel, x: Tensor, target: Tensor) -> Learned:
    with wrapped.no_sync():
        return wrapped(x, target)


@contextmanager
def connected() -> Generator[Ranks]:
    """The connection of this process to the others, from before the data are opened until all are done.

    Raises:
        UsageError: the port is taken.
        PeerError: another process was lost.
    """
    wait = timedelta(seconds=float(os.environ.get("STRIATE_RANK_TIMEOUT", STEP)))
    try:
        shared, rank, world = _met(wait)
        store = dist.PrefixStore(f"striate/{next(_MEETINGS)}", shared)  # pyright: ignore[reportPrivateImportUsage]
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=wait)
    except (RuntimeError, ValueError) as error:
        where = ":".join(os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT"))
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"the processes of this training cannot meet at {where} ({reason}): "
            "choose another port, --master-port or --rdzv-endpoint of torchrun"
        ) from error
    ranks = Ranks(store, rank, world)
    try:
        with _told_to_launcher():
            yield ranks
            ranks.meet("finished")
            ranks.leave()
    except (Stopped, NumericError, PeerError) as error:
        alone = isinstance(error, NumericError) and not isinstance(error.__cause__, BrokenStepError)
        if ranks.first or alone:  # others are had by all, and the first one tells
            raise
        raise PeerFinished(error.exit_status) from None
    dist.destroy_process_group()


@contextmanager
def _told_to_launcher() -> Generator[None]:
    """Turn a lost connection into our error, and write errors where torchrun looks for them, for its summary."""
    try:
        try:
            yield
        except RuntimeError as error:
            if not _lost(error):
                raise
            raise PeerError(
                f"a process of this training was lost ({str(error).splitlines()[0][:200]}): everything up to the "
                "last checkpoint is kept, and a launcher with restarts left begins again from there"
            ) from error
    except Exception as error:
        get_error_handler().record_exception(error)
        raise


@lru_cache
def _met(wait: timedelta) -> tuple[Any, int, int]:
    """The store in which the processes meet, once a process; the number of this one, and how many there are."""
    _end_with(os.getppid())
    return next(iter(dist.rendezvous("env://", timeout=wait)))  # pyright: ignore[reportPrivateImportUsage]


def _lost(error: RuntimeError) -> bool:
    """Whether an error of PyTorch is that of a connection."""
    return isinstance(error, dist.DistError) or any(word in str(error) for word in _LOST)


def _end_with(parent: int) -> None:
    """End this process once its launcher is gone, however that ended: nobody would ever restart or stop it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
