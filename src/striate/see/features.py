"""What a net's last layer reads of each item: features [N, D], computed once and kept beside the run."""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data import Arrays, Data
from striate.errors import ArgumentError
from striate.models.backbone import last_layer
from striate.probe import as_eval, layer_input
from striate.runs import Run

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
FOLDER = "features"  # below a run


def features(
    run: Run,
    arrays: Arrays,
    key: str,
    *,
    index: I64 | None = None,
) -> F32:
    """The features of stored items [N, D]; kept in the run's folder where that can be written.

    Of a part of the items those are computed alone, unless the features of all are there already.

    Args:
        run: whose net and preprocessing are used.
        arrays: the items in the form of its preprocessing.
        key: what the items are a function of, as `Data.mark` gives it.
        index: numbers of the items that are asked for [n]; all if None.

    Raises:
        ArgumentError: the net's last layer reads no vector an item.
    """
    whole = _path(run, key)
    if (kept := _kept(whole, len(arrays))) is not None:
        return kept if index is None else kept[index]
    chosen = np.arange(len(arrays)) if index is None else index
    part = hashlib.sha256(np.ascontiguousarray(chosen, np.int64).tobytes()).hexdigest()
    path = whole if index is None else _path(run, f"{key} {part}")
    if index is not None and (kept := _kept(path, len(index))) is not None:
        return kept
    found = _computed(run, arrays, chosen)
    _keep(path, found)
    return found


def _path(run: Run, key: str) -> Path:
    name = hashlib.sha256(f"{key} {run.config.weights}".encode()).hexdigest()[:16]
    return run.path / FOLDER / f"{name}.npy"


def _kept(path: Path, count: int) -> F32 | None:
    """The features of so many items that were written before."""
    with suppress(OSError, ValueError):
        # Copied where it is written, so that readers may share its memory and the file stays as it is.
        kept: F32 = np.load(path, mmap_mode="c", allow_pickle=False)
        if len(kept) == count:
            return kept
    return None


def _keep(path: Path, found: F32) -> None:
    """Write them whole: under another name first."""
    part = path.with_suffix(".part.npy")
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        np.save(part, found)
        part.replace(path)


def _computed(run: Run, arrays: Arrays, index: I64) -> F32:
    used = run.used
    size = used.batch_size(arrays.inputs)
    rows: F32 | None = None
    for at in range(0, len(index), size):
        stored = torch.from_numpy(np.array(arrays.inputs[index[at : at + size]]))
        pre = used.preprocessing
        found = of_batch(run, pre.normalise(pre.centre(stored).to(used.plan.device)))
        if rows is None:
            rows = np.empty((len(index), found.shape[1]), np.float32)
        rows[at : at + len(found)] = found.numpy()
    return np.empty((0, 0), np.float32) if rows is None else rows


def of_batch(run: Run, x: Tensor) -> Tensor:
    """The features of a batch as the net takes it, on any device: [B, D], float32 on the CPU; of maps the mean over places.

    Raises:
        ArgumentError: the net's last layer reads no vector an item.
    """
    net = run.net
    path = last_layer(net)
    with as_eval(net), run.plan.uncompiled(), torch.inference_mode(), run.plan.autocast():
        found = layer_input(net, path, run.plan.batch(x))
    if len(found) != len(x) or found.ndim < 2:
        raise ArgumentError(
            f"the last layer {path} reads {tuple(found.shape)} of {len(x)} items: no vector an item"
        )
    return (found.flatten(2).mean(2) if found.ndim > 2 else found).float().cpu()


def stored(run: Run, data: Data, split: str) -> tuple[Arrays, str]:
    """The items of a split as the run's preprocessing stores them, and the key of their features.

    Raises:
        ArgumentError: there is no such split.
    """
    if split not in data.splits:
        raise ArgumentError(f"{data.path} has no split {split!r}, only {', '.join(data.splits)}")
    matched: Any = run.config.preprocessing.matched(data)
    return matched.arrays(split, form=run.config.preprocessing.form), data.mark(split)
