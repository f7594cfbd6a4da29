"""Why a net does not run at the shapes it was given: the layer, what it expects, what it got, what to write.

An input size that a message names has been tried.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product, takewhile
from math import isqrt, prod
from typing import Literal

import torch
from torch import nn

from striate.errors import ShapeError, StriateError, UsageError
from striate.measuring.fields import fields
from striate.measuring.operations import operation
from striate.measuring.operations.arguments import kernel_of, settings
from striate.probe import Call, Trace, Value, runs, trace
from striate.text import counted, times

Kind = Literal["features", "channels", "axes", "small", "joined", "values", "width"]


@dataclass(frozen=True)
class Misfit:
    """One call that does not fit what it gets.

    Attributes:
        call: the call.
        kind: what does not fit.
        text: expected and got.
        value: the tensor that does not fit.
        expected: the number that would fit, if it is one.
        got: the number that came.
    """

    call: Call
    kind: Kind
    text: str
    value: Value
    expected: int = 0
    got: int = 0


def misfits(run: Trace) -> Iterator[Misfit]:
    """Calls that do not fit, also where the meta device let them pass; the one that failed comes last."""
    for call in run.calls:
        found = _features(call) or _channels(call)
        if found:
            yield found
    if run.failed is not None:
        for rule in (_features, _channels, _normalised, _width, _small, _product, _joined, _values):
            found = rule(run.failed)
            if found:
                yield found
                return


def _features(call: Call) -> Misfit | None:
    x, weight = call.arg("input"), call.arg("weight")
    if call.op != "linear" or not isinstance(x, Value) or not isinstance(weight, Value):
        return None
    expected, got = weight.shape[-1], x.shape[-1]
    return _unequal(Misfit(call, "features", f"expects {expected:,} features", x, expected, got))


def _unequal(found: Misfit) -> Misfit | None:
    return None if found.expected == found.got else found


def convolves(call: Call) -> bool:
    """Whether a call is a convolution."""
    return call.op.startswith("conv") and call.op.endswith("d")


def _channels(call: Call) -> Misfit | None:
    x, weight = call.arg("input"), call.arg("weight")
    if not convolves(call) or not isinstance(x, Value) or not isinstance(weight, Value):
        return None
    axes = len(weight.shape) - 2
    if len(x.shape) - axes not in (1, 2):  # channels, and perhaps a batch axis
        text = f"expects {axes} axes after its channels, got {times(x.shape[1:])}"
        return Misfit(call, "axes", text, x)
    groups = call.arg("groups", 1)
    per_group = groups if isinstance(groups, int) else 1
    expected = weight.shape[0] if "transpose" in call.op else weight.shape[1] * per_group
    return _wrong_channels(call, x, expected, x.shape[-axes - 1])


def _wrong_channels(call: Call, x: Value, expected: int, got: int) -> Misfit | None:
    text = f"expects {counted(expected, 'channel')}, got {got} in {times(x.shape[1:])}"
    return _unequal(Misfit(call, "channels", text, x, expected, got))


def _normalised(call: Call) -> Misfit | None:
    places = {"batch_norm": 1, "instance_norm": 1, "group_norm": 2}
    x, per_channel = call.arg("input"), call.arg("weight", places.get(call.op, 0))
    if call.op == "batch_norm":
        per_channel = call.arg("running_mean") or call.arg("weight")
    if call.op not in places or not isinstance(x, Value) or not isinstance(per_channel, Value):
        return None
    return _wrong_channels(call, x, per_channel.count, x.shape[1])


def _width(call: Call) -> Misfit | None:
    """Layers built for another number of values along the last axis, or of channels."""
    x = call.inputs[0] if operation(call.op).built_with and call.inputs else None
    if x is None or len(x.shape) < 1:
        return None
    got = x.shape[min(1, len(x.shape) - 1) if call.op == "prelu" else -1]
    if (expected := _built_for(call)) is None:
        return None
    text = (
        f"expects {expected:,} values an item along its axis, got {got:,} in {times(x.shape[1:])}"
    )
    return _unequal(Misfit(call, "width", text, x, expected, got))


def _built_for(call: Call) -> int | None:
    if call.op.endswith("layer_norm") or call.op == "rms_norm":
        shape = call.arg("normalized_shape")
        return shape[-1] if isinstance(shape, list) and shape else None
    if call.op == "multi_head_attention_forward":
        width = call.arg("embed_dim_to_check")
        return width if isinstance(width, int) else None
    weights = [value for value in call.inputs if value.params]
    if not weights:
        return None
    shape = weights[0].shape
    return weights[0].count if call.op == "prelu" or not shape else shape[-1]


def _product(call: Call) -> Misfit | None:
    if call.op not in ("matmul", "mm", "bmm") or len(call.inputs) < 2:
        return None
    x, other = call.inputs[:2]
    if not x.shape or not other.shape:
        return None
    got, expected = x.shape[-1], other.shape[-2 if len(other.shape) > 1 else -1]
    text = f"{call.op} of {times(x.shape)} and {times(other.shape)} needs as many columns as rows: {got:,} are not {expected:,}"
    return _unequal(Misfit(call, "axes", text, x, expected, got))


def _small(call: Call) -> Misfit | None:
    x = call.arg("input")
    if not isinstance(x, Value):
        return None
    if convolves(call):
        kernel = kernel_of(call)
    elif "_pool" in call.op and not call.op.startswith("adaptive"):
        rank = int(call.op.partition("pool")[2][0])
        kernel = settings(call, "kernel_size", rank, 2)
    else:
        return None
    maps = x.shape[-len(kernel) :]
    text = f"its kernel {times(kernel)} does not fit maps of {times(maps)}"
    return Misfit(call, "small", text, x)


def _joined(call: Call) -> Misfit | None:
    parts = [value for value in call.inputs if value.live or value.params]
    if not operation(call.op).joins or len(parts) < 2:
        return None
    shapes = " and ".join(dict.fromkeys(times(value.shape[1:]) for value in parts))
    return Misfit(call, "joined", f"{call.op} joins maps of {shapes}", parts[0])


def _values(call: Call) -> Misfit | None:
    if call.op not in ("view", "reshape") or not call.inputs:
        return None
    asked = call.args[1:] if len(call.args) != 2 else call.args[1]
    sides = list(asked) if isinstance(asked, list | tuple) else [asked]
    numbers = [side for side in sides if isinstance(side, int)]
    if len(numbers) < len(sides):
        return None
    expected = prod(max(1, side) for side in numbers[1:])
    x = call.inputs[0]
    got = x.count // x.shape[0]
    text = f"{call.op} to {tuple(numbers)} needs {expected:,} values an item"
    return Misfit(call, "values", text, x, expected, got)


@dataclass(frozen=True)
class Unfinished:
    """Where a net that does not run to its end stopped: the sheet holds what ran up to there.

    Attributes:
        path: the module that failed.
        text: what failed, and why.
        missing: modules that hold no others and never ran.
        params: parameters of those.
    """

    path: str
    text: str
    missing: tuple[str, ...]
    params: int

    def as_text(self) -> str:
        """Two sentences."""
        names = ", ".join(self.missing[:8]) + (", ..." if len(self.missing) > 8 else "")
        never = f" Never ran: {names} ({self.params:,} parameters)." if self.missing else ""
        return (
            f"Executed up to {self.path or 'the net itself'} only; MACs, connections and bytes are of what ran. "
            f"{self.text}.{never}"
        )


WORK = 4000  # calls that the search for a better size may trace again


def picture_of(run: Trace) -> Value | None:
    """The first input with axes of space."""
    return next((value for value in run.inputs if len(value.shape) > 2), None)


class Tries:
    """Each size is traced once; a large net is tried at fewer sizes."""

    def __init__(self, net: nn.Module, run: Trace) -> None:
        self._net, self._run = net, run
        self._left = max(3, WORK // max(1, len(run.calls)))
        self._found: dict[tuple[int, ...], Trace] = {}

    def of(self, sizes: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
        """The sizes, as long as more may be tried."""
        return takewhile(self.allowed, sizes)

    def known(self, size: tuple[int, ...]) -> bool:
        """Whether this size has been tried."""
        return size in self._found

    def allowed(self, size: tuple[int, ...]) -> bool:
        """Whether this size may be tried, or has been."""
        return self._left > 0 or size in self._found

    def runs(self, size: tuple[int, ...]) -> bool:
        """Whether the net takes a picture of this size."""
        run = self._at(size)
        return run.error is None and not any(misfits(run))

    def reads(self, size: tuple[int, ...], part: Sequence[int]) -> bool:
        """Whether the net takes this size and reads all of the first `part` pixels an axis."""
        if not self.runs(size):
            return False
        lost = fields(self._at(size)).unread(self._at(size).outputs)
        return not any(i < n for line, n in zip(lost.lines, part, strict=True) for i in line)

    def first(self, sizes: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
        """The first size that the net takes."""
        return next((size for size in self.of(sizes) if self.runs(size)), None)

    def _at(self, size: tuple[int, ...]) -> Trace:
        if size not in self._found:
            self._left -= 1
            self._found[size] = resized(self._net, self._run, lambda _shape: size)
        return self._found[size]


def resized(
    net: nn.Module,
    run: Trace,
    sides: Callable[[tuple[int, ...]], Sequence[int]],
    *,
    channels: int = 0,
) -> Trace:
    """The same run with a picture of other sides, or other channels."""
    picture, values = picture_of(run), iter(run.inputs)

    def changed(like: torch.Tensor) -> torch.Tensor:
        shape = like.shape
        if next(values) is not picture:
            return like
        return like.new_empty((shape[0], channels or shape[1], *sides(tuple(shape[2:]))))

    fed = run.fed.mapped(changed)
    return trace(net, fed, numbers=run.needs_numbers)


SEARCHED = 64  # how many pixels an input is made larger in search of one that is large enough


def failure(net: nn.Module, run: Trace) -> StriateError | None:
    """Why a run is not one that can be measured, to be raised; None if nothing is wrong.

    Sizes that do not fit are said in the terms of the layer, with the numbers that would; of any other
    failure the first line of what PyTorch said is kept.
    """
    misfit = next(misfits(run), None)
    if misfit:
        return ShapeError(_sentence(net, run, misfit))
    if run.failed is None:
        return None
    told = [how for words, how in CALLED_WRONGLY.items() if words in str(run.error)]
    if isinstance(run.error, TypeError) and told:
        return ShapeError(
            f"{type(net).__name__}: {run.error}; got {counted(len(run.inputs), 'input')}: {told[0]}"
        )
    call = run.failed
    if call.op == "embedding" and any(v.live and v.dtype.is_floating_point for v in call.inputs):
        return UsageError(
            f"{_where(call)}: embedding reads whole numbers, got {call.inputs[0].dtype}; give a tensor of them in place of "
            f"the shape, such as torch.zeros{call.inputs[0].shape}.long()"
        )
    said = next(iter(str(run.error).strip().splitlines()), type(run.error).__name__)
    if runs(net, run.fed):
        return UsageError(
            f"{_where(call)}: the net runs, but {call.op} cannot be watched: {said}{_at(run)}; "
            "measure the part before it by itself"
        )
    got = (
        f" (it got {', '.join(times(v.shape) for v in call.inputs if v.live)})" if call.live else ""
    )
    return UsageError(
        f"{_where(call)}: {call.op} failed{got}: {said}{_at(run)}; check the input shape or the layer"
    )


# What helps where a net was called with other arguments than it takes, by what Python says then.
CALLED_WRONGLY = {
    "keyword-only argument": (
        "give it by name, such as measure(net, {'mask': (1, 32, 32)}), or --input mask=1x32x32"
    ),
    "positional argument": (
        "give a list with one shape for each, such as measure(net, [(3, 32, 32), (3, 32, 32)]), "
        "or --input once for each"
    ),
}


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
    came = f"{times(maps.shape[1:])} = {misfit.got:,}" if maps else f"{misfit.got:,}"
    came = f", got {came}" if misfit.kind in ("features", "values") else ""
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
    rule = REWRITTEN.get(misfit.kind)
    return rule(misfit) if rule else []


def _features_written(misfit: Misfit) -> list[str]:
    shape = misfit.value.shape
    if len(shape) > 2 and prod(shape[1:]) == misfit.expected:
        return [f"flatten {times(shape[1:])} = {misfit.expected:,} before it (nn.Flatten())"]
    return [f"build it with in_features={misfit.got}"]


def _channels_written(misfit: Misfit) -> list[str]:
    shape = misfit.value.shape[1:]
    if misfit.expected == shape[-1] and misfit.expected not in shape[:-1]:
        return [f"put the channels first: {times((shape[-1], *shape[:-1]))}"]
    return [f"build it with {counted(misfit.got, 'channel')}"]


def _matched(misfit: Misfit) -> list[str]:
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
    "features": _features_written,
    "values": lambda misfit: [f"write {misfit.got}"],
    "channels": _channels_written,
    "width": lambda misfit: [f"build it with {operation(misfit.call.op).built_with}={misfit.got}"],
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
    field = fields(run).of(value)
    return max(1, int(max(field.stride))) if field else 1
