"""How functions that take or set part of a tensor pass on what they see."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from striate.measuring import taps
from striate.measuring.arguments import first, numbers
from striate.measuring.reads import Reads, Taps
from striate.measuring.sight import Digit, Scene, Sight, View, each, joined, spent, turned
from striate.probe import Call, Value


def _sliced(scene: Scene, view: View, dim: int, index: slice, shape: Sequence[int]) -> View:
    """Cut along one axis of the tensor that the view lies on."""
    n = shape[dim]
    if index == slice(None) or index.indices(n) == (0, n, 1):
        return view
    alone = scene.plain(view, shape)
    if alone is None:
        return scene.closed(view, [dim])
    return scene.passed(alone, taps.cut(index, n), len(range(*index.indices(n))))


def index_of(call: Call, rank: int, position: int = 1) -> list[object] | None:
    """What stands for each axis between the brackets, `...` written out; None for what picks freely."""
    given = call.args[position]
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


def _indexed(call: Call, scene: Scene) -> Sight:
    """`x[...]` with numbers, slices, None and at most one list of places."""
    value = first(call)
    index = index_of(call, len(value.shape))
    if index is None or _picks_freely(scene, value, index):
        return lost(call, scene)
    return each(scene.sight(value), lambda view: _picked(scene, view, index, value.shape))


def _picks_freely(scene: Scene, value: Value, index: Sequence[object]) -> bool:
    """Whether a list of places picks along an axis of the picture: nobody knows which."""
    axes = [item for item in index if item is not None]
    dims = {dim for view in scene.sight(value) if view for dim in view.dims}
    return any(isinstance(axes[dim], Value) for dim in dims)


def lost(call: Call, scene: Scene) -> Sight:
    """All of everything, from a call that is not followed."""
    scene.lost.append(call)
    return joined(scene, call, [(each(scene.sight(v), spent), 0) for v in call.inputs])


def _picked(scene: Scene, view: View, index: Sequence[object], shape: Sequence[int]) -> View:
    """One view after indexing: where its axes went, and what was cut off them."""
    was = new = 0
    places: dict[int, int] = {}
    for item in index:
        if item is None:
            new += 1
            continue
        if was in view.dims:
            view = _at_index(scene, view, was, item, shape)
        places[was] = new
        was += 1
        new += not (isinstance(item, int) or (isinstance(item, Value) and not item.shape))
    return turned(view, lambda dim: places[dim])


def _at_index(scene: Scene, view: View, dim: int, item: object, shape: Sequence[int]) -> View:
    if isinstance(item, slice):
        return _sliced(scene, view, dim, item, shape)
    if isinstance(item, int) and (alone := scene.plain(view, shape)):
        at = item % shape[dim]
        return View(Reads(alone.reads.masks[at : at + 1], None), ())
    return scene.closed(view, [dim])


def _narrowed(call: Call, scene: Scene) -> Sight:
    value = first(call)
    dim = cast("int", call.arg("dim", 1)) % len(value.shape)
    start, length = call.arg("start", 2), cast("int", call.arg("length", 3))
    if not isinstance(start, int):
        return lost(call, scene)
    begin = start % value.shape[dim] if start < 0 else start
    return _cut_along(scene, value, dim, slice(begin, begin + length))


def _cut_along(scene: Scene, value: Value, dim: int, index: slice) -> Sight:
    return each(
        scene.sight(value),
        lambda view: _sliced(scene, view, dim, index, value.shape) if dim in view.dims else view,
    )


def _selected(call: Call, scene: Scene) -> Sight:
    value = first(call)
    rank = len(value.shape)
    dim = cast("int", call.arg("dim", 1)) % rank
    index: list[object] = [slice(None)] * rank
    index[dim] = call.arg("index", 2)
    return each(scene.sight(value), lambda view: _picked(scene, view, index, value.shape))


def _split(call: Call, scene: Scene) -> list[Sight]:
    """Pieces along one axis, from the sizes that came out."""
    value = first(call)
    dim = cast("int", call.arg("dim", 2, 0)) % len(value.shape)
    at, parts = 0, list[Sight]()
    for piece in call.outputs:
        parts.append(_cut_along(scene, value, dim, slice(at, at + piece.shape[dim])))
        at += piece.shape[dim]
    return parts


def _unbound(call: Call, scene: Scene) -> list[Sight]:
    value = first(call)
    rank = len(value.shape)
    dim = cast("int", call.arg("dim", 1, 0)) % rank
    index: list[object] = [slice(None)] * rank
    parts: list[Sight] = []
    for i in range(len(call.outputs)):
        index[dim] = i
        at = list(index)
        parts.append(
            each(scene.sight(value), lambda view, at=at: _picked(scene, view, at, value.shape))
        )
    return parts


def _flipped(call: Call, scene: Scene) -> Sight:
    value = first(call)
    flipped = {dim % len(value.shape) for dim in numbers(call, "dims", 1)}

    def move(view: View) -> View:
        if not view.dims & flipped:
            return view
        alone = scene.plain(view, value.shape)
        if alone is None:
            return scene.closed(view, flipped)
        return scene.passed(alone, Taps(1, -1, ((alone.cells - 1,),)), alone.cells)

    return each(scene.sight(value), move)


def _assigned(call: Call, scene: Scene) -> Sight:
    """`x[...] = y`: both, where they lie; `y` spread out if it goes to every n-th cell."""
    value, new = first(call), call.args[2]
    if not isinstance(new, Value) or not scene.sees(new):
        return scene.sight(value)
    index = index_of(call, len(value.shape))
    if (
        index is None
        or len(index) != len(value.shape)
        or not all(isinstance(i, slice) for i in index)
    ):
        return lost(call, scene) if scene.sees(value) else each(scene.sight(new), spent)
    more = len(value.shape) - len(new.shape)

    def move(view: View) -> View:
        whole_axes = [
            cast("slice", index[dim + more]).indices(value.shape[dim + more])
            == (0, value.shape[dim + more], 1)
            for dim in view.dims
        ]
        if all(whole_axes):
            return turned(view, lambda dim: dim + more)
        alone = scene.plain(view, new.shape)
        if alone is None:
            return spent(view)
        dim = alone.digits[0].dim + more
        n = value.shape[dim]
        start, stop, step = cast("slice", index[dim]).indices(n)
        placed = taps.placed(range(start, stop, step), n)
        return scene.passed(turned(alone, lambda _: dim), placed, n)

    return joined(scene, call, [(scene.sight(value), 0), (each(scene.sight(new), move), 0)])


def _rolled(call: Call, scene: Scene) -> Sight:
    """Turned round: each place knows what it reads, but there is no one field for all."""
    value = first(call)
    rank = len(value.shape)
    shifts, dims = (_each(call.arg(name, at)) for name, at in (("shifts", 1), ("dims", 2)))
    if not dims:
        return lost(call, scene)
    turns: dict[int, int] = {}
    for dim, shift in zip(dims, shifts, strict=True):  # an axis may be turned twice
        turns[dim % rank] = turns.get(dim % rank, 0) + shift

    def move(view: View) -> View:
        by = {dim: turns[dim] for dim in view.dims if turns.get(dim)}
        if not by:
            return view
        alone = scene.plain(view, value.shape)
        if alone is None:
            return scene.closed(view, by)
        at = -sum(by.values()) % alone.cells
        masks = alone.reads.masks
        return View(Reads(masks[at:] + masks[:at], None), alone.digits)

    return each(scene.sight(value), move)


def _each(given: Any) -> list[int]:
    """One integer or several, as a list."""
    return [given] if isinstance(given, int) else list(given or ())


def _chosen(call: Call, scene: Scene) -> Sight:
    """`index_select`: along an axis of the picture nobody knows which."""
    value = first(call)
    dim = cast("int", call.arg("dim", 1)) % len(value.shape)
    if any(view and view.dim == dim for view in scene.sight(value)):
        return lost(call, scene)
    return each(scene.sight(value), lambda view: scene.closed(view, [dim]))


def windows_of(call: Call, scene: Scene) -> Sight:
    """`x.unfold(dim, size, step)`: windows along one axis, laid out along a new last one."""
    value = first(call)
    last = len(value.shape)
    names = (("dimension", 1), ("size", 2), ("step", 3))
    dim, size, step = (cast("int", call.arg(name, at)) for name, at in names)
    dim %= last

    def move(view: View) -> View:
        if dim not in view.dims:
            return view
        alone = scene.plain(view, value.shape)
        if alone is None:
            return scene.closed(view, [dim])
        places = call.outputs[0].shape[dim]
        windows = Taps(size, step, tuple((cell,) for cell in range(size)))
        reads = scene.reads(alone.reads, windows, places * size)
        return View(reads, (Digit(places, dim), Digit(size, last)))

    return each(scene.sight(value), move)


CUTS: dict[str, Callable[[Call, Scene], Sight | list[Sight]]] = {
    "getitem": _indexed,
    "setitem": _assigned,
    "narrow": _narrowed,
    "select": _selected,
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "tensor_split"), _split),
    "unbind": _unbound,
    "flip": _flipped,
    "roll": _rolled,
    "index_select": _chosen,
}
