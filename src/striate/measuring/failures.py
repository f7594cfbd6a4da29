"""Why a net could not be run at the shapes it was given: the layer, what it expects, what it got, what to write.

An input size that a message names has been tried.
"""

from collections.abc import Callable, Sequence
from itertools import product
from math import isqrt, prod

from torch import nn

from striate.errors import ShapeError, StriateError, UsageError
from striate.measuring.fields import fields
from striate.measuring.finding import Unfinished
from striate.measuring.inputs import counted, times
from striate.measuring.misfits import WIDTHS, Misfit, misfits
from striate.measuring.tries import Tries, picture_of, resized
from striate.probe import Call, Trace, Value

SEARCHED = 64  # how many pixels an input is made larger in search of one that is large enough


def explain(net: nn.Module, run: Trace) -> StriateError | None:
    """Why a run is not one that can be measured, to be raised; None if nothing is wrong.

    Sizes that do not fit are said in the terms of the layer, with the numbers that would; of any other
    failure the first line of what PyTorch said is kept.
    """
    misfit = next(misfits(run), None)
    if misfit:
        return ShapeError(_sentence(net, run, misfit))
    if run.failed is None:
        return None
    if isinstance(run.error, TypeError) and "positional argument" in str(run.error):
        return ShapeError(
            f"{type(net).__name__}: {run.error}; got {counted(len(run.inputs), 'input')}: give a list with one shape for each, "
            "such as measure(net, [(3, 32, 32), (3, 32, 32)]), or --input once for each"
        )
    call = run.failed
    if call.op == "embedding" and any(v.live and v.dtype.is_floating_point for v in call.inputs):
        return UsageError(
            f"{_where(call)}: embedding reads whole numbers, got {call.inputs[0].dtype}; give a tensor of them in place of "
            f"the shape, such as torch.zeros{call.inputs[0].shape}.long()"
        )
    said = next(iter(str(run.error).strip().splitlines()), type(run.error).__name__)
    got = (
        f" (it got {', '.join(times(v.shape) for v in call.inputs if v.live)})" if call.live else ""
    )
    return UsageError(
        f"{_where(call)}: {call.op} failed{got}: {said}{_at(run)}; check the input shape or the layer"
    )


def unfinished(net: nn.Module, run: Trace, problem: StriateError) -> Unfinished:
    """What a sheet of a run that stopped has to say: where, why, and which layers never ran."""
    idle = {path: m for path, m in net.named_modules() if path not in run.entered}
    # Of modules that ran, nothing is missing; of those that did not, the leaves stand for all.
    leaves = {path: m for path, m in idle.items() if not any(m.children())}
    held = {id(p): p.numel() for m in idle.values() for p in m.parameters(recurse=False)}
    path = run.failed.path if run.failed else ""
    return Unfinished(path, str(problem), tuple(leaves), sum(held.values()))


def _where(call: Call) -> str:
    return f"{call.path} ({call.module})" if call.path else call.module


def _at(run: Trace) -> str:
    return f", at input {' and '.join(times(value.shape[1:]) for value in run.inputs)}"


def _sentence(net: nn.Module, run: Trace, misfit: Misfit) -> str:
    maps = _maps_before(run, misfit)
    came = ""
    if misfit.kind in ("features", "values"):
        came = (
            f", got {misfit.got:,}"
            if maps is None
            else f", got {times(maps.shape[1:])} = {misfit.got:,}"
        )
    fixes = [*_rewritten(misfit), *_other_input(net, run, misfit, maps), *_pooled(misfit, maps)]
    ending = f": {_either(fixes)}" if fixes else "; check the input shape or the layer"
    return f"{_where(misfit.call)}: {misfit.text}{came}{_at(run)}{ending}"


def _either(fixes: Sequence[str]) -> str:
    return fixes[0] if len(fixes) == 1 else f"{', '.join(fixes[:-1])}, or {fixes[-1]}"


def _maps_before(run: Trace, misfit: Misfit) -> Value | None:
    """The maps whose values, flattened, are the features that do not fit."""
    if misfit.kind not in ("features", "values"):
        return None
    makers = {out.index: call for call in run.calls for out in call.outputs}
    value = misfit.value
    while len(value.shape) < 3:
        maker = makers.get(value.index)
        if maker is None or not maker.inputs or maker.inputs[0].count != value.count:
            return None
        value = maker.inputs[0]
    return value if prod(value.shape[1:]) == misfit.got else None


def _rewritten(misfit: Misfit) -> list[str]:
    """The number to write into the net."""
    rule = REWRITTEN.get(misfit.kind)
    return rule(misfit) if rule else []


def _features(misfit: Misfit) -> list[str]:
    shape = misfit.value.shape
    if len(shape) > 2 and prod(shape[1:]) == misfit.expected:
        return [f"flatten {times(shape[1:])} = {misfit.expected:,} before it (nn.Flatten())"]
    return [f"build it with in_features={misfit.got}"]


def _channels(misfit: Misfit) -> list[str]:
    shape = misfit.value.shape[1:]
    if misfit.expected == shape[-1] and misfit.expected not in shape[:-1]:
        return [f"put the channels first: {times((shape[-1], *shape[:-1]))}"]
    return [f"build it with {counted(misfit.got, 'channel')}"]


def _matched(misfit: Misfit) -> list[str]:
    """How branches are brought to one size."""
    parts = [v.shape for v in misfit.call.inputs if v.live or v.params]
    weights = any(value.params for value in misfit.call.inputs)
    if weights or len({len(shape) for shape in parts}) > 1 or len(parts[0]) < 3:
        return []
    channels = list(dict.fromkeys(shape[1] for shape in parts))
    if len(channels) > 1 and not misfit.call.op.startswith(("cat", "concat")):
        return [f"bring {channels[0]} channels to {channels[1]} with a 1x1 convolution"]
    smaller, larger = sorted((part[2:] for part in parts), key=prod)[:: len(parts) - 1]
    steps = {round(b / a) for a, b in zip(smaller, larger, strict=True)}
    if len(steps) == 1 and min(steps) > 1:
        step = min(steps)
        return [
            f"bring {times(larger)} to {times(smaller)} with stride {step}, as a 1x1 convolution or pooling has"
        ]
    apart = {b - a for a, b in zip(smaller, larger, strict=True)}
    by = f" by {counted(apart.pop(), 'cell')}" if len(apart) == 1 else ""
    return [f"pad {times(smaller)}{by} to {times(larger)}"]


REWRITTEN: dict[str, Callable[[Misfit], list[str]]] = {
    "features": _features,
    "values": lambda misfit: [f"write {misfit.got}"],
    "channels": _channels,
    "width": lambda misfit: [f"build it with {WIDTHS[misfit.call.op]}={misfit.got}"],
    "joined": _matched,
}


def _pooled(misfit: Misfit, maps: Value | None) -> list[str]:
    """Pooling to the maps that were expected, where they are as many channels of a square."""
    if maps is None or misfit.expected % maps.shape[1]:
        return []
    cells, rank = misfit.expected // maps.shape[1], len(maps.shape) - 2
    side = isqrt(cells) if rank == 2 else cells
    if rank > 2 or side**rank != cells:
        return []
    return [f"pool to {times((side,) * rank)} before it (AdaptiveAvgPool{rank}d({side}))"]


def _other_input(net: nn.Module, run: Trace, misfit: Misfit, maps: Value | None) -> list[str]:
    """An input at which the net runs."""
    picture = picture_of(run)
    if misfit.kind == "channels":
        again = picture and misfit.value is picture and _with_channels(net, run, misfit.expected)
        return [f"give {counted(misfit.expected, 'channel')}"] if again else []
    if misfit.kind == "axes" and picture and misfit.value is picture and picture.shape[1] == 1:
        return [f"leave the axis of items out: give {times(picture.shape[2:])}"]
    if picture is None or misfit.kind in ("axes", "width"):
        return []
    tries = Tries(net, run)
    found = tries.first(_sizes(run, misfit, maps, picture.shape[2:]))
    if found is None:
        return []
    larger = [tuple(n + by for n in found) for by in (1, 4, 16, 64)]
    open_ended = misfit.kind == "small" and all(tries.runs(size) for size in larger)
    return [f"use input {times(found)}{' or more' if open_ended else ''}"]


def _with_channels(net: nn.Module, run: Trace, channels: int) -> bool:
    again = resized(net, run, tuple, channels=channels)
    return again.error is None and not any(misfits(again))


def _sizes(
    run: Trace, misfit: Misfit, maps: Value | None, sides: tuple[int, ...]
) -> list[tuple[int, ...]]:
    """Sizes worth trying, the likeliest first; all axes change by as much."""
    if misfit.kind == "joined":
        steps = _around(len(sides), _stride(run, misfit.value))
    elif misfit.kind == "small":
        steps = [(n,) * len(sides) for n in range(1, SEARCHED + 1)]
    else:
        alike = [] if maps is None else _to_expected(misfit, maps, _stride(run, maps))
        steps = [(n,) * len(sides) for n in alike]
    sizes = [tuple(n + by for n, by in zip(sides, step, strict=True)) for step in steps]
    return [size for size in sizes if min(size) > 0]


def _around(rank: int, stride: int) -> list[tuple[int, ...]]:
    """Small steps on every axis, the smallest first, and among them those that keep a square one."""
    most = min(2 * stride, 64 // rank**2)
    steps = product(range(-most, most + 1), repeat=rank)
    return sorted(
        (step for step in steps if any(step)),
        key=lambda step: (max(map(abs, step)), len(set(step)), -sum(step)),
    )


def _to_expected(misfit: Misfit, maps: Value, stride: int) -> list[int]:
    """Steps around that which gives maps of the side that was expected."""
    rank = len(maps.shape) - 2
    cells = misfit.expected / maps.shape[1]
    middle = round((cells ** (1 / rank) - maps.shape[2]) * stride)
    return [middle + n for n in sorted(range(-stride, stride + 1), key=lambda n: (abs(n), -n))]


def _stride(run: Trace, value: Value) -> int:
    """Pixels of the input from one cell of a map to the next."""
    field = fields(run).of(value)
    return max(1, int(max(field.stride))) if field else 1
