"""Multiply-adds of one call, by formula; and which functions have none.

One multiply-add counts one. Convolution, linear layers and matrix products count, padding cells
included; normalisation, pooling, activations and everything else are 0 by convention.
"""

from collections.abc import Callable
from math import isqrt, prod

from striate.measuring.equations import letters
from striate.probe import Call, Value


def value(call: Call, name: str, position: int) -> Value:
    """A tensor argument.

    Raises:
        TypeError: that argument is no tensor.
    """
    found = call.arg(name, position)
    if not isinstance(found, Value):
        raise TypeError(f"{call.op}: {name} is {type(found).__name__}, not a tensor")
    return found


def _convolution(call: Call) -> int:
    return call.outputs[0].count * prod(value(call, "weight", 1).shape[1:])


def _transposed(call: Call) -> int:
    # Each input value is spread over one kernel a map; what `padding` cuts off afterwards is computed too.
    return value(call, "input", 0).count * prod(value(call, "weight", 1).shape[1:])


def _linear(call: Call) -> int:
    return call.outputs[0].count * value(call, "weight", 1).shape[-1]


def _product(call: Call) -> int:
    return call.outputs[0].count * call.inputs[0].shape[-1]


def _added_product(call: Call) -> int:
    return call.outputs[0].count * call.inputs[1].shape[-1]


def _summed_product(call: Call) -> int:
    b, n, m = call.inputs[1].shape
    return b * n * m * call.inputs[2].shape[-1]


def _attention(call: Call) -> int:
    query, key, val = call.inputs[:3]
    scores = prod(query.shape[:-1]) * key.shape[-2]
    return scores * (query.shape[-1] + val.shape[-1])


def _multi_head(call: Call) -> int:
    query, key, val = call.inputs[:3]
    length, source, width = query.shape[0], key.shape[0], query.shape[-1]
    extra = (call.arg("bias_k", 7) is not None) + bool(call.arg("add_zero_attn", 9, False))
    batch = prod(query.shape[1:-1])
    projected = (2 * query.count + key.count + val.count) * width
    return projected + 2 * batch * length * (source + extra) * width


def _recurrent(call: Call) -> int:
    # Every matrix of weights is used once a step and item; biases are vectors.
    steps = prod(call.inputs[0].shape[:-1])
    return steps * sum(v.count for v in call.inputs if v.params and len(v.shape) > 1)


def _einsum(call: Call) -> int | None:
    """Of two factors; the cost of three depends on their order."""
    named = letters(call)
    if named is None or len(named[0]) > 2:
        return None
    terms, result = named
    if len(terms) == 1:
        return 0
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, call.inputs, strict=True):
        for axis, side in zip(term, operand.shape, strict=True):
            sizes[axis] = max(side, sizes.get(axis, 1))
    return prod(sizes.values()) if set(result) != set(sizes) else 0  # nothing summed is no product


def _tensordot(call: Call) -> int:
    left, right = call.inputs[:2]
    # Each summed axis stands in both factors and not in the result.
    summed = isqrt(left.count * right.count // max(1, call.outputs[0].count))
    return call.outputs[0].count * summed


def _bilinear(call: Call) -> int:
    # Every weight is used once an item, with one product of the two inputs.
    items = prod(call.inputs[0].shape[:-1])
    return items * value(call, "weight", 2).count


Formula = Callable[[Call], int | None]
FORMULAS: dict[str, Formula] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed),
    "linear": _linear,
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot", "vdot", "inner"), _product),
    **dict.fromkeys(("addmm", "addmm_", "baddbmm", "baddbmm_", "addmv"), _added_product),
    "addbmm": _summed_product,
    "scaled_dot_product_attention": _attention,
    "multi_head_attention_forward": _multi_head,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _recurrent),
    **dict.fromkeys(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"), _recurrent),
    "einsum": _einsum,
    "tensordot": _tensordot,
    "bilinear": _bilinear,
}

# Known to have none. A function that is in neither table, and that PyTorch's counter does not
# know either, is named in the sheet as uncounted: its cost is unknown, not zero.
FREE = frozenset(
    # One string of words: quoted one by one they would fill four pages.
    """
    relu relu6 leaky_relu prelu rrelu elu selu celu gelu silu mish hardtanh hardswish hardsigmoid
    softplus softsign tanhshrink softshrink hardshrink threshold sigmoid logsigmoid tanh softmax
    softmin log_softmax gumbel_softmax glu batch_norm layer_norm group_norm instance_norm rms_norm
    local_response_norm normalize dropout alpha_dropout feature_dropout feature_alpha_dropout
    dropout1d dropout2d dropout3d bernoulli max_pool1d max_pool2d max_pool3d max_pool1d_with_indices
    max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d lp_pool1d
    lp_pool2d lp_pool3d fractional_max_pool2d fractional_max_pool3d adaptive_avg_pool1d
    adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d max_unpool1d max_unpool2d max_unpool3d pad interpolate upsample grid_sample
    affine_grid pixel_shuffle pixel_unshuffle channel_shuffle unfold fold embedding embedding_bag
    one_hot add sub rsub subtract mul multiply div divide true_divide truediv floordiv floor_divide
    mod remainder fmod pow square addcmul addcdiv lerp neg negative abs absolute sign exp expm1 exp2
    log log2 log10 log1p sqrt rsqrt reciprocal sin cos tan asin acos atan atan2 sinh cosh erf erfc
    floor ceil round trunc frac clamp clip clamp_min clamp_max maximum minimum fmax fmin nan_to_num
    where masked_fill masked_select masked_scatter eq ne lt le gt ge logical_and logical_or
    logical_not logical_xor isnan isinf isfinite and or xor invert bitwise_not sum mean prod std var
    std_mean var_mean max min amax amin argmax argmin aminmax median mode logsumexp norm vector_norm
    cumsum cumprod cummax topk sort argsort any all count_nonzero view reshape flatten unflatten
    squeeze unsqueeze permute transpose t swapaxes movedim moveaxis expand expand_as view_as
    reshape_as broadcast_to repeat repeat_interleave tile roll flip rot90 cat concat concatenate
    stack hstack vstack split chunk tensor_split unbind narrow select slice getitem setitem
    index_select gather scatter scatter_add take take_along_dim index_add index_copy index_fill tril
    triu diag diagonal diag_embed as_strided contiguous clone detach to type type_as float double
    half bfloat16 int long bool cpu cuda copy real imag view_as_real view_as_complex T mT H mH data
    requires_grad alias _unsafe_view zeros ones full empty zeros_like ones_like full_like empty_like
    new_zeros new_ones new_full new_empty new_tensor arange linspace eye tensor as_tensor rand randn
    randint rand_like randn_like normal uniform meshgrid zero fill
    """.split()  # noqa: SIM905
)


def formula(call: Call) -> int | None:
    """Multiply-adds of one call; None if no formula knows the function."""
    if call.op in FORMULAS:
        return FORMULAS[call.op](call)
    return 0 if call.op.removesuffix("_") in FREE else None
