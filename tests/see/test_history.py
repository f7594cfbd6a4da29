"""The two charts: printed accuracies, our own counts."""

import csv
import itertools
import math
import xml.etree.ElementTree as ET

import pytest

from striate.see import costs, depths
from striate.see.imagenet_history import TOP1, WINNERS, Depths, Winner


def printed(shared):
    with (shared / "figures" / "accuracy.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_errors_of_the_winners_are_those_of_the_course(shared):
    rows = [r for r in printed(shared) if r["dataset"] == "ILSVRC winners"]
    assert [float(row["value"]) for row in rows] == [error for _, _, error, _ in WINNERS]
    names = [row["model"].partition(" 201")[0] for row in rows]
    assert names == [name.partition(" 201")[0] for _, name, _, _ in WINNERS]


def test_accuracies_are_those_of_torchvision(shared):
    rows = {
        row["model"].partition("_Weights")[0].lower(): float(row["value"])
        for row in printed(shared)
        if row["dataset"] == "ImageNet-1K" and row["metric"] == "acc@1" and "IMAGENET1K_V1" in row["model"]
    }  # fmt: skip
    assert {name: rows[name] for name in TOP1} == TOP1


@pytest.mark.slow
def test_depths_are_counted_on_our_nets_and_equal_the_printed_ones():
    found = depths()
    assert [winner.layers for winner in found.winners] == [None, None, 8, 8, 19, 22, 152]
    ET.fromstring(found.as_svg())  # noqa: S314 - ours


def test_costs_are_the_catalogue():
    found = costs()
    assert len(found.nets) == len(TOP1)
    assert ("vgg19", 19_632_062_464, 143_667_240) in [
        (n.name, n.macs, n.params) for n in found.nets
    ]
    root = ET.fromstring(found.as_svg())  # noqa: S314 - ours
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == len(TOP1)


SVG = "{http://www.w3.org/2000/svg}"


def number(element: ET.Element, key: str) -> float:
    """An attribute that must be there."""
    return float(element.attrib[key])


def names(root: ET.Element):
    """Boxes (left, top, right, bottom) of the nets' names, a letter taken as half as wide as its font is high."""
    found = {}
    for text in root.iter(f"{SVG}text"):
        if text.text in TOP1:
            x, y, half = number(text, "x"), number(text, "y"), 2.5 * len(text.text)
            found[text.text] = (x - half, y - 7, x + half, y + 1)
    return found


def test_no_name_lies_on_a_disc_or_on_another_name():
    root = ET.fromstring(costs().as_svg())  # noqa: S314 - ours
    boxes = names(root)
    assert set(boxes) == set(TOP1)
    discs = [
        tuple(number(disc, key) for key in ("cx", "cy", "r")) for disc in root.iter(f"{SVG}circle")
    ]
    for name, (left, top, right, bottom) in boxes.items():
        for x, y, radius in discs:
            nx, ny = min(max(x, left), right), min(max(y, top), bottom)
            assert math.hypot(nx - x, ny - y) >= radius, name
        for other, (l2, t2, r2, b2) in boxes.items():
            apart = left >= r2 or l2 >= right or top >= b2 or t2 >= bottom
            assert apart or other == name, (name, other)
        assert left >= 0
        assert right <= number(root, "width")


def test_the_line_of_the_depth_keeps_clear_of_the_bars_and_of_all_words():
    layers = [None, None, 8, 8, 19, 22, 152]
    rows = [Winner(*row[:3], n) for row, n in zip(WINNERS, layers, strict=True)]
    root = ET.fromstring(Depths(tuple(rows)).as_svg())  # noqa: S314 - ours
    line = next(root.iter(f"{SVG}polyline")).attrib["points"].split()
    points = [tuple(map(float, point.split(","))) for point in line]
    texts = [(number(t, "x"), number(t, "y"), t.text or "") for t in root.iter(f"{SVG}text")]
    bars = [(number(bar, "x"), number(bar, "y")) for bar in root.iter(f"{SVG}rect")]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        for i in range(101):
            x, y = x0 + (x1 - x0) * i / 100, y0 + (y1 - y0) * i / 100
            assert all(y < top for left, top in bars if left <= x <= left + 44)
            for tx, ty, words in texts[1:]:
                half = 2.5 * len(words)
                assert not (tx - half <= x <= tx + half and ty - 7 <= y <= ty + 1), words
