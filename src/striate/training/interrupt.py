"""Ctrl-C and SIGTERM during a training: the step is finished, a checkpoint written, then it ends.

A second signal ends the process at once; the last whole checkpoint is there all the same.
"""

import shutil
import signal
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from striate.errors import Stopped, Terminated


class Asked:
    """Whether, and by which signal, the training was asked to end."""

    signum: int | None = None


@contextmanager
def terminable(begun: Sequence[Path] = ()) -> Generator[list[Path]]:
    """Let SIGTERM end the block as an exception, so that what is half made is removed.

    Args:
        begun: the run folder, where it is there already; the block adds the one that it makes.

    Raises:
        Stopped: SIGTERM came, and nothing within the block made more of it.
    """
    from striate.training.ranks import launched  # which listens to signals by this module

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
def listening() -> Generator[Asked]:
    """Catch the first SIGINT or SIGTERM; outside the main thread there is nothing to catch."""
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}

    def catch(signum: int, _frame: FrameType | None) -> None:
        asked.signum = signum
        for each in before:
            signal.signal(each, signal.SIG_DFL)

    for signum in before:
        signal.signal(signum, catch)
    try:
        yield asked
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
