"""How functions that only move values about pass on what they see: reshaping, turning, cutting, joining."""

from collections.abc import Callable, Sequence
from typing import cast

from striate.measuring import taps
from striate.measuring.arguments import first, numbers
from striate.measuring.field_cuts import CUTS, lost
from striate.measuring.reads import Reads, chained
from striate.measuring.sight import Digit, Scene, Sight, View, each, joined, reshaped, turned
from striate.probe import Call, Value


def _reshape(call: Call, scene: Scene) -> Sight:
    value = first(call)
    after = call.outputs[0].shape
    if isinstance(call.arg("dtype", 1), type(value.dtype)):
        return scene.sight(value)
    return each(scene.sight(value), lambda view: reshaped(view, value.shape, after))


def _turned(order: Callable[[Call, int], Sequence[int]]) -> Callable[[Call, Scene], Sight]:
    """`order` names for each axis of the result the axis it was."""

    def rule(call: Call, scene: Scene) -> Sight:
        value = first(call)
        rank = len(value.shape)
        was = [dim % rank for dim in order(call, rank)]
        return each(scene.sight(value), lambda view: turned(view, was.index))

    return rule


def _permuted(call: Call, _rank: int) -> Sequence[int]:
    return numbers(call, "dims", 1)


def _swapped(call: Call, rank: int) -> Sequence[int]:
    order = list(range(rank))
    a = cast("int", call.arg("dim0", 1, call.kwargs.get("axis0", 0)))
    b = cast("int", call.arg("dim1", 2, call.kwargs.get("axis1", 1)))
    order[a], order[b] = order[b], order[a]
    return order


def _moved(call: Call, rank: int) -> Sequence[int]:
    source, target = (call.arg(name, at) for at, name in ((1, "source"), (2, "destination")))
    sources = cast("list[int]", source if isinstance(source, list) else [source])
    targets = cast("list[int]", target if isinstance(target, list) else [target])
    pairs = sorted((t % rank, s % rank) for t, s in zip(targets, sources, strict=True))
    order = [dim for dim in range(rank) if dim not in {s for _, s in pairs}]
    for t, s in pairs:
        order.insert(t, s)
    return order


def _reversed(_call: Call, rank: int) -> Sequence[int]:
    return list(reversed(range(rank)))


def _last_two(_call: Call, rank: int) -> Sequence[int]:
    return [*range(rank - 2), rank - 1, rank - 2]


def _expanded(call: Call, scene: Scene) -> Sight:
    """Broadcast to a larger shape."""
    value, after = first(call), call.outputs[0].shape
    more = len(after) - len(value.shape)

    def move(view: View) -> View:
        moved = turned(view, lambda dim: dim + more)
        if view.cells == 1 and after[moved.digits[0].dim] > 1:
            return scene.passed(moved, taps.REPEATED, after[moved.digits[0].dim])
        return moved

    return each(scene.sight(value), move)


def _chained(call: Call, scene: Scene) -> Sight:
    """`cat`: end to end along an axis of the picture, else side by side."""
    rank = len(call.outputs[0].shape)
    dim = cast("int", call.kwargs.get("axis", call.arg("dim", 1, 0))) % rank
    parts = [value for value in call.inputs if len(value.shape) == rank]
    sights = [scene.sight(value) for value in parts]
    along = {
        axis: end
        for axis in range(scene.axes)
        if (end := _end_to_end(scene, [sight[axis] for sight in sights], parts, dim))
    }
    rest = [
        each(_without(sight, along), lambda view: scene.closed(view, [dim])) for sight in sights
    ]
    side = joined(scene, call, [(sight, 0) for sight in rest])
    return tuple(along.get(axis, view) for axis, view in enumerate(side))


def _without(sight: Sight, axes: dict[int, View]) -> Sight:
    return tuple(None if axis in axes else view for axis, view in enumerate(sight))


def _end_to_end(
    scene: Scene, views: Sequence[View | None], parts: Sequence[Value], dim: int
) -> View | None:
    """All views of one axis laid end to end, if it is along that axis that they are joined."""
    if not any(view and view.dim == dim for view in views):
        return None
    reads: list[Reads] = []
    for view, value in zip(views, parts, strict=True):
        n = value.shape[dim]
        if view is None:
            reads.append(Reads((0,) * n, None))
        elif view.dim == dim and (alone := scene.plain(view, value.shape)):
            reads.append(alone.reads)
        else:
            reads.append(Reads((view.reads.all,) * n, None))
    laid = chained(reads)
    return View(laid, (Digit(len(laid.masks), dim),))


def _stacked(call: Call, scene: Scene) -> Sight:
    rank = len(call.outputs[0].shape)
    new = cast("int", call.arg("dim", 1, 0)) % rank

    def move(view: View) -> View:
        return turned(view, lambda dim: dim + (dim >= new))

    return joined(scene, call, [(each(scene.sight(v), move), 0) for v in call.inputs])


def _repeated(call: Call, scene: Scene) -> Sight:
    """`repeat` and `tile`: as a whole, one copy behind the other; along the picture there is no one field for all."""
    value, after = first(call), call.outputs[0].shape
    more = len(after) - len(value.shape)
    times = [m // n for n, m in zip(value.shape, after[more:], strict=True)]

    def move(view: View) -> View:
        many = {dim for dim in view.dims if times[dim] > 1}
        if not many:
            return turned(view, lambda dim: dim + more)
        alone = scene.plain(view, value.shape)
        if alone is None:
            return turned(scene.closed(view, many), lambda dim: dim + more)
        dim = alone.digits[0].dim
        reads = Reads(alone.reads.masks * times[dim], None)
        return View(reads, (Digit(len(reads.masks), dim + more),))

    return each(scene.sight(value), move)


def _interleaved(call: Call, scene: Scene) -> Sight:
    """`repeat_interleave`: every cell several times before the next."""
    value, after = first(call), call.outputs[0].shape
    named = call.arg("dim", 2)
    if not isinstance(named, int) or after[named] % value.shape[named]:
        return lost(call, scene)
    dim = named % len(after)
    times = after[dim] // value.shape[dim]

    def move(view: View) -> View:
        if dim not in view.dims:
            return view
        alone = scene.plain(view, value.shape)
        if alone is None:
            return scene.closed(view, [dim])
        return scene.passed(alone, taps.spreading(times, times), after[dim])

    return each(scene.sight(value), move)


Rule = Callable[[Call, Scene], Sight | list[Sight]]
MOVES: dict[str, Rule] = {
    **dict.fromkeys(
        [
            "view",
            "reshape",
            "flatten",
            "unflatten",
            "squeeze",
            "unsqueeze",
            "view_as",
            "reshape_as",
            "_unsafe_view",
        ],
        _reshape,
    ),
    "permute": _turned(_permuted),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _turned(_swapped)),
    **dict.fromkeys(("movedim", "moveaxis"), _turned(_moved)),
    **dict.fromkeys(("t", "T", "numpy_T"), _turned(_reversed)),
    **dict.fromkeys(("mT", "adjoint"), _turned(_last_two)),
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), _expanded),
    **CUTS,
    **dict.fromkeys(("cat", "concat", "concatenate"), _chained),
    "stack": _stacked,
    **dict.fromkeys(("repeat", "tile"), _repeated),
    "repeat_interleave": _interleaved,
}
