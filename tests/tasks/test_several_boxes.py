"""Classification with localisation of pictures that have several boxes of their one class, in each layout that gives them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate import data
from striate.data.targets import Objects, OneBox, restored
from striate.errors import DataError
from striate.runs import Run
from striate.tasks.localise import Localise, Located

SIDE = 32
KINDS = ("n01440764", "n01443537")  # upright and lying rectangles, called as ImageNet calls classes
COUNT = {"train": 16, "val": 8}
Box = tuple[int, int, int, int]
Held = dict[str, list[tuple[np.ndarray, int, list[Box]]]]  # split -> pictures, classes, boxes


def drawn() -> Held:
    """Noise with a bright rectangle; every other picture has a smaller one of its class before it."""
    rng = np.random.default_rng(5)
    found: Held = {}
    for split, count in COUNT.items():
        found[split] = []
        for i in range(count):
            picture = rng.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
            kind = i % 2
            high, wide = ((14, 6), (6, 14))[kind]
            top, left = (int(rng.integers(1, SIDE - n - 1)) for n in (high, wide))
            boxes = [(left, top, left + wide, top + high)]
            if i % 4 < 2:
                small = (high // 2, wide // 2)
                y, x = (int(rng.integers(1, SIDE - n - 1)) for n in small)
                boxes.insert(0, (x, y, x + small[1], y + small[0]))
            for x0, y0, x1, y1 in boxes:
                picture[y0:y1, x0:x1] = 220
            found[split].append((picture, kind, boxes))
    return found


def save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, quality=95)


def xml(path: Path, objects: list[tuple[str, Box]]) -> None:
    """A file of Pascal VOC, whose boxes go from first to last pixel, counted from 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    things = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
        "</bndbox></object>"
        for label, (x0, y0, x1, y1) in objects
    )
    size = f"<size><width>{SIDE}</width><height>{SIDE}</height></size>"
    path.write_text(f"<annotation>{size}{things}</annotation>")


def imagenet(root: Path, held: Held) -> None:
    inside = root / "Annotations" / "CLS-LOC"
    for split, each in held.items():
        for i, (picture, kind, boxes) in enumerate(each):
            name = f"{KINDS[kind]}_{i}" if split == "train" else f"ILSVRC2012_val_{i + 1:08d}"
            folder = KINDS[kind] if split == "train" else ""
            save(root / split / folder / f"{name}.JPEG", picture)
            xml(inside / split / folder / f"{name}.xml", [(KINDS[kind], box) for box in boxes])


def voc(root: Path, held: Held) -> None:
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for split, each in held.items():
        names = [f"{split}{i:02d}" for i in range(len(each))]
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(names) + "\n")
        for name, (picture, kind, boxes) in zip(names, each, strict=True):
            save(root / "JPEGImages" / f"{name}.jpg", picture)
            xml(root / "Annotations" / f"{name}.xml", [(KINDS[kind], box) for box in boxes])


def table(root: Path, held: Held) -> None:
    lines = ["file,label,xmin,ymin,xmax,ymax,split"]
    for split, each in held.items():
        for i, (picture, kind, boxes) in enumerate(each):
            save(root / "images" / f"{split}{i:02d}.png", picture)
            for box in boxes:
                row = ",".join(map(str, box))
                lines.append(f"images/{split}{i:02d}.png,{KINDS[kind]},{row},{split}")
    (root / "boxes.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(params=[imagenet, voc, table], ids=lambda write: write.__name__)
def layout(request) -> Callable[[Path, Held], None]:
    return request.param


@pytest.fixture
def root(layout, tmp_path) -> Path:
    layout(tmp_path / "set", drawn())
    return tmp_path / "set"


def truths(opened: data.Data, split: str) -> list[Objects]:
    part = opened.splits[split]
    order = np.argsort([int("".join(filter(str.isdigit, name))[-2:]) for name in part.names])
    return [part.targets.truth(int(i)) for i in order]


def test_all_boxes_are_read_and_the_largest_is_learned(root):
    opened = data.open(root, task="localise")
    assert (opened.task, opened.kind, opened.classes) == ("localise", "box", KINDS)
    assert {name: len(split) for name, split in opened.splits.items()} == COUNT
    assert opened.counts("train") == [8, 8]  # items, not boxes
    assert "12 pictures with several boxes of one class: the largest is learned" in opened.note
    for truth, (_, kind, boxes) in zip(truths(opened, "val"), drawn()["val"], strict=True):
        assert truth.boxes.tolist() == [list(map(float, box)) for box in boxes]
        assert set(truth.labels.tolist()) == {kind}
    targets = opened.splits["val"].targets
    natural = np.full((len(targets), 2), SIDE)
    learned = targets.array(natural, data.Form(None, "rgb", "stretch"))
    assert learned.shape == (COUNT["val"], 1, 5)
    sizes = (learned[:, 0, 3] - learned[:, 0, 1]) * (learned[:, 0, 4] - learned[:, 0, 2])
    assert sizes.tolist() == [84.0] * COUNT["val"]
    assert learned[:, 0, 0].tolist() == targets.strata().tolist()


def test_an_answer_is_held_against_the_nearest_box(root, tmp_path):
    """By the run's own items, scored again one by one: the answer is the best over the boxes, so is the constant one."""
    run = striate.train(
        root, net="lenet5", task="localise", out=tmp_path / "runs", plan="default", size=SIDE, epochs=2, batch=8,
        augment="flip", health=0,
    )  # fmt: skip
    found = run.evaluate()
    said = (
        "4 pictures have several boxes of one class: the one that an answer overlaps most counts."
    )
    assert said in found.notes
    assert said in run.summary["notes"]
    assert "several boxes of one class" in (run.path / "report.html").read_text()
    opened = data.open(root, task="localise")
    part = opened.splits["val"]
    names = [str(root / name) for name in part.names]
    answers = [np.array(each.as_dict()["box"]) for each in run.predict(names)]
    best = [
        max(iou(box, other) for other in part.targets.truth(i).boxes)
        for i, box in enumerate(answers)
    ]
    assert found.scores["iou"].value == pytest.approx(np.mean(best), abs=1e-3)
    middle = run.task.config()["mean"]
    usual = SIDE * np.array(
        [middle[k] + sign * middle[k + 2] / 2 for sign in (-1, 1) for k in (0, 1)]
    )
    best = [
        max(iou(usual, other) for other in part.targets.truth(i).boxes) for i in range(len(part))
    ]
    constant = next(note for note in found.notes if note.startswith("Always"))
    assert f"IoU {100 * np.mean(best):.1f}" in constant
    again = Run.load(run.path).evaluate(root)
    assert again.as_dict()["scores"] == found.as_dict()["scores"]


def iou(one, other) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = float(np.prod((high - low).clip(0)))
    return shared / (float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - shared)


def test_objects_of_several_classes_are_refused(layout, tmp_path):
    """Some other class beside that of the picture, in every picture with two boxes."""
    held, root = drawn(), tmp_path / "set"
    layout(root, held)
    if layout is table:
        lines = (root / "boxes.csv").read_text().splitlines()
        for i in range(len(lines) - 1):
            if lines[i].split(",")[0] == lines[i + 1].split(",")[0]:
                lines[i] = (
                    lines[i]
                    .replace(KINDS[0], "other")
                    .replace(KINDS[1], KINDS[0])
                    .replace("other", KINDS[1])
                )
        (root / "boxes.csv").write_text("\n".join(lines) + "\n")
    else:
        for path in root.rglob("*.xml"):
            text = path.read_text()
            first = next(kind for kind in KINDS if kind in text)
            if text.count(first) > 1:
                path.write_text(text.replace(first, KINDS[1 - KINDS.index(first)], 1))
    with pytest.raises(
        DataError, match=r"12 of 24 pictures have no object or objects of several classes"
    ) as caught:
        data.open(root, task="localise")
    assert "expected objects of one class" in str(caught.value)
    assert "--task detect learns any number" in str(caught.value)
    assert "\n" not in str(caught.value)
    skipped = data.open(root, task="localise", broken="skip")
    assert len(skipped.problems) == 12


def test_a_picture_of_one_class_that_lies_in_the_folder_of_another_is_broken(tmp_path):
    root = tmp_path / "set"
    imagenet(root, drawn())
    path = next((root / "Annotations" / "CLS-LOC" / "train" / KINDS[0]).glob("*.xml"))
    path.write_text(path.read_text().replace(KINDS[0], KINDS[1]))
    (problem,) = data.open(root, task="localise").problems
    assert f"boxes of {KINDS[1]} in the folder of {KINDS[0]}" in problem.reason


def test_a_hint_where_boxes_of_a_picture_are_of_one_class(root):
    opened = data.open(root, task="detect")
    assert "every picture has objects of one class: --task localise learns it" in opened.note


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 10, 20, 20), {"iou": 1.0, "accuracy_iou50": 1.0}),  # the smaller of two
        ((0, 0, 30, 9), {"iou": 1.0, "accuracy_iou50": 1.0}),  # the larger
        ((10, 10, 20, 15), {"iou": 0.5, "accuracy_iou50": 1.0}),  # half of one
        ((10, 10, 20, 14.9), {"iou": 0.49, "accuracy_iou50": 0.0}),
    ],
)
def test_the_best_over_the_boxes_counts(box, expected):
    truth = Objects(
        np.array([(10, 10, 20, 20), (0, 0, 30, 9)], np.float32),
        np.zeros(2, np.int64),
        np.zeros(2, bool),
    )
    one = Located(np.array([0.9, 0.1], np.float32), np.array(box, np.float32), (SIDE, SIDE))
    task = Localise(("a", "b"))
    found = task.item_scores(one, truth)
    meter = task.meter()
    meter.add([one, one], [truth, truth])
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-6)
        assert meter.values()[name] == pytest.approx(value, abs=1e-6)


def test_columns_say_all_boxes():
    boxes = OneBox.of(
        [
            Objects(
                np.array([(0, 0, 2, 2), (0, 0, 9, 9)], np.float32),
                np.array([1, 1]),
                np.zeros(2, bool),
            ),
            Objects(np.empty((0, 4), np.float32), np.empty(0, np.int64), np.zeros(0, bool)),
            Objects(np.array([(3, 3, 5, 5)], np.float32), np.array([0]), np.zeros(1, bool)),
        ]
    )
    again = restored("box", boxes.columns())
    assert json.dumps([again.plain(i, KINDS, ()) for i in range(3)]) == json.dumps(
        [boxes.plain(i, KINDS, ()) for i in range(3)]
    )
    wrong: dict[str, Any] = {**boxes.columns(), "labels": np.array([0, 1, 0])}
    with pytest.raises(ValueError, match="several classes"):
        restored("box", wrong)
    assert isinstance(again, OneBox)
    assert [len(again.largest().truth(i).labels) for i in range(3)] == [1, 0, 1]
    assert again.counts(np.arange(3), 2) == [1, 1]
