"""A file from the network: with progress, gone on with after a break, checked before it gets its name."""

import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from striate.errors import DataError
from striate.files import lock

SILENCE = 30.0  # seconds without an answer that end a try
BLOCK = 2**20


class FetchError(DataError):
    """A file that cannot be fetched; `reason` is what the network or the disk said."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def fetch(address: str, target: Path, checksum: str = "") -> Path:
    """Bring a file to `target`, unless it is there; an earlier try that broke off is gone on with.

    Args:
        address: https, or this machine for tests.
        target: gets its name only when it is whole and as published.
        checksum: "md5:..." or "sha256:..." in hexadecimal; the first digits are enough. Empty checks nothing.

    Raises:
        FetchError: no network, no room, or a refusal.
        DataError: content that is not what was published.
    """
    if target.is_file():
        return target
    if not address.startswith(("https://", "http://127.0.0.1:")):
        raise DataError(f"{address}: only https addresses are fetched")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    try:
        with lock(part.with_name(f"{part.name}.lock"), wait=True):
            if not target.is_file():  # another process may have brought it meanwhile
                _bring(address, part)
                _check(address, part, checksum)
                part.replace(target)
    except (OSError, http.client.HTTPException) as error:
        raise FetchError(
            f"{address} cannot be fetched ({error}): fetch it where there is a network and put it at {target}",
            str(error),
        ) from error
    return target


def _bring(address: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        address, headers={"Range": f"bytes={have}-"} if have else {}
    )
    try:
        answer = urllib.request.urlopen(request, timeout=SILENCE)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        part.unlink()  # longer than what is there: it was another file
        return _bring(address, part)
    with answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0
        size = have + int(answer.headers.get("Content-Length") or 0)
        with part.open("ab" if have else "wb") as file, _shown(address, size) as show:
            show(have)
            while block := answer.read(BLOCK):
                file.write(block)
                show(len(block))
            file.flush()
            os.fsync(file.fileno())
    if size and part.stat().st_size < size:
        raise OSError(f"it broke off after {part.stat().st_size:,} of {size:,} bytes; try again")
    return None


@contextmanager
def _shown(address: str, size: int) -> Generator[Callable[[int], None]]:
    """A bar on a terminal, one line elsewhere; never on standard output."""
    name = address.rpartition("/")[2]
    if not sys.stderr.isatty():
        sys.stderr.write(f"fetching {name} ({size / 1e6:.1f} MB)\n")
        yield lambda count: None  # noqa: ARG005
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"fetching {name}", total=size or None)
        yield lambda count: bar.advance(task, count)


def _check(address: str, part: Path, checksum: str) -> None:
    if not checksum:
        return
    kind, _, expected = checksum.partition(":")
    with part.open("rb") as file:
        found = hashlib.file_digest(
            file, lambda: hashlib.new(kind, usedforsecurity=False)
        ).hexdigest()
    if not found.startswith(expected):
        part.unlink()
        raise DataError(f"{address}: its {kind.upper()} is {found}, expected {expected}: try again")
