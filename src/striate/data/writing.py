"""Files that are there whole or not at all, and a tar archive that knows where everything in it lies."""

import hashlib
import os
import tarfile
from pathlib import Path
from typing import IO

from striate.data.files import shown
from striate.errors import DataError

BLOCK = 512  # bytes: everything in a tar begins at a multiple


class Tar:
    """A USTAR archive that knows its length and its hash."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.size, self.hash = file, 0, hashlib.sha256()

    def add(self, name: str, data: bytes) -> int:
        """Write a member; gives where its content begins."""
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self._put(info.tobuf(tarfile.USTAR_FORMAT))
        start = self.size
        self._put(data + bytes(-len(data) % BLOCK))
        return start

    def add_end(self) -> None:
        """Two empty blocks."""
        self._put(bytes(2 * BLOCK))

    def _put(self, data: bytes) -> None:
        try:
            self.file.write(data)
        except OSError as error:
            raise DataError(
                f"{shown(self.file.name)} cannot be written ({error.strerror}): make room, then call it "
                "again; it goes on after the last whole shard"
            ) from error
        self.hash.update(data)
        self.size += len(data)


def verify(path: Path, sha256: str) -> None:
    """Read a file back.

    Raises:
        DataError: its SHA-256 is another one.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise DataError(
            f"{shown(path)} is not as it was written: remove it and call this again, and look after the disk"
        )


def write_whole(path: Path, content: bytes) -> None:
    """A file that is there whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
