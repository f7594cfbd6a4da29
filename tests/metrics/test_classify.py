"""Values against scikit-learn, intervals against simulation."""

import re

import numpy as np
import pytest
from sklearn import metrics as reference

from striate.errors import ShapeError
from striate.metrics import Interval, score
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
    if k == 2:
        expected["average_precision"] = reference.average_precision_score(truth, probs[:, 1])
        expected["sensitivity"] = reference.recall_score(truth, answer)
        expected["specificity"] = reference.recall_score(truth, answer, pos_label=0)
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


def test_a_class_without_mistakes_still_has_a_width():
    labels = np.repeat([0, 1], 20)
    balanced, f1 = class_averages(labels, labels, 2)
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


@pytest.mark.parametrize("count", [0, 1, 4])
def test_fewer_than_five_items_have_scores_without_intervals(count):
    few = score(np.tile([[0.7, 0.3]], (count, 1)), np.zeros(count, np.int64), classes="ab")
    assert not any(interval.known for interval in few.scores.values())
    assert few.notes == [f"no intervals: {count} items, fewer than 5"]
    assert few.as_dict()["notes"] == few.notes
    assert few.notes[0] in few.as_text()
    if count:
        assert re.search(r"loss +0\.3567 +- +-", few.as_text())
        loss = {"value": pytest.approx(0.35667, abs=1e-4), "low": None, "high": None}
        assert few.as_dict()["scores"]["loss"] == loss
        assert Interval.of(few.as_dict()["scores"]["loss"]).value == few.scores["loss"].value
    else:
        assert few.as_dict()["scores"]["accuracy"] == {"value": None, "low": None, "high": None}


def test_averages_of_classes_have_no_interval_where_one_has_fewer_than_five_items():
    probs, truth = answers(60, 3, skill=2.0)
    rare = np.flatnonzero(truth == 2)[4:]
    keep = np.setdiff1d(np.arange(60), rare)
    found = score(probs[keep], truth[keep], classes=["cat", "dog", "owl"])
    assert found.notes == [
        "no interval for balanced_accuracy, f1, auroc: 1 of 3 classes have fewer than 5 items (owl)",
        found.notes[1],
    ]
    assert found.notes[1].startswith("classes are uneven: always answering dog would have accuracy")
    unknown = {name for name, interval in found.scores.items() if not interval.known}
    assert unknown == {"balanced_accuracy", "f1", "auroc"}
    assert [row["low"] is None for row in found.per_class] == [False, False, True]
    assert score(probs, truth, classes=["cat", "dog", "owl"]).notes == []


def test_a_class_without_items_is_absent_and_not_zero():
    """Neither an item nor an answer (c), and answers alone (b): no row has a number, no mean counts them."""
    probs = np.eye(4)[[0] * 8 + [1] * 2 + [3] * 5]
    truth = np.array([0] * 10 + [3] * 5)
    found = score(probs, truth, classes="abcd")
    rows = {row["label"]: row for row in found.per_class}
    for label in "bc":
        assert [rows[label][key] for key in ("recall", "low", "high", "precision", "f1")] == [
            None
        ] * 5
        assert rows[label]["support"] == 0
    assert found.scores["balanced_accuracy"].value == pytest.approx((0.8 + 1) / 2)
    assert found.scores["f1"].value == pytest.approx((2 * 8 / 18 + 1) / 2)
    assert found.as_text().index("\na ") < found.as_text().index("\nb ")
    missed = score(np.eye(2)[[1] * 9], np.array([0] * 6 + [1] * 3), classes="ab").per_class[0]
    assert (missed["recall"], missed["precision"], missed["f1"]) == (0, None, 0)


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
        "notes",
    }
    assert "75.0\xa0%" in found.as_text()
    assert "75.0\xa0%" in found._repr_html_()


def test_nothing_right_of_few_is_not_certain():
    labels = np.array([0, 0, 1, 1])
    balanced, f1 = class_averages(labels, 1 - labels, 2)
    assert (balanced.value, f1.value) == (0, 0)
    assert balanced.high > 0.1
    assert f1.high > 0.1


def test_a_class_that_is_absent_counts_neither_here_nor_there():
    labels = np.repeat([0, 1], 30)
    balanced, f1 = class_averages(labels, labels, 3)
    assert (balanced.value, f1.value) == (1, 1)
    assert min(balanced.low, f1.low) > 0.9


def test_copies_of_items_in_one_group_make_no_interval_narrower():
    probs, truth = answers(60, 3, skill=1.5)
    groups = np.repeat(np.arange(60), 6)
    once = score(probs, truth, classes="abc")
    often = score(np.repeat(probs, 6, 0), np.repeat(truth, 6), classes="abc", groups=groups)
    alone = score(np.repeat(probs, 6, 0), np.repeat(truth, 6), classes="abc")
    for name, interval in once.scores.items():
        width = interval.high - interval.low
        assert often.scores[name].value == pytest.approx(interval.value)
        assert often.scores[name].high - often.scores[name].low > 0.9 * width, name
        if name != "ece":  # which is not far from none in sixty items
            assert alone.scores[name].high - alone.scores[name].low < 0.7 * width
    row, again = once.per_class[0], often.per_class[0]
    assert again["high"] - again["low"] > 0.9 * (row["high"] - row["low"])
    with pytest.raises(
        ShapeError, match=r"^groups: got \[60\], expected one group number for each of 360"
    ):
        score(np.repeat(probs, 6, 0), np.repeat(truth, 6), classes="abc", groups=np.arange(60))


def test_few_groups_have_no_interval():
    probs, truth = answers(60, 2, skill=1.5)
    found = score(probs, truth, classes="ab", groups=np.arange(60) // 20)
    assert found.notes == ["no intervals: 3 groups, fewer than 5"]
    assert not any(interval.known for interval in found.scores.values())
    rare = score(probs, np.arange(60) // 50, classes="ab", groups=np.arange(60) // 5)
    assert rare.notes[0].endswith("1 of 2 classes have fewer than 5 groups (b)")


def test_many_classes_have_intervals_too():
    """Five items of each of 5,000 classes, of which single draws of a matrix gave no interval that covers."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(5000), 5)
    answer = np.where(rng.random(25_000) < 0.7, truth, rng.integers(5000, size=25_000))
    balanced, f1 = class_averages(truth, answer, 5000)
    assert balanced.low < 0.7 < balanced.high
    assert 0.01 < balanced.high - balanced.low < 0.02
    assert 0.01 < f1.high - f1.low < 0.02


def test_the_interval_of_a_calibration_error_reaches_zero_where_chance_explains_it():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 400)
    calibrated = calibration_error(confidence, (rng.random(400) < confidence).astype(float))
    assert calibrated.value > 0.02
    assert calibrated.low == 0
    sure = calibration_error(confidence, (rng.random(400) < confidence - 0.3).astype(float))
    assert sure.low < 0.3 < sure.high
    assert sure.low > 0.2
