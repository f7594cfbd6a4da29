"""Zip and tar archives, unpacked into the cache by our own hand.

The library's extractors and their filters are not relied on: only regular files are taken, under
names that we rebuild part by part, and their number, their size and their ratio to the archive are
limited. Links, devices, names that lead outside, encrypted and doubled entries are left in the archive.
"""

import hashlib
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO

from striate.data.cache import Store, gb, read_manifest, remove, touch, write_manifest
from striate.data.files import shown
from striate.errors import DataError

_BLOCK = 2**20
_DEEPEST = 32
_LONGEST = 255  # bytes of one part of a name
UNSAFE = "(unsafe in archive)"
_AGAIN = "again in archive"
_NAMED = 20  # names told one by one; more are counted together


@dataclass(frozen=True)
class Caps:
    """The most that an archive may unpack to: files, bytes, and bytes for each byte of the archive.

    Small archives are not held to the ratio: an empty picture does compress a thousand times.
    """

    files: int = 5_000_000
    size: int = 200 * 10**9
    ratio: int = 100
    ratio_from: int = 100 * 10**6


@dataclass(frozen=True)
class Member:
    """One regular file in an archive."""

    name: str
    size: int
    open: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    """Whether the content is a zip or a tar, compressed or not; the name does not matter."""
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return False


def is_cut_zip(path: Path) -> bool:
    """Whether a file that is no archive begins as a zip: the table at its end, without which none is read, is gone."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def unpack(path: Path, store: Store, *, caps: Caps = Caps()) -> tuple[Path, dict[str, int]]:
    """Unpack an archive into the cache, once for its content.

    Args:
        path: a zip, or a tar in any compression of the standard library.
        store: the cache.
        caps: what it may unpack to.

    Returns:
        The folder, and what was left in the archive, counted by kind.

    Raises:
        DataError: damaged, encrypted, or more than the caps or the disk allow.
    """
    with path.open("rb") as file:
        key = hashlib.file_digest(file, "sha256").hexdigest()
    home = store.folder / "archives" / key
    left = _whole(home)
    if left is None:
        remove(home)
        with store.making("archives", key) as folder, _named(path):
            _extract(path, folder, store, caps)
        left = _whole(home)
    if left is None:
        raise DataError(f"{shown(path)} was unpacked into {shown(home)} but is not all there")
    touch(home)
    return home / "files", left


def _whole(home: Path) -> dict[str, int] | None:
    """What was left out, if everything that was unpacked is still there in its size."""
    try:
        manifest = read_manifest(home)
        sizes: dict[str, int] = manifest["files"]
        whole = all((home / "files" / name).lstat().st_size == size for name, size in sizes.items())
        return dict(manifest["left"]) if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@contextmanager
def _named(path: Path) -> Generator[None]:
    """Errors of the archive libraries as ours, with the name of the archive."""
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError) as error:
        raise DataError(f"{shown(path)} is a damaged archive ({error}): fetch it again") from error
    except (
        RuntimeError,
        NotImplementedError,
    ) as error:  # zipfile's words for encrypted and unknown
        raise DataError(f"{shown(path)} cannot be unpacked ({error})") from error


def _extract(path: Path, folder: Path, store: Store, caps: Caps) -> None:
    packed = path.stat().st_size
    most = min(caps.size, max(caps.ratio_from, caps.ratio * packed))
    left: Counter[str] = Counter()
    sizes: dict[str, int] = {}
    written = 0
    for member in _members(path, left):
        name = safe_name(member.name)
        if name is None or name in sizes:
            left[leaving(name, left)] += 1
            continue
        if len(sizes) >= caps.files or written + member.size > most:
            raise DataError(
                f"{shown(path)} ({gb(packed)}) unpacks to more than {caps.files:,} files or {gb(most)}: refused"
            )
        if member.size > shutil.disk_usage(folder).free:
            store.make_room(member.size)
        sizes[name] = _copy(member, folder / "files" / name, most - written, path)
        written += sizes[name]
    (folder / "files").mkdir(exist_ok=True)
    write_manifest(folder, {"files": sizes, "left": left})


def _copy(member: Member, target: Path, most: int, path: Path) -> int:
    """Write one file, believing nothing that the archive says about its size."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    except (FileExistsError, NotADirectoryError) as error:
        raise DataError(
            f"{shown(path)} holds {shown(member.name)} both as a file and as a folder"
        ) from error
    count = 0
    with os.fdopen(handle, "wb") as out, member.open() or BytesIO() as source:
        while block := source.read(_BLOCK):
            count += len(block)
            if count > most:
                raise DataError(f"{shown(path)} unpacks to more than it says: refused")
            out.write(block)
    return count


def leaving(name: str | None, left: Counter[str]) -> str:
    """What an entry is counted as that is left in the archive: one without a safe name, or with that of another."""
    if name is None:
        return UNSAFE
    key = f"{shown(name)} ({_AGAIN})"
    return key if key in left or len(left) < _NAMED else f"({_AGAIN})"


def safe_name(name: str) -> str | None:
    """The name rebuilt from its parts, or None where it leads outside or cannot be a file."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    outside = name.startswith(("/", "\\")) or ".." in parts or (parts and parts[0].endswith(":"))
    usable = parts and len(parts) <= _DEEPEST and "\0" not in name
    if outside or not usable or any(len(os.fsencode(part)) > _LONGEST for part in parts):
        return None
    return "/".join(parts)


def _members(path: Path, left: Counter[str]) -> Iterator[Member]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from _zipped(archive, path, left)
    else:
        with tarfile.open(path, errorlevel=0) as archive:
            yield from _tarred(archive, left)


def _zipped(archive: zipfile.ZipFile, path: Path, left: Counter[str]) -> Iterator[Member]:
    end = 0
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise DataError(f"{shown(path)} has entries that overlap: refused")
        end = info.header_offset + info.compress_size
        kind = info.external_attr >> 16 & 0o170000
        if info.is_dir():
            continue
        if kind not in (0, 0o100000):
            left[UNSAFE] += 1
            continue
        yield Member(info.filename, info.file_size, partial(archive.open, info))


def _tarred(archive: tarfile.TarFile, left: Counter[str]) -> Iterator[Member]:
    for info in archive:
        if info.isreg() and not info.issparse():
            yield Member(info.name, info.size, partial(archive.extractfile, info))
        elif not info.isdir():
            left[UNSAFE] += 1
