"""A Studio on a small net, and a client that has entered."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))

from client import Client

from striate.studio.launch import Studio, begun


class Small(nn.Module):
    """In-place layers, one called twice, a sum and a join that no module stands for."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.down = nn.Conv2d(12, 8, 3, stride=2, padding=1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.norm(self.conv(x))
        first = self.relu(first)
        second = torch.cat([first, first + 1], 1)
        return self.fc(self.relu(self.down(second)).mean((2, 3)))


def small() -> nn.Module:
    """With weights that are the same each time."""
    net, generator = Small(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return net


@pytest.fixture(scope="module")
def page() -> Iterator[Studio]:
    x = torch.rand(12, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    names = ["<img src=x onerror=alert(1)>", "b", "c", "d"]
    with begun([small()], data=(x, [i % 4 for i in range(12)]), classes=names) as one:
        yield one


@pytest.fixture(scope="module")
def client(page: Studio) -> Client:
    return Client(page).enter()
