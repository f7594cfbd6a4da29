"""The one table: a function of PyTorch by name, and with it what it costs, what its outputs read, how it is explained."""

from functools import lru_cache

import torch

from striate.measuring.operations.moves import MOVES
from striate.measuring.operations.operation import Operation, uncounted
from striate.measuring.operations.pointwise import CELLS, FREE, POINTWISE, REDUCED
from striate.measuring.operations.products import PRODUCTS
from striate.measuring.operations.windows import WINDOWS
from striate.probe import Call

__all__ = ["OPERATIONS", "Operation", "formula", "operation"]

OPERATIONS = {**POINTWISE, **MOVES, **WINDOWS, **PRODUCTS}
UNKNOWN = Operation(uncounted)


@lru_cache(maxsize=4096)
def operation(name: str) -> Operation:
    """What is known of a function; of one without an entry what PyTorch's own marks say.

    An in-place function, whose name ends in _, is as the other.
    """
    for each in (name, name.rstrip("_"), name.removesuffix("_with_indices")):
        if each in OPERATIONS:
            return OPERATIONS[each]
    marks = _marks(name) or _marks(name.rstrip("_"))
    if torch.Tag.reduction in marks:  # first, as max is both
        return REDUCED
    if torch.Tag.pointwise in marks:
        return CELLS
    return FREE if VIEW in marks else UNKNOWN


VIEW = "view"


@lru_cache(maxsize=4096)
def _marks(name: str) -> frozenset[object]:
    """The tags of a kernel, and whether it gives a view of what it was given."""
    packet = getattr(torch.ops.aten, name, None)
    if packet is None:
        return frozenset()
    overloads = [getattr(packet, each) for each in packet.overloads()]
    tags = {tag for overload in overloads for tag in overload.tags}
    # As in `probe.calls`, no public name: github.com/pytorch/pytorch, issue 65997 and pull request 72729.
    returns = [given for overload in overloads for given in overload._schema.returns]
    views = any(given.alias_info and not given.alias_info.is_write for given in returns)
    return frozenset([*tags, *([VIEW] if views else [])])


def formula(call: Call) -> int | None:
    """Multiply-adds of one call; None if no formula knows the function."""
    return operation(call.op).macs(call)
