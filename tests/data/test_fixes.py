"""fixes.csv: items relabelled, dropped and regrouped when data are opened; no file of the data changes."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate import cli
from striate.data import again
from striate.data import fixes as corrections
from striate.data.index import Listing
from striate.data.targets import MultiLabels
from striate.errors import DataError


@pytest.fixture
def cats(pictures, cache) -> Path:
    return pictures({"cat": 20, "dog": 20})


def table(tmp_path: Path, *rows: str, header: str = "file,action,value") -> Path:
    path = tmp_path / "fixes.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def labels(opened) -> dict[str, str]:
    return {
        name: opened.classes[int(split.labels[i])]
        for split in opened.splits.values()
        for i, name in enumerate(split.names)
    }


def held(opened) -> set[str]:
    return set(opened.splits["val"].names)


def test_relabel_and_drop_leave_the_split_and_the_files_alone(cats, tmp_path):
    before = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in cats.rglob("*.png")}
    plain = striate.open(cats)
    file = table(tmp_path, "cat/000.png,relabel,dog", "dog/003.png,drop,")
    fixed = striate.open(cats, fixes=file)
    now = labels(fixed)
    assert now["cat/000.png"] == "dog"
    assert "dog/003.png" not in now
    others = set(now) - {"cat/000.png"}
    assert {k: now[k] for k in others} == {k: labels(plain)[k] for k in others}
    assert held(fixed) == held(plain) - {"dog/003.png"}
    assert fixed.fingerprint != plain.fingerprint
    assert {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in before} == before
    assert len(list(cats.rglob("*.png"))) == len(before)


def test_regroup_keeps_items_on_one_side(cats, tmp_path):
    plain = striate.open(cats)
    inside, outside = min(held(plain)), min(plain.splits["train"].names)
    file = table(tmp_path, f"{inside},regroup,patient 7", f"{outside},regroup,patient 7")
    fixed = striate.open(cats, fixes=file)
    assert (inside in held(fixed)) == (outside in held(fixed))
    assert len(fixed) == len(plain)


def test_regroup_of_data_with_own_splits_says_that_it_has_no_effect(pictures, cache, tmp_path):
    pictures({"cat": 6, "dog": 6}, below="train")
    root = pictures({"cat": 3, "dog": 3}, below="test")
    fixed = striate.open(root, fixes=table(tmp_path, "train/cat/000.png,regroup,a"))
    assert any("regroup has no effect" in line for line in fixed.warnings)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("cat/00.png,relabel,dog", "line 2: no item is called 'cat/00.png'; did you mean cat/0"),
        ("cat/000.png,relabel,dgo", "line 2: no class is called 'dgo'; did you mean dog?"),
        ("cat/000.png,relable,dog", "action 'relable'; did you mean relabel?"),
        ("cat/000.png,relabel,", "relabel needs a value"),
        (",drop,", "names no file"),
        ("cat/000.png,drop,\ncat/000.png,relabel,dog", "keep one"),
        ("\n".join(f"cat/{i:03}.png,drop," for i in range(20)), "leaves no item of the class cat"),
    ],
)
def test_a_row_that_cannot_be_done_is_named(cats, tmp_path, row, words):
    with pytest.raises(DataError) as error:
        striate.open(cats, fixes=table(tmp_path, row))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "is empty"), ("name,action\na,drop\n", "no column file"), ("\0\1", "fixes|read")],
)
def test_a_file_that_is_none(cats, tmp_path, text, words):
    path = tmp_path / "fixes.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        striate.open(cats, fixes=path)
    with pytest.raises(DataError, match="there is no such file"):
        striate.open(cats, fixes=tmp_path / "other.csv")


def test_the_label_that_a_row_was_written_for_is_checked(cats, tmp_path):
    header = "file,action,value,was"
    striate.open(cats, fixes=table(tmp_path, "cat/000.png,relabel,dog,cat", header=header))
    with pytest.raises(DataError, match="is labelled cat, not dog as column was says"):
        striate.open(cats, fixes=table(tmp_path, "cat/000.png,relabel,dog,dog", header=header))


def test_what_is_labelled_so_already_is_no_correction(cats, tmp_path):
    fixed = striate.open(cats, fixes=table(tmp_path, "cat/000.png,relabel,cat"))
    assert fixed.fixed is not None
    assert fixed.fixed.unchanged == ("cat/000.png",)
    assert fixed.fixed.relabelled == ()
    assert fixed.fingerprint == striate.open(cats).fingerprint


def test_recorded_rows_are_used_and_a_changed_file_is_named(cats, tmp_path):
    file = table(tmp_path, "cat/000.png,relabel,dog")
    fixed = striate.open(cats, fixes=file)
    origin = json.loads(json.dumps(fixed.origin))
    assert again(origin).fingerprint == fixed.fingerprint
    table(tmp_path, "cat/001.png,relabel,dog")
    later = again(origin)
    assert later.fingerprint == fixed.fingerprint
    assert any("changed since the run was trained" in line for line in later.since)
    file.unlink()
    gone = again(origin)
    assert gone.fingerprint == fixed.fingerprint
    assert not any("changed" in line for line in gone.warnings)


def test_numbers(pictures, cache, tmp_path):
    root = pictures({"p": 20})
    rows = [f"p/{i:03}.png,{i},{-i}" for i in range(20)]
    (root / "labels.csv").write_text("\n".join(["file,width,height", *rows]))
    opening: dict[str, Any] = {"layout": "csv:label=width+height"}
    fixed = striate.open(root, fixes=table(tmp_path, "p/003.png,relabel,1.5|-2"), **opening)
    split = next(s for s in fixed.splits.values() if "p/003.png" in s.names)
    assert split.targets.truth(list(split.names).index("p/003.png")).tolist() == [1.5, -2]
    for value in ("1.5", "1|nan", "a|b"):
        with pytest.raises(DataError, match="expected 2 numbers"):
            striate.open(root, fixes=table(tmp_path, f"p/003.png,relabel,{value}"), **opening)


@pytest.mark.parametrize("was", ["1234567.25|0.1", "1234567.250|1e-1"])
def test_numbers_are_told_apart_by_all_their_digits(pictures, cache, tmp_path, was):
    root = pictures({"p": 20})
    rows = [f"p/{i:03}.png,1234567.25,0.1" for i in range(20)]
    (root / "labels.csv").write_text("\n".join(["file,width,height", *rows]))
    file = table(tmp_path, f"p/003.png,relabel,1234567.9|0.1,{was}", header="file,action,value,was")
    fixed = striate.open(root, fixes=file, layout="csv:label=width+height").fixed
    assert fixed is not None
    (row,) = fixed.relabelled
    assert (row["was"], row["now"]) == ("1234567.25|0.1", "1234567.9|0.1")


def test_labels_of_a_row_may_stand_in_any_order():
    given = MultiLabels(np.array([[1, 1, 0]], np.uint8))
    fixes = corrections.Fixes("f.csv", "", ())
    row = corrections.Fix("x", "relabel", "c", was="b|a")
    corrections._check_was(row, "a|b", given, fixes)
    with pytest.raises(DataError, match=r"is labelled a, not b\|a"):
        corrections._check_was(row, "a", given, fixes)


def test_several_labels():
    listed = Listing("", ("a", "b", "c"), {}, Counter())
    given = MultiLabels(np.array([[1, 0, 0], [0, 1, 1]], np.uint8))
    fixes = corrections.Fixes("f.csv", "", ())
    copied = corrections._copied(given)
    corrections._relabel(copied, 0, corrections.Fix("x", "relabel", "b|c"), listed, fixes)
    assert copied.truth(0).tolist() == [0, 1, 1]
    assert given.truth(0).tolist() == [1, 0, 0]
    with pytest.raises(DataError, match="no class is called 'd'"):
        corrections._relabel(copied, 0, corrections.Fix("x", "relabel", "a|d"), listed, fixes)


def test_masks_can_be_dropped_and_not_relabelled(encoded, cache, tmp_path):
    for i in range(12):
        for kind, mode in (("images", "RGB"), ("masks", "L")):
            (tmp_path / "m" / kind).mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(np.full((8, 8), i % 2, np.uint8)) if mode == "L" else None
            if picture is None:
                (tmp_path / "m" / kind / f"{i}.png").write_bytes(encoded(i))
            else:
                picture.resize((10, 12)).save(tmp_path / "m" / kind / f"{i}.png")
    plain = striate.open(tmp_path / "m")
    name = plain.splits["train"].names[0]
    dropped = striate.open(tmp_path / "m", fixes=table(tmp_path, f"{name},drop,"))
    assert len(dropped) == len(plain) - 1
    with pytest.raises(DataError, match="correct their files, or drop them"):
        striate.open(tmp_path / "m", fixes=table(tmp_path, f"{name},relabel,1"))


def test_a_name_in_two_splits_needs_its_split(pictures, cache, tmp_path):
    opened = striate.open(pictures({"cat": 20, "dog": 20}))
    listing = corrections.read(
        table(tmp_path, "cat/000.png,drop,,val", header="file,action,value,split")
    )
    assert listing.rows[0].split == "val"
    assert len(striate.open(opened.path, fixes=listing)) == len(opened) - 1


def test_striate_data_shows_the_result(cats, tmp_path, capsys):
    file = table(tmp_path, "cat/000.png,relabel,dog", "dog/003.png,drop,")
    assert cli.main(["data", str(cats), "--fixes", str(file)]) == 0
    said = capsys.readouterr().out
    assert "fixes.csv: 1 relabelled, 1 dropped" in said
    assert "relabelled: cat/000.png" in said
    assert "cat to dog" in said
    assert cli.main(["data", str(cats), "--fixes", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["fixes"]
    assert found["relabelled"][0]["now"] == "dog"
    assert found["dropped"][0]["file"] == "dog/003.png"
    assert cli.main(["data", str(cats), "--fixes", "nowhere.csv"]) == 3
    assert capsys.readouterr().err.count("\n") == 1
