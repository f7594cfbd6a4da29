"""The layout of ImageNet's challenge: labels of a flat val from each file that may hold them, and what does not fit."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate import data
from striate.errors import DataError

SYNSETS = ["n01440764", "n01443537", "n02012849", "n03126707"]
VAL = [0, 1, 2, 3, 3, 2, 1, 0]  # the class of each picture of val
EACH = 6  # training pictures of a synset
MAPPING = "n01440764 tench, Tinca tinca\nn01443537 goldfish\nn02012849 crane\nn03126707 crane\n"


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def name_of(k: int) -> str:
    return f"ILSVRC2012_val_{k + 1:08d}"


@pytest.fixture(params=["", "ILSVRC/Data/CLS-LOC"])
def root(request, tmp_path) -> Path:
    """Synset folders of train and a flat val, at the root or as Kaggle has them; nothing says the labels of val."""
    root, base = tmp_path / "set", tmp_path / "set" / request.param
    for j, synset in enumerate(SYNSETS):
        for i in range(EACH):
            picture(base / "train" / synset / f"{synset}_{i}.JPEG", 100 * j + i)
    for k in range(len(VAL)):
        picture(base / "val" / f"{name_of(k)}.JPEG", 1000 + k)
    return root


def solution(root: Path, split: str, rows: dict[str, str]) -> None:
    lines = [f"{name},{boxes}" for name, boxes in rows.items()]
    text = "\n".join(["ImageId,PredictionString", *lines])
    (root / f"LOC_{split}_solution.csv").write_text(text + "\n")


def of_csv(root: Path) -> None:
    solution(root, "val", {name_of(k): f"{SYNSETS[c]} 3 4 20 15 " for k, c in enumerate(VAL)})


def of_synsets(root: Path) -> None:
    lines = [SYNSETS[c] for c in VAL]
    (root / "imagenet_2012_validation_synset_labels.txt").write_text("\n".join(lines) + "\n")


def of_pairs(root: Path) -> None:
    lines = [f"{name_of(k)}.JPEG {c}" for k, c in enumerate(VAL)]
    (root / "val.txt").write_text("\n".join(lines) + "\n")


def of_numbers(root: Path) -> None:
    """Numbers of the challenge run against the order of the synsets here."""
    (root / "ILSVRC2012_validation_ground_truth.txt").write_text("\n".join(str(4 - c) for c in VAL))
    rows = [f"{synset} {4 - c} word_{c}" for c, synset in enumerate(SYNSETS)]
    (root / "map_clsloc.txt").write_text("\n".join(rows))


def xml(path: Path, synset: str, box: tuple[int, int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sides = "".join(
        f"<{n}>{v}</{n}>" for n, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    size = "<size><width>30</width><height>20</height></size>"
    thing = f"<object><name>{synset}</name><bndbox>{sides}</bndbox></object>"
    path.write_text(f"<annotation>{size}{thing}</annotation>")


def of_xml(root: Path) -> None:
    inside = root / ("ILSVRC" if (root / "ILSVRC").exists() else "") / "Annotations" / "CLS-LOC"
    for k, c in enumerate(VAL):
        xml(inside / "val" / f"{name_of(k)}.xml", SYNSETS[c], (3, 4, 20, 15))
    for synset in SYNSETS:
        for i in range(EACH):
            xml(inside / "train" / synset / f"{synset}_{i}.xml", synset, (3, 4, 20, 15))


@pytest.mark.parametrize("says", [of_csv, of_synsets, of_pairs, of_numbers, of_xml])
def test_labels_of_val_from_each_file_that_may_hold_them(root, says):
    says(root)
    opened = data.open(root)
    assert (opened.task, opened.layout, opened.read_as[0]) == ("classify", "ImageNet", "imagenet")
    assert opened.counts("train") == [EACH] * 4
    val = opened.splits["val"]
    named = {Path(n).stem: val.targets.truth(i) for i, n in enumerate(val.names)}
    assert [named[name_of(k)] for k in range(len(VAL))] == VAL
    if says is not of_numbers:
        assert opened.classes == tuple(SYNSETS)
        (root / "LOC_synset_mapping.txt").write_text(MAPPING)
        named = ("tench", "goldfish", "crane (n02012849)", "crane (n03126707)")
        assert data.open(root).classes == named
    else:
        assert opened.classes == ("word 0", "word 1", "word 2", "word 3")


def renamed(root: Path, name: Callable[[int], str]) -> None:
    """The pictures of val under other names."""
    for k in range(len(VAL)):
        (path,) = root.rglob(f"{name_of(k)}.JPEG")
        Image.open(path).save(path.with_name(name(k)))
        path.unlink()


@pytest.mark.parametrize(
    ("name", "file", "line"),
    [
        (lambda k: f"{name_of(k)}.png", "val.txt", lambda k: SYNSETS[VAL[k]]),
        (lambda k: f"{name_of(k)}.jpg", "val.txt", lambda k: f"{name_of(k)}.JPEG {VAL[k]}"),
        (lambda k: f"holiday {k}.png".replace(" ", "-"), "val.txt", lambda k: f"holiday-{k}.png {SYNSETS[VAL[k]]}"),
        (lambda k: f"{k}.a.jpg", "labels.txt", lambda k: f"val/{k}.a {VAL[k]}"),
    ],
    ids=["png", "jpg", "own-names", "names-without-extension"],
)  # fmt: skip
def test_pictures_of_val_may_be_of_another_format_or_be_named_by_a_list(root, name, file, line):
    renamed(root, name)
    (root / file).write_text("\n".join(map(line, range(len(VAL)))) + "\n")
    opened = data.open(root)
    assert (opened.read_as[0], len(opened.splits["val"])) == ("imagenet", len(VAL))
    val = opened.splits["val"]
    found = {Path(n).name: val.targets.truth(i) for i, n in enumerate(val.names)}
    assert found == {name(k): VAL[k] for k in range(len(VAL))}


def test_a_list_in_order_says_nothing_of_pictures_without_a_number(root):
    renamed(root, lambda k: f"holiday{k}.png")
    of_numbers(root)
    (root / "some.txt").write_text(f"holiday0 {SYNSETS[0]}\nholiday0 {SYNSETS[0]} twice\n")
    with pytest.raises(DataError, match=r"holiday0\.png no number that says which is its"):
        data.open(root)
    (root / "some.txt").write_text("\n".join(f"holiday{k} {c}" for k, c in enumerate(VAL)))
    assert len(data.open(root).splits["val"]) == len(VAL)


@pytest.mark.parametrize(
    ("file", "lines", "message"),
    [
        ("", [], "nothing says the classes of the 8 pictures of val"),
        ("a.txt", SYNSETS + SYNSETS[:3], "a.txt has 7 lines, and val a picture of number 8"),
        ("a.txt", SYNSETS + SYNSETS[:3] + ["n99999999"], "is of n99999999, of which train has no"),
        ("val.txt", [f"{name_of(k)} {k + 1}" for k in range(8)], "nothing says the classes"),
        (
            "val.txt",
            [f"{name_of(k)} {c + 1}" for k, c in enumerate(VAL)],
            "class 4, and train has 4",
        ),
        ("ILSVRC2012_validation_ground_truth.txt", ["1"] * 8, "count in no order of the synsets"),
        (
            "LOC_val_solution.csv",
            ["ImageId,PredictionString", f"{name_of(0)},n01440764 3 4"],
            "line 2",
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused(root, file, lines, message):
    if file:
        (root / file).write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        data.open(root)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_number_of_the_challenge_without_a_synset_is_named(root):
    of_numbers(root)
    (root / "map_clsloc.txt").write_text("n01440764 4 tench\n")
    with pytest.raises(DataError, match=r"line 2: '3' is no number of map_clsloc.txt"):
        data.open(root)


def test_pictures_with_boxes_are_localised(root):
    of_csv(root)
    rows = {f"{s}_{i}": f"{s} 1 2 25 {10 + i} " for s in SYNSETS for i in range(EACH)}
    rows["n01440764_0"] = ""
    rows["n01440764_1"] += "n01440764 2 2 5 5"
    solution(root, "train", rows)
    opened = data.open(root, task="localise")
    assert (opened.kind, opened.counts("train")) == ("box", [5, 6, 6, 6])
    assert opened.ignored["pictures without a box"] == 1
    boxes, labels, _ = opened.splits["train"].targets.truth(0)
    assert (boxes.tolist(), labels.tolist()) == ([[0, 1, 25, 11], [1, 1, 5, 5]], [0, 0])
    assert data.open(root).task == "classify"


@pytest.mark.parametrize("boxes", [of_csv, of_synsets])
def test_without_boxes_of_train_what_is_to_be_added_is_named(root, boxes):
    boxes(root)
    with pytest.raises(DataError, match=r"LOC_train_solution\.csv,? or XML files"):
        data.open(root, task="localise")


def test_boxes_of_xml_files_are_localised(root):
    of_xml(root)
    opened = data.open(root, task="localise")
    assert {name: len(split) for name, split in opened.splits.items()} == {"train": 24, "val": 8}
    assert opened.splits["val"].targets.truth(0).boxes.tolist() == [[2.0, 3.0, 20.0, 15.0]]


def test_a_val_in_synset_folders_is_one_of_class_folders(tmp_path):
    for split in ("train", "val"):
        for j, synset in enumerate(SYNSETS):
            picture(tmp_path / split / synset / f"{synset}_0.JPEG", 10 * j + len(split))
    assert data.open(tmp_path).read_as[0] == "class_folders"
