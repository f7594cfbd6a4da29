"""From arrays as people store them to uint8 [N, H, W, C] with 1 or 3 channels.

N pictures, H W pixels, C channels. Whole numbers 0..255 are kept; uint16 is scaled by the greatest
value of as many bits as the values of the training split need, floats in 0..1 by 255, both rounded; alpha is composited on white.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from striate.data.levels import around
from striate.data.modes import U8
from striate.errors import DataError

_CHANNELS = (1, 3, 4)
_OVER = 1.25  # of the range, that the values of another split may reach; they are clipped
_STEP = 2**22  # values converted at a time


@dataclass(frozen=True)
class Scale:
    """What turns the values of a set into 0 to 255.

    Attributes:
        factor: of the values.
        words: the type and values that it was found from.
        stated: whether the type alone does not say it, so that it is to be said.
    """

    factor: float
    words: str
    stated: bool = False


def scale(array: npt.NDArray[np.generic], name: str) -> Scale:
    """The scale of a set, from the array that is trained on.

    Raises:
        DataError: values of a type or range that is not known.
    """
    if array.dtype.kind not in "buif":
        raise DataError(
            f"{name} is of type {array.dtype}, expected uint8, uint16, or floats from 0 to 1"
        )
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    factor = _factor(array.dtype, low, high)
    if factor is None:
        raise DataError(
            f"{name} is {array.dtype} with values from {array.min()} to {array.max()}, "
            "expected uint8, uint16, or floats from 0 to 1"
        )
    return Scale(factor, f"{array.dtype} from {low:g} to {high:g}", array.dtype == np.uint16)


def pixels(
    array: npt.NDArray[np.generic], name: str, of: Scale | None = None, first: str = ""
) -> U8:
    """An array of pictures as uint8 [N, H, W, C]; no copy where it is one already.

    Args:
        array: [N, H, W], [N, H, W, C], or [N, C, H, W] where only the second axis can be channels.
        name: begins the message of an error.
        of: the scale of its set; None finds that of the array itself.
        first: the array that the scale was found in, for a message.

    Raises:
        DataError: another shape, type or range of values.
    """
    shaped = _channels_last(array, name)
    images = _levels(shaped, name, of or scale(shaped, name), first)
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


def _levels(array: npt.NDArray[np.generic], name: str, of: Scale, first: str) -> U8:
    """Values 0 to 255 by the scale of the set.

    Raises:
        DataError: they are of another range.
    """
    if array.dtype == np.uint8 and of.factor == 1:
        return np.ascontiguousarray(array).view(np.uint8)
    own = scale(array, name)
    if not _fit(array, own, of):
        raise DataError(
            f"{name} is {array.dtype} with values from {array.min()} to {array.max()}, {first} {of.words}: save both alike"
        )
    factor = own.factor if array.dtype.kind == "b" else of.factor
    result = np.empty(array.shape, np.uint8)
    step = max(1, _STEP // max(1, array[0].size))
    for at in range(0, len(array), step):
        values = array[at : at + step].astype(np.float64) * factor
        result[at : at + step] = np.rint(np.clip(values, 0, 255))
    return result


def _fit(array: npt.NDArray[np.generic], own: Scale, of: Scale) -> bool:
    """Whether values lie within a scale: not whole numbers where that is of floats, or the other way round."""
    if array.dtype.kind == "b" or own.factor == of.factor:
        return True
    floats = array.dtype.kind == "f"
    whole = of.factor <= 1  # of whole numbers
    return not floats and whole and float(array.max()) * of.factor <= _OVER * 255


def _factor(dtype: np.dtype[np.generic], low: float, high: float) -> float | None:
    """What to multiply by, or None where the range is not one of the known ones.

    Of 16 bits as many count as hold the greatest value, 8 at least: cameras give 10, 12 or 14 of them.
    """
    if dtype.kind == "b":
        return 255.0
    if dtype == np.uint16:
        return 255.0 / around(low, high, whole=True)[1]
    if dtype.kind == "f":
        return 255.0 if low >= 0 and high <= 1 else None
    return 1.0 if low >= 0 and high <= 255 else None


def _without_alpha(images: U8) -> U8:
    alpha = images[..., 3:].astype(np.uint16)
    color = images[..., :3].astype(np.uint16)
    return ((color * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
