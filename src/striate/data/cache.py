"""The cache on disk: decoded pictures and unpacked archives, each in a folder that is renamed when whole.

CACHE/arrays/KEY/    items.raw (an array [N, ...], pictures [N, H, W, C]) and manifest.json
CACHE/archives/KEY/  what an archive held, and manifest.json

Files are written the usual way and mapped for reading only: writing through a map kills the process
on a full disk. Two processes that make the same entry both succeed; the second uses the first one's.
"""

import errno
import json
import os
import shutil
import time
import zlib
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.data.files import read, shown
from striate.errors import DataError
from striate.files import held

VERSION = 2  # of the entries on disk and of the rules that decode pictures; a change makes all anew
ITEMS = "items.raw"
LIMIT = 20 * 10**9  # bytes
SPARE = 64 * 2**20  # bytes that stay free on the disk
_DAY = 86_400.0  # seconds: what is left half-made or unpacked is safe from sweeping for so long
_LONGEST = 2**30  # bytes of a manifest
_BLOCK = 2**24  # bytes read at a time when checking

Broken = dict[int, str]  # number of a picture -> why it cannot be read


@dataclass(frozen=True)
class Stored:
    """Decoded items [N, ...], mapped privately, and the numbers of those that are left out."""

    images: npt.NDArray[Any]
    broken: Broken


@dataclass(frozen=True)
class Store:
    """The cache folder and the most bytes it may hold."""

    folder: Path
    limit: int = LIMIT

    def find(self, key: str) -> Stored | None:
        """The decoded pictures under a key; a damaged entry is taken away, not trusted."""
        entry = self.folder / "arrays" / key
        if not entry.exists():
            return None
        try:
            stored = _mapped(entry, read_manifest(entry))
        except (OSError, ValueError, KeyError, TypeError):
            remove(entry)
            return None
        touch(entry)
        return stored

    def keep(
        self,
        key: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        chunks: Iterable[tuple[npt.NDArray[Any], Broken]],
    ) -> Stored:
        """Write decoded items under a key as they arrive, and map them.

        Args:
            key: names content, form and version.
            shape: [N, ...] if none is broken.
            dtype: of the items.
            chunks: the sound items in order, and the broken among them.

        Raises:
            DataError: the disk or the limit is too small, or the folder cannot be written.
        """
        self.make_room(int(np.prod(shape, dtype=object)) * dtype.itemsize)
        with self.making("arrays", key) as folder:
            manifest = _write(folder / ITEMS, shape[1:], chunks)
            write_manifest(folder, {**manifest, "dtype": dtype.str})
        stored = self.find(key)
        if stored is None:
            raise DataError(
                f"the cache entry just written in {shown(self.folder)} cannot be read back"
            )
        return stored

    def make_room(self, needed: int) -> None:
        """Sweep the oldest entries until `needed` bytes fit, or say why they never will.

        Raises:
            DataError: more than the limit, or than the disk has.
        """
        if needed > self.limit:
            raise DataError(
                f"the decoded pictures need {gb(needed)} but the cache is limited to {gb(self.limit)}: "
                "choose a smaller size, or raise $STRIATE_CACHE_GB"
            )
        with self._writable():
            self.folder.mkdir(parents=True, exist_ok=True)
        entries = _oldest_first(self.folder)
        used = sum(size for _, size, _ in entries)
        for path, size, sweepable in entries:
            if used + needed <= self.limit and self._free() >= needed + SPARE:
                break
            if sweepable:
                shutil.rmtree(path, ignore_errors=True)
                used -= size
        if self._free() < needed + SPARE:
            raise DataError(
                f"the cache in {shown(self.folder)} needs {gb(needed)} but only {gb(self._free())} of the disk "
                "are free: make room, choose a smaller size, or name another folder with cache= or $STRIATE_CACHE"
            )

    def _free(self) -> int:
        return shutil.disk_usage(self.folder).free

    @contextmanager
    def making(self, kind: str, key: str) -> Generator[Path]:
        """A folder to fill; it becomes CACHE/kind/key when the block ends, and vanishes if that fails.

        Raises:
            DataError: it cannot be written.
        """
        with self._writable():
            home = self.folder / kind
            if not home.is_dir():
                remove(home)  # a file, or nothing
            home.mkdir(parents=True, exist_ok=True)
            with held("making-", home) as folder:
                yield folder
                _sync(folder)
                if (home / key).exists() and not (home / key).is_dir():
                    remove(home / key)
                _rename(folder, home / key)

    @contextmanager
    def _writable(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise DataError(
                f"the cache in {shown(self.folder)} cannot be written ({error.strerror}): "
                + ("make room, or " if full else "")
                + "name another folder with cache= or $STRIATE_CACHE"
            ) from error


def store(folder: str | os.PathLike[str] | None = None) -> Store:
    """The cache in `folder`, else $STRIATE_CACHE, else $XDG_CACHE_HOME/striate, else ~/.cache/striate.

    Raises:
        DataError: $STRIATE_CACHE_GB is no number of gigabytes.
    """
    named = folder or os.environ.get("STRIATE_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or ("" if named else _home() / ".cache")
    given = os.environ.get("STRIATE_CACHE_GB")
    try:
        limit = int(float(given) * 10**9) if given else LIMIT
    except (ValueError, OverflowError) as error:
        raise DataError(f"$STRIATE_CACHE_GB is {given!r}, expected a number such as 20") from error
    return Store(Path(named) if named else Path(home) / "striate", limit)


def _home() -> Path:
    """The user's folder.

    Raises:
        DataError: neither $HOME nor the system's list of users names one.
    """
    try:
        return Path.home()
    except RuntimeError as error:
        raise DataError(
            "no home folder is known for the cache: set $HOME or $STRIATE_CACHE, or name a folder with cache="
        ) from error


def gb(count: int) -> str:
    """A number of bytes for people.

    >>> gb(1_500_000), gb(20 * 10**9)
    ('1.5 MB', '20.0 GB')
    """
    return f"{count / 1e9:,.1f} GB" if count >= 10**9 else f"{count / 1e6:,.1f} MB"


def touch(entry: Path) -> None:
    """Note that an entry was used just now."""
    with suppress(OSError):
        os.utime(entry / "manifest.json")


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """The file that says what an entry holds; without it there is no entry."""
    content = json.loads(json.dumps({"version": VERSION, **manifest}))
    (folder / "manifest.json").write_text(json.dumps({**content, "sum": _sum(content)}))


def read_manifest(entry: Path) -> dict[str, Any]:
    """What `write_manifest` wrote.

    Raises:
        OSError: there is none.
        ValueError: it is damaged or of another version.
    """
    try:
        manifest = json.loads(read(entry / "manifest.json", most=_LONGEST))
    except DataError as error:
        raise OSError(str(error)) from error
    if not isinstance(manifest, dict) or manifest.get("version") != VERSION:
        raise ValueError("another version")
    content = {key: value for key, value in manifest.items() if key != "sum"}
    if manifest.get("sum") != _sum(content):
        raise ValueError("damaged")
    return content


def _sum(content: dict[str, Any]) -> int:
    """CRC-32 of a manifest's values."""
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def remove(entry: Path) -> None:
    """Take away an entry, or whatever stands in its place."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        with suppress(OSError):
            entry.unlink(missing_ok=True)


def _write(
    path: Path, shape: tuple[int, ...], chunks: Iterable[tuple[npt.NDArray[Any], Broken]]
) -> dict[str, Any]:
    count, checksum, broken = 0, 0, Broken()
    with path.open("wb") as file:
        for images, failed in chunks:
            data = np.ascontiguousarray(images).data.cast("B") if images.size else b""
            file.write(data)
            checksum = zlib.crc32(data, checksum)
            count += len(images)
            broken.update(failed)
    return {"shape": [count, *shape], "crc32": checksum, "broken": sorted(broken.items())}


def _mapped(entry: Path, manifest: dict[str, Any]) -> Stored:
    path, shape = entry / ITEMS, tuple(int(side) for side in manifest["shape"])
    dtype = np.dtype(str(manifest["dtype"]))
    size = np.prod(shape, dtype=object) * dtype.itemsize
    if dtype.hasobject or path.stat().st_size != size or _crc32(path) != manifest["crc32"]:
        raise ValueError("damaged")
    images = np.memmap(path, dtype, "c", shape=shape) if size else np.empty(shape, dtype)
    return Stored(images, {int(i): str(reason) for i, reason in manifest["broken"]})


def _crc32(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _sync(folder: Path) -> None:
    """Bring the files of an entry to the disk before its name appears."""
    for name in (ITEMS, "manifest.json", "."):
        if (folder / name).exists():
            handle = os.open(folder / name, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _rename(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise  # otherwise another process was first, and its entry is as good


def _oldest_first(folder: Path) -> list[tuple[Path, int, bool]]:
    """Entries, their sizes, and whether they may be swept.

    Arrays may always be (a map outlives its name), what is half-made or unpacked only after a day.
    """
    found: list[tuple[float, Path, int, bool]] = []
    for path in (*folder.glob("arrays/*"), *folder.glob("archives/*")):
        with suppress(OSError):
            manifest = path / "manifest.json"
            used = (manifest if manifest.exists() else path).stat().st_mtime
            kept = path.parent.name == "archives" or path.name.startswith("making-")
            size = sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
            found.append((used, path, size, not kept or time.time() - used > _DAY))
    return [(path, size, sweepable) for _, path, size, sweepable in sorted(found)]
