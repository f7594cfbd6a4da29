"""Classes that are far from equally frequent."""

import numpy as np
import pytest

import striate
from striate.metrics.classify import score, uneven
from striate.tasks.classify import Labelled


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([10, 10], False), ([30, 10], False), ([31, 10], True), ([31, 0, 30], False), ([5], False), ([], False)],
)  # fmt: skip
def test_which_are(counts, expected):
    assert uneven(counts) is expected


def answers(truth, said, classes=3):
    probs = np.full((len(truth), classes), 0.1, np.float32)
    probs[np.arange(len(truth)), said] = 0.8
    return probs / probs.sum(1, keepdims=True)


def test_the_constant_answer_is_named_beside_the_scores():
    truth = np.repeat([0, 1], [90, 10])
    found = score(answers(truth, 0 * truth), truth, classes=["a", "b", "c"])
    assert found.notes[-1] == (
        "classes are uneven: always answering a would have accuracy 90.0\xa0% and balanced accuracy 50.0\xa0%; "
        "class_weights=balanced weighs them alike in training"
    )
    assert "always answering a" in found.as_text()
    even = np.repeat([0, 1], [50, 50])
    assert not any("uneven" in note for note in score(answers(even, even), even, classes=["a", "b", "c"]).notes)  # fmt: skip


def test_balanced_accuracy_chooses_where_they_are_uneven():
    truth = np.repeat([0, 1, 2], [8, 1, 1])
    said = np.repeat([0, 1], [9, 1])  # all of class 0, none of the others
    plain, balanced = (Labelled("abc", uneven=each) for each in (False, True))
    for meter in (plain, balanced):
        meter.add(answers(truth, said), truth)
    assert plain.merit == pytest.approx(0.8)
    assert balanced.merit == pytest.approx(1 / 3)
    assert list(balanced.values()) == ["loss", "balanced_accuracy", "accuracy"]
    assert list(plain.values()) == ["loss", "accuracy"]


def test_a_run_says_so(shapes, tmp_path):
    import shutil

    few = shutil.copytree(shapes, tmp_path / "few")
    for i in range(5, 30):
        (few / "bar" / f"{i:02d}.png").unlink()
    run = striate.train(few, "linear", out=tmp_path, epochs=1, plan="default", health=0)
    assert "val_balanced_accuracy" in run.history()[0]
    assert "always answering" in str(run.as_text())
    assert any("always answering" in note for note in run.summary["notes"])
