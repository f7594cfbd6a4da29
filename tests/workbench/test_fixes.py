"""The correction loop: an audit's suspected labels, looked at, trained with, and the gain with an interval."""

import json
import shutil
from typing import Any

import numpy as np
import pytest

import striate
from striate import cli
from striate.errors import DataError
from striate.runs.split_answers import read_rows
from striate.workbench.compare import compare

QUICK: dict[str, Any] = {"epochs": 2, "plan": "default", "batch": 16, "val": 0.25}


@pytest.fixture(scope="module")
def loop(shapes, tmp_path_factory):
    """A run before and one after corrections: one held-out label changed, one held-out item dropped, one of training."""
    out = tmp_path_factory.mktemp("loop")
    before = striate.train(shapes, "lenet5", out=out, name="before", **QUICK)
    opened = before.open_data()
    held, learned = sorted(opened.splits["val"].names), sorted(opened.splits["train"].names)
    other = "bar" if not held[0].startswith("bar") else "box"
    file = out / "fixes.csv"
    file.write_text(
        f"file,action,value\n{held[0]},relabel,{other}\n{held[1]},drop,\n{learned[0]},drop,\n"
    )
    after = striate.train(shapes, "lenet5", out=out, name="after", fixes=str(file), **QUICK)
    return before, after, held, other, file


def test_the_run_records_the_rows(loop):
    _, after, held, other, file = loop
    kept = after.config.data["origin"]["fixes"]
    assert kept["file"] == str(file)
    assert next((r["file"], r["action"], r["value"]) for r in kept["rows"]) == (
        held[0],
        "relabel",
        other,
    )
    rows = {row["file"]: row for row in read_rows(after.path / "items.csv")}
    assert rows[held[0]]["truth"] == other
    assert held[1] not in rows


def test_both_are_scored_by_the_corrected_labels(loop):
    before, after, held, other, _ = loop
    found = compare([before, after])
    assert found.items == len(held) - 1
    assert "1 of these items have a corrected label, 1 are dropped" in found.note
    own = {row["file"]: row for row in read_rows(before.path / "items.csv")}
    right = [
        row["answer"] == (other if name == held[0] else row["truth"])
        for name, row in own.items()
        if name != held[1]
    ]
    accuracy = next(each for each in found.differences if each.score == "accuracy")
    assert accuracy.mean_a == pytest.approx(np.mean(right))
    assert compare([after, before]).items == found.items  # in either order


def test_a_run_on_other_data_is_refused(loop, shapes, tmp_path):
    _, after, *_ = loop
    copy = shutil.copytree(shapes, tmp_path / "copy")
    next(copy.glob("*/*.png")).unlink()
    other = striate.train(copy, "lenet5", out=tmp_path, **QUICK)
    with pytest.raises(DataError, match="different data, also before their corrections"):
        compare([other, after])


def test_evaluate_knows_of_a_changed_and_of_a_moved_set(loop, shapes, tmp_path):
    _, after, held, _, file = loop
    again = after.evaluate()
    assert again.items == len(held) - 1
    moved = shutil.copytree(shapes, tmp_path / "moved")
    assert after.opened(moved).fixed is not None
    text = file.read_text()
    try:
        file.write_text(text + f"{held[2]},drop,\n")
        changed = after.evaluate()
    finally:
        file.write_text(text)
    assert changed.items == again.items
    assert any("changed since the run was trained" in note for note in changed.notes)
    assert not any("changed since" in note for note in again.notes)


def test_a_wrong_file_is_one_line(shapes, tmp_path, capsys):
    words = ["train", str(shapes), "net=lenet5", "epochs=1", "--out", str(tmp_path / "runs")]
    (tmp_path / "f.csv").write_text("file,action,value\nbar/0.png,drop,\n")
    for name, said in (("no.csv", "there is no such file"), ("f.csv", "no item is called")):
        assert cli.main([*words, f"fixes={tmp_path / name}"]) == 3
        err = capsys.readouterr().err
        assert said in err
        assert "Traceback" not in err
    assert not list(tmp_path.glob("runs/*/*"))


def test_audit_writes_planted_errors_as_rows(shapes, tmp_path, capsys):
    planted = shutil.copytree(shapes, tmp_path / "planted")
    moved = sorted((planted / "noise").glob("*.png"))[:3]
    for path in moved:
        path.rename(planted / "bar" / f"n{path.name}")
    run = striate.train(
        planted, "lenet5", out=tmp_path, name="a", epochs=20, plan="default", batch=16, val=0.3
    )
    file = tmp_path / "suggested.csv"
    words = ["audit", str(run.path), "--only", "labels", "--fixes", str(file)]
    assert cli.main(words) == 0
    assert "suspected labels in" in capsys.readouterr().out
    rows = read_rows(file)
    assert rows
    assert all(row["action"] == "relabel" and row["was"] != row["value"] for row in rows)
    learned = set(run.open_data().splits["train"].names)
    wanted = {f"bar/n{path.name}" for path in moved} & learned
    found = {row["file"] for row in rows if row["was"] == "bar" and row["value"] == "noise"}
    assert wanted & found
    assert cli.main(["data", str(planted), "--fixes", str(file), "--json"]) == 0
    fixed = json.loads(capsys.readouterr().out)["fixes"]
    assert len(fixed["relabelled"]) == len(rows)
    assert cli.main([*words, "--skip", "labels"]) == 2
    assert "ask for it too" in capsys.readouterr().err
