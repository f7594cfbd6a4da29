"""Average precision against scikit-learn, and what leaving an item out does to it; thresholds by brute force."""

import numpy as np
import pytest
from sklearn import metrics as reference

from striate.metrics import multilabel, thresholds
from striate.metrics.average_precision import average_precision, ranked
from striate.metrics.multilabel import Answers


@pytest.mark.parametrize("levels", [4, 10, 1000])
def test_leaving_an_item_out_is_what_it_says(levels):
    """Also where scores are equal, at the ends, and with a single item of the class."""
    rng = np.random.default_rng(levels)
    for count in (2, 3, 8, 40):
        score = rng.integers(0, levels, count) / levels
        positive = rng.random(count) < 0.4
        positive[0] = True
        found = ranked(score, positive)
        assert found.value == pytest.approx(reference.average_precision_score(positive, score))
        for i in range(count):
            kept = np.arange(count) != i
            if positive[kept].any():
                left = reference.average_precision_score(positive[kept], score[kept])
                assert found.value - found.moves[i] == pytest.approx(left)
            else:
                assert np.isnan(found.moves[i])


def test_a_perfect_order_keeps_a_width_that_shrinks():
    widths = []
    for count in (10, 100, 1000):
        positive = np.arange(count) < count // 2
        found = average_precision(np.linspace(1, 0, count)[:, None], positive[:, None])
        assert (found.value, found.high) == (1, 1)
        widths.append(found.high - found.low)
    assert 0.5 > widths[0] > widths[1] > widths[2] > 0


def test_too_few_of_a_side_have_no_interval():
    score = np.linspace(0, 1, 30)[:, None]
    for count in (4, 26):
        assert not average_precision(score, np.arange(30)[:, None] < count).known
    assert average_precision(score, np.arange(30)[:, None] < 5).known
    groups = np.arange(30) // 10
    assert not average_precision(score, np.arange(30)[:, None] % 2 == 0, groups).known
    assert np.isnan(average_precision(score, np.zeros((30, 1), bool)).value)


def test_items_that_come_together_tell_less():
    rng = np.random.default_rng(1)
    positive = rng.random((60, 1)) < 0.5
    score = rng.normal(size=(60, 1)) + positive
    once = average_precision(score, positive)
    groups = np.repeat(np.arange(60), 6)
    again = average_precision(np.repeat(score, 6, 0), np.repeat(positive, 6, 0), groups)
    assert again.value == pytest.approx(once.value, abs=0.02)
    assert again.high - again.low > 0.9 * (once.high - once.low)


@pytest.mark.parametrize("by", ["f1", "balanced_accuracy"])
def test_no_threshold_is_better_than_the_one_that_is_chosen(by):
    rng = np.random.default_rng(0)
    of = {"f1": reference.f1_score, "balanced_accuracy": reference.balanced_accuracy_score}[by]
    for count in (5, 30, 200):
        positive = rng.random(count) < 0.3
        positive[:2] = True, False
        score = np.round(1 / (1 + np.exp(-rng.normal(size=count) - positive)), 1)
        best = thresholds.best(score, positive, by)
        every = [of(positive, score >= t) for t in np.linspace(0, 1, 41)]
        assert of(positive, score >= best) == pytest.approx(max(every))
    assert thresholds.best(np.array([0.3, 0.4]), np.array([True, True]), by) == 0.5


def answers(count: int, labels: int, *, skill: float = 2.0, seed: int = 0) -> Answers:
    rng = np.random.default_rng(seed)
    truth = rng.random((count, labels)) < np.linspace(0.15, 0.6, labels)
    probs = 1 / (1 + np.exp(-rng.normal(size=truth.shape) - skill * (truth - 0.5)))
    return Answers(probs, truth, probs >= 0.5)


def test_scores_of_labels_are_those_of_scikit_learn():
    found = answers(300, 4)
    probs, truth, said = found
    scores, notes = multilabel.scores(found, "abcd")
    expected = {
        "average_precision": reference.average_precision_score(truth, probs, average="macro"),
        "f1": reference.f1_score(truth, said, average="macro"),
        "sensitivity": reference.recall_score(truth, said, average="macro"),
        "specificity": reference.recall_score(~truth, ~said, average="macro"),
        "subset_accuracy": reference.accuracy_score(truth, said),
        "loss": np.mean([reference.log_loss(truth[:, k], probs[:, k]) for k in range(4)]),
    }
    assert {name: one.value for name, one in scores.items()} == pytest.approx(expected)
    assert all(one.low < one.value < one.high for one in scores.values())
    assert notes == []
    quick = multilabel.values(found)
    assert quick == pytest.approx({name: expected[name] for name in quick})
    rows = multilabel.per_class(found, "abcd")
    assert [row["support"] for row in rows] == truth.sum(0).tolist()
    precision = [reference.precision_score(truth[:, k], said[:, k]) for k in range(4)]
    assert [row["precision"] for row in rows] == pytest.approx(precision)
    assert all(row["low"] < row["average_precision"] < row["high"] for row in rows)
    assert all(
        row["sensitivity_low"] < row["sensitivity"] < row["sensitivity_high"] for row in rows
    )


def test_a_label_without_items_counts_in_no_mean():
    found = answers(60, 3)
    probs, truth, said = (np.column_stack([part, np.zeros(60)]) for part in found)
    without = Answers(probs, truth > 0, said > 0)
    one, more = (
        multilabel.scores(each, "abcd"[: each.truth.shape[1]])[0] for each in (found, without)
    )
    for name in ("average_precision", "f1", "sensitivity"):
        assert more[name].value == one[name].value
    row = multilabel.per_class(without, "abcd")[3]
    assert (row["support"], row["average_precision"], row["f1"], row["sensitivity"]) == (
        0,
        None,
        None,
        None,
    )
    assert row["specificity"] == 1.0


def test_a_rare_label_takes_the_intervals_of_the_means():
    found = answers(60, 2)
    truth = found.truth.copy()
    truth[:, 0] = np.arange(60) < 4
    scores, notes = multilabel.scores(found._replace(truth=truth), ["rare", "common"])
    assert not scores["average_precision"].known
    assert scores["subset_accuracy"].known
    (note,) = notes
    assert note.startswith(
        "no interval for average_precision, f1, sensitivity, specificity: 1 of 2"
    )
    assert note.endswith("are in, or lacking in, fewer than 5 items (rare)")
    assert multilabel.scores(answers(4, 2), "ab")[1] == ["no intervals: 4 items, fewer than 5"]
