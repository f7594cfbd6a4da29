"""Files that are there whole or not at all, also after the power failed; locks, and folders that go with who made them.

A folder of the latter kind is locked by its maker, and a lock ends with its process: whoever makes the next of its kind
removes those that nobody holds.
"""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Generator, Sequence
from itertools import count
from pathlib import Path
from typing import TextIO

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
def lock(path: Path, *, wait: bool = False) -> Generator[TextIO]:
    """Hold a lock file, which is removed at the end; the lock goes with the process, however that ends.

    Own code, for the holder's note in the file: filelock empties a file that it cannot lock.

    Args:
        path: of the file; what a holder writes into it, others read.
        wait: whether to wait for whoever holds it.

    Raises:
        BlockingIOError: somebody else holds it, and `wait` is False.
        OSError: the file cannot be made.
    """
    with _locked_file(path, wait=wait) as file:
        try:
            yield file
        finally:
            path.unlink(missing_ok=True)


def _locked_file(path: Path, *, wait: bool) -> TextIO:
    """The file, opened and locked; opened again where its last holder removed it meanwhile."""
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                    return file
        except BaseException:
            file.close()
            raise
        file.close()


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


def stems(files: Sequence[Path]) -> dict[Path, str]:
    """A name for each file that no other has: its own without suffix, with its folder's, or with a number.

    >>> list(stems([Path("a/x.png"), Path("b/x.png"), Path("b/y.png")]).values())
    ['a_x', 'b_x', 'y']
    """
    alone = Counter(file.stem for file in files)
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for file in files:
        stem = file.stem if alone[file.stem] == 1 else f"{file.parent.name}_{file.stem}"
        numbered = (stem if n == 1 else f"{stem}_{n}" for n in count(1))
        names[file] = next(name for name in numbered if name not in taken)
        taken.add(names[file])
    return names


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
