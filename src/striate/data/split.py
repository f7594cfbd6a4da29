"""Which pictures are held out, where the data do not say: stratified, seeded, twins kept together."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from striate.data.sources import I64, Source
from striate.data.workers import chunks_of, each, in_order
from striate.errors import ArgumentError, DataError

UNDIVIDED = ""  # the class of items that have none
VAL = 0.2  # the share held out where nobody asked for another


def part(val: str) -> tuple[int, int]:
    """The numbers of "2of5": which part is held out, from 1, and of how many.

    Raises:
        ArgumentError: it is not of this form.
    """
    found = re.fullmatch(r"(\d+)of(\d+)", val)
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count or count < 2:
        raise ArgumentError(
            f"val: got {val!r}, expected a share such as 0.2, or 2of5 for the second of five parts"
        )
    return number, count


def check_share(val: float | str | None) -> None:
    """Refuse a share that leaves nothing on one side.

    Raises:
        ArgumentError: val is not between 0 and 1, and is no part such as "2of5".
    """
    if isinstance(val, str):
        part(val)
        return
    if val is not None and not 0 <= val < 1:
        raise ArgumentError(f"val: got {val}, expected a share between 0 and 1, such as 0.2")


def stratified(
    labels: I64, groups: I64, *, classes: Sequence[str], val: float, seed: int
) -> tuple[I64, I64]:
    """Numbers of the pictures to train on and to hold out, each ascending.

    Args:
        labels: [N] class numbers.
        groups: [N]; pictures of one group (the same content) stay on one side.
        classes: their names, for messages.
        val: share of each class to hold out, at least one picture, never all.
        seed: of the random order.

    Raises:
        DataError: a class has too few different pictures; the message names it and its counts.
    """
    counts = np.bincount(labels, minlength=len(classes))
    wanted = np.clip(np.rint(counts * val).astype(np.int64), 1, np.maximum(counts - 1, 1))
    _check_sizes(labels, groups, counts, classes)
    held = np.zeros(len(labels), bool)
    members = _members(groups)
    order = np.random.default_rng(seed).permutation(len(members))
    for index in (members[number] for number in order):
        need = np.bincount(labels[index], minlength=len(classes))
        if np.all(wanted >= need):
            held[index] = True
            wanted -= need
    _mend(held, labels, [members[number] for number in order], classes)
    return np.flatnonzero(~held), np.flatnonzero(held)


def fold(
    labels: I64, groups: I64, *, classes: Sequence[str], part: tuple[int, int], seed: int
) -> I64:
    """Numbers of the pictures of one of several parts that are alike in their classes.

    Groups go, the largest first and else in random order, to the part that has least of their classes.

    Args:
        labels: [N] class numbers.
        groups: [N]; pictures of one group are in one part.
        classes: their names, for messages.
        part: which, from 1, and of how many.
        seed: of the random order.

    Raises:
        DataError: a class has too few different pictures.
    """
    number, count = part
    _check_sizes(labels, groups, np.bincount(labels, minlength=len(classes)), classes)
    members = _members(groups)
    order = np.random.default_rng(seed).permutation(len(members))
    order = order[np.argsort([-len(members[i]) for i in order], kind="stable")]
    have = np.zeros((count, len(classes)))
    held: list[I64] = []
    for index in (members[i] for i in order):
        need = np.bincount(labels[index], minlength=len(classes))
        least = min(range(count), key=lambda k: (float(have[k] @ need), float(have[k].sum())))
        have[least] += need
        if least == number - 1:
            held.append(index)
    return np.sort(np.concatenate(held)) if held else np.empty(0, np.int64)


def _members(groups: I64) -> list[I64]:
    """The numbers of the pictures of each group, groups in the order of their first picture."""
    _, codes = np.unique(groups, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    return sorted(parts, key=lambda part: int(part[0]))


def _check_sizes(labels: I64, groups: I64, counts: I64, classes: Sequence[str]) -> None:
    for number, name in enumerate(classes):
        different = len(np.unique(groups[labels == number]))
        if different < 2:
            what = f"{different} picture{'' if different == 1 else 's'}"
            if counts[number] > different:
                what = f"{counts[number]} pictures that count as one (copies, or kept together by split=)"
            if name == UNDIVIDED:
                raise DataError(
                    f"there are {what}; a split needs at least 2, one to train on and one to hold out"
                )
            raise DataError(
                f"the class {name} has {what}; a split needs at "
                f"least 2, one to train on and one to hold out: add pictures, or leave it out with ignore={name}"
            )


def _mend(
    held: npt.NDArray[np.bool], labels: I64, members: list[I64], classes: Sequence[str]
) -> None:
    """Hold out the smallest group of a class whose groups were all too large for its share."""
    for number, name in enumerate(classes):
        mine = labels == number
        if held[mine].any():
            continue
        for index in sorted((m for m in members if mine[m].any()), key=len):
            trial = held.copy()
            trial[index] = True
            if all((~trial[labels == label]).any() for label in np.unique(labels[index])):
                held[:] = trial
                break
        else:
            raise DataError(
                f"the class {name} cannot be split: all its pictures are copies of others, or kept together "
                "with them by split="
            )


def twins(source: Source) -> I64:
    """A group number for each picture [N]: equal exactly where the contents are equal."""
    _, codes, counts = np.unique(source.weights(), return_inverse=True, return_counts=True)
    shared = np.flatnonzero(counts[codes] > 1)
    groups = np.arange(len(source))
    first: dict[bytes, int] = {}
    for chunk in in_order(
        lambda i: [source.digest(j) for j in each(i)], chunks_of(shared), named=source.named
    ):
        for digest, i in zip(chunk.result, chunk.index.tolist(), strict=True):
            groups[i] = first.setdefault(digest, i)
    return groups
