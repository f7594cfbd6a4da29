"""What a training promises, for every task: the same test, other data."""

import csv
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import striate
from striate import data, tasks
from striate.errors import DataError, NumericError, RecipeError, Stopped, UsageError
from striate.runs import Run
from striate.training import Progress, fit, loop, read_recipe, resume
from striate.workbench import progress as shown
from striate.workbench.folds import train_folds
from striate.workbench.train import train_recipe
from tasks.conftest import CASES, SIDE


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path / "model.safetensors")


def equal(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def trained(case, folder, out, name="run", **more) -> Path:
    recipe = read_recipe("quick", {**case.settings, **more})
    return fit(case.open(folder), recipe, out=out, name=name).run.path


def test_data_to_run_to_scores_to_answers(case, folder, tmp_path):
    opened = case.open(folder)
    assert opened.task == case.task
    run = striate.train(folder, out=tmp_path, name="run", **case.settings)
    assert run.path == tmp_path / case.task / "run"
    summary = json.loads((run.path / "summary.json").read_text())
    assert (summary["task"], case.score in summary["scores"]) == (case.task, True)
    with (run.path / "items.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == summary["items"] == len(opened.splits["val"])
    again = Run.load(run.path).evaluate(split=summary["split"])
    assert again.as_dict()["scores"] == summary["scores"]
    pictures = case.some(folder, 5)
    out = tmp_path / "out"
    found = run.predict(pictures[:5], out=out)
    assert all(case.answer in each.as_dict() for each in found)
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == [str(path) for path in pictures[:5]]
    alone = run.predict(pictures[0])[0].as_dict()
    files = {key for key in ("mask", "image") if key in found[0].as_dict()}
    assert files <= set(alone), "an answer that is a file is written without a folder too"
    assert {Path(alone[key]).parent for key in files} <= {run.path / "predictions"}
    assert all(Path(alone[key]).is_file() for key in files)
    assert (run.path / "predictions").exists() == bool(files)
    scores = {each.score for each in striate.compare([run.path, run.path]).differences}
    assert scores
    assert scores == set(rows[0]) & scores - set(run.task.item_facts)
    page = (run.path / "report.html").read_text()
    assert not re.search(r">\s*nan\b|\bnan ?%|\bNone\b(?! of them)", page)


def test_predictions_go_on_where_they_ended(case, folder, tmp_path, monkeypatch):
    path = trained(case, folder, tmp_path, epochs=1)
    run, out = Run.load(path), tmp_path / "out"
    pictures = case.some(folder, 6)
    run.predict(pictures[:4], out=out)
    torn = (out / "predictions.jsonl").read_bytes()[:-9]
    (out / "predictions.jsonl").write_bytes(torn)
    read = []
    from striate.runs import predictions

    once = predictions._read

    def counted(used, file, *more):
        read.append(file)
        return once(used, file, *more)

    monkeypatch.setattr(predictions, "_read", counted)
    found = run.predict(pictures[:6], out=out)
    assert sorted(read) == sorted(pictures[3:6])  # the torn one, and what is new
    assert len(found) == 6
    assert len((out / "predictions.jsonl").read_text().splitlines()) == 6
    with pytest.raises(UsageError, match=r"no such setting|name another folder"):
        run.predict(pictures[:1], out=out, conf=0.9)


def test_it_goes_on_to_the_same_bits(case, folder, tmp_path):
    recipe = read_recipe("quick", case.settings)
    opened = case.open(folder)
    whole = fit(opened, recipe, out=tmp_path, name="whole").run.path

    def stop(name: str, done: int, _total: int) -> None:
        if name == "training" and done == 2:  # within the first epoch
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        fit(opened, recipe, out=tmp_path, name="cut", progress=Progress(bar=stop))
    resume(tmp_path / case.task / "cut")
    assert equal(whole, tmp_path / case.task / "cut")


def test_a_stream_gives_the_same_bits_as_the_cache(case, folder, tmp_path, monkeypatch):
    cached = trained(case, folder, tmp_path, "cached")
    monkeypatch.setenv("STRIATE_CACHE_GB", "0")
    streamed = trained(case, folder, tmp_path, "streamed")
    assert equal(cached, streamed)


def test_shards_hold_the_same_items_and_train(case, folder, tmp_path, monkeypatch):
    shards, opened = tmp_path / "shards", case.open(folder)
    if not case.packs:
        with pytest.raises(DataError, match="shards hold pictures or sounds"):
            data.pack(opened, shards, size=8000)
        return
    data.pack(opened, shards, size=8000)
    there = case.open(shards)
    assert (there.task, there.classes, there.outputs) == (case.task, opened.classes, opened.outputs)
    for split in ("train", "val") if opened.pictures else ():
        one, other = (each.arrays(split, size=(SIDE, SIDE)) for each in (opened, there))
        assert np.array_equal(one.inputs, other.inputs)
        assert np.array_equal(one.targets, other.targets)
    cached = trained(case, shards, tmp_path, "cached")
    monkeypatch.setenv("STRIATE_CACHE_GB", "0")
    assert equal(cached, trained(case, shards, tmp_path, "streamed"))


def test_two_processes_score_the_same(case, folder, tmp_path):
    """Batch normalisation sees other batches, so that scores agree but roughly; the items are all there."""
    run = striate.train(folder, out=tmp_path, name="two", devices=2, **case.settings)
    summary = json.loads((run.path / "summary.json").read_text())
    opened = case.open(folder)
    assert summary["items"] == len(opened.splits["val"])
    last = run.history()[-1]
    held = Run.load(run.path).held(run.open_data(), "val")
    quick = held.meter.values()[case.score]
    if summary["kept"] == len(run.history()):
        assert last[f"val_{case.score}"] == pytest.approx(quick, abs=0.02)


def test_a_step_without_a_number_is_left_out(case, folder, tmp_path, monkeypatch):
    take, broken = loop.take_step, []

    def once(state, x, target, setting, **more):
        if state.step == 1 and not broken:
            broken.append(1)
            x = x * torch.nan
        return take(state, x, target, setting, **more)

    monkeypatch.setattr(loop, "take_step", once)
    with pytest.raises(NumericError, match="step 2"):
        trained(case, folder, tmp_path, "stop")
    broken.clear()
    path = trained(case, folder, tmp_path, "skip", on_nan="skip:1")
    assert json.loads((path / "mishaps.json").read_text())["steps"][0]["step"] == 1


def test_deterministic_trainings_are_equal(case, folder, tmp_path):
    one, other = (
        trained(case, folder, tmp_path, name, deterministic=True, epochs=1) for name in "ab"
    )
    assert equal(one, other)


def test_folds_hold_out_every_item_once(case, folder, tmp_path):
    recipe = read_recipe("quick", {**case.settings, "epochs": 1})
    with shown.display() as told:
        folds = train_folds(folder, recipe, 3, out=tmp_path, progress=told)
    names: list[str] = []
    for path in folds.runs:
        with (Path(path) / "items.csv").open(newline="") as file:
            names += [row["file"] for row in csv.DictReader(file)]
    every = {name for split in case.open(folder).splits.values() for name in split.names}
    if case.rolling:  # in the order of time: what is held out comes after what is learned from
        held = [set(case.open(folder, val=f"{k}of3").splits["val"].names) for k in (1, 2, 3)]
        assert sorted(names) == sorted(name for part in held for name in part)
        assert max(held[0]) < min(held[1]) <= max(held[1]) < min(held[2])
        return
    assert sorted(names) == sorted(every)


def test_a_batch_in_parts_gives_the_same_weights(case, folder, tmp_path):
    settings: dict[str, Any] = {"augment": "none", "epochs": 1, "optimizer": "sgd", "lr": 0.01}
    settings["drop_rate"] = 0
    whole = weights(trained(case, folder, tmp_path, "whole", **settings))
    parts = weights(trained(case, folder, tmp_path, "parts", **settings, accumulate=2))
    name = next(key for key in whole if key.endswith("weight"))
    if not any("running_mean" in key for key in whole):  # batch normalisation sees the parts
        assert (whole[name] - parts[name]).abs().max() < 1e-5


def test_mixing_is_for_labels_alone(case, folder, tmp_path):
    more: dict[str, Any] = {"augment": "mixup", "epochs": 1}
    if case.task in ("classify", "multilabel"):
        trained(case, folder, tmp_path, **more)
        return
    with pytest.raises(RecipeError, match="mix"):
        trained(case, folder, tmp_path, **more)


def test_a_net_of_another_task_is_refused_before_anything_is_decoded(
    case, folder, tmp_path, monkeypatch
):
    from striate.data.dataset import Data

    monkeypatch.setattr(Data, "arrays", lambda *_a, **_k: pytest.fail("decoded"))
    wrong = {"classify": "unet_same", "segment": "resnet18", "detect": "lenet5"}.get(
        case.task, "yolo_grid"
    )
    with pytest.raises(UsageError, match=f"these data are to {case.task}; nets that do: "):
        striate.train(folder, wrong, out=tmp_path, epochs=1, **case.opening)
    loss = "dice" if case.task not in ("segment", "instances") else "margin"
    with pytest.raises(RecipeError, match=f"loss={loss}"):
        striate.train(folder, out=tmp_path, loss=loss, **case.opening)


def test_places_follow_the_picture():
    """Of a mask and boxes through the same view; see tests/augment for each step alone."""
    from striate.augment import follow, read, view

    boxes = torch.tensor([[[1.0, 4, 6, 12, 20], [-1, 0, 0, 0, 0]]])
    picture = torch.zeros(1, 32, 32, 1, dtype=torch.uint8)
    picture[0, 6:20, 4:12] = 200
    mask = (picture > 0).to(torch.uint8)
    for seed in range(20):
        seen, where = view(
            picture,
            torch.tensor([seed]),
            read("flip+flip_vertical+translate:0.2"),
            seed=seed,
            size=(32, 32),
        )
        inside = (seen[0, ..., 0] > 100).numpy()
        moved = follow("mask", mask, where)[0, ..., 0].numpy()
        known = moved != 255
        assert (inside[known] == (moved[known] == 1)).mean() > 0.97
        label, x0, y0, x1, y1 = follow("boxes", boxes, where)[0, 0].tolist()
        if label >= 0 and known.all():
            rows, columns = np.where(inside)
            assert abs(rows.min() - y0) <= 1
            assert abs(columns.max() + 1 - x1) <= 1
            assert abs(columns.min() - x0) <= 1
            assert abs(rows.max() + 1 - y1) <= 1


@pytest.mark.parametrize(
    ("task", "known"),
    [
        ("detect", "pictures with boxes need grid or yolo"),
        ("multilabel", "need bce"),
        ("classify", "need cross_entropy, focal, margin, or a sum of these"),
    ],
)
def test_a_loss_of_other_targets_is_told_which_there_are(task, known):
    with pytest.raises(RecipeError) as caught:
        tasks.named(task).refuse(read_recipe("quick", {"loss": "l1"}))
    assert str(caught.value).endswith(known)


def test_items_that_are_in_two_splits_are_named_before_anything_is_scored(case, tmp_path):
    if case.task == "forecast":
        pytest.skip("its splits are times of one table")
    for split in ("train", "test"):
        case.write(tmp_path / "data" / split)
    opened = case.open(tmp_path / "data")
    assert {name: len(held) for name, held in opened.splits.items()} == {"train": 24, "test": 24}
    (caution,) = opened.cautions
    assert f"24 {opened.noun} are in more than one split (" in caution
    assert caution.endswith("of what was learned or chosen by: take them out and train anew")
    assert case.open(case.write(tmp_path / "alone")).cautions == []


@pytest.mark.parametrize("task", ["classify", "segment"])
def test_a_training_says_what_its_scores_are_worth(task, tmp_path):
    case, said = CASES[task], []
    for split in ("train", "test"):
        case.write(tmp_path / "data" / split)
    opened = case.open(tmp_path / "data")
    recipe = read_recipe("quick", {**case.settings, "epochs": 1})
    fitted = train_recipe(opened, recipe, out=tmp_path, progress=Progress(say=said.append))
    assert f"note: {opened.cautions[0]}" in said
    assert "24 pictures are in more than one split" in (fitted.run.path / "report.html").read_text()


def test_more_than_a_few_broken_items_stop_a_training(case, tmp_path):
    if case.task == "forecast":
        pytest.skip("all of its items are in one table")
    folder = case.write(tmp_path / "data")
    broken = case.some(folder, 6)
    for path in broken[:5]:
        path.write_bytes(b"")
    assert len(case.open(folder).problems) == 5
    case.open(folder).check()
    broken[5].write_bytes(b"")
    opened = case.open(folder)
    assert opened.cautions == []
    with pytest.raises(DataError, match=rf"^6 of 24 {opened.noun} cannot be read"):
        opened.check()
