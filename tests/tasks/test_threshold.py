"""`threshold=` between two classes: given, or chosen on validation items; kept in the run, and used by all that answers."""

import csv
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate.errors import RecipeError
from striate.runs import Run
from striate.tasks.classify import Classify
from striate.tasks.detect import Detect
from striate.tasks.instances import Instances
from striate.tasks.multilabel import Multilabel

SETTINGS: dict[str, Any] = {
    "net": "linear", "size": 8, "epochs": 4, "batch": 16, "lr": 0.02, "plan": "default", "augment": "none",
    "health": 0, "optimizer": "adamw",
}  # fmt: skip


@pytest.fixture(scope="module")
def rare(tmp_path_factory):
    """Noise, an eighth of it a little brighter, so that the likelier class is nearly always the darker one."""
    root = tmp_path_factory.mktemp("rare")
    rng = np.random.default_rng(0)
    for i in range(240):
        bright = i % 8 == 0
        pixels = rng.normal(100 + 5 * bright, 30, (8, 8)).clip(0, 255).astype(np.uint8)
        folder = root / ("a_dark", "b_bright")[bright]
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{i:03d}.png")
    return root


@pytest.fixture(scope="module")
def runs(rare, tmp_path_factory):
    """A training without a threshold, with one that is chosen, and with one that is given."""
    out = tmp_path_factory.mktemp("runs")
    asked: dict[str, dict[str, Any]] = {
        "plain": {},
        "auto": {"threshold": "auto"},
        "given": {"threshold": 0.05},
    }
    return {
        name: striate.train(rare, out=out, name=name, **SETTINGS, **more)
        for name, more in asked.items()
    }


def test_it_is_chosen_recorded_and_used(rare, runs):
    plain, auto = runs["plain"], runs["auto"]
    kept = json.loads((auto.path / "config.json").read_text())["task_settings"]["threshold"]
    assert 0 < kept < 0.5
    one, other = (run.evaluate().scores for run in (plain, auto))
    assert other["balanced_accuracy"].value > one["balanced_accuracy"].value
    assert other["sensitivity"].value > one["sensitivity"].value
    assert other["average_precision"] == one["average_precision"]  # no threshold changes the order
    assert (
        "threshold" not in (plain.path / "config.json").read_text().split('"task_settings"')[1][:40]
    )
    page = (auto.path / "report.html").read_text()
    assert f"from a probability of {kept:.3g} on" in page
    said = f"b_bright is answered from a probability of {kept:.3g} on"
    assert said in Run.load(auto.path).evaluate().notes
    with (auto.path / "items.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    sure = [float(row["confidence"]) for row in rows if row["answer"] == "b_bright"]
    assert sure
    assert min(sure) >= kept
    found = [each.as_dict() for each in auto.predict(rare / "b_bright")]
    between = [one for one in found if one["label"] == "b_bright" and one["confidence"] < 0.5]
    assert between
    assert all(one["top"][0] == [one["label"], one["confidence"]] for one in found)


def test_one_that_is_given_stays(runs):
    run = runs["given"]
    assert Run.load(run.path).task.config() == {"threshold": 0.05}
    assert run.evaluate().scores["sensitivity"].value == 1
    assert run.evaluate().scores["accuracy"].value < 0.5
    page = (run.path / "report.html").read_text()
    assert "from a probability of 0.05 on" in page


def test_answers_of_a_row_the_meter_and_the_prediction_agree(runs):
    task = Run.load(runs["given"].path).task
    assert isinstance(task, Classify)
    probs = np.array([[0.96, 0.04], [0.94, 0.06]], np.float32)
    meter = task.meter()
    meter.add(probs, [0, 0])
    assert meter.answer.tolist() == [0, 1]
    assert [task.item_scores(p, 0)["accuracy"] for p in probs] == [1, 0]
    assert [task.answer(p)["label"] for p in probs] == ["a_dark", "b_bright"]
    assert task.line(task.answer(probs[1])).startswith("b_bright 6.0")
    other = task.meter()
    other.merge(meter.state())
    assert other.answer.tolist() == [0, 1]
    assert other.notes()[-1] == "each part is answered by the threshold of its own run"


def test_where_there_is_nothing_to_choose_it_is_refused(rare, shapes, tmp_path):
    with pytest.raises(RecipeError, match="it lies between two classes, these data have 3"):
        striate.train(shapes, out=tmp_path, threshold="auto", **SETTINGS)
    test = tmp_path / "split"
    for split in ("train", "test"):
        (test / split).mkdir(parents=True)
        for label in ("a_dark", "b_bright"):
            (test / split / label).mkdir()
            for k, path in enumerate(sorted((rare / label).glob("*.png"))[:20]):
                if (k % 2 == 0) == (split == "train"):
                    (test / split / label / path.name).write_bytes(path.read_bytes())
    with pytest.raises(RecipeError, match="hold out test items alone, which choose nothing: val="):
        striate.train(test, out=tmp_path, threshold="auto", **SETTINGS)
    striate.train(test, out=tmp_path, name="fixed", threshold=0.3, **SETTINGS)


@pytest.mark.parametrize("value", ["0", "1", "1.5", "often"])
def test_values_out_of_range(rare, tmp_path, value):
    with pytest.raises(RecipeError, match=r"^threshold="):
        striate.train(rare, out=tmp_path, threshold=value, **SETTINGS)


@pytest.mark.parametrize(
    ("task", "answers", "truths", "said"),
    [
        (
            Classify(("a", "b"), auto=True),
            np.full((8, 2), 0.5),
            np.array([0] * 7 + [1]),
            "threshold=0.5: 8 validation items have too few of a class to choose another",
        ),
        (
            Multilabel(("a", "b"), limits=(0.5, 0.5), auto=True),
            np.linspace(0.1, 0.9, 24).reshape(12, 2),
            np.stack([np.arange(12) > 5, np.arange(12) > 10], 1),
            "; 0.5 where too few have the label, or lack it: b;",
        ),
        (Detect(("a",), auto=True), [], [], "0.25 on, for too few are found in 0 validation pictures to choose by"),
        (Instances(auto=True), [], [], "0 on, for too few are found in 0 validation pictures to choose by"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)  # fmt: skip
def test_that_nothing_can_be_chosen_is_said(task, answers, truths, said):
    meter = task.meter()
    meter.add(answers, truths)
    settled, line = task.settled_by(meter)
    assert said in line
    assert not settled.unsettled
