"""Normalisation and dropout: over the batch, over neighbouring channels, and by chance.

x [N, C, *space]. Batch normalisation: arXiv 1502.03167. Local response normalisation: Krizhevsky,
Sutskever and Hinton 2012, section 3.3. Spatial dropout: arXiv 1411.4280.
"""

from collections.abc import Sequence
from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.errors import ArgumentError, ShapeError, out_of_memory
from striate.ops import checks
from striate.ops.local_response import respond


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
