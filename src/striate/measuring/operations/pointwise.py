"""Operations cell by cell, over an axis, over all: activations, sums, reductions, normalisation, softmax."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import cast

from striate.measuring.field_axes import Axes, Axis, Following, Part
from striate.measuring.operations.arguments import dims, first, whole
from striate.measuring.operations.number_terms import (
    Arithmetic,
    Place,
    Step,
    Term,
    exact_pointwise,
    floats,
    gamma,
    moved,
    pointwise,
    stayed,
    summed,
    total,
)
from striate.measuring.operations.operation import (
    Operation,
    Table,
    everything,
    none,
    of_first,
    uncounted,
)
from striate.probe import Call, Value
from striate.shapes import index_maps

# What outputs read of the picture.


def _cell_by_cell(call: Call, state: Following) -> Axes:
    rank = len(call.outputs[0].shape)
    values = [value for value in call.inputs if state.depends(value)]
    return state.union(call, [(state.axes(v), rank - len(v.shape)) for v in values])


def _same(call: Call, state: Following) -> Axes:
    """The tensor itself; another one gives but its type, its device or its shape."""
    return state.axes(first(call))


def _nothing(_call: Call, state: Following) -> Axes:
    return (None,) * state.rank


def _reduced(call: Call, state: Following) -> Axes:
    value = first(call)
    if isinstance(call.arg("other"), Value):  # the larger of two tensors, not of one
        return _cell_by_cell(call, state)
    rank, kept = len(value.shape), len(call.outputs[0].shape) == len(value.shape)
    gone = dims(call, rank)

    def move(axis: Axis) -> Axis:
        if not kept:
            axis = state.summed(axis, gone)
            return axis.moved(lambda dim: dim - sum(other < dim for other in gone))
        if axis.dim not in gone:
            return state.summed(axis, gone)
        alone = state.alone(axis, value.shape)
        return (
            Axis(axis.cells.as_whole(), (Part(1, axis.parts[0].dim),)) if alone else axis.as_whole()
        )

    return state.each(value, move)


def _pooled_places(call: Call, state: Following) -> int:
    """Connections of a reduction: of one over places of the picture, each map by itself, as of pooling; else none.

    A mean over channels is no pooling, nor is the place of a maximum a value that reads.
    """
    value = first(call)
    if isinstance(call.arg("other"), Value) or not call.outputs[0].dtype.is_floating_point:
        return 0
    parts = [part for axis in state.axes(value) if axis for part in axis.parts]
    gone = dims(call, len(value.shape))
    places = {dim: math.prod(part.size for part in parts if part.dim == dim) for dim in gone}
    alone = all(value.shape[dim] == cells for dim, cells in places.items())
    return value.count if alone and gone & {part.dim for part in parts} else 0


def _sampled(call: Call, state: Following) -> Axes:
    """`grid_sample`: every place of a map may read all of the picture."""
    after = call.outputs[0].shape
    wholes = state.everything(call)
    if len(wholes) != len(after) - 2:
        return wholes
    return tuple(
        axis and Axis(axis.cells.as_whole(n), (Part(n, dim),))
        for dim, (axis, n) in enumerate(zip(wholes, after[2:], strict=True), 2)
    )


def _differences(call: Call, state: Following) -> Axes:
    value, count = first(call), whole(call, "n", 1)
    dim = whole(call, "dim", -1) % len(value.shape)
    if call.arg("prepend") is not None or call.arg("append") is not None:
        return state.unknown(call)
    window = index_maps.sliding(count + 1)
    return state.along(value, call.outputs[0].shape, lambda axis: window if axis == dim else None)


def _mixed(call: Call, state: Following, over: Iterable[int]) -> Axes:
    over = set(over)
    return state.each(first(call), lambda axis: state.mixed(axis, over))


def _along(default: int | None = None) -> Callable[[Call, Following], Axes]:
    """Along one axis, as in softmax; all axes if none is named and there is none by default."""

    def reads(call: Call, state: Following) -> Axes:
        rank = len(first(call).shape)
        over = (
            dims(call, rank) if call.arg("dim") is not None or default is None else {default % rank}
        )
        return _mixed(call, state, over)

    return reads


def _normalised(call: Call, state: Following) -> Axes:
    rank, shape = len(first(call).shape), call.arg("normalized_shape", [])
    return _mixed(call, state, range(rank - len(cast("Sequence[int]", shape)), rank))


def _normalised_maps(call: Call, state: Following) -> Axes:
    """Group and instance normalisation: over all places of a map, unless statistics are stored."""
    if call.op == "instance_norm" and call.arg("use_input_stats", True) is False:
        return _same(call, state)
    return _mixed(call, state, range(2, len(first(call).shape)))


def _normalised_batch(call: Call, state: Following) -> Axes:
    if not call.arg("training", False):
        return _same(call, state)
    return _mixed(call, state, {dim for dim in range(len(first(call).shape)) if dim != 1})


# One number again.


def explain_sum(step: Step) -> Arithmetic | None:
    """Two tensors, or a tensor and a number; the second may be scaled or taken away."""
    first, second = step.call.arg("input"), step.call.arg("other")
    alpha = step.call.arg("alpha", 1)
    if not isinstance(alpha, int | float):
        return None
    factors = (1.0, -alpha if step.call.op.rstrip("_") in ("sub", "subtract") else alpha)
    if _turned(step):
        factors = factors[::-1]
    terms = (_operand(step, first, factors[0]), _operand(step, second, factors[1]))
    exact, bound = summed(terms, step.unit)
    return Arithmetic("addition", "the sum of two numbers", terms, exact, bound)


def explain_product(step: Step) -> Arithmetic:
    """Two tensors, or a tensor and a number."""
    first = _operand(step, step.call.arg("input"), 1.0)
    second = _operand(step, step.call.arg("other"), 1.0)
    # The tensor stands first, so that the way back to the pixels starts there.
    if first.source is None:
        first, second = second, first
    term = Term(first.input, second.input, first.source, second.source)
    bound = (
        2 * step.unit * abs(term.product)
    )  # a plain number is rounded to the tensor's type first
    return Arithmetic("multiplication", "the product of two numbers", (term,), term.product, bound)


def _turned(step: Step) -> bool:
    name = getattr(step.recording.functions[step.index], "__name__", "")
    return name in ("__rsub__", "rsub")


def _operand(step: Step, given: object, factor: float) -> Term:
    if not isinstance(given, Value):
        return Term(float(given), factor)  # pyright: ignore[reportArgumentType] - a number
    at = step.at[len(step.at) - len(given.shape) :]
    place = Place(given, tuple(0 if n == 1 else i for n, i in zip(given.shape, at, strict=True)))
    return Term(float(step.numbers(given)[place.at]), factor, place)


def explain_batch_norm(step: Step) -> Arithmetic:
    """(x - mean) / sqrt(variance + eps), scaled and shifted, with the statistics that were used."""
    source = step.tensor("input")
    channel = step.at[1]
    facts = _statistics(step, source, channel)
    place = Place(source, step.at)
    x = float(step.numbers(source)[step.at])
    scale = facts["weight"] / math.sqrt(facts["variance"] + facts["eps"])
    parts = (x * scale, -facts["mean"] * scale, facts["bias"])
    # PyTorch folds mean and deviation into one factor and one shift: about eight roundings in all.
    bound = gamma(8, step.unit) * math.fsum(map(abs, parts))
    rule = "(x - mean) / sqrt(variance + eps) x weight + bias"
    term = Term(x, scale, place, channel=channel)
    return Arithmetic("batch normalisation", rule, (term,), total(parts), bound, facts)


def _statistics(step: Step, source: Value, channel: int) -> dict[str, float]:
    mean, variance = step.value("running_mean"), step.value("running_var")
    if mean is None or variance is None or step.call.arg("training"):
        seen = step.numbers(source)[:, channel].double()
        used = {"mean": float(seen.mean()), "variance": float(seen.var(correction=0))}
    else:
        used = {
            "mean": float(step.numbers(mean)[channel]),
            "variance": float(step.numbers(variance)[channel]),
        }
    weight, bias = step.value("weight"), step.value("bias")
    return {
        **used,
        "eps": float(step.call.arg("eps", 1e-5)),  # pyright: ignore[reportArgumentType]
        "weight": float(step.numbers(weight)[channel]) if weight else 1.0,
        "bias": float(step.numbers(bias)[channel]) if bias else 0.0,
    }


def explain_round(step: Step) -> Arithmetic | None:
    """Exact to whole numbers; to decimals the last bit of a number may decide which way it goes, so no bound is known."""
    found = exact_pointwise(step)
    return replace(found, bound=None) if found and step.call.arg("decimals", 0) else found


def explain_softmax(step: Step) -> Arithmetic | None:
    """exp(x - largest), divided by the sum of all of them."""
    source = step.tensor("input")
    axis = step.call.arg("dim")
    if not isinstance(axis, int):
        return None
    axis %= len(source.shape)
    line = step.numbers(source)[
        tuple(slice(None) if a == axis else i for a, i in enumerate(step.at))
    ]
    logits = floats(line)
    top = max(logits)
    powers = [math.exp(x - top) for x in logits]
    added = math.fsum(powers)
    here = step.at[axis]
    terms = tuple(
        Term(x, power / added, Place(source, (*step.at[:axis], i, *step.at[axis + 1 :])))
        for i, (x, power) in enumerate(zip(logits, powers, strict=True))
    )
    exact = powers[here] / added
    # Rounding x - largest by u moves its exponential by that many u.
    spread = 2 * step.unit * (top - min(logits))
    bound = exact * (gamma(len(logits) + 4, step.unit) + spread)
    facts = {"largest": top, "sum of exponentials": added, "own exponential": powers[here]}
    rule = f"exp(x - largest) / the sum of {len(logits):,} such; factors are all the shares"
    return Arithmetic("softmax", rule, terms, exact, bound, facts, main=here)


CELLS = Operation(none, _cell_by_cell)
REDUCED = Operation(none, _reduced, connections=_pooled_places)
ACTIVATION = replace(CELLS, explain=pointwise)
SUM = Operation(none, _cell_by_cell, explain_sum, joins=True)
PRODUCT = Operation(none, _cell_by_cell, explain_product, joins=True)
NORM = Operation(none, of_first(_normalised), kind="normalisation", built_with="normalized_shape")
MAP_NORM = Operation(none, of_first(_normalised_maps), kind="normalisation")
NEW = Operation(none, _nothing, gradient=False)
FREE = Operation(
    none
)  # nothing is multiplied; what it reads depends on numbers, or is not followed


def _alike(entry: Operation, names: str) -> Table:
    return dict.fromkeys(names.split(), entry)


# Functions that PyTorch itself marks as pointwise or as a reduction need no entry, unless more is known of them.
POINTWISE: Table = {
    **_alike(ACTIVATION, """
        leaky_relu prelu elu selu celu gelu silu mish hardswish hardsigmoid softplus softsign tanhshrink
        softshrink hardshrink sigmoid logsigmoid tanh exp expm1 log log1p sqrt rsqrt square sin cos erf pow
        reciprocal"""),
    "prelu": replace(ACTIVATION, built_with="num_parameters"),
    **_alike(replace(CELLS, explain=exact_pointwise), "relu relu6 hardtanh threshold clamp clip abs neg"),
    **_alike(Operation(none, _same, pointwise), "float double half bfloat16 to type type_as"),
    **_alike(SUM, "add sub subtract"),
    **_alike(PRODUCT, "mul multiply"),
    **_alike(replace(CELLS, joins=True), "truediv div maximum minimum where"),
    **_alike(replace(CELLS, explain=stayed), """
        contiguous clone alias dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout
        feature_alpha_dropout"""),
    **_alike(replace(CELLS, explain=moved), "channel_shuffle native_channel_shuffle"),
    # These have a gradient of zero, or cut it off.
    **_alike(replace(CELLS, explain=exact_pointwise, gradient=False), "sign floor ceil trunc"),
    "round": replace(CELLS, explain=explain_round, gradient=False),
    "data": replace(CELLS, gradient=False),
    "detach": replace(CELLS, explain=stayed, gradient=False),
    # Written in Python, or without a mark: cell by cell all the same.
    **_alike(CELLS, """
        rrelu bernoulli local_response_norm divide true_divide floordiv floor_divide mod negative absolute
        and or xor invert int long bool cpu cuda real imag requires_grad copy polar zero fill pin_memory numpy
        fake_quantize_per_tensor_affine uniform normal"""),
    **_alike(Operation(none, _same), "tril triu"),
    "diff": Operation(none, _differences),
    **_alike(REDUCED, "median nanmedian nanmean mode norm vector_norm linalg_vector_norm"),
    "cosine_similarity": Operation(uncounted, _reduced),
    **_alike(Operation(none, _along()), "log_softmax cumsum cumprod cummax cummin logcumsumexp"),
    "softmax": Operation(none, _along(), explain_softmax),
    **_alike(Operation(none, _along(-1)), "softmin gumbel_softmax sort topk argsort"),
    "normalize": Operation(none, _along(1)),
    "batch_norm": Operation(
        none, of_first(_normalised_batch), explain_batch_norm, kind="normalisation"
    ),
    **_alike(NORM, "layer_norm rms_norm"),
    **_alike(MAP_NORM, "group_norm instance_norm"),
    **_alike(NEW, """
        new_zeros new_ones new_full new_empty new_tensor zeros_like ones_like full_like empty_like rand_like
        randn_like randint_like shape size"""),
    "grid_sample": replace(FREE, reads=_sampled),
    **_alike(Operation(uncounted, everything), """
        fft_fft2 fft_rfft2 fft_ifft2 fft_irfft2 fft_fft fft_rfft cdist pdist"""),
    **_alike(FREE, """
        overwritten one_hot affine_grid embedding embedding_bag rot90 hstack vstack gather scatter scatter_add take
        take_along_dim index_add index_copy index_fill masked_select masked_scatter diag diag_embed
        zeros ones full empty arange linspace eye tensor as_tensor rand randn randint meshgrid"""),
}  # fmt: skip
