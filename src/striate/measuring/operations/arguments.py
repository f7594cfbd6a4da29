"""Arguments of a call that many rules read."""

from collections.abc import Sequence
from typing import cast

from striate.probe import Call, Value


def first(call: Call) -> Value:
    """The tensor that a function works on."""
    return call.inputs[0]


def tensor(call: Call, name: str) -> Value:
    """A tensor argument.

    Raises:
        TypeError: that argument is no tensor.
    """
    found = call.arg(name)
    if not isinstance(found, Value):
        raise TypeError(f"{call.op}: {name} is {type(found).__name__}, not a tensor")
    return found


def whole(call: Call, name: str, default: int = 0) -> int:
    """An integer argument."""
    return cast("int", call.arg(name, default))


def setting(given: object, axis: int, default: int = 1) -> int:
    """One number of a setting that is an integer or a sequence with one for all axes or one each."""
    if given is None or given == []:
        return default
    if isinstance(given, int):
        return given
    numbers = cast("Sequence[int]", given)
    return numbers[axis if len(numbers) > 1 else 0]


def settings(call: Call, name: str, axes: int, default: int = 1) -> tuple[int, ...]:
    """A setting as one number an axis."""
    given = call.arg(name)
    return tuple(setting(given, axis, default) for axis in range(axes))


def kernel_of(call: Call) -> tuple[int, ...]:
    """The sides of the kernel of a convolution."""
    weight = call.arg("weight")
    return weight.shape[2:] if isinstance(weight, Value) else ()


def dims(call: Call, rank: int) -> set[int]:
    """The axes that a function names, counted from the left; all if it names none."""
    named = call.arg("dim")
    if isinstance(named, bool) or not isinstance(named, int | list) or named == []:
        return set(range(rank))
    return {
        dim % rank for dim in (cast("list[int]", named) if isinstance(named, list) else [named])
    }


def integers(given: object) -> list[int]:
    """One integer or several, as a list."""
    return [given] if isinstance(given, int) else list(cast("Sequence[int]", given or ()))
