"""The command line: `striate VERB ...`. Nothing heavy is imported before a verb needs it."""

import os
import signal
import sys
from io import TextIOWrapper
from traceback import walk_tb
from types import FrameType


def main(arguments: list[str] | None = None) -> None:
    """Run one command and leave with its exit status."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    # SIGTERM closes what is open and removes folders; a launcher's processes it just ends.
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and "RANK" not in os.environ:
        signal.signal(signal.SIGTERM, _terminated)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names may hold what the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_status(sys.argv[1:] if arguments is None else arguments))


def _status(arguments: list[str]) -> int:
    """Exit status of a command; an expected mistake becomes one line on standard error."""
    try:
        return _answered(arguments)
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


def _answered(arguments: list[str]) -> int:
    from striate.cli.app import run
    from striate.cli.settings import one_line
    from striate.errors import StriateError, out_of_memory

    debug = "--debug" in arguments
    try:
        return run([word for word in arguments if word != "--debug"])
    except StriateError as error:
        if debug:
            raise
        print(f"striate: {one_line(str(error))}", file=sys.stderr)
        return error.exit_status
    except (MemoryError, RuntimeError) as error:
        if debug or not out_of_memory(error):
            raise
        print(
            "striate: out of memory: a smaller batch=, size= or width= needs less", file=sys.stderr
        )
        return 4
