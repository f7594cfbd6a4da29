"""What needs no net for masks, boxes, numbers and series: right on planted data, and beside the net by one score."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate.auditing.checks.baselines import _advice, _difference
from striate.auditing.finding import mean_score
from striate.auditing.simple_answers import mean_boxes, otsu, sides
from striate.data.targets import Objects, OneBox, Targets, in_words
from striate.metrics.compare import Difference


def objects(*boxes: tuple[float, float, float, float], labels: list[int]) -> Objects:
    return Objects(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int64),
        np.zeros(len(labels), np.bool_),
    )


@pytest.mark.parametrize(("dark", "light"), [(10, 200), (3, 7), (0, 255)])
def test_a_threshold_lies_between_two_kinds_of_values(dark, light):
    values = np.array([dark] * 50 + [light] * 30)
    assert dark <= otsu(np.bincount(values, minlength=256).astype(float)) < light


def test_a_threshold_is_that_of_every_split_tried():
    values = np.random.default_rng(0).integers(0, 256, 500)
    found = otsu(np.bincount(values, minlength=256).astype(float))

    def between(level: int) -> float:
        low, high = values[values <= level], values[values > level]
        return len(low) * len(high) * (low.mean() - high.mean()) ** 2 if len(high) else 0.0

    assert between(found) == pytest.approx(
        max(between(k) for k in range(255) if (values <= k).any())
    )


def test_the_sides_are_the_classes_that_lie_there():
    counts = np.zeros((256, 3))
    counts[:100, 2] = 5
    counts[:100, 0] = 1
    counts[100:, 1] = 1
    counts[100:, 2] = 0.5
    assert sides(counts, 99) == (2, 1)


def test_a_mean_box_is_in_shares_of_a_picture():
    natural = np.array([[100, 200], [50, 100], [10, 10]])
    found, labels = mean_boxes(
        [
            objects((20, 10, 40, 20), labels=[1]),
            objects((10, 5, 40, 20), labels=[1]),
            objects((0, 0, 1, 1), labels=[0]),
        ],
        natural,
        3,
    )
    assert labels.tolist() == [1]
    assert found[0].tolist() == pytest.approx([0.1, 0.1, 0.3, 0.3])


def test_pictures_without_boxes_have_no_mean_box():
    found, labels = mean_boxes([objects(labels=[])], np.array([[10, 10]]), 2)
    assert found.shape == (0, 4)
    assert not len(labels)


@pytest.mark.parametrize(
    ("name", "values", "lower", "bounds"),
    [
        ("accuracy", [1.0] * 9 + [0.5], False, (0, 1)),
        ("iou", [0.0] * 9 + [0.4], False, (0, 1)),
        ("mae", [0.0] * 9 + [4.0], True, (0, np.inf)),
        ("psnr", [-1.0] * 9 + [4.0], False, (-np.inf, np.inf)),
    ],
)
def test_an_interval_stays_within_what_a_score_can_be(name, values, lower, bounds):
    found = mean_score(name, np.array(values), lower=lower)
    assert found.value == pytest.approx(np.mean(values))
    assert bounds[0] <= found.low < found.value < found.high <= bounds[1]


@pytest.mark.parametrize(("value", "end"), [(1.0, "low"), (0.0, "high")])
def test_where_all_items_are_right_or_none_there_is_an_interval(value, end):
    found = mean_score("subset_accuracy", np.full(20, value))
    assert found.value == value
    assert 0 <= found.low < found.high <= 1
    assert getattr(found, end) == pytest.approx(abs(value - 0.161), abs=1e-3)  # Wilson's


@pytest.mark.parametrize(
    ("gain", "said", "advice"),
    [
        ((0.1, 0.05, 0.15), "better by 10.0 %, 5.0 % to 15.0 %", ""),
        ((0.1, -0.05, 0.25), "better by 10.0 %, -5.0 % to 25.0 %", "x may do as well as the net: "),
        ((-0.1, -0.25, 0.05), "worse by 10.0 %, -5.0 % to 25.0 %", "x does as well as the net: "),
        ((-0.1, -0.15, -0.05), "worse by 10.0 %, 5.0 % to 15.0 %", "x does better than the net: "),
        ((0.1, math.nan, math.nan), "better by 10.0 %, no interval", "x may do as well as the net"),
        ((0.0, 0.0, 0.0), "no difference", "x does as well as the net: "),
    ],
)
def test_a_net_that_is_worse_is_not_called_better(gain, said, advice):
    found = Difference(*gain, p=math.nan)
    assert _difference("accuracy", found).replace("\u202f", " ").replace("\xa0", " ") == said
    assert _advice("x", found).startswith(advice)
    assert bool(_advice("x", found)) == bool(advice)


@pytest.mark.parametrize(
    "kind",
    [
        each.kind
        for each in (*Targets.__subclasses__(), OneBox)
        if each.__module__ == Targets.__module__
    ],
)
def test_every_kind_of_targets_has_words(kind):
    said = f"the items have {in_words(kind)}"
    assert not said.endswith(" targets")  # of a kind that the table does not know
    assert "have themselves" not in said


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


QUICK: dict[str, Any] = {"epochs": 1, "plan": "default", "batch": 16, "lr": 1e-7}


def found_of(run):
    return {
        row["baseline"]: each
        for each in striate.audit(run, only=["baselines"]).findings
        for row in each.evidence
    }


def test_masks_that_are_bright_pixels(tmp_path):
    """An untrained net is worse than the threshold, which is right everywhere; the empty mask is not."""
    rng = np.random.default_rng(0)
    y = np.zeros((90, 32, 32), np.uint8)
    for mask in y:
        top, left = rng.integers(0, 20, 2)
        mask[top : top + 10, left : left + 8] = 1
    x = np.where(y, 200, 50).astype(np.uint8) + rng.integers(0, 20, y.shape, dtype=np.uint8)
    for i in range(90):
        save(tmp_path / "m" / "images" / f"{i}.png", x[i])
        save(tmp_path / "m" / "masks" / f"{i}.png", y[i])
    run = striate.train(tmp_path / "m", "unet_same", width=0.125, val=0.3, out=tmp_path, **QUICK)
    found = found_of(run)
    assert set(found) == {"constant", "threshold"}
    assert found["threshold"].value.value == pytest.approx(1)
    assert found["threshold"].severity == "note"
    assert found["constant"].value.value < 0.6


def test_numbers_that_are_the_brightness(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.uniform(0, 200, 120)
    x = (y[:, None, None] + rng.uniform(0, 20, (120, 16, 16))).astype(np.uint8)
    for i in range(120):
        save(tmp_path / "v" / "pictures" / f"{i}.png", x[i])
    rows = [f"pictures/{i}.png,{y[i]}" for i in range(120)]
    (tmp_path / "v" / "labels.csv").write_text("\n".join(["file,brightness", *rows]))
    run = striate.train(
        tmp_path / "v",
        "lenet5",
        layout="csv:label=brightness",
        size=28,
        val=0.3,
        out=tmp_path,
        **QUICK,
    )
    found = found_of(run)
    assert set(found) == {"mean", "8x8"}
    assert found["8x8"].value.value < found["mean"].value.value / 5  # errors
    assert found["8x8"].severity == "note"
