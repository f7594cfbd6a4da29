"""What stands between the brackets of `x[...]`, axis by axis: this account's own reading of it."""

from collections.abc import Sequence
from typing import cast

from striate.probe import Call, Value


def index_of(call: Call, rank: int) -> list[object] | None:
    """One entry an axis, `...` written out and None for a new axis; None for what picks freely."""
    given = call.args[1]
    items = list(cast("Sequence[object]", given)) if isinstance(given, list) else [given]
    if sum(isinstance(item, Value) for item in items) > 1 or any(map(_free, items)):
        return None
    real = sum(not (item is None or item is Ellipsis) for item in items)
    if Ellipsis not in [item for item in items if not isinstance(item, Value)]:
        return [*items, *[slice(None)] * (rank - real)]
    full: list[object] = []
    for item in items:
        full += [slice(None)] * (rank - real) if item is Ellipsis else [item]
    return full


def _free(item: object) -> bool:
    """A list of places, or truth values: which cells they pick is known in a real run only."""
    if isinstance(item, Value):
        return len(item.shape) > 1 or not item.dtype.is_signed
    return isinstance(item, bool | list)
