"""Spatio-temporal graph convolution: gated convolutions over time around one over the graph.

B batch, C channels, T steps, N nodes, H steps ahead. Yu, Yin and Zhu 2018, arXiv 1709.04875, fig. 2 and section 3;
residual connections and the axes of layer normalisation as in the authors' program. The paper forecasts one
step and repeats; here the last layer gives all steps at once.
"""

import torch
from torch import Tensor, nn

from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.graph_forecasters import KERNEL, Gate, GraphNet, Last, NodeNorm, check_steps
from striate.models.row_types import Request
from striate.ops.graph import chebyshev_conv

CHANNELS = (64, 16, 64)  # of a block: over time, over the graph, over time
BLOCKS = 2


class Temporal(nn.Module):
    """A valid convolution over time with a gate."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 2 * outputs, (KERNEL, 1))
        self.gate = Gate(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, T, N] to [B, outputs, T - 2, N]."""
        return self.gate(self.conv(x), x)


class Spatial(nn.Module):
    """A Chebyshev convolution on the graph with a shortcut, each step by itself."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, KERNEL))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.align = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        """[B, inputs, T, N] and a Laplacian [N, N] to [B, outputs, T, N]."""
        steps = x.transpose(1, 2)
        y = chebyshev_conv(steps.flatten(0, 1), self.weight, graph, self.bias)
        return torch.relu(y.unflatten(0, steps.shape[:2]).transpose(1, 2) + self.align(x))


class Block(nn.Module):
    """Time, graph, time, normalisation: an ST-Conv block."""

    def __init__(self, inputs: int, widths: tuple[int, ...], nodes: int, *, rate: float) -> None:
        super().__init__()
        before, graph, after = widths
        self.before = Temporal(inputs, before)
        self.spatial = Spatial(before, graph)
        self.after = Temporal(graph, after)
        self.norm = NodeNorm(after, nodes)
        self.drop = dropout(rate)

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        """[B, inputs, T, N] to [B, after, T - 4, N]."""
        return self.drop(self.norm(self.after(self.spatial(self.before(x), graph))))


class STGCN(GraphNet):
    """Two ST-Conv blocks, one gated convolution over the steps left, a linear layer of every node."""

    strides = (1, 1)
    stem = "blocks.0.before.conv"

    def __init__(self, request: Request, left: int) -> None:
        super().__init__()
        self._prepare(request)
        widths = tuple(request.scaled(channels) for channels in CHANNELS)
        nodes, rate = request.size[1], request.number("drop_rate")
        self.widths = (widths[-1],) * BLOCKS
        self.blocks = nn.ModuleList(
            Block(inputs, widths, nodes, rate=rate)
            for inputs in (request.in_channels, *self.widths[1:])
        )
        self.last = Last(widths[-1], left)
        self.forecast = nn.Conv2d(widths[-1], request.num_classes, 1)

    def initialise(self, generator: torch.Generator) -> None:
        """PyTorch's default; layer normalisation starts as the identity."""
        init.as_torch(self, generator)
        for block in self.modules():
            if isinstance(block, Spatial):
                init.uniform(block.weight, (block.weight[0].numel()) ** -0.5, generator)
                init.uniform(block.bias, (block.weight[0].numel()) ** -0.5, generator)
        self._start_from_last()


def build(request: Request) -> Backbone:
    """The net at the sizes asked for.

    Raises:
        ShapeError: fewer than 9 steps.
    """
    return STGCN(request, check_steps(request, 2 * BLOCKS * (KERNEL - 1)))
