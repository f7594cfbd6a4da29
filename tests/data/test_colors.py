"""Colour spaces against the standard library, Pillow and published values."""

import colorsys

import numpy as np
import pytest
from PIL import Image

import striate
from striate.data import as_rgb, color_spaces, picture

RNG = np.random.default_rng(0)
PIXELS = np.concatenate(
    [
        RNG.integers(0, 256, (500, 3), np.uint8),
        np.array([[0, 0, 0], [255, 255, 255], [128, 128, 128]], np.uint8),
        np.repeat(np.eye(3, dtype=np.uint8) * 255, 2, 0),
    ]
)


def test_hsv_is_that_of_the_standard_library():
    expected = [np.rint(255 * np.array(colorsys.rgb_to_hsv(*(p / 255)))) for p in PIXELS]
    np.testing.assert_allclose(color_spaces.converted(PIXELS, "hsv"), expected, atol=1)


def test_ycbcr_is_that_of_jpeg_files():
    """ITU-T T.871, section 7, and Pillow, which rounds in fixed point."""
    r, g, b = (PIXELS[:, i].astype(float) for i in range(3))
    expected = [
        0.299 * r + 0.587 * g + 0.114 * b,
        -0.1687 * r - 0.3313 * g + 0.5 * b + 128,
        0.5 * r - 0.4187 * g - 0.0813 * b + 128,
    ]
    got = color_spaces.converted(PIXELS, "ycbcr")
    np.testing.assert_allclose(got, np.clip(np.stack(expected, 1), 0, 255), atol=0.53)
    pillow = np.asarray(Image.fromarray(PIXELS[None]).convert("YCbCr"))[0]
    np.testing.assert_allclose(got.astype(int), pillow.astype(int), atol=1)


def test_xyz_of_white_and_of_the_primaries():
    """IEC 61966-2-1: the primaries are the columns of its matrix; half of the light is level 188."""
    whole = np.array([[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [188, 188, 188]])
    got = color_spaces.converted(whole.astype(np.uint8), "xyz")
    expected = [
        [255, 255, 255],
        [255 * 0.4124 / 0.9505, 255 * 0.2126, 255 * 0.0193 / 1.089],
        [255 * 0.3576 / 0.9505, 255 * 0.7152, 255 * 0.1192 / 1.089],
        [255 * 0.1805 / 0.9505, 255 * 0.0722, 255 * 0.9505 / 1.089],
        [128, 128, 128],
    ]
    np.testing.assert_allclose(got, expected, atol=0.7)


@pytest.mark.parametrize(("color", "off"), [("hsv", 4), ("ycbcr", 2), ("rgb", 0)])
def test_the_way_back_shows_the_same_picture(color, off):
    back = as_rgb(color_spaces.converted(PIXELS, color), color)
    assert np.abs(back.astype(int) - PIXELS).max() <= off


def test_bright_pixels_come_back_from_xyz():
    bright = PIXELS[PIXELS.min(1) > 100]
    assert (
        np.abs(as_rgb(color_spaces.converted(bright, "xyz"), "xyz").astype(int) - bright).max() <= 6
    )


@pytest.mark.parametrize("color", ["hsv", "ycbcr", "xyz"])
def test_pictures_and_data_come_in_every_space(tmp_path, color):
    for label in ("a", "b"):
        (tmp_path / "d" / label).mkdir(parents=True)
        for i in range(3):
            pixels = RNG.integers(0, 256, (5, 6, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "d" / label / f"{i}.png")
    path = tmp_path / "d" / "a" / "0.png"
    rgb, other = picture(path), picture(path, color=color)
    np.testing.assert_array_equal(other, color_spaces.converted(rgb, color))
    data = striate.open(tmp_path / "d", val=0)
    assert data.arrays("all", color=color).inputs.shape == (6, 5, 6, 3)
    np.testing.assert_array_equal(data.arrays("all", color=color).inputs[0], other)
    np.testing.assert_array_equal(data.arrays("all", color="rgb").inputs[0], rgb)
