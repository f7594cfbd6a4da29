"""What commands share: options, the way a result is printed, shapes as they are typed."""

import contextlib
import json as json_module
import os
import re
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from striate.errors import UsageError
from striate.text import plain

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = click.Path(path_type=Path)


class Drawn(click.Path):
    """A file to write whose ending says in what form; another ending, or a place where none can lie, is refused before any work."""

    def __init__(self, *endings: str) -> None:
        super().__init__(path_type=Path)
        self.endings = endings

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The path.

        Raises:
            UsageError: another ending, or a folder that is not there or takes no files.
        """
        ending = Path(value).suffix
        if ending.lower() not in self.endings:
            *some, last = self.endings
            known = f"{', '.join(some)} or {last}" if some else last
            raise UsageError(f"{value}: cannot write {ending!r}; end it in {known}")
        if reason := _unwritable(Path(value)):
            option = "file" if param is None else param.opts[0]
            raise UsageError(
                f"{option} {value}: cannot be written ({reason}); name another {option}"
            )
        return super().convert(value, param, ctx)


def _unwritable(file: Path) -> str:
    """Why a file cannot be written; "" where nothing speaks against it."""
    if not file.parent.is_dir():
        return f"there is no folder {file.parent}"
    if file.is_dir():
        return "it is a folder"
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        return "it may not be written"
    return ""


with_json = click.option("--json", is_flag=True, help="One JSON document on standard output.")
with_net = click.option("--net", metavar="NET", help="package.module:factory of a net of your own.")


def with_opening(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say how DATA is opened, given to the command as one mapping, `how`."""

    @wraps(command)  # with the options that stand below this one
    def gathered(*args: Any, **given: Any) -> Any:
        how = {key: value for key in _OPENING if (value := given.pop(key)) is not None}
        return command(*args, how=how, **given)

    whole: Callable[..., Any] = gathered
    for key, option in reversed(_OPENING.items()):
        whole = click.option(f"--{key.replace('_', '-')}", **option)(whole)
    return whole


_OPENING: dict[str, dict[str, Any]] = {
    "val": {"type": float, "help": "Share that a training would hold out."},
    "seed": {"type": int, "default": 0, "show_default": True, "help": "Of that split."},
    "split": {
        "help": "Kept together: folder, name:PATTERN, FILE.csv:COLUMN; similar: near duplicates."
    },
    "ignore": {"multiple": True, "metavar": "PATTERN", "help": "Files to leave aside."},
    "layout": {"help": "How to understand the files, where they could be several things."},
    "task": {"help": "What is to be learned, where it could be several things."},
    "max_pixels": {"type": int, "help": "The most pixels of a picture, else 50,000,000."},
    "history": {"type": int, "help": "Steps of series that a training would read, else 12."},
    "horizon": {"type": int, "help": "Steps that it would forecast, else 12."},
    "fixes": {"metavar": "FILE.csv", "help": "Relabel, drop, regroup items: file,action,value."},
    "period": {"help": "Of series: day, week, year or a number of steps, else measured."},
}


def emit(document: Mapping[str, Any] | Sequence[Any], text: str, *, json: bool) -> None:
    """Print a result on standard output: as one line of JSON, or as text.

    Raises:
        UsageError: it cannot be written.
    """
    stream = click.get_current_context().obj
    ascii_only = not str(getattr(stream, "encoding", None) or "").lower().startswith("utf")
    line = json_module.dumps(document, ensure_ascii=ascii_only) if json else plain(text)
    try:
        print(line, file=stream, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        silence(stream)
        raise UsageError(
            f"standard output cannot be written ({error.strerror}); send it elsewhere"
        ) from error


def seen(
    what: str,
    facts: Mapping[str, Any],
    *,
    nets: Sequence[str] = (),
    layer: str = "",
    items: Sequence[Path] = (),
    files: Sequence[Path] = (),
) -> dict[str, Any]:
    """The JSON shape `see`: what a picture says, and what it is of.

    Args:
        what: the picture.
        facts: what it says itself.
        nets: that it is of: one stands by itself, of several or none there is a list.
        layer: that it is of, "" if it is of no single one.
        items: files that it shows.
        files: that it was written to.
    """
    return {
        **facts,
        "net": nets[0] if len(nets) == 1 else list(nets),
        "what": what,
        "items": [str(path) for path in items],
        "files": [str(path) for path in files],
        **({"layer": layer} if layer else {}),
    }


def columns() -> int | None:
    """Columns of the terminal that shows the result; None where it goes elsewhere, so that nothing is left out."""
    stream = click.get_current_context().obj
    return shutil.get_terminal_size().columns if stream is not None and stream.isatty() else None


def opening(*files: Path) -> str:
    """Last lines of a result on a terminal: the addresses of files that it left, to be clicked; those that are not there are left out."""
    found = [file.absolute().as_uri() for file in files if file.is_file()]
    return "".join(f"\nopen {address}" for address in found)


def silence(*streams: TextIO) -> None:
    """Send what is still to be written nowhere: Python flushes at its end, and would fail once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())


@contextlib.contextmanager
def writing(out: Path, option: str = "--out") -> Generator[None]:
    """What the system says against writing the file or the folder that an option names, as one line.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{option} {out}: cannot be written ({error.strerror or error}); name another {option}"
        ) from error


def save(out: Path, content: str, option: str = "--out") -> None:
    """Write the file that an option names; halves of surrogate pairs stand escaped.

    Raises:
        UsageError: it cannot be written.
    """
    with writing(out, option):
        out.write_bytes(content.encode("utf-8", "backslashreplace"))


def read_sizes(text: str, option: str = "--input", *, least: int = 1) -> tuple[int, ...]:
    """Sizes as they are typed, such as 3x224x224.

    Raises:
        UsageError: anything else.
    """
    try:
        shape = tuple(int(side) for side in text.lower().split("x"))
    except ValueError:
        shape = ()
    if not shape or min(shape) < least:
        such = "3x224x224 or 1x28x28" if option == "--input" else "2 or 2x1"
        raise UsageError(f"{option} {text}: expected sizes such as {such}")
    return shape


def read_numbers(text: str, option: str) -> "Tensor":
    """Numbers as they are typed, `1 2 3; 4 5 6` with `|` between planes, or those of a file: [planes, rows, columns].

    A text file has a row a line and an empty line between planes; .npy is read without pickles.

    Raises:
        UsageError: anything else.
    """
    import numpy as np
    import torch

    from striate.data.files import UNSOUND

    path = Path(text)
    try:
        if path.suffix == ".npy" and path.is_file():
            array = np.load(path, allow_pickle=False).astype(np.float64)
        else:
            planes = re.split(r"\|", text)
            if path.is_file():
                planes = re.split(r"\n\s*\n", path.read_text(encoding="utf-8").strip())
            array = np.array([_plane(plane) for plane in planes], np.float64)
    except UNSOUND as error:
        reason = "" if "inhomogeneous" in str(error) else f" ({' '.join(str(error).split())[:80]})"
        raise UsageError(
            f"{option} {text[:60]}: expected rows of as many numbers, such as '1 2 3; 4 5 6', or a file of such{reason}"
        ) from None
    array = array.reshape((1,) * (3 - array.ndim) + array.shape) if array.ndim < 3 else array
    if array.ndim != 3 or not array.size or not np.isfinite(array).all():
        raise UsageError(
            f"{option} {text[:60]}: expected finite numbers in planes, rows and columns, got shape {array.shape}"
        )
    return torch.from_numpy(array)


def _plane(text: str) -> list[list[float]]:
    rows = [row for row in re.split(r"[;\n]", text) if row.strip()]
    return [[float(cell) for cell in re.split(r"[,\s]+", row.strip()) if cell] for row in rows]


def read_ints(text: str, option: str) -> tuple[int, ...]:
    """Whole numbers with commas between them, such as 5,0,12.

    Raises:
        UsageError: anything else.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} {text}: expected whole numbers such as 5,0,12") from None
