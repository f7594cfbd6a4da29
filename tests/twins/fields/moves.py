"""One call of a net on its structure, where values only move: reshaping, turning, cutting, joining."""

from collections.abc import Sequence
from functools import reduce
from math import prod
from operator import add
from typing import cast

import torch
from torch import Tensor

from striate.errors import ArgumentError
from striate.probe import Call, Value
from twins.fields.broadcast import Broadcast, Made, Step, first, of_value
from twins.fields.indexing import index_of


def _reshaped(call: Call, made: Made) -> Tensor:
    thin, after = first(call, made), call.outputs[0].shape
    if thin.shape == after:
        return thin.data
    full: list[int] = []
    target: list[int] = []
    for old, new in _groups(thin.shape, after):
        alike = all(thin.data.shape[dim] == 1 for dim in old)
        full += [1 if alike else thin.shape[dim] for dim in old]
        target += [1 if alike else after[dim] for dim in new]
    return thin.data.expand(full).reshape(target)


def _groups(before: Sequence[int], after: Sequence[int]) -> list[tuple[range, range]]:
    """Axes that turn into one another: the shortest runs with as many cells on either side."""
    found: list[tuple[range, range]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        a, b = min(i + 1, len(before)), min(j + 1, len(after))
        while prod(before[i:a]) != prod(after[j:b]):
            if prod(before[i:a]) < prod(after[j:b]):
                a += 1
            else:
                b += 1
        found.append((range(i, a), range(j, b)))
        i, j = a, b
    return found


def _native(call: Call, made: Made) -> Tensor:
    """A function of PyTorch that does the same to one cell as to many alike."""
    method = getattr(Tensor, call.op)
    thin = first(call, made)
    if not callable(method):  # T and mT are properties
        return cast("Tensor", getattr(thin.data, call.op))
    options = {key: value for key, value in call.kwargs.items() if key != "input"}
    return cast("Tensor", method(thin.data, *call.args[1:], **options))


def _native_whole(call: Call, made: Made) -> Tensor:
    thin = first(call, made)
    return _native(call, {call.inputs[0].index: Broadcast(thin.whole(), thin.shape)})


def _expanded(call: Call, made: Made) -> Tensor:
    data = first(call, made).data
    more = len(call.outputs[0].shape) - data.ndim
    return data.reshape((1,) * more + tuple(data.shape))


def _index(call: Call, thin: Broadcast) -> tuple[object, ...]:
    """An index that takes cell 0 where all are alike."""
    items = index_of(call, len(thin.shape))
    if items is None:
        raise _free(call)
    dim, index = 0, list[object]()
    for item in items:
        if item is None:
            index.append(None)
            continue
        alike = thin.data.shape[dim] == 1
        if isinstance(item, Value) and not alike:
            raise _free(call)
        number = isinstance(item, int) or (isinstance(item, Value) and not item.shape)
        index.append((0 if number else slice(None)) if alike else item)
        dim += 1
    return tuple(index)


def _free(call: Call) -> ArgumentError:
    where = f"{call.path}: " if call.path else ""
    return ArgumentError(
        f"{where}{call.op} picks places by numbers that only a real run has; choose a layer before it"
    )


def _indexed(call: Call, made: Made) -> Tensor:
    thin = first(call, made)
    return thin.data[_index(call, thin)]  # pyright: ignore[reportArgumentType]


def _assigned(call: Call, made: Made) -> Tensor:
    base = first(call, made)
    new = call.args[2]
    if not isinstance(new, Value) or new.index not in made:
        return base.data
    # Axes that the index cuts stand at full length on both sides; along the others all stay alike.
    data = made[new.index].data
    items = index_of(call, len(base.shape))
    if items is None:
        raise _free(call)
    cuts = [dim for dim, item in enumerate(items) if item != slice(None) and data.shape[dim] > 1]
    sides = [
        base.shape[dim] if dim in cuts else max(n, data.shape[dim - len(base.shape)])
        for dim, n in enumerate(base.data.shape)
    ]
    place = torch.zeros(sides)
    index = tuple(items[dim] if dim in cuts else slice(None) for dim in range(len(sides)))
    place[index] = data  # pyright: ignore[reportArgumentType]
    return base.data.expand(sides) + place


def _narrowed(call: Call, made: Made) -> Tensor:
    thin, dim = first(call, made), cast("int", call.arg("dim"))
    if thin.data.shape[dim] == 1:
        return thin.data
    return thin.data.narrow(dim, cast("int", call.arg("start")), cast("int", call.arg("length")))


def _selected(call: Call, made: Made) -> Tensor:
    thin, dim = first(call, made), cast("int", call.arg("dim"))
    at = 0 if thin.data.shape[dim] == 1 else cast("int", call.arg("index"))
    return thin.data.select(dim, at)


def _split(call: Call, made: Made) -> list[Tensor]:
    thin, dim = first(call, made), cast("int", call.arg("dim", 0))
    if thin.data.shape[dim] == 1:
        return [thin.data for _ in call.outputs]
    return list(thin.data.split([out.shape[dim] for out in call.outputs], dim))


def _unbound(call: Call, made: Made) -> list[Tensor]:
    thin, dim = first(call, made), cast("int", call.arg("dim", 0))
    if thin.data.shape[dim] == 1:
        return [thin.data.select(dim, 0) for _ in call.outputs]
    return list(thin.data.unbind(dim))


def _chained(call: Call, made: Made) -> Tensor:
    rank = len(call.outputs[0].shape)
    dim = cast("int", call.kwargs.get("axis", call.arg("dim", 0))) % rank
    parts = [of_value(value, made) for value in call.inputs if len(value.shape) == rank]
    if all(part.data.shape[dim] == 1 for part in parts):
        return reduce(add, (part.data for part in parts))
    sides = [max(part.data.shape[d] for part in parts) for d in range(rank)]
    laid = [
        part.data.expand([part.shape[d] if d == dim else sides[d] for d in range(rank)])
        for part in parts
    ]
    return torch.cat(laid, dim)


def _stacked(call: Call, made: Made) -> Tensor:
    parts = [of_value(value, made).data for value in call.inputs]
    sides = torch.broadcast_shapes(*(part.shape for part in parts))
    return torch.stack([part.expand(sides) for part in parts], cast("int", call.arg("dim", 0)))


def _picked(call: Call, made: Made) -> Tensor:
    """`index_select`."""
    thin, dim = first(call, made), cast("int", call.arg("dim"))
    if thin.data.shape[dim] != 1:
        raise _free(call)
    return thin.data


MOVES: dict[str, Step] = {
    **dict.fromkeys(
        [
            "view",
            "reshape",
            "flatten",
            "unflatten",
            "squeeze",
            "view_as",
            "reshape_as",
            "_unsafe_view",
        ],
        _reshaped,
    ),
    **dict.fromkeys(
        [
            "permute",
            "transpose",
            "swapaxes",
            "swapdims",
            "movedim",
            "moveaxis",
            "t",
            "T",
            "mT",
            "unsqueeze",
            "flip",
            "roll",
        ],
        _native,
    ),
    **dict.fromkeys(["repeat", "tile", "repeat_interleave"], _native_whole),
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), _expanded),
    "getitem": _indexed,
    "setitem": _assigned,
    "narrow": _narrowed,
    "select": _selected,
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "tensor_split"), _split),
    "unbind": _unbound,
    **dict.fromkeys(("cat", "concat", "concatenate"), _chained),
    "stack": _stacked,
    "index_select": _picked,
}
