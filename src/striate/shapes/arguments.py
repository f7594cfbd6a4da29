"""What callers write for sizes, steps and padding: integers, one for all axes or one for each."""

from collections.abc import Sequence
from numbers import Integral
from typing import Literal, TypeAlias, TypeGuard

from striate.errors import ArgumentError, told

Ints: TypeAlias = int | Sequence[int]
PaddingWord: TypeAlias = Literal["valid", "same", "same_upper", "same_lower"]
Padding: TypeAlias = int | PaddingWord | Sequence[int | Sequence[int]]

WORDS = ("valid", "same", "same_upper", "same_lower")
# No machine holds an axis with more cells, and PyTorch fails obscurely on integers past its own.
LONGEST = 2**31 - 1


def per_axis(value: Ints, rank: int | None, name: str, *, least: int = 1) -> tuple[int, ...]:
    """One integer an axis, from one for all or one for each; as many as are written where `rank` is None.

    Raises:
        ArgumentError: there are not `rank` of them, or one is no integer or under `least`.

    >>> per_axis(3, 2, "stride")
    (3, 3)
    """
    values = tuple(value) if isinstance(value, Sequence) else (value,) * (rank or 1)
    for entry in values:
        if not is_whole(entry):
            raise ArgumentError(
                f"{name}={told(value)} holds {told(entry)}, expected integers of {least} to {LONGEST}"
            )
    if rank and len(values) != rank:
        raise ArgumentError(
            f"{name}={told(value)} has {len(values)} entries, expected one integer or {rank}"
        )
    if any(entry < least for entry in values):
        raise ArgumentError(f"{name}={told(value)} must be at least {least} on every axis")
    return values


def check_whole(*, least: int = 1, **values: object) -> None:
    """Whether every setting, given by its name, is an integer of at least `least`.

    Raises:
        ArgumentError: one is not.
    """
    for name, value in values.items():
        if not is_whole(value) or value < least:
            raise ArgumentError(
                f"{name}={told(value)}, expected an integer of {least} to {LONGEST}"
            )


def check_truth(**values: object) -> None:
    """Whether every setting, given by its name, is True or False.

    Raises:
        ArgumentError: one is not.
    """
    for name, value in values.items():
        if not isinstance(value, bool):
            raise ArgumentError(f"{name}={told(value)}, expected True or False")


def check_sizes(name: str, value: Sequence[int]) -> None:
    """Whether `value` is a sequence of integers of at least 1, as many as the caller likes.

    Raises:
        ArgumentError: it is not.
    """
    if not is_list(value) or not value or not all(is_whole(n) and n > 0 for n in value):
        raise ArgumentError(f"{name}={told(value)}, expected a list of integers of at least 1")


def is_list(value: object) -> bool:
    """Whether it has entries in an order."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it can count cells: an integer, not a truth value; also one left open while PyTorch exports."""
    if type(value) is int:  # quicker by far than to ask for its kin, and nearly always so
        return -LONGEST <= value <= LONGEST
    if isinstance(value, bool) or not isinstance(value, Integral):
        return type(value).__name__ == "SymInt"
    return abs(int(value)) <= LONGEST
