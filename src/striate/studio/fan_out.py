"""What one channel of a layer is made of: the maps that it reads and the share of each, through joins to their sources.

C channels. A share is the mean size of what a map gives to the channel (weight times input, summed over the kernel) as a
part of all such sizes; so it depends on the input, and shares add up to one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from striate.errors import ArgumentError
from striate.probe import Call, Recording, Value
from striate.studio.graph import PASSING
from striate.studio.number import layer_of
from striate.studio.wire import Fan, FanEdge

MOST = 32  # maps that are named
CONVOLUTIONS: Mapping[str, tuple[Callable[..., Tensor], bool]] = {
    "conv1d": (F.conv1d, False),
    "conv2d": (F.conv2d, False),
    "conv3d": (F.conv3d, False),
    "conv_transpose1d": (F.conv_transpose1d, True),
    "conv_transpose2d": (F.conv_transpose2d, True),
    "conv_transpose3d": (F.conv_transpose3d, True),
}
# Operations that make a channel of the same channel of what they read, whatever they do along its places.
CHANNELWISE = ("norm", "pool", "interpolate", "upsample", "dropout", "pad")
SUMS = frozenset({"add", "sub", "mul", "div", "lerp", "maximum", "minimum", "where"})
JOINED = ("cat", "concat", "concatenate")


class Source(NamedTuple):
    """One channel of a value, and how much of it there is."""

    value: Value
    c: int
    size: float


def fan(
    recording: Recording, value: Value, layer: str, c: int, names: Mapping[int, str] | None = None
) -> Fan:
    """The maps that one channel of a value was made of, the largest shares first.

    Args:
        recording: of the net on one input.
        value: what the layer gave.
        layer: its id, which the answer repeats.
        c: the channel.
        names: layer ids by the places of their calls; others are named as `number.layer_of` does.

    Raises:
        ArgumentError: no such channel.
    """
    channels = value.shape[1] if len(value.shape) > 1 else 1
    if not 0 <= c < channels:
        raise ArgumentError(f"c={c}: {layer} gives channels 0 to {channels - 1}")
    at = recording.maker(value)
    if at is None:
        return Fan(layer, c, "input", "unknown", [], 0, 0.0, None)
    call = recording.calls[at]
    rule, found, bias = _read(recording, call, value, c)
    merged = _merged(recording, found)
    total = sum(merged.values())
    order = sorted(merged, key=lambda key: -merged[key])
    edges = [
        FanEdge(
            _named(recording, source, names or {}), c, merged[source, c] / total if total else 0.0
        )
        for source, c in order[:MOST]
    ]
    rest = sum(merged[key] for key in order[MOST:]) / total if total else 0.0
    return Fan(layer, c, call.op, rule, edges, max(0, len(order) - MOST), rest, bias)


def _read(
    recording: Recording, call: Call, value: Value, c: int
) -> tuple[str, list[Source], float | None]:
    """What a channel reads, by the operation that made it: the rule, its sources, its bias."""
    op = call.op.rstrip("_")
    live = [v for v in call.inputs if v.live]
    if op in CONVOLUTIONS:
        return "products", _convolved(recording, call, c), _bias(recording, call, c)
    if op == "linear":
        return "products", _linear(recording, call, c), _bias(recording, call, c)
    if op in JOINED or op in PASSING - {"add"}:
        source = _behind(recording, value, c)
        return ("same", [source], None) if source else ("unknown", [], None)
    alike = [v for v in live if _fits(v, value)]
    if op in SUMS and alike:
        return "parts", [Source(v, c % v.shape[1], _size(recording, v, c % v.shape[1])) for v in alike], None  # fmt: skip
    pointwise = len(live) == 1 and alike and (alike[0].shape == value.shape or any(w in op for w in CHANNELWISE))  # fmt: skip
    if pointwise and "softmax" not in op and "softmin" not in op:
        return "same", [Source(alike[0], c, 1.0)], None
    return "unknown", [], None


def _fits(read: Value, made: Value) -> bool:
    """Whether a value has the channels of another, or one for all of them."""
    alike = len(read.shape) == len(made.shape) > 1
    return alike and read.shape[1:2] in ((1,), made.shape[1:2])


def _convolved(recording: Recording, call: Call, c: int) -> list[Source]:
    """Each input channel convolved alone with its part of the kernel, the mean size of the result."""
    run, transposed = CONVOLUTIONS[call.op]
    x, weight = _number(recording, call.arg("input")), _number(recording, call.arg("weight"))
    groups = cast("int", call.arg("groups", 1))
    per_group = (weight.shape[1] * groups if transposed else weight.shape[0]) // groups
    group = c // per_group
    width = x.shape[1 if x.ndim == weight.ndim else 0] // groups
    first = group * width
    batched = x if x.ndim == weight.ndim else x[None]
    part = batched[:, first : first + width].float()
    kernel = weight[first : first + width, c % per_group][:, None] if transposed else weight[c][:, None]  # fmt: skip
    names = ("stride", "padding", "dilation", *(("output_padding",) if transposed else ()))
    settings = {name: call.bound[name] for name in names if name in call.bound}
    with torch.no_grad():
        made = run(part, kernel.float(), groups=width, **settings)
    sizes = made.abs().flatten(2).mean((0, 2))
    read = cast("Value", call.arg("input"))
    return [Source(read, first + i, size) for i, size in enumerate(sizes.tolist())]


def _linear(recording: Recording, call: Call, c: int) -> list[Source]:
    x, weight = _number(recording, call.arg("input")), _number(recording, call.arg("weight"))
    sizes = (x.float() * weight[c].float()).abs().reshape(-1, weight.shape[1]).mean(0)
    read = cast("Value", call.arg("input"))
    return [Source(read, i, size) for i, size in enumerate(sizes.tolist())]


def _number(recording: Recording, value: object) -> Tensor:
    return recording.numbers[cast("Value", value).index].detach()


def _bias(recording: Recording, call: Call, c: int) -> float | None:
    bias = call.arg("bias")
    return float(_number(recording, bias)[c]) if isinstance(bias, Value) else None


def _size(recording: Recording, value: Value, c: int) -> float:
    return float(_number(recording, value)[:, c].float().abs().mean())


# ------------------------------------------------------------------------------------------- sources


def _merged(recording: Recording, found: Sequence[Source]) -> dict[tuple[Value, int], float]:
    """Sizes by the maps that lie behind what is read: parts of a flattened map, or of a joined value, are found again."""
    sizes: dict[tuple[Value, int], float] = {}
    for each in found:
        source = _behind(recording, each.value, each.c) or each
        key = (source.value, source.c)
        sizes[key] = sizes.get(key, 0.0) + each.size
    return sizes


def _behind(recording: Recording, value: Value, c: int) -> Source | None:
    """The channel from which another was handed on unchanged, through joins, reshapes and copies; None if not known."""
    for _ in range(len(recording.calls)):
        at = recording.maker(value)
        call = None if at is None else recording.calls[at]
        before = None if call is None else _before(call, value, c)
        if before is None:
            break
        value, c = before
    return Source(value, c, 1.0)


def _before(call: Call, value: Value, c: int) -> tuple[Value, int] | None:
    op = call.op.rstrip("_")
    live = [v for v in call.inputs if v.live]
    if op in JOINED:
        return _joined(call, c)
    if len(live) != 1 or len(live[0].shape) < 2 or op not in PASSING or op == "add":
        return None
    source = live[0]
    if source.shape == value.shape and op not in (
        "flip",
        "roll",
        "index_select",
        "transpose",
        "permute",
    ):
        return source, c
    flat = op in ("flatten", "view", "reshape", "squeeze", "ravel") and len(value.shape) == 2
    if flat and value.shape[:1] == source.shape[:1] and value.count == source.count:
        return source, c * source.shape[1] // value.shape[1]
    return None


def _joined(call: Call, c: int) -> tuple[Value, int] | None:
    """Of a concatenation along the channels, the part that holds a channel."""
    dim = call.arg("dim", 0)
    parts = call.inputs
    if dim not in (1, 1 - len(parts[0].shape)):
        return None
    for part in parts:
        if c < part.shape[1]:
            return (part, c) if part.live else None
        c -= part.shape[1]
    return None


def _named(recording: Recording, value: Value, names: Mapping[int, str]) -> str:
    at = recording.maker(value)
    known = names.get(-1 if at is None else at)
    return known or layer_of(recording, value)
