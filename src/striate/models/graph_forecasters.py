"""What forecasters on a graph share: the graph itself, gates, the last layer.

B batch, C channels, T steps, N nodes, H steps ahead. Maps are [B, C, T, N].
"""

from abc import ABC

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.models.backbone import Backbone
from striate.models.row_types import Request
from striate.ops.graph import laplacian

KERNEL = 3  # steps that a convolution over time reads, and terms of a Chebyshev polynomial


class GraphNet(Backbone, ABC):
    """A net on a graph that is part of its state: saved and loaded with the weights.

    Attributes:
        laplacian: I - D^-1/2 A D^-1/2 of the graph, [N, N].
        blocks: called with maps and a Laplacian.
        last: over the steps that are left.
        forecast: from the channels of a node to its steps ahead.
        from_last: every step ahead is the last value that is read plus what the net says, which begins as nothing; else
            the net says the value.
    """

    head = "forecast"
    laplacian: Tensor
    blocks: nn.ModuleList
    last: nn.Module
    forecast: nn.Module
    from_last: bool = False

    def _prepare(self, request: Request) -> None:
        self.from_last = request.flag("from_last")
        self.input_shape = (request.in_channels, *request.size)
        graph = laplacian(ring(request.size[1]))
        self.register_buffer("laplacian", graph.to(torch.empty(0).device))

    def graph(self) -> Tensor:
        """The Laplacian that the filters work on, [N, N]."""
        return self.laplacian

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps after each block, [B, C, fewer steps, N]."""
        graph = self.graph()
        maps: list[Tensor] = []
        for block in self.blocks:
            x = block(x, graph)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Series [B, C, T, N] of the length built for to forecasts [B, H, N]."""
        ahead = self.forecast(self.last(self.features(x)[-1])).squeeze(2)
        return ahead + x[:, :1, -1] if self.from_last else ahead

    def _start_from_last(self) -> None:
        """Begin as the last value, where the net adds to that."""
        if self.from_last:
            for weight in self.forecast.parameters():
                nn.init.zeros_(weight)

    def set_graph(self, adjacency: Tensor) -> None:
        """Put another graph under the net.

        Args:
            adjacency: symmetric weights of at least 0, [N, N], as `striate.ops.graph_from_series.similarity_graph`
                makes from series.

        Raises:
            ShapeError: another number of nodes than the net was built for.
            ArgumentError: not symmetric, or a negative weight.
        """
        nodes = self.input_shape[-1]
        if adjacency.shape != (nodes, nodes):
            raise ShapeError(
                f"set_graph: got {list(adjacency.shape)}, expected [{nodes}, {nodes}], the nodes that the "
                f"net was built for; build it with size=(steps, {adjacency.shape[0]})"
            )
        self.laplacian = laplacian(adjacency.to(self.laplacian))


def ring(nodes: int) -> Tensor:
    """Every node a neighbour of the next, the last of the first; weights of 1, on the CPU."""
    step = torch.eye(nodes, device="cpu").roll(1, 1)
    return torch.maximum(step, step.T).fill_diagonal_(0)


class Gate(nn.Module):
    """(P + shortcut) sigmoid(Q), where P and Q are the halves of the maps: a residual gated linear unit.

    The shortcut is the input without its first steps; zeros widen it, a 1x1 convolution narrows it.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.wider = max(0, outputs - inputs)
        self.align = nn.Conv2d(inputs, outputs, 1) if inputs > outputs else nn.Identity()

    def forward(self, maps: Tensor, x: Tensor) -> Tensor:
        """Maps [B, 2 outputs, T', N] and the input [B, inputs, T, N] to [B, outputs, T', N]."""
        p, q = maps.chunk(2, 1)
        shortcut = self.align(x[:, :, x.shape[2] - maps.shape[2] :])
        if self.wider:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.wider))
        return (p + shortcut) * torch.sigmoid(q)


class NodeNorm(nn.LayerNorm):
    """Layer normalisation over channels and nodes, each step by itself."""

    def __init__(self, channels: int, nodes: int) -> None:
        super().__init__([channels, nodes])

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, T, N] to the same."""
        return super().forward(input.transpose(1, 2)).transpose(1, 2)


class Last(nn.Module):
    """A gated convolution over all steps that are left."""

    def __init__(self, channels: int, steps: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2 * channels, (steps, 1))
        self.gate = Gate(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, steps, N] to [B, C, 1, N]."""
        return self.gate(self.conv(x), x)


def check_steps(request: Request, lost: int) -> int:
    """Steps left over after the convolutions.

    Raises:
        ShapeError: none are.
    """
    left = request.size[0] - lost
    if left < 1:
        raise ShapeError(
            f"{request.name}: its convolutions over time use up {lost} steps, so it reads at least "
            f"{lost + 1}; got {request.size[0]}; build it with size=({lost + 1}, {request.size[1]})"
        )
    return left
