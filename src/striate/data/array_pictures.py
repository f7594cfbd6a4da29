"""From arrays as people store them to pictures [N, H, W, C] of 0 to 255, with 1 or 3 channels.

N pictures, H W pixels, C channels. Whole numbers 0..255 are kept; uint16 is scaled by the greatest
value of as many bits as the values of the training split need, floats in 0..1 by 255; alpha is composited on white.
Where every value is whole then, the pictures are uint8, else float32, which keeps all steps of the values.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from striate.data import files
from striate.data.levels import around, narrow
from striate.data.modes import F32, U8, Levels, to_0_255
from striate.data.sources import Form, Pixels
from striate.errors import DataError

_CHANNELS = (1, 3, 4)
_OVER = 1.25  # of the range, that the values of another split may reach; they are clipped
_STEP = 2**22  # values converted at a time
_WHOLE = 1e-3  # a step of 8 bits: what is closer to a whole number is that number


@dataclass(frozen=True)
class Scale:
    """What turns the values of a set into 0 to 255.

    Attributes:
        levels: the values that become 0 and 255.
        words: the type and values that it was found from.
        stated: whether the type alone does not say it, so that it is to be said.
        given: the range that somebody said, if so.
        warnings: that the values use little of it.
    """

    levels: Levels
    words: str
    stated: bool = False
    given: Levels | None = None
    warnings: tuple[str, ...] = ()


def scale(array: npt.NDArray[np.generic], name: str, given: Levels | None = None) -> Scale:
    """The scale of a set, from the array that is trained on.

    Args:
        array: of any shape.
        name: begins the message of an error.
        given: the range of values of more than 8 bits, where somebody said it.

    Raises:
        DataError: values of a type or range that is not known.
    """
    if array.dtype.kind not in "buif":
        raise DataError(
            f"{name} is of type {array.dtype}, expected uint8, uint16, or floats from 0 to 1"
        )
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    levels = _given(array.dtype, low, high, given) or _levels(array.dtype, low, high)
    if levels is None:
        said = "" if given is None else f", of a range from {given[0]:g} to {given[1]:g}"
        raise DataError(
            f"{name} is {array.dtype} with values from {array.min()} to {array.max()}{said}, "
            "expected uint8, uint16, or floats from 0 to 1; levels= says another range"
        )
    words = f"{array.dtype} from {low:g} to {high:g}"
    small = () if array.dtype.itemsize == 1 else narrow(low, high, levels)
    return Scale(levels, words, array.dtype == np.uint16, given, small)


def pixels(
    array: npt.NDArray[np.generic], name: str, of: Scale | None = None, first: str = ""
) -> U8 | F32:
    """An array of pictures as [N, H, W, C] of 0 to 255, uint8 or float32; no copy where it is uint8 already.

    Args:
        array: [N, H, W], [N, H, W, C], or [N, C, H, W] where only the second axis can be channels.
        name: begins the message of an error.
        of: the scale of its set; None finds that of the array itself.
        first: the array that the scale was found in, for a message.

    Raises:
        DataError: another shape, type or range of values.
    """
    shaped = _channels_last(array, name)
    images = _scaled(shaped, name, of or scale(shaped, name), first)
    return _without_alpha(images) if images.shape[-1] == 4 else images


def array_picture(
    path: Path, form: Form, levels: Levels | None
) -> tuple[U8 | F32, tuple[int, int]]:
    """One picture from a .npy file as a net reads it, and its own height and width.

    Args:
        path: of an array [H, W], [H, W, C] or [C, H, W].
        form: in which it is wanted.
        levels: those of the data that the net was trained on.

    Raises:
        DataError: no such array, or values of a range that a single file does not tell; with the reason alone.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except files.UNSOUND as error:
        raise DataError(f"no array of NumPy ({' '.join(str(error).split())})") from error
    if not isinstance(array, np.ndarray) or array.ndim not in (2, 3):
        raise DataError("expected one picture [H, W], [H, W, C] or [C, H, W] in a .npy file")
    of = scale(array[None], "the array", levels)
    if of.stated and levels is None:
        raise DataError(
            f"{of.words}, where the net learned from pictures of 8 bits: save 0 to 255 as uint8"
        )
    held = Pixels(pixels(array[None], "the array", of))
    return held.decode(0, form), held.size


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


def _scaled(array: npt.NDArray[np.generic], name: str, of: Scale, first: str) -> U8 | F32:
    """Values 0 to 255 by the scale of the set.

    Raises:
        DataError: they are of another range.
    """
    if array.dtype == np.uint8 and of.levels == (0, 255):
        return np.ascontiguousarray(array).view(np.uint8)
    own = scale(array, name, of.given)
    if not _fit(array, own, of):
        raise DataError(
            f"{name} is {array.dtype} with values from {array.min()} to {array.max()}, {first} {of.words}: save both alike"
        )
    levels = own.levels if array.dtype.kind == "b" else of.levels
    result = np.empty(array.shape, np.float32)
    step = max(1, _STEP // max(1, array[0].size))
    whole = True
    for at in range(0, len(array), step):
        values = to_0_255(array[at : at + step], levels)
        whole = whole and bool((np.abs(values - np.rint(values)) < _WHOLE).all())
        result[at : at + step] = values
    return np.rint(result).astype(np.uint8) if whole else result


def _fit(array: npt.NDArray[np.generic], own: Scale, of: Scale) -> bool:
    """Whether values lie within a scale: not whole numbers where that is of floats, or the other way round."""
    if array.dtype.kind == "b" or own.levels == of.levels:
        return True
    floats = array.dtype.kind == "f"
    whole = of.levels[1] >= 255  # of whole numbers
    return not floats and whole and float(array.max()) <= _OVER * of.levels[1]


def _given(
    dtype: np.dtype[np.generic], low: float, high: float, given: Levels | None
) -> Levels | None:
    """The range that was said, where it can be that of these values: 8 bits have one, and shares are no counts."""
    if given is None or dtype.itemsize == 1:
        return None
    if dtype.kind == "f":
        shares_of_counts = low >= 0 and high <= 1 and given[1] >= 255
        return None if shares_of_counts else given
    counts_of_shares = high > 1 >= given[1]
    return None if counts_of_shares else given


def _levels(dtype: np.dtype[np.generic], low: float, high: float) -> Levels | None:
    """The values that become 0 and 255, or None where the range is not one of the known ones.

    Of 16 bits as many count as hold the greatest value, 8 at least: cameras give 10, 12 or 14 of them.
    """
    if dtype.kind == "b":
        return 0.0, 1.0
    if dtype == np.uint16:
        return around(low, high, whole=True)
    if dtype.kind == "f":
        return (0.0, 1.0) if low >= 0 and high <= 1 else None
    return (0.0, 255.0) if low >= 0 and high <= 255 else None


def _without_alpha(images: U8 | F32) -> U8 | F32:
    if images.dtype != np.uint8:
        share = images[..., 3:] / np.float32(255)
        return (images[..., :3] * share + 255 * (1 - share)).astype(np.float32)
    alpha = images[..., 3:].astype(np.uint16)
    color = images[..., :3].astype(np.uint16)
    return ((color * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
