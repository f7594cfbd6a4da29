"""Answers averaged over several runs and several views, for every task: the mean itself, its gain, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import striate
from striate import cli, data
from striate.augment import read
from striate.data.targets import IGNORE
from striate.errors import GateError, UsageError
from striate.inputs.pictures import Pictures
from striate.metrics import AveragedScores, paired
from striate.runs import Run
from striate.runs.averaging import held_together
from striate.runs.split_answers import read_rows
from striate.tasks.regress import Regress
from striate.training import fit, read_recipe
from tasks.conftest import CASES, SIDE


def trained(case, opened, out, name, **more) -> Run:
    recipe = read_recipe("quick", {**case.settings, "epochs": 1, **more})
    return Run.load(fit(opened, recipe, out=out, name=name).run.path)


def stored(run: Run) -> tuple[data.Arrays, data.Data]:
    opened = run.open_data()
    return opened.arrays("val", form=run.config.preprocessing.form), opened


def logits(run: Run, inputs: Any) -> torch.Tensor:
    """What a net says of stored inputs, without the code under test."""
    pre = run.config.preprocessing
    with torch.no_grad():
        x = pre.normalise(pre.centre(torch.from_numpy(np.array(inputs))))
        return run.net(x.contiguous()).double()


def right(mean: torch.Tensor, truth: torch.Tensor) -> float:
    """The share of the pixels that count whose likeliest class is the true one."""
    truth = truth[..., 0].long()
    return float((mean.argmax(1) == truth)[truth != IGNORE].double().mean())


def test_every_task_is_averaged_or_refused_in_one_line(case, folder, tmp_path):
    opened = data.open(folder, task=case.task)
    one, other = (trained(case, opened, tmp_path, str(seed), seed=seed) for seed in (0, 1))
    if not one.task.has_mean:
        with pytest.raises(UsageError, match=rf"to {case.task} gives answers without a mean"):
            one.evaluate(others=[other])
        return
    alone = [run.evaluate(split="val") for run in (one, other)]
    files = {path.name: path.read_bytes() for path in (one.path / "evaluations").iterdir()}
    scores = one.evaluate(split="val", others=[other.path])
    document = scores.as_dict()
    assert document["runs"] == [str(one.path), str(other.path)]
    assert set(document["scores"]) == set(alone[0].scores)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert {gain["over"] for gain in document["gains"]} == set(document["runs"])
    for gain in document["gains"]:
        assert gain["value"] == pytest.approx(gain["averaged"] - gain["single"], abs=1e-9)
    for path in (one.path / "evaluations").iterdir():  # what the run alone said is still there
        assert files.pop(path.name, path.read_bytes()) == path.read_bytes()
    assert not files


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"seed": 1, "split_seed": 0, "threshold": 0.3}, "{one}; {other} has others, so that its gain"),
        ({"threshold": 0.3}, "{other} has the same weights as {one}: its answers count twice"),
        ({"seed": 1, "split_seed": 0, "threshold": 0.4}, ""),
    ],
    ids=["other-thresholds", "same-weights", "alike"],
)  # fmt: skip
def test_what_a_mean_is_answered_by_is_said(more, says, tmp_path):
    case = CASES["multilabel"]
    opened = data.open(case.write(tmp_path / "data"))
    one = trained(case, opened, tmp_path, "one", threshold=0.4)
    other = trained(case, opened, tmp_path, "other", **more)
    notes = one.evaluate(split="val", others=[other]).notes
    found = [note for note in notes if str(other.path) in note]
    assert len(found) == bool(says)
    if says:
        assert says.format(one=one.path, other=other.path) in found[0]


@pytest.mark.parametrize("name", ["classify", "segment", "regress", "forecast"])
def test_the_mean_is_that_of_probabilities_or_of_values(name, tmp_path):
    case = CASES[name]
    opened = data.open(case.write(tmp_path / "data"))
    runs = [trained(case, opened, tmp_path, str(seed), seed=seed, epochs=2) for seed in (0, 1)]
    arrays, _ = stored(runs[0])
    held = held_together(runs, opened, "val", "")
    if case.task in ("classify", "segment"):
        mean = torch.stack([logits(run, arrays.inputs).softmax(1) for run in runs]).mean(0)
        truth = torch.from_numpy(np.asarray(arrays.targets)).long()
        if case.task == "classify":
            loss = -mean[torch.arange(len(mean)), truth].log().mean()
            assert held.scores.scores["loss"].value == pytest.approx(float(loss), rel=1e-5)
        else:
            assert held.scores.scores["pixel_accuracy"].value == pytest.approx(right(mean, truth))
        return
    values = [
        logits(run, arrays.inputs).numpy() * config["std"] + np.array(config["mean"])
        for run in runs
        for config in [run.task.config()]
    ]
    truth = opened.splits["val"].targets
    wanted = [truth.truth(int(i)) for i in arrays.numbers]
    wanted = np.array([getattr(each, "ahead", each) for each in wanted])
    error = np.nanmean(np.abs(np.mean(values, 0) - wanted))
    assert held.scores.scores["mae"].value == pytest.approx(error, rel=1e-5)


def test_numbers_that_runs_scaled_otherwise_are_averaged_in_their_unit(tmp_path):
    case = CASES["regress"]
    run = trained(case, data.open(case.write(tmp_path / "data")), tmp_path, "a")
    one = run.task
    assert isinstance(one, Regress)
    other = Regress(one.numbers, (50.0,), (7.0,))
    scaled = torch.tensor([[0.5], [-2.0]])
    own, its = (task.decode(scaled, []) for task in (one, other))
    mean = (one.to_mean(scaled) + other.to_mean(scaled)) / 2
    np.testing.assert_allclose(one.decode(one.from_mean(mean), []), (own + its) / 2)


def test_the_gain_is_the_paired_difference_of_rows(tmp_path):
    case = CASES["classify"]
    opened = data.open(case.write(tmp_path / "data"), val=0.4)
    one, other = (trained(case, opened, tmp_path, str(seed), seed=seed) for seed in (0, 1))
    for run in (one, other):
        run.evaluate(split="val")
    scores = one.evaluate(split="val", others=[other])
    (file,) = (one.path / "evaluations").glob("*-with-*.csv")
    assert isinstance(scores, AveragedScores)
    averaged = np.array([float(row["loss"]) for row in read_rows(file)])
    for run in (one, other):
        (file,) = (run.path / "evaluations").glob("*-val.csv")
        alone = np.array([float(row["loss"]) for row in read_rows(file)])
        wanted = paired(alone, averaged)
        (gain,) = (g for g in scores.gains if (g.over, g.score) == (str(run.path), "loss"))
        np.testing.assert_allclose(gain.difference, wanted, rtol=1e-4, atol=1e-6)
        assert gain.single == pytest.approx(alone.mean(), rel=1e-4)
    assert f"against one view by {one.path} alone" in scores.as_text()


def manual(pre: Any, inputs: np.ndarray, views: str) -> list[torch.Tensor]:
    """The views of the paper, cut by hand from pictures [N, H, W, C]."""
    x, (h, w) = torch.from_numpy(np.array(inputs)), pre.size
    if pre.resize == pre.size:
        x = F.pad(x.permute(0, 3, 1, 2).float(), (1, 1, 1, 1), mode="replicate").permute(0, 2, 3, 1)
    tall, wide = x.shape[1] - h, x.shape[2] - w
    places = [(tall // 2, wide // 2), (0, 0), (0, wide), (tall, 0), (tall, wide)]
    if views == "flips":
        places = places[:1]
    seen = [x[:, top : top + h, left : left + w] for top, left in places]
    return seen if views == "5" else [*seen, *(each.flip(2) for each in seen)]


@pytest.mark.parametrize("views", ["flips", "5", "10"])
@pytest.mark.parametrize("augment", ["crop+flip", "shift"])
def test_views_are_the_corners_the_middle_and_their_mirror_images(views, augment, tmp_path):
    case = CASES["classify"]
    opened = data.open(case.write(tmp_path / "data"))
    run = trained(case, opened, tmp_path, "a", augment=augment, size=28)
    pre = run.config.preprocessing
    assert isinstance(pre, Pictures)
    assert (pre.resize == pre.size) == (augment == "shift")
    arrays, _ = stored(run)
    inputs = np.asarray(arrays.inputs)
    wanted = []
    for seen in manual(pre, inputs, views):
        with torch.no_grad():
            wanted.append(run.net(pre.normalise(seen.contiguous())).double().softmax(1))
    mean = torch.stack(wanted).mean(0)
    truth = torch.from_numpy(np.asarray(arrays.targets)).long()
    scores = run.evaluate(split="val", views=views)
    loss = -mean[torch.arange(len(mean)), truth].log().mean()
    assert scores.scores["loss"].value == pytest.approx(float(loss), rel=1e-5)
    assert isinstance(scores, AveragedScores)
    (gain,) = (gain for gain in scores.gains if gain.score == "loss")
    single = -wanted[0][torch.arange(len(mean)), truth].log().mean()
    assert gain.single == pytest.approx(float(single), rel=1e-5)
    noted = any("learned from no mirrored pictures" in note for note in scores.notes)
    assert noted == ("flip" not in dict(read(augment).steps) and views != "5")


def test_maps_of_mirrored_pictures_are_mirrored_back(tmp_path):
    case = CASES["segment"]
    opened = data.open(case.write(tmp_path / "data"))
    run = trained(case, opened, tmp_path, "a", epochs=2)
    arrays, _ = stored(run)
    inputs = np.asarray(arrays.inputs)
    there, back = logits(run, inputs), logits(run, inputs[:, :, ::-1]).flip(-1)
    mean = (there.softmax(1) + back.softmax(1)) / 2
    truth = torch.from_numpy(np.asarray(arrays.targets))
    held = held_together([run], opened, "val", "flips")
    assert held.scores.scores["pixel_accuracy"].value == pytest.approx(right(mean, truth))


def test_maps_of_nets_with_other_sizes_are_brought_together(tmp_path):
    case = CASES["segment"]
    opened = data.open(case.write(tmp_path / "data"))
    runs = [trained(case, opened, tmp_path, str(size), size=size) for size in (SIDE, 24)]
    scores = runs[0].evaluate(split="val", others=runs[1:])
    assert scores.items == len(opened.splits["val"])


def test_items_are_decoded_once_for_all_that_store_them_alike(tmp_path, monkeypatch):
    case = CASES["classify"]
    opened = data.open(case.write(tmp_path / "data"))
    runs = [trained(case, opened, tmp_path, str(seed), seed=seed) for seed in (0, 1, 2)]
    asked = []
    once = data.Data.arrays

    def counted(self, split, **how):
        asked.append(split)
        return once(self, split, **how)

    monkeypatch.setattr(data.Data, "arrays", counted)
    runs[0].evaluate(opened, split="val", others=runs[1:], views=10)
    assert asked == ["val"]


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> tuple[Run, Path]:
    """A run that classifies, and the folder of its data."""
    root = tmp_path_factory.mktemp("refused")
    folder = CASES["classify"].write(root / "data")
    recipe = read_recipe("quick", {**CASES["classify"].settings, "epochs": 1})
    return Run.load(fit(data.open(folder), recipe, out=root / "runs", name="one").run.path), folder


def test_runs_of_other_tasks_and_classes_are_refused(one, tmp_path):
    run, folder = one
    numbers = CASES["regress"].write(tmp_path / "numbers")
    other = trained(CASES["regress"], data.open(numbers), tmp_path, "numbers")
    with pytest.raises(UsageError, match=r"trained to regress, .* to classify"):
        run.evaluate(others=[other])
    (folder2 := tmp_path / "other").mkdir()
    for label, called in (("upright", "upright"), ("lying", "slanted")):
        shutil.copytree(folder / label, folder2 / called)
    renamed = trained(CASES["classify"], data.open(folder2), tmp_path, "renamed")
    with pytest.raises(UsageError, match=r"answers slanted, upright; .* lying, upright: a mean"):
        run.evaluate(others=[renamed])
    with pytest.raises(UsageError, match="is given twice"):
        run.evaluate(others=[run.path])


def test_a_run_that_held_out_other_items_is_refused(one, tmp_path, capsys):
    run, folder = one
    settings: dict[str, Any] = {**CASES["classify"].settings, "epochs": 1, "seed": 5}
    elsewhere = striate.train(folder, out=tmp_path, name="else", **settings)
    with pytest.raises(GateError, match=r"of val are what this run was trained on .* split_seed="):
        run.evaluate(others=[elsewhere])
    kept = run.evaluate(others=[elsewhere], leaks="keep")
    assert any("which flatters these scores" in note for note in kept.notes)
    same = striate.train(folder, out=tmp_path, name="same", split_seed=0, **settings)
    assert run.evaluate(others=[same]).items
    words = ["evaluate", str(run.path), "--with", str(same.path), "--views", "5", "--json"]
    assert cli.main(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["views"], len(document["runs"])) == ("5", 2)


@pytest.mark.parametrize(
    ("name", "views", "said"),
    [
        ("classify", "11", "views=11: there are: 10, 5, flips"),
        ("classify", "", "views=: there are: 10, 5, flips"),
        ("segment", "10", "views=10: corners are for answers that have no places; take views=flips"),
        ("series", "flips", "views=flips: series have no such views, pictures have"),
        ("volumes", "10", "views=10: volumes have no such views, pictures have"),
    ],
)  # fmt: skip
def test_views_that_inputs_do_not_have_are_refused(name, views, said, tmp_path, capsys):
    case = CASES[name]
    run = trained(case, data.open(case.write(tmp_path / "data")), tmp_path, "a")
    capsys.readouterr()
    assert cli.main(["evaluate", str(run.path), "--views", views]) == 2
    assert said in capsys.readouterr().err
