"""Products: linear layers, matrices, Einstein sums, attention, recurrent layers."""

from collections.abc import Sequence
from dataclasses import replace
from math import isqrt, prod
from typing import cast

from striate.measuring.field_axes import Axes, Following
from striate.measuring.operations.arguments import first, tensor, whole
from striate.measuring.operations.number_terms import Arithmetic, Place, Step, Term, floats, summed
from striate.measuring.operations.operation import (
    Operation,
    Table,
    everything,
    none,
    of_first,
    unknown,
)
from striate.measuring.operations.windows import biased
from striate.probe import Call, Value

HIDDEN = "0123456789"  # letters for the axes that `...` stands for: none that an equation may hold


# Multiply-adds.


def _linear_macs(call: Call) -> int:
    return call.outputs[0].count * tensor(call, "weight").shape[-1]


def _product_macs(call: Call) -> int:
    return call.outputs[0].count * call.inputs[0].shape[-1]


def _added_product_macs(call: Call) -> int:
    return call.outputs[0].count * call.inputs[1].shape[-1]


def _summed_product_macs(call: Call) -> int:
    b, n, m = call.inputs[1].shape
    return b * n * m * call.inputs[2].shape[-1]


def _attention_macs(call: Call) -> int:
    query, key, value = call.inputs[:3]
    scores = prod(query.shape[:-1]) * key.shape[-2]
    return scores * (query.shape[-1] + value.shape[-1])


def _multi_head_macs(call: Call) -> int:
    query, key, value = call.inputs[:3]
    length, source, width = query.shape[0], key.shape[0], query.shape[-1]
    extra = (call.arg("bias_k") is not None) + bool(call.arg("add_zero_attn", False))
    batch = prod(query.shape[1:-1])
    projected = (2 * query.count + key.count + value.count) * width
    return projected + 2 * batch * length * (source + extra) * width


def _recurrent_macs(call: Call) -> int:
    """Every matrix of weights is used once a step and item; biases are vectors."""
    steps = prod(call.inputs[0].shape[:-1])
    lists = [given for given in call.bound.values() if isinstance(given, list)]
    weights = (
        [call.arg("w_ih"), call.arg("w_hh")]
        if call.op.endswith("_cell")
        else cast("list[object]", lists[-1])
    )
    return steps * sum(v.count for v in weights if isinstance(v, Value) and len(v.shape) > 1)


def _einsum_macs(call: Call) -> int | None:
    """Of two factors; the cost of three depends on their order."""
    if len(call.inputs) == 1:
        return 0
    named = letters(call)
    if named is None or len(named[0]) > 2:
        return None
    terms, result = named
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, call.inputs, strict=True):
        for axis, side in zip(term, operand.shape, strict=True):
            sizes[axis] = max(side, sizes.get(axis, 1))
    return prod(sizes.values()) if set(result) != set(sizes) else 0  # nothing summed is no product


def _tensordot_macs(call: Call) -> int:
    left, right = call.inputs[:2]
    # Each summed axis stands in both factors and not in the result.
    return call.outputs[0].count * isqrt(left.count * right.count // max(1, call.outputs[0].count))


def _bilinear_macs(call: Call) -> int:
    """Every weight is used once an item, with one product of the two inputs."""
    return prod(call.inputs[0].shape[:-1]) * tensor(call, "weight").count


# What outputs read of the picture.


def letters(call: Call) -> tuple[list[str], str] | None:
    """The axes of every factor and of the result; None for a form that is not read.

    Not read are equations without text, and diagonals (`ii`).
    """
    equation = call.arg("equation")
    if not isinstance(equation, str):
        return None
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(call.inputs):
        return None
    widths = [
        len(v.shape) - len(t.replace("...", "")) for t, v in zip(terms, call.inputs, strict=True)
    ]
    most = max(widths) if "..." in left else 0
    if most > len(HIDDEN):
        return None
    # Broadcast axes are counted from the right.
    full = [t.replace("...", HIDDEN[most - w : most]) for t, w in zip(terms, widths, strict=True)]
    if any(len(set(term)) < len(term) for term in full):
        return None
    if not arrow:
        once = sorted(a for a in set(left) - set(".,") if left.count(a) == 1)
        result = ("..." if "..." in left else "") + "".join(once)
    return full, result.replace("...", HIDDEN[:most])


def _linear(call: Call, state: Following) -> Axes:
    value = first(call)
    last = len(value.shape) - 1
    return state.each(value, lambda axis: state.summed(axis, [last]))


def _bilinear(call: Call, state: Following) -> Axes:
    last = len(call.outputs[0].shape) - 1
    pair = [state.each(v, lambda axis: state.summed(axis, [last])) for v in call.inputs[:2]]
    return state.union(call, [(axes, 0) for axes in pair])


def _product(call: Call, state: Following) -> Axes:
    """A matrix product: the last axis of the left and the last but one of the right are summed."""
    rank = len(call.outputs[0].shape)
    *added, left, right = call.inputs
    parts = [(state.axes(value), rank - len(value.shape)) for value in added]
    for side, value in enumerate((left, right)):
        last = len(value.shape) - 1
        gone = last if side == 0 or last == 0 else last - 1
        axes = state.each(value, lambda axis, gone=gone: state.summed(axis, [gone]))
        parts.append((axes, rank - len(value.shape)))
    return state.union(call, parts)


def _einsum(call: Call, state: Following) -> Axes:
    """Axes that the result does not name are summed; those that it names go where it names them."""
    named = letters(call)
    if named is None:
        return state.unknown(call)
    terms, result = named
    parts = [
        (_placed(state, value, [result.index(a) if a in result else None for a in term]), 0)
        for term, value in zip(terms, call.inputs, strict=True)
    ]
    return state.union(call, parts)


def _tensordot(call: Call, state: Following) -> Axes:
    left, right = call.inputs[:2]
    named = call.arg("dims", 2)
    ranks = len(left.shape), len(right.shape)
    if isinstance(named, int):
        gone = [list(range(ranks[0] - named, ranks[0])), list(range(named))]
    elif isinstance(named, list) and len(cast("list[object]", named)) == 2:
        pair = cast("list[int | list[int]]", named)
        gone = [
            [dim % rank for dim in (dims if isinstance(dims, list) else [dims])]
            for dims, rank in zip(pair, ranks, strict=True)
        ]
    else:
        return state.unknown(call)
    at, parts = 0, list[tuple[Axes, int]]()
    for value, dims in zip((left, right), gone, strict=True):
        kept = [dim for dim in range(len(value.shape)) if dim not in dims]
        place = [at + kept.index(dim) if dim in kept else None for dim in range(len(value.shape))]
        parts.append((_placed(state, value, place), 0))
        at += len(kept)
    return state.union(call, parts)


def _placed(state: Following, value: Value, place: Sequence[int | None]) -> Axes:
    gone = [dim for dim, to in enumerate(place) if to is None]
    return state.each(
        value, lambda axis: state.summed(axis, gone).moved(lambda dim: place[dim] or 0)
    )


def _attention(call: Call, state: Following) -> Axes:
    """[..., places, width]: every place of the query reads all of keys and values of the same items and heads."""
    rank = len(call.outputs[0].shape)
    parts: list[tuple[Axes, int]] = []
    for i, value in enumerate(call.inputs):
        last = len(value.shape) - 1
        gone = [last] if i == 0 else [last - 1, last] if i < 3 else range(last + 1)
        axes = state.each(value, lambda axis, gone=gone: state.summed(axis, gone))
        parts.append((axes, rank - len(value.shape)))
    return state.union(call, parts)


def _multi_head(call: Call, state: Following) -> list[Axes]:
    """[places, items, width]: as attention; the weights it may give beside its result read all there is."""
    parts: list[Axes] = []
    for i, value in enumerate(call.inputs[:3]):
        last = len(value.shape) - 1
        gone = [last] if i == 0 else [0, last]
        parts.append(state.each(value, lambda axis, gone=gone: state.summed(axis, gone)))
    result = state.union(call, [(axes, 0) for axes in parts])
    weights = tuple(axis and axis.as_whole() for axis in result)
    return [result, *[weights] * (len(call.outputs) - 1)]


def _gated(call: Call, state: Following) -> Axes:
    """`glu`: one half of an axis times the other."""
    value = first(call)
    dim = whole(call, "dim", -1) % len(value.shape)
    if any(axis and axis.dim == dim for axis in state.axes(value)):
        return state.unknown(call)
    return state.each(value, lambda axis: state.summed(axis, [dim]))


# One number again.


def explain_linear(step: Step) -> Arithmetic:
    """A row of the weights times what was read, and a bias."""
    source, weight = step.tensor("input"), step.tensor("weight")
    *lead, out = step.at
    row = step.numbers(weight)[out] if len(weight.shape) > 1 else step.numbers(weight)
    read = step.numbers(source)[tuple(lead)]
    terms = tuple(
        Term(x, w, Place(source, (*lead, i)))
        for i, (x, w) in enumerate(zip(floats(read), floats(row), strict=True))
    )
    bias = step.value("bias")
    facts = {"bias": float(step.numbers(bias).reshape(-1)[out])} if bias else {}
    exact, bound = summed(terms, step.unit, list(facts.values()))
    rule = f"the sum of {len(terms):,} products" + (" and a bias" if facts else "")
    return Arithmetic("linear layer", rule, terms, exact, bound, facts)


def explain_product(step: Step) -> Arithmetic | None:
    """A row of one matrix times a column of another, in every batch, broadcast."""
    left, right = step.call.inputs[:2]
    if min(len(left.shape), len(right.shape)) < 2:
        return None
    *lead, row, column = step.at
    a_at, b_at = _within(left, (*lead, row)), _within(right, lead)
    a = floats(step.numbers(left)[a_at])
    b = floats(step.numbers(right)[b_at][:, column])
    terms = tuple(
        Term(x, y, Place(left, (*a_at, k)), Place(right, (*b_at, k, column)))
        for k, (x, y) in enumerate(zip(a, b, strict=True))
    )
    exact, bound = summed(terms, step.unit)
    rule = f"the sum of {len(terms):,} products of a row and a column"
    return Arithmetic("matrix product", rule, terms, exact, bound)


def _within(value: Value, at: tuple[int, ...] | list[int]) -> tuple[int, ...]:
    """Coordinates before the last axes of a factor; an axis of one is used again and again."""
    last = 1 if isinstance(at, tuple) else 2
    kept = at[len(at) - (len(value.shape) - last) :]
    return tuple(0 if n == 1 else i for n, i in zip(value.shape, kept, strict=False))


PRODUCT = Operation(_product_macs, _product, explain_product, kind="matrix product")
ADDED = Operation(_added_product_macs, _product, kind="matrix product", factors=1)
ATTENTION = Operation(_attention_macs, _attention, kind="attention", backward=2.5)
RECURRENT = Operation(_recurrent_macs, everything, kind="recurrent", built_with="input_size")
CELL = Operation(_recurrent_macs, everything, kind="recurrent")
PRODUCTS: Table = {
    "linear": Operation(
        _linear_macs, of_first(_linear), explain_linear, biased(_linear_macs), "fully connected"
    ),
    "bilinear": Operation(_bilinear_macs, _bilinear),
    **dict.fromkeys(("matmul", "mm", "bmm"), PRODUCT),
    **dict.fromkeys(("mv", "dot", "vdot", "inner"), replace(PRODUCT, reads=unknown)),
    **dict.fromkeys(("addmm", "baddbmm"), ADDED),
    "addmv": replace(ADDED, reads=unknown),
    "addbmm": replace(ADDED, macs=_summed_product_macs, reads=unknown),
    "einsum": Operation(_einsum_macs, _einsum, kind="matrix product"),
    "tensordot": Operation(_tensordot_macs, _tensordot, kind="matrix product"),
    **dict.fromkeys(("scaled_dot_product_attention", "flex_attention"), ATTENTION),
    "multi_head_attention_forward": replace(
        ATTENTION, macs=_multi_head_macs, reads=_multi_head, built_with="embed_dim"
    ),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), RECURRENT),
    **dict.fromkeys(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"), CELL),
    "glu": Operation(none, _gated),
}
