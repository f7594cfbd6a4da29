"""Losses: what a training makes small."""

from striate.losses.classification import cross_entropy, focal, margin
from striate.losses.composite import (
    LABELS,
    MAPS,
    Composite,
    Perceptual,
    Term,
    auxiliary,
    read,
    weighted,
)
from striate.losses.maps import bce, dice, edge, huber, iou, l1, l2
from striate.losses.yolo import YoloLoss, cell_target, yolo_loss

__all__ = [
    "LABELS",
    "MAPS",
    "Composite",
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
    "huber",
    "iou",
    "l1",
    "l2",
    "margin",
    "read",
    "weighted",
    "yolo_loss",
]
