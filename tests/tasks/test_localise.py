"""A label and a box: the four numbers and back, losses, scores against the constant answer, files and other data."""

import json
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate import data
from striate.data.targets import Objects
from striate.errors import DataError, RecipeError
from striate.runs import Run
from striate.tasks.localise import Localise, Located, corners, middles
from tasks.conftest import SIDE, write_boxes, write_one_box

SETTINGS: dict[str, Any] = {
    "size": SIDE, "epochs": 30, "batch": 8, "plan": "default", "augment": "none", "health": 0, "optimizer": "adamw",
    "lr": 0.003,
}  # fmt: skip


def settings(**more: Any) -> dict[str, Any]:
    """Those of a short training, with some changed."""
    return {**SETTINGS, **more}


def truth(box, label=0) -> Objects:
    return Objects(np.array([box], np.float32), np.array([label]), np.array([False]))


def test_a_target_comes_back_as_the_box_that_it_was():
    task = Localise(("a", "b"), (0.4, 0.5, 0.3, 0.2), (0.1, 0.2, 0.05, 0.1))
    box = np.array([0.1, 0.2, 0.5, 0.6])
    numbers = (middles(box) - np.array(task.mean)) / np.array(task.std)
    outputs = torch.tensor([[0.0, 3.0, *numbers]])
    (found,) = task.decode(outputs, [(100, 200)])
    assert found.box.tolist() == pytest.approx([20, 20, 100, 60], abs=1e-3)
    assert found.probs.argmax() == 1
    target = torch.tensor([[[1.0, *box]]])
    loss, parts = task.criterion(outputs, target)
    assert parts["box"].item() == pytest.approx(0, abs=1e-8)
    assert loss.item() == pytest.approx(parts["label"].item())
    assert task.item_scores(found, truth([20, 20, 100, 60], 1)) == pytest.approx(
        {"accuracy": 1, "iou": 1, "accuracy_iou50": 1}
    )


def test_a_box_that_left_the_view_is_not_learned():
    task = Localise(("a", "b"))
    outputs = torch.randn(2, 6, requires_grad=True)
    gone = torch.full((2, 1, 5), -1.0)
    loss, _ = task.criterion(outputs, gone)
    loss.backward()
    assert outputs.grad is not None
    assert (loss.item(), outputs.grad.abs().sum().item()) == (0, 0)
    one = gone.clone()
    one[0, 0] = torch.tensor([1.0, 0.2, 0.2, 0.6, 0.6])
    assert task.criterion(outputs, one)[0].item() == pytest.approx(
        task.criterion(outputs[:1], one[:1])[0].item()
    )
    sure = torch.tensor([[0.0, 9.0, 0, 0, 0, 0]] * 2)
    assert task.counts(sure, one)["accuracy"] == 2  # of two items, as the one that is there
    assert task.counts(-sure, one)["accuracy"] == 0


def test_sizes_below_zero_are_no_box():
    assert corners(np.array([0.5, 0.5, -0.2, 0.4])).tolist() == pytest.approx([0.5, 0.3, 0.5, 0.7])
    task = Localise(("a",))
    none = Located(np.ones(1, np.float32), np.zeros(4, np.float32), (9, 9))
    assert task.item_scores(none, truth([1, 1, 5, 5]))["iou"] == 0


def test_scores_of_the_meter_and_of_the_constant_answer():
    task = Localise(("a", "b"), (0.5, 0.5, 0.5, 0.5))
    meter = task.meter()
    rng = np.random.default_rng(0)
    for i in range(40):
        box = np.array([5, 5, 15, 15], np.float32) + rng.integers(-3, 4)
        probs = np.array([0.9, 0.1], np.float32)[:: 1 if i % 4 else -1]
        meter.add([Located(probs, box + 1, (20, 20))], [truth(box, 0)])
    found = meter.scores()
    assert list(found) == ["accuracy_iou50", "accuracy", "balanced_accuracy", "iou"]
    assert found["accuracy"].value == found["accuracy_iou50"].value == 0.75
    assert found["iou"].value == pytest.approx(81 / 119)
    (said,) = [note for note in meter.notes() if note.startswith("Always")]
    assert "accuracy 100.0" in said
    other = task.meter()
    other.merge(meter.state())
    assert other.scores() == found
    assert meter.merit == pytest.approx((0.75 + 81 / 119) / 2)
    row = meter.per_class()[0]
    assert (row["support"], row["recall"], row["iou"]) == (40, 0.75, pytest.approx(81 / 119))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_one_box(tmp_path_factory.mktemp("one") / "data")


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    return striate.train(folder, net="lenet5", out=out, class_weights="balanced", **SETTINGS)


def test_a_label_and_a_box_are_learned_and_drawn(run, folder, tmp_path):
    config = json.loads((run.path / "config.json").read_text())
    assert (config["task"], config["net"]["num_classes"]) == ("localise", 6)
    scores = run.evaluate().as_dict()["scores"]
    assert {"accuracy", "balanced_accuracy", "iou", "accuracy_iou50"} <= set(scores)
    out = tmp_path / "out"
    found = run.predict(sorted((folder / "images").glob("*.png")), out=out, format="csv")
    task = Run.load(run.path).task
    opened = data.open(folder)
    overlaps = []
    for split in opened.splits.values():
        for i, name in enumerate(split.names):
            answer = next(each.as_dict() for each in found if each.file.endswith(name))
            one = Located(np.ones(2, np.float32), np.array(answer["box"], np.float32), (SIDE, SIDE))
            overlaps.append(task.item_scores(one, split.targets.truth(i))["iou"])
    assert np.mean(overlaps) > 0.45  # the mean box has under 0.3
    assert found[0].as_dict()["overlay"]
    overlay = np.asarray(Image.open(found[0].as_dict()["overlay"]))
    assert overlay.shape[0] >= 240
    head = (out / "predictions.csv").read_text().splitlines()[0]
    assert head == "file,label,confidence,x0,y0,x1,y1"
    page = (run.path / "report.html").read_text()
    assert "Green is the true box, orange the answer" in page
    assert "Always answering" in page


def test_boxes_of_another_scale_are_taken_over(run, folder, tmp_path):
    """A head goes on answering the same boxes where the classes stand in another order and boxes have another mean."""
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    lines = (other / "boxes.csv").read_text().splitlines()
    (other / "boxes.csv").write_text("\n".join([lines[0], *lines[3:]]) + "\n")
    more: dict[str, Any] = {**SETTINGS, "epochs": 1, "lr": 1e-9}
    done = striate.train(other, net="lenet5", out=tmp_path, weights=str(run.path), **more)
    assert done.task.config()["mean"] != run.task.config()["mean"]
    some = sorted((folder / "images").glob("*.png"))[:5]
    for one, two in zip(run.predict(some), done.predict(some), strict=True):
        assert one.as_dict()["box"] == pytest.approx(two.as_dict()["box"], abs=0.2)


def test_a_net_of_the_users_own(folder, tmp_path):
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 6))
    done = striate.train(folder, net, out=tmp_path, **settings(epochs=2))
    again = Run.load(done.path, net=nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 6)))
    assert again.evaluate().as_dict() == done.evaluate().as_dict()


def test_pictures_with_objects_of_several_classes_are_no_data_of_it(run, tmp_path):
    many = write_boxes(tmp_path / "coco")
    content = json.loads((many / "annotations.json").read_text())
    content["annotations"] += [
        {**row, "id": 1000 + k, "bbox": [1, 1, 9, 9], "category_id": 3 - row["category_id"]}
        for k, row in enumerate(content["annotations"])
    ]
    (many / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"holds items with boxes, "):
        Run.load(run.path).evaluate(many, leaks="keep")
    with pytest.raises(
        DataError, match="24 of 24 pictures have no object or objects of several classes"
    ):
        striate.train(many, net="lenet5", out=tmp_path, task="localise", **SETTINGS)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"loss": "huber"}, "a label and a box need a loss each"),
        ({"loss": "cross_entropy"}, "a label and a box need a loss each"),
        ({"loss": "dice"}, "pictures with a label and a box each need"),
        (
            {"threshold": 0.3},
            "threshold=0.3: pictures with a label and a box each are not answered",
        ),
        ({"augment": "mixup"}, "mixed"),
        ({"crop": 16}, "crop: a box is learned by its place in the whole picture"),
    ],
)
def test_what_cannot_be_learned_is_refused(folder, tmp_path, more, message):
    with pytest.raises(RecipeError, match=message):
        striate.train(folder, out=tmp_path, **settings(**{"net": "lenet5", "epochs": 1, **more}))


def test_a_label_in_the_test_split_alone_is_said(folder, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    head, *rows = (other / "boxes.csv").read_text().splitlines()
    rows = [f"{row},{'train' if k < 18 else 'test'}" for k, row in enumerate(rows)]
    rows[-1] = rows[-1].replace("lying", "zebra")
    (other / "boxes.csv").write_text("\n".join([f"{head},split", *rows]) + "\n")
    done = striate.train(other, net="lenet5", out=tmp_path, **settings(epochs=1))
    said = capsys.readouterr().err
    assert "note: train has no item of zebra: it cannot be learned, and every answer to its" in said
    assert done.evaluate().per_class[2]["support"] == 1


def test_losses_are_weighed_as_they_are_spelled(folder, tmp_path):
    more: dict[str, Any] = {**SETTINGS, "epochs": 1, "loss": "focal+3*l1"}
    done = striate.train(folder, net="lenet5", out=tmp_path, **more)
    assert {"train_label", "train_box"} <= set(done.history()[0])
