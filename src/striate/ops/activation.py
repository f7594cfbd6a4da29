"""Activations, named as the course names them: PyTorch's own, and LeCun's scaled tanh."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.errors import ShapeError
from striate.ops import checks


def relu(x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """max(x, 0)."""
    checks.floating(x, "relu")
    return torch.relu(x)


def sigmoid(x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """1 / (1 + exp(-x))."""
    checks.floating(x, "sigmoid")
    return torch.sigmoid(x)


def tanh(x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    checks.floating(x, "tanh")
    return torch.tanh(x)


def scaled_tanh(x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """1.7159 tanh(2x / 3): 1 goes to 1 and -1 to -1. LeCun et al. 1998, "Efficient BackProp"."""
    checks.floating(x, "scaled_tanh")
    return 1.7159 * torch.tanh(x * (2 / 3))


def glu(x: Float[Tensor, "*axes"], *, dim: int = 1) -> Float[Tensor, "*half"]:
    """Gated linear unit: the first half of an axis times the sigmoid of the second. arXiv 1612.08083.

    Raises:
        ShapeError: the axis has an odd length.
        ArgumentError: integers in the tensor.
    """
    checks.floating(x, "glu")
    checks.axis(x, dim, "glu")
    if x.shape[dim] % 2:
        raise ShapeError(
            f"glu: got {x.shape[dim]} along axis {dim}, expected an even number to halve"
        )
    return F.glu(x, dim)
