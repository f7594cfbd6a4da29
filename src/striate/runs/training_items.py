"""trained.bin: what a net learned from, by content, so that it is found again wherever it lies.

The first 16 bytes of the SHA-256 of each training item, sorted; the SHA-256 of the whole stands in config.json.
"""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.data import Data, Split
from striate.errors import CheckpointError
from striate.runs.folder import read_bytes, write_bytes

FILE = "trained.bin"
BYTES = 16  # of each digest: two of a billion items that are alike by chance are not to be expected
LARGEST = 2**33


def sha256_of(data: Data) -> str:
    """SHA-256 of the file of what `data` trains on."""
    return hashlib.sha256(_content(data)).hexdigest()


def write_trained(run: Path, data: Data) -> None:
    """Write the file of what `data`, which has a split `train`, trains on."""
    write_bytes(run / FILE, _content(data))


def _content(data: Data) -> bytes:
    return np.unique(_digests(data.splits["train"])).tobytes()


def seen(run: Path, sha256: str, split: Split) -> list[int]:
    """Which items of a split the net learned from, by their numbers.

    Args:
        run: the run folder.
        sha256: of its file.
        split: of any data.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    path = run / FILE
    content = read_bytes(path, most=LARGEST)
    if hashlib.sha256(content).hexdigest() != sha256 or len(content) % BYTES:
        raise CheckpointError(f"{path} is damaged: its SHA-256 is not the one in config.json")
    known = np.frombuffer(content, f"V{BYTES}")
    return np.flatnonzero(np.isin(_digests(split), known)).tolist()


def _digests(split: Split) -> NDArray[np.void]:
    whole = b"".join(digest[:BYTES] for digest in split.looks.digests)
    return np.frombuffer(whole, f"V{BYTES}")
