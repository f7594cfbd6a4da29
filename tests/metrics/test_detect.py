"""Detection: average precisions against pycocotools, intervals against derivatives and simulation."""

import contextlib
import io
import math
import time
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from striate.errors import ArgumentError, ShapeError
from striate.metrics.detect import IOUS, DetectMeter, Matched


def corners(rng, count, least=5.0):
    low = rng.uniform(0, 80, (count, 2))
    return np.concatenate([low, low + rng.uniform(least, 60, (count, 2))], 1)


def picture(rng, k, *, many=False, ties=False):
    """Detections and true boxes: some empty, some crowds, near misses, equal scores and equal overlaps."""
    count = int(rng.integers(0, 6)) if rng.random() > 0.2 else 0
    found = int(rng.integers(90, 400)) if many else int(rng.integers(0, 12) * (rng.random() > 0.2))
    truths, kinds, crowd = corners(rng, count), rng.integers(0, k, count), rng.random(count) < 0.2
    boxes, labels = corners(rng, found), rng.integers(0, k, found)
    if count:
        near = rng.random(found) < 0.7
        of = rng.integers(0, count, found)
        moved = truths[of] + rng.normal(0, rng.choice([0, 3, 8]), (found, 4))
        boxes[near] = moved[near]
        labels = np.where(near & (rng.random(found) < 0.8), kinds[of], labels)
    scores = rng.random(found)
    if ties:
        scores = scores.round(1)
        boxes, truths = (np.round(each / 10) * 10 for each in (boxes, truths))
        truths[:, 2:] = np.maximum(truths[:, 2:], truths[:, :2] + 10)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 0.1)
    return boxes, scores, labels, truths, kinds, crowd


def sized(boxes):
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1).tolist()


def by_pycocotools(items, k):
    """Precision at [IoU, recall, class], -1 for a class without boxes."""
    true, found = [], []
    for i, (boxes, scores, labels, truths, kinds, crowd) in enumerate(items):
        for box, kind, many in zip(sized(truths), kinds.tolist(), crowd.tolist(), strict=True):
            one = {"image_id": i, "category_id": kind, "bbox": box, "area": box[2] * box[3]}
            true.append({**one, "id": len(true) + 1, "iscrowd": int(many)})
        for box, kind, score in zip(sized(boxes), labels.tolist(), scores.tolist(), strict=True):
            found.append({"image_id": i, "category_id": kind, "bbox": box, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        truth: Any = COCO()
        truth.dataset = {
            "images": [{"id": i} for i in range(len(items))],
            "annotations": true,
            "categories": [{"id": i} for i in range(k)],
        }
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(found), "bbox")
        judge.evaluate()
        judge.accumulate()
    return judge.eval["precision"][..., 0, 2]


@pytest.mark.parametrize("decade", range(20))
def test_average_precisions_are_those_of_pycocotools(decade):
    for seed in range(10 * decade, 10 * decade + 10):
        rng = np.random.default_rng(seed)
        k = int(rng.integers(1, 6))
        kind = {"many": seed % 20 == 7, "ties": seed % 2 == 1}
        items = [picture(rng, k, **kind) for _ in range(int(rng.integers(2, 25)))]
        meter = DetectMeter([str(i) for i in range(k)])
        for item in items:
            meter.add(*item)
        expected = by_pycocotools(items, k)
        for i, row in enumerate(meter.per_class()):
            if expected[0, 0, i] < 0:
                assert row["ap"] is row["ap50"] is None
            else:
                assert abs(row["ap"] - expected[:, :, i].mean()) < 1e-12
                assert abs(row["ap50"] - expected[0, :, i].mean()) < 1e-12
        there = expected[:, :, expected[0, 0] >= 0]
        if not there.size:
            assert math.isnan(meter.values()["map"])
            continue
        assert abs(meter.values()["map"] - there.mean()) < 1e-12
        assert abs(meter.values()["map50"] - there[0].mean()) < 1e-12


def metered(count=30, k=3, seed=0):
    rng = np.random.default_rng(seed)
    items = [picture(rng, k) for _ in range(count)]
    meter = DetectMeter([f"class {i}" for i in range(k)])
    for item in items:
        meter.add(*item)
    return meter, items


def test_meters_add_up_and_travel_as_arrays():
    whole, items = metered()
    first, second = DetectMeter(whole.classes), DetectMeter(whole.classes)
    for i, item in enumerate(items):
        (first if i < 10 else second).add(*item)
    first.merge(second.state())
    assert len(first) == len(whole) == 30
    for name, rows in whole.state().items():
        assert np.array_equal(rows, first.state()[name]), name
    assert first.scores() == whole.scores()


def test_nothing_to_score_is_not_zero():
    none, labels = np.zeros((0, 4)), np.zeros(0, np.int64)
    meter = DetectMeter("ab")
    assert all(math.isnan(value) for value in meter.values().values())
    meter.add(none, np.zeros(0), labels, none, labels)
    box, score = np.array([[0.0, 0, 9, 9]]), np.array([0.9])
    meter.add(box, score, np.array([0]), none, labels)
    assert all(math.isnan(score.value) for score in meter.scores().values())
    row = meter.per_class()[0]
    assert (row["ap"], row["recall"], row["precision"], row["fp"]) == (None, None, 0, 1)
    assert math.isnan(meter.item_scores(none, np.zeros(0), labels, none, labels)["f1"])
    assert meter.item_scores(box, score, np.array([0]), box, np.array([0]))["f1"] == 1
    meter.add(none, np.zeros(0), labels, box, np.array([1]))
    assert meter.values() == {"map": 0, "map50": 0}


def test_derivatives_by_a_picture_are_those_of_small_steps():
    meter, _ = metered(count=25)
    ranked = meter._ranked()
    for c in ranked.classes:
        for t in (0, 4):
            right, counted = c.hits(t)

            def area(weight, c=c, right=right, counted=counted):
                w = weight[c.item]
                hits = (w * right).cumsum()
                precision = (hits / (w * counted).cumsum().clip(1e-9))[right]
                monotone = np.maximum.accumulate(precision[::-1])[::-1]
                return (monotone * w[right]).sum() / (weight @ c.truths_N)

            for i in range(25):
                step = 1e-6 * np.eye(25)[i]
                slope = (area(1 + step) - area(1 - step)) / 2e-6
                assert c.pulls(slice(t, t + 1))[i] == pytest.approx(slope, abs=1e-7)


def test_copies_of_pictures_in_one_group_make_no_interval_narrower(coverage):
    once, often = (
        coverage.Boxes(3, 2.0, 1.0).meter(np.random.default_rng(0), 80) for _ in range(2)
    )
    often.merge(once.state())
    for name, score in once.scores().items():
        again, alone = often.scores(np.tile(np.arange(80), 2))[name], often.scores()[name]
        assert again.high - again.low == pytest.approx(score.high - score.low, rel=0.05)
        assert alone.high - alone.low == pytest.approx((score.high - score.low) / 2**0.5, rel=0.05)


def test_few_pictures_have_no_interval():
    assert not metered(count=4)[0].scores()["map"].known
    meter = metered(count=25)[0]
    assert meter.scores()["map"].known
    assert not meter.scores(np.arange(25) // 7)["map"].known
    one = DetectMeter("a")
    for item in metered(count=4, k=1)[1]:
        one.add(*item)
    assert one.per_class()[0]["low"] is None


def test_counts_and_confusion_at_a_confidence():
    truths, kinds = (
        np.array([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]),
        np.array([0, 0, 1]),
    )
    boxes = np.concatenate([truths, truths[:1], [[70.0, 0, 80, 10]]])
    labels, scores = np.array([0, 1, 1, 0, 1]), np.array([0.9, 0.8, 0.2, 0.7, 0.6])
    meter = DetectMeter("ab", confidence=0.5)
    meter.add(boxes, scores, labels, truths, kinds)
    assert meter.counts().tolist() == [[1, 1, 1], [0, 2, 1]]
    # Truth a met as a, truth a met as b, truth b missed, one a twice, one b on the background.
    assert meter.confusion.tolist() == [[1, 1, 0], [0, 0, 1], [1, 1, 0]]
    assert meter.item_scores(boxes, scores, labels, truths, kinds)["recall"] == pytest.approx(1 / 3)
    low = DetectMeter("ab", confidence=0.1)
    low.add(boxes, scores, labels, truths, kinds)
    assert low.counts().tolist() == [[1, 1, 1], [1, 2, 0]]


def test_a_crowd_takes_any_number_and_counts_neither_way():
    crowd = np.array([[0.0, 0, 100, 100]])
    boxes = np.array([[0.0, 0, 10, 10], [20, 20, 30, 30], [200, 0, 210, 10]])
    kinds = np.zeros(3, np.int64)
    meter = DetectMeter("a")
    meter.add(boxes, np.ones(3), kinds, crowd, kinds[:1], np.array([True]))
    assert meter.counts().tolist() == [[0, 1, 0]]
    assert meter.confusion.tolist() == [[0, 0], [1, 0]]


def test_a_hundred_detections_of_a_class_are_kept():
    rng = np.random.default_rng(0)
    boxes, scores, labels = corners(rng, 250), rng.random(250), np.arange(250) % 2
    found = Matched.of(boxes, scores, labels, boxes[:0], labels[:0], labels[:0].astype(bool))
    assert np.bincount(found.labels).tolist() == [100, 100]
    assert (np.diff(found.scores) <= 0).all()
    assert found.scores.min() >= np.sort(scores)[40]


def test_pr_curve_ends_at_all_detections():
    meter, items = metered(count=40)
    curve = meter.pr_curve("class 1", iou=0.5)
    every = DetectMeter(meter.classes, confidence=0.0)
    for item in items:
        every.add(*item)
    tp, fp, missed = every.counts()[1].tolist()
    assert len(curve.confidence) == tp + fp
    assert curve.recall[-1] == pytest.approx(tp / (tp + missed))
    assert curve.precision[-1] == pytest.approx(tp / (tp + fp))
    assert (np.diff(curve.confidence) <= 0).all()
    assert len(IOUS) == 10
    assert meter.pr_curve("class 1", iou=0.75).recall[-1] <= curve.recall[-1]
    for label, iou in (("dog", 0.5), ("class 1", 0.42)):
        with pytest.raises(ArgumentError, match=r"expected one of the 3 classes and an IoU of 0.5"):
            meter.pr_curve(label, iou=iou)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"boxes": np.zeros((2, 3))}, ShapeError, "detections: got boxes [2, 3], classes [2]"),
        ({"scores": np.zeros(3)}, ShapeError, "detections: got boxes [2, 4], classes [2]"),
        ({"scores": np.array([0.5, np.nan])}, ArgumentError, "detections: got nan or infinity"),
        ({"labels": np.array([0, 2])}, ArgumentError, "detections: got class 2; expected 0 to 1"),
        ({"truth_labels": np.array([-1])}, ArgumentError, "true boxes: got class -1; expected 0"),
        ({"truth_boxes": np.zeros((1, 5))}, ShapeError, "true boxes: got boxes [1, 5]"),
        ({"crowd": np.zeros(2, bool)}, ShapeError, "true boxes: got boxes [1, 4], classes [1]"),
    ],
)
def test_detections_that_cannot_be_scored_are_refused(change, error, message):
    item: dict[str, Any] = {
        "boxes": np.zeros((2, 4)),
        "scores": np.zeros(2),
        "labels": np.array([0, 1]),
        "truth_boxes": np.zeros((1, 4)),
        "truth_labels": np.array([0]),
    }
    meter = DetectMeter("ab")
    with pytest.raises(error) as caught:
        meter.add(**{**item, **change})
    assert message in str(caught.value)
    assert len(meter) == 0


def test_intervals_of_many_pictures_take_no_time(coverage):
    """Of 5,000 pictures with half a million detections under 10 s; here 1 s on one core, so a tenth of the limit."""
    meter = coverage.Boxes(20, 2.0, 1.0).meter(np.random.default_rng(0), 5000)
    assert len(meter.state()["item"]) > 400_000
    begun = time.process_time()
    meter.scores(np.arange(5000) // 4)
    assert time.process_time() - begun < 10


@pytest.mark.parametrize(("second", "right"), [(0, 2), (10, 1)])
def test_of_boxes_that_overlap_alike_the_last_is_taken(second, right):
    """The first detection overlaps both boxes by half; the second is one of them."""
    truths, kinds = np.array([[0.0, 0, 10, 10], [10, 0, 20, 10]]), np.zeros(2, np.int64)
    boxes = np.array([[0.0, 0, 20, 10], [second, 0, second + 10, 10]])
    item = (boxes, np.array([0.9, 0.8]), kinds, truths, kinds, np.zeros(2, bool))
    meter = DetectMeter("a")
    meter.add(*item)
    assert meter.counts().tolist() == [[right, 2 - right, 2 - right]]
    expected = by_pycocotools([item], 1)[0].mean()
    assert meter.values()["map50"] == pytest.approx(expected, abs=1e-12)


def test_pictures_are_counted_by_their_sure_boxes():
    meter = DetectMeter(["a", "b"], confidence=0.5)
    box = np.array([[0.0, 0, 4, 4]])
    one, none = np.zeros(1, np.int64), np.zeros((0, 4))
    meter.add(np.repeat(box, 3, 0), np.array([0.9, 0.6, 0.4]), np.array([0, 1, 0]), box, one)
    meter.add(none, np.zeros(0), np.zeros(0, np.int64), np.repeat(box, 2, 0), np.array([0, 1]))
    crowd = np.ones(1, np.bool_)
    meter.add(box, np.array([0.9]), one, box, one, crowd)
    assert meter.miscounted().tolist() == [1, -2, 0]


def _ranked_boxes(hits: list[float], wrong: list[float], missed: int = 0) -> DetectMeter:
    """A picture a box: right ones and wrong ones of these confidences, and pictures with a box that nothing finds."""
    meter, box = DetectMeter("a", confidence=0.25), np.array([[0.0, 0, 10, 10]])
    none, label = np.zeros((0, 4)), np.zeros(1, np.int64)
    for score in hits:
        meter.add(box, np.array([score]), label, box, label)
    for score in wrong:
        meter.add(box, np.array([score]), label, none, label[:0])
    for _ in range(missed):
        meter.add(none, label[:0].astype(float), label[:0], box, label)
    return meter


@pytest.mark.parametrize(
    ("hits", "wrong", "missed", "expected"),
    [
        ([0.9, 0.8, 0.8, 0.7, 0.6], [0.4, 0.4, 0.3, 0.3], 0, 0.5),  # all that is right, nothing else
        ([0.9, 0.8, 0.8, 0.7, 0.6], [0.4, 0.4, 0.3, 0.3], 9, 0.5),  # boxes that are not found as well
        ([0.9, 0.8, 0.8, 0.7, 0.6], [], 0, 0.3),  # nothing is wrong: the half of the smallest, as low as may be
        ([0.9, 0.8, 0.7], [0.4], 0, 0.25),  # too few to choose by
        ([], [0.9] * 9, 9, 0.25),
    ],
)  # fmt: skip
def test_the_confidence_that_serves_best(hits, wrong, missed, expected):
    meter = _ranked_boxes(hits, wrong, missed)
    assert meter.best_confidence(0.25) == pytest.approx(expected)


def test_a_crowd_chooses_no_confidence():
    meter = _ranked_boxes([0.9] * 5, [0.5] * 3)
    crowd = np.array([[0.0, 0, 100, 100]])
    many = np.array([[0.0, 0, 10, 10]] * 20)
    meter.add(
        many, np.full(20, 0.3), np.zeros(20, np.int64), crowd, np.zeros(1, np.int64), np.array([True])
    )  # fmt: skip
    assert meter.best_confidence(0.25) == pytest.approx(0.7)


def test_boxes_count_from_the_confidence_of_the_meter_that_took_them():
    mild, strict = (DetectMeter("a", confidence=c) for c in (0.25, 0.5))
    box, label = np.array([[0.0, 0, 10, 10]]), np.zeros(1, np.int64)
    for meter in (mild, strict):
        meter.add(box, np.array([0.4]), label, box, label)
    assert (mild.miscounted().tolist(), strict.miscounted().tolist()) == ([0], [-1])
    strict.merge(mild.state())
    assert strict.miscounted().tolist() == [-1, 0]
    assert strict.counts().tolist() == [[1, 0, 1]]
    assert strict.confidence_words("boxes").startswith("boxes of each part are counted from")
    assert mild.confidence_words("boxes") == "boxes are counted from a confidence of 0.25 on"
