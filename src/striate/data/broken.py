"""Broken items: which are known before anything is decoded, and when they stop the work.

More than one in a hundred and more than five stop it, or a class that is left empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from striate.data import pictures
from striate.data.cache import Broken
from striate.data.index import Part
from striate.data.pillow import without_warnings
from striate.data.shards import Sharded
from striate.data.sources import I64, MODALITIES, Encoded, Files, Source
from striate.data.targets import Labels
from striate.data.workers import chunks_of, each, in_order
from striate.errors import ArgumentError, DataError
from striate.text import some

SHARE = 0.01
FEW = 5  # so many never stop the work by themselves
_NAMED = 5  # named in the message
_HEADERS = 1000  # pictures whose headers are read before a split is drawn: 40 microseconds each


@dataclass(frozen=True)
class Policy:
    """How many broken pictures are too many.

    Attributes:
        share: the greatest share of them with which the work goes on.
    """

    share: float = SHARE

    def judge(
        self, parts: Mapping[str, Part], broken: Mapping[str, Broken], classes: Sequence[str]
    ) -> None:
        """Say whether the pictures that are left are enough.

        Args:
            parts: all splits; their sum is what the share is of.
            broken: what is known to be broken so far, by split.
            classes: the names of the classes.

        Raises:
            DataError: too many are broken, or a class is left empty in a split; with counts and names.
        """
        lost = {split: _counts(parts[split], held, classes) for split, held in broken.items()}
        count = sum(len(held) for held in broken.values())
        total = sum(len(part) for part in parts.values())
        empty = [
            (name, split)
            for split, losses in lost.items()
            for k, name in enumerate(classes)
            if losses[k] and losses[k] == np.count_nonzero(parts[split].targets.strata() == k)
        ]
        if not empty and (count <= FEW or count <= self.share * total):
            return
        if empty:
            name, split = empty[0]
            mend = f"that leaves the class {name} empty in {split}: mend them, or leave it out with ignore={name}"
        else:
            mend = "mend or remove them, or go on without them with --broken skip"
        by_class = np.sum(list(lost.values()), axis=0)
        each = ", ".join(f"{name} {by_class[k]}" for k, name in enumerate(classes) if by_class[k])
        per_class = f" ({each})" if each else ""
        noun = MODALITIES[next(iter(parts.values())).source.modality]
        raise DataError(
            f"{count} of {total:,} {noun} cannot be read{per_class}: {_first(parts, broken)}; {mend}"
        )


def _counts(part: Part, broken: Broken, classes: Sequence[str]) -> I64:
    """Broken items of each class, where items have one each."""
    if not isinstance(part.targets, Labels):
        return np.zeros(len(classes), np.int64)
    index = np.fromiter(broken, np.int64, len(broken))
    return np.bincount(part.targets.codes[index], minlength=len(classes))


def _first(parts: Mapping[str, Part], broken: Mapping[str, Broken]) -> str:
    """The first few by name and reason, and how many more there are."""
    named = [
        f"{parts[split].names[i]} ({reason})"
        for split, held in broken.items()
        for i, reason in sorted(held.items())
    ]
    return some(named, _NAMED, between=";")


def policy(broken: str | float) -> Policy:
    """The policy for "stop" (1 %), "skip" (any share) or a share.

    Raises:
        ArgumentError: it is none of these.
    """
    if broken == "stop":
        return Policy()
    if broken == "skip":
        return Policy(1.0)
    if isinstance(broken, float | int) and not isinstance(broken, bool) and 0 <= broken <= 1:
        return Policy(float(broken))
    raise ArgumentError(f"broken: got {broken!r}, expected 'stop', 'skip' or a share from 0 to 1")


def known_broken(part: Part, weights: I64) -> Broken:
    """The items that cannot be used, as far as it costs little to know, and why.

    Those are items without a usable target, files that are missing or empty, and pictures without a header that can be
    read. Headers are read of the rarest classes only, `_HEADERS` in all: where a class has many items, a few that turn
    out to be broken later leave enough of them on both sides.

    Args:
        part: the items.
        weights: of its source [N], see `Source.weights`.
    """
    masks = part.targets.source
    lost = {} if masks is None else _without_bytes(masks, masks.weights())
    broken = {i: f"its mask: {reason}" for i, reason in lost.items()}
    broken |= _without_bytes(part.source, weights)
    rare = _of_rare_classes(part.targets.strata())
    broken |= _without_header(part.source, np.setdiff1d(rare, list(broken)))
    return {**broken, **part.broken}


def _without_bytes(source: Source, weights: I64) -> Broken:
    """The items whose file, or place in a shard, holds nothing."""
    if isinstance(source, Sharded):
        return source.lost()
    if not isinstance(source, Encoded):
        return {}
    empty = np.flatnonzero(weights <= 0).tolist()
    return {i: "an empty file" if weights[i] == 0 else "cannot be opened" for i in empty}


def _of_rare_classes(strata: I64) -> I64:
    """The numbers of the items of the rarest classes, at most `_HEADERS` in all."""
    counts = np.bincount(strata)
    order = np.argsort(counts, kind="stable")
    return np.flatnonzero(np.isin(strata, order[np.cumsum(counts[order]) <= _HEADERS]))


def _without_header(source: Source, index: I64) -> Broken:
    """Which of these pictures have no header that can be read; in shards of ours all had one when they were packed."""
    if not isinstance(source, Encoded) or (isinstance(source, Sharded) and source.hashed):
        return {}

    def work(numbers: I64) -> Broken:
        broken: Broken = {}
        for i in each(numbers):
            try:
                _read_header(source, i)
            except DataError as error:
                broken[i] = str(error)
        return broken

    broken: Broken = {}
    with without_warnings():
        for done in in_order(work, chunks_of(index), named=source.named):
            broken |= done.result
    return broken


def _read_header(source: Encoded, i: int) -> None:
    if isinstance(source, Files):
        pictures.head_of(source.root / source.names[i], source.limits)
    else:
        pictures.head(source.data(i), source.limits)
