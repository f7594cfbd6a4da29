"""Names and bytes of files that somebody else made: nothing but regular files is ever opened."""

import os
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from striate.errors import DataError

LARGEST = 2**30  # bytes; no single picture is larger
HIDDEN = "(hidden)"
POINTER = b"version https://git-lfs"  # starts a file that Git LFS left in place of the real one
POINTED = "a Git LFS pointer, not the file itself: fetch it with git lfs pull"
LINK = "(link)"
SPECIAL = "(special)"
# What NumPy and zipfile raise of a file that is broken: its header is read as an expression of Python.
UNSOUND = (
    OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, SyntaxError, TypeError, KeyError,
    AttributeError, OverflowError, MemoryError, struct.error, tokenize.TokenError,
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One name in a folder. kind: "file", "folder", or the reason why it is passed over."""

    name: str
    kind: str


def shown(name: str | os.PathLike[str]) -> str:
    r"""A name that is safe to print: bytes that are no UTF-8 and control characters escaped.

    >>> print(shown("two\nlines"))
    two\nlines
    """
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def entries(folder: Path) -> list[Entry]:
    """What a folder holds, sorted by name; links are named, not followed.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        with os.scandir(folder) as found:
            return sorted((Entry(e.name, _kind(e)) for e in found), key=lambda e: e.name)
    except OSError as error:
        raise DataError(
            f"cannot read the folder {shown(folder)} ({error.strerror}): "
            "check its permissions, or leave it out with ignore="
        ) from error


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.name.startswith(".") or entry.name in ("__MACOSX", "Thumbs.db", "desktop.ini"):
        return HIDDEN
    if entry.is_symlink():
        return LINK
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if entry.is_file(follow_symlinks=False) else SPECIAL


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path whose ~ stands for the user's folder.

    Raises:
        DataError: there is no such user, or no folder of this one is known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DataError(
            f"{shown(path)}: no home folder is known for it; name the whole path"
        ) from error


def walk(folder: Path, inside: str = "") -> Iterator[Entry]:
    """All entries below a folder that are no folders, their names relative to it, in order.

    Raises:
        DataError: a folder cannot be read.
    """
    for entry in entries(folder / inside):
        name = f"{inside}/{entry.name}" if inside else entry.name
        if entry.kind == "folder":
            yield from walk(folder, name)
        else:
            yield Entry(name, entry.kind)


def extension(name: str) -> str:
    """The key under which a file that is not used is counted.

    >>> extension("a/Notes.TXT"), extension("README")
    ('.txt', '(no extension)')
    """
    return shown(Path(name).suffix.lower()) or "(no extension)"


def kind(entry: Entry) -> str:
    """The key under which an entry that is not used is counted."""
    return extension(entry.name) if entry.kind == "file" else entry.kind


def is_pointer(path: Path) -> bool:
    """Whether Git LFS left a file of a few lines in place of this one."""
    try:
        with path.open("rb") as file:
            return file.read(len(POINTER)) == POINTER
    except OSError:
        return False


def size(path: str) -> int:
    """Bytes of a file; -1 where it cannot be looked at."""
    try:
        return os.lstat(path).st_size
    except OSError:
        return -1


def is_pickle(path: Path) -> bool:
    """Whether a file starts as Python pickles objects since protocol 2; it is not unpickled."""
    try:
        start = read(path, first=2, most=2**40)
    except DataError:
        return False
    return start[:1] == b"\x80" and start[1:] in (b"\2", b"\3", b"\4", b"\5")


def read(path: Path, *, most: int = LARGEST, first: int = -1) -> bytes:
    """The bytes of a regular file; a pipe or a device is refused without waiting for it.

    Args:
        path: of the file.
        most: a larger file is refused.
        first: read only so many bytes from its start; -1 for all.

    Raises:
        DataError: with the reason alone, without the name.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DataError(f"cannot be opened: {error.strerror}") from error
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):  # looked at first: a folder cannot be made a file object
        os.close(handle)
        raise DataError("no regular file")
    with os.fdopen(handle, "rb") as file:
        if facts.st_size > most:
            raise DataError(f"{facts.st_size:,} bytes; the limit is {most:,}")
        try:
            return file.read(first)
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}") from error
