"""Tables that say what belongs to pictures: which column is what, classes or numbers, and every way to be wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate import data
from striate.errors import ArgumentError, DataError


@pytest.fixture
def root(tmp_path: Path, cache: Path) -> Path:
    (tmp_path / "set").mkdir()
    return tmp_path / "set"


def pictures(root: Path, names: list[str]) -> list[str]:
    for k, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng([k, len(name)]).integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    return names


def refused(path: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        data.open(path, **options)
    return str(caught.value)


def sizes(opened: data.Data) -> dict[str, int]:
    return {name: len(split) for name, split in opened.splits.items()}


def labels(opened: data.Data) -> dict[str, str]:
    """Picture -> the name of its class."""
    return {
        name: opened.classes[split.targets.truth(i)]
        for split in opened.splits.values()
        for i, name in enumerate(split.names)
    }


NAMES = [f"{k}.jpg" for k in range(8)]
WORDS = ["cat", "dog"] * 4

# how the pictures lie, what the table says of number k, and where the table lies
PLACES = {
    "beside": ("{}.jpg", "{}.jpg", "labels.csv"),
    "folder": ("images/{}.jpg", "{}.jpg", "labels.csv"),
    "path": ("images/{}.jpg", "images/{}.jpg", "labels.csv"),
    "dot": ("images/{}.jpg", "./images/{}.jpg", "labels.csv"),
    "windows": ("images/{}.jpg", "images\\{}.jpg", "labels.csv"),
    "other machine": ("images/{}.jpg", "/home/ann/images/{}.jpg", "labels.csv"),
    "id": ("images/{}.jpg", "{}", "labels.csv"),
    "upper case": ("images/{}.JPG", "{}.jpg", "labels.csv"),
    "deep": ("a/b/{}.jpg", "{}.jpg", "labels.csv"),
    "table inside": ("images/{}.jpg", "{}.jpg", "images/labels.csv"),
    "table aside": ("images/{}.jpg", "../images/{}.jpg", "meta/labels.csv"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("header", ["path,label", "Image,Breed", "id,whatever", ""])
def test_each_way_to_name_pictures(root, place, header):
    where, cell, table = PLACES[place]
    pictures(root, [where.format(k) for k in range(8)])
    rows = [f"{cell.format(k)},{word}" for k, word in enumerate(WORDS)]
    (root / table).parent.mkdir(exist_ok=True)
    (root / table).write_text("\n".join([header] * bool(header) + rows))
    opened = data.open(root)
    assert (opened.layout, opened.task, opened.classes) == (
        "a table of pictures",
        "classify",
        ("cat", "dog"),
    )
    assert labels(opened) == {where.format(k): word for k, word in enumerate(WORDS)}
    assert opened.problems == ()
    assert not opened.ignored
    alone = data.open(root / table)
    assert sorted(labels(alone).values()) == sorted(WORDS)


def test_absolute_paths_outside_of_the_folder(root, tmp_path):
    pictures(tmp_path / "elsewhere", NAMES)
    rows = [f"{tmp_path}/elsewhere/{name},{word}" for name, word in zip(NAMES, WORDS, strict=True)]
    (root / "labels.csv").write_text("\n".join(rows))
    for path in (root, root / "labels.csv"):
        opened = data.open(path)
        assert len(opened) == 8
        assert opened.problems == ()


@pytest.mark.parametrize(
    "text",
    [
        "\ufefffile,label\n{}",
        "file;label\n{}",
        "file\tlabel\n{}",
        "file|label\n{}",
        '"file","label"\n{}',
        "file,label\r\n{}",
        "file, label\n{}\n\n\n",
        "{}",
    ],
)
def test_each_form_of_table(root, text):
    pictures(root, NAMES)
    between = next((c for c in ";\t|" if c in text), ",")
    quote = '"' if '"' in text else ""
    end = "\r\n" if "\r" in text else "\n"
    rows = end.join(
        f"{quote}{n}{quote}{between}{quote}{w}{quote}" for n, w in zip(NAMES, WORDS, strict=True)
    )
    (root / "labels.csv").write_bytes(text.format(rows).encode())
    assert labels(data.open(root)) == dict(zip(NAMES, WORDS, strict=True))


def test_quotes_hold_separators_and_lines(root):
    pictures(root, ["a, b.jpg", "c.jpg", "d.jpg", "e.jpg"])
    (root / "labels.csv").write_text(
        'file,label\n"a, b.jpg","big\ncat"\nc.jpg,"big\ncat"\nd.jpg,"say ""dog"""\ne.jpg,"say ""dog"""\n'
    )
    assert data.open(root).classes == ("big\\ncat", 'say "dog"')


def test_a_table_of_a_spreadsheet_in_western_europe(root):
    pictures(root, NAMES)
    rows = "\n".join(f"{n};{w}" for n, w in zip(NAMES, ["Bär", "Kuh"] * 4, strict=True))
    (root / "labels.csv").write_bytes(("Datei;Art\n" + rows).encode("cp1252"))
    opened = data.open(root)
    assert opened.classes == ("Bär", "Kuh")
    assert opened.note == "labels.csv is read as Windows-1252"


def table(root: Path, header: str, rows: list[str], name: str = "labels.csv") -> Path:
    (root / name).write_text("\n".join([header, *rows]))
    return root


def with_cells(root: Path, cells: list[str], header: str = "file,label") -> Path:
    names = pictures(root, [f"{k}.png" for k in range(len(cells))])
    return table(root, header, [f"{n},{c}" for n, c in zip(names, cells, strict=True)])


@pytest.mark.parametrize(
    ("cells", "header", "task", "classes"),
    [
        (["3", "5"] * 6, "file,label", "classify", ("3", "5")),
        (["10", "9"] * 6, "file,x", "classify", ("9", "10")),
        (["1.0", "2.0"] * 6, "file,label", "classify", ("1", "2")),
        ([str(k) for k in range(12)], "file,count", "regress", ()),
        ([f"{k}.5" for k in range(12)], "file,label", "regress", ()),
        ([str(k % 25) for k in range(60)], "file,age", "regress", ()),
        ([str(k % 25) for k in range(60)], "file,class", "classify", tuple(map(str, range(25)))),
        (["-1.5e3", "2"] * 6, "file,y", "regress", ()),
    ],
)
def test_few_whole_numbers_are_classes_and_others_values(root, cells, header, task, classes):
    opened = data.open(with_cells(root, cells, header))
    assert (opened.task, opened.classes) == (task, classes)
    assert opened.kind == ("label" if task == "classify" else "values")
    assert "taken as" in opened.note
    assert "--task" in opened.note
    other = data.open(root, task="regress")
    assert other.kind == "values"
    found = {n: s.targets.truth(i)[0] for s in other.splits.values() for i, n in enumerate(s.names)}
    assert found == {f"{k}.png": float(c) for k, c in enumerate(cells)}
    assert other.outputs == (header.split(",")[1],)
    assert "--task" not in other.note


def test_numbers_with_a_decimal_comma(root):
    names = pictures(root, NAMES)
    (root / "labels.csv").write_text(
        "file;price\n" + "\n".join(f"{n};{k},25" for k, n in enumerate(names))
    )
    opened = data.open(root)
    assert (opened.task, opened.splits["train"].targets.truth(0)[0] % 1) == ("regress", 0.25)


def test_several_numbers(root):
    names = pictures(root, NAMES)
    table(root, "file,x,y,who", [f"{n},{k},{k / 4},p" for k, n in enumerate(names)])
    opened = data.open(root, layout="csv:label=x+y")
    assert (opened.task, opened.kind, opened.outputs, opened.classes) == (
        "regress",
        "values",
        ("x", "y"),
        (),
    )
    assert opened.as_dict()["outputs"] == ["x", "y"]
    assert opened.as_text().startswith(f"{root}: 8 pictures with x, y, a table of pictures\n")
    split = opened.splits["val"]
    k = int(split.names[0][0])
    assert split.targets.truth(0).tolist() == [k, k / 4]


@pytest.mark.parametrize("between", [";", "|", "; "])
def test_several_labels_in_a_cell(root, between):
    opened = data.open(with_cells(root, ["cat", f"cat{between}dog", f"eel{between}dog", "dog"] * 3))
    assert (opened.task, opened.kind, opened.classes) == (
        "multilabel",
        "labels",
        ("cat", "dog", "eel"),
    )
    found = {
        n: s.targets.truth(i).tolist()
        for s in opened.splits.values()
        for i, n in enumerate(s.names)
    }
    assert [found[f"{k}.png"] for k in range(4)] == [[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 1, 0]]
    assert "several labels with" in opened.note
    assert opened.note.endswith("(--task classify takes each cell as one class)")
    one = data.open(root, task="classify")
    assert (one.kind, len(one.classes)) == ("label", 4)


def test_one_label_a_cell_is_taken_as_several_where_that_is_asked_for(root):
    opened = data.open(with_cells(root, ["cat", "dog", "dog"] * 4), task="multilabel")
    assert (opened.task, opened.kind, opened.classes) == ("multilabel", "labels", ("cat", "dog"))
    assert sum(map(sum, (opened.counts(name) or [] for name in opened.splits))) == 12


def test_a_separator_and_one_class_a_cell_contradict_each_other(root):
    with_cells(root, ["cat", "cat dog"] * 4)
    assert refused(root, task="classify", layout="csv:separator=space").startswith(
        "separator=  makes several labels of a cell, and task=classify takes one"
    )


def test_several_ones_a_row_are_no_class_each(root):
    names = pictures(root, NAMES)
    table(root, "file,cat,dog", [f"{n},1,{k % 2}" for k, n in enumerate(names)])
    assert refused(root, task="classify") == (
        "labels.csv line 3: 2 of the columns cat, dog are 1, and task=classify takes one class an item; --task multilabel "
        "takes any number of them"
    )


def test_blanks_separate_words_that_make_up_many_cells(root):
    words = ["haze", "road", "water", "farm"]
    cells = [" ".join(w for j, w in enumerate(words) if k >> j & 1) for k in range(1, 16)]
    opened = data.open(with_cells(root, cells * 2))
    assert (opened.kind, opened.classes) == ("labels", ("farm", "haze", "road", "water"))


def test_blanks_within_names_separate_nothing(root):
    cells = [
        "golden retriever",
        "labrador retriever",
        "border collie",
        "rough collie",
        "great dane",
    ]
    opened = data.open(with_cells(root, cells * 2))
    assert (opened.kind, len(opened.classes)) == ("label", 5)
    asked = data.open(root, layout="csv:separator=space")
    assert (asked.kind, len(asked.classes)) == ("labels", 8)


@pytest.mark.parametrize("one", [True, False])
def test_columns_of_zeros_and_ones(root, one):
    names = pictures(root, NAMES)
    cells = ["1,0,0", "0,1,0", "0,0,1", "1,0,0" if one else "1,1,0"] * 2
    table(root, "file,cat,dog,eel", [f"{n},{c}" for n, c in zip(names, cells, strict=True)])
    opened = data.open(root)
    assert opened.classes == ("cat", "dog", "eel")
    asked = ("classify", "label") if one else ("multilabel", "labels")
    assert (opened.task, opened.kind) == asked
    assert data.open(root, task="multilabel").kind == "labels"
    assert data.open(root, task="regress").outputs == ("cat", "dog", "eel")


def test_columns_for_groups_and_splits(root):
    names = pictures(root, [f"{k}.png" for k in range(24)])
    rows = [
        f"{n},{'ab'[k % 2]},p{k // 6},{'test' if k > 19 else 'none' if k == 0 else 'train'}"
        for k, n in enumerate(names)
    ]
    table(root, "file,label,patient,split", rows)
    opened = data.open(root, val=0.3)
    assert list(opened.splits) == ["train", "val", "test"]
    assert opened.ignored == {"rows of no split": 1}
    assert opened.note == (
        "column split makes the splits; what shares a patient stays on one side of a split"
    )
    patient = {
        s: {int(n.split(".")[0]) // 6 for n in opened.splits[s].names} for s in ("train", "val")
    }
    assert not patient["train"] & patient["val"]
    assert len(opened.splits["test"]) == 4


def test_any_names_of_columns(root):
    names = pictures(root, NAMES)
    table(
        root,
        "a,b,c,d",
        [
            f"x,{n},{w},{['ff', 'gg', 'hh'][k % 3]}"
            for k, (n, w) in enumerate(zip(names, WORDS, strict=True))
        ],
    )
    assert refused(root) == (
        "labels.csv has several columns that may hold labels (a, c, d): say which with layout=csv:label=a, or layout=csv:label=a+c "
        "for several"
    )
    opened = data.open(root, layout="csv:path=b,label=c,group=d", val="1of2")
    assert labels(opened) == dict(zip(names, WORDS, strict=True))
    with pytest.raises(DataError, match=r"^labels\.csv has no column 'e'; it has a, b, c, d$"):
        data.open(root, layout="csv:label=e")
    with pytest.raises(
        ArgumentError, match=r"^layout=csv:labl=c: no setting 'labl' of csv; it takes table, path,"
    ):
        data.open(root, layout="csv:labl=c")


def test_tables_named_for_splits(root):
    for split, count in (("train", 6), ("val", 2), ("test", 2)):
        names = pictures(root, [f"{split}/{k}.jpg" for k in range(count)])
        cells = [Path(n).name for n in names]
        table(root, "id,label", [f"{c},{'ab'[k % 2]}" for k, c in enumerate(cells)], f"{split}.csv")
    opened = data.open(root)
    assert sizes(opened) == {"train": 6, "val": 2, "test": 2}
    assert all(name.startswith(s) for s, split in opened.splits.items() for name in split.names)


BOXES = "file,xmin,ymin,xmax,ymax,label"


@pytest.mark.parametrize(
    ("header", "cells"), [("file,label", "cat"), (BOXES, "1,1,4,4,cat")], ids=["labels", "boxes"]
)
def test_a_table_in_the_folder_of_a_split_is_that_split(root, header, cells):
    for split, count in (("train", 5), ("val", 3), ("test", 9)):
        names = pictures(root / split, [f"images/{split}{k}.png" for k in range(count)])
        rows = [f"{n},{cells.replace('cat', ('cat', 'dog')[k % 2])}" for k, n in enumerate(names)]
        table(root / split, header, rows)
    opened = data.open(root)
    assert sizes(opened) == {"train": 5, "val": 3, "test": 9}
    assert (opened.warnings, opened.ignored) == ((), {})


@pytest.mark.parametrize(
    ("header", "cells", "layout"),
    [("file,label", "cat", "csv"), (BOXES, "1,1,4,4,cat", "box_table")],
    ids=["labels", "boxes"],
)
def test_tables_of_the_same_columns_that_are_not_read_are_named(root, header, cells, layout):
    for site in ("bergen", "oslo"):
        names = pictures(root / site, [f"{site}{k}.png" for k in range(6)])
        rows = [f"{n},{cells.replace('cat', ('cat', 'dog')[k % 2])}" for k, n in enumerate(names)]
        table(root / site, header, rows)
    table(root, "note,of", ["a,b"], "about.csv")
    opened = data.open(root, layout=layout)
    assert len(opened) == 6
    assert (
        "oslo/labels.csv has the columns of bergen/labels.csv and is not read: write one table, name them train.csv, "
        f"val.csv and test.csv, or choose with layout={layout}:table=oslo/labels.csv"
    ) in opened.warnings


def test_a_table_for_train_beside_pictures_without_labels(root):
    pictures(root, [f"train/{k}.jpg" for k in range(8)] + [f"test/{k}.jpg" for k in range(5)])
    table(root, "id,label", [f"{k},{w}" for k, w in enumerate(WORDS)], "train.csv")
    table(root, "id,label", [f"{k},cat" for k in range(5)], "sample_submission.csv")
    table(root, "id", [f"{k}" for k in range(5)], "test.csv")
    opened = data.open(root)
    assert labels(opened) == {f"train/{k}.jpg": w for k, w in enumerate(WORDS)}
    assert opened.ignored == {"sample_submission.csv": 1, "test.csv": 1, "test/": 5}


def test_missing_files_are_broken_items_with_their_lines(root):
    pictures(root, [f"{k}.jpg" for k in range(20)])
    table(root, "file,label", [f"{k}.jpg,{'ab'[k % 2]}" for k in range(22)])
    opened = data.open(root, val=0)
    assert [(p.file, p.reason) for p in opened.problems] == [
        ("20.jpg", "labels.csv line 22: there is no picture 20.jpg"),
        ("21.jpg", "labels.csv line 23: there is no picture 21.jpg"),
    ]
    table(root, "file,label", [f"{k}.jpg,{'ab'[k % 2]}" for k in range(30)])
    with pytest.raises(DataError, match=r"^10 of 30 pictures cannot be read .*labels\.csv line 22"):
        data.open(root, val=0).check()


def test_rows_that_say_nothing_are_counted_with_their_lines(root):
    pictures(root, NAMES)
    rows = [f"{n},{w}" for n, w in zip(NAMES, WORDS, strict=True)]
    rows[2:2] = ["only.jpg", ",cat", "0.jpg,cat", "1.jpg,"]
    table(root, "file,label", rows)
    opened = data.open(root)
    assert len(opened) == 8
    assert [(f.kind, f.done, f.count, f.places) for f in opened.faults] == [
        ("rows that are too short", "left out", 1, ("labels.csv line 4",)),
        ("rows that name no picture", "left out", 1, ("labels.csv line 5",)),
        ("rows that repeat another", "left out", 1, ("labels.csv line 6",)),
        ("rows without a label", "left out", 1, ("labels.csv line 7",)),
    ]


def test_two_labels_for_one_picture_are_refused(root):
    pictures(root, NAMES)
    table(
        root,
        "file,label",
        [f"{n},{w}" for n, w in zip(NAMES, WORDS, strict=True)] + ["./3.jpg,cat"],
    )
    assert refused(root) == (
        "labels.csv line 5 and 10 both name 3.jpg and say dog and cat; several labels of a picture stand in one cell, "
        "such as cat;dog"
    )


def test_a_row_that_may_mean_two_pictures_is_refused(root):
    pictures(root, [f"{side}/{k}.jpg" for side in ("left", "right") for k in range(4)])
    table(root, "file,label", [f"{k}.jpg,{WORDS[k]}" for k in range(4)])
    assert refused(root, layout="csv") == (
        "labels.csv line 2: 0.jpg may be left/0.jpg or right/0.jpg; write paths, or leave one folder out with ignore="
    )
    assert len(data.open(root, layout="csv", ignore="right")) == 4


def test_a_file_of_another_known_folder_is_not_meant(root):
    pictures(root, [f"left/{k}.jpg" for k in range(20)] + [f"right/{k}.jpg" for k in range(19)])
    rows = [f"{side}/{k}.jpg,{'ab'[k % 2]}" for side in ("left", "right") for k in range(20)]
    table(root, "file,label", rows)
    opened = data.open(root, layout="csv", val=0)
    assert [p.reason for p in opened.problems] == [
        "labels.csv line 41: there is no picture right/19.jpg"
    ]


@pytest.mark.parametrize(("cell", "what"), [("twelve", "is no number"), ("inf", "is not finite")])
def test_words_among_numbers_are_named(root, cell, what):
    cells = [f"{k}.5" for k in range(40)]
    cells[7] = cell
    assert refused(with_cells(root, cells, "file,price")).startswith(
        f"labels.csv line 9: '{cell}' in column price {what}; mend it, or take the column as words with --task classify"
    )


def test_words_cannot_be_regressed(root):
    assert refused(with_cells(root, WORDS), task="regress") == (
        "labels.csv line 2: 'cat' in column label is no number"
    )


def test_boxes_in_a_table_are_named(root):
    names = pictures(root / "images", NAMES)
    table(root, "file,xmin,ymin,xmax,ymax,label", [f"{n},1,2,3,4,cat" for n in names])
    assert refused(root, layout="csv").startswith(
        "labels.csv holds boxes (file, xmin, ymin, xmax, ymax, label), which layout=box_table reads"
    )
    assert data.open(root).read_as[0] == "box_table"


def test_class_folders_and_a_table_that_say_different_things(root):
    names = pictures(root, [f"{label}/{k}.jpg" for label in "ab" for k in range(4)])
    table(root, "file,label", [f"{n},{'xyz'[k % 3]}" for k, n in enumerate(names)])
    assert refused(root) == (
        f"{root} has class folders, and labels.csv gives their pictures other labels (column label); say how to read it: "
        f"striate data {root} --layout csv (8 items) or striate data {root} --layout class_folders (8 items)"
    )
    assert data.open(root, layout="class_folders").classes == ("a", "b")
    assert data.open(root, layout="csv").classes == ("x", "y", "z")


@pytest.mark.parametrize("header", ["file,label", "file,patient"])
def test_class_folders_and_a_table_about_them(root, header):
    names = pictures(root, [f"{label}/{k}.jpg" for label in "ab" for k in range(4)])
    table(root, header, [f"{n},{n[0]}" for n in names])
    opened = data.open(root)
    assert (opened.layout, opened.ignored) == (
        "class folders",
        {"labels.csv": 1},
    )


def test_a_table_assigns_splits(root):
    names = pictures(root, [f"{label}/{k}.jpg" for label in "ab" for k in range(6)])
    words = ["train", "train", "train", "validation", "test", "none"] * 2
    path = root.parent / "splits.csv"
    path.write_text(
        "\n".join(["file,set", *(f"{n},{w}" for n, w in zip(names, words, strict=True))])
    )
    opened = data.open(root, split=f"{path}:set")
    assert {name: sorted(split.names) for name, split in opened.splits.items()} == {
        "train": [n for n, w in zip(names, words, strict=True) if w == "train"],
        "val": ["a/3.jpg", "b/3.jpg"],
        "test": ["a/4.jpg", "b/4.jpg"],
    }
    assert opened.ignored == {"(assigned to no split)": 2}
    assert opened.note == f"{path} column set assigns: train 6, val 2, test 2, none 2"
    with pytest.raises(ArgumentError, match="the data have a val split of their own"):
        data.open(root, split=f"{path}:set", val=0.2)


def test_a_table_that_assigns_train_and_none_leaves_val_to_us(root):
    names = pictures(root, [f"{label}/{k}.jpg" for label in "ab" for k in range(6)])
    path = root.parent / "splits.csv"
    path.write_text(
        "\n".join(["file,set", *(f"{n},{'' if n[2] == '5' else 'train'}" for n in names)])
    )
    assert sizes(data.open(root, split=f"{path}:set")) == {"train": 8, "val": 2}


def test_a_table_cannot_assign_what_is_assigned_already(root):
    for split in ("train", "val"):
        pictures(root, [f"{split}/{label}/{k}.jpg" for label in "ab" for k in range(3)])
    path = root.parent / "splits.csv"
    path.write_text(
        "file,set\n" + "\n".join(f"train/{c}/{k}.jpg,train" for c in "ab" for k in range(3))
    )
    assert refused(root, split=f"{path}:set").endswith(
        "it assigns splits, and the data have val of their own"
    )


@pytest.mark.parametrize("use", ["assigns", "groups", "labels"])
def test_a_table_that_changed_is_named_when_the_data_are_opened_again(
    root, use, monkeypatch, tmp_path
):
    names = pictures(root, [f"images/{k}.jpg" for k in range(12)])
    words = {
        "assigns": ["val" if k % 4 == 3 else "train" for k in range(12)],
        "groups": [f"g{k // 2}" for k in range(12)],
        "labels": ["a", "b"] * 6,
    }
    labelled = table(root, "file,label", [f"{n},{'ab'[k % 2]}" for k, n in enumerate(names)])
    del labelled
    path = root / "labels.csv" if use == "labels" else tmp_path / "more.csv"
    if use != "labels":
        path.write_text(
            "\n".join(["file,word", *(f"{n},{w}" for n, w in zip(names, words[use], strict=True))])
        )
    monkeypatch.chdir(tmp_path)
    opened = data.open(root, split="stratified" if use == "labels" else "more.csv:word")
    monkeypatch.chdir("/")
    assert data.again(opened.origin).splits["val"].names == opened.splits["val"].names
    moved = tmp_path / "moved"
    root.rename(moved)
    assert data.again(opened.origin, moved).splits["val"].names == opened.splits["val"].names
    moved.rename(root)
    path.write_text(path.read_text().replace("\n", "\n\n", 1))
    with pytest.raises(
        DataError, match=r"changed since the run was trained, so what it learned from"
    ):
        data.again(opened.origin)


def test_a_row_of_a_split_table_that_may_mean_two_pictures(root):
    pictures(root, [f"{label}/{k}.jpg" for label in "ab" for k in range(4)])
    path = root.parent / "who.csv"
    path.write_text("file,who\n" + "\n".join(f"{k}.jpg,p{k}" for k in range(4)))
    assert (
        refused(root, split=f"{path}:who")
        == f"{path} line 2: 0.jpg may be a/0.jpg or b/0.jpg; write the folder too"
    )
    path.write_text("file,who\na/0.jpg,p\na/0.jpg,q\n")
    assert refused(root, split=f"{path}:who") == f"{path}: lines 2 and 3 say p and q of a/0.jpg"


def test_a_table_that_was_not_understood_is_named_where_its_folder_alone_is_no_data(root):
    names = pictures(root, [f"pics/{name}" for name in NAMES])
    table(root, "file,wide,high", [f"{n},{k}.5,{k}.25" for k, n in enumerate(names)])
    said = refused(root)
    assert "has one class only (pics)" in said
    assert said.endswith("or layout=csv:label=wide+high for several")
    assert data.open(root, layout="csv:label=wide+high").task == "regress"


def test_a_table_that_names_no_picture_is_mentioned_where_there_is_one_class_only(tmp_path, cache):
    (tmp_path / "reg").mkdir()
    for i in range(4):
        Image.fromarray(np.full((8, 8), 50 * i, np.uint8)).save(tmp_path / "reg" / f"{i:03}.png")
    (tmp_path / "reg" / "data.csv").write_text(
        "id,value\n" + "\n".join(f"{i + 70},{i}.5" for i in range(4))
    )
    with pytest.raises(DataError) as caught:
        data.open(tmp_path)
    assert "has one class only (reg)" in str(caught.value)
    assert str(caught.value).endswith(
        "name none of them: a table of pictures has a column with their file names"
    )


def with_quoted(root: Path, cells: list[str]) -> Path:
    return with_cells(root, ['"' + cell.replace('"', '""') + '"' for cell in cells])


@pytest.mark.parametrize("quote", ["'", '"', ""])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_lists_as_programs_write_them(root, quote, brackets):
    sets = [["cat"], ["cat", "dog"], ["eel", "dog"], []] * 3
    cells = [
        brackets[0] + ", ".join(f"{quote}{w}{quote}" for w in words) + brackets[1] for words in sets
    ]
    opened = data.open(with_quoted(root, cells))
    assert (opened.task, opened.classes) == ("multilabel", ("cat", "dog", "eel"))
    found = {
        n: s.targets.truth(i).tolist()
        for s in opened.splits.values()
        for i, n in enumerate(s.names)
    }
    assert [found[f"{k}.png"] for k in range(4)] == [[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert "with brackets around them and commas between them" in opened.note


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("{}%", "'0%' in column label is a number with a unit, as all are"),
        ("{}.5 kg", "'0.5 kg' in column label is a number with a unit, as all are"),
        ("1,{:03d}", "'1,000' in column label may be a thousand or a fraction"),
    ],
)
def test_numbers_that_are_no_plain_ones_are_refused(root, cell, words):
    assert words in refused(with_quoted(root, [cell.format(k) for k in range(12)]))


def test_a_decimal_comma_is_said(root):
    opened = data.open(with_quoted(root, [f"{k},{k:02d}5" for k in range(11)] + ["3,5"]))
    assert opened.task == "regress"
    assert opened.note.endswith("commas in column label are decimal points, 0,005 is 0.005")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("cat", "Cat"), True),
        (("cat_eel", "cat eel"), True),
        (("T-shirt", "t shirt"), True),
        (("cat", "cats"), False),
        (("0", "00"), False),
    ],
)
def test_names_of_classes_that_hardly_differ_are_said(root, names, said):
    opened = data.open(with_cells(root, [*names, "dog"] * 4))
    lines = [line for line in opened.warnings if "hardly differ" in line]
    assert len(lines) == said
    assert all(f"{min(names)} and {max(names)}" in line for line in lines)


@pytest.mark.parametrize("header", ["file,label", "path,kind,score"])
@pytest.mark.parametrize("end", [".jpg", "_x.png"])
def test_a_table_of_pictures_that_are_not_here_is_named(root, header, end):
    pictures(root, [f"images/{k}.png" for k in range(12)])
    table(root, header, [f"{k}{end}" + ",cat" * header.count(",") for k in range(12)])
    said = refused(root)
    assert said.startswith(f"labels.csv names pictures such as 0{end} (line 2), and hardly any")
