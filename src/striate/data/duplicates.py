"""Pictures that occur more than once: the same bytes, names that say "copy", or nearly the same pixels.

Exact copies have the same SHA-256. Copies by name are what exports of augmented data, file managers and download
folders write: a_jpg.rf.HASH.jpg, a_aug_3.jpg, a_flip.jpg, a (1).jpg, "a - Copy.jpg". Near duplicates are one picture
saved twice, resized, brightened, or cut a little; they are compared as thumbnails of 32 x 32 grey pixels, less their
mean and scaled to length one, so that brightness and contrast do not count. Two are near duplicates where the distance
of their thumbnails is below `SAME`, or where it is small and far smaller than the distance to the tenth neighbour:
digits written with one stroke are alike too, but they have many neighbours that are as near. Where there is little to
compare (one shape on a plain ground: two that were drawn apart come within 0.08) only the first rule holds. N pictures.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from striate.data.cache import Broken
from striate.data.modes import U8
from striate.data.sources import I64, Form, Source
from striate.data.split_items import Progress, Split, decoded
from striate.data.workers import chunks_of, each, in_order
from striate.errors import DataError

F32 = npt.NDArray[np.float32]
Place = tuple[str, str]  # the split and the name of an item
Pair = tuple[Place, Place]

_EXPORT = re.compile(r"^(.+)\.rf\.[0-9a-zA-Z]{16,64}$")
_CHANGED = re.compile(
    r"^(.+?)[ _.-]+(?:aug|augment|augmented|augmentation|flip|flipped|hflip|vflip|fliplr|flipud|rot|rotate|rotated|"
    r"mirror|mirrored|bright|brightness|blur|blurred|noise|noisy|contrast|hue|copy|kopie)[ _.-]?\d{0,4}$",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"^(.+?)(?: ?\((\d{1,2})\)| - (?:Copy|Kopie)(?: \(\d+\))?)$")
# A word of one of the patterns above: a name without any of them needs no slower test.
_HINT = re.compile(
    r"\.rf\.|aug|flip|rot|mirror|bright|blur|nois|contrast|hue|copy|kopie|\(\d", re.IGNORECASE
)
_MANY = 10  # more files of one name with (1), (2), ... are numbered, not copied
_FEW = 3  # originals with copies from which on it is a system

SIDE = 32
THUMBNAIL = Form((SIDE, SIDE), "grey", "stretch")
MOST = 100_000  # pictures; among more of them near duplicates are not looked for
SAME = 0.06  # saved again, resized, a little noise: 95 of 100 such copies of photos lie below 0.03
ALIKE = 0.25  # cut by 2 of 100 at the sides: 95 of 100 lie below 0.2
RATIO = 0.3  # of the distance to the tenth neighbour; handwritten ones reach 0.37
_NEIGHBOUR = 10
PLAIN = 0.1  # of `_content`: one shape lies at 0.03 to 0.1, handwriting at 0.14, photos from 0.1 on, most above 0.17
_FLAT = 2.0  # grey levels of deviation below which there is nothing to compare
_DIMENSIONS = 64  # of a projection, where distances are never larger: it rules out pairs that are too far apart
_BLOCK = 256  # pictures compared with all others at a time


def exact_groups(source: Source, weights: I64) -> I64:
    """A group number for each picture [N]: equal exactly where the contents are equal.

    Only items of the same weight are read and hashed.

    Args:
        source: of the pictures.
        weights: of the source [N], see `Source.weights`.
    """
    _, codes, counts = np.unique(weights, return_inverse=True, return_counts=True)
    shared = np.flatnonzero(counts[codes] > 1)
    groups = np.arange(len(source))
    first: dict[bytes, int] = {}
    for chunk in in_order(
        lambda i: [source.digest(j) for j in each(i)], chunks_of(shared), named=source.named
    ):
        for digest, i in zip(chunk.result, chunk.index.tolist(), strict=True):
            groups[i] = first.setdefault(digest, i)
    return groups


def exact_pairs(splits: Mapping[str, Split]) -> list[Pair]:
    """Items with exactly the same content: the first of them with each other one."""
    first: dict[bytes, Place] = {}
    found: list[Pair] = []
    for split in splits.values():
        for name, digest in zip(split.names, split.looks.digests, strict=True):
            here = (split.name, name)
            if first.setdefault(digest, here) != here:
                found.append((first[digest], here))
    return found


def near_pairs(splits: Mapping[str, Split], thumbs: Mapping[str, U8]) -> list[Pair]:
    """Items that are nearly the same, exact copies left out.

    Args:
        splits: by name.
        thumbs: the thumbnails of the pictures of each split, [N, 32, 32].
    """
    small = np.concatenate([thumbs[name] for name in splits])
    places = [(s.name, name) for s in splits.values() for name in s.names]
    digests = [digest for s in splits.values() for digest in s.looks.digests]
    return [(places[i], places[j]) for i, j in similar(small) if digests[i] != digests[j]]


def contradictions(splits: Mapping[str, Split], pairs: Iterable[Pair]) -> list[Pair]:
    """Those pairs whose labels differ."""
    codes = {
        (split.name, name): int(code)
        for split in splits.values()
        for name, code in zip(split.names, split.labels.tolist(), strict=True)
    }
    return [(a, b) for a, b in pairs if codes[a] != codes[b]]


@dataclass(frozen=True)
class NameCopies:
    """Names that say they are copies of others.

    Attributes:
        groups: a number for each name [N], which copies of one picture share.
        count: how many names have a copy.
        originals: of how many pictures they are.
        example: one of the names.
    """

    groups: I64
    count: int
    originals: int
    example: str


def copies_by_name(names: Sequence[str]) -> NameCopies | None:
    """Which names are copies of one another; None where so few are that it may be chance.

    Args:
        names: of files, with their folders.
    """
    if not any(map(_HINT.search, names)):
        return None
    members: dict[str, list[int]] = defaultdict(list)
    exported = False
    for i, name in enumerate(names):
        folder, _, base = name.rpartition("/")
        stem = base.rpartition(".")[0] or base
        export = _EXPORT.match(stem)
        exported |= export is not None
        members[f"{folder}/{export[1] if export else _original(stem)}"].append(i)
    several = {key: index for key, index in members.items() if len(index) > 1}
    copied = {key: index for key, index in several.items() if not _numbered(names, index)}
    if len(copied) < (1 if exported else _FEW):
        return None
    groups = np.arange(len(names))
    for index in copied.values():
        groups[index] = index[0]
    first = next(iter(copied.values()))
    return NameCopies(groups, sum(map(len, copied.values())), len(copied), names[first[-1]])


def _original(stem: str) -> str:
    """A name without what copying appends, which may have been appended several times."""
    for _ in range(4):
        appended = _CHANGED.match(stem) or _COUNTED.match(stem)
        if appended is None:
            break
        stem = appended[1]
    return stem


def _numbered(names: Sequence[str], index: list[int]) -> bool:
    """Whether a number in brackets counts pictures and not copies: there are many, or none without a number."""
    stems = [names[i].rpartition("/")[2].rpartition(".")[0] for i in index]
    counted = [stem for stem in stems if _COUNTED.match(stem)]
    if len(counted) < len(stems) - 1:
        return False  # some were changed in another way
    return len(index) > _MANY or len(counted) == len(stems)


def thumbnails(source: Source, progress: Progress | None = None) -> tuple[U8, Broken]:
    """Every picture at 32 x 32 [N, 32, 32], zeros where it is broken; and the broken ones with their reasons."""
    thumbs = np.zeros((len(source), SIDE, SIDE), np.uint8)
    broken: Broken = {}
    at = 0
    for items, lost in decoded(source, THUMBNAIL, progress):
        index = np.setdiff1d(np.arange(at, at + len(items) + len(lost)), list(lost))
        thumbs[index] = items[..., 0]
        at += len(items) + len(lost)
        broken.update(lost)
    return thumbs, broken


def similar(thumbs: U8) -> list[tuple[int, int]]:
    """The near duplicates among thumbnails [N, 32, 32], as numbers (i, j) with i < j, in order.

    The work grows with N squared: a few seconds for 20,000. Flat pictures have no near duplicates.
    """
    textured = np.flatnonzero(thumbs.reshape(len(thumbs), -1).std(1) >= _FLAT)
    if len(textured) < 2:
        return []
    flat = thumbs.reshape(len(thumbs), -1)[textured]
    low = _projected(flat)
    blocks = range(0, len(flat), _BLOCK)
    plain = np.concatenate([_content(flat[at : at + _BLOCK]) < PLAIN for at in blocks])
    found = [pair for start in blocks for pair in _of_block(flat, low, plain, start)]
    return sorted({(int(textured[i]), int(textured[j])) for i, j in found})


def similar_groups(source: Source) -> I64:
    """A group number for each picture [N], which near duplicates share, and those of near duplicates.

    Every picture is decoded.

    Raises:
        DataError: they are no pictures, or too many to compare.
    """
    if not source.pictures or len(source) > MOST:
        what = f"{len(source):,} pictures" if source.pictures else "no pictures"
        raise DataError(
            f"split=similar compares up to {MOST:,} pictures, these are {what}: use another split, "
            "such as folder or name:PATTERN"
        )
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = np.array(similar(thumbnails(source)[0]), np.int64).reshape(-1, 2)
    near = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(source),) * 2)
    return np.asarray(connected_components(near, directed=False)[1], np.int64)


def _content(flat: U8) -> F32:
    """Over what share of pictures [n, 1024] their edges spread: the participation ratio of the squared gradient [n].

    Noise that is weak beside the edges changes it little, unlike a count of pixels that differ from their neighbours.
    """
    x = flat.reshape(-1, SIDE, SIDE).astype(np.float32)
    energy = np.square(np.diff(x, axis=2)[:, :-1]) + np.square(np.diff(x, axis=1)[:, :, :-1])
    fourth = np.square(energy).mean((1, 2))
    return np.square(energy.mean((1, 2))) / np.maximum(fourth, 1)


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


def _of_block(flat: U8, low: F32, plain: npt.NDArray[np.bool], start: int) -> list[tuple[int, int]]:
    """The near duplicates (i, j), i < j, of the pictures of a block; plain: which pictures have little content [n]."""
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
    rich = ~crowded[rows] & ~plain[start + rows] & ~plain[others]
    alike = np.flatnonzero(~close & (real <= ALIKE) & rich)
    if len(alike):
        k = min(_NEIGHBOUR, len(flat) - 1) - 1
        far = np.sqrt(np.maximum(np.partition(apart[rows[alike]], k, axis=1)[:, k], 0))
        close[alike] = real[alike] <= RATIO * far
    pairs = zip((start + rows[close]).tolist(), others[close].tolist(), strict=True)
    return [(min(i, j), max(i, j)) for i, j in pairs]
