"""What was trained on is known by content, and a run by itself: whatever the folders are called and wherever one stands."""

import json
import shutil
from pathlib import Path

import pytest

import striate
from striate import cli
from striate.data import splits
from striate.errors import CheckpointError, GateError
from striate.runs import Run
from striate.training import Progress, read_recipe
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


@pytest.mark.parametrize("known", [True, False])
def test_a_fold_that_another_version_numbered_says_which_it_is_now(
    shapes, tmp_path, monkeypatch, capsys, known
):
    one_fold = splits.one_fold

    def before(labels, groups, *, fold, seed, classes):
        number, count = fold
        other = (number % count + 1, count)
        return one_fold(labels, groups, classes=classes, fold=other, seed=seed + (not known))

    with monkeypatch.context() as older:
        older.setattr(splits, "one_fold", before)
        run = trained(shapes, tmp_path, val="1of5", split_seed=3)
    assert cli.main(["evaluate", str(run.path)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "since val=1of5 is another fold now than in the version that trained it" in said
    if known:
        call = said.partition("in Python by ")[2].partition(", or train anew")[0]
        assert call.endswith(", val='2of5', seed=3))")
        assert eval(call, {"striate": striate}).items == 18  # noqa: S307 - our own line
    else:
        assert "no fold of these data any more: train anew" in said
    with pytest.raises(GateError, match="so what is scored was learned from: take them out"):
        run.evaluate(striate.open(shapes, val="3of5", seed=3))
