"""Which items are held out: shares, seeds, folds, and what belongs together on one side."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.data import broken, splits
from striate.data.duplicates import copies_by_name, exact_groups
from striate.data.sources import Pixels
from striate.errors import ArgumentError, DataError

RNG = np.random.default_rng(0)


@pytest.fixture
def patients(tmp_path) -> Path:
    """Two classes, twelve patients with four pictures of each class."""
    for label in ("ill", "well"):
        for patient in range(12):
            folder = tmp_path / "d" / label / f"p{patient}"
            folder.mkdir(parents=True)
            for i in range(4):
                pixels = RNG.integers(0, 256, (4, 4), np.uint8)
                Image.fromarray(pixels).save(folder / f"p{patient}_{label}_{i}.png")
    rows = [f"{p.name},{p.parent.name}" for p in sorted((tmp_path / "d").rglob("*.png"))]
    (tmp_path / "who.csv").write_text("\n".join(["file,patient", *rows]))
    return tmp_path / "d"


def of(data, name):
    return {Path(picture).parent.name for picture in data.splits[name].names}


@pytest.mark.parametrize("rule", ["folder", "name:^([^_]+)_", "CSV"])
def test_no_patient_is_on_both_sides(patients, rule):
    rule = f"{patients.parent}/who.csv:patient" if rule == "CSV" else rule
    data = striate.open(patients, split=rule, val=0.25)
    assert not of(data, "train") & of(data, "val")
    assert len(of(data, "val")) == 3
    assert data.counts("val") == [12, 12]
    again = striate.open(patients, split=rule, val=0.25)
    assert again.splits["val"].names == data.splits["val"].names
    other = striate.open(patients, split=rule, val=0.25, seed=1)
    assert other.splits["val"].names != data.splits["val"].names
    plain = striate.open(patients, val=0.25)
    assert of(plain, "train") & of(plain, "val")


def test_folds_are_alike_and_together_everything(patients):
    parts = [striate.open(patients, val=f"{i}of4", split="folder") for i in (1, 2, 3, 4)]
    held = [set(data.splits["val"].names) for data in parts]
    assert sum(map(len, held)) == len(set.union(*held)) == 96
    assert [data.counts("val") for data in parts] == [[12, 12]] * 4
    for data in parts:
        assert not of(data, "train") & of(data, "val")


def test_folds_share_out_what_does_not_divide():
    labels = np.array([0] * 7 + [1] * 4)
    parts = [
        splits.one_fold(labels, np.arange(11), classes=("a", "b"), fold=(i, 3), seed=0)
        for i in (1, 2, 3)
    ]
    assert sorted(np.concatenate(parts).tolist()) == list(range(11))
    counts = np.array([np.bincount(labels[part], minlength=2) for part in parts])
    assert counts.max(0).tolist() == [3, 2]
    assert counts.min(0).tolist() == [2, 1]


def test_twins_join_the_groups_they_are_in():
    names = ["c/a/1.png", "c/a/2.png", "c/b/1.png", "c/c/1.png", "c/d/1.png"]
    twins = np.array([0, 1, 1, 3, 4])  # a/2 and b/1 hold the same picture
    found = splits.groups(names, "folder", twins)
    assert found[0] == found[1] == found[2]
    assert len({int(found[i]) for i in (0, 3, 4)}) == 3


@pytest.mark.slow
def test_a_run_with_groups_is_opened_again_with_them(patients, tmp_path):
    run = striate.train(patients, "linear", out=tmp_path, epochs=1, split="folder", size=4)
    again = striate.Run.load(run.path).open_data()
    assert not of(again, "train") & of(again, "val")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"split": "patient"},
            "split=patient: expected stratified, folder, name:PATTERN or FILE.csv:COLUMN",
        ),
        ({"split": "name:("}, "split=name:(: '(' is no regular expression"),
        ({"val": "6of5"}, "val: got '6of5', expected a share such as 0.2, or 2of5 for the second"),
        ({"val": "half"}, "val: got 'half', expected a share such as 0.2"),
    ],
)
def test_rules_that_cannot_be_read_are_named(patients, settings, message):
    with pytest.raises(ArgumentError) as caught:
        striate.open(patients, **settings)
    assert str(caught.value).startswith(message)


def test_pictures_without_a_group_are_named(patients, shapes):
    table = patients.parent / "who.csv"
    for rule, message in [
        (f"{table}:age", f"{table} has no column 'age'; it has file, patient"),
        (f"{patients}/none.csv:patient", "the table cannot be read"),
        ("name:^q", "split=name:^q: nothing in ill/p0/p0_ill_0.png matches"),
    ]:
        with pytest.raises(DataError) as caught:
            striate.open(patients, split=rule)
        assert message in str(caught.value)
    with pytest.raises(DataError, match="split=folder: the pictures lie in their class folders"):
        striate.open(shapes, split="folder")
    table.write_text("file,patient\np0_ill_0.png,p0\n")
    with pytest.raises(DataError, match=r"has no row for ill/p0/p0_ill_1\.png"):
        striate.open(patients, split=f"{table}:patient")


def test_a_table_that_is_not_there_is_said_in_words(patients, tmp_path):
    with pytest.raises(DataError) as caught:
        striate.open(patients, split=f"{tmp_path}/no.csv:day")
    assert str(caught.value) == (
        f"split={tmp_path}/no.csv:day: the table cannot be read (No such file or directory); "
        "expected a CSV file whose first column names the files"
    )


def h(k: int) -> str:
    return f"{k:032x}"


# names of one picture each, and whether they go together
COPIES = {
    "export": ([[f"a{k}_jpg.rf.{h(3 * k + j)}.jpg" for j in range(3)] for k in range(6)], True),
    "one export": (
        [["a_jpg.rf." + h(1) + ".jpg", "a_jpg.rf." + h(2) + ".jpg"], ["b.jpg"], ["c.jpg"]],
        True,
    ),
    "augmented": ([[f"a{k}.jpg", f"a{k}_aug_1.jpg", f"a{k}_aug_2.jpg"] for k in range(6)], True),
    "without the original": ([[f"a{k}_aug1.jpg", f"a{k}_aug2.jpg"] for k in range(6)], True),
    "changed twice": ([[f"a{k}.jpg", f"a{k}_flip_rot90.jpg"] for k in range(6)], True),
    "copied": ([[f"a{k}.jpg", f"a{k} (1).jpg", f"a{k} - Copy.jpg"] for k in range(6)], True),
    "numbered": ([[f"cat ({k}).jpg"] for k in range(1, 30)], False),
    "numbered from one without": (
        [["cat.jpg"], *([f"cat ({k}).jpg"] for k in range(1, 30))],
        False,
    ),
    "once by chance": ([["a.jpg"], ["a (1).jpg"], *([f"{k}.jpg"] for k in range(20))], False),
    "plain": ([[f"img_{k}.jpg"] for k in range(20)], False),
    "frames": ([[f"video_{k:04}.jpg"] for k in range(20)], False),
}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_by_name(kind):
    sets, together = COPIES[kind]
    found = copies_by_name([f"x/{name}" for names in sets for name in names])
    if not together:
        assert found is None
        return
    assert found is not None
    groups = np.split(found.groups, np.cumsum([len(names) for names in sets])[:-1])
    assert all(len(set(each.tolist())) == 1 for each in groups)
    assert len({int(each[0]) for each in groups}) == len(sets)


def filled(root: Path, names: list[str]) -> Path:
    for k, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(k).integers(0, 256, (4, 4), np.uint8)).save(
            root / name
        )
    return root


def test_copies_by_name_stay_on_one_side_and_it_is_said(tmp_path):
    names = [f"{c}/{k}_png.rf.{h(9 * k + j)}.png" for c in "ab" for k in range(8) for j in range(3)]
    data = striate.open(filled(tmp_path / "d", names), val=0.25)
    held = {name.split("_")[0] for name in data.splits["val"].names}  # "a/0"
    assert not held & {name.split("_")[0] for name in data.splits["train"].names}
    assert data.counts("val") == [6, 6]
    assert data.note.startswith("48 names are copies of 16 pictures (such as ")


def test_copies_by_name_across_splits_of_their_own_are_faults(tmp_path):
    names = [
        f"{s}/{c}/{k}_png.rf.{h(9 * k + j)}.png"
        for c in "ab"
        for k in range(3)
        for j, s in enumerate(("train", "test"))
    ]
    (fault,) = striate.open(filled(tmp_path / "d", names)).faults
    assert (fault.kind, fault.count) == ("pictures with copies by name in different splits", 6)


CLASSES = ("a", "b", "c")


def held_out(labels, groups=None, *, val=0.2, seed=0):
    labels = np.asarray(labels)
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    train, held = splits.stratified(
        labels, groups, classes=CLASSES[: labels.max() + 1], val=val, seed=seed
    )
    assert sorted([*train, *held]) == list(range(len(labels)))
    assert not set(groups[train]) & set(groups[held])
    return held


@pytest.mark.parametrize("val", [0.01, 0.2, 0.5, 0.99])
def test_every_class_gives_its_share_and_keeps_one(val):
    labels = np.repeat([0, 1, 2], [100, 10, 2])
    counts = np.bincount(labels[held_out(labels, val=val)], minlength=3)
    for count, size in zip(counts, (100, 10, 2), strict=True):
        assert count == min(max(round(size * val), 1), size - 1)


def test_the_seed_decides_alone():
    labels = np.repeat([0, 1], 50)
    assert (held_out(labels, seed=1) == held_out(labels, seed=1)).all()
    assert (held_out(labels, seed=1) != held_out(labels, seed=2)).any()


@pytest.mark.parametrize("seed", range(20))
def test_twins_stay_together_also_across_classes(seed):
    rng = np.random.default_rng(seed)
    labels = np.sort(rng.integers(0, 3, 60))
    groups = rng.integers(0, 25, 60)
    held = held_out(labels, groups, seed=seed)
    assert (np.bincount(labels[held], minlength=3) > 0).all()


def test_a_class_of_large_groups_still_gives_one():
    assert held_out([0] * 8 + [1] * 2, [0, 0, 0, 0, 1, 1, 1, 1, 2, 3]).tolist()[:4] in (
        [0, 1, 2, 3],
        [4, 5, 6, 7],
    )


def test_a_class_that_cannot_be_split():
    with pytest.raises(
        DataError,
        match=r"^the class a has 3 pictures that count as one \(copies, or kept together by split=\); a split needs at least 2",
    ):
        held_out([0, 0, 0, 1, 1], [0, 0, 0, 1, 2])
    with pytest.raises(
        DataError,
        match=r"^the class [abc] cannot be split: all its pictures are copies of others, or kept",
    ):
        held_out([0, 0, 1, 1, 2, 2], [0, 1, 0, 2, 1, 2])


def test_exact_copies_are_found_by_content():
    images = np.zeros((5, 4, 4, 1), np.uint8)
    images[1, 0, 0] = images[2, 1, 1] = images[4, 0, 0] = (
        9  # 2 has the same sum, not the same pixels
    )
    source = Pixels(images)
    assert exact_groups(source, source.weights()).tolist() == [0, 1, 2, 0, 1]


def test_duplicates_never_cross_our_split(cache, pictures):
    root = pictures({"a": 30, "b": 30})
    for i in range(10):
        (root / "a" / f"copy{i}.png").write_bytes((root / "a" / f"{i:03}.png").read_bytes())
    for seed in range(5):
        opened = striate.open(root, seed=seed)
        assert len(opened.duplicates) == 10
        assert opened.leaks == ()
        assert opened.counts("val") == [8, 6]


NO_PICTURES = {
    "empty": b"",
    "other": b"<html>not found</html>",
    "cut": b"\x89PNG\r\n\x1a\n" + bytes(20),
}


@pytest.mark.parametrize("content", NO_PICTURES.values(), ids=NO_PICTURES)
@pytest.mark.parametrize("val", [None, 0.5, "1of2"])
def test_what_cannot_be_read_is_out_before_the_split_is_drawn(cache, pictures, content, val):
    root = pictures({"a": 20, "b": 20, "c": 5})
    for i in range(3):
        (root / "c" / f"{i:03}.png").write_bytes(content)
    for seed in range(8):
        opened = striate.open(root, val=val, seed=seed, broken="skip")
        opened.scan()
        counts = [opened.counts(split) or [] for split in ("train", "val")]
        assert [each[2] for each in counts] == [1, 1]
        assert len(opened.problems) == 3
        assert sum(len(split) for split in opened.splits.values()) == 45


def test_rows_without_a_picture_are_out_before_the_split_is_drawn(cache, pictures):
    root = pictures({"all": 24})
    rows = [f"all/{i:03}.png,{'ab'[i % 2]}" for i in range(22)] + ["all/022.png,c", "all/023.png,c"]
    gone = [f"all/gone{i}.png,c" for i in range(4)]
    (root / "labels.csv").write_text("\n".join(["path,label", *rows, *gone]))
    for seed in range(8):
        opened = striate.open(root, seed=seed, broken="skip", layout="csv")
        opened.scan()
        counts = [opened.counts(split) or [] for split in ("train", "val")]
        assert [each[2] for each in counts] == [1, 1]


def test_a_class_with_too_few_pictures_that_can_be_read_is_refused(cache, pictures):
    root = pictures({"a": 10, "b": 10, "c": 3})
    for i in range(2):
        (root / "c" / f"{i:03}.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        striate.open(root, broken="skip")
    assert str(caught.value) == (
        "2 of 3 pictures of the class c cannot be read: c/000.png (an empty file); c/001.png (an empty file); that leaves 1, "
        "and a split needs at least 2 different ones, one to train on and one to hold out: mend them, or leave it out with "
        "ignore=c"
    )
    assert striate.open(root, val=0, broken="skip").problems  # nothing is drawn
    assert striate.open(root, ignore="c").classes == ("a", "b")


def test_headers_are_read_of_the_rarest_classes_only(cache, pictures, monkeypatch):
    root = pictures({"a": 30, "b": 8, "c": 5})
    read = []
    head_of = broken.pictures.head_of
    monkeypatch.setattr(broken, "_HEADERS", 13)
    monkeypatch.setattr(
        broken.pictures, "head_of", lambda path, limits: read.append(path) or head_of(path, limits)
    )
    striate.open(root)
    assert {path.parent.name for path in read} == {"b", "c"}
    assert len(read) == 13


def test_a_broken_picture_moves_no_other_one(cache, pictures):
    root = pictures({"a": 40, "b": 40})
    before = striate.open(root)
    held = set(before.splits["val"].names)
    spare = next(name for name in before.splits["train"].names if name.startswith("a/"))
    (root / spare).write_bytes(b"")
    assert set(striate.open(root).splits["val"].names) == held
