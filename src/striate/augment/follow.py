"""Targets that lie in places of a picture, moved as the picture was. B batch, M boxes."""

import torch
from torch import Tensor

from striate.augment.geometry import Geometry

PLACED = ("boxes", "box")  # kinds with class and corners in pixels: any number an item, or one
SINGLE = "instances"  # the kind with a mask and weights
LEAST = 0.1  # share of a box's area that must still be in the view
OUTSIDE = 255  # the class number of pixels beyond the edge of a mask, which count nowhere


def follow(kind: str, targets: Tensor, geometry: Geometry) -> Tensor:
    """Targets of stored pictures as targets of views.

    Args:
        kind: "mask" ([B, H, W, 1] class numbers: the nearest pixel, `OUTSIDE` beyond the edge), `SINGLE` ([B, H, W, 2]: a
            mask with a weight beside each pixel, 0 beyond the edge), `PLACED` ([B, M, 5] class and corners in pixels: the upright box around
            each moved one, cut at the edge, or class -1 where less than `LEAST` of it is left); others stay.
        targets: of the stored pictures.
        geometry: of the views.
    """
    if kind == "mask":
        return geometry.masks(targets[..., 0], outside=OUTSIDE)[..., None]
    if kind == SINGLE:
        moved = [geometry.masks(targets[..., k], outside=out) for k, out in ((0, OUTSIDE), (1, 0))]
        return torch.stack(moved, -1)
    if kind not in PLACED:
        return targets
    moved = torch.full_like(targets, -1.0)
    for i, rows in enumerate(targets):
        there = rows[:, 0] >= 0
        boxes, kept = geometry.boxes(i, rows[there, 1:], least=LEAST)
        moved[i, : int(kept.sum())] = torch.cat([rows[there, :1], boxes], 1)[kept]
    return moved


def cut(kind: str, targets: Tensor, *, top: int, left: int, size: tuple[int, int]) -> Tensor:
    """Targets of pictures of which a window at whole pixels is taken; kinds and shapes as in `follow`."""
    if kind not in ("mask", SINGLE, *PLACED):
        return targets
    h, w = size
    if kind not in PLACED:  # edges are repeated beyond it, as those of pictures are
        rows = torch.arange(top, top + h).clamp(0, targets.shape[1] - 1)
        columns = torch.arange(left, left + w).clamp(0, targets.shape[2] - 1)
        return targets[:, rows][:, :, columns]
    moved = targets.clone()
    corners = targets[..., 1:] - targets.new_tensor((left, top, left, top))
    edge = targets.new_tensor((w, h, w, h))
    moved[..., 1:] = corners.clamp_min(0).minimum(edge)
    before = (corners[..., 2:] - corners[..., :2]).prod(-1)
    after = (moved[..., 3:] - moved[..., 1:3]).clamp_min(0).prod(-1)
    lost = (after < LEAST * before.clamp_min(1e-6)) | (targets[..., 0] < 0)
    moved[lost] = -1.0
    return moved
