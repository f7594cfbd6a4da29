"""Tensors from a file that somebody else made; nothing in it is run, and nothing is believed unchecked."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from striate.errors import CheckpointError
from striate.files import scratch

HEADER = 32 * 2**20  # bytes; a hundred thousand tensors need fewer
TENSORS = 100_000
PICKLE = 64 * 2**20  # bytes of the structure beside the tensors in a PyTorch file
SECONDS = 600  # of processor time that a conversion may take
ROOM = 2 * 2**30  # bytes that a conversion may take beyond twice the file


class Tensors(dict[str, Tensor]):
    """Tensors by name; `notes` say which of several tables of a file they are, a sentence each."""

    def __init__(self, tensors: dict[str, Tensor], notes: Sequence[str] = ()) -> None:
        super().__init__(tensors)
        self.notes = tuple(notes)


def read(path: Path) -> dict[str, Tensor]:
    """Tensors by name of a safetensors file, a PyTorch state dict in zip form, or a run folder.

    Raises:
        CheckpointError: anything else, or a damaged file.
    """
    if path.is_dir():
        path = path / "model.safetensors"
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise CheckpointError(f"{path} cannot be read: it is no regular file")
        with path.open("rb") as file:
            first = file.read(9)
            if first[:4] == b"PK\x03\x04":
                return _converted(path)
            if first[8:] == b"{":
                return _safetensors(path, file)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    raise CheckpointError(
        f"{path} is no supported weights file: expected safetensors, or a PyTorch file in zip form. An old "
        "PyTorch file becomes one by torch.save(torch.load(FILE, weights_only=True), NEW)"
    )


def _safetensors(path: Path, file: BinaryIO) -> dict[str, Tensor]:
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > min(HEADER, os.fstat(file.fileno()).st_size - 8):
        raise CheckpointError(f"{path} is damaged: its header would have {length:,} bytes")
    try:
        header = json.loads(file.read(length), object_pairs_hook=_once)
        if len(header) > TENSORS:
            raise CheckpointError(f"{path} names {len(header):,} tensors, more than {TENSORS:,}")
        return load_file(path)
    except (ValueError, RecursionError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} is damaged: {reason}; fetch or save it again") from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object in which no key comes twice: readers disagree on which one counts."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is in its header twice")
    return content


def _converted(path: Path) -> dict[str, Tensor]:
    """A PyTorch file, read in a process of its own with limits, and handed over as safetensors."""
    _check_zip(path)
    with scratch() as folder:
        out = folder / "weights.safetensors"
        room = 2 * path.stat().st_size + ROOM
        command = [
            sys.executable,
            "-m",
            "striate.weights.pytorch_files",
            path,
            out,
            str(room),
            str(SECONDS),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
        if done.returncode or not out.exists():
            said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
            raise CheckpointError(f"{path} is no supported weights file: {said[-1][:300]}")
        with safe_open(out, "pt") as converted:
            notes = json.loads((converted.metadata() or {}).get("notes", "[]"))
        return Tensors(load_file(out), notes)


def _check_zip(path: Path) -> None:
    """Entries must be stored as they are, so that no small file becomes a large one in memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{path} is damaged: {error}; fetch or save it again") from error
    packed = [e.filename for e in entries if e.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise CheckpointError(f"{path}: {packed[0]} is compressed, which torch.save never does")
    if sum(e.file_size for e in entries) > path.stat().st_size:
        raise CheckpointError(f"{path}: its entries overlap, which torch.save never does")
    pickles = [e for e in entries if e.filename.endswith(".pkl")]
    if len(pickles) != 1 or pickles[0].file_size > PICKLE or len(entries) > TENSORS:
        raise CheckpointError(f"{path} is a zip file, but no PyTorch weights file")
