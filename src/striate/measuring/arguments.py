"""Arguments of a call that many rules read."""

from typing import cast

from striate.probe import Call, Value


def first(call: Call) -> Value:
    """The tensor that a function works on."""
    return call.inputs[0]


def dims(call: Call, rank: int, position: int = 1) -> set[int]:
    """The axes that a function names, counted from the left; all if it names none."""
    named = call.kwargs.get("dim", call.kwargs.get("axis", call.arg("dim", position)))
    if isinstance(named, bool) or not isinstance(named, int | list) or named == []:
        return set(range(rank))
    return {
        dim % rank for dim in (cast("list[int]", named) if isinstance(named, list) else [named])
    }


def numbers(call: Call, name: str, position: int) -> list[int]:
    """A list of integers, given as one argument or spread over the rest."""
    found = call.kwargs.get(name, call.args[position] if len(call.args) > position else [])
    return cast("list[int]", found if isinstance(found, list) else list(call.args[position:]))
