"""Values against scikit-learn, intervals against simulation."""

import re

import numpy as np
import pytest
from sklearn import metrics as reference

from striate.metrics import score
from striate.metrics.classify import auroc, calibration_error, class_averages, wilson


def answers(n: int, k: int, *, skill: float, seed: int = 0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    logits = rng.normal(size=(n, k)) + skill * np.eye(k)[truth]
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return probs, truth


@pytest.mark.parametrize("k", [2, 3, 10])
def test_values_are_those_of_scikit_learn(k):
    probs, truth = answers(500, k, skill=2.0)
    found = score(probs, truth, classes=[str(i) for i in range(k)]).scores
    answer = probs.argmax(1)
    expected = {
        "accuracy": reference.accuracy_score(truth, answer),
        "balanced_accuracy": reference.balanced_accuracy_score(truth, answer),
        "f1": reference.f1_score(truth, answer, average="macro"),
        "auroc": reference.roc_auc_score(
            truth, probs if k > 2 else probs[:, 1], multi_class="ovr", average="macro"
        ),
        "loss": reference.log_loss(truth, probs),
    }
    if k > 5:
        expected["top5"] = reference.top_k_accuracy_score(truth, probs, k=5)
    assert {name: found[name].value for name in expected} == pytest.approx(expected)
    assert set(found) == {*expected, "ece"}


def test_every_interval_holds_its_value():
    probs, truth = answers(200, 4, skill=1.0)
    for interval in score(probs, truth, classes="abcd").scores.values():
        assert interval.low <= interval.value <= interval.high
        assert interval.low < interval.high


def test_wilson_matches_the_formula_and_stays_inside():
    assert wilson(98, 100).low == pytest.approx(0.93000, abs=1e-4)
    assert wilson(98, 100).high == pytest.approx(0.99450, abs=1e-4)
    assert (wilson(5, 5).value, wilson(5, 5).high) == (1.0, 1.0)
    assert wilson(5, 5).low == pytest.approx(5 / (5 + 1.959964**2))


def test_intervals_cover_what_a_large_sample_says():
    """About 95 of 100 samples have the large sample's value inside their interval."""
    probs, truth = answers(20_000, 3, skill=1.5, seed=3)
    true = score(probs, truth, classes="abc").scores
    inside = dict.fromkeys(true, 0)
    for i in range(100):
        part = slice(200 * i, 200 * (i + 1))
        for name, interval in score(probs[part], truth[part], classes="abc").scores.items():
            inside[name] += interval.low <= true[name].value <= interval.high
    del inside["ece"]  # a small sample's calibration error is biased upwards
    assert all(89 <= count <= 100 for count in inside.values()), inside


def test_a_class_without_mistakes_still_has_a_width():
    balanced, f1 = class_averages(np.diag([20, 20]))
    assert balanced.value == f1.value == 1.0
    assert balanced.low < 0.999


def test_auroc_without_a_misplaced_item_still_has_a_width():
    for count, least, most in [(1, 0.0, 0.3), (20, 0.8, 0.95), (2000, 0.99, 0.9999)]:
        truth = np.repeat([0, 1], count)
        right, wrong = auroc(np.eye(2)[truth], truth), auroc(np.eye(2)[1 - truth], truth)
        assert right is not None
        assert wrong is not None
        assert (right.value, right.high, wrong.value, wrong.low) == (1, 1, 0, 0)
        assert least < right.low < most
        assert wrong.high == pytest.approx(1 - right.low)


def test_auroc_holds_the_equation_of_newcombe_at_its_ends():
    probs, truth = answers(80, 2, skill=1.0)
    found = auroc(probs, truth)
    assert found is not None
    m, n = int(truth.sum()), int((1 - truth).sum())
    for end in (found.low, found.high):
        others = (m + n) / 2 - 1
        spread = 1 + others * ((1 - end) / (2 - end) + end / (1 + end))
        assert (found.value - end) ** 2 == pytest.approx(
            1.959964**2 * end * (1 - end) * spread / m / n
        )


def test_auroc_near_one_covers_what_a_large_sample_says():
    """DeLong's interval, whose width vanishes there, held it in 5 of 50 samples."""
    probs, truth = answers(20_000, 3, skill=4.0, seed=3)
    true = auroc(probs, truth)
    assert true is not None
    parts = [slice(60 * i, 60 * (i + 1)) for i in range(50)]
    found = [auroc(probs[part], truth[part]) for part in parts]
    assert sum(f is not None and f.low <= true.value <= f.high for f in found) >= 45


def test_an_interval_that_cannot_be_had_is_a_dash():
    one = score(np.array([[0.7, 0.3]]), np.array([0]), classes="ab")
    assert re.search(r"loss +0\.3567 +- +-", one.as_text())
    assert one.as_dict()["scores"]["loss"] == {
        k: pytest.approx(0.35667, abs=1e-4) for k in ("value", "low", "high")
    }


def test_auroc_counts_ties_half_and_is_none_for_one_class():
    probs = np.array([[0.5, 0.5]] * 4)
    found = auroc(probs, np.array([0, 0, 1, 1]))
    assert found is not None
    assert found.value == 0.5
    assert auroc(probs, np.zeros(4, np.int64)) is None


def test_calibration_error_of_a_known_gap():
    """A hundred answers at 75 % of which half are right are off by a quarter."""
    found = calibration_error(np.full(100, 0.75), np.tile([0.0, 1.0], 50))
    assert found.value == pytest.approx(0.25)


def test_per_class_and_confusion():
    probs = np.eye(3)[[0, 1, 1, 2]]
    found = score(
        probs, np.array([0, 0, 1, 2]), classes=["a", "b", "c"], run="r", data="d", split="val"
    )
    assert found.confusion is not None
    assert found.confusion.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    first = found.per_class[0]
    assert (first["support"], first["recall"], first["precision"]) == (2, 0.5, 1.0)
    assert set(found.as_dict()) == {
        "run",
        "data",
        "split",
        "items",
        "scores",
        "per_class",
        "confusion",
    }
    assert "75.00%" in found.as_text()
    assert "75.00%" in found._repr_html_()


def test_nothing_right_of_few_is_not_certain():
    balanced, f1 = class_averages(np.array([[0, 2], [2, 0]]))
    assert (balanced.value, f1.value) == (0, 0)
    assert balanced.high > 0.1
    assert f1.high > 0.1


def test_a_class_that_is_absent_counts_neither_here_nor_there():
    balanced, f1 = class_averages(np.array([[30, 0, 0], [0, 30, 0], [0, 0, 0]]))
    assert (balanced.value, f1.value) == (1, 1)
    assert min(balanced.low, f1.low) > 0.9
