"""Rows of labelled pictures: nothing overlaps or is cut, and pixels are those that were given."""

import html.parser

import numpy as np
import pytest

from striate.see import fonts
from striate.see.plates import CELL, GAP, WIDE, Plate, Plates, Ramp, Row


class Shown(Plates):
    def __init__(self, rows, ramps=(), remarks=()):
        self._rows, self._ramps, self._remarks = rows, list(ramps), list(remarks)

    def heading(self):
        return "what is shown, in units"

    def rows(self):
        return self._rows

    def ramps(self):
        return self._ramps

    def remarks(self):
        return self._remarks

    def as_dict(self):
        return {}

    def as_text(self):
        return ""


def plates(count, title="name", side=8):
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 255, (count, side, side, 3), np.uint8)
    return [Plate(tile, title) for tile in tiles]


def test_pixels_are_enlarged_as_squares_and_all_are_there():
    given = plates(3)
    image = np.asarray(Shown([Row(given)]).picture().convert("RGB"))
    for plate in given:
        wanted = plate.pixels.repeat(9, 0).repeat(9, 1)
        windows = np.lib.stride_tricks.sliding_window_view(image, wanted.shape)[:, :, 0]
        assert any((windows[y] == wanted).all((1, 2, 3)).any() for y in range(windows.shape[0]))


@pytest.mark.parametrize("count", [1, 14, 40])
@pytest.mark.parametrize("title", ["", "a", "a very long title of a class that no tile can hold"])
def test_a_sheet_wraps_and_stays_within_its_width(count, title):
    image = Shown(
        [Row(plates(count, title), "heading")], [Ramp("diverging", -1, 1, "weight")]
    ).picture()
    assert image.width <= WIDE + GAP
    assert image.height >= (CELL + GAP) * (count * (CELL + GAP) // WIDE)


def test_titles_are_fitted_to_their_pictures():
    title = "a very long title of a class that no tile can hold"
    assert fonts.width(fonts.fitted(title, 12, CELL), 12) <= CELL


def test_markup_is_escaped_and_told():
    class Tags(html.parser.HTMLParser):
        def __init__(self):
            super().__init__()
            self.images, self.scripts = [], 0

        def handle_starttag(self, tag, attrs):
            self.scripts += tag == "script"
            if tag == "img":
                self.images.append(dict(attrs))

    page = Tags()
    page.feed(Shown([Row(plates(2, "<script>x</script>"))], [Ramp("sequential", 0, 1)]).as_html())
    assert page.scripts == 0
    assert all("alt" in image for image in page.images)


def test_zero_is_marked_where_values_lie_around_it():
    assert Ramp("diverging", -2, 2).words[1] == "0"
    assert Ramp("sequential", 0, 2).words[1] == ""
    middle = Ramp("diverging", -2, 2).pixels()[0, 80]
    assert (middle > 235).all()
