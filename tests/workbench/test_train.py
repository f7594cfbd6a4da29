"""The main job from end to end on a small folder of pictures."""

import csv
import html
import json
import math
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from torch import nn

import striate
from striate.errors import (
    ArgumentError,
    CheckpointError,
    DataError,
    GateError,
    NumericError,
    RecipeError,
    ShapeError,
    Stopped,
    UsageError,
)
from striate.runs import Run, folder
from striate.training import Progress, read_recipe
from striate.training.recipe import Recipe
from striate.workbench.train import resume, train_recipe

QUICK = {"net": "lenet5", "epochs": 6, "batch": 8, "plan": "default"}


def trained(shapes, out, *, progress=None, **settings):
    recipe = read_recipe("quick", {**QUICK, **settings})
    return train_recipe(shapes, recipe, out=out, progress=progress or Progress())


@pytest.fixture(scope="module")
def fitted(shapes, tmp_path_factory):
    return trained(shapes, tmp_path_factory.mktemp("runs"))


def weights(path):
    return safetensors.torch.load_file(path / "model.safetensors")


def test_it_learns(fitted):
    assert fitted.held.scores.items == 18
    assert fitted.held.scores.scores["accuracy"].value > 0.8  # of three classes, 18 items


def test_the_run_folder_is_complete(fitted):
    path = fitted.run.path
    names = {p.name for p in path.iterdir()}
    assert names == {
        "model.safetensors", "config.json", "args.yaml", "results.csv", "items.csv",
        "checkpoints", "report.html", "summary.json", "health.csv", "trained.bin",
        "movement.csv",
    }  # fmt: skip
    assert path.parts[-2:] == ("classify", "shapes-lenet5")
    rows = list(csv.DictReader((path / "results.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    items = list(csv.DictReader((path / "items.csv").read_text().splitlines()))
    assert list(items[0]) == ["file", "truth", "answer", "confidence", "accuracy", "loss"]
    right = sum(row["truth"] == row["answer"] for row in items) / len(items)
    assert right == pytest.approx(fitted.held.scores.scores["accuracy"].value)
    args = yaml.safe_load((path / "args.yaml").read_text())
    assert set(args) == set(Recipe.model_fields)
    assert (args["size"], args["color"], args["batch"], args["augment"]) == (
        [28, 28],
        "grey",
        8,
        "shift",
    )
    config = json.loads((path / "config.json").read_text())
    assert config["classes"] == ["bar", "box", "noise"]
    assert config["data"]["fingerprint"] == fitted.data.fingerprint


def test_the_report_holds_what_was_measured(fitted):
    text = (fitted.run.path / "report.html").read_text()
    for part in ("bar", "noise", "61,", "conv1", "striate predict", "Learning"):
        assert part in text


def test_a_loaded_run_answers_as_the_trained_one(fitted, shapes):
    run = Run.load(fitted.run.path)
    again = run.evaluate()
    assert again.as_dict()["scores"] == fitted.held.scores.as_dict()["scores"]
    assert (run.path / "evaluations" / "shapes-val.csv").exists()
    answers = run.predict([shapes / "bar" / "00.png", shapes / "box" / "01.png"])
    assert [answer.as_dict()["label"] for answer in answers] == ["bar", "box"]
    assert sum(p for _, p in answers[0].as_dict()["top"]) == pytest.approx(1, abs=1e-5)


def test_a_folder_is_predicted_and_a_bad_file_named(fitted, shapes, tmp_path):
    shutil.copy(shapes / "bar" / "00.png", tmp_path / "a b\n.png")
    (tmp_path / "bad.png").write_text("no picture")
    good, bad = Run.load(fitted.run.path).predict(tmp_path)
    assert good.as_dict()["label"] == "bar"
    assert set(bad.as_dict()) == {"file", "error"}


def test_results_show_themselves(fitted):
    assert "accuracy" in str(fitted.run)
    assert fitted.run._repr_html_().count("<svg") == 2
    assert "<table>" in fitted.held.scores._repr_html_()


def test_other_data_are_scored_whole_and_other_classes_refused(fitted, shapes, tmp_path):
    other = tmp_path / "other"
    for label in ("bar", "noise"):
        shutil.copytree(shapes / label, other / label)
    with pytest.raises(GateError, match="48 of 60 items of all are what this run was trained on"):
        Run.load(fitted.run.path).evaluate(other)
    assert Run.load(fitted.run.path).evaluate(other, leaks="keep").items == 60
    (other / "noise").rename(other / "noize")
    with pytest.raises(DataError) as caught:
        Run.load(fitted.run.path).evaluate(other, leaks="keep")
    assert str(caught.value) == (
        "the data have classes that this run does not know: noize; it knows bar, box, noise"
    )


def test_data_that_changed_are_not_evaluated_by_the_old_split(shapes, tmp_path):
    mine = shutil.copytree(shapes, tmp_path / "mine")
    run = trained(mine, tmp_path, epochs=1).run
    (mine / "bar" / "00.png").unlink()
    with pytest.raises(DataError, match="changed since this run was trained"):
        Run.load(run.path).evaluate()


def test_the_same_seed_gives_the_same_bits(fitted, shapes, tmp_path):
    state = torch.random.get_rng_state()
    again = trained(shapes, tmp_path)
    assert torch.equal(state, torch.random.get_rng_state())
    first, second = weights(fitted.run.path), weights(again.run.path)
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = weights(trained(shapes, tmp_path, seed=1).run.path)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "at"),
    [
        ({"optimizer": "adamw"}, 22),
        ({"optimizer": "sgd"}, 22),
        ({"optimizer": "muon"}, 22),
        ({}, 27),
        ({}, 54),
        ({"ema": 0.9, "accumulate": 3, "health": 4}, 22),
        # every epoch is below the one minimum, so that the rate falls in epochs 3 and 5
        ({"schedule": "plateau", "plateau": 1, "optimizer": "sgd", "lr": 1e-9}, 40),
        (
            {
                "net": "resnet18",
                "width": 0.25,
                "size": 32,
                "head_epochs": 1,
                "lr_decay": 0.5,
                "epochs": 2,
            },
            13,
        ),
        ({"augment": "auto+mixup+cutmix", "smoothing": 0.1, "class_weights": "balanced"}, 22),
        ({"augment": "crop+rotate+color+pca+cutmix", "size": 28}, 22),
        ({"plan": "channels_last,bf16"}, 22),
        ({"loss": "focal+0.1*margin", "class_weights": "balanced", "sampling": "balanced"}, 30),
    ],
)
def test_stopped_at_any_step_and_resumed_it_ends_with_the_same_bits(shapes, tmp_path, settings, at):
    settings = {"plan": "channels_last", **settings}
    whole = trained(shapes, tmp_path / "whole", **settings)

    def interrupting(_name, done, _total):
        if done == at:  # in the middle of the third epoch, at its end, at the end of all
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Stopped) as caught:
        trained(shapes, tmp_path / "parts", progress=Progress(bar=interrupting), **settings)
    path = tmp_path / "parts" / "classify" / f"shapes-{settings.get('net', 'lenet5')}"
    assert caught.value.exit_status == 130
    assert str(caught.value) == (
        f"stopped after step {at}; everything so far is kept. Go on with: striate train --resume {path}"
    )
    assert not (path / "model.safetensors").exists()
    with pytest.raises(
        CheckpointError, match=r"the training did not end; go on with striate train --resume"
    ):
        Run.load(path)
    parts = resume(path, progress=Progress())
    first, second = weights(whole.run.path), weights(parts.run.path)
    assert all(torch.equal(first[name], second[name]) for name in first)
    rows = [run.history() for run in (whole.run, parts.run)]
    for row in (*rows[0], *rows[1]):
        for measured in ("seconds", "items_per_second", "waiting"):
            del row[measured]
    assert rows[0] == rows[1]
    looks = [(run.path / "health.csv").read_text() for run in (whole.run, parts.run)]
    assert looks[0] == looks[1]
    with pytest.raises(
        UsageError,
        match=r"is finished: evaluate it .*or train further from its weights .* weights=",
    ):
        resume(path, progress=Progress())


def test_the_scale_of_the_loss_goes_on_where_it_was(shapes, tmp_path, monkeypatch):
    """As on a GPU, but the passes themselves run in float32, of which a small part overflows here."""
    from contextlib import nullcontext

    from striate.plan import Plan, plan
    from striate.training import loop

    norm = loop.gradient_norm
    monkeypatch.setattr(plan, "FP16_ON", ("cpu",))
    monkeypatch.setattr(Plan, "autocast", lambda _plan: nullcontext())
    monkeypatch.setattr(
        loop,
        "gradient_norm",
        lambda state, p: norm(state, p) if state.scale.factor < 30_000 else math.inf,
    )
    settings = {"plan": "fp16", "epochs": 2}
    whole = trained(shapes, tmp_path / "whole", **settings)

    def interrupting(_name, done, _total):
        if done == 13:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Stopped):
        trained(shapes, tmp_path / "parts", progress=Progress(bar=interrupting), **settings)
    parts = resume(tmp_path / "parts" / "classify" / "shapes-lenet5", progress=Progress())
    first, second = weights(whole.run.path), weights(parts.run.path)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [row["skipped"] for row in parts.run.history()] == [2, 2]


def test_a_damaged_newest_checkpoint_is_said_and_passed_over(shapes, tmp_path):
    def interrupting(_name, done, _total):
        if done == 30:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped) as caught:
        trained(shapes, tmp_path, progress=Progress(bar=interrupting))
    assert caught.value.exit_status == 143
    path = tmp_path / "classify" / "shapes-lenet5"
    newest = max((path / "checkpoints").iterdir())
    (newest / "tensors.safetensors").write_bytes(b"harm")
    said = []
    resume(path, progress=Progress(say=said.append))
    assert said[0].endswith("going back to the one before")
    assert said[1] == "going on after step 27 of 54"


def test_a_loss_that_is_no_number_stops_with_the_good_weights_kept(shapes, tmp_path):
    with pytest.raises(NumericError) as caught:
        trained(shapes, tmp_path, lr=1e18, optimizer="sgd", schedule="constant", warmup=0, epochs=2)
    assert caught.value.exit_status == 4
    assert "the gradient of fc3.bias broke first" in str(caught.value)
    assert "step 2: the loss is" in str(caught.value)
    path = tmp_path / "classify" / "shapes-lenet5"
    failure = json.loads((path / "failure.json").read_text())
    assert failure["step"] == 2
    assert not (path / "model.safetensors").exists()


def test_an_own_net_is_trained_and_stays_as_it_was(shapes, tmp_path):
    net = nn.Sequential(
        nn.Conv2d(1, 4, 5, 2), nn.ReLU(), nn.Dropout(0.1), nn.Flatten(), nn.Linear(576, 3)
    )
    before = {name: t.clone() for name, t in net.state_dict().items()}
    run = striate.train(shapes, net, out=tmp_path, epochs=2)
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    with pytest.raises(
        UsageError, match=r"trained a net of your own \(sequential\): name it again"
    ):
        Run.load(run.path)
    assert Run.load(run.path, net=net).evaluate().items == 18
    other = nn.Sequential(nn.Flatten(), nn.Linear(784, 3))
    with pytest.raises(CheckpointError, match="the net differs from the one that was trained"):
        Run.load(run.path, net=other)


def test_an_own_net_is_named_on_the_command_line(shapes, tmp_path, monkeypatch):
    (tmp_path / "mytrainednets.py").write_text(
        "from torch import nn\n"
        "def tiny(): return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(49, 3))\n"
    )
    monkeypatch.chdir(tmp_path)
    run = striate.train(shapes, "mytrainednets:tiny", epochs=1, out=tmp_path)
    text = (run.path / "report.html").read_text()
    assert "--net package.module:factory epochs=1" in text
    assert "net=MyNet()" in text
    with pytest.raises(
        ArgumentError, match=r"net= takes a torch\.nn\.Module such as MyNet\(\), got 'tiny'"
    ):
        Run.load(run.path, net="tiny")  # pyright: ignore[reportArgumentType]


def test_the_report_gives_the_command_that_made_it(fitted, shapes, tmp_path):
    import re
    import shlex

    from striate import cli

    text = (fitted.run.path / "report.html").read_text()
    made = text.partition("<h2>How it was made</h2>")[2].partition("</section>")[0]
    (command,) = re.findall(r"striate train [^<]+", made)
    words = shlex.split(html.unescape(command))
    assert cli.main([*words[1:], "--out", str(tmp_path)]) == 0
    first, second = weights(fitted.run.path), weights(tmp_path / "classify" / "shapes-lenet5")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_net_with_other_outputs_is_refused_and_leaves_nothing(shapes, tmp_path):
    with pytest.raises(ShapeError) as caught:
        striate.train(shapes, nn.Sequential(nn.Flatten(), nn.Linear(784, 7)), out=tmp_path)
    assert str(caught.value) == (
        "the net answers (2, 7) to 2 items, expected one tensor (2, 3): "
        "a score for each of the 3 classes"
    )
    assert list((tmp_path / "classify").iterdir()) == []


def with_test(shapes, data):
    """The shapes with five of each class as a test split."""
    shutil.copytree(shapes, data / "train")
    for label in ("bar", "box", "noise"):
        (data / "test" / label).mkdir(parents=True)
        for i in range(5):
            (data / "train" / label / f"{i:02d}.png").rename(data / "test" / label / f"{i:02d}.png")
    return data


def test_a_test_split_is_watched_but_never_chosen_by(shapes, tmp_path):
    data = with_test(shapes, tmp_path / "data")
    done = trained(data, tmp_path / "runs", epochs=2)
    assert (done.data.held_out, done.held.scores.items, done.run.summary["kept"]) == ("test", 15, 2)
    three = trained(data, tmp_path / "runs", epochs=2, val="0.2")
    assert three.run.summary["test"]["items"] == 15
    text = three.run.as_text()
    assert "val, 15 items" in text
    assert "test, 15 items" in text
    assert three.held.scores.items == 15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, r"has format 99, this version of striate reads 2: update striate"),
        ({"classes": None}, r"config\.json is damaged"),
        ({"preprocessing": {"size": 1}}, r"its preprocessing is damaged"),
        ({"weights": "0" * 64}, r"model\.safetensors is damaged: its SHA-256 is not the one"),
    ],
)
def test_a_run_that_is_newer_or_damaged(fitted, tmp_path, change, message):
    copy = shutil.copytree(fitted.run.path, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    folder.write_sealed(copy / "config.json", config | change)
    with pytest.raises(CheckpointError, match=message):
        Run.load(copy)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "canary:run"},
        {"name": "canary"},
        {"name": "../canary.py"},
        {"name": "https://example.com/net.py"},
        {"name": ["canary"]},
        {"name": {"__reduce__": "canary"}},
        {"options": {"act": "lambda x: __import__('canary')"}},
        {"options": {"act": "canary.run"}},
        {"options": {"__class__": "canary"}},
        {"num_classes": 10**30},
        {"num_classes": "3"},
        {"size": ["28", "canary"]},
        {"width": "canary"},
    ],
)
def test_a_config_never_names_code(fitted, tmp_path, monkeypatch, change):
    (tmp_path / "canary.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nrun = lambda **_: None"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(fitted.run.path, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config["net"] |= change
    folder.write_sealed(copy / "config.json", config)
    with pytest.raises(CheckpointError) as caught:
        Run.load(copy)
    assert caught.value.exit_status == 5
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()
    assert "canary" not in sys.modules


def test_a_config_without_bottom_is_damaged(fitted, tmp_path):
    copy = shutil.copytree(fitted.run.path, tmp_path / "copy")
    (copy / "config.json").write_text('{"format": 1, "net": ' + "[" * 200_000)
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        Run.load(copy)


def test_pictures_in_two_splits_are_an_error_for_evaluate(shapes, tmp_path, capsys):
    from striate import cli

    data = with_test(shapes, tmp_path / "data")
    shutil.copy(data / "train" / "bar" / "07.png", data / "test" / "bar" / "again.png")
    run = trained(data, tmp_path / "runs", epochs=1).run
    assert cli.main(["evaluate", str(run.path)]) == 1
    said = capsys.readouterr().err
    assert "1 pictures are in more than one split (" in said
    assert "07.png = " in said
    assert "again.png)" in said
    assert said.count("\n") == 1
    assert not list((run.path / "evaluations").glob("*"))
    assert cli.main(["evaluate", str(run.path), "--leaks", "keep"]) == 0


def test_a_pickle_is_never_read(fitted, tmp_path):
    import hashlib
    import pickle

    class Canary:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    copy = shutil.copytree(fitted.run.path, tmp_path / "copy")
    content = pickle.dumps(Canary())
    (copy / "model.safetensors").write_bytes(content)
    config = json.loads((copy / "config.json").read_text())
    config["weights"] = hashlib.sha256(content).hexdigest()
    folder.write_sealed(copy / "config.json", config)
    with pytest.raises(CheckpointError, match="is damaged"):
        Run.load(copy)
    assert not (tmp_path / "ran").exists()


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(shapes, tmp_path, monkeypatch):
    from striate.runs import checkpoint

    whole, calls = checkpoint._write_synced, []

    def filling(path, data):
        calls.append(path)
        if len(calls) > 6:  # two checkpoints of three files
            path.write_bytes(data[:10])
            raise OSError(28, "No space left on device")
        whole(path, data)

    monkeypatch.setattr(checkpoint, "_write_synced", filling)
    with pytest.raises(
        CheckpointError, match=r"cannot be written .*go on with striate train --resume|disk is full"
    ):
        trained(shapes, tmp_path)
    monkeypatch.setattr(checkpoint, "_write_synced", whole)
    path = tmp_path / "classify" / "shapes-lenet5"
    found, warnings = checkpoint.newest(path)
    assert found is not None
    assert (found.step, warnings) == (18, [])
    assert resume(path, progress=Progress()).run.summary["epochs"] == 6


@pytest.mark.slow
def test_ctrl_c_ends_a_command_with_130_and_the_way_on(shapes, tmp_path):
    command = [
        sys.executable,
        "-m",
        "striate",
        "train",
        str(shapes),
        "epochs=2000",
        "--out",
        str(tmp_path),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 3/"):
                process.send_signal(signal.SIGINT)
                break
        start = time.monotonic()
        rest = process.stderr.read()
        assert process.wait(30) == 130
    assert time.monotonic() - start < 30
    assert "Go on with: striate train --resume " in rest
    assert "Traceback" not in rest
    (run,) = tmp_path.glob("classify/*")
    assert np.isfinite(Run(run).history()[0]["val_loss"])


def test_ctrl_c_while_finishing_can_be_taken_up(shapes, tmp_path, monkeypatch):
    from striate.training import record

    def interrupted(*_words):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(record, "write_items", interrupted)
        with pytest.raises(Stopped, match="Go on with: striate train --resume"):
            trained(shapes, tmp_path, epochs=1)
    path = tmp_path / "classify" / "shapes-lenet5"
    assert resume(path, progress=Progress()).run.summary["epochs"] == 1


def test_broken_pictures_are_named_and_skipped_or_stop_the_run(shapes, tmp_path):
    mine = shutil.copytree(shapes, tmp_path / "mine")
    for i in range(5):
        (mine / "bar" / f"{i:02d}.png").write_bytes(b"")
    said = []
    done = trained(mine, tmp_path, epochs=1, progress=Progress(say=said.append))
    assert sum("skipped " in line and "an empty file" in line for line in said) == 5
    assert sum(done.data.as_dict()["splits"].values()) == 85
    assert "an empty file" in (done.run.path / "report.html").read_text()
    for i in range(5, 8):
        (mine / "bar" / f"{i:02d}.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        trained(mine, tmp_path / "other", epochs=1)
    assert caught.value.exit_status == 3
    assert list((tmp_path / "other" / "classify").iterdir()) == []
    assert trained(mine, tmp_path / "other", epochs=1, broken="skip").run.summary["epochs"] == 1


def test_opened_data_keep_their_own_split(shapes, tmp_path):
    data = striate.open(shapes, seed=5, val=0.4)
    run = striate.train(data, "linear", out=tmp_path, epochs=1)
    assert Run.load(run.path).evaluate().items == len(data.splits["val"]) == 36
    assert Run.load(run.path).open_data().splits["val"].names == data.splits["val"].names
    with pytest.raises(
        ArgumentError, match=r"val= belongs to striate\.open: these data are opened already"
    ):
        striate.train(data, "linear", out=tmp_path, val=0.1)
    with pytest.raises(
        DataError, match="has no training pictures, only all: put them into a folder named train"
    ):
        striate.train(striate.open(shapes, val=0), out=tmp_path)


def test_data_that_moved_are_evaluated_where_they_are(shapes, tmp_path):
    mine = shutil.copytree(shapes, tmp_path / "odd\nname")
    run = trained(mine, tmp_path / "runs", epochs=1).run
    assert Run.load(run.path).evaluate().items == 18
    moved = mine.rename(tmp_path / "moved")
    assert Run.load(run.path).evaluate(moved).items == 18
    with pytest.raises(DataError, match="there is no "):
        Run.load(run.path).evaluate()


@pytest.mark.parametrize(
    "settings", [{"lr": 1e38, "epochs": 1, "batch": 64}, {"lr": 1e30, "epochs": 3}]
)
def test_weights_that_are_no_numbers_are_never_kept(shapes, tmp_path, settings):
    with pytest.raises(NumericError, match="Train anew with a smaller lr"):
        trained(shapes, tmp_path, schedule="constant", warmup=0, **settings)
    path = tmp_path / "classify" / "shapes-lenet5"
    assert not (path / "summary.json").exists()
    failure = json.loads((path / "failure.json").read_text(), parse_constant=pytest.fail)
    assert failure["layers"]


def test_a_report_that_could_not_be_written_is_made_later(fitted, tmp_path):
    copy = shutil.copytree(fitted.run.path, tmp_path / "copy")
    (copy / "report.html").unlink()
    resume(copy, progress=Progress())
    assert (copy / "report.html").exists()


def test_settings_changed_under_a_stopped_training_are_refused(shapes, tmp_path):
    def interrupting(_name, done, _total):
        if done == 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Stopped):
        trained(shapes, tmp_path, progress=Progress(bar=interrupting))
    path = tmp_path / "classify" / "shapes-lenet5"
    args = path / "args.yaml"
    args.write_text(args.read_text().replace("batch: 8", "batch: 16"))
    with pytest.raises(
        RecipeError, match="was changed since the training began: batch was 8, is 16"
    ):
        resume(path, progress=Progress())
    args.unlink()
    with pytest.raises(CheckpointError, match=r"args\.yaml is damaged"):
        resume(path, progress=Progress())


class Views(nn.Module):
    """As tutorials write it: a view, which some layouts do not allow."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 5, 2), nn.Linear(576, 3)

    def forward(self, x):
        return self.fc(self.conv(x).relu().view(len(x), -1))


@pytest.mark.parametrize("plan", ["auto", "default"])
def test_a_net_with_a_view_trains(shapes, tmp_path, plan):
    run = striate.train(shapes, Views(), out=tmp_path, epochs=1, plan=plan)
    assert run.summary["epochs"] == 1


class Raises(nn.Module):
    """Fails when it runs."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x):
        raise KeyError("no such branch")


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (
            Raises(),
            "the net fails on a batch of 2x1x28x28: KeyError: 'no such branch'; mend the net",
        ),
        (nn.Flatten(), "the net flatten has no parameter that can be trained"),
        (nn.Conv2d(3, 3, 3), "Conv2d: expects 3 channels, got 1 in 1x28x28, at input 1x28x28"),
    ],
)
def test_a_net_that_cannot_be_trained_is_one_line(shapes, tmp_path, net, message):
    with pytest.raises(UsageError) as caught:
        striate.train(shapes, net, out=tmp_path)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_batch_normalisation_needs_two_pictures(shapes, tmp_path):
    with pytest.raises(
        UsageError, match="batch=1: batch normalisation cannot learn from one picture"
    ):
        striate.train(shapes, "resnet18", out=tmp_path, batch=1, size=32, width=0.1, plan="default")


@pytest.mark.parametrize(("net", "kind"), [("neocognitron", "Neocognitron"), ("cdbn", "CDBN")])
def test_a_net_that_learns_without_labels_is_refused_before_anything_is_read(
    net, kind, shapes, tmp_path
):
    with pytest.raises(UsageError) as error:
        striate.train(shapes, net=net, out=tmp_path, size=32)
    assert str(error.value) == (
        f"{kind} learns without labels and has no loss to descend; "
        "striate train DATA --net teaches it, and in Python net.fit(pictures, generator=torch.Generator())"
    )
    assert not any(tmp_path.iterdir())


def test_what_the_doctor_finds_is_said_once_before_the_first_step(shapes, tmp_path):
    own = nn.Sequential(
        nn.Conv2d(1, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
        nn.Linear(64, 3), nn.Softmax(1),
    )  # fmt: skip
    said = []
    recipe = read_recipe("quick", {**QUICK, "net": None, "epochs": 2})
    train_recipe(shapes, recipe, own=own, out=tmp_path, progress=Progress(say=said.append))
    expected = [
        (
            "(net): 55 of 784 pixels are read by no output (1 row and 1 column); "
            "pad 1 right and bottom, or use 29"
        ),
        (
            "6: the net ends in softmax, and cross-entropy applies it once more; "
            "return the logits, and apply softmax to predictions only"
        ),
        "0: it has a bias that the batch normalisation after it takes away; build it with bias=False",
    ]
    assert [line for line in said if line in expected] == expected
    assert said.index(expected[-1]) < next(i for i, line in enumerate(said) if "epoch 1" in line)
