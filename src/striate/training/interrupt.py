"""Ctrl-C and SIGTERM during a training: the step is finished, a checkpoint written, then it ends.

A second signal ends the process at once; the last whole checkpoint is there all the same.
"""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


class Asked:
    """Whether, and by which signal, the training was asked to end."""

    signum: int | None = None


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
