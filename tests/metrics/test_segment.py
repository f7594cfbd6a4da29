"""Segmentation: values against scikit-learn and brute force, intervals against simulation."""

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from striate.errors import ArgumentError, ShapeError
from striate.metrics.segment import (
    SegmentMeter,
    boundary_counts,
    outline_scores,
    pixel_counts,
    pixel_scores,
)


def pictures(count=12, k=5, size=(9, 13), skill=0.7, seed=0, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        truth = rng.integers(k, size=size)
        answer = np.where(rng.random(size) < skill, truth, rng.integers(k, size=size))
        yield answer.astype(dtype), truth.astype(dtype)


def boundary_f1(answer, truth, classes, **settings):
    """Of one picture: the mean over its classes, and each class's."""
    items, classwise = outline_scores(boundary_counts(answer, truth, classes, **settings)[None])
    return items[0], classwise[0]


def metered(items, k=5, **settings):
    meter = SegmentMeter([f"class {i}" for i in range(k)], **settings)
    for answer, truth in items:
        meter.add(answer, truth)
    return meter


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int16])
@pytest.mark.parametrize("ignore", [None, 255, 4])
def test_values_are_those_of_scikit_learn_over_all_pixels(dtype, ignore):
    items = list(pictures(dtype=dtype))
    if ignore == 255:
        for _, truth in items:
            truth[truth == 3] = 255
        if dtype is np.int16:
            ignore = 255
    answer, truth = (np.concatenate([x.ravel() for x in side]) for side in zip(*items, strict=True))
    known = np.ones(truth.shape, bool) if ignore is None else truth != ignore
    labels = [k for k in range(5) if k != ignore and (k in truth[known] or k in answer[known])]
    found = metered(items, ignore=ignore).values()
    truth, answer = truth[known], answer[known]
    iou = reference.jaccard_score(truth, answer, labels=labels, average="macro")
    dice = reference.f1_score(truth, answer, labels=labels, average="macro")
    assert found == pytest.approx(
        {"miou": iou, "dice": dice, "pixel_accuracy": (truth == answer).mean()}
    )


def test_a_class_is_absent_where_it_has_no_pixels_and_zero_where_it_is_only_answered():
    truth = np.zeros((4, 4), np.uint8)
    answer = truth.copy()
    answer[0] = 1  # only answered
    meter = metered([(answer, truth)], k=3)
    rows = meter.per_class()
    assert [row["iou"] for row in rows] == [0.75, 0.0, None]
    assert [row["recall"] for row in rows] == [0.75, None, None]
    assert [row["precision"] for row in rows] == [1.0, 0.0, None]
    assert [row["support"] for row in rows] == [1, 0, 0]
    assert meter.values()["miou"] == 0.375
    empty = metered([(answer, np.full_like(truth, 255))], k=3, ignore=255)
    assert all(math.isnan(value) for value in empty.values().values())
    assert all(math.isnan(value) for value in metered([], k=3).values().values())
    assert all(math.isnan(score.value) for score in empty.scores().values())


def test_item_scores_are_those_of_a_meter_of_one_item():
    for answer, truth in pictures(3):
        alone = metered([(answer, truth)]).values()
        assert pixel_scores(pixel_counts(answer, truth, 5)) == alone


def test_meters_add_up_and_travel_as_arrays():
    items = list(pictures(7))
    whole = metered(items, boundary=True)
    first, second = (metered(part, boundary=True) for part in (items[:3], items[3:]))
    first.merge(second.state())
    assert len(first) == 7
    for name, rows in whole.state().items():
        assert np.array_equal(rows, first.state()[name]), name
    assert whole.scores() == first.scores()
    with pytest.raises(ShapeError, match=r"^outlines: got None, expected \[rows, 5, 4\]"):
        whole.merge(metered([]).state())


@pytest.mark.parametrize(
    ("answer", "target", "ignore", "message"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), None, "the answer is [2, 3], the truth [3, 2]"),
        (np.full((2, 2), 3), np.zeros((2, 2), int), None, "answer: got class 3; expected 0 to 2"),
        (np.full((2, 2), 3), np.full((2, 2), 3), 3, "answer: got class 3; expected 0 to 2"),
        (np.zeros((2, 2), int), np.full((2, 2), 3), None, "target: got class 3; expected 0 to 2"),
        (np.zeros((2, 2), int), np.array([[3, 255], [0, 0]]), 255, "target: got class 3; expected 0 to 2 and 255 for ignored pixels"),
        (np.zeros((2, 2), int), np.full((2, 2), 7), 255, "target: got class 7; expected 0 to 2 and 255"),
        (np.zeros((2, 2), int), np.full((2, 2), -1), None, "target: got class -1; expected 0 to 2"),
        (np.zeros((2, 2), int), np.full((2, 2), 200, np.uint8), 255, "target: got class 200; expected"),
        (np.zeros((2, 4), int), np.arange(8).reshape(2, 4), None, "target: got class 3, 4, 5, 6, 7; expected"),
    ],
)  # fmt: skip
def test_masks_that_cannot_be_scored_are_refused(answer, target, ignore, message):
    meter = SegmentMeter("abc", ignore)
    with pytest.raises(ArgumentError) as error:
        meter.add(answer, target)
    assert message in str(error.value)
    assert len(meter) == 0


@pytest.mark.plain
def test_masks_of_shares_are_refused():
    with pytest.raises(ArgumentError, match=r"^answer: got float64, expected whole class numbers"):
        SegmentMeter("ab").add(np.zeros((2, 2)), np.zeros((2, 2), int))  # pyright: ignore[reportArgumentType]


def test_too_few_items_have_values_without_an_interval():
    items = list(pictures(20))
    assert not any(score.known for score in metered(items[:4]).scores().values())
    assert all(score.known for score in metered(items).scores().values())
    assert metered(items[:4]).notes() == ["no intervals: 4 items, fewer than 5"]
    assert metered(items).notes(np.arange(20) // 5) == ["no intervals: 4 groups, fewer than 5"]
    assert metered(items).notes() == []
    grouped = metered(items).scores(np.arange(20) // 5)
    assert not any(score.known for score in grouped.values())
    assert grouped["miou"].as_dict() == {"value": grouped["miou"].value, "low": None, "high": None}
    assert metered(items[:4]).per_class()[0]["low"] is None


def test_copies_of_items_in_one_group_make_no_interval_narrower():
    items = list(pictures(20))
    once, often = metered(items), metered([item for item in items for _ in range(4)])
    for name, score in once.scores().items():
        again = often.scores(np.repeat(np.arange(20), 4))[name]
        assert (again.low, again.high) == pytest.approx((score.low, score.high))
        alone = often.scores()[name]
        assert alone.high - alone.low < 0.7 * (score.high - score.low)
    with pytest.raises(
        ShapeError, match=r"groups: got \[3\], expected one group number for each of 20"
    ):
        once.scores(np.arange(3))


def brute_boundary(answer, target, k, tolerance):
    """Csurka et al., pixel by pixel."""

    def outline(ids):
        high, wide = ids.shape
        return [
            (y, x)
            for y in range(high)
            for x in range(wide)
            if ids[y, x] == k
            and any(
                0 <= y + dy < high and 0 <= x + dx < wide and ids[y + dy, x + dx] != k
                for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))
            )
        ]

    ours, true = outline(answer), outline(target)
    near = [sum(any(math.dist(p, q) < tolerance for q in b) for p in a) for a, b in ((ours, true), (true, ours))]  # fmt: skip
    return [near[0], len(ours), near[1], len(true)]


@pytest.mark.parametrize("tolerance", [0.5, 1.1, 2.0])
def test_outlines_are_those_counted_pixel_by_pixel(tolerance):
    rng = np.random.default_rng(1)
    for seed in range(4):
        truth = np.kron(rng.integers(4, size=(3, 4)), np.ones((4, 3), int))
        answer = np.roll(truth, seed, seed % 2)
        found = boundary_counts(answer, truth, 5, tolerance=tolerance)
        assert found.tolist() == [brute_boundary(answer, truth, k, tolerance) for k in range(5)]


def test_boundary_f1_of_a_shifted_half():
    """An edge that lies two pixels off is right within 2.1 pixels and wrong within 1.9, except its nearer side."""
    truth = np.zeros((10, 20), np.uint8)
    truth[:, 10:] = 1
    answer = np.zeros_like(truth)
    answer[:, 12:] = 1
    assert boundary_f1(answer, truth, 2, tolerance=2.1)[0] == 1.0
    assert boundary_f1(answer, truth, 2, tolerance=1.9)[0] == 0.0
    assert boundary_f1(truth, truth, 3, tolerance=0)[0] == 1.0
    assert np.isnan(boundary_f1(truth, truth, 3)[1]).tolist() == [False, False, True]
    value, classwise = boundary_f1(truth * 0, truth * 0, 2)
    assert math.isnan(value)
    assert np.isnan(classwise).all()


def test_ignored_pixels_have_an_outline_only_next_to_known_ones():
    truth = np.zeros((12, 12), np.uint8)
    truth[:, 6:] = 1
    answer = truth.copy()
    answer[:3] = 1  # wrong, where nobody looks
    truth[:4] = 255
    assert boundary_counts(answer, truth, 2, tolerance=1, ignore=255).tolist() == [[9] * 4, [9] * 4]
    meter = metered([(answer, truth)], k=2, ignore=255, boundary=True)
    assert meter.values() == {"miou": 1, "dice": 1, "pixel_accuracy": 1, "boundary_f1": 1}
    assert meter.per_class()[0]["boundary_f1"] == 1


def test_one_table_counts_what_masks_count():
    for answer, truth in pictures(3):
        counts = pixel_counts(answer, truth, 5)
        for k in range(5):
            ours, true = answer == k, truth == k
            assert counts[k].tolist() == [
                (ours & true).sum(),
                (ours & ~true).sum(),
                (true & ~ours).sum(),
            ]


@pytest.mark.parametrize("seam", [1, 2, 3])
def test_outlines_along_an_ignored_seam_are_scored(seam):
    truth = np.zeros((60, 80), int)
    truth[:, 40:] = 1
    answer = truth.copy()
    truth[:, 40 - seam // 2 : 40 + (seam + 1) // 2] = 255
    assert boundary_f1(answer, truth, 2, tolerance=2, ignore=255)[0] == 1
    assert boundary_f1(np.roll(answer, 6, 1), truth, 2, tolerance=2, ignore=255)[0] < 0.5
    truth[:, 20:60] = 255  # far inside of what is ignored nothing is held against an answer
    assert math.isnan(boundary_f1(answer, truth, 2, tolerance=2, ignore=255)[0])
