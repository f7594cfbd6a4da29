"""What was trained on is known by content, and a run by itself: whatever the folders are called and wherever one stands."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import striate
from striate import cli
from striate.data import splits
from striate.errors import CheckpointError, GateError, UsageError
from striate.runs import Run
from striate.runs.predictions import Folder, Prediction
from striate.runs.split_answers import read_rows
from striate.see import features
from striate.studio import nets
from striate.training import Progress, read_recipe
from striate.workbench.audit import audit
from striate.workbench.train import resume, train_recipe

QUICK = {"net": "lenet5", "epochs": 1, "batch": 8, "plan": "default"}


def trained(data, out, **settings):
    recipe = read_recipe("quick", {**QUICK, **settings})
    return train_recipe(data, recipe, out=Path(out), progress=Progress()).run


@pytest.fixture(scope="module")
def run(shapes, tmp_path_factory):
    return trained(shapes, tmp_path_factory.mktemp("runs"))


def picked(run, split, root, more=()):
    """Pictures of a split of the training, under other names, beside others."""
    data = run.open_data()
    for k, name in enumerate([*data.splits[split].names]):
        target = root / Path(name).parent.name / f"renamed_{k}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(data.path) / name, target)
    return root


@pytest.mark.parametrize("folder", ["", "test", "val", "train"])
def test_training_items_are_found_in_whatever_is_evaluated(run, tmp_path, capsys, folder):
    other = picked(run, "train", tmp_path / "other" / folder)
    data = tmp_path / "other"
    if folder and folder != "train":
        picked(run, "val", data / "train")
    with pytest.raises(
        GateError, match=r"72 of 72 items of .* are what this run was trained on \("
    ):
        Run(run.path).evaluate(data)
    assert other.exists()
    assert cli.main(["evaluate", str(run.path), str(data)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    kept = Run(run.path).evaluate(data, leaks="keep")
    assert any("which flatters these scores" in note for note in kept.notes)


def test_items_that_were_held_out_are_no_training_items(run, tmp_path):
    scores = Run(run.path).evaluate(picked(run, "val", tmp_path / "other"))
    assert scores.items == 18
    assert not any("trained on" in note for note in scores.notes)
    assert Run(run.path).evaluate(split="train").items == 72


def test_one_training_item_among_others_is_named(run, tmp_path):
    root = picked(run, "val", tmp_path / "other")
    data = run.open_data()
    name = data.splits["train"].names[3]
    shutil.copy(Path(data.path) / name, root / Path(name).parent.name / "sneaked.png")
    with pytest.raises(GateError, match=r"1 of 19 items of all .*sneaked\.png"):
        Run(run.path).evaluate(root)


def test_what_was_trained_on_is_under_a_hash(run, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / "copy")
    content = bytearray((copy / "trained.bin").read_bytes())
    content[40] ^= 1
    (copy / "trained.bin").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"trained\.bin is damaged"):
        Run(copy).evaluate(picked(run, "val", tmp_path / "other"))


def test_a_run_that_kept_no_such_list_is_evaluated_as_before(run, tmp_path):
    from striate.runs import folder

    copy = shutil.copytree(run.path, tmp_path / "copy")
    content = json.loads((copy / "config.json").read_text())
    del content["data"]["trained"]
    folder.write_sealed(copy / "config.json", content)
    (copy / "trained.bin").unlink()
    assert Run(copy).evaluate(picked(run, "train", tmp_path / "other")).items == 72


def test_no_verb_depends_on_the_folder_one_stands_in(shapes, tmp_path, monkeypatch, capsys):
    home = tmp_path / "home"
    home.mkdir()
    shutil.copytree(shapes, home / "shapes")
    monkeypatch.chdir(home)
    first = trained("shapes", "runs")
    second = trained("shapes", "runs", weights=str(first.path), cache="kept")
    away = tmp_path / "away"
    away.mkdir()
    monkeypatch.chdir(away)
    path = home / second.path
    for words in (["evaluate", path], ["compare", path, home / first.path], ["train", "--resume", path]):  # fmt: skip
        assert cli.main([*map(str, words)]) == 0, capsys.readouterr().err
    assert not list(away.iterdir())
    for name in path.rglob("*.json"):
        text = name.read_text()
        assert '"runs/' not in text, name
        assert '"shapes' not in text.replace('"shapes/', ""), name
    assert (path / "args.yaml").read_text().count(f"weights: {home}") == 1
    (path / "summary.json").unlink()
    shutil.rmtree(path / "checkpoints")
    (path / "results.csv").unlink()
    resume(path, progress=Progress())  # from its first weights again
    moved = shutil.move(path, tmp_path / "moved")
    assert striate.Run(moved).summary["run"] == str(moved)


@pytest.fixture
def numbered_otherwise(shapes, tmp_path, monkeypatch, request):
    """A run of a version that numbered folds otherwise, or drew them otherwise, as the parameter says."""
    one_fold = splits.one_fold

    def before(labels, groups, *, fold, seed, classes):
        number, count = fold
        other = (number % count + 1, count)
        drawn = seed + (request.param == "drawn")
        return one_fold(labels, groups, classes=classes, fold=other, seed=drawn)

    with monkeypatch.context() as older:
        older.setattr(splits, "one_fold", before)
        run = trained(shapes, tmp_path, val="1of5", split_seed=3)
        held = run.open_data().splits["val"].names
    return run, held


def begun(run):
    """A copy of a run of which only the beginning is there."""
    path = shutil.copytree(run.path, run.path.with_name("begun"))
    (path / "summary.json").unlink()
    (path / "results.csv").unlink()
    shutil.rmtree(path / "checkpoints")
    return path


@pytest.mark.parametrize("numbered_otherwise", ["numbered"], indirect=True)
def test_a_fold_that_another_version_numbered_is_found_by_content_and_said(
    numbered_otherwise, capsys
):
    run, held = numbered_otherwise
    again = Run(run.path).open_data()
    assert [*again.splits["val"].names] == [*held]
    line = "what the run held out is found by content: its val=1of5 is val=2of5 in this version"
    scores = Run(run.path).evaluate()
    assert any(line in note for note in scores.notes)
    assert {k: v.value for k, v in scores.scores.items()} == {
        k: v["value"] for k, v in run.summary["scores"].items()
    }
    for words in (["evaluate", run.path], ["audit", run.path, "--only", "leaks"]):
        assert cli.main([*map(str, words)]) == 0
        assert line in "".join(capsys.readouterr())
    assert any(line in note for note in nets.run_source("a", run.path).open().notes)
    lines: list[str] = []
    path = begun(run)
    resume(path, progress=Progress(say=lines.append))
    assert any(line in each for each in lines)
    assert {row["file"] for row in read_rows(path / "items.csv")} == {*held}


@pytest.mark.parametrize("numbered_otherwise", ["drawn"], indirect=True)
def test_a_fold_that_is_none_any_more_is_refused_by_all_who_ask_for_it(numbered_otherwise, capsys):
    run, _ = numbered_otherwise
    said = "since this run was trained, so its held-out items are not known any more"
    for words in (["evaluate"], ["audit"], ["train", "--resume"]):
        path = begun(run) if "--resume" in words else run.path
        assert cli.main([*words, str(path)]) == 3
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert said in error
        assert "this version of striate splits it otherwise (val=1of5, split=stratified, seed=3)" in error  # fmt: skip
    assert any(said in note for note in nets.run_source("a", run.path).open().notes)


@pytest.mark.parametrize("settings", [{"seed": 4}, {"val": 0.4}, {"val": "2of5"}, {"val": 0}])
def test_the_data_of_a_run_split_otherwise_are_named_as_such(shapes, tmp_path, run, settings):
    other = striate.open(shapes, **settings)
    said = f"these are the data of the training, split otherwise (val={settings.get('val')}, "
    with pytest.raises(GateError, match=re.escape(said)):
        Run(run.path).evaluate(other)
    (found,) = [f for f in audit(run, other, only=["leaks"]).failed if "learned from" in f.text]
    assert said in found.advice
    assert "name no data" in found.advice


def test_what_is_kept_of_a_split_is_not_taken_for_another_of_the_same_name(shapes, run):
    first, other = (striate.open(shapes, seed=seed) for seed in (0, 4))
    assert not audit(run, first, only=["leaks"]).failed
    assert audit(run, other, only=["leaks"]).failed
    arrays = [features.stored(run, data, "val") for data in (first, other)]
    was, now = (features.features(run, *each) for each in arrays)
    assert not np.array_equal(was, now)


def test_an_answer_is_that_of_a_picture_and_not_of_its_path(run, shapes, tmp_path):
    first, other, third = sorted((shapes / "box").glob("*.png"))[:3]
    path, out = tmp_path / "x.png", tmp_path / "out"
    shutil.copy(first, path)
    (was,) = run.predict(path, out=out)
    lines = (out / "predictions.jsonl").read_text()
    assert "sha256" in lines
    assert "sha256" not in was.as_dict()
    assert run.predict([path, other], out=out)[0] == was  # with another one it goes on
    assert (out / "predictions.jsonl").read_text().startswith(lines)
    shutil.copy(third, path)
    with pytest.raises(
        UsageError,
        match=rf"--out {out} holds answers to files that are other ones now: {path}; name another",
    ):
        run.predict([other, path], out=out)
    path.unlink()
    gone = run.predict([path, other], out=out)
    assert gone[0].error
    assert not gone[1].error


def test_answers_of_a_version_that_noted_no_content_are_given_anew(run, shapes, tmp_path):
    picture = shapes / "box" / "00.png"
    run.predict(picture, out=tmp_path, format="csv")
    row = json.loads((tmp_path / "predictions.jsonl").read_text())
    del row["sha256"]
    wrong = {**row, "label": "wrong"}
    (tmp_path / "predictions.jsonl").write_text(json.dumps(wrong) + "\n")
    (found,) = run.predict(picture, out=tmp_path, format="csv")
    assert found.as_dict() == row
    table = (tmp_path / "predictions.csv").read_text()
    assert "wrong" not in table
    assert "sha256" not in table


def test_files_beside_earlier_answers_keep_their_names(tmp_path):
    first, other = (tmp_path / name / "x.png" for name in "ab")
    out = Folder(tmp_path, [first], {})
    out.note(Prediction(str(first), {"mask": str(tmp_path / "x-mask.png")}))
    assert out._stems == {first: "x"}
    again = Folder(tmp_path, [other], {})
    assert again._stems[other] == "b_x"
