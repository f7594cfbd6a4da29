"""Connections of one call: (inputs read by one output value + 1 for a bias) x output values.

As LeCun et al. 1998 counted them, for convolution, pooling and linear layers; padding cells count as
read. Other functions have none. H input side, K kernel side, O output side.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import cast

from torch import Tensor

from striate.measuring.macs import formula, value
from striate.probe import Call

Rule = Callable[[Call], int]


def connections(call: Call, parameters: Mapping[str, Tensor]) -> int:
    """The connections of one call; 0 for a function that has none or for which no rule stands here.

    Args:
        call: the call.
        parameters: of the net, by the names that the call knows them by.
    """
    if call.module == "TabledConv" and formula(call):
        return _tabled(call, parameters)
    rule = RULES.get(call.op.removesuffix("_with_indices"))
    return rule(call) if rule else 0


def uncounted(call: Call) -> bool:
    """Whether a function multiplies, as a connection does, but no rule counts its connections."""
    return call.op not in RULES and bool(formula(call) or call.flops)


def _tabled(call: Call, parameters: Mapping[str, Tensor]) -> int:
    # The kernel it multiplies with is dense; the connections are those whose kernels are stored.
    places = call.outputs[0].count // call.outputs[0].shape[1]
    return places * sum(parameters[name].numel() for name in call.params)


def _weighted(call: Call) -> int:
    biased = call.arg("bias", 2) is not None
    return (formula(call) or 0) + biased * call.outputs[0].count


def _pooled(axes: int) -> Rule:
    def rule(call: Call) -> int:
        return prod(_sides(call.arg("kernel_size", 1), axes)) * call.outputs[0].count

    return rule


def _power_pooled(axes: int) -> Rule:
    def rule(call: Call) -> int:
        return prod(_sides(call.arg("kernel_size", 2), axes)) * call.outputs[0].count

    return rule


def _adaptive(axes: int) -> Rule:
    def rule(call: Call) -> int:
        # Windows from floor(i H / O) to ceil((i + 1) H / O): their sizes along one axis, summed.
        before, after = value(call, "input", 0).shape, call.outputs[0].shape
        read = prod(_window_sum(h, o) for h, o in zip(before[-axes:], after[-axes:], strict=True))
        return read * prod(before[:-axes])

    return rule


def _window_sum(side: int, outputs: int) -> int:
    return sum(-(-(i + 1) * side // outputs) - i * side // outputs for i in range(outputs))


def _sides(kernel: object, axes: int) -> Sequence[int]:
    if isinstance(kernel, int):
        return (kernel,) * axes
    sides = cast("Sequence[int]", kernel)
    return sides if len(sides) == axes else tuple(sides) * axes


AXES = (1, 2, 3)
RULES: dict[str, Rule] = {
    "linear": _weighted,
    **{f"conv{n}d": _weighted for n in AXES},
    **{f"conv_transpose{n}d": _weighted for n in AXES},
    **{f"max_pool{n}d": _pooled(n) for n in AXES},
    **{f"avg_pool{n}d": _pooled(n) for n in AXES},
    **{f"lp_pool{n}d": _power_pooled(n) for n in AXES},
    **{f"adaptive_max_pool{n}d": _adaptive(n) for n in AXES},
    **{f"adaptive_avg_pool{n}d": _adaptive(n) for n in AXES},
}
