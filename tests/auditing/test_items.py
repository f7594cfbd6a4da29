"""Wrong labels and weak groups: planted ones are found, and chance brings few alarms."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

import striate
from striate.auditing import write_fixes
from striate.auditing.checks.labels import out_of_fold, suspected
from striate.auditing.checks.slices import SURE, judged
from striate.see import features
from striate.workbench.report.audit import page


def test_planted_wrong_labels_are_found():
    """Of 5 in 100 labels of handwritten digits that were changed, most are named, and most that are named were changed."""
    x, true = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    labels = true.astype(np.int64).copy()
    wrong = rng.choice(len(labels), len(labels) // 20, replace=False)
    labels[wrong] = (labels[wrong] + rng.integers(1, 10, len(wrong))) % 10
    suspects, others, margins = suspected(out_of_fold(x.astype(np.float64), labels, rng), labels)
    named = set(suspects.tolist())
    recall = len(named & set(wrong.tolist())) / len(wrong)
    precision = len(named & set(wrong.tolist())) / len(named)
    assert recall > 0.65
    assert precision > 0.9
    assert (np.diff(margins) <= 0).all()
    first = suspects[:40]
    assert (others[:40] == true[first]).mean() > 0.9


def test_right_labels_are_left_alone():
    x, true = load_digits(return_X_y=True)
    probs = out_of_fold(x.astype(np.float64), true.astype(np.int64), np.random.default_rng(0))
    assert len(suspected(probs, true.astype(np.int64))[0]) < 0.04 * len(true)


def test_no_item_is_judged_by_a_head_that_was_fitted_to_it():
    """Features that are each item's own tell nothing of the others: out of fold every answer is a guess."""
    labels = np.arange(60) % 2
    probs = out_of_fold(np.eye(60), labels, np.random.default_rng(0))
    assert (probs.argmax(1) == labels).mean() < 0.7


def test_a_planted_weak_group_is_found():
    rng = np.random.default_rng(0)
    dark = rng.random(400) < 0.25
    right = rng.random(400) < np.where(dark, 0.5, 0.9)
    slices = {"dark": dark} | {f"other {k}": rng.random(400) < 0.25 for k in range(30)}
    first = judged(right, slices)[0]
    assert first.slice == "dark"
    assert first.p < SURE
    assert first.accuracy == right[dark].mean()


def test_chance_brings_few_weak_groups():
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        slices = {str(k): rng.random(200) < 0.25 for k in range(12)}
        alarms += any(row.p <= SURE for row in judged(rng.random(200) < 0.8, slices))
    assert alarms <= 14


def test_of_a_run(own):
    found = {each.check: each for each in striate.audit(own, only=["labels", "slices"]).findings}
    assert set(found) == {"labels", "slices"}
    names = {row["slice"] for row in found["slices"].evidence if "slice" in row}
    assert any(name.startswith("class ") for name in names)
    assert found["labels"].value.value <= 0.2
    assert found["slices"].severity in ("pass", "note")


@pytest.mark.parametrize("check", ["labels", "slices"])
def test_the_net_reads_the_sample_alone(own, check, monkeypatch):
    """Of a split of which a part is judged no other item goes through the net for its features."""
    monkeypatch.setattr(f"striate.auditing.checks.{check}.MOST", 45)
    real, read = features.of_batch, []
    monkeypatch.setattr(features, "of_batch", lambda run, x: read.append(len(x)) or real(run, x))
    first, *_ = striate.audit(own, only=[check], budget=None if check == "labels" else 1e9).findings
    assert first.severity in ("pass", "note")
    assert sum(read) == 45


def test_features_of_a_part_are_those_of_all(own):
    data = own.opened()
    arrays, key = features.stored(own, data, "test")
    index = np.array([3, 40, 41])
    part = features.features(own, arrays, key, index=index)
    whole = features.features(own, arrays, key)
    assert np.allclose(part, whole[index], atol=1e-6)
    assert np.array_equal(features.features(own, arrays, key, index=index), whole[index])


def test_every_suspected_label_is_written(own, tmp_path, monkeypatch):
    """And not the surest 500 alone."""
    monkeypatch.setattr(
        "striate.auditing.checks.labels.suspected",
        lambda _probs, labels: (
            np.arange(len(labels)).repeat(6),
            (labels + 1).repeat(6) % 3,
            np.full(6 * len(labels), 0.5),
        ),
    )
    found = striate.audit(own, only=["labels"])
    assert write_fixes(tmp_path / "fixes.csv", found) == 720
    assert len((tmp_path / "fixes.csv").read_text().splitlines()) == 721
    assert "220 more rows are left out here" in page(found)


def test_a_sample_is_called_one(own, monkeypatch):
    monkeypatch.setattr("striate.auditing.checks.labels.MOST", 60)
    (found,) = striate.audit(own, only=["labels"]).findings
    assert "of 60 in train, drawn from 120, may be wrong" in found.text


def test_a_class_of_one_item_is_skipped(own, leaking):
    for file in sorted((leaking / "train" / "bar").iterdir())[1:]:
        file.unlink()
    (found,) = striate.audit(own, leaking, only=["labels"]).findings
    assert found.severity == "skipped"
    assert "class bar has one item" in found.text


@pytest.mark.parametrize("check", ["labels", "slices", "calibration", "adversarial", "corruptions"])
def test_checks_that_need_a_net_are_not_asked_of_data(leaking, check):
    assert not striate.audit(None, leaking, only=[check]).findings
