"""A batch of stored pictures into views. B batch, C channels, H W stored, h w the net's size."""

import torch
from torch import Tensor

from striate.augment import geometry, values
from striate.augment.draws import Draws
from striate.augment.policy import Policy


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
