"""Files that are a split each: forecasts at their own times, series with labels; and what does not belong together."""

import numpy as np
import pytest

from striate import data
from striate.data.layouts.split_files import families
from striate.data.series import Windows
from striate.errors import ArgumentError, DataError

START = np.datetime64("2024-03-04T00:00")  # a Monday


def waves(first, last):
    hours = np.arange(first, last)[:, None]
    return np.round(10 + 3 * np.sin(2 * np.pi * (hours / 24 + np.arange(3) / 3)), 3)


def table(path, first, last, *, names="a,b,c", stamped=True, minutes=60):
    """Hours of the same waves, a row each."""
    lines = [f"time,{names}" if stamped else names]
    for hour, row in zip(range(first, last), waves(first, last), strict=True):
        when = [str(START + np.timedelta64(hour * minutes, "m"))] if stamped else []
        lines.append(",".join([*when, *map(str, row)]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def cut(opened, split):
    source = opened.splits[split].source
    assert isinstance(source, Windows)
    return source.cut


NAMES = {
    "plain": "{split}.csv",
    "behind": "speeds_{split}.csv",
    "before": "{split}-speeds.csv",
    "folders": "{split}/speeds.csv",
    "other words": "{other}.csv",
}
OTHER = {"train": "training", "val": "valid", "test": "testing"}


@pytest.mark.parametrize("pattern", NAMES.values(), ids=NAMES)
def test_files_named_by_splits_are_the_splits(tmp_path, pattern):
    spans = {"train": (0, 300), "val": (310, 370), "test": (400, 480)}
    for split, span in spans.items():
        table(tmp_path / pattern.format(split=split, other=OTHER[split]), *span)
    opened = data.open(tmp_path, history=6, horizon=3)
    assert {name: len(split) for name, split in opened.splits.items()} == {
        name: last - first - 8 for name, (first, last) in spans.items()
    }
    for split, (first, last) in spans.items():
        taken = opened.arrays(split)
        assert np.allclose(taken.inputs[0, :, :3], waves(first, first + 6))
        assert np.allclose(taken.targets[-1], waves(last - 3, last))
    assert cut(opened, "test").series.periods == ("day",)
    assert opened.warnings == ()  # what lies between the files is no missing value
    assert opened.splits["test"].names[0] == str(START + np.timedelta64(406, "h")).replace(
        "T", opened.splits["test"].names[0][10]
    )
    assert opened.ignored == {}


def test_without_a_val_file_the_end_of_the_training_is_held_out_and_the_test_stays(tmp_path):
    table(tmp_path / "train.csv", 0, 300)
    table(tmp_path / "test.csv", 300, 380)
    opened = data.open(tmp_path, history=6, horizon=3)
    assert {name: len(split) for name, split in opened.splits.items()} == {
        "train": 254,
        "val": 30,
        "test": 72,
    }
    half = data.open(tmp_path, history=6, horizon=3, val=0.5)
    assert (cut(half, "val").first, cut(half, "test").first) == (150, 300)
    fold = data.open(tmp_path, history=6, horizon=3, val="2of2")
    assert (cut(fold, "val").first, cut(fold, "val").count + 8) == (200, 100)
    assert len(fold.splits["test"]) == 72
    plain = data.open(tmp_path, history=6, horizon=3, val=0)
    assert plain.splits.keys() == {"train", "test"}
    again = data.again(opened.origin)
    assert again.fingerprint == opened.fingerprint


def test_a_val_file_and_val_are_too_much(tmp_path):
    for split, first in (("train", 0), ("val", 300)):
        table(tmp_path / f"{split}.csv", first, first + 100)
    with pytest.raises(ArgumentError, match="the data have a val split of their own"):
        data.open(tmp_path, val=0.2)


def test_files_without_times_follow_each_other_and_columns_may_change_places(tmp_path):
    table(tmp_path / "train.csv", 0, 240, stamped=False)
    np.savetxt(
        tmp_path / "test.csv",
        waves(240, 340)[:, [2, 0, 1]],
        "%.3f",
        ",",
        header="c,a,b",
        comments="",
    )
    opened = data.open(tmp_path, history=6, horizon=3)
    assert "the files are taken to follow each other: train, test" in opened.note
    assert "24" in cut(opened, "test").series.periods
    assert np.allclose(opened.arrays("test").targets[0], waves(246, 249))
    assert cut(opened, "test").first == 240


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"first": 250},
            "test.csv begins at 2024-03-14.10:00, and .*train.csv ends at 2024-03-16.11:00",
        ),
        (
            {"names": "a,b,d"},
            r"test.csv has no series 'c', which .*train.csv has: expected the same",
        ),
        ({"minutes": 30, "first": 700}, "has steps every 30 minutes, .*train.csv every hour"),
        ({"first": 90_000}, "files have 380 steps of the 90,080 that their times cover"),
        ({"stamped": False}, "test.csv has steps without time stamps, .*train.csv every hour"),
    ],
    ids=["shared times", "other nodes", "other steps", "far apart", "no times"],
)
def test_what_does_not_belong_together_is_refused_in_a_line(tmp_path, settings, message):
    table(tmp_path / "train.csv", 0, 300)
    first = settings.pop("first", 300)
    table(tmp_path / "test.csv", first, first + 80, **settings)
    with pytest.raises(DataError, match=message) as caught:
        data.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_wrong_in_a_file_is_said_with_its_name(tmp_path):
    table(tmp_path / "train.csv", 0, 300)
    path = table(tmp_path / "test.csv", 300, 380)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:10], *lines[12:]]))
    (fault,) = data.open(tmp_path).faults
    assert (fault.kind, fault.count) == ("times that no row has", 2)
    assert fault.places[0].startswith(f"{path}: after 2024-03-16T20:00")


@pytest.mark.parametrize("text", ["", "hello\nworld\n", "time,a,b,c\n"])
def test_a_test_file_that_holds_no_series_is_said(tmp_path, text):
    table(tmp_path / "train.csv", 0, 300)
    (tmp_path / "test.csv").write_text(text)
    opened = data.open(tmp_path)
    assert opened.splits.keys() == {"train", "val", "test"}
    said = "test.csv hold no series that can be read: train.csv is split instead"
    assert said in opened.warnings
    assert said in opened.as_text()


def test_several_families_are_not_guessed_from(tmp_path):
    for name in ("north", "south"):
        table(tmp_path / f"{name}_train.csv", 0, 100)
        table(tmp_path / f"{name}_test.csv", 100, 200)
    with pytest.raises(DataError, match=r"north_train\.csv, south_train\.csv"):
        data.open(tmp_path)


def labelled(count, steps=40):
    rng = np.random.default_rng(0)
    y = np.arange(count) % 3
    return (rng.normal(size=(count, steps)) + y[:, None]).astype(np.float32), y


def written(path, x, y, suffix):
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix == ".npz":
        np.savez(path, x=x, y=y)
        return
    head = {".tsv": "", ".csv": "label," + ",".join(f"t{k}" for k in range(x.shape[1])) + "\n"}
    apart = "\t" if suffix == ".tsv" else ","
    rows = [apart.join([str(k), *(f"{v:.4f}" for v in row)]) for k, row in zip(y, x, strict=True)]
    path.write_text(head[suffix] + "\n".join(rows) + "\n")


@pytest.mark.parametrize("suffix", [".npz", ".tsv", ".csv"])
@pytest.mark.parametrize("pattern", ["{split}", "Gun_{SPLIT}", "{split}/gun"])
@pytest.mark.parametrize("splits", [("train", "test"), ("train", "val"), ("train", "val", "test")])
def test_labelled_series_of_a_file_a_split(tmp_path, suffix, pattern, splits):
    x, y = labelled(90)
    for k, split in enumerate(splits):
        name = pattern.format(split=split, SPLIT=split.upper()) + suffix
        rows = slice(30 * k, 30 * k + 30)
        written(tmp_path / name, x[rows], y[rows], suffix)
    opened = data.open(tmp_path)
    assert (opened.task, opened.modality, opened.classes) == ("classify", "series", ("0", "1", "2"))
    assert {name: len(split) for name, split in opened.splits.items()} == dict.fromkeys(splits, 30)
    for k, split in enumerate(splits):
        assert np.allclose(opened.arrays(split).inputs[:, 0], x[30 * k : 30 * k + 30], atol=1e-4)


def test_tables_of_many_sensors_by_the_hour_are_forecast_not_told_apart(tmp_path):
    for split, first in (("train", 0), ("test", 200)):
        values = np.repeat(waves(first, first + 200), 5, 1)
        rows = [
            ",".join([str(START + np.timedelta64(first + i, "h")), *map(str, row)])
            for i, row in enumerate(values)
        ]
        (tmp_path / f"{split}.csv").write_text("\n".join(rows))
    assert data.open(tmp_path).task == "forecast"


class Folder:
    """A tree of names alone."""

    def __init__(self, names):
        self.names = names

    def files(self, inside=""):
        return [n for n in self.names if n.rpartition("/")[0] == inside]

    def folders(self):
        return sorted({n.partition("/")[0] for n in self.names if "/" in n})


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["train.csv", "test.csv"], [{"train": "train.csv", "test": "test.csv"}]),
        (["train.csv", "notes.csv"], []),
        (["val.csv", "test.csv"], []),
        (["train.csv", "test.npz"], []),
        (["trainer.csv", "tester.csv"], []),
        (["train/a.csv", "train/b.csv", "test/a.csv"], []),
        (["a_train.csv", "a_valid.csv"], [{"train": "a_train.csv", "val": "a_valid.csv"}]),
    ],
)
def test_which_files_belong_together(names, found):
    tree = Folder(names)
    assert families(tree, (".csv", ".npz"), lambda _: True) == found  # pyright: ignore[reportArgumentType]
