"""What the learning-rate finder says and draws: no training, a scale that can be read, and why the mark stands there."""

import re
import xml.etree.ElementTree as ET

import pytest

import striate
from striate.training import Progress, find_rate, read_recipe
from striate.training.lr_finder import Rates

RATES = tuple(10 ** (-6 + i / 5) for i in range(30))
CASES = {
    "usual": Rates(RATES, (*(2.3 - 0.04 * i for i in range(25)), 1.5, 2.0, 3.0, 5.0, 7.0)),
    "flat": Rates((1e-6, 1e-5, 1e-4), (2.0, 2.0, 2.0)),
    "one rate": Rates((1e-6,), (3.0,)),
    "at the first": Rates((1e-6, 1e-3, 1.0), (0.5, 2.0, 9.0)),
    "by ratios": Rates(RATES, tuple(1000 / (i + 1) ** 2 for i in range(30))),
    "below zero": Rates((1e-6, 1e-3, 1.0), (-0.5, -2.0, 9.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_picture_shows_the_numbers(name):
    rates = CASES[name]
    root = ET.fromstring(rates.as_svg())  # noqa: S314 - ours
    elements = {each.tag.rpartition("}")[2]: each for each in root.iter()}
    points = [
        tuple(map(float, p.split(","))) for p in str(elements["polyline"].get("points")).split()
    ]
    dot = tuple(float(str(elements["circle"].get(key))) for key in ("cx", "cy"))
    lowest = points[rates.losses.index(min(rates.losses))]
    assert dot == pytest.approx(lowest, abs=0.06)
    assert max(y for _, y in points) == pytest.approx(lowest[1])
    words = [str(each.text) for each in root.iter() if each.tag.endswith("text")]
    said = rates.as_dict()
    assert any(f"lr={said['suggested']:.2g}, a tenth of" in each for each in words)
    assert any(f"smallest: {min(rates.losses):.3g}" in each for each in words)
    levels = [each for each in words if re.fullmatch(r"[\u2212\d.,]+", each)]
    assert len(levels) >= 3
    assert all(0 <= x <= 560 for x, _ in points)


def test_the_words_say_why():
    text = CASES["usual"].as_text()
    suggested = CASES["usual"].suggested
    assert f"begin with a tenth of it, lr={suggested:.2g}" in text
    assert f"at a rate of {10 * suggested:.2g}, where it is about to grow" in text
    assert "\n" not in text


def test_no_training_is_announced():
    said = []
    find_rate(
        striate.open("digits"),
        read_recipe("quick", {"net": "linear"}),
        steps=5,
        progress=Progress(said.append),
    )
    assert not any("of training" in line or "epochs" in line for line in said)
    assert any("to try learning rates on them" in line for line in said)
