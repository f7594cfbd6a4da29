"""Losses: what a training makes small."""

from striate.losses.classification import cross_entropy
from striate.losses.yolo import YoloLoss, cell_target, yolo_loss

__all__ = ["YoloLoss", "cell_target", "cross_entropy", "yolo_loss"]
