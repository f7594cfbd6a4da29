"""Convolutional deep belief network: layers of kernels that explain pictures, each from samples of its own.

B batch, C channels of what a layer sees, K groups of units with a kernel each, H W cells. Lee, Grosse,
Ranganath and Ng 2009, doi 10.1145/1553374.1553453: sec. 3.2 the convolutional restricted Boltzmann
machine (CRBM), 3.3 probabilistic max pooling, 3.4 sparsity, 4.1 the sizes for natural pictures.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

from striate.models import init
from striate.models.backbone import Backbone
from striate.models.row_types import Request
from striate.models.unsupervised import Progress, Unsupervised, unheard

KERNEL, POOL = 10, 2  # sides of a kernel and of a block of units that one pooling unit sums up
# A block of the second layer reads 11 pooling units of the first, those 22 units, and those 31 pixels.
LEAST = (KERNEL + POOL - 1) * POOL + KERNEL - 1


@dataclass(frozen=True)
class Learning:
    """How a layer learns.

    Attributes:
        start: deviation of the first weights.
        rate: of one step, of the mean over a batch and all places.
        decay: share of a kernel that one rate takes away.
        sparsity: share of its places where a group should be on.
        pull: of the sparsity on the bias of a group, in rates.
        momentum: share of the last step in the next.
        batch: pictures of one step.
    """

    start: float
    rate: float
    decay: float
    sparsity: float
    pull: float = 5.0
    momentum: float = 0.9
    batch: int = 8


# Chosen on photographs. Groups of a second layer that start all alike stay so: each then learns how much
# there is to see at all.
LEARNING = (
    Learning(start=0.01, rate=0.15, decay=0.003, sparsity=0.005),
    Learning(start=0.1, rate=0.3, decay=0.0003, sparsity=0.01),
)


class CRBM(nn.Module):
    """A convolutional restricted Boltzmann machine whose units compete in blocks.

    Args:
        visible: channels of what it sees.
        groups: kernels.
        sigma: deviation of visible units that are real numbers; None for units between 0 and 1.
    """

    def __init__(self, visible: int, groups: int, *, sigma: float | None) -> None:
        super().__init__()
        self.sigma = sigma
        shape = (groups, visible, KERNEL, KERNEL)
        self.weight = nn.Parameter(torch.empty(shape), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(groups), requires_grad=False)
        self.visible_bias = nn.Parameter(torch.empty(visible), requires_grad=False)

    def begin(self, generator: torch.Generator, learning: Learning) -> None:
        """Random kernels, and units that are on as rarely as they should be.

        Left more often on, units that share a pixel imagine it far too strong, and learning runs away.
        """
        init.normal(self.weight, learning.start, generator)
        off = 1 - POOL**2 * learning.sparsity  # how often a block should have none on
        with torch.no_grad():
            self.bias.fill_(math.log(learning.sparsity / off))
            self.visible_bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """How probably each pooling unit is on: [B, C, H, W] to [B, K, (H - 9) / 2, (W - 9) / 2]."""
        return self.blocks(x)[..., :-1].sum(-1)

    def blocks(self, x: Tensor) -> Tensor:
        """Of each block, how probably each unit is the one that is on, and last that none is: [B, K, h, w, 5]."""
        drive = F.conv2d(x, self.weight)
        if self.sigma is not None:
            drive = drive / self.sigma**2
        drive = drive + self.bias[:, None, None]
        height, width = (side // POOL * POOL for side in drive.shape[2:])
        # One of the units of a block or none: eq. 6 is a softmax with a zero beside the drives.
        drive = drive[:, :, :height, :width].unflatten(3, (-1, POOL)).unflatten(2, (-1, POOL))
        return F.pad(drive.transpose(3, 4).flatten(4), (0, 1)).softmax(-1)

    def imagined(self, hidden: Tensor) -> Tensor:
        """The mean of what hidden units [B, K, H', W'] would see: [B, C, H' + 9, W' + 9]."""
        seen = F.conv_transpose2d(hidden, self.weight) + self.visible_bias[:, None, None]
        return seen if self.sigma is not None else seen.sigmoid()


class CDBN(Unsupervised):
    """Two CRBMs; the second sees the pooling units of the first."""

    stem = "crbm1"
    head = "crbm2"
    strides = (POOL, POOL**2)

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.input_shape = (request.in_channels, *request.size)
        self.widths = (request.scaled(24), request.num_classes)
        self.crbm1 = CRBM(request.in_channels, self.widths[0], sigma=request.number("sigma"))
        self.crbm2 = CRBM(self.widths[0], self.widths[1], sigma=None)
        first, second = LEARNING
        self.learning = (replace(first, sparsity=request.number("sparsity")), second)

    def initialise(self, generator: torch.Generator) -> None:
        """Weak random kernels."""
        for layer, learning in zip((self.crbm1, self.crbm2), self.learning, strict=True):
            layer.begin(generator, learning)

    def fit(
        self,
        pictures: Tensor,
        *,
        generator: torch.Generator,
        passes: int = 20,
        progress: Progress = unheard,
    ) -> Self:
        """Learn from pictures [N, C, H, W] of mean 0 and variance 1, best `whitened`, one layer after the other.

        Args:
            pictures: what is seen.
            generator: source of their order and of all samples.
            passes: how often each layer sees each picture.
            progress: called with how many pictures were shown, and how many will be.
        """
        x, layers = pictures, (self.crbm1, self.crbm2)
        done, total = 0, len(layers) * passes * len(x)

        def shown(count: int) -> None:
            nonlocal done
            done += count
            progress(done, total)

        with torch.no_grad():
            for layer, learning in zip(layers, self.learning, strict=True):
                teach(layer, x, learning, generator=generator, passes=passes, shown=shown)
                x = torch.cat([layer(some) for some in x.split(learning.batch)])
        return self

    def features(self, x: Tensor) -> list[Tensor]:
        """How probably the pooling units of both layers are on."""
        first = self.crbm1(x)
        return [first, self.crbm2(first)]

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [B, C, H, W] to the pooling units of the last layer [B, K, h, w], from 0 to 1."""
        return self.features(x)[-1]

    def reset_head(self, num_classes: int, *, generator: torch.Generator | None = None) -> None:
        """A last layer of other groups that have learned nothing."""
        old = self.crbm2.weight
        self.crbm2 = CRBM(old.shape[1], num_classes, sigma=None).to(old)
        self.crbm2.begin(generator or torch.Generator(), self.learning[1])
        self.widths = (self.widths[0], num_classes)

    def templates(self) -> list[Tensor]:
        """What each group of each layer looks for, as pictures [K, C, 10, 10] and [K, C, 28, 28].

        Of the second layer: the kernels of the first, each as strong and where its own kernel has them.
        """
        first = self.crbm1.weight
        return [first, F.conv_transpose2d(self.crbm2.weight, first, stride=POOL)]


def teach(
    layer: CRBM,
    x: Tensor,
    learning: Learning,
    *,
    generator: torch.Generator,
    passes: int,
    shown: Callable[[int], None] = lambda _count: None,
) -> None:
    """Contrastive divergence of one step, with a pull to sparsity; the layer is changed in place.

    Args:
        layer: what learns.
        x: what it sees [N, C, H, W].
        learning: how.
        generator: source of the order and of the samples.
        passes: over all of x.
        shown: called with how many pictures each batch had.
    """
    height, width = ((side - KERNEL + 1) // POOL * POOL + KERNEL - 1 for side in x.shape[2:])
    x = x[:, :, :height, :width]  # what whole blocks read
    usual = x.mean((0, 2, 3))  # what a layer imagines before it knows anything
    layer.visible_bias.copy_(usual if layer.sigma is not None else usual.logit(1e-4))
    parameters = (layer.weight, layer.bias, layer.visible_bias)
    speeds = [torch.zeros_like(parameter) for parameter in parameters]
    for _ in range(passes):
        for index in torch.randperm(len(x), generator=generator).split(learning.batch):
            steps = contrast(layer, x[index], learning, generator)
            for parameter, speed, step in zip(parameters, speeds, steps, strict=True):
                speed.mul_(learning.momentum).add_(step, alpha=learning.rate)
                parameter.add_(speed)
            shown(len(index))


def contrast(
    layer: CRBM, x: Tensor, learning: Learning, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Where kernels, biases and visible biases should go, by what is seen and what is imagined of it."""
    chances = layer.blocks(x)
    seen = unblocked(chances)
    imagined = layer.imagined(unblocked(sample_blocks(chances, generator)))
    dreamt = unblocked(layer.blocks(imagined))
    cells = seen.numel() // seen.shape[1]
    shape = list(layer.weight.shape)
    kernel = conv2d_weight(x, shape, seen)
    kernel -= conv2d_weight(imagined, shape, dreamt)
    on = seen.mean((0, 2, 3))
    bias = on - dreamt.mean((0, 2, 3)) + learning.pull * (learning.sparsity - on)
    return (
        kernel / cells - learning.decay * layer.weight,
        bias,
        (x - imagined).mean((0, 2, 3)),
    )


def sample_blocks(chances: Tensor, generator: torch.Generator) -> Tensor:
    """One unit of every block, or none, drawn by its chances: 1 where it is on."""
    drawn = torch.multinomial(chances.flatten(0, -2), 1, generator=generator)
    return torch.zeros_like(chances).scatter_(-1, drawn.view(*chances.shape[:-1], 1), 1)


def unblocked(blocks: Tensor) -> Tensor:
    """Blocks [B, K, h, w, 5] to their units [B, K, 2h, 2w]."""
    units = blocks[..., :-1].unflatten(-1, (POOL, POOL)).transpose(3, 4)
    return units.flatten(4, 5).flatten(2, 3)


def whitened(pictures: Tensor) -> Tensor:
    """Pictures [N, C, H, W] with all spatial frequencies about equally strong; mean 0, variance 1 each.

    The spectrum of natural pictures falls as 1 / f; it is multiplied by f exp(-(f / 0.4)^4), which
    leaves out the corners. Olshausen and Field 1997, doi 10.1016/S0042-6989(97)00169-7.
    """
    height, width = pictures.shape[-2:]
    f = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None])
    strength = (f * torch.exp(-((f / 0.4) ** 4))).to(pictures)
    flat = torch.fft.irfft2(torch.fft.rfft2(pictures) * strength, s=(height, width))
    return flat / flat.std((1, 2, 3), keepdim=True)


def build(request: Request) -> Backbone:
    """The net at the sizes asked for.

    Raises:
        ShapeError: pictures too small for a block of the second layer.
    """
    request.check_least(LEAST, "two layers of 10x10 kernels need", enough=64)
    return CDBN(request)
