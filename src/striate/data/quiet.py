"""Silence for the warnings of Pillow: what is odd about a file is said by us, once, with its name."""

import threading
import warnings
from collections.abc import Generator
from contextlib import ExitStack, contextmanager


class _Quiet:
    """Who is inside `quiet`: the first one in sets the filters, the last one out restores them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.filters = ExitStack()

    def enter(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.filters.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"(PIL|striate\.data)\.")

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.filters.close()


_quiet = _Quiet()


@contextmanager
def quiet() -> Generator[None]:
    """Keep Pillow's warnings about odd files off the terminal; several threads may be inside.

    The filters of `warnings` belong to the whole process, hence the counting.
    """
    _quiet.enter()
    try:
        yield
    finally:
        _quiet.leave()
