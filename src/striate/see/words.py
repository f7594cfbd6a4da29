"""What a stage of a drawn net is called: the layer or pooling that made it, or how many layers."""

import re
from collections.abc import Sequence
from math import prod

from striate.probe import Call
from striate.see.boxes import times

WEIGHTED = (
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear", "bmm",
)  # fmt: skip


def is_weighted(call: Call) -> bool:
    """Whether a call is a layer that is counted: a convolution or a product with weights."""
    return call.op in WEIGHTED and bool(call.params)


def kernel_of(words: str) -> str:
    """What made the maps, without the stride."""
    return words.split(" /", maxsplit=1)[0]


def label(segment: Sequence[Call]) -> str:
    """What made the last value of a segment of calls."""
    weighted = [call for call in segment if is_weighted(call)]
    if len(weighted) == 1:
        return _named(weighted[0])
    if weighted:
        names = {kernel_of(_named(call)) for call in weighted}
        return f"{names.pop()} x{len(weighted)}" if len(names) == 1 else f"{len(weighted)} layers"
    pools = [call for call in segment if "pool" in call.op and "unpool" not in call.op]
    if pools:
        return _pooling(pools[-1])
    if any(call.op in ("mean", "sum") and _over_maps(call) for call in segment):
        return "global average"
    first, last = segment[0].inputs, segment[-1].outputs[0]
    if first and first[0].count == last.count:
        return "flatten" if len(last.shape) == 2 else "reshape"
    return re.sub("[123]d$", "", segment[-1].op.rstrip("_")).replace("_", " ")


def _over_maps(call: Call) -> bool:
    before = call.inputs[0].shape
    return len(before) > (2 if call.op == "mean" else 3) and call.outputs[0].count == prod(
        before[:2]
    )


def _named(call: Call) -> str:
    if call.op in ("linear", "bmm"):
        return "linear"
    weight = next(value for value in call.inputs if value.params)
    kind = "up-conv" if "transpose" in call.op else "conv"
    words = f"{kind} {times(weight.shape[2:])}"
    stride = _first(call.arg("stride", 1))
    return f"{words} /{stride}" if stride > 1 and kind == "conv" else words


def _pooling(call: Call) -> str:
    kind = call.op.replace("_with_indices", "").rstrip("0123456789d").replace("_", " ").strip()
    if call.op.startswith("adaptive"):
        return kind.replace("adaptive avg pool", "global average").replace("adaptive ", "global ")
    kernel = _first(call.arg("kernel_size", 0))
    stride = _first(call.arg("stride") or kernel)
    return f"{kind} {kernel}x{kernel} /{stride}"


def _first(value: object) -> int:
    item = value[0] if isinstance(value, Sequence) and value else value
    return item if isinstance(item, int) else 1
