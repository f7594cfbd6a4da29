"""Pictures for the galleries of a report, made smaller before anything is drawn on them. H W pixels."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LIMIT = 360  # pixels of the longer side

U8 = NDArray[np.uint8]


def shrunk(picture: U8, limit: int = LIMIT) -> U8:
    """A picture [H, W, C] with at most `limit` pixels at its longer side."""
    size = _size(picture, limit)
    if size is None:
        return picture
    flat = picture[..., 0] if picture.shape[2] == 1 else picture
    smaller = np.asarray(Image.fromarray(np.ascontiguousarray(flat)).resize(size))
    return smaller.reshape(*smaller.shape[:2], -1)


def shrunk_mask(mask: U8, limit: int = LIMIT) -> U8:
    """Class numbers [H, W] in that size, each the one of the nearest pixel."""
    size = _size(mask, limit)
    if size is None:
        return mask
    return np.asarray(
        Image.fromarray(np.ascontiguousarray(mask)).resize(size, Image.Resampling.NEAREST)
    )


def scale(picture: U8, limit: int = LIMIT) -> float:
    """By what a picture [H, W, C] is multiplied to get there."""
    return min(1.0, limit / max(picture.shape[:2]))


def _size(picture: U8, limit: int) -> tuple[int, int] | None:
    """Width and height; None where the picture is small enough."""
    height, width = picture.shape[:2]
    by = scale(picture, limit)
    return (max(1, round(width * by)), max(1, round(height * by))) if by < 1 else None
