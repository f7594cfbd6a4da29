"""Folders that could be several things: what is taken, what is said, what is refused, and how to say which."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate import data
from striate.data.cache import store
from striate.data.index import Options
from striate.data.layouts import LAYOUTS
from striate.data.layouts.tree import Tree
from striate.data.pictures import Limits
from striate.errors import ArgumentError, DataError


@pytest.fixture
def root(tmp_path: Path, cache: Path) -> Path:
    (tmp_path / "set").mkdir()
    return tmp_path / "set"


def fill(root: Path, *folders: str, count: int = 4) -> Path:
    for j, folder in enumerate(folders):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            pixels = np.random.default_rng([j, k]).integers(0, 256, (6, 6, 3), np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{k}.png")
    return root


def refused(path: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        data.open(path, **options)
    return str(caught.value)


def test_characters_in_alphabets(root):
    fill(root, *(f"{a}/character{k:02}" for a in ("greek", "latin") for k in range(3)))
    opened = data.open(root)
    assert opened.classes == ("greek", "latin")
    assert opened.note == "the upper folders are taken as classes, with all folders in them"
    assert opened.others == (("deep_folders", 24), ("lower_folders", 24))
    others = opened.as_dict()["others"]
    assert others[0] == {
        "layout": "deep_folders",
        "items": 24,
        "command": f"striate data {root} --layout deep_folders",
    }
    assert (
        f"could also be read as deep_folders (24 items): {others[0]['command']}" in opened.as_text()
    )
    deep = data.open(root, layout="deep_folders")
    assert (len(deep.classes), deep.classes[0]) == (6, "greek/character00")
    lower = data.open(root, layout="lower_folders")
    assert lower.classes == ("character00", "character01", "character02")
    assert lower.counts("train") == [6, 6, 6]


def test_characters_in_alphabets_in_splits(root):
    fill(
        root,
        *(f"{s}/{a}/{k}" for s in ("train", "test") for a in ("greek", "latin") for k in range(3)),
    )
    deep = data.open(root, layout="deep_folders")
    assert {name: len(split) for name, split in deep.splits.items()} == {"train": 24, "test": 24}
    assert len(deep.classes) == 6


def test_folders_below_some_classes_are_no_classes(root):
    fill(root, "a", "b/2020", "b/2021")
    assert data.open(root).others == ()
    assert refused(root, layout="deep_folders") == (
        f"{root} cannot be read as deep_folders, which is class folders in folders, named by both; striate data {root} "
        "says what it could be"
    )


@pytest.mark.parametrize("beside", ["readme.txt", "README.md", "LICENSE", "paper.pdf"])
def test_one_folder_of_class_folders_beside_a_readme(root, beside):
    fill(root, *(f"Images/{name}" for name in ("agricultural", "airplane", "beach")))
    (root / beside).write_text("x")
    opened = data.open(root)
    assert opened.classes == ("agricultural", "airplane", "beach")
    assert opened.note == "the folders in Images/ are taken as classes"
    assert sum(opened.ignored.values()) == 1


def test_loose_pictures_in_split_folders_are_no_classes(root):
    assert "named for splits, pictures or masks (test, train), not for classes" in refused(
        fill(root, "train", "test")
    )
    assert data.open(root, layout="class_folders").classes == ("test", "train")


def test_pictures_in_one_folder_are_no_class(root):
    fill(root, "images")
    assert "named for splits, pictures or masks (images)" in refused(root)
    (root / "captions.json").write_text("{}")
    assert "named for splits, pictures or masks (images)" in refused(root)


def test_a_folder_of_a_picture_and_its_masks_holds_objects(root):
    for i in ("id1", "id2", "id3"):
        fill(root, f"{i}/images", count=1)
        fill(root, f"{i}/masks", count=3)
        (root / f"{i}/images/0.png").rename(root / f"{i}/images/{i}.png")
    assert "3 pictures that count as one" in refused(root)  # the same picture three times


def test_a_layout_by_name(root):
    fill(root, "a", "b")
    assert data.open(root, layout="class_folders").classes == ("a", "b")
    with pytest.raises(
        ArgumentError, match=r"^layout: no layout 'class_folder'; did you mean class_folders"
    ):
        data.open(root, layout="class_folder")
    with pytest.raises(
        ArgumentError,
        match=r"^layout=class_folders:a=b: no setting 'a' of class_folders; it takes none$",
    ):
        data.open(root, layout="class_folders:a=b")


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_says_when_it_is_not_there(root, name):
    (root / "notes.txt").write_text("x")
    assert refused(root, layout=name) == (
        f"{root} cannot be read as {name}, which is {LAYOUTS[name].looks}; striate data {root} says what it could be"
    )


@pytest.mark.parametrize(
    ("task", "reads"),
    [
        ("instances", "instances reads a folder of masks for each picture, a file an object, or "),
        ("localise", "localise reads pictures with XML files of Pascal VOC, or a table of boxes"),
        ("forecast", "forecast reads a table of numbers step by step, and a graph beside it"),
    ],
)
def test_a_task_that_nothing_is_good_for(root, task, reads):
    fill(root, "a", "b")
    said = refused(root, task=task)
    start = f"{root} has nothing for task={task}: it is read as class_folders for classify; {reads}"
    assert said.startswith(start)


def test_commands_are_quoted(tmp_path, cache):
    odd = fill(tmp_path / "my set", "greek/1", "greek/2", "latin/1", "latin/2")
    command = data.open(odd).as_dict()["others"][0]["command"]
    assert shlex.split(command) == ["striate", "data", str(odd), "--layout", "deep_folders"]


def test_a_layout_is_taken_again(root):
    fill(root, *(f"{a}/{k}" for a in ("greek", "latin") for k in range(3)))
    opened = data.open(root, layout="lower_folders", max_pixels=10_000, formats=["png"])
    origin = json.loads(json.dumps(opened.origin))
    again = data.again(origin)
    assert (again.classes, again.layout) == (opened.classes, opened.layout)
    assert again.origin == opened.origin


def test_more_pixels_than_the_limit(root):
    fill(root, "a", "b")
    Image.new("L", (80, 80)).save(root / "a" / "large.png")
    opened = data.open(root, max_pixels=6000, val=0)
    assert [(p.file, p.reason) for p in opened.problems] == [
        ("a/large.png", "80 x 80 = 6,400 pixels; the limit is 6,000: raise it with max_pixels=")
    ]
    assert data.open(root, max_pixels=7000, val=0).problems == ()


def test_boxes_and_masks_of_the_same_pictures_ask_for_a_task(root):
    fill(root, "JPEGImages", count=6)
    for k in range(6):
        (root / "SegmentationClass").mkdir(exist_ok=True)
        Image.fromarray(np.eye(6, dtype=np.uint8)).save(root / f"SegmentationClass/{k}.png")
        (root / "Annotations").mkdir(exist_ok=True)
        (root / f"Annotations/{k}.xml").write_text(
            f"<annotation><filename>{k}.png</filename><size><width>6</width><height>6</height></size><object><name>cat"
            "</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></object></annotation>"
        )
    assert refused(root) == (
        f"{root} holds targets for two tasks; 6 items as voc: --task detect, 6 items as masks: --task segment"
    )
    assert data.open(root, task="segment").layout == "pictures with masks"
    assert data.open(root, task="detect").task == "detect"
    assert data.open(root, layout="masks").task == "segment"


def test_why_a_layout_was_taken_is_said_beside_others(root, idx_files):
    fill(root, "png/a", "png/b")
    idx_files(root)
    opened = data.open(root)
    assert opened.as_dict()["read_as"] == {
        "layout": "idx",
        "why": "t10k-images-idx3-ubyte.gz is named like a file of MNIST",
    }
    assert (
        "read as idx, because t10k-images-idx3-ubyte.gz is named like a file of MNIST\n"
        in opened.as_text()
    )
    assert all(candidate.why for candidate in found(root).values())


def found(root: Path) -> dict[str, Any]:
    options = Options((), Limits(), store())
    return {
        name: candidate
        for name, layout in LAYOUTS.items()
        if (candidate := layout.find(Tree(root, options, name=root)))
    }
