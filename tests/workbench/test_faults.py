"""What may go wrong around a training: full disks, signals, changed files, other versions, steps without numbers."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from hashlib import sha256

import pytest
import safetensors.torch
import torch
from torch import nn

import striate
from striate.errors import CheckpointError, DataError, RecipeError, Stopped, UsageError
from striate.runs import checkpoint, folder
from striate.training import Progress, loop, read_recipe, record
from striate.workbench.train import resume, train_recipe

QUICK = {"net": "lenet5", "epochs": 3, "batch": 8, "plan": "default"}


def trained(shapes, out, *, progress=None, **settings):
    recipe = read_recipe("quick", {**QUICK, **settings})
    return train_recipe(shapes, recipe, out=out, progress=progress or Progress()).run.path


def stopped(shapes, out, at=13, **settings):
    """A training that was stopped after a step."""

    def interrupting(_name, done, _total):
        if done == at:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Stopped):
        trained(shapes, out, progress=Progress(bar=interrupting), **settings)
    (path,) = (out / "classify").iterdir()
    return path


def resumed(path, **words):
    said = []
    resume(path, progress=Progress(say=said.append), **words)
    return said


def digest(path):
    return sha256((path / "model.safetensors").read_bytes()).hexdigest()


def last(path):
    return sha256(
        (max(path.glob("checkpoints/step-*")) / "tensors.safetensors").read_bytes()
    ).hexdigest()


@pytest.mark.slow
def test_a_deterministic_training_is_bit_equal_when_repeated(shapes, tmp_path):
    settings = {"deterministic": True, "plan": "auto", "drop_rate": 0.2, "ema": 0.9, "epochs": 2}
    paths = [trained(shapes, tmp_path / str(i), **settings) for i in range(2)]
    assert digest(paths[0]) == digest(paths[1])
    assert last(paths[0]) == last(paths[1])
    config = json.loads((paths[0] / "config.json").read_text())
    assert config["plan"]["layout"] == "contiguous"  # not what happened to be fastest
    assert not torch.are_deterministic_algorithms_enabled()
    stop = stopped(shapes, tmp_path / "parts", 13, **settings)
    resumed(stop)
    assert digest(stop) == digest(paths[0])


class Unpools(nn.Module):
    """Max unpooling, of which PyTorch has no deterministic kernel."""

    def __init__(self):
        super().__init__()
        self.down, self.up = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        self.fc = nn.Linear(784, 3)

    def forward(self, x):
        return self.fc(self.up(*self.down(x)).flatten(1))


def test_what_cannot_be_deterministic_is_refused_before_the_first_step(shapes, tmp_path):
    with pytest.raises(
        RecipeError, match=r"^deterministic=true: up \(MaxUnpool2d\) runs max_unpool"
    ):
        striate.train(shapes, Unpools(), out=tmp_path, deterministic=True)
    assert not list((tmp_path / "classify").iterdir())
    with pytest.raises(RecipeError, match="deterministic=true cannot be kept with budget="):
        striate.train(shapes, "linear", out=tmp_path, deterministic=True, budget="5s")
    assert striate.train(shapes, Unpools(), out=tmp_path, epochs=1).summary["epochs"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("on_nan", ["skip:2", "rollback"])
def test_what_happened_to_steps_is_remembered_by_a_resumed_training(
    shapes, tmp_path, monkeypatch, on_nan
):
    plain = striate.Run(trained(shapes, tmp_path / "plain", health=0)).history()
    norm = loop.gradient_norm
    monkeypatch.setattr(
        loop,
        "gradient_norm",
        lambda state, p: math.nan if state.step in (11, 14) else norm(state, p),
    )
    settings = {"on_nan": on_nan, "ema": 0.9, "optimizer": "adamw", "health": 4}
    whole = trained(shapes, tmp_path / "whole", **settings)
    path = stopped(shapes, tmp_path / "parts", at=16, **settings)
    said = resumed(path)
    assert not any("left out" in line or "without it" in line for line in said)
    assert digest(path) == digest(whole)
    assert last(path) == last(whole)
    assert (path / "health.csv").read_text() == (whole / "health.csv").read_text()
    steps = json.loads((path / "mishaps.json").read_text())["steps"]
    assert [each["step"] for each in steps] == [11, 14]
    assert all(len(each["items"]) == 8 for each in steps)
    if on_nan == "rollback":
        assert [each["back_to"] for each in steps] == [9, 9]
        row = striate.Run(whole).history()
        assert [len(row), row[0]["lr"]] == [3, plain[0]["lr"]]
        assert row[1]["lr"] == pytest.approx(plain[1]["lr"] / 4, rel=1e-4)


def test_a_rollback_before_the_first_epoch_ends_at_the_first_weights(shapes, tmp_path, monkeypatch):
    norm = loop.gradient_norm
    monkeypatch.setattr(loop, "gradient_norm", lambda s, p: math.inf if s.step == 4 else norm(s, p))
    said = []
    path = trained(
        shapes, tmp_path, on_nan="rollback", epochs=1, progress=Progress(say=said.append)
    )
    (line,) = [line for line in said if line.startswith("step 5: ")]
    assert "the norm of the gradient inf; back to step 0, from there at half the rate" in line
    assert striate.Run(path).history()[0]["epoch"] == 1


def test_the_parts_of_a_halved_batch_are_remembered(shapes, tmp_path, monkeypatch):
    take = loop.take_step

    def short(state, x, target, setting, *, share):
        if len(x) > 4 * state.parts:
            raise torch.OutOfMemoryError("CUDA out of memory")
        take(state, x, target, setting, share=share)

    whole = trained(shapes, tmp_path / "whole", accumulate=2)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "take_step", short)
        path = stopped(shapes, tmp_path / "parts", oom="halve")
    resumed(path)  # there is room again, and the sums stay the same
    first, second = (safetensors.torch.load_file(p / "model.safetensors") for p in (whole, path))
    assert all(torch.equal(first[name], second[name]) for name in first)


@contextmanager
def small_disk(path, size):
    """A file system of its own; skips where mounting is not allowed."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk needs the right to mount; the limited file size stands for it")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_full_disk_is_waited_for_and_the_training_ends_as_if_it_had_not_been(shapes, tmp_path):
    whole = trained(shapes, tmp_path / "whole", epochs=5)
    with small_disk(tmp_path / "disk", "4m") as disk:
        said, ballast = [], disk / "ballast"

        def say(line):
            said.append(line)
            if line.startswith("epoch 1/"):
                ballast.write_bytes(bytes(shutil.disk_usage(disk).free - 300_000))
            elif "(2 of 3)" in line:
                ballast.unlink()

        path = trained(shapes, disk / "runs", epochs=5, progress=Progress(say=say))
        full = [line for line in said if "the disk is full" in line]
        assert [line.rpartition("; ")[2] for line in full] == [
            "tried again at the next (1 of 3)", "tried again at the next (2 of 3)",
        ]  # fmt: skip
        assert "bytes needed, " in full[0]
        assert not list((path / "checkpoints").glob(".*"))
        # The one kept as the best may be another: those of two epochs could not be written.
        assert last(path) == last(whole)
        assert len(striate.Run(path).history()) == 5


def test_a_disk_that_stays_full_ends_it_with_the_last_checkpoint_whole(shapes, tmp_path):
    with small_disk(tmp_path / "disk", "4m") as disk:
        ballast = disk / "ballast"

        def say(line):
            if line.startswith("epoch 1/"):
                ballast.write_bytes(bytes(shutil.disk_usage(disk).free - 300_000))

        with pytest.raises(CheckpointError, match="the disk is full") as caught:
            trained(shapes, disk / "runs", epochs=5, progress=Progress(say=say))
        assert caught.value.exit_status == 5
        path = disk / "runs" / "classify" / "shapes-lenet5"
        found, warnings = checkpoint.newest(path)
        assert found is not None
        assert (found.step, warnings) == (9, [])
        ballast.unlink()
        resumed(path)
        assert striate.Run(path).summary["epochs"] == 5


LIMITED = """
import resource, sys
from striate import cli
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_files_that_may_not_grow_end_it_with_5(shapes, tmp_path):
    words = ["train", str(shapes), "net=lenet5", "plan=default", "epochs=5", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 5, done.stderr
    assert done.stderr.count("tried again at the next") == 2
    assert done.stderr.splitlines()[-1].startswith("striate: ")
    assert "Traceback" not in done.stderr
    (path,) = (tmp_path / "classify").iterdir()
    assert not list((path / "checkpoints").iterdir())


def test_a_table_that_cannot_be_written_is_said_once(shapes, tmp_path, monkeypatch):
    write, calls = record.write_results, []

    def full(path, rows):
        calls.append(len(rows))
        if len(calls) < 3:
            raise CheckpointError("results.csv: the disk is full")
        write(path, rows)

    monkeypatch.setattr(record, "write_results", full)
    said = []
    path = trained(shapes, tmp_path, progress=Progress(say=said.append))
    assert [line for line in said if "the disk is full" in line] == [
        "results.csv: the disk is full; the training goes on without it, its rows are in the checkpoints"
    ]
    assert [row["epoch"] for row in striate.Run(path).history()] == [1, 2, 3]


def test_a_last_checkpoint_that_failed_is_written_in_the_end(shapes, tmp_path, monkeypatch):
    save, calls = checkpoint.save, []

    def failing(root, given, **kept):
        calls.append(given.step)
        if calls == [9, 18, 27]:
            raise CheckpointError("no room")
        return save(root, given, **kept)

    whole = trained(shapes, tmp_path / "whole")
    monkeypatch.setattr(checkpoint, "save", failing)
    path = trained(shapes, tmp_path / "again")
    assert calls == [9, 18, 27, 27]
    assert digest(path) == digest(whole)
    assert striate.Run(path).summary["kept"] == striate.Run(whole).summary["kept"]


def test_changed_settings_are_told_field_by_field_and_allowed_by_name(shapes, tmp_path):
    path = stopped(shapes, tmp_path, at=5)
    args = path / "args.yaml"
    whole = args.read_text()
    args.write_text(whole.replace("batch: 8", "batch: 16").replace("epochs: 3", "epochs: 2"))
    with pytest.raises(RecipeError) as caught:
        resumed(path)
    assert str(caught.value) == (
        f"{args} was changed since the training began: epochs was 3, is 2; batch was 8, is 16: put it back, "
        f"or train anew with it, --recipe {args}"
    )
    args.write_text(whole.replace("epochs: 3", "epochs: 2"))
    with pytest.raises(RecipeError, match=r"epochs was 3, is 2: .*, --allow-change epochs, or"):
        resumed(path)
    with pytest.raises(UsageError, match="--allow-change batch: this cannot change under way"):
        resumed(path, allow=("batch",))
    resumed(path, allow=("epochs",))
    assert striate.Run(path).summary["epochs"] == 2


def test_a_rate_that_changes_under_way_is_said(shapes, tmp_path):
    path = stopped(shapes, tmp_path, at=5, lr=0.01, schedule="constant")
    args = path / "args.yaml"
    args.write_text(args.read_text().replace("lr: 0.01", "lr: 0.002"))
    said = resumed(path, allow=("lr",))
    assert "lr was 0.01, is 0.002: the next step's learning rate is 0.002" in said
    assert striate.Run(path).history()[-1]["lr"] == 0.002


def test_another_version_is_refused_and_another_machine_is_said(shapes, tmp_path):
    path = stopped(shapes, tmp_path, at=5)
    config = json.loads((path / "config.json").read_text())
    assert set(config["versions"]) == {
        *("striate", "torch", "python", "threads", "cpu", "processes")
    }
    now = config["versions"]["striate"]
    config["versions"] |= {"striate": "0.0.1", "threads": "77"}
    folder.write_sealed(path / "config.json", config)
    with pytest.raises(UsageError) as caught:
        resumed(path)
    assert str(caught.value) == (
        f"striate: 0.0.1 began this training, this is {now}; go on with that version, or with --allow-change striate"
    )
    said = resumed(path, allow=("striate",))
    assert said[0].startswith(
        "differs from when the training began, so may the bits: striate 0.0.1,"
    )
    assert "threads 77, now " in said[0]


def test_changed_data_are_told_apart(shapes, tmp_path):
    mine = shutil.copytree(shapes, tmp_path / "mine")
    path = stopped(mine, tmp_path / "runs", at=5)
    moved = (mine / "bar" / "00.png").read_bytes()
    (mine / "bar" / "00.png").write_bytes((mine / "box" / "00.png").read_bytes())
    with pytest.raises(
        DataError, match=r"\(as many items of the same classes, with other content\)|train 72, now"
    ):
        resumed(path)
    (mine / "bar" / "00.png").write_bytes(moved)
    (mine / "new").mkdir()
    for i in range(5):
        shutil.copy(mine / "bar" / f"0{i}.png", mine / "new")
    with pytest.raises(DataError, match=r"classes bar,box,noise, now bar,box,new,noise\), so its"):
        resumed(path)
    shutil.rmtree(mine / "new")
    resumed(path)


def test_a_run_that_is_being_written_is_left_alone(shapes, tmp_path):
    path = stopped(shapes, tmp_path, at=5)
    with (
        folder.lock(path),
        pytest.raises(
            UsageError, match=rf"is being written by process {os.getpid()} on "
        ) as caught,
    ):
        resumed(path)
    assert caught.value.exit_status == 2


def test_a_checkpoint_of_a_newer_version_is_passed_over_and_said(shapes, tmp_path):
    path = stopped(shapes, tmp_path, at=13)
    newest = max(path.glob("checkpoints/step-*")) / "manifest.json"
    newest.write_text(newest.read_text().replace('"format": 3', '"format": 4'))
    said = resumed(path)
    assert said[0].endswith(
        "format 4, this version reads 3; update striate; going back to the one before"
    )
    assert said[1] == "going on after step 9 of 27"


def test_without_a_whole_checkpoint_it_never_begins_again_silently(shapes, tmp_path):
    path = stopped(shapes, tmp_path, at=13)
    for each in path.glob("checkpoints/step-*/tensors.safetensors"):
        each.write_bytes(each.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="no checkpoint is whole"):
        resumed(path)
    shutil.rmtree(path / "checkpoints")
    with pytest.raises(CheckpointError, match="its checkpoints are gone"):
        resumed(path)


def test_a_plan_that_overwrites_memory_is_not_gone_on_with(shapes, tmp_path):
    path = stopped(shapes, tmp_path, at=5, net="resnet18", width=0.1)
    file = path / "config.json"
    config = json.loads(file.read_text())
    config["plan"]["layout"] = "channels_last"  # as an earlier version chose
    folder.write_sealed(file, config)
    with pytest.raises(CheckpointError) as caught:
        resumed(path)
    assert str(caught.value) == (
        f"{path}: begun in channels_last, in which torch reaches beyond its memory in the backward pass of "
        "layer2.0.downsample.0 (1x1 with a stride, few channels); train anew with plan=default"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "cuda:77"}, "device=cuda:77 is not on this machine"),
        ({"plan": "fast"}, "plan=fast: 'fast' is no part of a plan"),
        ({"out": __file__}, "is a file, not a folder"),
    ],
)
def test_what_cannot_work_is_said_before_the_data_are_looked_at(tmp_path, settings, message):
    with pytest.raises(UsageError, match=message):
        striate.train(tmp_path / "not there", **{"out": tmp_path, **settings})


def test_a_clock_that_jumps_changes_nothing(shapes, tmp_path, monkeypatch):
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() - 1e6)
    path = stopped(shapes, tmp_path, at=20)
    for i, each in enumerate(sorted(path.glob("checkpoints/step-*"), reverse=True)):
        os.utime(each, (i, i))  # the newest by its step is the oldest by its time
    said = resumed(path)
    assert said[0] == "going on after step 20 of 27"
    rows = striate.Run(path).history()
    assert all(0 <= row["seconds"] < 1000 for row in rows)


@pytest.mark.slow
def test_a_second_signal_ends_it_at_once(shapes, tmp_path):
    command = [sys.executable, "-m", "striate", "train", str(shapes), "epochs=2000", "plan=default"]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 2/"):
                break
        process.send_signal(signal.SIGSTOP)  # both are there before it can end by itself
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(30) in (143, -signal.SIGTERM)
    assert "Traceback" not in rest
    with pytest.raises(ProcessLookupError):  # nothing of its group is left
        os.killpg(process.pid, 0)
    (path,) = (tmp_path / "classify").iterdir()
    found, _ = checkpoint.newest(path)
    assert found is not None
