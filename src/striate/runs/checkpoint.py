"""Checkpoints: tensors as safetensors and the rest as JSON, in a folder that exists only when whole.

`checkpoints/step-00001234/` holds `tensors.safetensors`, `state.json` and `manifest.json` (SHA-256 and size of
the other two, the format, the step, the value that "best" is judged by, and the SHA-256 of all these). It is
written as `.step-....tmp`, synced and renamed. Kept are the newest two, so that a damaged one has a predecessor,
or as many as `keep=` says, and the best.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from striate.errors import CheckpointError
from striate.files import sync
from striate.runs.folder import cannot_write, read_bytes, read_json, sealed, unsealed

FORMAT = 3
UNSEALED = 2  # the format before, whose manifest had no hash of its own
LARGEST = 2**36  # bytes of a file whose size no manifest tells
KEEP = 2
TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"


@dataclass(frozen=True)
class Checkpoint:
    """Everything needed to go on: tensors by name, and plain state."""

    step: int
    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]
    merit: float | None = (
        None  # larger is better; None where nothing was measured, or what was is no number
    )
    code: str = ""  # version of striate that measured the merit; "" of this one


def save(root: Path, checkpoint: Checkpoint, *, keep: int = KEEP) -> Path:
    """Write a checkpoint below `root/checkpoints` and drop those no longer needed: all but the newest `keep` and the best.

    Raises:
        CheckpointError: it could not be written; nothing that was there before is touched.
    """
    parent = root / "checkpoints"
    final = parent / f"step-{checkpoint.step:08d}"
    part = parent / f".{final.name}.tmp"
    size = sum(t.numel() * t.element_size() for t in checkpoint.tensors.values())
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        content = {TENSORS: pack(checkpoint.tensors), STATE: _json(checkpoint.state)}
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
        manifest = {
            "format": FORMAT,
            "step": checkpoint.step,
            "merit": _number(checkpoint.merit),
            "code": version("striate"),
            "sha256": hashes,
            "bytes": {name: len(data) for name, data in content.items()},
        }
        for name, data in {**content, MANIFEST: _json(sealed(manifest))}.items():
            _write_synced(part / name, data)
        shutil.rmtree(final, ignore_errors=True)
        part.rename(final)
        sync(parent)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise cannot_write(final, error, needed=size) from error
    _prune(parent, keep)
    return final


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as the bytes of a safetensors file, in the default layout; shared ones are written twice."""
    plain = {
        name: t.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, t in tensors.items()
    }
    return safetensors.torch.save(plain)


def newest(root: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest whole checkpoint of a run, and a line for each newer one that is damaged.

    Raises:
        CheckpointError: there are checkpoints, but none is whole.
    """
    warnings: list[str] = []
    folders = sorted((root / "checkpoints").glob("step-*"), reverse=True)
    for folder in folders:
        try:
            return load(folder), warnings
        except CheckpointError as error:
            warnings.append(f"{error}; going back to the one before")
    if folders:
        raise CheckpointError(f"{root}: no checkpoint is whole ({warnings[0]}); train anew")
    return None, warnings


def best(root: Path) -> tuple[Checkpoint | None, list[str]]:
    """The whole checkpoint with the highest merit, the newest of equals, and a line for each damaged one.

    None where no checkpoint has a merit. Merits that another version measured may mean something else: they are left
    out.
    """
    warnings: list[str] = []
    rated: list[tuple[float, Path]] = []
    for folder in sorted((root / "checkpoints").glob("step-*")):
        try:
            merit = _comparable(_manifest(folder))
        except CheckpointError as error:
            warnings.append(f"{error}; how good it was is not known, taking the best of the others")
        else:
            rated += [] if merit is None else [(merit, folder)]
    for _, folder in sorted(rated, reverse=True):
        try:
            return load(folder), warnings
        except CheckpointError as error:
            warnings.append(f"{error}; taking the next best")
    return None, warnings


def load(folder: Path) -> Checkpoint:
    """Read one checkpoint, every byte of it checked.

    Raises:
        CheckpointError: a file is missing, changed or of a newer format.
    """
    manifest = _manifest(folder)
    content = {name: _read_checked(folder / name, manifest) for name in (TENSORS, STATE)}
    try:
        tensors = safetensors.torch.load(content[TENSORS])
        state = json.loads(content[STATE])
    except (SafetensorError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder} is damaged: {error!r}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{folder / STATE} is damaged: it holds no JSON object")
    return Checkpoint(
        manifest["step"], tensors, state, manifest["merit"], str(manifest.get("code", ""))
    )


def _comparable(manifest: Mapping[str, Any]) -> float | None:
    """The merit, unless another version of this package measured it."""
    return (
        manifest["merit"]
        if manifest.get("code", version("striate")) == version("striate")
        else None
    )


def _manifest(folder: Path) -> dict[str, Any]:
    """What manifest.json says, its values of the right kinds, its step that of the folder's name.

    Raises:
        CheckpointError: it is missing, damaged or of another format.
    """
    path = folder / MANIFEST
    content = read_json(path)
    form = content.get("format")
    if form not in (UNSEALED, FORMAT) or isinstance(form, bool | float):
        older = isinstance(form, int) and form < FORMAT
        raise CheckpointError(
            f"{folder}: format {form!r}, this version reads {FORMAT}; "
            + ("go on with the striate that wrote it, or train anew" if older else "update striate")
        )
    manifest = unsealed(content, path, needed=form == FORMAT)
    step, merit = manifest.get("step"), manifest.get("merit")
    if type(step) is not int or folder.name != f"step-{step:08d}":
        raise CheckpointError(f"{path} is damaged: its step is {step!r}")
    if type(merit) not in (int, float, type(None)):
        raise CheckpointError(f"{path} is damaged: its merit is {merit!r}")
    return {**manifest, "merit": _number(merit)}


def _number(merit: float | None) -> float | None:
    """A merit that others can be compared with, or none: what is no number is neither more nor less."""
    return None if merit is None or math.isnan(merit) else float(merit)


def _read_checked(path: Path, manifest: Mapping[str, Any]) -> bytes:
    hashes, sizes = manifest.get("sha256"), manifest.get("bytes")
    size = sizes.get(path.name) if isinstance(sizes, dict) else LARGEST
    data = read_bytes(path, most=size if isinstance(size, int) else 0)
    if not isinstance(hashes, dict) or hashlib.sha256(data).hexdigest() != hashes.get(path.name):
        raise CheckpointError(f"{path} is damaged: its SHA-256 is not the one in {MANIFEST}")
    return data


def _merit(folder: Path) -> float | None:
    try:
        return _comparable(_manifest(folder))
    except CheckpointError:
        return None


def _prune(parent: Path, newest: int) -> None:
    folders = sorted(parent.glob("step-*"))
    rated = [(merit, folder) for folder in folders if (merit := _merit(folder)) is not None]
    keep = {*folders[-newest:], *([max(rated)[1]] if rated else [])}
    for folder in set(folders) - keep:
        shutil.rmtree(folder, ignore_errors=True)
    for leftover in parent.glob(".*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
