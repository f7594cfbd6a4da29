"""How products pass on what their factors see: matrices, Einstein sums, attention."""

from collections.abc import Callable, Sequence
from typing import cast

from striate.measuring.arguments import first
from striate.measuring.equations import letters
from striate.measuring.field_cuts import lost
from striate.measuring.sight import Scene, Sight, each, joined, spent, turned
from striate.probe import Call, Value


def _linear(call: Call, scene: Scene) -> Sight:
    value = first(call)
    last = len(value.shape) - 1
    return each(scene.sight(value), lambda view: scene.closed(view, [last]))


def _bilinear(call: Call, scene: Scene) -> Sight:
    last = len(call.outputs[0].shape) - 1
    pair = [each(scene.sight(v), lambda view: scene.closed(view, [last])) for v in call.inputs[:2]]
    return joined(scene, call, [(sight, 0) for sight in pair])


def _product(call: Call, scene: Scene) -> Sight:
    """A matrix product: the last axis of the left and the last but one of the right are summed."""
    rank = len(call.outputs[0].shape)
    parts: list[tuple[Sight, int]] = []
    for side, value in enumerate(call.inputs[-2:]):
        last = len(value.shape) - 1
        gone = last if side == 0 or last == 0 else last - 1
        sight = each(scene.sight(value), lambda view, gone=gone: scene.closed(view, [gone]))
        parts.append((sight, rank - len(value.shape)))
    return joined(scene, call, parts)


def _einsum(call: Call, scene: Scene) -> Sight:
    """Axes that the result does not name are summed; those that it names go where it names them."""
    named = letters(call)
    if named is None:
        return lost(call, scene)
    terms, result = named
    parts = [
        (_placed(scene, value, [result.index(a) if a in result else None for a in term]), 0)
        for term, value in zip(terms, call.inputs, strict=True)
    ]
    return joined(scene, call, parts)


def _tensordot(call: Call, scene: Scene) -> Sight:
    left, right = call.inputs[:2]
    named = call.arg("dims", 2, 2)
    ranks = len(left.shape), len(right.shape)
    if isinstance(named, int):
        gone = [list(range(ranks[0] - named, ranks[0])), list(range(named))]
    elif isinstance(named, list) and len(cast("list[object]", named)) == 2:
        pair = cast("list[int | list[int]]", named)
        gone = [
            [dim % rank for dim in (dims if isinstance(dims, list) else [dims])]
            for dims, rank in zip(pair, ranks, strict=True)
        ]
    else:
        return lost(call, scene)
    at, parts = 0, list[tuple[Sight, int]]()
    for value, dims in zip((left, right), gone, strict=True):
        kept = [dim for dim in range(len(value.shape)) if dim not in dims]
        place = [at + kept.index(dim) if dim in kept else None for dim in range(len(value.shape))]
        parts.append((_placed(scene, value, place), 0))
        at += len(kept)
    return joined(scene, call, parts)


def _placed(scene: Scene, value: Value, place: Sequence[int | None]) -> Sight:
    """Summed over the axes without a place, the others at theirs."""
    gone = [dim for dim, to in enumerate(place) if to is None]
    return each(
        scene.sight(value),
        lambda view: turned(scene.closed(view, gone), lambda dim: place[dim] or 0),
    )


def _attention(call: Call, scene: Scene) -> Sight:
    """[..., places, width]: every place of the query reads all of keys and values of the same items and heads."""
    rank = len(call.outputs[0].shape)
    parts: list[tuple[Sight, int]] = []
    for i, value in enumerate(call.inputs):
        last = len(value.shape) - 1
        gone = [last] if i == 0 else [last - 1, last] if i < 3 else range(last + 1)
        sight = each(scene.sight(value), lambda view, gone=gone: scene.closed(view, gone))
        parts.append((sight, rank - len(value.shape)))
    return joined(scene, call, parts)


def _multi_head(call: Call, scene: Scene) -> list[Sight]:
    """[places, items, width]: as attention; the weights it may give beside its result read all there is."""
    parts: list[Sight] = []
    for i, value in enumerate(call.inputs[:3]):
        last = len(value.shape) - 1
        gone = [last] if i == 0 else [0, last]
        parts.append(each(scene.sight(value), lambda view, gone=gone: scene.closed(view, gone)))
    result = joined(scene, call, [(sight, 0) for sight in parts])
    weights = each(result, spent)
    return [result, *[weights] * (len(call.outputs) - 1)]


def _gated(call: Call, scene: Scene) -> Sight:
    """`glu`: one half of an axis times the other."""
    value = first(call)
    dim = cast("int", call.arg("dim", 1, -1)) % len(value.shape)
    if any(view and view.dim == dim for view in scene.sight(value)):
        return lost(call, scene)
    return each(scene.sight(value), lambda view: scene.closed(view, [dim]))


PRODUCTS: dict[str, Callable[[Call, Scene], Sight | list[Sight]]] = {
    "linear": _linear,
    "bilinear": _bilinear,
    **dict.fromkeys(("matmul", "mm", "bmm", "baddbmm", "addmm"), _product),
    "einsum": _einsum,
    "tensordot": _tensordot,
    "scaled_dot_product_attention": _attention,
    "multi_head_attention_forward": _multi_head,
    "glu": _gated,
}
