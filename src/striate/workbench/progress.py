"""Progress on standard error: a bar where a person looks, plain lines where a file does."""

import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from striate.text import plain
from striate.training import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

QUIET = 0.25  # seconds between drawings, each of which takes milliseconds


@contextmanager
def display(*, began: float | None = None) -> Generator[Progress]:
    """Progress that is drawn while the block runs.

    Args:
        began: when the command did, by `time.monotonic`; now if not given.
    """
    began = time.monotonic() if began is None else began
    if not sys.stderr.isatty():
        yield Progress(lambda line: print(plain(line), file=sys.stderr, flush=True), began=began)
        return
    from rich.console import Console

    with draw(Console(stderr=True)) as progress:
        yield replace(progress, began=began)


def process_began() -> float:
    """When this process started, by `time.monotonic`: before Python and PyTorch were imported."""
    try:
        stat = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace")
        ticks = int(stat.rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):  # no Linux
        return time.monotonic()
    return time.monotonic() - max(0.0, age)


@contextmanager
def draw(console: "Console") -> Generator[Progress]:
    """Progress on a terminal. It is drawn by who makes it: a thread that draws would take its core from the nets'."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:>9}"),
        BarColumn(),
        TextColumn("{task.completed:,}/{task.total:,}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console, transient=True, auto_refresh=False) as bars:
        bar = _Bar(bars)
        yield Progress(
            lambda line: console.print(plain(line), markup=False, highlight=False), bar.update
        )


class _Bar:
    """One bar at a time: a new name replaces the old one."""

    def __init__(self, bars: "Bars") -> None:
        self.bars = bars
        self.name = ""
        self.task: TaskID | None = None
        self.next = 0.0

    def update(self, name: str, done: int, total: int) -> None:
        """Show `done` of `total`."""
        if self.task is None or name != self.name:
            if self.task is not None:
                self.bars.remove_task(self.task)
            self.name, self.task = name, self.bars.add_task(name, total=total)
        elif time.monotonic() < self.next and done < total:
            return
        self.next = time.monotonic() + QUIET
        self.bars.update(self.task, completed=done, total=total, refresh=True)
