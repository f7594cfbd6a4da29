"""Operations that only move numbers about: reshaping, turning, cutting, joining."""

from collections.abc import Callable, Sequence
from typing import cast

import torch

from striate.measuring.field_axes import (
    Axes,
    Axis,
    Following,
    Part,
    broadcast,
    reshaped,
)
from striate.measuring.field_cells import Cells, end_to_end
from striate.measuring.operations.arguments import first, integers, whole
from striate.measuring.operations.number_terms import (
    Arithmetic,
    Place,
    Step,
    in_order,
    moved,
    unchanged,
)
from striate.measuring.operations.operation import Explain, Operation, Reads, Table, none
from striate.probe import Call, Value
from striate.shapes import index_maps
from striate.shapes.index_maps import IndexMap


def _dim(call: Call, rank: int) -> int:
    return whole(call, "dim", 0) % rank


# Other shapes.


def _reshape(call: Call, state: Following) -> Axes:
    value, after = first(call), call.outputs[0].shape
    if isinstance(call.arg("dtype"), torch.dtype):  # the same memory read as another type
        return state.axes(value) if after == value.shape else state.unknown(call)
    return state.each(value, lambda axis: reshaped(axis, value.shape, after))


def _turned(order: Callable[[Call, int], Sequence[int]]) -> Reads:
    """`order` names for each axis of the result the axis it was."""

    def reads(call: Call, state: Following) -> Axes:
        rank = len(first(call).shape)
        was = [dim % rank for dim in order(call, rank)]
        return state.each(first(call), lambda axis: axis.moved(was.index))

    return reads


def _permuted(call: Call, _rank: int) -> Sequence[int]:
    return integers(call.arg("dims"))


def _swapped(call: Call, rank: int) -> Sequence[int]:
    order = list(range(rank))
    a, b = (whole(call, f"dim{i}", whole(call, f"axis{i}", i)) for i in (0, 1))
    order[a], order[b] = order[b], order[a]
    return order


def _moved(call: Call, rank: int) -> Sequence[int]:
    sources, targets = (integers(call.arg(name)) for name in ("source", "destination"))
    pairs = sorted((t % rank, s % rank) for t, s in zip(targets, sources, strict=True))
    order = [dim for dim in range(rank) if dim not in {s for _, s in pairs}]
    for t, s in pairs:
        order.insert(t, s)
    return order


def _reversed(_call: Call, rank: int) -> Sequence[int]:
    return list(reversed(range(rank)))


def _last_two(_call: Call, rank: int) -> Sequence[int]:
    return [*range(rank - 2), rank - 1, rank - 2]


def _expanded(call: Call, state: Following) -> Axes:
    value, after = first(call), call.outputs[0].shape
    more = len(after) - len(value.shape)
    return state.each(value, lambda axis: broadcast(state, axis, more, after))


def _broadcast(call: Call, state: Following) -> list[Axes]:
    found: list[Axes] = []
    for value, out in zip(call.inputs, call.outputs, strict=True):
        by, after = len(out.shape) - len(value.shape), out.shape
        found.append(
            state.each(value, lambda axis, by=by, after=after: broadcast(state, axis, by, after))
        )
    return found


# Parts of a tensor.


def _sliced(state: Following, axis: Axis, dim: int, index: slice, shape: Sequence[int]) -> Axis:
    n = shape[dim]
    if index == slice(None) or index.indices(n) == (0, n, 1):
        return axis
    alone = state.alone(axis, shape)
    if alone is None:
        return state.summed(axis, [dim])
    return state.through(alone, index_maps.cut(index, n), len(range(*index.indices(n))))


def index_of(call: Call, rank: int) -> list[object] | None:
    """What stands for each axis between the brackets, `...` written out; None for what picks freely."""
    given = call.arg("index")
    items = list(cast("list[object]", given)) if isinstance(given, list) else [given]
    if any(isinstance(item, bool | list) or _boolean(item) for item in items):
        return None
    if sum(isinstance(item, Value) for item in items) > 1:
        return None
    taken = sum(item is not None and item is not Ellipsis for item in items)
    fill: list[object] = [slice(None)] * (rank - taken)
    at = next((i for i, item in enumerate(items) if item is Ellipsis), None)
    return [*items, *fill] if at is None else [*items[:at], *fill, *items[at + 1 :]]


def _boolean(item: object) -> bool:
    return isinstance(item, Value) and (len(item.shape) > 1 or not item.dtype.is_signed)


def _indexed(call: Call, state: Following) -> Axes:
    value = first(call)
    index = index_of(call, len(value.shape))
    if index is None or _picks_freely(state, value, index):
        return state.unknown(call)
    return state.each(value, lambda axis: _picked(state, axis, index, value.shape))


def _picks_freely(state: Following, value: Value, index: Sequence[object]) -> bool:
    """Whether a list of places picks along an axis of the picture: nobody knows which."""
    items = [item for item in index if item is not None]
    dims = {dim for axis in state.axes(value) if axis for dim in axis.dims}
    return any(isinstance(items[dim], Value) for dim in dims)


def _picked(state: Following, axis: Axis, index: Sequence[object], shape: Sequence[int]) -> Axis:
    was = new = 0
    places: dict[int, int] = {}
    for item in index:
        if item is None:
            new += 1
            continue
        if was in axis.dims:
            axis = _at_index(state, axis, was, item, shape)
        places[was] = new
        was += 1
        new += not (isinstance(item, int) or (isinstance(item, Value) and not item.shape))
    return axis.moved(lambda dim: places[dim])


def _at_index(state: Following, axis: Axis, dim: int, item: object, shape: Sequence[int]) -> Axis:
    if isinstance(item, slice):
        return _sliced(state, axis, dim, item, shape)
    if isinstance(item, int) and (alone := state.alone(axis, shape)):
        at = item % shape[dim]
        return Axis(Cells(alone.cells.masks[at : at + 1], None), ())
    return state.summed(axis, [dim])


def _cut_along(state: Following, value: Value, dim: int, index: slice) -> Axes:
    return state.each(
        value,
        lambda axis: _sliced(state, axis, dim, index, value.shape) if dim in axis.dims else axis,
    )


def _narrowed(call: Call, state: Following) -> Axes:
    value = first(call)
    dim = _dim(call, len(value.shape))
    begin, length = call.arg("start"), whole(call, "length")
    if not isinstance(begin, int):
        return state.unknown(call)
    begin = begin % value.shape[dim] if begin < 0 else begin
    return _cut_along(state, value, dim, slice(begin, begin + length))


def _selected(call: Call, state: Following) -> Axes:
    value = first(call)
    return _one_of(state, value, _dim(call, len(value.shape)), call.arg("index"))


def _one_of(state: Following, value: Value, dim: int, at: object) -> Axes:
    index: list[object] = [slice(None)] * len(value.shape)
    index[dim] = at
    return state.each(value, lambda axis: _picked(state, axis, index, value.shape))


def _split(call: Call, state: Following) -> list[Axes]:
    value = first(call)
    dim = _dim(call, len(value.shape))
    at, parts = 0, list[Axes]()
    for piece in call.outputs:
        parts.append(_cut_along(state, value, dim, slice(at, at + piece.shape[dim])))
        at += piece.shape[dim]
    return parts


def _unbound(call: Call, state: Following) -> list[Axes]:
    value = first(call)
    dim = _dim(call, len(value.shape))
    return [_one_of(state, value, dim, i) for i in range(len(call.outputs))]


def _flipped(call: Call, state: Following) -> Axes:
    value = first(call)
    flipped = {dim % len(value.shape) for dim in integers(call.arg("dims"))}

    def index_map(dim: int) -> IndexMap | None:
        return IndexMap(1, -1, ((value.shape[dim] - 1,),)) if dim in flipped else None

    return state.along(value, value.shape, index_map)


def _assigned(call: Call, state: Following) -> Axes:
    """`x[...] = y`: both, where they lie; `y` spread out if it goes to every n-th cell."""
    value, new = first(call), call.arg("value")
    if not isinstance(new, Value) or not state.depends(new):
        return state.axes(value)
    index = index_of(call, len(value.shape))
    if (
        index is None
        or len(index) != len(value.shape)
        or not all(isinstance(i, slice) for i in index)
    ):
        return state.unknown(call) if state.depends(value) else state.each(new, Axis.as_whole)
    slices = cast("list[slice]", index)
    more = len(value.shape) - len(new.shape)

    def move(axis: Axis) -> Axis:
        sides = [(slices[dim + more], value.shape[dim + more]) for dim in axis.dims]
        if all(cut.indices(n) == (0, n, 1) for cut, n in sides):
            return axis.moved(lambda dim: dim + more)
        alone = state.alone(axis, new.shape)
        if alone is None:
            return axis.as_whole()
        dim = alone.parts[0].dim + more
        n = value.shape[dim]
        placed = index_maps.placed(range(*slices[dim].indices(n)), n)
        return state.through(alone.moved(lambda _: dim), placed, n)

    return state.union(call, [(state.axes(value), 0), (state.each(new, move), 0)])


def _rolled(call: Call, state: Following) -> Axes:
    """Turned round: each place knows what it reads, but there is no one field for all."""
    value = first(call)
    rank = len(value.shape)
    shifts, dims = integers(call.arg("shifts")), integers(call.arg("dims"))
    if not dims:
        return state.unknown(call)
    turns: dict[int, int] = {}
    for dim, shift in zip(dims, shifts, strict=True):  # an axis may be turned twice
        turns[dim % rank] = turns.get(dim % rank, 0) + shift

    def move(axis: Axis) -> Axis:
        by = {dim: turns[dim] for dim in axis.dims if turns.get(dim)}
        if not by:
            return axis
        alone = state.alone(axis, value.shape)
        if alone is None:
            return state.summed(axis, by)
        at = -sum(by.values()) % alone.count
        masks = alone.cells.masks
        return Axis(Cells(masks[at:] + masks[:at], None), alone.parts)

    return state.each(value, move)


def _chosen(call: Call, state: Following) -> Axes:
    """`index_select`: along an axis of the picture nobody knows which."""
    value = first(call)
    dim = _dim(call, len(value.shape))
    if any(axis and axis.dim == dim for axis in state.axes(value)):
        return state.unknown(call)
    return state.each(value, lambda axis: state.summed(axis, [dim]))


# Several tensors, or one several times.


def _end_to_end(call: Call, state: Following) -> Axes:
    """`cat`: end to end along an axis of the picture, else side by side."""
    rank = len(call.outputs[0].shape)
    dim = _dim(call, rank)
    parts = [value for value in call.inputs if len(value.shape) == rank]
    axes = [state.axes(value) for value in parts]
    along = {
        number: joined
        for number in range(state.rank)
        if (joined := _joined(state, [each[number] for each in axes], parts, dim))
    }
    rest = [
        tuple(
            (axis and number not in along and state.summed(axis, [dim])) or None
            for number, axis in enumerate(each)
        )
        for each in axes
    ]
    side = state.union(call, [(each, 0) for each in rest])
    return tuple(along.get(number, axis) for number, axis in enumerate(side))


def _joined(
    state: Following, axes: Sequence[Axis | None], parts: Sequence[Value], dim: int
) -> Axis | None:
    if not any(axis and axis.dim == dim for axis in axes):
        return None
    cells: list[Cells] = []
    for axis, value in zip(axes, parts, strict=True):
        n = value.shape[dim]
        if axis is None:
            cells.append(Cells((0,) * n, None))
        elif axis.dim == dim and (alone := state.alone(axis, value.shape)):
            cells.append(alone.cells)
        else:
            cells.append(Cells((axis.cells.all,) * n, None))
    joined = end_to_end(cells)
    return Axis(joined, (Part(len(joined.masks), dim),))


def _stacked(call: Call, state: Following) -> Axes:
    new = _dim(call, len(call.outputs[0].shape))
    moved_on = [
        state.each(value, lambda axis: axis.moved(lambda dim: dim + (dim >= new)))
        for value in call.inputs
    ]
    return state.union(call, [(axes, 0) for axes in moved_on])


def _repeated(call: Call, state: Following) -> Axes:
    """`repeat` and `tile`: as a whole, one copy behind the other; along the picture there is no one field for all."""
    value, after = first(call), call.outputs[0].shape
    more = len(after) - len(value.shape)
    times = [m // n for n, m in zip(value.shape, after[more:], strict=True)]

    def move(axis: Axis) -> Axis:
        many = {dim for dim in axis.dims if times[dim] > 1}
        if not many:
            return axis.moved(lambda dim: dim + more)
        alone = state.alone(axis, value.shape)
        if alone is None:
            return state.summed(axis, many).moved(lambda dim: dim + more)
        dim = alone.parts[0].dim
        cells = Cells(alone.cells.masks * times[dim], None)
        return Axis(cells, (Part(len(cells.masks), dim + more),))

    return state.each(value, move)


def _interleaved(call: Call, state: Following) -> Axes:
    """`repeat_interleave`: every cell several times before the next."""
    value, after = first(call), call.outputs[0].shape
    named = call.arg("dim")
    if not isinstance(named, int) or after[named] % value.shape[named]:
        return state.unknown(call)
    dim = named % len(after)
    times = after[dim] // value.shape[dim]
    spread = index_maps.spreading(times, times)
    return state.along(value, after, lambda axis: spread if axis == dim else None)


# One number again.


def explain_joined(step: Step) -> Arithmetic | None:
    """The number of the part that lies there: parts stand end to end along one axis."""
    rank = len(step.at)
    dim = _dim(step.call, rank)
    at = step.at[dim]
    for value in step.call.inputs:
        if len(value.shape) != rank:
            return moved(step)  # an empty tensor of one axis may stand in a list of others
        if at < value.shape[dim]:
            return unchanged(step, Place(value, (*step.at[:dim], at, *step.at[dim + 1 :])))
        at -= value.shape[dim]
    return None


def _move(reads: Reads, *names: str, selects: bool = False, explain: Explain = moved) -> Table:
    return dict.fromkeys(names, Operation(none, reads, explain, selects=selects))


MOVES: Table = {
    **_move(
        _reshape, "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "ravel",
        "view_as", "reshape_as", "_unsafe_view", explain=in_order,
    ),
    **_move(_turned(_permuted), "permute"),
    **_move(_turned(_swapped), "transpose", "swapaxes", "swapdims"),
    **_move(_turned(_moved), "movedim", "moveaxis"),
    **_move(_turned(_reversed), "t", "T", "numpy_T"),
    **_move(_turned(_last_two), "mT", "adjoint", "H", "mH"),
    **_move(_expanded, "expand", "expand_as", "broadcast_to"),
    **_move(_broadcast, "broadcast_tensors"),
    **_move(_indexed, "getitem", selects=True),
    **_move(_assigned, "setitem"),
    **_move(_narrowed, "narrow", selects=True),
    **_move(_selected, "select", selects=True),
    **_move(_split, "split", "chunk", "tensor_split", "split_with_sizes", selects=True),
    **_move(_unbound, "unbind", selects=True),
    **_move(_flipped, "flip"),
    **_move(_rolled, "roll"),
    **_move(_chosen, "index_select"),
    **_move(_repeated, "repeat", "tile"),
    **_move(_interleaved, "repeat_interleave"),
    **dict.fromkeys(
        ("cat", "concat", "concatenate"), Operation(none, _end_to_end, explain_joined, joins=True)
    ),
    "stack": Operation(none, _stacked, moved, joins=True),
}  # fmt: skip
