"""Copies that their names give away: what exports of augmented data, file managers and download folders append.

a_jpg.rf.HASH.jpg, a_aug_3.jpg, a_flip.jpg, a (1).jpg, "a - Copy.jpg". A split keeps them on one side.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from striate.data.sources import I64

_EXPORT = re.compile(r"^(.+)\.rf\.[0-9a-zA-Z]{16,64}$")
_CHANGED = re.compile(
    r"^(.+?)[ _.-]+(?:aug|augment|augmented|augmentation|flip|flipped|hflip|vflip|fliplr|flipud|rot|rotate|rotated|"
    r"mirror|mirrored|bright|brightness|blur|blurred|noise|noisy|contrast|hue|copy|kopie)[ _.-]?\d{0,4}$",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"^(.+?)(?: ?\((\d{1,2})\)| - (?:Copy|Kopie)(?: \(\d+\))?)$")
# What one of the above holds in any case, found quickly.
_HINT = re.compile(
    r"\.rf\.|aug|flip|rot|mirror|bright|blur|nois|contrast|hue|copy|kopie|\(\d", re.IGNORECASE
)
_MANY = 10  # more files of one name with (1), (2), ... are numbered, not copied
_FEW = 3  # originals with copies from which on it is a system


@dataclass(frozen=True)
class Copies:
    """Names that go together: a number for each [N], how many have a copy, and of how many originals."""

    groups: I64
    count: int
    originals: int
    example: str


def copies(names: Sequence[str]) -> Copies | None:
    """Which names are copies of one another; None where too few are to be more than a chance.

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
        found = _EXPORT.match(stem)
        exported |= found is not None
        members[f"{folder}/{found[1] if found else _original(stem)}"].append(i)
    several = {key: held for key, held in members.items() if len(held) > 1}
    kept = {key: held for key, held in several.items() if not _numbered(names, held)}
    if len(kept) < (1 if exported else _FEW):
        return None
    groups = np.arange(len(names))
    for held in kept.values():
        groups[held] = held[0]
    first = next(iter(kept.values()))
    return Copies(groups, sum(map(len, kept.values())), len(kept), names[first[-1]])


def _original(stem: str) -> str:
    """The name of which another is a copy: the same without what copying appends, as often as it was appended."""
    for _ in range(4):
        found = _CHANGED.match(stem) or _COUNTED.match(stem)
        if found is None:
            break
        stem = found[1]
    return stem


def _numbered(names: Sequence[str], held: list[int]) -> bool:
    """Whether names differ by a number in brackets alone, and are so many, or without a first, that it counts them."""
    stems = [names[i].rpartition("/")[2].rpartition(".")[0] for i in held]
    counted = [stem for stem in stems if _COUNTED.match(stem)]
    if len(counted) < len(stems) - 1:
        return False  # some were changed in another way
    return len(held) > _MANY or len(counted) == len(stems)
