"""Pictures of what is inside a network: kernels and feature maps, of any `nn.Module`; a window, step by step."""

from striate.see.feature_maps import Maps, maps
from striate.see.filters import Kernels, kernels
from striate.see.movement import Moved, Movement, movement
from striate.see.stepper import Steps, convolution

__all__ = [
    "Kernels",
    "Maps",
    "Moved",
    "Movement",
    "Steps",
    "convolution",
    "kernels",
    "maps",
    "movement",
]
