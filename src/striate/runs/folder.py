"""Files of a run folder: written whole or not at all, one writer at a time."""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from striate.data import files
from striate.errors import CheckpointError, DataError, UsageError
from striate.files import lock as file_lock

LARGEST = 64 * 2**20  # bytes of a JSON, YAML or CSV file of a run
BEGUN = {".lock", ".launch", "args.yaml", "trained.bin"}  # what is written before config.json
UNSUPERVISED = "unsupervised"  # what a summary says of a net that learned without labels
_UNNAMED = 60.0  # seconds after which a lock without a name of its process is left over
SEAL = "seal"  # the key under which a file has the SHA-256 of all its other values


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new, never half of it.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise cannot_write(path, error, needed=len(content)) from error


def cannot_write(path: Path, error: Exception, *, needed: int = 0) -> CheckpointError:
    """The error that says why a file could not be written and how to mend it."""
    way = _way_on(path)
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(path.parent).free
        if free < needed + 65536:
            return CheckpointError(
                f"{path}: the disk is full ({needed:,} bytes needed, {free:,} free); free some room and {way}"
            )
    return CheckpointError(f"{path}: cannot be written ({error}); mend that and {way}")


def can_go_on(run: Path) -> bool:
    """Whether a training of this folder can be resumed: from a checkpoint, or from its start if no epoch ended."""
    if not (run / "config.json").exists() or (run / "summary.json").exists():
        return False
    return any(run.glob("checkpoints/step-*")) or not (run / "results.csv").exists()


def _way_on(path: Path) -> str:
    """What to do once a file can be written: what will work, and nothing else."""
    run = next((p for p in path.parents if (p / "config.json").exists()), None)
    if run is None or (run / "summary.json").exists():
        return "try again"
    return f"go on with striate train --resume {run}" if can_go_on(run) else "train anew"


def check_name(name: str | None) -> None:
    """Refuse what cannot name a folder.

    Raises:
        UsageError: it is empty, hidden, too long, or holds a sign that is not allowed.
    """
    if name is not None and (
        not name or name[0] == "." or set(name) & set("/:\n\0") or len(os.fsencode(name)) > 200
    ):
        raise UsageError(f"--name {name!r} cannot name a folder: use letters, digits, - and _")


def taken(folder: Path) -> UsageError:
    """The error that says that a run folder is there already, and what to do."""
    way = f"go on with --resume {folder}, or " if can_go_on(folder) else ""
    return UsageError(f"{folder} is there already: {way}choose another --name")


def write_text(path: Path, content: str) -> None:
    """`write_bytes` of UTF-8; halves of surrogate pairs, as file names may hold them, stand escaped."""
    write_bytes(path, content.encode("utf-8", "backslashreplace"))


def write_json(path: Path, content: Any) -> None:
    """`write_text` of JSON that a person can read."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_bytes(path: Path, *, most: int = LARGEST) -> bytes:
    """The bytes of a regular file of a run; a pipe or a device is refused, not waited for.

    Raises:
        CheckpointError: the file is missing, cannot be read, or has more bytes than `most`.
    """
    try:
        return files.read(path, most=most)
    except DataError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise CheckpointError(f"{path} is missing") from error
        raise CheckpointError(f"{path} is damaged: {error}") from error


def taught_alone(path: Path) -> dict[str, Any] | None:
    """The summary of a net that learned without labels, whose folder has no config.json; None of any other folder."""
    try:
        said = json.loads((path / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    known = isinstance(said, dict) and said.get("task") == UNSUPERVISED and "net" in said
    return said if known else None


def no_run(path: Path, lacks: str = "config.json") -> str:
    """Why a folder is none that answers items, in words: it lacks a file, as those of nets that learn without labels do."""
    if taught_alone(path) is None:
        return f"{path} is no run folder: it holds no {lacks}"
    return (
        f"{path} holds a net that learned without labels, which answers nothing: report.html and summary.json say what it "
        f"learned; striate see kernels {path} draws it"
    )


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    if not path.exists():
        raise CheckpointError(no_run(path.parent, path.name))
    data = read_bytes(path)
    try:
        content = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is damaged: it holds no JSON object")
    return content


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Values for a JSON file with their hash beside them, so that a changed byte is noticed."""
    rest = {key: value for key, value in content.items() if key != SEAL}
    return {**rest, SEAL: _digest(rest)}


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """`write_json` of values with their hash."""
    write_json(path, sealed(content))


def unsealed(content: dict[str, Any], path: Path, *, needed: bool) -> dict[str, Any]:
    """The values of a sealed file, without their hash.

    Args:
        content: as JSON gave it.
        path: of the file, named in messages.
        needed: False for a file of a format that had no hash.

    Raises:
        CheckpointError: the hash is another one, is missing, or is there where the format has none.
    """
    rest = {key: value for key, value in content.items() if key != SEAL}
    if (SEAL in content) != needed or (needed and content[SEAL] != _digest(rest)):
        raise CheckpointError(
            f"{path} is damaged: its content is not what its SHA-256 was taken of; "
            "put the file back as it was written, or train anew"
        )
    return rest


def _digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of values as JSON, whatever their order."""
    plain = json.loads(json.dumps(content))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def make(out: Path, task: str, name: str | None, default: str) -> Path:
    """Make a new run folder `out/task/name`; without a name the default one, numbered if taken.

    Raises:
        UsageError: the name is taken or malformed, or the folder cannot be made.
    """
    check_name(name)
    parent = out / task
    tries = [name] if name else [default, *(f"{default}-{i}" for i in range(2, 10_000))]
    for candidate in tries:
        folder = parent / candidate
        try:
            parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            if parent.is_dir():
                continue
            raise UsageError(
                f"--out {out}: this is a file, not a folder; name another --out"
            ) from None
        except OSError as error:
            raise UsageError(
                f"--out {out}: no run folder can be made there ({error.strerror}); name another --out"
            ) from error
        return folder
    raise taken(parent / tries[0])


def sweep(out: Path) -> None:
    """Remove run folders below `out` that were begun by a process that was killed, and from which nothing can go on."""
    for mark in out.glob("*/*/.lock"):
        path = mark.parent
        with contextlib.suppress(OSError, UsageError, CheckpointError):  # its process may be alive
            known = mark.stat().st_size or time.time() - mark.stat().st_mtime > _UNNAMED
            if known and all(p.name in BEGUN or p.suffix == ".part" for p in path.iterdir()):
                with lock(path):
                    shutil.rmtree(path, ignore_errors=True)


def check_parent(out: Path) -> None:
    """Refuse a place below which no folder can be made.

    Raises:
        UsageError: it is a file, or lies on a disk that cannot be written.
    """
    there = next(p for p in (out, *out.absolute().parents) if p.exists())
    if not there.is_dir():
        raise UsageError(f"--out {out}: {there} is a file, not a folder; name another --out")
    try:  # the rights that are stated say nothing of a read-only disk, nor of one on a network
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise UsageError(
            f"--out {out}: {there} cannot be written ({error.strerror}); name another --out"
        ) from error


@contextlib.contextmanager
def lock(folder: Path) -> Generator[None]:
    """Hold a run folder for writing. The lock goes with the process, however that ends.

    Raises:
        UsageError: another process holds it; the message names that process.
    """
    path, holder = folder / ".lock", ""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(file_lock(path))
        except BlockingIOError as error:
            with contextlib.suppress(OSError):
                holder = path.read_text(encoding="utf-8").strip()
            raise UsageError(
                f"{folder} is being written by {holder or 'another process'}: wait for it, or choose another --name"
            ) from error
        except OSError as error:
            raise cannot_write(path, error) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
