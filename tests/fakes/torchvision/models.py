"""The few functions of `torchvision.models` that Striate calls, with two small nets: what the tests import in its place."""

import enum
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn


class Small(nn.Module):
    """A net of torchvision's kind: it cannot be asked for other input channels."""

    def __init__(self, num_classes: int = 12) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.bn1(self.conv1(x)).relu().mean((2, 3)))


class Weights(enum.Enum):
    """As torchvision's enumerations: the url ends with digits of the checksum."""

    IMAGENET1K_V1 = "small-00000000.pth"
    IMAGENET1K_V2 = "small-11111111.pth"
    DEFAULT = IMAGENET1K_V2

    @property
    def url(self) -> str:
        return f"https://download.pytorch.org/models/{self.value}"

    @property
    def meta(self) -> dict[str, Any]:
        return {"_metrics": {"ImageNet-1K": {"acc@1": 61.25}}}

    def transforms(self) -> SimpleNamespace:
        return SimpleNamespace(crop_size=[32], mean=[0.5, 0.4, 0.3], std=[0.2, 0.25, 0.5])


class NoWeights(enum.Enum):
    """Of a net that comes without."""


def list_models(module: ModuleType | None = None) -> list[str]:
    assert module is not None  # without it nets of other tasks are listed too
    return ["small", "bare"]


def get_model_weights(name: str) -> type[enum.Enum]:
    return Weights if name == "small" else NoWeights


def get_model(name: str, num_classes: int = 12) -> nn.Module:
    return Small(num_classes)


def state() -> dict[str, Tensor]:
    """Weights as they would be published."""
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(5)
        return Small().state_dict()
