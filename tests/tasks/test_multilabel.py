"""Several labels an item: of pictures, with a net of the user's own, weights, thresholds, and other data."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate.errors import DataError, RecipeError, ShapeError, UsageError
from striate.runs import Run
from striate.tasks.multilabel import Multilabel

SETTINGS: dict[str, Any] = {
    "size": 12, "epochs": 40, "batch": 16, "lr": 0.02, "plan": "default", "augment": "none", "health": 0,
    "optimizer": "adamw",
}  # fmt: skip


def settings(**more: Any) -> dict[str, Any]:
    """Those of a short training, with some changed."""
    return {**SETTINGS, **more}


CORNERS = ("left", "right", "below")


def column(path: Path, name: str) -> list[str]:
    with path.open(newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def picture(which: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    pixels = rng.integers(0, 60, (12, 12), dtype=np.uint8)
    for there, (y, x) in zip(which, ((0, 0), (0, 7), (7, 3)), strict=True):
        pixels[y : y + 5, x : x + 5] += 180 * there
    return pixels


def write(root: Path, count: int, *, kept: int = 3, seed: int = 0) -> Path:
    """Pictures with bright squares at up to three places, and a column of zeros and ones for each."""
    rng = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True)
    lines = [f"file,{','.join(CORNERS[:kept])}"]
    for i in range(count):
        which = (rng.random(3) < (0.5, 0.3, 0.2)).astype(np.uint8)
        which[kept:] = 0
        Image.fromarray(picture(which, rng)).save(root / "images" / f"{i:03d}.png")
        lines.append(f"images/{i:03d}.png,{','.join(str(k) for k in which[:kept])}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return write(tmp_path_factory.mktemp("places") / "data", 160)


@pytest.fixture(scope="module")
def run(places, tmp_path_factory):
    return striate.train(places, net="linear", out=tmp_path_factory.mktemp("runs"), **SETTINGS)


def test_labels_are_learned_and_thresholds_kept(run, places):
    config = json.loads((run.path / "config.json").read_text())
    assert (config["task"], config["classes"]) == ("multilabel", list(CORNERS))
    assert len(config["task_settings"]["thresholds"]) == 3
    scores = run.evaluate()
    assert list(scores.scores) == [
        "average_precision", "f1", "sensitivity", "specificity", "subset_accuracy", "loss",
    ]  # fmt: skip
    assert scores.scores["average_precision"].value > 0.95
    assert all(one.known for one in scores.scores.values())
    assert [row["label"] for row in scores.per_class] == list(CORNERS)
    rng = np.random.default_rng(9)
    path = places.parent / "new.png"
    Image.fromarray(picture(np.array([1, 0, 1], np.uint8), rng)).save(path)
    (found,) = run.predict(path)
    assert sorted(label for label, _ in found.as_dict()["labels"]) == ["below", "left"]
    (none,) = run.predict(path, conf=1.0)
    assert (none.as_dict()["labels"], none.words) == ([], "none of the labels")
    (every,) = run.predict(path, top=3)
    assert len(every.as_dict()["labels"]) == 3
    with pytest.raises(UsageError, match=r"--conf 2: expected a number from 0 to 1"):
        run.predict(path, conf=2)
    page = (run.path / "report.html").read_text()
    assert "Label by label" in page
    assert "Labels ranked at random would have about" in page
    for limit in config["task_settings"]["thresholds"]:
        assert f">{limit:.3g}</td>" in page
    wrong = sum(row == "0" for row in column(run.path / "items.csv", "subset_accuracy"))
    assert (f"of {wrong} held-out pictures with a wrong label" in page) == (wrong > 0)


def test_a_table_of_predictions_is_read_as_data(run, places, tmp_path):
    out = tmp_path / "out"
    run.predict(places / "images", out=out, format="csv")
    head, *rows = (out / "predictions.csv").read_text().splitlines()
    assert head == "file,labels,confidences"
    table = [f"{Path(row.split(',')[0]).name},{row.split(',')[1]}" for row in rows]
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (places / "images").glob("*.png"):
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "labels.csv").write_text("\n".join(["file,labels", *table]) + "\n")
    again = striate.open(copy)
    assert (again.task, set(again.classes)) == ("multilabel", set(CORNERS))


def test_other_data_with_fewer_labels_are_scored_by_those(run, tmp_path):
    fewer = write(tmp_path / "fewer", 60, kept=2, seed=5)
    scores = Run.load(run.path).evaluate(fewer)
    assert scores.items == 60
    assert [row["support"] > 0 for row in scores.per_class] == [True, True, False]
    assert scores.per_class[2]["average_precision"] is None
    with pytest.raises(DataError, match=r"holds items with one label each, "):
        Run.load(run.path).evaluate("digits")


def test_a_net_of_the_users_own(places, tmp_path):
    net = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))
    done = striate.train(places, net, out=tmp_path, **settings(epochs=8))
    assert done.evaluate().scores["average_precision"].value > 0.8
    again = Run.load(done.path, net=nn.Sequential(nn.Flatten(), nn.Linear(144, 3)))
    assert again.evaluate().as_dict() == done.evaluate().as_dict()
    with pytest.raises(ShapeError, match="a score for each of the 3 labels, before any sigmoid"):
        done.task.check_answer(torch.zeros(2, 4), torch.zeros(2, 1, 12, 12))


def test_a_linear_probe_and_mixed_items(places, run, tmp_path):
    more: dict[str, Any] = {**SETTINGS, "epochs": 2}
    striate.train(places, net="linear", out=tmp_path, linear_probe="first", **more)
    mixed: dict[str, Any] = {**more, "augment": "mixup"}
    striate.train(places, net="linear", out=tmp_path, weights=str(run.path), **mixed)


def test_loss_weights_and_smoothing():
    answer = torch.tensor([[0.0, 2.0]])
    target = torch.tensor([[1.0, 0.0]])
    plain, _ = Multilabel(("a", "b")).criterion(answer, target)
    assert plain.item() == pytest.approx((np.log(2) + np.log1p(np.exp(2))) / 2)
    weighed, _ = Multilabel(("a", "b"), class_weights=(3.0, 1.0)).criterion(answer, target)
    assert weighed.item() == pytest.approx((3 * np.log(2) + np.log1p(np.exp(2))) / 2)
    terms = Multilabel(("a", "b"), spelled="0.5*bce+0.1*l2", class_weights=(3.0, 1.0))
    summed, parts = terms.criterion(answer, target)
    assert parts["bce"].item() == pytest.approx(0.5 * weighed.item())
    assert summed.item() == pytest.approx(0.5 * weighed.item() + 0.1 * (1 + 4) / 2)
    smooth, _ = Multilabel(("a", "b"), smoothing=0.2).criterion(answer, target)
    assert smooth.item() == pytest.approx(plain.item() - 0.1 * 2 / 2)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"loss": "cross_entropy"}, "items with several labels each need bce"),
        ({"sampling": "balanced"}, "have no single class each"),
        ({"net": "allcnn_cifar"}, "these data are to multilabel"),
        ({"net": "unet_same"}, "these data are to multilabel"),
    ],
)
def test_what_cannot_be_learned_is_refused(places, tmp_path, more, message):
    with pytest.raises((RecipeError, UsageError), match=message):
        striate.train(places, out=tmp_path, **settings(**{"net": "linear", **more}))


def test_without_validation_items_the_thresholds_are_halves(places, tmp_path, capsys):
    text = (places / "labels.csv").read_text().splitlines()
    copy = tmp_path / "copy"
    (copy / "images").mkdir(parents=True)
    for path in (places / "images").glob("*.png"):
        (copy / "images" / path.name).write_bytes(path.read_bytes())
    rows = [f"{row},{'test' if k % 4 == 0 else 'train'}" for k, row in enumerate(text[1:])]
    (copy / "labels.csv").write_text("\n".join([f"{text[0]},split", *rows]) + "\n")
    done = striate.train(copy, net="linear", out=tmp_path, **settings(epochs=2))
    assert done.task.config() == {"thresholds": [0.5, 0.5, 0.5]}
    lines = (copy / "labels.csv").read_text().splitlines()
    cells = [line.split(",") for line in lines[1:]]
    only = [",".join([*c[:3], str(int(c[4] == "test")), c[4]]) for c in cells]
    (copy / "labels.csv").write_text("\n".join([lines[0], *only]) + "\n")
    capsys.readouterr()
    striate.train(copy, net="linear", out=tmp_path, name="alone", **settings(epochs=1))
    assert (
        "note: train has no item of below: it cannot be learned, and what is said of it means nothing"
        in capsys.readouterr().err
    )
    (copy / "labels.csv").write_text("\n".join(lines) + "\n")
    assert "labels are said from these probabilities on: 0.5" in done.evaluate().notes
    with pytest.raises(RecipeError, match="which choose nothing"):
        striate.train(copy, net="linear", out=tmp_path, threshold="auto", **SETTINGS)


def test_balanced_labels_weigh_as_much_with_as_without(places, tmp_path):
    more: dict[str, Any] = {**SETTINGS, "epochs": 1, "class_weights": "balanced", "threshold": 0.4}
    done = striate.train(places, net="linear", out=tmp_path, **more)
    assert done.task.config() == {"thresholds": [0.4] * 3}
    page = (done.path / "report.html").read_text()
    assert "weight in the loss" in page


@pytest.mark.parametrize(("low", "high"), [(1e-9, 2e-7), (0.9999991, 0.9999997)])
def test_a_threshold_near_the_ends_parts_the_items(low, high):
    task = Multilabel(("a",), limits=(0.5,), auto=True)
    meter = task.meter()
    truth = np.repeat([0, 1], 15).astype(np.uint8)[:, None]
    meter.add(np.where(truth, high, low).astype(np.float32), truth)
    settled, _ = task.settled_by(meter)
    assert (np.array([low, high], np.float32) >= settled.limits[0]).tolist() == [False, True]
