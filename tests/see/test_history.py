"""The two charts: printed accuracies, our own counts."""

import csv
import math
import xml.etree.ElementTree as ET

import pytest

from drawn import behind, box, check_each_other, check_edges, contrast
from striate.see import costs, depths
from striate.see.canvas import Disc, Path, Words, flat
from striate.see.imagenet_history import ENTRIES, MISSING, OTHERS, TOP1, Competitor, Depths


def printed(shared):
    with (shared / "figures" / "accuracy.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_errors_of_the_winners_are_those_of_the_course(shared):
    rows = [r for r in printed(shared) if r["dataset"] == "ILSVRC winners"]
    assert [float(row["value"]) for row in rows] == [error for _, _, _, error, *_ in ENTRIES]
    names = [row["model"].partition(" 201")[0] for row in rows]
    assert names == [name.partition(" 201")[0] for _, name, *_ in ENTRIES]


def test_only_winners_are_called_winners():
    assert [(year, name) for year, name, place, *_ in ENTRIES if place != "winner"] == [
        (2014, "VGG")
    ]
    assert sorted(year for year, _, place, *_ in ENTRIES if place == "winner") == list(
        range(2010, 2016)
    )


def test_sources_stand_in_the_table_and_in_the_json():
    found = costs()
    header, rows = found.rows()
    assert header[-1] == "source"
    assert all(row[-1] for row in rows)
    assert all(net["source"] for net in found.as_dict()["nets"])
    assert MISSING in found.as_text()
    assert {name for name, *_ in OTHERS} == {"BN-AlexNet", "BN-NIN", "Inception-v4"}
    drawn = {text.text for text in ET.fromstring(found.as_svg()).iter(f"{SVG}text")}  # noqa: S314 - ours
    assert MISSING in drawn
    assert {name for name, *_ in OTHERS} <= drawn


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
    assert [each.layers for each in found.entries] == [None, None, 8, 8, 19, 22, 152]
    ET.fromstring(found.as_svg())  # noqa: S314 - ours


def test_costs_are_the_catalogue():
    found = costs()
    assert len(found.nets) == len(TOP1) + len(OTHERS)
    assert ("vgg19", 19_632_062_464, 143_667_240) in [
        (n.name, n.macs, n.params) for n in found.nets
    ]
    root = ET.fromstring(found.as_svg())  # noqa: S314 - ours
    tips = [disc for disc in root.iter(f"{SVG}circle") if disc.find(f"{SVG}title") is not None]
    assert len(tips) == len(found.nets)
    area = {net.name: net.params for net in found.nets}
    for disc in tips:
        name = (disc.findtext(f"{SVG}title") or "").partition(":")[0]
        assert number(disc, "r") ** 2 == pytest.approx(area[name] / 4e5, rel=0.02)


SVG = "{http://www.w3.org/2000/svg}"


def number(element: ET.Element, key: str) -> float:
    """An attribute that must be there."""
    return float(element.attrib[key])


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("make", [costs, lambda: depths_of([None, None, 8, 8, 19, 22, 152])])
def test_words_of_the_charts_are_whole_apart_and_legible(make, dark):
    canvas = make().canvas()
    parts = list(flat(canvas.parts))
    words = [(part, box(part)) for part in parts if isinstance(part, Words)]
    check_edges(canvas, words)
    check_each_other(words)
    for part, _ in words:
        paper = canvas.colour(behind(parts, part), dark=dark)
        assert contrast(canvas.colour(part.colour, dark=dark), paper) >= 4.5, part


def test_no_name_lies_on_a_disc():
    parts = list(flat(costs().canvas().parts))
    names = {net.name for net in costs().nets}
    discs = [part for part in parts if isinstance(part, Disc)]
    found = [(part.text, box(part)) for part in parts if isinstance(part, Words) and part.text in names]  # fmt: skip
    assert {name for name, _ in found} == names
    for name, (left, top, right, bottom) in found:
        for disc in discs:
            nx, ny = min(max(disc.x, left), right), min(max(disc.y, top), bottom)
            assert math.hypot(nx - disc.x, ny - disc.y) >= disc.radius - 1, name


def depths_of(layers):
    rows = [
        Competitor(year, name, place, error, of, n, net, source)
        for (year, name, place, error, of, net, source), n in zip(ENTRIES, layers, strict=True)
    ]
    return Depths(tuple(rows))


def test_the_line_of_the_depth_has_an_axis_and_keeps_clear_of_all_words():
    parts = list(flat(depths_of([None, None, 8, 8, 19, 22, 152]).canvas().parts))
    words = [part for part in parts if isinstance(part, Words)]
    assert {"layers", "0", "50", "100", "150"} <= {part.text for part in words}
    boxes = [(part.text, box(part)) for part in words]
    for line in (part for part in parts if isinstance(part, Path) and part.stroke == "wrong"):
        (x0, y0), (x1, y1) = line.points
        for i in range(101):
            x, y = x0 + (x1 - x0) * i / 100, y0 + (y1 - y0) * i / 100
            for text, (left, top, right, bottom) in boxes:
                assert not (left < x < right and top < y < bottom), text


@pytest.mark.parametrize("ending", [".svg", ".png", ".html"])
def test_charts_are_written(tmp_path, ending):
    path = tmp_path / f"chart{ending}"
    costs().save(path)
    assert path.stat().st_size > 5000
    if ending == ".html":
        assert "Szegedy et al. 2016" in path.read_text(encoding="utf-8")
