"""Bytes by name, offset and length: from files below a folder with pread, or from any fsspec address."""

import os
import stat
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from importlib import import_module
from pathlib import Path
from typing import Any

from striate.data.files import shown
from striate.errors import DataError, MissingExtraError

_OPEN = 256  # files kept open at a time
_THREADS = 32  # reads under way on a network, where each waits much longer than it works


class Place(ABC):
    """A folder of files, here or elsewhere."""

    threads: int | None = None  # that reading needs, where it is not one a core
    path: str

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """The files below it, by their names relative to it, and their sizes in bytes.

        Raises:
            DataError: it cannot be listed.
        """

    @abstractmethod
    def read(self, name: str, start: int, length: int) -> bytes:
        """Bytes of a file; fewer where it ends before.

        Raises:
            DataError: with the reason alone.
        """


class Local(Place):
    """A folder of this machine. Only regular files are opened, links are not followed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = shown(root)
        self._files: OrderedDict[str, _File] = OrderedDict()
        self._lock = threading.Lock()

    def sizes(self) -> dict[str, int]:
        """Of the regular files at the top and one folder below."""
        found: dict[str, int] = {}
        for pattern in ("*", "*/*"):
            for path in self.root.glob(pattern):
                facts = path.lstat()
                if stat.S_ISREG(facts.st_mode):
                    found[path.relative_to(self.root).as_posix()] = facts.st_size
        return found

    def read(self, name: str, start: int, length: int) -> bytes:
        """With pread, so that threads share a file."""
        try:
            data = os.pread(self._file(name).handle, length, start)
            while 0 < len(data) < length:
                more = os.pread(self._file(name).handle, length - len(data), start + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}") from error
        return data

    def _file(self, name: str) -> "_File":
        with self._lock:
            file = self._files.pop(name, None) or _File(self.root / name)
            self._files[name] = file
            if len(self._files) > _OPEN:
                self._files.popitem(last=False)  # closed when the last read from it has ended
            return file


class _File:
    """An open file, closed when nobody holds it any more."""

    handle = -1

    def __init__(self, path: Path) -> None:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
        self.handle = os.open(path, flags)
        if not stat.S_ISREG(os.fstat(self.handle).st_mode):
            raise DataError("no regular file")

    def __del__(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)


class Remote(Place):
    """A folder at an fsspec address such as s3://bucket/folder."""

    threads = _THREADS

    def __init__(self, address: str) -> None:
        self.path = shown(address)
        self._system, self._root = _system(address)

    def sizes(self) -> dict[str, int]:
        """Of everything below it."""
        try:
            found = self._system.find(self._root, detail=True)
        except Exception as error:  # every protocol raises its own
            raise DataError(f"{self.path} cannot be listed ({_line(error)})") from error
        root = self._root.rstrip("/") + "/"
        return {name.removeprefix(root): int(facts["size"]) for name, facts in found.items()}

    def read(self, name: str, start: int, length: int) -> bytes:
        """One request for one range."""
        path = f"{self._root.rstrip('/')}/{name}"
        try:
            return self._system.cat_file(path, start=start, end=start + length)
        except Exception as error:  # every protocol raises its own
            raise DataError(f"cannot be read: {_line(error)}") from error


def is_address(path: object) -> bool:
    """Whether it names a place by a protocol, such as s3://bucket/folder."""
    return isinstance(path, str) and "://" in path


def place(path: str | Path) -> Place:
    """The folder at a path or an address.

    Raises:
        MissingExtraError: a package for the protocol is not installed.
        DataError: there is no such protocol, or it refuses the address.
    """
    if not isinstance(path, str) or not is_address(path):
        return Local(Path(path))
    protocol, _, rest = path.partition("://")
    return Local(Path(rest)) if protocol in ("file", "local") else Remote(path)


def _system(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    protocol = address.partition("://")[0]
    try:
        core, registry = import_module("fsspec.core"), import_module("fsspec.registry")
    except ImportError as error:
        raise MissingExtraError(
            f"{protocol}:// needs the package fsspec: pip install fsspec"
        ) from error
    known = registry.known_implementations.get(protocol)
    if known is None and protocol not in registry.registry:
        raise DataError(f"{shown(address)}: no protocol {shown(protocol)!r} is known to fsspec")
    try:
        return core.url_to_fs(address)
    except ImportError as error:
        package = {"gs": "gcsfs", "gcs": "gcsfs", "s3": "s3fs", "s3a": "s3fs"}.get(protocol)
        hint = f": pip install {package}" if package else f" ({_line(error)})"
        raise MissingExtraError(
            f"{protocol}:// needs a package that is not installed{hint}"
        ) from error
    except Exception as error:  # every protocol raises its own
        raise DataError(f"{shown(address)} cannot be opened ({_line(error)})") from error


def _line(error: Exception) -> str:
    return shown(" ".join(str(error).split())) or type(error).__name__
