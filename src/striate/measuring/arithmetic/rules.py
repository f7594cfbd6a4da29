"""Which rule explains which function."""

from collections.abc import Callable

from striate.measuring.arithmetic import convolution, others, pooling, sums
from striate.measuring.arithmetic.parts import Arithmetic, Step

Rule = Callable[[Step], Arithmetic | None]

AXES = (1, 2, 3)
MOVES = frozenset(
    """
    view reshape flatten unflatten squeeze unsqueeze permute transpose t T mT swapaxes movedim moveaxis
    expand expand_as view_as reshape_as broadcast_to repeat repeat_interleave tile roll flip rot90 cat concat
    concatenate stack hstack vstack split chunk tensor_split unbind narrow select getitem setitem index_select
    pad contiguous clone detach alias dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout
    feature_alpha_dropout channel_shuffle native_channel_shuffle pixel_shuffle pixel_unshuffle unfold
    """.split()  # noqa: SIM905
)
POINTWISE = frozenset(
    """
    relu relu6 leaky_relu prelu elu selu celu gelu silu mish hardtanh hardswish hardsigmoid softplus
    softsign tanhshrink softshrink hardshrink threshold sigmoid logsigmoid tanh exp expm1 log log1p sqrt
    rsqrt square abs neg sin cos erf clamp clip pow reciprocal float double half bfloat16 to type type_as
    """.split()  # noqa: SIM905
)
RULES: dict[str, Rule] = {
    **{f"conv{n}d": convolution.convolution for n in AXES},
    **{f"conv_transpose{n}d": convolution.transposed for n in AXES},
    **{f"max_pool{n}d": pooling.maximum for n in AXES},
    **{f"adaptive_max_pool{n}d": pooling.adaptive_maximum for n in AXES},
    **{f"avg_pool{n}d": pooling.average for n in AXES},
    **{f"adaptive_avg_pool{n}d": pooling.adaptive_average for n in AXES},
    **{f"lp_pool{n}d": pooling.power for n in AXES},
    "linear": sums.linear,
    **dict.fromkeys(("matmul", "mm", "bmm"), sums.matrix_product),
    **dict.fromkeys(("add", "sub", "subtract"), sums.addition),
    **dict.fromkeys(("mul", "multiply"), sums.product),
    "batch_norm": sums.batch_norm,
    "softmax": sums.softmax,
    **dict.fromkeys(MOVES, others.moved),
    **dict.fromkeys(POINTWISE, others.pointwise),
}


def arithmetic(step: Step) -> Arithmetic:
    """One number of one call; of a function that is not understood the terms are empty."""
    rule = RULES.get(step.call.op.removesuffix("_with_indices").rstrip("_"))
    return (rule(step) if rule else None) or others.smooth(step) or others.unknown(step)
