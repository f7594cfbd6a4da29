"""Folders of every shape: what is recognised, what is left aside, what is said about the rest."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate import data
from striate.data import files, layouts
from striate.errors import ArgumentError, DataError

EXPECTED = layouts.EXPECTED


def refused(path: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        data.open(path, **options)
    return str(caught.value)


def test_class_folders_are_split_by_us(cache, pictures):
    opened = data.open(pictures({"dog": 10, "cat": 20}))
    assert opened.layout == "class folders"
    assert opened.classes == ("cat", "dog")
    assert {name: len(split) for name, split in opened.splits.items()} == {"train": 24, "val": 6}
    assert opened.counts("val") == [4, 2]
    assert opened.held_out == "val"
    assert all(
        name.startswith(opened.classes[label] + "/")
        for split in opened.splits.values()
        for name, label in zip(split.names, split.labels, strict=True)
    )


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_split_folders_are_kept(cache, pictures, val):
    for split, count in (("train", 4), (val, 2), ("test", 3)):
        root = pictures({"a": count, "b": count}, below=split)
    opened = data.open(root)
    assert opened.layout == "split folders"
    assert {name: len(split) for name, split in opened.splits.items()} == {
        "train": 8,
        "val": 4,
        "test": 6,
    }
    assert list(opened.splits) == ["train", "val", "test"]
    assert opened.splits["val"].names[0] == f"{val}/a/000.png"


def test_train_and_test_alone_have_no_val_unless_asked_for(cache, pictures):
    for split in ("train", "test"):
        root = pictures({"a": 10, "b": 10}, below=split)
    assert list(data.open(root).splits) == ["train", "test"]
    assert data.open(root).held_out == "test"
    asked = data.open(root, val=0.3)
    assert {name: len(split) for name, split in asked.splits.items()} == {
        "train": 14,
        "val": 6,
        "test": 20,
    }


def test_train_alone_gets_a_val(cache, pictures):
    opened = data.open(pictures({"a": 10, "b": 10}, below="train"))
    assert {name: len(split) for name, split in opened.splits.items()} == {"train": 16, "val": 4}


def test_a_val_of_their_own_and_another_are_too_many(cache, pictures):
    for split in ("train", "val"):
        root = pictures({"a": 3, "b": 3}, below=split)
    with pytest.raises(
        ArgumentError, match=r"^val: the data have a val split of their own; leave val out$"
    ):
        data.open(root, val=0.2)
    pictures({"a": 3, "b": 3}, below="valid")
    assert (
        refused(root)
        == f"{root} has both val/ and valid/, which mean the same split: leave one out with ignore="
    )


def test_a_class_called_train_is_a_class(cache, pictures):
    assert data.open(pictures({"train": 4, "plane": 4})).classes == ("plane", "train")


def test_classes_that_are_numbers_are_sorted_as_numbers(cache, pictures):
    assert data.open(pictures({"10": 2, "9": 2, "1": 2})).classes == ("1", "9", "10")


def test_folders_below_a_class_belong_to_it(cache, pictures):
    root = pictures({"a": 3, "b/2020": 3, "b/2021": 2})
    opened = data.open(root)
    assert opened.classes == ("a", "b")
    assert len(opened) == 8


def test_a_single_folder_is_entered(cache, pictures):
    opened = data.open(pictures({"a": 3, "b": 3}, below="data/flowers").parent)
    assert opened.classes == ("a", "b")
    assert opened.splits["train"].names[0].startswith("a/")


def test_what_is_not_used_is_counted(cache, pictures):
    root = pictures({"a": 3, "b": 3})
    (root / "a" / ".DS_Store").write_bytes(b"x")
    (root / "a" / "Thumbs.db").write_bytes(b"x")
    (root / "a" / "notes.TXT").write_text("x")
    (root / "README").write_text("x")
    (root / "docs").mkdir()
    (root / "docs" / "paper.pdf").write_bytes(b"%PDF")
    opened = data.open(root)
    assert opened.classes == ("a", "b")
    assert opened.ignored == {"(hidden)": 2, "(no extension)": 1, ".pdf": 1, ".txt": 1}


def test_patterns_leave_out_classes_files_and_folders(cache, pictures):
    root = pictures({"a": 4, "b": 4, "draft": 1, "a/old": 2})
    opened = data.open(root, ignore=["draft", "000.png", "a/old"])
    assert opened.classes == ("a", "b")
    assert len(opened) == 7
    assert opened.ignored == {"(ignored)": 4}
    assert data.open(root, ignore="draft").classes == ("a", "b")


def test_the_content_makes_a_picture_of_a_file_with_another_name(cache, pictures, encoded):
    root = pictures({"a": 3, "b": 3})
    (root / "a" / "photo.dat").write_bytes(encoded(99, kind="JPEG"))
    (root / "a" / "P5 notes.md").write_text("P5 is no picture here, BM neither")
    assert len(data.open(root)) == 7
    assert data.open(root).ignored == {".md": 1}


def test_links_pipes_and_loops_are_never_followed(cache, pictures, tmp_path, encoded):
    root = pictures({"a": 3, "b": 3})
    (tmp_path / "outside.png").write_bytes(encoded(77))
    (root / "a" / "out.png").symlink_to(tmp_path / "outside.png")
    (root / "a" / "loop").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    os.mkfifo(root / "b" / "pipe.png")
    opened = data.open(root)
    assert len(opened) == 6
    assert opened.ignored == {"(link)": 3, "(special)": 1}
    assert opened.arrays("train").inputs.shape[1:] == (12, 10, 3)


def test_odd_names_are_read_and_shown_escaped(cache, pictures, encoded):
    root = pictures({"a": 2, "b c": 2, "ü": 2})
    folder = os.fsencode(root / "a")
    for i, name in enumerate(
        (b"two\nlines.png", b"\xff\xfe.png", b"right\xe2\x80\xaeleft.png", b"x" * 251 + b".png")
    ):
        with Path(os.fsdecode(folder + b"/" + name)).open("wb") as file:
            file.write(encoded(50 + i))
    opened = data.open(root)
    assert opened.classes == ("a", "b c", "ü")
    names = [name for split in opened.splits.values() for name in split.names]
    assert {"a/two\\nlines.png", "a/\\xff\\xfe.png", "a/right\\u202eleft.png"} <= set(names)
    assert sum(len(opened.arrays(split)) for split in opened.splits) == 10
    assert opened.problems == ()


def test_a_missing_path_names_its_neighbour(cache, pictures, tmp_path):
    root = pictures({"a": 2}, root="flowers")
    assert refused(tmp_path / "flower") == f"there is no {tmp_path}/flower; did you mean {root}?"
    assert refused(str(tmp_path / "qqqq")) == (
        f"there is no {tmp_path}/qqqq; expected {EXPECTED}, or one of digits, mnist, cifar10"
    )
    assert refused("digit") == "there is no digit; did you mean digits?"


def test_an_empty_folder(cache, tmp_path):
    (tmp_path / "void").mkdir()
    assert refused(tmp_path / "void") == f"{tmp_path}/void is empty; expected {EXPECTED}"


def test_no_pictures_among_many_files(cache, tmp_path):
    root = tmp_path / "papers"
    for name in ("a/1.pdf", "a/2.pdf", "b/3.txt", "b/4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("text")
    assert refused(root) == (
        f"{root} holds no pictures among its 4 files (.pdf 2, .txt 1, (no extension) 1); expected {EXPECTED}"
    )


def test_pictures_without_class_folders(cache, pictures):
    root = pictures({"a": 3})
    assert refused(root / "a") == (
        f"{root}/a holds 3 pictures but no class folders: put the pictures of each class into a folder of its own, or give "
        "task=reconstruct, which needs no classes"
    )


def test_one_class_only(cache, pictures):
    root = pictures({"cat": 4})
    assert (
        refused(root) == f"{root} has one class only (cat): at least two are needed to tell apart"
    )


def test_a_class_with_too_few_pictures(cache, pictures, encoded):
    root = pictures({"cat": 4, "dog": 1})
    assert refused(root) == (
        "the class dog has 1 picture; a split needs at least 2, one to train on and one to hold out: "
        "add pictures, or leave it out with ignore=dog"
    )
    (root / "dog" / "copy.png").write_bytes((root / "dog" / "000.png").read_bytes())
    assert refused(root).startswith(
        "the class dog has 2 pictures that count as one (copies, or kept together by split=); a split needs"
    )
    (root / "eel").mkdir()
    assert refused(root, ignore=["dog"]).startswith("the class eel has 0 pictures; a split needs")


def test_a_class_that_train_lacks(cache, pictures):
    pictures({"a": 2, "b": 2}, below="train")
    root = pictures({"a": 2, "b": 2, "c": 2}, below="test")
    assert refused(root) == (
        "the class c has no pictures in train, but some in test: add some, or leave it out with ignore=c"
    )
    (root / "train" / "c").mkdir()
    assert "c has no pictures in train" in refused(root)
    assert data.open(root, ignore="c").classes == ("a", "b")


def test_an_unreadable_folder(cache, pictures, monkeypatch):
    root = pictures({"a": 3, "b": 3})
    scandir = os.scandir

    def denied(path: Path) -> Any:
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(files.os, "scandir", denied)
    assert refused(root) == (
        f"cannot read the folder {root}/b (Permission denied): check its permissions, or leave it out with ignore="
    )


def test_files_that_are_no_data(cache, pictures, tmp_path):
    root = pictures({"a": 3})
    picture = root / "a" / "000.png"
    assert refused(picture) == f"{picture} is a single picture; expected {EXPECTED}"
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    assert (
        refused(tmp_path / "table.csv")
        == f"{tmp_path}/table.csv names no pictures: line 2 is 1, 2; expected a column of paths, file names or ids, or "
        "layout=csv:path=COLUMN"
    )
    (tmp_path / "text.dat").write_text("text")
    assert (
        refused(tmp_path / "text.dat")
        == f"{tmp_path}/text.dat is no data that is known here; expected {EXPECTED}"
    )
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path / "pipe") == (
        f"{tmp_path}/pipe is neither a folder nor a regular file; expected {EXPECTED}"
    )


def test_nothing_held_out_is_one_split(cache, pictures):
    opened = data.open(pictures({"a": 3, "b": 3}), val=0)
    assert {name: len(split) for name, split in opened.splits.items()} == {"all": 6}
    parted = data.open(pictures({"a": 3, "b": 3}, below="train", root="parted"), val=0)
    assert list(parted.splits) == ["train"]


@pytest.mark.parametrize("val", [1, -0.1, 2, float("nan")])
def test_a_share_out_of_range(cache, pictures, val):
    with pytest.raises(
        ArgumentError, match=rf"^val: got {val}, expected a share between 0 and 1, such as 0.2$"
    ):
        data.open(pictures({"a": 3, "b": 3}), val=val)


def test_the_fullest_form_wins_and_the_rest_is_named(cache, pictures, idx_files):
    root = pictures({"a": 3, "b": 3}, below="png")
    idx_files(root)
    np.savez(root / "few.npz", x_train=np.zeros((4, 5, 5), np.uint8), y_train=[0, 1, 0, 1])
    opened = data.open(root)
    assert opened.layout == "idx files"
    assert len(opened) == 30
    assert opened.ignored == {"few.npz": 1, "png/": 6}


def test_names_of_bytes_and_controls():
    assert files.shown(os.fsdecode(b"caf\xc3\xa9")) == "café"
    assert files.shown("a\x1b[31mb\u202e") == "a\\x1b[31mb\\u202e"
    assert files.extension("x.\udcff") == ".\\xff"
