"""Checks of runs of several labels an item: what is planted for one label is found for that label, the others stay silent."""

import numpy as np
import pytest
import torch

import striate
from striate.auditing import Case
from striate.auditing.attacks import Attack, attacked, right_labels, smallest
from striate.auditing.check import agreement, flags_of, sets_of
from striate.auditing.checks import equivariance, shortcuts, strategies
from striate.auditing.checks.labels import suspected
from striate.auditing.probes import PERMUTATIONS, probe_each

from .conftest import write

LABELS = ("box", "marked")
SIDE = 32


class Reader(torch.nn.Module):
    """Says the first label for a light middle, the second for a light corner or a light bar at the bottom."""

    def __init__(self, bar=True):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.bar = bar

    def forward(self, x):
        middle = x[:, 0, 12:20, 12:20].mean((1, 2))
        corner = x[:, 0, :4, -4:].mean((1, 2))
        bar = x[:, 0, -4:].mean((1, 2))
        marked = torch.maximum(corner, bar) if self.bar else corner
        return torch.stack([middle, marked], 1) * 4 * self.scale


def pictures(root, *, bar=True, train=40, test=80):
    """Noise with a light square in the middle, with a mark in a corner (or, of every third, a bar instead), both or neither."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        lines = ["path,box,marked"]
        for i in range(count):
            box, marked = i % 2, int(rng.integers(0, 2))
            picture = rng.integers(0, 60, (SIDE, SIDE), np.uint8)
            if box:
                picture[10:22, 10:22] = 220
            if marked and bar and i % 3:
                picture[-4:] = 220
            elif marked:
                picture[:4, -4:] = 220
            write(root / split / f"{i:03d}.png", picture)
            lines.append(f"{split}/{i:03d}.png,{box},{marked},{split}")
        lines[0] = "path,box,marked,split"
        (root / f"{split}.part").write_text("\n".join(lines if split == "train" else lines[1:]))
    parts = [root / f"{split}.part" for split in ("train", "test")]
    (root / "labels.csv").write_text("\n".join(part.read_text() for part in parts) + "\n")
    for part in parts:
        part.unlink()
    return root


def run_of(root, net):
    return striate.train(
        root / "d", net=net, epochs=1, lr=1e-9, out=root, plan="default", size=SIDE, threshold=0.5
    )


@pytest.fixture(scope="module")
def cornered(tmp_path_factory):
    """A run that says `marked` for the corner alone, which tells it in all items."""
    root = tmp_path_factory.mktemp("cornered")
    pictures(root / "d", bar=False)
    return run_of(root, Reader(bar=False))


@pytest.fixture(scope="module")
def two_places(tmp_path_factory):
    """A run that says `marked` for a corner or a bar, and `box` for the middle."""
    root = tmp_path_factory.mktemp("places")
    pictures(root / "d")
    return run_of(root, Reader())


def test_the_labels_are_those_that_were_drawn(cornered):
    case = Case(cornered, cornered.opened(), "test")
    assert case.several
    said = case.said(case.outputs(case.arrays.inputs[np.arange(len(case.arrays))]))
    assert said.shape == (80, 2)
    assert np.array_equal(said, case.given())


# ------------------------------------------------------------------------------------------ shortcuts


def test_a_mark_that_tells_one_label_is_found_for_that_label(cornered):
    found = striate.audit(cornered, only=["shortcuts"])
    alarms = [each for each in found.failed if each.evidence[0]["probe"] == "border cell"]
    assert [each.evidence[0]["of"] for each in alarms] == ["marked"]
    (alarm,) = alarms
    assert "whether items have marked told in" in alarm.text
    assert alarm.evidence[0]["where"].replace("\N{NO-BREAK SPACE}", " ").startswith("rows 0.0 % to")
    assert alarm.evidence[0]["follows"] > 0.3
    assert alarm.evidence[0]["mass"] > 0.9
    assert alarm.evidence[0]["area"] < 0.1
    assert {row["label"] for row in alarm.evidence[1:]} == {"marked", "without marked"}


def test_data_of_several_labels_alone(tmp_path):
    found = striate.audit(
        None, striate.open(pictures(tmp_path / "d", bar=False)), only=["shortcuts"]
    )
    assert {each.evidence[0]["of"] for each in found.failed} == {"marked"}


def test_labels_of_few_items_are_named_and_not_judged(tmp_path):
    root = pictures(tmp_path / "d", bar=False)
    lines = (root / "labels.csv").read_text().splitlines()
    rows = [lines[0].replace("split", "rare,split")]
    rows += [line.replace(",t", f",{int(i < 2)},t") for i, line in enumerate(lines[1:])]
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    found = striate.audit(None, striate.open(root), only=["shortcuts"]).findings
    (said,) = [each.text for each in found if "fewer than 5 items" in each.text]
    assert said.endswith("can be read: rare")


def test_p_of_labels_is_corrected_for_their_number():
    rng = np.random.default_rng(0)
    flags = rng.random((80, 6)) < 0.4
    noise = rng.normal(size=(80, 10))
    told = np.concatenate([noise, flags[:, [3]] + 0.1 * rng.normal(size=(80, 1))], 1)
    found = probe_each([noise, told], flags, rng)
    assert found[3].p == pytest.approx(1 / (1 + PERMUTATIONS))
    assert found[3].place == 1
    assert found[3].accuracy.value == pytest.approx(
        np.mean([(found[3].answers == flags[:, 3])[flags[:, 3] == v].mean() for v in (False, True)])
    )
    assert found[3].accuracy.value > 0.95
    assert min(found[k].p for k in (0, 1, 2, 4, 5)) > 0.02
    assert all(0.4 < each.chance < 0.7 for each in found)


@pytest.mark.slow
def test_chance_alone_brings_few_alarms_among_many_labels():
    """Of 60 probes of noise for eight labels about one in twenty has any p below 0.05."""
    below = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        found = probe_each(
            [rng.normal(size=(60, 5)) for _ in range(2)],
            rng.random((60, 8)) < 0.3,
            rng,
            permutations=199,
        )
        below += min(each.p for each in found) <= 0.05
    assert below <= 8


# --------------------------------------------------------------------------------------- equivariance


def test_labels_that_are_said_before_or_after_are_compared():
    before = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]], bool)
    after = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]], bool)
    assert np.array_equal(agreement(before, after), [1 / 3, np.nan, 1, 0], equal_nan=True)


def test_a_shift_that_moves_a_mark_away_is_seen_at_its_label(cornered):
    """The corner that is read is four pixels wide: a shift by eight leaves it empty; the middle is wider."""
    (found, *_) = striate.audit(cornered, only=["equivariance"]).findings
    assert found.severity in ("pass", "note")
    rows = {row["change"]: row for row in found.evidence if "change" in row}
    assert 0 <= rows["shift by 8"]["agreement"] < rows["shift by 1"]["agreement"]
    assert rows["upside down"]["label_accuracy"] < 1
    assert {row["label"] for row in found.evidence if "label" in row} == set(LABELS)


def test_no_change_leaves_every_label(cornered, monkeypatch):
    same = equivariance.Change("shift by 1", lambda x: x)
    monkeypatch.setattr(equivariance, "CHANGES", (same,) * 4)
    (found, *_) = striate.audit(cornered, only=["equivariance"], budget=99).findings
    assert found.value.value == 1
    assert "of the labels that are said" in found.text


def test_thresholds_decide_what_is_said(cornered):
    """With thresholds that nothing reaches there is nothing to compare."""
    from dataclasses import replace

    case = Case(cornered, cornered.opened(), "test")
    never = replace(cornered.task, limits=(1.0, 1.0))
    x = case.outputs(case.arrays.inputs[np.arange(4)])
    assert not (never.from_thresholds(x) >= 0).any()
    half = replace(cornered.task, limits=(0.5, 0.5))
    assert torch.allclose(half.from_thresholds(x), x)
    strict = replace(cornered.task, limits=(0.9, 0.2))
    assert np.array_equal((strict.from_thresholds(x) >= 0).numpy(), strict.said(strict.decode(x)))


# ---------------------------------------------------------------------------------------- adversarial


@pytest.fixture
def planes():
    """Two labels, each said on one side of a plane, and pictures at known distances from both."""
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 12, generator=rng)

    def logits(x):
        return (x - 128).flatten(1) @ weight.T

    x = torch.rand(40, 3, 2, 2, generator=rng) * 60 + 98
    distance = (logits(x).abs() / weight.norm(dim=1)).amin(1)
    return logits, x, logits(x) >= 0, distance


def test_the_least_change_is_the_distance_to_the_nearest_label(planes):
    """At least: the ascent follows the label that is nearest in score, whose plane may be the farther one."""
    logits, x, labels, distance = planes
    attack = Attack("l2", 200.0, 20)
    found = smallest(logits, x, labels, attack, torch.Generator().manual_seed(0), halvings=14)
    inside = distance < 60
    assert (found[inside] >= distance[inside] * 0.97).all()
    assert found[inside].median() < 1.5 * distance[inside].median()


def test_attacks_change_any_label(planes):
    logits, x, labels, _ = planes
    attack = Attack("linf", 20.0, 10)
    found = attacked(logits, x, labels, attack, torch.Generator().manual_seed(0))
    assert (found - x).abs().max() <= 20 + 1e-4
    kept = right_labels(logits(found), labels)
    assert kept.shape == (40, 2)
    assert right_labels(logits(x), labels).all()
    assert kept.all(1).float().mean() < 0.6


def test_the_attack_of_a_run_names_labels(cornered):
    found = striate.audit(cornered, only=["adversarial"]).findings
    first = found[0] if "keep every label" in found[0].text else found[1]
    pgd = {
        row["strength"]: row["unchanged"] for row in first.evidence if row.get("attack") == "pgd"
    }
    assert pgd[0.5] >= pgd[4.0] >= pgd[128.0]
    assert pgd[128.0] < 0.5  # both labels at once stay said of a light square and corner
    assert {row["label"] for row in first.evidence if "label" in row} == set(LABELS)
    assert all(0 <= row["flipped"] <= 1 for row in first.evidence if "flipped" in row)


# ----------------------------------------------------------------------------------------- strategies


def test_a_label_that_is_said_for_two_places(two_places):
    found = striate.audit(two_places, only=["strategies"]).findings
    assert [each.text.split(" is answered")[0] for each in found if each.crossed] == ["marked"]
    (each,) = [one for one in found if one.crossed]
    groups = [row for row in each.evidence if "group" in row]
    assert len(groups) == 2
    assert groups[0]["most at"] == strategies.cell(7)
    assert "rows 87.5" in groups[1]["most at"]
    assert all(row["right"] == 1 for row in groups)


def test_maps_are_of_the_label_and_not_of_the_likeliest(two_places, monkeypatch):
    asked = []

    def watched(_case, stored, label=None):
        asked.append((label, len(stored)))
        return np.ones((len(stored), SIDE, SIDE))

    monkeypatch.setattr(strategies, "saliency_maps", watched)
    striate.audit(two_places, only=["strategies"], budget=77)
    case = Case(two_places, two_places.opened(), "test")
    wanted = case.given().sum(0)
    for k in range(2):
        assert sum(count for label, count in asked if label == k) == wanted[k]


def test_many_labels_share_the_passes():
    said = np.ones((100, 4), bool)
    found = strategies._inside(said, 120, np.random.default_rng(0))
    assert {k: len(places) for k, places in found.items()} == dict.fromkeys(range(4), 30)
    one = np.arange(3)[np.arange(90) % 3][:, None] == np.arange(3)
    found = strategies._inside(one, 90, np.random.default_rng(0))
    assert {k: len(places) for k, places in found.items()} == dict.fromkeys(range(3), 30)


# ------------------------------------------------------------------------------------------- in general


@pytest.mark.parametrize("check", ["shortcuts", "equivariance", "adversarial", "strategies"])
def test_what_has_no_labels_is_refused_with_the_reason(check, tmp_path):
    for name in ("images", "masks"):
        for i in range(40):
            write(tmp_path / "d" / name / f"{i}.png", np.full((SIDE, SIDE), 40 * (i % 2), np.uint8))
    case = Case(None, striate.open(tmp_path / "d"), "train")
    said = striate.auditing.checks.CHECKS[check].lacks(case)
    assert said == "the items have masks, not one label each"


def test_sets_of_labels_and_flags(tmp_path):
    flags = np.array([[1, 0], [0, 1], [1, 0], [1, 1]], bool)
    codes = sets_of(flags)
    assert codes[0] == codes[2]
    assert len(set(codes.tolist())) == 3
    data = striate.open(pictures(tmp_path / "d", train=8, test=4))
    split = data.splits["train"]
    given = flags_of(split, np.array([1, 2]), 2)
    assert given.tolist() == [(split.targets.truth(i) > 0).tolist() for i in (1, 2)]


def test_shortcuts_look_at_the_commonest_of_many_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(shortcuts, "LABELS", 1)
    found = striate.audit(
        None, striate.open(pictures(tmp_path / "d", bar=False)), only=["shortcuts"]
    )
    assert any("rarer than the first 1: " in each.text for each in found.findings)


def test_the_page_has_tables_and_cells_of_several_labels(cornered):
    from striate.studio.audits import cell, grids_of

    found = striate.audit(cornered, only=["adversarial", "equivariance"]).findings
    grids = {grid.check: grid for each in found for grid in grids_of(each)}
    assert set(grids) == {"adversarial", "equivariance"}
    for grid in grids.values():
        assert all(value is not None for row in grid.values for value in row[:1])
    assert grids["equivariance"].columns == ["agreement", "label_accuracy"]
    case = Case(cornered, cornered.opened(), "test")
    worst = cell(case, "adversarial", "pgd", "128")
    assert worst.score == "subset_accuracy"
    assert any(item["bad"] for item in worst.items)


def test_a_label_that_the_head_hardly_tells_suspects_nothing():
    labels = np.array([0] * 30 + [1] * 5)
    probs = np.full((35, 2), (0.9, 0.1))
    probs[30:] = (0.86, 0.14)
    probs[:10] = (0.85, 0.15)  # more than usual of the second class, and far less than of its own
    assert len(suspected(probs, labels)[0]) == 0
    probs[3] = (0.2, 0.8)
    items, others, margins = suspected(probs, labels)
    assert (items.tolist(), others.tolist()) == ([3], [1])
    assert margins == pytest.approx([0.6])
