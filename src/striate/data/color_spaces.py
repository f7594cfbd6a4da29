"""Colour spaces of pictures, [..., 3], each channel 0..255, and the way back to 8 bits for showing them.

hsv: hue, saturation, value (Smith 1978), a full turn of hue is 255. ycbcr: full range, as JPEG files hold it
(ITU-T T.871, section 7). xyz: CIE 1931 of sRGB (IEC 61966-2-1) under D65, as shares of white; it is linear in
light, so dark shades come close together in 8 bits.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from striate.data.modes import U8

F64 = npt.NDArray[np.float64]
Values = npt.NDArray[np.floating[Any]]

COLORS = ("rgb", "grey", "hsv", "ycbcr", "xyz")
WHITE = np.array([0.9505, 1.0, 1.0890])
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_R, _B = 0.299, 0.114  # shares of red and blue in luma; the two differences reach from -0.5 to 0.5
_G = 1 - _R - _B
TO_YCBCR = np.array(
    [
        [_R, _G, _B],
        [-_R / (2 - 2 * _B), -_G / (2 - 2 * _B), 0.5],
        [0.5, -_G / (2 - 2 * _R), -_B / (2 - 2 * _R)],
    ]
)
_CENTRE = np.array([0.0, 128.0, 128.0])


def channels(color: str) -> int:
    """Channels of a picture: 1 of grey, 3 of all others."""
    return 1 if color == "grey" else 3


def base(color: str) -> str:
    """What a picture is decoded to before it is converted: "grey" or "rgb"."""
    return "grey" if color == "grey" else "rgb"


def converted(rgb: U8, color: str) -> U8:
    """RGB pixels in another space; "rgb" and "grey" come back as they are."""
    return (
        rgb if color not in _CONVERT else rounded(converted_values(rgb.astype(np.float64), color))
    )


def converted_values(rgb: Values, color: str) -> Values:
    """The same of RGB values that are not whole, which are not rounded either."""
    convert = _CONVERT.get(color)
    return rgb if convert is None else np.clip(convert(rgb.astype(np.float64)), 0, 255)


def shown(pixels: U8 | Values, color: str) -> U8:
    """Pixels of any space as 8-bit RGB (grey stays grey), to within what 8 bits lost."""
    convert = {"hsv": _from_hsv, "ycbcr": _from_ycbcr, "xyz": _from_xyz}.get(color)
    return rounded(pixels if convert is None else convert(pixels.astype(np.float64)))


def rounded(values: U8 | Values) -> U8:
    """Values as 8 bits, clipped to 0..255; pixels of 8 bits come back as they are."""
    if values.dtype == np.uint8:
        return values.view(np.uint8)
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def _to_hsv(rgb: F64) -> F64:
    value, low = rgb.max(-1), rgb.min(-1)
    width = value - low
    safe = np.where(width > 0, width, 1)
    r, g, b = (rgb[..., i] for i in range(3))
    sector = np.select(
        [value == r, value == g], [((g - b) / safe) % 6, (b - r) / safe + 2], (r - g) / safe + 4
    )
    hue = np.where(width > 0, sector / 6, 0)
    saturation = width / np.where(value > 0, value, 1)
    return np.stack([255 * hue, 255 * saturation, value], -1)


def _from_hsv(hsv: F64) -> F64:
    hue, saturation, value = hsv[..., 0] / 255 * 6, hsv[..., 1] / 255, hsv[..., 2]
    # Each colour is at its value within 60 degrees of its own hue and falls to the lowest over the next 60.
    fall = [np.clip(np.minimum((n + hue) % 6, 4 - (n + hue) % 6), 0, 1) for n in (5, 3, 1)]
    return np.stack([value * (1 - saturation * f) for f in fall], -1)


def _to_ycbcr(rgb: F64) -> F64:
    return rgb @ TO_YCBCR.T + _CENTRE


def _from_ycbcr(ycbcr: F64) -> F64:
    return (ycbcr - _CENTRE) @ np.linalg.inv(TO_YCBCR).T


def _to_xyz(rgb: F64) -> F64:
    share = rgb / 255
    light = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return 255 * (light @ TO_XYZ.T) / WHITE


def _from_xyz(xyz: F64) -> F64:
    light = np.clip((xyz / 255 * WHITE) @ np.linalg.inv(TO_XYZ).T, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


_CONVERT = {"hsv": _to_hsv, "ycbcr": _to_ycbcr, "xyz": _to_xyz}
