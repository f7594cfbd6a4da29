"""Tables of boxes: their columns and numbers, pictures with one object or several, and rows that are wrong."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate import data
from striate.errors import DataError

HEAD = "filename,width,height,class,xmin,ymin,xmax,ymax"
GOOD = [f"{i:02d}.png,40,32,{'ab'[i % 2]},{i},2,{i + 9},12" for i in range(20)]


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "images").mkdir()
    for i in range(20):
        pixels = np.random.default_rng(i).integers(0, 256, (32, 40, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i:02d}.png")
    return tmp_path


def write(root: Path, head: str, rows: list[str]) -> Path:
    (root / "boxes.csv").write_text("\n".join([head, *rows]) + "\n")
    return root


def of(opened: data.Data, name: str):
    return next(
        split.targets.truth(i)
        for split in opened.splits.values()
        for i, other in enumerate(split.names)
        if other == f"images/{name}"
    )


def test_one_box_a_picture_is_localised_and_any_number_detected(root):
    opened = data.open(write(root, HEAD, GOOD))
    assert (opened.task, opened.kind, opened.classes) == ("localise", "box", ("a", "b"))
    assert of(opened, "03.png").boxes.tolist() == [[3, 2, 12, 12]]
    assert opened.counts("val") == [2, 2]  # by class, as labels are
    detected = data.open(root, task="detect")
    assert (detected.kind, "--task localise" in detected.note) == ("boxes", True)
    several = data.open(write(root, HEAD, [*GOOD, "03.png,40,32,b,1,1,5,5"]))
    assert (several.task, len(of(several, "03.png").labels)) == ("detect", 2)
    assert "objects of one class: --task localise learns it and the largest box" in several.note
    assert data.open(root, task="localise").counts("val") == [2, 2]


@pytest.mark.parametrize("each", [2, 5])
@pytest.mark.parametrize(("head", "suffix"), [("image_id", ""), ("image", ".png"), ("f", ".png")])
def test_several_boxes_in_every_picture(root, head, suffix, each):
    rows = [f"{i:02d}{suffix},a,{k},2,{k + 9},12" for i in range(20) for k in range(each)]
    opened = data.open(write(root, f"{head},label,xmin,ymin,xmax,ymax", rows))
    assert (opened.layout, opened.task) == ("a table of boxes", "detect")
    assert len(of(opened, "03.png").labels) == each


@pytest.mark.parametrize(
    ("head", "row", "box"),
    [
        ("ImageID,LabelName,XMin,XMax,YMin,YMax", "{},cat,0.1,0.5,0.25,0.75", [4, 8, 20, 24]),
        ("id,x,y,w,h,label", "{}.png,1,3,2,9,cat", [1, 3, 3, 12]),
        ("image,label,x1,y1,x2,y2", "images/{}.png,cat,1,3,2,9", [1, 3, 2, 9]),
        ("image,left,top,right,bottom", "{},1,3,2.5,9", [1, 3, 2.5, 9]),
    ],
)
def test_columns_and_numbers(root, head, row, box):
    opened = data.open(write(root, head, [row.format(f"{i:02d}") for i in range(20)]))
    assert of(opened, "00.png").boxes.tolist() == [pytest.approx(box)]
    assert opened.classes == (("cat",) if "abel" in head else ("object",))


def test_columns_that_are_named(root):
    write(root, "f,a,b,c,d,kind,colour", [f"{i:02d}.png,1,2,9,8,cat,red" for i in range(20)])
    opened = data.open(root, layout="box_table:box=a+b+c+d,label=kind")
    assert (opened.classes, of(opened, "00.png").boxes.tolist()) == (("cat",), [[1, 2, 9, 8]])
    for layout, message in (
        ("box_table:box=a+b", "box=a+b: expected four columns"),
        ("box_table", "has no columns of boxes"),
        ("box_table:box=a+b+c+d", "several columns that may hold their labels (kind, colour)"),
    ):
        with pytest.raises(DataError) as caught:
            data.open(root, layout=layout)
        assert message in str(caught.value)


def test_what_is_wrong_with_single_rows_is_named(root):
    rows = [
        *GOOD[:14],
        "14.png,40,32,b,1,x,4,4",
        "15.png,40,32,a,50,50,60,60",
        "16.png,40,32,a,,,,",
        "17.png,40,32,,,,,",
        "18.png,40,32,,1,1,5,5",
        "19.png,40,32,b,9,2,3,14",
        "nope.png,40,32,b,9,2,13,14",
    ]
    opened = data.open(write(root, HEAD, rows), task="localise", broken="skip")
    assert {each.file.rpartition("/")[2]: each.reason for each in opened.problems} == {
        "14.png": "boxes.csv line 16: ymin is x, expected a number",
        "15.png": "boxes.csv line 17: no object is left, boxes outside the picture are left out",
        "16.png": "boxes.csv line 18: xmin is missing, expected a number",
        "17.png": "boxes.csv: no object, expected one",
        "18.png": "boxes.csv line 20: a box without a label",
        "nope.png": "boxes.csv line 22: there is no picture nope.png",
    }
    assert {fault.kind: fault.count for fault in opened.faults} == {
        "boxes outside the picture": 1,
        "boxes drawn backwards": 1,
    }


def test_many_pictures_with_objects_of_several_classes_are_refused(root):
    others = (row.replace(",2,", ",3,").translate(str.maketrans("ab", "ba")) for row in GOOD[:7])
    write(root, HEAD, [*GOOD, *others])
    with pytest.raises(DataError) as caught:
        data.open(root, task="localise")
    assert str(caught.value) == (
        f"{root}: 7 of 20 pictures have no object or objects of several classes, and task=localise learns one class each "
        "(boxes.csv line 22: b beside a, expected objects of one class); --task detect learns any number, --broken skip leaves these pictures out"
    )
    assert len(data.open(root, task="localise", broken="skip").problems) == 7


def test_a_label_in_the_test_split_alone_is_said(root):
    rows = [f"{row},{'train' if i < 14 else 'test'}" for i, row in enumerate(GOOD)]
    rows[-1] = rows[-1].replace(",b,", ",zebra,")
    opened = data.open(write(root, f"{HEAD},split", rows))
    assert {name: len(split) for name, split in opened.splits.items()} == {"train": 14, "test": 6}
    assert opened.note.endswith("no object in train of zebra")


def test_a_picture_is_in_one_split(root):
    rows = [f"{row},{'train' if i < 14 else 'test'}" for i, row in enumerate(GOOD)]
    write(root, f"{HEAD},split", [*rows, f"{GOOD[0]},test"])
    with pytest.raises(
        DataError, match=r"line 22: images/00\.png is in test here and in train before"
    ):
        data.open(root)


def centred(x: float, y: float, w: float, h: float) -> str:
    return f"{x + w / 2},{y + h / 2},{w},{h}"


@pytest.mark.parametrize(
    "words", ["cx,cy,w,h", "X Center,Y Center,Width,Height", "center_x,center_y,w,h"]
)
@pytest.mark.parametrize("scale", [(1, 1), (40, 32)])
def test_a_centre_and_sizes(root, words, scale):
    across, down = scale
    cells = centred(4 / across, 8 / down, 16 / across, 16 / down)
    opened = data.open(
        write(root, f"image,label,{words}", [f"{i:02d}.png,cat,{cells}" for i in range(20)])
    )
    assert (opened.task, opened.classes) == ("localise", ("cat",))
    assert of(opened, "00.png").boxes.tolist() == [pytest.approx([4, 8, 20, 24])]


def test_numbers_with_decimal_commas(root):
    rows = [f"{i:02d}.png;cat;1,5;3,0;9,5;12" for i in range(20)]
    opened = data.open(write(root, "image;label;xmin;ymin;xmax;ymax", rows))
    assert of(opened, "00.png").boxes.tolist() == [[1.5, 3, 9.5, 12]]


@pytest.mark.parametrize("label", ["", "none"])
def test_a_picture_without_an_object_makes_it_detection(root, label):
    opened = data.open(write(root, HEAD, [*GOOD[:19], f"19.png,40,32,{label},,,,"]))
    assert opened.task == "detect"
    assert "1 picture without objects, used as such" in opened.note


@pytest.mark.parametrize(
    ("head", "cells", "words"),
    [
        ("image,label,x,y,w,h", "0.75,0.75,0.4,0.5", "line 2: x, y, w, h are shares of the picture and end beyond it in 20 of 20 rows"),
        ("image,label,bbox", '"[1.0, 3.0, 9.0, 12.0]"', "four numbers in each cell of column bbox, which are boxes"),
        ("image,label,box", '"(1 3 9 12)"', "four numbers in each cell of column box, which are boxes"),
    ],
)  # fmt: skip
def test_numbers_that_could_mean_two_boxes_are_refused(root, head, cells, words):
    write(root, head, [f"{i:02d}.png,cat,{cells}" for i in range(20)])
    with pytest.raises(DataError) as caught:
        data.open(root)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
