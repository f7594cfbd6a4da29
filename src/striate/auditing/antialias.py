"""A copy of a net whose strides follow a blur (Zhang 2019, arXiv 1904.11486), to see what its strides do to shifts.

A convolution or pooling of stride s becomes the same with stride 1, a binomial blur, and every s-th value, so that sizes
and weights stay as they are. Zhang blurs after the ReLU that follows a convolution and trains the net so; here the blur
follows the convolution itself and nothing is trained: the answers are those of weights that were learned without it.
"""

import copy
from math import comb
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.layers import conv, pool

CONVOLUTIONS = (nn.Conv2d, conv.Conv2d)
POOLS = (nn.MaxPool2d, nn.AvgPool2d, pool.MaxPool2d, pool.AvgPool2d, pool.HalvingMaxPool2d)
# What a layer of another `forward` does with its stride nobody knows: some pad by it.
FORWARDS = [kind.forward for kind in (*CONVOLUTIONS, *POOLS)]


class BlurredStride(nn.Module):
    """A layer of stride 1, a blur, and every s-th value: [N, C, H, W] to [N, C, H', W'], as the layer with its stride."""

    def __init__(self, inner: nn.Module, stride: tuple[int, int]) -> None:
        super().__init__()
        self.inner = inner
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, blurred and thinned."""
        x = self.inner(x)
        down, right = (binomial(s).to(x) for s in self.stride)
        sides = (len(right) // 2,) * 2 + (len(down) // 2,) * 2
        padded = F.pad(x, sides, mode="replicate")
        channels = x.shape[1]
        rows = down.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
        columns = right.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
        padded = F.conv2d(padded, rows, stride=(self.stride[0], 1), groups=channels)
        return F.conv2d(padded, columns, stride=(1, self.stride[1]), groups=channels)


def binomial(stride: int) -> Tensor:
    """Weights of a blur before every s-th value, 2 s - 1 of them, that sum to one; of stride 2 they are 1 2 1.

    >>> binomial(2).tolist(), binomial(1).tolist()
    ([0.25, 0.5, 0.25], [1.0])
    """
    count = 2 * stride - 2
    return torch.tensor([comb(count, k) for k in range(count + 1)]) / 2.0**count


def blurred(net: nn.Module) -> tuple[nn.Module, list[str]]:
    """A copy of a net with blurred strides, and the paths of the layers that were changed.

    Strides of functions that are called without a module, of pooling that rounds sizes up, leaves padding out of its
    mean or gives places beside its values, are left as they are, and so are those beside a padding in words and those of
    layers with a `forward` of their own. A layer that has several names is changed under each of them.
    """
    net = copy.deepcopy(net)
    made: dict[nn.Module, BlurredStride] = {}
    changed: list[str] = []
    for path, layer in list(net.named_modules(remove_duplicate=False)):
        if not path:
            continue
        if layer not in made:
            stride = _stride(layer)
            if stride is None:
                continue
            made[layer] = BlurredStride(_unstrided(layer), stride)
        parent, _, name = path.rpartition(".")
        setattr(net.get_submodule(parent), name, made[layer])
        changed.append(path)
    return net, changed


def _unstrided(layer: nn.Module) -> nn.Module:
    """The layer with stride 1; of pooling by a shorter way, which knows one stride, the plain one."""
    if isinstance(layer, nn.MaxPool2d):
        return nn.MaxPool2d(layer.kernel_size, 1, layer.padding, layer.dilation)
    layer.stride = (1, 1)  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
    return layer


def _stride(layer: nn.Module) -> tuple[int, int] | None:
    """The stride of a layer that can be blurred; None of one that has none, or cannot be."""
    if type(layer).forward not in FORWARDS:
        return None
    of: Any = layer
    if isinstance(of.padding, str) or getattr(of, "ceil_mode", False):
        return None
    if getattr(of, "return_indices", False) or not getattr(of, "count_include_pad", True):
        return None
    given = of.stride
    stride = (given, given) if isinstance(given, int) else tuple(given)
    return (stride[0], stride[1]) if max(stride) > 1 else None
