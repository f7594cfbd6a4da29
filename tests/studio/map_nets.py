"""Nets whose maps are known: joins, repeats, shared modules, functions between modules, unknown operations."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import striate


class Residual(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)) + x, inplace=True)


class Joined(nn.Module):
    """Two branches side by side, their maps one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 5, 3, padding=1)
        self.last = nn.Conv2d(7, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.cat([self.left(x), F.relu(self.right(x))], 1))


class Shared(nn.Module):
    """One convolution that runs three times."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = torch.tanh(self.conv(x))
        return x.mean((2, 3))


class Chunked(nn.Module):
    """Parts of one map go two ways and meet in a product."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.conv(x).chunk(2, 1)
        return a * torch.sigmoid(b)


class Odd(nn.Module):
    """An operation that no table knows, and a value that no output reads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        torch.exp(y)
        return torch.linalg.svdvals(y)


class Sound(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv1d(1, 4, 9, stride=4),
            nn.ReLU(),
            nn.Conv1d(4, 6, 5, dilation=2),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
            nn.Linear(6, 3),
        )


def _deep() -> nn.Module:
    return nn.Sequential(*[nn.Conv2d(3, 3, 1) for _ in range(130)])


def _built(name: str) -> Callable[[], nn.Module]:
    return lambda: striate.build(name)


# Each with the shape of an item.
NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "residual": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), *(Residual() for _ in range(3))), (3, 12, 12)),
    "joined": (Joined, (3, 8, 8)),
    "shared": (Shared, (3, 8, 8)),
    "chunked": (Chunked, (3, 8, 8)),
    "odd": (Odd, (3, 8, 8)),
    "sound": (Sound, (1, 256)),
    "deep": (_deep, (3, 6, 6)),
    "transposed": (lambda: nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ConvTranspose2d(4, 6, 3, 2, groups=2)), (1, 9, 9)),
    "lenet5": (_built("lenet5"), (1, 28, 28)),
    "resnet50": (_built("resnet50"), (3, 64, 64)),
    "unet": (_built("unet_same"), (1, 64, 64)),
    "googlenet": (_built("googlenet"), (3, 64, 64)),
    "densenet121": (_built("densenet121"), (3, 64, 64)),
}  # fmt: skip
