"""The two charts: printed accuracies, our own counts."""

import csv
import xml.etree.ElementTree as ET

import pytest

from striate.see import costs, depths
from striate.see.history import TOP1, WINNERS


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
