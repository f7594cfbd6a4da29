"""A net as a list of plain steps, for a page without a server: convolution, pooling, scale and shift, activations, sums, joins.

The steps come from a recording of the net on one input, so any module that calls these functions is understood, whatever
its class. Weights are float32; a batch norm is one scale and one shift a channel. page/live.js runs the steps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.probe import Call, Recording, Value

MOST_MACS = 300_000_000  # of one input: about half a second in one thread of a browser
MOST_WEIGHTS = 5 * 2**20  # bytes

Step = dict[str, Any]
F32 = NDArray[np.float32]

# Functions of one number, by the names that torch calls them; what they take is written into the step.
POINTWISE = {
    "relu": "relu",
    "relu6": "relu6",
    "leaky_relu": "leaky_relu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "silu": "silu",
    "gelu": "gelu",
    "elu": "elu",
    "hardswish": "hardswish",
    "hardsigmoid": "hardsigmoid",
    "hardtanh": "hardtanh",
}
SAME = frozenset(
    [
        "flatten",
        "view",
        "reshape",
        "squeeze",
        "contiguous",
        "dropout",
        "dropout2d",
        "feature_dropout",
        "detach",
        "clone",
        "unflatten",
        "to",
        "float",
    ]
)


class NotLiveError(Exception):
    """Why a net cannot be run by the page: one line."""


@dataclass(frozen=True)
class Program:
    """A net in steps.

    Attributes:
        steps: in order; each reads values by number and gives one.
        arrays: weights by name, float32.
        layers: the value that each layer gave, by the layer's id, with its shape [C, H, W] or [C].
        input: the number of the value that is the input.
        output: that of the net's answers [K].
        macs: multiply-adds of one input.
    """

    steps: list[Step] = field(default_factory=list[Step])
    arrays: dict[str, F32] = field(default_factory=dict[str, F32])
    layers: dict[str, tuple[int, list[int]]] = field(
        default_factory=dict[str, tuple[int, list[int]]]
    )
    input: int = 0
    output: int = 0
    macs: int = 0


def program(recording: Recording, layers: Sequence[str]) -> Program:
    """The steps of a recorded net.

    Args:
        recording: on one input [1, C, H, W].
        layers: ids, PATH@CALL, whose values are wanted.

    Raises:
        NotLiveError: it calls something else, is too large, or has other than one input and one output.
    """
    if len(recording.inputs) != 1 or len(recording.inputs[0].shape) != 4:
        raise NotLiveError("it does not read one picture")
    made = _Lowering(recording)
    for call in recording.calls:
        if call.live:
            made.add(call)
    output = recording.returned.get("", ())
    if not output or len(output[0]) != 1 or len(output[0][0].shape) != 2:
        raise NotLiveError("its answers are no classes")
    known: dict[str, tuple[int, list[int]]] = {}
    for layer in layers:
        path, _, call_number = layer.rpartition("@")
        calls = recording.returned.get(path, ())
        if call_number.isdecimal() and int(call_number) < len(calls):
            value = calls[int(call_number)][0]
            if value.index in made.given:
                known[layer] = value.index, list(value.shape[1:])
    weights = sum(array.nbytes for array in made.arrays.values())
    if made.macs > MOST_MACS or weights > MOST_WEIGHTS:
        raise NotLiveError(
            f"it has {made.macs / 1e6:,.0f} million multiply-adds and {weights / 2**20:,.1f} MB of weights; "
            f"at most {MOST_MACS // 10**6} million and {MOST_WEIGHTS >> 20} MB run in a page"
        )
    first = recording.inputs[0].index
    return Program(made.steps, made.arrays, known, first, output[0][0].index, made.macs)


class _Lowering:
    """A program in the making."""

    def __init__(self, recording: Recording) -> None:
        self.numbers = recording.numbers
        self.steps: list[Step] = []
        self.arrays: dict[str, F32] = {}
        self.given = {recording.inputs[0].index}
        self.macs = 0

    def add(self, call: Call) -> None:
        """The step of one call.

        Raises:
            NotLiveError: there is none.
        """
        name = call.op.rstrip("_")
        if len(call.outputs) != 1:
            raise NotLiveError(
                f"{call.path or 'the net'} calls {call.op} with {len(call.outputs)} outputs"
            )
        lowered = WAYS.get(name)
        if name in POINTWISE:
            lowered = _pointwise
        elif name in SAME:
            lowered = _same
        if lowered is None:
            raise NotLiveError(
                f"{call.path or 'the net'} calls {call.op}, which the page does not know"
            )
        step = lowered(self, call)
        out = call.outputs[0]
        self.steps.append({**step, "out": out.index, "shape": list(out.shape[1:])})
        self.given.add(out.index)

    def array(self, value: Value, tensor: Tensor | None = None) -> str:
        """The name of a weight or a constant."""
        found = self.numbers[value.index] if tensor is None else tensor
        name = f"w{len(self.arrays)}"
        self.arrays[name] = np.ascontiguousarray(found.detach().float().numpy())
        return name

    def read(self, call: Call, name: str = "input") -> int:
        """The value that a call reads under a name.

        Raises:
            NotLiveError: it reads no such value of this net.
        """
        value = call.arg(name)
        if not isinstance(value, Value) or value.index not in self.given:
            raise NotLiveError(f"{call.path} calls {call.op} in a way that the page does not know")
        return value.index


def _pair(value: object) -> list[int]:
    if isinstance(value, int):
        return [value, value]
    if isinstance(value, Sequence) and len(value) == 2 and all(isinstance(v, int) for v in value):
        return [int(v) for v in value]
    if isinstance(value, Sequence) and len(value) == 1 and isinstance(value[0], int):
        return [value[0], value[0]]
    raise NotLiveError(f"a window of {value!r} is not known to the page")


def _conv2d(made: _Lowering, call: Call) -> Step:
    weight, bias = call.arg("weight"), call.arg("bias")
    if not isinstance(weight, Value) or weight.live:
        raise NotLiveError(f"{call.path} makes its own kernels")
    out = call.outputs[0]
    made.macs += int(np.prod(weight.shape[1:])) * int(np.prod(out.shape[1:]))
    return {
        "op": "conv",
        "in": [made.read(call)],
        "w": made.array(weight),
        "b": made.array(bias) if isinstance(bias, Value) else None,
        "kernel": list(weight.shape[2:]),
        "stride": _pair(call.arg("stride", 1)),
        "pad": _pair(call.arg("padding", 0)),
        "dilation": _pair(call.arg("dilation", 1)),
        "groups": call.arg("groups", 1),
    }


def _linear(made: _Lowering, call: Call) -> Step:
    weight, bias = call.arg("weight"), call.arg("bias")
    if not isinstance(weight, Value) or weight.live or len(call.outputs[0].shape) != 2:
        raise NotLiveError(f"{call.path} is no plain linear layer")
    made.macs += weight.count
    given = made.array(bias) if isinstance(bias, Value) else None
    return {"op": "linear", "in": [made.read(call)], "w": made.array(weight), "b": given}


def _pool(made: _Lowering, call: Call) -> Step:
    kernel = _pair(call.arg("kernel_size"))
    stride = call.arg("stride")
    average = call.op.startswith("avg")
    if call.arg("divisor_override") is not None:
        raise NotLiveError(f"{call.path} divides by a number of its own")
    return {
        "op": "avgpool" if average else "maxpool",
        "in": [made.read(call)],
        "kernel": kernel,
        "stride": kernel if stride is None or stride == [] else _pair(stride),
        "pad": _pair(call.arg("padding", 0)),
        "dilation": _pair(call.arg("dilation", 1)),
        "counted": bool(call.arg("count_include_pad", True)),
    }


def _adaptive(made: _Lowering, call: Call) -> Step:
    return {"op": "adaptive", "in": [made.read(call)]}


def _batch_norm(made: _Lowering, call: Call) -> Step:
    mean, var = call.arg("running_mean"), call.arg("running_var")
    if call.arg("training") or not isinstance(mean, Value) or not isinstance(var, Value):
        raise NotLiveError(f"{call.path} takes its statistics from the batch")
    eps = call.arg("eps", 1e-5)
    scale = (made.numbers[var.index].double() + float(str(eps))).rsqrt()
    weight, bias = call.arg("weight"), call.arg("bias")
    if isinstance(weight, Value):
        scale = scale * made.numbers[weight.index].double()
    shift = -made.numbers[mean.index].double() * scale
    if isinstance(bias, Value):
        shift = shift + made.numbers[bias.index].double()
    return {
        "op": "affine",
        "in": [made.read(call)],
        "w": made.array(mean, scale),
        "b": made.array(mean, shift),
    }


def _pointwise(made: _Lowering, call: Call) -> Step:
    name = call.op.rstrip("_")
    if name == "gelu" and call.arg("approximate", "none") != "none":
        raise NotLiveError(f"{call.path} approximates gelu")
    numbers = {
        key: float(value)
        for key in ("negative_slope", "alpha", "min_val", "max_val")
        if isinstance(value := call.arg(key), int | float)
    }
    return {"op": "map", "fn": POINTWISE[name], "in": [made.read(call)], **numbers}


def _same(made: _Lowering, call: Call) -> Step:
    value = call.arg("input")
    if not isinstance(value, Value) or value.count != call.outputs[0].count:
        raise NotLiveError(f"{call.path} calls {call.op} in a way that the page does not know")
    if "dropout" in call.op and (call.arg("training") or call.arg("train")):
        raise NotLiveError(f"{call.path} drops values at random")
    return {"op": "same", "in": [made.read(call)]}


def _reduced(made: _Lowering, call: Call) -> Step:
    """Mean or sum over all places."""
    value, dims = call.arg("input"), call.arg("dim")
    axes = [dims] if isinstance(dims, int) else dims
    if not isinstance(value, Value) or not isinstance(axes, Sequence):
        raise NotLiveError(f"{call.path} calls {call.op} over all values")
    rank = len(value.shape)
    if sorted(int(str(a)) % rank for a in axes) != list(range(2, rank)) or rank < 3:
        raise NotLiveError(f"{call.path} calls {call.op} over other axes than the places")
    return {"op": "mean" if call.op == "mean" else "sum", "in": [made.read(call)]}


def _binary(made: _Lowering, call: Call) -> Step:
    """Two values, or a value and a number, or a value and a constant."""
    kind = call.op.rstrip("_").removeprefix("i").replace("true_divide", "div")
    if call.arg("alpha", 1) != 1 or call.arg("rounding_mode") is not None:
        raise NotLiveError(f"{call.path} calls {call.op} in a way that the page does not know")
    sides: list[int | dict[str, Any]] = []
    for name in ("input", "other"):
        side = call.arg(name)
        if isinstance(side, Value) and side.index in made.given:
            sides.append(side.index)
        elif isinstance(side, Value) and not side.live:
            sides.append({"w": made.array(side), "shape": list(side.shape)})
        elif isinstance(side, int | float):
            sides.append({"number": float(side)})
        else:
            raise NotLiveError(f"{call.path} calls {call.op} in a way that the page does not know")
    return {
        "op": "binary",
        "fn": kind,
        "sides": sides,
        "in": [s for s in sides if isinstance(s, int)],
    }


def _cat(made: _Lowering, call: Call) -> Step:
    values = call.arg("tensors")
    dim = call.arg("dim", call.arg("axis", 0))
    if not isinstance(values, Sequence) or dim not in (1, 1 - len(call.outputs[0].shape)):
        raise NotLiveError(f"{call.path} joins along another axis than the channels")
    found = [v.index for v in values if isinstance(v, Value) and v.index in made.given]
    if len(found) != len(values):
        raise NotLiveError(f"{call.path} joins what the page does not know")
    return {"op": "cat", "in": found}


def _softmax(made: _Lowering, call: Call) -> Step:
    if len(call.outputs[0].shape) != 2:
        raise NotLiveError(f"{call.path} takes a softmax over maps")
    return {"op": call.op, "in": [made.read(call)]}


WAYS: Mapping[str, Callable[[_Lowering, Call], Step]] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "max_pool2d": _pool,
    "avg_pool2d": _pool,
    "adaptive_avg_pool2d": _adaptive,
    "batch_norm": _batch_norm,
    "mean": _reduced,
    "sum": _reduced,
    "add": _binary,
    "iadd": _binary,
    "mul": _binary,
    "imul": _binary,
    "sub": _binary,
    "isub": _binary,
    "div": _binary,
    "idiv": _binary,
    "cat": _cat,
    "concat": _cat,
    "softmax": _softmax,
    "log_softmax": _softmax,
}
