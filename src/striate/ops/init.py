"""How weights begin, in place and by a given generator.

A weight is [O, C, *kernel]; its fan-in is what one output value reads, its fan-out what reads one
input value. Glorot and Bengio 2010; He et al. arXiv 1502.01852; LeCun et al. 1998, "Efficient BackProp".
"""

from math import inf, sqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ArgumentError, ShapeError
from striate.ops import checks
from striate.shapes import fans


def gaussian_(
    weight: Float[Tensor, "*shape"],
    bias: Float[Tensor, "*any"] | None = None,
    *,
    std: float = 0.01,
    constant: float = 1.0,
    generator: torch.Generator | None = None,
) -> None:
    """N(0, std) weights and one constant for the bias, as AlexNet began: N(0, 0.01) and one."""
    _normal(weight, std, generator)
    checks.numbers("gaussian_", constant=constant)
    if bias is not None:
        checks.tensor(bias, "gaussian_", "the bias")
        with torch.no_grad():
            bias.fill_(constant)


def glorot_(
    weight: Float[Tensor, "*shape"],
    *,
    uniform: bool = True,
    gain: float = 1.0,
    generator: torch.Generator | None = None,
) -> None:
    """Variance 2 / (fan-in + fan-out): neither values nor gradients grow through linear layers."""
    checks.numbers("glorot_", gain=gain)
    fan_in, fan_out = _fans(weight)
    _spread(weight, gain * sqrt(2 / (fan_in + fan_out)), uniform, generator)


def he_(
    weight: Float[Tensor, "*shape"],
    *,
    uniform: bool = False,
    fan_out: bool = False,
    generator: torch.Generator | None = None,
) -> None:
    """Variance 2 / fan-in, for ReLU, which halves it; 2 / fan-out keeps the gradients instead."""
    checks.flags("init", fan_out=fan_out)
    _spread(weight, sqrt(2 / _fans(weight)[int(fan_out)]), uniform, generator)


def lecun_(
    weight: Float[Tensor, "*shape"],
    *,
    uniform: bool = False,
    generator: torch.Generator | None = None,
) -> None:
    """Variance 1 / fan-in: unit variance in, unit variance out."""
    _spread(weight, sqrt(1 / _fans(weight)[0]), uniform, generator)


def _fans(weight: Tensor) -> tuple[int, int]:
    checks.floating(weight, "init")
    if not weight.numel():
        raise ShapeError(f"init: got an empty weight {list(weight.shape)}")
    return fans(weight.shape)


def _spread(weight: Tensor, std: float, uniform: bool, generator: torch.Generator | None) -> None:
    checks.flags("init", uniform=uniform)
    if not uniform:
        _normal(weight, std, generator)
        return
    _check_spread(std)
    checks.generator(generator, "init")
    nn.init.uniform_(weight, -sqrt(3) * std, sqrt(3) * std, generator=generator)


def _normal(weight: Tensor, std: float, generator: torch.Generator | None) -> None:
    checks.floating(weight, "init")
    _check_spread(std)
    checks.generator(generator, "init")
    # By its name in nn.init, so that a mode that leaves weights unset leaves these too.
    nn.init.normal_(weight, 0, std, generator=generator)


def _check_spread(std: float) -> None:
    checks.numbers("init", std=std)
    if not 0 <= std < inf:
        raise ArgumentError(f"std={std} is no spread, expected at least 0")
