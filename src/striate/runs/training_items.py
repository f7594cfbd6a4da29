"""trained.bin: what a net learned from, by content, so that it is found again wherever it lies.

The first 16 bytes of the SHA-256 of each training item, sorted; the SHA-256 of the whole stands in config.json.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate import data as data_room
from striate.data import Data, Split
from striate.errors import CheckpointError, StriateError
from striate.runs.folder import read_bytes, write_bytes

FILE = "trained.bin"
BYTES = 16  # of each digest: two of a billion items that are alike by chance are not to be expected
LARGEST = 2**33
USUAL = "stratified"  # the rule of a split that names none


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


def renumbered(run: Path, trained: Mapping[str, Any], opened: Data, split: str) -> str:
    """Why a fold of a run's own data has items that it learned from, and how to score those that it held out.

    Which fold a number means may have changed with the version. "" where the data are others, or split in another way.

    Args:
        run: the run folder.
        trained: what its config says of the data.
        opened: the data as they are split now.
        split: that is scored.
    """
    origin = trained["origin"]
    val = origin.get("val")
    own = opened.fingerprint == trained["fingerprint"] and opened.origin.get("val") == val
    if not own or split != "val" or not isinstance(val, str):
        return ""
    said = f"since val={val} is another fold now than in the version that trained it"
    for k in range(1, 1 + int(val.partition("of")[2])):
        fold = f"{k}of{val.partition('of')[2]}"
        with suppress(StriateError):
            again = data_room.again({**origin, "val": fold}, opened.path)
            if fold != val and not seen(run, trained["trained"], again.splits["val"]):
                words = _settings({**origin, "val": fold})
                return (
                    f"{said}: what it held out is val={fold}, so score that in Python by "
                    f"striate.Run({str(run)!r}).evaluate(striate.open({opened.path!r}, {words})), or train anew"
                )
    return f"{said}, and what it held out is no fold of these data any more: train anew"


def _settings(origin: Mapping[str, Any]) -> str:
    """What `striate.open` is to be given to split data so."""
    keys = ("val", "split", "seed", "ignore", "layout", "task")
    given = {key: origin[key] for key in keys if origin.get(key) and origin[key] != USUAL}
    return ", ".join(f"{key}={value!r}" for key, value in given.items())
