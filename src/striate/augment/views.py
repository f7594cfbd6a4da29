"""A batch of stored pictures into views, with targets that lie in places moved along. B batch, M boxes, H W stored, h w seen."""

import torch
from torch import Tensor

from striate.augment import geometry, values
from striate.augment.draws import Draws
from striate.augment.policy import Policy

PLACED = ("boxes", "box")  # kinds with class and corners in pixels: any number an item, or one
SINGLE = "instances"  # the kind with a mask and weights
LEAST = 0.1  # share of a box's area that must still be in the view
OUTSIDE = 255  # the class number of pixels beyond the edge of a mask, which count nowhere


def view(
    images: Tensor,
    items: Tensor,
    policy: Policy,
    *,
    seed: int,
    size: tuple[int, int],
    seen: values.Colors | None = None,
) -> tuple[Tensor, geometry.Geometry]:
    """Random views.

    Args:
        images: stored pictures [B, H, W, C] of 0..255, uint8 or float32.
        items: their numbers in the data [B]; a view is a function of (seed, item).
        policy: what happens to them.
        seed: of training and epoch.
        size: (h, w) of the views; the middle is taken where no step says otherwise.
        seen: the colours of the training items, for the step `pca`; those of ImageNet if not given.

    Returns:
        Views [B, h, w, C] of 0..255, of the stored type where no pixel was computed anew, else float32; and the geometry
        that masks and boxes of the items share.
    """
    draws = Draws(seed, items)
    stored = (images.shape[1], images.shape[2])
    where = geometry.draw(policy, draws, stored=stored, size=size)
    if policy.resamples:
        x = where.pictures(images.permute(0, 3, 1, 2).float())
    else:
        windows = _windows(images, where)
        if not policy.of("value"):
            return windows, where
        x = windows.permute(0, 3, 1, 2).float()
    return values.apply(x, policy, draws, seen).permute(0, 2, 3, 1), where


def _windows(images: Tensor, where: geometry.Geometry) -> Tensor:
    """Views at whole pixels [B, h, w, C], copied as they are: no pixel is computed."""
    (H, W), (h, w) = where.stored, where.size
    places = where.matrix[:, :2, 2].tolist()
    turned = where.matrix[:, [0, 1], [0, 1]] < 0
    tops = [round(y + (H - h) / 2) for _, y in places]
    lefts = [round(x + (W - w) / 2) for x, _ in places]
    out = torch.stack(
        [
            image[top : top + h, left : left + w]
            for image, top, left in zip(images, tops, lefts, strict=True)
        ]
    )
    for axis, which in ((2, turned[:, 0]), (1, turned[:, 1])):
        if which.any():
            out[which] = out[which].flip(axis)
    return out


def follow(kind: str, targets: Tensor, where: geometry.Geometry) -> Tensor:
    """Targets of stored pictures as targets of views.

    Args:
        kind: "mask" ([B, H, W, 1] class numbers: the nearest pixel, `OUTSIDE` beyond the edge), `SINGLE` ([B, H, W, 2]: a
            mask with a weight beside each pixel, 0 beyond the edge), `PLACED` ([B, M, 5] class and corners in pixels: the
            upright box around each moved one, cut at the edge; class -1 where less than `LEAST` of it is left); others stay.
        targets: of the stored pictures.
        where: the geometry of the views.
    """
    if kind == "mask":
        return where.masks(targets[..., 0], outside=OUTSIDE)[..., None]
    if kind == SINGLE:
        moved = [where.masks(targets[..., k], outside=out) for k, out in ((0, OUTSIDE), (1, 0))]
        return torch.stack(moved, -1)
    if kind not in PLACED:
        return targets
    moved = torch.full_like(targets, -1.0)
    for i, rows in enumerate(targets):
        there = rows[:, 0] >= 0
        boxes, kept = where.boxes(i, rows[there, 1:], least=LEAST)
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
