"""Losses: what a training makes small."""

from striate.losses.classification import cross_entropy, focal, margin
from striate.losses.composite import (
    BOXES,
    LABELS,
    MAPS,
    PERCEPTUAL,
    RANDOM,
    Composite,
    Look,
    Perceptual,
    Term,
    auxiliary,
    read,
    weighted,
)
from striate.losses.grid import grid_loss
from striate.losses.maps import bce, dice, edge, huber, iou, l1, l2
from striate.losses.yolo import YoloLoss, cell_target, yolo_from_objects, yolo_loss

__all__ = [
    "BOXES",
    "LABELS",
    "MAPS",
    "PERCEPTUAL",
    "RANDOM",
    "Composite",
    "Look",
    "Perceptual",
    "Term",
    "YoloLoss",
    "auxiliary",
    "bce",
    "cell_target",
    "cross_entropy",
    "dice",
    "edge",
    "focal",
    "grid_loss",
    "huber",
    "iou",
    "l1",
    "l2",
    "margin",
    "read",
    "weighted",
    "yolo_from_objects",
    "yolo_loss",
]
