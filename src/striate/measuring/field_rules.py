"""How each function passes on what its inputs see: windows, reductions, products, element by element.

A rule takes a call and the scene so far, and gives what the outputs see; one answer stands for all of them.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import cast

from striate.measuring import taps
from striate.measuring.arguments import dims, first
from striate.measuring.field_cuts import windows_of
from striate.measuring.field_moves import MOVES
from striate.measuring.field_products import PRODUCTS
from striate.measuring.kinds import ALONG, ELEMENTWISE, MIXED, NOTHING, REDUCED
from striate.measuring.reads import SAME, whole
from striate.measuring.sight import (
    Digit,
    Scene,
    Sight,
    View,
    each,
    joined,
    spent,
    turned,
)
from striate.probe import Call, Value

Rule = Callable[[Call, Scene], Sight | list[Sight]]


def follow(call: Call, scene: Scene) -> None:
    """Add to the scene what the outputs of one call see."""
    if not any(scene.sees(value) for value in call.inputs):
        return
    rule = RULES.get(call.op) or RULES.get(call.op.removesuffix("_")) or _unknown
    sights = rule(call, scene)
    for i, value in enumerate(call.outputs):
        scene.seen[value.index] = sights[i] if isinstance(sights, list) else sights


def _unknown(call: Call, scene: Scene) -> Sight:
    """All of everything, in no known order; the call is remembered as one that was not followed."""
    if any(view and view.reads.spans for value in call.inputs for view in scene.sight(value)):
        scene.lost.append(call)
    return _mixed(call, scene)


def _mixed(call: Call, scene: Scene) -> Sight:
    return joined(
        scene, call, [(each(scene.sight(v), spent), 0) for v in call.inputs if scene.sees(v)]
    )


def _elementwise(call: Call, scene: Scene) -> Sight:
    rank = len(call.outputs[0].shape)
    seeing = [v for v in call.inputs if scene.sees(v)]
    return joined(scene, call, [(scene.sight(v), rank - len(v.shape)) for v in seeing])


def _nothing(_call: Call, scene: Scene) -> Sight:
    """A new tensor in the shape of another."""
    return (None,) * scene.axes


def _windowed(rank: int, tapping: taps.Tapping, *, mixes: bool) -> Rule:
    """A window over the last `rank` axes; `mixes` if it sums over the axis before them, the channels."""

    def rule(call: Call, scene: Scene) -> Sight:
        value = first(call)
        before, after = value.shape, call.outputs[0].shape
        space = len(before) - rank

        def move(view: View) -> View:
            view = scene.closed(view, [space - 1]) if mixes else view
            if not view.digits or max(view.dims) < space:
                return view
            alone = scene.plain(view, before)
            if alone is None:
                return spent(view)
            dim = alone.digits[0].dim
            n, m = before[dim], after[dim]
            if call.op.startswith("adaptive") and m == 1:
                return View(whole(alone.reads), (Digit(1, dim),))
            return scene.passed(alone, tapping(call, dim - space, n, m), m)

        return each(scene.sight(value), move)

    return rule


def _resized(call: Call, scene: Scene) -> Sight:
    value = first(call)
    before, after = value.shape, call.outputs[0].shape
    found = [
        taps.resizing(call, axis, n, m)
        for axis, (n, m) in enumerate(zip(before[2:], after[2:], strict=True))
    ]
    if any(tap is None for tap in found):
        return _unknown(call, scene)

    def move(view: View) -> View:
        if max(view.dims) < 2:
            return view
        alone = scene.plain(view, before)
        if alone is None:
            return spent(view)
        dim = alone.digits[0].dim
        return scene.passed(alone, found[dim - 2] or SAME, after[dim])

    return each(scene.sight(value), move)


def _padded(call: Call, scene: Scene) -> Sight:
    value = first(call)
    sides = cast("Sequence[int]", call.arg("pad", 1, []))
    mode = str(call.arg("mode", 2, "constant"))
    shape = value.shape

    def move(view: View) -> View:
        ends = [2 * (len(shape) - 1 - dim) for dim in view.dims]
        if not any(n for at in ends for n in sides[at : at + 2]):
            return view
        alone = scene.plain(view, shape)
        if alone is None:
            return spent(view)
        pair = (sides[ends[0]], sides[ends[0] + 1])
        return scene.passed(alone, taps.padding(pair, mode, alone.cells), alone.cells + sum(pair))

    return each(scene.sight(value), move)


def _shuffled(call: Call, scene: Scene) -> Sight:
    """Channels laid out in blocks of r x r cells, or back."""
    value = first(call)
    back = "unshuffle" in call.op
    r = cast("int", call.arg("downscale_factor" if back else "upscale_factor", 1))
    moves = taps.window(r, r) if back else taps.spreading(r, r)
    after, space = call.outputs[0].shape, len(value.shape) - 2

    def move(view: View) -> View:
        view = scene.closed(view, [space - 1])
        if not view.digits or max(view.dims) < space:
            return view
        alone = scene.plain(view, value.shape)
        return scene.passed(alone, moves, after[alone.digits[0].dim]) if alone else spent(view)

    return each(scene.sight(value), move)


def _unfolded(call: Call, scene: Scene) -> Sight:
    """`F.unfold`: [B, C, H, W] to [B, C K, places], the places of all axes flattened together."""
    value = first(call)
    if len(call.outputs[0].shape) == len(value.shape) + 1:
        return windows_of(call, scene)
    k, d, p, s = taps.patches(call, 1)
    places = taps.places(value.shape[-2:], call, 1)
    space, last = len(value.shape) - 2, len(call.outputs[0].shape) - 1

    def move(view: View) -> View:
        view = scene.closed(view, [space - 1])
        if not view.digits or max(view.dims) < space:
            return view
        alone = scene.plain(view, value.shape)
        if alone is None:
            return spent(view)
        axis = alone.digits[0].dim - space
        window = taps.window(k[axis], s[axis], p[axis], d[axis])
        reads = scene.passed(alone, window, places[axis]).reads
        return View(reads, (Digit(places[axis], last, prod(places[axis + 1 :])),))

    return each(scene.sight(value), move)


def _folded(call: Call, scene: Scene) -> Sight:
    """`F.fold`: the places that `unfold` flattened back to maps, windows that overlap summed."""
    value, out = first(call), call.outputs[0].shape
    k, d, p, s = taps.patches(call, 2)
    places = taps.places(out[-2:], call, 2)
    last, space = len(value.shape) - 1, len(out) - 2

    def move(view: View) -> View:
        view = scene.closed(view, [last - 1])
        if view.digits and max(view.dims) < last - 1:
            return view
        inners = {Digit(places[a], last, prod(places[a + 1 :])): a for a in (0, 1)}
        axis = inners.get(view.digits[0]) if len(view.digits) == 1 else None
        if axis is None:
            return spent(view)
        taken = scene.reads(
            view.reads, taps.spreading(k[axis], s[axis], p[axis], d[axis]), out[space + axis]
        )
        return View(taken, (Digit(out[space + axis], space + axis),))

    return each(scene.sight(value), move)


def _reduced(call: Call, scene: Scene) -> Sight:
    """Summed, averaged or sorted out along some axes; all of them if none is named."""
    value = first(call)
    if isinstance(call.arg("other", 1), Value):  # the larger of two tensors, not of one
        return _elementwise(call, scene)
    rank, kept = len(value.shape), len(call.outputs[0].shape) == len(value.shape)
    gone = dims(call, rank)

    def move(view: View) -> View:
        if kept and view.dim in gone:
            alone = scene.plain(view, value.shape)
            return (
                View(whole(view.reads), (Digit(1, view.digits[0].dim),)) if alone else spent(view)
            )
        view = scene.closed(view, gone)
        return view if kept else turned(view, lambda dim: dim - sum(o < dim for o in gone))

    return each(scene.sight(value), move)


def _along(call: Call, scene: Scene) -> Sight:
    """Every cell reads all cells along one axis, as in softmax."""
    value = first(call)
    over = dims(call, len(value.shape))
    return each(scene.sight(value), lambda view: scene.blurred(view, over))


def _normalised(call: Call, scene: Scene) -> Sight:
    """Layer and RMS normalisation over the last axes."""
    value = first(call)
    shape = call.arg("normalized_shape", 1, [])
    from_dim = len(value.shape) - len(cast("Sequence[int]", shape))
    over = range(from_dim, len(value.shape))
    return each(scene.sight(value), lambda view: scene.blurred(view, over))


def _normalised_maps(call: Call, scene: Scene) -> Sight:
    """Group and instance normalisation: over all places of a map, unless statistics are stored."""
    value = first(call)
    if call.op == "instance_norm" and call.arg("use_input_stats", 5, True) is False:
        return scene.sight(value)
    over = range(2, len(value.shape))
    return each(scene.sight(value), lambda view: scene.blurred(view, over))


def _batch_normalised(call: Call, scene: Scene) -> Sight:
    sight = scene.sight(first(call))
    if not call.arg("training", 5, False):
        return sight
    over = [dim for dim in range(len(first(call).shape)) if dim != 1]
    return each(sight, lambda view: scene.blurred(view, over))


WINDOWS: dict[str, Rule] = {
    name: rule
    for n in (1, 2, 3)
    for name, rule in {
        f"conv{n}d": _windowed(n, taps.convolution, mixes=True),
        f"conv_transpose{n}d": _windowed(n, taps.transposed, mixes=True),
        f"max_pool{n}d": _windowed(n, taps.pooling(1), mixes=False),
        f"max_pool{n}d_with_indices": _windowed(n, taps.pooling(1), mixes=False),
        f"avg_pool{n}d": _windowed(n, taps.pooling(1), mixes=False),
        f"lp_pool{n}d": _windowed(n, taps.pooling(2), mixes=False),
        f"max_unpool{n}d": _windowed(n, taps.unpooling, mixes=False),
        f"adaptive_max_pool{n}d": _windowed(n, taps.adaptive, mixes=False),
        f"adaptive_max_pool{n}d_with_indices": _windowed(n, taps.adaptive, mixes=False),
        f"adaptive_avg_pool{n}d": _windowed(n, taps.adaptive, mixes=False),
    }.items()
}
RULES: dict[str, Rule] = {
    **WINDOWS,
    **MOVES,
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(REDUCED, _reduced),
    **dict.fromkeys(ALONG, _along),
    **dict.fromkeys(MIXED, _mixed),
    **dict.fromkeys(NOTHING, _nothing),
    **dict.fromkeys(("layer_norm", "rms_norm"), _normalised),
    **dict.fromkeys(("group_norm", "instance_norm"), _normalised_maps),
    "batch_norm": _batch_normalised,
    **dict.fromkeys(("interpolate", "upsample"), _resized),
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), _shuffled),
    "pad": _padded,
    "unfold": _unfolded,
    "fold": _folded,
    **PRODUCTS,
}
