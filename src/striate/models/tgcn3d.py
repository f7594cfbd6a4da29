"""3D temporal graph convolution: one filter over the graph and over time, on a graph that the series tell.

B batch, C channels, T steps, N nodes, H steps ahead. Yu, Li, Zhang and Zhu 2019, arXiv 1903.00919: neighbours
are nodes with similar series (`striate.ops.graph_from_series.similarity_graph`), the filter is a Chebyshev polynomial
of the graph's Laplacian for every step it reads, and gated linear units follow.

The sizes are a reconstruction, not the paper's: 64 channels, kernels of 3 and the last gated convolution as in
`striate.models.stgcn`, and as many convolutions over time as that has before it.
"""

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.models import init
from striate.models.backbone import Backbone, dropout
from striate.models.graph_forecasters import (
    KERNEL,
    Gate,
    GraphNet,
    Last,
    NodeNorm,
    check_steps,
    ring,
)
from striate.models.row_types import Request
from striate.ops.graph import chebyshev_terms

CHANNELS = 64
FAINT = 0.01  # weight that a learnt graph gives at first to nodes that are no neighbours


class Block(nn.Module):
    """A convolution over graph and time, a gate, normalisation."""

    def __init__(self, inputs: int, outputs: int, nodes: int, *, rate: float) -> None:
        super().__init__()
        # Over the terms of the polynomial as channels, so weight[:, k * inputs + c] is that of term k.
        self.conv = nn.Conv2d(KERNEL * inputs, 2 * outputs, (KERNEL, 1))
        self.gate = Gate(inputs, outputs)
        self.norm = NodeNorm(outputs, nodes)
        self.drop = dropout(rate)

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        """[B, inputs, T, N] and a Laplacian [N, N] to [B, outputs, T - 2, N]."""
        terms = chebyshev_terms(x, graph, count=KERNEL).movedim(0, 1).flatten(1, 2)
        return self.drop(self.norm(self.gate(self.conv(terms), x)))


class TGCN3D(GraphNet):
    """Gated space-time graph convolutions, one over the steps left, a linear layer of every node.

    Attributes:
        edges: weights of a graph that is learnt, [N, N]; half their sum with the transpose counts where it
            is above 0. None where the graph is given.
    """

    stem = "blocks.0.conv"
    edges: nn.Parameter | None

    def __init__(self, request: Request, depth: int, left: int) -> None:
        super().__init__()
        self._prepare(request)
        nodes, rate = request.size[1], request.number("drop_rate")
        self.widths, self.strides = (request.scaled(CHANNELS),) * depth, (1,) * depth
        self.blocks = nn.ModuleList(
            Block(inputs, width, nodes, rate=rate)
            for inputs, width in zip((request.in_channels, *self.widths), self.widths, strict=False)
        )
        self.last = Last(self.widths[-1], left)
        self.forecast = nn.Conv2d(self.widths[-1], request.num_classes, 1)
        learnt = request.word("graph") == "learned"
        self.edges = nn.Parameter(ring(nodes).add(FAINT).to(self.laplacian)) if learnt else None

    def initialise(self, generator: torch.Generator) -> None:
        """PyTorch's default; layer normalisation starts as the identity."""
        init.as_torch(self, generator)
        self._start_from_last()

    def set_graph(self, adjacency: Tensor) -> None:
        """As `GraphNet.set_graph`; a graph that is learnt starts from it, every other pair with a faint weight."""
        super().set_graph(adjacency)
        if self.edges is not None:
            with torch.no_grad():
                self.edges.copy_(adjacency + FAINT)

    def graph(self) -> Tensor:
        """The Laplacian that the filters work on, [N, N]."""
        if self.edges is None:
            return self.laplacian
        none = torch.eye(len(self.edges), dtype=self.edges.dtype, device=self.edges.device)
        weights = torch.relu((self.edges + self.edges.T) / 2) * (1 - none)
        scale = weights.sum(1).clamp(min=1e-6).rsqrt()
        return none - scale[:, None] * weights * scale


def build(request: Request) -> Backbone:
    """The net at the sizes asked for.

    Raises:
        ArgumentError: more than one depth.
        ShapeError: fewer steps than 2 depth + 1.
    """
    depth, *others = request.counts("depth")
    if others:
        raise ArgumentError(
            f"tgcn3d: depth takes one number, the blocks of the net; got {[depth, *others]}"
        )
    return TGCN3D(request, depth, check_steps(request, depth * (KERNEL - 1)))
