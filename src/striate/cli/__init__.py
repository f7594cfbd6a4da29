"""The command line: `striate VERB ...`. Nothing heavy is imported before a verb needs it."""

import os
import signal
import sys
from types import FrameType


def main(arguments: list[str] | None = None) -> int:
    """Run one command and give its exit status; an expected mistake becomes one line on standard error."""
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    try:
        from striate.cli.app import run

        try:
            return run([word for word in words if word != "--debug"])
        except Exception as error:
            status = None if debug else _status(error)
            if status is None:
                raise
            return status
    except KeyboardInterrupt:
        return _stopped()
    except BrokenPipeError:
        from striate.cli.output import silence

        silence(sys.stdout, sys.stderr)  # the reader has gone: nobody to tell
        return 141
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)


def _interrupted(signum: int, frame: FrameType | None) -> None:
    """Ctrl-C is an exception, but ends a process at once that imports PyTorch, whose C++ swallows it or aborts."""
    spec = getattr(sys.modules.get("torch"), "__spec__", None)
    if getattr(spec, "_initializing", False):
        os._exit(_stopped())
    signal.default_int_handler(signum, frame)


def _stopped() -> int:
    echoed = "\n" if sys.stderr.isatty() else ""  # ^C stands there
    print(f"{echoed}striate: stopped", file=sys.stderr, flush=True)
    return 130


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
