"""When broken pictures stop the work: more than one in a hundred and more than five, or an empty class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from striate.data.cache import Broken
from striate.data.index import Part
from striate.data.sources import I64
from striate.data.targets import Labels
from striate.errors import ArgumentError, DataError

SHARE = 0.01
FEW = 5  # so many never stop the work by themselves
_NAMED = 5  # named in the message


@dataclass(frozen=True)
class Policy:
    """share: the greatest share of broken pictures that is gone on with."""

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
        raise DataError(
            f"{count} of {total:,} pictures cannot be read{per_class}: {_first(parts, broken)}; {mend}"
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
    more = [f"and {len(named) - _NAMED} more"] if len(named) > _NAMED else []
    return "; ".join(named[:_NAMED] + more)


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
