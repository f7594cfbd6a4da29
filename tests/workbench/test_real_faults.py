"""Faults made by the machine itself: a second process, a folder that cannot be written, a port that is taken, full devices."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import striate
from striate.training import Progress, read_recipe
from striate.workbench.train import train_recipe

WORDS = ["net=lenet5", "batch=8", "plan=default"]


def command(*words):
    return [sys.executable, "-m", "striate", "train", *map(str, words)]


def ended(*words, **named):
    return subprocess.run(
        command(*words), capture_output=True, text=True, check=False, timeout=120, **named
    )


@pytest.mark.slow
def test_a_second_trainer_is_refused_and_the_lock_of_a_dead_one_is_none(shapes, tmp_path):
    words = [shapes, *WORDS, "epochs=3000", "--out", tmp_path]
    with subprocess.Popen(command(*words), stderr=subprocess.PIPE, text=True) as first:
        assert first.stderr is not None
        for line in first.stderr:
            if line.startswith("epoch 2/"):
                break
        path = tmp_path / "classify" / "shapes-lenet5"
        second = ended("--resume", path)
        first.kill()
    assert second.returncode == 2
    assert second.stderr.splitlines()[-1] == (
        f"striate: {path} is being written by process {first.pid} on {socket.gethostname()}: "
        "wait for it, or choose another --name"
    )
    assert f"process {first.pid} on" in (path / ".lock").read_text()  # left behind
    with subprocess.Popen(command("--resume", path), stderr=subprocess.PIPE, text=True) as third:
        assert third.stderr is not None
        assert any(line.startswith("going on after step ") for line in third.stderr)
        assert any(line.startswith("epoch ") for line in third.stderr)
        third.send_signal(signal.SIGTERM)
        third.stderr.read()
    assert third.returncode == 143


@pytest.mark.slow
def test_a_taken_port_is_said_before_the_data_are_looked_at(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(s.getsockname()[1])}
        done = ended(
            tmp_path / "nowhere", "--out", tmp_path,
            env=os.environ | place | {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"},
        )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert re.search(
        r"^striate: the processes of this training cannot meet at", done.stderr, re.MULTILINE
    )
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="/proc is what nobody can write to here"
)
def test_an_out_that_takes_no_file_is_said_before_the_data_are_looked_at(tmp_path, capsys):
    from striate import cli

    for out in ("/proc/striate", "/proc"):
        assert cli.main(["train", str(tmp_path / "nowhere"), "--out", out]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"striate: --out {out}: /proc cannot be written (")
    made = tmp_path / "not" / "yet"
    assert cli.main(["train", str(tmp_path / "nowhere"), "--out", str(made)]) == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_full_log_is_said_once_and_the_training_goes_on(shapes, tmp_path):
    said = []

    def say(line):
        said.append(line)
        if line.startswith("epoch 1/"):
            (path,) = (tmp_path / "classify").iterdir()
            (path / "health.csv").unlink()
            (path / "health.csv").symlink_to("/dev/full")

    settings = {"net": "lenet5", "epochs": 3, "batch": 8, "plan": "default", "health": 4}
    recipe = read_recipe("quick", settings)
    run = train_recipe(shapes, recipe, out=tmp_path, progress=Progress(say=say)).run
    (line,) = [line for line in said if "health.csv" in line]
    assert "cannot be written (No space left on device); the training goes on without" in line
    assert len(striate.Run(run.path).history()) == 3
