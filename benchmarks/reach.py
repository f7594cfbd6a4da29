"""How far a reader has to go: the files of striate that a training runs through, and the calls down to the net.

    python benchmarks/reach.py

Trains LeNet-5 on the embedded digits for one epoch, from the command's entry. A file counts where one of its
functions ran, not where it was only imported: what the body of a module calls, such as to fill a table, is importing. A depth counts the frames of striate from `striate.cli.main` down to
the `forward` of the net, both included; those of click and PyTorch between them are left out.
"""

import inspect
import io
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType

import striate

SOURCE = str(Path(striate.__file__).parent)
FORWARD = ("lenet.py", "forward")
COMMAND = ["train", "digits", "net=lenet5", "epochs=1", "plan=default", "health=0"]


class Reach:
    """What a profiler has seen of the functions of striate."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.functions: set[tuple[str, str]] = set()
        self.first: list[str] = []
        self.step: list[str] = []

    def profile(self, frame: FrameType, event: str, _argument: object) -> None:
        """Take in one event of `sys.setprofile`."""
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(SOURCE):
            return
        if any(not each.f_code.co_flags & inspect.CO_OPTIMIZED for each in _frames(frame)):
            return  # a body of a module or a class, or called by one
        self.files.add(code.co_filename)
        self.functions.add((code.co_filename, code.co_qualname))
        if (Path(code.co_filename).name, code.co_name) == FORWARD and not self.step:
            chain = [_called(each) for each in reversed([*_frames(frame)])]
            self.first = self.first or chain
            if any("take_step" in name for name in chain):
                self.step = chain


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """The frames of striate from the innermost outwards."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(SOURCE):
            yield frame
        frame = frame.f_back


def _called(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).relative_to(SOURCE)}:{frame.f_code.co_qualname}"


def main() -> int:
    """Train once, and print what was seen."""
    from striate import cli

    reach = Reach()
    with tempfile.TemporaryDirectory() as out:
        threading.setprofile(reach.profile)
        sys.setprofile(reach.profile)
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                status = cli.main([*COMMAND, "--out", out])
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # pyright: ignore[reportArgumentType] - None takes it away again
    if status:
        return status
    lines = sum(len(Path(name).read_text(encoding="utf-8").splitlines()) for name in reach.files)
    print(
        f"{len(reach.files)} files of striate with {lines:,} lines, {len(reach.functions):,} functions"
    )
    rooms: dict[str, int] = {}
    for name in reach.files:
        room = Path(name).relative_to(SOURCE).parts[0]
        rooms[room] = rooms.get(room, 0) + 1
    print(", ".join(f"{room} {count}" for room, count in sorted(rooms.items())))
    print(f"first forward of all: {len(reach.first)} frames")
    print(f"first forward of a step: {len(reach.step)} frames")
    print("\n".join(f"  {name}" for name in reach.step))
    return 0


if __name__ == "__main__":
    sys.exit(main())
