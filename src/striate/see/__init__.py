"""Pictures of what is inside a network: kernels and feature maps, of any `nn.Module`."""

from striate.see.feature_maps import Maps, maps
from striate.see.filters import Kernels, kernels
from striate.see.movement import Moved, Movement, movement

__all__ = ["Kernels", "Maps", "Moved", "Movement", "kernels", "maps", "movement"]
