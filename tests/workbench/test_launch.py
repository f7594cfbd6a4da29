"""`striate train --devices N`, and what becomes of it when it is stopped, killed, or asked for too much."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import striate
from striate import cli
from striate.errors import ArgumentError, UsageError
from striate.runs import Run
from striate.workbench import launch

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "kill_ranks.py"
QUICK = ["net=lenet5", "batch=8", "plan=default"]


def command(*words):
    return [sys.executable, "-m", "striate", "train", *map(str, words)]


def done(*words):
    return subprocess.run(command(*words), capture_output=True, text=True, check=False, timeout=300)


def alive(number):
    """Whether a process is there and not only waiting to be buried."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def last_tensors(path):
    last = max((path / "checkpoints").iterdir())
    return safetensors.torch.load_file(last / "tensors.safetensors")


@pytest.fixture(scope="module")
def two(shapes, tmp_path_factory):
    """A training by two processes: what was printed, and its folder."""
    out = tmp_path_factory.mktemp("two")
    ended = done(shapes, *QUICK, "epochs=4", "--devices", "2", "--out", out, "--json")
    assert ended.returncode == 0, ended.stderr
    return ended, out / "classify" / "shapes-lenet5"


@pytest.mark.slow
def test_two_processes_leave_one_whole_run_and_one_document(two, shapes, tmp_path):
    ended, path = two
    document = json.loads(ended.stdout)
    assert (document["run"], document["epochs"]) == (str(path), 4)
    assert [line.split()[1] for line in ended.stderr.splitlines() if re.match(r"epoch \d", line)] == [
        "1/4", "2/4", "3/4", "4/4",
    ]  # fmt: skip
    names = {p.name for p in path.iterdir()}
    assert names == {
        "model.safetensors", "config.json", "args.yaml", "results.csv", "items.csv", "checkpoints",
        "report.html", "summary.json", "health.csv", "movement.csv", "trained.bin",
    }  # fmt: skip
    assert Run.load(path).config.versions["processes"] == "2"
    alone = striate.train(shapes, "lenet5", out=tmp_path, batch=8, plan="default", epochs=4)
    for mine, theirs in zip(Run(path).history(), alone.history(), strict=True):
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.01)
        assert mine["val_loss"] == pytest.approx(theirs["val_loss"], rel=0.01)


@pytest.mark.slow
def test_torchrun_does_the_same(two, shapes, tmp_path):
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "striate"]
    words = ["train", shapes, *QUICK, "epochs=4", "--out", tmp_path]
    ended = subprocess.run(
        [sys.executable, "-m", *map(str, [*launcher, *words])],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("lenet5, 4 epochs in ") == 1
    assert ended.stderr.count("epoch 1/4 ") == 1
    assert "find_unused_parameters" not in ended.stderr
    assert "find_unused_parameters" not in two[0].stderr
    mine, theirs = (last_tensors(p) for p in (tmp_path / "classify" / "shapes-lenet5", two[1]))
    for name, tensor in theirs.items():  # with as many threads the bits are the same
        torch.testing.assert_close(mine[name], tensor, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_quiet_reaches_every_process(shapes, tmp_path):
    """What two processes made is said, and nothing of their progress; an error is still its one line."""
    words = [*QUICK, "epochs=1", "device=cpu", "--devices", "2", "--quiet", "--out", tmp_path]
    ended = done(shapes, *words)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count("lenet5, 1 epoch in ") == 1
    assert Run(tmp_path / "classify" / "shapes-lenet5").config.versions["processes"] == "2"
    ended = done(tmp_path / "nowhere", *words)
    assert ended.returncode == 3
    assert ended.stderr.startswith("striate: ")
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "status"),
    [pytest.param(signal.SIGTERM, 143, marks=pytest.mark.full), (signal.SIGINT, 130)],
)
def test_a_signal_reaches_all_and_another_number_of_processes_goes_on(
    two, shapes, tmp_path, signum, status
):
    words = [shapes, *QUICK, "epochs=300", "--devices", "2", "--out", tmp_path]
    with subprocess.Popen(command(*words), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 2/"):
                break
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signum)
        start = time.monotonic()
        rest = process.stderr.read()
        assert process.wait(30) == status
    assert time.monotonic() - start < 30
    assert len(children) == 2
    assert not any(map(alive, children))
    assert "Traceback" not in rest
    assert rest.splitlines()[-1].startswith("striate: stopped after step ")
    path = tmp_path / "classify" / "shapes-lenet5"
    before = len((path / "results.csv").read_text().splitlines())
    assert before >= 2
    # what is left takes too long here: the same training as the other one, up to its end
    count = 4 if signum == signal.SIGTERM else 1
    words = command("--resume", path, "--devices", count)
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith(f"epoch {before + 3}/"):
                break
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        process.wait(30)
    # on another number of processes each has other threads, which is said first
    assert any(line.startswith("going on after step ") for line in lines[:2])
    losses = [row["train_loss"] for row in Run(path).history()]
    assert len(losses) >= before + 2
    assert losses[-1] < losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("number", [pytest.param(0, marks=pytest.mark.full), 1])
def test_a_process_killed_while_pictures_are_decoded(tmp_path, number):
    noise = np.random.default_rng(0).integers(0, 255, (1000, 1000, 3), np.uint8)
    for i in range(80):
        file = tmp_path / "large" / "ab"[i % 2] / f"{i}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(noise, i, 0)).save(file)
    words = [tmp_path / "large", *QUICK, "size=32", "epochs=2", "--devices", "2"]
    env = {**os.environ, "STRIATE_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(
        command(*words, "--out", tmp_path), stderr=subprocess.PIPE, text=True, env=env
    ) as process:
        assert process.stderr is not None
        while not list((tmp_path / "cache").glob("arrays/making-*")):
            assert process.poll() is None
            time.sleep(0.01)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[number]), signal.SIGKILL)
        start, lines = time.monotonic(), []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("a process was lost"):
                break
        # Most of it is what the processes take to start anew.
        assert time.monotonic() - start < 30
        lines += process.stderr.readlines()
        assert process.wait(60) == 0
    (told,) = (line for line in lines if "lost" in line)
    assert told == (
        "a process was lost (killed, often because the memory ran out: a smaller batch= needs less); "
        "all begin again from the last checkpoint there is, 1 of 3 times\n"
    )
    assert not any("Traceback" in line for line in lines)
    (run,) = (tmp_path / "classify").iterdir()
    assert len(Run.load(run).history()) == 2


@pytest.mark.slow
def test_no_process_outlives_the_command(shapes, tmp_path):
    words = [shapes, *QUICK, "epochs=2000", "--devices", "2", "--out", tmp_path]
    with subprocess.Popen(command(*words), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 1/"):
                break
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        process.stderr.read()  # ends when the last process that can write to it does
    assert len(children) == 2
    end = time.monotonic() + 20  # it has closed its files, and is not yet gone
    while any(map(alive, children)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(alive, children))


@pytest.mark.full
@pytest.mark.slow
def test_three_killed_processes_change_no_bit():
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", "3", "--seed", "1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    counts = json.loads(ended.stdout.splitlines()[-1])
    assert (counts["kills"], counts["different"], counts["orphans"]) == (3, 0, 0)


@pytest.mark.slow
def test_mistakes_are_one_line_with_their_status(shapes, tmp_path):
    ended = done(tmp_path / "nowhere", "devices=2", "--out", tmp_path / "runs")
    assert ended.returncode == 3
    assert ended.stderr.startswith("striate: ")
    assert ended.stderr.count("\n") == 1
    ended = done(shapes, "net=resnet18", "size=32", "width=0.1", "batch=3", "devices=2", "plan=default", "--out", tmp_path)  # fmt: skip
    assert ended.returncode == 2
    assert (
        "batch=3 shared by 2 processes: batch normalisation cannot learn from one" in ended.stderr
    )
    assert list((tmp_path / "classify").iterdir()) == []


def test_what_cannot_be_shared_is_refused_at_once(shapes, tmp_path, capsys, monkeypatch):
    with pytest.raises(ArgumentError, match="devices=2: other processes cannot be given a net"):
        striate.train(shapes, torch.nn.Linear(2, 2), out=tmp_path, devices=2)
    with pytest.raises(ArgumentError, match="devices=2: other processes cannot be given a net"):
        striate.train(striate.open(shapes), "lenet5", out=tmp_path, devices=2)
    for device, message in [
        ("mps", "device=mps is one device"),
        ("cuda:1", "device=cuda:1 is one device"),
        ("cuda", "devices=99: this machine has"),
    ]:
        with pytest.raises(UsageError, match=message):
            launch._check(99, device)
    assert cli.main(["train", str(shapes), "devices=0", "--out", str(tmp_path)]) == 2
    assert "devices=" in capsys.readouterr().err
    assert cli.main(["train", str(shapes), "sync_norm=true", "device=cpu"]) == 2
    assert "sync_norm=true needs GPUs, this is cpu" in capsys.readouterr().err
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    assert cli.main(["train", str(shapes), "--folds", "3"]) == 2
    assert "cannot be shared by processes" in capsys.readouterr().err


@pytest.mark.slow
def test_halving_is_refused_where_the_others_would_not_know(shapes, tmp_path):
    ended = done(shapes, *QUICK, "oom=halve", "devices=2", "--out", tmp_path)
    assert ended.returncode == 2
    assert "striate: oom=halve works in one process alone" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_a_single_process_imports_nothing_distributed(shapes, tmp_path):
    plain = "import torch; net = torch.nn.Linear(2, 2); opt = torch.optim.AdamW(net.parameters())\n"
    plain += "net(torch.ones(1, 2)).sum().backward(); opt.step()\n"
    train = f"import striate; striate.train({str(shapes)!r}, 'lenet5', out={str(tmp_path)!r}, epochs=1)\n"
    show = "import sys; print(*(m for m in sys.modules if 'distributed' in m or 'striate' in m))"
    loaded = []
    for code in (plain, plain + train):
        ended = subprocess.run(
            [sys.executable, "-c", code + show], capture_output=True, text=True, check=True
        )
        loaded.append(set(ended.stdout.splitlines()[-1].split()))
    assert {name for name in loaded[1] if name.startswith("torch")} == loaded[0]
    assert "striate.training.distributed" in loaded[1]
    assert "striate.training.ddp" not in loaded[1]
