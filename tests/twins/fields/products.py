"""One call of a net on its structure, where it multiplies: matrices, Einstein sums, attention. Sums stand for all of them."""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import cast

from torch import Tensor

from striate.errors import ArgumentError
from striate.probe import Call
from twins.fields.broadcast import Broadcast, Made, Step, first, of_value
from twins.fields.equations import letters


def over_last(thin: Broadcast, count: int) -> Tensor:
    """Summed over the last axes, which stay with one cell."""
    return thin.data.sum(list(range(-count, 0)), keepdim=True)


def _linear(call: Call, made: Made) -> Tensor:
    return over_last(first(call, made), 1)


def _bilinear(call: Call, made: Made) -> Tensor:
    left, right = (of_value(value, made) for value in call.inputs[:2])
    return over_last(left, 1) + over_last(right, 1)


def _product(call: Call, made: Made) -> Tensor:
    left, right = (of_value(value, made) for value in call.inputs[-2:])
    rows = left.data.sum(-1, keepdim=len(right.shape) > 1)
    columns = right.data.sum(-2 if len(right.shape) > 1 else -1, keepdim=len(left.shape) > 1)
    return rows + columns


def _einsum(call: Call, made: Made) -> Tensor:
    named = letters(call)
    if named is None:
        raise ArgumentError(f"{call.path}: this einsum is not read; choose a layer before it")
    terms, result = named
    parts = [
        _placed(
            of_value(value, made),
            [result.index(a) if a in result else None for a in term],
            len(result),
        )
        for term, value in zip(terms, call.inputs, strict=True)
    ]
    return reduce(add, parts)


def _tensordot(call: Call, made: Made) -> Tensor:
    pair, named = [of_value(value, made) for value in call.inputs[:2]], call.arg("dims", 2)
    if isinstance(named, int):
        n = len(pair[0].shape)
        named = [list(range(n - named, n)), list(range(named))]
    rank, at, parts = len(call.outputs[0].shape), 0, list[Tensor]()
    for thin, dims in zip(pair, cast("Sequence[int | list[int]]", named), strict=True):
        summed = {d % len(thin.shape) for d in (dims if isinstance(dims, list) else [dims])}
        kept = [d for d in range(len(thin.shape)) if d not in summed]
        place = [at + kept.index(d) if d in kept else None for d in range(len(thin.shape))]
        parts.append(_placed(thin, place, rank))
        at += len(kept)
    return reduce(add, parts)


def _placed(thin: Broadcast, place: Sequence[int | None], rank: int) -> Tensor:
    """Summed over the axes without a place, the others at theirs among `rank`."""
    gone = [dim for dim, to in enumerate(place) if to is None]
    data = thin.data.sum(gone) if gone else thin.data
    targets = [to for to in place if to is not None]
    order = sorted(range(len(targets)), key=targets.__getitem__)
    sides = [1] * rank
    for dim in order:
        sides[targets[dim]] = data.shape[dim]
    return data.permute(order).reshape(sides)


def _attention(call: Call, made: Made) -> Tensor:
    query, *pair = (of_value(value, made) for value in call.inputs[:3])
    return reduce(add, (over_last(thin, 2) for thin in pair), over_last(query, 1))


def _multi_head(call: Call, made: Made) -> list[Tensor]:
    query, *pair = (of_value(value, made) for value in call.inputs[:3])
    result = reduce(
        add, (thin.data.sum((0, -1), keepdim=True) for thin in pair), over_last(query, 1)
    )
    total = result.sum()
    return [result, *(total.reshape((1,) * len(out.shape)) for out in call.outputs[1:])]


def _gated(call: Call, made: Made) -> Tensor:
    thin, dim = first(call, made), cast("int", call.arg("dim", -1))
    if thin.data.shape[dim] == 1:
        return thin.data
    left, right = thin.data.chunk(2, dim)
    return left + right


PRODUCTS: dict[str, Step] = {
    "linear": _linear,
    "bilinear": _bilinear,
    **dict.fromkeys(("matmul", "mm", "bmm", "baddbmm", "addmm"), _product),
    "einsum": _einsum,
    "tensordot": _tensordot,
    "scaled_dot_product_attention": _attention,
    "multi_head_attention_forward": _multi_head,
    "glu": _gated,
}
