"""Colours: zero in the middle, the scale at the ends, sheets that hold every tile."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from striate.see import paint


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, paint.DIVERGING[2]), (2.0, paint.DIVERGING[-1]), (-2.0, paint.DIVERGING[0])],
)
def test_diverging_has_zero_in_the_middle_and_the_scale_at_its_ends(value, expected):
    assert tuple(paint.diverging(np.array([value]), 2.0)[0]) == expected


def test_diverging_takes_end_colours_outside_and_the_middle_for_nan():
    pixels = paint.diverging(np.array([9.0, np.nan]), 1.0)
    assert tuple(pixels[0]) == paint.DIVERGING[-1]
    assert tuple(pixels[1]) == paint.DIVERGING[2]


def test_diverging_tells_signs_apart_without_red_against_green():
    low, high = paint.diverging(np.array([-0.5, 0.5]), 1.0).astype(int)
    assert low[2] > low[0] + 60
    assert high[0] > high[2] + 60


def test_sequential_grows_lighter_with_the_value():
    light = paint.sequential(np.linspace(0, 1, 9), 1.0).astype(int).sum(-1)
    assert (np.diff(light) > 0).all()


def test_colour_is_exact_at_its_ends_and_grey_at_zero():
    pixels = paint.colour(np.array([[-1.0, 0.0, 1.0]]), 1.0)
    assert pixels.tolist() == [[0, 128, 255]]


def test_stretch_spans_black_to_white_and_survives_a_flat_picture():
    ramp = paint.stretch(np.array([[[1.0], [3.0], [2.0]]]))
    assert ramp[0, :, 0].tolist() == [0, 255, 128]
    assert ramp.shape == (1, 3, 3)
    assert not paint.stretch(np.full((2, 2, 3), 7.0)).any()


def test_reach_of_nothing_and_of_zeros_is_one():
    assert paint.reach(np.zeros((0, 3))) == 1.0
    assert paint.reach(np.zeros(3)) == 1.0
    assert paint.reach(np.array([-4.0, 2.0])) == 4.0


def test_sheet_holds_every_tile_unsmoothed_with_clear_gaps():
    tiles = [np.full((2, 3, 3), 10 * i, np.uint8) for i in range(3)]
    sheet = np.asarray(paint.sheet(paint.rows_of(tiles, 2), cell=6, gap=1))
    assert sheet.shape == (1 + 5 + 5, 1 + 7 + 7, 4)
    assert sheet[1:5, 1:7, :3].max() == 0
    assert (sheet[1:5, 8:14, :3] == 10).all()
    assert (sheet[6:10, 1:7, :3] == 20).all()
    assert (sheet[0, :, 3] == 0).all()


def test_data_uri_carries_the_picture():
    picture = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    head, body = paint.data_uri(picture).split(",")
    assert head == "data:image/png;base64"
    again = np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))
    assert np.array_equal(again, np.asarray(picture))


def test_html_image_escapes_its_words():
    tag = paint.html_image(Image.new("RGB", (1, 1)), '"><script>')
    assert "<script>" not in tag
    assert "&quot;&gt;&lt;script&gt;" in tag
