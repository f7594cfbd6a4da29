"""Masks of single objects in every layout: ids that jump, colours, one value, a file an object, COCO."""

import json

import numpy as np
import pytest
from PIL import Image

from striate import data
from striate.data.instances import (
    BACKGROUND,
    BORDER,
    IGNORE,
    INSIDE,
    borders,
    gaps,
    learned,
    nearest,
)
from striate.data.sources import Form
from striate.errors import DataError

SIZE = (20, 24)


def ids() -> np.ndarray:
    """Two objects that touch, and one by itself."""
    found = np.zeros(SIZE, np.int32)
    found[3:9, 2:8], found[3:9, 8:14], found[12:18, 15:22] = 1, 2, 3
    return found


def write(root, masks, count=6, kind="masks"):
    for name in ("images", kind):
        (root / name).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, SIZE, dtype=np.uint8)).save(
            root / "images" / f"{i}.png"
        )
        Image.fromarray(masks(i)).save(root / kind / f"{i}.png")
    return root


def truth(root, **more) -> np.ndarray:
    opened = data.open(root, task="instances", **more)
    assert (opened.task, opened.kind, opened.classes) == ("instances", "instances", ())
    return opened.splits["train"].targets.truth(0)


def same(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether two label pictures part the pixels alike."""
    pairs = np.unique(np.stack([found.ravel(), wanted.ravel()]), axis=1)
    return len(pairs[0]) == len(np.unique(found)) == len(np.unique(wanted))


@pytest.mark.parametrize(
    ("table", "kind"),
    [((0, 1, 2, 3), np.uint8), ((0, 4, 90, 91), np.uint8), ((0, 3, 70, 60000), np.uint16)],
)
def test_ids_may_jump(table, kind, tmp_path):
    root = write(tmp_path, lambda _i: np.array(table, kind)[ids()])
    assert same(truth(root), ids())
    assert truth(root).max() == 3
    note = data.open(root, task="instances").note
    jumps = table[-1] != 3
    assert ("ids that jump" in note) == jumps


def test_colours_are_objects(tmp_path):
    colors = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (10, 10, 200)], np.uint8)
    assert same(truth(write(tmp_path, lambda _i: colors[ids()])), ids())


def test_one_value_is_parted_into_regions(tmp_path):
    root = write(tmp_path, lambda _i: ((ids() > 0) * 255).astype(np.uint8))
    found = truth(root)
    assert found.max() == 2  # the two that touch are one region
    assert "each connected region of it is an object" in data.open(root, task="instances").note


def test_a_file_an_object(tmp_path):
    rng = np.random.default_rng(0)
    for layout in ("apart", "together"):
        for i in range(6):
            home = tmp_path / layout / (f"{i}" if layout == "apart" else "")
            masks = home / "masks" / ("" if layout == "apart" else f"{i}")
            (home / "images").mkdir(parents=True, exist_ok=True)
            masks.mkdir(parents=True)
            picture = rng.integers(0, 255, SIZE, dtype=np.uint8)
            Image.fromarray(picture).save(home / "images" / f"{i}.png")
            for k in (1, 2, 3):
                mask = ((ids() == k) * 255).astype(np.uint8)
                Image.fromarray(mask).save(masks / f"part{k}.png")
        opened = data.open(tmp_path / layout)
        assert opened.read_as[0] == "instance_folders"
        assert len(opened) == 6
        assert same(opened.splits["train"].targets.truth(0), ids())


def test_coco_outlines_and_crowds(tmp_path):
    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for i in range(6):
        Image.fromarray(np.full(SIZE, 9 * i, np.uint8)).save(tmp_path / "images" / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "height": SIZE[0], "width": SIZE[1]})
        for k, (x0, y0, x1, y1) in enumerate([(2, 3, 8, 9), (8, 3, 14, 9), (15, 12, 22, 18)]):
            ring = [x0, y0, x1, y0, x1, y1, x0, y1]
            annotations.append(
                {"id": 3 * i + k, "image_id": i, "category_id": 1 + k % 2, "bbox": [x0, y0, x1 - x0, y1 - y0],
                 "segmentation": [ring], "iscrowd": 0, "area": 36}
            )  # fmt: skip
        runs = {"counts": [0, 2, SIZE[0] * SIZE[1] - 2], "size": list(SIZE)}
        annotations.append(
            {"id": 90 + i, "image_id": i, "category_id": 1, "bbox": [0, 0, 1, 2], "segmentation": runs,
             "iscrowd": 1, "area": 2}
        )  # fmt: skip
    kinds = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    whole = {"images": images, "annotations": annotations, "categories": kinds}
    (tmp_path / "annotations.json").write_text(json.dumps(whole))
    wanted = ids()
    wanted[0:2, 0] = -1
    found = truth(tmp_path)
    assert same(found, wanted)
    assert found[0, 0] == -1


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (None, "6 pictures in 1 class, COCO\nboxes alone are read: with the outlines task=segment learns"),
        ("instances", "6 pictures with single objects, COCO\n\n"),
        ("reconstruct", "6 pictures to be given back, "),
        ("segment", "6 pictures in 2 classes, COCO\n\n"),
    ],
)  # fmt: skip
def test_the_summary_says_what_belongs_to_the_pictures(task, words, tmp_path):
    write(tmp_path / "set", lambda _: ids().astype(np.uint8))
    for mask in (tmp_path / "set" / "masks").iterdir():
        mask.unlink()
    ring = [2, 3, 8, 3, 8, 9, 2, 9]
    described = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(6)],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [
            {"id": k, "image_id": i, "category_id": 1, "bbox": [2 + j, 3, 6, 6], "segmentation": [ring]}
            for k, (i, j) in enumerate((i, j) for i in range(6) for j in range(2))
        ],
    }  # fmt: skip
    (tmp_path / "set" / "annotations.json").write_text(json.dumps(described))
    assert words in data.open(tmp_path / "set", task=task).as_text()


def test_masks_of_numbers_say_that_they_may_be_of_single_objects(tmp_path):
    root = write(tmp_path / "set", lambda _: ids().astype(np.uint8))
    assert "where they number single objects, give task=instances" in data.open(root).as_text()


def test_what_is_learned_by_hand():
    maps = learned(ids())
    classes, weights = maps[..., 0], maps[..., 1]
    assert (classes[4:8, 3:7] == INSIDE).all()
    assert (classes[3:9, 7:9] == BORDER).all()  # both sides of where two touch
    assert classes[0, 0] == BACKGROUND
    marked = ids()
    marked[0] = -1
    assert (learned(marked)[0, :, 0] == IGNORE).all()
    assert (weights[ids() > 0] == 0).all()
    # one pixel below where the two meet: 1 from each, exp(-(1 + 1)^2 / 50); the corner is farther away
    assert weights[9, 7] == pytest.approx(255 * np.exp(-((1 + np.sqrt(2)) ** 2) / 50), abs=1)
    assert weights[0, 23] < weights[9, 7]
    assert (gaps(np.zeros(SIZE, np.int32)) == 0).all()
    assert (gaps((ids() == 1).astype(np.int32)) == 0).all()


def test_a_whole_picture_of_one_object_has_no_border():
    assert not borders(np.ones((4, 4), np.int32)).any()
    assert (learned(np.ones((4, 4), np.int32))[..., 0] == INSIDE).all()


@pytest.mark.parametrize("fit", ["stretch", "cover"])
def test_resizing_takes_the_nearest_id(fit):
    big = np.kron(ids(), np.ones((3, 3), np.int32))
    assert np.array_equal(nearest(big, Form(SIZE, "grey", fit)), ids())


@pytest.mark.parametrize(
    ("masks", "says"),
    [
        (lambda _i: np.zeros(SIZE, np.uint8), "no object in any mask: all values are 0"),
        (
            lambda i: np.random.default_rng(i).integers(0, 255, (*SIZE, 3), dtype=np.uint8),
            "",
        ),
    ],
)
def test_masks_without_objects_are_one_line(masks, says, tmp_path):
    root = write(tmp_path, masks)
    if not says:  # as many colours as pixels are objects, of a pixel each: nothing tells that apart
        assert truth(root).max() > 300
        return
    with pytest.raises(DataError) as error:
        data.open(root, task="instances")
    assert says in str(error.value)
