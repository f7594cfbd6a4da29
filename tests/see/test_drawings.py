"""Drawings that stand by themselves: whole SVG files whose colours are the palette's and touch nothing around them."""

import re
import xml.etree.ElementTree as ET

import pytest
import torch
from torch import nn

from striate import see, svg

SVG = "{http://www.w3.org/2000/svg}"
NET = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))


DRAWINGS = {
    "architecture": lambda: see.architecture(NET, [torch.zeros(1, 1, 8, 8)]).as_svg(),
    "costs": lambda: see.costs().as_svg(),
    "movement": lambda: see.movement(NET, NET).as_svg(),
}


def style_of(root: ET.Element) -> str:
    """The rules that a drawing brings."""
    found = root.find(f"{SVG}style")
    assert found is not None
    return found.text or ""


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_colours_nothing_but_itself(name):
    root = ET.fromstring(DRAWINGS[name]())  # noqa: S314 - ours
    own = root.get("class") or ""
    assert re.fullmatch(r"drawing-[0-9a-f]{8}", own)  # a class that nothing else on a page has
    rules = style_of(root).replace("@media(prefers-color-scheme:dark){", "")
    selectors = re.findall(r"([^{}]+)\{", rules)
    assert len(selectors) > 5
    assert all(each.strip().startswith(f".{own}") for each in selectors)


def test_no_two_drawings_colour_each_other():
    classes = {ET.fromstring(made()).get("class") for made in DRAWINGS.values()}  # noqa: S314 - ours
    assert len(classes) == len(DRAWINGS)


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_colour_of_a_drawing_is_there_in_light_and_dark(name):
    style = style_of(ET.fromstring(DRAWINGS[name]()))  # noqa: S314 - ours
    used = set(re.findall(r"var\(--([a-z0-9]+)\)", style))
    assert used
    for variable in used:
        assert style.count(f"--{variable}:") == 2, variable


def test_words_of_a_drawing_are_escaped():
    drawn = svg.drawing(svg.text("a<b", 1, 2, "title"), 10, 10, "a<b")
    assert ET.fromstring(drawn).get("aria-label") == "a<b"  # noqa: S314 - ours


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_drawing_paints_its_own_paper(name):
    root = ET.fromstring(DRAWINGS[name]())  # noqa: S314 - ours
    style, paper, *_ = root
    assert style.tag == f"{SVG}style"
    assert paper.attrib == {"class": "page", "width": "100%", "height": "100%"}
    assert f".{root.get('class')} .page{{fill:var(--paper)}}" in style_of(root)
