"""Boxes and outlines from Pascal VOC, COCO, YOLO and LabelMe: every shape of folder, every fault."""

import json
import re
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate.data.layouts.annotation_targets import turned
from striate.data.masks import runs
from striate.errors import DataError

H, W = 30, 40
# name -> objects as class and edges; one picture has none
SCENE = {
    "p0": [("cat", 2, 3, 12, 13), ("dog", 0, 0, 40, 30)],
    "p1": [("dog", 20, 10, 30, 28)],
    "p2": [],
    "p3": [("cat", 5, 5, 9, 11)],
}
SPLITS = {"train": ["p0", "p1", "p2"], "val": ["p3"]}


def picture(path: Path, size=(H, W), orientation: int = 1) -> None:
    """A picture of noise that is another one for every path; orientation as EXIF has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(ord(c) * 31**i for i, c in enumerate(str(path)[-24:])) % 2**32
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    out = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(out, "JPEG", **({"exif": exif} if orientation != 1 else {}))
    path.write_bytes(out.getvalue())


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def xml(objects, size=(H, W), more="") -> str:
    """The boxes from their first to their last pixel, counted from 1."""
    lines = ["<annotation>"]
    if size:
        lines.append(f"<size><width>{size[1]}</width><height>{size[0]}</height></size>")
    lines += [
        f"<object><name>{label}</name>\n{more}<bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for label, x0, y0, x1, y1 in objects
    ]
    return "\n".join([*lines, "</annotation>"])


def yolo(objects, classes=("cat", "dog"), size=(H, W)) -> str:
    return "\n".join(
        f"{classes.index(label)} {(x0 + x1) / 2 / size[1]!r} {(y0 + y1) / 2 / size[0]!r} "
        f"{(x1 - x0) / size[1]!r} {(y1 - y0) / size[0]!r}"
        for label, x0, y0, x1, y1 in objects
    )


def coco(names, prefix="", **more) -> dict[str, Any]:
    """The categories have gaps in their numbers."""
    images = [
        {"id": 10 * i, "file_name": f"{prefix}{name}.jpg", "height": H, "width": W}
        for i, name in enumerate(names)
    ]
    annotations = [
        {
            "image_id": 10 * i,
            "category_id": {"cat": 3, "dog": 17}[label],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
        }
        for i, name in enumerate(names)
        for label, x0, y0, x1, y1 in SCENE[name]
    ]
    numbered = [{"id": k, "iscrowd": 0, **a} for k, a in enumerate(annotations)]
    categories = [{"id": 3, "name": "cat"}, {"id": 17, "name": "dog"}]
    return {"images": images, "annotations": numbered, "categories": categories, **more}


def labelme(objects, size=(H, W), kind="rectangle") -> dict[str, Any]:
    shapes = []
    for label, x0, y0, x1, y1 in objects:
        points = [[x1, y0], [x0, y1]]  # any two corners that face each other
        if kind == "polygon":
            points = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
        shapes.append({"label": label, "points": points, "shape_type": kind, "group_id": None})
    return {"shapes": shapes, "imageHeight": size[0], "imageWidth": size[1], "imagePath": "x.jpg"}


def each(root: Path, pictures: str, notes: str, text) -> None:
    """A picture and a note for each name; the folders may have {split} in them."""
    for split, names in SPLITS.items():
        for name in names:
            picture(root / pictures.format(split=split) / f"{name}.jpg")
            folder, suffix = notes.format(split=split).rsplit("*", 1)
            write(root / folder / f"{name}{suffix}", text(SCENE[name]))


def voc_lists(root):
    each(root, "JPEGImages", "Annotations/*.xml", xml)
    for split, names in SPLITS.items():
        write(root / f"ImageSets/Main/{split}.txt", "\n".join(names))
    write(root / "ImageSets/Main/trainval.txt", "\n".join(SCENE))
    write(root / "ImageSets/Main/cat_train.txt", "p0  1\np1 -1\np2 -1\n")


def voc_devkit(root):
    voc_lists(root / "VOCdevkit" / "VOC2007")


def voc_splits(root):
    each(root, "{split}/images", "{split}/annotations/*.xml", xml)


def voc_beside(root):
    each(root, "{split}", "{split}/*.xml", xml)


def coco_years(root):
    for split, names in SPLITS.items():
        for name in names:
            picture(root / f"{split}2017" / f"{name}.jpg")
        write(root / f"annotations/instances_{split}2017.json", json.dumps(coco(names)))
        write(root / f"annotations/captions_{split}2017.json", json.dumps(coco(names)))


def coco_images(root):
    for split, names in SPLITS.items():
        for name in names:
            picture(root / "images" / f"{name}.jpg")
        write(root / f"{split}.json", json.dumps(coco(names)))


def coco_roboflow(root):
    group = [{"id": 0, "name": "pets", "supercategory": "none"}]
    for split, names in SPLITS.items():
        folder = root / {"train": "train", "val": "valid"}[split]
        for name in names:
            picture(folder / f"{name}.jpg")
        content = coco(names)
        content["categories"] = group + [
            {**c, "supercategory": "pets"} for c in content["categories"]
        ]
        write(folder / "_annotations.coco.json", json.dumps(content))


def yolo_plain(root):
    each(root, "images/{split}", "labels/{split}/*.txt", yolo)
    write(root / "classes.txt", "cat\ndog\n")


def yolo_config(root):
    each(root, "images/{split}", "labels/{split}/*.txt", yolo)
    write(
        root / "data.yaml",
        "path: ../datasets/pets\ntrain: images/train\nval: images/val\nnc: 2\nnames: [cat, dog]\n",
    )


def yolo_roboflow(root):
    each(root, "{split}/images", "{split}/labels/*.txt", yolo)
    write(
        root / "data.yaml",
        "train: ../train/images\nval: ../val/images\ntest: ../test/images\nnames: {0: cat, 1: dog}\n",
    )
    write(root / "README.roboflow.txt", "pets\n")


def yolo_foreign(root):
    each(root, "images/{split}", "labels/{split}/*.txt", yolo)
    write(
        root / "data.yaml",
        "train: /content/pets/images/train\nval:\n  - /content/pets/images/val\nnames:\n- cat\n- dog\n",
    )


def yolo_lists(root):
    each(root, "obj_train_data", "obj_train_data/*.txt", yolo)
    write(root / "obj.names", "cat\ndog\n")
    for split, names in SPLITS.items():
        lines = [f"data/obj_train_data/{name}.jpg" for name in names]
        write(root / f"{split}.txt", "\n".join(lines))


def labelme_beside(root):
    each(root, "{split}", "{split}/*.json", lambda o: json.dumps(labelme(o)))


LAYOUTS = {
    voc_lists: "Pascal VOC with lists",
    voc_devkit: "Pascal VOC with lists",
    voc_splits: "Pascal VOC",
    voc_beside: "Pascal VOC",
    coco_years: "COCO",
    coco_images: "COCO",
    coco_roboflow: "COCO",
    yolo_plain: "YOLO text",
    yolo_config: "YOLO text",
    yolo_roboflow: "YOLO text",
    yolo_foreign: "YOLO text",
    yolo_lists: "YOLO text",
    labelme_beside: "LabelMe JSON",
}


def truths(data):
    """Split -> stem -> its objects as class and corners."""
    return {
        name: {
            Path(item).stem: [
                (data.classes[k], *np.round(box, 3).tolist())
                for box, k, _ in zip(*split.targets.truth(i), strict=True)
            ]
            for i, item in enumerate(split.names)
        }
        for name, split in data.splits.items()
    }


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_every_layout_gives_the_same_boxes(tmp_path, cache, make):
    make(tmp_path / "d")
    data = striate.open(tmp_path / "d")
    assert (data.task, data.kind, data.layout) == ("detect", "boxes", LAYOUTS[make])
    assert data.classes == ("cat", "dog")
    assert truths(data) == {
        split: {name: SCENE[name] for name in names} for split, names in SPLITS.items()
    }
    assert data.problems == ()
    assert data.faults == ()
    got = data.as_dict()
    assert got["counts"] == {"cat": {"train": 1, "val": 1}, "dog": {"train": 2, "val": 0}}
    assert "1 picture without objects" in got["note"]
    assert json.loads(json.dumps(got)) == got


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_boxes_follow_their_pictures_into_the_arrays(tmp_path, cache, make):
    make(tmp_path / "d")
    arrays = striate.open(tmp_path / "d").arrays("train", size=(H // 2, W // 2))
    assert arrays.inputs.shape == (3, H // 2, W // 2, 3)
    assert np.asarray(arrays.targets)[0].tolist() == [[0, 1, 1.5, 6, 6.5], [1, 0, 0, 20, 15]]


def bad_xml(objects="", tail="</annotation>"):
    return f"<annotation>\n<size><width>{W}</width><height>{H}</height></size>\n{objects}\n{tail}"


def an_object(inner, name="cat"):
    return f"<object><name>{name}</name>\n<bndbox>{inner}</bndbox></object>"


def box_xml(*numbers):
    sides = ("xmin", "ymin", "xmax", "ymax")
    return "".join(f"<{s}>{n}</{s}>" for s, n in zip(sides, numbers, strict=True))


VOC = "Annotations/p1.xml"
YOLO = "labels/train/p1.txt"
COCO = "annotations/instances_train2017.json"
LABELME = "train/p1.json"
SHAPE = {"label": "cat", "points": [[1, 1], [5, 5]], "shape_type": "rectangle"}


def with_annotation(**more):
    """The COCO file with one more annotation of p1, number 99."""
    content = coco(SPLITS["train"])
    content["annotations"].append(
        {"id": 99, "image_id": 10, "category_id": 3, "bbox": [1, 1, 5, 5], "iscrowd": 0, **more}
    )
    return json.dumps(content)


def with_shape(**more):
    content = labelme(SCENE["p1"])
    content["shapes"].append({**SHAPE, **more})
    return json.dumps(content)


# layout, file, its content, what the reason says; p1 is broken and the others are not
BROKEN = [
    (voc_lists, VOC, "<annotation><object>", r"Annotations/p1.xml line 1: no sound XML \(no element found\)"),
    (voc_lists, VOC, "", r"Annotations/p1.xml line 1: no sound XML"),
    (voc_lists, VOC, bad_xml(an_object(box_xml(1, 2, 3, "x"))), "p1.xml line 4: ymax is x, expected a number"),
    (voc_lists, VOC, bad_xml(an_object(box_xml(1, 2, 3, ""))), "p1.xml line 4: ymax is missing"),
    (voc_lists, VOC, bad_xml(an_object(box_xml(1, 2, 3, "nan"))), "line 4: a box with numbers that are not finite"),
    (voc_lists, VOC, bad_xml("<object><name>cat</name></object>"), "line 3: an object without a bndbox"),
    (voc_lists, VOC, bad_xml(an_object(box_xml(1, 2, 3, 4), name=" ")), "line 3: an object without a name"),
    (voc_lists, VOC, bad_xml(an_object(box_xml(0.1, 0.2, 0.5, 0.9))), "line 4: shares from 0 to 1, where pixels"),
    (voc_lists, VOC, xml(SCENE["p1"], size=(60, 80)), "Annotations/p1.xml: made for 80 x 60 pixels, the picture has 40 x 30"),
    (voc_lists, VOC, xml(SCENE["p1"], size=(W, H)), "made for 30 x 40 pixels"),
    (voc_lists, VOC, "<kml></kml>", "p1.xml line 1: <kml>, expected <annotation>"),
    (voc_lists, VOC, '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', r"line 1: a document type \(DOCTYPE\)"),
    (voc_lists, VOC, "<annotation>" * 100, "more than 64 elements within each other"),
    (yolo_plain, YOLO, "0 0.5 0.5 0.2 0.2\n7 0.5 0.5 0.1 0.1", r"labels/train/p1.txt line 2: class 7, but classes.txt names 2 \(0 to 1\)"),
    (yolo_config, YOLO, "2 0.5 0.5 0.1 0.1", "line 1: class 2, but data.yaml names 2"),
    (yolo_plain, YOLO, "0 0.5 0.5 0.2 0.2\n\n0 20 15 4 4", r"p1.txt line 3: 20, where a share of the picture .* \(pixels or per cent\?\)"),
    (yolo_plain, YOLO, "0 50.0 50.0 10.0 12.5", "line 1: 50, where a share"),
    (yolo_plain, YOLO, "0 0.5 0.5 0.2 0.2\ncat 0.5 0.5 0.1 0.1", "line 2: cat, where a number is expected"),
    (yolo_plain, YOLO, "0 0.5 0.5 0.2 0.2\n0 0.5 nan 0.1 0.1", "line 2: nan, where a number is expected"),
    (yolo_plain, YOLO, "0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.1", "line 2: 4 numbers, expected 5"),
    (yolo_plain, YOLO, "0 0.5 0.5 0.2 0.2 0.9", "line 1: 6 numbers, expected 5"),
    (yolo_plain, YOLO, "-1 0.5 0.5 0.2 0.2", "line 1: the class -1, expected a whole number"),
    (yolo_plain, YOLO, "0.5 0.5 0.5 0.2 0.2", "line 1: the class 0.5, expected a whole number"),
    (coco_years, COCO, with_annotation(category_id=4), "instances_train2017.json annotation 99: category 4 is not among"),
    (coco_years, COCO, with_annotation(category_id=None), "annotation 99: category None is not among"),
    (coco_years, COCO, with_annotation(bbox=[1, 2, 3]), r"annotation 99: the bbox \[1, 2, 3\], expected x, y, width and height"),
    (coco_years, COCO, with_annotation(bbox="1 2 3 4"), "annotation 99: the bbox 1 2 3 4"),
    (coco_years, COCO, with_annotation(bbox=None), "annotation 99: neither a bbox nor a segmentation"),
    (coco_years, COCO, with_annotation(bbox=None, segmentation=[[1, 2, 3, 4]]), "annotation 99: the polygon"),
    (coco_years, COCO, with_annotation(bbox=None, segmentation={"size": [H, W], "counts": [5]}), "run lengths of 5 pixels together, for 40 x 30"),
    (coco_years, COCO, with_annotation(bbox=None, segmentation={"size": [9, 9], "counts": [81]}), "run lengths of 9 x 9 pixels"),
    (coco_years, COCO, with_annotation(bbox=None, segmentation={"size": [H, W], "counts": "~~"}), "run lengths that"),
    (labelme_beside, LABELME, "{", r"train/p1.json line 1: no sound JSON"),
    (labelme_beside, LABELME, "[1]", "train/p1.json has no shapes"),
    (labelme_beside, LABELME, with_shape(label=None), "p1.json shape 2: no label"),
    (labelme_beside, LABELME, with_shape(points=[[1, 1]]), "shape 2: expected 2 points or more"),
    (labelme_beside, LABELME, with_shape(points=[[1, 1], [2, "x"]]), "shape 2: expected 2 points"),
    (labelme_beside, LABELME, json.dumps(labelme(SCENE["p1"], size=(9, 9))), "made for 9 x 9 pixels, the picture has 40 x 30"),
    (labelme_beside, LABELME, json.dumps(labelme([("cat", 0.1, 0.2, 0.4, 0.5)])), "shares from 0 to 1"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "file", "content", "reason"),
    BROKEN,
    ids=[f"{row[0].__name__.partition('_')[0]}-{k}" for k, row in enumerate(BROKEN)],
)
def test_an_annotation_that_cannot_be_used_makes_its_picture_broken(
    tmp_path, cache, make, file, content, reason
):
    root = tmp_path / "d"
    make(root)
    write(root / file, content)
    data = striate.open(root)
    (problem,) = data.problems
    assert Path(problem.file).stem == "p1"
    assert re.search(reason, problem.reason), problem.reason
    assert data.as_dict()["splits"] == {"train": 2, "val": 1}
    assert list(data.arrays("train", size=(8, 8)).numbers) == [0, 2]


# layout, file, content, kind of the fault, where, and what is left of p1
SLIPS = [
    (voc_lists, VOC, bad_xml(an_object(box_xml(5, 5, 5, 9))), "boxes without area", "Annotations/p1.xml line 4", []),
    (voc_lists, VOC, bad_xml(an_object(box_xml(50, 5, 60, 9))), "boxes outside the picture", "p1.xml line 4", []),
    (voc_lists, VOC, bad_xml(an_object(box_xml(31, 5, 60, 9))), "boxes that reach outside the picture", "p1.xml line 4", [("cat", 30, 4, 40, 9)]),
    (voc_lists, VOC, bad_xml(an_object(box_xml(10, 9, 3, 5))), "boxes drawn backwards", "p1.xml line 4", [("cat", 2, 4, 10, 9)]),
    (voc_lists, VOC, xml([("cat", 1, 2, 5, 6)] * 2), "boxes given twice", "p1.xml line 6", [("cat", 1, 2, 5, 6)]),
    (yolo_plain, YOLO, "0 0.5 0.5 0 0.2", "boxes without area", "labels/train/p1.txt line 1", []),
    (yolo_plain, YOLO, "0 0.5 0.5 0.5 0.5\n0 1.5 0.5 0.2 0.2", "boxes outside the picture", "p1.txt line 2", [("cat", 10, 7.5, 30, 22.5)]),
    (yolo_plain, YOLO, "1 0.95 0.5 0.2 0.2", "boxes that reach outside the picture", "p1.txt line 1", [("dog", 34, 12, 40, 18)]),
    (yolo_plain, YOLO, "1 0.5 0.5 -0.2 0.2", "boxes drawn backwards", "p1.txt line 1", [("dog", 16, 12, 24, 18)]),
    (yolo_plain, YOLO, "1 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2", "boxes given twice", "p1.txt line 2", [("dog", 16, 12, 24, 18)]),
    (coco_years, COCO, with_annotation(bbox=[1, 1, 0, 5]), "boxes without area", "annotations/instances_train2017.json annotation 99", SCENE["p1"]),
    (coco_years, COCO, with_annotation(bbox=[-9, 1, 5, 5]), "boxes outside the picture", "annotation 99", SCENE["p1"]),
    (coco_years, COCO, with_annotation(bbox=[-3, 1, 5, 5]), "boxes that reach outside the picture", "annotation 99", [*SCENE["p1"], ("cat", 0, 1, 2, 6)]),
    (coco_years, COCO, with_annotation(bbox=[6, 6, -5, -5]), "boxes drawn backwards", "annotation 99", [*SCENE["p1"], ("cat", 1, 1, 6, 6)]),
    (coco_years, COCO, with_annotation(image_id=777), "annotations of no picture", "annotation 99", SCENE["p1"]),
    (coco_years, COCO, with_annotation(id=0), "annotations with a number given twice", "annotation 0", [*SCENE["p1"], ("cat", 1, 1, 6, 6)]),
    (labelme_beside, LABELME, with_shape(points=[[1, 1], [1, 5]]), "boxes without area", "train/p1.json shape 2", SCENE["p1"]),
    (labelme_beside, LABELME, with_shape(points=[[50, 1], [60, 5]]), "boxes outside the picture", "p1.json shape 2", SCENE["p1"]),
    (labelme_beside, LABELME, with_shape(points=[[30, 1], [60, 5]]), "boxes that reach outside the picture", "p1.json shape 2", [*SCENE["p1"], ("cat", 30, 1, 40, 5)]),
    (labelme_beside, LABELME, with_shape(shape_type="line"), "points and lines", "p1.json shape 2", SCENE["p1"]),
]  # fmt: skip
LEFT_OUT = {"boxes without area", "boxes outside the picture", "boxes given twice", "annotations of no picture", "points and lines"}  # fmt: skip


@pytest.mark.parametrize(
    ("make", "file", "content", "kind", "place", "left"),
    SLIPS,
    ids=[f"{row[0].__name__.partition('_')[0]}-{k}" for k, row in enumerate(SLIPS)],
)
def test_what_is_wrong_with_a_box_is_named_and_counted(
    tmp_path, cache, make, file, content, kind, place, left
):
    root = tmp_path / "d"
    make(root)
    write(root / file, content)
    data = striate.open(root)
    assert truths(data)["train"]["p1"] == left
    assert data.problems == ()
    (fault,) = data.faults
    assert (fault.kind, fault.count) == (kind, 1)
    assert fault.places[0].endswith(place)
    assert data.ignored.get(kind, 0) == (kind in LEFT_OUT)
    assert f"{kind}: 1, {fault.done} ({fault.places[0]})" in data.as_text()


@pytest.mark.parametrize(
    ("numbers", "edges", "words"),
    [
        ([(1, 1, 10, 5), (3, 4, 40, 30)], [(0, 0, 10, 5), (2, 3, 40, 30)], "counted from 1"),
        ([(0, 0, 9, 4), (3, 4, 39, 29)], [(0, 0, 10, 5), (3, 4, 40, 30)], "counted from 0"),
        ([(0, 0, 10, 5), (3, 4, 40, 30)], [(0, 0, 10, 5), (3, 4, 40, 30)], "boxes as edges"),
        ([(0.5, 1, 9, 4.25)], [(0.5, 1, 9, 4.25)], "boxes as edges"),
    ],
)
def test_whether_voc_counts_from_1_follows_from_the_set_and_is_said(
    tmp_path, cache, numbers, edges, words
):
    for i, box in enumerate(numbers * 5):
        picture(tmp_path / f"d/JPEGImages/{i}.jpg")
        write(tmp_path / f"d/Annotations/{i}.xml", bad_xml(an_object(box_xml(*box))))
    data = striate.open(tmp_path / "d", val=0)
    found = [tuple(data.splits["all"].targets.truth(i).boxes[0].tolist()) for i in range(len(data))]
    assert sorted(set(found)) == sorted(edges)
    assert words in data.note
    assert data.faults == ()


def many(root: Path, count=20, good=14, box="0 1.7 0.5 0.2 0.2") -> Path:
    for i in range(count):
        picture(root / f"images/{i:02}.jpg")
        write(root / f"labels/{i:02}.txt", "0 0.5 0.5 0.2 0.2" if i < good else box)
    return root


def test_more_than_a_few_broken_annotations_stop(tmp_path, cache):
    root = many(tmp_path / "d", box="7 0.5 0.5 0.1 0.1")
    write(root / "classes.txt", "cat\n")
    with pytest.raises(
        DataError,
        match=r"6 of 20 .* cannot be read.*labels/14.txt line 1: class 7, but classes.txt",
    ):
        striate.open(root).check()
    data = striate.open(root, broken="skip")
    data.check()
    assert data.as_dict()["items"] == 14


def test_a_fault_of_many_boxes_is_a_misreading(tmp_path, cache):
    root = many(tmp_path / "d")
    with pytest.raises(
        DataError, match=r"labels/14.txt line 1: one of many boxes outside the picture"
    ):
        striate.open(root).check()
    assert len(striate.open(many(tmp_path / "e", good=15)).problems) == 0


def test_pictures_that_are_missing_are_broken_and_no_copies(tmp_path, cache):
    for make in (voc_lists, coco_years, yolo_plain, labelme_beside):
        root = tmp_path / make.__name__
        make(root)
        for name in ("p0", "p1"):
            next(root.rglob(f"{name}.jpg")).unlink()
        data = striate.open(root)
        assert [Path(p.file).stem for p in data.problems] == ["p0", "p1"]
        assert all("missing" in p.reason and "p1" in data.problems[1].reason for p in data.problems)
        assert data.duplicates == ()
        assert data.as_dict()["splits"] == {"train": 1, "val": 1}


def test_a_listed_name_without_a_picture_is_broken(tmp_path, cache):
    voc_lists(tmp_path / "d")
    write(tmp_path / "d/ImageSets/Main/train.txt", "p0\nnowhere\np1.jpg\n../../etc/p9\n")
    data = striate.open(tmp_path / "d")
    reasons = [p.reason for p in data.problems]
    assert reasons[0] == "ImageSets/Main/train.txt line 2: there is no picture JPEGImages/nowhere"
    assert data.problems[1].file == "JPEGImages/etc/p9"
    assert data.as_dict()["splits"] == {"train": 2, "val": 1}
    assert data.ignored["pictures in no split"] == 1


def test_years_of_the_challenge_keep_their_lists(tmp_path, cache):
    for year in ("VOC2007", "VOC2012"):
        voc_lists(tmp_path / "d/VOCdevkit" / year)
    data = striate.open(tmp_path / "d")
    assert {name: sorted(split.names) for name, split in data.splits.items()} == {
        split: sorted(
            f"{year}/JPEGImages/{n}.jpg" for year in ("VOC2007", "VOC2012") for n in names
        )
        for split, names in SPLITS.items()
    }


def test_lists_of_one_class_each_are_taken_together(tmp_path, cache):
    voc_lists(tmp_path / "d")
    lists = tmp_path / "d/ImageSets/Main"
    for split in ("train", "val", "trainval"):
        (lists / f"{split}.txt").unlink()
    write(lists / "dog_val.txt", "p3 -1\n")
    data = striate.open(tmp_path / "d")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 3, "val": 1}


@pytest.mark.parametrize(
    "file",
    ["annotations/instances_train2017.json", "../e/train/_annotations.coco.json", "../f/data.yaml"],
)
def test_a_file_stands_for_its_folder(tmp_path, cache, file):
    coco_years(tmp_path / "d")
    coco_roboflow(tmp_path / "e")
    yolo_config(tmp_path / "f")
    data = striate.open((tmp_path / "d" / file).resolve())
    assert data.problems == ()
    found = {stem: objects for split in truths(data).values() for stem, objects in split.items()}
    assert found == {name: SCENE[name] for name in found}
    assert len(found) == (4 if "data.yaml" in file else 3)


def test_an_archive_of_boxes(tmp_path, cache):
    yolo_roboflow(tmp_path / "d")
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "d")
    data = striate.open(tmp_path / "packed.zip")
    assert data.layout == "YOLO text in an archive"
    assert truths(data)["val"] == {"p3": SCENE["p3"]}


def test_trainval_alone_is_the_training_split(tmp_path, cache):
    voc_lists(tmp_path / "d")
    lists = tmp_path / "d/ImageSets/Main"
    (lists / "train.txt").unlink()
    (lists / "val.txt").rename(lists / "test.txt")
    assert {n: len(s) for n, s in striate.open(tmp_path / "d").splits.items()} == {
        "train": 4,
        "test": 1,
    }


def test_a_picture_of_another_split_is_not_taken_for_one_that_is_missing(tmp_path, cache):
    coco_years(tmp_path / "d")
    (tmp_path / "d/train2017/p0.jpg").rename(tmp_path / "d/val2017/p0.jpg")
    (problem,) = striate.open(tmp_path / "d").problems
    assert problem.reason == "annotations/instances_train2017.json: image 0, p0.jpg, is missing"


def test_a_name_that_could_be_several_files_is_broken(tmp_path, cache):
    coco_images(tmp_path / "d")
    for folder in ("a", "b"):
        picture(tmp_path / f"d/images/{folder}/p0.jpg")
    (tmp_path / "d/images/p0.jpg").unlink()
    (problem,) = striate.open(tmp_path / "d").problems
    assert problem.reason == "train.json: image 0, p0.jpg, could be several files"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 3}, "train.json: images is no list"),
        ({"annotations": [3]}, "train.json: annotations holds 3, which is no dictionary"),
        ({"categories": [{"id": 1}]}, "train.json: a category without a number or a name"),
        ({"categories": [{"id": 3, "name": "a"}, {"id": 3, "name": "b"}]}, "category 3 is a and b"),
        ({"images": [{"id": 1}]}, "train.json: an image without a number or a file_name"),
    ],
)
def test_a_coco_file_of_another_shape_is_refused(tmp_path, cache, change, message):
    coco_images(tmp_path / "d")
    write(tmp_path / "d/train.json", json.dumps({**coco(SPLITS["train"]), **change}))
    with pytest.raises(DataError, match=re.escape(message)):
        striate.open(tmp_path / "d")


def test_two_pictures_of_one_number_are_broken(tmp_path, cache):
    coco_images(tmp_path / "d")
    content = coco(SPLITS["train"])
    content["images"][1]["id"] = 0
    write(tmp_path / "d/train.json", json.dumps(content))
    data = striate.open(tmp_path / "d")
    assert [Path(p.file).stem for p in data.problems] == ["p0", "p1"]
    assert data.problems[0].reason == "train.json: image 0 is images/p0.jpg and images/p1.jpg"


def test_two_coco_files_of_one_split_are_refused(tmp_path, cache):
    coco_images(tmp_path / "d")
    write(tmp_path / "d/training_more.json", "{}")
    write(tmp_path / "d/more_train.json", json.dumps(coco(SPLITS["train"])))
    with pytest.raises(DataError, match=r"more_train.json and train.json are both of train"):
        striate.open(tmp_path / "d")
    assert len(striate.open(tmp_path / "d", ignore="more*")) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [cat]\nnc: 2\n", "data.yaml: nc is 2, but there are 1 names"),
        ("names: [cat, cat]\n", "data.yaml: names has cat twice"),
        ("names: [no, yes]\n", "data.yaml: names has False, which is no word: put it in quotes"),
        ("names: {cat: 0}\n", "data.yaml: names is no list of names"),
        ("names: cat\n", "data.yaml: names is no list of names"),
        ("a: &a [1]\nb: *a\nnames: [cat]\n", "data.yaml line 2: no sound YAML (an alias (*), which is not read)"),
        ("names: [cat]\nnames: [dog]\n", "data.yaml line 2: no sound YAML (the key names for the second time)"),
        ("names: " + "[" * 100 + "]" * 100, "more than 64 lists or dictionaries within each other"),
        ("names: !!python/object/apply:os.system [ls]\n", "data.yaml line 1: no sound YAML"),
        ("names: [cat, dog]\ntrain: 3\n", "data.yaml: train is no path and no list of paths"),
        ("names: [cat, dog]\ntrain: gone\nval: images/val\n", "data.yaml: train is gone, which is not here"),
    ],
)  # fmt: skip
def test_a_data_yaml_that_cannot_be_used_is_refused(tmp_path, cache, text, message):
    yolo_plain(tmp_path / "d")
    write(tmp_path / "d/data.yaml", text)
    with pytest.raises(DataError, match=re.escape(message)):
        striate.open(tmp_path / "d")


def test_the_same_pictures_as_train_and_val_are_no_val(tmp_path, cache):
    yolo_config(tmp_path / "d")
    write(tmp_path / "d/data.yaml", "train: images\nval: images\ntest: gone\nnames: [cat, dog]\n")
    data = striate.open(tmp_path / "d", val=0.25)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 3, "val": 1}
    assert "the same pictures as val and as train" in data.note
    assert "test is gone, which is not here" in data.note


def test_key_points_are_left_out_where_the_configuration_has_them(tmp_path, cache):
    yolo_config(tmp_path / "d")
    write(tmp_path / "d/labels/train/p1.txt", "0 0.5 0.5 0.2 0.2 0.1 0.2 2 0.9 0.9 1")
    config = "train: images/train\nnames: [cat, dog]\n"
    write(tmp_path / "d/data.yaml", config)
    outlines = striate.open(tmp_path / "d", val=0)
    assert [f.kind for f in outlines.faults] == ["boxes that reach outside the picture"]
    write(tmp_path / "d/data.yaml", f"{config}kpt_shape: [2, 3]\n")
    found = truths(striate.open(tmp_path / "d", val=0))
    assert found["train"]["p1"] == [("cat", 16, 12, 24, 18)]


def test_classes_without_names_are_called_by_number_and_it_is_said(tmp_path, cache):
    yolo_plain(tmp_path / "d")
    (tmp_path / "d/classes.txt").unlink()
    data = striate.open(tmp_path / "d")
    assert data.classes == ("0", "1")
    assert "they are called by number" in data.note


def test_a_class_can_be_left_out(tmp_path, cache):
    for make in LAYOUTS:
        make(tmp_path / make.__name__)
        data = striate.open(tmp_path / make.__name__, ignore="dog")
        assert data.classes == ("cat",)
        assert data.ignored["objects (ignored)"] == 2
        assert truths(data)["train"]["p0"] == SCENE["p0"][:1]


def test_unknown_classes_of_voc_are_broken_where_a_file_names_them(tmp_path, cache):
    voc_lists(tmp_path / "d")
    write(tmp_path / "d/classes.txt", "dog\ncat\n")
    assert striate.open(tmp_path / "d").classes == ("dog", "cat")
    write(tmp_path / "d/classes.txt", "cat\n")
    data = striate.open(tmp_path / "d")
    assert data.problems[0].reason == "Annotations/p0.xml line 6: dog is no class of classes.txt"


def test_difficult_objects_and_crowds_are_neither_learned_nor_missed(tmp_path, cache):
    voc_lists(tmp_path / "d")
    write(tmp_path / "d/Annotations/p1.xml", xml(SCENE["p1"], more="<difficult>1</difficult>"))
    data = striate.open(tmp_path / "d")
    assert data.splits["train"].targets.truth(1).crowd.tolist() == [True]
    assert data.as_dict()["counts"]["dog"]["train"] == 1
    assert "crowds or difficult, neither learned nor missed: 1 object" in data.note
    coco_years(tmp_path / "e")
    region = {"size": [H, W], "counts": [0, 100, H * W - 100]}
    write(tmp_path / "e" / COCO, with_annotation(iscrowd=1, segmentation=region))
    truth = striate.open(tmp_path / "e").splits["train"].targets.truth(1)
    assert truth.crowd.tolist() == [False, True]
    assert truth.boxes[1].tolist() == [1, 1, 6, 6]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_of_a_stored_picture_are_turned_with_it(tmp_path, cache, orientation):
    dark = np.zeros((60, 40), np.uint8)
    dark[10:20, 4:12] = 255
    stored = Image.fromarray(dark)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind, size in (("stored", (60, 40)), ("upright", (40, 60))):
        root = tmp_path / kind
        (root / "JPEGImages").mkdir(parents=True)
        stored.save(root / "JPEGImages/a.jpg", exif=exif, quality=95)
        write(root / "Annotations/a.xml", xml([("x", 4, 10, 12, 20)], size=size))
    data = striate.open(tmp_path / "stored", val=0)
    x0, y0, x1, y1 = map(int, data.splits["all"].targets.truth(0).boxes[0])
    upright = data.arrays("all").inputs[0, ..., 0].astype(int)
    assert upright.shape == (40, 60)
    assert upright[y0:y1, x0:x1].min() > 200
    assert upright.sum() - upright[y0:y1, x0:x1].sum() < 30_000
    assert "as stored and not as EXIF turns it: 1 annotation" in data.note
    plain = striate.open(tmp_path / "upright", val=0).splits["all"].targets.truth(0)
    assert plain.boxes[0].tolist() == [4, 10, 12, 20]


def test_boxes_that_do_not_say_whether_their_picture_is_turned_are_said(tmp_path, cache):
    yolo_plain(tmp_path / "d")
    assert "EXIF" not in striate.open(tmp_path / "d").note
    picture(tmp_path / "d/images/train/p0.jpg", orientation=3)
    picture(tmp_path / "d/images/train/p1.jpg", orientation=6)
    note = striate.open(tmp_path / "d").note
    assert "as EXIF turns it, which they do not say: 2 annotations" in note
    voc_lists(tmp_path / "e")
    picture(tmp_path / "e/JPEGImages/p0.jpg", orientation=6, size=(W, H))
    assert "EXIF" not in striate.open(tmp_path / "e").note


def test_a_split_without_annotations_is_not_one_of_negatives(tmp_path, cache):
    yolo_config(tmp_path / "d")
    shutil.rmtree(tmp_path / "d/labels/val")
    data = striate.open(tmp_path / "d", val=0)
    assert list(data.splits) == ["train"]
    assert "none of the 1 picture of val has an annotation file: val is not taken" in data.note
    assert data.ignored["pictures without an annotation file"] == 1
    shutil.move(tmp_path / "d/images/val", tmp_path / "d/images/swap")
    shutil.move(tmp_path / "d/images/train", tmp_path / "d/images/val")
    shutil.move(tmp_path / "d/images/swap", tmp_path / "d/images/train")
    write(tmp_path / "d/labels/val/p0.txt", yolo(SCENE["p0"]))
    with pytest.raises(DataError, match="none of the 1 picture of train has an annotation file"):
        striate.open(tmp_path / "d")


def test_a_list_does_not_take_the_picture_of_another_split(tmp_path, cache):
    yolo_plain(tmp_path / "d")
    write(tmp_path / "d/train.txt", "data/images/train/p0.jpg\ndata/images/train/p3.jpg\n")
    write(tmp_path / "d/val.txt", "data/images/val/p3.jpg\n")
    (problem,) = striate.open(tmp_path / "d").problems
    assert problem.reason == "train.txt line 2: there is no picture data/images/train/p3.jpg"


def test_turning_four_times_is_nothing():
    boxes, size = np.array([[1.0, 2.0, 5.0, 4.0]]), (10, 20)
    for _ in range(4):
        boxes, size = turned(boxes, size, 6), (size[1], size[0])
    assert boxes.tolist() == [[1, 2, 5, 4]]


def test_the_fingerprint_follows_a_box(tmp_path, cache):
    for make, file, content in (
        (voc_lists, VOC, xml([("dog", 20, 10, 30, 27)])),
        (coco_years, COCO, with_annotation()),
        (yolo_plain, YOLO, yolo([("cat", 20, 10, 30, 28)])),
        (labelme_beside, LABELME, with_shape()),
    ):
        root = tmp_path / make.__name__
        make(root)
        before = striate.open(root).fingerprint
        assert striate.open(root).fingerprint == before
        write(root / file, content)
        assert striate.open(root).fingerprint != before


TRIANGLE = [[2.0, 2.0], [12.0, 2.0], [2.0, 12.0]]
SQUARE = [[4.0, 4.0], [8.0, 4.0], [8.0, 8.0], [4.0, 8.0]]


def outlines_coco(root):
    picture(root / "images/a.jpg")
    flat = [[float(v) for point in ring for v in point] for ring in (TRIANGLE, SQUARE)]
    rest = {"image_id": 1, "iscrowd": 0, "bbox": [2, 2, 10, 10]}
    annotations = [
        {"id": 1, "category_id": 1, "segmentation": [flat[0]], **rest},
        {"id": 2, "category_id": 2, "segmentation": [flat[1]], **rest, "bbox": [4, 4, 4, 4]},
        {"id": 3, "category_id": 1, "segmentation": {"size": [H, W], "counts": [0, 3 * H, H * (W - 3)]}, **rest, "iscrowd": 1, "bbox": [0, 0, 3, H]},
    ]  # fmt: skip
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": H, "width": W}],
        "categories": [{"id": 1, "name": "tri"}, {"id": 2, "name": "box"}],
        "annotations": annotations,
    }
    write(root / "all.json", json.dumps(content))


def outlines_yolo(root):
    picture(root / "images/a.jpg")
    lines = [
        " ".join(
            map(str, [k, *(v / side for p in ring for v, side in zip(p, (W, H), strict=True))])
        )
        for k, ring in enumerate((TRIANGLE, SQUARE))
    ]
    write(root / "labels/a.txt", "\n".join([*lines, f"0 {1.5 / W} 0.5 {3 / W} 1"]))
    write(root / "classes.txt", "tri\nbox")


def outlines_labelme(root):
    picture(root / "a.jpg")
    shapes = [
        {"label": "__ignore__", "points": [[0, 0], [3, H]], "shape_type": "rectangle"},
        {"label": "tri", "points": TRIANGLE, "shape_type": "polygon", "group_id": None},
        {"label": "box", "points": SQUARE, "shape_type": "polygon", "group_id": None},
        {"label": "__ignore__", "points": [[20, 20], [24, 21]], "shape_type": "rectangle"},
        {"label": "tri", "points": [[30, 20], [34, 22]], "shape_type": "rectangle"},
        {"label": "_background_", "points": [[30, 20], [34, 22]], "shape_type": "rectangle"},
    ]
    write(root / "a.json", json.dumps({"shapes": shapes, "imageHeight": H, "imageWidth": W}))
    write(root / "labels.txt", "__ignore__\n_background_\ntri\nbox\n")


@pytest.mark.parametrize("make", [outlines_coco, outlines_yolo, outlines_labelme])
def test_outlines_are_masks(tmp_path, cache, make):
    make(tmp_path / "d")
    data = striate.open(tmp_path / "d", task="segment", val=0)
    assert (data.task, data.kind, data.classes) == ("segment", "mask", ("background", "tri", "box"))
    mask = data.splits["all"].targets.truth(0)
    expected = np.zeros((H, W), np.uint8)
    expected[:, :3] = 255  # below the objects
    y, x = np.mgrid[:H, :W] + 0.5
    expected[(x >= 2) & (y >= 2) & (x + y < 14)] = 1
    expected[4:8, 4:8] = 2
    if make is outlines_labelme:
        expected[20, 20:24] = 255
    np.testing.assert_array_equal(mask, expected)
    small = data.arrays("all", size=(H // 2, W // 2)).targets
    np.testing.assert_array_equal(np.asarray(small)[0, ..., 0], expected[1::2, 1::2])
    before = data.fingerprint
    boxes = striate.open(tmp_path / "d", task="detect", val=0)
    found = boxes.splits["all"].targets.truth(0).boxes[:2].round(3).tolist()
    assert found == [[2, 2, 12, 12], [4, 4, 8, 8]]
    assert boxes.fingerprint != before


def test_a_broken_annotation_breaks_a_mask_as_well(tmp_path, cache):
    for make in (outlines_yolo, outlines_labelme):
        root = tmp_path / make.__name__
        make(root)
        for name in ("b", "c"):
            shutil.copy(next(root.rglob("a.jpg")), next(root.rglob("a.jpg")).with_stem(name))
            note = next(f for f in root.rglob("a.*") if f.suffix in (".txt", ".json"))
            shutil.copy(note, note.with_stem(name))
        write(note.with_stem("b"), "?")
        data = striate.open(root, task="segment", val=0)
        (problem,) = data.problems
        assert re.search(r"b\.(txt|json) line 1: ", problem.reason)
        arrays = data.arrays("all", size=(8, 8))
        assert arrays.numbers.tolist() == [0, 2]
        assert len(arrays.targets) == len(arrays.inputs) == 2


def test_labelme_takes_masks_where_there_are_polygons(tmp_path, cache):
    outlines_labelme(tmp_path / "d")
    data = striate.open(tmp_path / "d", val=0)
    assert data.task == "segment"
    assert "task=detect takes their boxes" in data.note


def test_boxes_alone_give_no_masks(tmp_path, cache):
    yolo_plain(tmp_path / "d")
    with pytest.raises(DataError, match=r"has boxes .* but no outlines, .* task=detect"):
        striate.open(tmp_path / "d", task="segment")


def test_parts_of_a_group_of_labelme_are_one_object(tmp_path, cache):
    labelme_beside(tmp_path / "d")
    content = labelme([("cat", 1, 1, 4, 4), ("cat", 10, 10, 12, 15), ("cat", 20, 20, 22, 22)])
    for shape in content["shapes"][:2]:
        shape["group_id"] = 7
    write(tmp_path / "d" / LABELME, json.dumps(content))
    found = truths(striate.open(tmp_path / "d"))["train"]["p1"]
    assert found == [("cat", 1, 1, 12, 15), ("cat", 20, 20, 22, 22)]


def compressed(counts):
    """As COCO's maskApi.c writes them: rleToString."""
    text = ""
    for i, count in enumerate(counts):
        x, more = count - (counts[i - 2] if i > 2 else 0), True
        while more:
            c = x & 0x1F
            x >>= 5
            more = x != -1 if c & 0x10 else x != 0
            text += chr((c | 0x20 if more else c) + 48)
    return text


def test_compressed_run_lengths():
    rng = np.random.default_rng(0)
    for _ in range(100):
        counts = rng.integers(0, 5000, rng.integers(1, 30)).tolist()
        assert runs(compressed(counts), (1, sum(counts))).lengths.tolist() == counts
    assert compressed([40, 3, 69]) == "X13U2"
    for text in ("~", "X", "1" * 3, "PPPPPPPPPPPPPPP1"):
        with pytest.raises(DataError, match="run lengths"):
            runs(text, (2, 2))


def test_a_stray_annotation_does_not_make_class_folders_boxes(tmp_path, cache, pictures):
    root = pictures({"a": 20, "b": 20})
    write(root / "a/000.xml", xml([("cat", 1, 1, 5, 5)], size=(12, 10)))
    write(root / "a/001.txt", "0 0.5 0.5 0.2 0.2")
    assert striate.open(root).task == "classify"


def test_text_beside_pictures_that_is_no_yolo_is_none(tmp_path, cache, pictures):
    root = pictures({"a": 3, "b": 3})
    for file in root.rglob("*.png"):
        write(file.with_suffix(".txt"), "a photo of a cat\n")
    assert striate.open(root).task == "classify"


def test_bccd(shared, cache):
    data = striate.open(shared / "data" / "bccd")
    assert (data.task, data.layout) == ("detect", "Pascal VOC with lists")
    assert data.classes == ("Platelets", "RBC", "WBC")
    got = data.as_dict()
    assert got["splits"] == {"train": 205, "val": 87, "test": 72}
    totals = {name: sum(held.values()) for name, held in got["counts"].items()}
    (fault,) = data.faults
    assert sum(totals.values()) == 4155 + 372 + 361 - fault.count
    assert (totals["WBC"], totals["Platelets"]) == (372, 361)
    assert (fault.kind, fault.count) == ("boxes without area", 2)
    assert {place.partition(" ")[0] for place in fault.places} == {
        "Annotations/BloodImage_00338.xml",
        "Annotations/BloodImage_00343.xml",
    }
    assert got["problems"] == []
    assert got["ignored"] == {"boxes without area": 2}
    i = data.splits["train"].names.index("JPEGImages/BloodImage_00001.jpg")
    assert data.splits["train"].targets.truth(i).boxes.min() >= 0


def as_words(content: dict[str, Any]) -> None:
    for each in (*content["images"], *content["categories"]):
        each["id"] = str(each["id"])
    for each in content["annotations"]:
        each["image_id"], each["category_id"] = str(each["image_id"]), f" {each['category_id']}"


def as_fractions(content: dict[str, Any]) -> None:
    for each in content["annotations"]:
        each["image_id"], each["category_id"] = float(each["image_id"]), float(each["category_id"])


def no_annotations(content: dict[str, Any]) -> None:
    content["annotations"] = []


def no_images(content: dict[str, Any]) -> None:
    content["images"] = []


def no_such_picture(content: dict[str, Any]) -> None:
    for each in content["annotations"]:
        each["image_id"] = 10_000


def no_such_category(content: dict[str, Any]) -> None:
    content["categories"] = [{"id": 5, "name": "cat"}]


def odd_polygons(content: dict[str, Any]) -> None:
    for each in content["annotations"]:
        each["segmentation"] = [[1, 1, 5, 1, 5]]


def of_another_size(content: dict[str, Any]) -> None:
    for image in content["images"]:
        image["width"] *= 2
    for each in content["annotations"]:
        each["segmentation"] = [[1, 1, 5, 1, 5, 9]]


def all_crowds(content: dict[str, Any]) -> None:
    for each in content["annotations"]:
        each["iscrowd"] = 1


def coco_changed(root: Path, change) -> Path:
    names = SPLITS["train"]
    for name in names:
        picture(root / "images" / f"{name}.jpg")
    content = coco(names)
    change(content)
    write(root / "annotations.json", json.dumps(content))
    return root


@pytest.mark.parametrize("change", [as_words, as_fractions])
def test_numbers_of_coco_may_be_words_or_fractions(tmp_path, cache, change):
    opened = striate.open(coco_changed(tmp_path, change))
    counts = np.array([opened.counts(name) for name in opened.splits], np.int64).sum(0)
    assert (opened.classes, counts.tolist(), opened.faults) == (("cat", "dog"), [1, 2], ())


@pytest.mark.parametrize(
    ("change", "task", "words"),
    [
        (no_annotations, None, "no object in any of them"),
        (all_crowds, None, "every object is a crowd or difficult (COCO)"),
        (no_images, None, "annotations.json lists no pictures, under images"),
        (no_such_picture, None, "no object in any of them: annotations of no picture, annotations.json annotation 0 first"),
        (no_such_category, None, "is not among the categories"),
        (odd_polygons, "instances", "expected x and y of three corners or more"),
        (odd_polygons, "segment", "expected x and y of three corners or more"),
        (of_another_size, "instances", "annotations.json: made for"),
    ],
)  # fmt: skip
def test_that_nothing_is_left_says_why(tmp_path, cache, change, task, words):
    with pytest.raises(DataError) as caught:
        striate.open(coco_changed(tmp_path, change), task=task)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("task", [None, "instances"])
def test_a_coco_file_that_was_cut_is_named(tmp_path, cache, task):
    file = coco_changed(tmp_path, lambda _: None) / "annotations.json"
    text = file.read_text()
    file.write_text(text[: text.index('"categories"') - 9])
    with pytest.raises(DataError, match=r"annotations\.json begins as COCO and ends in the middle"):
        striate.open(tmp_path, task=task)


@pytest.mark.parametrize(("far", "said"), [(0, False), (500, True)])
def test_many_boxes_that_reach_outside_are_said(tmp_path, cache, far, said):
    def change(content: dict[str, Any]) -> None:
        for each in content["annotations"]:
            each["bbox"][2] += far

    opened = striate.open(coco_changed(tmp_path, change))
    assert any("boxes reach outside their pictures" in line for line in opened.warnings) == said


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1.0 0.5 0.5 0.25 0.25", ""),
        ("1 0.5 0.5 0.25 0.25 0.9", "6 numbers, expected 5 for a box or 7, 9, 11 ... for an outline; a sixth"),
        ("1 0.5 0.5 0.25 0.25 0.9 0.8 0.7", "8 numbers, expected 5 for a box or 7, 9, 11 ... for an outline"),
    ],
)  # fmt: skip
def test_lines_of_yolo_as_programs_write_them(tmp_path, cache, line, words):
    for k in range(8):
        picture(tmp_path / f"images/{k}.jpg")
        write(tmp_path / f"labels/{k}.txt", line + "\n")
    if words:
        with pytest.raises(DataError, match=re.escape(words)):
            striate.open(tmp_path)
    else:
        opened = striate.open(tmp_path)
        assert opened.splits["train"].targets.truth(0).boxes.tolist() == [[15, 11.25, 25, 18.75]]
