"""The command line: `striate VERB ...`. Nothing heavy is imported before a verb needs it."""

import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, redirect_stderr
from io import TextIOWrapper
from pathlib import Path
from traceback import walk_tb
from types import FrameType


def main(arguments: list[str] | None = None) -> int:
    """Run one command and give its exit status; an expected mistake becomes one line on standard error.

    With `--quiet` that line is all that stands there: progress and notes are left out.
    """
    words = sys.argv[1:] if arguments is None else arguments
    debug, quiet = "--debug" in words, "--quiet" in words
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names may hold what the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    with _handlers():
        try:
            from striate.cli.app import run

            try:
                with _silence() if quiet else nullcontext():
                    return run([word for word in words if word not in ("--debug", "--quiet")])
            except Exception as error:
                status = None if debug else _status(error)
                if status is None:
                    raise
                return status
        except KeyboardInterrupt as stop:
            from striate.errors import Terminated

            return _stopped(143 if isinstance(stop, Terminated) else 130)
        except BrokenPipeError:
            from striate.cli.output import silence

            silence(sys.stdout, sys.stderr)  # the reader has gone: nobody to tell
            return 141
        except OSError as error:
            *_, (frame, _) = walk_tb(error.__traceback__)
            if not frame.f_globals.get("__name__", "").startswith("click"):
                raise
            from striate.cli.output import silence

            silence(sys.stdout)  # its help, which click prints itself, cannot be written
            print(
                f"striate: standard output cannot be written ({error.strerror}); send it elsewhere",
                file=sys.stderr,
            )
            return 2


@contextmanager
def _silence() -> Generator[None]:
    """Nothing is written to standard error while the block runs, by processes that it starts neither; what it raises is reported afterwards."""
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        redirect_stderr(nowhere),
        _inherited(nowhere.fileno()),
    ):
        yield


@contextmanager
def _inherited(descriptor: int) -> Generator[None]:
    """What processes that are started inherit as standard error."""
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def _handlers() -> Generator[None]:
    """Ctrl-C and SIGTERM as exceptions, where they have their usual handlers; those are there again afterwards."""
    ours = (
        (signal.SIGINT, signal.default_int_handler, _interrupted),
        (signal.SIGTERM, signal.SIG_DFL, _terminated),  # what is open is closed, folders removed
    )
    if "RANK" in os.environ:  # SIGTERM just ends a launcher's processes
        ours = ours[:1]
    replaced = [(number, usual) for number, usual, _ in ours if signal.getsignal(number) is usual]
    for number, _, handler in ours:
        if any(number == each for each, _ in replaced):
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, usual in replaced:
            signal.signal(number, usual)


def _terminated(_signum: int, _frame: FrameType | None) -> None:
    """SIGTERM is an exception too, once; while PyTorch is imported it ends the process at once."""
    from striate.errors import Terminated

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    spec = getattr(sys.modules.get("torch"), "__spec__", None)
    if getattr(spec, "_initializing", False):
        os._exit(_stopped(143))
    raise Terminated


def _interrupted(signum: int, frame: FrameType | None) -> None:
    """Ctrl-C is an exception, but ends a process at once that imports PyTorch, whose C++ swallows it or aborts."""
    spec = getattr(sys.modules.get("torch"), "__spec__", None)
    if getattr(spec, "_initializing", False):
        os._exit(_stopped())
    signal.default_int_handler(signum, frame)


def _stopped(status: int = 130) -> int:
    echoed = "\n" if sys.stderr.isatty() else ""  # ^C stands there
    print(f"{echoed}striate: stopped", file=sys.stderr, flush=True)
    return status


def _status(error: Exception) -> int | None:
    """Print an expected mistake as one line and give its exit status; None for any other error."""
    from striate.cli.settings import one_line
    from striate.errors import StriateError, out_of_memory

    if isinstance(error, StriateError):
        print(f"striate: {one_line(str(error))}", file=sys.stderr)
        return error.exit_status
    if isinstance(error, MemoryError | RuntimeError) and out_of_memory(error):
        print(
            "striate: out of memory: a smaller batch=, size= or width= needs less", file=sys.stderr
        )
        return 4
    return None
