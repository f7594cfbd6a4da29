"""What no single item shows: copies, near copies, contradictions, classes of very different sizes."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from striate.data import near
from striate.data.decoding import Split
from striate.data.modes import U8

IMBALANCE = 10  # times as many items of one class as of another
_FEW = 3  # classes that a line names

Place = tuple[str, str]  # the split and the name of an item
Pair = tuple[Place, Place]


def twins(splits: Mapping[str, Split]) -> list[Pair]:
    """Items with exactly the same content: the first of them with each other one."""
    first: dict[bytes, Place] = {}
    found: list[Pair] = []
    for split in splits.values():
        for name, digest in zip(split.names, split.looks.digests, strict=True):
            here = (split.name, name)
            if first.setdefault(digest, here) != here:
                found.append((first[digest], here))
    return found


def near_twins(splits: Mapping[str, Split], thumbs: Mapping[str, U8]) -> list[Pair]:
    """Items that are nearly the same, exact copies left out; thumbs: the pictures of each split at 32 x 32."""
    small = np.concatenate([thumbs[name] for name in splits])
    places = [(s.name, name) for s in splits.values() for name in s.names]
    digests = [digest for s in splits.values() for digest in s.looks.digests]
    return [(places[i], places[j]) for i, j in near.pairs(small) if digests[i] != digests[j]]


def contradictions(splits: Mapping[str, Split], pairs: Iterable[Pair]) -> list[Pair]:
    """Those pairs whose labels differ."""
    codes = {
        (split.name, name): int(code)
        for split in splits.values()
        for name, code in zip(split.names, split.labels.tolist(), strict=True)
    }
    return [(a, b) for a, b in pairs if codes[a] != codes[b]]


def warnings(classes: Sequence[str], counts: Mapping[str, Sequence[int] | None]) -> list[str]:
    """Lines about classes that are far larger than others, or have a single item in a split.

    Args:
        classes: their names.
        counts: how often each occurs in each split; None where that is not known.
    """
    found: list[str] = []
    for name, held in counts.items():
        if held is None or len(held) < 2:
            continue
        most, least = int(np.argmax(held)), int(np.argmin(held))
        if name in ("train", "all") and held[most] > IMBALANCE * max(1, held[least]):
            found.append(
                f"{name} has {held[most]:,} of {classes[most]} and {held[least]:,} of {classes[least]}: the rare class counts "
                "little unless it is weighted"
            )
        single = [label for label, n in zip(classes, held, strict=True) if n == 1]
        if single:
            more = f" and {len(single) - _FEW:,} more" if len(single) > _FEW else ""
            listed = ", ".join(single[:_FEW]) + more
            found.append(f"{name} has a single item of {listed}: scores of it mean little")
    return found
