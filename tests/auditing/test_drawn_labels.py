"""Wrong masks and boxes: planted ones are found with their place, uncertain borders and weak finds are left alone."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

import striate
from striate.auditing import Case, write_fixes
from striate.auditing.drawn_labels import misplaced, wrong_boxes, wrong_regions
from striate.data.targets import IGNORE, Objects
from striate.errors import UsageError
from striate.metrics.classify import calibration_error

from .conftest import draw, write


def pictured(rng, count=60, side=48):
    """Masks of three classes: a disc or a square on nothing; probabilities that are unsure at borders."""
    rows, columns = np.mgrid[:side, :side]
    masks = np.zeros((count, side, side), np.int64)
    for mask in masks:
        y, x, r = rng.uniform(14, 34), rng.uniform(14, 34), rng.uniform(5, 9)
        kind = int(rng.integers(1, 3))
        disc = np.hypot(rows - y, columns - x) < r
        square = np.maximum(np.abs(rows - y), np.abs(columns - x)) < r
        mask[disc if kind == 1 else square] = kind
    hot = np.eye(3)[masks].transpose(0, 3, 1, 2)
    soft = ndimage.gaussian_filter(hot, (0, 0, 1.5, 1.5))
    noisy = np.clip(soft + rng.normal(0, 0.08, soft.shape), 0.01, None)
    return masks, noisy / noisy.sum(1, keepdims=True)


def test_planted_wrong_masks_are_found():
    """Of 60 masks 6 are emptied and 6 are of another class: all are named, and none of the others."""
    rng = np.random.default_rng(0)
    masks, probs = pictured(rng)
    given = masks.copy()
    given[:6] = 0
    given[6:12] = np.where(masks[6:12] > 0, 3 - masks[6:12], 0)
    found = wrong_regions(probs, given)
    named = {region.item for region in found}
    assert named == set(range(12))
    for region in found:
        true = masks[region.item]
        assert region.rather == true.max()
        assert region.label == (0 if region.item < 6 else 3 - true.max())
        top, left, bottom, right = (round(48 * end) for end in region.ends)
        inside = np.zeros_like(true, np.bool_)
        inside[top:bottom, left:right] = True
        assert (true[inside] > 0).mean() > 0.6
    weights = [region.margin * region.pixels for region in found]
    assert weights == sorted(weights, reverse=True)


def test_right_masks_are_left_alone():
    masks, probs = pictured(np.random.default_rng(1))
    assert len({region.item for region in wrong_regions(probs, masks)}) <= 1


def test_what_counts_nowhere_is_no_error():
    masks, probs = pictured(np.random.default_rng(1), 20)
    masks[:5][masks[:5] > 0] = IGNORE
    assert not {region.item for region in wrong_regions(probs, masks)} & set(range(5))


class Found(NamedTuple):
    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


def placed(rng, count=200):
    """Boxes of two classes on a grid, and what a good detector finds: them, jittered, and weak ones elsewhere."""
    truths, found = [], []
    for _ in range(count):
        cells = rng.choice(9, int(rng.integers(1, 4)), replace=False)
        corner = np.stack([cells % 3, cells // 3], 1) * 40.0 + rng.uniform(0, 8, (len(cells), 2))
        boxes = np.concatenate([corner, corner + rng.uniform(20, 28, (len(cells), 2))], 1)
        labels = rng.integers(0, 2, len(cells))
        truths.append(Objects(boxes.astype(np.float32), labels, np.zeros(len(cells), np.bool_)))
        weak = rng.uniform(0, 100, (1, 2))
        found.append(
            Found(
                np.concatenate(
                    [boxes + rng.normal(0, 1, boxes.shape), np.concatenate([weak, weak + 20], 1)]
                ),
                np.append(labels, rng.integers(0, 2)),
                np.append(rng.uniform(0.7, 1, len(cells)), rng.uniform(0, 0.4)),
            )
        )
    return truths, found


def changed(truth, kind):
    if kind == "overlooked":
        return Objects(truth.boxes[1:], truth.labels[1:], truth.crowd[1:])
    boxes, labels = truth.boxes.copy(), truth.labels.copy()
    if kind == "swapped":
        labels[0] = 1 - labels[0]
    else:
        boxes[0] += 10  # IoU of about 0.2
    return Objects(boxes, labels, truth.crowd)


@pytest.mark.parametrize("kind", ["overlooked", "swapped", "misplaced"])
def test_planted_wrong_boxes_are_found(kind):
    """Of 200 items 20 are wrong. Only finds surer than usual are taken, which half of them are."""
    truths, found = placed(np.random.default_rng(0))
    right = list(truths)
    truths[:20] = [changed(truth, kind) for truth in truths[:20]]
    wrong = wrong_boxes(found, truths, 2)
    named = {one.item for one in wrong}
    assert len(named & set(range(20))) >= 7
    assert not named - set(range(20))
    for one in wrong:
        assert one.kind == kind
        first = right[one.item]
        assert one.rather == first.labels[0]
        assert np.abs(np.array(one.box) - first.boxes[0]).max() < 6
        assert one.label == {"overlooked": None, "swapped": 1 - first.labels[0]}.get(
            kind, first.labels[0]
        )


def test_right_boxes_and_crowds_are_left_alone():
    truths, found = placed(np.random.default_rng(0))
    assert wrong_boxes(found, truths, 2) == []
    crowds = [Objects(t.boxes, 1 - t.labels, np.ones(len(t.labels), np.bool_)) for t in truths[:20]]
    assert not {one.item for one in wrong_boxes(found, crowds + truths[20:], 2)} & set(range(20))


def test_nothing_found_and_nothing_there():
    none = Objects(np.empty((0, 4), np.float32), np.empty(0, np.int64), np.empty(0, np.bool_))
    empty = Found(np.empty((0, 4)), np.empty(0, np.int64), np.empty(0))
    assert wrong_boxes([empty], [none], 2) == []


class Bright(torch.nn.Module):
    """What is light is the object."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        light = x.mean(1, keepdim=True) * 4 * self.scale
        return torch.cat([-light, light], 1)


def test_the_masks_of_a_run(tmp_path):
    """Of 40 held-out masks 4 are empty where the picture shows an object."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("test", 40)):
        for i in range(count):
            picture, mask = draw(rng, "noise") // 3, np.zeros((28, 28), np.uint8)
            top, left = rng.integers(2, 16, 2)
            picture[top : top + 9, left : left + 9] = 230
            if split == "train" or i >= 4:
                mask[top : top + 9, left : left + 9] = 255
            write(tmp_path / "d" / split / "images" / f"{i:02d}.png", picture)
            write(tmp_path / "d" / split / "masks" / f"{i:02d}.png", mask)
    run = striate.train(
        tmp_path / "d", net=Bright(), epochs=1, lr=1e-9, out=tmp_path, plan="default", size=28
    )
    found = striate.audit(run, only=["labels"])
    (each,) = found.findings
    assert {row["file"][-6:-4] for row in each.evidence} == {"00", "01", "02", "03"}
    assert each.value.value == 0.1
    assert all(70 <= row["pixels"] <= 81 for row in each.evidence)
    with pytest.raises(UsageError, match="correct their files"):
        write_fixes(tmp_path / "fixes.csv", found)
    (other,) = striate.audit(run, only=["labels"], split="train").findings
    assert other.severity == "skipped"
    assert "learned from" in other.text


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A run on 160 items with any of two shapes, of which 8 had a label added or taken away; what is right, and which are wrong."""
    root, rng = tmp_path_factory.mktemp("several"), np.random.default_rng(0)
    lines, true = ["file,bar,box"], {}
    wrong = set(rng.choice(160, 8, replace=False).tolist())
    (root / "d").mkdir()
    for i in range(160):
        picture = rng.integers(0, 60, (28, 28), np.uint8)
        bar, box = i % 2, i // 2 % 2
        if bar:
            picture[3:25, 3:6] = 230
        if box:
            picture[10:20, 14:24] = 230
        Image.fromarray(picture).save(root / "d" / f"{i:03d}.png")
        true[f"{i:03d}.png"] = "|".join(["bar"] * bar + ["box"] * box) or "|"
        lines.append(f"{i:03d}.png,{1 - bar if i in wrong else bar},{box}")
    (root / "d" / "labels.csv").write_text("\n".join(lines))
    run = striate.train(root / "d", net="lenet5", epochs=6, batch=16, out=root, plan="default")
    return run, true, {f"{i:03d}.png" for i in wrong}


def given(run, split):
    targets = run.opened().splits[split].targets
    return [tuple(targets.truth(i).tolist()) for i in range(len(targets))]


def test_several_labels_of_an_item(several, tmp_path):
    """Most wrong ones are named, with what is right, and the corrections can be trained with."""
    run, true, planted = several
    found = striate.audit(run, only=["labels"])
    (each,) = found.findings
    planted = planted & set(run.opened().splits["train"].names)
    named = [row["file"] for row in each.evidence]
    assert len(planted & set(named)) >= len(planted) - 1 > 3
    assert len(set(named) - planted) <= 2
    assert all(
        row["rather"] == true[row["file"]] for row in each.evidence if row["file"] in planted
    )
    path = tmp_path / "fixes.csv"
    assert write_fixes(path, found) == len(named)
    mended = striate.open(run.path.parent.parent / "d", fixes=str(path))
    assert mended.fixed is not None


def test_simple_answers_and_slices_of_several_labels(several):
    run, _, _ = several
    rest = striate.audit(run, only=["baselines", "slices"]).findings
    simple = {each.evidence[0]["baseline"]: each for each in rest if each.check == "baselines"}
    held, train = given(run, "val"), given(run, "train")
    common = max(set(train), key=train.count)
    assert simple["constant"].value.value == pytest.approx(held.count(common) / len(held))
    assert simple["8x8"].value.value > 0.8
    (slices,) = [each for each in rest if each.check == "slices"]
    assert {"with bar", "with box"} <= {row["slice"] for row in slices.evidence if "slice" in row}


def test_probabilities_of_several_labels(several):
    run, _, _ = several
    (sure,) = striate.audit(run, only=["calibration"]).findings
    data, held = run.opened(), np.array(given(run, "val"), np.float64)
    case = Case(run, data, "val")
    probs = np.concatenate([case.answers(x, i) for i, x in case.batches(np.arange(len(held)))])
    assert {row["label"] for row in sure.evidence} == set(data.classes)
    for row in sure.evidence:
        k = data.classes.index(str(row["label"]))
        assert row["off by"] == pytest.approx(calibration_error(probs[:, k], held[:, k]).value)


# ------------------------------------------------------------------------- a label and a box an item


def fitted(rng, count=200, jitter=0.02):
    """One box an item as shares of the picture, and what is expected: the same, a little off."""
    corner = rng.uniform(0.1, 0.5, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.2, 0.4, (count, 2))], 1)
    return boxes + rng.normal(0, jitter, boxes.shape), boxes


def test_planted_misplaced_boxes_are_found():
    """Of 200 boxes 10 are moved by half their side: all are named, the worst first, and hardly another."""
    expected, boxes = fitted(np.random.default_rng(0))
    boxes[:10] += 0.25
    found = misplaced(expected, boxes)
    assert set(range(10)) <= set(found.items.tolist())
    assert len(found.items) <= 11
    assert np.all(np.diff(found.overlaps[found.items]) >= 0)
    assert 0 < found.limit <= 0.5


@pytest.mark.parametrize("jitter", [0.005, 0.02, 0.04])
def test_right_boxes_are_left_alone(jitter):
    expected, boxes = fitted(np.random.default_rng(1), jitter=jitter)
    assert len(misplaced(expected, boxes).items) <= 2


def test_expected_boxes_that_fit_badly_suspect_nothing():
    expected, boxes = fitted(np.random.default_rng(2), jitter=0.2)
    found = misplaced(expected, boxes)
    assert found.limit <= 0
    assert len(found.items) == 0


class Spread(torch.nn.Module):
    """Answers from the middle, the width and the height of what is light, of which a linear head can tell class and box."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 6)

    def forward(self, x):
        light = (x.mean(1) > x.mean((1, 2, 3))[:, None, None] + 1).float()
        places = torch.arange(32.0) / 32
        across, down = light.amax(1), light.amax(2)
        sizes = across.sum(1), down.sum(1)
        middles = [(e * places).sum(1) / n for e, n in zip((across, down), sizes, strict=True)]
        return self.fc(torch.stack([*middles, *(n / 32 for n in sizes)], 1))


def test_the_label_and_the_box_of_a_run(tmp_path):
    """Of 120 items 12 have the other class and 6 a box elsewhere. Only heads surer than usual are taken for classes."""
    rng = np.random.default_rng(0)
    lines = ["file,xmin,ymin,xmax,ymax,label"]
    for i in range(120):
        picture = rng.integers(0, 60, (32, 32), np.uint8)
        high, wide = ((14, 6), (6, 14))[i % 2]
        top, left = rng.integers(1, 12, 2).tolist()
        picture[top : top + high, left : left + wide] = 230
        write(tmp_path / "d" / "images" / f"{i:03d}.png", picture)
        swapped = i % 2 if i >= 12 else 1 - i % 2
        moved = 12 if 12 <= i < 18 else 0
        box = (left + moved, top + moved, left + wide + moved, top + high + moved)
        name = ("upright", "lying")[swapped]
        lines.append(f"images/{i:03d}.png,{','.join(map(str, box))},{name}")
    (tmp_path / "d" / "boxes.csv").write_text("\n".join(lines) + "\n")
    run = striate.train(
        tmp_path / "d", task="localise", net=Spread(), epochs=1, lr=1e-9, out=tmp_path,
        plan="default", size=32, val=0.2,
    )  # fmt: skip
    found = striate.audit(run, only=["labels"])
    (each,) = found.findings
    inside = set(run.opened().splits["train"].names)
    swapped = {f"images/{i:03d}.png" for i in range(12)} & inside
    moved = {f"images/{i:03d}.png" for i in range(12, 18)} & inside
    by = {
        what: [row for row in each.evidence if row["what"] == what]
        for what in ("another class", "misplaced")
    }
    named = {what: {row["file"] for row in rows} for what, rows in by.items()}
    assert len(swapped & named["another class"]) >= len(swapped) / 2
    assert moved <= named["misplaced"]
    assert len(named["another class"] - swapped) <= 2
    assert len(named["misplaced"] - moved) <= 2
    for row in by["another class"]:
        assert {row["label"], row["expected"]} == {"upright", "lying"}
    assert all(row["iou"] < 0.5 for row in by["misplaced"])
    assert each.value.value == len({row["file"] for row in each.evidence}) / len(inside)
    with pytest.raises(UsageError, match="correct their files"):
        write_fixes(tmp_path / "fixes.csv", found)
