"""First weights from a generator that is passed in, so that no global seed is needed.

Constructors of PyTorch draw from the global state; `skipped` keeps them from it, then one of the
functions below fills the net. They draw on the CPU, so the same seed gives the same weights anywhere.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class _Skipped(TorchFunctionMode):
    """Lets every function of `torch.nn.init` return its tensor as it is."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def skipped() -> AbstractContextManager[object]:
    """Constructors inside leave their weights unset, at no cost and without drawing a number."""
    return _Skipped()


def as_torch(net: nn.Module, generator: torch.Generator) -> None:
    """Weights and biases of convolutions and linear layers uniform in +-1 / sqrt(inputs of one output), PyTorch's default."""
    for layer in _weighted(net):
        bound = 1 / math.sqrt(layer.weight[0].numel())
        uniform(layer.weight, bound, generator)
        if layer.bias is not None:
            uniform(layer.bias, bound, generator)


def uniform(parameter: Tensor, bound: float, generator: torch.Generator) -> None:
    """One parameter, or a part of it, uniform in +-bound."""
    _fill(parameter, lambda t: t.uniform_(-bound, bound, generator=generator))


def normal(parameter: Tensor, std: float, generator: torch.Generator) -> None:
    """One parameter, or a part of it, normal about zero."""
    _fill(parameter, lambda t: t.normal_(0, std, generator=generator))


def constant(parameter: Tensor, value: float) -> None:
    """One parameter, or a part of it, the same value everywhere."""
    _fill(parameter, lambda t: t.fill_(value))


def he(net: nn.Module, generator: torch.Generator) -> None:
    """Convolutions normal with variance 2 / (outputs fed by one input), no bias; linear layers as PyTorch.

    He et al. 2015, arXiv 1502.01852, the backward form (eq. 14), as in the authors' ResNets.
    """
    for layer in _weighted(net):
        if isinstance(layer, nn.Linear):
            as_torch(layer, generator)
            continue
        fan_out = layer.weight.numel() // layer.weight.shape[1]
        normal(layer.weight, math.sqrt(2 / fan_out), generator)
        _no_bias(layer)


def he_inputs(net: nn.Module, generator: torch.Generator) -> None:
    """Every layer normal with variance 2 / (numbers read by one output value), biases 0: eq. 10 of the same paper.

    An output of a transposed convolution reads, of each kernel, one cell in stride x stride.
    """
    for layer in _weighted(net):
        reads = layer.weight[0].numel()
        if isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d):
            reads = layer.weight[:, 0].numel() // math.prod(layer.stride)
        normal(layer.weight, math.sqrt(2 / max(1, reads)), generator)
        _no_bias(layer)


def he_uniform(net: nn.Module, generator: torch.Generator) -> None:
    """Every layer uniform with variance 2 / (numbers read by one output value), biases 0."""
    for layer in _weighted(net):
        uniform(layer.weight, math.sqrt(6 / layer.weight[0].numel()), generator)
        _no_bias(layer)


def gaussian(net: nn.Module, generator: torch.Generator, *, std: float = 0.01) -> None:
    """Every layer normal with one spread, biases 0."""
    for layer in _weighted(net):
        normal(layer.weight, std, generator)
        _no_bias(layer)


def lecun(net: nn.Module, generator: torch.Generator) -> None:
    """Every layer uniform with variance 1 / (numbers read by one output value), biases 0.

    What keeps the variance from layer to layer: LeCun et al. 1998, Efficient BackProp, eq. 16.
    """
    for layer in _weighted(net):
        bound = math.sqrt(3 / layer.weight[0].numel())
        _fill(layer.weight, lambda t, b=bound: t.uniform_(-b, b, generator=generator))
        if layer.bias is not None:
            _fill(layer.bias, Tensor.zero_)


Conv = nn.Conv1d | nn.Conv2d | nn.Conv3d
Transposed = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
Weighted = Conv | Transposed | nn.Linear


def _weighted(net: nn.Module) -> "list[Weighted]":
    return [layer for layer in net.modules() if isinstance(layer, Weighted)]


def _no_bias(layer: "Weighted") -> None:
    if layer.bias is not None:
        constant(layer.bias, 0)


def _fill(parameter: Tensor, draw: Callable[[Tensor], Tensor]) -> None:
    with torch.no_grad():
        plain = parameter.dtype == torch.float32 and parameter.device.type == "cpu"
        if plain and parameter.is_contiguous():
            draw(parameter)  # the same numbers, without memory for a copy
        else:
            parameter.copy_(draw(torch.empty(parameter.shape, dtype=torch.float32, device="cpu")))
