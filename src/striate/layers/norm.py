"""Normalisation, dropout and activations as layers; the formulas stand in `striate.ops`."""

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.ops import activation, checks, norm


class BatchNorm(nn.Module):
    """Batch normalisation of any number of axes, in either convention for the running statistics.

    Args:
        num_features: channels.
        momentum: weight of the new batch, as PyTorch means it, with the unbiased variance.
        decay: weight of what was, as Caffe, Keras and ONNX mean it, with the population variance;
            one of the two, momentum 0.1 if neither.
        eps: added to the variance.
        affine: whether channels are scaled and shifted afterwards.

    Raises:
        ArgumentError: both conventions at once, or a setting out of range.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        num_features: int,
        *,
        momentum: float | None = None,
        decay: float | None = None,
        eps: float = 1e-5,
        affine: bool = True,
    ) -> None:
        super().__init__()
        if momentum is not None and decay is not None:
            raise ArgumentError(
                f"BatchNorm: got momentum={momentum} and decay={decay}, expected one of them"
            )
        checks.integers("BatchNorm", num_features=num_features)
        self.momentum = 0.1 if momentum is None else momentum
        weight = {"momentum": self.momentum} if decay is None else {"decay": decay}
        norm.check_batch_settings("BatchNorm", eps, training=True, **weight)
        self.decay, self.eps = decay, eps
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *space"]:
        """By the batch in training, by the running statistics in evaluation."""
        tensors = (x, self.running_mean, self.running_var, self.weight, self.bias)
        training, eps = self.training, self.eps
        if self.decay is not None:
            return norm.batch_norm_decay(*tensors, training=training, decay=self.decay, eps=eps)
        return norm.batch_norm(*tensors, training=training, momentum=self.momentum, eps=eps)


class LocalResponseNorm(nn.Module):
    """Local response normalisation; see `striate.ops.norm.local_response_norm`."""

    def __init__(
        self,
        size: int = 5,
        *,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 1.0,
        window: Literal["mean", "sum"] = "mean",
    ) -> None:
        super().__init__()
        norm.response_weight("LocalResponseNorm", size, alpha, beta, k, window)
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k
        self.window: Literal["mean", "sum"] = window

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *space"]:
        return norm.local_response_norm(
            x, size=self.size, alpha=self.alpha, beta=self.beta, k=self.k, window=self.window
        )


class Dropout(nn.Module):
    """Values dropped with probability p in training, the others scaled up."""

    operation: ClassVar[Callable[..., Tensor]] = norm.dropout

    def __init__(self, p: float = 0.5, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        norm.check_drop(p, generator, type(self).__name__)
        self.p, self.generator = p, generator

    def forward(self, x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
        return type(self).operation(x, p=self.p, training=self.training, generator=self.generator)


class SpatialDropout(Dropout):
    """Whole maps dropped with probability p in training, the others scaled up."""

    operation = norm.spatial_dropout


class ReLU(nn.Module):
    """max(x, 0)."""

    def forward(self, x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
        return activation.relu(x)


class Sigmoid(nn.Module):
    """1 / (1 + exp(-x))."""

    def forward(self, x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
        return activation.sigmoid(x)


class Tanh(nn.Module):
    """The hyperbolic tangent."""

    def forward(self, x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
        return activation.tanh(x)


class ScaledTanh(nn.Module):
    """1.7159 tanh(2x / 3)."""

    def forward(self, x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
        return activation.scaled_tanh(x)


class GLU(nn.Module):
    """The first half of an axis times the sigmoid of the second."""

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Float[Tensor, "*axes"]) -> Float[Tensor, "*half"]:
        return activation.glu(x, dim=self.dim)
