"""Progress on standard error: a bar where a person looks, plain lines where a file does."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from striate.text import plain
from striate.training import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

QUIET = 0.25  # seconds between drawings, each of which takes milliseconds


@contextmanager
def display() -> Generator[Progress]:
    """Progress that is drawn while the block runs."""
    if not sys.stderr.isatty():
        yield Progress(say=lambda line: print(plain(line), file=sys.stderr, flush=True))
        return
    from rich.console import Console

    with draw(Console(stderr=True)) as progress:
        yield progress


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
