"""One process of a training, and what it asks of the others. Alone it asks nothing, and imports nothing distributed.

Several processes take the same steps: of every batch each takes a contiguous part, gradients and sums are those of
the whole batch, and what one of them alone can know (a signal, the first one's clock, the answers to its part of the
held-out items) reaches all before anything depends on it. The first one writes all files and prints. A launch that
restarts its processes finds the run folder that it began. `striate.training.ddp` holds what needs torch.distributed.
"""

import hashlib
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from numpy.typing import NDArray
from torch import Tensor, nn

from striate import plan as plan_room
from striate.errors import Stopped, Terminated
from striate.runs.checkpoint import Checkpoint
from striate.tasks import Learned
from striate.training.failures import Interrupt
from striate.training.objective import Objective

T = TypeVar("T")
LAUNCHER = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun tells a process


class PeerFinished(SystemExit):
    """The end of a process that is not the first: no error, and nothing is left to say."""

    def __init__(self, status: int = 0, path: Path | None = None) -> None:
        super().__init__(status)
        self.path = path  # of the finished run


@dataclass
class Signals:
    """The signal and the clock that a training goes by."""

    interrupt: Interrupt
    clock: Callable[[], float]

    @property
    def signum(self) -> int | None:
        """The signal that asks for the end, if one came."""
        return self.interrupt.signum

    def spent(self) -> float:
        """Seconds of the training so far."""
        return self.clock()


@dataclass
class SharedSignals(Signals):
    """What all processes know since the last step."""

    came: int | None = None
    seconds: float = 0.0

    @property
    def signum(self) -> int | None:
        """The signal that reached any of the processes."""
        return self.came

    def spent(self) -> float:
        """Seconds by the clock of the first process."""
        return self.seconds

    def message(self, *, first: bool) -> list[float]:
        """What this process knows, as numbers to be added to those of the others."""
        mine = [
            float(self.interrupt.signum == signum) for signum in (signal.SIGINT, signal.SIGTERM)
        ]
        return [*mine, self.clock() if first else 0.0]

    def receive(self, interrupts: float, terminations: float, seconds: float) -> None:
        """Take in the sums of these numbers over all processes."""
        self.seconds = seconds
        self.came = signal.SIGINT if interrupts else signal.SIGTERM if terminations else None


class Alone:
    """The only process of a training."""

    rank, world = 0, 1
    place: tuple[int, ...] = ()  # in the seed of dropout: nothing of the first process

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def device(self, wanted: str) -> str:
        """The device of this process.

        Raises:
            UsageError: there is none for it.
        """
        return plan_room.device(wanted)

    def share(self, whole: Tensor) -> tuple[Tensor, float]:
        """This process's rows of a batch, and which share of the batch they are.

        With fewer rows than processes some get the first row, and a share of zero.
        """
        return whole, 1.0

    def part(self, count: int) -> slice:
        """Which of `count` items are this process's."""
        return slice(count)

    def learner(
        self, net: nn.Module, task: Objective, *, last: bool
    ) -> Callable[[Tensor, Tensor], Learned]:
        """From inputs and targets to answer and loss, whose backward pass gives the mean gradient of all processes.

        Args:
            net: what learns.
            task: with its loss.
            last: of the parts of a batch; gradients are exchanged once, after all of them.
        """
        del last
        return partial(task.learn, net)

    def total(self, values: dict[str, float]) -> dict[str, float]:
        """Sums over all processes; every step asks for them once."""
        return values

    def listen(self, interrupt: Interrupt, clock: Callable[[], float]) -> Signals:
        """What the training goes by: the signals of all processes and the clock of the first, as of the last `total`."""
        return Signals(interrupt, clock)

    def gathered(self, mine: Mapping[str, NDArray[Any]]) -> list[Mapping[str, NDArray[Any]]]:
        """The arrays of every process, in the order of `part`."""
        return [mine]

    def level(self, net: nn.Module) -> None:
        """Give all processes the weights and statistics of the first."""

    def sync_batch_norm(self, net: nn.Module, *, together: bool) -> nn.Module:
        """The net, its batch normalisation over the items of all processes if that is asked for."""
        del together
        return net

    def broadcast(self, value: T) -> T:
        """The first process's value, which is plain, for all."""
        return value

    def same(self, found: Checkpoint | None, net: nn.Module) -> Checkpoint | None:
        """The first process's checkpoint for all, or without one the weights of its net."""
        del net
        return found

    def warnings(self) -> list[str]:
        """What is to be said of the way in which the processes are connected."""
        return []

    @contextmanager
    def decoding(self) -> Generator[None]:
        """Around what fills the cache of a machine, once."""
        yield

    def meet(self, place: str) -> int:
        """Wait, for as long as it takes, until all processes are here; the number of the meeting."""
        del place
        return 0


ALONE = Alone()


def launched() -> bool:
    """Whether a launcher such as torchrun started this process."""
    return all(name in os.environ for name in LAUNCHER)


@contextmanager
def terminable(begun: Sequence[Path] = ()) -> Generator[list[Path]]:
    """Let SIGTERM end the block as an exception, so that what is half made is removed.

    Args:
        begun: the run folder, where it is there already; the block adds the one that it makes.

    Raises:
        Stopped: SIGTERM came, and nothing within the block made more of it.
    """
    folders = list(begun)
    # A launcher ends the others by SIGTERM when one process is lost, and starts all again: that must stay quick.
    if threading.current_thread() is not threading.main_thread() or launched():
        yield folders
        return
    before = signal.getsignal(signal.SIGTERM)

    def end(_signum: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield folders
    except Terminated:
        for path in folders:
            if not (path / "config.json").exists():  # from which nothing can go on
                shutil.rmtree(path, ignore_errors=True)
        ways = [f"go on with: striate train --resume {p}" for p in folders if p.exists()]
        said = ways[0] if ways else "nothing is left of it"
        raise Stopped(f"stopped before the first step; {said}", signal.SIGTERM) from None
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def joined() -> Generator[Alone]:
    """This process and, where a launcher started several, its connection to the others.

    Raises:
        UsageError: the port that the launcher chose is taken.
        PeerError: another process was lost.
    """
    if not launched():
        yield ALONE
        return
    from striate.training import ddp  # only here: torch.distributed takes its time to import

    with ddp.connected() as ranks:
        yield ranks


MARK = ".launch"


def mark_run(path: Path) -> None:
    """Note in a run folder which launch it belongs to, so that it is found after a restart."""
    if launched():
        (path / MARK).write_text(_launch(), encoding="utf-8")


def unmark_run(path: Path) -> None:
    """Take that note away again."""
    (path / MARK).unlink(missing_ok=True)


def find_marked_run(out: Path) -> Path | None:
    """The run below `out` that this launch began before it was restarted.

    A folder that was killed before its first step is removed.
    """
    if not launched():
        return None
    marks = [
        m
        for m in out.glob(f"*/*/{MARK}")
        if m.read_text(encoding="utf-8", errors="replace") == _launch()
    ]
    for folder in (m.parent for m in marks):
        if (folder / "config.json").exists():
            return folder
        shutil.rmtree(folder)
    return None


def _launch() -> str:
    """What a launch is known by, restarts included: its id and its command, or without an id the launcher's process."""
    run = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    name = f"{socket.gethostname()}-{os.getppid()}" if run == "none" else run
    return hashlib.sha256("\0".join([name, *sys.argv]).encode()).hexdigest()
