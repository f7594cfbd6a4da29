"""How each function passes on what its inputs see: windows, reductions, products, element by element.

A rule takes a call and the scene so far, and gives what the outputs see; one answer stands for all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import cast

from striate.measuring import taps
from striate.measuring.arguments import dims, first
from striate.measuring.field_moves import MOVES
from striate.measuring.kinds import ALONG, ELEMENTWISE, MIXED, NOTHING, REDUCED
from striate.measuring.reads import SAME, whole
from striate.measuring.sight import (
    Scene,
    Sight,
    View,
    each,
    joined,
    plain,
    spent,
    spread,
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
            dim = cast("int", view.dim)
            if dim < space:
                return spent(view) if mixes and dim == space - 1 else view
            if not plain(view, before):
                return spent(view)
            n, m = before[dim], after[dim]
            if call.op.startswith("adaptive") and m == 1:
                return replace(view, reads=whole(view.reads))
            return scene.passed(view, tapping(call, dim - space, n, m), m)

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
        dim = cast("int", view.dim)
        if dim < 2 or not plain(view, before):
            return view if dim < 2 else spent(view)
        return scene.passed(view, found[dim - 2] or SAME, after[dim])

    return each(scene.sight(value), move)


def _padded(call: Call, scene: Scene) -> Sight:
    value = first(call)
    sides = cast("Sequence[int]", call.arg("pad", 1, []))
    mode = str(call.arg("mode", 2, "constant"))
    shape = value.shape

    def move(view: View) -> View:
        at = 2 * (len(shape) - 1 - cast("int", view.dim))
        if at >= len(sides) or not (sides[at] or sides[at + 1]):
            return view
        if not plain(view, shape):
            return spent(view)
        pair = (sides[at], sides[at + 1])
        return scene.passed(view, taps.padding(pair, mode, view.cells), view.cells + sum(pair))

    return each(scene.sight(value), move)


def _shuffled(call: Call, scene: Scene) -> Sight:
    """Channels laid out in blocks of r x r cells, or back."""
    value = first(call)
    back = "unshuffle" in call.op
    r = cast("int", call.arg("downscale_factor" if back else "upscale_factor", 1))
    moves = taps.window(r, r) if back else taps.spreading(r, r)
    after, space = call.outputs[0].shape, len(value.shape) - 2

    def move(view: View) -> View:
        dim = cast("int", view.dim)
        return view if dim < space else scene.passed(view, moves, after[dim])

    return each(scene.sight(value), move)


def _unfolded(call: Call, scene: Scene) -> Sight:
    """`F.unfold`: [B, C, H, W] to [B, C K, places], the places of all axes flattened together."""
    value = first(call)
    k, d, p, s = (
        [setting_of(call, name, at, axis) for axis in (0, 1)]
        for name, at in (("kernel_size", 1), ("dilation", 2), ("padding", 3), ("stride", 4))
    )
    places = [
        (n + 2 * p[a] - d[a] * (k[a] - 1) - 1) // s[a] + 1 for a, n in enumerate(value.shape[-2:])
    ]
    space, last = len(value.shape) - 2, len(call.outputs[0].shape) - 1

    def move(view: View) -> View:
        axis = cast("int", view.dim) - space
        if axis < 0:
            return spent(view) if axis == -1 else view
        moved = scene.passed(view, taps.window(k[axis], s[axis], p[axis], d[axis]), places[axis])
        return replace(moved, dim=last, inner=prod(places[axis + 1 :]))

    return each(scene.sight(value), move)


def setting_of(call: Call, name: str, at: int, axis: int) -> int:
    """One setting of `unfold`; padding is 0 and all else 1 if not given."""
    default = 0 if name == "padding" else 1
    return taps.setting(call.arg(name, at, default), axis, default)


def _reduced(call: Call, scene: Scene) -> Sight:
    """Summed, averaged or sorted out along some axes; all of them if none is named."""
    value = first(call)
    if isinstance(call.arg("other", 1), Value):  # the larger of two tensors, not of one
        return _elementwise(call, scene)
    rank, kept = len(value.shape), len(call.outputs[0].shape) == len(value.shape)
    gone = dims(call, rank)

    def move(view: View) -> View:
        dim = cast("int", view.dim)
        if dim in gone:
            alone = kept and plain(view, value.shape)
            return replace(view, reads=whole(view.reads)) if alone else spent(view)
        return view if kept else replace(view, dim=dim - sum(other < dim for other in gone))

    return each(scene.sight(value), move)


def _along(call: Call, scene: Scene) -> Sight:
    """Every cell reads all cells along one axis, as in softmax."""
    value = first(call)
    over = dims(call, len(value.shape))
    return each(scene.sight(value), lambda view: spread(view) if view.dim in over else view)


def _normalised(call: Call, scene: Scene) -> Sight:
    """Layer and RMS normalisation over the last axes."""
    value = first(call)
    shape = call.arg("normalized_shape", 1, [])
    from_dim = len(value.shape) - len(cast("Sequence[int]", shape))
    return each(
        scene.sight(value),
        lambda view: spread(view) if cast("int", view.dim) >= from_dim else view,
    )


def _normalised_maps(call: Call, scene: Scene) -> Sight:
    """Group and instance normalisation: over all places of a map, unless statistics are stored."""
    value = first(call)
    if call.op == "instance_norm" and call.arg("use_input_stats", 5, True) is False:
        return scene.sight(value)
    return each(
        scene.sight(value), lambda view: spread(view) if cast("int", view.dim) > 1 else view
    )


def _batch_normalised(call: Call, scene: Scene) -> Sight:
    sight = scene.sight(first(call))
    if not call.arg("training", 5, False):
        return sight
    return each(sight, lambda view: spread(view) if view.dim != 1 else view)


def _linear(call: Call, scene: Scene) -> Sight:
    value = first(call)
    last = len(value.shape) - 1
    return each(scene.sight(value), lambda view: spent(view) if view.dim == last else view)


def _product(call: Call, scene: Scene) -> Sight:
    """A matrix product: the last axis of the left and the last but one of the right are summed."""
    rank = len(call.outputs[0].shape)
    parts: list[tuple[Sight, int]] = []
    for side, value in enumerate(call.inputs[-2:]):
        last = len(value.shape) - 1
        gone = last if side == 0 or last == 0 else last - 1
        sight = each(scene.sight(value), lambda v, gone=gone: spent(v) if v.dim == gone else v)
        parts.append((sight, rank - len(value.shape)))
    return joined(scene, call, parts)


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
    **dict.fromkeys(("linear", "bilinear"), _linear),
    **dict.fromkeys(("matmul", "mm", "bmm", "baddbmm", "addmm"), _product),
}
