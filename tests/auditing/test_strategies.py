"""Groups of saliency maps: planted ones are found with their items, maps of one kind stay one group."""

import numpy as np
import pytest
import torch

import striate
from striate.auditing.checks import strategies
from striate.auditing.checks.strategies import DEEP, GRID, SURE, split

from .conftest import draw, write


def bumps(rng, count, spread, at=(3.5, 3.5)):
    """Maps [count, 64] with their mass about a place that is drawn within a distance."""
    rows, columns = np.mgrid[:GRID, :GRID]
    y, x = np.array(at)[:, None, None, None] + rng.uniform(-1, 1, (2, count, 1, 1)) * spread
    found = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 4).reshape(count, -1)
    found = found * rng.gamma(2, 0.5, found.shape) + 0.05 * rng.gamma(1, 1, found.shape)
    return found / found.sum(1, keepdims=True)


@pytest.mark.parametrize(("count", "corner"), [(40, 14), (80, 30), (150, 30)])
def test_items_that_rest_on_a_corner_are_a_group(count, corner):
    rng = np.random.default_rng(0)
    maps = np.concatenate([bumps(rng, count - corner, 1), bumps(rng, corner, 0, (0, 7))])
    found = split(maps, rng)
    assert found.p <= SURE
    assert found.ratio <= DEEP
    assert sorted(np.bincount(found.groups).tolist()) == sorted([corner, count - corner])
    assert len(np.unique(found.groups[-corner:])) == 1


def test_three_groups_are_three():
    rng = np.random.default_rng(0)
    maps = np.concatenate([bumps(rng, 30, 0.5, at) for at in ((1, 1), (1, 6), (6, 3))])
    found = split(maps, rng)
    assert found.ratio <= DEEP
    assert len(np.unique(found.groups)) == 3


@pytest.mark.parametrize("spread", [0, 1, 2.5])
def test_maps_of_one_kind_are_one_group(spread):
    """Also of objects that stand anywhere: at most 2 alarms of 40."""
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = split(bumps(rng, 60, spread), rng, 39)
        alarms += found.p <= SURE and found.ratio <= DEEP
    assert alarms <= 2


class Places(torch.nn.Module):
    """Answers class 0 for a light corner or a light bar at the bottom, else class 1."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        corner = x[:, 0, :4, -4:].mean((1, 2))
        bar = x[:, 0, -4:].mean((1, 2))
        found = torch.maximum(corner, bar) * self.scale
        return torch.stack([found, -found], 1)


def test_a_net_that_looks_at_two_places_for_one_class(tmp_path):
    rng = np.random.default_rng(0)
    for split_, count in (("train", 4), ("test", 40)):
        for i in range(count):
            picture = draw(rng, "noise") // 4
            if i % 3 == 0:
                picture[:4, -4:] = 220
            else:
                picture[-4:] = 220
            write(tmp_path / "d" / split_ / "marked" / f"{i}.png", picture)
            write(tmp_path / "d" / split_ / "plain" / f"{i}.png", draw(rng, "noise") // 4)
    run = striate.train(
        tmp_path / "d", net=Places(), epochs=1, lr=1e-9, out=tmp_path, plan="default", size=28
    )
    found = striate.audit(run, only=["strategies"]).findings
    (each,) = [one for one in found if one.text.startswith("marked is answered for 2 places")]
    assert each.severity == "note"
    groups = [row for row in each.evidence if "group" in row]
    assert [row["items"] for row in groups] == [14, 26]
    assert groups[0]["most at"] == strategies.cell(7)
    assert "rows 87.5" in groups[1]["most at"]
    assert all("marked" in row["file"] for row in each.evidence if "file" in row)


def test_classes_of_few_items_are_named(own):
    found = striate.audit(own, only=["strategies"]).findings
    assert all(each.severity in ("pass", "note", "skipped") for each in found)
    assert "fewer than 20" in found[0].text or "3 classes" in found[0].text
