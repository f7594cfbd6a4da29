"""Words on drawings: none is cut, covered or crossed, all are large enough, and stand out in light and dark."""

from functools import cache

import pytest
import torch
from PIL import ImageFont

from drawn import (
    behind,
    box,
    check_each_other,
    check_edges,
    check_forms,
    check_lines,
    contrast,
)
from striate import svg
from striate.models.catalog import CATALOG, entry, outline
from striate.see import fonts
from striate.see.architecture import architecture
from striate.see.canvas import Words, flat

DETAILS = [(name, detail) for name in CATALOG for detail in ("block", "layer")]


@cache
def canvas(name, detail):
    with torch.device("meta"):
        net = outline(name)
    x = torch.empty(1, *entry(name).input, device="meta")
    return architecture(net, [x], name=name, detail=detail).canvas()


@pytest.mark.slow
@pytest.mark.catalogue
@pytest.mark.parametrize(("name", "detail"), DETAILS)
def test_no_word_is_cut_covered_or_crossed(name, detail):
    drawn = canvas(name, detail)
    parts = list(flat(drawn.parts))
    words = [(part, box(part)) for part in parts if isinstance(part, Words)]
    check_edges(drawn, words)
    check_each_other(words)
    check_forms(parts, words)
    check_lines(parts, words)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["enet", "inception_v3", "densenet121", "unet", "voxnet"])
def test_words_stand_out_in_light_and_dark(name, dark):
    drawn = canvas(name, "block")
    parts = list(flat(drawn.parts))
    for words in (part for part in parts if isinstance(part, Words)):
        paper = drawn.colour(behind(parts, words), dark=dark)
        assert contrast(drawn.colour(words.colour, dark=dark), paper) >= 4.5, words


@pytest.mark.parametrize("dark", [False, True])
def test_the_palette_of_the_kit_stands_out_on_its_paper(dark):
    for ink in ("ink", "soft", "held", *svg.SERIES):
        assert contrast(svg.COLORS[ink][dark], svg.COLORS["paper"][dark]) >= 4.5, ink


def test_the_stated_widths_are_those_of_the_widest_family():
    try:
        letters = ImageFont.truetype("DejaVuSans.ttf", 100)
    except OSError:
        pytest.skip("DejaVu Sans is not installed")
    for char in "".join(fonts.WIDTHS.values()):
        assert letters.getlength(char) <= fonts.width(char, 100) + 2.5, char


def test_words_are_cut_to_a_room():
    assert fonts.fitted("conv 3x3", 12, 100) == "conv 3x3"
    cut = fonts.fitted("conv 3x3 depthwise", 12, 60)
    assert cut.endswith("…")
    assert fonts.width(cut, 12) <= 60
