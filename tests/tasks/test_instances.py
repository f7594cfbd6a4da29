"""Objects from three classes of pixels: nothing of an object is lost, neighbours stay apart."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.data.instances import learned
from striate.errors import UsageError
from striate.metrics.instances import InstanceMeter, item_scores
from striate.tasks.instances import Found, Instances, parted

SHARP = 20.0  # the score of the true class where all others have 0


def ids() -> np.ndarray:
    """Two objects that touch, one by itself, one too small to have an inside."""
    found = np.zeros((32, 40), np.int32)
    found[4:11, 4:11], found[4:11, 11:18], found[20:25, 20:25], found[20:22, 30:32] = 1, 2, 3, 4
    return found


def scores(target: np.ndarray) -> torch.Tensor:
    """What a net that knows the classes of the pixels answers, [1, 3, H, W]."""
    known = torch.from_numpy(target[..., 0].astype(np.int64))
    return SHARP * torch.nn.functional.one_hot(known, 3).permute(2, 0, 1)[None].float()


def test_right_classes_give_the_objects_back_whole():
    target = learned(ids())
    task = Instances()
    (found,) = task.decode(scores(target), [(32, 40)])
    meter = InstanceMeter()
    meter.add(found.ids, found.scores, ids())
    found_scores = meter.values()
    assert (found_scores["ap"], found_scores["count_mae"]) == (1, 0)
    assert found_scores["rand"] > 0.95  # the line between two that touch may be a pixel off
    kept = [int((found.ids[ids() == k] > 0).sum()) for k in (1, 2, 3, 4)]
    assert kept == [49, 49, 25, 4]
    assert item_scores(task.truth(target), ids())["f1"] == 1


def test_what_has_no_inside_is_an_object_of_its_own():
    there = np.zeros((64, 64), bool)
    there[::2, ::2] = True
    found = parted(np.zeros_like(there), there, np.ones(there.shape, np.float32))
    assert len(np.unique(found)) == 1 + there.sum()
    assert (found > 0).tolist() == there.tolist()


@pytest.mark.parametrize(("most", "name"), [(65_535, "a_labels.png"), (70_000, "a_labels.tif")])
def test_every_object_keeps_its_number_in_the_file(most, name, tmp_path):
    numbers = np.arange(most + 1, dtype=np.int32)
    ids = np.pad(numbers, (0, -len(numbers) % 8)).reshape(8, -1)
    picture = np.zeros(ids.shape, np.uint8)[..., None]
    found = Found(ids, np.ones(most, np.float32))
    names = Instances().files("a", lambda: picture, found, tmp_path)
    assert names["labels"] == name
    assert np.array_equal(np.asarray(Image.open(tmp_path / name)), ids)


def test_what_is_unsure_is_in_no_answer(tmp_path):
    task = Instances(sure=0.5)
    found = Found(ids(), np.array([0.9, 0.4, 0.6, 0.3], np.float32))
    told = task.answer(found)
    assert [(one["id"], one["confidence"]) for one in told["instances"]] == [(1, 0.9), (2, 0.6)]
    assert told["count"] == 2
    picture = np.zeros((32, 40), np.uint8)[..., None]
    names = task.files("a", lambda: picture, found, tmp_path)
    saved = np.asarray(Image.open(tmp_path / names["labels"]))
    assert np.array_equal(saved, np.select([ids() == 1, ids() == 3], [1, 2]))
    assert np.array_equal(np.asarray(Image.open(tmp_path / names["overlay"])), task.draw(picture, saved))  # fmt: skip
    assert task.item_scores(found, ids())["count_error"] == -2
    assert task.tuned({"conf": 0.95}).answer(found)["count"] == 0
    assert task.tuned({}).answer(found) == told
    with pytest.raises(UsageError, match="--conf 2: expected a number from 0 to 1"):
        task.tuned({"conf": 2})
    with pytest.raises(UsageError, match="--iou: instances has no such setting"):
        task.tuned({"iou": 0.5})


def test_validation_pictures_choose_how_sure_an_object_is(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(24):
        truth = np.zeros((32, 32), np.uint8)
        for k, (y, x) in enumerate(((2, 2), (2, 18), (18, 2), (18, 18)), 1):
            high, wide = rng.integers(7, 12, 2)
            truth[y : y + high, x : x + wide] = k
        ghost = (truth == 4) & (i % 2 == 0)  # as if it were an object, but paler
        truth[ghost] = 0
        picture = np.select([ghost, truth > 0], [125, 150], 90) + rng.normal(0, 20, truth.shape)
        for folder, pixels in (("images", picture.clip(0, 255)), ("masks", truth)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / folder / f"{i:02d}.png")
    run = striate.train(
        tmp_path, out=tmp_path / "runs", task="instances", net="unet_same", width=0.0625, epochs=6, batch=6, lr=0.01,
        plan="default", augment="none", health=0, optimizer="adamw",
    )  # fmt: skip
    kept = json.loads((run.path / "config.json").read_text())["task_settings"]["threshold"]
    assert 0 < kept < 1
    assert f"objects are counted from a confidence of {kept:.3g} on" in run.evaluate().notes
    answers = [each.as_dict()["instances"] for each in run.predict(tmp_path / "images")]
    assert min(one["confidence"] for found in answers for one in found) >= round(kept, 4)
    every = [each.as_dict()["instances"] for each in run.predict(tmp_path / "images", conf=0)]
    assert sum(map(len, every)) > sum(map(len, answers))
    assert run.task.restored((), {"least": 3}).config() == {"least": 3, "threshold": 0}
