"""Pictures of a network and of what is inside it, of any `nn.Module`; a window, step by step; the field's history."""

from striate.see.architecture import Architecture, architecture
from striate.see.imagenet_history import costs, depths
from striate.see.pictures.kernels import Kernels, kernels
from striate.see.pictures.maps import Maps, maps
from striate.see.pictures.movement import Moved, Movement, movement
from striate.see.pictures.style import Style, style
from striate.see.stepper import Steps, convolution

__all__ = [
    "Architecture",
    "Kernels",
    "Maps",
    "Moved",
    "Movement",
    "Steps",
    "Style",
    "architecture",
    "convolution",
    "costs",
    "depths",
    "kernels",
    "maps",
    "movement",
    "style",
]
