"""Scores of single objects, by hand."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from striate.errors import ShapeError
from striate.metrics.instances import InstanceMeter, item_scores, overlaps


def two() -> np.ndarray:
    """Two objects of 2 x 4 pixels in 6 x 6."""
    ids = np.zeros((6, 6), np.int32)
    ids[0:2, 0:4], ids[4:6, 1:5] = 7, 900
    return ids


def test_overlaps_by_hand():
    answer = np.zeros((6, 6), np.int32)
    answer[0:2, 0:2], answer[4:6, 1:6] = 1, 2
    iou, there = overlaps(answer, two())
    assert iou.tolist() == [[0.5, 0], [0, 0.8]]
    assert there.tolist() == [1, 2]
    assert overlaps(np.zeros((2, 2), int), np.ones((2, 2), int))[0].shape == (0, 1)


def test_the_same_objects_under_other_numbers_are_right():
    meter = InstanceMeter()
    other = np.where(two() == 7, 2, np.where(two() == 900, 1, 0))
    meter.add(other, np.array([0.9, 0.8]), two())
    found = meter.values()
    assert found == pytest.approx({"ap": 1, "ap50": 1, "rand": 1, "count_mae": 0})


def test_a_joined_and_a_missing_object():
    """Two objects joined: the pair overlaps each by a half at most, so neither is found; one count is off."""
    meter = InstanceMeter()
    joined = (two() > 0).astype(np.int32)
    meter.add(joined, np.array([1.0]), two())
    found = meter.values()
    assert found["count_mae"] == 1
    assert found["ap50"] == pytest.approx(0.5, abs=0.02)  # 8 of 16 pixels overlap by exactly half
    # pairs of the foreground: truth 64 + 64, answer 256, both 128: 128 / ((256 + 128) / 2)
    assert found["rand"] == pytest.approx(128 / 192)
    assert item_scores(joined, two())["count_error"] == -1
    assert item_scores(joined, two())["f1"] == pytest.approx(2 / 3)  # one pair, of 1 and 2 objects


def test_average_precision_is_that_of_detections():
    """A wrong object that is less sure costs nothing at recall 1; one that is surer halves precision."""
    truth = np.zeros((8, 8), np.int32)
    truth[0:4, 0:4] = 1
    answer = truth.copy()
    answer[5:8, 5:8] = 2
    for scores, ap in (((0.9, 0.1), 1.0), ((0.1, 0.9), 0.5)):
        meter = InstanceMeter()
        meter.add(answer, np.array(scores), truth)
        assert meter.values()["ap50"] == pytest.approx(ap)
        assert meter.values()["count_mae"] == 1


def test_pixels_that_count_nowhere_and_pictures_without_objects():
    truth = two()
    truth[4:6] = -1
    meter = InstanceMeter()
    answer = np.where(two() == 900, 2, (two() > 0).astype(np.int32))
    meter.add(answer, np.array([0.9, 0.8]), truth)
    meter.add(np.zeros((3, 3), np.int32), np.zeros(0), np.zeros((3, 3), np.int32))
    assert meter.values() == pytest.approx({"ap": 1, "ap50": 1, "rand": 1, "count_mae": 0})
    empty = item_scores(np.zeros((3, 3), int), np.zeros((3, 3), int))
    assert np.isnan(empty["f1"])
    assert np.isnan(empty["rand"])


def test_two_meters_are_one():
    rng = np.random.default_rng(0)
    whole, first, second = InstanceMeter(), InstanceMeter(), InstanceMeter()
    for k in range(8):
        truth = np.kron(rng.integers(0, 4, (4, 4)), np.ones((4, 4), int))
        answer = np.roll(truth, int(rng.integers(0, 2)), 0)
        scores = rng.random(int(answer.max()))
        for meter in (whole, first if k < 3 else second):
            meter.add(answer, scores, truth)
    first.merge(second.state())
    assert first.scores() == whole.scores()
    assert len(first) == 8


def test_wrong_sizes_are_refused():
    with pytest.raises(ShapeError, match="the answer is"):
        item_scores(np.zeros((2, 2), int), np.zeros((2, 3), int))
    with pytest.raises(ShapeError, match="confidences for 1 objects"):
        InstanceMeter().add(np.ones((2, 2), int), np.zeros(0), np.ones((2, 2), int))


def test_unsure_objects_count_in_average_precision_alone():
    truth = np.zeros((8, 8), np.int32)
    truth[0:4, 0:4], truth[0:4, 5:8] = 1, 2
    answer = truth.copy()
    answer[5:8, 5:8] = 3
    scores = np.array([0.9, 0.4, 0.3])
    every, some = InstanceMeter(), InstanceMeter(0.5)
    for meter in (every, some):
        meter.add(answer, scores, truth)
    assert every.values()["ap"] == some.values()["ap"] == 1
    assert every.values()["count_mae"] == 1  # one object too many, and now one too few
    assert some.values()["count_mae"] == 1
    assert (every.values()["rand"], some.values()["rand"] < 1) == (1, True)
    assert every.notes() == [note for note in some.notes() if "0.5" not in note]
    both = InstanceMeter(0.5)
    both.merge(every.state())
    both.merge(some.state())
    assert "objects of each part are counted from the confidence of its own run on" in both.notes()


def test_the_confidence_that_serves_best():
    meter = InstanceMeter()
    truth = np.zeros((8, 8), np.int32)
    truth[0:4, 0:4] = 1
    answer = truth.copy()
    answer[5:8, 5:8] = 2
    for _ in range(4):
        meter.add(answer, np.array([0.8, 0.6]), truth)
    assert meter.best_confidence(0.0) == 0  # four objects choose nothing
    meter.add(answer, np.array([0.8, 0.6]), truth)
    assert meter.best_confidence(0.0) == pytest.approx(0.7)


def rand(answer, truth):
    """The Rand score of two masks, whose objects are the parts that hang together over the sides of pixels."""
    labelled: list[Any] = [ndimage.label(mask) for mask in (answer, truth)]
    return item_scores(*(ids for ids, _ in labelled))["rand"]


def brute_rand(answer, truth):
    """Ordered pairs of true pixels, a pixel with itself included: in one object in both, in the answer, in truth."""
    places = list(zip(*np.nonzero(truth), strict=True))
    labels = [parts(answer), parts(truth)]
    both = ours = true = 0
    for p, q in itertools.product(places, places):
        a = p == q or (labels[0].get(p, p) == labels[0].get(q, q))
        t = labels[1][p] == labels[1][q]
        both, ours, true = both + (a and t), ours + a, true + t
    return both / ((ours + true) / 2)


def parts(mask):
    """Which object each pixel of a mask is in, by flooding."""
    found = {}
    for start in zip(*np.nonzero(mask), strict=True):
        ahead = [start]
        while ahead:
            y, x = ahead.pop()
            if (y, x) in found or not (0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]):
                continue
            if mask[y, x]:
                found[y, x] = ("object", start)
                ahead += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return found


@pytest.mark.parametrize("seed", range(5))
def test_rand_counts_pairs(seed):
    rng = np.random.default_rng(seed)
    truth, answer = rng.random((2, 8, 9)) < 0.6
    assert rand(answer, truth) == pytest.approx(brute_rand(answer, truth))


def test_rand_of_merged_and_split_cells():
    truth = np.array([[1, 1, 0, 1, 1]], bool)
    assert rand(truth, truth) == 1
    assert rand(np.ones((1, 5), bool), truth) == pytest.approx(8 / ((16 + 8) / 2))
    split = np.array([[1, 0, 0, 1, 1]], bool)
    assert rand(split, truth) == pytest.approx(6 / ((6 + 8) / 2))
    assert math.isnan(rand(truth, truth & False))
