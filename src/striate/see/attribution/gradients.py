"""Saliency from gradients by the input. N items, B of a batch, C channels.

gradient: Simonyan, Vedaldi and Zisserman 2013, arXiv 1312.6034. gradient x input: Shrikumar, Greenside and Kundaje 2017,
arXiv 1704.02685, section 2. Integrated gradients: Sundararajan, Taly and Yan 2017, arXiv 1703.01365, equation 1.
SmoothGrad: Smilkov et al. 2017, arXiv 1706.03825. Guided backpropagation: Springenberg et al. 2014, arXiv 1412.6806.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from striate.see.attribution.subject import Subject, derived

NOISE = 0.15  # of SmoothGrad, as a share of an item's range; section 3.1 of its paper: 10 % to 20 %


def gradient(subject: Subject) -> Tensor:
    """How fast the number grows with each value of the input, [N, C, *space].

    It also chooses what is explained, in the same pass.
    """
    found: list[Tensor] = []
    for part in subject.batches(len(subject)):
        with torch.enable_grad():
            leaf = subject.x[part].detach().clone().requires_grad_()
            values = subject.counted(leaf)
            subject.clean(values)
            score = subject.score(values, torch.arange(part.start, part.stop))
            found.append(derived(score, leaf))
    return torch.cat(found)


def gradient_x_input(subject: Subject) -> Tensor:
    """The gradient times the input, [N, C, *space]."""
    return gradient(subject) * subject.x


def integrated(subject: Subject, steps: int) -> Tensor:
    """The input times the mean gradient on the straight way to it from zero, [N, C, *space].

    The sum over an item is its number less that of zeros, but for the quadrature: Gauss and Legendre's of `steps` points.
    """
    points, weights = np.polynomial.legendre.leggauss(steps)
    shares = torch.as_tensor(weights / 2, device=subject.x.device)

    def at(item: Tensor, step: int) -> Tensor:
        return item * float((points[step] + 1) / 2)

    subject.settle()
    return _mean_gradient(subject, at, shares) * subject.x


def smooth(subject: Subject, samples: int, generator: torch.Generator) -> Tensor:
    """The mean gradient at noisy copies of the input, [N, C, *space]."""

    def at(item: Tensor, _step: int) -> Tensor:
        noise = torch.randn(item.shape, generator=generator).to(item)
        return item + noise * (NOISE * (item.amax() - item.amin()))

    subject.settle()
    shares = torch.full((samples,), 1 / samples, device=subject.x.device)
    return _mean_gradient(subject, at, shares)


def guided(subject: Subject) -> tuple[Tensor, int]:
    """The gradient that passes a rectifier only where it and the rectifier's input are above zero.

    Returns:
        [N, C, *space], and how many rectifiers it met; where it met none it is the plain gradient.
    """
    with Guided() as mode:
        found = gradient(subject)
    return found, mode.met


def _mean_gradient(subject: Subject, at: Callable[[Tensor, int], Tensor], shares: Tensor) -> Tensor:
    """The weighted mean of the gradients at several inputs an item, of at least 32 bits."""
    steps = len(shares)
    kind = torch.promote_types(subject.x.dtype, torch.float32)
    total = torch.zeros(subject.x.shape, dtype=kind, device=subject.x.device)
    for part in subject.batches(len(subject) * steps):
        places = torch.arange(part.start, part.stop)
        items, turns = places // steps, places % steps
        batch = torch.stack(
            [at(subject.x[i], t) for i, t in zip(items.tolist(), turns.tolist(), strict=True)]
        )
        found = subject.gradient(batch, items).to(kind)
        weight = shares.to(kind)[turns].view(-1, *[1] * (found.ndim - 1))
        total.index_add_(0, items.to(total.device), found * weight)
    return total


class Guided(TorchFunctionMode):
    """While entered, rectifiers have the gradient of guided backpropagation; what they give is the same.

    Attributes:
        forward: whether nothing passes where the rectifier's input is below zero; without it that of the deconvnet, which
            rectifies what comes back alone.
        met: how many rectifiers ran.
    """

    def __init__(self, *, forward: bool = True) -> None:
        super().__init__()
        self.forward = forward
        self.met = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Replace the gradient of ReLU and ReLU6 in all their spellings."""
        given = dict(kwargs or {})
        top = RECTIFIERS.get(func, IN_PLACE.get(func))
        if top is None:
            return func(*args, **given)
        self.met += 1
        x = args[0] if args else given["input"]
        inplace = func in IN_PLACE or bool(given.get("inplace", len(args) > 1 and args[1]))
        y = _Rectified.apply(x, top, self.forward)
        return x.copy_(y) if inplace else y


class _Rectified(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, top: float, masked: bool) -> Tensor:
        open_ = (x > 0) & (x < top) if masked else torch.ones_like(x, dtype=torch.bool)
        ctx.save_for_backward(open_)
        return x.clamp(0, top)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return torch.where(ctx.saved_tensors[0], grad.clamp(min=0), 0), None, None


# Each spelling of a rectifier, and the value at which it stops growing.
RECTIFIERS: dict[object, float] = {
    F.relu: float("inf"),
    torch.relu: float("inf"),
    Tensor.relu: float("inf"),
    F.relu6: 6.0,
}
IN_PLACE: dict[object, float] = {
    torch.relu_: float("inf"),
    Tensor.relu_: float("inf"),
    F.relu_: float("inf"),  # pyright: ignore[reportAttributeAccessIssue]
}
