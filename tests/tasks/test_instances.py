"""Objects from three classes of pixels: nothing of an object is lost, neighbours stay apart."""

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data.instances import learned
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
