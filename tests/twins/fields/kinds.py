"""Functions of PyTorch by what they read: cell by cell, over an axis, everything, nothing.

Used by both accounts of what reaches what; how a kind behaves is written in each by itself.
"""

# Strings of words: quoted one by one they would fill pages.
ELEMENTWISE = """
    relu relu6 leaky_relu prelu rrelu elu selu celu gelu silu mish hardtanh hardswish hardsigmoid
    softplus softsign tanhshrink softshrink hardshrink threshold sigmoid logsigmoid tanh dropout
    alpha_dropout feature_dropout feature_alpha_dropout dropout1d dropout2d dropout3d bernoulli
    local_response_norm add sub rsub subtract mul multiply div divide true_divide truediv floordiv
    floor_divide mod remainder fmod pow square addcmul addcdiv lerp neg negative abs absolute sign
    exp expm1 exp2 log log2 log10 log1p sqrt rsqrt reciprocal sin cos tan asin acos atan atan2 sinh
    cosh erf erfc floor ceil round trunc frac clamp clip clamp_min clamp_max maximum minimum fmax
    fmin nan_to_num where masked_fill eq ne lt le gt ge logical_and logical_or logical_not
    logical_xor isnan isinf isfinite and or xor invert bitwise_not contiguous clone detach to type
    type_as float double half bfloat16 int long bool cpu cuda real imag data requires_grad alias copy
    copysign hypot xlogy polar sgn deg2rad channel_shuffle zero fill pin_memory numpy
    fake_quantize_per_tensor_affine
""".split()  # noqa: SIM905
REDUCED = """
    sum mean prod std var std_mean var_mean amax amin max min argmax argmin median nanmedian mode
    logsumexp norm vector_norm any all count_nonzero nansum nanmean aminmax cosine_similarity
""".split()  # noqa: SIM905
ALONG = """
    softmax log_softmax softmin gumbel_softmax normalize cumsum cumprod cummax cummin logcumsumexp
    sort argsort topk
""".split()  # noqa: SIM905
# What reads everything by its nature, so that an unbounded field says all there is to say.
MIXED = """
    lstm gru rnn_tanh rnn_relu lstm_cell
    gru_cell grid_sample fft_fft2 fft_rfft2 fft_ifft2 fft_irfft2 fft_fft fft_rfft cdist pdist
""".split()  # noqa: SIM905
NOTHING = """
    new_zeros new_ones new_full new_empty new_tensor zeros_like ones_like full_like empty_like
    rand_like randn_like randint_like shape size
""".split()  # noqa: SIM905
