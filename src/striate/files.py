"""Files that are there whole or not at all, also after the power failed; folders that go with who made them.

A folder of the latter kind is locked by its maker, and a lock ends with its process: whoever makes the next of its kind
removes those that nobody holds.
"""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

_SCRATCH = "striate-scratch-"
_RANDOM = "[a-z0-9_]{8}"  # what `tempfile.mkdtemp` appends


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name, bring it to the disk, and give it its name then."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Bring the names in a folder to the disk: a file that was renamed has its new name after a power failure too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def scratch() -> Generator[Path]:
    """A folder among the system's temporary ones, for as long as the block runs."""
    with held(_SCRATCH, Path(tempfile.gettempdir())) as folder:
        yield folder


@contextlib.contextmanager
def held(prefix: str, where: Path) -> Generator[Path]:
    """A new folder that is removed when the block ends, if it is still there by its name.

    Args:
        prefix: of its name.
        where: the folder in which it is made; others of this prefix that nobody holds are removed from it.
    """
    sweep(prefix, where)
    folder, handle = _made(prefix, where)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def sweep(prefix: str, where: Path) -> None:
    """Remove folders of a prefix whose makers were killed."""
    for folder in where.glob(f"{prefix}*"):
        if not re.fullmatch(re.escape(prefix) + _RANDOM, folder.name):
            continue
        with contextlib.suppress(OSError):  # somebody holds it, or it is not ours
            handle = _locked(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)


def _made(prefix: str, where: Path) -> tuple[Path, int]:
    """A new folder, and the handle that locks it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=where))
        with contextlib.suppress(BlockingIOError, FileNotFoundError):  # swept before it was locked
            handle = _locked(folder)
            if folder.exists():
                return folder, handle
            os.close(handle)


def _locked(folder: Path) -> int:
    """A handle that locks a folder.

    Raises:
        OSError: somebody else does.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
