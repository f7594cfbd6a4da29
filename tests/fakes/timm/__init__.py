"""The few functions of timm that Striate calls, with one small net: what the tests import in its place."""

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

__version__ = "1.0.0"
CONFIG = {
    "input_size": (3, 32, 32),
    "mean": (0.5, 0.4, 0.3),
    "std": (0.2, 0.25, 0.5),
    "tag": "a1_in1k",
    "hf_hub_id": "timm/tiny.a1_in1k",
    "num_classes": 12,
}


class Tiny(nn.Module):
    """A net as timm builds them: its classifier comes last, and `pretrained_cfg` says how pictures are prepared."""

    def __init__(self, num_classes: int = 12, in_chans: int = 3) -> None:
        super().__init__()
        self.pretrained_cfg = CONFIG
        self.conv_stem = nn.Conv2d(in_chans, 8, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.classifier = nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.bn1(self.conv_stem(x)).relu().mean((2, 3)))


def list_models() -> list[str]:
    return ["tiny", "tiny_large"]


def create_model(
    name: str,
    pretrained: bool = False,
    pretrained_cfg_overlay: dict[str, Any] | None = None,
    num_classes: int = 12,
    in_chans: int = 3,
) -> nn.Module:
    plain, _, tag = name.partition(".")
    if plain not in list_models() or tag not in ("", "a1_in1k"):
        raise RuntimeError(f"Invalid pretrained tag ({tag}) for {plain}.")
    net = Tiny(num_classes, in_chans)
    if pretrained:
        tensors = load_file(Path((pretrained_cfg_overlay or {})["file"]))
        # what its own reading is for: files with names from before
        net.load_state_dict({k.removeprefix("old."): v for k, v in tensors.items()})
    return net
