"""Progress on standard error: a bar where a person looks, plain lines where a file does."""

import math
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from striate.text import plain, rough, wide, wrapped
from striate.training import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

QUIET = 0.25  # seconds between drawings, each of which takes milliseconds
NAME = 12  # letters of a bar's name, so that the bars of one command begin below each other
MARKS, PLAIN_MARKS = (
    ("\N{FULL BLOCK}", "\N{LIGHT SHADE}"),
    ("#", "."),
)  # of what is done and what is not
BAR = (4, 40)  # its least and its greatest width
BESIDE = 22  # columns for the words beside it, whether or not there are any: a bar keeps its width
ROOM = 60  # columns of a row of figures, on a terminal that has them


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
    """Progress on a terminal. It is drawn by who makes it: a thread that draws would take its core from the nets'.

    Lines are broken between words, so that a path stays whole and can be clicked.
    """
    from rich.live import Live
    from rich.text import Text

    def say(line: str) -> None:
        words = wrapped(plain(line), console.width)
        console.print(words, markup=False, highlight=False, soft_wrap=True)

    with Live(console=console, transient=True, auto_refresh=False) as live:
        bar = _Bar(live, console, Text)
        yield Progress(say, bar.update, bar.note, min(ROOM, console.width))


class _Bar:
    """One bar at a time: a new name replaces the old one."""

    def __init__(self, live: "Live", console: "Console", text: "type[Text]") -> None:
        self.live, self.console, self.text = live, console, text
        self.name, self.words = "", ""
        self.next = self.began = 0.0
        self.first = 0

    def note(self, words: str) -> None:
        """What stands beside the bar until it moves on."""
        self.words = words

    def update(self, name: str, done: int, total: int) -> None:
        """Show `done` of `total`."""
        now = time.monotonic()
        words, self.words = self.words, ""
        if name != self.name or done < self.first:
            self.name, self.began, self.first = name, now, done
        elif now < self.next and done < total:
            return
        self.next = now + QUIET
        if not words and done > self.first and done < total:
            left = (now - self.began) * (total - done) / (done - self.first)
            words = f"{rough(left)} left" if left >= 1 else ""
        marks = MARKS if self.console.encoding.startswith("utf") else PLAIN_MARKS
        line = bar_line(name, done / max(total, 1), words, self.console.width - 1, marks)
        self.live.update(self.text(line), refresh=True)


def bar_line(
    name: str, share: float, words: str, width: int, marks: tuple[str, str] = PLAIN_MARKS
) -> str:
    """A bar as one line of at most `width` columns: its name, the bar, the share, and words; the bar goes first.

    >>> bar_line("training", 0.5, "loss 0.25", 55)
    'training     #####.....  50 %  loss 0.25'
    """
    share = min(1.0, max(0.0, share))
    percent, name = f"{math.floor(100 * share):3d} %", name.ljust(NAME)
    room = min(BAR[1], width - wide(name) - len(percent) - max(BESIDE, wide(words)) - 5)
    filled = round(share * room)
    bar = [marks[0] * filled + marks[1] * (room - filled)] if room >= BAR[0] else []
    line = " ".join([name, *bar, f"{percent}  {words}"]).rstrip()
    while wide(line) > width:
        line = line[:-1]
    return line
