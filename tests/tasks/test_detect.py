"""The confidence from which on boxes are given: chosen on validation pictures, or said; kept in the run, used by all that answers."""

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate.errors import RecipeError, UsageError
from striate.runs import Run
from striate.runs.predictions import Folder, Prediction
from striate.tasks import named

SETTINGS: dict[str, Any] = {
    "net": "yolo_grid", "backbone": "resnet20_cifar", "size": 64, "width": 0.5, "epochs": 10, "batch": 8,
    "lr": 0.004, "plan": "default", "augment": "none", "health": 0, "optimizer": "adamw",
}  # fmt: skip


def write(root, count=60, splits=()):
    """Squares on noise, one or two a picture: COCO's JSON, of all pictures or a file for each of these splits."""
    rng = np.random.default_rng(0)
    for split in splits or ("",):
        folder = root / "images" / split
        folder.mkdir(parents=True)
        images, annotations = [], []
        for i in range(count):
            picture = rng.integers(0, 90, (64, 64, 3), dtype=np.uint8)
            for k in range(1 + i % 2):
                x, y = (int(n) for n in rng.integers((2, 2 + 30 * k), (46, 16 + 30 * k)))
                picture[y : y + 16, x : x + 16] = 220
                annotations.append(
                    {"id": len(annotations), "image_id": i, "category_id": 1, "bbox": [x, y, 16, 16], "iscrowd": 0, "area": 256}
                )  # fmt: skip
            Image.fromarray(picture).save(folder / f"{i:02d}.png")
            images.append({"id": i, "file_name": f"{i:02d}.png", "height": 64, "width": 64})
        whole = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "square"}]}  # fmt: skip
        place = root / "annotations" / f"instances_{split}.json" if split else root / "annotations.json"  # fmt: skip
        place.parent.mkdir(exist_ok=True)
        place.write_text(json.dumps(whole))
    return root


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="module")
def runs(squares, tmp_path_factory):
    """A training that chooses it, and one that is given a high one."""
    out = tmp_path_factory.mktemp("runs")
    said: dict[str, dict[str, Any]] = {"plain": {}, "given": {"threshold": 0.9}}
    return {
        name: striate.train(squares, out=out, name=name, **SETTINGS, **more)
        for name, more in said.items()
    }


def test_it_is_chosen_recorded_and_used(squares, runs, capsys):
    run = runs["plain"]
    kept = json.loads((run.path / "config.json").read_text())["task_settings"]["threshold"]
    assert 0.25 < kept < 0.9  # at 0.25 there are boxes beside those that are there
    assert Run.load(run.path).task.config() == run.task.config()
    found = run.evaluate()
    assert found.scores["map50"].value > 0.9
    assert f"boxes are counted from a confidence of {kept:.3g} on" in found.notes
    assert (
        f"from a confidence of {100 * kept:.3g}\xa0% on" in (run.path / "report.html").read_text()
    )
    answers = [each.as_dict()["boxes"] for each in run.predict(squares / "images")]
    assert min(box["confidence"] for boxes in answers for box in boxes) >= kept
    more = [each.as_dict()["boxes"] for each in run.predict(squares / "images", conf=0.001)]
    assert sum(map(len, more)) > sum(map(len, answers))


def test_one_that_is_given_stays_and_moves_counts_alone(runs):
    plain, given = (runs[name].evaluate() for name in ("plain", "given"))
    assert runs["given"].task.config()["threshold"] == 0.9
    assert (
        given.scores["map"] == plain.scores["map"]
    )  # the same training: average precision reads all boxes
    assert given.scores["count_mae"].value > plain.scores["count_mae"].value


def test_a_run_from_before_it_was_chosen_gives_boxes_from_a_quarter_on(runs, tmp_path):
    settings = {"loss": "grid", "boxes": 2}
    old = type(runs["plain"].task).restored(("square",), settings)
    assert old.config() == {**settings, "threshold": 0.25}


def test_test_pictures_choose_nothing(tmp_path):
    folder = write(tmp_path / "data", 16, ("train", "test"))
    short: dict[str, Any] = {**SETTINGS, "epochs": 1, "out": tmp_path}
    assert striate.train(folder, name="plain", **short).task.config()["threshold"] == 0.25
    with pytest.raises(RecipeError, match="threshold=auto is chosen on validation items"):
        striate.train(folder, name="auto", threshold="auto", **short)


@pytest.mark.parametrize(
    ("form", "file"),
    [("csv", "predictions.csv"), ("yolo", "classes.txt"), ("yolo", "labels/00.txt"), ("coco", "coco.json")],
)  # fmt: skip
def test_a_full_disk_is_one_line_in_every_format(tmp_path, form, file):
    task = named("detect").restored(("square",), {"loss": "yolo", "boxes": 2, "threshold": 0.25})
    out = Folder(tmp_path, [], {})
    box = {"label": "square", "confidence": 0.5, "box": [0, 0, 16, 16]}
    out.note(Prediction("00.png", {"boxes": [box], "size": [64, 64]}))
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).symlink_to("/dev/full")
    with pytest.raises(UsageError, match=r"cannot be written \(No space left on device\); mend"):
        out.export(task, form)
    (tmp_path / file).unlink()
    out.export(task, form)
    assert "square" in (tmp_path / file).read_text() or file.startswith("labels")


def test_pictures_of_one_name_keep_a_file_each(tmp_path):
    task = named("detect").restored(("square",), {"loss": "yolo", "boxes": 2})
    out = Folder(tmp_path, [], {})
    for k, file in enumerate(("a/x.png", "b/x.png", "y.png"), 1):
        box = {"label": "square", "confidence": 0.5, "box": [0, 0, 16 * k, 16]}
        out.note(Prediction(file, {"boxes": [box], "size": [64, 64]}))
    out.export(task, "yolo")
    widths = {path.stem: path.read_text().split()[3] for path in (tmp_path / "labels").iterdir()}
    assert widths == {"a_x": "0.250000", "b_x": "0.500000", "y": "0.750000"}
