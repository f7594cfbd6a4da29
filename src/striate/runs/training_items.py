"""trained.bin: what a net learned from, by content, so that it is found again wherever it lies.

The first 16 bytes of the SHA-256 of each training item, sorted; the SHA-256 of the whole stands in config.json.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate import data as data_room
from striate.data import Data, Split
from striate.errors import CheckpointError, DataError, StriateError
from striate.runs.folder import read_bytes, write_bytes

FILE = "trained.bin"
BYTES = 16  # of each digest: two of a billion items that are alike by chance are not to be expected
LARGEST = 2**33


def sha256_of(data: Data, split: str = "train") -> str:
    """SHA-256 of what a split holds by content: of "train", of the file of what `data` trains on."""
    return hashlib.sha256(_content(data, split)).hexdigest()


def write_trained(run: Path, data: Data) -> None:
    """Write the file of what `data`, which has a split `train`, trains on."""
    write_bytes(run / FILE, _content(data))


def _content(data: Data, split: str = "train") -> bytes:
    return np.unique(_digests(data.splits[split])).tobytes()


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


def as_trained(trained: Mapping[str, Any], opened: Data) -> bool:
    """Whether data are those of a training, split as then, by content; a version that kept no list is taken at its word.

    Args:
        trained: what the config of a run says of its data.
        opened: any data.
    """
    known = trained.get("trained")
    if opened.fingerprint != trained["fingerprint"]:
        return False
    return not isinstance(known, str) or ("train" in opened.splits and sha256_of(opened) == known)


def split_as_then(trained: Mapping[str, Any], opened: Data) -> Data:
    """The data of a training with the split that it had, whichever number a fold has in this version.

    Args:
        trained: what the config of the run says of them.
        opened: the same data, opened by the settings of then.

    Raises:
        DataError: what was held out then is not known any more.
    """
    if as_trained(trained, opened):
        return opened
    val = opened.origin.get("val")
    count = val.partition("of")[2] if isinstance(val, str) else "0"
    for k in range(1, 1 + int(count)):
        fold = f"{k}of{count}"
        with suppress(StriateError):
            again = data_room.again({**opened.origin, "val": fold})
            if as_trained(trained, again):
                line = f"what the run held out is found by content: its val={val} is val={fold} in this version of striate"
                return replace(again, since=(*again.since, line))
    why = (
        f"this version of striate splits it otherwise ({_settings(opened.origin)})"
        if opened.drawn
        else "items went from one split to another"
    )
    raise DataError(
        f"{opened.path}: {why} since this run was trained, so its held-out items are not known any more: train anew, "
        "or evaluate on other pictures"
    )


def other_split(trained: Mapping[str, Any], opened: Data) -> str:
    """That data are those of a training, but split otherwise, and how to have them split as then; "" where they are not."""
    if opened.fingerprint != trained["fingerprint"] or as_trained(trained, opened):
        return ""
    was = _settings(trained["origin"])
    return (
        f"these are the data of the training, split otherwise ({_settings(opened.origin)}; then {was}): name no data, or "
        "their folder, to judge on what was held out"
    )


def _settings(origin: Mapping[str, Any]) -> str:
    """The settings that split data."""
    return ", ".join(f"{key}={origin.get(key)}" for key in ("val", "split", "seed"))
