"""Calls whose tensors do not fit together: what was expected, and what came. Nothing is mended here."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

from striate.measuring.inputs import counted, times
from striate.measuring.taps import kernel_of, setting
from striate.probe import Call, Trace, Value

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
    x, weight = call.arg("input", 0), call.arg("weight", 1)
    if call.op != "linear" or not isinstance(x, Value) or not isinstance(weight, Value):
        return None
    expected, got = weight.shape[-1], x.shape[-1]
    if expected == got:
        return None
    return Misfit(call, "features", f"expects {expected:,} features", x, expected, got)


def convolves(call: Call) -> bool:
    """Whether a call is a convolution."""
    return call.op.startswith("conv") and call.op.endswith("d")


def _channels(call: Call) -> Misfit | None:
    x, weight = call.arg("input", 0), call.arg("weight", 1)
    if not convolves(call) or not isinstance(x, Value) or not isinstance(weight, Value):
        return None
    axes = len(weight.shape) - 2
    if len(x.shape) - axes not in (1, 2):  # channels, and perhaps a batch axis
        text = f"expects {axes} axes after its channels, got {times(x.shape[1:])}"
        return Misfit(call, "axes", text, x)
    groups = call.arg("groups", 6, 1)
    per_group = groups if isinstance(groups, int) else 1
    expected = weight.shape[0] if "transpose" in call.op else weight.shape[1] * per_group
    got = x.shape[-axes - 1]
    return None if got == expected else _wrong_channels(call, x, expected, got)


def _wrong_channels(call: Call, x: Value, expected: int, got: int) -> Misfit:
    text = f"expects {counted(expected, 'channel')}, got {got} in {times(x.shape[1:])}"
    return Misfit(call, "channels", text, x, expected, got)


def _normalised(call: Call) -> Misfit | None:
    """Normalisation with stored numbers for another count of channels."""
    places = {"batch_norm": 1, "instance_norm": 1, "group_norm": 2}
    x, per_channel = call.arg("input", 0), call.arg("weight", places.get(call.op, 0))
    if call.op == "batch_norm":
        per_channel = call.arg("running_mean", 1) or call.arg("weight", 3)
    if call.op not in places or not isinstance(x, Value) or not isinstance(per_channel, Value):
        return None
    expected, got = per_channel.count, x.shape[1]
    return None if expected == got else _wrong_channels(call, x, expected, got)


WIDTHS = {"layer_norm": "normalized_shape", "rms_norm": "normalized_shape", "multi_head_attention_forward": "embed_dim",
          "lstm": "input_size", "gru": "input_size", "rnn_tanh": "input_size", "rnn_relu": "input_size",
          "prelu": "num_parameters"}  # fmt: skip


def _width(call: Call) -> Misfit | None:
    """Layers built for another number of values along the last axis, or of channels."""
    x = call.arg("input", 0)
    if call.op not in WIDTHS or not isinstance(x, Value) or len(x.shape) < 1:
        return None
    got = x.shape[1] if call.op == "prelu" and len(x.shape) > 1 else x.shape[-1]
    expected = _built_for(call)
    if expected is None or expected == got:
        return None
    text = (
        f"expects {expected:,} values an item along its axis, got {got:,} in {times(x.shape[1:])}"
    )
    return Misfit(call, "width", text, x, expected, got)


def _built_for(call: Call) -> int | None:
    if call.op.endswith("layer_norm") or call.op == "rms_norm":
        shape = call.arg("normalized_shape", 1)
        return shape[-1] if isinstance(shape, list) and shape else None
    if call.op == "multi_head_attention_forward":
        width = call.arg("embed_dim_to_check", 3)
        return width if isinstance(width, int) else None
    weights = [value for value in call.inputs if value.params]
    if not weights:
        return None
    shape = weights[0].shape
    return weights[0].count if call.op == "prelu" or not shape else shape[-1]


def _product(call: Call) -> Misfit | None:
    """Matrices whose inner sides differ."""
    if call.op not in ("matmul", "mm", "bmm") or len(call.inputs) < 2:
        return None
    x, other = call.inputs[:2]
    if not x.shape or not other.shape:
        return None
    got, expected = x.shape[-1], other.shape[-2 if len(other.shape) > 1 else -1]
    if got == expected:
        return None
    text = f"{call.op} of {times(x.shape)} and {times(other.shape)} needs as many columns as rows: {got:,} are not {expected:,}"
    return Misfit(call, "axes", text, x, expected, got)


def _small(call: Call) -> Misfit | None:
    """A window that is larger than the maps."""
    x = call.arg("input", 0)
    if not isinstance(x, Value):
        return None
    if convolves(call):
        kernel = kernel_of(call)
    elif "_pool" in call.op and not call.op.startswith("adaptive"):
        rank = int(call.op.partition("pool")[2][0])
        kernel = tuple(setting(call.arg("kernel_size", 1, 2), axis) for axis in range(rank))
    else:
        return None
    maps = x.shape[-len(kernel) :]
    text = f"its kernel {times(kernel)} does not fit maps of {times(maps)}"
    return Misfit(call, "small", text, x)


JOINS = (
    "add",
    "sub",
    "mul",
    "truediv",
    "div",
    "maximum",
    "minimum",
    "cat",
    "concat",
    "stack",
    "where",
)


def _joined(call: Call) -> Misfit | None:
    """Branches of unequal sizes."""
    parts = [value for value in call.inputs if value.live or value.params]
    if call.op.removesuffix("_") not in JOINS or len(parts) < 2:
        return None
    shapes = " and ".join(dict.fromkeys(times(value.shape[1:]) for value in parts))
    return Misfit(call, "joined", f"{call.op} joins maps of {shapes}", parts[0])


def _values(call: Call) -> Misfit | None:
    """A view to a shape that holds another number of values."""
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
    return Misfit(
        call,
        "values",
        f"{call.op} to {tuple(numbers)} needs {expected:,} values an item",
        x,
        expected,
        got,
    )
