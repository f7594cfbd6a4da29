"""Operations that slide a window: convolution, pooling, resizing, padding, folding.

d dilation, p padding, s stride, k cell of the kernel. Output y of a window reads input cell y s - p + k d; a
transposed one reads input cell i where i s - p + k d = y, so some kernel cells meet no input at all.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import prod
from typing import cast

import torch
from torch import Tensor

from striate.measuring.field_axes import Axes, Axis, Following, Part
from striate.measuring.operations.arguments import (
    first,
    kernel_of,
    setting,
    settings,
    tensor,
    whole,
)
from striate.measuring.operations.number_terms import (
    Arithmetic,
    Mark,
    Place,
    Step,
    Term,
    gamma,
    moved,
    summed,
    total,
)
from striate.measuring.operations.operation import (
    Connections,
    Operation,
    Reads,
    Table,
    none,
    of_first,
)
from striate.probe import Call, Value
from striate.shapes import index_maps, out_size
from striate.shapes.index_maps import SAME, IndexMap

# What outputs read along one axis of space: call, number of that axis, cells in, cells out.
Mapping = Callable[[Call, int, int, int], IndexMap]


# Multiply-adds and connections. Padding cells count.


def convolution_macs(call: Call) -> int:
    """Every output value is a sum over one kernel."""
    return call.outputs[0].count * prod(tensor(call, "weight").shape[1:])


def transposed_macs(call: Call) -> int:
    """Each input value is spread over one kernel a map; what `padding` cuts off afterwards is computed too."""
    return tensor(call, "input").count * prod(tensor(call, "weight").shape[1:])


def biased(macs: Callable[[Call], int]) -> Connections:
    """Connections of a sum of products: its multiply-adds, and one a value for a bias."""
    return lambda call, _: macs(call) + (call.arg("bias") is not None) * call.outputs[0].count


def _axes(call: Call) -> int:
    return int(next(letter for letter in call.op if letter.isdigit()))


def _pooled_connections(call: Call, _state: Following) -> int:
    return prod(settings(call, "kernel_size", _axes(call))) * call.outputs[0].count


def _adaptive_connections(call: Call, _state: Following) -> int:
    before, after, axes = tensor(call, "input").shape, call.outputs[0].shape, _axes(call)
    sides = zip(before[-axes:], after[-axes:], strict=True)
    maps = [(index_maps.adaptive(n, m), m) for n, m in sides]
    read = prod(sum(len(index_map.at(o)) for o in range(m)) for index_map, m in maps)
    return read * prod(before[:-axes])


# What one axis reads.


def before_of(call: Call, axis: int) -> int:
    """Padding before a convolution; "same" puts the odd cell after."""
    padding = call.arg("padding", 0)
    if not isinstance(padding, str):
        return setting(padding, axis)
    dilation = setting(call.arg("dilation"), axis)
    return dilation * (kernel_of(call)[axis] - 1) // 2 if padding == "same" else 0


def _convolution(call: Call, axis: int, _n: int, _m: int) -> IndexMap:
    stride, dilation = (setting(call.arg(name), axis) for name in ("stride", "dilation"))
    return index_maps.sliding(kernel_of(call)[axis], stride, before_of(call, axis), dilation)


def _spread(call: Call, axis: int) -> tuple[int, int, int, int]:
    stride, dilation = (setting(call.arg(name), axis) for name in ("stride", "dilation"))
    return kernel_of(call)[axis], stride, setting(call.arg("padding", 0), axis), dilation


def _transposed(call: Call, axis: int, _n: int, _m: int) -> IndexMap:
    return index_maps.spreading(*_spread(call, axis))


def _pool_sizes(call: Call, axis: int) -> tuple[int, int, int, int]:
    """Kernel, stride, padding, dilation of a pooling; lp_pool has no padding, and only max_pool a dilation."""
    kernel = setting(call.arg("kernel_size"), axis, 2)
    stride = setting(call.arg("stride"), axis, kernel)
    padding = setting(call.arg("padding"), axis, 0)
    return kernel, stride, padding, setting(call.arg("dilation"), axis)


def _pooling(call: Call, axis: int, _n: int, _m: int) -> IndexMap:
    return index_maps.sliding(*_pool_sizes(call, axis))


def _unpooling(call: Call, axis: int, _n: int, _m: int) -> IndexMap:
    """Every input may come to lie anywhere in the window it is the maximum of."""
    kernel, stride, padding, _ = _pool_sizes(call, axis)
    return index_maps.spreading(kernel, stride, padding)


def _adaptive(_call: Call, _axis: int, n: int, m: int) -> IndexMap:
    return index_maps.adaptive(n, m)


def _resizing(call: Call, axis: int, n: int, m: int) -> IndexMap | None:
    """Of interpolate; None for what reads more than a fixed number of cells around a place."""
    mode = str(call.arg("mode", "nearest"))
    if n == m and mode != "nearest-exact":
        return SAME
    if mode == "area":
        return index_maps.adaptive(n, m)
    if call.arg("antialias", False):
        return None
    aligned = bool(call.arg("align_corners"))
    ratio = Fraction(n - 1, max(1, m - 1)) if aligned else _ratio(call, axis, n, m)
    return index_maps.resized(ratio, mode, aligned=aligned)


def _ratio(call: Call, axis: int, n: int, m: int) -> Fraction:
    scale = call.arg("scale_factor")
    if scale is None or call.arg("recompute_scale_factor"):
        return Fraction(n, m)
    factor = scale if isinstance(scale, int | float) else cast("Sequence[float]", scale)[axis]
    return 1 / Fraction(factor).limit_denominator(1000)


# What outputs read of the picture.


def windowed(mapping: Mapping, *, mixes: bool) -> Reads:
    """A window over the last axes; `mixes` if it sums over the axis before them, the channels."""

    def reads(call: Call, state: Following) -> Axes:
        value, after = first(call), call.outputs[0].shape
        space = len(value.shape) - _axes(call)

        def index_map(dim: int) -> IndexMap | None:
            if dim < space:
                return None
            return mapping(call, dim - space, value.shape[dim], after[dim])

        return state.along(value, after, index_map, summed=[space - 1] if mixes else [])

    return reads


def _resized(call: Call, state: Following) -> Axes:
    before, after = first(call).shape, call.outputs[0].shape
    sides = zip(before[2:], after[2:], strict=True)
    maps = [_resizing(call, axis, n, m) for axis, (n, m) in enumerate(sides)]
    if any(found is None for found in maps):
        return state.unknown(call)
    return state.along(first(call), after, lambda dim: maps[dim - 2] if dim > 1 else None)


def _padded(call: Call, state: Following) -> Axes:
    value, mode = first(call), str(call.arg("mode", "constant"))
    sides = cast("Sequence[int]", call.arg("pad", []))

    def index_map(dim: int) -> IndexMap | None:
        at = 2 * (len(value.shape) - 1 - dim)
        before, after = (*sides[at : at + 2], 0, 0)[:2]
        return index_maps.padded(before, after, mode, value.shape[dim]) if before or after else None

    return state.along(value, call.outputs[0].shape, index_map)


def _shuffled(call: Call, state: Following) -> Axes:
    """Channels laid out in blocks of r x r cells, or back."""
    value, space = first(call), len(first(call).shape) - 2
    back = "unshuffle" in call.op
    r = whole(call, "downscale_factor" if back else "upscale_factor")
    index_map = index_maps.sliding(r, r) if back else index_maps.spreading(r, r)
    return state.along(
        value,
        call.outputs[0].shape,
        lambda dim: index_map if dim >= space else None,
        summed=[space - 1],
    )


def _patches(call: Call) -> list[tuple[int, int, int, int]]:
    numbers = [
        settings(call, name, 2, default)
        for name, default in (("kernel_size", 1), ("stride", 1), ("padding", 0), ("dilation", 1))
    ]
    return list(zip(*numbers, strict=True))


def _places(sides: Sequence[int], windows: Sequence[tuple[int, int, int, int]]) -> list[int]:
    return [
        out_size(n, kernel=k, stride=s, padding=p, dilation=d)
        for n, (k, s, p, d) in zip(sides, windows, strict=True)
    ]


def _unfolded(call: Call, state: Following) -> Axes:
    """`F.unfold`: [B, C, H, W] to [B, C K, places], the places of all axes flattened together."""
    value = first(call)
    if len(call.outputs[0].shape) == len(value.shape) + 1:
        return _sliding_view(call, state)
    windows = _patches(call)
    places = _places(value.shape[-2:], windows)
    space, last = len(value.shape) - 2, len(call.outputs[0].shape) - 1

    def move(axis: Axis) -> Axis:
        axis = state.summed(axis, [space - 1])
        if not any(dim >= space for dim in axis.dims):
            return axis
        alone = state.alone(axis, value.shape)
        if alone is None:
            return axis.as_whole()
        number = alone.parts[0].dim - space
        cells = state.cells(alone.cells, index_maps.sliding(*windows[number]), places[number])
        return Axis(cells, (Part(places[number], last, prod(places[number + 1 :])),))

    return state.each(value, move)


def _sliding_view(call: Call, state: Following) -> Axes:
    """`x.unfold(dim, size, step)`: windows along one axis, laid out along a new last one."""
    value = first(call)
    last = len(value.shape)
    dim, size, step = (whole(call, name) for name in ("dimension", "size", "step"))
    dim %= last

    def move(axis: Axis) -> Axis:
        if dim not in axis.dims:
            return axis
        alone = state.alone(axis, value.shape)
        if alone is None:
            return state.summed(axis, [dim])
        places = call.outputs[0].shape[dim]
        windows = IndexMap(size, step, tuple((cell,) for cell in range(size)))
        cells = state.cells(alone.cells, windows, places * size)
        return Axis(cells, (Part(places, dim), Part(size, last)))

    return state.each(value, move)


def _folded(call: Call, state: Following) -> Axes:
    """`F.fold`: the places that `unfold` flattened back to maps, windows that overlap summed."""
    value, out = first(call), call.outputs[0].shape
    windows = _patches(call)
    places = _places(out[-2:], windows)
    last, space = len(value.shape) - 1, len(out) - 2
    inners = {Part(places[a], last, prod(places[a + 1 :])): a for a in (0, 1)}

    def move(axis: Axis) -> Axis:
        axis = state.summed(axis, [last - 1])
        if axis.parts and max(axis.dims) < last - 1:
            return axis
        number = inners.get(axis.parts[0]) if len(axis.parts) == 1 else None
        if number is None:
            return axis.as_whole()
        n = out[space + number]
        cells = state.cells(axis.cells, index_maps.spreading(*windows[number]), n)
        return Axis(cells, (Part(n, space + number),))

    return state.each(value, move)


# One number again.

Windows = list[tuple[int | None, ...]]  # input cells an axis; None is a gap between two


def explain_convolution(step: Step) -> Arithmetic:
    """conv1d, conv2d, conv3d; grouped, depthwise, dilated, padded by number or by word."""
    source, weight = step.tensor("input"), step.tensor("weight")
    axes = len(weight.shape) - 2
    windows = _read(step, axes, _convolution)
    out, per_group = step.at[-axes - 1], weight.shape[1]
    group = out // (weight.shape[0] // whole(step.call, "groups", 1))
    channels = range(group * per_group, (group + 1) * per_group)
    terms = _products(step, source, channels, step.numbers(weight)[out], windows)
    return _convolved(step, "convolution", terms)


def explain_transposed(step: Step) -> Arithmetic:
    """conv_transpose1d, 2d and 3d."""
    source, weight = step.tensor("input"), step.tensor("weight")
    axes = len(weight.shape) - 2
    places = enumerate(step.at[-axes:])
    windows = [index_maps.met(y, *_spread(step.call, axis)) for axis, y in places]
    per_group = weight.shape[0] // whole(step.call, "groups", 1)
    group, column = divmod(step.at[-axes - 1], weight.shape[1])
    channels = range(group * per_group, (group + 1) * per_group)
    factors = step.numbers(weight)[channels.start : channels.stop, column]
    terms = _products(step, source, channels, factors, windows)
    return _convolved(step, "transposed convolution", terms)


def _read(step: Step, axes: int, mapping: Mapping) -> Windows:
    """The cells that the number's window covers, an axis; those outside the input are padding."""
    before, after = first(step.call).shape[-axes:], step.place.value.shape[-axes:]
    return [
        mapping(step.call, axis, n, m).at(y)
        for axis, (n, m, y) in enumerate(zip(before, after, step.at[-axes:], strict=True))
    ]


def _taps(windows: Windows) -> list[tuple[tuple[int, ...], tuple[int | None, ...]]]:
    kernel = [range(len(cells)) for cells in windows]
    return list(zip(product(*kernel), product(*windows), strict=True))


def _products(
    step: Step, source: Value, channels: range, factors_CK: Tensor, windows: Windows
) -> tuple[Term, ...]:
    lead = step.at[: -factors_CK.ndim]
    numbers = step.numbers(source)[lead][channels.start : channels.stop]
    taps: list[tuple[tuple[int, ...], tuple[int | None, ...], Mark]] = [
        (tap, cells, _mark(cells, numbers.shape[1:])) for tap, cells in _taps(windows)
    ]
    inside = [cells for _, cells, mark in taps if not mark]
    # Gathered at once: a tensor asked cell by cell takes ten times as long.
    at = tuple(torch.tensor(axis, dtype=torch.long) for axis in zip(*inside, strict=True))
    read = numbers[(slice(None), *at)].double().tolist() if inside else [[] for _ in channels]
    factors = factors_CK.double().flatten(1).tolist()
    found: list[Term] = []
    for channel, values, row in zip(channels, read, factors, strict=True):
        following = iter(values)
        for (tap, cells, mark), factor in zip(taps, row, strict=True):
            place = (
                None if mark else Place(source, (*lead, channel, *cast("tuple[int, ...]", cells)))
            )
            number = 0.0 if mark else next(following)
            found.append(Term(number, factor, place, None, channel, tap, mark))
    return tuple(found)


def _mark(cells: Sequence[int | None], sides: Sequence[int]) -> Mark:
    real = [(cell, n) for cell, n in zip(cells, sides, strict=True) if cell is not None]
    # Beyond the edge counts before lying between two inputs does.
    if not all(0 <= cell < n for cell, n in real):
        return "padding"
    return "gap" if len(real) < len(cells) else ""


def _term(
    plane: Tensor, cells: Sequence[int | None], factor: float, at: Place, nothing: float = 0.0
) -> Term:
    mark = _mark(cells, plane.shape)
    if mark:
        return Term(nothing, factor, mark=mark)
    place = cast("tuple[int, ...]", tuple(cells))
    return Term(float(plane[place]), factor, Place(at.value, (*at.at, *place)))


def _convolved(step: Step, kind: str, terms: tuple[Term, ...]) -> Arithmetic:
    kernel = kernel_of(step.call)
    bias = step.value("bias")
    facts = {"bias": float(step.numbers(bias)[step.at[-len(kernel) - 1]])} if bias else {}
    exact, bound = summed(terms, step.unit, list(facts.values()))
    rule = f"the sum of {len(terms):,} products" + (" and a bias" if facts else "")
    dilation = settings(step.call, "dilation", len(kernel))
    return Arithmetic(kind, rule, terms, exact, bound, facts, kernel, dilation)


def _pooled_terms(step: Step, windows: Windows, factor: float, nothing: float = 0.0) -> list[Term]:
    source, lead = first(step.call), step.at[: -len(windows)]
    plane = step.numbers(source)[lead].double()
    channel = lead[-1] if lead else None
    return [
        replace(_term(plane, cells, factor, Place(source, lead), nothing), channel=channel, tap=tap)
        for tap, cells in _taps(windows)
    ]


def explain_maximum(mapping: Mapping) -> Callable[[Step], Arithmetic]:
    """The largest of a window: padding never wins, and the first of equals is taken."""

    def explain(step: Step) -> Arithmetic:
        windows = _read(step, _axes(step.call), mapping)
        terms = _pooled_terms(step, windows, 1.0, -math.inf)
        numbers = [(math.isnan(term.input), term.input) for term in terms]
        best = numbers.index(max(numbers))
        marked = tuple(
            replace(t, factor=float(i == best), mark="taken" if i == best else t.mark)
            for i, t in enumerate(terms)
        )
        rule = f"the largest of {sum(t.source is not None for t in terms)} numbers"
        kernel = tuple(map(len, windows))
        dilation = settings(step.call, "dilation", len(kernel))
        return Arithmetic("maximum", rule, marked, terms[best].input, 0.0, {}, kernel, dilation)

    return explain


def explain_average(step: Step) -> Arithmetic:
    """avg_pool1d, 2d, 3d: divided by the cells of the window, with padding or without, or by a given number."""
    axes = _axes(step.call)
    windows = _read(step, axes, _pooling)
    padding = settings(step.call, "padding", axes, 0)
    given = step.call.arg("divisor_override")
    with_padding = bool(step.call.arg("count_include_pad", True))
    # A last window of ceil mode may reach past the padding; what lies there is never counted.
    reach = padding if with_padding else (0,) * axes
    divisor = given if isinstance(given, int) else _inside(step, windows, reach)
    words = "counted" if with_padding else "not counted"
    convention = "" if given or not any(padding) else f" (padding {words})"
    return _mean(step, windows, divisor, convention)


def explain_adaptive_average(step: Step) -> Arithmetic:
    """adaptive_avg_pool1d, 2d, 3d: windows from floor(i H / O) to ceil((i + 1) H / O)."""
    windows = _read(step, _axes(step.call), _adaptive)
    return _mean(step, windows, prod(map(len, windows)), "")


def _inside(step: Step, windows: Windows, reach: Sequence[int]) -> int:
    sides = zip(windows, first(step.call).shape[-len(windows) :], reach, strict=True)
    return prod(
        sum(cell is not None and -p <= cell < n + p for cell in cells) for cells, n, p in sides
    )


def _mean(step: Step, windows: Windows, divisor: int, convention: str) -> Arithmetic:
    terms = tuple(_pooled_terms(step, windows, 1 / divisor))
    added = total(term.input for term in terms)
    sizes = math.fsum(abs(term.input) for term in terms) / abs(divisor)
    rule = f"the sum of {len(terms)} numbers, divided by {divisor}{convention}"
    bound = gamma(len(terms) + 2, step.unit) * sizes
    facts, kernel = {"divisor": float(divisor)}, tuple(map(len, windows))
    ones = (1,) * len(kernel)
    return Arithmetic("average", rule, terms, added / divisor, bound, facts, kernel, ones)


def explain_power(step: Step) -> Arithmetic | None:
    """lp_pool1d, 2d, 3d: the p-th root of the sum of p-th powers."""
    windows = _read(step, _axes(step.call), _pooling)
    kernel = tuple(map(len, windows))
    p = float(cast("float", step.call.arg("norm_type", 2.0)))
    # PyTorch averages the powers and multiplies by the full window, which scales up one that ceil mode cut.
    read = _pooled_terms(step, windows, 1.0)
    if p < 1 or (not p.is_integer() and any(term.input < 0 for term in read)):
        return None  # such powers have no real factors
    scale = prod(kernel) / _inside(step, windows, (0,) * len(kernel))
    terms = tuple(replace(t, factor=t.input ** (p - 1) * scale) for t in read)
    powers, slack = summed(terms, step.unit)
    exact = powers ** (1 / p) if powers > 0 else 0.0
    # The root divides a relative error by p; the powers, the scale and the root round a few times each.
    relative = slack / powers / p + gamma(16, step.unit) if powers > 0 else 0.0
    rule = f"the sum of {len(terms)} powers {p:g}, to the power 1/{p:g}"
    facts, ones = {"p": p, "sum of powers": powers}, (1,) * len(kernel)
    return Arithmetic("power pooling", rule, terms, exact, exact * relative, facts, kernel, ones)


CONVOLUTION = Operation(
    convolution_macs,
    of_first(windowed(_convolution, mixes=True)),
    explain_convolution,
    biased(convolution_macs),
    "convolution",
)
TRANSPOSED = Operation(
    transposed_macs,
    of_first(windowed(_transposed, mixes=True)),
    explain_transposed,
    biased(transposed_macs),
    "transposed convolution",
)
POOL = windowed(_pooling, mixes=False)
ADAPTIVE = windowed(_adaptive, mixes=False)
ANY_RANK = {
    "conv": CONVOLUTION,
    "conv_transpose": TRANSPOSED,
    "max_pool": Operation(none, POOL, explain_maximum(_pooling), _pooled_connections),
    "avg_pool": Operation(none, POOL, explain_average, _pooled_connections),
    "lp_pool": Operation(none, POOL, explain_power, _pooled_connections),
    "adaptive_max_pool": Operation(
        none, ADAPTIVE, explain_maximum(_adaptive), _adaptive_connections
    ),
    "adaptive_avg_pool": Operation(none, ADAPTIVE, explain_adaptive_average, _adaptive_connections),
    "max_unpool": Operation(none, windowed(_unpooling, mixes=False)),
}
SHUFFLE = Operation(none, _shuffled, moved)
RESIZE = Operation(none, _resized)
WINDOWS: Table = {
    **{f"{name}{n}d": entry for name, entry in ANY_RANK.items() for n in (1, 2, 3)},
    **dict.fromkeys(
        ("fractional_max_pool2d", "fractional_max_pool3d"),
        Operation(none, connections=_pooled_connections),
    ),  # which window is at random, not its size
    "pixel_shuffle": SHUFFLE,
    "pixel_unshuffle": SHUFFLE,
    "interpolate": RESIZE,
    "upsample": RESIZE,
    "pad": Operation(none, _padded, moved),
    "unfold": Operation(none, _unfolded, moved),
    "fold": Operation(none, _folded),
}
