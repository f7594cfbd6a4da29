"""From arrays as people store them to uint8 [N, H, W, C] with 1 or 3 channels.

N pictures, H W pixels, C channels. Whole numbers 0..255 are kept; uint16 is scaled by 65535, floats
in 0..1 by 255, both rounded; alpha is composited on white.
"""

import numpy as np
import numpy.typing as npt

from striate.data.modes import U8
from striate.errors import DataError

_CHANNELS = (1, 3, 4)
_STEP = 2**22  # values converted at a time


def pixels(array: npt.NDArray[np.generic], name: str) -> U8:
    """An array of pictures as uint8 [N, H, W, C]; no copy where it is one already.

    Args:
        array: [N, H, W], [N, H, W, C], or [N, C, H, W] where only the second axis can be channels.
        name: begins the message of an error.

    Raises:
        DataError: another shape, type or range of values.
    """
    images = _levels(_channels_last(array, name), name)
    return _without_alpha(images) if images.shape[-1] == 4 else images


def _channels_last(array: npt.NDArray[np.generic], name: str) -> npt.NDArray[np.generic]:
    if array.size == 0:
        raise DataError(f"{name} is {list(array.shape)}: no pictures")
    if array.ndim == 3:
        return array[..., None]
    if array.ndim == 4 and array.shape[-1] in _CHANNELS:
        return array
    if array.ndim == 4 and array.shape[1] in _CHANNELS:
        return array.transpose(0, 2, 3, 1)
    raise DataError(
        f"{name} is {list(array.shape)}, expected [N, H, W], [N, H, W, C] or [N, C, H, W] with 1, 3 or 4 channels"
    )


def _levels(array: npt.NDArray[np.generic], name: str) -> U8:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array).view(np.uint8)
    if array.dtype.kind not in "buif":
        raise DataError(
            f"{name} is of type {array.dtype}, expected uint8, uint16, or floats from 0 to 1"
        )
    low, high = array.min(), array.max()
    factor = _factor(array.dtype, float(low), float(high))
    if factor is None:
        raise DataError(
            f"{name} is {array.dtype} with values from {low} to {high}, "
            "expected uint8, uint16, or floats from 0 to 1"
        )
    result = np.empty(array.shape, np.uint8)
    step = max(1, _STEP // max(1, array[0].size))
    for at in range(0, len(array), step):
        result[at : at + step] = np.rint(array[at : at + step].astype(np.float64) * factor)
    return result


def _factor(dtype: np.dtype[np.generic], low: float, high: float) -> float | None:
    """What to multiply by, or None where the range is not one of the known ones."""
    if dtype.kind == "b":
        return 255.0
    if dtype == np.uint16:
        return 255.0 / 65535.0
    if dtype.kind == "f":
        return 255.0 if low >= 0 and high <= 1 else None
    return 1.0 if low >= 0 and high <= 255 else None


def _without_alpha(images: U8) -> U8:
    alpha = images[..., 3:].astype(np.uint16)
    color = images[..., :3].astype(np.uint16)
    return ((color * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
