"""Pictures that are nearly the same: one saved twice, resized, brightened, or cut a little. N pictures.

Each is compared at 32 x 32, grey, less its mean and of length one, so that brightness and contrast do not count. Two are
near duplicates where their distance is below `SAME`, or where it is small and far smaller than the distance to the tenth
neighbour: digits written with one stroke are alike too, but they have many neighbours that are as near.
"""

import numpy as np
import numpy.typing as npt

from striate.data.cache import Broken
from striate.data.decoding import Progress, decoded
from striate.data.modes import U8
from striate.data.sources import Form, Source

F32 = npt.NDArray[np.float32]

SIDE = 32
THUMB = Form((SIDE, SIDE), "grey", "stretch")
MOST = 100_000  # pictures that are compared
SAME = 0.06  # saved again, resized, a little noise: 95 of 100 such copies of photos lie below 0.03
ALIKE = 0.25  # cut by 2 of 100 at the sides: 95 of 100 lie below 0.2
RATIO = 0.3  # of the distance to the tenth neighbour; handwritten ones reach 0.37
_NEIGHBOUR = 10
_FLAT = 2.0  # grey levels of deviation below which there is nothing to compare
_DIMENSIONS = 64  # in which pairs that are too far apart are ruled out: there no distance is larger than it is
_BLOCK = 256


def thumbs(source: Source, progress: Progress | None = None) -> tuple[U8, Broken]:
    """Every picture at 32 x 32 [N, 32, 32], zeros where it is broken, and why those are."""
    found = np.zeros((len(source), SIDE, SIDE), np.uint8)
    broken: Broken = {}
    at = 0
    for items, lost in decoded(source, THUMB, progress):
        index = np.setdiff1d(np.arange(at, at + len(items) + len(lost)), list(lost))
        found[index] = items[..., 0]
        at += len(items) + len(lost)
        broken.update(lost)
    return found, broken


def pairs(thumbs: U8) -> list[tuple[int, int]]:
    """The near duplicates among pictures [N, 32, 32], as numbers (i, j) with i < j, in order.

    The work grows with N squared: a few seconds for 20,000.
    """
    kept = np.flatnonzero(thumbs.reshape(len(thumbs), -1).std(1) >= _FLAT)
    if len(kept) < 2:
        return []
    flat = thumbs.reshape(len(thumbs), -1)[kept]
    low = _projected(flat)
    found = [pair for start in range(0, len(low), _BLOCK) for pair in _of_block(flat, low, start)]
    return sorted({(int(kept[i]), int(kept[j])) for i, j in found})


def _unit(flat: U8) -> F32:
    """Pictures [n, 1024] less their mean, of length one."""
    x = flat.astype(np.float32)
    x -= x.mean(1, keepdims=True)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _projected(flat: U8) -> F32:
    """Pictures in the directions in which they differ most, [n, 64]."""
    sample = _unit(flat[:: max(1, len(flat) // 4096)])
    _, vectors = np.linalg.eigh(sample.T @ sample)
    basis = np.ascontiguousarray(vectors[:, -_DIMENSIONS:], np.float32)
    parts = [_unit(flat[at : at + _BLOCK]) @ basis for at in range(0, len(flat), _BLOCK)]
    return np.concatenate(parts)


def _of_block(flat: U8, low: F32, start: int) -> list[tuple[int, int]]:
    """The near duplicates (i, j), i < j, of the pictures of a block."""
    block = low[start : start + _BLOCK]
    squares = (low**2).sum(1)
    apart = squares[start : start + len(block), None] - 2 * (block @ low.T)
    apart += squares
    apart[np.arange(len(block)), start + np.arange(len(block))] = np.inf
    near = apart <= ALIKE**2
    crowded = np.count_nonzero(near, axis=1) > _NEIGHBOUR
    near[crowded] = apart[crowded] <= SAME**2
    rows, others = np.nonzero(near)
    real = np.linalg.norm(_unit(flat[start + rows]) - _unit(flat[others]), axis=1)
    close = real <= SAME
    alike = np.flatnonzero(~close & (real <= ALIKE) & ~crowded[rows])
    if len(alike):
        k = min(_NEIGHBOUR, len(flat) - 1) - 1
        far = np.sqrt(np.maximum(np.partition(apart[rows[alike]], k, axis=1)[:, k], 0))
        close[alike] = real[alike] <= RATIO * far
    pairs = zip((start + rows[close]).tolist(), others[close].tolist(), strict=True)
    return [(min(i, j), max(i, j)) for i, j in pairs]
