"""Pictures of a network and of what is inside it, of any `nn.Module`; a window, step by step; the field's history."""

from striate.see.architecture import Architecture, architecture
from striate.see.imagenet_history import costs, depths
from striate.see.pictures.activations import Activations, activations
from striate.see.pictures.album import Album, album
from striate.see.pictures.augmented import Augmented, augmented
from striate.see.pictures.batch import Batch, batch
from striate.see.pictures.calibration import Calibration, calibration
from striate.see.pictures.curves import Curves, curves
from striate.see.pictures.deconvnet import Deconvnet, deconvnet
from striate.see.pictures.embedding import Embedding, embedding
from striate.see.pictures.evolution import Evolution, evolution
from striate.see.pictures.field import Field, field
from striate.see.pictures.filters import Filters, filters
from striate.see.pictures.handmade import Handmade, handmade
from striate.see.pictures.invert import Inverted, invert
from striate.see.pictures.kernels import Kernels, kernels
from striate.see.pictures.maps import Maps, maps
from striate.see.pictures.maximise import Maximised, maximise
from striate.see.pictures.mistakes import Mistakes, mistakes
from striate.see.pictures.movement import Moved, Movement, movement
from striate.see.pictures.neighbours import Neighbours, neighbours
from striate.see.pictures.node_link import NodeLink, node_link
from striate.see.pictures.saliency import Saliency, saliency
from striate.see.pictures.style import Style, style
from striate.see.pictures.templates import Templates, templates
from striate.see.stepper import Errors, Steps, backward, convolution

__all__ = [
    "Activations",
    "Album",
    "Architecture",
    "Augmented",
    "Batch",
    "Calibration",
    "Curves",
    "Deconvnet",
    "Embedding",
    "Errors",
    "Evolution",
    "Field",
    "Filters",
    "Handmade",
    "Inverted",
    "Kernels",
    "Maps",
    "Maximised",
    "Mistakes",
    "Moved",
    "Movement",
    "Neighbours",
    "NodeLink",
    "Saliency",
    "Steps",
    "Style",
    "Templates",
    "activations",
    "album",
    "architecture",
    "augmented",
    "backward",
    "batch",
    "calibration",
    "convolution",
    "costs",
    "curves",
    "deconvnet",
    "depths",
    "embedding",
    "evolution",
    "field",
    "filters",
    "handmade",
    "invert",
    "kernels",
    "maps",
    "maximise",
    "mistakes",
    "movement",
    "neighbours",
    "node_link",
    "saliency",
    "style",
    "templates",
]
