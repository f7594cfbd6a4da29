"""Normalisation and dropout: over the batch, over neighbouring channels, and by chance.

x [N, C, *space]. Batch normalisation: arXiv 1502.03167. Local response normalisation: Krizhevsky,
Sutskever and Hinton 2012, section 3.3. Spatial dropout: arXiv 1411.4280.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.errors import ArgumentError, ShapeError, out_of_memory
from striate.ops import checks
from striate.ops.gradients import in_cache, in_place, wide


def batch_norm(
    x: Float[Tensor, "n c *space"],
    running_mean: Float[Tensor, " c"] | None,
    running_var: Float[Tensor, " c"] | None,
    weight: Float[Tensor, " c"] | None = None,
    bias: Float[Tensor, " c"] | None = None,
    *,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Float[Tensor, "n c *space"]:
    """Every channel to mean 0 and variance 1, then scaled and shifted, as PyTorch does it.

    In training by the statistics of the batch, and the running ones become
    (1 - momentum) old + momentum batch, with the unbiased variance; otherwise by the running ones.

    Raises:
        ShapeError: statistics or parameters that have not one number a channel, or one value a channel.
        ArgumentError: no running statistics in evaluation, or integers in the tensor.
    """
    tensors = (running_mean, running_var, weight, bias)
    try:
        if (
            x.is_floating_point()
            and (running_mean is None) is (running_var is None)
            and all(t is None or (t.dtype is x.dtype and t.device == x.device) for t in tensors)
            and type(momentum) is type(eps) is float
            and 0 <= momentum <= 1
            and eps > 0
        ):
            return F.batch_norm(x, *tensors, training, momentum, eps)
    except checks.FAILURES as error:
        if out_of_memory(error):
            raise
    checks.flags("batch_norm", training=training)
    _check_batch(x, tensors, training=training)
    check_batch_settings("batch_norm", eps, training=training, momentum=momentum)
    return F.batch_norm(x, *tensors, training, momentum, eps)


def batch_norm_decay(
    x: Float[Tensor, "n c *space"],
    running_mean: Float[Tensor, " c"],
    running_var: Float[Tensor, " c"],
    weight: Float[Tensor, " c"] | None = None,
    bias: Float[Tensor, " c"] | None = None,
    *,
    training: bool = False,
    decay: float = 0.9,
    eps: float = 1e-5,
) -> Float[Tensor, "n c *space"]:
    """`batch_norm` in the other convention, of Caffe, Keras and ONNX (where it is called momentum).

    The running statistics become decay old + (1 - decay) batch, with the population variance.

    Raises:
        ShapeError: statistics or parameters that have not one number a channel, or one value a channel.
        ArgumentError: integers in the tensor.
    """
    checks.flags("batch_norm", training=training)
    if not training:
        return batch_norm(x, running_mean, running_var, weight, bias, eps=eps)
    for running in (running_mean, running_var):
        checks.tensor(running, "batch_norm", "a running statistic")
    _check_batch(x, (running_mean, running_var, weight, bias), training=True)
    check_batch_settings("batch_norm", eps, training=True, decay=decay)
    mean, var = torch.zeros_like(running_mean), torch.zeros_like(running_var)
    y = F.batch_norm(x, mean, var, weight, bias, True, 1.0, eps)
    count = x.numel() // max(1, x.shape[1])
    running_mean.mul_(decay).add_(mean, alpha=1 - decay)
    running_var.mul_(decay).add_(var, alpha=(1 - decay) * (count - 1) / max(1, count))
    return y


def _check_batch(x: Tensor, per_channel: Sequence[Tensor | None], *, training: bool) -> None:
    checks.floating(x, "batch_norm")
    if x.ndim < 2:
        raise ShapeError(
            f"batch_norm: got {x.ndim} axes {list(x.shape)}, expected items and channels"
        )
    for tensor in per_channel:
        if tensor is not None:
            _check_per_channel(tensor, x)
    if (per_channel[0] is None) != (per_channel[1] is None):
        raise ArgumentError(
            "batch_norm: got one running statistic, expected mean and variance or neither"
        )
    if not training and (per_channel[0] is None or per_channel[1] is None):
        raise ArgumentError(
            "batch_norm: evaluation needs running statistics; give them or training=True"
        )
    if training and x.shape[0] and prod(x.shape[2:]) * x.shape[0] < 2:
        raise ShapeError(
            f"batch_norm: one value a channel {list(x.shape)} has no variance; batch more"
        )


def check_batch_settings(who: str, eps: float, *, training: bool, **weights: float) -> None:
    """Raise ArgumentError for a setting out of range; `weights` are those of what was or comes, by their names."""
    checks.numbers(who, eps=eps, **weights)
    if eps < 0 or (training and eps == 0):
        raise ArgumentError(f"{who}: eps={eps}, expected more than 0")
    for name, weight in weights.items():
        if not 0 <= weight <= 1:
            raise ArgumentError(f"{who}: {name}={weight}, expected 0 to 1")


def _check_per_channel(tensor: Tensor, x: Tensor) -> None:
    checks.tensor(tensor, "batch_norm", "a statistic or parameter")
    if tensor.shape != x.shape[1:2]:
        raise ShapeError(f"batch_norm: got {list(tensor.shape)} numbers for {x.shape[1]} channels")
    narrow = x.dtype in (torch.float16, torch.bfloat16)
    if tensor.device != x.device or (tensor.dtype is not x.dtype and not narrow):
        raise ArgumentError(
            f"batch_norm: got an input of {x.dtype} on {x.device} and statistics or parameters of "
            f"{tensor.dtype} on {tensor.device}; convert one with .to()"
        )


# Local response normalisation in few passes over memory, its gradient by hand: d = k + a W(x^2), y = x d^-beta with W
# the sum over a window of channels; dx = g d^-beta - 2 a beta x W'(g x d^-beta / d) with W' its adjoint.


def respond(x: Tensor, size: int, a: float, beta: float, k: float) -> Tensor:
    """y; only x and d are kept for the way back, where autograd on the composition keeps six arrays."""
    if (
        x.is_meta and not torch.is_grad_enabled()
    ):  # there is nothing to compute: a net is counted, and this is one operation of it
        return F.local_response_norm(x, size)
    if torch.compiler.is_compiling():  # which fuses the steps and works out their gradient
        return (x * _to_minus(_scale(wide(x), size, a, k), beta)).to(x.dtype)
    y: Tensor = _Response.apply(x, size, a, beta, k)[0]
    return y


def _reach(x: Tensor, size: int) -> tuple[int, int]:
    """Channels that a window reads below and above its own; the odd one of an even window lies above."""
    return min((size - 1) // 2, x.shape[1]), min(size // 2, x.shape[1])


def _window_sum(x: Tensor, size: int, out: Tensor | None = None) -> Tensor:
    """Sums of `size` channels in a row, `size` - 1 fewer than come in: halves of a window added up."""
    if size == 1:
        return x if out is None else out.copy_(x)
    if size % 2:
        return torch.add(x[:, : 1 - size], _window_sum(x[:, 1:], size - 1), out=out)
    half = _window_sum(x, size // 2)
    return torch.add(half[:, : -(size // 2)], half[:, size // 2 :], out=out)


def _to_minus(d: Tensor, beta: float) -> Tensor:
    """d^-beta; by two roots for 0.75, several times faster than a power."""
    if beta == 0.75:
        root = d.rsqrt()
        return root * root.sqrt()
    return d.rsqrt() if beta == 0.5 else d.pow(-beta)


def _power(d: Tensor, beta: float) -> Tensor:
    """`_to_minus` where no gradient is asked for: in place, and without PyTorch's slower square root."""
    return d.rsqrt().rsqrt_().div_(d) if beta == 0.75 else _to_minus(d, beta)


def _around(x: Tensor, below: int, above: int) -> Tensor:
    padded = F.pad(x, [0, 0] * (x.ndim - 2) + [below, above])
    return _window_sum(padded, below + 1 + above)


def _scale(x: Tensor, size: int, a: float, k: float) -> Tensor:
    return _around(x * x, *_reach(x, size)) * a + k


def _slope(g: Tensor, x: Tensor, size: int, a: float, beta: float, k: float) -> Tensor:
    below, above = _reach(x, size)
    d = _scale(x, size, a, k)
    direct = g * _to_minus(d, beta)
    return direct - 2 * a * beta * x * _around(direct * x / d, above, below)


def _between(x: Tensor, below: int, above: int, value: float) -> Tensor:
    """Channels of `value`, laid out as x, as many as x has and `below` before them and `above` after."""
    items, channels, *space = x.shape
    if x.stride(1) == 1:
        rows = x.new_full((items * prod(space), below + channels + above), value)
        return rows.unflatten(0, (items, *space)).movedim(-1, 1)
    return x.new_full((items, below + channels + above, *space), value)


def _forward(x: Tensor, size: int, a: float, beta: float, k: float) -> tuple[Tensor, Tensor]:
    """The result and d, run by run of items; k comes into the sums in parts, with their cells."""
    y, d = torch.empty_like(x), wide(torch.empty_like(x))
    if x.is_meta:  # there is nothing to compute: a net is counted, and this is one operation of it
        return F.local_response_norm(x, size), d
    below, above = _reach(x, size)
    window = below + 1 + above
    for run in in_cache(x):
        x_run = wide(x[run])
        cells = _between(x_run, below, above, k / window)
        cells.narrow(1, below, x.shape[1]).addcmul_(x_run, x_run, value=a)
        _window_sum(cells, window, out=d[run])
        torch.mul(_power(d[run], beta), x_run, out=y[run])
    return y, d


def _backward(g: Tensor, x: Tensor, d: Tensor, size: int, a: float, beta: float) -> Tensor:
    back = torch.empty_like(x)
    below, above = _reach(x, size)
    for run in in_cache(x):
        x_run = wide(x[run])
        direct = _power(d[run], beta).mul_(g[run])
        cells = _between(x_run, above, below, 0)
        torch.div(direct * x_run, d[run], out=cells.narrow(1, above, x.shape[1]))
        inner = _window_sum(cells, below + 1 + above)
        torch.addcmul(direct, x_run, inner, value=-2 * a * beta, out=back[run])
    return back


class _Response(torch.autograd.Function):
    """y, and d for the way back."""

    @staticmethod
    def forward(x: Tensor, *settings: Any) -> tuple[Tensor, Tensor]:
        return _forward(x, *settings)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        x, *ctx.settings = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # no zeros in its place
        ctx.save_for_backward(x, output[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        (x, d), g = ctx.saved_tensors, grads[0]
        back = None
        if g is not None:
            back = in_place(
                lambda: _backward(g, x, d, *ctx.settings[:3]),
                lambda: _slope(wide(g), wide(x), *ctx.settings).to(x.dtype),
            )
        return back, None, None, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], *args: Any
    ) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        # The mapped axis as more items, because steps in place cannot be mapped.
        x, *settings = args
        items = x.movedim(in_dims[0], 0).flatten(0, 1)
        outputs = _Response.apply(items, *settings)
        return tuple(y.unflatten(0, (info.batch_size, -1)) for y in outputs), (0, 0)


def local_response_norm(
    x: Float[Tensor, "n c *space"],
    *,
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    window: Literal["mean", "sum"] = "mean",
) -> Float[Tensor, "n c *space"]:
    """Gives x / (k + a s)^beta with s the sum of squares over `size` neighbouring channels.

    Args:
        x: items, channels and any space.
        size: channels in the window; an even window leans to the higher ones, as in ONNX.
        alpha: weight of the squares.
        beta: the power.
        k: what is added, more than 0.
        window: "mean" divides alpha by the size (Caffe, ONNX, PyTorch); "sum" does not (the paper).

    Raises:
        ShapeError: fewer than three axes.
        ArgumentError: a setting out of range, an unknown window, or integers in the tensor.
    """
    _check_maps(x, "local_response_norm")
    a = response_weight("local_response_norm", size, alpha, beta, k, window)
    return respond(x, size, a, beta, k)


def response_weight(who: str, size: int, alpha: float, beta: float, k: float, window: str) -> float:
    """The a of local response normalisation, of settings that are checked."""
    checks.word(who, "window", window, ("mean", "sum"))
    checks.numbers(who, alpha=alpha, beta=beta, k=k)
    checks.integers(who, size=size)
    if not k > 0:
        raise ArgumentError(f"{who}: got k={k}, expected more than 0")
    return alpha / size if window == "mean" else alpha


def _check_maps(x: Tensor, who: str) -> None:
    checks.floating(x, who)
    if x.ndim < 3:
        raise ShapeError(
            f"{who}: got {x.ndim} axes {list(x.shape)}, expected items, channels and space"
        )


def dropout(
    x: Float[Tensor, "*axes"],
    *,
    p: float = 0.5,
    training: bool = True,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*axes"]:
    """Every value zero with probability p in training, the others divided by 1 - p.

    Raises:
        ArgumentError: p outside 0 to 1, or integers in the tensor.
    """
    checks.floating(x, "dropout")
    checks.flags("dropout", training=training)
    return _drop(x, x.shape, p, generator, "dropout") if training else x


def spatial_dropout(
    x: Float[Tensor, "n c *space"],
    *,
    p: float = 0.5,
    training: bool = True,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "n c *space"]:
    """`dropout` of whole maps: neighbouring cells are so alike that single ones are not missed.

    Raises:
        ShapeError: fewer than three axes.
        ArgumentError: p outside 0 to 1, or integers in the tensor.
    """
    _check_maps(x, "spatial_dropout")
    checks.flags("spatial_dropout", training=training)
    maps = (*x.shape[:2], *(1,) * (x.ndim - 2))
    return _drop(x, maps, p, generator, "spatial_dropout") if training else x


def check_drop(p: float, generator: object, who: str) -> None:
    """Raise ArgumentError unless p is a probability, and randomness can come from `generator`."""
    checks.numbers(who, p=p)
    if not 0 <= p <= 1:
        raise ArgumentError(f"{who}: p={p} is no probability, expected 0 to 1")
    checks.generator(generator, who)


def _drop(
    x: Tensor, shape: Sequence[int], p: float, generator: torch.Generator | None, who: str
) -> Tensor:
    check_drop(p, generator, who)
    if p == 1:
        return x * 0
    kept = torch.rand(shape, device=x.device, generator=generator) >= p
    return x * (kept.to(x.dtype) / (1 - p))
