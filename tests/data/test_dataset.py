"""`Data`: what it says about the pictures, and what it does with broken ones."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from striate import data
from striate.errors import ArgumentError, DataError

KEYS = [
    "path",
    "task",
    "layout",
    "items",
    "splits",
    "classes",
    "sizes",
    "problems",
    "ignored",
    "duplicates",
    "fingerprint",
]


def broken(root, name, count):
    for i in range(count):
        (root / name / f"bad{i}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([i]) * 40)


def test_the_json_shape(cache, pictures):
    root = pictures({"a": 6, "b": 4})
    broken(root, "a", 1)
    (root / "b" / "copy.png").write_bytes((root / "b" / "000.png").read_bytes())
    (root / "b" / "x.txt").write_text("x")
    got = data.open(root).as_dict()
    assert list(got)[: len(KEYS)] == KEYS
    assert json.loads(json.dumps(got)) == got
    assert got["path"] == str(root)
    assert (got["task"], got["layout"], got["items"]) == ("classify", "class folders", 11)
    assert sum(got["splits"].values()) == 11
    assert got["classes"] == ["a", "b"]
    assert got["sizes"] == {
        "height": {"min": 12, "median": 12.0, "max": 12},
        "width": {"min": 10, "median": 10.0, "max": 10},
    }
    assert [p["file"] for p in got["problems"]] == ["a/bad0.png"]
    assert got["problems"][0]["reason"].startswith("a broken PNG header (")
    assert got["ignored"] == {".txt": 1}
    assert got["duplicates"] == [["b/000.png", "b/copy.png"]]
    assert len(got["fingerprint"]) == 64


def test_the_text(cache, pictures):
    root = pictures({"a": 6, "b": 4})
    opened = data.open(root)
    assert opened.as_text() == (
        f"{root}: 10 pictures in 2 classes, class folders\n\n"
        "class  train  val\na          5    1\nb          3    1\ntotal      8    2\n\n"
        "sizes: height 12, width 10 pixels, rgb\n"
        "problems: none, every picture was decoded\nduplicates: none\n"
        "note: val has a single item of a, b: scores of it mean little\n"
        f"fingerprint: {opened.fingerprint[:16]}"
    )
    assert repr(opened) == f"Data({str(root)!r}, 2 classes, train 8, val 2)"


def test_the_text_names_what_is_wrong(cache, pictures):
    pictures({f"c{i}": 2 for i in range(50)}, below="train")
    root = pictures({"c0": 1}, below="test")
    (root / "test" / "c0" / "leak.png").write_bytes(
        (root / "train" / "c0" / "000.png").read_bytes()
    )
    broken(root / "train", "c1", 10)
    text = data.open(root).as_text()
    assert "... 10 more" in text
    assert (
        "problems: 10 cannot be read and are skipped\n  train/c1/bad0.png: a broken PNG header"
        in text
    )
    assert "  ... 2 more\n" in text
    assert (
        "duplicates: 1 exact; 1 across splits, which is a leak\n  train/c0/000.png = test/c0/leak.png"
        in text
    )


def test_the_fingerprint_depends_on_content_alone(cache, pictures, tmp_path):
    import os
    import shutil

    root = pictures({"a": 3, "b": 3})
    first = data.open(root).fingerprint
    assert data.open(root, seed=5, val=0.5).fingerprint == first
    shutil.copytree(root, tmp_path / "other")
    os.utime(tmp_path / "other" / "a" / "000.png", (0, 0))
    assert data.open(tmp_path / "other").fingerprint == first
    shutil.move(tmp_path / "other" / "a" / "000.png", tmp_path / "other" / "b" / "moved.png")
    assert data.open(tmp_path / "other").fingerprint != first


def test_grey_pictures_stay_grey_unless_asked(cache, pictures):
    opened = data.open(pictures({"a": 3, "b": 3}, mode="L"))
    assert opened.color == "grey"
    assert opened.arrays("train").inputs.shape == (4, 12, 10, 1)
    rgb = opened.arrays("train", color="rgb").inputs
    assert np.array_equal(rgb, np.repeat(opened.arrays("train").inputs, 3, 3))
    assert rgb.shape[-1] == 3
    assert data.open(pictures({"c": 3})).color == "rgb"


def test_each_row_is_the_picture_of_its_name(cache, pictures):
    root = pictures({"a": 70, "b": 80})
    opened = data.open(root)
    calls = []
    train = opened.arrays(
        "train", size=(5, 9), progress=lambda done, total: calls.append((done, total))
    )
    for image, name in zip(train.inputs, train.names, strict=True):
        assert (image == data.picture(root / name, size=(5, 9))).all()
    assert calls[-1] == (120, 120)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert train.targets.dtype == np.int64


def test_arrays_of_the_right_form_are_not_copied(cache, tmp_path, idx_files):
    idx_files(tmp_path / "m")
    opened = data.open(tmp_path / "m")
    images = opened.arrays("train").inputs
    assert np.shares_memory(images, opened.arrays("train", size=(6, 5), color="grey").inputs)
    grown = opened.arrays("train", size=(12, 10), color="rgb").inputs
    assert grown.shape == (20, 12, 10, 3)
    assert not cache.exists()


def test_large_arrays_that_are_resized_go_through_the_cache(
    cache, tmp_path, idx_files, monkeypatch
):
    idx_files(tmp_path / "m")
    opened = data.open(tmp_path / "m")
    small = opened.arrays("train", size=(12, 10)).inputs
    monkeypatch.setattr("striate.data.streaming._IN_MEMORY", 100)
    mapped = data.open(tmp_path / "m").arrays("train", size=(12, 10)).inputs
    assert isinstance(mapped, np.memmap)
    assert (mapped == small).all()


def test_broken_pictures_are_left_out_and_named(cache, pictures):
    root = pictures({"a": 10, "b": 10})
    broken(root, "a", 3)
    opened = data.open(root)
    parts = [opened.arrays(split) for split in opened.splits]
    assert sum(len(part) for part in parts) == 20
    assert all(len(part.inputs) == len(part.targets) == len(part.names) for part in parts)
    assert not any("bad" in name for part in parts for name in part.names)
    for part in parts:
        assert (part.inputs[-1] == data.picture(root / part.names[-1])).all()
    assert sorted(p.file for p in opened.problems) == ["a/bad0.png", "a/bad1.png", "a/bad2.png"]
    again = data.open(root)
    assert list(again.arrays("train").names) == list(parts[0].names)
    assert len(again.problems) == 3


def test_a_truncated_picture_decides_neither_size_nor_colour(cache, pictures, encoded):
    root = pictures({"a": 6, "b": 6}, mode="L")
    whole = encoded(99, size=(90, 70), kind="JPEG")
    (root / "a" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    opened = data.open(root)
    assert (opened.native_size, opened.color) == ((12, 10), "grey")
    assert opened.sizes["height"] == {"min": 12, "median": 12.0, "max": 12}
    assert "height 12, width 10 pixels, grey" in opened.as_text()
    (root / "a" / "cut.jpg").write_bytes(whole)
    mended = data.open(root)
    assert (mended.native_size, mended.color, mended.sizes["height"]["max"]) == (None, "rgb", 90)


def test_broken_pictures_do_not_change_the_split(cache, pictures):
    root = pictures({"a": 10, "b": 10})
    before = list(data.open(root).splits["val"].names)
    (root / "a" / "005.png").write_bytes(b"")
    assert list(data.open(root).splits["val"].names) == before


def test_too_many_broken_pictures_stop(cache, pictures):
    root = pictures({"a": 10, "b": 10})
    broken(root, "a", 5)
    data.open(root).check()
    broken(root, "b", 6)
    with pytest.raises(DataError) as caught:
        data.open(root).check()
    text = str(caught.value)
    assert text.startswith("11 of 31 pictures cannot be read (a 5, b 6): a/bad")
    assert text.endswith(
        "; and 6 more; mend or remove them, or go on without them with --broken skip"
    )
    assert caught.value.exit_status == 3
    with pytest.raises(DataError, match=r"cannot be read \(a \d, b \d\)"):
        data.open(root).arrays("train")
    assert (
        len(data.open(root, broken="skip").arrays("train"))
        + len(data.open(root, broken="skip").arrays("val"))
        == 20
    )
    data.open(root, broken=0.4).check()
    with pytest.raises(DataError, match="11 of 31"):
        data.open(root, broken=0.3).check()


def test_broken_pictures_of_all_splits_are_added_up(cache, pictures):
    for split in ("train", "val"):
        root = pictures({"a": 10, "b": 10}, below=split)
        broken(root / split, "a", 4)
    opened = data.open(root)
    assert len(opened.arrays("train")) == 20
    with pytest.raises(
        DataError, match=r"^8 of 48 pictures cannot be read \(a 8\): train/a/bad0.png"
    ):
        opened.arrays("val")


def test_a_class_left_empty_stops_always(cache, pictures):
    root = pictures({"a": 10, "b": 10, "c": 2})
    for path in (root / "c").iterdir():
        path.write_bytes(path.read_bytes()[:-40])  # only decoding tells that it is cut off
    with pytest.raises(DataError) as caught:
        data.open(root, broken="skip").arrays("train")
    assert str(caught.value).startswith("1 of 22 pictures cannot be read (c 1): c/0")
    assert str(caught.value).endswith(
        "; that leaves the class c empty in train: mend them, or leave it out with ignore=c"
    )


@pytest.mark.parametrize("value", ["stopp", -1, 2, None, True])
def test_a_policy_that_is_none(cache, pictures, value):
    with pytest.raises(ArgumentError) as caught:
        data.open(pictures({"a": 3, "b": 3}), broken=value)
    assert (
        str(caught.value)
        == f"broken: got {value!r}, expected 'stop', 'skip' or a share from 0 to 1"
    )


def test_pictures_of_different_sizes_need_a_size(cache, pictures, encoded):
    root = pictures({"a": 3, "b": 3})
    (root / "a" / "wide.png").write_bytes(encoded(9, size=(12, 30)))
    opened = data.open(root)
    assert opened.native_size is None
    assert opened.sizes["width"] == {"min": 10, "median": 10.0, "max": 30}
    with pytest.raises(ArgumentError) as caught:
        opened.arrays("train")
    assert (
        str(caught.value)
        == f"the pictures of {root} have different sizes: give size=(height, width)"
    )


def test_unknown_splits_and_colours(cache, pictures):
    opened = data.open(pictures({"a": 3, "b": 3}))
    with pytest.raises(
        ArgumentError, match=r"has no split 'trian'; did you mean train\? There are: train, val$"
    ):
        opened.arrays("trian")
    with pytest.raises(ArgumentError, match=r"^color: got 'lab'"):
        opened.arrays("train", color="lab")


def test_formats_are_passed_on(cache, pictures, encoded):
    root = pictures({"a": 4, "b": 4})
    (root / "a" / "x.jpg").write_bytes(encoded(5, kind="JPEG"))
    problems = data.open(root, formats=["png"]).problems
    assert [(p.file, p.reason) for p in problems] == [
        ("a/x.jpg", "no picture of the formats that are read (PNG)")
    ]


def test_importing_it_brings_nothing_heavy():
    code = "import sys, striate.data; print({'torch', 'sklearn', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_same_form_is_fetched_once(cache, pictures, monkeypatch):
    from striate.data.cache import Store

    opened = data.open(pictures({"a": 4, "b": 4}))
    asked: list[str] = []
    found = Store.find

    def counted(self: Store, name: str):
        asked.append(name)
        return found(self, name)

    monkeypatch.setattr(Store, "find", counted)
    first = opened.arrays("train", size=(8, 8))
    looked = len(asked)
    again = opened.arrays("train", size=(8, 8))
    assert again.inputs is first.inputs
    assert len(asked) == looked
    assert opened.arrays("train", size=(6, 6)).inputs.shape[1:3] == (6, 6)
    assert len(asked) > looked


def test_arrays_in_memory_are_told_the_way():
    with pytest.raises(
        ArgumentError, match=r"takes a path or a name, got dict; arrays are given as an .npz"
    ):
        data.open({"x": np.zeros((4, 8, 8))})  # pyright: ignore[reportArgumentType]


def test_classes_that_are_not_known_are_counted(pictures, cache):
    opened = data.open(pictures({f"c{k:02}": 2 for k in range(30)}))
    with pytest.raises(DataError) as caught:
        opened.with_classes([f"d{k:02}" for k in range(25)])
    assert "does not know: c00, c01, c02, c03, c04 and 25 more; it knows d00" in str(caught.value)
    assert str(caught.value).endswith("d19 and 5 more")


@pytest.mark.parametrize(
    ("names", "judged"),
    [
        (("train", "val", "test"), "test"),
        (("train", "val"), "val"),
        (("train",), "train"),
        (("all",), "all"),
    ],
)
def test_the_split_that_a_run_is_judged_on(names, judged, tmp_path):
    for i in range(2):
        for label in ("a", "b"):
            (tmp_path / label).mkdir(exist_ok=True)
            Image.new("L", (4, 4), 50 * i + 100 * (label == "b")).save(
                tmp_path / label / f"{i}.png"
            )
    opened = data.open(tmp_path)
    split = next(iter(opened.splits.values()))
    assert replace(opened, splits=dict.fromkeys(names, split)).judged == judged
