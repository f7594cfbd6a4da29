"""What is said when a training cannot go on, and that it is true."""

import signal
import subprocess
import sys
import time
from hashlib import sha256

import pytest
from torch import nn

import striate
from striate import cli
from striate.errors import CheckpointError, Stopped, UsageError
from striate.runs import checkpoint, folder
from striate.training import Progress, read_recipe, record
from striate.workbench.train import resume, train_recipe

QUICK = {"net": "lenet5", "epochs": 3, "batch": 8, "plan": "default"}


def trained(shapes, out, *, own=None, progress=None, name=None, **settings):
    recipe = read_recipe("quick", {**QUICK, **settings})
    progress = progress or Progress()
    return train_recipe(shapes, recipe, own=own, out=out, name=name, progress=progress).run.path


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_resuming_a_finished_run_has_nothing_to_do_and_ends_with_0(shapes, tmp_path, capsys, json):
    path = trained(shapes, tmp_path, epochs=1)
    before = sha256((path / "model.safetensors").read_bytes()).hexdigest()
    assert cli.main(["train", "--resume", str(path), *json]) == 0
    out, said = capsys.readouterr()
    assert f"{path} is finished, there is nothing to do" in said
    assert str(path) in out
    assert sha256((path / "model.safetensors").read_bytes()).hexdigest() == before
    (path / "summary.json").write_text("{}")
    assert cli.main(["train", "--resume", str(path)]) == 5


def full_from(monkeypatch, *names):
    """A disk on which nothing of these names can be written."""
    write, save = folder.write_bytes, checkpoint._write_synced

    def writing(path, content):
        if path.name in names:
            raise folder.cannot_write(path, OSError(28, "No space left on device"))
        write(path, content)

    def saving(path, data):
        if "checkpoints" in names:
            raise OSError(28, "No space left on device")
        save(path, data)

    monkeypatch.setattr(folder, "write_bytes", writing)
    monkeypatch.setattr(checkpoint, "_write_synced", saving)


@pytest.mark.parametrize(
    "names",
    [("checkpoints",), ("checkpoints", "results.csv"), ("args.yaml",), ("config.json",), ("model.safetensors",)],
    ids="+".join,
)  # fmt: skip
def test_the_advice_of_a_full_disk_is_true(shapes, tmp_path, monkeypatch, names):
    with monkeypatch.context() as full:
        full_from(full, *names)
        with pytest.raises(CheckpointError) as caught:
            trained(shapes, tmp_path)
    said = str(caught.value)
    left = list(tmp_path.glob("classify/*"))
    if said.endswith("try again"):
        assert not left
    elif said.endswith("train anew"):
        with pytest.raises(CheckpointError, match="train anew"):
            resume(left[0], progress=Progress())
    else:
        assert said.endswith(f"go on with striate train --resume {left[0]}")
        resume(left[0], progress=Progress())
        assert striate.Run(left[0]).summary["epochs"] == 3


def test_the_advice_is_each_of_the_three_somewhere(tmp_path):
    run = tmp_path / "classify" / "a"
    (run / "checkpoints").mkdir(parents=True)

    def way():
        return str(folder.cannot_write(run / "x", OSError(28, "No space left"))).rpartition("and ")[
            2
        ]

    assert way() == "try again"
    folder.write_json(run / "config.json", {})
    assert way() == f"go on with striate train --resume {run}"
    (run / "results.csv").touch()
    assert way() == "train anew"
    (run / "checkpoints" / "step-00000001").mkdir()
    assert way() == f"go on with striate train --resume {run}"
    folder.write_json(run / "summary.json", {})
    assert way() == "try again"


@pytest.mark.parametrize("when", ["prepare", "load_first_weights"])
def test_sigterm_before_the_first_step_leaves_nothing_half_made(
    shapes, tmp_path, monkeypatch, when
):
    module = sys.modules["striate.training.fit"]
    original = getattr(module, when)

    def killed(*args, **words):
        original(*args, **words)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(module, when, killed)
    with pytest.raises(
        Stopped, match="stopped before the first step; nothing is left of it"
    ) as caught:
        trained(shapes, tmp_path)
    assert caught.value.exit_status == 143
    assert not list(tmp_path.glob("*/*"))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("place", ["held_out", "finish"])
def test_sigterm_around_the_steps_can_be_gone_on_from(shapes, tmp_path, monkeypatch, place):
    of = record.Job if place == "held_out" else record.Record
    original = getattr(of, place)

    def killed(self, *args):
        signal.raise_signal(signal.SIGTERM)
        return original(self, *args)

    whole = trained(shapes, tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(of, place, killed)
        with pytest.raises(Stopped, match=r"striate train --resume") as caught:
            trained(shapes, tmp_path / "runs")
    assert caught.value.exit_status == 143
    (path,) = (tmp_path / "runs" / "classify").iterdir()
    assert not (path / "model.safetensors").exists()
    resume(path, progress=Progress())
    assert (path / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_real_sigterm_while_data_are_read_leaves_nothing(shapes, tmp_path):
    words = ["train", str(shapes), "net=resnet18", "epochs=2", "--out", str(tmp_path / "runs")]
    command = [sys.executable, "-m", "striate", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not list(tmp_path.glob("runs/*/*")) and time.monotonic() < end:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert "Traceback" not in said
    left = list(tmp_path.glob("runs/*/*"))
    assert not left or "--resume" in said


class Failing(nn.Module):
    """A net of a user's own, one layer of which fails when it is told to."""

    def __init__(self, part="forward"):
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 4, 3, 2), nn.Sequential(Odd(part), nn.Linear(4, 3))

    def forward(self, x):
        return self.head(self.stem(x))


class Odd(nn.Module):
    fails = False

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, x):
        x = x.mean((2, 3)).sin()
        if Odd.fails and self.part == "forward":
            raise KeyError("a\nword")
        if Odd.fails and x.requires_grad:
            x.register_hook(lambda _g: 1 / 0)
        return x


@pytest.mark.parametrize("part", ["forward", "backward"])
def test_an_exception_in_a_net_says_step_and_layer_and_keeps_a_checkpoint(
    shapes, tmp_path, monkeypatch, part
):
    net = Failing(part)
    whole = trained(shapes, tmp_path / "whole", own=net, net=None)

    def bar(name, done, _of):
        if (name, done) == ("training", 13):
            monkeypatch.setattr(Odd, "fails", True)

    with pytest.raises(UsageError) as caught:
        trained(shapes, tmp_path / "runs", own=net, net=None, progress=Progress(bar=bar))
    said = str(caught.value)
    assert said.startswith("step 14: the net fails")
    assert "\n" not in said
    if part == "forward":
        assert "in head.0 (Odd): KeyError: " in said
    (path,) = (tmp_path / "runs" / "classify").iterdir()
    found, _ = checkpoint.newest(path)
    assert found is not None
    assert found.step == 13
    monkeypatch.setattr(Odd, "fails", False)
    resume(path, own=net, progress=Progress())
    assert (path / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_net_that_fails_while_it_is_timed_is_one_line(shapes, tmp_path, monkeypatch):
    from striate.training import prepare

    check = prepare._check_loss

    def failing(*args):
        check(*args)
        monkeypatch.setattr(Odd, "fails", True)

    monkeypatch.setattr(prepare, "_check_loss", failing)
    for plan in ("default", "auto"):
        monkeypatch.setattr(Odd, "fails", False)
        with pytest.raises(UsageError, match="while ways to run it are timed: KeyError"):
            trained(shapes, tmp_path, own=Failing(), net=None, plan=plan)
    assert not list(tmp_path.glob("*/*"))


def test_a_name_that_is_taken_is_said_before_the_data_are_opened(shapes, tmp_path, monkeypatch):
    path = trained(shapes, tmp_path, epochs=1, name="mine")
    module = sys.modules["striate.workbench.train"]
    monkeypatch.setattr(module, "open_data", lambda *_: pytest.fail("the data were opened"))
    with pytest.raises(UsageError, match=f"{path} is there already: choose another --name"):
        trained(shapes, tmp_path, name="mine")
    for bad in ("", ".a", "a/b", "a\nb", "ä" * 101, "a\0b"):
        with pytest.raises(UsageError, match="cannot name a folder"):
            trained(shapes, tmp_path, name=bad)
    monkeypatch.undo()
    other = trained(str(shapes), tmp_path, epochs=1, name="another")
    assert other != path
